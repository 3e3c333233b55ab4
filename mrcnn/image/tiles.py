"""Where the tiles of a large image lie.

A region is `y1, x1, y2, x2` in pixels of the image, half-open.
"""

import itertools
import math


def tile_regions(height, width, size, overlap):
    """Cuts an image into tiles of one size, evenly spread, row by row.

    Args:
        height, width: of the image.
        size: int, the side of a tile; along a shorter side of the image, that is its side.
        overlap: int, the least that two neighbours share.

    Returns:
        list of regions, which cover the image.

    Example:

    >>> tile_regions(100, 250, 100, 20)
    [(0, 0, 100, 100), (0, 75, 100, 175), (0, 150, 100, 250)]
    """
    rows, columns = (_spans(side, size, overlap) for side in (height, width))
    return [(y1, x1, y2, x2) for (y1, y2), (x1, x2) in itertools.product(rows, columns)]


def _spans(side, size, overlap):
    if side <= size:
        return [(0, side)]
    steps = math.ceil((side - size) / (size - overlap))
    starts = [round(i * (side - size) / steps) for i in range(steps + 1)]
    return [(start, start + size) for start in starts]


def shared_region(first, second):
    """The region that two regions share, or None."""
    y1, x1 = max(first[0], second[0]), max(first[1], second[1])
    y2, x2 = min(first[2], second[2]), min(first[3], second[3])
    return (y1, x1, y2, x2) if y1 < y2 and x1 < x2 else None
