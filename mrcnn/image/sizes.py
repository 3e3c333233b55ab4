"""How large pictures become: the arithmetic of `mrcnn.image.resizing`, without a pixel.

Shape legend: H, W size in pixels. A size is `(height, width)`.
"""

import math

import numpy as np


def scaled_size(height, width, scale):
    """Height and width in pixels of an image resized by `scale`; no side falls below 1."""
    return max(1, round(height * scale)), max(1, round(width * scale))


def resized_scale(settings, height, width):
    """How much larger `resize_by` makes an image of a height and width, by `settings.resize_mode`.

    Of mode "crop" it is the scale before the crop.
    """
    mode = settings.resize_mode
    if mode == "none":
        return 1.0
    if mode == "shortest_edge":
        limits = settings.min_dim, settings.max_dim
        return shortest_edge(height, width, *limits, settings.interpolation)[0]
    if mode == "longest_edge":
        return longest_edge(height, width, settings.max_dim, settings.interpolation)[0]
    limits = settings.min_dim, settings.max_dim
    return enlarged_scale(height, width, *limits, settings.min_scale, mode)


def resized_sides(settings, height, width, mode):
    """Height and width that `resize_by` makes of an image, padding included.

    Args:
        settings: `mrcnn.settings.Image`.
        height, width: of the image, pixels.
        mode: of `resize_image`.
    """
    if mode == "none":
        return height, width
    if mode == "crop":
        return settings.min_dim, settings.min_dim
    if mode in ("square", "longest_edge"):
        return settings.max_dim, settings.max_dim
    if mode == "shortest_edge":
        limits = settings.min_dim, settings.max_dim
        size = shortest_edge(height, width, *limits, settings.interpolation)[1]
        return tuple(side + edge_padding(side, settings.interpolation) for side in size)
    scale = enlarged_scale(height, width, settings.min_dim, None, settings.min_scale, mode)
    return tuple(side + -side % 64 for side in scaled_size(height, width, scale))


def rescaled_size(settings, height, width, factor):
    """Size and scale of what `rescale_by` makes of an image, unpadded."""
    scale = factor * resized_scale(settings, height, width)
    size = scaled_size(height, width, scale)
    if settings.resize_mode == "square":  # a half may have been rounded up
        size = tuple(min(side, _multiple(settings.max_dim * factor)) for side in size)
    return size, scale


def rescaled_sides(settings, height, width, factor):
    """Height and width of what `rescale_by` makes of an image, padding for the network included."""
    if settings.resize_mode == "square":
        side = _multiple(settings.max_dim * factor)
        return side, side
    return tuple(_multiple(side) for side in rescaled_size(settings, height, width, factor)[0])


def rescaled_buckets(buckets, factor):
    """`IMAGE_BUCKETS` for images that are `factor` times as large, or None."""
    return buckets and [tuple(_multiple(side * factor) for side in bucket) for bucket in buckets]


def enlarged_scale(height, width, min_dim, max_dim, min_scale, mode):
    """How much larger modes "square", "pad64" and "crop" make an image."""
    scale = max(1, min_dim / min(height, width)) if min_dim else 1
    scale = max(scale, min_scale or 0)
    if mode == "square" and round(max(height, width) * scale) > max_dim:
        scale = max_dim / max(height, width)
    return scale


def shortest_edge(height, width, min_dim, max_dim, interpolation):
    """Scale and size of mode "shortest_edge", each family with its own rounding."""
    scale = min(min_dim / min(height, width), max_dim / max(height, width))
    half = _rounding(interpolation)
    return scale, tuple(max(1, int(side * scale + half)) for side in (height, width))


def longest_edge(height, width, max_dim, interpolation):
    """Scale and size of mode "longest_edge"."""
    longest, half = max(height, width), _rounding(interpolation)
    # In whole numbers, so that the long side is exact.
    size = tuple(max(1, int(side * max_dim / longest + half)) for side in (height, width))
    return max_dim / longest, size


def edge_padding(side, interpolation):
    """Pixels that mode "shortest_edge" adds to a side."""
    return -(side - (interpolation == "corners")) % 32


def bucket_sides(sides, buckets):
    """What an image or a batch is padded to.

    Args:
        sides: (height, width).
        buckets: list of (height, width), or None.

    Returns:
        (height, width): the smallest bucket that holds it; where none does, the largest height with
        the largest width of all; where not even that, `sides`.
    """
    if buckets is None or len(buckets) == 0:
        return tuple(sides)
    candidates = [*sorted(map(tuple, buckets), key=math.prod), tuple(np.max(buckets, axis=0))]
    fitting = (bucket for bucket in candidates if np.all(np.greater_equal(bucket, sides)))
    return next(fitting, tuple(sides))


def _multiple(side):
    """The multiple of 64 that a side in pixels is padded to."""
    return 64 * max(1, math.ceil(round(side) / 64))


def _rounding(interpolation):
    return 0.0 if interpolation in ("edge", "corners") else 0.5  # torchvision, deeplab2: down
