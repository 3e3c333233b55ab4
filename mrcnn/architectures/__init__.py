"""The public class of each architecture: what users touch. What all do is in `base`."""

from mrcnn.architectures.base import DetectionModel
from mrcnn.architectures.c4 import MaskRCNNC4
from mrcnn.architectures.cascade import CascadeRCNN
from mrcnn.architectures.dc5 import MaskRCNNDC5
from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.architectures.max_deeplab import MaXDeepLab
from mrcnn.architectures.panoptic_fpn import PanopticFPN
from mrcnn.architectures.rcnn import RCNN
from mrcnn.architectures.retinanet import RetinaNet
from mrcnn.architectures.semantic_fpn import SemanticFPN

# By `Config.ARCHITECTURE`.
ARCHITECTURES = {
    kind.architecture: kind
    for kind in (
        *(MaskRCNN, CascadeRCNN, MaskRCNNC4, MaskRCNNDC5, RetinaNet, PanopticFPN),
        *(SemanticFPN, MaXDeepLab, RCNN),
    )
}

__all__ = [
    "ARCHITECTURES",
    "RCNN",
    "CascadeRCNN",
    "DetectionModel",
    "MaXDeepLab",
    "MaskRCNN",
    "MaskRCNNC4",
    "MaskRCNNDC5",
    "PanopticFPN",
    "RetinaNet",
    "SemanticFPN",
]
