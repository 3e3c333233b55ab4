"""matterport's functions of tensors and graphs under its signatures, for networks put together by
hand. The maths is that of the modules they adapt; only shapes and argument orders are matterport's.

Functions of one image have no batch axis. Shapes: B images, H W, A anchors, N ROIs, T training
ROIs, M ground truths, D detections, K classes, C channels.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.image.meta import parse_image_meta as parse_image_meta_graph
from mrcnn.layers.detections import refine_detections
from mrcnn.matterport.layers import (
    BatchNorm,
    DetectionLayer,
    DetectionTargetLayer,
    ProposalLayer,
    PyramidROIAlign,
    to_matterport_targets,
)
from mrcnn.network import heads
from mrcnn.ops import losses, targets
from mrcnn.ops.box_losses import smooth_l1
from mrcnn.ops.boxes import apply_box_deltas, clip_boxes, denorm_boxes, iou, norm_boxes
from mrcnn.ops.indexing import gather

__all__ = [
    "BatchNorm",
    "DetectionLayer",
    "DetectionTargetLayer",
    "ProposalLayer",
    "PyramidROIAlign",
    "apply_box_deltas_graph",
    "batch_pack_graph",
    "build_fpn_mask_graph",
    "build_rpn_model",
    "clip_boxes_graph",
    "denorm_boxes_graph",
    "detection_targets_graph",
    "fpn_classifier_graph",
    "log2_graph",
    "mrcnn_bbox_loss_graph",
    "mrcnn_class_loss_graph",
    "mrcnn_mask_loss_graph",
    "norm_boxes_graph",
    "overlaps_graph",
    "parse_image_meta_graph",
    "refine_detections_graph",
    "rpn_bbox_loss_graph",
    "rpn_class_loss_graph",
    "rpn_graph",
    "smooth_l1_loss",
    "trim_zeros_graph",
]

_RPN_CHANNELS = 512
_MASK_CHANNELS = 256


# Boxes.


def apply_box_deltas_graph(boxes, deltas):
    """Refines boxes [N, 4] by deltas [N, 4]: see `mrcnn.ops.boxes.apply_box_deltas`."""
    return apply_box_deltas(boxes, deltas)


def clip_boxes_graph(boxes, window):
    """Clips boxes [N, 4] to a window [4]."""
    return clip_boxes(boxes, window)


def overlaps_graph(boxes1, boxes2):
    """Intersection over union of boxes [N, 4] and [M, 4] -> [N, M]."""
    return iou(boxes1, boxes2)


def norm_boxes_graph(boxes, shape):
    """Pixels to normalised coordinates: boxes [..., 4], shape [2] -> float32 [..., 4]."""
    return norm_boxes(boxes, shape)


def denorm_boxes_graph(boxes, shape):
    """Normalised coordinates to whole pixels: boxes [..., 4], shape [2] -> int32 [..., 4]."""
    return ops.cast(ops.round(denorm_boxes(boxes, shape)), "int32")


def log2_graph(x):
    """Base-2 logarithm."""
    return ops.log2(x)


def trim_zeros_graph(boxes, name=None):
    """Drops the rows of zeros of boxes [N, 4] -> boxes [n, 4], kept bool [N].

    The number of rows depends on the values: not under JAX's `jit` nor XLA. `name` is not used.
    """
    kept = ops.any(boxes != 0, axis=1)
    return ops.take(boxes, ops.nonzero(kept)[0], axis=0), kept


def batch_pack_graph(x, counts, num_rows):
    """The first `counts[i]` values of each row i of x [num_rows, ...], one after the other."""
    return ops.concatenate([x[i, : counts[i]] for i in range(num_rows)], axis=0)


# Targets and detections of one image.


def detection_targets_graph(proposals, gt_class_ids, gt_boxes, gt_masks, config):
    """Draws the training ROIs of one image: see `DetectionTargetLayer`.

    Args:
        proposals: float [N, 4], normalised, zero padded.
        gt_class_ids: int [M], zero padded.
        gt_boxes: float [M, 4], normalised.
        gt_masks: bool [h, w, M].
        config: `Config`.

    Returns:
        list: rois [T, 4], class ids [T], deltas [T, 4], masks [T, *MASK_SHAPE].
    """
    found = targets.roi_targets(
        *(ops.expand_dims(x, 0) for x in (proposals, gt_class_ids, gt_boxes, gt_masks)),
        settings.ROITargets.from_config(config),
        seed=None,
    )
    return [x[0] for x in to_matterport_targets(found)]


def refine_detections_graph(rois, probs, deltas, window, config):
    """The detections of one image: see `DetectionLayer`.

    Args:
        rois: float [N, 4], normalised.
        probs: float [N, K].
        deltas: float [N, K, 4].
        window: float [4], normalised; boxes are clipped to it.
        config: `Config`.

    Returns:
        float32 [D, 6] = y1 x1 y2 x2 (normalised), class id, score; best first, zero padded.
    """
    return refine_detections(
        *(ops.expand_dims(x, 0) for x in (rois, probs, deltas, window)),
        settings.Detections.from_config(config),
    )[0]


# Heads.


def rpn_graph(feature_map, anchors_per_location, anchor_stride):
    """Region proposal network on one feature map, its layers in the caller's model.

    Args:
        feature_map: float [B, h, w, C].
        anchors_per_location: int R.
        anchor_stride: int, features from one anchor location to the next.

    Returns:
        list: class logits [B, h*w*R, 2], their softmax, deltas [B, h*w*R, 4].
    """
    model = build_rpn_model(anchor_stride, anchors_per_location, feature_map.shape[-1])
    reached = {id(model.inputs[0]): feature_map}
    for layer in model.layers[1:]:  # in the order of the graph
        # A layer of its own: one that two models share has no single `output`.
        copy = type(layer).from_config(layer.get_config())
        reached[id(layer.output)] = copy(reached[id(layer.input)])
    return [reached[id(output)] for output in model.outputs]


def build_rpn_model(anchor_stride, anchors_per_location, depth):
    """The region proposal network as a model, shared by all levels: `mrcnn.network.heads.rpn_head`.

    Args:
        anchor_stride: int, features from one anchor location to the next.
        anchors_per_location: int.
        depth: int, channels of the feature maps.
    """
    model = heads.rpn_head(
        settings.Trunk(rpn_channels=_RPN_CHANNELS),
        settings.Anchors(ratios=(1.0,) * anchors_per_location, anchor_stride=anchor_stride),
        depth,
    )
    # With a list of inputs it takes `model([x])`, as matterport calls it, and `model(x)` alike.
    return keras.Model([model.input], model.outputs, name=model.name)


def fpn_classifier_graph(
    rois, feature_maps, image_meta, pool_size, num_classes, train_bn=True, fc_layers_size=1024
):
    """Classifier and box regressor of ROIs.

    Args:
        rois: float [B, N, 4], normalised; N is fixed.
        feature_maps: list of float [B, h, w, C], P2 to P5.
        image_meta: float [B, META].
        pool_size: int, bins a side.
        num_classes: int K.
        train_bn: see `Config.TRAIN_BN`.
        fc_layers_size: int, width of the fully connected layers.

    Returns:
        class logits [B, N, K], their softmax, deltas [B, N, K, 4].
    """
    pooled = _pool(rois, feature_maps, image_meta, pool_size, "roi_align_classifier")
    head = settings.BoxHead(
        num_classes=num_classes, pool_size=pool_size, channels=fc_layers_size, train_bn=train_bn
    )
    found = heads.box_head(head, settings.ConvStyle())(pooled)
    return found["mrcnn_class_logits"], found["mrcnn_class"], found["mrcnn_bbox"]


def build_fpn_mask_graph(rois, feature_maps, image_meta, pool_size, num_classes, train_bn=True):
    """Masks of every class of ROIs, probabilities: arguments of `fpn_classifier_graph` -> float32
    [B, N, 2 * pool_size, 2 * pool_size, K]."""
    pooled = _pool(rois, feature_maps, image_meta, pool_size, "roi_align_mask")
    head = settings.MaskHead(num_classes=num_classes, channels=_MASK_CHANNELS, train_bn=train_bn)
    return heads.mask_head(head, settings.ConvStyle())(pooled)["mrcnn_mask"]


def _pool(rois, feature_maps, image_meta, pool_size, name):
    if rois.shape[1] is None:
        raise ValueError(
            f"rois has shape {tuple(rois.shape)}; expected a fixed number of ROIs, as "
            "ProposalLayer and DetectionTargetLayer return. Name it: keras.Input((1000, 4))."
        )
    return PyramidROIAlign([pool_size, pool_size], name=name)([rois, image_meta, *feature_maps])


# Losses: float32 scalars, 0.0 where nothing counts.


def smooth_l1_loss(y_true, y_pred):
    """Smooth L1 of each element, beta 1."""
    return smooth_l1(y_true, y_pred)


def rpn_class_loss_graph(rpn_match, rpn_class_logits):
    """Cross-entropy of object against background.

    Args:
        rpn_match: int [B, A, 1]; 1 object, -1 background, 0 does not count.
        rpn_class_logits: float [B, A, 2].
    """
    match = ops.squeeze(rpn_match, -1)
    loss = losses.cross_entropy(ops.cast(match == 1, "int32"), rpn_class_logits)
    return losses.masked_mean(loss, match != 0)


def rpn_bbox_loss_graph(config, target_bbox, rpn_match, rpn_bbox):
    """Smooth L1 of the deltas of the positive anchors.

    Args:
        config: `Config`: `RPN_SMOOTH_L1_BETA`, `SMOOTH_L1_BETA`, `BBOX_LOSS_NORMALIZER`.
        target_bbox: float [B, S, 4]; row i is of the i-th positive anchor, the rest is padding.
        rpn_match: int [B, A, 1]; 1 in positive anchors.
        rpn_bbox: float [B, A, 4].
    """
    match = ops.squeeze(rpn_match, -1)
    positive = match == 1  # (B, A)
    row = ops.cumsum(ops.cast(positive, "int32"), axis=1) - 1
    row = ops.clip(row, 0, ops.shape(target_bbox)[1] - 1)
    target = gather(target_bbox, row)  # (B, A, 4)
    box_loss = settings.Losses.from_config(config).rpn_box_loss
    return losses.box_loss(target, rpn_bbox, positive, match != 0, **box_loss)


def mrcnn_class_loss_graph(target_class_ids, pred_class_logits, active_class_ids):
    """Cross-entropy of ROIs predicted as a class of the image's own data set.

    Args:
        target_class_ids: int [B, T]; 0 background and padding.
        pred_class_logits: float [B, T, K].
        active_class_ids: [B, K], 1 for classes that the image's data set knows.
    """
    class_ids = ops.cast(target_class_ids, "int32")
    return losses.mrcnn_class_loss(class_ids, pred_class_logits, active_class_ids)


def mrcnn_bbox_loss_graph(target_bbox, target_class_ids, pred_bbox):
    """Smooth L1 of the deltas of the target class, over positive ROIs.

    Args:
        target_bbox: float [B, T, 4].
        target_class_ids: int [B, T]; above 0 in positive ROIs.
        pred_bbox: float [B, T, K, 4].
    """
    return losses.mrcnn_bbox_loss(ops.cast(target_class_ids, "int32"), target_bbox, pred_bbox)


def mrcnn_mask_loss_graph(target_masks, target_class_ids, pred_masks):
    """Binary cross-entropy of the target class's mask, over positive ROIs.

    Args:
        target_masks: float [B, T, h, w], 0 to 1.
        target_class_ids: int [B, T]; above 0 in positive ROIs.
        pred_masks: float [B, T, h, w, K], probabilities.
    """
    epsilon = keras.config.epsilon()
    probs = ops.clip(ops.cast(pred_masks, "float32"), epsilon, 1.0 - epsilon)
    logits = ops.log(probs) - ops.log1p(-probs)
    return losses.mrcnn_mask_loss(ops.cast(target_class_ids, "int32"), target_masks, logits)
