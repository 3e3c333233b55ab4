"""BatchNorm folded into the convolution before it, wherever its statistics are fixed.

Shapes: B images, H W, C channels in, F channels out.
"""

import math

import keras
from keras import layers, ops

from mrcnn.network.norm import BatchNorm


def fold_batch_norm(model):
    """The same function over the same weights, with each convolution and its BatchNorm in one.

    A BatchNorm with fixed statistics scales and shifts the channels of its convolution: scaling
    the kernel instead saves reading and writing the features once more, and training keeps no
    features for the gradients of gamma. Functional models inside it are folded likewise.

    Args:
        model: functional `keras.Model`.

    Returns:
        `keras.Model` whose inputs and other layers are those of `model`.
    """
    convs = {}  # id of the features that a convolution returned: (convolution, what it was given)
    folded = {}  # (convolution, BatchNorm), by name: heads are applied more than once
    inner = {}  # functional models inside it, by name
    plain = keras.Model(model.input, model.output, name=model.name)

    def call(layer, *args, **kwargs):
        if type(layer) is type(plain) and any(map(is_norm, layer._flatten_layers())):
            inner[layer.name] = inner.get(layer.name) or fold_batch_norm(layer)
            layer = inner[layer.name]
        known = args and id(args[0]) in convs
        if known and is_norm(layer) and kwargs.get("training") is None:
            _, conv, x = convs[id(args[0])]
            pair = conv.name, layer.name
            folded[pair] = folded.get(pair) or FoldedConv(conv, layer)
            return folded[pair](x)
        result = layer(*args, **kwargs)
        if is_conv(layer):
            convs[id(result)] = result, layer, args[0]  # the tensor is kept: ids are used again
        return result

    return keras.models.clone_model(plain, model.input, lambda x: x, call)


def is_norm(layer):
    """Whether a layer is a BatchNorm that `FoldedConv` knows."""
    return type(layer) in (layers.BatchNormalization, BatchNorm) and layer.axis in (-1, 3)


def is_conv(layer):
    """Whether a layer is a convolution that `FoldedConv` knows."""
    return (
        type(layer) in (layers.Conv2D, layers.DepthwiseConv2D)
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
    )


@keras.saving.register_keras_serializable("mrcnn")
class FoldedConv(layers.Layer):
    """A convolution followed by a BatchNorm, as one convolution when the statistics are fixed.

    The weights stay those of the two layers. While batch statistics are taken, they run one after
    the other.

    Args:
        conv: built `Conv2D` or `DepthwiseConv2D` without activation.
        norm: built `BatchNormalization` over its channels.
    """

    def __init__(self, conv, norm):
        # float32 without autocast: kernels are scaled in float32 under mixed precision too.
        super().__init__(name=f"{conv.name}_{norm.name}", dtype="float32", autocast=False)
        self.conv, self.norm = conv, norm

    def get_config(self):
        parts = {"conv": self.conv, "norm": self.norm}
        return {name: keras.saving.serialize_keras_object(x) for name, x in parts.items()}

    @classmethod
    def from_config(cls, config):
        return cls(**{name: keras.saving.deserialize_keras_object(x) for name, x in config.items()})

    def build(self, input_shape):
        if not self.conv.built:
            self.conv.build(input_shape)
            self.norm.build(self.conv.compute_output_shape(input_shape))

    def call(self, x, training=None):
        """float [B, H, W, C] -> float [B, h, w, F]."""
        if training and self.norm.trainable and getattr(self.norm, "train_bn", True) is not False:
            return self.norm(self.conv(x), training=True)
        scale, shift = self._scale_and_shift()
        kernel, dtype = self.conv.kernel, self.conv.compute_dtype
        kernel = kernel * (ops.reshape(scale, kernel.shape[2:]) if self._depthwise else scale)
        if training and self._depthwise and _gradients_want_float32():
            y = ops.cast(self._convolve(ops.cast(x, "float32"), kernel), dtype)
        else:
            y = self._convolve(ops.cast(x, dtype), ops.cast(kernel, dtype))
        return ops.add(y, ops.cast(shift, dtype))

    def _convolve(self, x, kernel):
        whole = tuple(x.shape[1:]) == tuple(kernel.shape[:3]) and self.conv.padding == "valid"
        if whole and not self._depthwise:
            # A fully connected layer is faster as a product than as a convolution.
            features = math.prod(kernel.shape[:3])
            y = ops.matmul(ops.reshape(x, (-1, features)), ops.reshape(kernel, (features, -1)))
            return y[:, None, None]
        options = {"padding": self.conv.padding, "dilation_rate": self.conv.dilation_rate}
        conv = ops.depthwise_conv if self._depthwise else ops.conv
        return conv(x, kernel, self.conv.strides, **options)

    @property
    def _depthwise(self):
        return isinstance(self.conv, layers.DepthwiseConv2D)

    def _scale_and_shift(self):
        """gamma (conv(x) - mean) / sqrt(variance + epsilon) + beta, as two float32 [F]."""
        norm, bias = self.norm, self.conv.bias
        scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
        scale = scale * norm.gamma if norm.scale else scale
        shift = (-norm.moving_mean if bias is None else bias - norm.moving_mean) * scale
        return scale, shift + norm.beta if norm.center else shift

    def compute_output_spec(self, x, training=None):
        return keras.KerasTensor(self.conv.compute_output_shape(x.shape), self.conv.compute_dtype)


def _gradients_want_float32():
    """Whether depthwise convolutions of half precision are trained faster in float32.

    oneDNN, which TensorFlow uses on a processor, takes up to 8 times as long for their gradients in
    bfloat16 as in float32 (benchmarks/RESULTS.md).
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")
