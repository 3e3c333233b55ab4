"""`mrcnn.image.molding` once more, in TensorFlow's graph: pixels as they come to what detects.

Shapes: B images, h w size before, H W of a molded image; C channels.
"""

import functools

import numpy as np
import tensorflow as tf

from mrcnn.export.graph_resizing import image_sides, of_sizes, place, scaled
from mrcnn.image.resizing import interpolation_of


def mold(images, settings, exact=True):
    """Images of one size as the detection graph takes them.

    Args:
        images: uint8 [B, h, w, C]. Where h and w are known, what follows from them is computed now,
            so that the graph has no float64 but the pixels of `exact`.
        settings: `mrcnn.settings.Image`.
        exact: see `mrcnn.export.graph_resizing.scaled`.

    Returns:
        dict: `input_image` float32 [B, H, W, C] and `input_image_meta` float32 [B, META], see
        `mrcnn.image.meta`; what `place` returns; `window` int32 [4], y1 x1 y2 x2 of the picture in
        a molded image, and `sides` int32 [2], the size of the images.
    """
    sides = image_sides(images)
    placed = of_sizes(functools.partial(place, settings=settings), sides)
    size, (top, left) = placed["size"], (placed["origin"][0], placed["origin"][1])
    pixels = scaled(images, size, interpolation_of(settings), exact)
    below = placed["molded"] - size - placed["origin"]
    padding = [[0, 0], [top, below[0]], [left, below[1]], [0, 0]]
    if settings.pads_with_mean:
        molded = tf.pad(_normalized(pixels, settings), padding)
    else:
        molded = _normalized(tf.pad(pixels, padding), settings)
    if settings.resize_mode in ("square", "longest_edge"):
        known = (settings.max_dim, settings.max_dim)
    else:
        known = placed["molded"] if isinstance(placed["molded"], np.ndarray) else (None, None)
    molded.set_shape((images.shape[0], *known, settings.channels))
    window = tf.concat([placed["origin"], placed["origin"] + size], axis=0)
    placed = {**placed, "sides": sides, "window": window}
    metas = _metas(images, placed, settings)
    return {"input_image": molded, "input_image_meta": metas, **placed}


def _normalized(pixels, settings):
    """`mrcnn.image.molding.mold_image`."""
    pixels -= tf.constant(settings.mean_pixel, tf.float32)
    plain = np.all(np.equal(settings.std_pixel, 1))
    return pixels if plain else pixels / tf.constant(settings.std_pixel, tf.float32)


def _metas(images, placed, settings):
    """`mrcnn.image.meta.compose_image_meta` of each image, all alike."""
    channels, classes = tf.constant([settings.channels]), tf.zeros(settings.num_classes)
    parts = [[0], placed["sides"], channels, placed["molded"], channels, placed["window"]]
    parts = [tf.cast(part, tf.float32) for part in parts]
    meta = tf.concat([*parts, [placed["scale"]], classes], axis=0)
    return tf.tile(meta[None], [tf.shape(images)[0], 1])
