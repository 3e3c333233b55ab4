"""Whether the keys of a `Config` fit together: what would fail later, told with the fix."""

import numbers

import numpy as np

from mrcnn.architecture_checks import MAX_DEEPLABS, architecture_problems
from mrcnn.config_ranges import is_count, range_problems

RESIZE_MODES = ("none", "square", "pad64", "crop", "shortest_edge", "longest_edge")
ROI_ALIGN_MODES = ("crop_and_resize", "roi_align", "roi_pool")
BACKBONES = ("resnet50", "resnet101", "resnext101_32x8d", "efficientnet_lite0")
# Networks of `keras.applications`. The others (Xception, Inception, NASNet) pad nothing, so that
# their features have no whole strides.
KERAS_PREFIX = "keras/"
KERAS_BACKBONES = tuple(
    KERAS_PREFIX + name
    for name in (
        *("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"),
        *("ResNet50V2", "ResNet101V2", "ResNet152V2"),
        *("DenseNet121", "DenseNet169", "DenseNet201"),
        *(f"EfficientNetB{i}" for i in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
        *("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large"),
    )
)
NO_FC = ("c4", "retinanet", "rcnn")  # without fully connected layers in the box head
_WITHOUT_BATCH_NORM = (f"{KERAS_PREFIX}VGG", f"{KERAS_PREFIX}ConvNeXt")  # how such names begin
_CHOICES = {
    "IMAGE_RESIZE_MODE": RESIZE_MODES,
    "IMAGE_INTERPOLATION": ("constant", "edge", "antialias", "corners"),
    "ROI_ALIGN_MODE": ROI_ALIGN_MODES,
    "ROI_LEVEL_ROUNDING": ("round", "floor"),
    "BOX_OFFSET": (0, 1),
    "BBOX_LOSS": ("smooth_l1", "giou", "diou"),
    "CLASS_LOSS": ("cross_entropy", "focal"),
    "NORM": ("batch", "group", "sync_batch"),
    "BBOX_LOSS_NORMALIZER": ("positives", "sampled"),
    "FPN_P6_FROM": ("C5", "P5"),
    "MASK_TARGET": ("crop_and_resize", "roi_align", "roi_align_binary"),
    "MASK_PASTE": ("resize", "padded", "sampled"),
    "DETECTION_NMS": ("hard", "linear", "gaussian"),
    "KEYPOINT_SCORES": ("probabilities", "logits"),
    "IMAGE_PAGES": ("auto", "channels", "pictures"),
    "OPTIMIZER": ("sgd", "adamw"),
    "LEARNING_SCHEDULE": ("constant", "multistep", "cosine", "one_cycle"),
    "PRECISION": ("float32", "mixed_bfloat16", "mixed_float16"),
}


def problems(config):
    """Yields a text for each key of a `Config` that cannot work."""
    yield from range_problems(config)
    yield from _model_problems(config)
    yield from _image_problems(config)
    yield from _tile_problems(config)
    yield from _test_time_problems(config)
    yield from _training_problems(config)


def _model_problems(config):
    if not config.NAME or not isinstance(config.NAME, str):
        yield f"NAME is {config.NAME!r}; set a short name, it names logs and checkpoints"
    elif set(config.NAME) & set("/\\{}:"):
        yield f"NAME is {config.NAME!r}; it names files and folders: leave out / \\ : {{ and }}"
    if not isinstance(config.NUM_CLASSES, numbers.Integral) or config.NUM_CLASSES < 2:
        yield f"NUM_CLASSES is {config.NUM_CLASSES!r}; count background too: 1 + your classes"
    yield from _backbone_problems(config)
    yield from _rematerialization_problems(config)
    levels = len(config.BACKBONE_STRIDES)
    if len(config.RPN_ANCHOR_SCALES) != levels:
        yield (
            f"RPN_ANCHOR_SCALES has {len(config.RPN_ANCHOR_SCALES)} entries and BACKBONE_STRIDES "
            f"{levels}; give one entry for each pyramid level"
        )
    yield from architecture_problems(config)
    if len({np.shape(scale) for scale in config.RPN_ANCHOR_SCALES}) > 1:
        yield (
            f"RPN_ANCHOR_SCALES is {config.RPN_ANCHOR_SCALES}; the heads are shared: give each "
            "level as many scales"
        )
    yield from _head_problems(config)


def _head_problems(config):
    for key, choices in _CHOICES.items():
        if getattr(config, key) not in choices:
            yield f"{key} is {getattr(config, key)!r}; expected one of {choices}"
    for key in ("ROI_ALIGN_MODE", "MASK_TARGET"):
        if key == "MASK_TARGET" and not config.USE_MASK:
            continue
        if getattr(config, key) == "crop_and_resize" and not config.BOX_OFFSET:
            yield f"{key} is 'crop_and_resize'; it needs BOX_OFFSET = 1"
    if config.MASK_TARGET != "crop_and_resize" and config.BOX_OFFSET:
        yield f"MASK_TARGET is {config.MASK_TARGET!r}; it needs BOX_OFFSET = 0"
    if not isinstance(config.PRESET, str) or "/" not in config.PRESET:
        yield f"PRESET is {config.PRESET!r}; expected a key of mrcnn.presets.PRESETS"
    if len(config.CASCADE_STD_DIVISORS) != len(config.CASCADE_IOUS):
        yield (
            f"CASCADE_IOUS is {config.CASCADE_IOUS} and CASCADE_STD_DIVISORS "
            f"{config.CASCADE_STD_DIVISORS}; give one of each for each stage after the first"
        )
    if not all(0 < iou <= 1 for iou in (config.ROI_IOU, *config.CASCADE_IOUS)):
        yield (
            f"ROI_IOU is {config.ROI_IOU} and CASCADE_IOUS {config.CASCADE_IOUS}; expected above "
            "0, at most 1"
        )
    size = config.FPN_CLASSIF_FC_LAYERS_SIZE
    grouped = config.NORM == "group" and config.BOX_HEAD_FC_NORM
    if grouped and size in (1, 2, 4, 8, 16, 32) and config.ARCHITECTURE not in NO_FC:
        yield (
            f"FPN_CLASSIF_FC_LAYERS_SIZE is {size}; NORM 'group' makes 32 groups of it, and one of "
            "a single value is always 0: set 64 or more, or BOX_HEAD_FC_NORM = False"
        )
    yield from _spatial_pyramid_problems(config)
    side = 2 * config.MASK_POOL_SIZE
    if list(config.MASK_SHAPE) != [side, side]:
        yield (
            f"MASK_SHAPE is {list(config.MASK_SHAPE)}; the mask head doubles MASK_POOL_SIZE "
            f"{config.MASK_POOL_SIZE}, so it is [{side}, {side}]"
        )


def _spatial_pyramid_problems(config):
    grids = config.SPP_LEVELS
    if grids is None:
        return
    if not isinstance(grids, (list, tuple)) or not grids or not all(map(is_count, grids)):
        yield (
            f"SPP_LEVELS is {grids!r}; expected bins a side of each grid, such as (6, 3, 2, 1), "
            "or None"
        )
    if config.BOX_HEAD_CONV_LAYERS:
        yield (
            f"SPP_LEVELS is {grids} and BOX_HEAD_CONV_LAYERS {config.BOX_HEAD_CONV_LAYERS}; "
            "convolutions need one grid: set either to None or 0"
        )


def _backbone_problems(config):
    backbone, channels = config.BACKBONE, config.IMAGE_CHANNEL_COUNT
    if callable(backbone) or backbone in (*BACKBONES, *MAX_DEEPLABS):
        return
    if backbone not in KERAS_BACKBONES:
        yield (
            f"BACKBONE is {backbone!r}; expected one of {BACKBONES}, a callable, or a network of "
            f"keras.applications whose features have whole strides: {KERAS_BACKBONES}"
        )
        return
    if channels != 3:
        yield (
            f"BACKBONE is {backbone!r} and IMAGE_CHANNEL_COUNT {channels}; the networks of "
            f"keras.applications take RGB: set 3, or a BACKBONE of {BACKBONES}"
        )
    if config.NORM == "group" and not backbone.startswith(_WITHOUT_BATCH_NORM):
        yield (
            f"NORM is 'group' and BACKBONE {backbone!r}, whose ImageNet weights need BatchNorm; "
            f"set NORM to 'batch' or 'sync_batch', or a BACKBONE of {BACKBONES}, or one without: "
            "keras/VGG..., keras/ConvNeXt..."
        )


def _rematerialization_problems(config):
    if not config.REMATERIALIZE:
        return
    if config.BACKBONE not in BACKBONES:
        yield (
            f"REMATERIALIZE is {config.REMATERIALIZE} and BACKBONE {config.BACKBONE!r}; only the "
            f"blocks of {BACKBONES} are known: set one of these, or REMATERIALIZE = False"
        )
    if config.TRAIN_BN is not False and config.NORM != "group":
        yield (
            f"REMATERIALIZE is {config.REMATERIALIZE} and TRAIN_BN {config.TRAIN_BN}; a block that "
            "is computed twice would count its batch twice in the statistics: set TRAIN_BN = "
            "False, or NORM = 'group'"
        )


def _image_problems(config):
    mode = config.IMAGE_RESIZE_MODE
    if mode == "shortest_edge" and not (config.IMAGE_MIN_DIM and config.IMAGE_MAX_DIM):
        yield (
            f"IMAGE_MIN_DIM is {config.IMAGE_MIN_DIM} and IMAGE_MAX_DIM {config.IMAGE_MAX_DIM}; "
            "mode 'shortest_edge' needs both, such as 800 and 1333"
        )
    padded = {"square": ["IMAGE_MAX_DIM"], "pad64": ["IMAGE_MIN_DIM"]}
    padded["crop"], padded["longest_edge"] = padded["pad64"], padded["square"]
    corners = config.IMAGE_INTERPOLATION == "corners"
    multiple, rest = (16, 1) if corners else (64, 0)
    for key in padded.get(mode, []):
        value = getattr(config, key)
        if value is None or value <= 0 or value % multiple != rest:
            below = max(64, (value or 0) // multiple * multiple) + rest
            kind = (
                "one more than a multiple of 16"
                if corners
                else "a multiple of 64 (it is halved six times)"
            )
            yield (
                f"{key} is {value}; mode {mode!r} needs {kind}, such as {below} or "
                f"{below + multiple}"
            )
    if mode == "square" and (config.IMAGE_MIN_DIM or 0) > config.IMAGE_MAX_DIM:
        yield (
            f"IMAGE_MIN_DIM is {config.IMAGE_MIN_DIM} and IMAGE_MAX_DIM {config.IMAGE_MAX_DIM}; "
            "lower the first or raise the second"
        )
    buckets = [] if config.IMAGE_BUCKETS is None else list(config.IMAGE_BUCKETS)
    for bucket in buckets:
        wrong = np.shape(bucket) != (2,) or np.any(np.less(bucket, 1))
        if wrong or np.any(np.mod(bucket, multiple) != rest):
            kind = "one more than multiples of 16" if corners else "multiples of 64"
            yield f"IMAGE_BUCKETS has {bucket!r}; expected (height, width), {kind}"
    if buckets and mode in ("square", "longest_edge"):
        yield f"IMAGE_BUCKETS has no effect in mode {mode!r}, which has one size; set it to None"
    if not np.all(config.STD_PIXEL):
        yield f"STD_PIXEL is {config.STD_PIXEL}; pixels are divided by it, 1.0 leaves them"
    for key, scalar in (("MEAN_PIXEL", False), ("STD_PIXEL", True)):
        shape = np.shape(getattr(config, key))
        if shape != (config.IMAGE_CHANNEL_COUNT,) and not (scalar and shape == ()):
            yield (
                f"{key} has shape {shape} and IMAGE_CHANNEL_COUNT is "
                f"{config.IMAGE_CHANNEL_COUNT}; give one value for each channel, as "
                f"`mrcnn stats DATA IMAGE_CHANNEL_COUNT={config.IMAGE_CHANNEL_COUNT}` prints them"
            )
    if not isinstance(config.IMAGE_CHANNEL_FILES, (list, tuple)) or not all(
        isinstance(text, str) and text for text in config.IMAGE_CHANNEL_FILES
    ):
        yield (
            f"IMAGE_CHANNEL_FILES is {config.IMAGE_CHANNEL_FILES!r}; expected a list of what the "
            'names of further files have more than that of the picture, such as ["_depth"]'
        )


def _tile_problems(config):
    size, overlap = config.TILE_SIZE, config.TILE_OVERLAP
    if size is None:
        return
    if config.USE_KEYPOINTS:
        yield (
            f"TILE_SIZE is {size} and USE_KEYPOINTS is set; keypoints are found in whole images "
            "alone: set TILE_SIZE = None, or USE_KEYPOINTS = False"
        )
    if not isinstance(size, numbers.Integral) or size < 32:
        yield f"TILE_SIZE is {size!r}; expected whole pixels, 32 at least, or None"
    elif config.IMAGE_RESIZE_MODE == "none" and size % 64:
        yield f"TILE_SIZE is {size}; IMAGE_RESIZE_MODE 'none' takes multiples of 64"
    elif overlap is not None and not (
        isinstance(overlap, numbers.Integral) and 1 <= overlap <= size // 2
    ):
        yield (
            f"TILE_OVERLAP is {overlap!r} and TILE_SIZE {size}; expected whole pixels from 1 "
            "to half of a tile, or None for a quarter"
        )


def _test_time_problems(config):
    scales, size = config.TEST_SCALES, config.TEST_OBJECT_SIZE
    if not config.USE_RPN_ROIS and (config.TEST_FLIP or scales is not None or size is not None):
        yield (
            f"TEST_FLIP is {config.TEST_FLIP}, TEST_SCALES {scales}, TEST_OBJECT_SIZE {size} and "
            "USE_RPN_ROIS False; proposals from outside are for pictures as they are: set False, "
            "None and None"
        )
    if size is not None and not (isinstance(size, numbers.Real) and size > 0):
        yield f"TEST_OBJECT_SIZE is {size!r}; expected pixels above 0, or None"
    if scales is None:
        return
    if not isinstance(scales, (list, tuple)) or not scales:
        yield f"TEST_SCALES is {scales!r}; expected factors such as (0.75, 1, 1.5), or None"
    elif not all(isinstance(x, numbers.Real) and 0.1 <= x <= 10 for x in scales):
        yield f"TEST_SCALES is {scales!r}; expected factors from 0.1 to 10"
    elif len(set(scales)) < len(scales):
        yield f"TEST_SCALES is {scales!r}; each factor needs to be there once"


def _training_problems(config):
    if config.IMAGES_PER_GPU < 1 and config.IMAGES_PER_GPU != -1:
        yield f"IMAGES_PER_GPU is {config.IMAGES_PER_GPU}; expected at least 1, or -1"
    hard, drawn = config.OHEM_ROIS_PER_IMAGE, config.TRAIN_ROIS_PER_IMAGE
    if hard is not None and not (is_count(hard) and hard <= drawn):
        yield (
            f"OHEM_ROIS_PER_IMAGE is {hard!r} and TRAIN_ROIS_PER_IMAGE {drawn}, of which it takes "
            "the hardest; expected 1 to that, or None"
        )
    milestones = list(config.LEARNING_MILESTONES)
    if milestones != sorted(milestones) or not all(0 < x < 1 for x in milestones):
        yield (
            f"LEARNING_MILESTONES is {milestones}; expected rising shares of the updates, "
            "between 0 and 1"
        )
    yield from _class_weight_problems(config)


def _class_weight_problems(config):
    weights = {} if config.CLASS_WEIGHTS is None else config.CLASS_WEIGHTS
    if not isinstance(weights, dict):
        yield f"CLASS_WEIGHTS is {weights!r}; expected {{class id: weight}}, or None"
        return
    for class_id, weight in weights.items():
        known = isinstance(class_id, numbers.Integral) and 0 <= class_id < config.NUM_CLASSES
        if not known:
            yield (
                f"CLASS_WEIGHTS has the class {class_id!r}; expected ids of 0, background, to "
                f"{config.NUM_CLASSES - 1}. Names are for the command line alone"
            )
        if not isinstance(weight, numbers.Real) or not 0 <= weight < float("inf"):
            yield f"CLASS_WEIGHTS has the weight {weight!r}; expected a number of 0 or more"
