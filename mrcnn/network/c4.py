"""Mask R-CNN C4 (arXiv:1703.06870, figure 4, left) on one page: no pyramid, stage 5 as the head.

Anchors of all scales lie on C4, of stride 16. Each ROI is pooled from C4 and goes through ResNet's
stage 5, whose features the box and the mask head share. Without masks it is Faster R-CNN
(arXiv:1506.01497).

Shapes: B images, N proposals or training ROIs, D detections, P pooled bins a side, C channels.
"""

from keras import ops

from mrcnn.network import mask_rcnn
from mrcnn.network.backbones import build_backbone
from mrcnn.network.heads import box_predictor, mask_head
from mrcnn.network.loss_terms import box_terms, make_losses, mask_terms, may_be_positive, rpn_terms
from mrcnn.network.resnet import resnet_stage
from mrcnn.network.trunk import detection_proposals, image_inputs, pool, score_anchors


def build_trunk(settings):
    """Images -> C4 -> scored anchors, as a dict of tensors by name."""
    inputs = image_inputs(settings.image)
    images = inputs["input_image"]
    *features, _ = build_backbone(images, settings.trunk, settings.style, stage5=False)  # C2..C4
    scored = score_anchors(settings, images, features[-1:])
    return inputs | {"features": features} | scored


def build_heads(settings):
    """The functions that all graphs share: `stage5` of pooled ROIs, the others of its features."""
    heads = {"stage5": stage5(settings.box_head, settings.style), "box": box(settings.box_head)}
    if settings.mask_head.enabled:
        heads["mask"] = mask_head(settings.mask_head, settings.style)
    return heads


def stage5(settings, style):
    """ResNet's stage 5: a function of float [B, N, P, P, C] -> [B, N, P/2, P/2, channels]."""
    width = settings.channels // 4
    filters = (width, width, settings.channels)
    stage = resnet_stage(5, 3, filters, train_bn=settings.train_bn, style=style)

    def head(pooled):
        x = ops.reshape(pooled, (-1, *pooled.shape[2:]))  # (B, N, P, P, C) -> (B*N, P, P, C)
        x = stage(x)
        return ops.reshape(x, (-1, pooled.shape[1], *x.shape[1:]))  # (B, N, P/2, P/2, channels)

    return head


def box(settings):
    """Classes and boxes of stage 5's features, averaged over an ROI: as `box_head`'s function."""
    predict = box_predictor(settings)
    return lambda features: predict(ops.mean(features, axis=(2, 3)))


def roi_features(settings, trunk, heads, rois, name):
    """Stage 5 of ROIs: [B, N, 4] -> [B, N, P/2, P/2, C]."""
    pool_size = settings.box_head.pool_size
    return heads["stage5"](pool(settings.pooling, trunk, rois, pool_size, name))


def detection_stages(settings, trunk, heads, anchors):
    """Proposals -> classes and boxes -> detections -> stage 5 of these, for their masks."""
    rois = detection_proposals(settings, trunk, anchors)
    boxes = heads["box"](roi_features(settings, trunk, heads, rois, "roi_align_classifier"))
    detections = mask_rcnn.detect(settings, trunk, rois, boxes)
    stages = {"rois": rois, **boxes, "detections": detections}
    if settings.mask_head.enabled:
        found = detections[..., :4]
        stages["mask_features"] = roi_features(settings, trunk, heads, found, "roi_align_mask")
    return stages


def training_stages(settings, trunk, heads, gt, anchor_targets=None):
    """Ground truth -> targets -> heads on the features of drawn ROIs, computed once -> losses.

    Arguments and results are those of `mrcnn.network.mask_rcnn.training_stages`.
    """
    terms = rpn_terms(settings, trunk, gt, anchor_targets)
    roi = mask_rcnn.drawn_rois(settings, trunk, gt)
    features = roi_features(settings, trunk, heads, roi["rois"], "roi_align_classifier")
    predicted = heads["box"](features)
    terms |= box_terms(settings, trunk, roi["rois"], roi, predicted)
    stages = {name: roi[name] for name in ("proposals", "rois")} | predicted
    if settings.mask_head.enabled:
        stages |= heads["mask"](may_be_positive(features, roi))
        terms |= mask_terms(roi, stages)
    stages["losses"] = make_losses(settings, terms)
    return stages


def build_graphs(settings, training=False):
    """The graphs of these stages: see `mrcnn.network.mask_rcnn.build_graphs`."""
    return mask_rcnn.build_graphs(
        settings,
        training,
        build_trunk=build_trunk,
        build_heads=build_heads,
        detection_stages=detection_stages,
        training_stages=training_stages,
    )
