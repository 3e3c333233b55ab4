"""Outlines of masks along the borders of their pixels: drawn again they give the same mask.

Shape legend: H, W size in pixels; P points of a ring, x and y.
"""

import numpy as np
from skimage.measure import label

# The sides of a pixel at (x, y) whose other side is background, walked with the pixel on the right:
# where a step along y and x leads to the neighbour, start and end.
_SIDES = (
    ((-1, 0), (0, 0), (1, 0)),
    ((0, 1), (1, 0), (1, 1)),
    ((1, 0), (1, 1), (0, 1)),
    ((0, -1), (0, 1), (0, 0)),
)


def trace(mask):
    """The parts of a mask, as lists of rings [x, y, x, y, ...] with whole numbers.

    Args:
        mask: bool [H, W].

    Returns:
        list of parts, one for each group of pixels that share sides; the first ring of a part is
        its outer border, the others are its holes.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    top, left = rows[0], columns[0]
    inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]  # a small object of a large picture
    labels = np.pad(label(inside, connectivity=1), 1)
    sides = _sides(labels)
    parts = {}
    while sides:
        part, ring = _walk(sides)
        ring = np.add(ring, (left - 1, top - 1))  # less the padding
        along = np.roll(ring, -1, axis=0) - ring
        corners = ring[(along != np.roll(along, 1, axis=0)).any(axis=1)]
        parts.setdefault(part, []).append(corners)
    return [_outer_first(rings) for rings in parts.values()]


def _sides(labels):
    """By the start of a side its ends and the parts that they belong to; two at most."""
    sides = {}
    for (step_y, step_x), start, end in _SIDES:
        beyond = np.roll(labels, (-step_y, -step_x), axis=(0, 1))
        ys, xs = np.nonzero((labels > 0) & (beyond == 0))
        rows = zip(xs.tolist(), ys.tolist(), labels[ys, xs].tolist(), strict=True)
        for x, y, part in rows:
            origin = x + start[0], y + start[1]
            sides.setdefault(origin, []).append(((x + end[0], y + end[1]), part))
    return sides


def _walk(sides):
    """Takes one ring out of the sides; returns its part and its points."""
    start = point = next(iter(sides))
    ring, before, part = [], None, None
    while point != start or not ring:
        choices = sides[point]
        taken = 0
        if len(choices) == 2 and before is not None:
            # Two pixels meet at a corner: a turn to the right stays with the one that is walked.
            right = point[0] - (point[1] - before[1]), point[1] + (point[0] - before[0])
            taken = int(choices[0][0] != right)
        (ahead, owner) = choices.pop(taken)
        if not choices:
            del sides[point]
        part = part or owner
        ring.append(point)
        before, point = point, ahead
    return part, ring


def _outer_first(rings):
    """Flat rings; the outer one reaches furthest to the left, as holes lie inside of it."""
    rings = sorted(rings, key=lambda ring: ring[:, 0].min())
    return [ring.ravel().tolist() for ring in rings]


def bridge(rings):
    """One ring that fills what several do by the even-odd rule.

    From the first point of the first ring a line goes to each other one, and back on itself.

    Args:
        rings: list of [x, y, x, y, ...].

    Returns:
        list [x, y, x, y, ...].
    """
    first, *others = rings
    joined = [*first, *first[:2]] if others else list(first)
    for ring in others:
        joined += [*ring, *ring[:2], *first[:2]]
    return joined
