"""Data sets and their ground truth; `DataGenerator` makes batches of them.

Only `DataGenerator` needs Keras, which is loaded when it is asked for.
"""

from mrcnn.data.dataset import Dataset, NotPreparedError
from mrcnn.data.ground_truth import load_image_gt

__all__ = ["DataGenerator", "Dataset", "NotPreparedError", "load_image_gt"]


def __getattr__(name):
    if name != "DataGenerator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mrcnn.data.generator import DataGenerator

    return DataGenerator
