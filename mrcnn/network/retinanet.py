"""RetinaNet (arXiv:1708.02002) on one page: every anchor is classified, without proposals.

Shapes: B images, A anchors, M ground truths, D detections, K classes.
"""

import keras

from mrcnn.image.meta import parse_image_meta
from mrcnn.layers.anchors import Anchors
from mrcnn.layers.dense_detections import DenseDetectionLayer
from mrcnn.layers.targets import DenseTargetLayer, Loss
from mrcnn.network.backbones import build_backbone
from mrcnn.network.folding import fold_batch_norm
from mrcnn.network.fpn import retinanet_fpn
from mrcnn.network.mask_rcnn import ground_truth_inputs
from mrcnn.network.retinanet_head import retinanet_head
from mrcnn.network.training_model import NamedWeightsModel, TrainingModel
from mrcnn.network.trunk import concatenate, default_policy, image_inputs, recomputed_features


def build_graphs(settings, training=False):
    """Builds the graphs that settings describe.

    Args:
        settings: `mrcnn.settings.Settings`.
        training: bool, whether to build the training graph too.

    Returns:
        dict of `keras.Model`, which share every layer that has weights: `inference`, every stage's
        result; `detection`, what `detect` needs and no more; and, with `training`, `training`.
    """
    with default_policy(settings.trunk.precision):
        stages = build_stages(settings)
        graphs = {"inference": inference_graph(stages), "detection": detection_graph(stages)}
        if training:
            graphs["training"] = training_graph(settings, stages)
    return graphs


def build_stages(settings):
    """Images -> pyramid P3..P7 -> classified and moved anchors -> detections, as a dict by name."""
    inputs = image_inputs(settings.image)
    images, image_meta = inputs["input_image"], inputs["input_image_meta"]
    features = build_backbone(images, settings.trunk, settings.style)[1:]  # C3..C5
    pyramid = retinanet_fpn(features, settings.trunk, settings.style)  # P3..P7
    anchors = Anchors(settings.anchors, name="anchors")(images, pyramid)
    head = retinanet_head(settings.retinanet_head, settings.anchors)
    logits, deltas = zip(*[head(level) for level in pyramid], strict=True)
    detections = DenseDetectionLayer(settings.detections, name="retinanet_detection")(
        list(logits), list(deltas), anchors["levels"], image_meta
    )
    return {
        "inputs": inputs,
        "features": features,
        "anchors": anchors["pixels"],  # (1, A, 4)
        "retinanet_class_logits": concatenate(logits, "retinanet_class_logits"),  # (B, A, K)
        "retinanet_bbox": concatenate(deltas, "retinanet_bbox"),  # (B, A, 4)
        "detections": detections,  # (B, D, 6)
    }


def inference_graph(stages):
    """Every stage's result."""
    names = ("detections", "retinanet_class_logits", "retinanet_bbox")
    outputs = {name: stages[name] for name in names}
    return NamedWeightsModel(stages["inputs"], outputs, name="retinanet")


def detection_graph(stages):
    """What `detect` runs."""
    outputs = {"detections": stages["detections"]}
    return fold_batch_norm(keras.Model(stages["inputs"], outputs, name="retinanet"))


def training_graph(settings, stages):
    """Ground truth -> targets of every anchor -> losses."""
    gt = ground_truth_inputs(settings)
    target = DenseTargetLayer(settings.dense_targets, name="retinanet_targets")(
        stages["anchors"], gt["input_gt_class_ids"], gt["input_gt_boxes"]
    )
    class_ids, image_meta = target["target_class_ids"], stages["inputs"]["input_image_meta"]
    active_class_ids = parse_image_meta(image_meta)["active_class_ids"]
    of_box = (target["target_deltas"], stages["retinanet_bbox"])
    if settings.losses.boxes_in_pixels:
        of_box += (stages["anchors"],)
    terms = {
        "retinanet_class_loss": (class_ids, stages["retinanet_class_logits"], active_class_ids),
        "retinanet_bbox_loss": (class_ids, *of_box),
    }
    constants = {
        "retinanet_class_loss": settings.losses.dense_class_loss,
        "retinanet_bbox_loss": settings.losses.dense_box_loss(settings.dense_targets),
    }
    losses = [Loss(name, **constants[name])(*terms[name]) for name in terms]
    return TrainingModel(
        stages["inputs"] | gt,
        losses,
        name="retinanet",
        losses=list(terms),
        settings=settings.losses,
        recomputed=recomputed_features(settings.trunk, stages),
    )
