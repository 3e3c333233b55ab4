"""A model without weights, which finds the white pixels of a picture: for tests of what runs it."""

import os
import signal
import time

import numpy as np

from mrcnn.config import Config
from mrcnn.settings import Settings


class WhiteModel:
    """One instance of class 1 where a picture has white pixels; its score is their share."""

    class_names = ("BG", "white")
    finds_instances = True

    def __init__(self, **keys):
        config = Config()
        for key, value in {"IMAGES_PER_GPU": 2, **keys}.items():
            setattr(config, key, value)
        self.settings = Settings.from_config(config)
        self.batches = []

    def detect(self, images, **options):
        from mrcnn.inference import Detections

        self.batches.append(len(images))
        return [Detections(_white(x), x, list(self.class_names)) for x in images]


def _white(image):
    mask = (image > 250).all(axis=-1)
    rows, columns = np.nonzero(mask)
    found = [[rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]] if len(rows) else []
    return {
        "rois": np.array(found, np.int32).reshape(-1, 4),
        "class_ids": np.ones(len(found), np.int32),
        "scores": np.full(len(found), mask.mean(), np.float32),
        "masks": np.repeat(mask[:, :, None], len(found), axis=2),
    }


class DeadlyModel(WhiteModel):
    """Kills its process at a picture that is all white."""

    def detect(self, images, **options):
        if any((image > 250).all() for image in images):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(images)


class SlowModel(WhiteModel):
    """Takes a while for each picture, so that there is time to kill it."""

    def detect(self, images, **options):
        time.sleep(0.05 * len(images))
        return super().detect(images)
