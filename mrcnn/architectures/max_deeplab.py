"""`MaXDeepLab`, the public class of its architecture."""

from mrcnn.architectures.base import DetectionModel
from mrcnn.data.label_generator import SegmentGenerator
from mrcnn.evaluate.panoptic import PanopticScores
from mrcnn.inference.mask_transformer import masks_to_segments
from mrcnn.network import max_deeplab
from mrcnn.weights.names import deeplab2 as names


class MaXDeepLab(DetectionModel):
    """MaX-DeepLab (arXiv:2012.00759): things and stuff as masks with a class each, predicted
    directly, without boxes, anchors, suppression or a merge.

    It learns from `Dataset.load_panoptic`; without it, from the instances of `load_mask`, and what
    lies between them is void. Arguments and attributes are those of `DetectionModel`. Of each image
    `detect` returns `segmentation` int32 [H, W] and `segments`, a list of dicts: see
    `mrcnn.inference.panoptic`; and the things among them as instances.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.
    """

    architecture = "max_deeplab"
    weight_names = names.MAX_DEEPLAB
    build_graphs = staticmethod(max_deeplab.build_graphs)
    generator_type = SegmentGenerator
    further_scores = {"panoptic": PanopticScores}  # noqa: RUF012
    finds_segments = True
    uses_anchors = False
    monitor = "val_panoptic_PQ"

    @staticmethod
    def unmold(outputs, image_shape, molded_shape, window, settings):
        """The result of an image from the detection graph's outputs for it."""
        return masks_to_segments(
            outputs["pixel_space_mask_logits"],
            outputs["transformer_class_logits"],
            (image_shape, molded_shape, window),
            settings.mask_transformer.thing_classes,
            settings.panoptic,
        )
