"""Features of the backbone that are computed a second time for the gradient instead of being kept.

Training deep nets with sublinear memory cost, arXiv:1604.06174.
"""

import functools
import itertools

import keras
from keras import ops

from mrcnn.network.folding import fold_batch_norm, is_conv

LEAST_CONVS = 3  # of a block, as many as a bottleneck has


def rematerialize(model, names):
    """The same function over the same weights, which of a backbone keeps what its blocks are given.

    Each block is run a second time when its gradient is asked for. A single layer in
    `keras.RematScope` would save nothing: what it is given is what the layer before returned.

    Args:
        model: functional `keras.Model` with an input `input_image`.
        names: list of the names of the operations that return C2, C3, ...

    Returns:
        function `(inputs, training=None)`, of all inputs, that returns what `model` does.
        BatchNorms are folded as by `fold_batch_norm`.
    """
    blocks, rest = backbone_blocks(model, names), _behind(model, names)
    given = [tensor.name for tensor in model.inputs]

    def run(inputs, training=None):
        # Keras takes arrays and tensors, but not both; an optional input may be None.
        inputs = [x if x is None else ops.convert_to_tensor(x) for x in keras.tree.flatten(inputs)]
        x, found = inputs[given.index("input_image")], []
        for stage in blocks:
            for block in stage:
                x = keras.remat(functools.partial(block, training=training))(x)
            found.append(x)
        return rest([*inputs, *found], training=training)

    return run


def backbone_blocks(model, names):
    """The parts of a backbone that are run again, of features to features.

    A block ends where a convolution is given all that follows in the backbone needs: after a
    bottleneck, that is.

    Args:
        model, names: as of `rematerialize`.

    Returns:
        list, for each of `names`, of lists of functional `keras.Model`, each of which is given
        what the one before returns. They share the layers of `model`.
    """
    features = _features(model, names)
    starts = [model.get_layer("input_image").output, *features]
    return [_blocks(*ends) for ends in zip(starts, features, strict=False)]


def _behind(model, names):
    """What follows the features: a model of `model`'s inputs and of them."""
    features = {}

    def call(layer, *args, **kwargs):
        result = layer(*args, **kwargs)
        if layer.name in names:
            features[layer.name] = result
        return result

    # A copy: to cut the model itself would change what its inputs know of it.
    plain = keras.Model(model.input, model.output)
    inputs = keras.tree.map_structure(lambda x: _input_like(model, x), model.input)
    copy = keras.models.clone_model(plain, inputs, lambda layer: layer, call)
    inputs = [*copy.inputs, *(features[name] for name in names)]
    return fold_batch_norm(keras.Model(inputs, copy.outputs, name=model.name))


def _input_like(model, x):
    optional = model.get_layer(x.name).optional
    return keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name, optional=optional)


def _features(model, names):
    operations = {operation.name: operation for operation in model.operations}
    return [operations[name].output for name in names]


def _blocks(start, end):
    """Models from tensor to tensor, each of which is run again for its gradient."""
    calls = []

    def call(layer, *args, **kwargs):
        result = layer(*args, **kwargs)
        calls.append((layer, keras.tree.flatten([args, kwargs]), result))
        return result

    stage = keras.Model(start, end)
    whole = keras.models.clone_model(stage, stage.input, lambda layer: layer, call)
    cuts = [whole.input, *_cuts(whole.input, calls), whole.output]
    return [fold_batch_norm(keras.Model(*ends)) for ends in itertools.pairwise(cuts)]


def _cuts(start, calls):
    """Inputs of convolutions that are all that later calls need, enough convolutions apart."""
    last_use = {id(x): i for i, (_, given, _) in enumerate(calls) for x in given}
    cuts, live, convs = [], {id(start): start}, 0
    for i, (layer, given, result) in enumerate(calls):
        if is_conv(layer):
            if convs >= LEAST_CONVS and len(live) == 1:
                cuts.append(given[0])
                convs = 0
            convs += 1
        live[id(result)] = result
        live = {key: x for key, x in live.items() if last_use.get(key, -1) > i}
    return cuts
