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

LOGITS = "semantic_logits"


def of_things(settings):
    """The settings with box and mask heads of the things alone."""
    count = settings.semantic_head.thing_classes
    heads = {
        name: dataclasses.replace(getattr(settings, name), num_classes=count)
        for name in ("box_head", "mask_head")
    }
    return dataclasses.replace(settings, **heads)


def build_trunk(settings):
    """Images -> pyramid P2..P6 -> scored anchors, and the stuff, as a dict of tensors by name."""
    stages = mask_rcnn.build_trunk(settings)
    head = semantic_head(settings.semantic_head, 1 + settings.semantic_head.stuff_classes)
    return stages | {LOGITS: head(stages["pyramid"])}  # (B, H / 4, W / 4, S)


def inference_graph(settings, trunk, heads, detection_stages):
    """Every stage's result of Mask R-CNN, and the stuff."""
    outputs = mask_rcnn.inference_outputs(settings, trunk, heads, detection_stages)
    outputs[LOGITS] = trunk[LOGITS]
    return NamedWeightsModel(mask_rcnn.inputs_of(trunk), outputs, name="panoptic_fpn")


def detection_graph(settings, trunk, heads, detection_stages):
    """What `detect` runs: Mask R-CNN's, and the stuff."""
    outputs = mask_rcnn.detection_outputs(settings, trunk, heads, detection_stages)
    outputs[LOGITS] = trunk[LOGITS]
    model = keras.Model(mask_rcnn.inputs_of(trunk), outputs, name="panoptic_fpn")
    return fold_batch_norm(model)


def training_graph(settings, trunk, heads, training_stages):
    """Ground truth -> the losses of Mask R-CNN and that of the stuff."""
    gt, labels = mask_rcnn.ground_truth_inputs(settings), label_input(settings)
    losses = training_stages(settings, trunk, heads, gt)["losses"]
    targets = StuffTargets(settings.semantic_head.thing_classes, name="stuff_targets")(labels)
    losses["semantic_loss"] = Loss("semantic_loss")(targets, trunk[LOGITS])
    return mask_rcnn.training_model(settings, trunk, {**gt, "input_gt_labels": labels}, losses)


def build_graphs(settings, training=False):
    """The graphs of these stages: see `mrcnn.network.mask_rcnn.build_graphs`."""
    return mask_rcnn.build_graphs(
        of_things(settings),
        training,
        build_trunk=build_trunk,
        inference_graph=inference_graph,
        detection_graph=detection_graph,
        training_graph=training_graph,
    )
