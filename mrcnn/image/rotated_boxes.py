"""Rotated boxes of masks: the smallest rectangle around the pixels, at any angle.

Shape legend: H, W size in pixels; P corners of a hull. Points are y, x in pixels: the pixel of row
0 and column 0 reaches from 0, 0 to 1, 1.
"""

import numpy as np
from scipy.spatial import ConvexHull

_DIGITS = 6  # of an area, beyond which two rectangles are equally large


def min_area_rect(mask):
    """The rectangle of least area around a mask, whose side lies along one of its convex hull's
    (Freeman and Shapira 1975).

    Args:
        mask: bool `[H, W]`.

    Returns:
        float `[4, 2]`, y and x of its corners, clockwise as one sees them, the topmost first and of
        two the left one; they may lie outside the image. Zeros for a mask without a pixel.

    Example:

    >>> min_area_rect(np.ones((1, 2), bool)).tolist()
    [[0.0, 0.0], [0.0, 2.0], [1.0, 2.0], [1.0, 0.0]]
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return np.zeros((4, 2))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    sides = [(y, x) for y in (rows, rows + 1) for x in (left, right)]
    points = np.concatenate([np.stack(side, axis=1) for side in sides]).astype(float)
    points = points[ConvexHull(points).vertices]  # [P, 2]
    edges = np.roll(points, -1, axis=0) - points
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    axes = np.stack([along, along[:, ::-1] * (1, -1)], axis=1)  # [P, 2, 2], perpendicular
    places = axes @ points.T  # [P, 2, P]: how far each point lies along each axis
    low, high = places.min(axis=2), places.max(axis=2)
    best = np.argmin(np.prod(high - low, axis=1).round(_DIGITS))
    (a1, b1), (a2, b2) = low[best], high[best]
    corners = np.array([(a1, b1), (a1, b2), (a2, b2), (a2, b1)]) @ axes[best]
    return _in_order(corners)


def _in_order(corners):
    """Corners in their order around a rectangle, clockwise from the topmost, of two the left."""
    (down, across), (down_next, across_next) = np.diff(corners[:3], axis=0)
    if across * down_next - down * across_next < 0:
        corners = corners[::-1]
    first = np.lexsort(corners.round(_DIGITS).T[::-1])[0]
    return np.roll(corners, -first, axis=0)
