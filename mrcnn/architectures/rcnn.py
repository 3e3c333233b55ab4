"""`RCNN`, the public class of its architecture."""

from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.network import rcnn


class RCNN(MaskRCNN):
    """R-CNN (arXiv:1311.2524) on given proposals: arguments and attributes are `MaskRCNN`'s.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.

    Example:

    >>> model = RCNN("training", config, "logs")  # of a config with USE_RPN_ROIS = False
    >>> model.load_weights("imagenet")
    >>> model.train(train, val, learning_rate=0.001, epochs=10, layers="all")
    >>> model.detect([image], proposals=[boxes])[0]["rois"].shape
    (3, 4)
    """

    architecture = "rcnn"
    build_graphs = staticmethod(rcnn.build_graphs)
    uses_anchors = False
