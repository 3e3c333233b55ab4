"""The network on one page: trunk, inference graph, training graph, over one set of layers.

Shapes: B images, H W, A anchors, N proposals, T training ROIs, P of them that may be positive,
M ground truths, D detections, K classes, C channels.
"""

import contextlib

import keras
import numpy as np

from mrcnn import detection_layers, layers, target_layers
from mrcnn.backbone import ResNetStyle, build_backbone, fpn
from mrcnn.folding import fold_batch_norm
from mrcnn.heads import box_head, mask_head, rpn_head
from mrcnn.image import parse_image_meta
from mrcnn.training import NamedWeightsModel, TrainingModel


def build_network(config, training=False):
    """Builds the graphs that a `Config` describes.

    Args:
        config: a valid `Config`.
        training: bool, whether to build the training graph too.

    Returns:
        dict of `keras.Model`, which share every layer that has weights: `inference` and, with
        `training`, `training` have matterport's inputs and outputs; `detection` gives `detect`
        what it needs and no more.
    """
    with default_policy(config.PRECISION):
        trunk = build_trunk(config)
        heads = build_heads(config)
        # First: Keras answers `layer.output` with the tensor of the first graph.
        graphs = {"inference": inference_graph(config, trunk, heads)}
        graphs["detection"] = detection_graph(config, trunk, heads)
        if training:
            graphs["training"] = training_graph(config, trunk, heads)
    return graphs


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


def build_trunk(config):
    """Images -> pyramid P2..P6 -> scored anchors, as a dict of tensors by name."""
    # Mode "crop" trains on one size and detects on many.
    fixed = config.IMAGE_RESIZE_MODE == "square"
    sides = [int(side) if fixed else None for side in config.IMAGE_SHAPE[:2]]
    images = keras.Input((*sides, config.IMAGE_CHANNEL_COUNT), name="input_image")
    image_meta = keras.Input((config.IMAGE_META_SIZE,), name="input_image_meta")

    style = resnet_style(config)
    features = build_backbone(config.BACKBONE, images, config.TRAIN_BN, style)  # C2..C5
    pyramid = fpn(  # P2..P6
        features, config.TOP_DOWN_PYRAMID_SIZE, config.FPN_NORM, config.TRAIN_BN, style
    )
    anchors = layers.Anchors(
        config.RPN_ANCHOR_SCALES,
        config.RPN_ANCHOR_RATIOS,
        config.BACKBONE_STRIDES,
        config.RPN_ANCHOR_STRIDE,
        config.RPN_ANCHOR_ROUNDING,
        config.RPN_ANCHOR_MEASURED_STRIDES,
        config.BOX_OFFSET,
        name="anchors",
    )(images, pyramid)
    rpn = rpn_head(
        len(config.RPN_ANCHOR_RATIOS),
        config.RPN_ANCHOR_STRIDE,
        config.TOP_DOWN_PYRAMID_SIZE,
        config.RPN_CHANNELS,
        config.RPN_CONV_LAYERS,
        config.RPN_INIT_STD,
    )
    outputs = zip(*[rpn(level) for level in pyramid], strict=True)  # by kind, then by level
    names = ("rpn_class_logits", "rpn_class", "rpn_bbox")
    return {
        "input_image": images,
        "input_image_meta": image_meta,
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


def compute_backbone_shapes(config, image_shape):
    """Sizes of the feature maps P2..P6 of an image.

    Args:
        config: `Config`; a callable backbone's own `COMPUTE_BACKBONE_SHAPE` goes first.
        image_shape: (H, W, ...) in pixels.

    Returns:
        int NumPy [5, 2], height and width of each level.
    """
    if callable(config.BACKBONE) and callable(config.COMPUTE_BACKBONE_SHAPE):
        return np.asarray(config.COMPUTE_BACKBONE_SHAPE(config, image_shape))
    sides = np.asarray(image_shape[:2])
    return np.array([-(-sides // stride) for stride in config.BACKBONE_STRIDES], int)


def resnet_style(config):
    """The keys of a `Config` that say in which style its convolutions are."""
    return ResNetStyle(
        use_bias=config.CONV_BIAS_BEFORE_NORM,
        epsilon=config.BATCH_NORM_EPSILON,
        stride_in_1x1=config.RESNET_STRIDE_IN_1X1,
        symmetric_padding=config.RESNET_SYMMETRIC_PADDING,
    )


def build_heads(config):
    """The functions of pooled ROIs that both graphs share."""
    norm = {"use_bias": config.CONV_BIAS_BEFORE_NORM, "epsilon": config.BATCH_NORM_EPSILON}
    heads = {
        "box": box_head(
            config.NUM_CLASSES,
            config.POOL_SIZE,
            config.FPN_CLASSIF_FC_LAYERS_SIZE,
            config.TRAIN_BN,
            config.BOX_HEAD_CONV_LAYERS,
            config.TOP_DOWN_PYRAMID_SIZE,
            config.BOX_HEAD_FC_LAYERS,
            config.BOX_HEAD_FC_NORM,
            **norm,
        )
    }
    if config.USE_MASK:
        heads["mask"] = mask_head(
            config.NUM_CLASSES,
            config.MASK_HEAD_CHANNELS,
            config.TRAIN_BN,
            config.MASK_HEAD_NORM,
            **norm,
        )
    return heads


def propose(config, trunk, anchors, count, pre_nms_limit):
    """The `count` best proposals among the anchors of each level: float [B, N, 4], normalised."""
    if not config.RPN_NMS_PER_LEVEL:
        anchors = [concatenate(anchors)]
    return layers.ProposalLayer(
        count,
        config.RPN_NMS_THRESHOLD,
        pre_nms_limit,
        config.RPN_BBOX_STD_DEV,
        native=not config.JIT_COMPILE,
        clip_to_window=config.RPN_CLIP_TO_WINDOW,
        box_offset=config.BOX_OFFSET,
        name="ROI",
    )(trunk["rpn_class"], trunk["rpn_bbox"], anchors, trunk["input_image_meta"])


def pool(config, trunk, rois, pool_size, name):
    """The trunk's features in each ROI: [B, N, 4] -> [B, N, pool_size, pool_size, C]."""
    return layers.PyramidROIAlign(
        pool_size,
        config.ROI_ALIGN_MODE,
        config.ROI_ALIGN_SAMPLING_RATIO,
        config.ROI_ALIGN_ALIGNED,
        native=not config.JIT_COMPILE,
        level_rounding=config.ROI_LEVEL_ROUNDING,
        box_offset=config.BOX_OFFSET,
        name=name,
    )(rois, trunk["input_image_meta"], trunk["pyramid"][:4])


def detection_stages(config, trunk, heads, anchors):
    """Proposals -> classes and boxes -> detections -> pooled features of their masks."""
    image_meta = trunk["input_image_meta"]
    rois = propose(config, trunk, anchors, config.POST_NMS_ROIS_INFERENCE, config.PRE_NMS_LIMIT)
    boxes = heads["box"](pool(config, trunk, rois, config.POOL_SIZE, "roi_align_classifier"))
    per_class = config.DETECTION_PER_CLASS
    detection_layer = (
        detection_layers.ClasswiseDetectionLayer if per_class else detection_layers.DetectionLayer
    )
    detections = detection_layer(
        config.DETECTION_MAX_INSTANCES,
        config.DETECTION_MIN_CONFIDENCE,
        config.DETECTION_NMS_THRESHOLD,
        config.BBOX_STD_DEV,
        native=not config.JIT_COMPILE,
        box_offset=config.BOX_OFFSET,
        name="mrcnn_detection",
    )(rois, boxes["mrcnn_class"], boxes["mrcnn_bbox"], image_meta)
    stages = {"rois": rois, **boxes, "detections": detections}
    if config.USE_MASK:
        stages["mask_features"] = pool(
            config, trunk, detections[..., :4], config.MASK_POOL_SIZE, "roi_align_mask"
        )
    return stages


def inference_graph(config, trunk, heads):
    """matterport's interface: given anchors, every stage's result, masks of every class."""
    given = keras.Input((None, 4), name="input_anchors")
    anchors = layers.SplitAnchors(name="anchor_levels")(given, trunk["anchors"]["levels"])
    stages = detection_stages(config, trunk, heads, anchors)
    outputs = [stages["detections"], stages["mrcnn_class"], stages["mrcnn_bbox"]]
    if config.USE_MASK:
        outputs.append(heads["mask"](stages["mask_features"]))
    outputs += [stages["rois"], trunk["rpn_class"], trunk["rpn_bbox"]]
    inputs = [trunk["input_image"], trunk["input_image_meta"], given]
    return NamedWeightsModel(inputs, outputs, name="mask_rcnn")


def detection_graph(config, trunk, heads):
    """What `detect` runs: anchors from the image's size, detections, the predicted class's mask."""
    stages = detection_stages(config, trunk, heads, trunk["anchors"]["levels"])
    outputs = {"detections": stages["detections"]}
    if config.USE_MASK:
        logits = heads["mask"](stages["mask_features"], logits=True)
        outputs["masks"] = detection_layers.ClassMasks(name="class_masks")(
            logits, stages["detections"]
        )
    inputs = {name: trunk[name] for name in ("input_image", "input_image_meta")}
    return fold_batch_norm(keras.Model(inputs, outputs, name="mask_rcnn"))


def training_graph(config, trunk, heads):
    """Ground truth -> targets -> heads on sampled ROIs -> losses; matterport's inputs and outputs.

    Its masks are those of the ROIs that may be positive.
    """
    image_meta = trunk["input_image_meta"]
    gt = ground_truth_inputs(config)
    rpn = target_layers.AnchorTargetLayer(
        config.RPN_TRAIN_ANCHORS_PER_IMAGE,
        config.RPN_BBOX_STD_DEV,
        config.SEED,
        native=not config.JIT_COMPILE,
        name="rpn_targets",
    )(
        trunk["anchors"]["pixels"],
        gt["input_gt_class_ids"],
        gt["input_gt_boxes"],
        gt["input_rpn_match"],
        gt["input_rpn_bbox"],
    )
    if config.USE_RPN_ROIS:
        limit = config.PRE_NMS_LIMIT_TRAINING or config.PRE_NMS_LIMIT
        anchors = trunk["anchors"]["levels"]
        proposals = propose(config, trunk, anchors, config.POST_NMS_ROIS_TRAINING, limit)
    else:
        normalize = layers.NormBoxes(config.BOX_OFFSET, name="ROI")
        proposals = normalize(gt["input_roi"], image_meta)
    roi = target_layers.DetectionTargetLayer(
        config.TRAIN_ROIS_PER_IMAGE,
        config.ROI_POSITIVE_RATIO,
        config.BBOX_STD_DEV,
        config.MASK_SHAPE,
        config.USE_MINI_MASK,
        config.ROI_FILL_NEGATIVES,
        config.ROI_ADD_GT,
        config.MASK_TARGET,
        config.SEED,
        name="proposal_targets",
    )(
        proposals,
        gt["input_gt_class_ids"],
        layers.NormBoxes(config.BOX_OFFSET, name="gt_boxes")(gt["input_gt_boxes"], image_meta),
        gt["input_gt_masks"],
    )
    positives = roi["target_masks"].shape[1]  # P: all positives are among the first P ROIs
    boxes = heads["box"](pool(config, trunk, roi["rois"], config.POOL_SIZE, "roi_align_classifier"))

    anchor, anchor_class = rpn["target_rpn_index"], rpn["target_rpn_class"]
    roi_class = roi["target_class_ids"]
    active_class_ids = parse_image_meta(image_meta)["active_class_ids"]
    losses = {
        "rpn_class_loss": (anchor, anchor_class, trunk["rpn_class_logits"]),
        "rpn_bbox_loss": (anchor, anchor_class, rpn["target_rpn_deltas"], trunk["rpn_bbox"]),
        "mrcnn_class_loss": (roi_class, boxes["mrcnn_class_logits"], active_class_ids),
        "mrcnn_bbox_loss": (roi_class, roi["target_deltas"], boxes["mrcnn_bbox"]),
    }
    outputs = [trunk["rpn_class_logits"], trunk["rpn_class"], trunk["rpn_bbox"], *boxes.values()]
    if config.USE_MASK:
        positive_rois = roi["rois"][:, :positives]
        mask_features = pool(config, trunk, positive_rois, config.MASK_POOL_SIZE, "roi_align_mask")
        mask_logits = heads["mask"](mask_features, logits=True)
        losses["mrcnn_mask_loss"] = (roi_class[:, :positives], roi["target_masks"], mask_logits)
        outputs.append(heads["mask"](mask_features))
    outputs += [proposals, keras.layers.Identity(dtype="float32", name="output_rois")(roi["rois"])]
    box_loss = {"beta": config.SMOOTH_L1_BETA, "normalizer": config.BBOX_LOSS_NORMALIZER}
    constants = {"rpn_bbox_loss": box_loss, "mrcnn_bbox_loss": box_loss}
    return TrainingModel(
        [trunk["input_image"], image_meta, *gt.values()],
        outputs,
        {
            name: target_layers.Loss(name, **constants.get(name, {}))(*tensors)
            for name, tensors in losses.items()
        },
        loss_weights=config.LOSS_WEIGHTS,
        weight_decay=config.WEIGHT_DECAY,
        decay_by_size=config.WEIGHT_DECAY_BY_SIZE,
        name="mask_rcnn",
    )


def ground_truth_inputs(config):
    """Inputs of the training graph beside the images; what `DataGenerator` yields.

    RPN targets of no anchors are computed in the graph.
    """
    count = config.MAX_GT_INSTANCES
    if config.USE_MINI_MASK:
        mask_sides = tuple(config.MINI_MASK_SHAPE)
    elif config.IMAGE_RESIZE_MODE in ("square", "crop"):
        mask_sides = tuple(int(side) for side in config.IMAGE_SHAPE[:2])
    else:
        mask_sides = (None, None)
    inputs = {
        "input_rpn_match": keras.Input((None, 1), dtype="int32", name="input_rpn_match"),
        "input_rpn_bbox": keras.Input((None, 4), name="input_rpn_bbox"),
        "input_gt_class_ids": keras.Input((count,), dtype="int32", name="input_gt_class_ids"),
        "input_gt_boxes": keras.Input((count, 4), name="input_gt_boxes"),
        "input_gt_masks": keras.Input((*mask_sides, count), dtype="bool", name="input_gt_masks"),
    }
    if not config.USE_RPN_ROIS:
        shape = (config.POST_NMS_ROIS_TRAINING, 4)
        inputs["input_roi"] = keras.Input(shape, dtype="int32", name="input_roi")
    return inputs
