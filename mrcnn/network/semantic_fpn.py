"""Semantic FPN (arXiv:1901.02446) on one page: a pyramid, and the class of each pixel.

Shapes: B images, H W, K classes.
"""

import keras

from mrcnn.layers.targets import Loss
from mrcnn.network.folding import fold_batch_norm
from mrcnn.network.mask_rcnn import inputs_of, training_model
from mrcnn.network.semantic_head import semantic_head
from mrcnn.network.training_model import NamedWeightsModel
from mrcnn.network.trunk import build_pyramid, default_policy


def build_graphs(settings, training=False):
    """Builds the graphs that settings describe, as `mrcnn.network.mask_rcnn.build_graphs`."""
    with default_policy(settings.trunk.precision):
        trunk = build_pyramid(settings)
        head = semantic_head(settings.semantic_head, settings.semantic_head.num_classes)
        inputs, logits = inputs_of(trunk), head(trunk["pyramid"])
        outputs = {"semantic_logits": logits}
        graphs = {"inference": NamedWeightsModel(inputs, outputs, name="semantic_fpn")}
        detection = keras.Model(inputs, outputs, name="semantic_fpn")
        graphs["detection"] = fold_batch_norm(detection)
        if training:
            labels = label_input(settings)
            losses = {"semantic_loss": Loss("semantic_loss")(labels, logits)}
            gt = {"input_gt_labels": labels}
            graphs["training"] = training_model(settings, trunk, gt, losses)
    return graphs


def label_input(settings):
    """The input of the class of each pixel, int [B, H, W]: what `LabelGenerator` yields."""
    image = settings.image
    sides = image.shape if image.trains_on_one_size else (None, None)
    return keras.Input(sides, dtype="int32", name="input_gt_labels")
