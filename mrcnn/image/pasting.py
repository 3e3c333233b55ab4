"""Masks of boxes pasted into an image.

Shape legend: H, W size in pixels; N instances. A box is `y1, x1, y2, x2` in pixels, half-open: row
`y2` and column `x2` lie outside.
"""

import numpy as np

from mrcnn.image.resampling import bilinear


def expand_mask(bbox, mini_mask, image_shape):
    """Resizes mini-masks back to their boxes: the inverse of `minimize_mask`, up to rounding.

    Args:
        bbox: int array `[N, 4]`; boxes may reach beyond the image.
        mini_mask: array `[height, width, N]`: bool, integers that are 0 outside the object, or
            floats 0..1.
        image_shape: shape of the image, `(H, W, ...)`.

    Returns:
        bool array `[H, W, N]`.
    """
    # One plane an instance: writing touches the memory of its box only.
    planes = np.zeros((mini_mask.shape[-1], *image_shape[:2]), bool)
    for i, box in enumerate(bbox):
        patch = _soft(mini_mask[:, :, i])
        _paste(planes[i], box, lambda size, patch=patch: bilinear(patch, size) > 0.5)
    return np.moveaxis(planes, 0, -1)


def unmold_mask(mask, bbox, image_shape, threshold=0.5):
    """Resizes a predicted mask to its box in an image; touches nothing outside the box.

    Args:
        mask: array `[height, width]`: floats 0..1, bool, or integers that are 0 outside the object.
        bbox: four ints; the box may reach beyond the image.
        image_shape: shape of the image, `(H, W, ...)`.
        threshold: float, pixels of at least this value belong to the object.

    Returns:
        bool array `[H, W]`.
    """
    full_mask = np.zeros(image_shape[:2], bool)
    paste_mask(full_mask, _soft(mask), bbox, threshold)
    return full_mask


def paste_mask(canvas, mask, bbox, threshold=0.5):
    """As `unmold_mask`, a float mask into the bool array `canvas` `[H, W]`, in place."""
    _paste(canvas, bbox, lambda size: bilinear(mask, size) >= threshold)


def _soft(mask):
    """Floats as they are; of bool and integers, what is not 0 is the object."""
    mask = np.asarray(mask)
    return mask if mask.dtype.kind == "f" else mask.astype(bool, copy=False)


def _paste(canvas, box, draw):
    """Writes `draw((height, width))` of the box into `canvas` `[H, W]`, cut at its border."""
    y1, x1, y2, x2 = (int(v) for v in box[:4])
    top, left = max(y1, 0), max(x1, 0)
    bottom, right = min(y2, canvas.shape[0]), min(x2, canvas.shape[1])
    if top < bottom and left < right:
        patch = draw((y2 - y1, x2 - x1))
        canvas[top:bottom, left:right] = patch[top - y1 : bottom - y1, left - x1 : right - x1]


def paste_padded(canvas, mask, box, threshold=0.5):
    """Pastes a mask as torchvision: one pixel of zeros around it, then resized to whole pixels.

    Args:
        canvas: bool array `[H, W]`, written in place.
        mask: float array `[height, width]`, values 0..1.
        box: four floats.
        threshold: float, pixels above it belong to the object.
    """
    padded = np.pad(np.asarray(mask, np.float32), 1)
    grow = np.float32(padded.shape[0] / mask.shape[0])
    box = np.asarray(box, np.float32)
    center, half = (box[2:] + box[:2]) * np.float32(0.5), (box[2:] - box[:2]) * np.float32(0.5)
    low, high = np.trunc(center - half * grow), np.trunc(center + half * grow)
    size = np.maximum(high - low + 1, 1)  # the last pixel is inside

    def points(axis, pixels):
        inside = (pixels + 0.5 - low[axis]) * (padded.shape[axis] / size[axis]) - 0.5
        return np.clip(inside, 0, padded.shape[axis] - 1)

    region = [*low, *(low + size)]
    _paste_sampled(canvas, padded, region, points, lambda found: found > threshold)


def paste_sampled(canvas, mask, box, threshold=0.5):
    """Pastes a mask as detectron2: sampled at the pixels' centres, zero beyond its border.

    The arguments are those of `paste_padded`; pixels of at least `threshold` belong to the object.
    """
    box = np.asarray(box, np.float64)

    def points(axis, pixels):
        scale = mask.shape[axis] / (box[axis + 2] - box[axis])
        return (pixels + 0.5 - box[axis]) * scale - 0.5

    region = [*(np.floor(box[:2]) - 1), *(np.ceil(box[2:]) + 1)]
    _paste_sampled(canvas, mask, region, points, lambda found: found >= threshold)


def _paste_sampled(canvas, mask, region, points, decide):
    """Fills the region of a canvas by bilinear samples of a mask: rows, then columns.

    Args:
        canvas: bool array `[H, W]`, written in place.
        mask: float array `[height, width]`.
        region: y1 x1 y2 x2, whole numbers; what lies outside the canvas is left out.
        points: function `(axis, pixels)` to positions in the mask, in its pixels.
        decide: function of the samples to bool.
    """
    low = np.maximum(region[:2], 0).astype(int)
    high = np.minimum(region[2:], canvas.shape).astype(int)
    if (low >= high).any():
        return
    weights = []
    for axis in (0, 1):
        positions = points(axis, np.arange(low[axis], high[axis]))[:, None]
        distance = np.abs(positions - np.arange(mask.shape[axis]))
        weights.append(np.maximum(0, 1 - distance).astype(np.float32))
    found = weights[0] @ np.asarray(mask, np.float32) @ weights[1].T
    canvas[low[0] : high[0], low[1] : high[1]] = decide(found)


# How a mask comes into its image, by `Config.MASK_PASTE`: (canvas, mask, box) in place.
PASTERS = {"resize": paste_mask, "padded": paste_padded, "sampled": paste_sampled}
