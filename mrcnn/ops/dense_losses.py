"""The losses of a detector without proposals, over all anchors: each a float32 scalar.

Each sums what counts in an image and divides by how many anchors are positive there, and is the
mean over the images; exactly 0.0 when nothing counts.

Shapes: B images, A anchors, K classes.
"""

from keras import ops

from mrcnn.ops.box_losses import box_losses
from mrcnn.ops.losses import focus


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
    alphas = targets * alpha + (1.0 - targets) * (1.0 - alpha)
    return alphas * focus(missing, gamma) * cross_entropy


def mean_over_positives(loss, target_class_ids):
    """Sum [B, A] over the positive anchors of each image, 1 at least: the mean of these [B]."""
    positives = ops.sum(ops.cast(target_class_ids > 0, "float32"), axis=1)
    return ops.mean(ops.sum(loss, axis=1) / ops.maximum(positives, 1.0))


def retinanet_class_loss(
    target_class_ids, retinanet_class_logits, active_class_ids, alpha=0.25, gamma=2.0
):
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
    loss = focal_loss(ops.cast(right, "float32"), retinanet_class_logits, alpha, gamma)
    loss = ops.sum(ops.where(counted, loss, 0.0), axis=-1)
    return mean_over_positives(loss, target_class_ids)


def retinanet_bbox_loss(
    target_class_ids, target_deltas, retinanet_bbox, boxes=None, *, beta=0.0, **options
):
    """Loss of the boxes of positive anchors.

    Args:
        target_class_ids: int [B, A]; above 0 in positive anchors.
        target_deltas: float [B, A, 4].
        retinanet_bbox: float [B, A, 4], predicted deltas.
        boxes: float [1, A, 4], the anchors in pixels; or None.
        beta, options: see `mrcnn.ops.box_losses.box_losses`.
    """
    loss = box_losses(target_deltas, retinanet_bbox, boxes, beta=beta, **options)
    loss = ops.where(target_class_ids > 0, ops.sum(loss, axis=-1), 0.0)
    return mean_over_positives(loss, target_class_ids)
