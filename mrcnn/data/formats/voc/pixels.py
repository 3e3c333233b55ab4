"""Pascal VOC's pictures of instances and of classes.

A pixel is a number: the index of a palette, or the colour that VOC's palette has for it. 255 is
void: pixels of a border or of what is too difficult to tell; they belong to no instance.

Shape legend: H, W size in pixels.
"""

import dataclasses
import functools
import os

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.instances import Instance, MaskFile
from mrcnn.data.annotations.label_files import read_labels
from mrcnn.data.annotations.text_files import read_text

VOID = 255
OVERLAP = 0.5  # of a box and of the pixels of an instance, over their union, for them to be one
CLASSES = ["background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"]
CLASSES += ["chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"]
CLASSES += ["sheep", "sofa", "train", "tvmonitor"]


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """What the pixels of `SegmentationClass` mean.

    Args:
        names: list of the names of the classes by their numbers, the background first.
        colors: dict of numbers by colours (red, green, blue).
        declared: bool, whether a file of the data set says so; else they are VOC's.
    """

    names: list
    colors: dict
    declared: bool


def class_map(root):
    """The `ClassMap` of a data set: of `labelmap.txt`, as datumaro and CVAT write it, of
    `class_names.txt`, as labelme does, or VOC's.

    Raises:
        ValueError: names the file.
    """
    path = root / "labelmap.txt"
    if path.is_file():
        names, colors = [], {}
        for line in read_text(path).splitlines():
            if line.strip() and not line.startswith("#"):
                name, color, *_ = [*line.split(":"), ""]
                own = _color(color, path, line) if color.strip() else _palette(len(names))
                colors[own] = len(names)
                names.append(name.strip())
        return ClassMap(names, {_palette(VOID): VOID} | colors, True)
    path = root / "class_names.txt"
    if path.is_file():
        return ClassMap([x.strip() for x in read_text(path).splitlines()], _colors(), True)
    return ClassMap(CLASSES, _colors(), False)


def _color(text, path, line):
    try:
        red, green, blue = map(int, text.split(","))
    except ValueError:
        raise ValueError(
            f"{path}: expected name:red,green,blue:parts:actions, received {line[:80]!r}"
        ) from None
    return red, green, blue


def _palette(number):
    """The colour of a number: its bits 0, 3, 6 are the upper ones of red, 1, 4, 7 of green, ..."""
    return tuple(
        sum((number >> (3 * i + channel) & 1) << (7 - i) for i in range(3)) for channel in range(3)
    )


@functools.cache
def _colors():
    return {_palette(number): number for number in range(256)}


def _read_numbers(path, size, colors):
    """The number of each pixel, int [H, W], and whether they are those of `read_labels`."""
    image = _opened(path)
    by_color = image.mode in ("RGB", "RGBA") or (image.mode == "P" and colors is not _colors())
    labels = _by_color(image, path, colors) if by_color else read_labels(path)
    if labels.shape != tuple(size):
        raise ValueError(
            f"{path}: expected the size of its picture, {list(size)}, received "
            f"{list(labels.shape)}; draw it on the picture as it is"
        )
    return labels, not by_color


def _opened(path):
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: expected a picture, but it cannot be read ({error})") from error


def _by_color(image, path, colors):
    pixels = np.array(image.convert("RGB")).astype(np.int64)
    flat, places = np.unique(pixels @ [1 << 16, 1 << 8, 1], return_inverse=True)
    used = [(int(x) >> 16, int(x) >> 8 & 255, int(x) & 255) for x in flat]
    unknown = [color for color in used if color not in colors]
    if unknown:
        raise ValueError(
            f"{path}: expected colours of VOC's palette or of labelmap.txt, received {unknown[0]}"
        )
    return np.array([colors[color] for color in used])[places].reshape(pixels.shape[:2])


def segmented(place, stem, objects, size, classes, notes):
    """The `Instance`s of a picture that has a file in `SegmentationObject`.

    Each has the class of most of its pixels in `SegmentationClass`; where there is no such file,
    or it is not known what its numbers mean, that of the box of the XML file which meets it. That
    box also says what else is known of it. An object of the XML file that has no pixels stays what
    it is; a difficult one is void there, and told.

    Args:
        place: `mrcnn.data.formats.voc.layout.Place`.
        stem: str, the name of the picture without suffix.
        objects: list of `Instance`s of the XML file; None without one.
        size: (height, width) of the picture.
        classes: `ClassMap`.
        notes: `Notes`.

    Raises:
        ValueError: names the file.
    """
    path = place.root / "SegmentationObject" / f"{stem}.png"
    numbers, is_file = _read_numbers(path, size, _colors())
    class_path = place.root / "SegmentationClass" / f"{stem}.png"
    known = classes.declared or {x.category for x in objects or []} <= set(classes.names)
    pixels = None
    if os.path.isfile(class_path) and known:
        pixels, _ = _read_numbers(class_path, size, classes.colors)
    left, instances = list(objects or []), []
    for value in np.unique(numbers).tolist():
        is_void = value == VOID and (numbers.itemsize == 1 or not is_file)
        if value == 0 or is_void:
            continue
        mask = numbers == value
        with notes.entry():
            category = (
                None if pixels is None else _class_of(pixels[mask], classes, class_path, value)
            )
            match = _match(mask, left, category)
            if not (match or category):
                raise ValueError(
                    f"{path}, instance {value}: expected its class in {class_path}, or a box of "
                    "the XML file around it, found neither"
                )
            left = [each for each in left if each is not match]
            code = MaskFile(str(path), value) if is_file else None
            part = code or mask_utils.encode(np.asfortranarray(mask, np.uint8))
            extra, name = match.extra if match else {}, f"instance {value}"
            instances.append(Instance(category or match.category, [part], name=name, extra=extra))
    return instances + _without_difficult(left, stem, notes)


def _without_difficult(objects, stem, notes):
    """Objects that have no pixels, but those that are difficult: these are void there."""
    for each in objects:
        if each.extra.get("difficult") == 1:
            notes.leave_out(
                "difficult objects of XML files without pixels in SegmentationObject are left out",
                f"{stem}, {each.name}",
            )
    return [x for x in objects if x.extra.get("difficult") != 1]


def _class_of(pixels, classes, path, value):
    """The class of most pixels of an instance that are neither background nor void."""
    values, counts = np.unique(pixels[(pixels != 0) & (pixels != VOID)], return_counts=True)
    number = int(values[counts.argmax()]) if len(values) else 0
    if not 0 < number < len(classes.names) or not classes.names[number]:
        raise ValueError(
            f"{path}: expected a class from 1 to {len(classes.names) - 1} where instance {value} "
            f"is, received {number}; correct it, or name the classes in labelmap.txt"
        )
    return classes.names[number]


def _match(mask, objects, category):
    """The object whose box meets that of a mask best, or None."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    fitting = [x for x in objects if x.box and category in (None, x.category)]
    best = max(fitting, key=lambda x: _overlap(x.box, box), default=None)
    return best if best and _overlap(best.box, box) >= OVERLAP else None


def _overlap(one, other):
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(height, 0) * max(width, 0)
    areas = ((x[2] - x[0]) * (x[3] - x[1]) for x in (one, other))
    return shared / (sum(areas) - shared)
