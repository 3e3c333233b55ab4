"""matterport's `mrcnn.utils`: its names, from the modules that hold them."""

from importlib.util import find_spec as _find_spec

from mrcnn.data.dataset import Dataset
from mrcnn.evaluate.per_image import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps_masks,
    compute_recall,
)
from mrcnn.image.boxes import (
    compute_iou,
    compute_overlaps,
    denorm_boxes,
    non_max_suppression,
    norm_boxes,
    trim_zeros,
)
from mrcnn.image.masks import extract_bboxes, minimize_mask, resize_mask
from mrcnn.image.pasting import expand_mask, unmold_mask
from mrcnn.image.resizing import resize, resize_image
from mrcnn.ops.anchors import generate_anchors, generate_pyramid_anchors
from mrcnn.weights.fetching import download_trained_weights
from mrcnn.weights.registry import COCO_MODEL_URL

__all__ = [
    "COCO_MODEL_URL",
    "Dataset",
    "compute_ap",
    "compute_ap_range",
    "compute_iou",
    "compute_matches",
    "compute_overlaps",
    "compute_overlaps_masks",
    "compute_recall",
    "denorm_boxes",
    "download_trained_weights",
    "expand_mask",
    "extract_bboxes",
    "generate_anchors",
    "generate_pyramid_anchors",
    "minimize_mask",
    "non_max_suppression",
    "norm_boxes",
    "resize",
    "resize_image",
    "resize_mask",
    "trim_zeros",
    "unmold_mask",
]

if _find_spec("mrcnn.matterport"):
    from mrcnn.matterport import utils as _matterport
    from mrcnn.matterport.utils import *  # noqa: F403

    __all__ += [name for name in _matterport.__all__ if name not in __all__]
