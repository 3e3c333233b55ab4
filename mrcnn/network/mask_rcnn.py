"""Mask R-CNN (arXiv:1703.06870) on one page: its graphs, over one trunk and one set of heads.

Shapes: B images, H W, A anchors, N proposals, T training ROIs, P of them that may be positive,
M ground truths, D detections, K classes, C channels.
"""

import keras

from mrcnn.image.meta import parse_image_meta
from mrcnn.layers.anchors import NormBoxes
from mrcnn.layers.detections import ClassMasks, DetectionLayer
from mrcnn.layers.targets import AnchorTargetLayer, DetectionTargetLayer, Loss
from mrcnn.network.folding import fold_batch_norm
from mrcnn.network.heads import box_head, mask_head
from mrcnn.network.training_model import NamedWeightsModel, TrainingModel
from mrcnn.network.trunk import build_trunk, default_policy, pool, propose
from mrcnn.settings import Boxes


def build_graphs(settings, training=False, inference_graph=None, training_graph=None):
    """Builds the graphs that settings describe.

    Args:
        settings: `mrcnn.settings.Settings`.
        training: bool, whether to build the training graph too.
        inference_graph, training_graph: functions that build these graphs in place of those below:
            matterport's interface passes its own, which have other inputs and outputs.

    Returns:
        dict of `keras.Model`, which share every layer that has weights: `inference`, every stage's
        result; `detection`, what `detect` needs and no more; and, with `training`, `training`.
    """
    inference_graph = inference_graph or globals()["inference_graph"]
    training_graph = training_graph or globals()["training_graph"]
    with default_policy(settings.trunk.precision):
        trunk = build_trunk(settings)
        heads = build_heads(settings)
        # First: `layer.output` of a shared layer is the tensor of the graph that was built first.
        graphs = {"inference": inference_graph(settings, trunk, heads)}
        graphs["detection"] = detection_graph(settings, trunk, heads)
        if training:
            graphs["training"] = training_graph(settings, trunk, heads)
    return graphs


def build_heads(settings):
    """The functions of pooled ROIs that all graphs share."""
    heads = {"box": box_head(settings.box_head, settings.style)}
    if settings.mask_head.enabled:
        heads["mask"] = mask_head(settings.mask_head, settings.style)
    return heads


def detection_stages(settings, trunk, heads, anchors):
    """Proposals -> classes and boxes -> detections -> pooled features of their masks."""
    rois = propose(settings.proposals, trunk, anchors)
    pool_size = settings.box_head.pool_size
    boxes = heads["box"](pool(settings.pooling, trunk, rois, pool_size, "roi_align_classifier"))
    detections = DetectionLayer(settings.detections, name="mrcnn_detection")(
        rois, boxes["mrcnn_class"], boxes["mrcnn_bbox"], trunk["input_image_meta"]
    )
    stages = {"rois": rois, **boxes, "detections": detections}
    if settings.mask_head.enabled:
        pool_size = settings.mask_head.pool_size
        stages["mask_features"] = pool(
            settings.pooling, trunk, detections[..., :4], pool_size, "roi_align_mask"
        )
    return stages


def inference_graph(settings, trunk, heads):
    """Every stage's result, with the masks of every class."""
    outputs = inference_outputs(settings, trunk, heads)
    return NamedWeightsModel(image_inputs(trunk), outputs, name="mask_rcnn")


def image_inputs(trunk):
    """What all graphs are given of the images."""
    return {name: trunk[name] for name in ("input_image", "input_image_meta")}


def inference_outputs(settings, trunk, heads):
    """The outputs of `inference_graph`, by name."""
    stages = detection_stages(settings, trunk, heads, trunk["anchors"]["levels"])
    names = ("detections", "mrcnn_class", "mrcnn_bbox", "rois")
    outputs = {name: stages[name] for name in names}
    outputs |= {name: trunk[name] for name in ("rpn_class", "rpn_bbox")}
    if settings.mask_head.enabled:
        outputs["mrcnn_mask"] = heads["mask"](stages["mask_features"])["mrcnn_mask"]
    return outputs


def detection_graph(settings, trunk, heads):
    """What `detect` runs: anchors from the image's size, detections, the predicted class's mask."""
    outputs = detection_outputs(settings, trunk, heads)
    return fold_batch_norm(keras.Model(image_inputs(trunk), outputs, name="mask_rcnn"))


def detection_outputs(settings, trunk, heads):
    """The outputs of `detection_graph`, by name."""
    stages = detection_stages(settings, trunk, heads, trunk["anchors"]["levels"])
    outputs = {"detections": stages["detections"]}
    if settings.mask_head.enabled:
        logits = heads["mask"](stages["mask_features"])["mrcnn_mask_logits"]
        outputs["masks"] = ClassMasks(name="class_masks")(logits, stages["detections"])
    return outputs


def training_graph(settings, trunk, heads):
    """Ground truth -> targets -> heads on sampled ROIs -> losses."""
    gt = ground_truth_inputs(settings)
    stages = training_stages(settings, trunk, heads, gt)
    return training_model(settings, image_inputs(trunk) | gt, [], stages["losses"])


def training_model(settings, inputs, outputs, losses):
    """A `TrainingModel` of these tensors; the losses are its last outputs."""
    return TrainingModel(
        inputs,
        [*outputs, *losses.values()],
        name="mask_rcnn",
        losses=list(losses),
        settings=settings.losses,
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
        dict: `proposals` [B, N, 4], `rois` [B, T, 4], the box head's outputs, with a mask head
        its outputs [B, P, h, w, K] for the ROIs that may be positive, and `losses`, a dict
        of float32 scalars.
    """
    image_meta = trunk["input_image_meta"]
    class_ids, boxes, masks = (gt[f"input_gt_{name}"] for name in ("class_ids", "boxes", "masks"))
    normalize = Boxes(box_offset=settings.anchors.box_offset)
    if anchor_targets is None:
        layer = AnchorTargetLayer(settings.anchor_targets, name="rpn_targets")
        anchor_targets = layer(trunk["anchors"]["pixels"], class_ids, boxes)
    if settings.ground_truth.use_rpn_rois:
        proposals = propose(settings.training_proposals, trunk, trunk["anchors"]["levels"])
    else:
        proposals = NormBoxes(normalize, name="ROI")(gt["input_roi"], image_meta)
    boxes = NormBoxes(normalize, name="gt_boxes")(boxes, image_meta)
    roi = DetectionTargetLayer(settings.roi_targets, name="proposal_targets")(
        proposals, class_ids, boxes, masks
    )
    pool_size = settings.box_head.pool_size
    predicted = heads["box"](
        pool(settings.pooling, trunk, roi["rois"], pool_size, "roi_align_classifier")
    )
    stages = {"proposals": proposals, "rois": roi["rois"], **predicted}

    index, anchor_class = (anchor_targets[f"target_rpn_{name}"] for name in ("index", "class"))
    anchor_deltas, roi_class = anchor_targets["target_rpn_deltas"], roi["target_class_ids"]
    active_class_ids = parse_image_meta(image_meta)["active_class_ids"]
    terms = {
        "rpn_class_loss": (index, anchor_class, trunk["rpn_class_logits"]),
        "rpn_bbox_loss": (index, anchor_class, anchor_deltas, trunk["rpn_bbox"]),
        "mrcnn_class_loss": (roi_class, predicted["mrcnn_class_logits"], active_class_ids),
        "mrcnn_bbox_loss": (roi_class, roi["target_deltas"], predicted["mrcnn_bbox"]),
    }
    if settings.mask_head.enabled:
        positives = roi["target_masks"].shape[1]  # P: all positives are among the first P ROIs
        pool_size = settings.mask_head.pool_size
        features = pool(
            settings.pooling, trunk, roi["rois"][:, :positives], pool_size, "roi_align_mask"
        )
        stages |= heads["mask"](features)
        terms["mrcnn_mask_loss"] = (
            roi_class[:, :positives],
            roi["target_masks"],
            stages["mrcnn_mask_logits"],
        )
    box_loss = settings.losses.box_loss
    constants = {"rpn_bbox_loss": box_loss, "mrcnn_bbox_loss": box_loss}
    constants["mrcnn_class_loss"] = settings.losses.class_loss(settings.image.num_classes)
    stages["losses"] = {
        name: Loss(name, **constants.get(name, {}))(*tensors) for name, tensors in terms.items()
    }
    return stages


def ground_truth_inputs(settings):
    """Inputs of the training graph beside the images: what `DataGenerator` yields, by name."""
    gt, image = settings.ground_truth, settings.image
    count = gt.max_instances
    if gt.mini_masks:
        mask_sides = gt.mini_mask_shape
    else:
        mask_sides = image.shape if image.resize_mode in ("square", "crop") else (None, None)
    inputs = {
        "input_gt_class_ids": keras.Input((count,), dtype="int32", name="input_gt_class_ids"),
        "input_gt_boxes": keras.Input((count, 4), name="input_gt_boxes"),
        "input_gt_masks": keras.Input((*mask_sides, count), dtype="bool", name="input_gt_masks"),
    }
    if not gt.use_rpn_rois:
        shape = (gt.proposal_count, 4)
        inputs["input_roi"] = keras.Input(shape, dtype="int32", name="input_roi")
    return inputs
