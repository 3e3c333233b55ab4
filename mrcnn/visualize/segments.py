"""Segments of a panoptic map as instances that can be drawn.

Shapes: segmentation [H, W] int.
"""

import numpy as np

from mrcnn.data.class_names import class_name
from mrcnn.image.masks import extract_bboxes, no_masks
from mrcnn.visualize.captions import class_colors, instance_colors

MUTED = 0.55  # how bright stuff is beside things


def segment_instances(segmentation, segments, class_names=None):
    """What functions that draw instances take for segments.

    Args:
        segmentation, segments, class_names: as of `mrcnn.visualize.draw_panoptic`.

    Returns:
        (boxes, masks, class_ids), and a dict of `colors`, `captions`, `show_bbox`.
    """
    masks = no_masks(segmentation.shape, len(segments))
    for i, segment in enumerate(segments):
        np.equal(segmentation, segment["id"], out=masks[:, :, i])
    bright = iter(instance_colors(len(segments)))
    colors, captions = [], []
    for segment in segments:
        (color,) = class_colors([segment["class_id"]])
        muted = tuple(MUTED * value for value in color)
        colors.append(next(bright) if segment["is_thing"] else muted)
        score = f" {segment['score']:.2f}" if "score" in segment else ""
        captions.append(class_name(segment["class_id"], class_names) + score)
    class_ids = [segment["class_id"] for segment in segments]
    drawing = {"colors": colors, "captions": captions, "show_bbox": False}
    return (extract_bboxes(masks), masks, class_ids), drawing
