"""Settings of what a network is made of, from pictures to detections; `heads` has its heads."""

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

    `shape` is what modes "square" and "longest_edge" give, and the crops of mode "crop"; with
    `open_sides` the network takes other sizes too.
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
    in_scales: bool = key("TEST_SCALES", lambda scales: any(x != 1 for x in scales or ()))
    by_object_size: bool = key("TEST_OBJECT_SIZE", lambda size: size is not None)
    shape: tuple = dataclasses.field(
        default=(1024, 1024), metadata={"key": "IMAGE_SHAPE", "convert": _sides, "numeric": False}
    )

    @property
    def open_sides(self):
        """Whether test-time augmentation makes images of other sizes than `shape`."""
        return self.in_scales or self.by_object_size

    @property
    def pads_with_mean(self):
        """Whether padding is zero for the network, else black before it is molded.

        Black, as matterport has it, means nothing where 0 is no value of the pictures.
        """
        return self.resize_mode in ("shortest_edge", "longest_edge") or self.channels != 3

    @property
    def trains_on_one_size(self):
        """Whether all images of a training have the sides `shape`."""
        return self.resize_mode in ("square", "crop", "longest_edge")

    @property
    def detects_in_one_size(self):
        """Whether all images have, but for those that test-time augmentation resizes."""
        return self.resize_mode in ("square", "longest_edge") and not self.open_sides

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
    object_size: float = key("TEST_OBJECT_SIZE")

    @property
    def variants(self):
        """(factor, mirrored) of each form in which an image is detected in."""
        mirrored = (False, True) if self.flip else (False,)
        return [(factor, each) for factor in self.scales for each in mirrored]

    @property
    def enabled(self):
        """Whether there is any form but the image as it is."""
        return self.variants != [(1.0, False)] or self.object_size is not None


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
        rematerialize: bool, see `mrcnn.network.rematerialization`.
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
    rematerialize: bool = key("REMATERIALIZE")


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
class Warping(Boxes, Native):
    """Crops of proposals: see `mrcnn.ops.warping`.

    Attributes:
        side: int, pixels a side of a crop.
        context: int, of these on each side of the box.
    """

    side: int = key("WARP_SIZE")
    context: int = key("WARP_CONTEXT")


@stage
class Panoptic(Stage):
    """Panoptic maps: `mrcnn.inference.panoptic.merge`, and of MaX-DeepLab `mask_transformer`."""

    min_confidence: float = key("PANOPTIC_MIN_CONFIDENCE", lambda value: value or 0.0)
    overlap: float = key("PANOPTIC_OVERLAP")
    stuff_area: int = key("PANOPTIC_STUFF_AREA")
    thing_area: int = key("PANOPTIC_THING_AREA")
    pixel_confidence: float = key("PANOPTIC_PIXEL_CONFIDENCE")


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
