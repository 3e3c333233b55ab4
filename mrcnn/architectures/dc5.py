"""`MaskRCNNDC5`, the public class of its architecture."""

from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.network import dc5
from mrcnn.weights import names


class MaskRCNNDC5(MaskRCNN):
    """Mask R-CNN on a dilated C5 (arXiv:1605.06409): arguments and attributes are `MaskRCNN`'s.

    With `USE_MASK = False` it is Faster R-CNN (arXiv:1506.01497).

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.

    Example:

    >>> config = PRESETS["detectron2/mask_rcnn_R_50_DC5_3x"]()
    >>> model = MaskRCNNDC5("inference", config, "logs")
    >>> model.load_weights("coco")
    """

    architecture = "dc5"
    weight_names = names.MASK_RCNN_DC5
    build_graphs = staticmethod(dc5.build_graphs)
