"""Tensor maths: pure functions of `keras.ops`, which know neither model nor `Config`."""

from mrcnn.ops.boxes import (
    apply_box_deltas,
    box_area,
    box_deltas,
    clip_boxes,
    denorm_boxes,
    iou,
    norm_boxes,
)
from mrcnn.ops.indexing import gather, top_k, trim_padding
from mrcnn.ops.non_max_suppression import class_nms, nms

__all__ = [
    "apply_box_deltas",
    "box_area",
    "box_deltas",
    "class_nms",
    "clip_boxes",
    "denorm_boxes",
    "gather",
    "iou",
    "nms",
    "norm_boxes",
    "top_k",
    "trim_padding",
]
