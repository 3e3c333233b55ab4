"""Operations on boxes: pure functions of `keras.ops`, the same on every backend.

Boxes are float [..., 4] = y1 x1 y2 x2, half-open in pixels. How they are normalised is a matter
of `offset`: 1 as matterport, where the corner pixels of the image are 0 and 1, so `y1 / (h - 1)`
and `(y2 - 1) / (h - 1)`; 0 where its edges are: `y1 / h` and `y2 / h`.

Shapes: B images, N boxes, M other boxes, S selected boxes.
"""

import keras
from keras import ops

# Largest log scale of a box delta: no box grows by more than 1000 / 16 in one refinement.
MAX_LOG_SCALE = 4.135166556742356


def norm_boxes(boxes, shape, offset=1):
    """Converts boxes from pixels to normalised coordinates.

    Args:
        boxes: float [..., 4] in pixels.
        shape: [..., 2] height and width in pixels, broadcast against `boxes[..., :2]`.
        offset: 1 or 0, see above.

    Returns:
        float32 [..., 4], normalised.
    """
    side = ops.cast(shape, "float32") - float(offset)
    boxes = ops.cast(boxes, "float32") - _shift(offset)
    return boxes / ops.concatenate([side, side], axis=-1)


def denorm_boxes(boxes, shape, offset=1):
    """Converts normalised boxes to pixels: the inverse of `norm_boxes`, not rounded."""
    side = ops.cast(shape, "float32") - float(offset)
    boxes = ops.cast(boxes, "float32") * ops.concatenate([side, side], axis=-1)
    return boxes + _shift(offset)


def _shift(offset):
    return ops.convert_to_tensor([0.0, 0.0, float(offset), float(offset)])


def apply_box_deltas(boxes, deltas):
    """Refines boxes by deltas (dy, dx, log dh, log dw), after arXiv:1311.2524, appendix C.

    Args:
        boxes: float [..., 4].
        deltas: float [..., 4], in units of the box's height and width.

    Returns:
        float [..., 4]. Log scales are clamped to `MAX_LOG_SCALE`.
    """
    size = boxes[..., 2:] - boxes[..., :2]
    center = boxes[..., :2] + 0.5 * size + deltas[..., :2] * size
    size = size * ops.exp(ops.minimum(deltas[..., 2:], MAX_LOG_SCALE))
    low = center - 0.5 * size
    return ops.concatenate([low, low + size], axis=-1)


def box_deltas(boxes, targets):
    """Computes the deltas that `apply_box_deltas` needs to turn `boxes` into `targets`.

    Args:
        boxes: float [..., 4].
        targets: float [..., 4].

    Returns:
        float [..., 4] = dy, dx, log dh, log dw; zeros where either box has no area.
    """
    size, target_size = boxes[..., 2:] - boxes[..., :2], targets[..., 2:] - targets[..., :2]
    valid = ops.all((size > 0) & (target_size > 0), axis=-1, keepdims=True)
    size, target_size = ops.where(valid, size, 1.0), ops.where(valid, target_size, 1.0)
    center = boxes[..., :2] + 0.5 * size
    target_center = targets[..., :2] + 0.5 * target_size
    deltas = ops.concatenate(
        [(target_center - center) / size, ops.log(target_size / size)], axis=-1
    )
    return ops.where(valid, deltas, 0.0)


def clip_boxes(boxes, window):
    """Clips boxes [..., 4] to windows [..., 4]; a box outside ends with zero area on the edge."""
    low, high = window[..., :2], window[..., 2:]
    corners = [boxes[..., :2], boxes[..., 2:]]
    return ops.concatenate([ops.maximum(ops.minimum(c, high), low) for c in corners], axis=-1)


def box_area(boxes):
    """Area of boxes [..., 4] -> [...]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def iou(boxes1, boxes2):
    """Intersection over union of each pair.

    Args:
        boxes1: float [..., N, 4].
        boxes2: float [..., M, 4].

    Returns:
        float [..., N, M]; 0 where the union has no area.
    """
    boxes1, boxes2 = ops.expand_dims(boxes1, -2), ops.expand_dims(boxes2, -3)
    low = ops.maximum(boxes1[..., :2], boxes2[..., :2])
    high = ops.minimum(boxes1[..., 2:], boxes2[..., 2:])
    size = ops.maximum(high - low, 0.0)
    intersection = size[..., 0] * size[..., 1]
    union = box_area(boxes1) + box_area(boxes2) - intersection
    return ops.where(union > 0, intersection / ops.where(union > 0, union, 1.0), 0.0)


def gather(values, indices):
    """Takes `values[b, indices[b]]` for each image: [B, N, ...], [B, S] -> [B, S, ...]."""
    # Not take_along_axis: it spreads the indices over the values, 8 bytes for each pixel of a mask.
    batch, count = ops.shape(values)[:2]
    rows = ops.reshape(values, (-1, *ops.shape(values)[2:]))  # (B * N, ...)
    first = ops.expand_dims(ops.arange(batch, dtype="int32") * count, 1)  # (B, 1)
    return ops.take(rows, ops.cast(indices, "int32") + first, axis=0)


def trim_padding(class_ids, *values):
    """Cuts off the columns that are padding in every image, where shapes may be open.

    That is on TensorFlow without XLA: most images have far fewer objects than there is room for.

    Args:
        class_ids: int [B, M], zero padded at the end.
        values: tensors [B, M, ...].

    Returns:
        list: `class_ids` and `values`, [B, m, ...] with 1 <= m <= M.
    """
    if keras.backend.backend() != "tensorflow":
        return [class_ids, *values]
    columns = ops.cast(ops.any(class_ids != 0, axis=0), "int32")  # (M,)
    last = ops.max(columns * ops.arange(1, ops.shape(columns)[0] + 1, dtype="int32"))
    count = ops.maximum(last, 1)
    return [value[:, :count] for value in (class_ids, *values)]


def top_k(scores, k):
    """The k best of each row, whatever its length: [B, N] -> scores [B, k], index int32 [B, k].

    A shorter row is filled up with -inf at index 0.
    """
    count = scores.shape[1]
    if not isinstance(count, int) or count < k:  # unknown, or too few
        scores = ops.pad(scores, [[0, 0], [0, k]], constant_values=-float("inf"))
    best, index = ops.top_k(scores, k)
    return best, ops.where(best > -float("inf"), ops.cast(index, "int32"), 0)


def nms(boxes, scores, max_output, iou_threshold, class_ids=None, native=True):
    """Greedy non-maximum suppression of each image, best score first, ties by lower index.

    Args:
        boxes: float [B, N, 4].
        scores: float [B, N]; -inf takes a box out.
        max_output: int, boxes kept at most (S).
        iou_threshold: float; a box is dropped when its IoU with a kept one is above it.
        class_ids: int [B, N] or None; when given, only boxes of one class suppress each other.
        native: use TensorFlow's kernel when TensorFlow runs (5 ms against 123 ms for 6000 boxes
            on 2 cores); XLA cannot compile it.

    Returns:
        int32 [B, S] indices, padded with -1.
    """
    boxes, scores = ops.stop_gradient(boxes), ops.stop_gradient(scores)
    if native and keras.backend.backend() == "tensorflow":
        return _nms_tensorflow(boxes, scores, max_output, iou_threshold, class_ids)
    return _nms_portable(boxes, scores, max_output, iou_threshold, class_ids)


def _nms_portable(boxes, scores, max_output, iou_threshold, class_ids):
    batch, count = ops.shape(scores)
    index = ops.expand_dims(ops.arange(count), 0)  # (1, N)
    slot = ops.expand_dims(ops.arange(max_output), 0)  # (1, S)

    def any_left(step, remaining, selected):
        return ops.any(remaining > -float("inf"))

    def select_best(step, remaining, selected):
        best = ops.cast(ops.argmax(remaining, axis=1, keepdims=True), "int32")  # (B, 1)
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
    if native and keras.backend.backend() == "tensorflow":
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


def batch_slice(inputs, graph_fn, batch_size, names=None):
    """Calls a function that knows one image only for each image of a batch.

    Args:
        inputs: tensor or list of tensors [B, ...].
        graph_fn: function of as many tensors without the batch axis, to a tensor or to a list.
        batch_size: int (B).
        names: not used, as tensors of Keras have no names.

    Returns:
        Tensor [B, ...], or a list of them where `graph_fn` returns more than one.

    Example:

    >>> tuple(batch_slice(ops.ones((2, 3, 4)), box_area, 2).shape)
    (2, 3)
    """
    inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    results = [graph_fn(*(tensor[i] for tensor in inputs)) for i in range(batch_size)]
    several = [result if isinstance(result, (list, tuple)) else [result] for result in results]
    stacked = [ops.stack(images) for images in zip(*several, strict=True)]
    return stacked[0] if len(stacked) == 1 else stacked
