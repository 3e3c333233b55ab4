"""Settings: what each stage must know, made from a `Config` once.

What comes after takes settings, never a `Config`: layers and heads take those of their stage whole.
A stage's class is a table: each field names the key of `Config` that it comes from. Its default is
the value of `Config`; no number is repeated here.

A field made by `numerics` is one that weights depend on, and that a preset therefore fixes: the
threshold of torchvision's NMS, say. `Settings.numerics` lists them, to compare two families.
"""

import dataclasses

import numpy as np

from mrcnn.config import Config

stage = dataclasses.dataclass(frozen=True, kw_only=True)


def key(name, convert=None, *, numeric=False):
    """A field that comes from the key `name` of a `Config`, through `convert`."""
    convert = convert or plain
    metadata = {"key": name, "convert": convert, "numeric": numeric}
    return dataclasses.field(default=convert(getattr(Config, name)), metadata=metadata)


def numerics(name, convert=None):
    """As `key`, of what a preset fixes."""
    return key(name, convert, numeric=True)


def plain(value):
    """A value of a `Config` as numbers, strings and tuples, which can be compared and saved."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value


def _floats(value):
    return tuple(float(x) for x in value)


def _loss_weights(value):
    """A weight for each loss; those that are not given are `Config`'s."""
    return {**Config.LOSS_WEIGHTS, **value}


def _class_weights(value):
    """Pairs of class id and weight, which any file holds; None without."""
    return None if value is None else tuple(sorted((int(i), float(w)) for i, w in value.items()))


def _sides(config_shape):
    """The fixed height and width of a derived `IMAGE_SHAPE`."""
    return tuple(int(side) for side in config_shape[:2])


class Stage:
    """What all stages share: the way from a `Config`."""

    @classmethod
    def from_config(cls, config, **values):
        """Reads the fields' keys from a `Config`; `values` go first."""
        found = {
            field.name: field.metadata["convert"](getattr(config, field.metadata["key"]))
            for field in dataclasses.fields(cls)
            if field.name not in values
        }
        return cls(**found, **values)

    def by_key(self):
        """The values by the names of their keys."""
        return {
            field.metadata["key"]: getattr(self, field.name) for field in dataclasses.fields(self)
        }


@stage
class Boxes(Stage):
    """How boxes are normalised: `box_offset` of `mrcnn.ops.boxes`."""

    box_offset: int = numerics("BOX_OFFSET")


@stage
class Native(Stage):
    """Whether TensorFlow's own kernels may run: XLA cannot compile them."""

    native: bool = key("JIT_COMPILE", lambda jit_compile: not jit_compile)


@stage
class Image(Stage):
    """Images as the network takes them: see `mrcnn.image.resize_image`, `mrcnn.image.mold`.

    `shape` is what mode "square" gives, and the crops of mode "crop".
    """

    resize_mode: str = numerics("IMAGE_RESIZE_MODE")
    min_dim: int = key("IMAGE_MIN_DIM")
    max_dim: int = key("IMAGE_MAX_DIM")
    min_scale: float = key("IMAGE_MIN_SCALE")
    buckets: tuple = key("IMAGE_BUCKETS")
    interpolation: str = numerics("IMAGE_INTERPOLATION")
    channels: int = key("IMAGE_CHANNEL_COUNT")
    channel_files: tuple = key("IMAGE_CHANNEL_FILES")
    pages: str = key("IMAGE_PAGES")
    mean_pixel: tuple = numerics("MEAN_PIXEL")
    std_pixel: tuple = numerics("STD_PIXEL")
    num_classes: int = key("NUM_CLASSES")
    shape: tuple = dataclasses.field(
        default=(1024, 1024), metadata={"key": "IMAGE_SHAPE", "convert": _sides, "numeric": False}
    )

    @property
    def pads_with_mean(self):
        """Whether padding is zero for the network, else black before it is molded.

        Black, as matterport has it, means nothing where 0 is no value of the pictures.
        """
        return self.resize_mode == "shortest_edge" or self.channels != 3

    @property
    def padding_value(self):
        """What an augmentation leaves where there is no picture: black, or the mean as above."""
        return 0 if self.channels == 3 else self.mean_pixel

    @property
    def meta_size(self):
        """Length of the meta vector, see `mrcnn.image.meta`."""
        return 12 + self.num_classes


@stage
class Tiles(Stage):
    """Tiles of large images: see `mrcnn.image.tiles`. `size` None: images are taken whole."""

    size: int = key("TILE_SIZE")
    overlap: int = key("TILE_OVERLAP")

    @property
    def least_overlap(self):
        """Pixels that neighbours share at least."""
        return self.size // 4 if self.overlap is None else self.overlap


@stage
class ConvStyle(Stage):
    """In what the convolutions of different libraries differ; the defaults are matterport's.

    Attributes:
        use_bias: bool, biases of the convolutions that a BatchNorm follows.
        epsilon: float, of BatchNorm.
        stride_in_1x1: bool, whether the first 1x1 convolution of a block has its stride, else the
            3x3 one.
        symmetric_padding: bool, whether pooling and the strided 3x3 convolutions pad both sides
            alike, else as TensorFlow's "same".
    """

    use_bias: bool = numerics("CONV_BIAS_BEFORE_NORM")
    epsilon: float = numerics("BATCH_NORM_EPSILON")
    stride_in_1x1: bool = numerics("RESNET_STRIDE_IN_1X1")
    symmetric_padding: bool = numerics("RESNET_SYMMETRIC_PADDING")


@stage
class Trunk(Stage):
    """Backbone, pyramid, and the head of the region proposal network."""

    backbone: object = key("BACKBONE")
    train_bn: bool = key("TRAIN_BN")
    pyramid_channels: int = key("TOP_DOWN_PYRAMID_SIZE")
    pyramid_norm: bool = key("FPN_NORM")
    rpn_channels: int = key("RPN_CHANNELS")
    rpn_conv_layers: int = key("RPN_CONV_LAYERS")
    rpn_init_std: float = key("RPN_INIT_STD")
    precision: str = key("PRECISION")


@stage
class Anchors(Boxes):
    """Anchors of the pyramid: see `mrcnn.ops.anchors`.

    Attributes:
        scales: floats, pixels, one for each level.
        ratios: floats, width / height.
        strides: ints, image pixels from one feature to the next.
        anchor_stride: int, features from one anchor location to the next.
        rounded: bool, whole pixels.
        measured_strides: bool, take image side // feature side instead of `strides`, as
            torchvision: it differs where a side is not a multiple of the stride.
    """

    scales: tuple = key("RPN_ANCHOR_SCALES")
    ratios: tuple = numerics("RPN_ANCHOR_RATIOS")
    strides: tuple = key("BACKBONE_STRIDES")
    anchor_stride: int = key("RPN_ANCHOR_STRIDE")
    rounded: bool = numerics("RPN_ANCHOR_ROUNDING")
    measured_strides: bool = numerics("RPN_ANCHOR_MEASURED_STRIDES")


@stage
class Proposals(Boxes, Native):
    """From scored anchors to proposals.

    Attributes:
        proposal_count: int, proposals kept at most (N).
        nms_threshold: float, IoU above which the lower score goes.
        pre_nms_limit: int, anchors of a level that take part.
        std_dev: four floats, scale of the deltas.
        per_level: bool, whether each level competes by itself.
        clip_to_window: bool, clip to the picture inside the image, and drop what has no area
            there; else clip to the image, padding included.
    """

    proposal_count: int = key("POST_NMS_ROIS_INFERENCE")
    nms_threshold: float = key("RPN_NMS_THRESHOLD")
    pre_nms_limit: int = key("PRE_NMS_LIMIT")
    std_dev: tuple = numerics("RPN_BBOX_STD_DEV", _floats)
    per_level: bool = numerics("RPN_NMS_PER_LEVEL")
    clip_to_window: bool = numerics("RPN_CLIP_TO_WINDOW")


@stage
class Pooling(Boxes, Native):
    """RoIAlign: see `mrcnn.ops.roi_align`.

    Attributes:
        mode: "crop_and_resize" (matterport: one sample a bin) or "roi_align".
        sampling_ratio: int, samples of a bin and axis in mode "roi_align"; 0: adaptive.
        aligned: bool, half-pixel correction in mode "roi_align".
        level_rounding: "round" or "floor", see `mrcnn.ops.roi_align.roi_levels`.
    """

    mode: str = numerics("ROI_ALIGN_MODE")
    sampling_ratio: int = numerics("ROI_ALIGN_SAMPLING_RATIO")
    aligned: bool = numerics("ROI_ALIGN_ALIGNED")
    level_rounding: str = numerics("ROI_LEVEL_ROUNDING")


@stage
class BoxHead(Stage):
    """Classifier and box regressor: see `mrcnn.network.heads.box_head`."""

    num_classes: int = key("NUM_CLASSES")
    pool_size: int = key("POOL_SIZE")
    channels: int = key("FPN_CLASSIF_FC_LAYERS_SIZE")
    train_bn: bool = key("TRAIN_BN")
    conv_layers: int = key("BOX_HEAD_CONV_LAYERS")
    conv_channels: int = key("TOP_DOWN_PYRAMID_SIZE")
    fc_layers: int = key("BOX_HEAD_FC_LAYERS")
    fc_norm: bool = key("BOX_HEAD_FC_NORM")


@stage
class MaskHead(Stage):
    """Masks: see `mrcnn.network.heads.mask_head`. `enabled` False: boxes only."""

    enabled: bool = key("USE_MASK")
    num_classes: int = key("NUM_CLASSES")
    pool_size: int = key("MASK_POOL_SIZE")
    channels: int = key("MASK_HEAD_CHANNELS")
    train_bn: bool = key("TRAIN_BN")
    norm: bool = key("MASK_HEAD_NORM")


@stage
class AnchorTargets(Native):
    """Training targets of the region proposal network.

    Attributes:
        num_anchors: int, anchors drawn for each image.
        positive_ratio: float, share of positives at most.
        std_dev: four floats, scale of the deltas.
        seed: int or None.
    """

    num_anchors: int = key("RPN_TRAIN_ANCHORS_PER_IMAGE")
    positive_ratio: float = key("RPN_POSITIVE_RATIO")
    std_dev: tuple = key("RPN_BBOX_STD_DEV", _floats)
    seed: int = key("SEED")


@stage
class ROITargets(Stage):
    """Training ROIs of the heads and their targets.

    Attributes:
        num_rois: int, ROIs drawn for each image (T).
        positive_ratio: float, share of positives at most.
        std_dev: four floats, scale of the deltas.
        mask_shape: (int, int), height and width of mask targets.
        mini_masks: bool, ground truth masks cover their boxes instead of the image.
        fill_negatives: bool, draw more negatives where positives are few.
        add_gt: bool, ground truth boxes join the proposals.
        mask_target: see `mrcnn.ops.targets.encode_masks`.
        seed: int or None.
    """

    num_rois: int = key("TRAIN_ROIS_PER_IMAGE")
    positive_ratio: float = key("ROI_POSITIVE_RATIO")
    std_dev: tuple = key("BBOX_STD_DEV", _floats)
    mask_shape: tuple = key("MASK_SHAPE")
    mini_masks: bool = key("USE_MINI_MASK")
    fill_negatives: bool = key("ROI_FILL_NEGATIVES")
    add_gt: bool = key("ROI_ADD_GT")
    mask_target: str = key("MASK_TARGET")
    seed: int = key("SEED")


@stage
class GroundTruth(Stage):
    """The padded ground truth of a batch; `use_rpn_rois` False: proposals are an input too."""

    max_instances: int = key("MAX_GT_INSTANCES")
    mini_masks: bool = key("USE_MINI_MASK")
    mini_mask_shape: tuple = key("MINI_MASK_SHAPE")
    include_empty: bool = key("INCLUDE_EMPTY_IMAGES")
    use_rpn_rois: bool = key("USE_RPN_ROIS")
    proposal_count: int = key("POST_NMS_ROIS_TRAINING")


@stage
class Detections(Boxes, Native):
    """From classified ROIs to detections in the caller's image.

    Attributes:
        max_instances: int, detections kept at most (D).
        min_confidence: float, lowest score that counts; 0: any.
        nms_threshold: float, IoU above which the lower score of a class goes.
        std_dev: four floats, scale of the deltas.
        per_class: bool, whether every class of an ROI may be a detection.
        mask_paste: key of `mrcnn.image.pasting.PASTERS`.
    """

    max_instances: int = key("DETECTION_MAX_INSTANCES")
    min_confidence: float = key("DETECTION_MIN_CONFIDENCE", lambda value: value or 0.0)
    nms_threshold: float = numerics("DETECTION_NMS_THRESHOLD")
    std_dev: tuple = key("BBOX_STD_DEV", _floats)
    per_class: bool = numerics("DETECTION_PER_CLASS")
    mask_paste: str = numerics("MASK_PASTE")


@stage
class Losses(Stage):
    """The total loss: see `mrcnn.ops.losses`, `mrcnn.network.training_model`.

    `in_loss` False: the optimizer does the weight decay.
    """

    weights: dict = dataclasses.field(
        default_factory=lambda: dict(Config.LOSS_WEIGHTS),
        metadata={"key": "LOSS_WEIGHTS", "convert": _loss_weights, "numeric": False},
    )
    class_weights: tuple = key("CLASS_WEIGHTS", _class_weights)
    beta: float = key("SMOOTH_L1_BETA")
    normalizer: str = key("BBOX_LOSS_NORMALIZER")
    weight_decay: float = key("WEIGHT_DECAY")
    decay_by_size: bool = key("WEIGHT_DECAY_BY_SIZE")
    decay_biases: bool = key("WEIGHT_DECAY_BIASES")
    in_loss: bool = key("OPTIMIZER", lambda optimizer: optimizer != "adamw")

    @property
    def box_loss(self):
        """Arguments of `mrcnn.ops.losses.box_loss`."""
        return {"beta": self.beta, "normalizer": self.normalizer}

    def class_loss(self, num_classes):
        """Arguments of `mrcnn.ops.losses.mrcnn_class_loss`: none without weights."""
        if self.class_weights is None:
            return {}
        weights = dict(self.class_weights)
        return {"class_weights": tuple(weights.get(i, 1.0) for i in range(num_classes))}


@stage
class Runtime(Stage):
    """How batches are made and run; `measured`: `train` finds the batch that fits."""

    batch_size: int = dataclasses.field(
        default=Config.IMAGES_PER_GPU * Config.GPU_COUNT,
        metadata={"key": "BATCH_SIZE", "convert": lambda size: max(1, int(size)), "numeric": False},
    )
    measured: bool = key("IMAGES_PER_GPU", lambda images: images == -1)
    jit_compile: bool = key("JIT_COMPILE")
    seed: int = key("SEED")
    workers: int = key("WORKERS")
    repeat_threshold: float = key("REPEAT_FACTOR_THRESHOLD")


@stage
class Optimization(Stage):
    """From gradients to weights: see `mrcnn.training.optimizers`, `mrcnn.training.schedules`."""

    optimizer: str = key("OPTIMIZER")
    momentum: float = key("LEARNING_MOMENTUM")
    layer_decay: float = key("LAYER_DECAY")
    weight_decay: float = key("WEIGHT_DECAY")
    decay_biases: bool = key("WEIGHT_DECAY_BIASES")
    clip_norm: float = key("GRADIENT_CLIP_NORM")
    accumulation_steps: int = key("ACCUMULATION_STEPS")
    schedule: str = key("LEARNING_SCHEDULE")
    milestones: tuple = key("LEARNING_MILESTONES", _floats)
    drop: float = key("LEARNING_DROP")
    warmup_steps: int = key("WARMUP_STEPS")
    warmup_factor: float = key("WARMUP_FACTOR")
    ema_momentum: float = key("EMA_MOMENTUM")


@stage
class Checkpoints(Stage):
    """What a training leaves, and when it ends: see `mrcnn.training.checkpoints`."""

    patience: int = key("EARLY_STOPPING")
    kept: int = key("CHECKPOINTS_KEPT")
    minutes: float = key("CHECKPOINT_MINUTES")


def check_config(config):
    """Raises TypeError unless `config` is a `Config`: for a class it says what to write."""
    if isinstance(config, type):
        raise TypeError(f"config is the class {config.__name__}; pass {config.__name__}()")
    if not hasattr(config, "IMAGE_RESIZE_MODE"):
        raise TypeError(f"config is a {type(config).__name__}; expected a mrcnn.config.Config")


@stage
class Settings:
    """The settings of every stage.

    Example:

    >>> Settings.from_config(Config()).proposals.proposal_count
    1000
    """

    image: Image
    tiles: Tiles
    trunk: Trunk
    style: ConvStyle
    anchors: Anchors
    proposals: Proposals
    training_proposals: Proposals
    pooling: Pooling
    box_head: BoxHead
    mask_head: MaskHead
    anchor_targets: AnchorTargets
    roi_targets: ROITargets
    ground_truth: GroundTruth
    detections: Detections
    losses: Losses
    optimization: Optimization
    checkpoints: Checkpoints
    runtime: Runtime
    preset: str

    @classmethod
    def from_config(cls, config):
        """Reads a `Config`; settings are returned as they are, so that callers may pass either."""
        if isinstance(config, cls):
            return config
        check_config(config)
        training = {
            "proposal_count": int(config.POST_NMS_ROIS_TRAINING),
            "pre_nms_limit": int(config.PRE_NMS_LIMIT_TRAINING or config.PRE_NMS_LIMIT),
        }
        return cls(
            preset=config.PRESET,
            training_proposals=Proposals.from_config(config, **training),
            **{
                field.name: field.type.from_config(config)
                for field in dataclasses.fields(cls)
                if field.name not in ("preset", "training_proposals")
            },
        )

    def changed_since(self, earlier):
        """Keys of `Config` in which these settings of training differ from others, a sorted list.

        Those of detections alone are left out, and those that `train` reads anew.
        """
        others = ("preset", "training_proposals", "detections", "optimization", "checkpoints")
        return sorted(
            {
                field.metadata["key"]
                for stage in dataclasses.fields(self)
                if stage.name not in others
                for field in dataclasses.fields(stage.type)
                if getattr(getattr(self, stage.name), field.name)
                != getattr(getattr(earlier, stage.name), field.name)
            }
        )

    @property
    def numerics(self):
        """dict: the keys of `Config` that weights depend on, with these settings' values."""
        return {
            field.metadata["key"]: getattr(part, field.name)
            for part in (getattr(self, field.name) for field in dataclasses.fields(self))
            if isinstance(part, Stage)
            for field in dataclasses.fields(part)
            if field.metadata["numeric"]
        }
