"""Label maps: a class for each pixel, int `[H, W]`, of which `VOID` is none.

Shape legend: H, W size in pixels; N values.
"""

import numpy as np

from mrcnn.image.masks import no_masks, source_pixels

VOID = -1  # a pixel that nothing is known of: no loss and no score counts it


def resize_labels(labels, scale, padding, crop=None, size=None):
    """Does to a label map what `mrcnn.image.masks.resize_mask` does to masks; padding is `VOID`.

    Args:
        labels: int array `[H, W]`.
        scale, padding, crop, size: as of `resize_mask`.

    Returns:
        New array `[h, w]` of the same dtype.
    """
    rows, cols, (top, bottom), (left, right) = source_pixels(
        labels.shape, scale, padding, crop, size
    )
    seen = labels.take(rows, axis=0).take(cols, axis=1)
    return np.pad(seen, [(top, bottom), (left, right)], constant_values=VOID)


def pad_labels(labels, sides):
    """Pads a label map at the bottom and right to `sides` with `VOID`."""
    pads = [(0, side - have) for side, have in zip(sides, labels.shape, strict=True)]
    return np.pad(labels, pads, constant_values=VOID)


def labels_to_masks(labels):
    """A mask for each value but `VOID`, for what moves masks alone.

    Returns:
        bool `[H, W, N]`, and the values, int `[N]`.
    """
    values = np.unique(labels)
    values = values[values != VOID]
    masks = no_masks(labels.shape, len(values))
    for i, value in enumerate(values):
        np.equal(labels, value, out=masks[:, :, i])
    return masks, values


def masks_to_labels(masks, values):
    """Inverts `labels_to_masks`: `VOID` where no mask is, the first where several are."""
    labels = np.full(masks.shape[:2], VOID, values.dtype)
    for i in reversed(range(len(values))):
        labels[masks[:, :, i]] = values[i]
    return labels
