"""Pooling of regions from a feature pyramid: matterport's crop_and_resize and true RoIAlign.

crop_and_resize is not RoIAlign: it takes one bilinear sample for each output bin, at a grid that
spans the box from corner to corner in `(h - 1)` coordinates. RoIAlign (arXiv:1703.06870; `aligned`
is detectron2's half-pixel correction) averages samples placed inside each bin.

Either way the samples of a box lie on a regular grid, so a box is reduced to `first` and `step` in
feature pixels, and `mrcnn.ops.pooling` serves both.

Shapes: B images, N boxes, M masks, P pooled bins a side, h w of a feature map or mask, C channels.
"""

import numpy as np
from keras import ops

from mrcnn.ops.boxes import denorm_boxes
from mrcnn.ops.by_image import by_image
from mrcnn.ops.pooling import adaptive_weights, level_sizes, pool_adaptive, pool_grid


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
        native: see `mrcnn.ops.pooling.pool_grid`.

    Returns:
        float [B, N, P, P, C].
    """
    side = level_sizes(features, levels) - 1.0  # (B, N, 2)
    if pool_size == 1:
        first, step = 0.5 * (boxes[..., :2] + boxes[..., 2:]) * side, ops.zeros_like(side)
    else:
        first = boxes[..., :2] * side
        step = (boxes[..., 2:] - boxes[..., :2]) * side / (pool_size - 1)
    return pool_grid(features, levels, first, step, pool_size, 1, native)


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
        native: see `mrcnn.ops.pooling.pool_grid`.
        box_offset: how the boxes are normalised, see `mrcnn.ops.boxes`.

    Returns:
        float [B, N, P, P, C].
    """
    image_shape = ops.expand_dims(ops.cast(image_shape, "float32"), 1)  # (B, 1, 2)
    pixels = denorm_boxes(boxes, image_shape, box_offset)
    scale = level_sizes(features, levels) / image_shape  # (B, N, 2)
    low, high = pixels[..., :2] * scale, pixels[..., 2:] * scale
    size = high - low if aligned else ops.maximum(high - low, 1.0)
    low = low - 0.5 if aligned else low
    if sampling_ratio == 0:
        return pool_adaptive(features, levels, low, size, pool_size, native)
    step = size / (pool_size * sampling_ratio)
    first = low + 0.5 * step
    return pool_grid(features, levels, first, step, pool_size, sampling_ratio, native)


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


@by_image
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
            adaptive_weights(low[None, i], size[None, i], sides[None, i], shape[i], pixels)[0]
            for i, pixels in enumerate(map(ops.arange, extents))
        )
        mask = ops.cast(ops.take(flat, index, axis=0), "float32")
        return ops.matmul(ops.matmul(rows, mask), ops.transpose(columns))

    pooled = ops.map(pool, (index, ops.reshape(low, (-1, 2)), ops.reshape(size, (-1, 2))))
    return ops.reshape(pooled, (batch, count, *shape))


def _hat(points, extent):
    """Bilinear weights of rows 0..extent-1 for sample points: [...] -> [..., extent]."""
    rows = ops.cast(ops.arange(extent), "float32")
    return ops.maximum(0.0, 1.0 - ops.abs(ops.expand_dims(points, -1) - rows))
