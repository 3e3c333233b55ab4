"""ResNet and ResNeXt under matterport's layer names.

Shapes: B images, H W, C channels. C1..C5 have strides 2, 4, 8, 16, 32.
"""

import functools

from keras import layers

from mrcnn.network.norm import norm_layer
from mrcnn.settings import ConvStyle

# Blocks of stage 4 (the other stages have 3, 4 and 3), groups of the 3x3 convolutions and their
# channels in stage 2.
_ARCHITECTURES = {
    "resnet50": (6, 1, 64),
    "resnet101": (23, 1, 64),
    "resnext101_32x8d": (23, 32, 256),  # arXiv:1611.05431
}


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
        style: `ConvStyle`, or None for matterport's.
        groups: int, groups of the middle convolution.

    Returns:
        float [B, h, w, filters[2]].
    """
    style = style or ConvStyle(use_bias=use_bias)
    options = {"train_bn": train_bn, "style": style, "groups": groups}
    return bottleneck(kernel_size, filters, stage, block, **options)(input_tensor)


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
    style = style or ConvStyle(use_bias=use_bias)
    options = {"train_bn": train_bn, "style": style, "groups": groups, "projected": True}
    return bottleneck(kernel_size, filters, stage, block, strides, **options)(input_tensor)


def bottleneck(
    kernel_size,
    filters,
    stage,
    block,
    strides=1,
    *,
    train_bn,
    style,
    groups=1,
    projected=False,
    dilation=1,
):
    """The layers of a block, made once: a function of features, which may be applied again.

    `projected`: its shortcut is a strided 1x1 convolution, else its input. `dilation`: of the
    middle convolution.
    """
    branch = _branch(kernel_size, filters, stage, block, strides, train_bn, style, groups, dilation)
    shortcut, name = [], f"{stage}{block}_branch1"
    if projected:
        shortcut = [
            layers.Conv2D(filters[2], 1, strides, use_bias=style.use_bias, name="res" + name),
            norm_layer("bn" + name, filters[2], train_bn, style),
        ]
    add, relu = layers.Add(), layers.ReLU(name=f"res{stage}{block}_out")
    return lambda x: relu(add([_in_turn(branch, x), _in_turn(shortcut, x)]))


def _branch(kernel_size, filters, stage, block, strides, train_bn, style, groups, dilation):
    strided, branch = 0 if style.stride_in_1x1 else 1, []
    for i, (letter, channels, kernel) in enumerate(
        zip("abc", filters, (1, kernel_size, 1), strict=True)
    ):
        name = f"{stage}{block}_branch2{letter}"
        stride = strides if i == strided else 1
        padding = "same"
        if style.symmetric_padding and kernel > 1 and stride not in (1, (1, 1)):
            branch.append(layers.ZeroPadding2D(kernel // 2))
            padding = "valid"
        conv = layers.Conv2D(
            channels,
            kernel,
            stride,
            padding=padding,
            dilation_rate=dilation if i == 1 else 1,
            groups=groups if i == 1 else 1,
            use_bias=style.use_bias,
            name="res" + name,
        )
        branch += [conv, norm_layer("bn" + name, channels, train_bn, style)]
        if letter != "c":
            branch.append(layers.ReLU())
    return branch


def resnet_stage(stage, blocks, filters, *, train_bn, style, groups=1, dilation=1):
    """Bottleneck blocks, of which the first has stride 2; in stage 2, and with `dilation` of the
    3x3 convolutions above 1, stride 1.

    Returns:
        function: float [B, h, w, C] -> float [B, h / 2, w / 2, filters[2]]. Its layers are made
        once: what it is applied to again shares them.
    """
    options = {"train_bn": train_bn, "style": style, "groups": groups, "dilation": dilation}
    strides = 1 if stage == 2 or dilation > 1 else 2
    made = [bottleneck(3, filters, stage, "a", strides, projected=True, **options)]
    made += [bottleneck(3, filters, stage, chr(ord("a") + i), **options) for i in range(1, blocks)]
    return functools.partial(_in_turn, made)


def dilated_stage5(architecture, channels, *, train_bn, style):
    """Stage 5 whose features lie as densely as C4: stride 1, and 3x3 convolutions dilated by 2.

    Args:
        architecture: of `resnet_graph`; on any other backbone it is ResNet-50's.
        channels: int, of C4.
        train_bn, style: as of `resnet_graph`.

    Returns:
        function: float [B, h, w, channels] -> float [B, h, w, 2 * channels].
    """
    _, groups, base = _ARCHITECTURES.get(architecture, (None, 1, max(1, channels // 16)))
    filters = (8 * base, 8 * base, 2 * channels)
    options = {"train_bn": train_bn, "style": style, "groups": groups}
    return resnet_stage(5, 3, filters, dilation=2, **options)


def _in_turn(functions, x):
    return functools.reduce(lambda x, function: function(x), functions, x)


def resnet_graph(input_image, architecture, stage5=False, train_bn=True, style=None):
    """ResNet (arXiv:1512.03385) or ResNeXt (arXiv:1611.05431).

    Args:
        input_image: float [B, H, W, C].
        architecture: "resnet50", "resnet101" or "resnext101_32x8d".
        stage5: bool, whether to build C5.
        train_bn: see `Config.TRAIN_BN`.
        style: `ConvStyle`, or None for matterport's.

    Returns:
        list of five tensors, C1 to C5; C5 is None without `stage5`.
    """
    style = style or ConvStyle()
    stage4_blocks, groups, base = _ARCHITECTURES[architecture]
    x = layers.ZeroPadding2D(3)(input_image)
    x = layers.Conv2D(64, 7, 2, use_bias=style.use_bias, name="conv1")(x)
    x = norm_layer("bn_conv1", 64, train_bn, style)(x)
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
        x = resnet_stage(stage, blocks[stage], filters, **options)(x)
        features.append(x)
    return features if stage5 else [*features, None]
