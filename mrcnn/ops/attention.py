"""Attention of several heads, and along one axis of a map with relative positions.

Shapes: B batch, H W of a map, h heads, L queries, M keys, d channels of a head's keys, v of its
values.
"""

from keras import ops

# Relative positions that an axis knows, as deeplab2: those beyond share the last embedding.
SPAN = 255


def split_heads(x, heads):
    """[B, L, h * d] -> [B, h, L, d]."""
    batch, length = ops.shape(x)[:2]
    x = ops.reshape(x, (batch, length, heads, x.shape[-1] // heads))
    return ops.transpose(x, (0, 2, 1, 3))


def merge_heads(x):
    """[B, h, L, v] -> [B, L, h * v]."""
    batch, heads, length, channels = ops.shape(x)
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (batch, length, heads * channels))


def lines_of(x, axis, heads):
    """The lines of a map along its `axis`: [B, H, W, h * d] -> [B * W, h, H, d], of axis 1; of axis
    2 -> [B * H, h, W, d]."""
    batch, height, width = ops.shape(x)[:3]
    depth = x.shape[-1] // heads
    x = ops.reshape(x, (batch, height, width, heads, depth))
    across, along = (width, height) if axis == 1 else (height, width)
    x = ops.transpose(x, (0, 3 - axis, 3, axis, 4))
    return ops.reshape(x, (batch * across, heads, along, depth))


def map_of(lines, axis, like):
    """Undoes `lines_of`: [B * W, h, H, v] -> [B, H, W, h * v]; `like` is a map [B, H, W, ...]."""
    batch, height, width = ops.shape(like)[:3]
    heads, depth = lines.shape[1], lines.shape[3]
    across, along = (width, height) if axis == 1 else (height, width)
    x = ops.reshape(lines, (batch, across, heads, along, depth))
    x = ops.transpose(x, (0, 3, 1, 2, 4) if axis == 1 else (0, 1, 3, 2, 4))
    return ops.reshape(x, (batch, height, width, heads * depth))


def relative_embeddings(embeddings, length):
    """The embedding of each pair of places on an axis: [2 * SPAN - 1, d] -> [L, M, d], L = M.

    Row m - l + SPAN - 1 belongs to a query at l and a key at m.
    """
    places = ops.arange(length)
    relative = places[None, :] - places[:, None]
    rows = ops.clip(relative, 1 - SPAN, SPAN - 1) + SPAN - 1
    return ops.take(embeddings, rows, axis=0)


def similarities(query, key, query_positions, key_positions, scales=None):
    """How well each query fits each key: by content, and by the place of the key relative to it.

    Position-sensitive attention (arXiv:2003.07853, equation 4). Embeddings of positions are those
    of all heads, and are not repeated for each.

    Args:
        query, key: float [B, h, L, d].
        query_positions, key_positions: float [L, M, d], of `relative_embeddings`.
        scales: three float [h, 1, 1] that the results are multiplied by: what goes in is, for it
            is smaller. None: 1.

    Returns:
        Three float [B, h, L, M]: of query and key, of query and position, of key and position.
    """
    scales = [1, 1, 1] if scales is None else scales
    content = ops.matmul(query * scales[0], ops.swapaxes(key, 2, 3))
    by_query = ops.einsum("bhld,lmd->bhlm", query * scales[1], query_positions)
    by_key = ops.einsum("bhmd,lmd->bhlm", key * scales[2], key_positions)
    return content, by_query, by_key


def weights_of(logits):
    """Softmax over the keys, in float32: [B, h, L, M], in the type that it was given."""
    return ops.cast(ops.softmax(ops.cast(logits, "float32"), axis=-1), logits.dtype)


def retrieve(weights, value):
    """What the weights gather of the values: [B, h, L, M], [B, h, M, v] -> [B, h, L, v]."""
    return ops.matmul(weights, value)


def retrieve_positions(weights, positions):
    """What the weights gather of positions: [B, h, L, M], [L, M, v] -> [B, h, L, v]."""
    return ops.einsum("bhlm,lmv->bhlv", weights, positions)
