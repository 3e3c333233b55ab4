"""Whether weights and a config are of one numerics family."""

import warnings

import numpy as np

from mrcnn.presets import PRESETS
from mrcnn.settings import Settings

# What the classifiers were trained with: pixels, and BatchNorm's epsilon.
BACKBONE_INPUT = {
    "efficientnet_lite": {"MEAN_PIXEL": 127.0, "STD_PIXEL": 128.0},
    "keras_applications": {"MEAN_PIXEL": (123.68, 116.779, 103.939), "STD_PIXEL": 1.0},
}
# Of the pixels of ImageNet's pictures, the mean over red, green and blue.
IMAGENET_STD = 57.63
BACKBONE_EPSILON = {"efficientnet_lite": 1e-3}


def family(preset):
    """The library that a preset is of."""
    return preset.split("/")[0]


def input_spread(config):
    """The standard deviation of what a config's public weights were trained to see.

    Pixels are divided by the STD_PIXEL of the family, which leaves 57.63 to matterport's weights,
    about 1 to torchvision's, and 0.45 to EfficientNet-Lite0's.

    Args:
        config: `Config`; its own STD_PIXEL does not count, PRESET and BACKBONE do.
    """
    if config.BACKBONE == "efficientnet_lite0":
        return IMAGENET_STD / BACKBONE_INPUT["efficientnet_lite"]["STD_PIXEL"]
    preset = PRESETS.get(config.PRESET, PRESETS["matterport/mask_rcnn_coco"])
    return IMAGENET_STD / float(np.mean(preset.STD_PIXEL))


def check_input(settings, source):
    """Warns if a backbone was trained on another range of pixels than the config's."""
    image = settings.image
    own = {"MEAN_PIXEL": image.mean_pixel, "STD_PIXEL": image.std_pixel}
    for key, wanted in BACKBONE_INPUT.get(source, {}).items():
        value = own[key]
        if np.shape(value) in ((), (3,)) and not np.allclose(value, wanted, atol=0.1):
            warnings.warn(
                f"{source}'s weights were trained with {key} = {wanted}, the config has "
                f"{value}: set it, or the backbone starts worse",
                stacklevel=4,
            )


def check_family(settings, preset):
    """Warns if weights of a preset come to a config of another numerics family.

    Args:
        settings: `mrcnn.settings.Settings`.
        preset: key of `PRESETS`; None, or one that is not there: nothing is known, no warning.
    """
    if preset not in PRESETS or family(preset) == family(settings.preset):
        return
    wanted, own = Settings.from_config(PRESETS[preset]()).numerics, settings.numerics
    differing = {key: value for key, value in wanted.items() if value != own[key]}
    if differing:
        values = ", ".join(f"{key} = {value}" for key, value in differing.items())
        warnings.warn(
            f"these weights are {family(preset)}'s and the config is of the family "
            f"{family(settings.preset)}: they will detect worse. Subclass "
            f"PRESETS[{preset!r}] of mrcnn.presets, or set {values}",
            stacklevel=4,
        )
