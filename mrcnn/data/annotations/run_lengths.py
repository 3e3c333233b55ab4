"""COCO's run-length codes of masks that lie in a small part of a large image.

A code counts pixels column by column, the first run being outside. Shape legend: H, W size of the
image; h, w of a part of it, in pixels.
"""

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.outlines import run_lengths, text_code


def encode_part(part, top, left, height, width):
    """The compressed code of a mask, ready for JSON, from what lies in a part of the image.

    Args:
        part: bool [h, w]; the mask has no pixel elsewhere.
        top, left: int, of the part in the image.
        height, width: int, of the image.

    Example:

    >>> encode_part(np.ones((1, 2), bool), 1, 0, 2, 3)["size"]  # runs of 1, 1, 1, 1, 2
    [2, 3]
    """
    columns, rows = np.nonzero(part.T)
    places = (columns + left) * height + rows + top
    return text_code(_code_of_runs(places, places + 1, height, width))


def _code_of_runs(starts, stops, height, width):
    """The compressed code of runs of pixels in their order; those that touch become one."""
    breaks = np.flatnonzero(starts[1:] > stops[:-1]) + 1
    starts, stops = np.r_[starts[:1], starts[breaks]], np.r_[stops[breaks - 1], stops[-1:]]
    edges = np.r_[0, np.stack([starts, stops], axis=1).ravel(), height * width]
    counts = np.diff(edges if edges[-2] < edges[-1] else edges[:-1]).tolist()
    return mask_utils.frPyObjects({"counts": counts, "size": [height, width]}, 0, 0)


def crop_code(code, region):
    """The code of what a mask has inside a region of its image, without drawing it.

    Args:
        code: dict, a compressed code.
        region: y1 x1 y2 x2 in pixels.

    Returns:
        dict: a compressed code of the region's size h, w.

    Example:

    >>> full = encode_part(np.ones((2, 3), bool), 0, 0, 2, 3)
    >>> crop_code(full, (0, 1, 2, 2))["size"], crop_code(full, (0, 1, 2, 2))["counts"]
    ([2, 1], b'02')
    """
    image_height = int(code["size"][0])
    y1, x1, y2, x2 = (int(side) for side in region)
    height, width = y2 - y1, x2 - x1
    edges = np.cumsum([0, *run_lengths(code["counts"])])
    starts, stops = edges[1:-1:2], edges[2::2]  # of the runs inside the mask
    # A run becomes a run in each column that it meets, whose rows are those of the region.
    first = np.maximum(starts // image_height, x1)
    counts = (np.minimum((stops - 1) // image_height + 1, x2) - first).clip(0)
    run = np.repeat(np.arange(len(starts)), counts)
    column = first[run] + np.arange(len(run)) - (np.cumsum(counts) - counts)[run]
    top = np.maximum(starts[run] - column * image_height, y1) - y1
    bottom = np.minimum(stops[run] - column * image_height, y2) - y1
    column, top, bottom = (x[bottom > top] for x in (column - x1, top, bottom))
    return _code_of_runs(column * height + top, column * height + bottom, height, width)


def decode_part(code, region):
    """What a mask has inside a region of its image, bool [h, w]; arguments as of `crop_code`."""
    return mask_utils.decode(crop_code(code, region)).view(bool)
