"""What deeplab2 calls the weights of MaX-DeepLab.

A variable is `DeepLab/max_deeplab_s/stem/conv1_bn_act/conv/kernel`; in the graph of objects that a
checkpoint has it is `model/_encoder/_stem/_conv1_bn_act/_conv/kernel`. Our layers have the first
names with "_" in place of "/"; what is told here is where they differ.
"""

import itertools
import re

import numpy as np

from mrcnn.network.mask_transformer import void_prior
from mrcnn.weights.names import WeightNames
from mrcnn.weights.names.keras import keras_names
from mrcnn.weights.names.layouts import same

# Of variables, and of objects.
PREFIX = r"DeepLab/(max_deeplab_[sl]|MaXDeepLab)/|(model/)?_?(encoder|decoder)/"
# The first that fits whole counts.
_RULES = (  # theirs; our layer, whose "/" become "_"; our weight; layout
    (r"memory_feature", "memory", "feature", "same"),
    (r"(pixel_space_mask)_batch_norm/(\w+)", r"\1_logits", r"batch_norm/\2", "same"),
    (r"(.*_axis)/qkv_kernel", r"\1/qkv", "kernel", "kernel"),
    (r"(.*_axis)/(\w+_rpe)/embeddings", r"\1", r"\2", "same"),
    (r"(.*_axis)/(batch_norm_(?!qkv)\w+/\w+)", r"\1", r"\2", "terms"),
    (r"(.*_attention)/(batch_norm_\w+/\w+)", r"\1", r"\2", "term"),
    (r"(transformer_class_head/conv)/bias", r"\1", "bias", "class_bias"),
    (r"(.*)/depthwise_kernel", r"\1", "kernel", "same"),
    (r"(.*)/(\w+)", r"\1", r"\2", "kernel"),
)


def deeplab2_names(arrays):
    """deeplab2's name -> (our name, layout), of the names `arrays`."""
    names = {}
    for theirs in arrays:
        place, found = re.subn(f"^({PREFIX})", "", theirs)
        place = re.sub(r"(^|/)_", r"\1", place)  # objects have private names
        rules = (rule for rule in _RULES if found and re.fullmatch(rule[0], place))
        for pattern, layer, rest, layout in itertools.islice(rules, 1):
            match = re.fullmatch(pattern, place)
            layer = match.expand(layer).replace("/", "_")
            names[theirs] = f"{layer}/{match.expand(rest)}", _LAYOUTS[layout]
    return names


def _kernel(array):
    """(I, O) of a product and (1, I, O) of a line -> (1, 1, I, O). Others stay."""
    return array.reshape(1, 1, *array.shape[-2:]) if array.ndim in (2, 3) else array


def _terms(array):
    """(terms, 1, heads, 1, channels or 1) -> (terms, heads) or (terms, heads, channels)."""
    array = array[:, 0, :, 0]
    return array[..., 0] if array.shape[-1] == 1 else array


def _term(array):
    """(heads,) -> (1, heads), and (1, heads, 1, channels) -> (1, heads, channels)."""
    return array[None] if array.ndim == 1 else array[:, :, 0]


def _class_bias(array):
    """The bias, with the prior that deeplab2 adds to it each time."""
    prior = np.zeros_like(array)
    prior[-1] = void_prior(len(array))
    return array + prior


_LAYOUTS = {
    "same": same,
    "kernel": _kernel,
    "terms": _terms,
    "term": _term,
    "class_bias": _class_bias,
}


def _table(source, arrays, settings):
    if source == "deeplab2":
        return deeplab2_names(arrays)
    return keras_names(arrays)


MAX_DEEPLAB = WeightNames(
    sources=("deeplab2", "matterport"),
    table=_table,
    ignored={
        "deeplab2": r".*OPTIMIZER_SLOT.*|(optimizer|iterations|global_step|step|save_counter)\b.*",
        "matterport": r"$^",
    },
    heads=("pixel_space_", "transformer_", "auxiliary_", "memory"),
    class_heads=("transformer_class_head_conv", "auxiliary_semantic_head_final_conv"),
    normalized=r"$^",
    optional=lambda settings: None,
)
