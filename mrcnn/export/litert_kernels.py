"""The kernels of a LiteRT graph: what its own operations can, of known shapes alone.

Shapes: B images, N boxes, K classes, S selected boxes.
"""

import functools

import tensorflow as tf

from mrcnn.export import graph_indexing
from mrcnn.ops import non_max_suppression, pooling
from mrcnn.ops.indexing import gather, top_k

_LEAST = -1e30  # of scores that count: above -inf


def kernels_of(batch):
    """The kernels of a graph of so many images, by the names of what they stand for."""
    found = {kernel.__name__: functools.partial(kernel, batch) for kernel in _KERNELS}
    return found | graph_indexing.KERNELS


def _known(batch, *values):
    """Tensors [B, ...] whose B is known."""
    return [tf.reshape(x, [batch, *x.shape[1:]]) for x in values]


def nms(batch, boxes, scores, max_output, iou_threshold, class_ids=None, native=True):
    """`mrcnn.ops.non_max_suppression.nms`: an operation for each image, of one class."""
    boxes, scores = _known(batch, boxes, scores)
    if class_ids is not None:
        portable, (class_ids,) = non_max_suppression.nms.__wrapped__, _known(batch, class_ids)
        return portable(boxes, scores, max_output, iou_threshold, class_ids, native=False)
    kept = []
    for image_boxes, image_scores in zip(tf.unstack(boxes), tf.unstack(scores), strict=True):
        # The one form of it that LiteRT has an operation for.
        index, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=image_boxes,
            scores=image_scores,
            max_output_size=max_output,
            iou_threshold=iou_threshold,
            score_threshold=_LEAST,
            pad_to_max_output_size=True,
        )
        kept.append(tf.where(tf.range(max_output) < count, index, -1))
    return tf.stack(kept)


def class_nms(batch, boxes, scores, max_output, iou_threshold, native=True):
    """`mrcnn.ops.non_max_suppression.class_nms`: an operation for each image and class."""
    found = []
    for class_boxes, class_scores in zip(
        tf.unstack(boxes, axis=2), tf.unstack(scores, axis=2), strict=True
    ):
        keep = nms(batch, class_boxes, class_scores, max_output, iou_threshold)  # (B, S)
        index = tf.maximum(keep, 0)
        kept = tf.where(keep >= 0, gather(class_scores, index), -float("inf"))
        found.append((gather(class_boxes, index), kept))
    boxes, scores = (tf.concat(parts, axis=1) for parts in zip(*found, strict=True))  # (B, K * S)
    best, index = top_k(scores, max_output)
    seen = best > -float("inf")
    return (
        tf.where(seen[..., None], gather(boxes, index), 0.0),
        tf.where(seen, best, 0.0),
        tf.where(seen, index // max_output, -1),
    )


def pool_grid(batch, features, levels, first, step, pool_size, samples, native=True):
    """`mrcnn.ops.pooling.pool_grid`, portable."""
    features, rows = _known(batch, *features), _known(batch, levels, first, step)
    return pooling.pool_grid.__wrapped__(features, *rows, pool_size, samples, native=False)


_KERNELS = (nms, class_nms, pool_grid)
