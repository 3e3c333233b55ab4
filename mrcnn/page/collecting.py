"""The files of what was corrected: pictures and annotations, as `mrcnn train` takes them.

Shapes: H W of a picture.
"""

import dataclasses
import functools
import os
import shutil
from pathlib import Path

import numpy as np
from skimage.io import imsave

from mrcnn.data.annotations.instances import Instance, Picture, with_keypoints
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.tracing import trace
from mrcnn.data.annotations.writing import Item, safe_name
from mrcnn.data.converting import write
from mrcnn.inference.detections import Detections
from mrcnn.page.errors import PageError

FORMATS = {"COCO": "coco", "VIA": "via"}


@dataclasses.dataclass(frozen=True)
class Kept:
    """A picture with what is on it.

    Args:
        name: str, its file's name with the suffix.
        path: of its file; None: there is none, or it is a video of which this is a frame.
        found: `Detections` with the image, as a person left them; each mask has a pixel.
    """

    name: str
    path: str | None
    found: Detections


def write_files(kept, things, folder, kind):
    """Writes pictures and annotations into a new folder, which `mrcnn.data.load` reads.

    Args:
        kept: list of `Kept`.
        things: list of the names of classes.
        folder: path.
        kind: key of `FORMATS`.

    Returns:
        path of the file of annotations, and of a ZIP of the folder, both beside it.

    Raises:
        PageError: there is no picture.
    """
    if not kept:
        raise PageError("expected a picture at least, received none; press “Keep this picture”")
    folder = Path(folder)
    write(_items(kept, things), folder, things, [], FORMATS[kind], Notes())
    (annotations,) = folder.rglob("*.json")
    return str(annotations), shutil.make_archive(str(folder), "zip", folder)


def _items(kept, things):
    taken = set()
    for each in kept:
        found = each.found
        name = _free_name(each, taken)
        height, width = found.image.shape[:2]
        instances = [_instance(found, i, things) for i in range(found.count)]
        points = found.get("keypoints")
        if points is not None:
            points = np.concatenate([points[..., :2], 2.0 * (points[..., 2:] != 0)], axis=-1)
        picture = Picture(name, each.path, height, width, with_keypoints(instances, points))
        save = functools.partial(shutil.copyfile, each.path)
        if each.path is None or not os.path.isfile(each.path):
            save = functools.partial(_save_pixels, found.image)
        yield Item(picture, "", save, keypoint_scheme=found.keypoint_scheme)


def _free_name(kept, taken):
    """A file name that no other picture has; PNG where the pixels have to be written."""
    name = Path(safe_name(kept.name) or "picture.png")
    if kept.path is None or not os.path.isfile(kept.path):
        name = name.with_suffix(".png")
    free, number = name, 1
    while free.stem.lower() in taken:
        number += 1
        free = name.with_stem(f"{name.stem}_{number}")
    taken.add(free.stem.lower())
    return str(free)


def _instance(found, index, things):
    category, name = things[found["class_ids"][index] - 1], f"object {index + 1}"
    if "masks" not in found:
        box = tuple(map(float, found.get("boxes", found["rois"])[index]))
        return Instance(category, [], box, name=name)
    return Instance(category, trace(found["masks"][:, :, index]), name=name)


def _save_pixels(image, path):
    imsave(path, np.asarray(image), check_contrast=False)


def counts(kept):
    """str: how many pictures and objects are kept."""
    objects = sum(each.found.count for each in kept)
    return f"Pictures kept: {len(kept)}, objects: {objects}."
