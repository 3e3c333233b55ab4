"""Which layers train."""

import re
import warnings

import keras

# What `train(layers=...)` accepts besides a regular expression of layer names; EfficientNet's
# blocks 3, 4 and 6 are the first of stages 3, 4 and 5. `stage<n>_` is of `keras.applications` and
# MaX-DeepLab, whose memory and decoder count as heads.
_HEADS = (
    r"(mrcnn_.*)|(rpn_.*)|(fpn_.*)|(retinanet_.*)|(semantic_.*)|(memory)"
    r"|(decoder_stage.*)|((class|mask)_feature_extra.*)|(pixel_space_.*)"
    r"|(transformer_(class|mask)_head.*)|(auxiliary_semantic_.*)"
)
_STAGES = {
    5: r"((res|bn)5.*)|(block[67].*)|(stage5_.*)",
    4: r"((res|bn)4.*)|(block[45].*)|(stage4_.*)",
    3: r"((res|bn)3.*)|(block3.*)|(stage3_.*)",
    2: r"((res|bn)2.*)|(block2.*)|(stage2_.*)",
}
LAYER_GROUPS = {
    "heads": _HEADS,
    "3+": "|".join([_STAGES[3], _STAGES[4], _STAGES[5], _HEADS]),
    "4+": "|".join([_STAGES[4], _STAGES[5], _HEADS]),
    "5+": "|".join([_STAGES[5], _HEADS]),
    "all": r".*",
}

_EXPECTED = f"expected one of {list(LAYER_GROUPS)} or a regular expression such as 'mrcnn_.*'"


def layer_regex_of(layers):
    """The regular expression of layer names that `train(layers=...)` means.

    Raises:
        ValueError: `layers` is not a str.
    """
    if not isinstance(layers, str):
        raise ValueError(f"layers is {layers!r}; {_EXPECTED}")
    return LAYER_GROUPS.get(layers, layers)


def set_trainable(model, layer_regex):
    """Makes the layers of a model, and of models inside it, trainable if their whole name matches.

    Returns:
        list of the layers with weights that are trainable now.

    Raises:
        ValueError: no layer with weights matches, or `layer_regex` is no regular expression; then
            nothing changes.
    """
    try:
        pattern = re.compile(layer_regex)
    except re.error as error:
        raise ValueError(f"layers {layer_regex!r}: {error}; {_EXPECTED}") from None
    layers = list(_layers_with_weights(model))
    matched = [layer for layer in layers if pattern.fullmatch(layer.name)]
    if not matched:
        raise ValueError(f"no layer with weights matches {layer_regex!r}; {_EXPECTED}")
    for layer in layers:
        layer.trainable = pattern.fullmatch(layer.name) is not None
    return matched


def depth_of(name):
    """How many stages below the heads a layer is: heads and pyramid 0, stage 5 1, ..., stem 5.

    Layers of a backbone whose names are not those of ResNet or EfficientNet count as the stem.
    """
    if re.fullmatch(_HEADS, name):
        return 0
    return next((6 - stage for stage, names in _STAGES.items() if re.fullmatch(names, name)), 5)


def trained_depths(model):
    """`depth_of` the layer of each trainable weight of a model, a list in their order."""
    depths = {}
    for layer in _layers_with_weights(model):
        depths |= dict.fromkeys(map(id, layer.weights), depth_of(layer.name))
    return [depths[id(weight)] for weight in model.trainable_weights]


def warn_of_heads_alone(model, layers):
    """Warns where the stages that `layers` asks for have other names in the model's backbone."""
    trained = (layer.name for layer in _layers_with_weights(model) if layer.trainable)
    if layers in ("3+", "4+", "5+") and all(re.fullmatch(_HEADS, name) for name in trained):
        warnings.warn(
            f"layers={layers!r} trains the heads alone: no layer of this backbone is named as "
            "those of ResNet or EfficientNet; pass a regular expression of layer names",
            stacklevel=3,
        )


def _layers_with_weights(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers_with_weights(layer)
        elif layer.weights:
            yield layer
