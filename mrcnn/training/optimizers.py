"""Optimizers: Keras's own, and where the keys ask for it a rate and a decay for each variable."""

import keras
from keras import ops

from mrcnn.network.training_model import decayed_weights
from mrcnn.training.freezing import trained_depths


def make_optimizer(settings, learning_rate, model):
    """The optimizer of a training.

    Args:
        settings: `mrcnn.settings.Optimization`.
        learning_rate: float or `LearningRateSchedule`.
        model: keras.Model whose trainable weights are updated.

    Returns:
        `keras.optimizers.Optimizer`, built.
    """
    options, steps = {"global_clipnorm": settings.clip_norm}, settings.accumulation_steps
    if steps > 1:
        options["gradient_accumulation_steps"] = steps
    if settings.ema_momentum is not None:
        # Keras averages after every batch, also after those that only add to the gradient.
        options |= {"use_ema": True, "ema_momentum": settings.ema_momentum ** (1 / steps)}
    if settings.optimizer == "adamw":
        optimizer = AdamW(learning_rate, **by_variable(settings, model), **options)
    elif settings.layer_decay != 1 or settings.ema_momentum is not None:
        own = by_variable(settings, model)
        optimizer = SGD(learning_rate, settings.momentum, **own, **options)
    else:
        optimizer = keras.optimizers.SGD(learning_rate, settings.momentum, **options)
    # Now: variables that the first step makes have TensorFlow trace it twice.
    optimizer.build(model.trainable_variables)
    return optimizer


def by_variable(settings, model):
    """What `SGD` and `AdamW` are told about each trainable variable of a model, in its order.

    Returns:
        dict: `factors`, floats that the rate is multiplied by; `decays`, floats.
    """
    factors = [settings.layer_decay**depth for depth in trained_depths(model)]
    decayed = {id(weight) for weight in decayed_weights(model, settings.decay_biases)}
    decay = settings.weight_decay if settings.optimizer == "adamw" else 0.0
    decays = [decay * (id(weight) in decayed) for weight in model.trainable_weights]
    return {"factors": factors, "decays": decays}


class _ByVariable:
    """An update with a rate and a decay of its own for each variable.

    Args:
        factors: floats that the rate is multiplied by, in the order of the variables.
        decays: floats; each update first takes rate * decay of the variable from it, apart from
            the gradient (arXiv:1711.05101).
    """

    def __init__(self, *args, factors, decays, **kwargs):
        super().__init__(*args, **kwargs)
        self.factors, self.decays = factors, decays

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        learning_rate = learning_rate * self.factors[index]
        if self.decays[index]:
            share = ops.cast(learning_rate * self.decays[index], variable.dtype)
            self.assign_sub(variable, variable * share)
        super().update_step(gradient, variable, learning_rate)

    def finalize_variable_values(self, var_list):
        """Nothing: Keras puts averages into the weights at the end of each `fit`, of which one
        training may take two; `mrcnn.training.saving` does."""

    def get_config(self):
        return {**super().get_config(), "factors": self.factors, "decays": self.decays}


@keras.saving.register_keras_serializable("mrcnn")
class SGD(_ByVariable, keras.optimizers.SGD):
    """SGD with a rate for each variable, such as those of layer-wise decay."""


@keras.saving.register_keras_serializable("mrcnn")
class AdamW(_ByVariable, keras.optimizers.Adam):
    """Adam with weight decay apart from the loss (Loshchilov and Hutter 2019)."""
