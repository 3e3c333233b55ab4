"""How well anchors fit the objects of a data set, and which would fit better.

The fitness and the search by random changes follow the autoanchor of YOLO; here the anchors lie
where the network has them, level by level, so that a level too coarse for small ones counts.

Shape legend: N objects; R anchors at a place, of all ratios and scales; L levels, S scales of each.
Boxes are float `y1, x1, y2, x2` in the network's pixels.
"""

import dataclasses
import shlex

import numpy as np

from mrcnn.data.boxes import load_boxes
from mrcnn.data.checking.statistics import CANDIDATES, FITS, network_scale

TRAINS = 0.7  # IoU from which an anchor is trained as an object
GAIN = 0.01  # of the fitness, that other anchors must win
MORE_GAIN = 0.03  # the same, of more ratios, which need new weights
MORE_RATIOS = 5
_SAMPLE = 5000  # objects that the search looks at
_CHANGES = 400  # that the search tries


@dataclasses.dataclass(frozen=True)
class AnchorFit:
    """Anchors, and how well they fit.

    Attributes:
        scales: tuple, pixels, one for each level, or a tuple of some for each.
        ratios: tuple, width / height.
        recall: float, share of the objects that an anchor meets with an IoU of `FITS`.
        trained: float, with one of `TRAINS`.
        mean: float, the mean IoU with the best anchor.
        fitness: float, the same, below `FITS` counted as 0.
    """

    scales: tuple
    ratios: tuple
    recall: float
    trained: float
    mean: float
    fitness: float

    @classmethod
    def of(cls, boxes, scales, ratios, strides):
        """Measures anchors on boxes [N, 4]."""
        best = best_overlaps(boxes, scales, ratios, strides)
        counts = float((best >= FITS).mean()), float((best >= TRAINS).mean()), float(best.mean())
        scales = tuple(tuple(each) if np.ndim(each) else each for each in scales)
        return cls(scales, tuple(ratios), *counts, _fitness(best))

    @property
    def assignments(self):
        """The keys as the command line takes them."""
        if np.ndim(self.scales) > 1:
            levels = ",".join(f"[{_listed(level)}]" for level in self.scales)
            scales = shlex.quote(f"RPN_ANCHOR_SCALES=[{levels}]")  # a shell knows brackets too
        else:
            scales = f"RPN_ANCHOR_SCALES={_listed(self.scales)}"
        return f"{scales} RPN_ANCHOR_RATIOS={_listed(self.ratios)}"


def _listed(numbers):
    return ",".join(f"{x:g}" for x in numbers)


def object_boxes(dataset, settings, progress=None):
    """The boxes of all objects of a data set, in the network's pixels: float [N, 4].

    Args:
        dataset: a prepared `Dataset`.
        settings: `mrcnn.settings.Settings`.
        progress: function called after each picture, or None.

    Raises:
        ValueError: instances that training refuses too, or no object at all.
    """
    found = [np.zeros((0, 4))]
    for image_id in dataset.image_ids:
        boxes, class_ids, size = load_boxes(dataset, int(image_id))
        found.append(boxes[class_ids > 0] * network_scale(settings, *size))
        if progress:
            progress()
    boxes = np.concatenate(found)
    if not len(boxes):
        raise ValueError(f"expected objects, found none in {len(dataset.image_ids)} pictures")
    return boxes


def best_overlaps(boxes, scales, ratios, strides):
    """The IoU of each box with the best anchor of a pyramid without an end, float [N].

    Args:
        boxes: [N, 4].
        scales: of the anchors, one for each level, or a tuple of some for each.
        ratios: widths over heights.
        strides: pixels from one anchor to the next, one for each level.
    """
    sides, centers = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    roots, best = np.sqrt(np.asarray(ratios, float)), np.zeros(len(boxes))
    for scale, stride in zip(scales, strides, strict=True):
        aside = np.abs(centers - np.round(centers / stride) * stride)
        scale = np.atleast_1d(np.asarray(scale, float))[:, None]
        anchors = (scale / roots).ravel(), (scale * roots).ravel()  # heights, widths
        both = 1.0
        for axis in (0, 1):
            side, anchor = sides[:, axis, None], anchors[axis]
            shared = (side + anchor) / 2 - aside[:, axis, None]
            both = both * np.clip(np.minimum(shared, np.minimum(side, anchor)), 0, None)
        union = sides.prod(axis=1)[:, None] + np.repeat(scale**2, len(roots)) - both  # (N, R)
        best = np.maximum(best, (both / union).max(axis=1))
    return best


def _fitness(best):
    return float(np.where(best >= FITS, best, 0).mean())


def suggest_anchors(boxes, settings, count=None):
    """Looks for anchors that fit better, repeatably.

    Args:
        boxes: [N, 4], as of `object_boxes`.
        settings: `mrcnn.settings.Anchors`, of today's.
        count: int, how many ratios; by default as many as today: others need new weights.

    Returns:
        `AnchorFit` with as many scales a level as today's, which it is where others would win less
        than `GAIN`.
    """
    rng = np.random.default_rng(0)
    strides = np.array(settings.strides) * settings.anchor_stride
    today = AnchorFit.of(boxes, settings.scales, settings.ratios, strides)
    sample = boxes
    if len(boxes) > _SAMPLE:
        sample = boxes[rng.choice(len(boxes), _SAMPLE, replace=False)]
    shapes = [tuple(settings.ratios)]
    if count is not None and count != len(settings.ratios):
        aspects = (boxes[:, 3] - boxes[:, 1]) / np.maximum(boxes[:, 2] - boxes[:, 0], 1e-6)
        shapes = [tuple(np.quantile(aspects, np.linspace(0.05, 0.95, count)))]
    doubled = [_doubled(base, np.shape(settings.scales)) for base in CANDIDATES]
    starts = [
        AnchorFit.of(sample, scales, ratios, strides)
        for ratios in shapes
        for scales in [tuple(settings.scales), *doubled]
    ]
    simple = max(starts, key=lambda fit: fit.fitness)
    free = _search(sample, simple, strides, rng)
    chosen = free if free.fitness >= simple.fitness + GAIN else simple
    chosen = AnchorFit.of(boxes, chosen.scales, _in_order(chosen.ratios, settings.ratios), strides)
    return chosen if chosen.fitness >= today.fitness + GAIN else today


def _doubled(base, shape):
    """Scales of `shape`, [L] or [L, S]: twice as large from level to level, with even steps between
    them; of a single level each is twice the one before."""
    levels, each = shape[0], shape[1] if len(shape) > 1 else 1
    step = 2 if levels == 1 else 2 ** (1 / each)
    return np.reshape(base * step ** np.arange(levels * each), shape).tolist()


def _search(boxes, start, strides, rng):
    """The best of many random changes, each of the best before it."""
    best = start
    for _ in range(_CHANGES):
        scales, ratios = (
            np.array(values, float)
            * np.exp(rng.normal(0, 0.15, np.shape(values)) * (rng.random(np.shape(values)) < 0.5))
            for values in (best.scales, best.ratios)
        )
        large = np.maximum(np.round(scales).T, strides).T  # none falls between the places
        scales = np.sort(large, axis=None).reshape(large.shape)
        ratios = np.unique(np.round(ratios, 2))
        if len(ratios) == len(best.ratios) and ratios[0] > 0:
            found = AnchorFit.of(boxes, tuple(scales.tolist()), tuple(ratios.tolist()), strides)
            best = max(best, found, key=lambda fit: fit.fitness)
    return best


def _in_order(ratios, today):
    """Ratios in the direction of today's: weights know each by its place."""
    return tuple(sorted((round(x, 2) for x in ratios), reverse=today[0] > today[-1]))
