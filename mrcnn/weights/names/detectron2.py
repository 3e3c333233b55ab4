"""detectron2's names."""

from mrcnn.weights.names.layouts import (
    background_first,
    by_shape,
    class_deltas,
    class_masks,
    conv,
    conv_bgr,
    deltas,
    dense_as_conv,
    flat_as_conv,
    objectness,
    same,
)
from mrcnn.weights.names.pytorch import resnet

_HEADS = "roi_heads"


def detectron2_layers(pool_size, masks=class_masks):
    """(our layer, detectron2's module, layout) of its FPN models; their input is BGR.

    `masks`: layout of the last layer of masks; `conv` of one mask for all classes.
    """
    yield from _trunk()
    yield from _box_head(pool_size)
    yield "mrcnn_bbox_fc", f"{_HEADS}.box_predictor.bbox_pred", class_deltas
    yield from _mask_head(masks)
    yield from _keypoint_head()


def detectron2_cascade_layers(pool_size, suffixes, masks=class_masks):
    """The same of its cascades; `suffixes`: of our layers of each stage."""
    yield from _trunk()
    for i, suffix in enumerate(suffixes):
        yield from _box_head(pool_size, f".{i}", suffix)
        yield f"mrcnn_bbox_fc{suffix}", f"{_HEADS}.box_predictor.{i}.bbox_pred", deltas
    yield from _mask_head(masks)


def detectron2_c4_layers(ratios, masks=class_masks):
    """The same of its C4 models; `ratios`: how many shapes an anchor of a scale has.

    Its anchors have all shapes of a scale in turn, ours all scales of a shape.
    """
    yield from _backbone("backbone.", f"{_HEADS}.")
    yield from _rpn(by_shape(objectness, ratios), by_shape(deltas, ratios, 4))
    yield "mrcnn_class_logits", f"{_HEADS}.box_predictor.cls_score", background_first
    yield "mrcnn_bbox_fc", f"{_HEADS}.box_predictor.bbox_pred", class_deltas
    yield from _mask_head(masks)


def detectron2_dc5_layers(pool_size, ratios, masks=class_masks):
    """The same of its models on a dilated C5: the backbone of C4's, the heads of the pyramid's."""
    yield from _backbone("backbone.", "backbone.")
    yield from _rpn(by_shape(objectness, ratios), by_shape(deltas, ratios, 4))
    yield from _box_head(pool_size)
    yield "mrcnn_bbox_fc", f"{_HEADS}.box_predictor.bbox_pred", class_deltas
    yield from _mask_head(masks)
    yield from _keypoint_head()


def detectron2_pyramid(levels):
    """The same of a ResNet and the pyramid on these levels."""
    body = "backbone.bottom_up."
    yield from _backbone(body, body)
    for level in levels:
        yield f"fpn_c{level}p{level}", f"backbone.fpn_lateral{level}", conv
        yield f"fpn_p{level}", f"backbone.fpn_output{level}", conv


def _trunk():
    yield from detectron2_pyramid((2, 3, 4, 5))
    yield from _rpn(objectness, deltas)


def _backbone(body, stage5):
    def block(stage, block, part):
        name = part if part == "shortcut" else f"conv{part}"
        module = f"{stage5 if stage == 5 else body}res{stage}.{block}.{name}"
        return module, f"{module}.norm"

    yield "conv1", f"{body}stem.conv1", conv_bgr
    yield "bn_conv1", f"{body}stem.conv1.norm", same
    yield from resnet(block)


def _rpn(objectness, deltas):
    rpn = "proposal_generator.rpn_head"
    yield "rpn_conv_shared", f"{rpn}.conv", conv
    yield "rpn_class_raw", f"{rpn}.objectness_logits", objectness
    yield "rpn_bbox_pred", f"{rpn}.anchor_deltas", deltas


def _box_head(pool_size, stage="", suffix=""):
    """Without the boxes."""
    yield f"mrcnn_class_conv1{suffix}", f"{_HEADS}.box_head{stage}.fc1", flat_as_conv(pool_size)
    yield f"mrcnn_class_conv2{suffix}", f"{_HEADS}.box_head{stage}.fc2", dense_as_conv
    module = f"{_HEADS}.box_predictor{stage}.cls_score"
    yield f"mrcnn_class_logits{suffix}", module, background_first


def _mask_head(masks):
    for i in (1, 2, 3, 4):
        yield f"mrcnn_mask_conv{i}", f"{_HEADS}.mask_head.mask_fcn{i}", conv
    yield "mrcnn_mask_deconv", f"{_HEADS}.mask_head.deconv", conv
    yield "mrcnn_mask", f"{_HEADS}.mask_head.predictor", masks


def _keypoint_head():
    for i in range(1, 9):
        yield f"mrcnn_keypoint_conv{i}", f"{_HEADS}.keypoint_head.conv_fcn{i}", conv
    yield "mrcnn_keypoint_deconv", f"{_HEADS}.keypoint_head.score_lowres", conv
