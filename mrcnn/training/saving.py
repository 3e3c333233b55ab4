"""When the state of a training is saved: what `train(resume=True)` goes on from."""

import os
import time
from pathlib import Path

import keras
import numpy as np

from mrcnn.training.state import FILE, remembered, remind, restore_state, save_state

SECONDS = 60  # of work that an interrupted evaluation may lose


class StateSaver(keras.callbacks.Callback):
    """Keeps the state of a training on the disk, and its model right while an epoch ends.

    It is the first of the callbacks and sees the end of an epoch's steps before anything is
    evaluated; `EpochEnd`, the last, tells it when the others are done. The state is written when a
    training begins, every so many minutes, before an evaluation, at the end of an epoch, and when a
    signal ends the training. What `fit` calls after a step would have the host wait for it: here a
    step is known to be done when the next one begins.

    Where the optimizer averages the weights, all that happens between sees the averages, and so
    does whoever has the model in the end.

    Args:
        folder: of the file of the state.
        position: `mrcnn.training.state.Position` where the training begins; kept up to date.
        resumed: bool, whether the model's variables came from that file.
        interrupts: `mrcnn.training.interrupts.Interrupts`.
        settings: `mrcnn.settings.Checkpoints`.
        check: function without arguments that raises where nothing must be saved.
        writes: bool, False on all hosts but the first.
        saved: function without arguments, called when the state was written.

    Attributes:
        callbacks: list of all callbacks, whose memory is saved too.
    """

    def __init__(
        self, folder, position, resumed, interrupts, settings, check, writes=True, saved=None
    ):
        super().__init__()
        self.path, self.position, self.callbacks = os.path.join(folder, FILE), position, []
        self._writes, self._saved = writes, saved or (lambda: None)
        self.interval = float("inf") if settings.minutes is None else 60 * settings.minutes
        self.interrupts, self._resumed, self._check = interrupts, resumed, check
        self._averaged = self._left = False
        self._saved_at = time.monotonic()

    def on_train_begin(self, logs=None):
        if self._writes:
            for left in Path(self.path).parent.glob("*.unfinished"):  # by a process that was killed
                left.unlink()
        self.model.reset_metrics()  # of another training, whose loss may not have been finite
        if not self._resumed:
            self._save()

    def on_epoch_begin(self, epoch, logs=None):
        if self._resumed:
            remind(self.callbacks, self.position.callbacks)
            if self.position.step:
                restore_state(self.path, self.model, ("metrics",))
            self._resumed = False
        self._first_step, self._begun, self._left = self.position.step, -1, False

    def on_train_batch_begin(self, batch, logs=None):
        self.position.step, self._begun = self._first_step + batch, batch
        waiting = self.interrupts.received is not None
        if waiting or time.monotonic() - self._saved_at > self.interval:
            self._save()
        if waiting:
            self.interrupts.end()

    def on_test_begin(self, logs=None):
        self._leave_steps()

    def on_epoch_end(self, epoch, logs=None):
        self._leave_steps()

    def _leave_steps(self):
        """The steps of an epoch are done: from here on a signal may end the training at once."""
        if self._left:
            return
        self._left, self.position.step = True, self._first_step + self._begun + 1
        waiting = self.interrupts.received is not None
        if waiting or time.monotonic() - self._saved_at > SECONDS:
            self._save()
        if waiting:
            self.interrupts.end()
        self._swap(True)
        self.interrupts.held = False

    def finish_epoch(self, epoch):
        """All callbacks are done with the epoch."""
        self.interrupts.held = True
        position = self.position
        position.epoch, position.step = epoch + 1, 0
        position.finished = self.model.stop_training or epoch + 1 == self.params["epochs"]
        if not position.finished:
            self._swap(False)
        position.callbacks = remembered(self.callbacks)
        self._save()

    def _swap(self, wanted):
        if self.model.optimizer.use_ema and self._averaged != wanted:
            swap_averages(self.model)
            self._averaged = wanted

    def _save(self):
        if not self._writes:
            return
        self._check()
        save_state(self.path, self.model, self.position)
        self._saved()
        self._saved_at = time.monotonic()


class EpochEnd(keras.callbacks.Callback):
    """The last of the callbacks: tells a `StateSaver` that the others are done with an epoch."""

    def __init__(self, saver):
        super().__init__()
        self.saver = saver

    def on_epoch_end(self, epoch, logs=None):
        self.saver.finish_epoch(epoch)


def swap_averages(model):
    """Swaps the trainable weights of a model and the averages that its optimizer has of them.

    Keras's `SwapEMAWeights` adds and subtracts on TensorFlow, which changes the last bits.
    """
    averages = model.optimizer._model_variables_moving_average  # as Keras's own callback does
    for weight, average in zip(model.trainable_variables, averages, strict=True):
        value = np.array(keras.ops.convert_to_numpy(weight))
        weight.assign(average)
        average.assign(value)
