"""The losses: pure functions of targets and predictions, each a float32 scalar.

Each sums what counts in the whole batch and divides by how much that is (`box_loss` says of what);
RetinaNet's two do so in each image, and are the mean over the images. Each is exactly 0.0 when
nothing counts: padding changes nothing.

Shapes: B images, A anchors, S sampled anchors, T training ROIs, P of them that may be positive,
K classes, h w of a mask, S bins a side of a heat map, or classes of a semantic head, J keypoints,
H W of an image.
"""

from keras import ops

from mrcnn.ops.boxes import apply_box_deltas, box_area
from mrcnn.ops.indexing import gather
from mrcnn.ops.semantic import STRIDE
from mrcnn.ops.upsampling import upsample


def smooth_l1(target, pred, beta=1.0):
    """0.5 d^2 / beta where |d| < beta, |d| - 0.5 beta elsewhere (arXiv:1504.08083, equation 3).

    A beta of 0 gives |d|.
    """
    distance = ops.abs(ops.cast(target, "float32") - ops.cast(pred, "float32"))
    if beta == 0:
        return distance
    return ops.where(distance < beta, 0.5 / beta * distance * distance, distance - 0.5 * beta)


def masked_mean(values, mask):
    """Mean of `values` [...] where `mask` [...] is true; 0.0 where it is nowhere."""
    mask = ops.cast(mask, "float32")
    return ops.sum(ops.where(mask > 0, values, 0.0)) / ops.maximum(ops.sum(mask), 1.0)


def box_loss(target, pred, positive, sampled, beta, normalizer):
    """Smooth L1 of box deltas of the positives: float [..., 4] twice, bool [...] twice -> scalar.

    Args:
        target, pred: deltas.
        positive: which boxes count.
        sampled: which boxes were drawn, negatives included.
        beta: see `smooth_l1`.
        normalizer: "positives": mean over the positives' deltas (matterport); "sampled": their
            sum over the number of drawn boxes (torchvision, detectron2).
    """
    loss = smooth_l1(target, pred, beta)
    if normalizer == "positives":
        return masked_mean(ops.mean(loss, axis=-1), positive)
    loss = ops.sum(ops.where(positive, ops.sum(loss, axis=-1), 0.0))
    return loss / ops.maximum(ops.sum(ops.cast(sampled, "float32")), 1.0)


def cross_entropy(class_ids, logits):
    """Softmax cross-entropy: int [...], float [..., K] -> float32 [...]; ids below 0 count as 0."""
    logits = ops.cast(logits, "float32")
    picked = ops.take_along_axis(logits, ops.maximum(class_ids, 0)[..., None], axis=-1)
    return ops.logsumexp(logits, axis=-1) - picked[..., 0]


def rpn_class_loss(target_rpn_index, target_rpn_class, rpn_class_logits):
    """Cross-entropy of object against background, over the sampled anchors.

    Args:
        target_rpn_index: int [B, S], sampled anchors.
        target_rpn_class: int [B, S]; 1 object, 0 background, -1 padding.
        rpn_class_logits: float [B, A, 2], background first.
    """
    loss = cross_entropy(target_rpn_class, gather(rpn_class_logits, target_rpn_index))
    return masked_mean(loss, target_rpn_class >= 0)


def rpn_bbox_loss(
    target_rpn_index,
    target_rpn_class,
    target_rpn_deltas,
    rpn_bbox,
    beta=1.0,
    normalizer="positives",
):
    """Smooth L1 of the deltas, over the positive anchors.

    Args:
        target_rpn_index: int [B, S], sampled anchors.
        target_rpn_class: int [B, S]; 1 object, 0 background, -1 padding.
        target_rpn_deltas: float [B, S, 4].
        rpn_bbox: float [B, A, 4].
        beta, normalizer: see `box_loss`.
    """
    pred = gather(rpn_bbox, target_rpn_index)
    drawn = (target_rpn_class == 1, target_rpn_class >= 0)
    return box_loss(target_rpn_deltas, pred, *drawn, beta, normalizer)


def mrcnn_class_loss(target_class_ids, mrcnn_class_logits, active_class_ids, class_weights=None):
    """Cross-entropy of the class, over ROIs predicted as a class of the image's own data set.

    Args:
        target_class_ids: int [B, T]; 0 background, -1 padding.
        mrcnn_class_logits: float [B, T, K].
        active_class_ids: [B, K], 1 for classes that the image's data set knows.
        class_weights: K floats, or None. The loss is then the mean weighted by that of each ROI's
            class: equal weights change nothing, whatever they are.
    """
    predicted = ops.argmax(mrcnn_class_logits, axis=-1)
    active = ops.take_along_axis(active_class_ids, predicted, axis=1) > 0
    loss = cross_entropy(target_class_ids, mrcnn_class_logits)
    counted = active & (target_class_ids >= 0)
    if class_weights is None:
        return masked_mean(loss, counted)
    class_weights = ops.convert_to_tensor(class_weights, "float32")
    weights = ops.take(class_weights, ops.maximum(target_class_ids, 0))
    weights = ops.where(counted, weights, 0.0)
    total = ops.sum(weights)
    return ops.sum(weights * loss) / ops.where(total > 0, total, 1.0)


def mrcnn_bbox_loss(target_class_ids, target_deltas, mrcnn_bbox, beta=1.0, normalizer="positives"):
    """Smooth L1 of the deltas of the target class, over positive ROIs.

    Args:
        target_class_ids: int [B, T]; above 0 in positive ROIs.
        target_deltas: float [B, T, 4].
        mrcnn_bbox: float [B, T, K, 4].
        beta, normalizer: see `box_loss`.
    """
    class_ids = ops.maximum(target_class_ids, 0)[..., None, None]
    pred = ops.take_along_axis(mrcnn_bbox, class_ids, axis=2)[:, :, 0]  # (B, T, 4)
    drawn = (target_class_ids > 0, target_class_ids >= 0)
    return box_loss(target_deltas, pred, *drawn, beta, normalizer)


def mrcnn_mask_loss(target_class_ids, target_masks, mrcnn_mask_logits):
    """Binary cross-entropy of the target class's mask, over positive ROIs.

    Args:
        target_class_ids: int [B, P]; above 0 in positive ROIs.
        target_masks: float [B, P, h, w], 0 to 1.
        mrcnn_mask_logits: float [B, P, h, w, K].
    """
    class_ids = ops.maximum(target_class_ids, 0)[..., None, None, None]
    pred = ops.cast(ops.take_along_axis(mrcnn_mask_logits, class_ids, axis=4)[..., 0], "float32")
    loss = ops.binary_crossentropy(target_masks, pred, from_logits=True)
    loss = ops.mean(loss, axis=(2, 3))
    return masked_mean(loss, target_class_ids > 0)


def focal_loss(targets, logits, alpha=0.25, gamma=2.0):
    """Binary cross-entropy that counts little where it is small already.

    -alpha_t (1 - p_t)^gamma log p_t of arXiv:1708.02002, equation 5, p_t and alpha_t being p and
    alpha of a target of 1, 1 - p and 1 - alpha of a target of 0.

    Args:
        targets: float [...], 0 or 1.
        logits: float [...], what the sigmoid p is taken of.

    Returns:
        float32 [...].
    """
    logits = ops.cast(logits, "float32")
    probs = ops.sigmoid(logits)
    cross_entropy = ops.softplus(logits) - targets * logits
    missing = targets * (1.0 - probs) + (1.0 - targets) * probs  # 1 - p_t
    return (targets * alpha + (1.0 - targets) * (1.0 - alpha)) * missing**gamma * cross_entropy


def giou_loss(boxes1, boxes2):
    """1 - GIoU of each pair of boxes (arXiv:1902.09630): float [..., 4] twice -> float32 [...]."""
    corners = [(box[..., :2], box[..., 2:]) for box in (boxes1, boxes2)]
    (low1, high1), (low2, high2) = corners
    shared = ops.maximum(ops.minimum(high1, high2) - ops.maximum(low1, low2), 0.0)
    outer = ops.prod(ops.maximum(high1, high2) - ops.minimum(low1, low2), axis=-1)
    shared = ops.prod(shared, axis=-1)
    union = box_area(boxes1) + box_area(boxes2) - shared
    return 1.0 - shared / (union + 1e-7) + (outer - union) / (outer + 1e-7)


def mean_over_positives(loss, target_class_ids):
    """Sum [B, A] over the positive anchors of each image, 1 at least: the mean of these [B]."""
    positives = ops.sum(ops.cast(target_class_ids > 0, "float32"), axis=1)
    return ops.mean(ops.sum(loss, axis=1) / ops.maximum(positives, 1.0))


def retinanet_class_loss(target_class_ids, retinanet_class_logits, active_class_ids):
    """Focal loss of every class, over the anchors that count.

    Args:
        target_class_ids: int [B, A]; 0 background, of which no class is right; -1 ignored.
        retinanet_class_logits: float [B, A, K]; the first is of background, and never right.
        active_class_ids: [B, K], 1 for classes that the image's data set knows: others are left
            out.
    """
    classes = ops.arange(retinanet_class_logits.shape[-1])
    right = (target_class_ids[..., None] == classes) & (classes > 0)
    counted = (target_class_ids >= 0)[..., None] & (active_class_ids > 0)[:, None]
    loss = focal_loss(ops.cast(right, "float32"), retinanet_class_logits)
    loss = ops.sum(ops.where(counted, loss, 0.0), axis=-1)
    return mean_over_positives(loss, target_class_ids)


def retinanet_bbox_loss(
    target_class_ids,
    target_deltas,
    retinanet_bbox,
    std_dev=(1.0, 1.0, 1.0, 1.0),
    beta=0.0,
    kind="smooth_l1",
):
    """Loss of the boxes of positive anchors.

    Args:
        target_class_ids: int [B, A]; above 0 in positive anchors.
        target_deltas: float [B, A, 4].
        retinanet_bbox: float [B, A, 4], predicted deltas.
        std_dev: four floats, scale of the deltas.
        beta: see `smooth_l1`.
        kind: "smooth_l1" of the deltas, or "giou": `giou_loss` of the boxes.
    """
    if kind == "smooth_l1":
        loss = ops.sum(smooth_l1(target_deltas, retinanet_bbox, beta), axis=-1)
    else:
        # Ratios of areas: the same in units of the anchor, which is a square of 1 then.
        anchor, scale = (ops.convert_to_tensor(x, "float32") for x in ((0, 0, 1, 1), std_dev))
        deltas = (ops.cast(x, "float32") * scale for x in (target_deltas, retinanet_bbox))
        loss = giou_loss(*(apply_box_deltas(anchor, each) for each in deltas))
    return mean_over_positives(ops.where(target_class_ids > 0, loss, 0.0), target_class_ids)


def mrcnn_keypoint_loss(target_keypoints, mrcnn_keypoint_logits):
    """Cross-entropy of the bin of each keypoint among all of its heat map, over those that count.

    Args:
        target_keypoints: int [B, P, J], row * S + column; -1 where a keypoint does not count.
        mrcnn_keypoint_logits: float [B, P, S, S, J].
    """
    shape = mrcnn_keypoint_logits.shape
    logits = ops.reshape(mrcnn_keypoint_logits, (-1, shape[1], shape[2] * shape[3], shape[4]))
    logits = ops.cast(logits, "float32")  # (B, P, S*S, J)
    bins = ops.maximum(target_keypoints, 0)[:, :, None]
    picked = ops.take_along_axis(logits, bins, axis=2)[:, :, 0]
    return masked_mean(ops.logsumexp(logits, axis=2) - picked, target_keypoints >= 0)


def semantic_loss(target_labels, semantic_logits):
    """Cross-entropy of the class of each pixel, over pixels that have one.

    Args:
        target_labels: int [B, H, W]; below 0 is void.
        semantic_logits: float [B, H / 4, W / 4, S], which are upsampled to the labels.
    """
    logits = upsample(ops.cast(semantic_logits, "float32"), STRIDE)
    return masked_mean(cross_entropy(target_labels, logits), target_labels >= 0)
