"""Operations on boxes: pure functions of `keras.ops`, the same on every backend.

Boxes are float [..., 4] = y1 x1 y2 x2, half-open in pixels. How they are normalised is a matter
of `offset`: 1 as matterport, where the corner pixels of the image are 0 and 1, so `y1 / (h - 1)`
and `(y2 - 1) / (h - 1)`; 0 where its edges are: `y1 / h` and `y2 / h`.

Shapes: N boxes, M other boxes.
"""

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
    intersection = _overlap(boxes1, boxes2, 0) * _overlap(boxes1, boxes2, 1)
    union = box_area(boxes1) + box_area(boxes2) - intersection
    return ops.where(union > 0, intersection / ops.where(union > 0, union, 1.0), 0.0)


def _overlap(boxes1, boxes2, axis):
    """Length that boxes share along y (0) or x (1), [..., 4] and [..., 4] -> [...].

    One axis at a time: TensorFlow broadcasts [N, 1, 2] against [1, M, 2] three times slower.
    """
    low = ops.maximum(boxes1[..., axis], boxes2[..., axis])
    high = ops.minimum(boxes1[..., axis + 2], boxes2[..., axis + 2])
    return ops.maximum(high - low, 0.0)
