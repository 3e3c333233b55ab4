"""The callbacks of every training, in the order in which they log and read."""

import importlib.util

import keras

from mrcnn.training.callbacks import DataWait, EpochFacts, History
from mrcnn.training.checkpoints import BestCheckpoint, Checkpoint, EarlyStopping
from mrcnn.training.evaluation import EvaluateCallback
from mrcnn.training.notices import Notices
from mrcnn.training.results import Results


def callbacks_around(model, generator, val_dataset, custom, hosts):
    """What logs, writes weights and stops early, around the callbacks of the user.

    Args:
        model: the public model that is trained.
        generator: its `DataGenerator`.
        val_dataset: prepared `Dataset`, or None.
        custom: list of Keras callbacks.
        hosts: `mrcnn.parallel.Hosts` or `OneHost`; the first one writes.

    Returns:
        list of Keras callbacks.
    """
    settings = model.settings
    keys = settings.checkpoints
    heads = settings.keypoint_head.enabled, settings.mask_head.enabled
    kind = "keypoints" if heads[0] else "segm" if heads[1] else "bbox"
    monitor = model.monitor or f"val_{kind}_AP"
    callbacks = [
        DataWait(generator),  # before those that read the epoch's log
        EpochFacts(),
        Notices(generator, model.uses_anchors),
    ]
    if hosts.is_first:
        files = model.save_weights, model.checkpoint_path
        callbacks.append(Checkpoint(*files, keys.kept, model.runs))
    if hosts.is_first and all(map(importlib.util.find_spec, ("tensorflow", "tensorboard"))):
        board = keras.callbacks.TensorBoard(model.log_dir, write_graph=False)
        board.async_safe = True  # else Keras has the host wait for the log of every step
        callbacks.append(board)
    evaluates = any(isinstance(each, EvaluateCallback) for each in custom)
    if keys.patience is not None and not evaluates:
        callbacks.append(EvaluateCallback(model, val_dataset))
    callbacks += custom
    if hosts.is_first:
        callbacks.append(BestCheckpoint(model.save_weights, model.checkpoint_path, monitor))
    if keys.patience is not None:
        callbacks.append(EarlyStopping(monitor, keys.patience))
    # With what the callbacks above have logged.
    written = [Results(model.log_dir)] if hosts.is_first else []
    return [*callbacks, *written, History()]
