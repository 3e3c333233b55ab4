"""From the logits of a semantic head to the caller's image, and the merge with instances; in NumPy.

A panoptic map is `segmentation`, int32 [H, W], the id of the segment of each pixel, 0 where none
is, and `segments`, a list of dicts of `id`, `class_id`, `is_thing`, `score`, `area` in pixels.

Shapes: h w of the logits, S classes, H W of the image, n instances.
"""

import numpy as np

from mrcnn.image.resampling import bilinear_weights
from mrcnn.ops.semantic import STRIDE


def most_likely(logits, image_shape, molded_shape, window):
    """The most likely class of each pixel of the image that was given.

    As detectron2: logits are enlarged to the molded image, cut to the window and resized,
    bilinearly both times; one class after the other, so memory holds a plane or two.

    Args:
        logits: float [h, w, S].
        image_shape: (H, W, ...) of the image that was given.
        molded_shape: (H, W, ...) of the molded image.
        window: y1 x1 y2 x2 in pixels, where the molded image holds the given one.

    Returns:
        classes: int32 [H, W], 0 to S - 1.
        scores: float32 [H, W], their probabilities.
    """
    rows, columns = (
        _weights(logits.shape[axis], molded_shape[axis], window[axis::2], image_shape[axis])
        for axis in (0, 1)
    )
    planes = np.ascontiguousarray(np.moveaxis(np.asarray(logits, np.float32), -1, 0))
    best = rows @ planes[0] @ columns.T
    classes, total = np.zeros(best.shape, np.int32), np.ones(best.shape, np.float32)
    for i, plane in enumerate(planes[1:], start=1):
        logit = rows @ plane @ columns.T
        # The sum of exp(logit - best), whose best changes on the way.
        difference = np.exp(-np.abs(logit - best))
        better = logit > best
        total = np.where(better, total * difference + 1, total + difference)
        classes[better] = i
        np.maximum(best, logit, out=best)
    return classes, 1 / total


def _weights(have, molded, window, want):
    """float32 [want, have]: a side of the image that was given, of that of the logits."""
    low, high = window
    enlarged = bilinear_weights(have, have * STRIDE)[:molded]
    return bilinear_weights(high - low, want) @ enlarged[low:high]


def semantic_map(classes, scores, thing_classes):
    """A panoptic map of one segment for each class, whose id is the class; 0 is background.

    Args:
        classes: int32 [H, W].
        scores: float32 [H, W].
        thing_classes: int, classes of things with the background.
    """
    segments = []
    for class_id in np.unique(classes[classes > 0]).tolist():
        there = classes == class_id
        thing = class_id < thing_classes
        segments.append(segment(class_id, class_id, thing, scores[there].mean(), there))
    return {"segmentation": classes, "segments": segments}


def merge(found, classes, scores, thing_classes, settings):
    """Instances and stuff as one panoptic map, after detectron2's
    `combine_semantic_and_instance_outputs`.

    Instances come first, best first; one of which the better ones cover too much is left out, of
    the others what is free is taken. Then come the classes of stuff, where they have room enough.

    Args:
        found: dict of `class_ids` [n], `scores` [n] and `masks` [H, W, n], best first.
        classes: int [H, W], 0 things, 1 the first class of stuff, ...
        scores: float [H, W], of `classes`.
        thing_classes: int, classes of things with the background.
        settings: `mrcnn.settings.Panoptic`.

    Returns:
        dict of `segmentation` and `segments`. The score of stuff is the mean probability of its
        pixels.
    """
    segmentation, segments = np.zeros(classes.shape, np.int32), []
    for i in np.argsort(-found["scores"], kind="stable"):
        score = found["scores"][i]
        if score < settings.min_confidence:
            break
        mask = found["masks"][:, :, i]
        free = mask & (segmentation == 0)
        area, seen = np.count_nonzero(mask), np.count_nonzero(free)
        if not seen or area - seen > settings.overlap * area:
            continue
        segments.append(segment(len(segments) + 1, found["class_ids"][i], True, score, free))
        segmentation[free] = segments[-1]["id"]
    for stuff in np.unique(classes[classes > 0]):
        free = (classes == stuff) & (segmentation == 0)
        if np.count_nonzero(free) < max(settings.stuff_area, 1):
            continue
        class_id, score = stuff + thing_classes - 1, scores[free].mean()
        segments.append(segment(len(segments) + 1, class_id, False, score, free))
        segmentation[free] = segments[-1]["id"]
    return {"segmentation": segmentation, "segments": segments}


def segment(number, class_id, is_thing, score, there):
    """A dict of the list `segments`; `there`: bool [H, W], its pixels."""
    return {
        "id": number,
        "class_id": int(class_id),
        "is_thing": is_thing,
        "score": float(score),
        "area": int(np.count_nonzero(there)),
    }
