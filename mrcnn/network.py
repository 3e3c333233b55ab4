"""The network on one page: trunk, inference graph, training graph, over one set of layers.

Shapes: B images, H W, A anchors, N proposals, T training ROIs, P of them that may be positive,
M ground truths, D detections, K classes, C channels.
"""

import keras

from mrcnn import detection_layers, layers, target_layers
from mrcnn.backbone import ResNetStyle, build_backbone, fpn
from mrcnn.heads import box_head, mask_head, rpn_head
from mrcnn.image import parse_image_meta
from mrcnn.training import TrainingModel


def build_network(config, training=False):
    """Builds the graphs that a `Config` describes.

    Args:
        config: a valid `Config`.
        training: bool, whether to build the training graph too.

    Returns:
        dict of `keras.Model`: `inference`, and with `training` also `training`. They share every
        layer that has weights; both map named inputs to named outputs.
    """
    trunk = build_trunk(config)
    heads = build_heads(config)
    graphs = {"inference": inference_graph(config, trunk, heads)}
    if training:
        graphs["training"] = training_graph(config, trunk, heads)
    return graphs


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
            name: keras.layers.Concatenate(axis=1, name=name)(list(levels))  # (B, A, 2 or 4)
            for name, levels in zip(names, outputs, strict=True)
        },
    }


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


def propose(config, trunk, count, pre_nms_limit, name):
    """The trunk's `count` best proposals: float [B, N, 4], normalised."""
    anchors = trunk["anchors"]["levels"]
    if not config.RPN_NMS_PER_LEVEL:
        anchors = [keras.layers.Concatenate(axis=1)(anchors)]
    return layers.ProposalLayer(
        count,
        config.RPN_NMS_THRESHOLD,
        pre_nms_limit,
        config.RPN_BBOX_STD_DEV,
        native=not config.JIT_COMPILE,
        clip_to_window=config.RPN_CLIP_TO_WINDOW,
        box_offset=config.BOX_OFFSET,
        name=name,
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


def inference_graph(config, trunk, heads):
    """Proposals -> classes and boxes -> detections -> masks of the detections only."""
    image_meta = trunk["input_image_meta"]
    rois = propose(config, trunk, config.POST_NMS_ROIS_INFERENCE, config.PRE_NMS_LIMIT, "ROI")
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
    outputs = {"detections": detections}
    if config.USE_MASK:
        mask_logits = heads["mask"](
            pool(config, trunk, detections[..., :4], config.MASK_POOL_SIZE, "roi_align_mask")
        )
        outputs["masks"] = detection_layers.ClassMasks(name="class_masks")(mask_logits, detections)
    return keras.Model(
        {"input_image": trunk["input_image"], "input_image_meta": image_meta},
        outputs,
        name="mask_rcnn",
    )


def training_graph(config, trunk, heads):
    """Ground truth -> targets -> heads on sampled ROIs -> losses."""
    image_meta = trunk["input_image_meta"]
    gt = ground_truth_inputs(config)
    rpn = target_layers.AnchorTargetLayer(
        config.RPN_TRAIN_ANCHORS_PER_IMAGE,
        config.RPN_BBOX_STD_DEV,
        config.SEED,
        native=not config.JIT_COMPILE,
        name="rpn_targets",
    )(trunk["anchors"]["pixels"], gt["input_gt_class_ids"], gt["input_gt_boxes"])
    if config.USE_RPN_ROIS:
        limit = config.PRE_NMS_LIMIT_TRAINING or config.PRE_NMS_LIMIT
        proposals = propose(config, trunk, config.POST_NMS_ROIS_TRAINING, limit, "ROI_training")
    else:
        normalize = layers.NormBoxes(config.BOX_OFFSET, name="ROI_training")
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
    boxes = heads["box"](
        pool(config, trunk, roi["rois"], config.POOL_SIZE, "roi_align_classifier_training")
    )

    anchor, anchor_class = rpn["target_rpn_index"], rpn["target_rpn_class"]
    roi_class = roi["target_class_ids"]
    active_class_ids = parse_image_meta(image_meta)["active_class_ids"]
    losses = {
        "rpn_class_loss": (anchor, anchor_class, trunk["rpn_class_logits"]),
        "rpn_bbox_loss": (anchor, anchor_class, rpn["target_rpn_deltas"], trunk["rpn_bbox"]),
        "mrcnn_class_loss": (roi_class, boxes["mrcnn_class_logits"], active_class_ids),
        "mrcnn_bbox_loss": (roi_class, roi["target_deltas"], boxes["mrcnn_bbox"]),
    }
    if config.USE_MASK:
        positive_rois = roi["rois"][:, :positives]
        mask_logits = heads["mask"](
            pool(config, trunk, positive_rois, config.MASK_POOL_SIZE, "roi_align_mask_training")
        )
        losses["mrcnn_mask_loss"] = (roi_class[:, :positives], roi["target_masks"], mask_logits)
    box_loss = {"beta": config.SMOOTH_L1_BETA, "normalizer": config.BBOX_LOSS_NORMALIZER}
    constants = {"rpn_bbox_loss": box_loss, "mrcnn_bbox_loss": box_loss}
    return TrainingModel(
        {"input_image": trunk["input_image"], "input_image_meta": image_meta, **gt},
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
    """Inputs of the training graph beside the images; what `DataGenerator` yields."""
    count = config.MAX_GT_INSTANCES
    if config.USE_MINI_MASK:
        mask_sides = tuple(config.MINI_MASK_SHAPE)
    elif config.IMAGE_RESIZE_MODE in ("square", "crop"):
        mask_sides = tuple(int(side) for side in config.IMAGE_SHAPE[:2])
    else:
        mask_sides = (None, None)
    inputs = {
        "input_gt_class_ids": keras.Input((count,), dtype="int32", name="input_gt_class_ids"),
        "input_gt_boxes": keras.Input((count, 4), name="input_gt_boxes"),
        "input_gt_masks": keras.Input((*mask_sides, count), dtype="bool", name="input_gt_masks"),
    }
    if not config.USE_RPN_ROIS:
        shape = (config.POST_NMS_ROIS_TRAINING, 4)
        inputs["input_roi"] = keras.Input(shape, name="input_roi")
    return inputs
