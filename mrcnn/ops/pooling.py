"""Means of bilinear samples of a feature pyramid, bin by bin.

The samples of a bin form a grid, so the weight of a pixel in a bin is that of its row times that of
its column, and pooling is a product of a sparse matrix [bins, pixels] with the pixels [X, C].

Samples up to one pixel outside a map repeat its border, farther ones are zero: RoIAlign's rule.

Shapes: B images, N boxes, M = B * N, P pooled bins a side, S samples of a bin along an axis, K rows
(or columns) that a bin reads, X pixels of all maps of all images, C channels.
"""

import itertools

from keras import ops

from mrcnn.ops.by_image import by_image
from mrcnn.ops.native import is_native, replaceable
from mrcnn.ops.pixel_sums import add_at, read_pixels, sparse_product, sum_of_reads, traced_apart

# Pixels that the portable adaptive path reads at a time: bounds its memory.
_BLOCK = 2**15
# Most samples of a bin that can touch one row. A bin with more samples than this has them more than
# 5/6 of a pixel apart, so three lie within a pixel of the row; two more allow for rounding.
_NEAR = 5


@replaceable
@by_image
def pool_grid(features, levels, first, step, pool_size, samples, native):
    """Averages `samples` x `samples` bilinear samples for each of P x P bins.

    Args:
        features: list of float [B, h, w, C].
        levels: int32 [B, N], index into `features`.
        first: float [B, N, 2], position of the first sample in pixels of the box's feature map.
        step: float [B, N, 2], distance between samples.
        pool_size: int P.
        samples: int S.
        native: use TensorFlow's sparse product when TensorFlow runs; XLA cannot compile it.

    Returns:
        float [B, N, P, P, C].
    """
    flat, start, extent = flatten_pyramid(features, levels)
    first, step = (ops.stop_gradient(ops.reshape(x, (-1, 2))) for x in (first, step))
    (rows, row_weights), (columns, column_weights) = (
        _grid_weights(first[:, axis], step[:, axis], extent[:, axis], pool_size, samples)
        for axis in (0, 1)
    )
    rows = start[:, None, None] + rows * ops.cast(extent[:, 1], "int32")[:, None, None]
    if is_native(native):
        pixels = rows[:, :, None, :, None] + columns[:, None, :, None, :]  # (M, P, P, K, K)
        weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
        pixels, weights = ops.reshape(pixels, (-1,)), ops.reshape(weights, (-1,))
        bins = ops.arange(ops.shape(pixels)[0]) // (2 * samples) ** 2
        bins_count = ops.shape(start)[0] * pool_size**2
        pooled = sparse_product(flat, bins, pixels, weights, bins_count)
    else:
        reads = []  # of all bins: pixels [M, P, P], weights [M, P, P, 1]
        for i, j in itertools.product(range(2 * samples), repeat=2):
            weights = row_weights[:, :, i, None] * column_weights[:, None, :, j]
            reads.append((rows[:, :, i, None] + columns[:, None, :, j], weights[..., None]))
        pooled = sum_of_reads(flat, reads)
    return _finish(pooled, features, levels, pool_size)


@replaceable
@by_image
def pool_adaptive(features, levels, low, size, pool_size, native):
    """The same with ceil(size / P) samples along each axis, equally spaced, for each box.

    Args:
        features, levels, pool_size, native: see `pool_grid`.
        low: float [B, N, 2], upper left corner in pixels of the box's feature map.
        size: float [B, N, 2], likewise.

    Returns:
        float [B, N, P, P, C].
    """
    if levels.shape[1] == 0:  # nothing to take from in the loop that XLA traces
        return pool_grid(features, levels, low, size, pool_size, 1, native)
    flat, start, extent = flatten_pyramid(features, levels)
    low, size = (ops.stop_gradient(ops.reshape(x, (-1, 2))) for x in (low, size))
    axes = [(low[:, axis], size[:, axis], extent[:, axis], pool_size) for axis in (0, 1)]
    if is_native(native):
        pooled = _adaptive_native(flat, start, axes)
    else:
        pooled = _adaptive_portable(flat, start, axes, max(1, _BLOCK // pool_size**2))
    return _finish(pooled, features, levels, pool_size)


def adaptive_weights(low, size, extent, pool_size, rows):
    """Weight of rows in the bins of boxes with ceil(size / P) samples a bin.

    Args:
        low, size, extent: float [M], of the box and of its map along one axis.
        pool_size: int P.
        rows: int32, broadcast to [M, P, K].

    Returns:
        float [M, P, K], 0 for rows outside the map.
    """
    low, size, extent = (x[:, None, None] for x in (low, size, extent))
    rows = ops.cast(rows, "float32")
    samples = _sample_count(size, pool_size)
    step = size / (pool_size * samples)
    before = ops.cast(ops.arange(pool_size), "float32")[None, :, None] * samples
    # The first sample that may touch the row; step is 0 where there is one sample only.
    nearest = ops.floor((rows - 1.0 - low) / ops.where(step > 0, step, 1.0) - 0.5) - before
    nearest = ops.clip(nearest, 0.0, ops.maximum(samples - _NEAR, 0.0))
    total = 0.0
    for i in range(_NEAR):
        sample = nearest + i
        point = low + (before + sample + 0.5) * step
        inside = (sample < samples) & (point >= -1.0) & (point <= extent)
        near = 1.0 - ops.abs(ops.clip(point, 0.0, extent - 1.0) - rows)
        total = total + ops.where(inside, ops.maximum(near, 0.0), 0.0)
    return total / samples


def flatten_pyramid(features, levels):
    """All pixels in one list, and where the map of each box lies in it.

    Args:
        features: list of float [B, h, w, C].
        levels: int32 [B, N], index into `features`.

    Returns:
        float [X, C]; int32 [M], the first pixel of the box's map; float [M, 2], its height, width.
    """
    batch, channels = ops.shape(levels)[0], features[0].shape[-1]
    sizes = [ops.shape(feature)[1] * ops.shape(feature)[2] for feature in features]
    flat = [ops.reshape(feature, (batch, -1, channels)) for feature in features]
    flat = ops.reshape(ops.concatenate(flat, axis=1), (-1, channels))
    starts = ops.stack([ops.cast(sum(sizes[:i]), "int32") for i in range(len(sizes))])
    image = ops.arange(batch, dtype="int32") * ops.cast(sum(sizes), "int32")
    start = ops.take(starts, levels, axis=0) + image[:, None]
    extent = ops.reshape(level_sizes(features, levels), (-1, 2))
    return flat, ops.reshape(start, (-1,)), extent


def level_sizes(features, levels):
    """Height and width of each box's feature map: float [B, N, 2]."""
    sizes = [ops.stack([ops.cast(x, "float32") for x in ops.shape(f)[1:3]]) for f in features]
    return ops.take(ops.stack(sizes), levels, axis=0)


def _finish(pooled, features, levels, pool_size):
    shape = (*ops.shape(levels), pool_size, pool_size, features[0].shape[-1])
    return ops.reshape(ops.cast(pooled, features[0].dtype), shape)


def _grid_weights(first, step, extent, pool_size, samples):
    """The two neighbours of each sample: int32 rows and float weights, both [M, P, K = 2 S]."""
    first, step, extent = (x[:, None, None] for x in (first, step, extent))
    index = ops.reshape(ops.arange(pool_size * samples), (1, pool_size, samples))
    points = first + ops.cast(index, "float32") * step  # (M, P, S)
    inside = ops.cast((points >= -1.0) & (points <= extent), "float32") / samples
    points = ops.clip(points, 0.0, extent - 1.0)
    above = ops.floor(points)
    fraction = points - above
    rows = ops.concatenate([above, above + 1.0], axis=-1)
    weights = ops.concatenate([(1.0 - fraction) * inside, fraction * inside], axis=-1)
    return _row(rows, extent), weights


def _row(position, extent):
    """int32 rows of a map; clipped as integers, since what NaN becomes is anything."""
    last = ops.cast(extent, "int32") - 1
    return ops.maximum(ops.minimum(ops.cast(ops.floor(position), "int32"), last), 0)


def _sample_count(size, pool_size):
    return ops.maximum(ops.ceil(size / pool_size), 1.0)


def _adaptive_range(low, size, extent, pool_size):
    """First row of each bin, int32 [M, P]; rows of the bin that reads most, int32 [M]."""
    low, size, extent = (x[:, None] for x in (low, size, extent))
    samples = _sample_count(size, pool_size)
    step = size / (pool_size * samples)
    before = ops.cast(ops.arange(pool_size), "float32")[None] * samples
    first = _row(low + (before + 0.5) * step, extent)
    last = _row(low + (before + samples - 0.5) * step + 1.0, extent)
    return first, ops.max(last - first, axis=1, initial=0) + 1


def _adaptive_native(flat, start, axes):
    """One matrix for all boxes, with as many entries in a row as its bin reads pixels."""
    import tensorflow as tf

    pool_size = axes[0][-1]
    (rows, row_count), (columns, column_count) = (_adaptive_range(*axis) for axis in axes)
    weights = []
    for axis, first, count in zip(axes, (rows, columns), (row_count, column_count), strict=True):
        most = ops.arange(ops.max(count, initial=0))
        weights.append(adaptive_weights(*axis, first[..., None] + most))

    # What the entries of a bin share, (M * P * P, 6): first entry, columns, width of the map, first
    # pixel, and where the weights of its rows and columns begin.
    shape = (tf.shape(start)[0], pool_size, pool_size)
    width = tf.cast(axes[1][2], "int32")
    pixel = start[:, None, None] + rows[:, :, None] * width[:, None, None] + columns[:, None, :]
    counts = tf.broadcast_to((row_count * column_count)[:, None, None], shape)
    ends = tf.cumsum(tf.reshape(counts, [-1]))
    bins = tf.range(shape[0] * pool_size)  # of one axis
    row_weight = tf.reshape(bins * tf.shape(weights[0])[-1], (-1, pool_size, 1))
    column_weight = tf.reshape(bins * tf.shape(weights[1])[-1], (-1, 1, pool_size))
    shared = [tf.reshape(ends, shape) - counts, column_count[:, None, None], width[:, None, None]]
    shared = [tf.broadcast_to(x, shape) for x in (*shared, pixel, row_weight, column_weight)]
    shared = tf.stack([tf.reshape(x, [-1]) for x in shared], axis=1)

    bins = tf.zeros([ops.max(ends, initial=0)], "int32")
    bins = add_at(bins, ends[:-1], tf.ones_like(ends[:-1]))  # 1 where the next bin begins
    bins = tf.cumsum(bins)
    first, columns, width, pixel, row, column = tf.unstack(tf.gather(shared, bins), axis=1)
    entry = tf.range(tf.shape(bins)[0]) - first
    i, j = entry // columns, entry % columns
    pixels = tf.minimum(pixel + i * width + j, tf.shape(flat)[0] - 1)  # beyond: weight 0
    weights = [
        tf.gather(tf.reshape(weight, [-1]), index)
        for weight, index in zip(weights, (row + i, column + j), strict=True)
    ]
    return sparse_product(flat, bins, pixels, weights[0] * weights[1], tf.shape(shared)[0])


@traced_apart
def _adaptive_portable(flat, start, axes, size):
    """A loop over blocks of `size` reads, as many as the boxes need: so it has its own gradient.

    A read is one of a box's rows and one of its columns in each bin: one pixel for each bin. A
    dense product with whole feature maps would mostly multiply by zero.
    """
    pool_size = axes[0][-1]
    ranges = [_adaptive_range(*axis) for axis in axes]
    ends = ops.cumsum(ranges[0][1] * ranges[1][1])  # reads of each box and all before it
    total = ops.max(ends, initial=0)

    def blocks(visit, result):
        """Runs `result = visit(result, boxes, pixels, weights)` for each block."""

        def body(block, result):
            read = block * size + ops.arange(size, dtype="int32")
            box, pixels, weights = _reads(ops.minimum(read, total - 1), start, axes, ranges, ends)
            weights = ops.where((read < total)[:, None, None, None], weights, 0.0)
            return block + 1, visit(result, box, pixels, weights)

        return ops.while_loop(lambda block, _: block * size < total, body, (0, result))[1]

    @ops.custom_gradient
    def pool(flat):
        def add(pooled, box, pixels, weights):
            return add_at(pooled, box, read_pixels(flat, pixels) * weights)

        def gradient(upstream):
            def add(result, box, pixels, weights):
                return add_at(result, pixels, ops.take(upstream, box, axis=0) * weights)

            result = blocks(add, ops.zeros(ops.shape(flat), "float32"))
            return ops.cast(result, flat.dtype)

        shape = (ops.shape(start)[0], pool_size, pool_size, ops.shape(flat)[-1])
        return blocks(add, ops.zeros(shape, "float32")), gradient

    return pool(flat)


def _reads(read, start, axes, ranges, ends):
    """Boxes, pixels and weights of reads, int32 [R] -> [R], [R, P, P], [R, P, P, 1]."""
    pool_size = axes[0][-1]
    (_, row_count), (_, column_count) = ranges
    box = ops.cast(ops.searchsorted(ends, read, side="right"), "int32")
    read = read - ops.take(ends - row_count * column_count, box)
    columns = ops.take(column_count, box)
    found = []
    for axis, (first, _), shift in zip(
        axes, ranges, (read // columns, read % columns), strict=True
    ):
        low, size, extent = (ops.take(x, box) for x in axis[:3])
        rows = ops.take(first, box, axis=0) + shift[:, None]  # (R, P)
        weights = adaptive_weights(low, size, extent, pool_size, rows[..., None])
        found.append((ops.minimum(rows, ops.cast(extent, "int32")[:, None] - 1), weights))
    (rows, row_weights), (columns, column_weights) = found
    width = ops.take(ops.cast(axes[1][2], "int32"), box)[:, None]
    rows = ops.take(start, box)[:, None] + rows * width
    pixels = rows[:, :, None] + columns[:, None]
    return box, pixels, row_weights[:, :, None] * column_weights[:, None]
