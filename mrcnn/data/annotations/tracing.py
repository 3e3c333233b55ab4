"""Outlines of masks as annotations have them: parts of several rings, or one ring for all.

Shape legend: H, W size in pixels; P points of a ring.
"""

from skimage.measure import label

from mrcnn.image.tracing import signed_area, trace_mask


def trace(mask):
    """The parts of a mask, as lists of rings [x, y, x, y, ...] along the edges of its pixels.

    Drawn again they give the same mask.

    Args:
        mask: bool [H, W].

    Returns:
        list of parts, one for each group of pixels that share sides; the first ring of a part is
        its outer border, the others are its holes.
    """
    groups = label(mask, connectivity=1)
    parts = {}
    for ring in trace_mask(mask):
        parts.setdefault(_group_of(groups, ring), []).append(ring)
    return [
        [ring.ravel().tolist() for ring in sorted(rings, key=signed_area, reverse=True)]
        for rings in parts.values()
    ]


def _group_of(groups, ring):
    """The number of the pixels that a ring is the border of: one of the two at its first edge."""
    (x1, y1), (x2, y2) = ring[:2].astype(int)
    x, y = min(x1, x2), min(y1, y2)
    pixels = ((y, x), (y - 1, x)) if y1 == y2 else ((y, x), (y, x - 1))
    height, width = groups.shape
    inside = (groups[pixel] for pixel in pixels if 0 <= pixel[0] < height and 0 <= pixel[1] < width)
    return max(inside)


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
