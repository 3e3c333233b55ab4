"""From the network's detections to the caller's image, in NumPy.

Shapes: D detections padded with zeros, n of them real, h w of a mask, H W of the image.
"""

import numpy as np

from mrcnn.masks import paste_mask


def unmold_detections(detections, masks, original_image_shape, image_shape, window):
    """Maps the detections of one molded image back to the image that was given.

    Args:
        detections: float [D, 6] = y1 x1 y2 x2 (normalised), class id, score; class 0 pads.
        masks: float [D, h, w], probabilities of each detection's own class, over its box.
        original_image_shape: (H, W, ...) of the image that was given.
        image_shape: (H, W, ...) of the molded image.
        window: y1 x1 y2 x2 in pixels, where the molded image holds the given one.

    Returns:
        dict: `rois` int32 [n, 4], `boxes` float32 [n, 4], `class_ids` int32 [n], `scores` float32
        [n], `masks` bool [H, W, n]. Detections whose rounded box has no area are left out.
    """
    height, width = original_image_shape[:2]
    low, high = np.asarray(window[:2], float), np.asarray(window[2:], float)
    molded = np.asarray(image_shape[:2], float)
    # Normalised boxes put the corner pixels at 0 and 1, in the window as in the molded image.
    low, high = low / (molded - 1), (high - 1) / (molded - 1)
    shift, scale = np.tile(low, 2), np.tile(high - low, 2)

    detections = np.asarray(detections)
    real = detections[:, 4] > 0
    detections, masks = detections[real], np.asarray(masks)[real]
    boxes = (detections[:, :4] - shift) / np.maximum(scale, 1e-12)
    boxes = boxes * [height - 1, width - 1, height - 1, width - 1] + [0, 0, 1, 1]
    rois = np.around(boxes).astype(np.int32)

    seen = (rois[:, 2] > rois[:, 0]) & (rois[:, 3] > rois[:, 1])
    boxes, rois, detections, masks = boxes[seen], rois[seen], detections[seen], masks[seen]
    # One plane an instance: writing, and reading masks[:, :, i], touch neighbouring memory only.
    planes = np.zeros((len(rois), height, width), bool)
    for plane, mask, roi in zip(planes, masks, rois, strict=True):
        paste_mask(plane, mask, roi)
    return {
        "rois": rois,
        "boxes": boxes.astype(np.float32),
        "class_ids": detections[:, 4].astype(np.int32),
        "scores": detections[:, 5].astype(np.float32),
        "masks": np.moveaxis(planes, 0, -1),
    }
