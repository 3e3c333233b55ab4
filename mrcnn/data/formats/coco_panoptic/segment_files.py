"""PNG files whose colours are ids of segments; 0 is void.

COCO's: id = red + 256 green + 65536 blue. The two channels of the panoptic API: red is the
category, green the instance; here the id is 256 category + instance.

Shape legend: H, W size in pixels.
"""

import functools
import os

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.image.reading import errors_named

LARGEST = 256**3 - 1
CROWD = 255  # the instance that is a crowd, in two channels
_EXPECTED = "expected a PNG whose colours are ids of segments"


def ids_to_colors(ids):
    """Any integers [H, W], 0 to `LARGEST` -> uint8 [H, W, 3].

    Raises:
        ValueError: an id that three bytes cannot hold.
    """
    low, high = (int(x) for x in (ids.min(initial=0), ids.max(initial=0)))
    if low < 0 or high > LARGEST:
        raise ValueError(
            f"expected ids of segments from 0 to {LARGEST}, received {low if low < 0 else high}. "
            "Number the segments of each picture from 1 on"
        )
    ids = ids.astype(np.int64)
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)


def colors_to_ids(colors):
    """uint8 [H, W, 3] -> int32 [H, W]."""
    return colors.astype(np.int32) @ np.array([1, 256, 65536], np.int32)


def channels_to_ids(colors):
    """uint8 [H, W, 3] of two channels -> int32 [H, W]: 256 category + instance, 0 is void."""
    ids = colors.astype(np.int32) @ np.array([256, 1, 0], np.int32)
    return np.where(colors[..., 0] > 0, ids, np.int32(0))


def read_ids(path):
    """The ids of a file of COCO's, int32 [H, W], for all who ask: they cannot be written."""
    return _kept(path, *_state(path), colors_to_ids)


def read_channels(path):
    """As `read_ids`, of a file of two channels."""
    return _kept(path, *_state(path), channels_to_ids)


def _state(path):
    """By what a file is known to be the same as before."""
    with errors_named(f"{path}: {_EXPECTED}"):
        state = os.stat(path)
    return state.st_mtime_ns, state.st_size


@functools.lru_cache(maxsize=2)  # a picture's masks and its map are asked for one after the other
def _kept(path, changed, size, to_ids):
    ids = to_ids(_read(path))
    ids.setflags(write=False)
    return ids


def _read(path):
    with errors_named(f"{path}: {_EXPECTED}"):
        picture = Image.open(path)
        mode, pixels = picture.mode, np.asarray(picture)
    if mode not in ("RGB", "RGBA"):
        raise ValueError(f"{path}: {_EXPECTED}, received mode {mode}")
    return pixels[:, :, :3]


def segment_info(ids, number, category_id, crowd=False):
    """What COCO says of a segment of a map, a dict ready for JSON."""
    code = mask_utils.encode(np.asfortranarray(ids == number, np.uint8))
    return {
        "id": int(number),
        "category_id": int(category_id),
        "iscrowd": int(crowd),
        "area": int(mask_utils.area(code)),
        "bbox": list(map(int, mask_utils.toBbox(code))),
    }
