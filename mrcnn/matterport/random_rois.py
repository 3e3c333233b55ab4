"""`generate_random_rois`: ROIs to train the heads without an RPN.

What is drawn comes from NumPy's global state, as in matterport's library. Shapes: M ground truths.
"""

import numpy as np


def generate_random_rois(image_shape, count, gt_class_ids, gt_boxes):
    """Draws ROIs, nine of ten around the objects, to train the heads without an RPN.

    Args:
        image_shape: (H, W, ...) in pixels.
        count: int, ROIs.
        gt_class_ids: not used.
        gt_boxes: int [M, 4], pixels; each has its share, within one box size around it. Zeros,
            as padding, have none.

    Returns:
        int32 [count, 4], pixels, inside the image, no side below 1.
    """
    height, width = image_shape[:2]
    boxes = [box for box in np.asarray(gt_boxes, int) if box[2] > box[0] and box[3] > box[1]]
    share = int(0.9 * count / len(boxes)) if boxes else 0
    regions = []
    for y1, x1, y2, x2 in boxes:
        h, w = y2 - y1, x2 - x1
        around = (max(y1 - h, 0), max(x1 - w, 0), min(y2 + h, height), min(x2 + w, width))
        regions.append((around, share))
    regions.append(((0, 0, height, width), count - share * len(boxes)))
    rois = np.zeros((0, 4), np.int32)
    for (y1, x1, y2, x2), number in regions:
        y, x = (_intervals(*sides, number) for sides in ((y1, y2), (x1, x2)))
        rois = np.append(rois, np.stack([y[0], x[0], y[1], x[1]], axis=1), axis=0)
    return rois.astype(np.int32)


def _intervals(low, high, number):
    """Pairs of different whole numbers low <= a < b <= high, each as likely: int [2, number]."""
    a = np.random.randint(low, high + 1, number)
    b = np.random.randint(low, high, number)
    return np.sort([a, b + (b >= a)], axis=0)
