"""Training targets in three steps: match boxes to ground truth, sample, encode.

Nothing here has a gradient. Ground truth is padded with class id 0; crowds have negative ids and
are never matched as objects.

Shapes: B images, N boxes (anchors or proposals), M ground truths, S sampled boxes, P positives,
J keypoints.
"""

import keras
from keras import ops

from mrcnn.ops.boxes import box_deltas, iou
from mrcnn.ops.by_image import by_image
from mrcnn.ops.indexing import gather, top_k
from mrcnn.ops.roi_align import crop_and_resize_masks, roi_align_masks

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1
# IoU with an object from which an anchor is positive, and below which it is negative: of a region
# proposal network, and where anchors are classified themselves (arXiv:1708.02002).
ANCHOR_IOU, DENSE_IOU = (0.7, 0.3), (0.5, 0.4)
# A box that overlaps a crowd by this IoU or more is not a negative.
CROWD_IOU = 0.001
# Pixels within which a keypoint lies on an edge: boxes were normalised and are rounded.
ON_EDGE = 1e-3


def match(boxes, gt_boxes, gt_class_ids, positive_iou, negative_iou, match_best=False):
    """Labels boxes by their overlap with the ground truth.

    Args:
        boxes: float [B or 1, N, 4].
        gt_boxes: float [B, M, 4], in the coordinates of `boxes`.
        gt_class_ids: int [B, M]; > 0 objects, < 0 crowds, 0 padding.
        positive_iou: float; a box with an object at or above it is positive.
        negative_iou: float; a box below it with every object, and away from crowds, is negative.
        match_best: also make the best boxes of each object positive, whatever their IoU (> 0);
            ties are all positive.

    Returns:
        labels: int32 [B, N], `POSITIVE`, `NEGATIVE` or `IGNORED`.
        matches: int32 [B, N], index of the object with the largest IoU.
    """
    overlaps = iou(boxes, gt_boxes)  # (B, N, M)
    is_object = ops.expand_dims(gt_class_ids > 0, 1)
    is_crowd = ops.expand_dims(gt_class_ids < 0, 1)
    object_iou = ops.where(is_object, overlaps, 0.0)
    best_iou = ops.max(object_iou, axis=-1)  # (B, N)
    crowd_iou = ops.max(ops.where(is_crowd, overlaps, 0.0), axis=-1)

    positive = best_iou >= positive_iou
    negative = (best_iou < negative_iou) & (crowd_iou < CROWD_IOU)
    matches = ops.cast(ops.argmax(object_iou, axis=-1), "int32")
    if match_best:
        best_box = ops.max(object_iou, axis=1, keepdims=True)  # (B, 1, M)
        positive = positive | ops.any((object_iou == best_box) & (best_box > 0), axis=-1)
    labels = ops.where(positive, POSITIVE, ops.where(negative, NEGATIVE, IGNORED))
    return ops.cast(labels, "int32"), matches


def sample(labels, num, num_positive, seed, negatives_per_positive=None):
    """Draws a random subset of the labelled boxes, positives first.

    Args:
        labels: int [B, N] of `match`.
        num: int, boxes drawn at most; the width S of the result.
        num_positive: int, positives drawn at most.
        seed: int or `keras.random.SeedGenerator`.
        negatives_per_positive: float or None. At most this many negatives for each positive drawn;
            None, or an image without positives: as many as fit.

    Returns:
        index: int32 [B, S], positions in `labels`; all positives are among the first
            `num_positive` columns.
        labels: int32 [B, S], padded with `IGNORED`.
    """
    order = keras.random.uniform(ops.shape(labels), seed=seed)
    return _sample(labels, order, num, num_positive, negatives_per_positive)


@by_image
def _sample(labels, order, num, num_positive, negatives_per_positive):
    """The subset that `sample` draws by a random order, float [B, N] of 0 to 1."""

    def draw(wanted, k):
        best, index = top_k(ops.where(labels == wanted, order, -1.0), k)
        return best >= 0, index

    drawn_positive, positive_index = draw(POSITIVE, num_positive)
    drawn_negative, negative_index = draw(NEGATIVE, num)
    positives = ops.sum(ops.cast(drawn_positive, "int32"), axis=1, keepdims=True)  # (B, 1)
    room = num - positives
    if negatives_per_positive is not None:
        # As matterport, int(positives * r) - positives: the epsilon undoes float32's rounding.
        wanted = ops.cast(positives, "float32") * (1.0 + negatives_per_positive) + 1e-4
        wanted = ops.cast(ops.floor(wanted), "int32") - positives
        room = ops.where(positives > 0, wanted, room)
    rank = ops.cumsum(ops.ones_like(negative_index), axis=1) - 1
    drawn_negative = drawn_negative & (rank < room)

    # Positives, then negatives, then the rest: a stable sort by a key without ties.
    index = ops.concatenate([positive_index, negative_index], axis=1)
    drawn = ops.concatenate(
        [2 * ops.cast(drawn_positive, "int32"), ops.cast(drawn_negative, "int32")], axis=1
    )
    total = num_positive + num
    key = drawn * total + ops.expand_dims(ops.arange(total, 0, -1, dtype="int32"), 0)
    _, place = ops.top_k(key, num)
    drawn = gather(drawn, place)
    labels = ops.where(drawn == 2, POSITIVE, ops.where(drawn == 1, NEGATIVE, IGNORED))
    return gather(index, place), ops.cast(labels, "int32")


def encode_boxes(boxes, matches, gt_boxes, std_dev):
    """Deltas from each box to its ground truth, divided by `std_dev`.

    Args:
        boxes: float [B, S, 4].
        matches: int [B, S], index into `gt_boxes`.
        gt_boxes: float [B, M, 4], in the coordinates of `boxes`.
        std_dev: four floats, scale of dy, dx, log dh, log dw.

    Returns:
        float32 [B, S, 4].
    """
    deltas = box_deltas(boxes, gather(gt_boxes, matches))
    return ops.stop_gradient(deltas / ops.convert_to_tensor(std_dev, "float32"))


def encode_masks(
    boxes, matches, gt_boxes, gt_masks, shape, mini_masks, mask_target="crop_and_resize"
):
    """Ground truth masks as seen in each box, 0 to 1.

    Args:
        boxes: float [B, P, 4], normalised.
        matches: int [B, P], index into the ground truth.
        gt_boxes: float [B, M, 4], normalised.
        gt_masks: bool [B, h, w, M]; mini masks cover their ground truth box, others the image.
        shape: (int, int), height and width of the targets.
        mini_masks: bool, which of the two `gt_masks` are.
        mask_target: "crop_and_resize": one sample a pixel, rounded (matterport); "roi_align": the
            mean over each pixel (torchvision); "roi_align_binary": the same with half-pixel
            correction, 1 from 0.5 on (detectron2). The last two need boxes of offset 0.

    Returns:
        float32 [B, P, *shape].
    """
    masks = ops.transpose(gt_masks, (0, 3, 1, 2))  # (B, M, h, w)
    if mini_masks:
        gt_boxes = gather(gt_boxes, matches)
        low, size = gt_boxes[..., :2], gt_boxes[..., 2:] - gt_boxes[..., :2]
        low, size = ops.concatenate([low, low], -1), ops.concatenate([size, size], -1)
        boxes = ops.where(size > 0, (boxes - low) / ops.where(size > 0, size, 1.0), 0.0)
    if mask_target == "crop_and_resize":
        found = ops.round(crop_and_resize_masks(gather(masks, matches), boxes, shape))
    else:
        found = roi_align_masks(masks, matches, boxes, shape, mask_target == "roi_align_binary")
    if mask_target == "roi_align_binary":
        found = ops.cast(found >= 0.5, "float32")
    return ops.stop_gradient(found)


def encode_keypoints(boxes, class_ids, matches, gt_keypoints, side):
    """The bin of a heat map over each box that a keypoint lies in (arXiv:1703.06870, section 5).

    A point on an edge of the box, within rounding, lies in the bin at that edge.

    Args:
        boxes: float [B, P, 4], pixels.
        class_ids: int [B, P]; above 0 in positive ROIs.
        matches: int [B, P], index into the ground truth.
        gt_keypoints: float [B, M, J, 3]: y x in pixels, and 0 where there is no such point.
        side: int, bins a side.

    Returns:
        int32 [B, P, J], row * side + column; -1 for what does not count: a ROI that is not
        positive, no point, or a point outside of the box.
    """
    keypoints = gather(gt_keypoints, matches)  # (B, P, J, 3)
    points, boxes = keypoints[..., :2], ops.expand_dims(boxes, 2)
    low, high = boxes[..., :2], boxes[..., 2:]
    inside = ops.all((points > low - ON_EDGE) & (points < high + ON_EDGE), axis=-1)
    counts = inside & (keypoints[..., 2] > 0) & ops.expand_dims(class_ids > 0, -1)
    bins = (points - low) * (side / ops.maximum(high - low, ON_EDGE))
    bins = ops.cast(ops.clip(ops.floor(bins), 0, side - 1), "int32")
    return ops.stop_gradient(ops.where(counts, bins[..., 0] * side + bins[..., 1], -1))


def rpn_targets(anchors, gt_class_ids, gt_boxes, num_anchors, std_dev, seed, positive_ratio=0.5):
    """Targets of the region proposal network.

    Args:
        anchors: float [1, A, 4], pixels.
        gt_class_ids: int [B, M].
        gt_boxes: float [B, M, 4], pixels.
        num_anchors: int, anchors drawn for each image (S).
        std_dev: four floats, scale of the deltas.
        seed: int or `keras.random.SeedGenerator`.
        positive_ratio: float, share of positives at most.

    Returns:
        dict: `target_rpn_index` int32 [B, S] into the anchors, `target_rpn_class` int32 [B, S]
        (1 object, 0 background, -1 padding) and `target_rpn_deltas` float32 [B, S, 4].
    """
    labels, matches = match(anchors, gt_boxes, gt_class_ids, *ANCHOR_IOU, match_best=True)
    index, labels = sample(labels, num_anchors, int(num_anchors * positive_ratio), seed)
    sampled = gather(ops.broadcast_to(anchors, (*ops.shape(matches), 4)), index)
    deltas = encode_boxes(sampled, gather(matches, index), gt_boxes, std_dev)
    return {
        "target_rpn_index": ops.stop_gradient(index),
        "target_rpn_class": ops.stop_gradient(labels),
        "target_rpn_deltas": deltas,
    }


def dense_targets(anchors, gt_class_ids, gt_boxes, std_dev):
    """Targets of every anchor, for a detector without proposals.

    Args:
        anchors: float [1, A, 4], pixels.
        gt_class_ids: int [B, M].
        gt_boxes: float [B, M, 4], pixels.
        std_dev: four floats, scale of the deltas.

    Returns:
        dict: `target_class_ids` int32 [B, A] (0 background, -1 ignored) and `target_deltas`
        float32 [B, A, 4]; only anchors with a class id above 0 have meaningful ones.
    """
    labels, matches = match(anchors, gt_boxes, gt_class_ids, *DENSE_IOU, match_best=True)
    classes = ops.cast(gather(gt_class_ids, matches), "int32")
    return {
        "target_class_ids": ops.stop_gradient(ops.where(labels == POSITIVE, classes, labels)),
        "target_deltas": encode_boxes(anchors, matches, gt_boxes, std_dev),
    }


def given_rpn_targets(rpn_match, rpn_bbox, num_anchors):
    """Targets that were chosen outside, in matterport's layout, as `rpn_targets` returns them.

    Args:
        rpn_match: int [B, A, 1]; 1 object, -1 background, 0 not drawn.
        rpn_bbox: float [B, R, 4], deltas over their scale of the objects, in the anchors' order.
        num_anchors: int, anchors drawn for each image at most (S).
    """
    match = rpn_match[..., 0]
    count = ops.shape(match)[1]
    drawn = ops.where(match == 1, 2, ops.where(match == -1, 1, 0))
    # Objects, then background, each in the anchors' order.
    key = drawn * count + ops.expand_dims(ops.arange(count - 1, -1, -1, dtype="int32"), 0)
    best, index = top_k(ops.cast(key, "float32"), num_anchors)
    drawn = ops.where(best >= ops.cast(count, "float32"), gather(drawn, index), 0)
    rows = ops.pad(ops.cast(rpn_bbox, "float32"), [[0, 0], [0, num_anchors], [0, 0]])
    return {
        "target_rpn_index": index,
        "target_rpn_class": ops.cast(drawn, "int32") - 1,
        "target_rpn_deltas": rows[:, :num_anchors],
    }


def roi_targets(proposals, gt_class_ids, gt_boxes, gt_masks, settings, seed):
    """Training ROIs of the heads and their targets, positives first.

    Args:
        proposals: float [B, N, 4], normalised, zero padded.
        gt_class_ids: int [B, M].
        gt_boxes: float [B, M, 4], normalised.
        gt_masks: bool [B, h, w, M].
        settings: `mrcnn.settings.ROITargets`; at most int(num_rois * positive_ratio) of the ROIs
            are positive (P).
        seed: int or `keras.random.SeedGenerator`.

    Returns:
        dict: `rois` float32 [B, T, 4] normalised, `target_class_ids` int32 [B, T] (0 background,
        -1 padding), `target_matches` int32 [B, T] into the ground truth, `target_deltas` float32
        [B, T, 4] and `target_masks` float32 [B, P, *shape], those of the first P ROIs; only ROIs
        with a class id above 0 have meaningful ones.
    """
    num_rois, positive_ratio = settings.num_rois, settings.positive_ratio
    num_positive = max(1, int(num_rois * positive_ratio))
    labels, matches = match(proposals, gt_boxes, gt_class_ids, settings.iou, settings.iou)
    labels = ops.where(ops.any(proposals != 0, axis=-1), labels, IGNORED)
    ratio = None if settings.fill_negatives else 1.0 / positive_ratio - 1.0
    index, labels = sample(labels, num_rois, num_positive, seed, ratio)

    rois, matches = gather(proposals, index), gather(matches, index)
    classes = ops.cast(gather(gt_class_ids, matches), "int32")
    return {
        "rois": ops.stop_gradient(rois),
        "target_class_ids": ops.stop_gradient(ops.where(labels == POSITIVE, classes, labels)),
        "target_matches": ops.stop_gradient(matches),
        "target_deltas": encode_boxes(rois, matches, gt_boxes, settings.std_dev),
        "target_masks": encode_masks(
            rois[:, :num_positive],
            matches[:, :num_positive],
            gt_boxes,
            gt_masks,
            settings.mask_shape,
            settings.mini_masks,
            settings.mask_target,
        ),
    }


def matched_targets(rois, gt_class_ids, gt_boxes, iou, std_dev):
    """Targets of all ROIs, of which none is drawn: those of a later stage of a cascade.

    Args:
        rois: float [B, T, 4], normalised; those without area do not count.
        gt_class_ids: int [B, M].
        gt_boxes: float [B, M, 4], normalised.
        iou: float; an ROI with an object at or above it is positive, below it negative.
        std_dev: four floats, scale of the deltas.

    Returns:
        dict: `target_class_ids` int32 [B, T] (0 background, -1 none) and `target_deltas` float32
        [B, T, 4]; only ROIs with a class id above 0 have meaningful ones.
    """
    labels, matches = match(rois, gt_boxes, gt_class_ids, iou, iou)
    labels = ops.where(ops.all(rois[..., 2:] > rois[..., :2], axis=-1), labels, IGNORED)
    classes = ops.cast(gather(gt_class_ids, matches), "int32")
    return {
        "target_class_ids": ops.stop_gradient(ops.where(labels == POSITIVE, classes, labels)),
        "target_deltas": encode_boxes(rois, matches, gt_boxes, std_dev),
    }
