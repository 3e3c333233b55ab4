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

    A new pixel lies at i (h - 1) / (H - 1) of the old ones: deeplab2's `align_corners=True`. It is
    a product with a matrix for each axis, whose gradient is one too.

    Args:
        features: float [B, h, w, C].
        size: (H, W).
    """
    batch, height, width, channels = ops.shape(features)
    rows, columns = (_corner_weights(*sides) for sides in zip((height, width), size, strict=True))
    if rows is not None:
        lines = ops.reshape(features, (batch, height, width * channels))
        lines = ops.matmul(ops.cast(rows, features.dtype), lines)
        features = ops.reshape(lines, (batch, size[0], width, channels))
    if columns is not None:
        features = ops.matmul(ops.cast(columns, features.dtype), features)
    return features


def _corner_weights(have, want):
    """float32 [want, have], what each new pixel takes of the old ones; None: as it is."""
    if isinstance(have, int) and isinstance(want, int) and have == want:
        return None
    steps = ops.cast(ops.maximum(want - 1, 1), "float32")
    place = ops.cast(ops.arange(want), "float32") * (ops.cast(have - 1, "float32") / steps)
    distance = ops.abs(place[:, None] - ops.cast(ops.arange(have), "float32")[None])
    return ops.maximum(1 - distance, 0)
