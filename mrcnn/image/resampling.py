"""Pixels at other sizes: which ones lie under a new pixel's centre, and the values between them.

Shape legend: h, w size before; H, W size after; C channels.
"""

import numpy as np

_BLOCK = 100_000  # numbers computed at a time: they stay in the processor's cache


def nearest(have, want):
    """int `[want]`: for each of `want` pixels in a row the one of `have` under its centre."""
    return (2 * np.arange(want) + 1) * have // (2 * want)


def nearest_corners(have, want):
    """int `[want]`: as `nearest`, where the first and the last pixel stay what they are."""
    return np.rint(_corner_positions(have, want)).astype(int)


def bilinear(image, size, border="constant", dtype=None):
    """`mrcnn.image.resizing.resize` with `preserve_range`, bit for bit (on x86).

    It is faster: the library interpolates between channels, too, and all at once.

    Args:
        image: array `[h, w]` or `[h, w, C]` of bool or numbers.
        size: height and width of the result, `(H, W)`.
        border: what lies beyond it. `"constant"`: 0; `"edge"`: the pixels at the border.
            `"corners"`: nothing does, for corner pixels stay in the corners.
        dtype: of the result, integers cut off; by default float32 from float16 and float32,
            otherwise float64.

    Returns:
        Array `[H, W]` or `[H, W, C]`.
    """
    single = image.dtype.kind == "f" and image.dtype.itemsize <= 4
    result = np.empty((*size, *image.shape[2:]), dtype or (np.float32 if single else np.float64))
    rows, cols = (_neighbours(*sides, border) for sides in zip(image.shape[:2], size, strict=True))
    channels = result[0, 0].size
    rows = [(index, weight.reshape(-1, *[1] * (image.ndim - 1))) for index, weight in rows]
    cols = [(index, np.repeat(weight, channels)) for index, weight in cols]
    # What lies beyond the border counts as 0; the library keeps that out of the range of values.
    low, high = image.min(), image.max()
    lines = result.reshape(len(result), -1)  # (H, W * C)
    step = min(len(lines), max(1, _BLOCK // lines.shape[1]))
    buffers = np.empty((2, step, lines.shape[1]))
    for top in range(0, len(lines), step):
        block = slice(top, top + step)
        found, part = buffers[:, : len(lines[block])]
        found[:] = 0
        for index, weight in rows:
            line = image[index[block]] * weight[block]  # (step, w, C)
            shaped = part.reshape(len(line), -1, *line.shape[2:])
            for col, col_weight in cols:  # the order of the library's sum, so equal when rounded
                line.take(col, axis=1, out=shaped, mode="clip")
                part *= col_weight
                found += part
        lines[block] = np.clip(found, low, high, out=found)
    return result


def _neighbours(have, want, border):
    """For each of `want` pixels the two of `have` beside its centre: [(index, weight)] * 2."""
    if border == "corners":
        return corner_neighbours(have, want)
    position = (np.arange(want) + 0.5) * (have / want) - 0.5
    first = np.floor(position).astype(int)
    weight = 1 - (position - first)
    weights = [weight, 1 - weight]
    if border == "constant":
        weights = [np.where(first < 0, 0.0, weight), np.where(first + 1 < have, 1 - weight, 0.0)]
    indices = np.maximum(first, 0), np.minimum(first + 1, have - 1)
    return list(zip(indices, weights, strict=True))


def corner_neighbours(have, want):
    """As of bilinear resizing that leaves corner pixels in the corners: [(index, weight)] * 2."""
    position = _corner_positions(have, want)
    first = np.minimum(position.astype(int), max(have - 2, 0))
    weight = 1 - (position - first)
    return [(first, weight), (np.minimum(first + 1, have - 1), 1 - weight)]


def _corner_positions(have, want):
    return np.arange(want) * ((have - 1) / max(want - 1, 1))


def bilinear_weights(have, want):
    """Bilinear resizing of a row as a matrix, float32 `[want, have]`; beyond the border is it."""
    weights = np.zeros((want, have), np.float32)
    for index, weight in _neighbours(have, want, "edge"):
        np.add.at(weights, (np.arange(want), index), weight)
    return weights
