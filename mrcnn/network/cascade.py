"""Cascade Mask R-CNN (arXiv:1712.00726) on one page: Mask R-CNN with several box heads in turn.

Each takes the boxes of the one before, and is trained on a higher IoU. Their scores are averaged,
as detectron2 does; masks and keypoints are those of Mask R-CNN.

Shapes: B images, N proposals or training ROIs, M ground truths, D detections, K classes.
"""

import dataclasses

from keras import ops

from mrcnn.layers.cascade import MatchedTargetLayer, RefinedROIs
from mrcnn.network import mask_rcnn
from mrcnn.network.heads import box_head
from mrcnn.network.loss_terms import box_terms, make_losses, rpn_terms
from mrcnn.network.trunk import detection_proposals, pool_boxes


def build_heads(settings):
    """The functions of pooled ROIs that all graphs share; `boxes` is a list of box heads."""
    heads = mask_rcnn.build_heads(settings)
    later = [box_head(settings.box_head, settings.style, x) for x in settings.cascade.suffixes[1:]]
    return heads | {"boxes": [heads["box"], *later]}


def box_stages(settings, trunk, heads, rois):
    """ROIs [B, N, 4] -> box head -> moved ROIs -> box head -> ...

    Returns:
        list of dicts, first stage first: `rois` [B, N, 4], and what the box head says of them.
    """
    cascade, found = settings.cascade, []
    for i, (head, suffix) in enumerate(zip(heads["boxes"], cascade.suffixes, strict=True)):
        if i:
            layer = RefinedROIs(cascade.stages[i - 1], name=f"refined_rois{suffix}")
            rois = layer(rois, found[-1]["mrcnn_bbox"], trunk["input_image_meta"])
        name = f"roi_align_classifier{suffix}"
        predicted = head(pool_boxes(settings, trunk, rois, name))
        found.append({"rois": rois, **predicted})
    return found


def mean_probs(stages):
    """The scores of the stages [B, N, K], averaged."""
    return sum(stage["mrcnn_class"] for stage in stages) / len(stages)


def detection_stages(settings, trunk, heads, anchors):
    """Proposals -> stages -> mean scores, last boxes -> detections -> what later heads take."""
    rois = detection_proposals(settings, trunk, anchors)
    found = box_stages(settings, trunk, heads, rois)
    boxes = {"mrcnn_class": mean_probs(found), "mrcnn_bbox": found[-1]["mrcnn_bbox"]}
    std_dev = settings.cascade.stages[-1].std_dev
    of_last = dataclasses.replace(settings.detections, std_dev=std_dev)
    last = dataclasses.replace(settings, detections=of_last)
    detections = mask_rcnn.detect(last, trunk, found[-1]["rois"], boxes)
    stages = {"rois": rois, **boxes, "detections": detections}
    if settings.mask_head.enabled:
        stages["mask_features"] = mask_rcnn.pool_masks(settings, trunk, detections[..., :4])
    if settings.keypoint_head.enabled:
        found_boxes = detections[..., :4]
        stages["keypoint_features"] = mask_rcnn.pool_keypoints(settings, trunk, found_boxes)
    return stages


def training_stages(settings, trunk, heads, gt, anchor_targets=None):
    """Ground truth -> ROIs drawn once -> stages, each with targets of its own -> losses.

    The heads of masks and keypoints train on the ROIs as they were drawn. Arguments and results are
    those of `mrcnn.network.mask_rcnn.training_stages`.
    """
    terms = rpn_terms(settings, trunk, gt, anchor_targets)
    roi = mask_rcnn.drawn_rois(settings, trunk, gt)
    drawn = ops.expand_dims(roi["target_class_ids"] >= 0, -1)
    rois = ops.where(drawn, roi["rois"], 0.0)  # what was not drawn is padding in every stage
    # The features learn from the mean of the stages' losses, each head from its own.
    share = 1 / len(heads["boxes"])
    pyramid = [scale_gradient(level, share) for level in trunk["pyramid"]]
    found = box_stages(settings, trunk | {"pyramid": pyramid}, heads, rois)
    cascade = settings.cascade
    for predicted, stage, suffix in zip(found, cascade.stages, cascade.suffixes, strict=True):
        targets = roi
        if suffix:
            layer = MatchedTargetLayer(stage, name=f"proposal_targets{suffix}")
            targets = layer(predicted["rois"], roi["gt_class_ids"], roi["gt_boxes"])
        of_stage = predicted["rois"], targets, predicted
        terms |= box_terms(settings, trunk, *of_stage, suffix)
    stages = found[-1] | {"proposals": roi["proposals"], "rois": rois}
    predicted, more_terms = mask_rcnn.of_positives(settings, trunk, heads, gt, roi)
    stages |= predicted
    stages["losses"] = make_losses(settings, terms | more_terms)
    return stages


def scale_gradient(x, factor):
    """`x` to the bit, whose gradient is `factor` times as large."""
    fixed = ops.stop_gradient(x)
    return fixed + factor * (x - fixed)


def build_graphs(settings, training=False):
    """The graphs of these stages: see `mrcnn.network.mask_rcnn.build_graphs`."""
    return mask_rcnn.build_graphs(
        settings,
        training,
        build_heads=build_heads,
        detection_stages=detection_stages,
        training_stages=training_stages,
    )
