"""The training loop around Keras's `fit`."""

import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor

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
    Batches are made by the generator's `workers` threads and come in their order.

    Args:
        generator: `DataGenerator`.
        inputs: list of the symbolic inputs whose arrays are wanted; others are left out.
    """
    import tensorflow as tf

    epochs = itertools.count(generator.epoch)

    def batches():
        generator.epoch = next(epochs) if generator.shuffle else 0
        for (batch,) in load_ahead(generator):
            yield ({name: batch[name] for name in spec},)

    spec = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs}
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(spec,))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(generator)))
    return dataset.prefetch(tf.data.AUTOTUNE)


def load_ahead(generator):
    """Yields the batches of one epoch in order, while the generator's `workers` make the next.

    One worker makes one after the other. With as many batches more as there are workers waiting to
    be taken, a slow one keeps no other worker idle.
    """
    workers = max(1, generator.workers)
    pool, ahead = ThreadPoolExecutor(workers, "batches"), deque()
    try:
        for index in range(len(generator)):
            ahead.append(pool.submit(generator.__getitem__, index))
            if len(ahead) >= 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
