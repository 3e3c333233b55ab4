"""Mask R-CNN DC5 on one page: no pyramid, and stage 5 as dense as C4.

Stage 5 of the ResNet keeps the stride of 16, and its 3x3 convolutions are dilated by 2 instead
(arXiv:1605.06409, section 2.2). Anchors of all scales lie on it, and the heads of Mask R-CNN pool
from it. Without masks it is Faster R-CNN.

Shapes: B images, h w of a feature map, C channels.
"""

from mrcnn.network import mask_rcnn
from mrcnn.network.backbones import build_backbone
from mrcnn.network.resnet import dilated_stage5
from mrcnn.network.trunk import image_inputs, score_anchors


def build_trunk(settings):
    """Images -> C4 -> dilated C5 [B, h, w, C] -> scored anchors, as a dict of tensors by name."""
    inputs = image_inputs(settings.image)
    images, trunk, style = inputs["input_image"], settings.trunk, settings.style
    *features, _ = build_backbone(images, trunk, style, stage5=False)  # C2..C4
    c4 = features[-1]
    stage5 = dilated_stage5(trunk.backbone, c4.shape[-1], train_bn=trunk.train_bn, style=style)
    features.append(stage5(c4))
    return inputs | {"features": features} | score_anchors(settings, images, features[-1:])


def build_graphs(settings, training=False):
    """Mask R-CNN's graphs on this trunk: see `mrcnn.network.mask_rcnn.build_graphs`."""
    return mask_rcnn.build_graphs(settings, training, build_trunk=build_trunk)
