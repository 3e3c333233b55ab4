"""Boxes in NumPy: overlaps, suppression, conversion.

Boxes are y1 x1 y2 x2, half-open in pixels.

Shapes: N boxes, M other boxes, S selected boxes.
"""

import numpy as np


def compute_iou(box, boxes, box_area, boxes_area):
    """Intersection over union of one box with many, whose areas are known.

    Args:
        box: [4].
        boxes: [N, 4].
        box_area: float.
        boxes_area: [N].

    Returns:
        float [N]; 0 where the union has no area.
    """
    height = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    width = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    intersection = np.maximum(height, 0) * np.maximum(width, 0)
    union = box_area + boxes_area - intersection
    return intersection / np.where(union > 0, union, 1)


def compute_overlaps(boxes1, boxes2):
    """Intersection over union of each pair.

    Args:
        boxes1: [N, 4].
        boxes2: [M, 4].

    Returns:
        float64 [N, M]; 0 where the union has no area.

    Example:

    >>> compute_overlaps([[0, 0, 2, 2]], [[0, 0, 2, 2], [0, 1, 2, 3]])
    array([[1.        , 0.33333333]])
    """
    boxes1, boxes2 = _as_boxes(boxes1, "boxes1"), _as_boxes(boxes2, "boxes2")
    if len(boxes1) < len(boxes2):  # one step for each box of the shorter list
        return compute_overlaps(boxes2, boxes1).T
    areas1, areas2 = _areas(boxes1), _areas(boxes2)
    overlaps = np.zeros((len(boxes1), len(boxes2)))
    for i, (box, area) in enumerate(zip(boxes2, areas2, strict=True)):
        overlaps[:, i] = compute_iou(box, boxes1, area, areas1)
    return overlaps


def non_max_suppression(boxes, scores, threshold):
    """Greedy non-maximum suppression, best score first, ties by lower index.

    Args:
        boxes: [N, 4]; N may be 0.
        scores: [N].
        threshold: float; a box is dropped when its IoU with a kept one is above it.

    Returns:
        int32 [S], indices of the boxes kept.

    Raises:
        ValueError: if there is not one score for each box.

    Example:

    >>> non_max_suppression([[0, 0, 2, 2], [0, 0, 2, 3], [5, 5, 6, 6]], [0.8, 0.9, 0.7], 0.5)
    array([1, 2], dtype=int32)
    """
    boxes, scores = _as_boxes(boxes, "boxes"), np.asarray(scores)
    if scores.shape != (len(boxes),):
        raise ValueError(
            f"Expected one score for each of {len(boxes)} boxes, received scores of shape "
            f"{list(scores.shape)}. Pass scores [N] in the order of the boxes."
        )
    areas = _areas(boxes)
    order, kept = np.argsort(-scores.astype(float), kind="stable"), []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        overlaps = compute_iou(boxes[best], boxes[rest], areas[best], areas[rest])
        order = rest[~(overlaps > threshold)]
    return np.array(kept, np.int32)


def norm_boxes(boxes, shape):
    """Converts boxes from pixels to coordinates in which the corner pixels are 0 and 1.

    Args:
        boxes: [..., 4] in pixels.
        shape: (height, width, ...) of the image.

    Returns:
        float32 [..., 4]; along a side of a single pixel everything is at 0.

    Example:

    >>> norm_boxes([[0, 0, 11, 21]], (11, 21))
    array([[0., 0., 1., 1.]], dtype=float32)
    """
    return ((np.asarray(boxes, float) - _SHIFT) / _last_pixels(shape)).astype(np.float32)


def denorm_boxes(boxes, shape):
    """Converts normalised boxes [..., 4] to whole pixels, int32: the inverse of `norm_boxes`.

    A half is rounded to the even pixel.
    """
    # Not mrcnn.ops.denorm_boxes: a float32 product may fall on a half that the box does not have.
    return np.around(np.asarray(boxes, float) * _last_pixels(shape) + _SHIFT).astype(np.int32)


_SHIFT = np.array([0, 0, 1, 1])


def _last_pixels(shape):
    height, width = shape[:2]
    return np.maximum(np.array([height, width, height, width]) - 1, 1)


def trim_zeros(x):
    """Drops the rows of `x` [N, C] that are all zeros, which pad boxes and detections."""
    x = np.asarray(x)
    return x[(x != 0).any(axis=1)]


def _areas(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _as_boxes(boxes, name):
    boxes = np.asarray(boxes, float)
    if not boxes.size:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] < 4:
        raise ValueError(
            f"Expected {name} [N, 4] = y1 x1 y2 x2, received shape {list(boxes.shape)}. "
            "Pass a single box as [box]."
        )
    return boxes
