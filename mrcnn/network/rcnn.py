"""R-CNN (arXiv:1311.2524) on one page: each given proposal is a picture of its own.

A proposal is cut out of the image with some of what lies around it and warped to a square, which
the whole backbone is run on. The mean of its C5 is classified, and moves the proposal. The paper's
support vector machines and regressors, which are trained after the network, are layers of it here,
as in its successor (arXiv:1504.08083).

Shapes: B images, N proposals or training ROIs, S pixels a side of a crop, C channels.
"""

import keras
from keras import ops

from mrcnn.layers.warping import WarpedRegions
from mrcnn.network import c4, mask_rcnn
from mrcnn.network.backbones import build_backbone
from mrcnn.network.folding import fold_batch_norm
from mrcnn.network.loss_terms import box_terms, make_losses
from mrcnn.network.training_model import NamedWeightsModel
from mrcnn.network.trunk import given_proposals, image_inputs


def build_trunk(settings):
    """Images, as a dict of tensors by name: nothing is computed of a whole one."""
    return image_inputs(settings.image)


def build_heads(settings):
    """The functions that all graphs share: `backbone` of crops, `box` of their features."""
    return {"backbone": backbone(settings), "box": c4.box(settings.box_head)}


def backbone(settings):
    """The backbone of crops: a function of float [B, N, S, S, C] -> C5 [B, N, S/32, S/32, c]."""
    side = settings.warping.side
    crop = keras.Input((side, side, settings.image.channels), name="crop")
    *_, c5 = build_backbone(crop, settings.trunk, settings.style)
    model = keras.Model(crop, c5, name="backbone")

    def features(crops):
        x = ops.reshape(crops, (-1, *crops.shape[2:]))  # (B, N, S, S, C) -> (B*N, S, S, C)
        x = model(x)
        return ops.reshape(x, (-1, crops.shape[1], *x.shape[1:]))  # (B, N, S/32, S/32, c)

    return features


def classify(settings, trunk, heads, rois):
    """ROIs -> crops -> features -> classes and boxes: [B, N, 4] -> dict of `c4.box`'s function."""
    crop = WarpedRegions(settings.warping, name="crops")
    crops = crop(rois, trunk["input_image_meta"], trunk["input_image"])
    return heads["box"](heads["backbone"](crops))


def detection_stages(settings, trunk, heads):
    """Given proposals -> classes and boxes -> detections."""
    rois = given_proposals(settings, trunk["input_roi"], trunk["input_image_meta"])
    boxes = classify(settings, trunk, heads, rois)
    detections = mask_rcnn.detect(settings, trunk, rois, boxes)
    return {"rois": rois, **boxes, "detections": detections}


def training_stages(settings, trunk, heads, gt):
    """Ground truth -> targets of drawn ROIs -> classes and boxes of these -> losses.

    Arguments and results are those of `mrcnn.network.mask_rcnn.training_stages`.
    """
    roi = mask_rcnn.drawn_rois(settings, trunk, gt)
    predicted = classify(settings, trunk, heads, roi["rois"])
    terms = box_terms(settings, trunk, roi["rois"], roi, predicted)
    stages = {name: roi[name] for name in ("proposals", "rois")} | predicted
    return stages | {"losses": make_losses(settings, terms)}


def inference_graph(settings, trunk, heads, detection_stages):
    """Every stage's result."""
    stages = detection_stages(settings, trunk, heads)
    outputs = {name: stages[name] for name in ("detections", "mrcnn_class", "mrcnn_bbox", "rois")}
    return NamedWeightsModel(mask_rcnn.inputs_of(trunk), outputs, name="rcnn")


def detection_graph(settings, trunk, heads, detection_stages):
    """What `detect` runs."""
    outputs = {"detections": detection_stages(settings, trunk, heads)["detections"]}
    return fold_batch_norm(keras.Model(mask_rcnn.inputs_of(trunk), outputs, name="rcnn"))


def build_graphs(settings, training=False):
    """The graphs of these stages: see `mrcnn.network.mask_rcnn.build_graphs`."""
    return mask_rcnn.build_graphs(
        settings,
        training,
        build_trunk=build_trunk,
        build_heads=build_heads,
        detection_stages=detection_stages,
        training_stages=training_stages,
        inference_graph=inference_graph,
        detection_graph=detection_graph,
    )
