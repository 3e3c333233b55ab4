"""Lines of YOLO's label files: a class and fractions of the picture's sides.

A vertex and its fraction: 2 / 3 of 30 pixels is 20 only after rounding, and where a vertex lies
decides on a pixel. Read fractions are therefore rounded to `DIGITS` of a pixel, which brings back
every vertex with as many; of another one, which would fall to the other side of a border between
the places that pycocotools tells apart, the middle of its place is written.
"""

import math

from mrcnn.data.annotations.instances import Instance

DIGITS = 6  # of pixels
_PLACES = 5  # of a pixel along a side, between which pycocotools' outlines tell
_FAR = 1  # sides that an object may reach beyond its picture; more are pixels, not fractions


def read_line(line, names, size, keypoints, name, where):
    """The `Instance` of a line: a class and a box (center, width, height), or a polygon.

    Args:
        line: str.
        names: list of the names of the classes, or None: the numbers are the names.
        size: (height, width) in pixels.
        keypoints: (points, numbers of each) that follow a box; None of other data sets.
        name: str, of the instance.
        where: str, what an error calls the line.

    Raises:
        ValueError: it is no such line.
    """
    texts = line.split()
    category = _category(texts[0], names, where)
    try:
        numbers = [float(text) for text in texts[1:]]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{where}: expected numbers after the class, received {line[:80]!r}")
    extra = {}
    if keypoints and len(numbers) == 4 + math.prod(keypoints):
        numbers, extra = numbers[:4], {"keypoints": _points(numbers[4:], keypoints[1], size)}
    _check(numbers, line, where)
    if len(numbers) == 4:
        return Instance(category, box=_box(numbers, size, line, where), name=name, extra=extra)
    height, width = size
    ring = [pixels(x, height if i % 2 else width) for i, x in enumerate(numbers)]
    return Instance(category, [[ring]], name=name)


def _points(numbers, each, size):
    """COCO's list x y v in pixels, of x y and perhaps v in sides of the picture."""
    height, width = size
    found = []
    for i in range(0, len(numbers), each):
        x, y, v = (*numbers[i : i + each], 2)[:3]
        found += [x * width, y * height, v]
    return found


def _category(text, names, where):
    try:
        number = float(text)
        number = int(number) if number.is_integer() and number >= 0 else None
    except (ValueError, OverflowError):
        number = None
    if number is None or (names and number >= len(names)):
        known = f"from 0 to {len(names) - 1}" if names else "from 0 on"
        raise ValueError(
            f"{where}: expected the number of a class {known}, received {text[:40]!r}; correct it, "
            "or the names of the data set"
        )
    return names[number] if names else str(number)


def _check(numbers, line, where):
    count = len(numbers)
    if count < 4 or count % 2:
        more = " One more is the confidence of a detection, or the number of a track: save without"
        raise ValueError(
            f"{where}: expected a class and a box of 4 numbers, or a polygon of at least 3 points, "
            f"received {count} numbers after the class in {line[:80]!r}."
            + (more if count > 4 else "")
        )
    if min(numbers) < -_FAR or max(numbers) > 1 + _FAR:
        raise ValueError(
            f"{where}: expected fractions of the picture's sides, 0 to 1, received {line[:80]!r}; "
            "divide pixels by the width (x) and the height (y)"
        )


def _box(numbers, size, line, where):
    x, y, width, height = numbers
    (x1, x2), (y1, y2) = span_pixels(x, width, size[1]), span_pixels(y, height, size[0])
    if not (x1 < x2 and y1 < y2):
        raise ValueError(
            f"{where}: expected a box (x and y of its center, width, height) that covers something "
            f"of the picture, received {line[:80]!r}"
        )
    return y1, x1, y2, x2


def pixels(share, side):
    """The coordinate of a fraction of a side."""
    return round(share * side, DIGITS)


def span_pixels(center, length, side):
    """Both ends of a box along a side, cut off at the border."""
    low, high = center - length / 2, center + length / 2
    return pixels(max(low, 0.0), side), pixels(min(high, 1.0), side)


def share_of(coordinate, side):
    """The fraction of a side that reads back as a coordinate inside of it, or in its place."""
    share = coordinate / side
    if _place(pixels(share, side)) == _place(coordinate):
        return share
    return _place(coordinate) / _PLACES / side


def span_shares(low, high, side):
    """Center and length of a box along a side, as fractions that read back as its ends, or in
    their places; what lies outside is cut off."""
    low, high = max(low, 0), min(high, side)
    wanted = _place(low), _place(high)
    exact = (low + high) / 2 / side, (high - low) / side
    if tuple(map(_place, span_pixels(*exact, side))) == wanted:
        return exact
    low, high = (place / _PLACES for place in wanted)
    return (low + high) / 2 / side, (high - low) / side


def _place(coordinate):
    return int(_PLACES * coordinate + 0.5)
