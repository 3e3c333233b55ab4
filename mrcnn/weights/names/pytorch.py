"""What PyTorch's libraries share: variables of a layer, the stages of ResNet."""

from mrcnn.weights.names.layouts import conv, same

BRANCHES = ("2a", "2b", "2c", "1")
# Of a layer: our variable by what PyTorch calls it.
_CONV = {"weight": "kernel", "bias": "bias"}
_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_BLOCKS = 23  # of the longest stage, ResNet-101's fourth


def resnet(module):
    """Layers of ResNet's stages.

    Args:
        module: function (stage, block, part) of two ints and "1", "2", "3" or "shortcut" to the
            source's names of the convolution and of its BatchNorm.
    """
    for stage in (2, 3, 4, 5):
        for block in range(_BLOCKS):
            for part, branch in zip(("1", "2", "3", "shortcut"), BRANCHES, strict=True):
                name = f"{stage}{chr(ord('a') + block)}_branch{branch}"
                kernel, norm = module(stage, block, part)
                yield f"res{name}", kernel, conv
                yield f"bn{name}", norm, same


def pytorch_names(layers):
    """Source's name -> (our name, layout) of layers as the functions above yield them."""
    names = {}
    for ours, module, layout in layers:
        for theirs, variable in (_NORM if layout is same else _CONV).items():
            names[f"{module}.{theirs}"] = (f"{ours}/{variable}", layout)
    return names
