"""Instance masks in NumPy: resizing, boxes of masks, mini-masks.

Shape legend: H, W size in pixels; N instances. Masks are `[H, W, N]`, one channel an instance. A
box is `y1, x1, y2, x2` in pixels, half-open: row `y2` and column `x2` lie outside.
"""

import numpy as np

from mrcnn.image.resampling import bilinear, nearest
from mrcnn.image.sizes import scaled_size


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
    count = mask.shape[2]
    rows, cols, (top, bottom), (left, right) = source_pixels(mask.shape, scale, padding, crop, size)
    resized = no_masks((top + len(rows) + bottom, left + len(cols) + right), count, mask.dtype)
    for i, (y1, x1, y2, x2) in enumerate(extract_bboxes(mask)):
        # What lies outside of its box is 0 already.
        (r1, r2), (c1, c2) = np.searchsorted(rows, (y1, y2)), np.searchsorted(cols, (x1, x2))
        if r1 == r2 or c1 == c2:
            continue
        # Of codes: drawn now, one at a time.
        patch = mask[y1:y2, x1:x2, i].take(cols[c1:c2] - x1, axis=1)
        place = slice(top + r1, top + r2), slice(left + c1, left + c2)
        resized[(*place, i)] = patch.take(rows[r1:r2] - y1, axis=0)
    return resized


def to_bool(masks):
    """Masks of numbers as bool.

    Args:
        masks: array of bool, or of 0 and one other value: 0 and 255, as picture files have it, are
            as clear as 0 and 1; labels of instances are not.

    Raises:
        ValueError: there are more values.
    """
    masks = np.asarray(masks)
    if masks.dtype == bool:
        return masks
    if masks.dtype.kind not in "iuf" or not ((masks == 0) | (masks == masks.max(initial=0))).all():
        raise ValueError(
            f"expected masks of bool, or of 0 and one other value, received {masks.dtype} with "
            "more values. Compare them, for example mask > 0."
        )
    return masks.astype(bool)


def no_masks(size, count, dtype=bool):
    """Empty masks `[*size, count]`, one plane an instance: faster to read and write one by one."""
    return np.moveaxis(np.zeros((count, *size), dtype), 0, -1)


def resize_boxes(boxes, shape, scale, padding, crop=None, size=None):
    """Does to boxes what `resize_mask` does to masks that fill them.

    Args:
        boxes: int array `[N, 4]`.
        shape: `(H, W)` of the image that they lie in.
        scale, padding, crop, size: as of `resize_mask`.

    Returns:
        int32 array `[N, 4]`; zeros for a box of which no pixel is left.
    """
    rows, cols, (top, _), (left, _) = source_pixels(shape, scale, padding, crop, size)
    y1, x1, y2, x2 = np.asarray(boxes, int).reshape(-1, 4).T
    sides = [np.searchsorted(rows, y1) + top, np.searchsorted(cols, x1) + left]
    sides += [np.searchsorted(rows, y2) + top, np.searchsorted(cols, x2) + left]
    resized = np.stack(sides, axis=1).astype(np.int32)
    resized[(resized[:, :2] >= resized[:, 2:]).any(axis=1)] = 0
    return resized


def source_pixels(shape, scale, padding, crop, size):
    """The row and the column that each of the resized ones shows, and the padding of both."""
    height, width = shape[:2]
    new_height, new_width = size or scaled_size(height, width, scale)
    y, x, h, w = crop or (0, 0, new_height, new_width)
    vertical, horizontal, _ = np.broadcast_to(padding, (3, 2)).tolist()
    return (
        nearest(height, new_height)[y : y + h],
        nearest(width, new_width)[x : x + w],
        vertical,
        horizontal,
    )


def fill_boxes(boxes, shape):
    """Masks that fill their boxes: int `[N, 4]` -> bool `[H, W, N]`."""
    masks = no_masks(shape[:2], len(boxes))
    for i, (y1, x1, y2, x2) in enumerate(boxes):
        masks[y1:y2, x1:x2, i] = True
    return masks


def extract_bboxes(mask):
    """Computes the tight box of each mask.

    Args:
        mask: bool array `[H, W, N]`, or what keeps its `boxes`, such as `CroppedMasks`.

    Returns:
        int32 array `[N, 4]`; zeros for a mask without a pixel.

    Example:

    >>> extract_bboxes(np.ones((2, 3, 1), bool))
    array([[0, 0, 2, 3]], dtype=int32)
    """
    if hasattr(mask, "boxes"):
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
