"""Features of the backbone that are computed a second time for the gradient instead of being kept.

Training deep nets with sublinear memory cost, arXiv:1604.06174.
"""

import functools

import keras

from mrcnn.network.folding import fold_batch_norm, is_conv

LEAST_CONVS = 2  # of a block: to keep the input of every convolution would save nothing


def rematerialize(model, names):
    """The same function over the same weights, which keeps a backbone's blocks' inputs alone.

    Each block is run a second time when its gradient is asked for. A block ends where all that
    follows in the backbone needs one tensor alone: in a ResNet, at a sum. Layers of Keras by
    themselves, as `keras.RematScope` takes them, would save nothing: what they are given is what
    the layer before them returned, and is kept for it.

    Args:
        model: functional `keras.Model` with an input `input_image`.
        names: list of names of the operations that return C2, C3, ...

    Returns:
        function `(inputs, training=None)`, inputs a dict by name, that returns what `model` does.
        BatchNorms are folded as by `fold_batch_norm`.
    """
    operations = {operation.name: operation for operation in model.operations}
    features = [operations[name].output for name in names]
    images = model.get_layer("input_image").output
    stages = [_blocks(*ends) for ends in zip([images, *features], features, strict=False)]
    given = [tensor.name for tensor in model.inputs]
    rest = fold_batch_norm(keras.Model([*model.inputs, *features], model.outputs, name=model.name))

    def run(inputs, training=None):
        inputs = keras.tree.flatten(inputs)
        x, found = inputs[given.index("input_image")], []
        for blocks in stages:
            for block in blocks:
                x = keras.remat(functools.partial(block, training=training))(x)
            found.append(x)
        return rest([*inputs, *found], training=training)

    return run


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
    blocks = []
    for first, last in zip(cuts, cuts[1:], strict=False):
        blocks.append(fold_batch_norm(keras.Model(first, last)))
    return blocks


def _cuts(start, calls):
    """Tensors that are all that later calls need, with convolutions between any two."""
    last_use = {id(x): i for i, (_, given, _) in enumerate(calls) for x in given}
    cuts, live, convs = [], {id(start): start}, 0
    for i, (layer, _, result) in enumerate(calls[:-1]):
        live[id(result)] = result
        live = {key: x for key, x in live.items() if last_use.get(key, -1) > i}
        convs += is_conv(layer)
        if len(live) == 1 and id(result) in live and convs >= LEAST_CONVS:
            cuts.append(result)
            convs = 0
    return cuts
