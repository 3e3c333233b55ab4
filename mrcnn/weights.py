"""Weight files: HDF5 in the layout of Keras 2, where every array lies under its layer's name.

That is the layout of matterport's files. Keras 3's own `.weights.h5` finds layers by position, so
that a file of one graph silently loads wrongly into another.
"""

import os
import re

import h5py
import keras


def named_weights(model):
    """Weights of a model and the models inside it, by `layer/variable`, in the model's order.

    Raises:
        ValueError: two weights have one name.
    """
    weights = {}
    for layer in model.layers:
        inner = named_weights(layer) if isinstance(layer, keras.Model) else _layer_weights(layer)
        for name, weight in inner.items():
            if name in weights:
                raise ValueError(f"two weights are called {name!r}; give each layer its own name")
            weights[name] = weight
    return weights


def _layer_weights(layer):
    return {weight.path: weight for weight in layer.weights}


def save_weights(model, path):
    """Writes all weights of a model to an HDF5 file, whole or not at all.

    Args:
        model: keras.Model.
        path: str; an existing file is replaced once the new one is complete.

    Raises:
        OSError: the file cannot be written; what was at `path` is untouched.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    unfinished = f"{path}.{os.getpid()}.unfinished"
    try:
        with h5py.File(unfinished, "w") as file:
            _write(model, file)
        os.replace(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


def _write(model, file):
    file.attrs["keras_version"] = keras.__version__
    file.attrs["backend"] = keras.backend.backend()
    layers = [layer for layer in model.layers if layer.weights]
    file.attrs["layer_names"] = [layer.name for layer in layers]
    for layer in layers:
        nested = isinstance(layer, keras.Model)
        weights = named_weights(layer) if nested else _layer_weights(layer)
        group = file.create_group(layer.name)
        group.attrs["weight_names"] = [f"{name}:0" for name in weights]
        for name, weight in weights.items():
            group[f"{name}:0"] = weight.numpy()


def read_hdf5(path):
    """Reads every array of a Keras 2 weight file.

    Args:
        path: str, a file of weights or of a whole model (root `model_weights`).

    Returns:
        dict: `layer/variable` -> NumPy array.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is not such a file, or it is damaged; the message says which.
    """
    if os.path.isdir(path):
        raise ValueError(f"{path} is a directory; expected a weight file (.h5)")
    if not os.path.exists(path):
        raise FileNotFoundError(f"no weight file at {path}")
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path} is not an HDF5 file; expected weights as `save_weights` writes")
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise ValueError(
                    f"{path} has no `layer_names`: it is HDF5, but not a Keras 2 weight file "
                    "(Keras 3's `.weights.h5` stores layers by position and is not supported)"
                )
            return _read(root)
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged or incomplete ({error}); copy it again") from error


def _read(root):
    arrays = {}
    for layer in map(_text, root.attrs["layer_names"]):
        for name in map(_text, root[layer].attrs["weight_names"]):
            # The last two parts are layer and variable; wrappers put their own names in front.
            key = "/".join([layer, *name.split(":")[0].split("/")][-2:])
            arrays[key] = root[layer][name][()]
    return arrays


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def load_weights(model, path, by_name=False, exclude=()):
    """Loads a weight file into a model, by name; the file and the model must agree entirely.

    Args:
        model: keras.Model.
        path: str, see `read_hdf5`.
        by_name: bool; load what both have, and say what the model has alone.
        exclude: list of layer names or regular expressions, left as they are.

    Returns:
        dict of sorted lists of weight names: `loaded`, `missing` from the file, `unexpected` in
        it, and `excluded`.

    Raises:
        ValueError: names or shapes disagree; nothing was loaded, the message lists what.
    """
    arrays, weights = read_hdf5(path), named_weights(model)

    def is_excluded(name):
        return any(re.fullmatch(pattern, name.rsplit("/", 1)[0]) for pattern in exclude or ())

    excluded = sorted(filter(is_excluded, weights))
    common = sorted(name for name in weights if name in arrays and name not in excluded)
    missing = sorted(set(weights) - set(arrays) - set(excluded))
    unexpected = sorted(name for name in set(arrays) - set(weights) if not is_excluded(name))
    wrong = [
        f"{name}: file {arrays[name].shape}, model {tuple(weights[name].shape)}"
        for name in common
        if arrays[name].shape != tuple(weights[name].shape)
    ]

    problems = [("of another shape", wrong)]
    if not by_name:
        problems += [("missing from the file", missing), ("not in this model", unexpected)]
    if not common:
        problems.append(("in common: none", [f"file has {_few(arrays)}", f"model {_few(weights)}"]))
    if any(items for _, items in problems):
        raise ValueError(_mismatch(path, [problem for problem in problems if problem[1]]))
    for name in common:
        weights[name].assign(arrays[name])
    return {
        "loaded": common,
        "missing": missing,
        "unexpected": unexpected,
        "excluded": excluded,
    }


def _few(names, limit=12):
    names = list(names)
    return ", ".join(names[:limit]) + (f", ... {len(names)} in all" if len(names) > limit else "")


def _mismatch(path, problems):
    lines = [f"{path} does not fit this model, nothing was loaded:"]
    lines += [f"- {len(items)} weights {what}: {_few(items)}" for what, items in problems]
    heads = '["mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask"]'
    lines.append(
        "Check BACKBONE and NUM_CLASSES. To keep the heads of another class count out, pass "
        f"exclude={heads}; to load only what both have, pass by_name=True."
    )
    return "\n".join(lines)
