"""RoI max pooling (arXiv:1504.08083), and the spatial pyramid of it (arXiv:1406.4729).

The corners of a box are rounded to feature pixels, the pixels from corner to corner, at least one
a side, are divided into bins that may share their border pixels, and each bin has its maximum. As
in the paper's code and `torchvision.ops.roi_pool`, float32 divides: a box of 57 pixels reads one
more than it has where seven bins do not divide it exactly.

Shapes: B images, N boxes, M = B * N, P pooled bins a side, X pixels of all maps of all images, C
channels.
"""

from keras import ops

from mrcnn.ops.boxes import denorm_boxes
from mrcnn.ops.by_image import by_image
from mrcnn.ops.pixel_sums import add_at, traced_apart
from mrcnn.ops.pooling import flatten_pyramid, level_sizes

# Parts of an image pixel that corners are rounded to: normalised boxes have float32's noise, and
# a corner at half a feature pixel would be rounded either way.
_PARTS = 32.0
_FARTHEST = 2.0**20  # feature pixels; farther corners count as there


@by_image
def roi_pool(features, boxes, levels, pool_size, empty=0.0):
    """The maxima of P x P bins of each box.

    The gradient of a bin goes to the first pixel that has its maximum. Memory is a few times that
    of the result, however large the boxes are; time grows with the pixels of the largest bin.

    Args:
        features: list of float [B, h, w, C].
        boxes: float [B, N, 4] = y1 x1 y2 x2 in pixels of the box's feature map, which it may leave.
        levels: int32 [B, N], index into `features`.
        pool_size: int P.
        empty: float, what a bin without a pixel of the map has.

    Returns:
        float [B, N, P, P, C].
    """
    shape = (*ops.shape(levels), pool_size, pool_size, features[0].shape[-1])
    if levels.shape[1] == 0:  # nothing to take from in the loop that XLA traces
        return ops.zeros(shape, features[0].dtype)
    flat, start, extent = flatten_pyramid(features, levels)
    corners = _rounded(ops.stop_gradient(ops.reshape(boxes, (-1, 4))))  # (M, 4)
    (first_row, end_row), (first_column, end_column) = (
        _bins(corners[:, axis], corners[:, axis + 2], extent[:, axis], pool_size) for axis in (0, 1)
    )
    width = ops.cast(extent[:, 1], "int32")
    pooled = _maxima(flat, start, width, first_row, end_row, first_column, end_column)
    pooled = ops.where(pooled == -float("inf"), ops.cast(empty, pooled.dtype), pooled)
    return ops.reshape(pooled, shape)


def spatial_pyramid_pool(features, boxes, levels, grids):
    """The maxima of several grids of bins of each box, one grid after the other.

    A grid that divides a finer one is made of its bins: they cover the same pixels.

    Args:
        features, boxes, levels: as of `roi_pool`.
        grids: ints, bins a side of each grid.

    Returns:
        float [B, N, sum of the grids' squares, C]; 0 in a bin without a pixel of the map.
    """
    channels, made, found = features[0].shape[-1], {}, []
    for grid in grids:
        finest = max(other for other in grids if other % grid == 0)
        if finest not in made:
            made[finest] = roi_pool(features, boxes, levels, finest, empty=-float("inf"))
        bins, parts = made[finest], finest // grid
        if parts > 1:
            batch, count = ops.shape(levels)
            bins = ops.reshape(bins, (batch, count, grid, parts, grid, parts, channels))
            bins = ops.max(bins, axis=(3, 5))
        bins = ops.where(bins == -float("inf"), ops.cast(0.0, bins.dtype), bins)
        found.append(ops.reshape(bins, (*ops.shape(levels), grid**2, channels)))
    return ops.concatenate(found, axis=2)


def to_feature_pixels(features, boxes, levels, image_shape, box_offset=1):
    """Boxes in pixels of the feature map of each.

    Args:
        features, levels: as of `roi_pool`.
        boxes: float [B, N, 4], normalised.
        image_shape: float [B, 2], height and width in pixels.
        box_offset: how the boxes are normalised, see `mrcnn.ops.boxes`.

    Returns:
        float32 [B, N, 4].
    """
    image_shape = ops.expand_dims(ops.cast(image_shape, "float32"), 1)  # (B, 1, 2)
    pixels = denorm_boxes(boxes, image_shape, box_offset)
    pixels = ops.round(pixels * _PARTS) / _PARTS
    scale = level_sizes(features, levels) / image_shape  # (B, N, 2)
    return pixels * ops.concatenate([scale, scale], axis=-1)


def _rounded(x):
    """To whole numbers, halves away from zero, as C's `round`."""
    size = ops.abs(x)
    whole = ops.floor(size)
    whole = whole + ops.cast(size - whole >= 0.5, x.dtype)
    return ops.clip(ops.sign(x) * whole, -_FARTHEST, _FARTHEST)


def _bins(low, high, extent, pool_size):
    """First row of each bin, and the first behind it: int32 [M, P] within the map.

    Args:
        low, high: float [M], whole: the first and the last row of a box.
        extent: float [M], rows of its map.
        pool_size: int P.
    """
    size = ops.maximum(high - low + 1.0, 1.0)
    # XLA would multiply by the reciprocal of a constant, whose bins are not always the same.
    step = (size / (pool_size + 0.0 * size))[:, None]
    index = ops.cast(ops.arange(pool_size), "float32")[None]
    edges = ops.floor(index * step), ops.ceil((index + 1.0) * step)
    low, extent = low[:, None], extent[:, None]
    return [ops.cast(ops.minimum(ops.maximum(x + low, 0.0), extent), "int32") for x in edges]


@traced_apart
def _maxima(flat, start, width, first_row, end_row, first_column, end_column):
    """Maxima of bins, read pixel by pixel of all bins at once; -inf where a bin has none.

    Args:
        flat: float [X, C].
        start: int32 [M], the first pixel of a box's map.
        width: int32 [M], of its map.
        first_row, end_row, first_column, end_column: int32 [M, P], of the bins.

    Returns:
        float [M, P, P, C].
    """
    columns = ops.max(end_column - first_column, initial=0)
    steps = ops.max(end_row - first_row, initial=0) * columns

    def read(flat, step, best, source):
        row, column = first_row + step // columns, first_column + step % columns  # (M, P)
        inside = (row < end_row)[:, :, None] & (column < end_column)[:, None]  # (M, P, P)
        pixel = (start[:, None] + row * width[:, None])[:, :, None] + column[:, None]
        pixel = ops.minimum(pixel, ops.shape(flat)[0] - 1)  # beyond: not inside
        values = ops.take(flat, pixel, axis=0)
        better = inside[..., None] & (values > best)
        source = ops.where(better, pixel[..., None], source)
        return step + 1, ops.where(better, values, best), source

    @ops.custom_gradient
    def pool(flat):
        boxes, pool_size = ops.shape(first_row)
        channels = ops.shape(flat)[1]
        shape = (boxes, pool_size, pool_size, channels)
        found = (0, ops.full(shape, -float("inf"), flat.dtype), ops.full(shape, -1, "int32"))
        _, best, source = ops.while_loop(
            lambda step, *_: step < steps, lambda *found: read(flat, *found), found
        )

        def gradient(upstream):
            values = ops.where(source >= 0, ops.cast(upstream, "float32"), 0.0)
            place = ops.maximum(source, 0) * channels + ops.arange(channels, dtype="int32")
            summed = ops.zeros((ops.shape(flat)[0] * channels,), "float32")
            summed = add_at(summed, ops.reshape(place, (-1,)), ops.reshape(values, (-1,)))
            return ops.cast(ops.reshape(summed, ops.shape(flat)), flat.dtype)

        return best, gradient

    return pool(flat)
