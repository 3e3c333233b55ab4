"""A layer that resizes feature maps corner to corner.

Shapes: B images, h w H W of feature maps, C channels.
"""

import keras

from mrcnn.ops import upsampling


@keras.saving.register_keras_serializable("mrcnn")
class ResizeCorners(keras.layers.Layer):
    """`mrcnn.ops.upsampling.resize_corners` to the size of another map: [B, h, w, C] and
    [B, H, W, ...] -> [B, H, W, C]."""

    def call(self, features, like):
        return upsampling.resize_corners(features, keras.ops.shape(like)[1:3])

    def compute_output_spec(self, features, like):
        shape = features.shape[0], *like.shape[1:3], features.shape[3]
        return keras.KerasTensor(shape, self.compute_dtype)
