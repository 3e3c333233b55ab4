"""Outlines of masks along the edges of their pixels.

A ring is float `[P, 2]`, x and y of its corners in pixels, the first one not repeated: the pixel of
row 0 and column 0 reaches from 0, 0 to 1, 1.
"""

import numpy as np
from skimage.measure import find_contours

from mrcnn.image.masks import extract_bboxes


def trace_mask(mask):
    """Traces a mask: filled by the even-odd rule, the rings are the mask again, pixel for pixel.

    Pixels that meet at a corner only belong to different rings.

    Args:
        mask: bool array `[H, W]`.

    Returns:
        list of rings: what is outside runs clockwise as one sees it, `signed_area` > 0, and holes
        run the other way; empty for a mask without a pixel.

    Example:

    >>> trace_mask(np.ones((1, 2), bool))[0].tolist()
    [[2.0, 1.0], [0.0, 1.0], [0.0, 0.0], [2.0, 0.0]]
    """
    y1, x1, y2, x2 = extract_bboxes(mask[:, :, None])[0]
    padded = np.pad(mask[y1:y2, x1:x2], 1).astype(np.float32)
    # Half way between the centres of two pixels lies the middle of the edge that they share.
    contours = find_contours(padded, 0.5) if padded.any() else []
    return [_corners(middles[:-1]) + np.array([x1, y1]) for middles in contours]


def signed_area(ring):
    """The area of a ring by the shoelace formula: below 0 for a hole."""
    x, y = np.asarray(ring, float).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _corners(middles):
    """The ring of pixel edges whose middles follow one another: row, column in a padded mask."""
    middles = middles - 0.5  # the first pixel's centre was at 1, 1 and is to be at 0.5, 0.5
    doubled = np.rint(2 * middles).astype(int)  # along an edge odd, across it even
    before = np.roll(doubled, 1, axis=0)
    # Two edges that follow one another share a corner, whose coordinates are whole: of an edge and
    # one across it each gives one of them; of two in line it lies half way.
    middle = (doubled + before) // 2
    corners = np.where(doubled % 2 == 0, doubled, np.where(before % 2 == 0, before, middle)) // 2
    steps = np.roll(corners, -1, axis=0) - corners
    turns = (steps != np.roll(steps, 1, axis=0)).any(axis=1)
    return corners[turns][:, ::-1].astype(float)
