"""The public class of each architecture: what users touch. What all do is in `base`."""

from mrcnn.architectures.base import DetectionModel
from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.architectures.panoptic_fpn import PanopticFPN
from mrcnn.architectures.semantic_fpn import SemanticFPN

__all__ = ["DetectionModel", "MaskRCNN", "PanopticFPN", "SemanticFPN"]
