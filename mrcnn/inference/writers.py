"""The files that are written for each picture, below a folder; one function a kind.

Each takes (folder, name, found): the folder of all results, the picture's name with "/", and its
`Detections`, whose image is RGB of uint8, or a `ModelRegions`.
"""

import re

import numpy as np
import tifffile
from PIL import Image

from mrcnn.data.class_names import class_name
from mrcnn.data.formats.coco_panoptic.segment_files import ids_to_colors
from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.image.resizing import pad_to

OVERLAY_SIDE = 2048  # pixels of a picture detected in by tiles that its overlay shows
LABEL_TILE = 512  # pixels


def write_overlay(folder, name, found):
    """`overlays/NAME.jpg`: the instances, or the segments of a panoptic map, drawn into the
    picture.

    One detected in by tiles is at most `OVERLAY_SIDE` large, and has masks without captions.
    """
    small, captions = found.reduced(OVERLAY_SIDE), {}
    if small is not found and "segments" not in found:
        captions = {"captions": [""] * found.count, "show_bbox": False}
    picture = Image.fromarray(small.plot(**captions))
    picture.save(_path(folder, "overlays", f"{name}.jpg"), quality=92)


def write_masks(folder, name, found):
    """`masks/NAME/0001.png`: 255 where the instance is, else 0."""
    for i in range(found.count):
        picture = Image.fromarray(found["masks"][:, :, i].astype(np.uint8) * 255)
        picture.save(_path(folder, "masks", f"{name}/{i + 1:04d}.png"))


def write_labels(folder, name, found):
    """`labels/NAME.png`: 0 where nothing is, i where instance i is; see `write_label_image`."""
    path, masks = _path(folder, "labels", name), found["masks"]
    if isinstance(masks, CroppedMasks) and max(masks.shape[:2]) > OVERLAY_SIDE:
        write_label_tiles(path, found)
    else:
        write_label_image(path, found.label_image())


def write_label_image(path, labels):
    """Writes int [H, W] as a PNG of 16 bits or, above 65535, a TIFF of 32; adds the suffix."""
    if labels.max(initial=0) < 2**16:
        Image.fromarray(labels.astype(np.uint16)).save(f"{path}.png")
    else:
        tifffile.imwrite(f"{path}.tif", labels.astype(np.uint32), compression="zlib")


def write_label_tiles(path, found):
    """As `write_label_image`, a TIFF in tiles, in the memory of one; adds the suffix.

    Args:
        path: without the suffix.
        found: `Detections`.
    """
    height, width = found["masks"].shape[:2]
    dtype = np.uint16 if found.count < 2**16 else np.uint32
    tiles = (
        found.label_image((y, x, min(y + LABEL_TILE, height), min(x + LABEL_TILE, width)))
        for y in range(0, height, LABEL_TILE)
        for x in range(0, width, LABEL_TILE)
    )
    padded = (pad_to(tile, (LABEL_TILE, LABEL_TILE)).astype(dtype) for tile in tiles)
    options = {"shape": (height, width), "dtype": dtype, "tile": (LABEL_TILE, LABEL_TILE)}
    tifffile.imwrite(f"{path}.tif", padded, **options, compression="zlib", photometric="minisblack")


def write_panoptic(folder, name, found):
    """`panoptic/NAME.png`: the id of each pixel's segment as a colour, as COCO has them."""
    picture = Image.fromarray(ids_to_colors(found["segmentation"]))
    picture.save(_path(folder, "panoptic", f"{name}.png"))


def write_crops(folder, name, found):
    """`crops/CLASS/NAME_0001.png`: the instance cut out along its box."""
    from mrcnn.visualize import to_uint8_rgb

    crops = zip(found["class_ids"], found.crop(), strict=True)
    for i, (class_id, crop) in enumerate(crops, 1):
        kind = folder_name(class_name(class_id, found.class_names))
        picture = Image.fromarray(to_uint8_rgb(crop))
        picture.save(_path(folder, "crops", f"{kind}/{name}_{i:04d}.png"))


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
    "panoptic": write_panoptic,
    "crops": write_crops,
}


def remove_files(folder, name):
    """Removes what was written for a picture, and nothing else."""
    for path in (folder / "masks" / name).glob("[0-9]*.png"):
        path.unlink()
    names = f"overlays/{name}.jpg", f"panoptic/{name}.png"
    for path in (*names, f"labels/{name}.png", f"labels/{name}.tif"):
        (folder / path).unlink(missing_ok=True)
    number = re.compile(re.escape(name.rpartition("/")[2]) + r"_\d{4,}\.png")
    for kind in (folder / "crops").glob("*"):
        for path in (kind / name).parent.glob("*.png"):
            if number.fullmatch(path.name):
                path.unlink()
