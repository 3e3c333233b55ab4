"""Instance masks in NumPy: resizing, boxes of masks, mini-masks, pasting into an image.

Shape legend: H, W size in pixels; N instances. Masks are `[H, W, N]`, one channel an instance. A
box is `y1, x1, y2, x2` in pixels, half-open: row `y2` and column `x2` lie outside.
"""

import numpy as np

from mrcnn.image import resize, scaled_size


def resize_mask(mask, scale, padding, crop=None):
    """Does to masks what `resize_image` did to their image, with nearest neighbours.

    A pixel takes the value under its centre, so that masks and image stay aligned.

    Args:
        mask: array `[H, W, N]`; `N` may be 0.
        scale, padding, crop: as `resize_image` returned them.

    Returns:
        New array of the resized image's height and width, `[h, w, N]`, of the mask's dtype.
    """
    height, width = mask.shape[:2]
    new_height, new_width = scaled_size(height, width, scale)
    y, x, h, w = crop or (0, 0, new_height, new_width)
    rows = (2 * np.arange(y, y + h) + 1) * height // (2 * new_height)
    cols = (2 * np.arange(x, x + w) + 1) * width // (2 * new_width)
    mask = mask[rows[:, None], cols]
    return np.pad(mask, padding) if np.any(padding) else mask


def extract_bboxes(mask):
    """Computes the tight box of each mask.

    Args:
        mask: bool array `[H, W, N]`.

    Returns:
        int32 array `[N, 4]`; zeros for a mask without a pixel.

    Example:

    >>> extract_bboxes(np.ones((2, 3, 1), bool))
    array([[0, 0, 2, 3]], dtype=int32)
    """
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
        mask: bool array `[H, W, N]`.
        mini_shape: `(height, width)` of the small masks.

    Returns:
        bool array `[height, width, N]`.

    Raises:
        ValueError: if a box has no area.
    """
    mini_mask = np.zeros((*mini_shape, mask.shape[-1]), bool)
    for i, (y1, x1, y2, x2) in enumerate(bbox):
        patch = mask[y1:y2, x1:x2, i].astype(float)
        if not patch.size:
            raise ValueError(
                f"Expected a box with an area, received {[y1, x1, y2, x2]} for instance {i}. "
                "Drop instances with an empty mask first."
            )
        mini_mask[:, :, i] = np.around(resize(patch, mini_shape))
    return mini_mask


def expand_mask(bbox, mini_mask, image_shape):
    """Resizes mini-masks back to their boxes: the inverse of `minimize_mask`, up to rounding.

    Args:
        bbox: int array `[N, 4]`; boxes may reach beyond the image.
        mini_mask: array `[height, width, N]`.
        image_shape: shape of the image, `(H, W, ...)`.

    Returns:
        bool array `[H, W, N]`.
    """
    masks = np.zeros((*image_shape[:2], mini_mask.shape[-1]), bool)
    for i, box in enumerate(bbox):
        patch = mini_mask[:, :, i].astype(float)
        _paste(masks[:, :, i], box, lambda size, patch=patch: np.around(resize(patch, size)))
    return masks


def unmold_mask(mask, bbox, image_shape, threshold=0.5):
    """Resizes a predicted mask to its box in an image; touches nothing outside the box.

    Args:
        mask: float array `[height, width]`, values 0..1.
        bbox: four ints; the box may reach beyond the image.
        image_shape: shape of the image, `(H, W, ...)`.
        threshold: float, pixels of at least this value belong to the object.

    Returns:
        bool array `[H, W]`.
    """
    full_mask = np.zeros(image_shape[:2], bool)
    paste_mask(full_mask, mask, bbox, threshold)
    return full_mask


def paste_mask(canvas, mask, bbox, threshold=0.5):
    """As `unmold_mask`, into the bool array `canvas` `[H, W]`, in place."""
    _paste(canvas, bbox, lambda size: resize(mask, size) >= threshold)


def _paste(canvas, box, draw):
    """Writes `draw((height, width))` of the box into `canvas` `[H, W]`, cut at its border."""
    y1, x1, y2, x2 = (int(v) for v in box[:4])
    top, left = max(y1, 0), max(x1, 0)
    bottom, right = min(y2, canvas.shape[0]), min(x2, canvas.shape[1])
    if top < bottom and left < right:
        patch = draw((y2 - y1, x2 - x1))
        canvas[top:bottom, left:right] = patch[top - y1 : bottom - y1, left - x1 : right - x1]
