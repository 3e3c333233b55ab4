"""PNG files whose colours are ids of segments; 0 is void.

COCO's: id = red + 256 green + 65536 blue. The two channels of the panoptic API: red is the
category, green the instance; here the id is 256 category + instance.

Shape legend: H, W size in pixels.
"""

import functools

import numpy as np
from PIL import Image

from mrcnn.image.reading import errors_named

LARGEST = 256**3 - 1
CROWD = 255  # the instance that is a crowd, in two channels


def ids_to_colors(ids):
    """int [H, W], 0 to `LARGEST` -> uint8 [H, W, 3]."""
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)


def colors_to_ids(colors):
    """uint8 [H, W, 3] -> int32 [H, W]."""
    return colors.astype(np.int32) @ np.array([1, 256, 65536], np.int32)


def channels_to_ids(colors):
    """uint8 [H, W, 3] of two channels -> int32 [H, W]: 256 category + instance, 0 is void."""
    ids = colors.astype(np.int32) @ np.array([256, 1, 0], np.int32)
    return np.where(colors[..., 0] > 0, ids, np.int32(0))


@functools.lru_cache(maxsize=4)  # all segments of a picture are asked for one after the other
def read_ids(path):
    """The ids of a file of COCO's, int32 [H, W], for all who ask: they cannot be written."""
    return _shared(colors_to_ids(_read(path)))


@functools.lru_cache(maxsize=4)
def read_channels(path):
    """As `read_ids`, of a file of two channels."""
    return _shared(channels_to_ids(_read(path)))


def _shared(ids):
    ids.setflags(write=False)
    return ids


def _read(path):
    with errors_named(path):
        picture = Image.open(path)
        mode, pixels = picture.mode, np.asarray(picture)
    if mode not in ("RGB", "RGBA"):
        raise ValueError(
            f"{path}: expected a PNG whose colours are ids of segments, received mode {mode}"
        )
    return pixels[:, :, :3]
