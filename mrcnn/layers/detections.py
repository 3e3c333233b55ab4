"""Layers from classified ROIs to detections and their masks. Like all layers here, without weights.

Shapes: B images, N proposals, L candidates, D detections, K classes.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.layers.base import PureLayer, normalized_window, take_kept
from mrcnn.ops.boxes import apply_box_deltas, clip_boxes
from mrcnn.ops.indexing import argmax, take_class
from mrcnn.ops.non_max_suppression import class_nms, nms
from mrcnn.ops.soft_nms import soft_nms


@keras.saving.register_keras_serializable("mrcnn")
class DetectionLayer(PureLayer):
    """Final detections: ROIs refined, without duplicates in a class.

    Args:
        settings: `mrcnn.settings.Detections`; by its `per_class` any class of an ROI may become a
            detection, else its best one alone.
    """

    settings_type = settings.Detections

    def call(self, rois, mrcnn_class, mrcnn_bbox, image_meta):
        """Turns classified ROIs into detections.

        Args:
            rois: float [B, N, 4], normalised, zero padded.
            mrcnn_class: float [B, N, K], probabilities.
            mrcnn_bbox: float [B, N, K, 4], deltas of each class.
            image_meta: float [B, META]; boxes are clipped to its window.

        Returns:
            float32 [B, D, 6] = y1 x1 y2 x2 (normalised), class id, score; best first, zero padded.
        """
        window = normalized_window(image_meta, self.settings.box_offset)
        return refine_detections(rois, mrcnn_class, mrcnn_bbox, window, self.settings)

    def candidates(self, rois, mrcnn_class, mrcnn_bbox, image_meta):
        """What competes in `call`; arguments as there.

        Returns:
            boxes float32 [B, L, 4], normalised; scores float32 [B, L], -inf of what takes no part;
            and class_ids int32 [B, L]. L is N, or with `per_class` N * (K - 1), ROI by ROI.
        """
        window = normalized_window(image_meta, self.settings.box_offset)
        given = rois, mrcnn_class, mrcnn_bbox, window, self.settings
        if self.settings.per_class:
            return _in_one_row(*_every_class(*given))
        return _best_class(*given)


def refine_detections(rois, probs, deltas, window, settings):
    """Turns classified ROIs into detections: see `DetectionLayer`.

    Args:
        rois: float [B, N, 4], normalised, zero padded.
        probs: float [B, N, K].
        deltas: float [B, N, K, 4], of each class.
        window: float [B, 4], normalised; boxes are clipped to it.
        settings: `mrcnn.settings.Detections`.

    Returns:
        float32 [B, D, 6] = y1 x1 y2 x2 (normalised), class id, score; best first, zero padded.
    """
    refine = _of_every_class if settings.per_class else _of_the_best_class
    return refine(rois, probs, deltas, window, settings)


def _of_the_best_class(*given):
    """Detections of the most likely class of each ROI, by that class's deltas, as matterport."""
    boxes, scores, class_ids = _best_class(*given)
    return without_duplicates(boxes, boxes, scores, class_ids, given[-1])


def _best_class(rois, probs, deltas, window, settings):
    """Refined boxes [B, N, 4] of the most likely classes, their scores [B, N], -inf of what takes
    no part, and the classes int32 [B, N]."""
    probs = ops.cast(probs, "float32")
    class_ids = argmax(probs, axis=-1)  # (B, N)
    scores = ops.max(probs, axis=-1)
    deltas = ops.take_along_axis(deltas, class_ids[..., None, None], axis=2)[:, :, 0]
    deltas = ops.cast(deltas, "float32") * ops.convert_to_tensor(settings.std_dev, "float32")
    boxes = clip_boxes(apply_box_deltas(rois, deltas), ops.expand_dims(window, 1))

    is_roi = ops.any(rois != 0, axis=-1)
    wanted = is_roi & (class_ids > 0) & (scores >= (settings.min_confidence or 0.0))
    return boxes, ops.where(wanted, scores, -float("inf")), class_ids


def without_duplicates(boxes, shown, scores, class_ids, settings):
    """Detections of boxes that compete.

    Args:
        boxes: float [B, N, 4].
        shown: float [B, N, 4], what is returned of them.
        scores: float [B, N]; -inf takes a box out.
        class_ids: int32 [B, N].
        settings: `mrcnn.settings.Detections`.

    Returns:
        float32 [B, D, 6], see `DetectionLayer`.
    """
    rivals = None if settings.class_agnostic_nms else class_ids
    limits = settings.max_instances, settings.nms_threshold
    columns = [shown, ops.cast(class_ids, "float32")[..., None]]
    if settings.nms == "hard":
        keep = nms(boxes, scores, *limits, rivals, native=settings.native)
        return take_kept(ops.concatenate([*columns, scores[..., None]], axis=-1), keep)
    most, threshold = limits
    keep, scores = soft_nms(
        boxes,
        scores,
        most,
        settings.nms,
        threshold,
        settings.nms_sigma,
        settings.min_confidence or 0.0,
        rivals,
    )
    kept = take_kept(ops.concatenate(columns, axis=-1), keep)
    return ops.concatenate([kept, scores[..., None]], axis=-1)


def _of_every_class(*given):
    """Detections of any class of an ROI, each by its own deltas, as torchvision and detectron2."""
    settings = given[-1]
    boxes, scores = _every_class(*given)
    if settings.nms != "hard" or settings.class_agnostic_nms:
        boxes, scores, class_ids = _in_one_row(boxes, scores)
        return without_duplicates(boxes, boxes, scores, class_ids, settings)
    boxes, scores, class_ids = class_nms(
        boxes,
        scores,
        settings.max_instances,
        settings.nms_threshold,
        native=settings.native,
    )
    class_ids = ops.cast(class_ids + 1, "float32")  # background is 0, and so is padding
    return ops.concatenate([boxes, class_ids[..., None], scores[..., None]], axis=-1)


def _every_class(rois, probs, deltas, window, settings):
    """Refined boxes [B, N, K - 1, 4] of every class but the background, and their scores
    [B, N, K - 1], -inf of what takes no part."""
    probs = ops.cast(probs[..., 1:], "float32")  # (B, N, K - 1)
    deltas = ops.cast(deltas[..., 1:, :], "float32")
    deltas = deltas * ops.convert_to_tensor(settings.std_dev)
    boxes = apply_box_deltas(ops.expand_dims(rois, 2), deltas)  # (B, N, K - 1, 4)
    boxes = clip_boxes(boxes, window[:, None, None])
    seen = ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1)
    is_roi = ops.any(rois != 0, axis=-1, keepdims=True)
    wanted = seen & is_roi & (probs >= (settings.min_confidence or 0.0))
    return boxes, ops.where(wanted, probs, -float("inf"))


def _in_one_row(boxes, scores):
    """Boxes [B, N, K - 1, 4] and scores [B, N, K - 1] -> [B, N * (K - 1), ...], and class ids."""
    rows, classes = boxes.shape[1] * boxes.shape[2], boxes.shape[2]
    boxes, scores = ops.reshape(boxes, (-1, rows, 4)), ops.reshape(scores, (-1, rows))
    ids = ops.cast(ops.arange(rows) % classes + 1, "int32")
    return boxes, scores, ops.zeros_like(scores, dtype="int32") + ops.expand_dims(ids, 0)


@keras.saving.register_keras_serializable("mrcnn")
class ClassMasks(PureLayer):
    """Mask of each detection's class: logits [B, D, h, w, K], [B, D, 6] -> float32 [B, D, h, w]."""

    def call(self, mask_logits, detections):
        logits = take_class(mask_logits, ops.cast(detections[..., 4], "int32"))
        return ops.sigmoid(ops.cast(logits, "float32"))
