"""Weights of the epochs of a training and the best of them, and when it stops early."""

import os
import re

import keras

from mrcnn.training.remote_runs import RunsHere


class Checkpoint(keras.callbacks.Callback):
    """Writes the weights after every epoch.

    Args:
        save: function of a path that writes the weights whole or not at all.
        path: str with a field `{epoch:04d}`, epochs counted from 1.
        kept: int, files of the last epochs that stay, or None: all. Files of later epochs than the
            one that ends are never touched.
        runs: `mrcnn.training.remote_runs.RunsHere` or `RemoteRuns`, that the files lie in.
    """

    def __init__(self, save, path, kept=None, runs=None):
        super().__init__()
        self.save, self.path, self.kept = save, path, kept
        self.runs = runs or RunsHere(os.path.dirname(path))

    def on_epoch_end(self, epoch, logs=None):
        self.save(self.path.format(epoch=epoch + 1))
        if self.kept is not None:
            self._remove(epoch + 1 - self.kept)

    def _remove(self, last):
        """Removes the files of epochs up to `last`."""
        folder, name = os.path.split(self.path)
        before, after = map(re.escape, re.split(r"\{epoch.*?\}", name))
        for file in self.runs.names(folder):
            match = re.fullmatch(rf"{before}(\d{{4,}}){after}", file)
            if match and int(match[1]) <= last:
                self.runs.remove(os.path.join(folder, file))


class BestCheckpoint(keras.callbacks.Callback):
    """Writes the weights of the epoch that scores best.

    Args:
        save, path: as of `Checkpoint`; the file is `best_path(path)`.
        monitor: the score of an epoch's log, such as `val_segm_AP`; an epoch without it is passed.

    Attributes:
        best: float, the best score so far.
    """

    def __init__(self, save, path, monitor):
        super().__init__()
        self.save, self.path, self.monitor, self.best = save, path, monitor, float("-inf")

    def on_epoch_end(self, epoch, logs=None):
        score = (logs or {}).get(self.monitor)
        if score is not None and score > self.best:
            self.best = float(score)
            self.save(best_path(self.path))

    def get_state(self):
        return {"best": self.best}

    def set_state(self, state):
        self.best = state["best"]


def best_path(path):
    """The file of the best weights beside those of each epoch, `path` with a field `epoch`."""
    return re.sub(r"\{epoch.*?\}", "best", path)


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's, of a score that an epoch without evaluation has not: such epochs do not count.

    Args:
        monitor: name of the score.
        patience: int, evaluations without a better score after which training ends.
    """

    def __init__(self, monitor, patience):
        super().__init__(monitor, mode="max", patience=patience)

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor in (logs or {}):
            super().on_epoch_end(epoch, logs)
