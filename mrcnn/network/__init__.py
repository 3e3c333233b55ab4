"""Networks: one page for each architecture, over one trunk of backbone, pyramid and RPN."""

from mrcnn.network.backbones import build_backbone
from mrcnn.network.fpn import fpn
from mrcnn.network.mask_rcnn import build_graphs
from mrcnn.network.norm import BatchNorm
from mrcnn.network.resnet import ConvStyle, conv_block, identity_block, resnet_graph
from mrcnn.network.training_model import NamedWeightsModel, TrainingModel

__all__ = [
    "BatchNorm",
    "ConvStyle",
    "NamedWeightsModel",
    "TrainingModel",
    "build_backbone",
    "build_graphs",
    "conv_block",
    "fpn",
    "identity_block",
    "resnet_graph",
]
