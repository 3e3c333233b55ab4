"""Panoptic FPN (arXiv:1901.02446) on one page: Mask R-CNN of the things, and a head of the stuff.

Shapes: B images, H W, S classes of the semantic head: all things as one, then each stuff.
"""

import dataclasses

import keras

from mrcnn.layers.semantic import StuffTargets
from mrcnn.layers.targets import Loss
from mrcnn.network import mask_rcnn
from mrcnn.network.folding import fold_batch_norm
from mrcnn.network.semantic_fpn import label_input
from mrcnn.network.semantic_head import semantic_head
from mrcnn.network.training_model import NamedWeightsModel
from mrcnn.network.trunk import build_trunk, default_policy


def build_graphs(settings, training=False):
    """Builds the graphs that settings describe, as `mrcnn.network.mask_rcnn.build_graphs`."""
    settings = of_things(settings)
    with default_policy(settings.trunk.precision):
        trunk = build_trunk(settings)
        heads = mask_rcnn.build_heads(settings)
        stuff = semantic_head(settings.semantic_head, 1 + settings.semantic_head.stuff_classes)
        inputs, logits = mask_rcnn.image_inputs(trunk), stuff(trunk["pyramid"])
        outputs = mask_rcnn.inference_outputs(settings, trunk, heads)
        outputs["semantic_logits"] = logits
        graphs = {"inference": NamedWeightsModel(inputs, outputs, name="panoptic_fpn")}
        outputs = mask_rcnn.detection_outputs(settings, trunk, heads)
        outputs["semantic_logits"] = logits
        graphs["detection"] = fold_batch_norm(keras.Model(inputs, outputs, name="panoptic_fpn"))
        if training:
            graphs["training"] = training_graph(settings, trunk, heads, logits)
    return graphs


def of_things(settings):
    """The settings with box and mask heads of the things alone."""
    count = settings.semantic_head.thing_classes
    heads = {
        name: dataclasses.replace(getattr(settings, name), num_classes=count)
        for name in ("box_head", "mask_head")
    }
    return dataclasses.replace(settings, **heads)


def training_graph(settings, trunk, heads, logits):
    """Ground truth -> the losses of Mask R-CNN and that of the stuff."""
    gt, labels = mask_rcnn.ground_truth_inputs(settings), label_input(settings)
    losses = mask_rcnn.training_stages(settings, trunk, heads, gt)["losses"]
    targets = StuffTargets(settings.semantic_head.thing_classes, name="stuff_targets")(labels)
    losses["semantic_loss"] = Loss("semantic_loss")(targets, logits)
    inputs = {**mask_rcnn.image_inputs(trunk), **gt, "input_gt_labels": labels}
    return mask_rcnn.training_model(settings, inputs, [], losses)
