"""The BatchNorm of all backbones and heads that have one."""

import keras
from keras import layers


@keras.saving.register_keras_serializable("mrcnn")
class BatchNorm(layers.BatchNormalization):
    """A BatchNormalization that can keep its statistics while gamma and beta train.

    Keras can only freeze all four together (`trainable = False`). To build with `training=False`
    does not help: a model that is called with `training=True` overrules it.

    Args:
        train_bn: False: always the moving averages; None or True: Keras's rule, batch statistics
            while the layer trains.
    """

    def __init__(self, train_bn=None, **kwargs):
        super().__init__(**kwargs)
        self.train_bn = train_bn

    def call(self, inputs, training=None, mask=None):
        training = False if self.train_bn is False else training
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        return {**super().get_config(), "train_bn": self.train_bn}
