"""What the layers without weights share.

Shapes: B images, N boxes, S selected boxes.
"""

import dataclasses

import keras
from keras import ops

from mrcnn.image.meta import parse_image_meta
from mrcnn.ops.boxes import norm_boxes
from mrcnn.ops.indexing import gather
from mrcnn.settings import plain


class PureLayer(keras.layers.Layer):
    """A layer without weights, in float32: one pure function with the settings of its stage.

    Args:
        settings: an instance of the layer's `settings_type`; None: one is made of `values`.
        name: str.
        values: fields of the settings, as a saved model has them.
    """

    settings_type = None

    def __init__(self, settings=None, name=None, **values):
        super().__init__(name=name, dtype="float32", autocast=False)
        if settings is None and self.settings_type is not None:
            # Lists, as a saved model has them, become tuples.
            settings = self.settings_type(**{key: plain(x) for key, x in values.items()})
        self.settings = settings

    def get_config(self):
        fields = {} if self.settings is None else dataclasses.asdict(self.settings)
        return {"name": self.name, **fields}


def image_shape(image_meta):
    """Height and width of each molded image: [B, META] -> float [B, 2]."""
    return parse_image_meta(image_meta)["image_shape"][:, :2]


def normalized_window(image_meta, box_offset):
    """Where the picture lies in its molded image: [B, META] -> float [B, 4], normalised."""
    window = parse_image_meta(image_meta)["window"]
    return norm_boxes(window, image_shape(image_meta), box_offset)


def take_kept(values, keep):
    """Rows of `values` [B, N, ...] by index [B, S], zeros where the index is -1."""
    taken = gather(values, ops.maximum(keep, 0))
    return ops.where(ops.expand_dims(keep >= 0, -1), taken, 0.0)
