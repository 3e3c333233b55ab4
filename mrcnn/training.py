"""What happens around a training step: what is trained, the total loss, its log, checkpoints."""

import inspect
import itertools
import os
import re
import time
import warnings

import keras
from keras import ops

from mrcnn import hdf5
from mrcnn.folding import fold_batch_norm

# What `train(layers=...)` accepts besides a regular expression of layer names; EfficientNet's
# blocks 3, 4 and 6 are the first of stages 3, 4 and 5.
_HEADS = r"(mrcnn_.*)|(rpn_.*)|(fpn_.*)"
LAYER_GROUPS = {
    "heads": _HEADS,
    "3+": rf"((res|bn)[345].*)|(block[3-7].*)|{_HEADS}",
    "4+": rf"((res|bn)[45].*)|(block[4-7].*)|{_HEADS}",
    "5+": rf"((res|bn)5.*)|(block[67].*)|{_HEADS}",
    "all": r".*",
}


class NamedWeightsModel(keras.Model):
    """A functional model whose weight files find arrays by layer name, as matterport's."""

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """Writes all weights as `mrcnn.hdf5.save_weights`; `kwargs` are Keras's, without effect."""
        if not overwrite and os.path.exists(filepath):
            raise FileExistsError(f"{filepath} exists; pass overwrite=True to replace it")
        hdf5.save_weights(self, os.fspath(filepath))

    def load_weights(self, filepath, by_name=False, skip_mismatch=False, **kwargs):
        """Reads a file of this layout; `MaskRCNN.load_weights` reads more, and reports.

        Args:
            filepath: path.
            by_name: bool, load what both have, whatever else is missing.
            skip_mismatch: bool, leave weights of another shape as they are.
            kwargs: Keras's others, without effect.

        Raises:
            ValueError: a weight is missing, or of another shape.
        """
        arrays, weights = hdf5.read_hdf5(os.fspath(filepath)), hdf5.named_weights(self)
        missing = [name for name in weights if name not in arrays]
        shared = {name: weight for name, weight in weights.items() if name in arrays}
        wrong = [n for n, w in shared.items() if tuple(w.shape) != arrays[n].shape]
        if (missing and not by_name) or not shared or (wrong and not skip_mismatch):
            raise ValueError(
                f"{filepath}: {len(missing)} weights are missing {missing[:5]} and {len(wrong)} "
                f"of another shape {wrong[:5]}; nothing was loaded. Pass by_name=True for what "
                "both have, or use MaskRCNN.load_weights"
            )
        for name in shared.keys() - set(wrong):
            weights[name].assign(arrays[name])


class TrainingModel(NamedWeightsModel):
    """A functional model with scalar losses among its outputs: stock `fit` minimises their sum.

    The total adds weight decay: L2 of each trained kernel and bias, BatchNorm left out.

    Args:
        inputs: list of inputs.
        outputs: list of what else it computes, to look at.
        losses: dict of scalar losses, the last outputs.
        loss_weights: dict of floats, factor of each loss.
        weight_decay: float.
        decay_by_size: bool; True divides each squared norm by the number of weights
            (matterport), False by 2.
        name: str.
    """

    def __init__(
        self,
        inputs,
        outputs,
        losses,
        loss_weights,
        weight_decay,
        decay_by_size=True,
        name=None,
    ):
        super().__init__(inputs, [*outputs, *losses.values()], name=name)
        self.loss_names, self.loss_weights = list(losses), dict(loss_weights)
        self.weight_decay, self.decay_by_size = weight_decay, decay_by_size
        self.trackers = [keras.metrics.Mean(name=key) for key in ("loss", *losses)]
        folded = fold_batch_norm(self)
        # Inside a function, where Keras does not see it: as an attribute, the layers and weights
        # would be in `self.layers` and in files a second time.
        self._run = lambda *args, **kwargs: folded(*args, **kwargs)

    def call(self, inputs, training=None, mask=None):
        return self._run(inputs, training=training)

    @property
    def metrics(self):
        return self.trackers

    def fit(self, x=None, *args, validation_data=None, **kwargs):
        """As Keras's; the batches of a generator may be matterport's (inputs, outputs) lists."""
        x, validation_data = as_tuples(x), as_tuples(validation_data)
        return super().fit(x, *args, validation_data=validation_data, **kwargs)

    def fit_generator(self, generator, steps_per_epoch=None, epochs=1, **kwargs):
        """Outdated: `fit`. Keywords of the loading processes have no effect."""
        warnings.warn("fit_generator is outdated; use fit", FutureWarning, stacklevel=2)
        for name in ("max_queue_size", "workers", "use_multiprocessing"):
            kwargs.pop(name, None)
        return self.fit(generator, steps_per_epoch=steps_per_epoch, epochs=epochs, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = dict(zip(self.loss_names, y_pred[-len(self.loss_names) :], strict=True))
        total = sum(self.loss_weights[name] * loss for name, loss in losses.items())
        if self.weight_decay:
            squares = [ops.square(ops.cast(w, "float32")) for w in decayed_weights(self)]
            norms = [ops.mean(s) if self.decay_by_size else 0.5 * ops.sum(s) for s in squares]
            total = total + self.weight_decay * sum(norms)
        for tracker in self.trackers:
            tracker.update_state(losses.get(tracker.name, total))
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()


def as_tuples(batches):
    """A generator of (list of inputs, list of outputs) as one of what Keras takes: the network
    has its losses inside and asks for no outputs. Anything else is returned as it is."""
    if not inspect.isgenerator(batches):
        return batches
    return (
        (tuple(batch[0]),) if len(batch) == 2 and isinstance(batch[0], list) else batch
        for batch in batches
    )


def decayed_weights(model):
    """Trainable weights of `model` that weight decay applies to: all but BatchNorm's."""
    return [weight for weight in model.trainable_weights if weight.name not in ("gamma", "beta")]


def set_trainable(model, layer_regex):
    """Makes the layers of a model, and of models inside it, trainable if their whole name matches.

    Returns:
        list of the layers with weights that are trainable now.
    """
    matched = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            matched += set_trainable(layer, layer_regex)
        elif layer.weights:
            layer.trainable = re.fullmatch(layer_regex, layer.name) is not None
            matched += [layer] if layer.trainable else []
    return matched


def make_deterministic(seed):
    """Seeds Python, NumPy and the backend, and makes TensorFlow's operations repeatable."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


class Checkpoint(keras.callbacks.Callback):
    """Writes the weights after every epoch.

    Args:
        save: function of a path that writes the weights whole or not at all.
        path: str with a field `{epoch:04d}`, epochs counted from 1.
    """

    def __init__(self, save, path):
        super().__init__()
        self.save, self.path = save, path

    def on_epoch_end(self, epoch, logs=None):
        self.save(self.path.format(epoch=epoch + 1))


def to_tf_dataset(generator, inputs):
    """A `DataGenerator` as a `tf.data.Dataset` whose images may differ in shape.

    Given the generator itself, Keras takes the shape of the first two batches for that of all.

    Args:
        generator: `DataGenerator`.
        inputs: list of the model's symbolic inputs.
    """
    import tensorflow as tf

    epochs = itertools.count(generator.epoch)

    def batches():
        generator.epoch = next(epochs) if generator.shuffle else 0
        for index in range(len(generator)):
            yield generator[index]

    spec = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs}
    for name in ("input_rpn_match", "input_rpn_bbox"):  # that there are none shapes the graph
        spec[name] = tf.TensorSpec((None, 0, spec[name].shape[-1]), spec[name].dtype)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(spec,))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(generator)))
    return dataset.prefetch(tf.data.AUTOTUNE)


class DataWait(keras.callbacks.Callback):
    """Logs `data_wait`, the share of an epoch's training that its steps waited for batches.

    Keras fetches a batch inside the step, where no callback looks: a step has waited if its batch
    was made after it began. Validation does not count. Steps of a GPU may be sent before earlier
    ones end, so that some of the wait is none: there the share is an upper bound.

    Args:
        generator: the `DataGenerator` that `fit` trains on, step by step from its first batch.
    """

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def on_train_begin(self, logs=None):
        self._ahead = 0  # batches that Keras fetches before it begins a step with an earlier one
        if keras.backend.backend() == "jax":
            import jax

            self._ahead = int(jax.default_backend() != "cpu")

    def on_epoch_begin(self, epoch, logs=None):
        self._began, self._ended, self._steps = time.perf_counter(), None, []

    def on_train_batch_begin(self, batch, logs=None):
        self._steps.append(time.perf_counter())

    def on_test_begin(self, logs=None):
        self._ended = self._ended or time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        ready, last = self.generator.ready, len(self._steps) - 1
        asked = (min(i + self._ahead, last) for i in range(len(self._steps)))
        waits = (ready[i] - start for i, start in zip(asked, self._steps, strict=True))
        share = sum(max(0.0, wait) for wait in waits)
        logs["data_wait"] = share / ((self._ended or time.perf_counter()) - self._began)
