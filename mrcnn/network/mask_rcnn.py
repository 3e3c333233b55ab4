"""Mask R-CNN (arXiv:1703.06870) on one page: its graphs, over one trunk and one set of heads.

With another head it is Keypoint R-CNN, section 5 of the same paper; with both it finds both.

Shapes: B images, H W, A anchors, N proposals, T training ROIs, P of them that may be positive,
M ground truths, D detections, K classes, J keypoints, C channels.
"""

import keras

from mrcnn.layers.anchors import NormBoxes
from mrcnn.layers.detections import ClassMasks, DetectionLayer
from mrcnn.layers.targets import DetectionTargetLayer
from mrcnn.network.folding import fold_batch_norm
from mrcnn.network.heads import box_head, keypoint_head, mask_head
from mrcnn.network.loss_terms import (
    box_terms,
    keypoint_terms,
    make_losses,
    mask_terms,
    may_be_positive,
    rpn_terms,
)
from mrcnn.network.training_model import NamedWeightsModel, TrainingModel
from mrcnn.network.trunk import (
    build_trunk,
    default_policy,
    detection_proposals,
    given_proposals,
    pool,
    pool_boxes,
    propose,
    recomputed_features,
)
from mrcnn.settings import Boxes


def build_heads(settings):
    """The functions of pooled ROIs that all graphs share."""
    heads = {"box": box_head(settings.box_head, settings.style)}
    if settings.mask_head.enabled:
        heads["mask"] = mask_head(settings.mask_head, settings.style)
    if settings.keypoint_head.enabled:
        heads["keypoint"] = keypoint_head(settings.keypoint_head)
    return heads


def detection_stages(settings, trunk, heads, anchors):
    """Proposals -> classes and boxes -> detections -> pooled features of their masks, keypoints."""
    rois = detection_proposals(settings, trunk, anchors)
    boxes = heads["box"](pool_boxes(settings, trunk, rois, "roi_align_classifier"))
    detections = detect(settings, trunk, rois, boxes)
    stages = {"rois": rois, **boxes, "detections": detections}
    if settings.mask_head.enabled:
        stages["mask_features"] = pool_masks(settings, trunk, detections[..., :4])
    if settings.keypoint_head.enabled:
        stages["keypoint_features"] = pool_keypoints(settings, trunk, detections[..., :4])
    return stages


def detect(settings, trunk, rois, boxes):
    """Classified ROIs [B, N, 4] and what the box head says of them -> detections [B, D, 6]."""
    layer = DetectionLayer(settings.detections, name="mrcnn_detection")
    predicted = boxes["mrcnn_class"], boxes["mrcnn_bbox"]
    return layer(rois, *predicted, trunk["input_image_meta"])


def pool_masks(settings, trunk, rois):
    """What the mask head takes of ROIs: [B, N, 4] -> [B, N, P, P, C]."""
    pool_size = settings.mask_head.pool_size
    return pool(settings.pooling, trunk, rois, pool_size, "roi_align_mask")


def pool_keypoints(settings, trunk, rois):
    """What the keypoint head takes of ROIs: [B, N, 4] -> [B, N, P, P, C]."""
    pool_size = settings.keypoint_head.pool_size
    return pool(settings.pooling, trunk, rois, pool_size, "roi_align_keypoint")


def inputs_of(trunk):
    """What all graphs are given of the images; with `USE_RPN_ROIS = False` proposals too."""
    names = ("input_image", "input_image_meta", "input_roi")
    return {name: trunk[name] for name in names if name in trunk}


def inference_graph(settings, trunk, heads, detection_stages):
    """Every stage's result, with the masks of every class and the keypoints' heat maps."""
    outputs = inference_outputs(settings, trunk, heads, detection_stages)
    return NamedWeightsModel(inputs_of(trunk), outputs, name="mask_rcnn")


def inference_outputs(settings, trunk, heads, detection_stages):
    """The outputs of `inference_graph`, by name."""
    stages = detection_stages(settings, trunk, heads, trunk["anchors"]["levels"])
    names = ("detections", "mrcnn_class", "mrcnn_bbox", "rois")
    outputs = {name: stages[name] for name in names}
    outputs |= {name: trunk[name] for name in ("rpn_class", "rpn_bbox")}
    if settings.mask_head.enabled:
        outputs["mrcnn_mask"] = heads["mask"](stages["mask_features"])["mrcnn_mask"]
    if settings.keypoint_head.enabled:
        outputs |= heads["keypoint"](stages["keypoint_features"])
    return outputs


def detection_graph(settings, trunk, heads, detection_stages):
    """What `detect` runs: anchors from the image's size, detections, the predicted class's mask,
    the keypoints' heat maps."""
    outputs = detection_outputs(settings, trunk, heads, detection_stages)
    return fold_batch_norm(keras.Model(inputs_of(trunk), outputs, name="mask_rcnn"))


def detection_outputs(settings, trunk, heads, detection_stages):
    """The outputs of `detection_graph`, by name."""
    stages = detection_stages(settings, trunk, heads, trunk["anchors"]["levels"])
    outputs = {"detections": stages["detections"]}
    if settings.mask_head.enabled:
        logits = heads["mask"](stages["mask_features"])["mrcnn_mask_logits"]
        outputs["masks"] = ClassMasks(name="class_masks")(logits, stages["detections"])
    if settings.keypoint_head.enabled:
        logits = heads["keypoint"](stages["keypoint_features"])["mrcnn_keypoint_logits"]
        outputs["heatmaps"] = logits
    return outputs


def training_graph(settings, trunk, heads, training_stages):
    """Ground truth -> targets -> heads on sampled ROIs -> losses."""
    gt = ground_truth_inputs(settings)
    stages = training_stages(settings, trunk, heads, gt)
    return training_model(settings, trunk, gt, stages["losses"])


def training_model(settings, trunk, gt, losses):
    """The `TrainingModel` that minimises losses, a dict of scalars by name.

    Args:
        settings: `mrcnn.settings.Settings`.
        trunk: dict of `build_trunk`.
        gt: dict of the inputs beside the trunk's.
        losses: dict of float32 scalars.
    """
    return TrainingModel(
        inputs_of(trunk) | gt,
        list(losses.values()),
        name="mask_rcnn",
        losses=list(losses),
        settings=settings.losses,
        recomputed=recomputed_features(settings.trunk, trunk),
    )


def training_stages(settings, trunk, heads, gt, anchor_targets=None):
    """Ground truth -> targets -> heads on sampled ROIs -> losses.

    Args:
        settings: `mrcnn.settings.Settings`.
        trunk: dict of `build_trunk`.
        heads: dict of `build_heads`.
        gt: dict of `ground_truth_inputs`.
        anchor_targets: dict as of `AnchorTargetLayer`, where others chose them; None: of the
            ground truth.

    Returns:
        dict: `proposals` [B, N, 4], `rois` [B, T, 4], the box head's outputs, with a mask or a
        keypoint head its outputs [B, P, h, w, K or J] for the ROIs that may be positive, and
        `losses`, a dict of float32 scalars.
    """
    terms = rpn_terms(settings, trunk, gt, anchor_targets)
    roi = drawn_rois(settings, trunk, gt)
    predicted = heads["box"](pool_boxes(settings, trunk, roi["rois"], "roi_align_classifier"))
    terms |= box_terms(settings, trunk, roi["rois"], roi, predicted)
    stages = {name: roi[name] for name in ("proposals", "rois")} | predicted
    predicted, more_terms = of_positives(settings, trunk, heads, gt, roi)
    stages |= predicted
    stages["losses"] = make_losses(settings, terms | more_terms)
    return stages


def drawn_rois(settings, trunk, gt):
    """Proposals, drawn or given -> the ROIs that train the heads.

    Returns:
        dict: what `DetectionTargetLayer` returns, `proposals` [B, N, 4], and of the ground truth
        `gt_class_ids` [B, M] and `gt_boxes` [B, M, 4], normalised.
    """
    image_meta = trunk["input_image_meta"]
    class_ids, boxes, masks = (gt[f"input_gt_{name}"] for name in ("class_ids", "boxes", "masks"))
    normalize = Boxes(box_offset=settings.anchors.box_offset)
    if settings.ground_truth.use_rpn_rois:
        proposals = propose(settings.training_proposals, trunk, trunk["anchors"]["levels"])
    else:
        proposals = given_proposals(settings, gt["input_roi"], image_meta)
    boxes = NormBoxes(normalize, name="gt_boxes")(boxes, image_meta)
    roi = DetectionTargetLayer(settings.roi_targets, name="proposal_targets")(
        proposals, class_ids, boxes, masks
    )
    return {**roi, "proposals": proposals, "gt_class_ids": class_ids, "gt_boxes": boxes}


def of_positives(settings, trunk, heads, gt, roi):
    """What the heads of masks and keypoints predict for positive ROIs, and what their losses take.

    Args:
        settings, trunk, heads, gt: as of `training_stages`.
        roi: dict of `drawn_rois`.

    Returns:
        dict of the heads' outputs [B, P, h, w, K or J], and dict of tuples by the losses' names.
    """
    stages, terms = {}, {}
    if settings.mask_head.enabled:
        rois = may_be_positive(roi["rois"], roi)
        stages |= heads["mask"](pool_masks(settings, trunk, rois))
        terms |= mask_terms(roi, stages)
    if settings.keypoint_head.enabled:
        rois = may_be_positive(roi["rois"], roi)
        stages |= heads["keypoint"](pool_keypoints(settings, trunk, rois))
        terms |= keypoint_terms(settings, trunk, gt, roi, stages)
    return stages, terms


def ground_truth_inputs(settings):
    """Inputs of the training graph beside the images: what `DataGenerator` yields, by name."""
    gt, image = settings.ground_truth, settings.image
    count = gt.max_instances
    if gt.mini_masks:
        mask_sides = gt.mini_mask_shape
    else:
        mask_sides = image.shape if image.trains_on_one_size else (None, None)
    inputs = {
        "input_gt_class_ids": keras.Input((count,), dtype="int32", name="input_gt_class_ids"),
        "input_gt_boxes": keras.Input((count, 4), name="input_gt_boxes"),
        "input_gt_masks": keras.Input((*mask_sides, count), dtype="bool", name="input_gt_masks"),
    }
    if settings.keypoint_head.enabled:
        shape = (count, settings.keypoint_head.num_keypoints, 3)
        inputs["input_gt_keypoints"] = keras.Input(shape, name="input_gt_keypoints")
    if not gt.use_rpn_rois:
        shape = (gt.proposal_count, 4)
        inputs["input_roi"] = keras.Input(shape, dtype="int32", name="input_roi")
    return inputs


def build_graphs(
    settings,
    training=False,
    *,
    build_trunk=build_trunk,
    build_heads=build_heads,
    detection_stages=detection_stages,
    training_stages=training_stages,
    inference_graph=inference_graph,
    detection_graph=detection_graph,
    training_graph=training_graph,
):
    """Builds the graphs that settings describe.

    Args:
        settings: `mrcnn.settings.Settings`.
        training: bool, whether to build the training graph too.
        build_trunk, build_heads, detection_stages, training_stages: functions in place of those
            above: another architecture passes its own.
        inference_graph, detection_graph, training_graph: the same, for other outputs; matterport's
            interface passes some that have other inputs too.

    Returns:
        dict of `keras.Model`, which share every layer that has weights: `inference`, every stage's
        result; `detection`, what `detect` needs and no more; and, with `training`, `training`.
    """
    with default_policy(settings.trunk.precision):
        trunk = build_trunk(settings)
        if not settings.ground_truth.use_rpn_rois:  # of detection; in training there are others
            shape = settings.proposals.proposal_count, 4
            trunk["input_roi"] = keras.Input(shape, name="input_roi")
        heads = build_heads(settings)
        # First: `layer.output` of a shared layer is the tensor of the graph that was built first.
        graphs = {"inference": inference_graph(settings, trunk, heads, detection_stages)}
        graphs["detection"] = detection_graph(settings, trunk, heads, detection_stages)
        if training:
            graphs["training"] = training_graph(settings, trunk, heads, training_stages)
    return graphs
