"""All that `mrcnn.model` has of matterport's: its classes, functions and layers by name."""

from mrcnn.matterport.data import DataGenerator, load_image_gt
from mrcnn.matterport.generator import *  # noqa: F403
from mrcnn.matterport.generator import __all__ as _generator
from mrcnn.matterport.graphs import *  # noqa: F403
from mrcnn.matterport.graphs import __all__ as _graphs
from mrcnn.matterport.model import MaskRCNN
from mrcnn.network.resnet import conv_block, identity_block, resnet_graph

__all__ = [
    "DataGenerator",
    "MaskRCNN",
    "conv_block",
    "identity_block",
    "load_image_gt",
    "resnet_graph",
    *_generator,
    *_graphs,
]
