"""Which layers train."""

import re
import warnings

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


_EXPECTED = f"expected one of {list(LAYER_GROUPS)} or a regular expression such as 'mrcnn_.*'"


def check_layers(layers):
    """Raises ValueError unless `layers` can be what `train(layers=...)` means."""
    if not isinstance(layers, str):
        raise ValueError(f"layers is {layers!r}; {_EXPECTED}")


def set_trainable_group(model, layers):
    """Makes what `train(layers=...)` means trainable, and nothing else.

    A group of stages in a backbone that has other names for them is told by a warning.
    """
    matched = set_trainable(model, LAYER_GROUPS.get(layers, layers))
    heads = all(re.fullmatch(_HEADS, layer.name) for layer in matched)
    if heads and layers in LAYER_GROUPS and layers != "heads":
        warnings.warn(
            f"layers={layers!r} trains the heads alone: no layer of this backbone is named as "
            "those of ResNet or EfficientNet; pass a regular expression of layer names",
            stacklevel=3,
        )


def set_trainable(model, layer_regex):
    """Makes the layers of a model, and of models inside it, trainable if their whole name matches.

    Returns:
        list of the layers with weights that are trainable now.

    Raises:
        ValueError: no layer with weights matches, or `layer_regex` is no regular expression.
    """
    try:
        pattern = re.compile(layer_regex)
    except re.error as error:
        raise ValueError(f"layers {layer_regex!r}: {error}; {_EXPECTED}") from None
    matched = []
    for layer in _layers_with_weights(model):
        layer.trainable = pattern.fullmatch(layer.name) is not None
        matched += [layer] if layer.trainable else []
    if not matched:
        raise ValueError(f"no layer with weights matches {layer_regex!r}; {_EXPECTED}")
    return matched


def _layers_with_weights(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers_with_weights(layer)
        elif layer.weights:
            yield layer
