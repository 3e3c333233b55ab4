"""What other libraries call the weights, and how they lay them out.

Our names are matterport's. `source_names` is the one table that the loader asks.
"""

import dataclasses

from mrcnn.network.efficientnet import LITE0_IGNORED, lite0_names
from mrcnn.weights.names.detectron2 import (
    detectron2_c4_layers,
    detectron2_cascade_layers,
    detectron2_dc5_layers,
    detectron2_layers,
)
from mrcnn.weights.names.keras import keras_names
from mrcnn.weights.names.layouts import class_masks, conv, depthwise, same
from mrcnn.weights.names.pytorch import pytorch_names
from mrcnn.weights.names.retinanet import detectron2_retinanet, torchvision_retinanet
from mrcnn.weights.names.torchvision import torchvision_layers

_LITE0_LAYOUTS = {"conv": conv, "depthwise": depthwise, "vector": same}


def source_names(source, arrays, pool_size, masks=class_masks):
    """Where each array of a source goes.

    Args:
        source: one of `SOURCES`.
        arrays: names of the source's arrays.
        pool_size: int, bins a side of the box head's input.
        masks: layout of detectron2's last layer of masks, see `mask_layout`.

    Returns:
        dict: the source's name -> (our `layer/variable`, function of the array). Names that we
        have no place for are absent.
    """
    if source == "torchvision":
        return pytorch_names(torchvision_layers(pool_size))
    if source == "detectron2":
        return pytorch_names(detectron2_layers(pool_size, masks))
    if source == "efficientnet_lite":
        return {theirs: (ours, _LITE0_LAYOUTS[kind]) for ours, theirs, kind in lite0_names()}
    return keras_names(arrays, bgr=source == "keras_applications")


# Arrays that are not weights, or of a classifier on top of a backbone.
IGNORED = {
    "torchvision": r".*\.num_batches_tracked|fc\.(weight|bias)",
    "detectron2": r"pixel_mean|pixel_std|.*\.cell_anchors\.\d|.*\.num_batches_tracked",
    "matterport": r"$^",
    "keras_applications": r"(fc1000|predictions|probs)/.*",
    "efficientnet_lite": LITE0_IGNORED,
}
SOURCES = tuple(IGNORED)


@dataclasses.dataclass(frozen=True)
class WeightNames:
    """What the loader must know of an architecture.

    Attributes:
        sources: names of the libraries whose files it reads.
        table: function (source, arrays, settings) -> dict, as `source_names` returns.
        ignored: dict by source: pattern of arrays that are not weights.
        heads: prefixes of layers, those that every backbone lacks.
        class_heads: patterns of the names of layers whose shape depends on the number of classes
            or keypoints.
        normalized: pattern of the convolutions that a BatchNorm follows.
        optional: function of settings -> pattern of names in a file that may go unused, such as
            those of masks in a model without; or None.
    """

    sources: tuple
    table: object
    ignored: dict
    heads: tuple
    class_heads: tuple
    normalized: str
    optional: object


def mask_layout(settings):
    """How detectron2's last layer of masks becomes ours, which has one of background too, or one
    mask for all classes."""
    return conv if settings.mask_head.class_agnostic else class_masks


def _mask_rcnn_table(source, arrays, settings):
    return source_names(source, arrays, settings.box_head.pool_size, mask_layout(settings))


def _cascade_table(source, arrays, settings):
    pool_size = settings.box_head.pool_size
    if source == "detectron2":
        suffixes, masks = settings.cascade.suffixes, mask_layout(settings)
        return pytorch_names(detectron2_cascade_layers(pool_size, suffixes, masks))
    return source_names(source, arrays, pool_size)


def _c4_table(source, arrays, settings):
    if source == "detectron2":
        ratios, masks = len(settings.anchors.ratios), mask_layout(settings)
        return pytorch_names(detectron2_c4_layers(ratios, masks))
    return source_names(source, arrays, settings.box_head.pool_size)


def _dc5_table(source, arrays, settings):
    if source == "detectron2":
        grids = settings.box_head.pool_size, len(settings.anchors.ratios)
        return pytorch_names(detectron2_dc5_layers(*grids, mask_layout(settings)))
    return source_names(source, arrays, settings.box_head.pool_size)


def _of_heads_left_out(settings):
    """Pattern of the names in a file that a model without masks, or without keypoints, has not."""
    heads = {"mask": settings.mask_head.enabled, "keypoint|kps": settings.keypoint_head.enabled}
    return "|".join(pattern for pattern, enabled in heads.items() if not enabled) or None


MASK_RCNN = WeightNames(
    sources=SOURCES,
    table=_mask_rcnn_table,
    ignored=IGNORED,
    heads=("fpn_", "rpn_", "mrcnn_"),
    class_heads=("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask", "mrcnn_keypoint_deconv"),
    normalized=r"(conv1|res.*|mrcnn_(class|box|mask)_conv\d)",
    optional=_of_heads_left_out,
)
CLASS_HEADS = MASK_RCNN.class_heads
CASCADE_RCNN = dataclasses.replace(
    MASK_RCNN,
    table=_cascade_table,
    class_heads=(*CLASS_HEADS, r"mrcnn_(class_logits|bbox_fc)_stage\d+"),
    normalized=r"(conv1|res.*|mrcnn_(class|box|mask)_conv\d(_stage\d+)?)",
)
MASK_RCNN_C4 = dataclasses.replace(
    MASK_RCNN,
    table=_c4_table,
    # Stage 5 of EfficientNet-Lite0: C4's head has ResNet's.
    optional=lambda settings: rf"^_blocks\.1[1-5]\.|{_of_heads_left_out(settings)}",
)

# Its stage 5 is ResNet's too.
MASK_RCNN_DC5 = dataclasses.replace(MASK_RCNN_C4, table=_dc5_table)


def _retinanet_table(source, arrays, settings):
    if source == "torchvision":
        return pytorch_names(torchvision_retinanet())
    if source == "detectron2":
        return pytorch_names(detectron2_retinanet(settings.anchors))
    return source_names(source, arrays, pool_size=None)


RETINANET = WeightNames(
    sources=SOURCES,
    table=_retinanet_table,
    ignored=IGNORED,
    heads=("fpn_", "retinanet_"),
    class_heads=("retinanet_class_raw",),
    normalized=r"(conv1|res.*)",
    optional=lambda settings: None,
)
