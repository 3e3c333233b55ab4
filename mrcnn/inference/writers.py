"""The files that are written for each picture, below a folder; one function a kind.

Each takes (folder, name, found): the folder of all results, the picture's name with "/", and its
`Detections`, whose image is RGB of uint8.
"""

import re

import numpy as np
import tifffile
from PIL import Image

from mrcnn.data.class_names import class_name


def write_overlay(folder, name, found):
    """`overlays/NAME.jpg`: the instances drawn into the picture."""
    Image.fromarray(found.plot()).save(_path(folder, "overlays", f"{name}.jpg"), quality=92)


def write_masks(folder, name, found):
    """`masks/NAME/0001.png`: 255 where the instance is, else 0."""
    for i, mask in enumerate(np.moveaxis(found["masks"], -1, 0), 1):
        picture = Image.fromarray(mask.astype(np.uint8) * 255)
        picture.save(_path(folder, "masks", f"{name}/{i:04d}.png"))


def write_labels(folder, name, found):
    """`labels/NAME.png`: 0 where nothing is, i where instance i is; see `write_label_image`."""
    write_label_image(_path(folder, "labels", name), found.label_image())


def write_label_image(path, labels):
    """Writes int [H, W] as a PNG of 16 bits or, above 65535, a TIFF of 32; adds the suffix."""
    if labels.max(initial=0) < 2**16:
        Image.fromarray(labels.astype(np.uint16)).save(f"{path}.png")
    else:
        tifffile.imwrite(f"{path}.tif", labels.astype(np.uint32), compression="zlib")


def write_crops(folder, name, found):
    """`crops/CLASS/NAME_0001.png`: the instance cut out along its box."""
    crops = zip(found["class_ids"], found.crop(), strict=True)
    for i, (class_id, crop) in enumerate(crops, 1):
        kind = folder_name(class_name(class_id, found.class_names))
        Image.fromarray(crop).save(_path(folder, "crops", f"{kind}/{name}_{i:04d}.png"))


def folder_name(text):
    """A class's name as that of one folder: letters, numbers and " -_.", else "_"."""
    safe = re.sub(r"[^\w \-.]", "_", text).strip(" .")
    return safe or "_"


def _path(folder, kind, name):
    path = folder / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


WRITERS = {
    "overlay": write_overlay,
    "masks": write_masks,
    "labels": write_labels,
    "crops": write_crops,
}


def remove_files(folder, name):
    """Removes what was written for a picture, and nothing else."""
    for path in (folder / "masks" / name).glob("[0-9]*.png"):
        path.unlink()
    for path in (f"overlays/{name}.jpg", f"labels/{name}.png", f"labels/{name}.tif"):
        (folder / path).unlink(missing_ok=True)
    number = re.compile(re.escape(name.rpartition("/")[2]) + r"_\d{4,}\.png")
    for kind in (folder / "crops").glob("*"):
        for path in (kind / name).parent.glob("*.png"):
            if number.fullmatch(path.name):
                path.unlink()
