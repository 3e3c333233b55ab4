"""Scores: COCO's numbers of a data set, all that follows from them, and matterport's of one image.

- `coco`: the 12 numbers by COCOeval. `annotations`: its format. `detecting`: a model's results.
- `evaluation`: `Evaluation`, the object that has every score. `saved`: its files.
- `matches`, `score_thresholds`, `resampling`: which detections are right; thresholds; certainty.
- `pictures`, `contest`: what is wrong in each picture; the 2018 Data Science Bowl's score.
- `panoptic`: panoptic quality. `semantic`: pixel accuracy, mean IoU.
- `boundary`: boundary IoU. `tables`: scores as text.
- `per_image`: matterport's `compute_ap` family.
"""

from mrcnn.evaluate.annotations import coco_ground_truth, coco_results, to_instances
from mrcnn.evaluate.boundary import boundary_band, boundary_overlaps
from mrcnn.evaluate.coco import IOU_TYPES, accumulate, evaluate, evaluate_detections, summarize
from mrcnn.evaluate.evaluation import Evaluation
from mrcnn.evaluate.panoptic import PanopticScores, evaluate_panoptic, match_segments
from mrcnn.evaluate.per_image import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps_masks,
    compute_recall,
)
from mrcnn.evaluate.semantic import SemanticScores, class_overlaps, count_pixels
from mrcnn.evaluate.tables import format_class_table, format_table

__all__ = [
    "IOU_TYPES",
    "Evaluation",
    "PanopticScores",
    "SemanticScores",
    "accumulate",
    "boundary_band",
    "boundary_overlaps",
    "class_overlaps",
    "coco_ground_truth",
    "coco_results",
    "compute_ap",
    "compute_ap_range",
    "compute_matches",
    "compute_overlaps_masks",
    "compute_recall",
    "count_pixels",
    "evaluate",
    "evaluate_detections",
    "evaluate_panoptic",
    "format_class_table",
    "format_table",
    "match_segments",
    "summarize",
    "to_instances",
]
