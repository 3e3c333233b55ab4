"""What torchvision and detectron2 call the weights of RetinaNet."""

import numpy as np

from mrcnn.network.retinanet_head import TOWER
from mrcnn.weights.names.detectron2 import detectron2_pyramid
from mrcnn.weights.names.layouts import conv, deltas, same
from mrcnn.weights.names.torchvision import torchvision_backbone

LEVELS = (3, 4, 5)
# Logit of the background, which detectron2 has none for: a probability of 2e-9, without a gradient.
NEVER = -20.0


def torchvision_retinanet():
    """(our layer, torchvision's module, layout), names from before its 0.13 beside today's."""
    yield from torchvision_backbone(LEVELS)
    classes, boxes = "head.classification_head", "head.regression_head"
    for ours, head in (("class", classes), ("bbox", boxes)):
        for i in range(TOWER):
            yield f"retinanet_{ours}_conv{i + 1}", f"{head}.conv.{2 * i}", conv
            yield f"retinanet_{ours}_conv{i + 1}", f"{head}.conv.{i}.0", conv
            yield f"retinanet_{ours}_gn{i + 1}", f"{head}.conv.{i}.1", same
    yield "retinanet_class_raw", f"{classes}.cls_logits", conv
    yield "retinanet_bbox_pred", f"{boxes}.bbox_reg", deltas
    for level in (6, 7):
        yield f"fpn_p{level}", f"backbone.fpn.extra_blocks.p{level}", conv


def detectron2_retinanet(anchors):
    """(our layer, detectron2's module, layout); `anchors`: `mrcnn.settings.Anchors`."""
    yield from detectron2_pyramid(LEVELS)
    shape = np.size(anchors.scales[0]), len(anchors.ratios)
    for ours, theirs in (("class", "cls"), ("bbox", "bbox")):
        for i in range(TOWER):
            yield f"retinanet_{ours}_conv{i + 1}", f"head.{theirs}_subnet.{2 * i}", conv
    yield "retinanet_class_raw", "head.cls_score", _class_logits(*shape)
    yield "retinanet_bbox_pred", "head.bbox_pred", _box_deltas(*shape)
    for level in (6, 7):
        yield f"fpn_p{level}", f"backbone.top_block.p{level}", conv


def _by_ratio(array, scales, ratios):
    """(S * R * values, ...) -> (R * S, values, ...): all scales of the first ratio first."""
    array = array.reshape(scales, ratios, -1, *array.shape[1:])
    return array.swapaxes(0, 1).reshape(scales * ratios, *array.shape[2:])


def _class_logits(scales, ratios):
    """Logits of the K - 1 objects -> of K classes, background's first and far below the others."""

    def layout(array):
        array = _by_ratio(array, scales, ratios)  # (R * S, K - 1, ...)
        fill = NEVER if array.ndim == 2 else 0.0  # the bias says it all
        widths = [(0, 0), (1, 0), *[(0, 0)] * (array.ndim - 2)]
        array = np.pad(array, widths, constant_values=fill)
        return conv(array.reshape(-1, *array.shape[2:]))

    return layout


def _box_deltas(scales, ratios):
    """As `deltas`, of anchors in the order of `_by_ratio`."""

    def layout(array):
        array = _by_ratio(array, scales, ratios)  # (R * S, 4, ...)
        return deltas(array.reshape(-1, *array.shape[2:]))

    return layout
