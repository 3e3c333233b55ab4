"""How large the objects of a picture are, and how much larger it has to be to bring them to a size.

The size of an object is the square root of the area of its box, in pixels.
"""

import numpy as np

LIMITS = 0.25, 4.0  # of how much larger or smaller a picture becomes for the size of its objects
STEPS = 4  # to an octave, of those factors in detection: few sizes make full batches


def median_size(boxes):
    """The size of the median box.

    Args:
        boxes: `[N, 4]`, y1 x1 y2 x2; empty ones do not count.

    Returns:
        float; None without boxes.

    Example:

    >>> median_size(np.array([[0, 0, 4, 9], [0, 0, 0, 0]]))
    6.0
    """
    sides = np.asarray(boxes, float).reshape(-1, 4)
    areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])
    areas = areas[areas > 0]
    return float(np.sqrt(np.median(areas))) if len(areas) else None


def factor_to(size, found):
    """How many times larger a picture becomes whose median object is `found`, to have it `size`.

    Args:
        size: float.
        found: what `median_size` returned; None: the picture stays as it is.

    Returns:
        float, within `LIMITS`.
    """
    return 1.0 if found is None else float(np.clip(size / found, *LIMITS))


def stepped(factor):
    """The nearest of the factors ..., 0.5, 0.59, 0.71, 0.84, 1, 1.19, ... that are `STEPS` to an
    octave."""
    return float(2.0 ** (np.rint(STEPS * np.log2(factor)) / STEPS))
