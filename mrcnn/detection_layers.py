"""Layers from classified ROIs to detections and their masks. Like all layers here, without weights.

Shapes: B images, N proposals, D detections, K classes.
"""

from keras import ops

from mrcnn.layers import PureLayer, normalized_window, take_kept
from mrcnn.ops import apply_box_deltas, class_nms, clip_boxes, nms


class DetectionLayer(PureLayer):
    """Final detections: the best class of each ROI, refined, without duplicates in a class.

    Args:
        max_instances: int, detections kept at most (D).
        min_confidence: float, lowest score that counts; 0 or None: any.
        nms_threshold: float, IoU above which the lower score of a class goes.
        std_dev: four floats, scale of the deltas.
        native: see `mrcnn.ops.nms`.
        box_offset: see `mrcnn.ops`.
    """

    def __init__(
        self,
        max_instances,
        min_confidence,
        nms_threshold,
        std_dev,
        native=True,
        box_offset=1,
        name=None,
    ):
        std_dev = [float(x) for x in std_dev]
        super().__init__(
            name,
            max_instances=max_instances,
            min_confidence=min_confidence,
            nms_threshold=nms_threshold,
            std_dev=std_dev,
            native=native,
            box_offset=box_offset,
        )
        self.box_offset = box_offset
        self.max_instances, self.min_confidence = max_instances, min_confidence or 0.0
        self.nms_threshold, self.std_dev, self.native = nms_threshold, std_dev, native

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
        return refine_detections(
            rois,
            mrcnn_class,
            mrcnn_bbox,
            normalized_window(image_meta, self.box_offset),
            self.max_instances,
            self.min_confidence,
            self.nms_threshold,
            self.std_dev,
            self.native,
        )


def refine_detections(
    rois,
    probs,
    deltas,
    window,
    max_instances,
    min_confidence,
    nms_threshold,
    std_dev,
    native=True,
):
    """Turns classified ROIs into detections: see `DetectionLayer`.

    Args:
        rois: float [B, N, 4], normalised, zero padded.
        probs: float [B, N, K].
        deltas: float [B, N, K, 4], of each class.
        window: float [B, 4], normalised; boxes are clipped to it.
        max_instances, min_confidence, nms_threshold, std_dev, native: see `DetectionLayer`.

    Returns:
        float32 [B, D, 6] = y1 x1 y2 x2 (normalised), class id, score; best first, zero padded.
    """
    probs = ops.cast(probs, "float32")
    class_ids = ops.cast(ops.argmax(probs, axis=-1), "int32")  # (B, N)
    scores = ops.max(probs, axis=-1)
    deltas = ops.take_along_axis(deltas, class_ids[..., None, None], axis=2)[:, :, 0]
    deltas = ops.cast(deltas, "float32") * ops.convert_to_tensor(std_dev, "float32")
    boxes = clip_boxes(apply_box_deltas(rois, deltas), ops.expand_dims(window, 1))

    is_roi = ops.any(rois != 0, axis=-1)
    wanted = is_roi & (class_ids > 0) & (scores >= min_confidence)
    scores = ops.where(wanted, scores, -float("inf"))
    keep = nms(boxes, scores, max_instances, nms_threshold, class_ids, native=native)
    columns = [boxes, ops.cast(class_ids, "float32")[..., None], scores[..., None]]
    return take_kept(ops.concatenate(columns, axis=-1), keep)


class ClasswiseDetectionLayer(DetectionLayer):
    """As `DetectionLayer`, but every class of an ROI may become a detection, as in torchvision
    and detectron2: each class refines the box by its own deltas."""

    def call(self, rois, mrcnn_class, mrcnn_bbox, image_meta):
        """Turns classified ROIs into detections: see `DetectionLayer.call`."""
        probs = ops.cast(mrcnn_class[..., 1:], "float32")  # (B, N, K - 1)
        deltas = ops.cast(mrcnn_bbox[..., 1:, :], "float32") * ops.convert_to_tensor(self.std_dev)
        window = normalized_window(image_meta, self.box_offset)
        boxes = apply_box_deltas(ops.expand_dims(rois, 2), deltas)  # (B, N, K - 1, 4)
        boxes = clip_boxes(boxes, window[:, None, None])
        seen = ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1)
        is_roi = ops.any(rois != 0, axis=-1, keepdims=True)
        scores = ops.where(seen & is_roi & (probs >= self.min_confidence), probs, -float("inf"))
        boxes, scores, class_ids = class_nms(
            boxes, scores, self.max_instances, self.nms_threshold, native=self.native
        )
        class_ids = ops.cast(class_ids + 1, "float32")  # background is 0, and so is padding
        return ops.concatenate([boxes, class_ids[..., None], scores[..., None]], axis=-1)


class ClassMasks(PureLayer):
    """Mask of each detection's class: logits [B, D, h, w, K], [B, D, 6] -> float32 [B, D, h, w]."""

    def call(self, mask_logits, detections):
        class_ids = ops.cast(detections[..., 4], "int32")[..., None, None, None]
        logits = ops.take_along_axis(mask_logits, class_ids, axis=4)[..., 0]
        return ops.sigmoid(ops.cast(logits, "float32"))
