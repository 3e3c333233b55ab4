"""Crops of pictures.

Shapes: B images, H W, N boxes, S pixels a side of a crop, C channels.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.image.meta import parse_image_meta
from mrcnn.layers.base import PureLayer, image_shape
from mrcnn.ops.boxes import denorm_boxes
from mrcnn.ops.warping import warp_regions


@keras.saving.register_keras_serializable("mrcnn")
class WarpedRegions(PureLayer):
    """Cuts each box out of its image, as a square: see `mrcnn.ops.warping.warp_regions`.

    Args:
        settings: `mrcnn.settings.Warping`.
    """

    settings_type = settings.Warping

    def call(self, boxes, image_meta, images):
        """Cuts boxes out.

        Args:
            boxes: float [B, N, 4], normalised.
            image_meta: float [B, META].
            images: float [B, H, W, C].

        Returns:
            float [B, N, S, S, C].
        """
        settings = self.settings
        shape = ops.expand_dims(image_shape(image_meta), 1)
        pixels = denorm_boxes(ops.stop_gradient(boxes), shape, settings.box_offset)
        windows = parse_image_meta(image_meta)["window"]
        return warp_regions(
            images, windows, pixels, settings.side, settings.context, settings.native
        )

    def compute_output_spec(self, boxes, image_meta, images):
        side = self.settings.side
        return keras.KerasTensor((*boxes.shape[:2], side, side, images.shape[-1]), "float32")
