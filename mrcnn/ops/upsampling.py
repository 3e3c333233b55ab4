"""Feature maps at whole multiples of their size.

Shapes: B images, h w of the features, C channels, F the factor.
"""

from keras import ops


def upsample(features, factor):
    """Bilinear upsampling with aligned edges: float [B, h, w, C] -> [B, F*h, F*w, C].

    A new pixel lies at (i + 0.5) / F - 0.5 of the old ones (PyTorch's `align_corners=False`); what
    lies beyond the border is the border. Sums of shifted features need no kernel of a backend, so
    XLA compiles them, gradients included.

    Args:
        features: float [B, h, w, C].
        factor: int F.
    """
    return _upsampled(_upsampled(features, factor, axis=1), factor, axis=2)


def _upsampled(x, factor, axis):
    size = ops.shape(x)[axis]
    place = [slice(None)] * axis
    first, last = x[(*place, slice(0, 1))], x[(*place, slice(size - 1, size))]
    before = ops.concatenate([first, x[(*place, slice(0, size - 1))]], axis=axis)
    after = ops.concatenate([x[(*place, slice(1, size))], last], axis=axis)
    phases = []
    for i in range(factor):
        shift = (i + 0.5) / factor - 0.5  # from the old pixel that the new one lies in
        neighbour = before if shift < 0 else after
        phases.append(x * (1 - abs(shift)) + neighbour * abs(shift))
    stacked = ops.stack(phases, axis=axis + 1)  # (..., size, F, ...)
    shape = list(ops.shape(x))
    shape[axis] = size * factor
    return ops.reshape(stacked, shape)


def resize_corners(features, size):
    """Bilinear resizing that leaves the corners where they are: float [B, h, w, C] -> [B, H, W, C].

    A new pixel lies at i (h - 1) / (H - 1) of the old ones: deeplab2's `align_corners=True`.

    Args:
        features: float [B, h, w, C].
        size: (H, W).
    """
    for axis, want in enumerate(size, 1):
        features = _resized(features, want, axis)
    return features


def _resized(x, want, axis):
    have = ops.shape(x)[axis]
    if isinstance(have, int) and isinstance(want, int) and have == want:
        return x
    steps = ops.cast(ops.maximum(want - 1, 1), "float32")
    place = ops.cast(ops.arange(want), "float32") * (ops.cast(have - 1, "float32") / steps)
    first = ops.floor(place)
    share = ops.cast(place - first, x.dtype)
    first = ops.cast(first, "int32")
    second = ops.minimum(first + 1, have - 1)
    share = ops.reshape(share, [-1] + [1] * (len(x.shape) - axis - 1))
    return ops.take(x, first, axis=axis) * (1 - share) + ops.take(x, second, axis=axis) * share
