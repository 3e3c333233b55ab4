"""Drawing: instances, boxes, plots and tables, under the names of matterport's `visualize`.

- `instances`: `display_instances` and its relatives, which draw into Matplotlib figures.
- `boxes`: boxes before and after refinement, and regions of interest, in figures.
- `curves`: precision and recall of classes, scores over a threshold, confusion.
- `plots`: precision and recall, overlaps, tables, statistics of weights.
- `skeletons`: keypoints and the lines between them, in either.
- `draw`: the same instances drawn into arrays of pixels, without a figure.
- `arrays`: boxes and maps of numbers as arrays of pixels.
- `panoptic`: the segments of a panoptic map.
- `augmentations`: what an augmentation does to an image, `mrcnn.augment.preview`.
- `captions` and `figures`: what these share: colors, captions and where they have room; axes with
  a picture, masks and boxes.

Functions of figures return the axes. A figure is shown only if the function made it, no `save_path`
is given and the backend can show it. Importing this package loads Matplotlib, but not Keras.
"""

from mrcnn.visualize.arrays import boxes_picture, map_picture
from mrcnn.visualize.boxes import draw_boxes, draw_rois
from mrcnn.visualize.captions import class_colors, instance_colors, random_colors
from mrcnn.visualize.curves import (
    plot_class_precision_recall,
    plot_confusion,
    plot_over_score,
)
from mrcnn.visualize.draw import (
    apply_mask,
    draw_box,
    draw_comparison,
    draw_instances,
    to_uint8_rgb,
)
from mrcnn.visualize.figures import display_images
from mrcnn.visualize.instances import (
    GREEN,
    RED,
    display_differences,
    display_instances,
    display_top_masks,
)
from mrcnn.visualize.panoptic import draw_panoptic
from mrcnn.visualize.plots import (
    display_table,
    display_weight_stats,
    plot_overlaps,
    plot_precision_recall,
    weight_stats,
)
from mrcnn.visualize.skeletons import draw_skeleton

__all__ = [
    "GREEN",
    "RED",
    "apply_mask",
    "boxes_picture",
    "class_colors",
    "display_differences",
    "display_images",
    "display_instances",
    "display_table",
    "display_top_masks",
    "display_weight_stats",
    "draw_box",
    "draw_boxes",
    "draw_comparison",
    "draw_instances",
    "draw_panoptic",
    "draw_rois",
    "draw_skeleton",
    "instance_colors",
    "map_picture",
    "plot_class_precision_recall",
    "plot_confusion",
    "plot_over_score",
    "plot_overlaps",
    "plot_precision_recall",
    "random_colors",
    "to_uint8_rgb",
    "weight_stats",
]
