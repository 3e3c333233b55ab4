"""The shapes of CVAT's XML."""

import math

import numpy as np

from mrcnn.data.annotations.embedded import placed_code
from mrcnn.data.annotations.shapes import box_between, ellipse, number, rectangle, ring, stroke

DRAWN = ("box", "polygon", "polyline", "ellipse", "mask")


def parts_and_box(element, size, line_width):
    """The parts of a shape, or of an upright box the box, as `Instance` has them.

    Args:
        element: of XML, with a tag of `DRAWN`.
        size: (height, width) of the picture.
        line_width: float, pixels, of polylines.

    Raises:
        ValueError: its attributes make no shape.
    """
    if element.tag == "mask":
        return [_mask_code(element, size)], None
    if element.tag == "box":
        return _box(element)
    if element.tag == "ellipse":
        values = (_number(element, key) for key in ("cx", "cy", "rx", "ry"))
        return [[ellipse(*values, _turn(element))]], None
    if element.tag == "polygon":
        return [[ring(_points(element))]], None
    return stroke(_points(element), line_width), None


def _box(element):
    """A box that is turned is turned around its middle."""
    left, top, right, bottom = (_number(element, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    turn = _turn(element)
    if not turn:
        return [], box_between((left, top), (right, bottom))
    width, height = right - left, bottom - top
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    x = (left + right) / 2 - cos * width / 2 + sin * height / 2
    y = (top + bottom) / 2 - sin * width / 2 - cos * height / 2
    return [[rectangle(x, y, width, height, turn)]], None


def _turn(element):
    return _number(element, "rotation") if element.get("rotation") else 0


def _number(element, key):
    if key not in element.attrib:
        raise ValueError(f"expected the attribute {key}, received {sorted(element.attrib)}")
    return number(float(element.get(key)))


def _points(element):
    text = element.get("points", "")
    try:
        return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split(";"))]
    except ValueError:
        raise ValueError(f"expected points 'x,y;x,y;...', received {text[:80]!r}") from None


def _mask_code(element, size):
    """Runs over the rows of a box, of which the first is background."""
    height, width = size
    text = element.get("rle", "")
    try:
        runs = [int(run) for run in text.split(",")]
        left, top, w, h = (int(element.get(key)) for key in ("left", "top", "width", "height"))
    except (TypeError, ValueError):
        raise ValueError(
            f"expected whole numbers as left, top, width, height and rle, received {text[:80]!r}"
        ) from None
    if not (0 < w <= width and 0 < h <= height):
        raise ValueError(f"expected a mask inside of {height} x {width}, received {h} x {w}")
    if min(runs) < 0 or sum(runs) != w * h:
        raise ValueError(f"expected runs of {h} x {w} pixels, received {text[:80]!r}")
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(h, w)
    return placed_code(mask, top, left, height, width)
