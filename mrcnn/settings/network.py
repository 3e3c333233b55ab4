"""Settings of what a network is made of, from pictures to detections."""

import dataclasses

import numpy as np

from mrcnn.config import Config
from mrcnn.presets import PRESETS
from mrcnn.settings.fields import Stage, floats, key, numerics, plain, stage


def _sides(config_shape):
    """The fixed height and width of a derived `IMAGE_SHAPE`."""
    return tuple(int(side) for side in config_shape[:2])


def _pixels(preset):
    """MEAN_PIXEL and STD_PIXEL of a preset; of another name those of `Config`."""
    config = PRESETS.get(preset, Config)
    return plain(config.MEAN_PIXEL), plain(config.STD_PIXEL)


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

    `shape` is what mode "square" gives, and the crops of mode "crop"; with `open_sides` the network
    takes other sizes too.
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
    open_sides: bool = key("TEST_SCALES", lambda scales: any(x != 1 for x in scales or ()))
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


def _factors(scales):
    return (1.0,) if scales is None else floats(scales)


@stage
class TestTime(Stage):
    """Test-time augmentation: see `mrcnn.inference.tta`."""

    flip: bool = key("TEST_FLIP")
    scales: tuple = key("TEST_SCALES", _factors)

    @property
    def variants(self):
        """(factor, mirrored) of each form in which an image is detected in."""
        mirrored = (False, True) if self.flip else (False,)
        return [(factor, each) for factor in self.scales for each in mirrored]

    @property
    def enabled(self):
        """Whether there is any form but the image as it is."""
        return self.variants != [(1.0, False)]


@stage
class ConvStyle(Stage):
    """In what the convolutions of different libraries differ; the defaults are matterport's.

    Attributes:
        use_bias: bool, biases of the convolutions that a BatchNorm follows.
        epsilon: float, of BatchNorm.
        norm: "batch", "group" or "sync_batch", see `mrcnn.network.norm.norm_layer`.
        stride_in_1x1: bool, whether the first 1x1 convolution of a block has its stride, else the
            3x3 one.
        symmetric_padding: bool, whether pooling and the strided 3x3 convolutions pad both sides
            alike, else as TensorFlow's "same".
    """

    use_bias: bool = numerics("CONV_BIAS_BEFORE_NORM")
    epsilon: float = numerics("BATCH_NORM_EPSILON")
    norm: str = key("NORM")
    stride_in_1x1: bool = numerics("RESNET_STRIDE_IN_1X1")
    symmetric_padding: bool = numerics("RESNET_SYMMETRIC_PADDING")


@stage
class Trunk(Stage):
    """Backbone, pyramid, and the head of the region proposal network.

    Attributes:
        preset_pixels: (mean, std), how the preset molds pixels, whatever the config has: see
            `mrcnn.network.keras_applications.keras_graph`.
    """

    backbone: object = key("BACKBONE")
    preset_pixels: tuple = key("PRESET", _pixels)
    train_bn: bool = key("TRAIN_BN")
    pyramid_channels: int = key("TOP_DOWN_PYRAMID_SIZE")
    pyramid_norm: bool = key("FPN_NORM")
    p6_from: str = key("FPN_P6_FROM")
    rpn_channels: int = key("RPN_CHANNELS")
    rpn_conv_layers: int = key("RPN_CONV_LAYERS")
    rpn_init_std: float = key("RPN_INIT_STD")
    precision: str = key("PRECISION")


@stage
class Anchors(Boxes):
    """Anchors of the pyramid: see `mrcnn.ops.anchors`.

    Attributes:
        scales: floats, pixels, one for each level; or a tuple of some for each.
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

    @property
    def level_scales(self):
        """The scales of each level, a tuple of tuples."""
        return tuple(tuple(np.ravel(scale).tolist()) for scale in self.scales)

    @property
    def per_location(self):
        """int, anchors at one place of a level (R)."""
        return len(self.level_scales[0]) * len(self.ratios)


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
    std_dev: tuple = numerics("RPN_BBOX_STD_DEV", floats)
    per_level: bool = numerics("RPN_NMS_PER_LEVEL")
    clip_to_window: bool = numerics("RPN_CLIP_TO_WINDOW")


@stage
class Pooling(Boxes, Native):
    """RoIAlign: see `mrcnn.ops.roi_align`.

    Attributes:
        mode: "crop_and_resize" (matterport: one sample a bin), "roi_align", or "roi_pool", see
            `mrcnn.ops.roi_pool`.
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
    """Classifier and box regressor: see `mrcnn.network.heads.box_head`.

    `spp_levels`: grids of `mrcnn.ops.roi_pool.spatial_pyramid_pool`; None: one of `pool_size`.
    """

    num_classes: int = key("NUM_CLASSES")
    pool_size: int = key("POOL_SIZE")
    spp_levels: tuple = key("SPP_LEVELS")
    channels: int = key("FPN_CLASSIF_FC_LAYERS_SIZE")
    train_bn: bool = key("TRAIN_BN")
    conv_layers: int = key("BOX_HEAD_CONV_LAYERS")
    conv_channels: int = key("TOP_DOWN_PYRAMID_SIZE")
    fc_layers: int = key("BOX_HEAD_FC_LAYERS")
    fc_norm: bool = key("BOX_HEAD_FC_NORM")
    class_agnostic: bool = key("BOX_CLASS_AGNOSTIC")

    @property
    def grid(self):
        """(int, int), the sides of what is pooled of an ROI; grids lie in one row."""
        if self.spp_levels is None:
            return self.pool_size, self.pool_size
        return 1, sum(side**2 for side in self.spp_levels)


@stage
class CascadeStage(Boxes):
    """A stage of a cascade: see `mrcnn.network.cascade`.

    Attributes:
        iou: float, with an object, from which an ROI is positive, and below which negative.
        std_dev: four floats, scale of the deltas.
    """

    iou: float = key("ROI_IOU")
    std_dev: tuple = key("BBOX_STD_DEV", floats)


@stage
class Cascade(CascadeStage):
    """The box heads of a cascade; `iou` and `std_dev` are the first one's.

    Attributes:
        ious: floats, the same of the stages after it.
        divisors: floats, what their deltas' scale is smaller by.
    """

    ious: tuple = key("CASCADE_IOUS", floats)
    divisors: tuple = key("CASCADE_STD_DIVISORS", floats)

    @property
    def stages(self):
        """List of `CascadeStage`, first to last."""
        return [
            CascadeStage(
                box_offset=self.box_offset, iou=iou, std_dev=tuple(x / by for x in self.std_dev)
            )
            for iou, by in zip((self.iou, *self.ious), (1.0, *self.divisors), strict=True)
        ]

    @property
    def suffixes(self):
        """What the names of each stage end in: "", which is Mask R-CNN's, "_stage2", ..."""
        return ["", *(f"_stage{i}" for i in range(2, 2 + len(self.ious)))]


@stage
class MaskHead(Stage):
    """Masks: see `mrcnn.network.heads.mask_head`. `enabled` False: boxes only."""

    enabled: bool = key("USE_MASK")
    num_classes: int = key("NUM_CLASSES")
    pool_size: int = key("MASK_POOL_SIZE")
    conv_layers: int = key("MASK_HEAD_CONV_LAYERS")
    channels: int = key("MASK_HEAD_CHANNELS")
    train_bn: bool = key("TRAIN_BN")
    norm: bool = key("MASK_HEAD_NORM")
    class_agnostic: bool = key("MASK_CLASS_AGNOSTIC")


@stage
class KeypointHead(Stage):
    """Keypoints: see `mrcnn.network.heads.keypoint_head`. `enabled` False: there are none."""

    enabled: bool = key("USE_KEYPOINTS")
    num_keypoints: int = key("NUM_KEYPOINTS")
    pool_size: int = key("KEYPOINT_POOL_SIZE")
    layers: int = key("KEYPOINT_HEAD_LAYERS")
    channels: int = key("KEYPOINT_HEAD_CHANNELS")


@stage
class RetinaNetHead(Stage):
    """Two towers over each level: see `mrcnn.network.retinanet_head.retinanet_head`."""

    num_classes: int = key("NUM_CLASSES")
    channels: int = key("TOP_DOWN_PYRAMID_SIZE")
    norm: bool = key("RETINANET_HEAD_NORM")
    init_std: float = key("RPN_INIT_STD")


@stage
class SemanticHead(Stage):
    """Class of each pixel: see `mrcnn.network.semantic_head`.

    Attributes:
        num_classes: int K, those of the data.
        stuff_classes: int, how many of them, the last ones, are stuff.
        channels: int, of its hidden layers.
    """

    num_classes: int = key("NUM_CLASSES")
    stuff_classes: int = key("NUM_STUFF_CLASSES")
    channels: int = key("SEMANTIC_HEAD_CHANNELS")

    @property
    def thing_classes(self):
        """int, the classes of instances, background included."""
        return self.num_classes - self.stuff_classes


@stage
class Panoptic(Stage):
    """The merge of instances and stuff: see `mrcnn.inference.panoptic.merge`."""

    min_confidence: float = key("PANOPTIC_MIN_CONFIDENCE", lambda value: value or 0.0)
    overlap: float = key("PANOPTIC_OVERLAP")
    stuff_area: int = key("PANOPTIC_STUFF_AREA")


@stage
class Detections(Boxes, Native):
    """From classified ROIs, or anchors, to detections in the caller's image.

    Attributes:
        max_instances: int, detections kept at most (D).
        min_confidence: float, lowest score that counts; 0: any.
        nms_threshold: float, IoU above which the lower score of a class goes.
        nms: "hard", or "linear" or "gaussian": see `mrcnn.ops.soft_nms`.
        nms_sigma: float, of "gaussian".
        class_agnostic_nms: bool, whether detections of other classes go too.
        std_dev: four floats, scale of the deltas.
        per_class: bool, whether every class of an ROI may be a detection.
        candidates: int, scores of a level that take part, where anchors are classified.
        clip_first: bool, whether these compete clipped to the picture, else as they are.
        mask_paste: key of `mrcnn.image.pasting.PASTERS`.
        keypoint_scores: "probabilities" or "logits", see `mrcnn.image.heatmaps.find_peaks`.
    """

    max_instances: int = key("DETECTION_MAX_INSTANCES")
    min_confidence: float = key("DETECTION_MIN_CONFIDENCE", lambda value: value or 0.0)
    nms_threshold: float = numerics("DETECTION_NMS_THRESHOLD")
    nms: str = key("DETECTION_NMS")
    nms_sigma: float = key("DETECTION_NMS_SIGMA")
    class_agnostic_nms: bool = key("DETECTION_NMS_CLASS_AGNOSTIC")
    std_dev: tuple = key("BBOX_STD_DEV", floats)
    per_class: bool = numerics("DETECTION_PER_CLASS")
    candidates: int = key("PRE_NMS_LIMIT")
    clip_first: bool = numerics("DETECTION_CLIP_FIRST")
    mask_paste: str = numerics("MASK_PASTE")
    keypoint_scores: str = key("KEYPOINT_SCORES")
