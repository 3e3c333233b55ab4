"""`mrcnn.image.resizing` once more, in TensorFlow's graph: same sizes, same pixels.

Shapes: B images, h w size before, H W size after; C channels; K pixels that a new one is a mean of.
"""

import functools
import math

import numpy as np
import tensorflow as tf

# Pillow weighs pixels by whole numbers of 2 ** 22 parts.
_PILLOW_BITS = 22


def of_sizes(function, *sizes):
    """What a function of sizes returns: where they are known, as NumPy arrays, else in the graph.

    The graph of images of a known size has no float64 then, which not every runtime knows.
    """
    known = [tf.get_static_value(size) for size in sizes]
    if any(size is None for size in known):
        return function(*sizes)
    with tf.init_scope():
        return tf.nest.map_structure(np.asarray, function(*known))


def image_sides(images):
    """Height and width of images [B, H, W, C]: NumPy's where both are known, else int32 [2]."""
    known = images.shape[1:3]
    return np.array(known, np.int32) if known.is_fully_defined() else tf.shape(images)[1:3]


def place(sides, settings):
    """Where `mrcnn.image.resizing.resize_by` puts an image of any size.

    Args:
        sides: int32 [2], height and width.
        settings: `mrcnn.settings.Image`.

    Returns:
        dict: `size` int32 [2] of the scaled image, `scale` float32, `origin` int32 [2] of it in the
        molded image, and `molded` int32 [2], the size of that.
    """
    # Crops are for training, as in `mrcnn.image.molding.MoldedImages`.
    mode = "pad64" if settings.resize_mode == "crop" else settings.resize_mode
    real, none = tf.cast(sides, tf.float64), tf.zeros(2, tf.int32)
    if mode == "none":
        found = {"size": sides, "scale": tf.ones([], tf.float64), "origin": none, "molded": sides}
    elif mode == "shortest_edge":
        short, long = _extremes(real)
        scale = tf.minimum(settings.min_dim / short, settings.max_dim / long)
        size = tf.maximum(tf.cast(real * scale + _rounding(settings), tf.int32), 1)
        more = int(settings.interpolation == "corners")
        molded = _multiple(size - more, 32) + more
        found = {"size": size, "scale": scale, "origin": none, "molded": molded}
    elif mode == "longest_edge":
        longest = _extremes(real)[1]
        size = tf.cast(real * settings.max_dim / longest + _rounding(settings), tf.int32)
        found = {"size": tf.maximum(size, 1), "scale": settings.max_dim / longest, "origin": none}
        found["molded"] = tf.fill([2], settings.max_dim)
    else:
        scale = _scale(real, settings, mode)
        size = tf.maximum(tf.cast(tf.round(real * scale), tf.int32), 1)
        molded = tf.fill([2], settings.max_dim) if mode == "square" else _multiple(size, 64)
        found = {"size": size, "scale": scale, "origin": (molded - size) // 2, "molded": molded}
    found["scale"] = tf.cast(found["scale"], tf.float32)
    return found | {"molded": _bucket(found["molded"], settings.buckets)}


def _rounding(settings):
    return 0.0 if settings.interpolation in ("edge", "corners") else 0.5


def _multiple(size, of):
    return (size + of - 1) // of * of


def _extremes(sides):
    """The shorter and the longer side. A quotient by a reduction OpenVINO turns upside down."""
    return tf.minimum(sides[0], sides[1]), tf.maximum(sides[0], sides[1])


def _scale(real, settings, mode):
    """How much larger matterport's modes make an image, float64."""
    scale = tf.ones([], tf.float64)
    if settings.min_dim:
        scale = tf.maximum(scale, settings.min_dim / _extremes(real)[0])
    scale = tf.maximum(scale, tf.cast(settings.min_scale or 0, tf.float64))
    if mode != "square":
        return scale
    longest = _extremes(real)[1]
    fits = tf.round(longest * scale) <= settings.max_dim
    return tf.where(fits, scale, settings.max_dim / longest)


def _bucket(sides, buckets):
    """`mrcnn.image.sizes.bucket_sides`."""
    if not buckets:
        return sides
    largest = [max(bucket[axis] for bucket in buckets) for axis in (0, 1)]
    found = sides
    for bucket in [largest, *reversed(sorted(buckets, key=math.prod))]:
        found = tf.where(tf.reduce_all(tf.constant(bucket) >= sides), tf.constant(bucket), found)
    return found


def scaled(images, size, interpolation, exact=True):
    """`mrcnn.image.resizing.scale_image` of a batch.

    Args:
        images: uint8 [B, h, w, C].
        size: int32 [2].
        interpolation: as there.
        exact: bool, whether the runtime has float64, and loops. In float32 "constant" may cut off a
            pixel to the integer below where float64 does not, and the other way round; without
            loops "antialias" of images of any size takes more memory.

    Returns:
        float32 [B, H, W, C].
    """
    if interpolation == "antialias":
        return tf.cast(_antialiased(images, size, loops=exact), tf.float32)
    found = _bilinear(images, size, interpolation, tf.float64 if exact else tf.float32)
    if interpolation == "constant":  # cut off to the dtype of the images
        found = tf.cast(found, tf.int32)
    return tf.cast(found, tf.float32)


def _bilinear(images, size, border, dtype):
    """`mrcnn.image.resampling.bilinear`, whose sums have the same order."""
    shape = image_sides(images)
    rows, columns = (
        of_sizes(functools.partial(_neighbours, border, dtype), shape[i], size[i]) for i in (0, 1)
    )
    found = 0
    for index, weight in rows:
        lines = tf.cast(tf.gather(images, index, axis=1), dtype) * weight[:, None, None]
        for column, column_weight in columns:
            found += tf.gather(lines, column, axis=2) * column_weight[:, None]
    # What lies beyond the border counts as 0, which the library keeps out of the range of values.
    low, high = (
        tf.cast(reduce(tf.cast(images, tf.int32), axis=[1, 2, 3], keepdims=True), dtype)
        for reduce in (tf.reduce_min, tf.reduce_max)
    )
    return tf.minimum(tf.maximum(found, low), high)


def _neighbours(border, dtype, have, want):
    """For each of `want` pixels the two of `have` beside its centre: [(index, weight)] * 2."""
    position = tf.cast(tf.range(want), tf.float64)
    if border == "corners":
        steps = tf.cast(tf.maximum(want - 1, 1), tf.float64)
        position *= tf.cast(have - 1, tf.float64) / steps
    else:
        step = tf.cast(have, tf.float64) / tf.cast(want, tf.float64)
        position = (position + 0.5) * step - 0.5
    first = tf.floor(position)
    weights = [1 - (position - first), position - first]
    first = tf.cast(first, tf.int32)
    weights[1] = 1 - weights[0]
    if border == "constant":
        zeros = tf.zeros_like(position)
        weights[0] = tf.where(first < 0, zeros, weights[0])
        weights[1] = tf.where(first + 1 < have, weights[1], zeros)
    indices = tf.maximum(first, 0), tf.minimum(first + 1, have - 1)
    return [(i, tf.cast(weight, dtype)) for i, weight in zip(indices, weights, strict=True)]


def _antialiased(images, size, loops):
    """Pillow's bilinear resizing: columns, then rows, each rounded; int32 [B, H, W, C]."""
    images, sides = tf.cast(images, tf.int32), image_sides(images)
    for axis in (2, 1):
        first, weights = of_sizes(_triangle, sides[axis - 1], size[axis - 1])
        unrolled = isinstance(weights, np.ndarray)
        add_up = _summed if loops or unrolled else _gathered
        total = add_up(images, axis, first, weights)
        total += 2 ** (_PILLOW_BITS - 1)
        if loops:
            images = total // 2**_PILLOW_BITS
        else:  # where runtimes round the quotients of integers, as OpenVINO
            images = tf.cast(tf.floor(tf.cast(total, tf.float32) / 2**_PILLOW_BITS), tf.int32)
    return images


def _gathered(images, axis, first, weights):
    """As `_summed`, without a loop, in K times the memory."""
    pixels = first[:, None] + tf.range(tf.shape(weights)[1])
    pixels = tf.minimum(pixels, image_sides(images)[axis - 1] - 1)
    weights = tf.reshape(weights, [*tf.unstack(tf.shape(weights)), *[1] * (3 - axis)])
    return tf.reduce_sum(tf.gather(images, pixels, axis=axis) * weights, axis=axis + 1)


def _summed(images, axis, first, weights):
    """Sums of rows or columns, weighed, from `first` on: int32 [B, H, W, C]."""
    last = image_sides(images)[axis - 1] - 1
    spread = [-1 if i == axis else 1 for i in range(4)]

    def add(k, total):
        taken = tf.gather(images, tf.minimum(first + k, last), axis=axis)
        return k + 1, total + taken * tf.reshape(tf.gather(weights, k, axis=1), spread)

    total = tf.zeros_like(tf.gather(images, first, axis=axis))
    if isinstance(weights, np.ndarray):
        for k in range(weights.shape[1]):
            total = add(k, total)[1]
        return total
    count, shapes = tf.shape(weights)[1], (tf.TensorShape([]), total.shape)
    return tf.while_loop(lambda k, _: k < count, add, (0, total), shape_invariants=shapes)[1]


def _triangle(have, want):
    """Which pixels a new one is a mean of: int32 [want], the first; int32 [want, K], weights.

    After Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`.
    """
    scale = tf.cast(have, tf.float64) / tf.cast(want, tf.float64)
    support = tf.maximum(scale, 1)
    center = (tf.cast(tf.range(want), tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(center - support + 0.5, tf.int32), 0)
    end = tf.minimum(tf.cast(center + support + 0.5, tf.int32), have)
    pixels = first[:, None] + tf.range(2 * tf.cast(tf.math.ceil(support), tf.int32) + 1)
    distance = tf.abs((tf.cast(pixels, tf.float64) - center[:, None] + 0.5) * (1 / support))
    weights = tf.maximum(1 - distance, 0)
    weights = tf.where(pixels < end[:, None], weights, tf.zeros_like(weights))
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return first, tf.cast(weights * 2**_PILLOW_BITS + 0.5, tf.int32)
