"""Instance masks in NumPy: resizing, boxes of masks, mini-masks.

Shape legend: H, W size in pixels; N instances. Masks are `[H, W, N]`, one channel an instance. A
box is `y1, x1, y2, x2` in pixels, half-open: row `y2` and column `x2` lie outside.
"""

import numpy as np

from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.image.resampling import bilinear, nearest
from mrcnn.image.resizing import scaled_size


def resize_mask(mask, scale, padding, crop=None, size=None):
    """Does to masks what `resize_image` did to their image, with nearest neighbours.

    A pixel takes the value under its centre, so that masks and image stay aligned.

    Args:
        mask: array `[H, W, N]`; `N` may be 0.
        scale, padding, crop: as `resize_image` returned them.
        size: height and width of the scaled image, where `scale` does not tell them exactly.

    Returns:
        New array of the resized image's height and width, `[h, w, N]`, of the mask's dtype.
    """
    height, width, count = mask.shape
    new_height, new_width = size or scaled_size(height, width, scale)
    y, x, h, w = crop or (0, 0, new_height, new_width)
    (top, bottom), (left, right), _ = np.broadcast_to(padding, (3, 2)).tolist()
    # The padding takes the pixels at the border and is emptied afterwards, so that masks are copied
    # once. One plane an instance: faster to write than pixel by pixel, and to read for the boxes.
    rows = np.pad(nearest(height, new_height)[y : y + h], (top, bottom), "edge")
    cols = np.pad(nearest(width, new_width)[x : x + w], (left, right), "edge")
    planes = np.empty((count, len(rows), len(cols)), mask.dtype)
    for i, plane in enumerate(planes):
        np.take(mask[:, :, i].take(cols, axis=1), rows, axis=0, out=plane, mode="clip")
    planes[:, :top], planes[:, top + h :] = 0, 0
    planes[:, :, :left], planes[:, :, left + w :] = 0, 0
    return np.moveaxis(planes, 0, -1)


def extract_bboxes(mask):
    """Computes the tight box of each mask.

    Args:
        mask: bool array `[H, W, N]`, or `CroppedMasks`.

    Returns:
        int32 array `[N, 4]`; zeros for a mask without a pixel.

    Example:

    >>> extract_bboxes(np.ones((2, 3, 1), bool))
    array([[0, 0, 2, 3]], dtype=int32)
    """
    if isinstance(mask, CroppedMasks):
        return mask.boxes
    height, width, count = mask.shape
    if not mask.size:
        return np.zeros((count, 4), np.int32)
    rows, cols = mask.any(axis=1), mask.any(axis=0)  # (H, N), (W, N)
    y1, x1 = rows.argmax(axis=0), cols.argmax(axis=0)
    y2, x2 = height - rows[::-1].argmax(axis=0), width - cols[::-1].argmax(axis=0)
    boxes = np.stack([y1, x1, y2, x2], axis=1)
    boxes[~rows.any(axis=0)] = 0
    return boxes.astype(np.int32)


def minimize_mask(bbox, mask, mini_shape):
    """Cuts each mask to its box and resizes it to `mini_shape`, which saves memory.

    Args:
        bbox: int array `[N, 4]`.
        mask: array `[H, W, N]`, bool or numbers that are 0 outside the object.
        mini_shape: `(height, width)` of the small masks.

    Returns:
        bool array `[height, width, N]`.

    Raises:
        ValueError: if a box has no area.
    """
    mini_mask = np.zeros((*mini_shape, mask.shape[-1]), bool)
    for i, box in enumerate(bbox):
        y1, x1, y2, x2 = (int(v) for v in box[:4])
        patch = mask[y1:y2, x1:x2, i].astype(bool, copy=False)
        if not patch.size:
            raise ValueError(
                f"Expected a box with an area, received {[y1, x1, y2, x2]} for instance {i}. "
                "Drop instances with an empty mask first."
            )
        mini_mask[:, :, i] = bilinear(patch, mini_shape) > 0.5
    return mini_mask
