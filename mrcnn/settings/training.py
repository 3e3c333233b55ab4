"""Settings of training: targets, losses, updates, and what is kept."""

import dataclasses

from mrcnn.config import Config
from mrcnn.settings.fields import Stage, floats, key, stage
from mrcnn.settings.network import Boxes, Native


def loss_of(name):
    """The name of a loss without the stage of a cascade: `mrcnn_bbox_loss_stage2` is one of the
    losses `mrcnn_bbox_loss`."""
    return name.partition("_stage")[0]


def _loss_weights(value):
    """A weight for each loss; those that are not given are `Config`'s."""
    return {**Config.LOSS_WEIGHTS, **value}


def _class_weights(value):
    """Pairs of class id and weight, which any file holds; None without."""
    return None if value is None else tuple(sorted((int(i), float(w)) for i, w in value.items()))


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
    std_dev: tuple = key("RPN_BBOX_STD_DEV", floats)
    seed: int = key("SEED")


@stage
class DenseTargets(Native):
    """Training targets of every anchor; `std_dev`: four floats, scale of the deltas."""

    std_dev: tuple = key("BBOX_STD_DEV", floats)


@stage
class ROITargets(Stage):
    """Training ROIs of the heads and their targets.

    Attributes:
        iou: float, IoU with an object from which an ROI is positive, and below which negative.
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

    iou: float = key("ROI_IOU")
    num_rois: int = key("TRAIN_ROIS_PER_IMAGE")
    positive_ratio: float = key("ROI_POSITIVE_RATIO")
    std_dev: tuple = key("BBOX_STD_DEV", floats)
    mask_shape: tuple = key("MASK_SHAPE")
    mini_masks: bool = key("USE_MINI_MASK")
    fill_negatives: bool = key("ROI_FILL_NEGATIVES")
    add_gt: bool = key("ROI_ADD_GT")
    mask_target: str = key("MASK_TARGET")
    seed: int = key("SEED")


@stage
class HardROIs(Native):
    """Which of the training ROIs train the box head: see `mrcnn.layers.hard_rois`.

    `count`: int, ROIs of an image at most; None: all that were drawn.
    """

    count: int = key("OHEM_ROIS_PER_IMAGE")


@stage
class KeypointTargets(Boxes):
    """Training targets of the keypoints; `side`: bins a side of a heat map."""

    side: int = key("KEYPOINT_POOL_SIZE", lambda pool_size: 4 * pool_size)


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
    rpn_beta: float = key("RPN_SMOOTH_L1_BETA")
    box_kind: str = key("BBOX_LOSS")
    normalizer: str = key("BBOX_LOSS_NORMALIZER")
    class_kind: str = key("CLASS_LOSS")
    gamma: float = key("FOCAL_GAMMA")
    alpha: float = key("FOCAL_ALPHA")
    weight_decay: float = key("WEIGHT_DECAY")
    decay_by_size: bool = key("WEIGHT_DECAY_BY_SIZE")
    decay_biases: bool = key("WEIGHT_DECAY_BIASES")
    in_loss: bool = key("OPTIMIZER", lambda optimizer: optimizer != "adamw")

    def weight(self, name):
        """The weight of a loss by its name; 1 of one that `LOSS_WEIGHTS` does not have."""
        return self.weights.get(loss_of(name), 1.0)

    @property
    def rpn_box_loss(self):
        """Arguments of `mrcnn.ops.losses.rpn_bbox_loss`."""
        beta = self.beta if self.rpn_beta is None else self.rpn_beta
        return {"beta": beta, "normalizer": self.normalizer}

    @property
    def boxes_in_pixels(self):
        """bool, whether the loss of boxes must know what the deltas move."""
        return self.box_kind == "diou"

    def box_loss(self, std_dev):
        """Arguments of `mrcnn.ops.losses.mrcnn_bbox_loss`; `std_dev`: scale of the deltas."""
        kind = {"beta": self.beta, "kind": self.box_kind, "std_dev": std_dev}
        return {**kind, "normalizer": self.normalizer}

    def dense_box_loss(self, targets):
        """Arguments of `mrcnn.ops.dense_losses.retinanet_bbox_loss`, of `DenseTargets`."""
        return {"beta": self.beta, "kind": self.box_kind, "std_dev": targets.std_dev}

    def class_loss(self, num_classes):
        """Arguments of `mrcnn.ops.losses.mrcnn_class_loss`: without weights those of its kind."""
        kind = {"kind": self.class_kind, "gamma": self.gamma}
        if self.class_weights is None:
            return kind
        weights = dict(self.class_weights)
        return {**kind, "class_weights": tuple(weights.get(i, 1.0) for i in range(num_classes))}

    @property
    def dense_class_loss(self):
        """Arguments of `mrcnn.ops.dense_losses.retinanet_class_loss`."""
        return {"alpha": self.alpha, "gamma": self.gamma}


@stage
class Runtime(Stage):
    """How batches are made and run; `measured`: `train` finds the batch that fits."""

    devices: int = key("GPU_COUNT", int)

    batch_size: int = dataclasses.field(
        default=Config.IMAGES_PER_GPU * Config.GPU_COUNT,
        metadata={"key": "BATCH_SIZE", "convert": lambda size: max(1, int(size)), "numeric": False},
    )
    measured: bool = key("IMAGES_PER_GPU", lambda images: images == -1)
    jit_compile: bool = key("JIT_COMPILE")
    seed: int = key("SEED")
    workers: int = key("WORKERS")
    cache_megabytes: int = key("IMAGE_CACHE_MB")
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
    milestones: tuple = key("LEARNING_MILESTONES", floats)
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
