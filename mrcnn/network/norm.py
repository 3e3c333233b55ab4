"""The normalisations of all backbones and heads."""

import math

import keras
from keras import layers

GROUPS, GROUP_EPSILON = 32, 1e-5  # of GroupNorm (arXiv:1803.08494)


def norm_layer(name, channels, train_bn, style, **options):
    """The normalisation after a convolution.

    Args:
        name: str, of the layer.
        channels: int, of the features.
        train_bn: see `BatchNorm`.
        style: `mrcnn.settings.ConvStyle`: which normalisation, and epsilon of BatchNorm.
        options: further ones of Keras's layer.
    """
    if style.norm == "group":
        return group_norm(name, channels, **options)
    options = {"epsilon": style.epsilon, "synchronized": style.norm == "sync_batch", **options}
    return BatchNorm(train_bn, name=name, **options)


def group_norm(name, channels, **options):
    """GroupNorm of 32 groups, of fewer where these do not divide the channels."""
    groups = math.gcd(GROUPS, channels)
    return layers.GroupNormalization(groups, epsilon=GROUP_EPSILON, name=name, **options)


@keras.saving.register_keras_serializable("mrcnn")
class BatchNorm(layers.BatchNormalization):
    """A BatchNormalization that can keep its statistics while gamma and beta train.

    Keras can only freeze all four together (`trainable = False`). To build with `training=False`
    does not help: a model that is called with `training=True` overrules it.

    Args:
        train_bn: False: always the moving averages; None or True: Keras's rule, batch statistics
            while the layer trains.
        synchronized: bool, whether these are of all devices. JAX's always are: its batch is one.
    """

    def __init__(self, train_bn=None, *, synchronized=False, **kwargs):
        synchronized = synchronized and keras.backend.backend() == "tensorflow"
        super().__init__(synchronized=synchronized, **kwargs)
        self.train_bn = train_bn

    def call(self, inputs, training=None, mask=None):
        training = False if self.train_bn is False else training
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        return {**super().get_config(), "train_bn": self.train_bn}
