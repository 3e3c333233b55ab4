"""torchvision's names."""

from mrcnn.weights.names.layouts import (
    conv,
    deltas,
    dense,
    dense_as_conv,
    flat_as_conv,
    objectness,
    same,
)
from mrcnn.weights.names.pytorch import resnet


def torchvision_backbone(levels):
    """(our layer, torchvision's module, layout) of a ResNet and the pyramid on these levels.

    Names from before its 0.13, as in the released files, stand beside today's. The backbone of a
    classifier has no prefix.
    """

    def block(body):
        def module(stage, block, part):
            prefix = f"{body}layer{stage - 1}.{block}."
            if part == "shortcut":
                return f"{prefix}downsample.0", f"{prefix}downsample.1"
            return f"{prefix}conv{part}", f"{prefix}bn{part}"

        return module

    for body in ("backbone.body.", ""):
        yield "conv1", f"{body}conv1", conv
        yield "bn_conv1", f"{body}bn1", same
        yield from resnet(block(body))
    for i, level in enumerate(levels):
        for ours, theirs in ((f"fpn_c{level}p{level}", "inner"), (f"fpn_p{level}", "layer")):
            module = f"backbone.fpn.{theirs}_blocks.{i}"
            yield ours, module, conv
            yield ours, f"{module}.0", conv
            yield f"{ours}_bn", f"{module}.1", same


def torchvision_layers(pool_size):
    """(our layer, torchvision's module, layout) of Mask R-CNN, as of `torchvision_backbone`."""
    yield from torchvision_backbone((2, 3, 4, 5))
    yield "rpn_conv_shared", "rpn.head.conv", conv
    yield "rpn_conv_shared", "rpn.head.conv.0.0", conv
    yield "rpn_conv_shared2", "rpn.head.conv.1.0", conv
    yield "rpn_class_raw", "rpn.head.cls_logits", objectness
    yield "rpn_bbox_pred", "rpn.head.bbox_pred", deltas
    for i in (1, 2, 3, 4):
        yield f"mrcnn_box_conv{i}", f"roi_heads.box_head.{i - 1}.0", conv
        yield f"mrcnn_box_bn{i}", f"roi_heads.box_head.{i - 1}.1", same
        yield f"mrcnn_mask_conv{i}", f"roi_heads.mask_head.{i - 1}.0", conv
        yield f"mrcnn_mask_bn{i}", f"roi_heads.mask_head.{i - 1}.1", same
        yield f"mrcnn_mask_conv{i}", f"roi_heads.mask_head.mask_fcn{i}", conv
    for i in range(1, 9):
        yield f"mrcnn_keypoint_conv{i}", f"roi_heads.keypoint_head.{2 * i - 2}", conv
    yield "mrcnn_keypoint_deconv", "roi_heads.keypoint_predictor.kps_score_lowres", conv
    yield "mrcnn_class_conv1", "roi_heads.box_head.fc6", flat_as_conv(pool_size)
    yield "mrcnn_class_conv1", "roi_heads.box_head.5", flat_as_conv(pool_size)
    yield "mrcnn_class_conv2", "roi_heads.box_head.fc7", dense_as_conv
    yield "mrcnn_class_logits", "roi_heads.box_predictor.cls_score", dense
    yield "mrcnn_bbox_fc", "roi_heads.box_predictor.bbox_pred", deltas
    yield "mrcnn_mask_deconv", "roi_heads.mask_predictor.conv5_mask", conv
    yield "mrcnn_mask", "roi_heads.mask_predictor.mask_fcn_logits", conv
