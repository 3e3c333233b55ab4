"""Regions of pictures, warped to squares (arXiv:1311.2524, appendix A).

Shapes: B images, H W, N boxes, S pixels a side of a crop, C channels.
"""

from keras import ops

from mrcnn.ops.pooling import pool_grid


def warp_regions(images, windows, boxes, side, context, native=True):
    """Cuts out boxes with what lies around them, each scaled to a square whatever its shape.

    A pixel of a crop is one bilinear sample at its centre, without a filter against aliasing, as in
    the paper's code. What lies outside the picture is 0: the mean pixel, of molded images.

    Args:
        images: float [B, H, W, C].
        windows: float [B, 4], where the picture lies in its image, in pixels.
        boxes: float [B, N, 4], in pixels.
        side: int S.
        context: int, pixels of a crop that lie around the box on each of its sides.
        native: see `mrcnn.ops.pooling.pool_grid`.

    Returns:
        float [B, N, S, S, C].
    """
    step = (boxes[..., 2:] - boxes[..., :2]) / (side - 2 * context)  # from sample to sample
    first = boxes[..., :2] + (0.5 - context) * step - 0.5  # the centre of pixel 0 is at 0.5
    # `pool_grid` repeats the border of what it is given for a pixel: that of the zeros around.
    padded = ops.pad(picture_alone(images, windows), [[0, 0], [1, 1], [1, 1], [0, 0]])
    levels = ops.zeros(ops.shape(boxes)[:2], "int32")
    return pool_grid([padded], levels, first + 1.0, step, side, 1, native)


def picture_alone(images, windows):
    """Images [B, H, W, C] with 0 outside their windows [B, 4], in pixels."""
    inside = []
    for axis in (0, 1):
        places = ops.cast(ops.arange(ops.shape(images)[1 + axis]), "float32")
        low, high = windows[:, axis, None], windows[:, axis + 2, None]
        inside.append((places >= low) & (places < high))  # (B, H), (B, W)
    rows, columns = inside
    return ops.where((rows[:, :, None] & columns[:, None, :])[..., None], images, 0.0)
