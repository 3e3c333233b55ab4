"""detectron2's names."""

from mrcnn.weights.names.layouts import (
    background_first,
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


def detectron2_layers(pool_size):
    """(our layer, detectron2's module, layout) of its FPN models; their input is BGR."""

    def block(stage, block, part):
        name = part if part == "shortcut" else f"conv{part}"
        module = f"backbone.bottom_up.res{stage}.{block}.{name}"
        return module, f"{module}.norm"

    yield "conv1", "backbone.bottom_up.stem.conv1", conv_bgr
    yield "bn_conv1", "backbone.bottom_up.stem.conv1.norm", same
    yield from resnet(block)
    for level in (2, 3, 4, 5):
        yield f"fpn_c{level}p{level}", f"backbone.fpn_lateral{level}", conv
        yield f"fpn_p{level}", f"backbone.fpn_output{level}", conv
    rpn = "proposal_generator.rpn_head"
    yield "rpn_conv_shared", f"{rpn}.conv", conv
    yield "rpn_class_raw", f"{rpn}.objectness_logits", objectness
    yield "rpn_bbox_pred", f"{rpn}.anchor_deltas", deltas
    yield "mrcnn_class_conv1", "roi_heads.box_head.fc1", flat_as_conv(pool_size)
    yield "mrcnn_class_conv2", "roi_heads.box_head.fc2", dense_as_conv
    yield "mrcnn_class_logits", "roi_heads.box_predictor.cls_score", background_first
    yield "mrcnn_bbox_fc", "roi_heads.box_predictor.bbox_pred", class_deltas
    for i in (1, 2, 3, 4):
        yield f"mrcnn_mask_conv{i}", f"roi_heads.mask_head.mask_fcn{i}", conv
    yield "mrcnn_mask_deconv", "roi_heads.mask_head.deconv", conv
    yield "mrcnn_mask", "roi_heads.mask_head.predictor", class_masks
    for i in range(1, 9):
        yield f"mrcnn_keypoint_conv{i}", f"roi_heads.keypoint_head.conv_fcn{i}", conv
    yield "mrcnn_keypoint_deconv", "roi_heads.keypoint_head.score_lowres", conv
