"""What surrounds a training step: freezing, callbacks, evaluation, batches, folders of runs."""

from mrcnn.training.callbacks import DataWait, EpochFacts, History
from mrcnn.training.checkpoints import Checkpoint, EarlyStopping
from mrcnn.training.evaluation import EvaluateCallback
from mrcnn.training.freezing import LAYER_GROUPS, set_trainable
from mrcnn.training.loop import make_deterministic, to_tf_dataset
from mrcnn.training.results import Results, read_results
from mrcnn.training.trackers import MLflowLogger, WandbLogger

__all__ = [
    "LAYER_GROUPS",
    "Checkpoint",
    "DataWait",
    "EarlyStopping",
    "EpochFacts",
    "EvaluateCallback",
    "History",
    "MLflowLogger",
    "Results",
    "WandbLogger",
    "make_deterministic",
    "read_results",
    "set_trainable",
    "to_tf_dataset",
]
