"""Backbones and the feature pyramid, under matterport's layer names.

Shapes: B images, H W, C channels. A backbone maps images [B, H, W, C] to C1..C5 with strides
2, 4, 8, 16, 32; the pyramid maps C2..C5 to P2..P6 with strides 4 to 64.
"""

import dataclasses

from keras import layers

from mrcnn.efficientnet import efficientnet_lite0_graph
from mrcnn.norm import BatchNorm

# Blocks of stage 4 (the other stages have 3, 4 and 3), groups of the 3x3 convolutions and their
# channels in stage 2.
_ARCHITECTURES = {
    "resnet50": (6, 1, 64),
    "resnet101": (23, 1, 64),
    "resnext101_32x8d": (23, 32, 256),  # arXiv:1611.05431
}


@dataclasses.dataclass(frozen=True)
class ResNetStyle:
    """In what the ResNets of different libraries differ; the defaults are matterport's.

    Attributes:
        use_bias: bool, biases of the convolutions.
        epsilon: float, of BatchNorm.
        stride_in_1x1: bool, whether the first 1x1 convolution of a block has its stride, else the
            3x3 one.
        symmetric_padding: bool, whether pooling and the strided 3x3 convolutions pad both sides
            alike, else as TensorFlow's "same".
    """

    use_bias: bool = True
    epsilon: float = 1e-3
    stride_in_1x1: bool = True
    symmetric_padding: bool = False


def identity_block(
    input_tensor,
    kernel_size,
    filters,
    stage,
    block,
    use_bias=True,
    train_bn=True,
    style=None,
    groups=1,
):
    """A bottleneck block (arXiv:1512.03385) whose shortcut is its input.

    Args:
        input_tensor: float [B, h, w, filters[2]].
        kernel_size: int, of the middle convolution.
        filters: three ints, channels of the convolutions.
        stage: int, for the layer names.
        block: str, letter for the layer names.
        use_bias: bool, biases of the convolutions; unless `style` says so.
        train_bn: see `Config.TRAIN_BN`.
        style: `ResNetStyle`, or None for matterport's.
        groups: int, groups of the middle convolution.

    Returns:
        float [B, h, w, filters[2]].
    """
    style = style or ResNetStyle(use_bias)
    x = _branch(input_tensor, kernel_size, filters, stage, block, 1, train_bn, style, groups)
    x = layers.Add()([x, input_tensor])
    return layers.ReLU(name=f"res{stage}{block}_out")(x)


def conv_block(
    input_tensor,
    kernel_size,
    filters,
    stage,
    block,
    strides=(2, 2),
    use_bias=True,
    train_bn=True,
    style=None,
    groups=1,
):
    """As `identity_block`, with strides, and a strided 1x1 convolution as shortcut."""
    style = style or ResNetStyle(use_bias)
    x = _branch(input_tensor, kernel_size, filters, stage, block, strides, train_bn, style, groups)
    name = f"{stage}{block}_branch1"
    shortcut = layers.Conv2D(filters[2], 1, strides, use_bias=style.use_bias, name="res" + name)(
        input_tensor
    )
    shortcut = BatchNorm(train_bn, epsilon=style.epsilon, name="bn" + name)(shortcut)
    x = layers.Add()([x, shortcut])
    return layers.ReLU(name=f"res{stage}{block}_out")(x)


def _branch(x, kernel_size, filters, stage, block, strides, train_bn, style, groups):
    strided = 0 if style.stride_in_1x1 else 1
    for i, (letter, channels, kernel) in enumerate(
        zip("abc", filters, (1, kernel_size, 1), strict=True)
    ):
        name = f"{stage}{block}_branch2{letter}"
        stride = strides if i == strided else 1
        padding = "same"
        if style.symmetric_padding and kernel > 1 and stride not in (1, (1, 1)):
            x, padding = layers.ZeroPadding2D(kernel // 2)(x), "valid"
        x = layers.Conv2D(
            channels,
            kernel,
            stride,
            padding=padding,
            groups=groups if i == 1 else 1,
            use_bias=style.use_bias,
            name="res" + name,
        )(x)
        x = BatchNorm(train_bn, epsilon=style.epsilon, name="bn" + name)(x)
        if letter != "c":
            x = layers.ReLU()(x)
    return x


def resnet_graph(input_image, architecture, stage5=False, train_bn=True, style=None):
    """ResNet (arXiv:1512.03385) or ResNeXt (arXiv:1611.05431).

    Args:
        input_image: float [B, H, W, C].
        architecture: "resnet50", "resnet101" or "resnext101_32x8d".
        stage5: bool, whether to build C5.
        train_bn: see `Config.TRAIN_BN`.
        style: `ResNetStyle`, or None for matterport's.

    Returns:
        list of five tensors, C1 to C5; C5 is None without `stage5`.
    """
    style = style or ResNetStyle()
    stage4_blocks, groups, base = _ARCHITECTURES[architecture]
    x = layers.ZeroPadding2D(3)(input_image)
    x = layers.Conv2D(64, 7, 2, use_bias=style.use_bias, name="conv1")(x)
    x = BatchNorm(train_bn, epsilon=style.epsilon, name="bn_conv1")(x)
    x = layers.ReLU()(x)
    if style.symmetric_padding:  # with zeros, which no maximum after a ReLU notices
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    else:
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
    features = [x]
    blocks = {2: 3, 3: 4, 4: stage4_blocks, 5: 3}
    for stage in (2, 3, 4, 5) if stage5 else (2, 3, 4):
        width = base * 2 ** (stage - 2)
        filters = (width, width, 256 * 2 ** (stage - 2))
        options = {"train_bn": train_bn, "style": style, "groups": groups}
        x = conv_block(x, 3, filters, stage, "a", 1 if stage == 2 else 2, **options)
        for i in range(1, blocks[stage]):
            x = identity_block(x, 3, filters, stage, chr(ord("a") + i), **options)
        features.append(x)
    return features if stage5 else [*features, None]


def build_backbone(backbone, images, train_bn, style):
    """Applies the backbone of a name or callable of `Config.BACKBONE` -> [C2, C3, C4, C5].

    Raises:
        ValueError: a callable returned anything but five feature maps of strides 2 to 32.
    """
    if backbone == "efficientnet_lite0":
        return efficientnet_lite0_graph(images, train_bn=train_bn, epsilon=style.epsilon)[1:]
    if not callable(backbone):
        return resnet_graph(images, backbone, stage5=True, train_bn=train_bn, style=style)[1:]
    features = list(backbone(images, stage5=True, train_bn=train_bn))
    if len(features) != 5:
        raise ValueError(
            f"BACKBONE {backbone} returned {len(features)} feature maps; expected [C1, ..., C5]"
        )
    for level, feature in zip((2, 3, 4, 5), features[1:], strict=True):
        for side, got in zip(images.shape[1:3], feature.shape[1:3], strict=True):
            if None not in (side, got) and side != got * 2**level:
                raise ValueError(
                    f"BACKBONE {backbone} returned C{level} of shape {tuple(feature.shape)} for "
                    f"images {tuple(images.shape)}; expected stride {2**level}"
                )
    return features[1:]


def fpn(features, channels, norm=False, train_bn=None, style=None):
    """Feature pyramid (arXiv:1612.03144): [C2, C3, C4, C5] -> [P2, P3, P4, P5, P6].

    Args:
        features: four tensors, finest first.
        channels: int, channels of every level.
        norm: bool, BatchNorm after each convolution.
        train_bn: see `Config.TRAIN_BN`.
        style: `ResNetStyle` of the normalised convolutions.
    """
    style = style or ResNetStyle()

    def conv(x, kernel, name):
        bias = style.use_bias or not norm
        x = layers.Conv2D(channels, kernel, padding="same", use_bias=bias, name=name)(x)
        return BatchNorm(train_bn, epsilon=style.epsilon, name=f"{name}_bn")(x) if norm else x

    c2, c3, c4, c5 = features
    tops = [conv(c5, 1, "fpn_c5p5")]
    for level, feature in ((4, c4), (3, c3), (2, c2)):
        above = layers.UpSampling2D(2, name=f"fpn_p{level + 1}upsampled")(tops[0])
        lateral = conv(feature, 1, f"fpn_c{level}p{level}")
        tops.insert(0, layers.Add(name=f"fpn_p{level}add")([above, lateral]))
    pyramid = [conv(top, 3, f"fpn_p{level}") for level, top in zip((2, 3, 4, 5), tops, strict=True)]
    return [*pyramid, layers.MaxPooling2D(1, 2, name="fpn_p6")(pyramid[-1])]
