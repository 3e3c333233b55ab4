"""Each architecture, `create`; and matterport's functions and layers, under its import path.

Where `mrcnn.matterport` is there, `MaskRCNN`, `DataGenerator` and `load_image_gt` are those of its
interface: subclasses of the core's, which take and return what matterport's scripts expect.
"""

import importlib.util

from mrcnn import architectures, utils
from mrcnn.architectures.c4 import MaskRCNNC4
from mrcnn.architectures.cascade import CascadeRCNN
from mrcnn.architectures.dc5 import MaskRCNNDC5
from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.architectures.max_deeplab import MaXDeepLab
from mrcnn.architectures.panoptic_fpn import PanopticFPN
from mrcnn.architectures.rcnn import RCNN
from mrcnn.architectures.retinanet import RetinaNet
from mrcnn.architectures.semantic_fpn import SemanticFPN
from mrcnn.data.generator import DataGenerator
from mrcnn.data.ground_truth import load_image_gt
from mrcnn.inference.log import log

__all__ = [
    "RCNN",
    "CascadeRCNN",
    "DataGenerator",
    "MaXDeepLab",
    "MaskRCNN",
    "MaskRCNNC4",
    "MaskRCNNDC5",
    "PanopticFPN",
    "RetinaNet",
    "SemanticFPN",
    "create",
    "load_image_gt",
    "log",
    "utils",
]

if importlib.util.find_spec("mrcnn.matterport"):
    from mrcnn.matterport import interface
    from mrcnn.matterport.interface import *  # noqa: F403

    __all__ += [name for name in interface.__all__ if name not in __all__]

ARCHITECTURES = {**architectures.ARCHITECTURES, "mask_rcnn": MaskRCNN}


def create(mode, config, model_dir):
    """Builds the model of a config's `ARCHITECTURE`.

    Args:
        mode: "training" or "inference".
        config: a `Config`.
        model_dir: str, folder of logs and checkpoints.

    Raises:
        ValueError: unknown architecture or mode, or keys that cannot work together.
    """
    return architecture_of(config)(mode, config, model_dir)


def architecture_of(config):
    """The class of a config's `ARCHITECTURE`.

    Raises:
        ValueError: there is none of that name.
    """
    if config.ARCHITECTURE not in ARCHITECTURES:
        raise ValueError(
            f"ARCHITECTURE is {config.ARCHITECTURE!r}; expected one of {list(ARCHITECTURES)}"
        )
    return ARCHITECTURES[config.ARCHITECTURE]
