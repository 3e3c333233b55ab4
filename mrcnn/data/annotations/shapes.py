"""Shapes that annotators draw, as rings [x, y, x, y, ...] in pixels.

All raise ValueError for what makes no shape: too few points, sides of nothing, coordinates that are
no finite numbers.
"""

import itertools
import math

ARC_ERROR = 0.02  # pixels that a ring may lie inside of the arc that it stands for
LARGEST_RADIUS = 1e5  # of an arc that is that exact: a larger one has no more points


def points_of(pairs):
    """Points (x, y) of a list of lists [x, y]."""
    if not isinstance(pairs, list) or not all(isinstance(x, list) and len(x) == 2 for x in pairs):
        raise ValueError(f"expected a list of points [x, y], received {str(pairs)[:80]}")
    return [(number(x), number(y)) for x, y in pairs]


def ring(points):
    """A polygon of points (x, y)."""
    if len(points) < 3:
        raise ValueError(f"expected at least 3 points, received {len(points)}")
    return [number(value) for x, y in points for value in (x, y)]


def box_of(x, y, width, height):
    """The box (y1, x1, y2, x2) of an upright rectangle, from its left upper corner."""
    x, y, width, height = number(x), number(y), _side(width), _side(height)
    return y, x, y + height, x + width


def box_between(corner, opposite):
    """The box (y1, x1, y2, x2) of an upright rectangle, from two opposite corners (x, y)."""
    (x1, y1), (x2, y2) = ((number(x), number(y)) for x, y in (corner, opposite))
    top, left, bottom, right = min(y1, y2), min(x1, x2), max(y1, y2), max(x1, x2)
    box_of(left, top, right - left, bottom - top)  # it has sides
    return top, left, bottom, right


def rectangle(x, y, width, height, turn=0):
    """A rectangle from its left upper corner, around which it is turned clockwise by degrees."""
    x, y, width, height = number(x), number(y), _side(width), _side(height)
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    corners = (0, 0), (width, 0), (width, height), (0, height)
    return [z for u, v in corners for z in (x + cos * u - sin * v, y + sin * u + cos * v)]


def circle(x, y, radius):
    """A circle around a point."""
    return ellipse(x, y, radius, radius)


def ellipse(x, y, radius_x, radius_y, turn=0):
    """An ellipse around a point, turned clockwise by degrees."""
    x, y, radius_x, radius_y = number(x), number(y), _side(radius_x), _side(radius_y)
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    count = _arc_points(max(radius_x, radius_y))
    ring = []
    for i in range(count):
        angle = 2 * math.pi * i / count
        u, v = radius_x * math.cos(angle), radius_y * math.sin(angle)
        ring += [x + cos * u - sin * v, y + sin * u + cos * v]
    return ring


def stroke(points, width):
    """The parts of a line through points (x, y) of a width, its ends and joints round."""
    points = [(number(x), number(y)) for x, y in points]
    if len(points) < 2:
        raise ValueError(f"expected at least 2 points of a line, received {len(points)}")
    parts = [[circle(*point, width / 2)] for point in points]
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        length = math.hypot(x2 - x1, y2 - y1)
        if length:
            u, v = width / 2 * (y1 - y2) / length, width / 2 * (x2 - x1) / length
            parts.append([[x1 + u, y1 + v, x2 + u, y2 + v, x2 - u, y2 - v, x1 - u, y1 - v]])
    return parts


def _arc_points(radius):
    if radius <= ARC_ERROR:
        return 4
    step = 2 * math.acos(1 - ARC_ERROR / min(radius, LARGEST_RADIUS))
    return max(16, math.ceil(2 * math.pi / step))


def number(value):
    """The value, if it is a finite number."""
    try:
        finite = not isinstance(value, bool) and math.isfinite(value)
    except (TypeError, OverflowError):  # a text, or an int that no float holds
        finite = False
    if not finite:
        raise ValueError(f"expected a finite number, received {str(value)[:40]}")
    return value


def _side(value):
    if number(value) <= 0:
        raise ValueError(f"expected a side or radius above 0, received {value!r}")
    return value
