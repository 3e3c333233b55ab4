"""matterport's `ParallelModel`, kept so that its scripts run: one model on one device.

The models take several devices by themselves, on JAX, by `GPU_COUNT`.
"""

import warnings

import keras

__all__ = ["ParallelModel"]


class ParallelModel(keras.Model):
    """Wraps a model without splitting its batches.

    Saving and loading reach the wrapped model, so that files fit it.

    Args:
        keras_model: a functional `keras.Model`.
        gpu_count: int; above 1 it warns that one device does all the work.

    Attributes:
        inner_model: the wrapped model.
    """

    def __init__(self, keras_model, gpu_count):
        warnings.warn(
            f"ParallelModel runs on one device, whatever gpu_count={gpu_count}: use the model "
            "itself, and GPU_COUNT in its config for several devices",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__()
        self.inner_model, self.gpu_count = keras_model, gpu_count
        self.built = True

    def __getattribute__(self, name):
        if name.startswith(("load", "save")):
            return getattr(super().__getattribute__("inner_model"), name)
        return super().__getattribute__(name)

    def call(self, inputs, training=None):
        return self.inner_model(inputs, training=training)

    def make_parallel(self):
        """Returns the outputs of the wrapped model, which nothing splits."""
        return self.inner_model.outputs

    def summary(self, *args, **kwargs):
        """Prints the summaries of both models."""
        super().summary(*args, **kwargs)
        self.inner_model.summary(*args, **kwargs)
