"""Whether TensorFlow's own kernels run."""

import keras


def is_native(wanted):
    """Whether TensorFlow runs and its kernels are wanted, which XLA cannot compile."""
    return wanted and keras.backend.backend() == "tensorflow"
