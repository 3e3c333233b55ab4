"""How sure a score is: bootstrap over pictures, of one evaluation and of the difference of two.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap": pictures are drawn with replacement,
as many as there are. The matches of a picture are made once, see `mrcnn.evaluate.matches`.
"""

import numpy as np

from mrcnn.evaluate.matches import weighted_scores

CHUNK = 2**23  # drawn detections of a class at once: bounds the memory


def resampled_scores(groups, image_count, n, seed):
    """COCO's means for n samples of the pictures, the same samples for each group.

    Args:
        groups: lists of `ClassMatches`, all of the same images.
        image_count: int I.
        n: int, samples.
        seed: int.

    Returns:
        For each group a dict as of `weighted_scores`, each float [n].
    """
    rng = np.random.default_rng(seed)
    largest = max((len(each.images) for group in groups for each in group), default=0)
    rows = max(1, CHUNK // max(largest, 1))
    parts = [[] for _ in groups]
    share = np.full(image_count, 1 / max(image_count, 1))
    for start in range(0, n, rows):
        size = min(rows, n - start)
        weights = np.zeros((size, 0), int)
        if image_count:
            weights = rng.multinomial(image_count, share, size)
        for part, classes in zip(parts, groups, strict=True):
            part.append(weighted_scores(classes, weights))
    return [
        {name: np.concatenate([each[name] for each in part]) for name in part[0]} for part in parts
    ]


def interval(values, level):
    """The middle `level` of values [n], as (low, high); nan is left out."""
    values = values[~np.isnan(values)]
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(differences):
    """Two-sided: how often samples [n] of a difference do not have its sign, at least 1 / (n + 1).

    Nan is left out; a difference of 0 speaks for both sides.
    """
    differences = differences[~np.isnan(differences)]
    against = min(np.sum(differences <= 0), np.sum(differences >= 0))
    return float(min(1.0, 2 * (against + 1) / (differences.size + 1)))
