"""Anchors of a pyramid, and boxes between pixels and normalised coordinates.

Shapes: B images, H W, A anchors, M ground truths.
"""

import keras
import numpy as np
from keras import ops

from mrcnn import settings
from mrcnn.layers.base import PureLayer, image_shape
from mrcnn.ops import anchors
from mrcnn.ops.boxes import denorm_boxes, norm_boxes


@keras.saving.register_keras_serializable("mrcnn")
class Anchors(PureLayer):
    """Anchors of a pyramid: see `mrcnn.ops.anchors`.

    Args:
        settings: `mrcnn.settings.Anchors`.
    """

    settings_type = settings.Anchors

    def call(self, images, features):
        """Returns a dict: `levels`, the anchors of each level, float32 [1, A_l, 4] normalised, and
        `pixels`, all of them, float32 [1, A, 4]."""
        settings, sides = self.settings, ops.shape(images)[1:3]
        pixels = []
        levels = zip(settings.level_scales, settings.strides, features, strict=True)
        for scales, stride, feature in levels:
            cells = ops.shape(feature)[1:3]
            if settings.measured_strides:
                stride = tuple(side // cell for side, cell in zip(sides, cells, strict=True))
            level = anchors.grid_anchors(
                scales, settings.ratios, *cells, stride, settings.anchor_stride, settings.rounded
            )
            pixels.append(ops.expand_dims(level, 0))
        shape = ops.stack([ops.cast(side, "float32") for side in sides])
        return {
            "levels": [norm_boxes(level, shape, settings.box_offset) for level in pixels],
            "pixels": ops.concatenate(pixels, axis=1),
        }


def anchors_of(layer, image_shape, feature_shapes):
    """Anchors of images of a size, as NumPy arrays.

    Args:
        layer: `Anchors`.
        image_shape: (H, W, ...) in pixels.
        feature_shapes: [L, 2], height and width of each level.

    Returns:
        dict of `pixels` and `normalized`, float32 [A, 4].
    """
    height, width = map(int, image_shape[:2])
    maps = [np.empty((1, *map(int, shape), 1), "float32") for shape in feature_shapes]
    made = layer(np.empty((1, height, width, 1), "float32"), maps)
    levels = [ops.convert_to_numpy(level)[0] for level in made["levels"]]
    pixels = ops.convert_to_numpy(made["pixels"])[0]
    return {"pixels": pixels, "normalized": np.concatenate(levels)}


@keras.saving.register_keras_serializable("mrcnn")
class SplitAnchors(PureLayer):
    """Anchors of all levels [B, A, 4] -> list of those of each level [B, A_l, 4].

    The second argument is a list of tensors [1, A_l, 4] of those sizes.
    """

    def call(self, anchors, levels):
        split, start = [], 0
        for level in levels:
            end = start + ops.shape(level)[1]
            split.append(anchors[:, start:end])
            start = end
        return split

    def compute_output_spec(self, anchors, levels):
        return [
            keras.KerasTensor((anchors.shape[0], *level.shape[1:]), "float32") for level in levels
        ]


@keras.saving.register_keras_serializable("mrcnn")
class NormBoxes(PureLayer):
    """Pixels to normalised coordinates: boxes [B, M, 4], meta [B, META] -> float32 [B, M, 4].

    Padding, a row of zeros, stays a row of zeros.

    Args:
        settings: `mrcnn.settings.Boxes`.
    """

    settings_type = settings.Boxes

    def call(self, boxes, image_meta):
        shape = ops.expand_dims(image_shape(image_meta), 1)
        normalized = norm_boxes(boxes, shape, self.settings.box_offset)
        return ops.where(ops.any(boxes != 0, axis=-1, keepdims=True), normalized, 0.0)


@keras.saving.register_keras_serializable("mrcnn")
class PixelBoxes(PureLayer):
    """Normalised coordinates to pixels: boxes [B, M, 4], meta [B, META] -> float32 [B, M, 4].

    Args:
        settings: `mrcnn.settings.Boxes`.
    """

    settings_type = settings.Boxes

    def call(self, boxes, image_meta):
        shape = ops.expand_dims(image_shape(image_meta), 1)
        return denorm_boxes(boxes, shape, self.settings.box_offset)
