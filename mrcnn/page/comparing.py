"""Two models on one picture: what both find, and what one of them does alone.

Shapes: n and m instances of the two.
"""

import numpy as np

from mrcnn.data.class_names import class_name
from mrcnn.image.boxes import compute_overlaps

MATCH = 0.5  # least IoU of two boxes that are one object
ALONE, BOTH = (1.0, 0.35, 0.1), (0.2, 0.6, 1.0)  # colors


def match(found, other):
    """Pairs of instances of one class, by their boxes, the best overlap first.

    Args:
        found, other: `Detections`; classes are the same that have the same name.

    Returns:
        list of (index in `found`, index in `other`, IoU); none is in two pairs.
    """
    overlaps = compute_overlaps(found["rois"], other["rois"])  # (n, m)
    names, others = _names(found), _names(other)
    same = np.equal.outer(np.array(names, object), np.array(others, object))
    overlaps = np.where(same.astype(bool), overlaps, 0) if overlaps.size else overlaps
    pairs = []
    while overlaps.size and overlaps.max() >= MATCH:
        i, j = np.unravel_index(overlaps.argmax(), overlaps.shape)
        pairs.append((int(i), int(j), float(overlaps[i, j])))
        overlaps[i], overlaps[:, j] = 0, 0
    return pairs


def colors(count, matched):
    """A color for each of `count` instances: what both have, and what is alone."""
    return [BOTH if i in matched else ALONE for i in range(count)]


def columns(names):
    """The columns of `rows`; `names` are what the two models are called."""
    return ["class", *(f"score of {name}" for name in names), "IoU"]


def rows(found, other, pairs):
    """A row of `columns` for each pair, then for what one of them finds alone."""
    names, others = _names(found), _names(other)
    table = [
        [names[i], _score(found, i), _score(other, j), round(overlap, 2)] for i, j, overlap in pairs
    ]
    first, second = ({pair[k] for pair in pairs} for k in (0, 1))
    table += [[names[i], _score(found, i), "", ""] for i in range(found.count) if i not in first]
    table += [[others[j], "", _score(other, j), ""] for j in range(other.count) if j not in second]
    return table


def summary(found, other, pairs, names):
    """str: how many both find, and each alone; `names` are what the models are called."""
    alone = [each.count - len(pairs) for each in (found, other)]
    return (
        f"**{len(pairs)} found by both** (blue; boxes of one class with an IoU of {MATCH} or "
        f"more), only by {names[0]}: {alone[0]}, only by {names[1]}: {alone[1]} (orange)."
    )


def _names(found):
    return [class_name(i, found.class_names) for i in found["class_ids"]]


def _score(found, index):
    return round(float(found["scores"][index]), 3)
