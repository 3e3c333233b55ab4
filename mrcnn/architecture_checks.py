"""Whether the keys of a `Config` fit its `ARCHITECTURE`."""

import numbers

import numpy as np

from mrcnn.config_ranges import is_count

MAX_DEEPLABS = ("max_deeplab_s", "max_deeplab_l")  # the backbones of MaX-DeepLab, and of no other
WITHOUT_ROIS = ("retinanet", "semantic_fpn", "max_deeplab")
PANOPTIC = ("panoptic_fpn", "semantic_fpn", "max_deeplab")  # with classes of stuff
_PYRAMID = {"BACKBONE_STRIDES": [4, 8, 16, 32, 64]}
_ONE_MAP = {"BACKBONE_STRIDES": [16]}
# Of networks without ROIs, and of those without boxes: what they would pass over.
_NO_ROIS = {
    "USE_RPN_ROIS": True,
    "USE_KEYPOINTS": False,
    "OHEM_ROIS_PER_IMAGE": None,
    "CLASS_WEIGHTS": None,
    "SPP_LEVELS": None,
    "BOX_CLASS_AGNOSTIC": False,
    "MASK_CLASS_AGNOSTIC": False,
}
_NO_BOXES = {
    **_NO_ROIS,
    "CLASS_LOSS": "cross_entropy",
    "BBOX_LOSS": "smooth_l1",
    "DETECTION_NMS": "hard",
    "DETECTION_NMS_CLASS_AGNOSTIC": False,
}
_NO_MERGE = {  # of maps
    "TILE_SIZE": None,
    "TEST_FLIP": False,
    "TEST_SCALES": None,
    "TEST_OBJECT_SIZE": None,
}
# What an ARCHITECTURE needs; one that is not here: as Mask R-CNN.
_NEEDED = {
    "mask_rcnn": _PYRAMID,
    "cascade_rcnn": {**_PYRAMID, "BOX_CLASS_AGNOSTIC": True},  # a stage moves one box
    "c4": {**_ONE_MAP, "USE_KEYPOINTS": False, "SPP_LEVELS": None},
    "dc5": _ONE_MAP,
    "rcnn": {"USE_KEYPOINTS": False, "SPP_LEVELS": None, "REMATERIALIZE": False},
    "retinanet": {
        **_NO_ROIS,
        "BACKBONE_STRIDES": [8, 16, 32, 64, 128],
        "RPN_ANCHOR_STRIDE": 1,
        "USE_MASK": False,
    },
    "panoptic_fpn": {**_PYRAMID, **_NO_MERGE, "USE_MASK": True},
    "semantic_fpn": {**_PYRAMID, **_NO_BOXES, **_NO_MERGE},
    "max_deeplab": {**_NO_BOXES, **_NO_MERGE, "USE_MASK": True, "USE_MINI_MASK": False},
}
_REASONS = {
    "TILE_SIZE": ": regions are not joined over tiles",
    "TEST_FLIP": ": test-time augmentation merges instances, not regions",
    "TEST_SCALES": ": test-time augmentation merges instances, not regions",
    "TEST_OBJECT_SIZE": ": the size is that of instances, not of regions",
}


def architecture_problems(config):
    """Yields a text for each key of a `Config` that its architecture cannot have."""
    kind = config.ARCHITECTURE
    for key, needed in _NEEDED.get(kind, _NEEDED["mask_rcnn"]).items():
        value = getattr(config, key)
        if np.ravel(value).tolist() != np.ravel(needed).tolist():
            reason = _REASONS.get(key, "")
            yield f"{key} is {value!r}; the architecture {kind!r} has {needed!r}{reason}"
    if kind in WITHOUT_ROIS and config.ROI_ALIGN_MODE == "roi_pool":
        yield f"ROI_ALIGN_MODE is 'roi_pool'; the architecture {kind!r} has no ROIs: leave it out"
    if kind == "c4":
        yield from _c4_problems(config)
    if kind == "rcnn":
        yield from _rcnn_problems(config)
    if kind in PANOPTIC:
        yield from _stuff_problems(config)
    if kind == "max_deeplab":
        yield from _max_deeplab_problems(config)
    elif config.BACKBONE in MAX_DEEPLABS:
        yield f"BACKBONE is {config.BACKBONE!r}, of ARCHITECTURE 'max_deeplab' alone: set another"


def _c4_problems(config):
    if config.USE_MASK and config.POOL_SIZE != 2 * config.MASK_POOL_SIZE:
        yield (
            f"POOL_SIZE is {config.POOL_SIZE} and MASK_POOL_SIZE {config.MASK_POOL_SIZE}; stage 5 "
            "halves what is pooled: set POOL_SIZE to twice MASK_POOL_SIZE"
        )


def _rcnn_problems(config):
    if config.USE_RPN_ROIS:
        yield (
            f"USE_RPN_ROIS is {config.USE_RPN_ROIS}; rcnn has no region proposal network: set "
            "False, and give proposals, see docs/proposals.md"
        )
    if config.USE_MASK:
        yield (
            f"USE_MASK is {config.USE_MASK}; a crop of rcnn reaches beyond its box, where a mask "
            "ends, and has no features of the box alone: set False"
        )
    if config.ROI_ALIGN_MODE == "roi_pool":
        yield "ROI_ALIGN_MODE is 'roi_pool'; rcnn pools no features: leave it out"
    size, context = config.WARP_SIZE, config.WARP_CONTEXT
    if not is_count(size) or size % 32:
        yield f"WARP_SIZE is {size!r}; expected a multiple of 32, the stride of C5"
    elif isinstance(context, numbers.Integral) and 2 * context >= size:
        yield f"WARP_CONTEXT is {context} and WARP_SIZE {size}; expected less than half of it"


def _stuff_problems(config):
    stuff, classes = config.NUM_STUFF_CLASSES, config.NUM_CLASSES
    if not isinstance(classes, numbers.Integral):
        return
    if not isinstance(stuff, numbers.Integral) or not 0 <= stuff < classes:
        yield (
            f"NUM_STUFF_CLASSES is {stuff!r} and NUM_CLASSES {classes}; set both: NUM_CLASSES "
            "counts background, things and stuff, NUM_STUFF_CLASSES how many of these, the last "
            "ones, are stuff"
        )
    elif config.ARCHITECTURE == "panoptic_fpn" and not 1 <= stuff <= classes - 2:
        yield (
            f"NUM_STUFF_CLASSES is {stuff} of NUM_CLASSES = {classes}; expected a class of stuff "
            "at least, and one of things beside the background. Without stuff take ARCHITECTURE "
            "'mask_rcnn', without things 'semantic_fpn'. COCO's panoptic files beside its "
            "instances are read as format='coco_panoptic' (--format coco_panoptic)"
        )


def _max_deeplab_problems(config):
    if config.BACKBONE not in MAX_DEEPLABS:
        yield f"BACKBONE is {config.BACKBONE!r}; of max_deeplab expected one of {MAX_DEEPLABS}"
    if config.IMAGE_INTERPOLATION != "corners":
        yield (
            f"IMAGE_INTERPOLATION is {config.IMAGE_INTERPOLATION!r}; max_deeplab's features are "
            "aligned at the corners: set 'corners'"
        )
    blocks = config.MAX_DEEPLAB_BLOCKS
    if blocks is not None and (len(blocks) != 4 or not all(map(is_count, blocks))):
        yield f"MAX_DEEPLAB_BLOCKS is {blocks!r}; expected four numbers of blocks, or None"
    gammas = config.MAX_DEEPLAB_GAMMAS
    if np.shape(gammas) != (2,):
        yield f"MAX_DEEPLAB_GAMMAS is {gammas!r}; expected two numbers, of residuals and of masks"
    if not config.MAX_DEEPLAB_WIDTH > 0:
        yield f"MAX_DEEPLAB_WIDTH is {config.MAX_DEEPLAB_WIDTH!r}; expected above 0"
    if not 0 <= config.DROP_PATH < 1:
        yield f"DROP_PATH is {config.DROP_PATH!r}; expected 0 to below 1"
    if not is_count(config.MASK_SLOTS):
        yield f"MASK_SLOTS is {config.MASK_SLOTS!r}; expected 1 or more"
