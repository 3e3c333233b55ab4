"""Instance masks in NumPy: resizing, boxes of masks, mini-masks, pasting into an image.

Shape legend: H, W size in pixels; N instances. Masks are `[H, W, N]`, one channel an instance. A
box is `y1, x1, y2, x2` in pixels, half-open: row `y2` and column `x2` lie outside.
"""

import numpy as np

from mrcnn.image import scaled_size
from mrcnn.resample import bilinear, nearest


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
    # once. One plane an instance: 8 masks of 1024 x 1024 take 4 ms, pixel by pixel 30, and their
    # boxes 1 ms in place of 16.
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


def mold_mask(mask, config):
    """Brings the masks of a resized image into the form that the network takes.

    Args:
        mask: array `[H, W, N]`, bool or numbers that are 0 outside the object.
        config: `Config`; `USE_MINI_MASK` and `MINI_MASK_SHAPE` decide.

    Returns:
        bool array `[H, W, N]`, or `[mh, mw, N]` mini-masks over the masks' own boxes.

    Raises:
        ValueError: if a mask without a pixel should become a mini-mask.
    """
    mask = np.asarray(mask).astype(bool, copy=False)
    if not config.USE_MINI_MASK:
        return mask
    return minimize_mask(extract_bboxes(mask), mask, config.MINI_MASK_SHAPE)


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
