"""The first convolution of a network for pictures of another channel count.

Shape legend: h, w size of the kernel; C input channels; O output channels.
"""

import numpy as np


def first_kernel(weights, channels):
    """The name of the kernel that the image meets first; None of another kind of network.

    Args:
        weights: dict of a model's weights by `layer/variable`, in the order from its input on.
        channels: int, of the image.
    """
    for name, weight in weights.items():
        if name.endswith("/kernel"):
            return name if len(weight.shape) == 4 and weight.shape[2] == channels else None
    return None


def differs_in_channels(shape, wanted):
    """Whether a kernel has the wanted shape but for its input channels."""
    return len(shape) == 4 and (*shape[:2], shape[3]) == (*wanted[:2], wanted[3])


def adapt_channels(kernel, count):
    """A first convolution for `count` channels, whose answer to equal channels stays the same.

    The kernels of all channels sum up to what they did, so that a picture whose channels are alike
    gives the same features as before, and the BatchNorm behind meets the range that it knows.

    - To more channels: the first ones keep their kernels, a new one gets the mean of them, and all
      are scaled by their count before over that after. No new channel starts at zero: it counts
      from the first step on, also where the first convolution is frozen.
    - To fewer, but three or more: what the channels that go answered to is shared by the others.
    - To one or two, or from one or two: each gets the same part of the sum. To one it is the sum: a
      grey picture gives exactly what it gave repeated into three, if MEAN_PIXEL and STD_PIXEL are
      the same for the three.

    Ross Wightman's timm repeats the kernels in turn with the same scale (`adapt_input_conv`): there
    the fourth channel, depth or infrared, would be a second red.

    Args:
        kernel: float [h, w, C, O], of channels in the order of the picture.
        count: int, of the channels wanted.

    Returns:
        float32 [h, w, count, O].
    """
    kernel = np.asarray(kernel, np.float32)
    before = kernel.shape[2]
    mean = kernel.mean(axis=2, keepdims=True)
    if min(before, count) < 3:
        return np.repeat(mean * (before / count), count, axis=2)
    if count < before:
        lost = kernel[:, :, count:].sum(axis=2, keepdims=True)
        return kernel[:, :, :count] + lost / count
    more = np.repeat(mean, count - before, axis=2)
    return np.concatenate([kernel, more], axis=2) * np.float32(before / count)
