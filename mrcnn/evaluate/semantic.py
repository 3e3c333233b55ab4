"""Scores of the class of each pixel: accuracy, and mean intersection over union.

Shapes: H, W of the image, K classes.
"""

import numpy as np

from mrcnn.data.panoptic import class_labels, load_labels


def count_pixels(truth, found, num_classes):
    """How many pixels of each class were taken for which: int [K, K], rows the truth.

    Args:
        truth: int [H, W], classes; below 0 is void, which does not count.
        found: int [H, W], classes; below 0 counts as 0, background.
        num_classes: int K.
    """
    known = truth >= 0
    pairs = truth[known].astype(np.int64) * num_classes + np.maximum(found[known], 0)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_overlaps(counts):
    """IoU of each class, float [K]; nan of one that neither the truth has nor was found."""
    right = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    return np.where(union > 0, right / np.maximum(union, 1), np.nan)


class SemanticScores:
    """Scores of a model on a data set, image by image.

    Args:
        dataset: a prepared `Dataset`; of one without `load_panoptic` the instances are the truth.

    Attributes:
        counts: int [K, K], as `count_pixels`, of all images so far.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        self.counts = np.zeros((dataset.num_classes, dataset.num_classes), np.int64)

    def add(self, image_id, found):
        """Counts what was found in an image.

        Args:
            image_id: int, of the data set.
            found: dict with `segmentation` [H, W] and `segments`.
        """
        self.count(self.load(image_id, found["segmentation"].shape), found)

    def load(self, image_id, image_shape):
        """The truth of an image (H, W, ...), as `count` takes it."""
        return load_labels(self.dataset, image_id, image_shape)

    def count(self, truth, found):
        """As `add`, of a truth that `load` returned."""
        labels = class_labels(found["segmentation"], found["segments"])
        self.counts += count_pixels(truth, labels, self.dataset.num_classes)

    def per_class(self):
        """list of dicts of `id`, `name`, `IoU`, and `pixels`, the number of the truth's."""
        overlaps, pixels = class_overlaps(self.counts), self.counts.sum(axis=1)
        return [
            {"id": i, "name": name, "IoU": overlaps[i], "pixels": int(pixels[i])}
            for i, name in enumerate(self.dataset.class_names)
        ]

    def scores(self):
        """{"mIoU", "accuracy"}: the mean IoU of the classes that the truth has, and the share of
        pixels whose class is right; nan without a pixel.

        A class that the truth has not counts in neither, as of detectron2's `SemSegEvaluator`;
        mmseg's `IoUMetric` takes it for an IoU of 0 where a pixel was found to be of it.
        """
        overlaps, total = class_overlaps(self.counts), self.counts.sum()
        present = overlaps[self.counts.any(axis=1)]
        return {
            "mIoU": float(present.mean()) if len(present) else float("nan"),
            "accuracy": float(np.trace(self.counts) / total) if total else float("nan"),
        }
