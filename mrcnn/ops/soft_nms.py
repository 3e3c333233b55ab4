"""Soft-NMS: overlapping boxes lose score instead of being dropped (arXiv:1704.04503).

Shapes: B images, N boxes, C candidates of them, S selected boxes.
"""

from keras import ops

from mrcnn.ops.boxes import iou
from mrcnn.ops.by_image import by_image
from mrcnn.ops.indexing import argmax, gather, top_k

# Below it a box is dropped, as in the paper's code.
MIN_SCORE = 0.001
# Boxes that take part at most: so many, or so many times those selected.
CANDIDATES, CANDIDATES_PER_BOX = 1000, 10


@by_image
def soft_nms(
    boxes, scores, max_output, method, iou_threshold, sigma, min_score=0.0, class_ids=None
):
    """Greedy selection of each image, best score first, that lowers the scores of what overlaps.

    In turn the best box is selected, and the scores of the others are multiplied by `decay`. Only
    the best 1000 boxes take part, or 10 times `max_output` if that is more: where every class of
    each ROI is a box there are a hundred thousand of them, and memory and time stay bounded.

    Args:
        boxes: float [B, N, 4]; N is known.
        scores: float [B, N], not negative; -inf takes a box out.
        max_output: int, boxes selected at most (S).
        method, iou_threshold, sigma: see `decay`.
        min_score: float, least score of a box, as given and when it is selected; at least
            `MIN_SCORE` counts.
        class_ids: int [B, N] or None; when given, only boxes of one class lower each other.

    Returns:
        int32 [B, S] indices, padded with -1; and float32 [B, S], the lowered scores at which they
        were selected, best first, padded with 0.
    """
    boxes, scores = ops.stop_gradient(boxes), ops.cast(ops.stop_gradient(scores), "float32")
    limit = max(CANDIDATES, CANDIDATES_PER_BOX * max_output)
    chosen = None
    if scores.shape[1] > limit:
        scores, chosen = top_k(scores, limit)  # (B, C)
        boxes = gather(boxes, chosen)
        class_ids = None if class_ids is None else gather(class_ids, chosen)
    least = max(min_score, MIN_SCORE)

    def lowered(ious):
        return decay(ious, method, iou_threshold, sigma)

    keep, scores = _select(boxes, scores, max_output, lowered, least, class_ids)
    if chosen is not None:
        keep = ops.where(keep >= 0, gather(chosen, ops.maximum(keep, 0)), -1)
    return keep, scores


def decay(ious, method, iou_threshold, sigma):
    """The factor of a box's score for its IoU with a better one.

    Args:
        ious: float, any shape.
        method: "linear": 1 - IoU above `iou_threshold`, else 1; "gaussian": exp(-IoU^2 / `sigma`).
        iou_threshold: float.
        sigma: float, above 0.
    """
    if method == "linear":
        return ops.where(ious > iou_threshold, 1.0 - ious, 1.0)
    if method == "gaussian":
        return ops.exp(-ops.square(ious) / sigma)
    raise ValueError(f'expected the method "linear" or "gaussian", received {method!r}')


def _select(boxes, scores, max_output, lowered, least, class_ids):
    """The loop of `soft_nms`: `lowered` is a function of IoU; what is out has the score 0."""
    batch, count = ops.shape(scores)
    index = ops.expand_dims(ops.arange(count), 0)  # (1, C)
    slot = ops.expand_dims(ops.arange(max_output), 0)  # (1, S)

    def in_reach(scores):
        return ops.where(scores >= least, scores, 0.0)

    def any_left(step, remaining, selected, selected_scores):
        return ops.any(remaining > 0)

    def select_best(step, remaining, selected, selected_scores):
        best = argmax(remaining, axis=1, keepdims=True)  # (B, 1)
        score = ops.max(remaining, axis=1, keepdims=True)
        factors = lowered(iou(gather(boxes, best), boxes)[:, 0])  # (B, C)
        if class_ids is not None:
            factors = ops.where(gather(class_ids, best) == class_ids, factors, 1.0)
        remaining = ops.where(index == best, 0.0, in_reach(remaining * factors))
        now = (score > 0) & (slot == step)
        selected = ops.where(now, best, selected)
        return step + 1, remaining, selected, ops.where(now, score, selected_scores)

    start = (
        ops.convert_to_tensor(0),
        in_reach(scores),
        ops.full((batch, max_output), -1, dtype="int32"),
        ops.zeros((batch, max_output), dtype="float32"),
    )
    return ops.while_loop(any_left, select_best, start, maximum_iterations=max_output)[2:]
