"""Rows of each image of a batch: taking, cutting off, ranking.

Shapes: B images, N rows, S selected rows, M ground truths, K classes.
"""

import keras
from keras import ops

from mrcnn.ops.by_image import by_image
from mrcnn.ops.native import replaceable


@by_image
def gather(values, indices):
    """Takes `values[b, indices[b]]` for each image: [B, N, ...], [B, S] -> [B, S, ...]."""
    # Not take_along_axis: it spreads the indices over the values, 8 bytes for each pixel of a mask.
    batch, count = ops.shape(values)[:2]
    rows = ops.reshape(values, (-1, *ops.shape(values)[2:]))  # (B * N, ...)
    first = ops.expand_dims(ops.arange(batch, dtype="int32") * count, 1)  # (B, 1)
    return ops.take(rows, ops.cast(indices, "int32") + first, axis=0)


@replaceable
def argmax(values, axis, keepdims=False):
    """Index of the largest value along an axis, the first of equal ones: int32."""
    return ops.cast(ops.argmax(values, axis=axis, keepdims=keepdims), "int32")


@replaceable
def take_class(maps, class_ids):
    """The map of each row's class: [B, N, h, w, K], [B, N] -> [B, N, h, w]; ids below 0 count as 0.

    With one map for all classes, [B, N, h, w, 1], that one.
    """
    if maps.shape[-1] == 1:
        return maps[..., 0]
    class_ids = ops.maximum(class_ids, 0)[..., None, None, None]
    return ops.take_along_axis(maps, class_ids, axis=4)[..., 0]


def trim_padding(class_ids, *values):
    """Cuts off the columns that are padding in every image, where shapes may be open.

    That is on TensorFlow without XLA: most images have far fewer objects than there is room for.

    Args:
        class_ids: int [B, M], zero padded at the end.
        values: tensors [B, M, ...].

    Returns:
        list: `class_ids` and `values`, [B, m, ...] with 1 <= m <= M.
    """
    if keras.backend.backend() != "tensorflow":
        return [class_ids, *values]
    columns = ops.cast(ops.any(class_ids != 0, axis=0), "int32")  # (M,)
    last = ops.max(columns * ops.arange(1, ops.shape(columns)[0] + 1, dtype="int32"))
    count = ops.maximum(last, 1)
    return [value[:, :count] for value in (class_ids, *values)]


@by_image
def top_k(scores, k):
    """The k best of each row, whatever its length: [B, N] -> scores [B, k], index int32 [B, k].

    A shorter row is filled up with -inf at index 0.
    """
    count = scores.shape[1]
    if not isinstance(count, int) or count < k:  # unknown, or too few
        scores = ops.pad(scores, [[0, 0], [0, k]], constant_values=-float("inf"))
    best, index = ops.top_k(scores, k)
    return best, ops.where(best > -float("inf"), ops.cast(index, "int32"), 0)
