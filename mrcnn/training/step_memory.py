"""What a training step needs in memory, counted from the shapes before the first step."""

import itertools
import math

import keras
import numpy as np

from mrcnn.network.folding import is_norm
from mrcnn.network.rematerialization import backbone_blocks
from mrcnn.training.device_memory import device_memory
from mrcnn.training.memory import advice

_GIB = 2**30


def training_sides(generator):
    """Height and width of the images of a training.

    In modes "none" and "pad64", which take pictures in their size, those of the next batch, which
    is made for it and kept.

    Args:
        generator: `DataGenerator` of the training.
    """
    image = generator.settings.image
    if image.resize_mode == "shortest_edge":
        return image.min_dim, image.max_dim
    if image.trains_on_one_size:
        return image.shape
    return generator.peek()["input_image"].shape[1:3]


def describe_step(model, settings, sides):
    """What a training step will need, as text, and a warning where there is not as much.

    Args:
        model: keras.Model, compiled, whose layers are trainable as they will be.
        settings: `mrcnn.settings.Settings` of the model.
        sides: (height, width) of the images, see `training_sides`.

    Returns:
        (str, str or None).
    """
    runtime, (height, width) = settings.runtime, sides
    batch_size = math.ceil(runtime.batch_size / runtime.devices)
    needed = sum(step_bytes(model, batch_size, (height, width)).values())
    images = f"{batch_size} image{'s' * (batch_size > 1)} of {height} x {width}"
    text = f"A step of {images} will need about {needed / _GIB:.1f} GiB"
    if runtime.devices > 1:
        text += f" of each of {runtime.devices} devices"
    limit = device_memory().limit()
    if needed <= limit:
        return text, None
    helps = advice(settings, model, sides)
    return text, f"{text}; there are {limit / _GIB:.1f} GiB. What helps: {helps}"


def step_bytes(model, batch_size, sides):
    """About how many bytes a training step takes.

    Features are the outputs of all layers that gradients pass through: a step keeps them until the
    gradients have come back. What a backend needs beside them, and what it need not keep, about
    balance: see benchmarks/RESULTS.md.

    Args:
        model: functional keras.Model, compiled, whose layers are trainable as they will be.
        batch_size: int, images of a step.
        sides: (height, width) of the images.

    Returns:
        dict of int: `weights`, with what the optimizer keeps of each; `gradients`; `features`.
    """
    inputs = keras.tree.map_structure(lambda x: _sized(x, batch_size, sides), model.input)
    tensors = {
        "weights": [*model.variables, *model.optimizer.variables],
        "gradients": model.trainable_variables,
        "features": features_with_gradients(model, inputs),
    }
    needed = {name: sum(map(_bytes, each)) for name, each in tensors.items()}
    if getattr(model, "recomputed", None):
        needed["features"] -= _recomputed_bytes(model, inputs)
    return needed


def _recomputed_bytes(model, inputs):
    """What the blocks of a backbone do not keep: all but what they return. The largest counts as
    kept, for it is there while its gradients are computed."""
    x = next(x for x in keras.tree.flatten(inputs) if x.name == "input_image")
    inside, passed = [0], {}
    blocks = backbone_blocks(model, model.recomputed)
    for block in itertools.chain.from_iterable(blocks):
        *found, returned = features_with_gradients(block, x, passed) or [None]
        inside.append(sum(map(_bytes, found)))
        x = block(x)
        if returned is not None:
            passed[id(x)] = x
    return sum(inside) - max(inside)


def features_with_gradients(model, inputs, passed=None):
    """The outputs of a model's layers that gradients pass through.

    Args:
        model: functional keras.Model.
        inputs: symbolic tensors like the model's, of known shapes.
        passed: dict of the tensors by their ids that gradients are known to pass through; the
            model's are added.

    Returns:
        list of symbolic tensors. A BatchNorm has none of its own: it is part of the convolution
        before it, see `mrcnn.network.folding`. Of a `Sequential` and of what is no functional
        model the outputs alone are seen.
    """
    found, passed = [], {} if passed is None else passed

    def call(layer, *args, **kwargs):
        nested = isinstance(layer, keras.Model) and hasattr(layer, "operations")  # functional
        if nested:
            found.extend(features_with_gradients(layer, args[0], passed))
        result = layer(*args, **kwargs)
        given, outputs = keras.tree.flatten((args, kwargs)), keras.tree.flatten(result)
        trained = getattr(layer, "trainable_weights", ())  # an operation has none
        if trained or any(id(x) in passed for x in given):
            passed.update({id(x): x for x in outputs})
            if not nested and not is_norm(layer):
                found.extend(outputs)
        return result

    plain = keras.Model(model.input, model.output)
    keras.models.clone_model(plain, inputs, lambda x: x, call)
    return found


def _sized(tensor, batch_size, sides):
    """An input like a symbolic tensor, without RPN targets where these come from the data."""
    shape = [batch_size, *tensor.shape[1:]]
    if shape.count(None) == 2:
        shape[1:3] = sides
    elif None in shape:
        shape[1:-1] = [0]
    return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=tensor.name)


def _bytes(tensor):
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return math.prod(tensor.shape) * np.dtype(dtype).itemsize
