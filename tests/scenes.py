"""Pictures of squares and models that say what they are told, for tests of scores."""

import numpy as np

from mrcnn.data import Dataset

A, B = (0, 0, 10, 10), (10, 10, 20, 20)


def square(y1, x1, y2, x2, size=20):
    mask = np.zeros((size, size), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def detection(*found, size=20):
    """A result of `detect` from (box, class_id, score) whose masks fill their boxes."""
    masks = [square(*box, size=size) for box, _, _ in found]
    return {
        "rois": np.array([box for box, _, _ in found], np.int32).reshape(-1, 4),
        "class_ids": np.array([class_id for _, class_id, _ in found], np.int32),
        "scores": np.array([score for _, _, score in found], np.float32),
        "masks": np.stack(masks, -1) if masks else np.zeros((size, size, 0), bool),
    }


class Pictures(Dataset):
    """Cats and dogs; an image is a list of (box, class_id)."""

    def __init__(self, *images, size=20):
        super().__init__()
        self.images, self.size = images, size
        self.add_class("test", 1, "cat")
        self.add_class("test", 2, "dog")
        for number in range(len(images)):
            self.add_image("test", number, f"{number}.png")
        self.prepare()

    def load_image(self, image_id):
        return np.zeros((self.size, self.size, 3), np.uint8)

    def load_mask(self, image_id):
        found = detection(*((box, k, 1) for box, k in self.images[image_id]), size=self.size)
        return found["masks"], found["class_ids"]


class Oracle:
    """Detects what it was told, image after image."""

    def __init__(self, *detections):
        self.detections = iter(detections)

    def detect(self, images, verbose=0):
        return [next(self.detections) for _ in images]


# Five pictures of a cat detector, with scores that floats hold exactly. In order:
# - a cat found; a dog found as a cat;
# - a cat with 4 of its 10 rows found, IoU 0.4;
# - a dog missed, and a dog found where nothing is;
# - nothing;
# - a crowd of cats with a detection on it.
TRUTHS = ([(A, 1), (B, 2)], [(A, 1)], [(B, 2)], [], [(B, -1)])
FOUND = (
    [(A, 1, 0.875), (B, 1, 0.75)],
    [((0, 0, 4, 10), 1, 0.625)],
    [(A, 2, 0.5)],
    [],
    [((12, 12, 16, 16), 1, 0.9375)],
)
