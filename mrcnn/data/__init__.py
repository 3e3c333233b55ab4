"""Data sets and their ground truth: `load` reads annotations, `DataGenerator` makes batches.

What needs Keras or pycocotools is loaded when it is asked for.
"""

import importlib

from mrcnn.data.dataset import Dataset, NotPreparedError
from mrcnn.data.ground_truth import load_image_gt
from mrcnn.data.keypoints import KeypointScheme
from mrcnn.data.pixel_values import pixel_statistics
from mrcnn.data.proposals import Proposals, read_proposals

__all__ = [
    "DataGenerator",
    "Dataset",
    "KeypointScheme",
    "NotPreparedError",
    "Proposals",
    "convert",
    "load",
    "load_image_gt",
    "pixel_statistics",
    "read_proposals",
]

_LATE = {
    "DataGenerator": "mrcnn.data.generator",
    "convert": "mrcnn.data.converting",
    "load": "mrcnn.data.loading",
}


def __getattr__(name):
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name]), name)
