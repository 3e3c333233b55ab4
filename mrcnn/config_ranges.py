"""In which ranges the numbers of a `Config` must be, as data."""

import numbers

import numpy as np


def is_count(value):
    """Whether a value is a whole number of 1 or more."""
    return isinstance(value, numbers.Integral) and value >= 1


def _is_whole(value):
    return isinstance(value, numbers.Integral) and value >= 0


# What is expected, whether a number is that, keys that must have one, keys that may be None too.
_RANGES = (
    (
        "at least 1",
        lambda x: x >= 1,
        (
            *("GPU_COUNT", "IMAGE_CHANNEL_COUNT", "MAX_GT_INSTANCES", "TOP_DOWN_PYRAMID_SIZE"),
            *("RPN_CHANNELS", "RPN_CONV_LAYERS", "RPN_ANCHOR_STRIDE", "PRE_NMS_LIMIT"),
            *("RPN_TRAIN_ANCHORS_PER_IMAGE", "POST_NMS_ROIS_TRAINING", "POST_NMS_ROIS_INFERENCE"),
            *("TRAIN_ROIS_PER_IMAGE", "POOL_SIZE", "BOX_HEAD_FC_LAYERS"),
            *("FPN_CLASSIF_FC_LAYERS_SIZE", "MASK_POOL_SIZE", "MASK_HEAD_CHANNELS"),
            *("NUM_KEYPOINTS", "KEYPOINT_POOL_SIZE", "KEYPOINT_HEAD_LAYERS"),
            *("KEYPOINT_HEAD_CHANNELS", "SEMANTIC_HEAD_CHANNELS", "DETECTION_MAX_INSTANCES"),
        ),
        ("PRE_NMS_LIMIT_TRAINING",),
    ),
    (
        "a whole number of 1 or more",
        is_count,
        ("ACCUMULATION_STEPS",),
        ("EARLY_STOPPING", "CHECKPOINTS_KEPT"),
    ),
    (
        "a whole number of 0 or more",
        _is_whole,
        ("WARMUP_STEPS", "WORKERS", "IMAGE_CACHE_MB", "WARP_CONTEXT"),
        ("SEED",),
    ),
    (
        "0 or more",
        lambda x: x >= 0,
        (
            *("BATCH_NORM_EPSILON", "BOX_HEAD_CONV_LAYERS", "MASK_HEAD_CONV_LAYERS"),
            *("ROI_ALIGN_SAMPLING_RATIO", "SMOOTH_L1_BETA", "FOCAL_GAMMA", "WEIGHT_DECAY"),
            *("PANOPTIC_STUFF_AREA", "PANOPTIC_THING_AREA"),
        ),
        ("STEPS_PER_EPOCH", "VALIDATION_STEPS", "IMAGE_MIN_SCALE", "RPN_SMOOTH_L1_BETA"),
    ),
    (
        "above 0",
        lambda x: x > 0,
        ("DETECTION_NMS_SIGMA",),
        ("GRADIENT_CLIP_NORM", "RPN_INIT_STD", "CHECKPOINT_MINUTES"),
    ),
    (
        "above 0, at most 1",
        lambda x: 0 < x <= 1,
        (
            *("RPN_POSITIVE_RATIO", "ROI_POSITIVE_RATIO"),
            *("LAYER_DECAY", "LEARNING_DROP", "WARMUP_FACTOR"),
        ),
        ("REPEAT_FACTOR_THRESHOLD",),
    ),
    (
        "0 to 1",
        lambda x: 0 <= x <= 1,
        ("LEARNING_MOMENTUM",),
        (
            *("DETECTION_MIN_CONFIDENCE", "DETECTION_NMS_THRESHOLD", "RPN_NMS_THRESHOLD"),
            *("PANOPTIC_MIN_CONFIDENCE", "PANOPTIC_OVERLAP", "PANOPTIC_PIXEL_CONFIDENCE"),
        ),
    ),
    ("between 0 and 1", lambda x: 0 < x < 1, ("FOCAL_ALPHA",), ("EMA_MOMENTUM",)),
)
# Keys of several numbers above 0, and how many; None: any number.
_ABOVE_0 = {
    "RPN_ANCHOR_SCALES": None,
    "RPN_ANCHOR_RATIOS": None,
    "RPN_BBOX_STD_DEV": 4,
    "BBOX_STD_DEV": 4,
    "MINI_MASK_SHAPE": 2,
}


def range_problems(config):
    """Yields a text for each number of a `Config` that is out of its range."""
    for expected, holds, keys, optional in _RANGES:
        for key in (*keys, *optional):
            value = getattr(config, key)
            if value is None and key in optional:
                continue
            if not isinstance(value, numbers.Real) or not holds(value):
                yield f"{key} is {value!r}; expected {expected}{', or None' * (key in optional)}"
    for key, count in _ABOVE_0.items():
        value = getattr(config, key)
        if key == "MINI_MASK_SHAPE" and not config.USE_MINI_MASK:
            continue
        parts = value if isinstance(value, (list, tuple, np.ndarray)) else [value]
        each = [number for part in parts for number in np.ravel(part).tolist()]  # of all levels
        if count not in (None, len(each)) or not all(
            isinstance(number, numbers.Real) and number > 0 for number in each
        ):
            many = "" if count is None else f"{count} "
            yield f"{key} is {value!r}; expected {many}numbers above 0"
    for name, weight in config.LOSS_WEIGHTS.items():
        if not weight >= 0:
            yield f"LOSS_WEIGHTS[{name!r}] is {weight!r}; expected 0 or more"
