"""The losses: pure functions of targets and predictions, each a float32 scalar.

Each sums what counts in the whole batch and divides by how much that is (`box_loss` says of what).
Each is exactly 0.0 when nothing counts: padding changes nothing. RetinaNet's are in
`mrcnn.ops.dense_losses`, MaX-DeepLab's in `mrcnn.ops.mask_losses`.

Shapes: B images, A anchors, S sampled anchors, T training ROIs, P of them that may be positive,
K classes, h w of a mask, S bins a side of a heat map, or classes of a semantic head, J keypoints,
H W of an image.
"""

from keras import ops

from mrcnn.ops.box_losses import box_losses, smooth_l1
from mrcnn.ops.indexing import gather, take_class
from mrcnn.ops.semantic import STRIDE, strided
from mrcnn.ops.upsampling import upsample


def masked_mean(values, weights):
    """Mean of `values` [...] by `weights` [...] of 0 or more, a mask among them; 0.0 where all are
    0."""
    weights = ops.cast(weights, "float32")
    total = ops.sum(weights)
    counted = ops.where(weights > 0, weights * values, 0.0)
    return ops.sum(counted) / ops.where(total > 0, total, 1.0)


def box_loss(target, pred, positive, sampled, beta, normalizer):
    """Smooth L1 of box deltas of the positives: float [..., 4] twice, bool [...] twice -> scalar.

    Args:
        target, pred: deltas.
        positive: which boxes count.
        sampled: which boxes were drawn, negatives included.
        beta: see `mrcnn.ops.box_losses.smooth_l1`.
        normalizer: see `normalized_box_loss`.
    """
    loss = of_each_box(smooth_l1(target, pred, beta), normalizer)
    return normalized_box_loss(loss, positive, sampled, normalizer)


def of_each_box(loss, normalizer):
    """What `box_losses` returns [..., 4 or 1] -> [...]: the mean with "positives", else the sum."""
    return (ops.mean if normalizer == "positives" else ops.sum)(loss, axis=-1)


def normalized_box_loss(loss, positive, sampled, normalizer):
    """The losses [...] of the positive boxes as a scalar.

    Args:
        loss: float [...], of `of_each_box`.
        positive, sampled: bool [...], see `box_loss`.
        normalizer: "positives": mean over the positives' deltas (matterport); "sampled": their
            sum over the number of drawn boxes (torchvision, detectron2).
    """
    if normalizer == "positives":
        return masked_mean(loss, positive)
    loss = ops.sum(ops.where(positive, loss, 0.0))
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


def roi_class_losses(
    target_class_ids,
    mrcnn_class_logits,
    active_class_ids,
    class_weights=None,
    kind="cross_entropy",
    gamma=2.0,
):
    """The loss of the class of each ROI, and how much it counts.

    Args:
        target_class_ids: int [B, T]; 0 background, -1 padding.
        mrcnn_class_logits: float [B, T, K].
        active_class_ids: [B, K], 1 for classes that the image's data set knows: an ROI that is
            predicted as another one does not count.
        class_weights: K floats, how much an ROI counts by its class; None: all the same.
        kind: "cross_entropy", or "focal": `focus` times that.
        gamma: see `focus`.

    Returns:
        float32 [B, T] twice: losses, and weights of 0 or more.
    """
    loss = cross_entropy(target_class_ids, mrcnn_class_logits)
    if kind == "focal":
        loss = focus(-ops.expm1(-loss), gamma) * loss  # the cross-entropy is -log p_t
    predicted = ops.argmax(mrcnn_class_logits, axis=-1)
    active = ops.take_along_axis(active_class_ids, predicted, axis=1) > 0
    weights = ops.cast(active & (target_class_ids >= 0), "float32")
    if class_weights is not None:
        class_weights = ops.convert_to_tensor(class_weights, "float32")
        weights = weights * ops.take(class_weights, ops.maximum(target_class_ids, 0))
    return loss, weights


def mrcnn_class_loss(target_class_ids, mrcnn_class_logits, active_class_ids, *args, **options):
    """The mean loss of the class by the weights of `roi_class_losses`, whose arguments it takes:
    equal class weights change nothing, whatever they are."""
    return masked_mean(
        *roi_class_losses(target_class_ids, mrcnn_class_logits, active_class_ids, *args, **options)
    )


def roi_box_losses(target_class_ids, target_deltas, mrcnn_bbox, boxes=None, **options):
    """The losses of the deltas of the target class: what `mrcnn.ops.box_losses.box_losses` returns.

    Args:
        target_class_ids: int [B, T]; above 0 in positive ROIs, which alone have meaningful losses.
        target_deltas: float [B, T, 4].
        mrcnn_bbox: float [B, T, K, 4].
        boxes: float [B, T, 4], the ROIs in pixels; or None.
        options: of `box_losses`.
    """
    class_ids = ops.maximum(target_class_ids, 0)[..., None, None]
    pred = ops.take_along_axis(mrcnn_bbox, class_ids, axis=2)[:, :, 0]  # (B, T, 4)
    return box_losses(target_deltas, pred, boxes, **options)


def mrcnn_bbox_loss(
    target_class_ids,
    target_deltas,
    mrcnn_bbox,
    boxes=None,
    *,
    normalizer="positives",
    **options,
):
    """Loss of the boxes of positive ROIs.

    Args:
        target_class_ids, target_deltas, mrcnn_bbox, boxes, options: see `roi_box_losses`; 0 is
            background and -1 padding.
        normalizer: see `normalized_box_loss`.
    """
    loss = roi_box_losses(target_class_ids, target_deltas, mrcnn_bbox, boxes, **options)
    drawn = (target_class_ids > 0, target_class_ids >= 0)
    return normalized_box_loss(of_each_box(loss, normalizer), *drawn, normalizer)


def roi_losses(target_class_ids, class_terms, box_terms, class_options, box_options):
    """The loss of each ROI: of its class, as much as it counts, and of its box, summed over deltas.

    Args:
        target_class_ids: int [B, T]; 0 background, -1 padding.
        class_terms, class_options: further arguments of `mrcnn_class_loss`, a tuple and a dict.
        box_terms, box_options: those of `mrcnn_bbox_loss`.

    Returns:
        float32 [B, T], 0.0 of padding.
    """
    loss, weights = roi_class_losses(target_class_ids, *class_terms, **class_options)
    options = {name: box_options[name] for name in box_options if name != "normalizer"}
    of_box = ops.sum(roi_box_losses(target_class_ids, *box_terms, **options), axis=-1)
    of_class = ops.where(weights > 0, weights * loss, 0.0)
    return of_class + ops.where(target_class_ids > 0, of_box, 0.0)


def mrcnn_mask_loss(target_class_ids, target_masks, mrcnn_mask_logits):
    """Binary cross-entropy of the target class's mask, over positive ROIs.

    Args:
        target_class_ids: int [B, P]; above 0 in positive ROIs.
        target_masks: float [B, P, h, w], 0 to 1.
        mrcnn_mask_logits: float [B, P, h, w, K], or [B, P, h, w, 1], of all classes.
    """
    pred = ops.cast(take_class(mrcnn_mask_logits, target_class_ids), "float32")
    loss = ops.binary_crossentropy(target_masks, pred, from_logits=True)
    loss = ops.mean(loss, axis=(2, 3))
    return masked_mean(loss, target_class_ids > 0)


def focus(missing, gamma):
    """missing^gamma: how much a loss counts by what its probability lacks of 1, [...] -> [...].

    Below a gamma of 1 its slope has no bound at 0: from 1e-7 on, float32's rounding of 1, it is 0.
    """
    if gamma == 0:
        return ops.ones_like(missing)
    return (missing if gamma >= 1 else ops.maximum(missing, 1e-7)) ** gamma


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


def semantic_loss(target_labels, semantic_logits, corners=False):
    """Cross-entropy of the class of each pixel, over pixels that have one.

    Args:
        target_labels: int [B, H, W]; below 0 is void.
        semantic_logits: float [B, H / 4, W / 4, S], which are upsampled to the labels.
        corners: bool, whether they are of corner-aligned features: then every fourth label counts.
    """
    logits = ops.cast(semantic_logits, "float32")
    if corners:
        target_labels = strided(target_labels)
    else:
        logits = upsample(logits, STRIDE)
    return masked_mean(cross_entropy(target_labels, logits), target_labels >= 0)
