"""The objects of Pascal VOC's XML files."""

import math
import re

from mrcnn.data.annotations.instances import Instance
from mrcnn.data.annotations.shapes import ring

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_objects(root, size, one_based, where, notes):
    """The `Instance`s of an XML file: boxes, or outlines where an object has a polygon.

    Args:
        root: `Element`, the annotation of a picture.
        size: (height, width) of the picture; what lies outside of a box is cut off.
        one_based: bool, whether the first pixel is 1; see `VocDataset.read`.
        where: str, what an error calls the file.
        notes: `Notes`.
    """
    instances = []
    for i, element in enumerate(root.findall("object")):
        name = f"object {i}"
        at = f"{where}, {name}"
        with notes.entry():
            if _text(element, "deleted") == "1":
                notes.leave_out("objects that their tool has marked as deleted are left out", at)
                continue
            category = _text(element, "name")
            if not category:
                raise ValueError(f"{at}: expected a class in <name>, received none; write one")
            parts, box = _parts_and_box(element, size, one_based, at)
            instances.append(Instance(category, parts, box, name=name, extra=_facts(element)))
    return instances


def _text(element, tag):
    return (element.findtext(tag) or "").strip()


def _facts(element):
    """What else is said of an object: difficult, truncated, pose, ..."""
    leaves = {x.tag: (x.text or "").strip() for x in element if not len(x) and x.tag != "name"}
    return {tag: int(x) if re.fullmatch(r"\d{1,9}", x) else x for tag, x in leaves.items()}


def _parts_and_box(element, size, one_based, where):
    polygon, box = element.find("polygon"), element.find("bndbox")
    if polygon is not None and len(polygon):
        return [[_polygon(polygon, one_based, where)]], None
    if box is None:
        raise ValueError(
            f"{where}: expected <bndbox> or <polygon>, received "
            f"{', '.join(f'<{x.tag}>' for x in element)[:80]}; draw one, or remove the object"
        )
    x1, y1, x2, y2 = (_number(box, tag, where) for tag in _CORNERS)
    first = 1 if one_based else 0
    x1, y1, x2, y2 = max(x1 - first, 0), max(y1 - first, 0), min(x2, size[1]), min(y2, size[0])
    if not (x1 < x2 and y1 < y2):
        received = ", ".join(f"{tag} {_text(box, tag)[:20]}" for tag in _CORNERS)
        raise ValueError(
            f"{where}: expected a box inside of the picture, {size[1]} x {size[0]} pixels, with "
            f"xmin, ymin before xmax, ymax; received {received}; draw it anew"
        )
    return [], (y1, x1, y2, x2)


def _number(element, tag, where):
    text = _text(element, tag)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"{where}: expected a number in <{tag}> of <{element.tag}>, received {text[:40]!r}"
        )
    return number


def _polygon(element, one_based, where):
    """The ring of <x1>, <y1>, <x2>, ..., or of LabelMe's <pt>, which count from 0."""
    points = element.findall("pt")
    if points:
        points = [(_number(x, "x", where), _number(x, "y", where)) for x in points]
    else:
        numbers = sorted(int(x.tag[1:]) for x in element if re.fullmatch(r"x\d{1,9}", x.tag))
        first = 1 if one_based else 0
        points = [
            tuple(_number(element, f"{axis}{i}", where) - first for axis in "xy") for i in numbers
        ]
    try:
        return ring(points)
    except ValueError as error:
        raise ValueError(f"{where}: a polygon: {error}; draw it anew") from None
