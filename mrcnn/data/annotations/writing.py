"""What all writers of annotation formats share: pictures and instances of any data set.

Shape legend: H, W size in pixels.
"""

import collections.abc
import dataclasses
import functools
import os
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
from pycocotools import mask as mask_utils
from skimage.io import imsave

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.files import SUFFIXES, picture_suffix
from mrcnn.data.annotations.instances import (
    Instance,
    MaskFile,
    Picture,
    instance_code,
    with_keypoints,
)
from mrcnn.data.annotations.tracing import bridge, trace
from mrcnn.data.image_loading import load_instances, load_keypoints
from mrcnn.data.keypoints import KeypointScheme
from mrcnn.data.panoptic import load_segments


@dataclasses.dataclass(frozen=True)
class Item:
    """A picture to write.

    Args:
        picture: `Picture` whose name is a relative path with a suffix and no "..", and whose
            instances have names of classes for categories.
        subset: str, "" where there are none.
        save: function of a path that puts the picture's file there.
        panoptic: function to the picture's ids and segments as of `Dataset.load_panoptic`, with
            `category`, the name of a class, or to None.
        things, stuff: names of the classes of its data set that are the one and the other.
        keypoint_scheme: `mrcnn.data.KeypointScheme` of what instances have under `keypoints` in
            `extra`, as COCO's list x y v; None: there are none, or nothing says which they are.
    """

    picture: Picture
    subset: str
    save: collections.abc.Callable
    panoptic: collections.abc.Callable = lambda: None
    things: tuple = ()
    stuff: tuple = ()
    keypoint_scheme: KeypointScheme | None = None


def items_of(dataset, image_ids=None):
    """Yields an `Item` for each picture of a prepared `Dataset` of any kind.

    Outlines stay as their files have them; of a data set that has masks alone, they are codes.
    A picture without a file is saved as PNG.
    """
    taken = set()
    for image_id in dataset.image_ids if image_ids is None else image_ids:
        info = dataset.image_info[image_id]
        path = info.get("path")
        has_file = bool(path) and os.path.isfile(path)
        subset = safe_name(info.get("subset") or "")
        name = _free_name(_file_name(path) if has_file else f"{info['id']}.png", subset, taken)
        if isinstance(dataset, AnnotatedDataset) and info["source"] == dataset.source:
            size = info["height"], info["width"]
            found = dataset.instances_with_keypoints(image_id)
            instances = [_by_name(dataset, each) for each in found]
        else:
            image = dataset.load_image(image_id)
            size, instances = image.shape[:2], _drawn(dataset, image_id, image.shape)
        save = (
            functools.partial(shutil.copyfile, path)
            if has_file
            else functools.partial(_save_pixels, dataset, image_id)
        )
        yield Item(
            Picture(name, path, *size, instances),
            subset,
            save,
            functools.partial(_panoptic, dataset, image_id, size),
            tuple(dataset.thing_names[1:]),
            tuple(dataset.class_names[len(dataset.thing_names) :]),
            dataset.keypoint_scheme,
        )


def safe_name(text):
    """A text as a name that every file system takes, and that hides nothing: no path, no dot at
    its start; empty where there is none."""
    safe = "".join("_" if c in '/\\:*?"<>|' or c < " " else c for c in text).strip()
    return f"_{safe}" if safe.startswith(".") else safe


def _file_name(path):
    """The name of a picture, with a suffix by which readers know that it is one."""
    name = Path(path).name
    if Path(name).suffix.lower() in SUFFIXES:
        return name
    return name + (picture_suffix(path) or ".png")


def _free_name(name, subset, taken):
    """A file name that no other picture of the subset has."""
    safe = safe_name(name)
    stem, suffix = PurePosixPath(safe).stem, PurePosixPath(safe).suffix
    number, key = 1, stem
    while (subset, key.lower()) in taken:
        number += 1
        key = f"{stem}_{number}"
    taken.add((subset, key.lower()))
    return key + suffix


def _by_name(dataset, instance):
    name = dataset.class_names[dataset.class_id_of(instance)]
    return dataclasses.replace(instance, category=name)


def _panoptic(dataset, image_id, size):
    found = load_segments(dataset, image_id, size)
    if found is None:
        return None
    ids, segments = found
    return ids, [{**x, "category": dataset.class_names[x["class_id"]]} for x in segments]


def _drawn(dataset, image_id, shape):
    masks, class_ids = load_instances(dataset, image_id, shape, dataset.num_classes)
    codes = mask_utils.encode(np.asfortranarray(masks, np.uint8))
    names = dataset.class_names
    drawn = [
        Instance(names[abs(i)], [code], crowd=bool(i < 0), name=f"instance {k}")
        for k, (i, code) in enumerate(zip(class_ids, codes, strict=True))
    ]
    return with_keypoints(drawn, load_keypoints(dataset, image_id, len(drawn)))


def _save_pixels(dataset, image_id, path):
    imsave(path, dataset.load_image(image_id), check_contrast=False)


def code_of(instance, picture):
    """The compressed run-length code of an instance; see `mrcnn.data.annotations.outlines`."""
    name = f"{picture.name}, {instance.name}"
    return instance_code(instance, [picture.height, picture.width], name)


def mask_of(instance, picture):
    """The mask of an instance, bool [H, W]."""
    return mask_utils.decode(code_of(instance, picture)).view(bool)


def parts_of(instance, picture):
    """The parts of an instance as lists of rings; codes and mask files are traced.

    Drawn as a union of parts, each filled by the even-odd rule, they give the same mask.
    """
    if any(isinstance(part, (dict, MaskFile)) for part in instance.parts):
        return trace(mask_of(instance, picture))
    return instance.parts


def ring_of(instance, picture):
    """One ring that fills the whole instance by the even-odd rule: holes and parts are joined by
    lines that go forth and back. Parts that overlap are traced. None of an instance without a
    pixel."""
    parts = parts_of(instance, picture)
    if len(parts) > 1:
        name, size = f"{picture.name}, {instance.name}", [picture.height, picture.width]
        alone = (dataclasses.replace(instance, parts=[part]) for part in parts)
        areas = [int(mask_utils.area(instance_code(each, size, name))) for each in alone]
        if sum(areas) != int(mask_utils.area(code_of(instance, picture))):
            parts = trace(mask_of(instance, picture))
    rings = [ring for part in parts for ring in part]
    return bridge(rings) if rings else None


def save_picture(item, path):
    """Puts the file of a picture at a path, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    item.save(path)
