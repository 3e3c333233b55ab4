"""What every architecture stands on: images to a pyramid with scored anchors, proposals, pooling.

Shapes: B images, H W, A anchors, N proposals, P pooled bins a side, C channels.
"""

import contextlib

import keras
import numpy as np

from mrcnn.layers.anchors import Anchors, NormBoxes
from mrcnn.layers.proposals import ProposalLayer
from mrcnn.layers.roi_align import PyramidROIAlign, SpatialPyramidPool
from mrcnn.network.backbones import build_backbone
from mrcnn.network.fpn import fpn
from mrcnn.network.heads import rpn_head
from mrcnn.settings import Boxes


@contextlib.contextmanager
def default_policy(name):
    """Inside it, layers are made with this dtype policy of Keras, unless they name another.

    Those of anchors, boxes, scores and losses do: they are float32.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_trunk(settings):
    """Images -> pyramid P2..P6 -> scored anchors, as a dict of tensors by name."""
    trunk = build_pyramid(settings)
    return trunk | score_anchors(settings, trunk["input_image"], trunk["pyramid"])


def build_pyramid(settings):
    """Images -> C2..C5 -> pyramid P2..P6, as a dict of tensors by name."""
    inputs = image_inputs(settings.image)
    features = build_backbone(inputs["input_image"], settings.trunk, settings.style)  # C2..C5
    pyramid = fpn(features, settings.trunk, settings.style)  # P2..P6
    return inputs | {"features": features, "pyramid": pyramid}


def recomputed_features(settings, trunk):
    """Which features `TrainingModel` takes as those of a backbone that is run again, or None.

    Args:
        settings: `mrcnn.settings.Trunk`.
        trunk: dict with `features`, the backbone's tensors by rising stride.
    """
    if not settings.rematerialize:
        return None
    return [feature._keras_history.operation.name for feature in trunk["features"]]


def image_inputs(image):
    """The inputs of every graph, a dict; `image` are the `mrcnn.settings.Image`."""
    # Mode "crop" trains on one size and detects on many.
    sides = image.shape if image.detects_in_one_size else (None, None)
    return {
        "input_image": keras.Input((*sides, image.channels), name="input_image"),
        "input_image_meta": keras.Input((image.meta_size,), name="input_image_meta"),
    }


def score_anchors(settings, images, pyramid):
    """Feature maps, one for each of `BACKBONE_STRIDES` -> their anchors, scored by the RPN.

    Returns:
        dict: `pyramid`, `anchors`, what `Anchors` returns, `rpn_class_logits` and `rpn_class`
        [B, A, 2], `rpn_bbox` [B, A, 4].
    """
    anchors = Anchors(settings.anchors, name="anchors")(images, pyramid)
    rpn = rpn_head(settings.trunk, settings.anchors, pyramid[0].shape[-1])
    outputs = zip(*[rpn(level) for level in pyramid], strict=True)  # by kind, then by level
    names = ("rpn_class_logits", "rpn_class", "rpn_bbox")
    return {
        "pyramid": pyramid,
        "anchors": anchors,
        **{
            name: concatenate(levels, name)  # (B, A, 2 or 4)
            for name, levels in zip(names, outputs, strict=True)
        },
    }


def concatenate(levels, name=None):
    """Tensors [B, A_l, ...] of all levels -> float32 [B, A, ...]."""
    return keras.layers.Concatenate(axis=1, dtype="float32", name=name)(list(levels))


def given_proposals(settings, boxes, image_meta):
    """The proposals of others: [B, N, 4] in pixels of the molded images -> normalised.

    `settings` are `mrcnn.settings.Settings`.
    """
    normalize = Boxes(box_offset=settings.anchors.box_offset)
    return NormBoxes(normalize, name="ROI")(boxes, image_meta)


def detection_proposals(settings, trunk, anchors):
    """The ROIs that are detected in: [B, N, 4], normalised; given with `USE_RPN_ROIS = False`."""
    if "input_roi" in trunk:
        return given_proposals(settings, trunk["input_roi"], trunk["input_image_meta"])
    return propose(settings.proposals, trunk, anchors)


def propose(settings, trunk, anchors):
    """The best proposals among the anchors of each level: float [B, N, 4], normalised.

    Args:
        settings: `mrcnn.settings.Proposals`.
        trunk: dict of `build_trunk`.
        anchors: list of float [1 or B, A_l, 4], normalised.
    """
    if not settings.per_level:
        anchors = [concatenate(anchors)]
    return ProposalLayer(settings, name="ROI")(
        trunk["rpn_class"], trunk["rpn_bbox"], anchors, trunk["input_image_meta"]
    )


def pool(settings, trunk, rois, pool_size, name):
    """The trunk's features in each ROI: [B, N, 4] -> [B, N, pool_size, pool_size, C].

    Args:
        settings: `mrcnn.settings.Pooling`.
        trunk: dict of `build_trunk`.
        rois: float [B, N, 4], normalised.
        pool_size: int, bins a side.
        name: str, of the layer.
    """
    layer = PyramidROIAlign(pool_size, settings, name=name)
    return layer(rois, trunk["input_image_meta"], trunk["pyramid"][:4])


def pool_boxes(settings, trunk, rois, name):
    """What the box head takes of ROIs: [B, N, 4] -> [B, N, h, w, C], h w its `BoxHead.grid`.

    Args:
        settings: `mrcnn.settings.Settings`.
        trunk, rois, name: as of `pool`.
    """
    head = settings.box_head
    if head.spp_levels is None:
        return pool(settings.pooling, trunk, rois, head.pool_size, name)
    layer = SpatialPyramidPool(head.spp_levels, settings.pooling, name=name)
    return layer(rois, trunk["input_image_meta"], trunk["pyramid"][:4])


def feature_shapes(image_shape, strides):
    """Sizes of the feature maps of an image: int NumPy [L, 2], height and width of each level.

    Args:
        image_shape: (H, W, ...) in pixels.
        strides: L ints, image pixels from one feature to the next.
    """
    sides = np.asarray(image_shape[:2])
    return np.array([-(-sides // stride) for stride in strides], int)
