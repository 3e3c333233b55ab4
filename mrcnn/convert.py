"""Loads the arrays of any source into a model: by name, exactly, with a report.

A report is a dict: `source`, `epsilon` of the source's BatchNorms, and sorted lists of names:
`loaded`, `missing` from the source, `zeroed` (biases that the source does without), `excluded` and
`reinitialized` (ours), `unexpected` (the source's) and `wrong_shape` (ours, with both shapes).
"""

import re
import warnings

import keras
import numpy as np

from mrcnn.hdf5 import named_weights
from mrcnn.names import IGNORED, SOURCES, source_names
from mrcnn.presets import FAMILY_KEYS, PRESETS

# What the classifiers were trained with: pixels, and BatchNorm's epsilon.
BACKBONE_INPUT = {
    "efficientnet_lite": {"MEAN_PIXEL": 127.0, "STD_PIXEL": 128.0},
    "keras_applications": {"MEAN_PIXEL": (123.68, 116.779, 103.939), "STD_PIXEL": 1.0},
}
BACKBONE_EPSILON = {"efficientnet_lite": 1e-3}

# What every backbone lacks, and of that what depends on the number of classes.
HEADS = ("fpn_", "rpn_", "mrcnn_")
NORMALIZED = r"(conv1|res.*|mrcnn_(class|box|mask)_conv\d)"  # with a BatchNorm, in matterport's
CLASS_HEADS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask")


def load_state_dict(model, arrays, source, by_name=False, exclude=(), epsilon=None, preset=None):
    """Loads arrays into a model; unless all that its mode needs is there, nothing is loaded.

    In training, heads of another class count are initialised anew, with a warning that names them,
    and a source that is a backbone only leaves the heads as they are.

    Args:
        model: `MaskRCNN`.
        arrays: dict of NumPy arrays under the source's names.
        source: "torchvision", "detectron2", "matterport" (or this library's own),
            "keras_applications" or "efficientnet_lite".
        by_name: bool; load what both have, whatever is missing or unexpected.
        exclude: list of layer names or regular expressions, left as they are.
        epsilon: float, BatchNorm's epsilon that the arrays were trained with: where the config's
            differs, gamma is scaled so that the outputs stay. None: that of the source's public
            backbones, else the config's.
        preset: key of `PRESETS`, the numerics that the arrays were trained in; a model of another
            family warns. None: guessed from the arrays.

    Returns:
        dict, the report.

    Raises:
        ValueError: an unknown source, or names or shapes disagree; the message lists which.

    Example:

    >>> report = load_state_dict(model, dict(np.load("weights.npz")), "torchvision")
    >>> report["missing"]
    []
    """
    if source not in SOURCES:
        raise ValueError(f"source is {source!r}; expected one of {SOURCES}")
    plan = _plan(model, arrays, source, exclude or ())
    names = {name for path in _layer_paths(model.keras_model) for name in path}
    for pattern in sorted(set(exclude or ()) - set(CLASS_HEADS)):
        if not any(re.fullmatch(pattern, name) for name in names):
            warnings.warn(
                f"exclude has {pattern!r}, but no layer of the model is called so", stacklevel=3
            )
    problems, preset = _problems(model, plan, by_name), preset or guess_preset(arrays)
    if problems:
        raise ValueError(_mismatch(model, plan, problems, by_name, preset))
    check_family(model.config, preset)
    check_input(model.config, source)
    epsilon = BACKBONE_EPSILON.get(source) if epsilon is None else epsilon
    own_epsilon = model.config.BATCH_NORM_EPSILON
    weights = named_weights(model.keras_model)
    for name, (key, layout) in plan["found"].items():
        array = layout(np.asarray(arrays[key]))
        layer, variable = name.split("/")
        variance = plan["found"].get(f"{layer}/moving_variance")
        if variable == "gamma" and variance and epsilon not in (None, own_epsilon):
            array = array * _epsilon_factor(np.asarray(arrays[variance[0]]), epsilon, own_epsilon)
        weights[name].assign(array)
    for name in plan["zeroed"]:
        weights[name].assign(np.zeros(weights[name].shape, "float32"))
    for name in plan["reinitialized"]:
        _initialize(model.keras_model, name, weights[name])
    if plan["reinitialized"]:
        heads = sorted({name.split("/")[0] for name in plan["reinitialized"]})
        warnings.warn(
            f"heads of another class count than NUM_CLASSES = {model.config.NUM_CLASSES} start "
            f"anew: {', '.join(heads)}",
            stacklevel=3,
        )
    report = {key: sorted(plan[key]) for key in _LISTS}
    epsilon = own_epsilon if epsilon is None else epsilon
    return {"source": source, "epsilon": epsilon, "loaded": sorted(plan["found"]), **report}


_LISTS = ("missing", "zeroed", "unexpected", "wrong_shape", "excluded", "reinitialized")


def _plan(model, arrays, source, exclude):
    """What would be loaded, and what not: as a report, with `found`: our name -> (key, layout)."""
    weights = named_weights(model.keras_model)
    names = source_names(source, arrays, model.config.POOL_SIZE)
    places = {names[key][0]: (key, names[key][1]) for key in arrays if key in names}

    paths = {path[-1]: path for path in _layer_paths(model.keras_model)}

    def is_excluded(name):
        layer = name.rsplit("/", 1)[0]
        path = paths.get(layer, (layer,))  # a layer of the file alone stands for itself
        return any(re.fullmatch(pattern, part) for pattern in exclude for part in path)

    plan = {key: [] for key in _LISTS} | {"found": {}}
    for name, weight in weights.items():
        if is_excluded(name):
            plan["excluded"].append(name)
        elif name not in places and _is_zero_bias(name, places, model.config):
            plan["zeroed"].append(name)
        elif name not in places:
            plan["missing"].append(name)
        else:
            key, layout = places[name]
            shape = _shape(layout, arrays[key].shape)
            if shape == tuple(weight.shape):
                plan["found"][name] = places[name]
            elif model.mode == "training" and name.split("/")[0] in CLASS_HEADS:
                plan["reinitialized"].append(name)
            else:
                plan["wrong_shape"].append(f"{name}: file {shape}, model {tuple(weight.shape)}")
    for key in arrays:
        name = names[key][0] if key in names else key
        if name not in weights and not is_excluded(name) and not re.match(IGNORED[source], key):
            plan["unexpected"].append(key)
    return plan


def _epsilon_factor(variance, epsilon, own_epsilon):
    """What gamma is multiplied by where another epsilon is added to the variance.

    Not the variance is changed instead: in float32 that would make the smallest ones 0.
    """
    variance = variance.astype("float64")
    total = np.maximum(variance + epsilon, np.finfo("float32").tiny)
    return np.sqrt((variance + own_epsilon) / total).astype("float32")


def _shape(layout, shape):
    """The shape that a layout gives an array; the array's own if it cannot have that layout."""
    try:
        return layout(np.broadcast_to(np.float32(0), shape)).shape
    except (IndexError, ValueError):
        return shape


def _is_zero_bias(name, places, config):
    """Whether a weight is the bias of a convolution that a BatchNorm follows, in a source that
    has none there: adding 0 changes nothing."""
    layer, variable = name.split("/")
    return (
        config.CONV_BIAS_BEFORE_NORM
        and variable == "bias"
        and re.fullmatch(NORMALIZED, layer) is not None
        and f"{layer}/kernel" in places
        and not any(re.fullmatch(NORMALIZED + "/bias", place) for place in places)
    )


def _problems(model, plan, by_name):
    """(what, names) of each reason not to load."""
    backbone_only = not any(name.startswith(HEADS) for name in plan["found"])
    missing, unexpected = plan["missing"], plan["unexpected"]
    if backbone_only and model.mode == "training":
        missing = [name for name in missing if not name.startswith(HEADS)]
    if not model.config.USE_MASK:
        unexpected = [name for name in unexpected if "mask" not in name]
    problems = [("of another shape", plan["wrong_shape"])]
    if not by_name:
        problems += [("missing from the file", missing), ("not in this model", unexpected)]
    if not plan["found"]:
        weights = named_weights(model.keras_model)
        both = [f"file has {_few(plan['unexpected'])}", f"model {_few(weights)}"]
        problems.append(("in common: none", both))
    return [problem for problem in problems if problem[1]]


def _mismatch(model, plan, problems, by_name, preset):
    lines = ["the weights do not fit this model, nothing was loaded:"]
    lines += [f"- {len(items)} weights {what}: {_few(sorted(items))}" for what, items in problems]
    if model.mode == "inference" and all(
        name.startswith(HEADS) for name in [*plan["missing"], *plan["wrong_shape"]]
    ):
        lines.append(
            "A model in inference mode needs trained heads of its own class count: "
            "load these weights into MaskRCNN('training', ...), train, and detect with that."
        )
    if preset in PRESETS and _family(preset) != _family(model.config.PRESET):
        lines.append(f"They are of the family {_family(preset)}: subclass PRESETS[{preset!r}].")
    lines.append(
        "Check BACKBONE, NUM_CLASSES and the preset. To keep the heads of another class count out, "
        f"pass exclude={list(CLASS_HEADS)}"
        + ("." if by_name else "; to load only what both have, pass by_name=True.")
    )
    return "\n".join(lines)


def _family(preset):
    return preset.split("/")[0]


def _few(names, limit=12):
    names = list(names)
    return ", ".join(names[:limit]) + (f", ... {len(names)} in all" if len(names) > limit else "")


def _layer_paths(keras_model, above=()):
    """Every layer of a model and of the models inside it, as their names from outside in."""
    for layer in keras_model.layers:
        path = (*above, layer.name)
        yield from _layer_paths(layer, path) if isinstance(layer, keras.Model) else (path,)


def _initialize(keras_model, name, weight):
    """Gives a weight of a stock layer the values that a new one would have."""
    layer, variable = name.split("/")
    initializer = getattr(keras_model.get_layer(layer), f"{variable}_initializer")
    weight.assign(initializer(weight.shape, weight.dtype))


def summarize(report):
    """One line of what a report holds: the source, and how many weights met which end."""
    counts = [f"{len(report['loaded'])} weights loaded from {report['source']}"]
    counts += [f"{len(report[key])} {key.replace('_', ' ')}" for key in _LISTS if report[key]]
    return ", ".join(counts)


# What a file tells of itself.


def guess_source(arrays):
    """Names the source of arrays by their names.

    Raises:
        ValueError: no known source calls weights so.
    """
    names = list(arrays)
    signs = {
        "detectron2": r"backbone\.bottom_up\.",
        "torchvision": r"backbone\.body\.|layer1\.0\.conv1\.",
        "efficientnet_lite": r"_conv_stem\.",
        "keras_applications": r"conv1_conv/|conv1/conv1_W",
        "matterport": r"[^/]+/(kernel|bias|gamma|beta|moving_\w+)$",
    }
    for source, sign in signs.items():
        if any(re.match(sign, name) for name in names):
            return source
    raise ValueError(
        f"these weights are of no known source; expected names as of {', '.join(SOURCES)}, "
        f"received {_few(names, 5)}"
    )


def count_classes(arrays, source):
    """Number of classes of a source's heads, background included; None without heads."""
    key, axis = {
        "torchvision": ("roi_heads.box_predictor.cls_score.weight", 0),
        "detectron2": ("roi_heads.box_predictor.cls_score.weight", 0),
        "matterport": ("mrcnn_class_logits/kernel", -1),
    }.get(source, (None, 0))
    return int(arrays[key].shape[axis]) if key in arrays else None


def guess_preset(arrays):
    """Key of `PRESETS` whose numerics and architecture are those of the arrays; None without."""
    source = guess_source(arrays)
    if source == "matterport":
        return "matterport/mask_rcnn_coco"
    if source == "torchvision":
        v2 = "backbone.fpn.inner_blocks.0.1.weight" in arrays
        return "torchvision/maskrcnn_resnet50_fpn" + ("_v2" if v2 else "")
    if source == "detectron2":
        if "backbone.bottom_up.res4.22.conv1.weight" not in arrays:
            return "detectron2/mask_rcnn_R_50_FPN_3x"
        grouped = arrays["backbone.bottom_up.res2.0.conv2.weight"].shape[1] == 8
        return f"detectron2/mask_rcnn_{'X_101_32x8d' if grouped else 'R_101'}_FPN_3x"
    return None


def check_input(config, source):
    """Warns if a backbone was trained on another range of pixels than the config's."""
    for key, wanted in BACKBONE_INPUT.get(source, {}).items():
        value = getattr(config, key)
        if np.shape(value) in ((), (3,)) and not np.allclose(value, wanted, atol=0.1):
            warnings.warn(
                f"{source}'s weights were trained with {key} = {wanted}, the config has "
                f"{value}: set it, or the backbone starts worse",
                stacklevel=4,
            )


def check_family(config, preset):
    """Warns if weights of a preset come to a config of another numerics family.

    Args:
        config: `Config`.
        preset: key of `PRESETS`; None, or one that is not there: nothing is known, no warning.
    """
    if preset not in PRESETS or _family(preset) == _family(config.PRESET):
        return
    wanted = PRESETS[preset]()
    differing = {
        key: getattr(wanted, key)
        for key in FAMILY_KEYS
        if not np.array_equal(getattr(wanted, key), getattr(config, key))
    }
    if differing:
        values = ", ".join(f"{key} = {value}" for key, value in differing.items())
        warnings.warn(
            f"these weights are {_family(preset)}'s and {type(config).__name__} is of the "
            f"family {_family(config.PRESET)}: they will detect worse. Subclass "
            f"PRESETS[{preset!r}] of mrcnn.presets, or set {values}",
            stacklevel=4,
        )
