"""`tf.identity` of a layer's output, as the cells of matterport's notebooks write it."""

import functools

import keras


@functools.cache
def accept_keras_tensors():
    """Has `tf.identity` return a symbolic tensor of Keras as it is; with another backend, nothing.

    TensorFlow asks whoever registered for a function that refused its arguments.
    `tf.experimental.dispatch_for_api` is not enough: it looks at TensorFlow's own types alone.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    dispatch = getattr(getattr(tf, "__internal__", None), "dispatch", None)
    if dispatch is None:  # not public: without it, TensorFlow refuses such tensors as ever
        return

    class KerasTensors(dispatch.OpDispatcher):
        def handle(self, args, kwargs):
            tensor = args[0] if args else kwargs["input"]
            return tensor if isinstance(tensor, keras.KerasTensor) else self.NOT_SUPPORTED

    KerasTensors().register(tf.identity)
