"""For tests of the server: a detector whose results can be told by hand, and encoded pictures."""

import io
import threading

import numpy as np
from PIL import Image

from mrcnn.inference.detections import Detections

NAMES = ["BG", "cat", "dog"]


class FakeDetector:
    """Finds in each picture one cat, of the score (its first pixel) / 255, in rows 0 to 1 and
    columns 1 to 2; and a dog of 0.25, which is one pixel and no more.

    Pictures whose first pixel is 13 are refused as `detect` does it, 14 breaks the model.
    """

    class_names = NAMES

    def __init__(self):
        self.batches, self.open = [], threading.Event()
        self.open.set()

    def detect(self, images):
        assert self.open.wait(10)
        self.batches.append([int(image.flat[0]) for image in images])
        for i, image in enumerate(images):
            if image.flat[0] == 13:
                raise ValueError(f"images[{i}]: expected luck, received 13")
            if image.flat[0] == 14:
                raise MemoryError("of the device")
        return [self._found(image) for image in images]

    def _found(self, image):
        masks = np.zeros((*image.shape[:2], 2), bool)
        masks[0, 1:3, 0] = masks[1, 0, 1] = True
        boxes = np.array([[0, 1, 1, 2.5], [1, 0, 2, 1]], np.float32)
        found = {
            "rois": np.around(boxes).astype(np.int32),
            "boxes": boxes,
            "class_ids": np.array([1, 2], np.int32),
            "scores": np.array([image.flat[0] / 255, 0.25], np.float32),
            "masks": masks,
        }
        return Detections(found, image, NAMES)


def picture(value=255, size=(3, 4)):
    """uint8 [H, W, 3] of one value."""
    return np.full((*size, 3), value, np.uint8)


def encoded(value=255, size=(3, 4), kind="PNG", **options):
    """The bytes of a file of `picture`."""
    file = io.BytesIO()
    Image.fromarray(picture(value, size)).save(file, kind, **options)
    return file.getvalue()
