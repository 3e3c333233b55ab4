"""`IMAGES_PER_GPU = -1`: as many images as a training step has memory for, measured."""

import keras
import numpy as np

from mrcnn.training.device_memory import device_memory
from mrcnn.training.memory import advice, is_out_of_memory
from mrcnn.training.step_memory import training_sides

SHARE = 0.8  # of the memory that a batch may take
MOST = 64


def largest_batch(measure, limit, most=MOST):
    """The largest batch whose training step fits into the memory.

    What a step needs grows by the same with each image: two batches tell by how much.

    Args:
        measure: function of a number of images; returns the bytes at the peak of their step,
            infinite where they did not fit.
        limit: int, bytes that there are.
        most: int, images of the largest batch.

    Returns:
        int.

    Raises:
        MemoryError: one image alone does not fit.
    """
    one = measure(1)
    if one > limit:
        raise MemoryError(f"a step of one image needs more than {limit / 2**30:.1f} GiB")
    size, peak = 1, one
    while size < most and peak == one:  # what was there before may hide what a small batch adds
        size *= 2
        peak = measure(size)
    if peak > limit:
        return size // 2
    image = (peak - one) / max(1, size - 1)
    fitting = most if not image else int(1 + (SHARE * limit - one) // image)
    return max(1, min(fitting, most))


def measured_batch(model, generator, settings, most, devices):
    """How many images each device can have whose training step fits into its memory.

    Args:
        model: compiled keras.Model.
        generator: function with an argument `batch_size` that returns a `DataGenerator`.
        settings: `mrcnn.settings.Settings` of the model.
        most: int, images that there are.
        devices: `mrcnn.parallel.Devices` or `OneDevice`, that the model is on.

    Returns:
        int.

    Raises:
        MemoryError: one image alone does not fit; the message says what helps.
    """

    def batch_of(images):
        images *= devices.count
        return devices.place(*generator(batch_size=images)[0], images)

    with devices.tracing(), StepMemory(model, batch_of) as memory:
        try:
            return largest_batch(memory.measure, memory.limit, min(MOST, most // devices.count))
        except MemoryError as error:
            sides = training_sides(generator(batch_size=1))
            helps = advice(settings, model, sides)
            raise MemoryError(f"{error}. What helps: {helps}") from None


class StepMemory:
    """Measures training steps of a model, which is afterwards what it was.

    Args:
        model: compiled keras.Model.
        batch_of: function of a number of images; returns a tuple, the arguments of a step.

    Example:

    >>> with StepMemory(model, batch_of) as memory:  # doctest: +SKIP
    ...     largest_batch(memory.measure, memory.limit)
    """

    def __init__(self, model, batch_of):
        self.model, self.batch_of = model, batch_of
        self._device = device_memory()
        self.limit = self._device.limit()

    def __enter__(self):
        self._variables = [*self.model.variables, *self.model.optimizer.variables]
        self._values = [np.array(keras.ops.convert_to_numpy(x)) for x in self._variables]
        return self

    def __exit__(self, *_):
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)
        self.model.reset_metrics()

    def measure(self, images):
        """Bytes at the peak of a step of so many images; infinite where it does not fit."""
        batch = self.batch_of(images)
        self._device.reset()
        try:
            self.model.train_on_batch(*batch)
        except Exception as error:
            if is_out_of_memory(error):
                return float("inf")
            raise
        return self._device.peak()
