"""COCO's run-length codes of masks that lie in a small part of a large image.

A code counts pixels column by column, the first run being outside. Shape legend: H, W size of the
image; h, w of a part of it, in pixels.
"""

import itertools

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
    # Where a run of pixels starts, and where one ended before it.
    breaks = np.flatnonzero(np.diff(places) > 1) + 1
    starts = places[np.r_[0, breaks]] if len(places) else places
    stops = places[np.r_[breaks - 1, len(places) - 1]] + 1 if len(places) else places
    edges = np.r_[0, np.stack([starts, stops], axis=1).ravel(), height * width]
    counts = np.diff(edges if edges[-2] < edges[-1] else edges[:-1]).tolist()
    return text_code(mask_utils.frPyObjects({"counts": counts, "size": [height, width]}, 0, 0))


def decode_part(code, region):
    """What a mask has inside a region of its image, bool [h, w].

    Args:
        code: dict, a compressed code.
        region: y1 x1 y2 x2 in pixels.
    """
    height = int(code["size"][0])
    y1, x1, y2, x2 = (int(side) for side in region)
    part = np.zeros((x2 - x1, y2 - y1), bool)  # columns first, as the runs go
    ends = np.fromiter(itertools.accumulate(run_lengths(code["counts"])), np.int64)
    for start, stop in zip(ends[::2].tolist(), ends[1::2].tolist(), strict=False):
        start, stop = max(start, x1 * height), min(stop, x2 * height)
        for column in range(start // height, -(-stop // height) if start < stop else 0):
            low = max(start - column * height, y1)
            part[column - x1, low - y1 : max(low, min(stop - column * height, y2)) - y1] = True
    return part.T
