"""Whether the keys of a `Config` fit its `ARCHITECTURE`."""

import numbers

import numpy as np

MAX_DEEPLABS = ("max_deeplab_s", "max_deeplab_l")  # the backbones of MaX-DeepLab, and of no other
# What the pyramid and the heads of an ARCHITECTURE need; one that is not here: as Mask R-CNN's.
_NEEDED = {
    "mask_rcnn": {"BACKBONE_STRIDES": [4, 8, 16, 32, 64]},
    "c4": {"BACKBONE_STRIDES": [16], "USE_KEYPOINTS": False, "SPP_LEVELS": None},
    "dc5": {"BACKBONE_STRIDES": [16]},
    "retinanet": {
        "BACKBONE_STRIDES": [8, 16, 32, 64, 128],
        "RPN_ANCHOR_STRIDE": 1,
        "USE_MASK": False,
        "USE_KEYPOINTS": False,
        "CLASS_WEIGHTS": None,
        "USE_RPN_ROIS": True,
        "OHEM_ROIS_PER_IMAGE": None,
    },
    "semantic_fpn": {
        "BACKBONE_STRIDES": [4, 8, 16, 32, 64],
        "USE_KEYPOINTS": False,
        "USE_RPN_ROIS": True,
    },
    "max_deeplab": {
        "USE_KEYPOINTS": False,
        "USE_RPN_ROIS": True,
        "USE_MASK": True,
        "USE_MINI_MASK": False,
    },
}


def architecture_problems(config):
    """Yields a text for each key of a `Config` that its architecture cannot have."""
    for key, needed in _NEEDED.get(config.ARCHITECTURE, _NEEDED["mask_rcnn"]).items():
        if np.ravel(getattr(config, key)).tolist() != np.ravel(needed).tolist():
            yield (
                f"{key} is {getattr(config, key)}; the architecture {config.ARCHITECTURE!r} has "
                f"{needed}"
            )
    if config.ARCHITECTURE == "max_deeplab":
        yield from _max_deeplab_problems(config)
    elif config.BACKBONE in MAX_DEEPLABS:
        yield f"BACKBONE is {config.BACKBONE!r}, of ARCHITECTURE 'max_deeplab' alone: set another"


def _max_deeplab_problems(config):
    if config.BACKBONE not in MAX_DEEPLABS:
        yield f"BACKBONE is {config.BACKBONE!r}; of max_deeplab expected one of {MAX_DEEPLABS}"
    if config.IMAGE_INTERPOLATION != "corners":
        yield (
            f"IMAGE_INTERPOLATION is {config.IMAGE_INTERPOLATION!r}; max_deeplab's features are "
            "aligned at the corners: set 'corners'"
        )
    blocks = config.MAX_DEEPLAB_BLOCKS
    if blocks is not None and (len(blocks) != 4 or not all(map(is_count, blocks))):
        yield f"MAX_DEEPLAB_BLOCKS is {blocks!r}; expected four numbers of blocks, or None"
    gammas = config.MAX_DEEPLAB_GAMMAS
    if np.shape(gammas) != (2,):
        yield f"MAX_DEEPLAB_GAMMAS is {gammas!r}; expected two numbers, of residuals and of masks"
    if not config.MAX_DEEPLAB_WIDTH > 0:
        yield f"MAX_DEEPLAB_WIDTH is {config.MAX_DEEPLAB_WIDTH!r}; expected above 0"
    if not 0 <= config.DROP_PATH < 1:
        yield f"DROP_PATH is {config.DROP_PATH!r}; expected 0 to below 1"
    if not is_count(config.MASK_SLOTS):
        yield f"MASK_SLOTS is {config.MASK_SLOTS!r}; expected 1 or more"


def is_count(value):
    """Whether a value is a whole number of 1 or more."""
    return isinstance(value, numbers.Integral) and value >= 1
