"""The loss of each box: of its deltas, or of how it overlaps with its target.

Shapes: any number of boxes [...], float y1 x1 y2 x2.
"""

from keras import ops

from mrcnn.ops.boxes import apply_box_deltas, box_area

EPSILON = 1e-7  # added to areas that are divided by


def smooth_l1(target, pred, beta=1.0):
    """0.5 d^2 / beta where |d| < beta, |d| - 0.5 beta elsewhere (arXiv:1504.08083, equation 3).

    A beta of 0 gives |d|.
    """
    distance = ops.abs(ops.cast(target, "float32") - ops.cast(pred, "float32"))
    if beta == 0:
        return distance
    return ops.where(distance < beta, 0.5 / beta * distance * distance, distance - 0.5 * beta)


def giou_loss(boxes1, boxes2):
    """1 - GIoU of each pair of boxes (arXiv:1902.09630): float [..., 4] twice -> float32 [...].

    It does not change when an axis of both is scaled.
    """
    overlap, union, size = _overlap(boxes1, boxes2)
    outer = ops.prod(size, axis=-1)
    return 1.0 - overlap + (outer - union) / (outer + EPSILON)


def diou_loss(boxes1, boxes2):
    """1 - IoU + d^2 / c^2 of each pair of boxes (arXiv:1911.08287, equation 7), d from centre to
    centre, c the diagonal of the smallest box around both: float [..., 4] twice -> float32 [...].

    It changes when one axis alone is scaled.
    """
    overlap, _, size = _overlap(boxes1, boxes2)
    sums = [box[..., :2] + box[..., 2:] for box in (boxes1, boxes2)]
    distance = ops.sum(ops.square(0.5 * (sums[0] - sums[1])), axis=-1)
    return 1.0 - overlap + distance / (ops.sum(ops.square(size), axis=-1) + EPSILON)


def _overlap(boxes1, boxes2):
    """Of each pair the IoU and the union [...], and the size [..., 2] of the box around both."""
    corners = [(box[..., :2], box[..., 2:]) for box in (boxes1, boxes2)]
    (low1, high1), (low2, high2) = corners
    shared = ops.maximum(ops.minimum(high1, high2) - ops.maximum(low1, low2), 0.0)
    shared = ops.prod(shared, axis=-1)
    union = box_area(boxes1) + box_area(boxes2) - shared
    return shared / (union + EPSILON), union, ops.maximum(high1, high2) - ops.minimum(low1, low2)


def box_losses(target, pred, boxes=None, kind="smooth_l1", beta=1.0, std_dev=(1.0, 1.0, 1.0, 1.0)):
    """The loss of each box that is predicted by its deltas.

    Args:
        target, pred: float [..., 4], deltas over `std_dev`.
        boxes: float [..., 4], pixels: what the deltas move; None: squares, which serve all kinds
            but "diou".
        kind: "smooth_l1" of the deltas, or of the moved boxes "giou" or "diou".
        beta: see `smooth_l1`.
        std_dev: four floats, scale of the deltas.

    Returns:
        float32 [..., 4], the losses of the deltas, or [..., 1], that of the box.
    """
    if kind == "smooth_l1":
        return smooth_l1(target, pred, beta)
    boxes = (0, 0, 1, 1) if boxes is None else boxes
    boxes, scale = (ops.convert_to_tensor(x, "float32") for x in (boxes, std_dev))
    moved = [apply_box_deltas(boxes, ops.cast(x, "float32") * scale) for x in (target, pred)]
    return {"giou": giou_loss, "diou": diou_loss}[kind](*moved)[..., None]
