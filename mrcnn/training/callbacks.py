"""The log's `data_wait`, and the record of a training."""

import time

import keras


class DataWait(keras.callbacks.Callback):
    """Logs `data_wait`, the share of an epoch's training that its steps waited for batches.

    Keras fetches a batch inside the step, where no callback looks: a step has waited if its batch
    was made after it began. Validation does not count. A GPU is sent steps before it has done the
    earlier ones, so it may still work while the next batch is waited for: there the share is an
    upper bound.

    Args:
        generator: the `DataGenerator` that `fit` trains on, step by step from its first batch.
    """

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def on_train_begin(self, logs=None):
        self._ahead = 0  # batches that Keras fetches before it begins a step with an earlier one
        if keras.backend.backend() == "jax":
            import jax

            self._ahead = int(jax.default_backend() != "cpu")

    def on_epoch_begin(self, epoch, logs=None):
        self._began, self._ended, self._steps = time.perf_counter(), None, []

    def on_train_batch_begin(self, batch, logs=None):
        self._steps.append(time.perf_counter())

    def on_test_begin(self, logs=None):
        self._ended = self._ended or time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        ready, last = self.generator.ready, len(self._steps) - 1
        asked = (min(i + self._ahead, last) for i in range(len(self._steps)))
        waits = (ready[i] - start for i, start in zip(asked, self._steps, strict=True))
        share = sum(max(0.0, wait) for wait in waits)
        logs["data_wait"] = share / ((self._ended or time.perf_counter()) - self._began)


class History(keras.callbacks.History):
    """Keras's record of a training, which a notebook does not print as the value of a cell."""

    def _ipython_display_(self):
        """Prints nothing: IPython calls this instead of printing the value."""
