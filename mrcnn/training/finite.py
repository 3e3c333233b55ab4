"""A loss that is no number ends a training, with the pictures of the batch named."""

import math

import keras

from mrcnn.data.image_loading import image_name


class FiniteLoss(keras.callbacks.Callback):
    """Ends training where the loss or a weight is not finite.

    The mean of an epoch's losses is looked at after each step, by a thread where the host does not
    wait for steps: training ends some steps later there. Nothing is saved then: `StateSaver` looks
    before it does.

    Args:
        generator: the `DataGenerator` that `fit` trains on.
    """

    async_safe = True  # else Keras has the host wait for the log of every step

    def __init__(self, generator):
        super().__init__()
        self.generator, self._step, self._in_steps = generator, None, False
        self._begun = 0  # the step of the epoch that began last

    def on_epoch_begin(self, epoch, logs=None):
        self._in_steps = True

    def on_train_batch_end(self, batch, logs=None):
        if self._step is None and not math.isfinite(logs["loss"]):
            self._step = batch, logs["loss"]

    def on_train_batch_begin(self, batch, logs=None):
        self._begun = batch
        self._check()

    def on_test_begin(self, logs=None):
        self._leave_steps()

    def on_epoch_end(self, epoch, logs=None):
        self._leave_steps()

    def _leave_steps(self):
        """From here on the model's mean is that of the validation."""
        self.check()
        self._in_steps = False

    def check(self):
        """Looks at the weights as they are now, and within an epoch's steps at their loss.

        Raises:
            FloatingPointError: one is not finite.
        """
        self._check()
        model = self.model
        loss = float(model.metrics[0].result()) if self._in_steps else 0.0
        if not math.isfinite(loss):
            self._step = self._begun, loss
            self._check()
        for weight in model.trainable_variables:
            if not math.isfinite(float(keras.ops.sum(weight))):
                raise FloatingPointError(f"a weight is not finite any more: {weight.path}")

    def _check(self):
        if self._step is None:
            return
        step, loss = self._step
        made_of, first_step = self.generator.made_of, self.generator.first_step
        names = [
            ", ".join(image_name(self.generator.dataset, i) for i in made_of[each])
            for each in (step - 1, step)
            if each in made_of
        ]
        raise FloatingPointError(
            f"the loss is {loss} from step {first_step + step + 1} of the epoch on; the pictures "
            f"of this batch: {names[-1]}{f'; of the one before: {names[0]}' if names[1:] else ''}"
        )
