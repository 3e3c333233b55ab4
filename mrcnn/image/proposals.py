"""Proposals that are given: boxes where an object may be, moved as their image is.

Shape legend: H, W size in pixels; N proposals of an image. Boxes and regions are `y1, x1, y2, x2`
in pixels, half-open.
"""

import numpy as np

from mrcnn.image.resizing import resize_points


def checked_proposals(proposals, name):
    """The proposals of an image as float32 `[N, 4]`.

    Args:
        proposals: array or list `[N, 4]`; empty where there are none.
        name: str, what errors call the image.

    Raises:
        ValueError: they are no boxes; it says which of which image.
    """
    if proposals is None:
        raise ValueError(
            f"{name} has no proposals; expected boxes [N, 4] = y1 x1 y2 x2 in pixels of the image "
            "as given, np.zeros((0, 4)) where there are none"
        )
    boxes = np.asarray(proposals)
    if not boxes.size and boxes.dtype.kind in "fiub":
        return np.zeros((0, 4), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "fiu":
        raise ValueError(
            f"{name}: expected proposals [N, 4] = y1 x1 y2 x2, received {boxes.dtype} "
            f"{list(boxes.shape)}; scores are not part of them"
        )
    boxes = boxes.astype(np.float32)
    wrong = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] >= boxes[:, :2]).all(axis=1))
    if wrong.any():
        raise ValueError(
            f"{name}: expected proposals y1 x1 y2 x2 of pixels, received "
            f"{boxes[wrong][0].tolist()} at {int(wrong.argmax())}"
        )
    return boxes


def clip_proposals(boxes, region):
    """Proposals `[N, 4]` cut to a region of the image; those without area there are left out."""
    boxes = np.asarray(boxes, np.float32)
    low = boxes[:, :2].clip(region[:2], region[2:])
    high = boxes[:, 2:].clip(region[:2], region[2:])
    return np.concatenate([low, high], axis=1)[(high > low).all(axis=1)]


def crop_proposals(boxes, region):
    """Proposals `[N, 4]` of an image as those of a region of it, which is a picture of its own."""
    return clip_proposals(boxes, region) - np.float32([*region[:2], *region[:2]])


def to_corners(boxes):
    """Boxes `[N, 4]` as their four corners, float `[N, 4, 2]`, y x."""
    y1, x1, y2, x2 = np.asarray(boxes, float).T
    return np.stack([y1, x1, y1, x2, y2, x1, y2, x2], axis=1).reshape(-1, 4, 2)


def from_corners(corners, window):
    """Upright boxes around corners `[N, 4, 2]`, in the window: float32 `[n, 4]`, n <= N."""
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return clip_proposals(boxes, window)


def mold_proposals(boxes, shape, place, window):
    """Does to proposals what `resize_image` did to their image.

    Args:
        boxes: float `[N, 4]`.
        shape: (H, W, ...) of the image as it was given.
        place: scale, padding, crop, size: the arguments of `resize_points`.
        window: the picture in the resized image; what lies outside of it is cut off.

    Returns:
        float32 `[n, 4]` in pixels of the resized image, n <= N, in their order.
    """
    points = resize_points(np.asarray(boxes, float).reshape(-1, 2), shape[:2], *place)
    return clip_proposals(points.reshape(-1, 4), window)


def pad_proposals(boxes, count, dtype=np.float32):
    """The first `count` of boxes `[N, 4]`, filled up with zeros: `[count, 4]`."""
    padded = np.zeros((count, 4), dtype)
    kept = boxes[:count]
    padded[: len(kept)] = np.rint(kept) if np.issubdtype(dtype, np.integer) else kept
    return padded
