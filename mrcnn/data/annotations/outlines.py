"""Outlines of objects, polygons and run-length codes in many forms, as pycocotools' codes."""

import functools
import json
import math
import operator

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.tracing import bridge


def outline_parts(value, name):
    """The parts of an outline: list of polygons [x, y, x, y, ...] and of run-length codes (dict).

    Args:
        value: a `segmentation`: one polygon or code, or a list of them at any depth; a polygon is
            a list of numbers or of [x, y]; all that may be JSON in a text.
        name: str, what an error calls the annotation.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(
                f"{name}: expected polygons, received the text {value[:40]!r}"
            ) from None
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise ValueError(f"{name}: expected polygons, received {str(value)[:40]}")
    if not value or not isinstance(value[0], (list, dict, str)):
        if len(value) % 2:
            raise ValueError(f"{name}: expected x and y in turn, received {len(value)} numbers")
        return [value]
    pairs = all(isinstance(x, list) and len(x) == 2 for x in value)
    if pairs and len(value) >= 3 and not any(isinstance(x[0], list) for x in value):
        return [[number for pair in value for number in pair]]
    return [part for item in value for part in outline_parts(item, name)]


def to_code(segmentation, height, width, name):
    """The run-length code of an outline, the union of its parts; a code brings its own size.

    Args:
        segmentation: see `outline_parts`.
        height, width: of the image; what lies far outside is cut off.
        name: str, what an error calls the annotation.

    Returns:
        dict: `size` [height, width] and `counts`, compressed.

    Raises:
        ValueError: a coordinate is no finite number, or a code does not fill its size.
    """
    parts = outline_parts(segmentation, name) if segmentation else []
    return parts_code([x if isinstance(x, dict) else [x] for x in parts], height, width, name)


def text_code(code):
    """A compressed run-length code as JSON holds it: its counts a text, not bytes."""
    counts = code["counts"]
    counts = counts if isinstance(counts, str) else counts.decode("ascii")
    return {"size": [int(side) for side in code["size"]], "counts": counts}


def parts_code(parts, height, width, name):
    """The run-length code of the union of an instance's parts; a code brings its own size.

    Args:
        parts: list of rings and of codes, see `mrcnn.data.annotations.instances.Instance`.
        height, width, name: as of `to_code`.

    Returns, Raises: as `to_code`.
    """
    codes, polygons = [], []
    for part in parts:
        if isinstance(part, dict):
            codes.append(_checked_code(part, name))
            continue
        near = [_near(ring, height, width, name) for ring in part if len(ring) >= 6]
        near = [ring for ring in near if len(ring) >= 6]  # two points have no area
        polygons += [bridge(near)] if near else []
    codes += mask_utils.frPyObjects(polygons, height, width) if polygons else []
    if not codes:
        return mask_utils.encode(np.zeros((height, width), np.uint8, order="F"))
    if len({tuple(code["size"]) for code in codes}) > 1:
        sizes = [list(code["size"]) for code in codes]
        raise ValueError(f"{name}: expected parts of one size, received {sizes}")
    return codes[0] if len(codes) == 1 else mask_utils.merge(codes)


def check_numbers(polygon, name):
    """Raises ValueError unless a polygon [x, y, x, y, ...] holds finite numbers alone."""
    try:
        finite = math.isfinite(sum(polygon))  # nan and inf stay so in a sum
    except (TypeError, OverflowError):  # a text, or an int that no float holds
        finite = False
    if not finite:
        raise ValueError(f"{name}: expected finite coordinates, received {str(polygon)[:80]}")


def _near(polygon, height, width, name):
    """The polygon without what lies far outside of the image."""
    check_numbers(polygon, name)
    far = 2 * max(height, width)
    if max(polygon) <= far and min(polygon) >= -far:
        return polygon
    # pycocotools takes memory for each pixel that an outline passes, outside the image too.
    points = np.reshape(np.asarray(polygon, np.float64), (-1, 2))
    return _cut(points, -far, far).ravel().tolist()


def _cut(points, low, high):
    """The part of a polygon [N, 2] within low..high of both axes (Sutherland and Hodgman 1974)."""
    for axis in (0, 1):
        for bound, sign in ((low, 1), (high, -1)):
            kept = []
            for start, end in zip(np.roll(points, 1, axis=0), points, strict=True):
                inside = sign * (np.array([start[axis], end[axis]]) - bound) >= 0
                if inside[0] != inside[1]:
                    share = (bound - start[axis]) / (end[axis] - start[axis])
                    kept.append(start + share * (end - start))
                if inside[1]:
                    kept.append(end)
            points = np.array(kept).reshape(-1, 2)
    return points


def _checked_code(code, name):
    size, counts = code.get("size"), code.get("counts")
    try:
        height, width = (operator.index(side) for side in size)
        if isinstance(counts, list):
            full = _fill(map(operator.index, counts), height * width)
        else:
            full = _compressed_fill(counts, height * width)
    except (TypeError, ValueError, IndexError):
        full = False
    if not full:
        raise ValueError(
            f"{name}: expected a run-length code whose runs fill its size {size}, received "
            f"{str(counts)[:60]}"
        )
    return mask_utils.frPyObjects(code, height, width) if isinstance(counts, list) else code


def _fill(runs, pixels):
    runs = list(runs)
    return min(runs, default=0) >= 0 and sum(runs) == pixels


@functools.lru_cache(maxsize=2**17)  # a code is checked when it is read, not at each epoch again
def _compressed_fill(counts, pixels):
    return _fill(run_lengths(counts), pixels)


def run_lengths(counts):
    """The runs of a compressed code: 5 bits a character, from the third run on differences."""
    text = counts.encode() if isinstance(counts, str) else counts
    runs, place = [], 0
    while place < len(text):
        value = shift = 0
        more = True
        while more:
            character = text[place] - 48
            value |= (character & 31) << shift
            shift, place, more = shift + 5, place + 1, character & 32
        if character & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
