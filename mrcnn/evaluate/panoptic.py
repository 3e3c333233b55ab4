"""Panoptic quality (Kirillov et al. 2019, arXiv:1801.00868) of a panoptic map.

Shapes: H, W of the image. A map is ids, int [H, W], and its segments: see `Dataset.load_panoptic`
for the truth, `mrcnn.inference.panoptic` for what was found.
"""

import contextlib
import dataclasses

import numpy as np

from mrcnn.data.image_loading import image_name
from mrcnn.data.panoptic import load_segments

MATCHED = 0.5  # IoU above which two segments match; above a half no segment has two matches


@dataclasses.dataclass(frozen=True)
class Matches:
    """What became of the segments of an image.

    Attributes:
        matched: list of (class id, IoU), of segments that were found.
        missed: list of class ids, of segments of the truth that were not.
        false: list of class ids, of found segments that are none.
    """

    matched: list
    missed: list
    false: list


def match_segments(truth, found):
    """Compares the segments of an image: one is found where IoU with one of its class is over 0.5.

    Pixels without a segment in the truth are no part of what was found there. Crowds are neither
    missed nor matched; a found segment of which more than half lies where the truth has nothing, or
    a crowd of its class, is not false.

    Args:
        truth: (ids int [H, W], list of dicts of `id`, `class_id` and perhaps `is_crowd`).
        found: the same.

    Returns:
        `Matches`.
    """
    ids, found_ids, shared = _shared_pixels(truth[0], found[0])
    classes = {each["id"]: each["class_id"] for each in truth[1]}
    found_classes = {each["id"]: each["class_id"] for each in found[1]}
    crowds = {each["id"] for each in truth[1] if each.get("is_crowd")}
    areas, found_areas = shared.sum(axis=1), shared.sum(axis=0)
    nothing = np.array([i not in classes for i in ids])
    matched, missed, taken = [], [], set()
    for row, i in enumerate(ids):
        if i not in classes or i in crowds:
            continue
        same = [column for column, j in enumerate(found_ids) if found_classes.get(j) == classes[i]]
        void = shared[nothing][:, same].sum(axis=0)
        overlaps = shared[row, same] / (areas[row] + found_areas[same] - void - shared[row, same])
        best = int(np.argmax(overlaps)) if same else None
        if best is not None and overlaps[best] > MATCHED:
            matched.append((classes[i], float(overlaps[best])))
            taken.add(found_ids[same[best]])
        else:
            missed.append(classes[i])
    false = []
    for column, j in enumerate(found_ids):
        if j not in found_classes or j in taken:
            continue
        ignored = nothing | [i in crowds and classes[i] == found_classes[j] for i in ids]
        if shared[ignored, column].sum() <= MATCHED * found_areas[column]:
            false.append(found_classes[j])
    return Matches(matched, missed, false)


def _shared_pixels(ids, found_ids):
    """The ids of both maps, lists, and how many pixels each pair shares, int [., .]."""
    values, places = np.unique(ids, return_inverse=True)
    found, found_places = np.unique(found_ids, return_inverse=True)
    pairs = places.ravel() * len(found) + found_places.ravel()
    counts = np.bincount(pairs, minlength=len(values) * len(found))
    return values.tolist(), found.tolist(), counts.reshape(len(values), len(found))


class PanopticScores:
    """Panoptic quality of a model on a data set, image by image.

    Args:
        dataset: a prepared `Dataset` with `load_panoptic`.

    Raises:
        ValueError: the first image has no segments.

    Example:

    >>> scores = PanopticScores(dataset)
    >>> for image_id in dataset.image_ids:
    ...     scores.add(image_id, model.detect([dataset.load_image(image_id)])[0])
    >>> scores.scores()["PQ"]
    """

    def __init__(self, dataset):
        with contextlib.suppress(OSError, RuntimeError):  # whoever adds that image says so
            if len(dataset.image_ids) and not _has_segments(dataset, dataset.image_ids[0]):
                raise _without_segments(dataset, dataset.image_ids[0])
        self.dataset = dataset
        self.overlap = np.zeros(dataset.num_classes)  # sum of IoU
        self.matched, self.missed, self.false = np.zeros((3, dataset.num_classes), int)

    def add(self, image_id, found):
        """Counts what was found in an image.

        Args:
            image_id: int, of the data set.
            found: dict with `segmentation` [H, W] and `segments`.

        Raises:
            ValueError: the data set has no segments of the image, or they cannot be used.
        """
        self.count(self.load(image_id, found["segmentation"].shape), found)

    def load(self, image_id, image_shape):
        """The truth of an image (H, W, ...), as `count` takes it; errors as of `add`."""
        truth = load_segments(self.dataset, image_id, image_shape)
        if truth is None:
            raise _without_segments(self.dataset, image_id)
        return truth

    def count(self, truth, found):
        """As `add`, of a truth that `load` returned."""
        matches = match_segments(truth, (found["segmentation"], found["segments"]))
        for class_id, overlap in matches.matched:
            self.overlap[class_id] += overlap
            self.matched[class_id] += 1
        np.add.at(self.missed, matches.missed, 1)
        np.add.at(self.false, matches.false, 1)

    def per_class(self):
        """Scores of each class but the background.

        Returns:
            list of dicts: `id`, `name`, `PQ`, `SQ`, the mean IoU of matches (0 without one), `RQ`,
            an F1, floats from 0 to 1, nan of a class that neither the truth nor the model has; and
            the counts `matched`, `missed` and `false`.
        """
        with np.errstate(invalid="ignore"):
            all_of = self.matched + 0.5 * self.missed + 0.5 * self.false
            quality, recognition = self.overlap / all_of, self.matched / all_of
            segmentation = np.where(all_of > 0, self.overlap / np.maximum(self.matched, 1), np.nan)
        return [
            {
                **{"id": i, "name": self.dataset.class_names[i]},
                **{"PQ": quality[i], "SQ": segmentation[i], "RQ": recognition[i]},
                **{"matched": int(self.matched[i]), "missed": int(self.missed[i])},
                "false": int(self.false[i]),
            }
            for i in range(1, self.dataset.num_classes)
        ]

    def scores(self):
        """Means over classes: {"PQ", "SQ", "RQ", "PQ_things", ..., "RQ_stuff"}, from 0 to 1; nan
        where there is no class to take them of."""
        things = self.dataset.num_classes - self.dataset.num_stuff_classes
        rows = self.per_class()
        groups = {"": rows, "_things": rows[: things - 1], "_stuff": rows[things - 1 :]}
        found = {}
        for suffix, group in groups.items():
            for name in ("PQ", "SQ", "RQ"):
                values = [row[name] for row in group if not np.isnan(row[name])]
                found[name + suffix] = float(np.mean(values)) if values else float("nan")
        return found


def _has_segments(dataset, image_id):
    try:
        return dataset.load_panoptic(image_id) is not None
    except ValueError:
        return True  # that cannot be read


def _without_segments(dataset, image_id):
    return ValueError(
        f"{image_name(dataset, image_id)}: expected segments to compare with, and load_panoptic() "
        "returned None. Override it, or load a panoptic format: of COCO's folder "
        "format='coco_panoptic' (--format coco_panoptic)"
    )


def evaluate_panoptic(model, dataset, image_ids=None):
    """Panoptic quality of a model on images of a data set: `PanopticScores`, all added.

    Args:
        model: `PanopticFPN`, or what has a `detect` with the same keys.
        dataset: a prepared `Dataset` with `load_panoptic`.
        image_ids: which of its images; all by default.
    """
    scores = PanopticScores(dataset)
    for image_id in dataset.image_ids if image_ids is None else image_ids:
        scores.add(image_id, model.detect([dataset.load_image(image_id)])[0])
    return scores
