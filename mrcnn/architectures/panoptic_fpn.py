"""`PanopticFPN`, the public class of its architecture."""

from mrcnn.architectures.base import DetectionModel
from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.data.label_generator import PanopticGenerator
from mrcnn.evaluate.panoptic import PanopticScores
from mrcnn.inference.panoptic import merge, most_likely
from mrcnn.network import panoptic_fpn
from mrcnn.weights.names import panoptic as names


class PanopticFPN(DetectionModel):
    """Panoptic FPN (arXiv:1901.02446): instances of things, and a segment of stuff or a thing for
    each pixel.

    It learns from `Dataset.load_panoptic`. Arguments and attributes are those of
    `DetectionModel`. Beside the instances `detect` returns of each image `segmentation` int32
    [H, W] and `segments`, a list of dicts: see `mrcnn.inference.panoptic`.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.
    """

    architecture = "panoptic_fpn"
    weight_names = names.PANOPTIC_FPN
    build_graphs = staticmethod(panoptic_fpn.build_graphs)
    generator_type = PanopticGenerator
    further_scores = {"panoptic": PanopticScores}  # noqa: RUF012
    finds_segments = True
    monitor = "val_panoptic_PQ"

    @staticmethod
    def unmold(outputs, image_shape, molded_shape, window, settings):
        """The result of an image from the detection graph's outputs for it."""
        shapes = image_shape, molded_shape, window
        found = MaskRCNN.unmold(outputs, *shapes, settings)
        likely = most_likely(outputs["semantic_logits"], *shapes)
        things = settings.semantic_head.thing_classes
        return found | merge(found, *likely, things, settings.panoptic)
