"""MaX-DeepLab (arXiv:2012.00759) on one page: masks and their classes, without boxes.

Shapes: B images, H W, h w of maps of stride 4, N masks, K classes: background, things, stuff,
S segments of an image at most.
"""

import keras

from mrcnn.layers.targets import Loss, MaskTargets
from mrcnn.network.axial_resnet import axial_resnet
from mrcnn.network.folding import fold_batch_norm
from mrcnn.network.mask_rcnn import inputs_of, training_model
from mrcnn.network.mask_transformer import mask_heads, semantic_head
from mrcnn.network.semantic_fpn import label_input
from mrcnn.network.training_model import NamedWeightsModel
from mrcnn.network.trunk import default_policy, image_inputs


def build_graphs(settings, training=False):
    """Builds the graphs that settings describe, as `mrcnn.network.mask_rcnn.build_graphs`."""
    transformer, style = settings.mask_transformer, settings.style
    with default_policy(settings.trunk.precision):
        inputs = image_inputs(settings.image)
        features = axial_resnet(inputs["input_image"], transformer, style)
        masks = mask_heads(transformer, style, features)
        semantic = {"semantic_logits": semantic_head(transformer, style, features)}
        inputs = inputs_of(inputs)
        outputs = masks | semantic
        graphs = {"inference": NamedWeightsModel(inputs, outputs, name="max_deeplab")}
        names = ("pixel_space_mask_logits", "transformer_class_logits")
        detection = keras.Model(inputs, {name: masks[name] for name in names}, name="max_deeplab")
        graphs["detection"] = fold_batch_norm(detection)
        if training:
            graphs["training"] = training_graph(settings, inputs, outputs)
    return graphs


def training_graph(settings, inputs, outputs):
    """Segments -> which mask each is -> losses."""
    transformer = settings.mask_transformer
    masks, classes = (outputs[f"{x}_logits"] for x in ("pixel_space_mask", "transformer_class"))
    gt = ground_truth_inputs(settings)
    labels, segments, of_segments = gt.values()
    targets = MaskTargets(name="mask_targets")(segments, of_segments, masks, classes)
    terms = {
        "pq_class_loss": (targets["target_classes"], targets["class_weights"], classes),
        "pq_mask_loss": (segments, targets["slots"], targets["segment_weights"], masks),
        "mask_id_loss": (segments, targets["slots"], masks),
        "instance_loss": (segments, of_segments, outputs["pixel_space_normalized_feature"]),
        "semantic_loss": (labels, outputs["semantic_logits"]),
    }
    constants = {
        "instance_loss": {"thing_classes": transformer.thing_classes},
        "semantic_loss": {"corners": True},
    }
    losses = {
        name: Loss(name, **constants.get(name, {}))(*tensors) for name, tensors in terms.items()
    }
    return training_model(settings, inputs, gt, losses)


def ground_truth_inputs(settings):
    """Inputs of the training graph beside the images: what `SegmentGenerator` yields, by name."""
    labels = label_input(settings)
    slots = settings.mask_transformer.slots
    names = "input_gt_segments", "input_gt_segment_classes"
    segments = keras.Input(labels.shape[1:], dtype="int32", name=names[0])
    classes = keras.Input((slots,), dtype="int32", name=names[1])
    return {"input_gt_labels": labels, names[0]: segments, names[1]: classes}
