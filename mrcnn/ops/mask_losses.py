"""Losses of a network that predicts masks and their classes directly (arXiv:2012.00759, sections
3.1 and 3.3).

A segment is a thing or a class of stuff; each is matched to one mask. Where deeplab2 and the paper
differ, the docstring says which is followed.

Shapes: B images, H W, h w P their logits, of stride 4, N masks, S segments of an image at most,
K classes: class c > 0 is channel c - 1 of the class logits, and channel K - 1 is none of them.
"""

from keras import ops

from mrcnn.ops.matching import match
from mrcnn.ops.semantic import strided

# Of the paper (sections 3.1 and 3.3) and of deeplab2's `MaXDeepLabLoss`.
POSITIVE_WEIGHT = 0.75  # alpha of both terms of the PQ-style loss; negatives have the rest
TEMPERATURE = 0.3  # tau of instance discrimination
# Of deeplab2's `MaXDeepLabLoss` alone.
LEAST_WEIGHT = 1e-5  # of a matched mask, so that it counts at all
SMALL = 1e-5  # added to a divisor


def flat(maps):
    """float [B, h, w, N] -> float32 [B, P, N]."""
    batch, _, _, channels = ops.shape(maps)
    return ops.reshape(ops.cast(maps, "float32"), (batch, -1, channels))


def mask_targets(segments, classes, mask_logits, class_logits):
    """Matches segments to masks, and says what each mask should be.

    The likeness of a segment and a mask is the probability of its class times the Dice coefficient
    of the two (equation 5); void pixels count nowhere. A segment without a pixel at stride 4 is
    none.

    Args:
        segments: int [B, H, W], which segment a pixel belongs to, below 0 none that is known.
        classes: int [B, S], of each segment; 0 where there is none.
        mask_logits: float [B, h, w, N].
        class_logits: float [B, N, K].

    Returns:
        dict, without gradients: of segments `slots` int [B, S], the mask of each, -1 none,
        `segment_weights` float [B, S], the probability that the mask has of its class; of masks
        `target_classes` int [B, N], channels of the class logits, and `class_weights` float [B, N]:
        of matched ones the Dice coefficient, of others the share of it that lies on known pixels
        (deeplab2 takes the rest, which is nothing in images without void).
    """
    pixels = _pixels(segments)
    inside = one_hot_of(pixels, classes.shape[1])  # (B, P, S)
    known = ops.cast(pixels >= 0, "float32")[..., None]
    probabilities = ops.softmax(flat(mask_logits), axis=-1)
    area = ops.sum(inside, axis=1)  # (B, S)
    covered = probabilities * known
    common = ops.einsum("bps,bpn->bsn", inside, covered)
    dice = common / ((area[:, :, None] + ops.sum(covered, axis=1)[:, None]) / 2 + SMALL)

    exists = (classes > 0) & (area > 0)
    channel = ops.maximum(classes - 1, 0)
    of_class = ops.softmax(ops.cast(class_logits, "float32"), axis=-1)  # (B, N, K)
    of_class = ops.take_along_axis(  # (B, S, N)
        ops.swapaxes(of_class, 1, 2), channel[:, :, None], axis=1
    )
    slots = match(-dice * of_class, exists)

    count, none = mask_logits.shape[-1], class_logits.shape[-1] - 1
    pairs = one_hot_of(slots, count)  # (B, S, N)
    matched = ops.sum(pairs, axis=1)
    target = ops.sum(pairs * ops.cast(channel, "float32")[:, :, None], axis=1)
    target = ops.where(matched > 0, target, float(none))
    on_known = ops.sum(covered, axis=1) / (ops.sum(probabilities, axis=1) + SMALL)
    weights = ops.where(matched > 0, ops.sum(pairs * dice, axis=1), on_known)
    segment_weights = ops.maximum(ops.sum(pairs * of_class, axis=2), LEAST_WEIGHT)
    targets = {
        "slots": slots,
        "segment_weights": ops.where(slots >= 0, segment_weights, 0.0),
        "target_classes": ops.cast(target, "int32"),
        "class_weights": ops.maximum(weights, LEAST_WEIGHT),
    }
    return {name: ops.stop_gradient(each) for name, each in targets.items()}


def one_hot_of(index, count):
    """int [B, X] -> float32 [B, X, count], zeros where the index is none."""
    return ops.cast(index[..., None] == ops.arange(count, dtype="int32"), "float32")


def pq_class_loss(target_classes, class_weights, class_logits):
    """Cross-entropy of the classes of masks, the class term of the PQ-style loss (equation 9).

    Args:
        target_classes, class_weights: of `mask_targets`.
        class_logits: float [B, N, K].
    """
    logits = ops.log_softmax(ops.cast(class_logits, "float32"), axis=-1)
    loss = -ops.take_along_axis(logits, target_classes[..., None], axis=-1)[..., 0]
    positive = target_classes < class_logits.shape[-1] - 1
    alpha = ops.where(positive, POSITIVE_WEIGHT, 1 - POSITIVE_WEIGHT)
    return ops.mean(alpha * class_weights * loss)


def pq_mask_loss(segments, slots, segment_weights, mask_logits):
    """One minus the Dice coefficient of each segment and its mask, the mask term of the PQ-style
    loss (equation 9), over pixels of segments.

    As deeplab2, coefficients are smoothed by 1, and both terms are weighed alike: by
    `POSITIVE_WEIGHT`, over the number of masks.

    Args:
        segments: int [B, H, W].
        slots, segment_weights: of `mask_targets`.
        mask_logits: float [B, h, w, N].
    """
    pixels = _pixels(segments)
    inside = one_hot_of(pixels, slots.shape[1])  # (B, P, S)
    logits, count = flat(mask_logits), mask_logits.shape[-1]
    covered = ops.softmax(logits, axis=-1) * ops.sum(inside, axis=-1, keepdims=True)
    own = ops.take_along_axis(covered, ops.maximum(slots, 0)[:, None, :], axis=2)  # (B, P, S)
    common = 2 * ops.sum(own * inside, axis=1) + 1
    dice = common / (ops.sum(own, axis=1) + ops.sum(inside, axis=1) + 1)
    loss = ops.sum(segment_weights * (1 - dice), axis=1)
    return ops.mean(loss) * POSITIVE_WEIGHT / count


def mask_id_loss(segments, slots, mask_logits):
    """Cross-entropy of which mask each pixel belongs to, over pixels of segments (section 3.3)."""
    pixels = _pixels(segments)
    slot = ops.take_along_axis(slots, ops.maximum(pixels, 0), axis=1)  # (B, P)
    logits = ops.log_softmax(flat(mask_logits), axis=-1)
    loss = -ops.take_along_axis(logits, ops.maximum(slot, 0)[..., None], axis=-1)[..., 0]
    return _mean_of_images(loss, (pixels >= 0) & (slot >= 0))


def instance_loss(segments, classes, features, thing_classes):
    """Instance discrimination: each pixel of a thing should be like the mean of its segment, and
    unlike those of others (equation 10).

    Args:
        segments: int [B, H, W].
        classes: int [B, S].
        features: float [B, h, w, D], of length 1.
        thing_classes: int, classes of things with the background.
    """
    pixels, features = _pixels(segments), flat(features)
    inside = one_hot_of(pixels, classes.shape[1])
    area = ops.sum(inside, axis=1)  # (B, S)
    means = ops.einsum("bpd,bps->bsd", features, inside) / ops.maximum(area, 1.0)[..., None]
    means = ops.normalize(means, axis=-1)
    likeness = ops.einsum("bpd,bsd->bps", features, means) / TEMPERATURE
    exists = (classes > 0) & (area > 0)
    logits = ops.log_softmax(ops.where(exists[:, None], likeness, -1e5), axis=-1)
    loss = -ops.sum(logits * inside, axis=-1)
    own = ops.take_along_axis(classes, ops.maximum(pixels, 0), axis=1)
    return _mean_of_images(loss, (pixels >= 0) & (own < thing_classes))


def _pixels(labels):
    """int [B, H, W] -> [B, P], those that logits are of."""
    labels = strided(labels)
    return ops.reshape(labels, (ops.shape(labels)[0], -1))


def _mean_of_images(values, counted):
    """The mean over the counted of each image [B, P], then over images; 0 where none is."""
    counted = ops.cast(counted, "float32")
    sums = ops.sum(ops.where(counted > 0, values, 0.0), axis=1)
    return ops.mean(sums / ops.maximum(ops.sum(counted, axis=1), 1.0))
