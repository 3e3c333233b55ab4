"""Functional models whose weight files find arrays by name, and which minimise their own losses."""

import dataclasses
import os

import keras
from keras import ops

from mrcnn.files.hdf5 import read_hdf5
from mrcnn.network.folding import fold_batch_norm
from mrcnn.network.named_weights import named_weights, save_weights
from mrcnn.network.rematerialization import rematerialize
from mrcnn.settings import Losses, loss_of


@keras.saving.register_keras_serializable("mrcnn")
class NamedWeightsModel(keras.Model):
    """A functional model whose weight files find arrays by layer name, as matterport's."""

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """Writes all weights as `mrcnn.network.named_weights.save_weights`.

        `kwargs` are Keras's, without effect.
        """
        if not overwrite and os.path.exists(filepath):
            raise FileExistsError(f"{filepath} exists; pass overwrite=True to replace it")
        save_weights(self, os.fspath(filepath))

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
        arrays, weights = read_hdf5(os.fspath(filepath)), named_weights(self)
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


@keras.saving.register_keras_serializable("mrcnn")
class TrainingModel(NamedWeightsModel):
    """A functional model with scalar losses among its outputs: stock `fit` minimises their sum.

    The total adds weight decay: L2 of each trained kernel and bias, BatchNorm left out.

    Args:
        inputs: list or dict of inputs.
        outputs: list of tensors, the losses last.
        name: str.
        losses: list of names, of the losses.
        settings: `mrcnn.settings.Losses`, or its fields as a dict.
        recomputed: list of names of the operations that return C2, C3, ... of a backbone that is
            run again for its gradient, see `mrcnn.network.rematerialization`. None: none is.
    """

    def __init__(self, inputs, outputs, name=None, *, losses, settings, recomputed=None, **kwargs):
        super().__init__(inputs, outputs, name=name, **kwargs)
        if isinstance(settings, dict):
            settings = Losses(**settings)
        self.loss_names, self.settings = list(losses), settings
        known = list(dict.fromkeys(map(loss_of, losses)))
        unknown = settings.weights.keys() - Losses().weights.keys() - set(known)
        if unknown:
            raise ValueError(f"LOSS_WEIGHTS has {sorted(unknown)}; expected {known}")
        self.trackers = [keras.metrics.Mean(name=key) for key in ("loss", *losses)]
        self.recomputed = recomputed
        folded = rematerialize(self, recomputed) if recomputed else fold_batch_norm(self)
        # Inside a function, where Keras does not see it: as an attribute, the layers and weights
        # would be in `self.layers` and in files a second time.
        self._run = lambda *args, **kwargs: folded(*args, **kwargs)

    def get_config(self):
        settings = dataclasses.asdict(self.settings)
        own = {"losses": self.loss_names, "settings": settings, "recomputed": self.recomputed}
        return {**super().get_config(), **own}

    def call(self, inputs, training=None, mask=None):
        return self._run(inputs, training=training)

    @property
    def metrics(self):
        return self.trackers

    def compute_loss_and_updates(self, *args, **kwargs):
        """Keras's, on JAX. Of a batch on several devices the length of `y`, [B, 0], is the
        number of images; the rows behind them fill up."""
        *variables, x, y, sample_weight = args
        if y is not None:
            x = keras.tree.map_structure(lambda rows: rows[: y.shape[0]], x)
        return super().compute_loss_and_updates(*variables, x, y, sample_weight, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        settings = self.settings
        outputs = keras.tree.flatten(y_pred)  # one alone comes without its list
        losses = dict(zip(self.loss_names, outputs[-len(self.loss_names) :], strict=True))
        total = sum(settings.weight(name) * loss for name, loss in losses.items())
        if settings.weight_decay and settings.in_loss:
            decayed = decayed_weights(self, settings.decay_biases)
            squares = [ops.square(ops.cast(w, "float32")) for w in decayed]
            norms = [ops.mean(s) if settings.decay_by_size else 0.5 * ops.sum(s) for s in squares]
            total = total + settings.weight_decay * sum(norms)
        for tracker in self.trackers:
            tracker.update_state(losses.get(tracker.name, total))
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()


def decayed_weights(model, biases=True):
    """Trainable weights of `model` that weight decay applies to: all but norms' gamma and beta.

    Args:
        model: keras.Model.
        biases: bool, whether biases decay too.
    """
    left_out = {"gamma", "beta"} if biases else {"gamma", "beta", "bias"}
    return [weight for weight in model.trainable_weights if weight.name not in left_out]
