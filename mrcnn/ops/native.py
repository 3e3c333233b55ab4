"""Which kernels run: TensorFlow's own, or those of the runtime that a graph is exported to."""

import contextlib
import functools

import keras

_replaced = {}  # functions by the names of those that they stand for


def is_native(wanted):
    """Whether TensorFlow runs and its kernels are wanted, which XLA cannot compile."""
    return wanted and keras.backend.backend() == "tensorflow"


def replaceable(function):
    """A function in whose place `kernels` may put another one of its arguments."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        return _replaced.get(function.__name__, function)(*args, **kwargs)

    return call


@contextlib.contextmanager
def kernels(functions):
    """Inside it, functions of `mrcnn.ops` are replaced: a dict of functions by their names."""
    before = dict(_replaced)
    _replaced.update(functions)
    try:
        yield
    finally:
        _replaced.clear()
        _replaced.update(before)
