"""The score of the 2018 Data Science Bowl, which is not COCO's AP, although it is often called AP.

Caicedo et al. 2019, "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl":
in each picture TP / (TP + FP + FN) of what was handed in, at the IoU thresholds 0.50, 0.55 .. 0.95;
the mean over thresholds, then over pictures. Where it differs from COCO's AP:

- scores do not order anything: each detection counts alike, and a false one costs as much as a
  missed object, however unsure it was;
- each picture counts alike, not each object, and what was found in one is not weighed in another;
- an IoU has to be above the threshold, not only to reach it;
- there is no curve: a model has one number for each score threshold.
"""

import numpy as np

from mrcnn.evaluate.pictures import match

THRESHOLDS = np.arange(50, 100, 5) / 100


def contest_score(pictures, score=0.0):
    """The contest's score.

    An object is found once: of two detections on it one is false. Classes have to agree. Crowds
    are not objects, and what lies on one of its class does not count. A picture without objects
    scores 1 if nothing is found there, else 0.

    Args:
        pictures: list of `mrcnn.evaluate.pictures.Picture`.
        score: float, least score of a detection that counts.

    Returns:
        dict: `score`, float in 0..1, nan without a picture; `by_threshold`, {0.5: ...};
        `by_image`, {image_id: ...}.
    """
    table = np.array([_picture_scores(each, score) for each in pictures]).reshape(-1, 10)  # (I, T)
    means = table.mean(axis=0) if len(table) else np.full(len(THRESHOLDS), np.nan)
    ids = (picture.image_id for picture in pictures)
    return {
        "score": float(means.mean()),
        "by_threshold": dict(zip(THRESHOLDS.tolist(), means.tolist(), strict=True)),
        "by_image": dict(zip(ids, table.mean(axis=1).tolist(), strict=True)),
    }


def _picture_scores(picture, score):
    """TP / (TP + FP + FN) at each threshold."""
    shown = picture.scores >= score
    overlaps, objects = picture.overlaps[shown], ~picture.crowds
    same = picture.classes[shown][:, None] == picture.gt_classes
    scores = []
    for threshold in THRESHOLDS:
        near = same & (overlaps > threshold)
        found = match(overlaps, near & objects) >= 0
        on_crowd = (near & picture.crowds).any(axis=1)
        false = np.count_nonzero(~found & ~on_crowd)
        everything = false + np.count_nonzero(objects)  # FP + (TP + FN)
        scores.append(np.count_nonzero(found) / everything if everything else 1.0)
    return scores
