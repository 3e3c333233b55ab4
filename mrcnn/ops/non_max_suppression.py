"""Non-maximum suppression of each image of a batch.

Shapes: B images, N boxes, S selected boxes, K classes.
"""

from keras import ops

from mrcnn.ops.boxes import iou
from mrcnn.ops.by_image import by_image
from mrcnn.ops.indexing import argmax, gather
from mrcnn.ops.native import is_native, replaceable


@replaceable
@by_image
def nms(boxes, scores, max_output, iou_threshold, class_ids=None, native=True):
    """Greedy non-maximum suppression of each image, best score first, ties by lower index.

    Args:
        boxes: float [B, N, 4].
        scores: float [B, N]; -inf takes a box out.
        max_output: int, boxes kept at most (S).
        iou_threshold: float; a box is dropped when its IoU with a kept one is above it.
        class_ids: int [B, N] or None; when given, only boxes of one class suppress each other.
        native: use TensorFlow's kernel when TensorFlow runs: much faster; XLA cannot compile it.

    Returns:
        int32 [B, S] indices, padded with -1.
    """
    boxes, scores = ops.stop_gradient(boxes), ops.stop_gradient(scores)
    if is_native(native):
        return _nms_tensorflow(boxes, scores, max_output, iou_threshold, class_ids)
    return _nms_portable(boxes, scores, max_output, iou_threshold, class_ids)


def _nms_portable(boxes, scores, max_output, iou_threshold, class_ids):
    batch, count = ops.shape(scores)
    index = ops.expand_dims(ops.arange(count), 0)  # (1, N)
    slot = ops.expand_dims(ops.arange(max_output), 0)  # (1, S)

    def any_left(step, remaining, selected):
        return ops.any(remaining > -float("inf"))

    def select_best(step, remaining, selected):
        best = argmax(remaining, axis=1, keepdims=True)  # (B, 1)
        found = ops.max(remaining, axis=1, keepdims=True) > -float("inf")
        suppressed = iou(gather(boxes, best), boxes)[:, 0] > iou_threshold  # (B, N)
        if class_ids is not None:
            suppressed = suppressed & (gather(class_ids, best) == class_ids)
        remaining = ops.where(suppressed | (index == best), -float("inf"), remaining)
        selected = ops.where(found & (slot == step), best, selected)
        return step + 1, remaining, selected

    start = (ops.convert_to_tensor(0), scores, ops.full((batch, max_output), -1, dtype="int32"))
    return ops.while_loop(any_left, select_best, start, maximum_iterations=max_output)[2]


def _nms_tensorflow(boxes, scores, max_output, iou_threshold, class_ids):
    import tensorflow as tf

    def select(image):
        kept = tf.where(image["scores"] > -float("inf"))[:, 0]
        boxes, scores = tf.gather(image["boxes"], kept), tf.gather(image["scores"], kept)
        if class_ids is None:
            chosen = tf.image.non_max_suppression(boxes, scores, max_output, iou_threshold)
        else:
            classes = tf.gather(image["class_ids"], kept)
            overlaps = tf.where(classes[:, None] == classes[None], iou(boxes, boxes), 0.0)
            chosen = tf.image.non_max_suppression_overlaps(
                overlaps, scores, max_output, iou_threshold
            )
        chosen = tf.cast(tf.gather(kept, chosen), "int32")
        return tf.pad(chosen, [[0, max_output - tf.shape(chosen)[0]]], constant_values=-1)

    images = {"boxes": boxes, "scores": scores}
    if class_ids is not None:
        images["class_ids"] = class_ids
    output = tf.TensorSpec((max_output,), "int32")
    return tf.map_fn(select, images, fn_output_signature=output)


@replaceable
@by_image
def class_nms(boxes, scores, max_output, iou_threshold, native=True):
    """Non-maximum suppression within each class, then the best of all classes.

    Args:
        boxes: float [B, N, K, 4], a box for each class.
        scores: float [B, N, K], not negative; -inf takes a box out.
        max_output: int, boxes kept at most (S).
        iou_threshold: float; a box is dropped when its IoU with a kept one of its class is above.
        native: see `nms`; boxes of equal score may come in another order there.

    Returns:
        boxes: float [B, S, 4], best first, padded with zeros.
        scores: float [B, S], padded with zeros.
        class_ids: int32 [B, S], index into K, padded with -1.
    """
    boxes, scores = ops.stop_gradient(boxes), ops.stop_gradient(scores)
    if is_native(native):
        return _class_nms_tensorflow(boxes, scores, max_output, iou_threshold)
    count, rows = boxes.shape[2], boxes.shape[1] * boxes.shape[2]
    flat_boxes, flat_scores = ops.reshape(boxes, (-1, rows, 4)), ops.reshape(scores, (-1, rows))
    ids = ops.cast(ops.arange(rows) % count, "int32")
    ids = ops.zeros_like(flat_scores, dtype="int32") + ops.expand_dims(ids, 0)
    keep = _nms_portable(flat_boxes, flat_scores, max_output, iou_threshold, ids)
    index, found = ops.maximum(keep, 0), keep >= 0
    return (
        ops.where(found[..., None], gather(flat_boxes, index), 0.0),
        ops.where(found, gather(flat_scores, index), 0.0),
        ops.where(found, gather(ids, index), -1),
    )


def _class_nms_tensorflow(boxes, scores, max_output, iou_threshold):
    import tensorflow as tf

    boxes, scores, class_ids, count = tf.image.combined_non_max_suppression(
        boxes,
        tf.where(scores > -float("inf"), scores, -1.0),
        max_output,
        max_output,
        iou_threshold,
        score_threshold=-0.5,
        clip_boxes=False,
    )
    found = tf.range(max_output)[None] < count[:, None]
    return boxes, scores, tf.where(found, tf.cast(class_ids, "int32"), -1)
