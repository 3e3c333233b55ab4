"""Pooling of boxes from the pyramid.

Shapes: B images, N boxes, P pooled bins a side, h w of a feature map, C channels.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.config_checks import ROI_ALIGN_MODES
from mrcnn.layers.base import PureLayer, image_shape
from mrcnn.ops import roi_align, roi_pool


@keras.saving.register_keras_serializable("mrcnn")
class PyramidROIAlign(PureLayer):
    """Pools each box from the pyramid level that fits its size.

    Args:
        pool_size: int, bins a side (P).
        settings: `mrcnn.settings.Pooling`.

    Raises:
        ValueError: an unknown mode.
    """

    settings_type = settings.Pooling

    def __init__(self, pool_size, settings=None, name=None, **values):
        super().__init__(settings, name, **values)
        if self.settings.mode not in ROI_ALIGN_MODES:
            raise ValueError(f"mode is {self.settings.mode!r}; expected one of {ROI_ALIGN_MODES}")
        self.pool_size = pool_size

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size}

    def call(self, boxes, image_meta, features):
        """Pools boxes.

        Args:
            boxes: float [B, N, 4], normalised.
            image_meta: float [B, META].
            features: list of float [B, h, w, C], P2 first.

        Returns:
            float [B, N, pool_size, pool_size, C].
        """
        settings = self.settings
        boxes, shape = ops.stop_gradient(boxes), image_shape(image_meta)
        levels = roi_align.roi_levels(boxes, shape, len(features), settings.level_rounding)
        if settings.mode == "crop_and_resize":
            return roi_align.pyramid_crop_and_resize(
                features, boxes, levels, self.pool_size, settings.native
            )
        if settings.mode == "roi_pool":
            boxes = roi_pool.to_feature_pixels(features, boxes, levels, shape, settings.box_offset)
            return roi_pool.roi_pool(features, boxes, levels, self.pool_size)
        return roi_align.pyramid_roi_align(
            features,
            boxes,
            levels,
            self.pool_size,
            shape,
            settings.sampling_ratio,
            settings.aligned,
            settings.native,
            settings.box_offset,
        )

    def compute_output_spec(self, boxes, image_meta, features):
        shape = (*boxes.shape[:2], self.pool_size, self.pool_size, features[0].shape[-1])
        return keras.KerasTensor(shape, features[0].dtype)


@keras.saving.register_keras_serializable("mrcnn")
class SpatialPyramidPool(PureLayer):
    """Pools each box by maximum into several grids, from the level that fits its size.

    Args:
        grids: ints, bins a side of each grid, see `mrcnn.ops.roi_pool.spatial_pyramid_pool`.
        settings: `mrcnn.settings.Pooling`.
    """

    settings_type = settings.Pooling

    def __init__(self, grids, settings=None, name=None, **values):
        super().__init__(settings, name, **values)
        self.grids = tuple(grids)

    def get_config(self):
        return {**super().get_config(), "grids": self.grids}

    def call(self, boxes, image_meta, features):
        """As of `PyramidROIAlign`; returns float [B, N, 1, bins of all grids, C]."""
        settings = self.settings
        boxes, shape = ops.stop_gradient(boxes), image_shape(image_meta)
        levels = roi_align.roi_levels(boxes, shape, len(features), settings.level_rounding)
        boxes = roi_pool.to_feature_pixels(features, boxes, levels, shape, settings.box_offset)
        pooled = roi_pool.spatial_pyramid_pool(features, boxes, levels, self.grids)
        return ops.expand_dims(pooled, 2)

    def compute_output_spec(self, boxes, image_meta, features):
        bins = sum(side**2 for side in self.grids)
        shape = (*boxes.shape[:2], 1, bins, features[0].shape[-1])
        return keras.KerasTensor(shape, features[0].dtype)
