"""What annotation files say of a picture, in one form for all formats.

Shape legend: H, W size in pixels; P points of a ring. Coordinates are pixels of the picture as a
viewer shows it, 0 at its left and upper edge: the first pixel reaches from 0 to 1.
"""

import dataclasses
from collections.abc import Callable


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
