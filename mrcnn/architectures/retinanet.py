"""`RetinaNet`, the public class of its architecture."""

from mrcnn.architectures.base import DetectionModel
from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.network import retinanet
from mrcnn.weights import names


class RetinaNet(DetectionModel):
    """RetinaNet (arXiv:1708.02002): boxes without masks, in one step.

    Args:
        mode: "training" or "inference". A training model detects too.
        config: a `Config`, validated here; its `ARCHITECTURE` is "retinanet".
        model_dir: str, folder of logs and checkpoints; nothing is written before training.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.

    Example:

    >>> model = RetinaNet("inference", PRESETS["torchvision/retinanet_resnet50_fpn_v2"](), "logs")
    >>> model.load_weights("coco")
    >>> model.detect([image])[0]["rois"].shape
    (3, 4)
    """

    architecture = "retinanet"
    weight_names = names.RETINANET
    build_graphs = staticmethod(retinanet.build_graphs)
    unmold = staticmethod(MaskRCNN.unmold)
