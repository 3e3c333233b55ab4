"""The blocks of MaX-DeepLab: residual ones with axial attention, and the dual path of a memory.

Layers have the names of deeplab2's weights, "_" in place of "/".

Shapes: B images, H W of a map, N vectors of the memory, C D channels.
"""

import dataclasses
import math

import keras
from keras import layers

from mrcnn.network.attention import AxialAttention, CrossAttention
from mrcnn.network.norm import norm_layer

HEADS = 8
ATTENTION_STRIDE = 16  # of a published ResNet: from here on 3x3 convolutions are attention
FEED_FORWARD = 2048  # channels inside the memory's feed-forward network


@dataclasses.dataclass(frozen=True)
class Size:
    """What the published sizes differ in; the defaults are MaX-DeepLab-S.

    Attributes:
        blocks: ints, of the stages 2 to 5.
        wide: bool, a Wide-ResNet: another stem, a stage 1 of 3 blocks, and blocks of two 3x3
            convolutions where there is no attention.
        memory_channels: int, of the memory, and of what the heads of its classes and masks take.
        memory_from: int, stride from which on the memory takes part.
        memory_expansion: float, factor of its 128 channels at stride 16.
        attention_expansion: int, channels that attention is given, over the block's own.
        key_expansion, value_expansion: int, of attention along an axis.
        backbone_stacks, extra_stacks: int, how often features go up to stride 4 and down again, in
            the backbone and after it.
        extra_blocks: int, of a stage after the backbone.
        drop_from: int, stride from which on blocks are dropped in training.
    """

    blocks: tuple = (3, 4, 6, 3)
    wide: bool = False
    memory_channels: int = 256
    memory_from: int = 32
    memory_expansion: float = 1.0
    attention_expansion: int = 2
    key_expansion: int = 1
    value_expansion: int = 2
    backbone_stacks: int = 0
    extra_stacks: int = 0
    extra_blocks: int = 1
    drop_from: int = 16


SIZES = {
    "max_deeplab_s": Size(),
    "max_deeplab_l": Size(
        blocks=(3, 6, 3, 3),
        wide=True,
        memory_channels=512,
        memory_from=16,
        memory_expansion=2.0,
        attention_expansion=4,
        key_expansion=2,
        value_expansion=4,
        backbone_stacks=1,
        extra_stacks=1,
        extra_blocks=3,
        drop_from=4,
    ),
}


class Blocks:
    """Makes the layers of a network of these settings, each with its whole name.

    Args:
        settings: `mrcnn.settings.MaskTransformer`.
        style: `mrcnn.settings.ConvStyle`.
    """

    def __init__(self, settings, style):
        size = SIZES[settings.backbone]
        self.size = dataclasses.replace(size, blocks=settings.blocks or size.blocks)
        self.settings, self.style = settings, style

    def channels(self, count):
        """int, a published number of channels at this width, a multiple of the heads."""
        return max(HEADS, HEADS * round(count * self.settings.width / HEADS))

    def norm(self, x, name, **options):
        """Normalised [B, H, W, C]."""
        layer = norm_layer(name, x.shape[-1], self.settings.train_bn, self.style, **options)
        return layer(x)

    def conv(self, x, name, channels, kernel=1, strides=1, *, relu=False, last=False, **options):
        """Convolution, normalisation, perhaps ReLU; `last` of what is added to a path."""
        if strides > 1 and kernel > 1:
            x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_zeropad")(x)
        options = {"kernel_initializer": "he_normal", **options}
        x = layers.Conv2D(
            channels,
            kernel,
            strides,
            padding="valid" if strides > 1 else "same",
            use_bias=False,
            name=f"{name}_conv",
            **options,
        )(x)
        gamma = keras.initializers.Constant(self.settings.gammas[0] if last else 1.0)
        x = self.norm(x, f"{name}_batch_norm", gamma_initializer=gamma)
        return self.relu(x, name) if relu else x

    def separable(self, x, name, channels, kernel=5):
        """Depthwise and pointwise convolution, each with normalisation and ReLU."""
        depthwise = f"{name}_depthwise"
        x = layers.DepthwiseConv2D(
            kernel, padding="same", use_bias=False, name=f"{depthwise}_depthwise_conv"
        )(x)
        x = self.relu(self.norm(x, f"{depthwise}_batch_norm"), depthwise)
        return self.conv(x, f"{name}_pointwise", channels, relu=True)

    def relu(self, x, name):
        """ReLU of a tensor of that name."""
        return layers.ReLU(name=f"{name}_relu")(x)

    def drop(self, x, name, stride):
        """Drops what a block adds, for whole images: stochastic depth (arXiv:1603.09382)."""
        stage = math.log2(stride) - 1
        rate = self.settings.drop_path * stage / 4 if stride >= self.size.drop_from else 0
        if not rate:
            return x
        return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop_path")(x)

    # Blocks.

    def block(self, x, name, filters, stride, strides=1):
        """A residual block: float [B, H, W, C] -> [B, H, W, 4 * filters], both before a ReLU.

        Args:
            x: the features.
            name: str.
            filters: int, of the middle of it.
            stride: int, of a published ResNet at this place: from 16 on the middle is attention.
            strides: int, how much smaller the result is.
        """
        out, relu = 4 * filters, {"relu": True}
        shortcut = x = self.relu(x, f"{name}_input")
        if x.shape[-1] != out or strides > 1:
            shortcut = self.conv(x, f"{name}_shortcut", out, strides=strides)
        if stride >= ATTENTION_STRIDE:
            inner = filters * self.size.attention_expansion
            y = self.conv(x, f"{name}_conv1_bn_act", inner, **relu)
            y = self.axial_attention(y, f"{name}_attention", filters)
            y = self.conv(y, f"{name}_conv3_bn", out, last=True)
        elif self.size.wide:
            y = self.conv(x, f"{name}_conv1_bn_act", out, 3, strides, **relu)
            y = self.conv(y, f"{name}_conv2_bn", out, 3, last=True)
        else:
            y = self.conv(x, f"{name}_conv1_bn_act", filters, **relu)
            y = self.conv(y, f"{name}_conv2_bn_act", filters, 3, strides, **relu)
            y = self.conv(y, f"{name}_conv3_bn", out, last=True)
        return layers.Add(name=f"{name}_add")([self.drop(y, name, stride), shortcut])

    def axial_attention(self, x, name, filters):
        """Attention along the height, then along the width, then ReLU."""
        key = filters * self.size.key_expansion
        value = filters * self.size.value_expansion
        for axis, side in ((1, "height"), (2, "width")):
            place = f"{name}_{side}_axis"
            start = _transformer_start(x.shape[-1])
            x = layers.Conv2D(
                2 * key + value, 1, use_bias=False, kernel_initializer=start, name=f"{place}_qkv"
            )(x)
            x = self.norm(x, f"{place}_batch_norm_qkv")
            x = AxialAttention(HEADS, key, value, axis, name=place, norm=self.norms)(x)
        return self.relu(x, name)

    def dual_path(self, pixels, memory, name, filters, stride):
        """Memory reads pixels and itself, pixels read the memory (arXiv:2012.00759, section 3.2).

        Args:
            pixels: float [B, H, W, C], before a ReLU.
            memory: float [B, 1, N, D].
            name: str.
            filters: int, channels of the keys.
            stride: as of `block`.

        Returns:
            The pixels, before a ReLU, and the memory.
        """
        m = self.conv(memory, f"{name}_memory_conv1_bn_act", 2 * filters, relu=True)
        p = self.relu(pixels, f"{name}_pixel_input")
        p = self.conv(p, f"{name}_pixel_conv1_bn_act", 2 * filters, relu=True)
        m = self._queries(m, f"{name}_memory_qkv_conv_bn", filters)
        p = self._queries(p, f"{name}_pixel_qkv_conv_bn", filters)

        read = self._cross_attention(f"{name}_memory_attention", filters)
        seen = read(m, [p, m])
        memory = self._added(memory, seen, f"{name}_memory_conv3_bn", stride)
        memory = self.relu(memory, f"{name}_memory")
        hidden = self.conv(
            memory, f"{name}_memory_ffn_conv1_bn_act", self.channels(FEED_FORWARD), relu=True
        )
        memory = self._added(memory, hidden, f"{name}_memory_ffn_conv2_bn", stride)
        memory = self.relu(memory, f"{name}_memory_ffn")

        read = self._cross_attention(f"{name}_pixel_attention", filters)
        return self._added(pixels, read(p, [m]), f"{name}_pixel_conv3_bn", stride), memory

    def _queries(self, x, name, filters):
        """Queries, keys and values beside each other, of `filters`, as many, and twice as many."""
        start = _transformer_start(x.shape[-1])
        return self.conv(x, name, 4 * filters, kernel_initializer=start)

    def _cross_attention(self, name, filters):
        """A layer of attention with a ReLU, as a function of what `_queries` returns."""
        attend = CrossAttention(HEADS, filters, 2 * filters, name=name, norm=self.norms)
        return lambda own, others: self.relu(attend(own, others), name)

    def _added(self, x, residual, name, stride):
        """x and the projection of a residual, which training may drop."""
        residual = self.conv(residual, name, x.shape[-1], last=True)
        return layers.Add(name=f"{name}_add")([x, self.drop(residual, name, stride)])

    @property
    def norms(self):
        """Keyword arguments of `mrcnn.network.attention.AttentionNorm`."""
        return {
            "train_bn": self.settings.train_bn,
            "epsilon": self.style.epsilon,
            "per_image": self.style.norm == "group",
        }


def _transformer_start(channels):
    """The initial values of what makes queries, as of transformers without a norm."""
    return keras.initializers.TruncatedNormal(stddev=channels**-0.5)
