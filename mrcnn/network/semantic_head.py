"""The semantic head of Panoptic FPN, which alone is Semantic FPN (arXiv:1901.02446, figure 3).

`semantic_head` makes its layers once and returns a function of tensors, so that all graphs share
them. Shapes: B images, H W, C channels, S classes.
"""

from keras import layers

from mrcnn.layers.semantic import Upsample
from mrcnn.network.norm import group_norm

LEVELS = (2, 3, 4, 5)


def semantic_head(settings, num_classes):
    """Class of each pixel, by a pyramid whose levels are all brought to stride 4.

    Each step of a level is a 3x3 convolution, GroupNorm, ReLU, and above stride 4 bilinear
    upsampling by 2; the levels are then added.

    Args:
        settings: `mrcnn.settings.SemanticHead`.
        num_classes: int S.

    Returns:
        function: [P2, ..., P5] -> `semantic_logits` float32 [B, H / 4, W / 4, S].
    """
    levels = [_level(level, settings.channels) for level in LEVELS]
    add = layers.Add(name="semantic_add")
    predict = layers.Conv2D(num_classes, 1, dtype="float32", name="semantic_logits")

    def head(pyramid):
        merged = []
        for hidden, x in zip(levels, pyramid[: len(LEVELS)], strict=True):
            for layer in hidden:
                x = layer(x)
            merged.append(x)
        return predict(add(merged))

    return head


def _level(level, channels):
    """The layers of a level."""
    hidden = []
    for i in range(1, max(level - 2, 1) + 1):
        name = f"semantic_p{level}"
        conv = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
        hidden.append(layers.Conv2D(channels, 3, name=f"{name}_conv{i}", **conv))
        hidden.append(group_norm(f"{name}_gn{i}", channels))
        hidden.append(layers.ReLU(name=f"{name}_relu{i}"))
        if level > 2:
            hidden.append(Upsample(2, name=f"{name}_upsampled{i}"))
    return hidden
