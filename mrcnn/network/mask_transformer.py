"""The heads of MaX-DeepLab (arXiv:2012.00759, section 3.2): N masks and their classes, and the
class of each pixel, which training alone needs.

Layers have the names of deeplab2's weights, "_" in place of "/".

Shapes: B images, h w of a map of stride 4, N masks, K classes: background, things, stuff.
"""

import math

import keras
import numpy as np
from keras import layers, ops

from mrcnn.layers.corners import ResizeCorners
from mrcnn.network.attention import AttentionNorm
from mrcnn.network.deeplab_blocks import Blocks

# As deeplab2's `MaXDeepLab` has them.
FEATURES = 128  # of a pixel and of a mask, whose product says whether it belongs to it
HIDDEN = 256
ATROUS_RATES = (6, 12, 18)  # at stride 16
VOID_PRIOR = 0.9  # probability of a new network that a mask is none


def mask_heads(settings, style, features):
    """The masks and their classes.

    Args:
        settings: `mrcnn.settings.MaskTransformer`.
        style: `mrcnn.settings.ConvStyle`.
        features: dict of `axial_resnet`.

    Returns:
        dict of float32: `pixel_space_normalized_feature` [B, h, w, ...], of length 1,
        `pixel_space_mask_logits` [B, h, w, N], `transformer_class_logits` [B, N, K]: things, stuff,
        and last none of them.
    """
    blocks = Blocks(settings, style)
    channels = blocks.channels(FEATURES)
    pixels = _head(blocks, features["panoptic"], "pixel_space_head", channels)
    pixels = blocks.norm(pixels, "pixel_space_feature_batch_norm")
    unit = layers.UnitNormalization(dtype="float32", name="pixel_space_normalized_feature")(pixels)
    kernels = blocks.conv(features["mask"], "transformer_mask_head", channels)  # (B, 1, N, ...)
    norm = {"gamma": settings.gammas[1], **blocks.norms}
    logits = MaskLogits(norm, name="pixel_space_mask_logits")(unit, kernels)
    return {
        "pixel_space_normalized_feature": unit,
        "pixel_space_mask_logits": logits,
        "transformer_class_logits": _class_logits(settings, features["class"]),
    }


def _class_logits(settings, memory):
    """What each vector of the memory is: [B, 1, N, D] -> float32 [B, N, K]."""
    count = settings.num_classes
    prior = np.zeros(count, np.float32)
    prior[-1] = void_prior(count)
    logits = layers.Conv2D(
        count,
        1,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(prior),
        dtype="float32",
        name="transformer_class_head_conv",
    )(memory)
    shape = settings.slots, count
    return layers.Reshape(shape, dtype="float32", name="transformer_class_logits")(logits)


def void_prior(count):
    """The bias that makes none of them as probable as VOID_PRIOR among `count` classes."""
    return math.log((count - 1) * VOID_PRIOR / (1 - VOID_PRIOR))


def semantic_head(settings, style, features):
    """The class of each pixel: `semantic_logits` float32 [B, h, w, K].

    Features of stride 16 are decoded first, as in Panoptic-DeepLab (arXiv:1911.10194).

    Args: as of `mask_heads`.
    """
    blocks, x = Blocks(settings, style), features["semantic"]
    if blocks.size.extra_stacks == 0:
        x = _atrous_pyramid(blocks, x, "auxiliary_semantic_decoder_aspp")
        for i, (level, channels) in enumerate((("res3", 64), ("res2", 32)), 1):
            place = f"auxiliary_semantic_decoder_{{}}{i}"
            name = place.format("low_level_conv")
            low = blocks.conv(features[level], name, blocks.channels(channels), relu=True)
            x = ResizeCorners(name=place.format("resized"))(x, low)
            x = layers.Concatenate(name=place.format("concat"))([x, low])
            name = f"{place.format('fusion_conv')}_conv1_bn_act"
            x = blocks.separable(x, name, blocks.channels(HIDDEN))
    x = _head(blocks, x, "auxiliary_semantic_head", settings.num_classes, dtype="float32")
    return layers.Activation("linear", dtype="float32", name="semantic_logits")(x)


def _atrous_pyramid(blocks, x, name):
    """Atrous spatial pyramid pooling (arXiv:1706.05587): [B, H, W, C] -> [B, H, W, ...]."""
    channels = blocks.channels(HIDDEN)
    relu = {"relu": True}
    parts = [blocks.conv(x, f"{name}_conv_bn_act", channels, **relu)]
    for i, rate in enumerate(ATROUS_RATES, 1):
        part = f"{name}_aspp_conv{i}_conv_bn_act"
        parts.append(blocks.conv(x, part, channels, 3, dilation_rate=rate, **relu))
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    pooled = blocks.conv(pooled, f"{name}_aspp_pool_conv_bn_act", channels, **relu)
    parts.append(ResizeCorners(name=f"{name}_pool_resized")(pooled, x))
    x = layers.Concatenate(name=f"{name}_concat")(parts)
    x = blocks.conv(x, f"{name}_proj_conv_bn_act", channels, **relu)
    return layers.Dropout(0.1, name=f"{name}_proj_drop")(x)


def _head(blocks, x, name, channels, **options):
    """A separable 5x5 convolution, and a 1x1 one."""
    x = blocks.separable(x, f"{name}_conv_block_conv1_bn_act", blocks.channels(HIDDEN))
    start = keras.initializers.TruncatedNormal(stddev=0.01)
    last = layers.Conv2D(
        channels, 1, kernel_initializer=start, name=f"{name}_final_conv", **options
    )
    return last(x)


@keras.saving.register_keras_serializable("mrcnn")
class MaskLogits(layers.Layer):
    """How well each pixel fits each mask: [B, h, w, C] and [B, 1, N, C] -> float32 [B, h, w, N].

    The product is normalised as one channel, so that no mask has a bias of its own.

    Args:
        norm: dict, arguments of its `AttentionNorm`.
    """

    def __init__(self, norm=None, **kwargs):
        super().__init__(**kwargs)
        self.given = dict(norm or {})
        self.norm = AttentionNorm((1,), name="batch_norm", **self.given)

    def build(self, pixels_shape, masks_shape):
        self.norm.build()

    def call(self, pixels, masks, training=None):
        product = ops.einsum("bhwc,bnc->bhwn", ops.cast(pixels, masks.dtype), masks[:, 0])
        product = ops.cast(product, "float32")
        terms = [product] if self.norm.takes_statistics(training) else None
        images = ops.shape(pixels)[0]
        scale, shift = self.norm.scale_and_shift(terms, (0, 1, 2, 3), images)  # (1,) or (1, B)
        scale, shift = (each[0][..., None, None, None] for each in (scale, shift))
        return product * scale + shift

    def compute_output_spec(self, pixels, masks, training=None):
        return keras.KerasTensor((*pixels.shape[:3], masks.shape[2]), "float32")

    def get_config(self):
        return {**super().get_config(), "norm": self.given}
