"""Tensors and gradients on whichever backend runs, for tests of functions."""

import keras
import numpy as np
from keras import ops


def f32(values):
    return ops.convert_to_tensor(np.array(values, "float32"))


def i32(values):
    return ops.convert_to_tensor(np.array(values, "int32"))


def gradient(function, x):
    """Gradient of a scalar function at `x`; zeros where there is none."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tf.convert_to_tensor(tape.gradient(y, x, unconnected_gradients="zero"))
    import jax

    return jax.grad(function)(x)


def numeric_gradient(function, x, step=1e-2):
    """The same of a NumPy array by central differences, an array."""
    slopes = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[i] = step
        slopes[i] = (float(function(f32(x + moved))) - float(function(f32(x - moved)))) / (2 * step)
    return slopes
