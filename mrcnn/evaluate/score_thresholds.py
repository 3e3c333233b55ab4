"""What a score threshold does: precision, recall and F1 over it, the best one, counting errors.

A detection counts if its score is at least the threshold, as of `DETECTION_MIN_CONFIDENCE`. All
here is at one IoU threshold; K classes, I images.
"""

import numpy as np

KEY = "DETECTION_MIN_CONFIDENCE"  # of `Config`: one number for all classes


def best_threshold(classes, t):
    """The score threshold of the best F1 of classes taken together.

    F1 is 2 TP / (2 TP + FP + FN). Candidates are the scores of the detections; of equal ones the
    highest threshold is taken.

    Args:
        classes: list of `ClassMatches`; one, or several whose detections and objects are pooled.
        t: int, position of the IoU threshold.

    Returns:
        dict: `score`, `f1`, `precision`, `recall`; all nan if there is nothing to find, and
        `score` nan with `f1` 0.0 if nothing is found.
    """
    objects = sum(int(each.objects.sum()) for each in classes)
    scores, right, wrong = _pooled(classes, t)
    if not objects or not right.any():
        return {"score": np.nan, **dict.fromkeys(("f1", "precision", "recall"), _none(objects))}
    right, wrong = np.cumsum(right), np.cumsum(wrong)
    f1 = 2 * right / (right + wrong + objects)  # TP + FN are the objects
    # Detections of equal score are taken or left together.
    last = np.append(scores[1:] != scores[:-1], True)
    best = np.argmax(np.where(last, f1, -1))
    return {
        "score": float(scores[best]),
        "f1": float(f1[best]),
        "precision": float(right[best] / (right[best] + wrong[best])),
        "recall": float(right[best] / objects),
    }


def _none(objects):
    return 0.0 if objects else np.nan


def _pooled(classes, t):
    """Scores, hits and false detections of several classes, best score first."""
    scores = np.concatenate([each.scores for each in classes])
    order = np.argsort(-scores, kind="stable")
    return (
        scores[order],
        np.concatenate([each.hits[t] for each in classes])[order],
        np.concatenate([each.false[t] for each in classes])[order],
    )


def score_curves(classes, t, scores):
    """Precision, recall and F1 at each score threshold.

    Args:
        classes: list of `ClassMatches` whose detections and objects are pooled.
        t: int, position of the IoU threshold.
        scores: float [n], thresholds.

    Returns:
        dict of float [n]: `precision`, nan where nothing is found; `recall` and `f1`, nan where
        there is nothing to find.
    """
    objects = sum(int(each.objects.sum()) for each in classes)
    found, right, wrong = _pooled(classes, t)
    count = np.searchsorted(-found, -np.asarray(scores), side="right")  # scores >= the threshold
    right, wrong = (np.append(0, np.cumsum(each))[count] for each in (right, wrong))
    with np.errstate(invalid="ignore", divide="ignore"):
        nothing = np.nan if not objects else 1.0
        return {
            "precision": right / (right + wrong),
            "recall": nothing * right / max(objects, 1),
            "f1": nothing * 2 * right / (right + wrong + max(objects, 1)),
        }


def count_errors(classes, t, score):
    """How far the number of detections of a picture is from that of its objects.

    Crowds and what is found on them do not count.

    Args:
        classes: list of `ClassMatches`.
        t: int, position of the IoU threshold at which a detection lies on a crowd.
        score: float, score threshold.

    Returns:
        dict: `mean_error` (found - objects: above 0 if there are too many), `mae` and `rmse`, of
        the numbers of an image; `objects` and `found`, int [I].
    """
    images = len(classes[0].objects) if classes else 0
    objects = sum((each.objects for each in classes), np.zeros(images, int))
    found = np.zeros(images, int)
    for each in classes:
        counted = (each.hits[t] | each.false[t]) & (each.scores >= score)
        found += np.bincount(each.images[counted], minlength=images)
    error = found - objects
    if not images:
        error = np.array([np.nan])
    return {
        "mean_error": float(error.mean()),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2.0).mean())),
        "objects": objects,
        "found": found,
    }
