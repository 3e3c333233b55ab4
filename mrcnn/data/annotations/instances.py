"""What annotation files say of a picture, in one form for all formats.

Shape legend: H, W size in pixels; P points of a ring. Coordinates are pixels of the picture as a
viewer shows it, 0 at its left and upper edge: the first pixel reaches from 0 to 1.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.label_files import read_labels
from mrcnn.data.annotations.outlines import parts_code
from mrcnn.data.keypoints import coco_facts


@dataclasses.dataclass(frozen=True, slots=True)
class MaskFile:
    """A part of an instance that is a picture: the pixels of a value, or all that are not 0.

    Args:
        path: str, as `mrcnn.data.annotations.label_files.read_labels` takes it.
        value: int, or None for every value but 0.
        read: function of the path to int [H, W], where `read_labels` does not know the file.
    """

    path: str
    value: int | None = None
    read: Callable | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """An object, or a crowd of them.

    Args:
        category: int or str, the id of its class in its source.
        parts: list; the instance is their union. A part is a list of rings [x, y, x, y, ...],
            filled where an odd number of them lies around (a ring inside another is a hole); a
            run-length code of COCO, a dict; or a `MaskFile`.
        box: (y1, x1, y2, x2) of an object without an outline, or None.
        crowd: bool, a region of many objects, which is neither object nor background.
        name: str, what a message calls it: its place in its file.
        extra: dict, what else the file says: attributes, keypoints, ...
    """

    category: int | str
    parts: list = dataclasses.field(default_factory=list)
    box: tuple | None = None
    crowd: bool = False
    name: str = ""
    extra: dict = dataclasses.field(default_factory=dict)


def with_keypoints(instances, keypoints):
    """Instances with their keypoints in `extra`, as COCO's annotations have them.

    Args:
        instances: list of N `Instance`s.
        keypoints: float [N, K, 3], see `mrcnn.data.keypoints`; None: none are added.
    """
    if keypoints is None:
        return instances
    return [
        dataclasses.replace(instance, extra={**instance.extra, **coco_facts(points)})
        for instance, points in zip(instances, keypoints, strict=True)
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """A picture and its instances.

    Args:
        name: int or str, its id in its source; no two of a data set are equal.
        path: str, where its file should be.
        height, width: int, as its annotations say.
        instances: list of `Instance`.
        extra: dict, what else the file says of it.
        entry: str, what a message calls what is said of it: a file, and the place in it.
    """

    name: int | str
    path: str
    height: int
    width: int
    instances: list
    extra: dict = dataclasses.field(default_factory=dict)
    entry: str = ""


def values_of(path, read=None):
    """The number of each pixel of a `MaskFile`, [H, W]."""
    return (read or read_labels)(path)


def instance_code(instance, size, name, values=values_of):
    """The compressed run-length code of an instance; one without an outline has its box.

    Args:
        instance: `Instance`.
        size: list, height and width of its picture.
        name: str, what an error calls it.
        values: function as `values_of`.

    Raises:
        ValueError: its code or mask file has another size, or is none.
    """
    parts = instance.parts
    if not parts:
        y1, x1, y2, x2 = instance.box
        parts = [[[x1, y1, x2, y1, x2, y2, x1, y2]]]
    drawn = [_file_code(x, values) if isinstance(x, MaskFile) else x for x in parts]
    code = parts_code(drawn, *size, name)
    if list(code["size"]) != list(size):
        if not instance.crowd:
            raise ValueError(
                f"{name}: expected a mask of the image's size {size}, received "
                f"{list(code['size'])}. Correct the annotation."
            )
        code = mask_utils.encode(np.ones(size, np.uint8, order="F"))
    return code


def _file_code(part, values):
    found = values(part.path, part.read)
    mask = found != 0 if part.value is None else found == part.value
    return mask_utils.encode(np.asfortranarray(mask, np.uint8))
