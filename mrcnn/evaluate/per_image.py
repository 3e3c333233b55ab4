"""matterport's scores of one image: matches by mask IoU, average precision, recall of boxes.

Average precision is the area under the precision envelope of PASCAL VOC, over all classes of one
image at once; for COCO's numbers over a data set see `mrcnn.evaluate.coco`. Ground truths with a
negative class id are crowds: nothing matches them, nothing is missed there, and detections that
lie on a crowd of their class do not count as false. Boxes of zeros are padding and are left out.

Shapes: M ground truths, P predictions, H W of the image.
"""

import numpy as np

from mrcnn.image.boxes import compute_overlaps

_TILE = 64  # pixels: few instances share one, and its counts are exact in float32


def compute_overlaps_masks(masks1, masks2):
    """Intersection over union of each pair of masks.

    Args:
        masks1: [H, W, N], bool, or numbers that are above 0.5 on the object.
        masks2: [H, W, M], as `masks1`.

    Returns:
        float64 [N, M]; 0 where both masks are empty.

    Raises:
        ValueError: if the masks differ in height or width.

    Example:

    >>> left, both = np.array([[1, 0]]), np.array([[1, 1]])
    >>> compute_overlaps_masks(left[:, :, None], np.stack([left, both], axis=-1))
    array([[1. , 0.5]])
    """
    common, area1, area2 = _count_common(np.asarray(masks1), np.asarray(masks2))
    union = area1[:, None] + area2[None] - common
    return common / np.maximum(union, 1)


def _count_common(masks1, masks2):
    """Pixels that each pair of masks shares [N, M], and those of each mask [N], [M]; float64."""
    counts = [masks.shape[-1] for masks in (masks1, masks2)]
    common, *areas = np.zeros(counts), np.zeros(counts[0]), np.zeros(counts[1])
    if not masks1.size or not masks2.size:
        return common, *areas
    if masks1.ndim != 3 or masks2.ndim != 3 or masks1.shape[:2] != masks2.shape[:2]:
        raise ValueError(
            "Expected masks [height, width, N] of one height and width, received "
            f"{list(masks1.shape)} and {list(masks2.shape)}. Load ground truth with "
            "use_mini_mask=False, and give detections at the size of that image."
        )
    height, width = masks1.shape[:2]
    for y in range(0, height, _TILE):
        for x in range(0, width, _TILE):
            tile = (slice(y, y + _TILE), slice(x, x + _TILE))
            (index1, pixels1), (index2, pixels2) = (_in_tile(m[tile]) for m in (masks1, masks2))
            # Row by row: products so small that BLAS does not wake its threads, whose waiting for
            # each other takes seconds on a busy machine.
            ones = np.ones(pixels1.shape[1], np.float32)
            areas[0][index1] += (ones @ pixels1).sum(axis=0)
            areas[1][index2] += (ones @ pixels2).sum(axis=0)
            if index1.size and index2.size:
                both = pixels1.swapaxes(1, 2) @ pixels2  # (h, n1, n2)
                common[np.ix_(index1, index2)] += both.sum(axis=0)
    return common, *areas


def _in_tile(masks):
    """The instances that touch a tile [h, w, N]: index [n] and pixels float32 [h, w, n]."""
    masks = masks if masks.dtype == bool else masks > 0.5
    index = np.flatnonzero(masks.any(axis=(0, 1)))
    present = masks if index.size == masks.shape[2] else masks[:, :, index]
    return index, present.astype(np.float32)


def compute_matches(
    gt_boxes,
    gt_class_ids,
    gt_masks,
    pred_boxes,
    pred_class_ids,
    pred_scores,
    pred_masks,
    iou_threshold=0.5,
    score_threshold=0.0,
):
    """Matches predictions, best score first, to ground truths of their class by mask IoU.

    Each takes the free ground truth that it overlaps most; ties go to the lower index.

    Args:
        gt_boxes: [M, 4] in pixels; rows of zeros at any place are padding.
        gt_class_ids: int [M], negative for crowds.
        gt_masks: [H, W, M], as the class ids with or without the padding.
        pred_boxes: [P, 4] in pixels, padded in the same way.
        pred_class_ids: int [P].
        pred_scores: float [P].
        pred_masks: [H, W, P].
        iou_threshold: float, IoU of a match at least.
        score_threshold: float, a second bound of the IoU, as in matterport's library.

    Returns:
        gt_match: int [M], index of the matched prediction or -1.
        pred_match: int [P], index of the matched ground truth or -1.
        overlaps: float [P, M], mask IoU.

        Padding is left out, and predictions are in the order of their scores, best first.

    Raises:
        ValueError: if the number of classes, scores or masks is not that of the boxes, or if the
            masks differ in size.
    """
    found = _compare(
        gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks
    )
    matches = _match(*found[:3], max(iou_threshold, score_threshold))
    return *matches, found[2]


def compute_ap(
    gt_boxes,
    gt_class_ids,
    gt_masks,
    pred_boxes,
    pred_class_ids,
    pred_scores,
    pred_masks,
    iou_threshold=0.5,
):
    """Average precision in one image, all classes together.

    Where there is nothing to find, no prediction scores 1.0 and any prediction 0.0.

    Args:
        See `compute_matches`.

    Returns:
        mAP: float, the area under the precision envelope.
        precisions: float [p + 2], of the first 1, 2, ... p predictions, made non-increasing from
            the right; p is P without those on crowds.
        recalls: float [p + 2].
        overlaps: float [P, M], mask IoU, see `compute_matches`.

    Raises:
        ValueError: see `compute_matches`.
    """
    found = _compare(
        gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks
    )
    return *_average_precision(*found, iou_threshold), found[2]


def compute_ap_range(
    gt_box,
    gt_class_id,
    gt_mask,
    pred_box,
    pred_class_id,
    pred_score,
    pred_mask,
    iou_thresholds=None,
    verbose=1,
):
    """Mean of `compute_ap` over IoU thresholds, by default 0.50, 0.55, ... 0.95.

    Args:
        gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask: see
            `compute_matches`.
        iou_thresholds: list of floats.
        verbose: 1 prints the value at each threshold and the mean.

    Returns:
        float.
    """
    thresholds = np.arange(50, 100, 5) / 100 if iou_thresholds is None else iou_thresholds
    found = _compare(gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask)
    values = [_average_precision(*found, threshold)[0] for threshold in thresholds]
    mean = float(np.mean(values))
    if verbose:
        for threshold, value in zip(thresholds, values, strict=True):
            print(f"AP @{threshold:.2f}:\t {value:.3f}")
        print(f"AP @{thresholds[0]:.2f}-{thresholds[-1]:.2f}:\t {mean:.3f}")
    return mean


def compute_recall(pred_boxes, gt_boxes, iou):
    """Share of ground truth boxes that some prediction overlaps most, and enough.

    Args:
        pred_boxes: [P, 4] in pixels.
        gt_boxes: [M, 4] in pixels.
        iou: float, box IoU at least.

    Returns:
        recall: float; 1.0 where there is no ground truth, as none is missed.
        positive_ids: int [p], the predictions that overlap a ground truth enough.
    """
    overlaps = compute_overlaps(pred_boxes, gt_boxes)  # (P, M)
    count = overlaps.shape[1]
    if not count:
        return 1.0, np.zeros(0, int)
    positive_ids = np.flatnonzero(overlaps.max(axis=1) >= iou)
    recalled = np.unique(overlaps[positive_ids].argmax(axis=1))
    return recalled.size / count, positive_ids


def _compare(gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks):
    """Class ids [M] and [P], overlaps [P, M], and what crowds cover of predictions [P, M].

    Without padding, predictions in the order of their scores.
    """
    gt_ids, gt_masks = _real("gt", gt_boxes, gt_class_ids, gt_masks)
    pred_ids, scores, pred_masks = _real(
        "pred", pred_boxes, pred_class_ids, pred_scores, pred_masks
    )
    common, pred_area, gt_area = _count_common(pred_masks, gt_masks)
    order = np.argsort(-scores.astype(float), kind="stable")
    pred_ids, common, pred_area = pred_ids[order], common[order], pred_area[order, None]
    overlaps = common / np.maximum(pred_area + gt_area - common, 1)
    on_own_crowd = gt_ids == -pred_ids[:, None]
    return gt_ids, pred_ids, overlaps, on_own_crowd * common / np.maximum(pred_area, 1)


def _real(kind, boxes, *values):
    """The values of boxes that are not padding; each may come with or without the padding."""
    boxes = np.asarray(boxes)
    real = (boxes != 0).any(axis=-1) if boxes.size else np.zeros(0, bool)
    names = ("class_ids", "masks") if len(values) == 2 else ("class_ids", "scores", "masks")
    kept = []
    for name, value in zip(names, values, strict=True):
        value = np.asarray(value)
        if not value.size and not real.any():  # whatever the shape of no masks is
            value = np.zeros((0, 0, 0) if name == "masks" else 0, value.dtype)
        elif name == "class_ids" and value.size > real.size and not value[real.size :].any():
            value = value[: real.size][real]  # only the boxes were trimmed
        elif value.shape[-1:] == real.shape:
            value = value if real.all() else value[..., real]
        elif value.shape[-1:] != (real.sum(),):
            raise ValueError(
                f"Expected {kind}_{name} of {real.sum()} boxes, received shape "
                f"{list(value.shape)}. Pass one for each row of {kind}_boxes, instances last."
            )
        kept.append(value)
    return kept


def _match(gt_ids, pred_ids, overlaps, threshold):
    """Returns gt_match [M] and pred_match [P], see `compute_matches`."""
    gt_match = np.full(len(gt_ids), -1, np.int32)
    pred_match = np.full(len(pred_ids), -1, np.int32)
    if not gt_ids.size:
        return gt_match, pred_match
    for i, class_id in enumerate(pred_ids):
        free = (gt_match < 0) & (gt_ids == class_id)
        candidates = np.where(free, overlaps[i], -1.0)
        best = candidates.argmax()
        if candidates[best] >= threshold:
            gt_match[best], pred_match[i] = i, best
    return gt_match, pred_match


def _average_precision(gt_ids, pred_ids, overlaps, on_crowd, iou_threshold):
    """Returns mAP, precisions and recalls, see `compute_ap`."""
    pred_match = _match(gt_ids, pred_ids, overlaps, iou_threshold)[1]
    counted = (pred_match > -1) | ~(on_crowd >= iou_threshold).any(axis=1)
    hits = np.cumsum(pred_match[counted] > -1)
    count = np.count_nonzero(gt_ids > 0)
    if not count and not hits.size:
        return 1.0, np.ones(2), np.array([0.0, 1.0])
    precisions = np.concatenate([[0.0], hits / np.arange(1, hits.size + 1), [0.0]])
    precisions = np.maximum.accumulate(precisions[::-1])[::-1]
    recalls = np.concatenate([[0.0], hits / max(count, 1), [1.0]])
    return float(np.sum(np.diff(recalls) * precisions[1:])), precisions, recalls
