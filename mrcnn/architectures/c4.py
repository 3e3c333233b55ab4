"""`MaskRCNNC4`, the public class of its architecture."""

from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.network import c4
from mrcnn.weights import names


class MaskRCNNC4(MaskRCNN):
    """Mask R-CNN on C4 (arXiv:1703.06870): arguments and attributes are `MaskRCNN`'s.

    With `USE_MASK = False` it is Faster R-CNN (arXiv:1506.01497).

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.

    Example:

    >>> config = PRESETS["detectron2/mask_rcnn_R_50_C4_3x"]()
    >>> model = MaskRCNNC4("inference", config, "logs")
    >>> model.load_weights("coco")
    """

    architecture = "c4"
    weight_names = names.MASK_RCNN_C4
    build_graphs = staticmethod(c4.build_graphs)
