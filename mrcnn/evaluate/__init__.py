"""Scores: COCO's numbers of a data set, and matterport's of one image."""

from mrcnn.evaluate.coco import (
    IOU_TYPES,
    accumulate,
    coco_ground_truth,
    coco_results,
    evaluate,
    evaluate_detections,
    format_table,
    summarize,
)
from mrcnn.evaluate.per_image import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps_masks,
    compute_recall,
)

__all__ = [
    "IOU_TYPES",
    "accumulate",
    "coco_ground_truth",
    "coco_results",
    "compute_ap",
    "compute_ap_range",
    "compute_matches",
    "compute_overlaps_masks",
    "compute_recall",
    "evaluate",
    "evaluate_detections",
    "format_table",
    "summarize",
]
