"""Which detections COCOeval matched, class by class, and scores of them for weighted pictures.

The match of a picture does not depend on other pictures, nor on detections of lower score: so one
run of the matching serves every score threshold and every sample of the pictures.

Shapes: I images, D detections of a class, T = 10 IoU thresholds 0.50, 0.55 .. 0.95, S samples.
"""

import dataclasses

import numpy as np

from mrcnn.evaluate.coco import prepare, scoring
from mrcnn.evaluate.keypoints import limit_of

RECALLS = np.linspace(0.0, 1.0, 101)  # at which COCO reads the precision


@dataclasses.dataclass(frozen=True)
class ClassMatches:
    """The detections of one class, best score first, equal scores in the order of the images.

    Attributes:
        images: int [D], position of the detection's image.
        scores: float [D].
        hits: bool [T, D], whether it is matched with an object, and counts.
        false: bool [T, D], whether it is not, and counts; neither is ignored, as on a crowd.
        objects: int [I], objects of the class that count.
    """

    images: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    false: np.ndarray
    objects: np.ndarray


def match_classes(ground_truth, results, iou_type, max_detections):
    """Matches all detections with ground truth of their class, objects of all sizes.

    Args:
        ground_truth, results, iou_type, max_detections: as in `mrcnn.evaluate.accumulate`.

    Returns:
        list of `ClassMatches` in the order of the category ids; image positions are those of the
        sorted image ids.
    """
    with scoring():
        evaluation = prepare(ground_truth, results, iou_type)
        params = evaluation.params
        params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
        params.maxDets = [limit_of(iou_type, max_detections)]
        evaluation.evaluate()
    count, thresholds = len(params.imgIds), len(params.iouThrs)
    return [
        _class_matches(evaluation.evalImgs[k * count : (k + 1) * count], thresholds)
        for k in range(len(params.catIds))
    ]


def _class_matches(pictures, thresholds):
    """Joins COCOeval's dicts of one class, one for each image, or None for an image without it."""
    scores, images = [np.zeros(0)], [np.zeros(0, int)]
    matched, ignored = ([np.zeros((thresholds, 0), bool)] for _ in range(2))
    objects = np.zeros(len(pictures), int)
    for i, found in enumerate(pictures):
        if found is None:
            continue
        scores.append(np.asarray(found["dtScores"], float))
        images.append(np.full(len(found["dtScores"]), i))
        matched.append(found["dtMatches"] > 0)
        ignored.append(found["dtIgnore"].astype(bool))
        objects[i] = np.count_nonzero(found["gtIgnore"] == 0)
    scores = np.concatenate(scores)
    order = np.argsort(-scores, kind="mergesort")
    matched, counted = np.hstack(matched)[:, order], ~np.hstack(ignored)[:, order]
    return ClassMatches(
        images=np.concatenate(images)[order],
        scores=scores[order],
        hits=matched & counted,
        false=~matched & counted,
        objects=objects,
    )


def weighted_scores(classes, weights):
    """COCO's means for each sample of the images, where an image may be drawn several times.

    Equal to COCOeval on a data set that holds an image as often as its weight says: of copies of a
    hit, the last has the best precision, and copies of a false detection add no recall. Only where
    a hit and a false detection of one image have the same score does COCOeval take their copies in
    turn; here copies of a detection stand together.

    Args:
        classes: list of `ClassMatches`.
        weights: int [S, I], how often a sample has an image.

    Returns:
        dict of `AP`, `AP50`, `AP75`, `AR`, each float [S]; nan for samples without an object.
    """
    precisions, recalls = zip(*(_weighted_class(each, weights) for each in classes), strict=True)
    precisions, recalls = np.stack(precisions), np.stack(recalls)  # (K, S, T)
    chosen = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}
    scores = {name: _mean(precisions[:, :, at]) for name, at in chosen.items()}
    return scores | {"AR": _mean(recalls)}


def _mean(values):
    """Mean over classes and thresholds of [K, S, T], without those that are nan."""
    real = ~np.isnan(values)
    count = real.sum(axis=(0, 2))
    total = np.where(real, values, 0).sum(axis=(0, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _weighted_class(matches, weights):
    """Average precision and last recall of one class, each float [S, T]; nan without an object."""
    objects = weights @ matches.objects  # (S,)
    there = np.flatnonzero(objects)
    precision = np.full((len(weights), len(matches.hits)), np.nan)
    recall = precision.copy()
    drawn = weights[there][:, matches.images]  # (S, D)
    for t, (hits, false) in enumerate(zip(matches.hits, matches.false, strict=True)):
        right = np.cumsum(drawn[:, hits], axis=1, dtype=np.int32)  # (S, h) at the hits alone
        wrong = np.cumsum(drawn * false, axis=1, dtype=np.int32)[:, hits]
        precision[there, t], recall[there, t] = _area(right, wrong, objects[there])
    return precision, recall


def _area(right, wrong, objects):
    """Mean of the precision envelope over COCO's 101 recalls, and the last recall, each [S].

    Args:
        right, wrong: int [S, h], hits and false detections up to and with each hit.
        objects: int [S], at least 1.
    """
    if not right.shape[1]:
        return np.zeros(len(right)), np.zeros(len(right))
    reached = right / objects[:, None]
    precision = right / np.maximum(right + wrong, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # How many of the recalls each hit is the first to reach.
    read = np.searchsorted(RECALLS, reached.ravel(), side="right").reshape(reached.shape)
    read = np.diff(read, axis=1, prepend=0)
    return (read * envelope).sum(axis=1) / len(RECALLS), reached[:, -1]
