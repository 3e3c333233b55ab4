"""Why a box became a detection, or did not: non-maximum suppression that keeps its reasons.

What decides is in the graph, `mrcnn.ops.non_max_suppression` and `mrcnn.ops.soft_nms`; here the
same rule is gone through once more in NumPy, to look at. Tests hold the two equal.

Shapes: L boxes that compete, S of them that are selected.
"""

import dataclasses
import enum

import numpy as np

from mrcnn.image.boxes import compute_overlaps
from mrcnn.ops import soft_nms


class Fate(enum.IntEnum):
    """What became of a box."""

    DETECTED = 0
    OVERLAPPED = 1  # a better box of its rivals overlaps it too much
    LOWERED = 2  # Soft-NMS lowered its score below the least
    SURPLUS = 3  # as many detections as there may be were better
    UNSURE = 4  # its score was below the least from the start
    BACKGROUND = 5  # padding, outside the picture, or of an ROI that is background


@dataclasses.dataclass(frozen=True)
class Suppression:
    """What became of each box of `suppress`.

    Attributes:
        fates: int [L], of `Fate`.
        rivals: int [L], index of the better box that overlaps it too much, or lowered its score
            most; -1: none.
        overlaps: float [L], IoU with that one; 0 without.
        scores: float [L], at the end: those that Soft-NMS lowered, others as they were.
        kept: int [S], the detections, best first.
    """

    fates: np.ndarray
    rivals: np.ndarray
    overlaps: np.ndarray
    scores: np.ndarray
    kept: np.ndarray


def suppress(boxes, scores, class_ids, settings):
    """Goes through the suppression of detections, and keeps the reasons.

    Args:
        boxes: float [L, 4].
        scores: float [L]; -inf of what takes no part.
        class_ids: int [L]; boxes of one class are rivals, with `class_agnostic_nms` all are.
        settings: `mrcnn.settings.Detections`.

    Returns:
        `Suppression`.

    Example:

    >>> suppress(boxes, scores, class_ids, model.settings.detections).kept  # doctest: +SKIP
    array([4, 1])
    """
    scores = np.asarray(scores, float)
    state = _State(np.asarray(boxes, float), scores, np.asarray(class_ids), settings)
    state.fates[scores == -np.inf] = Fate.BACKGROUND
    state.fates[(scores > -np.inf) & (scores < state.least)] = Fate.UNSURE
    kept = []
    waiting = _take_part(scores, state.least, settings)
    while waiting.size and len(kept) < settings.max_instances:
        best = int(waiting[np.argmax(state.scores[waiting])])
        kept.append(best)
        state.fates[best] = Fate.DETECTED
        waiting = state.lower(best, waiting[waiting != best])
    return Suppression(state.fates, state.rivals, state.overlaps, state.scores, np.array(kept, int))


def _take_part(scores, least, settings):
    """Indices of the boxes that compete, in order; of Soft-NMS there is a limit to them."""
    count = len(scores)
    if settings.nms != "hard":
        count = max(soft_nms.CANDIDATES, soft_nms.CANDIDATES_PER_BOX * settings.max_instances)
    best = np.argsort(-scores, kind="stable")[:count]
    return np.sort(best[scores[best] >= least])


class _State:
    """What is known of each box while the suppression runs; attributes as of `Suppression`."""

    def __init__(self, boxes, scores, class_ids, settings):
        self.boxes, self.scores, self.class_ids = boxes, scores.copy(), class_ids
        self.settings = settings
        soft = settings.nms != "hard"
        self.least = max(settings.min_confidence or 0.0, soft_nms.MIN_SCORE if soft else 0.0)
        self.fates = np.full(len(boxes), Fate.SURPLUS)
        self.rivals = np.full(len(boxes), -1)
        self.overlaps, self.factors = np.zeros(len(boxes)), np.ones(len(boxes))

    def lower(self, best, waiting):
        """Takes away what the box `best` suppresses of those that wait, and returns the others."""
        settings = self.settings
        ious = compute_overlaps(self.boxes[waiting], self.boxes[[best]])[:, 0]
        if not settings.class_agnostic_nms:
            ious = np.where(self.class_ids[waiting] == self.class_ids[best], ious, 0.0)
        if settings.nms == "hard":
            gone = ious > settings.nms_threshold
            self._blame(waiting[gone], best, ious[gone])
            self.fates[waiting[gone]] = Fate.OVERLAPPED
            return waiting[~gone]
        limits = settings.nms, settings.nms_threshold, settings.nms_sigma
        factors = np.asarray(soft_nms.decay(ious.astype(np.float32), *limits), float)
        most = factors < self.factors[waiting]
        self._blame(waiting[most], best, ious[most])
        self.factors[waiting] = np.minimum(self.factors[waiting], factors)
        self.scores[waiting] *= factors
        gone = self.scores[waiting] < self.least
        self.fates[waiting[gone]] = Fate.LOWERED
        return waiting[~gone]

    def _blame(self, indices, rival, ious):
        self.rivals[indices], self.overlaps[indices] = rival, ious
