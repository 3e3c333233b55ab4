"""From the masks of MaX-DeepLab and their classes to a panoptic map, in NumPy.

Shapes: h w of the logits, N masks, K classes, H W of the image, n instances.
"""

import numpy as np

from mrcnn.image.masks import extract_bboxes
from mrcnn.image.resampling import corner_neighbours, nearest_corners
from mrcnn.inference.panoptic import segment

_BLOCK = 32  # rows that are resized at a time


def masks_to_segments(mask_logits, class_logits, place, thing_classes, settings):
    """The panoptic map of an image, pixel by pixel the mask that fits best (arXiv:2012.00759,
    section 3.1), after deeplab2's post-processing.

    Masks whose class is uncertain are left out, with the pixels that fit them best, and pixels that
    fit none of the others well; then segments that are too small. It is done in the molded image,
    whose map is resized by the nearest pixel.

    Args:
        mask_logits: float [h, w, N].
        class_logits: float [N, K]; the last class is none.
        place: (image_shape, molded_shape, window): (H, W, ...) of the image as given, and molded,
            and y1 x1 y2 x2 in pixels where the molded image holds the given one.
        thing_classes: int, classes of things with the background.
        settings: `mrcnn.settings.Panoptic`.

    Returns:
        dict: `segmentation` and `segments` as of `mrcnn.inference.panoptic`, and of the things,
        best first, `rois` int32 [n, 4], `boxes` float32 [n, 4], `class_ids`, `scores`, and `masks`
        bool [H, W, n]. Scores are the probabilities of classes.
    """
    image_shape, _, window = place
    classes, scores = _classes(class_logits)
    slots = _best_masks(mask_logits, scores >= settings.min_confidence, place, settings)
    slots = _large_enough(slots, classes, thing_classes, settings)
    rows, columns = (
        nearest_corners(window[axis + 2] - window[axis], image_shape[axis]) for axis in (0, 1)
    )
    return _as_result(slots[rows][:, columns], classes, scores, thing_classes)


def _classes(logits):
    """The class of each mask, 1 to K - 1, and its probability."""
    logits = np.asarray(logits, np.float64)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares = (shares / shares.sum(axis=-1, keepdims=True))[:, :-1]
    return shares.argmax(axis=-1).astype(np.int32) + 1, shares.max(axis=-1).astype(np.float32)


def _best_masks(logits, kept, place, settings):
    """The mask of each pixel of the window, int32, -1 where there is none."""
    _, molded_shape, window = place
    sides = window[2] - window[0], window[3] - window[1]
    best = np.full(sides, -1, np.int32)
    if not kept.any():
        return best
    logits, numbers = np.asarray(logits, np.float32), np.flatnonzero(kept)
    rows, columns = (
        [(i[part], w[part].astype(np.float32)) for i, w in corner_neighbours(have, want)]
        for have, want, part in (
            (logits.shape[0], molded_shape[0], slice(window[0], window[2])),
            (logits.shape[1], molded_shape[1], slice(window[1], window[3])),
        )
    )
    for top in range(0, sides[0], _BLOCK):
        block = slice(top, top + _BLOCK)
        lines = sum(logits[index[block]] * weight[block, None, None] for index, weight in rows)
        values = sum(lines[:, index] * weight[:, None] for index, weight in columns)
        of_kept = values[..., numbers]
        highest = of_kept.max(axis=-1)
        share = 1 / np.exp(of_kept - highest[..., None]).sum(axis=-1)
        sure = (share > settings.pixel_confidence) & (highest >= values.max(axis=-1))
        best[block] = np.where(sure, numbers[of_kept.argmax(axis=-1)], -1)
    return best


def _large_enough(slots, classes, thing_classes, settings):
    """The masks of pixels without things, and classes of stuff, that are too small."""
    is_thing = classes < thing_classes
    of_mask = np.bincount(slots[slots >= 0], minlength=len(classes))
    of_class = np.bincount(classes, weights=of_mask)
    size = np.where(is_thing, of_mask, of_class[classes])
    fits = size >= np.where(is_thing, settings.thing_area, settings.stuff_area)
    return np.where(np.append(fits, False)[slots], slots, -1)  # the last is that of -1


def _as_result(slots, classes, scores, thing_classes):
    """Masks of pixels -> segments: things, best first, then classes of stuff."""
    present = np.unique(slots[slots >= 0])
    of_things = classes[present] < thing_classes
    things = present[of_things]
    things = things[np.argsort(-scores[things], kind="stable")]
    segmentation, segments = np.zeros(slots.shape, np.int32), []
    masks = slots[..., None] == things
    for i, slot in enumerate(things.tolist()):
        segments.append(segment(i + 1, classes[slot], True, scores[slot], masks[..., i]))
        segmentation[masks[..., i]] = i + 1
    for class_id in np.unique(classes[present[~of_things]]).tolist():
        parts = present[classes[present] == class_id]
        there = np.isin(slots, parts)
        number = len(segments) + 1
        segments.append(segment(number, class_id, False, scores[parts].max(), there))
        segmentation[there] = number
    boxes = extract_bboxes(masks)
    return {
        "segmentation": segmentation,
        "segments": segments,
        "rois": boxes,
        "boxes": boxes.astype(np.float32),
        "class_ids": classes[things],
        "scores": scores[things],
        "masks": masks,
    }
