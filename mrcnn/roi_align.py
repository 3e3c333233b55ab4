"""Pooling of regions from a feature pyramid: matterport's crop_and_resize and true RoIAlign.

crop_and_resize is not RoIAlign: it takes one bilinear sample for each output bin, at a grid that
spans the box from corner to corner in `(h - 1)` coordinates. RoIAlign (arXiv:1703.06870; `aligned`
is detectron2's half-pixel correction) averages samples placed inside each bin.

Either way the samples of a box lie on a regular grid, so a box is reduced to `first` and `step` in
feature pixels, and one sampler serves both.

Shapes: B images, N boxes, L levels, P pooled bins a side, G = P * samples grid points a side,
h w of a feature map, C channels.
"""

import math

import keras
import numpy as np
from keras import ops

from mrcnn.ops import denorm_boxes, gather

# Boxes of `_roi_align_adaptive` that are pooled together: bounds its memory.
_CHUNK = 32


def roi_levels(boxes, image_shape, num_levels, rounding="round"):
    """Assigns boxes to pyramid levels, after equation 1 of arXiv:1612.03144.

    Args:
        boxes: float [B, N, 4], normalised.
        image_shape: float [B, 2], height and width in pixels.
        num_levels: int, levels of the pyramid from P2.
        rounding: "round" as matterport, or "floor" as in the paper.

    Returns:
        int32 [B, N], 0 for P2. A box of 224 x 224 pixels belongs to P4.
    """
    size = ops.maximum(boxes[..., 2:] - boxes[..., :2], 1e-12)
    image_area = ops.expand_dims(image_shape[:, 0] * image_shape[:, 1], -1)
    scale = ops.sqrt(size[..., 0] * size[..., 1] * image_area) / 224.0
    level = ops.log2(scale)
    # 1e-6: a box of exactly 224 pixels, in float32, is not one level too low.
    level = ops.round(level) if rounding == "round" else ops.floor(level + 1e-6)
    level = 4 + ops.cast(level, "int32")
    return ops.clip(level, 2, num_levels + 1) - 2


def pyramid_crop_and_resize(features, boxes, levels, pool_size, native=True):
    """Pools boxes as matterport: one sample a bin, `tf.image.crop_and_resize`'s grid.

    Args:
        features: list of float [B, h, w, C], finest first.
        boxes: float [B, N, 4], normalised and inside the image.
        levels: int32 [B, N], index into `features`.
        pool_size: int P.
        native: use TensorFlow's kernel when TensorFlow runs; XLA cannot compile it.

    Returns:
        float [B, N, P, P, C].
    """
    height, width = _level_sizes(features, levels)
    side = ops.stack([height, width], axis=-1) - 1.0  # (B, N, 2)
    if pool_size == 1:
        first, step = 0.5 * (boxes[..., :2] + boxes[..., 2:]) * side, ops.zeros_like(side)
    else:
        first = boxes[..., :2] * side
        step = (boxes[..., 2:] - boxes[..., :2]) * side / (pool_size - 1)
    return _sample_pyramid(features, levels, first, step, pool_size, 1, native)


def pyramid_roi_align(
    features,
    boxes,
    levels,
    pool_size,
    image_shape,
    sampling_ratio=2,
    aligned=True,
    native=True,
    box_offset=1,
):
    """Pools boxes by RoIAlign.

    Args:
        features: list of float [B, h, w, C], finest first.
        boxes: float [B, N, 4], normalised.
        levels: int32 [B, N], index into `features`.
        pool_size: int P.
        image_shape: float [B, 2], height and width in pixels.
        sampling_ratio: int, samples of a bin along each axis; 0: ceil(box size / P), by box.
        aligned: shift by half a pixel, so that pixel centres lie at 0.5; otherwise boxes are at
            least one feature pixel in size.
        native: use TensorFlow's kernel when TensorFlow runs; XLA cannot compile it.
        box_offset: how the boxes are normalised, see `mrcnn.ops`.

    Returns:
        float [B, N, P, P, C].
    """
    image_shape = ops.expand_dims(ops.cast(image_shape, "float32"), 1)  # (B, 1, 2)
    pixels = denorm_boxes(boxes, image_shape, box_offset)
    scale = ops.stack(_level_sizes(features, levels), axis=-1) / image_shape  # (B, N, 2)
    low, high = pixels[..., :2] * scale, pixels[..., 2:] * scale
    size = high - low if aligned else ops.maximum(high - low, 1.0)
    low = low - 0.5 if aligned else low
    if sampling_ratio == 0:
        return _roi_align_adaptive(features, levels, low, size, pool_size)
    step = size / (pool_size * sampling_ratio)
    return _sample_pyramid(
        features, levels, low + 0.5 * step, step, pool_size, sampling_ratio, native
    )


def crop_and_resize_masks(masks, boxes, shape):
    """Crops one mask for each box, as `tf.image.crop_and_resize`: 0 outside the mask.

    Args:
        masks: [B, N, h, w], bool or float.
        boxes: float [B, N, 4], normalised to the mask: 0 and 1 are its corner pixels.
        shape: (int, int), height and width of the crops.

    Returns:
        float32 [B, N, *shape].
    """
    masks = ops.cast(masks, "float32")
    weights = []
    for axis, bins in enumerate(shape):
        extent = ops.shape(masks)[2 + axis]
        side = ops.cast(extent, "float32") - 1.0
        low, high = boxes[..., axis, None] * side, boxes[..., axis + 2, None] * side
        grid = np.linspace(0, 1, bins, dtype="float32") if bins > 1 else np.float32([0.5])
        points = low + (high - low) * grid  # (B, N, bins)
        inside = (points > -1e-4) & (points < side + 1e-4)
        weights.append(
            _hat(ops.clip(points, 0, side), extent) * ops.cast(inside[..., None], "float32")
        )
    return ops.einsum("bnph,bnhw,bnqw->bnpq", weights[0], masks, weights[1])


def roi_align_masks(masks, matches, boxes, shape, aligned):
    """RoIAlign of one mask for each box, with as many samples as each box needs.

    Args:
        masks: [B, M, h, w], bool or float.
        matches: int [B, N], the mask of each box.
        boxes: float [B, N, 4], normalised to the mask: 0 and 1 are its edges.
        shape: (int, int), height and width of the crops.
        aligned: see `pyramid_roi_align`.

    Returns:
        float32 [B, N, *shape].
    """
    batch, count = ops.shape(boxes)[:2]
    extents = ops.shape(masks)[2:4]
    sides = ops.stack([ops.cast(extent, "float32") for extent in extents])
    low, size = boxes[..., :2] * sides, (boxes[..., 2:] - boxes[..., :2]) * sides
    low, size = (low - 0.5, size) if aligned else (low, ops.maximum(size, 1.0))
    first = ops.expand_dims(ops.arange(batch) * ops.shape(masks)[1], 1)
    index = ops.reshape(ops.cast(matches, "int32") + ops.cast(first, "int32"), (-1,))
    flat = ops.reshape(masks, (-1, *extents))  # (B * M, h, w)

    def pool(inputs):  # one box at a time: its samples may be many
        index, low, size = inputs
        rows, columns = (
            _adaptive_weights(low[None, i], size[None, i], shape[i], extents[i], 2)[0]
            for i in (0, 1)
        )
        mask = ops.cast(ops.take(flat, index, axis=0), "float32")
        return ops.matmul(ops.matmul(rows, mask), ops.transpose(columns))

    pooled = ops.map(pool, (index, ops.reshape(low, (-1, 2)), ops.reshape(size, (-1, 2))))
    return ops.reshape(pooled, (batch, count, *shape))


def _hat(points, extent):
    """Bilinear weights of rows 0..extent-1 for sample points: [...] -> [..., extent]."""
    rows = ops.cast(ops.arange(extent), "float32")
    return ops.maximum(0.0, 1.0 - ops.abs(ops.expand_dims(points, -1) - rows))


def _level_sizes(features, levels):
    """Height and width of each box's feature map: two float32 [B, N]."""
    return [
        ops.take(
            ops.stack([ops.cast(ops.shape(f)[axis], "float32") for f in features]), levels, axis=0
        )
        for axis in (1, 2)
    ]


def _sample_pyramid(features, levels, first, step, pool_size, samples, native):
    """Averages `samples` x `samples` bilinear samples for each of P x P bins.

    Args:
        features: list of float [B, h, w, C].
        levels: int32 [B, N].
        first: float [B, N, 2], position of the first sample in pixels of the box's feature map.
        step: float [B, N, 2], distance between samples.
        pool_size: int P.
        samples: int, samples of a bin along each axis.
        native: see `pyramid_roi_align`.

    Returns:
        float [B, N, P, P, C]. Samples up to one pixel outside repeat the border, farther ones are
        zero: RoIAlign's rule. crop_and_resize differs there, but its boxes are inside the image.
    """
    grid = pool_size * samples
    native = native and keras.backend.backend() == "tensorflow"
    sample = _sample_tensorflow if native else _sample_portable
    sampled = sample(features, levels, first, step, grid)  # (B, N, G, G, C)
    channels = features[0].shape[-1]
    if samples > 1:
        sampled = ops.reshape(sampled, (-1, grid, grid, channels))
        sampled = ops.average_pool(sampled, samples, strides=samples)
    sampled = ops.cast(sampled, features[0].dtype)
    return ops.reshape(sampled, (*ops.shape(levels), pool_size, pool_size, channels))


def _sample_portable(features, levels, first, step, grid):
    batch, count = ops.shape(levels)
    channels = features[0].shape[-1]
    sizes = [ops.shape(f)[1] * ops.shape(f)[2] for f in features]
    starts = ops.stack([ops.cast(sum(sizes[:i]), "int32") for i in range(len(sizes))])
    flat = ops.concatenate([ops.reshape(f, (batch, -1, channels)) for f in features], axis=1)

    # For each axis: the two neighbours of every grid point and the weight of each, (B, N, G).
    neighbours = []
    for axis, extent in enumerate(_level_sizes(features, levels)):
        extent = ops.expand_dims(extent, -1)
        steps = ops.cast(ops.arange(grid), "float32")
        points = first[..., axis, None] + steps * step[..., axis, None]
        inside = ops.cast((points >= -1.0) & (points <= extent), "float32")
        points = ops.clip(points, 0.0, extent - 1.0)
        low = ops.floor(points)
        high = ops.minimum(low + 1.0, extent - 1.0)
        fraction = points - low
        neighbours.append(
            [
                (ops.cast(low, "int32"), (1.0 - fraction) * inside),
                (ops.cast(high, "int32"), fraction * inside),
            ]
        )

    start = ops.take(starts, levels, axis=0)[..., None, None]
    width = ops.cast(_level_sizes(features, levels)[1], "int32")[..., None, None]
    result = 0.0
    for row, row_weight in neighbours[0]:
        for column, column_weight in neighbours[1]:
            index = start + row[..., :, None] * width + column[..., None, :]  # (B, N, G, G)
            values = gather(flat, ops.reshape(index, (batch, -1)))
            values = ops.reshape(values, (batch, count, grid, grid, channels))
            weight = row_weight[..., :, None] * column_weight[..., None, :]
            result = result + ops.cast(values, "float32") * weight[..., None]
    return result


def _sample_tensorflow(features, levels, first, step, grid):
    """The same by `tf.image.crop_and_resize`, level by level (24 ms against 210 ms for 1000 boxes
    of 14 x 14 samples on 2 cores). One repeated border pixel makes its edge rule RoIAlign's."""
    import tensorflow as tf

    crops, places = [], []
    for level, feature in enumerate(features):
        place = tf.where(levels == level)  # (n, 2): image, box
        feature = tf.cast(feature, "float32")  # the kernel takes no bfloat16
        feature = tf.pad(feature, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
        side = tf.cast(tf.shape(feature)[1:3], "float32") - 1.0
        low = tf.gather_nd(first, place) + 1.0
        high = low + tf.gather_nd(step, place) * (grid - 1.0)
        if grid == 1:
            high = low
        boxes = tf.concat([low / side, high / side], axis=1)
        image = tf.cast(place[:, 0], "int32")
        crops.append(tf.image.crop_and_resize(feature, boxes, image, (grid, grid)))
        places.append(place)
    places, crops = tf.concat(places, 0), tf.concat(crops, 0)
    shape = tf.cast(tf.shape(levels), "int64")
    order = tf.argsort(places[:, 0] * shape[1] + places[:, 1])
    return tf.gather(crops, order)


def _roi_align_adaptive(features, levels, low, size, pool_size):
    """RoIAlign whose number of samples depends on the box, exact for boxes of any size.

    The samples of a bin form a grid, so their mean is a weighted sum of rows, then of columns: two
    matrix products with [P, h] and [P, w] weights for each box, whatever its number of samples.
    """
    batch, count = ops.shape(levels)
    channels = features[0].shape[-1]
    chunk = min(_CHUNK, count)
    padded = math.ceil(count / chunk) * chunk

    def chunks(x):  # (B, N, ...) -> (B * N / chunk, chunk, ...)
        x = ops.pad(x, [[0, 0], [0, padded - count], *[[0, 0]] * (len(x.shape) - 2)])
        return ops.reshape(x, (-1, chunk, *x.shape[2:]))

    image = ops.repeat(ops.arange(batch), padded // chunk)

    def pool(inputs):
        image, levels, low, size = inputs
        total = 0.0
        for level, feature in enumerate(features):
            shape = ops.shape(feature)
            weights = [
                _adaptive_weights(low[:, axis], size[:, axis], pool_size, shape[1 + axis])
                for axis in (0, 1)
            ]
            mine = ops.cast(levels == level, "float32")[:, None, None]
            rows = ops.einsum("nph,hwc->npwc", weights[0] * mine, ops.take(feature, image, axis=0))
            total = total + ops.einsum("nqw,npwc->npqc", weights[1], rows)
        return total

    pooled = ops.map(pool, (image, chunks(levels), chunks(low), chunks(size)))
    pooled = ops.reshape(pooled, (batch, padded, pool_size, pool_size, channels))
    return ops.cast(pooled[:, :count], features[0].dtype)


def _adaptive_weights(low, size, pool_size, extent, longest=1):
    """Weight of each feature row in each bin: [n], [n] -> [n, P, extent].

    `longest` bounds the size of a box in extents: a ROI that fits its object by an IoU of 0.5 is
    at most twice as long.
    """
    samples = ops.maximum(ops.ceil(size / pool_size), 1.0)[:, None, None]  # (n, 1, 1)
    most = longest * extent // pool_size + 2  # samples of a bin
    sample = ops.cast(ops.arange(most), "float32")
    bins = ops.cast(ops.arange(pool_size), "float32")[None, :, None]
    step = size[:, None, None] / (pool_size * samples)
    points = low[:, None, None] + (bins * samples + sample + 0.5) * step  # (n, P, most)
    inside = (sample < samples) & (points >= -1.0) & (points <= ops.cast(extent, "float32"))
    points = ops.clip(points, 0.0, ops.cast(extent, "float32") - 1.0)
    weight = ops.where(inside, 1.0 / samples, 0.0)[..., None]
    return ops.sum(weight * _hat(points, extent), axis=-2)
