"""How far a training is: a bar on a terminal, plain lines in a file and where no terminal is."""

import re
import sys
import time

import keras

from mrcnn.progress import duration

# What a line has room for.
_SCORE = re.compile(r"loss|val_loss|.*AP\d*|val_panoptic_PQ|val_semantic_mIoU")


class Progress(keras.callbacks.ProgbarLogger):
    """Shows Keras's bar on a terminal, and writes lines with the time left to a log file.

    Keras shows no bar of its own beside a `ProgbarLogger`.

    Args:
        path: of the log file, which grows.
        interval: seconds between lines within an epoch.
    """

    def __init__(self, path, interval=60):
        super().__init__()
        self.path, self.interval, self.done, self.start = path, interval, 0, None

    def on_epoch_begin(self, epoch, logs=None):
        if sys.stdout.isatty():
            super().on_epoch_begin(epoch, logs)
        # Anew: an epoch that was interrupted has fewer steps than the others.
        self.total = self.done + (self.epochs - epoch) * self.target
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if sys.stdout.isatty():
            super().on_train_batch_end(batch, logs)
        self.done, now = self.done + 1, time.perf_counter()
        if self.done == 1:  # the first step compiles
            self.start = self.shown = now
        elif now - self.shown > self.interval:
            self._write(f", step {batch + 1} of {self.target}", logs)

    def on_epoch_end(self, epoch, logs=None):
        if sys.stdout.isatty():
            super().on_epoch_end(epoch, logs)
        self._write("", logs)

    def _write(self, step, logs):
        self.shown = time.perf_counter()
        passed = 0 if self.start is None else self.shown - self.start  # no step was left to do
        seconds = passed / max(1, self.done - 1) * (self.total - self.done)
        left = f"; {duration(seconds)} left" if seconds else ""
        scores = [f"{name} {value:.4g}" for name, value in logs.items() if _SCORE.fullmatch(name)]
        line = f"epoch {self.epoch + 1} of {self.epochs}{step}: {', '.join(scores)}{left}"
        if not (step and sys.stdout.isatty()):  # within an epoch a terminal has the bar
            print(line, flush=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
