"""The training loop around Keras's `fit`."""

import itertools

import keras


def make_deterministic(seed):
    """Seeds Python, NumPy and the backend, and makes TensorFlow's operations repeatable."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def restart(optimizer, learning_rate):
    """Brings a Keras SGD to its state before the first step, with another constant rate."""
    for variable in optimizer.variables:
        # Not read: an interrupted step of JAX may have given its buffer away.
        variable.assign(keras.ops.zeros(variable.shape, variable.dtype))
    optimizer.learning_rate = learning_rate


def to_tf_dataset(generator, inputs):
    """A `DataGenerator` as a `tf.data.Dataset` whose images may differ in shape.

    Given the generator itself, Keras takes the shape of the first two batches for that of all.

    Args:
        generator: `DataGenerator`.
        inputs: list of the symbolic inputs whose arrays are wanted; others are left out.
    """
    import tensorflow as tf

    epochs = itertools.count(generator.epoch)

    def batches():
        generator.epoch = next(epochs) if generator.shuffle else 0
        for index in range(len(generator)):
            (batch,) = generator[index]
            yield ({name: batch[name] for name in spec},)

    spec = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs}
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(spec,))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(generator)))
    return dataset.prefetch(tf.data.AUTOTUNE)
