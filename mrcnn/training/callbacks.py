"""What every epoch logs besides its losses, and the record of a training."""

import contextlib
import time

import keras

MUCH_WAITING = 0.3  # share of an epoch's time, and seconds of it, from which on it is told
SECONDS_OF_WAITING = 5


class DataWait(keras.callbacks.Callback):
    """Logs `data_wait`, the share of an epoch's training that its steps waited for batches.

    Keras fetches a batch inside the step, where no callback looks: a step has waited if its batch
    was made after it began. Validation does not count. A GPU is sent steps before it has done the
    earlier ones, so it may still work while the next batch is waited for: there the share is an
    upper bound.

    Much waiting is told once, after the first epoch that has it, with what helps.

    Args:
        generator: the `DataGenerator` that `fit` trains on, step by step from its first batch.
    """

    def __init__(self, generator):
        super().__init__()
        self.generator = generator
        self._advice, self._told = None, False

    def on_train_begin(self, logs=None):
        self._ahead = 0  # batches that Keras fetches before it begins a step with an earlier one
        if keras.backend.backend() == "jax":
            import jax

            self._ahead = int(jax.default_backend() != "cpu")

    def on_epoch_begin(self, epoch, logs=None):
        self._tell()
        self._began, self._ended, self._steps = time.perf_counter(), None, []

    def on_train_batch_begin(self, batch, logs=None):
        self._steps.append(time.perf_counter())

    def on_test_begin(self, logs=None):
        self._ended = self._ended or time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        ready, last = self.generator.ready, len(self._steps) - 1
        asked = (min(i + self._ahead, last) for i in range(len(self._steps)))
        waits = (ready[i] - start for i, start in zip(asked, self._steps, strict=True))
        waited = sum(max(0.0, wait) for wait in waits)
        share = waited / ((self._ended or time.perf_counter()) - self._began)
        logs["data_wait"] = share
        if share > MUCH_WAITING and waited > SECONDS_OF_WAITING and not self._told:
            more = f"raise WORKERS (now {self.generator.workers})"
            if self.generator.in_order:
                more = (
                    "with SEED one thread calls an augmentation without an argument rng, whatever "
                    "WORKERS is: give it one, or set SEED = None"
                )
            self._advice = (
                f"The steps of epoch {epoch + 1} waited for data {share:.0%} of the time: {more}, "
                "or store pictures in the size that the network takes"
            )

    def on_train_end(self, logs=None):
        self._tell()

    def _tell(self):
        """Prints the advice, between the bars of two epochs."""
        if self._advice is not None:
            print(self._advice, flush=True)
            self._advice, self._told = None, True


class EpochFacts(keras.callbacks.Callback):
    """Logs `learning_rate`, as an epoch leaves it, and `seconds`, of its steps and validation."""

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        logs["learning_rate"] = float(f"{float(rate):.7g}")  # 0.01 of the float32 next to it
        logs["seconds"] = time.perf_counter() - self._began


def numbers_of(logs):
    """What an epoch logged, by name, as floats; other callbacks may log what is no number."""
    found = {}
    for name, value in (logs or {}).items():
        with contextlib.suppress(TypeError, ValueError):
            found[name] = float(value)
    return found


class History(keras.callbacks.History):
    """Keras's record of a training, which a notebook does not print as the value of a cell."""

    def _ipython_display_(self):
        """Prints nothing: IPython calls this instead of printing the value."""
