"""`CascadeRCNN`, the public class of its architecture."""

from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.network import cascade
from mrcnn.weights import names


class CascadeRCNN(MaskRCNN):
    """Cascade Mask R-CNN (arXiv:1712.00726): arguments and attributes are `MaskRCNN`'s.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.

    Example:

    >>> config = PRESETS["detectron2/cascade_mask_rcnn_R_50_FPN_3x"]()
    >>> model = CascadeRCNN("inference", config, "logs")
    >>> model.load_weights("coco")
    """

    architecture = "cascade_rcnn"
    weight_names = names.CASCADE_RCNN
    build_graphs = staticmethod(cascade.build_graphs)
