"""Loads the arrays of any source into a model: by name, exactly, with a report.

A `Report` is a dict: `source`, `epsilon` of the source's BatchNorms, and sorted lists of names:
`loaded`, of them `adapted` to another channel count, `missing` from the source, `zeroed` (biases
that the source does without), `excluded` and `reinitialized` (ours), `unexpected` (the source's)
and `wrong_shape` (ours, with both shapes).
"""

import re
import warnings

import keras
import numpy as np

from mrcnn.network.named_weights import named_weights
from mrcnn.presets import PRESETS
from mrcnn.weights.families import BACKBONE_EPSILON, check_family, check_input, family
from mrcnn.weights.input_channels import adapt_channels, differs_in_channels, first_kernel
from mrcnn.weights.sources import few, guess_preset


def load_state_dict(model, arrays, source, by_name=False, exclude=(), epsilon=None, preset=None):
    """Loads arrays into a model; unless all that its mode needs is there, nothing is loaded.

    In training, heads of another class count are initialised anew, and a first convolution of
    another channel count is adapted (`mrcnn.weights.input_channels`), with warnings that name them;
    and a source that is a backbone only leaves the heads as they are. Where proposals are given, so
    is the network that would make them, if the source has none.

    Args:
        model: `MaskRCNN`, or another architecture: has `keras_model`, `mode`, `settings` and
            `weight_names`.
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
        `Report`, a dict.

    Raises:
        ValueError: an unknown source, or names or shapes disagree; the message lists which.

    Example:

    >>> report = load_state_dict(model, dict(np.load("weights.npz")), "torchvision")
    >>> report["missing"]
    []
    """
    sources, settings = model.weight_names.sources, model.settings
    if source not in sources:
        raise ValueError(f"source is {source!r}; expected one of {sources}")
    plan = _plan(model, arrays, source, exclude or ())
    names = {name for path in _layer_paths(model.keras_model) for name in path}
    for pattern in sorted(set(exclude or ()) - set(model.weight_names.class_heads)):
        if not any(re.fullmatch(pattern, name) for name in names):
            warnings.warn(
                f"exclude has {pattern!r}, but no layer of the model is called so", stacklevel=3
            )
    problems, preset = _problems(model, plan, by_name), preset or guess_preset(arrays)
    if problems:
        raise ValueError(_mismatch(model, plan, problems, by_name, preset))
    check_family(settings, preset)
    check_input(settings, source)
    epsilon = BACKBONE_EPSILON.get(source) if epsilon is None else epsilon
    own_epsilon = settings.style.epsilon
    weights = named_weights(model.keras_model)
    for name, (key, layout) in plan["found"].items():
        array = layout(np.asarray(arrays[key]))
        layer, _, variable = name.rpartition("/")
        variance = plan["found"].get(f"{layer}/moving_variance")
        if variable == "gamma" and variance and epsilon not in (None, own_epsilon):
            array = array * _epsilon_factor(np.asarray(arrays[variance[0]]), epsilon, own_epsilon)
        weights[name].assign(array)
    if plan["adapted"]:
        warnings.warn(
            f"the first convolution is adapted to IMAGE_CHANNEL_COUNT, {plan['adapted'][0]}: train "
            'it with the rest, layers="all", and set MEAN_PIXEL and STD_PIXEL as `mrcnn stats` '
            "prints them",
            stacklevel=3,
        )
    for name in plan["zeroed"]:
        weights[name].assign(np.zeros(weights[name].shape, "float32"))
    for name in plan["reinitialized"]:
        _initialize(model.keras_model, name, weights[name])
    if plan["reinitialized"]:
        heads = sorted({name.rpartition("/")[0] for name in plan["reinitialized"]})
        keypoints = settings.keypoint_head
        also = f" or than NUM_KEYPOINTS = {keypoints.num_keypoints}" * keypoints.enabled
        also += " or of more than one mask" * settings.mask_head.class_agnostic
        warnings.warn(
            f"heads of another class count than NUM_CLASSES = {settings.image.num_classes}{also} "
            f"start anew: {', '.join(heads)}",
            stacklevel=3,
        )
    report = {key: sorted(plan[key]) for key in _LISTS}
    epsilon = own_epsilon if epsilon is None else epsilon
    return Report(source=source, epsilon=epsilon, loaded=sorted(plan["found"]), **report)


_LISTS = ("missing", "adapted", "zeroed", "unexpected", "wrong_shape", "excluded", "reinitialized")


class Report(dict):
    """A report, shown by the lengths of its lists: a notebook prints what a cell ends in."""

    def __repr__(self):
        counts = [f"{len(self[key])} {key}" for key in ("loaded", "missing")]
        counts += [f"{len(self[key])} {_words(key)}" for key in _LISTS[1:] if self[key]]
        return f"<report: {', '.join(counts)}, BatchNorm epsilon {self['epsilon']:g}>"


def _plan(model, arrays, source, exclude):
    """What would be loaded, and what not: as a report, with `found`: our name -> (key, layout)."""
    weights, tables = named_weights(model.keras_model), model.weight_names
    names = tables.table(source, arrays, model.settings)
    places = {names[key][0]: (key, names[key][1]) for key in arrays if key in names}

    first = first_kernel(weights, model.settings.image.channels)
    paths = {path[-1]: path for path in _layer_paths(model.keras_model)}

    def is_excluded(name):
        layer = name.rsplit("/", 1)[0]
        path = paths.get(layer, (layer,))  # a layer of the file alone stands for itself
        return any(re.fullmatch(pattern, part) for pattern in exclude for part in path)

    plan = {key: [] for key in _LISTS} | {"found": {}}
    for name, weight in weights.items():
        if is_excluded(name):
            plan["excluded"].append(name)
        elif name not in places and _is_zero_bias(name, places, model):
            plan["zeroed"].append(name)
        elif name not in places:
            plan["missing"].append(name)
        else:
            key, layout = places[name]
            shape = _shape(layout, arrays[key].shape)
            if shape == tuple(weight.shape):
                plan["found"][name] = places[name]
            elif model.mode == "training" and any(
                re.fullmatch(head, name.split("/")[0]) for head in tables.class_heads
            ):
                plan["reinitialized"].append(name)
            elif (
                model.mode == "training"
                and name == first
                and differs_in_channels(shape, weight.shape)
            ):
                plan["found"][name] = key, _adapted(layout, weight.shape[2])
                plan["adapted"].append(f"{name}: file {shape[2]}, model {weight.shape[2]} channels")
            else:
                plan["wrong_shape"].append(f"{name}: file {shape}, model {tuple(weight.shape)}")
    for key in arrays:
        name = names[key][0] if key in names else key
        if (
            name not in weights
            and not is_excluded(name)
            and not re.match(tables.ignored[source], key)
        ):
            plan["unexpected"].append(key)
    plan["other_norms"] = [x for x in _other_norms(weights, places) if not is_excluded(x)]
    return plan


def _other_norms(weights, places):
    """gamma of the layers that are a BatchNorm, with statistics, here or in the source alone."""
    gammas = [name for name in weights if name.endswith("/gamma") and name in places]
    statistics = {name: name.removesuffix("gamma") + "moving_mean" for name in gammas}
    return [x for x in gammas if (statistics[x] in weights) != (statistics[x] in places)]


def _adapted(layout, count):
    return lambda array: adapt_channels(layout(array), count)


def _epsilon_factor(variance, epsilon, own_epsilon):
    """What gamma is multiplied by where another epsilon is added to the variance.

    gamma changes and not the variance, of which small values would become 0 in float32.
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


def _is_zero_bias(name, places, model):
    """Whether a weight is the bias of a convolution that a BatchNorm follows, in a source that
    has none there: adding 0 changes nothing."""
    layer, _, variable = name.rpartition("/")
    normalized = model.weight_names.normalized
    return (
        model.settings.style.use_bias
        and variable == "bias"
        and re.fullmatch(normalized, layer) is not None
        and f"{layer}/kernel" in places
        and not any(re.fullmatch(normalized + "/bias", place) for place in places)
    )


def _problems(model, plan, by_name):
    """(what, names) of each reason not to load."""
    heads = model.weight_names.heads
    backbone_only = not any(name.startswith(heads) for name in plan["found"])
    missing, unexpected = plan["missing"], plan["unexpected"]
    if backbone_only and model.mode == "training":
        missing = [name for name in missing if not name.startswith(heads)]
    if not model.settings.ground_truth.use_rpn_rois:  # proposals are given, none are made
        missing = [name for name in missing if not name.startswith("rpn_")]
    optional = model.weight_names.optional(model.settings)
    if optional:
        unexpected = [name for name in unexpected if not re.search(optional, name)]
    problems = [("of another shape", plan["wrong_shape"])]
    problems.append(("of another normalisation", plan["other_norms"]))
    if not by_name:
        problems += [("missing from the file", missing), ("not in this model", unexpected)]
    if not plan["found"]:
        weights = named_weights(model.keras_model)
        both = [f"file has {few(plan['unexpected'])}", f"model {few(weights)}"]
        problems.append(("in common: none", both))
    return [problem for problem in problems if problem[1]]


def _mismatch(model, plan, problems, by_name, preset):
    lines = ["the weights do not fit this model, nothing was loaded:"]
    lines += [f"- {len(items)} weights {what}: {few(sorted(items))}" for what, items in problems]
    if plan["other_norms"]:
        return "\n".join([*lines, _norm_advice(model.settings.style.norm)])
    if model.mode == "inference" and all(
        name.startswith(model.weight_names.heads)
        for name in [*plan["missing"], *plan["wrong_shape"]]
    ):
        lines.append(
            "A model in inference mode needs trained heads of its own class count: "
            f"load these weights into {type(model).__name__}('training', ...), train, and detect "
            "with that."
        )
    if preset in PRESETS and family(preset) != family(model.settings.preset):
        lines.append(f"They are of the family {family(preset)}: subclass PRESETS[{preset!r}].")
    layers = {name.split("/")[0] for name in named_weights(model.keras_model)}
    heads = [
        head
        for head in model.weight_names.class_heads
        if any(re.fullmatch(head, layer) for layer in layers)
    ]
    lines.append(
        "Check BACKBONE, NUM_CLASSES and the preset. To keep the heads of another class count out, "
        f"pass exclude={heads}"
        + ("." if by_name else "; to load only what both have, pass by_name=True.")
    )
    return "\n".join(lines)


def _norm_advice(norm):
    theirs, fix = ("BatchNorm", "batch") if norm == "group" else ("GroupNorm", "group")
    return (
        f"NORM is {norm!r} and the file was trained with {theirs}: set NORM = {fix!r} for it. To "
        "take its other weights alone, and train the normalisations from nothing, pass "
        'exclude=["(.*_)?bn.*"].'
    )


def _layer_paths(keras_model, above=()):
    """Every layer of a model and of the models inside it, as their names from outside in."""
    for layer in keras_model.layers:
        path = (*above, layer.name)
        yield from _layer_paths(layer, path) if isinstance(layer, keras.Model) else (path,)


def _initialize(keras_model, name, weight):
    """Gives a weight of a stock layer the values that a new one would have."""
    layer, _, variable = name.rpartition("/")
    initializer = getattr(keras_model.get_layer(layer), f"{variable}_initializer")
    weight.assign(initializer(weight.shape, weight.dtype))


def summarize(report):
    """One line of what a report holds: the source, how many weights met which end, epsilon."""
    counts = [f"{len(report['loaded'])} weights loaded from {report['source']}"]
    counts += [f"{len(report[key])} {_words(key)}" for key in _LISTS if report[key]]
    return f"{', '.join(counts)}, BatchNorm epsilon {report['epsilon']:g}"


def _words(key):
    return key.replace("_", " ")
