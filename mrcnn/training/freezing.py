"""Which layers train."""

import re

import keras

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
