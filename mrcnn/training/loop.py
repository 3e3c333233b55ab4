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


def fit(model, generator, batches, callbacks, epochs, position, validation=None):
    """Keras's `fit` from any step of an epoch on.

    Args:
        model: compiled keras.Model.
        generator: `DataGenerator` of the training, that is where `position` says.
        batches: function of a generator that returns what Keras's `fit` takes.
        callbacks: list of `keras.callbacks.Callback`.
        epochs: int, the total to reach.
        position: `mrcnn.training.state.Position`: epochs and steps that are done.
        validation: `DataGenerator`, or None.

    Returns:
        `keras.callbacks.History`.
    """
    options = {
        "validation_data": None if validation is None else batches(validation),
        "shuffle": False,  # the generator shuffles
    }
    epoch = position.epoch
    if position.step:
        steps = len(generator) if generator.first_step else 0  # 0: all of the epoch are done
        callbacks = OneTraining(callbacks, model, epochs, steps)
        if steps:
            model.fit(
                batches(generator),
                initial_epoch=epoch,
                epochs=epoch + 1,
                callbacks=callbacks,
                **options,
            )
        else:
            _end_epoch(model, callbacks, epoch, options["validation_data"])
        generator.first_step, generator.epoch, epoch = 0, epoch + 1, epoch + 1
        callbacks.set_params({**callbacks.params, "steps": len(generator)})
        callbacks.last = True
        if model.stop_training or epoch >= epochs:
            callbacks.on_train_end()
            return model.history
    return model.fit(
        batches(generator), initial_epoch=epoch, epochs=epochs, callbacks=callbacks, **options
    )


class OneTraining(keras.callbacks.CallbackList):
    """The callbacks of a training that takes two calls of `fit`: it begins and ends once."""

    def __init__(self, callbacks, model, epochs, steps):
        super().__init__(
            callbacks, add_progbar=True, model=model, epochs=epochs, steps=steps, verbose="auto"
        )
        self._begun = self.last = False

    def on_train_begin(self, logs=None):
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        if self.last:
            super().on_train_end(logs)


def _end_epoch(model, callbacks, epoch, validation):
    """What `fit` does after the last step of an epoch."""
    model.stop_training = False
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(epoch)
    logs = dict(model.get_metrics_result())
    if validation is not None:
        scores = model.evaluate(validation, callbacks=callbacks, return_dict=True, verbose=0)
        logs |= {f"val_{name}": value for name, value in scores.items()}
    callbacks.on_epoch_end(epoch, logs)


def restart(optimizer, learning_rate):
    """Brings an optimizer to its state before the first step, with another constant rate."""
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
