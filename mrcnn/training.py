"""What happens around a training step: what is trained, the total loss, its log, checkpoints."""

import re

import keras
from keras import ops

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


class TrainingModel(keras.Model):
    """A functional model whose named scalar outputs are losses: stock `fit` minimises their sum.

    The total adds weight decay: L2 of each trained kernel and bias, BatchNorm left out.

    Args:
        inputs: dict of inputs.
        outputs: dict of scalar losses.
        loss_weights: dict of floats, factor of each loss.
        weight_decay: float.
        decay_by_size: bool; True divides each squared norm by the number of weights
            (matterport), False by 2.
        name: str.
    """

    def __init__(self, inputs, outputs, loss_weights, weight_decay, decay_by_size=True, name=None):
        super().__init__(inputs, outputs, name=name)
        self.loss_weights = dict(loss_weights)
        self.weight_decay, self.decay_by_size = weight_decay, decay_by_size
        self.trackers = [keras.metrics.Mean(name=key) for key in ("loss", *outputs)]

    @property
    def metrics(self):
        return self.trackers

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total = sum(self.loss_weights[name] * loss for name, loss in y_pred.items())
        if self.weight_decay:
            squares = [ops.square(ops.cast(w, "float32")) for w in decayed_weights(self)]
            norms = [ops.mean(s) if self.decay_by_size else 0.5 * ops.sum(s) for s in squares]
            total = total + self.weight_decay * sum(norms)
        for tracker in self.trackers:
            tracker.update_state(y_pred.get(tracker.name, total))
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()


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
