"""How other libraries lay out an array: functions from theirs to ours.

O output and I input channels, K classes, R anchors at a location, P pooled bins a side.
"""

import numpy as np


def same(array):
    return array


def conv(kernel):
    """(O, I, h, w) -> (h, w, I, O), and (I, O, h, w) of a transposed convolution -> (h, w, O, I).

    Biases stay.
    """
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel


def conv_bgr(kernel):
    """As `conv`, of a network that takes BGR: on RGB its input channels are turned round."""
    return conv(kernel)[:, :, ::-1] if kernel.ndim == 4 else kernel


def depthwise(kernel):
    """(C, 1, h, w) -> (h, w, C, 1)."""
    return kernel.transpose(2, 3, 0, 1)


def hwio_bgr(kernel):
    """As `conv_bgr`, of a kernel that is (h, w, I, O) already."""
    return kernel[:, :, ::-1]


def dense(kernel):
    """(O, I) -> (I, O). Biases stay."""
    return kernel.T


def dense_as_conv(kernel):
    """(O, I) -> (1, 1, I, O). Biases stay."""
    return kernel.T[None, None] if kernel.ndim == 2 else kernel


def flat_as_conv(pool_size):
    """A fully connected layer on flattened (C, P, P): (O, C*P*P) -> (P, P, C, O)."""

    def layout(kernel):
        if kernel.ndim == 1:
            return kernel
        return kernel.reshape(len(kernel), -1, pool_size, pool_size).transpose(2, 3, 1, 0)

    return layout


def objectness(array):
    """One logit an anchor -> two, background's always 0: (R, I, 1, 1) -> (1, 1, I, 2R)."""
    both = np.stack([np.zeros_like(array), array], axis=1)  # (R, 2, ...)
    return conv(both.reshape(-1, *array.shape[1:]))


def deltas(array):
    """dx dy dw dh -> dy dx dh dw in groups of four outputs: conv, or dense for [4K, I]."""
    array = array.reshape(-1, 4, *array.shape[1:])[:, [1, 0, 3, 2]].reshape(array.shape)
    return conv(array) if array.ndim == 4 else dense(array)


def by_shape(layout, ratios, outputs=1):
    """As `layout`, of anchors in another order: all shapes of a scale in turn -> all scales of a
    shape. They are the first axis, each with some outputs."""

    def ordered(array):
        anchors = array.reshape(-1, ratios, outputs, *array.shape[1:])  # (scales, ratios, ...)
        return layout(anchors.swapaxes(0, 1).reshape(array.shape))

    return ordered


def background_first(array):
    """Classes (K, I) with background last -> (I, K) with background first. Biases (K,) too."""
    return dense(np.roll(array, 1, axis=0))


def class_deltas(array):
    """Deltas of the K - 1 objects -> of K classes, background's 0: ([K-1]*4, I) -> (I, 4K)."""
    array = np.pad(array, [(4, 0), *[(0, 0)] * (array.ndim - 1)])
    return deltas(array)


def class_masks(array):
    """Masks of the K - 1 objects -> of K classes: (K-1, I, 1, 1) -> (1, 1, I, K)."""
    return conv(np.pad(array, [(1, 0), *[(0, 0)] * (array.ndim - 1)]))
