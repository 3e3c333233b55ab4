"""From the network's detections to the caller's image, in NumPy.

Shapes: D detections padded with zeros, n of them real, h w of a mask, S bins a side of a heat map,
J keypoints, H W of the image.
"""

import numpy as np

from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.image.heatmaps import find_peaks
from mrcnn.image.pasting import PASTERS


def unmold_detections(
    detections,
    masks,
    original_image_shape,
    image_shape,
    window,
    mask_paste="resize",
    box_offset=1,
    cropped=False,
    heatmaps=None,
    keypoint_scores="probabilities",
):
    """Maps the detections of one molded image back to the image that was given.

    Args:
        detections: float [D, 6] = y1 x1 y2 x2 (normalised), class id, score; class 0 pads.
        masks: float [D, h, w], probabilities of each detection's own class, over its box; or None.
        original_image_shape: (H, W, ...) of the image that was given.
        image_shape: (H, W, ...) of the molded image.
        window: y1 x1 y2 x2 in pixels, where the molded image holds the given one.
        mask_paste: key of `mrcnn.image.pasting.PASTERS`.
        box_offset: how the boxes are normalised, see `mrcnn.ops.boxes`.
        cropped: bool, whether `masks` are `CroppedMasks`, for images in which masks of their size
            are too much.
        heatmaps: float [D, S, S, J], logits of the keypoints over each box; or None.
        keypoint_scores: "probabilities" or "logits", see `mrcnn.image.heatmaps.find_peaks`.

    Returns:
        dict: `rois` int32 [n, 4], `boxes` float32 [n, 4], `class_ids` int32 [n], `scores` float32
        [n] and, if given, `masks` bool [H, W, n] and `keypoints` float32 [n, J, 3] = y x (pixels),
        score. Detections whose box has no area are left out: the rounded box where masks are
        resized to it.
    """
    height, width = original_image_shape[:2]
    molded = np.asarray(image_shape[:2], float)
    detections = np.asarray(detections)
    real = detections[:, 4] > 0
    boxes = detections[real, :4]
    boxes = unmold_boxes(boxes, original_image_shape, image_shape, window, box_offset)
    rois = np.around(boxes).astype(np.int32)

    to_rois = mask_paste == "resize"
    sides = rois if to_rois else boxes
    seen = (sides[:, 2] > sides[:, 0]) & (sides[:, 3] > sides[:, 1])
    boxes, rois, detections = boxes[seen], rois[seen], detections[real][seen]
    result = {
        "rois": rois,
        "boxes": boxes.astype(np.float32),
        "class_ids": detections[:, 4].astype(np.int32),
        "scores": detections[:, 5].astype(np.float32),
    }
    if masks is not None:
        masks, places = np.asarray(masks)[real][seen], rois if to_rois else boxes
        if cropped:
            planes = _pasted_in_turn(masks, places, (height, width), mask_paste)
            result["masks"] = CroppedMasks.of(planes, height, width)
        else:
            result["masks"] = _pasted(masks, places, (height, width), mask_paste)
    if heatmaps is not None:
        # The search is as fine as the image that the network saw.
        sides = (detections[:, 2:4] - detections[:, :2]) * (molded - box_offset) + box_offset
        keypoints = find_peaks(np.asarray(heatmaps)[real][seen], sides, keypoint_scores)
        low, high = boxes[:, None, :2], boxes[:, None, 2:]
        keypoints[..., :2] = low + keypoints[..., :2] * (high - low)
        result["keypoints"] = keypoints
    return result


def unmold_boxes(boxes, original_image_shape, image_shape, window, box_offset=1):
    """Maps boxes of a molded image back to the image that was given.

    Args:
        boxes: float [N, 4], normalised.
        original_image_shape, image_shape, window, box_offset: as of `unmold_detections`.

    Returns:
        float [N, 4] in pixels, not rounded.
    """
    height, width = original_image_shape[:2]
    low, high = np.asarray(window[:2], float), np.asarray(window[2:], float)
    molded = np.asarray(image_shape[:2], float)
    # With offset 1 the corner pixels lie at 0 and 1, in the window as in the molded image.
    low, high = low / (molded - box_offset), (high - box_offset) / (molded - box_offset)
    shift, scale = np.tile(low, 2), np.tile(high - low, 2)
    boxes = (np.asarray(boxes) - shift) / np.maximum(scale, 1e-12)
    boxes = boxes * np.tile([height - box_offset, width - box_offset], 2)
    return boxes + np.array([0, 0, box_offset, box_offset])


def _pasted(masks, boxes, size, mask_paste):
    """The masks in the image, bool [H, W, n]."""
    # One plane an instance: writing, and reading masks[:, :, i], touch neighbouring memory.
    planes = np.zeros((len(boxes), *size), bool)
    for plane, mask, box in zip(planes, masks, boxes, strict=True):
        PASTERS[mask_paste](plane, mask, box)
    return np.moveaxis(planes, 0, -1)


def _pasted_in_turn(masks, boxes, size, mask_paste):
    """Yields each mask in the image, bool [H, W], in the same memory."""
    plane = np.zeros(size, bool)
    for mask, box in zip(masks, boxes, strict=True):
        PASTERS[mask_paste](plane, mask, box)
        yield plane
        plane[:] = False
