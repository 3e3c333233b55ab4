"""Names in the files of Keras 1 and 2, matterport's among them, and of `keras.applications`."""

import re

from mrcnn.weights.names.layouts import hwio_bgr, same

# Pattern of weights that a detector of ours has, and a backbone has not.
OUR_HEADS = r"(fpn|rpn|mrcnn|retinanet|semantic)_[^/]+/"


def _keras_name(name, applications):
    """Our name for one of Keras 1 or 2: `layer/variable`, or one of `keras.applications`."""
    layer, _, variable = name.rpartition("/")
    if variable.startswith(f"{layer}_"):  # Keras 1 repeats the layer and appends a number
        variable = re.sub(r"_\d+$", "", variable[len(layer) + 1 :])
        variable = _KERAS1.get(variable, variable)
    if not applications:
        return f"{layer}/{variable}"
    match = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer)
    if match:
        stage, block, part, kind = match.groups()
        branch = {"0": "1", "1": "2a", "2": "2b", "3": "2c"}[part]
        kind = "res" if kind == "conv" else "bn"
        layer = f"{kind}{stage}{chr(ord('a') + int(block) - 1)}_branch{branch}"
    return f"{_APPLICATIONS.get(layer, layer)}/{variable}"


# Keras 1 calls the variance a standard deviation.
_KERAS1 = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}
_APPLICATIONS = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1"}


def keras_names(arrays, bgr=False):
    """Source's name -> (our name, layout) of a Keras file; `bgr`: its input is BGR."""
    # A whole model of ours may have a backbone whose layers are called as Keras's.
    applications = not any(re.match(OUR_HEADS, name) for name in arrays)
    names = {name: _keras_name(name, applications) for name in arrays}
    return {
        name: (ours, hwio_bgr if bgr and ours == "conv1/kernel" else same)
        for name, ours in names.items()
    }
