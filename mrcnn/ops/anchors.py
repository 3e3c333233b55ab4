"""Anchor boxes of a feature pyramid.

Boxes are float y1 x1 y2 x2 in pixels. Anchors are centred on the top left corner of a feature's
cell (multiples of the stride, no half-cell shift), as matterport, torchvision and detectron2 do.

Shapes: R anchors at one location, A anchors in all.
"""

import numpy as np
from keras import ops


def cell_anchors(scales, ratios, rounded=False):
    """Anchors around the origin, all scales of the first ratio first.

    Args:
        scales: float or list, square root of an anchor's area in pixels.
        ratios: float or list, width / height.
        rounded: bool, whole pixels, halves to even, as torchvision.

    Returns:
        float64 NumPy [R, 4].
    """
    scales, ratios = np.meshgrid(np.asarray(scales, float), np.asarray(ratios, float))
    heights = (scales / np.sqrt(ratios)).ravel()
    widths = (scales * np.sqrt(ratios)).ravel()
    anchors = 0.5 * np.stack([-heights, -widths, heights, widths], axis=1)
    return np.round(anchors) if rounded else anchors


def grid_anchors(scales, ratios, height, width, feature_stride, anchor_stride=1, rounded=False):
    """Anchors of one feature map, as a tensor: row by row, location by location.

    Args:
        scales: see `cell_anchors`.
        ratios: see `cell_anchors`.
        height: int or scalar tensor, rows of the feature map.
        width: int or scalar tensor, columns of the feature map.
        feature_stride: number or two scalars (y, x), image pixels from one feature to the next.
        anchor_stride: int, features from one anchor location to the next.
        rounded: see `cell_anchors`.

    Returns:
        float32 [A, 4].
    """
    cell = ops.convert_to_tensor(cell_anchors(scales, ratios, rounded), "float32")
    stride_y, stride_x = (
        feature_stride if isinstance(feature_stride, tuple) else (feature_stride, feature_stride)
    )
    rows = ops.cast(ops.arange(0, height, anchor_stride), "float32")
    rows = rows * ops.cast(stride_y, "float32")
    columns = ops.cast(ops.arange(0, width, anchor_stride), "float32")
    columns = columns * ops.cast(stride_x, "float32")
    y, x = ops.meshgrid(rows, columns, indexing="ij")
    centers = ops.stack([y, x, y, x], axis=-1)  # (h, w, 4)
    return ops.reshape(ops.expand_dims(centers, -2) + cell, (-1, 4))


def generate_anchors(scales, ratios, shape, feature_stride, anchor_stride):
    """Anchors of one feature map of `shape` (height, width) -> float32 NumPy [A, 4]."""
    return ops.convert_to_numpy(
        grid_anchors(scales, ratios, *map(int, shape[:2]), feature_stride, anchor_stride)
    )


def generate_pyramid_anchors(scales, ratios, feature_shapes, feature_strides, anchor_stride):
    """Anchors of a pyramid, finest level first.

    Args:
        scales: list of floats, one for each level.
        ratios: list of floats, width / height, the same on every level.
        feature_shapes: [L, 2], height and width of each level.
        feature_strides: list of ints, image pixels from one feature to the next.
        anchor_stride: int, features from one anchor location to the next.

    Returns:
        float32 NumPy [A, 4] in pixels.

    Example:

    >>> generate_pyramid_anchors([32, 64], [1], [(2, 2), (1, 1)], [16, 32], 1).shape
    (5, 4)
    """
    levels = zip(scales, feature_shapes, feature_strides, strict=True)
    return np.concatenate(
        [
            generate_anchors(scale, ratios, shape, stride, anchor_stride)
            for scale, shape, stride in levels
        ]
    )
