"""What surrounds a training step: freezing, callbacks, evaluation, batches, folders of runs."""

from mrcnn.training.callbacks import DataWait, History
from mrcnn.training.checkpoints import Checkpoint, EarlyStopping
from mrcnn.training.evaluation import EvaluateCallback
from mrcnn.training.freezing import LAYER_GROUPS, set_trainable
from mrcnn.training.loop import make_deterministic, to_tf_dataset

__all__ = [
    "LAYER_GROUPS",
    "Checkpoint",
    "DataWait",
    "EarlyStopping",
    "EvaluateCallback",
    "History",
    "make_deterministic",
    "set_trainable",
    "to_tf_dataset",
]
