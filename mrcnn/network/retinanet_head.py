"""The head of RetinaNet: what each anchor is, and how it moves.

Shapes: B images, h w of a level's feature map, R anchors at a location, K classes, C channels.
"""

import math

from keras import initializers, layers

from mrcnn.network.heads import new_kernel
from mrcnn.network.norm import group_norm

TOWER = 4  # convolutions before the last
PRIOR = 0.01  # probability that a new head gives every class: most anchors are background


def retinanet_head(settings, anchors):
    """Two towers of convolutions, one for classes and one for boxes, shared by all levels
    (arXiv:1708.02002).

    Args:
        settings: `mrcnn.settings.RetinaNetHead`.
        anchors: `mrcnn.settings.Anchors`: how many at a location (R).

    Returns:
        function: float [B, h, w, C] -> class logits [B, h*w*R, K] and deltas [B, h*w*R, 4].
    """
    bias = initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    outputs = {  # name of the tower: its last convolution, bias, values of an anchor
        "class": ("retinanet_class_raw", bias, settings.num_classes),
        "bbox": ("retinanet_bbox_pred", "zeros", 4),
    }
    towers = []
    for name, (last, bias_initializer, values) in outputs.items():
        tower = tower_layers(f"retinanet_{name}", settings)
        tower.append(
            layers.Conv2D(
                anchors.per_location * values,
                3,
                padding="same",
                kernel_initializer=new_kernel(settings.init_std),
                bias_initializer=bias_initializer,
                name=last,
            )
        )
        tower.append(layers.Reshape((-1, values)))  # (B, h, w, R*values) -> (B, h*w*R, values)
        towers.append(tower)

    def head(feature):
        found = []
        for tower in towers:
            x = feature
            for layer in tower:
                x = layer(x)
            found.append(x)
        return tuple(found)

    return head


def tower_layers(prefix, settings):
    """The layers before a tower's last: 3x3 convolutions, with GroupNorm if the settings say so."""
    hidden = []
    for i in range(1, TOWER + 1):
        hidden.append(
            layers.Conv2D(
                settings.channels,
                3,
                padding="same",
                use_bias=not settings.norm,
                kernel_initializer=new_kernel(settings.init_std),
                name=f"{prefix}_conv{i}",
            )
        )
        if settings.norm:
            hidden.append(group_norm(f"{prefix}_gn{i}", settings.channels))
        hidden.append(layers.ReLU())
    return hidden
