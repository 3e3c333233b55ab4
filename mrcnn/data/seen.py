"""What the batches of a training have shown of its data."""

import threading

import numpy as np

MOST = 20_000  # boxes that are kept


class Seen:
    """Counts objects while batches are made; threads may add at once.

    Args:
        num_classes: int K.

    Attributes:
        counts: int [K], objects of each class.
        crowded: int, images with more objects than a batch takes.
        dropped: int, objects that were left out of these.
    """

    def __init__(self, num_classes):
        self.counts = np.zeros(num_classes, int)
        self.crowded = self.dropped = 0
        self._boxes, self._lock = [], threading.Lock()

    def add(self, class_ids, boxes, dropped):
        """Adds an image.

        Args:
            class_ids: int [N], negative for crowds.
            boxes: [N, 4], y1 x1 y2 x2 in the network's pixels.
            dropped: int, its objects that are left out.
        """
        objects = class_ids > 0
        with self._lock:
            self.counts += np.bincount(class_ids[objects], minlength=len(self.counts))
            self.crowded += dropped > 0
            self.dropped += dropped
            if len(self._boxes) < MOST:
                self._boxes.extend(np.asarray(boxes, float)[objects])

    @property
    def boxes(self):
        """float [N, 4] of the first objects."""
        with self._lock:
            return np.reshape(self._boxes, (-1, 4))
