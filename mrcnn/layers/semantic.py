"""Layers of semantic heads. Like all layers here, without weights.

Shapes: B images, h w of a feature map, C channels, F a factor.
"""

import keras

from mrcnn.layers.base import PureLayer
from mrcnn.ops import semantic, upsampling


@keras.saving.register_keras_serializable("mrcnn")
class Upsample(keras.layers.Layer):
    """`mrcnn.ops.upsampling.upsample`: [B, h, w, C] -> [B, F*h, F*w, C], in the type of features.

    Args:
        factor: int F.
    """

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, features):
        return upsampling.upsample(features, self.factor)

    def compute_output_spec(self, features):
        batch, height, width, channels = features.shape
        height, width = (side and side * self.factor for side in (height, width))
        return keras.KerasTensor((batch, height, width, channels), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("mrcnn")
class StuffTargets(PureLayer):
    """Targets of a head of stuff: `mrcnn.ops.semantic.stuff_targets`.

    Args:
        thing_classes: int, classes of instances with the background.
    """

    def __init__(self, thing_classes, name=None):
        super().__init__(name=name)
        self.thing_classes = thing_classes

    def call(self, labels):
        return semantic.stuff_targets(labels, self.thing_classes)

    def get_config(self):
        return {**super().get_config(), "thing_classes": self.thing_classes}
