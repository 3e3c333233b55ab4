"""`SemanticFPN`, the public class of its architecture."""

import numpy as np

from mrcnn.architectures.base import DetectionModel
from mrcnn.data.label_generator import LabelGenerator
from mrcnn.evaluate.semantic import SemanticScores
from mrcnn.inference.panoptic import most_likely, semantic_map
from mrcnn.network import semantic_fpn
from mrcnn.weights.names import panoptic as names


class SemanticFPN(DetectionModel):
    """Semantic FPN (arXiv:1901.02446): the class of each pixel, and no instances.

    It learns from `Dataset.load_panoptic`; without it, from the instances of `load_mask`, with
    background between them. Arguments and attributes are those of `DetectionModel`. `detect`
    returns no instance, and of each image `segmentation` int32 [H, W], the class of each pixel, 0
    background, with `segments`, a dict for each class that is there: see
    `mrcnn.inference.panoptic`.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.
    """

    architecture = "semantic_fpn"
    weight_names = names.SEMANTIC_FPN
    build_graphs = staticmethod(semantic_fpn.build_graphs)
    generator_type = LabelGenerator
    further_scores = {"semantic": SemanticScores}  # noqa: RUF012
    finds_instances = False
    finds_segments = True
    uses_anchors = False
    monitor = "val_semantic_mIoU"

    @staticmethod
    def unmold(outputs, image_shape, molded_shape, window, settings):
        """The result of an image from the detection graph's outputs for it."""
        likely = most_likely(outputs["semantic_logits"], image_shape, molded_shape, window)
        nothing = {
            "rois": np.zeros((0, 4), np.int32),
            "class_ids": np.zeros(0, np.int32),
            "scores": np.zeros(0, np.float32),
        }
        return nothing | semantic_map(*likely, settings.semantic_head.thing_classes)
