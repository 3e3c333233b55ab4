"""The networks of `keras.applications` as backbones.

Keras builds the network. Its layers are made anew in our graph, as `stage<n>_<name in Keras>`: n is
1 up to stride 2, then the stride is 2^n. By it freezing and `LAYER_DECAY` know where a layer is.

Shapes: B images, H W, C channels.
"""

import re
import sys

import keras
import numpy as np
from keras import layers

from mrcnn.config_checks import KERAS_PREFIX
from mrcnn.network.norm import BatchNorm

# Of the pictures that Keras is asked for. Strides are read at it; of MobileNet's ImageNet weights
# it chooses the file.
_SIDE = 224
# Of ImageNet's pixels, red, green and blue on the scale of 0 to 1.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def keras_graph(
    images, backbone, stage5=True, train_bn=None, pixels=(0.0, 1.0), synchronized=False
):
    """A network of `keras.applications` without its classifier.

    C2 to C5 are the last features of their stride: the end of a stage, or what the first block of
    the next one widens it to before it halves it.

    The network's own preprocessing (BGR without the mean, -1 to 1, 0 to 255, ...) is part of the
    graph. Its input is molded all the same: `pixels` says with which mean and deviation pictures
    such as ImageNet's are. With those of the preset in the config, the network sees what Keras
    would show it. With those of other pictures, as `mrcnn stats` prints them, it sees these with
    the mean and deviation of ImageNet's.

    Args:
        images: float [B, H, W, 3], RGB, molded.
        backbone: str, one of `mrcnn.config_checks.KERAS_BACKBONES`.
        stage5: bool, whether to build C5.
        train_bn: see `Config.TRAIN_BN`.
        pixels: (mean, std), each a float or three: `images * std + mean` is on the scale of 0 to
            255. The default takes images that are not molded.
        synchronized: bool, whether batch statistics are of all devices, see `BatchNorm`.

    Returns:
        list [None, C2, C3, C4, C5] of float [B, H / 2^n, W / 2^n, C]; C5 is None without `stage5`.

    Example:

    >>> features = keras_graph(keras.Input((64, 96, 3)), "keras/MobileNetV2")
    >>> features[1].shape
    (None, 16, 24, 144)
    """
    build, source = _network(backbone)
    names, ends = _names_and_ends(source)
    levels = (2, 3, 4, 5) if stage5 else (2, 3, 4)
    features, level_of = [None] * 5, {id(ends[level]): level for level in levels}

    norms = {"train_bn": train_bn, "synchronized": synchronized}

    def clone(operation):
        return [(_remake(part, names[id(part)], norms), id(part)) for part in _parts(operation)]

    def call(parts, *args, **kwargs):
        x = args[0]
        for layer, part in parts:
            x = layer(*args, **kwargs) if len(parts) == 1 else layer(x)
            if part in level_of:
                features[level_of[part] - 1] = x
        return x

    mean, std = (np.broadcast_to(values, 3).tolist() for values in pixels)
    x = layers.Rescaling(std, mean, dtype="float32", name="stage1_pixels")(images)
    x = sys.modules[build.__module__].preprocess_input(x)
    last = next(op for op in source.operations if ends[levels[-1]] in _parts(op))
    keras.models.clone_model(keras.Model(source.input, last.output), x, clone, call)
    return features


def imagenet_arrays(backbone):
    """The ImageNet weights of `keras_graph`, by `layer/variable`: a dict of NumPy arrays.

    Keras fetches them; see `keras.applications`.

    Args:
        backbone: str, one of `mrcnn.config_checks.KERAS_BACKBONES`.

    Raises:
        OSError: they cannot be had.
    """
    try:
        _, source = _network(backbone, "imagenet")
    except Exception as error:  # what Keras raises has no class of its own
        raise OSError(f"cannot fetch the ImageNet weights of {backbone}: {error}") from error
    names, _ = _names_and_ends(source)
    return {
        f"{names[id(part)]}/{'gamma' if _is_layer_scale(part) else weight.name}": weight.numpy()
        for operation in source.operations
        for part in _parts(operation)
        if isinstance(part, layers.Layer) and not isinstance(part, layers.Normalization)
        for weight in part.weights
    }


def _network(backbone, weights=None):
    """What builds a network in Keras, and what it built."""
    build = getattr(keras.applications, backbone.removeprefix(KERAS_PREFIX))
    return build, build(include_top=False, weights=weights, input_shape=(_SIDE, _SIDE, 3))


def _parts(operation):
    """What an operation of Keras's graph consists of: itself, or the layers of a `Sequential`."""
    return operation.layers if isinstance(operation, keras.Sequential) else [operation]


def _names_and_ends(source):
    """Our names of a network's parts, by id, and by level n the part that returns Cn."""
    names, ends, counts, level = {}, {}, {}, 1
    for part in (part for operation in source.operations for part in _parts(operation)):
        shape = part.output.shape
        stride = _SIDE / shape[1] if len(shape) == 4 else None
        if stride in (1, 2, 4, 8, 16, 32):  # else padded, or squeezed to one place
            level = max(1, int(stride).bit_length() - 1)
            ends[level] = part
        names[id(part)] = f"stage{level}_{_lasting_name(part, counts)}"
    return names, ends


def _lasting_name(part, counts):
    """The name of a part; if Keras has counted its class in this process, counted in `counts`."""
    kind = re.sub(r"_\d+$", "", part.name)
    if kind.replace("_", "") != type(part).__name__.lower():
        return part.name
    counts[kind] = counts.get(kind, 0) + 1
    return f"{kind}_{counts[kind]}"


def _remake(part, name, norms):
    """A new layer or operation of the same kind; `norms`: what a `BatchNorm` is told."""
    config = {**part.get_config(), "name": name}
    kind = type(part)
    if kind is layers.BatchNormalization:
        kind, config = BatchNorm, config | norms
    elif _is_layer_scale(part):
        kind = LayerScale
    elif kind in (layers.Rescaling, layers.Normalization):
        config["dtype"] = "float32"  # pixels, under mixed precision too
        if kind is layers.Normalization and config["mean"] is None:
            # EfficientNetB0 to B7 have the statistics among their weights; those that Keras makes
            # for "imagenet" divide by the root of the deviation twice.
            config |= {"mean": _MEAN, "variance": [std**2 for std in _STD]}
    elif not isinstance(part, layers.Layer):
        del config["name"]
    return kind.from_config(config)


def _is_layer_scale(part):
    return type(part).__name__ == "LayerScale"


@keras.saving.register_keras_serializable("mrcnn")
class LayerScale(layers.Layer):
    """Features times gamma, one number a channel (arXiv:2103.17239), as in ConvNeXt.

    The layer of `keras.applications` gives its weight no name, by which files could find it.

    Args:
        init_values: float, of gamma.
        projection_dim: int C.
    """

    def __init__(self, init_values, projection_dim, **kwargs):
        super().__init__(**kwargs)
        self.init_values, self.projection_dim = init_values, projection_dim

    def build(self, input_shape):
        initializer = keras.initializers.Constant(self.init_values)
        self.gamma = self.add_weight((self.projection_dim,), initializer, name="gamma")

    def call(self, x):
        """float [..., C] -> the same shape."""
        return x * self.gamma

    def get_config(self):
        own = {"init_values": self.init_values, "projection_dim": self.projection_dim}
        return {**super().get_config(), **own}
