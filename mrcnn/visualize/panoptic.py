"""Panoptic maps drawn into arrays of pixels.

Shapes: image [H, W] or [H, W, C] of any channels, see `to_uint8_rgb`; segmentation [H, W] int.
"""

import numpy as np

from mrcnn.data.class_names import class_name
from mrcnn.image.masks import extract_bboxes, no_masks
from mrcnn.visualize.captions import class_colors, instance_colors
from mrcnn.visualize.draw import draw_instances

MUTED = 0.55  # how bright stuff is beside things


def draw_panoptic(image, segmentation, segments, class_names=None, **options):
    """Draws the segments of a panoptic map into a copy of an image, the truth's or what was found.

    Each thing has a color of its own, each kind of stuff one that is darker. Void stays as it is.

    Args:
        image: [H, W] or [H, W, C].
        segmentation: int [H, W], the id of the segment of each pixel.
        segments: list of dicts of `id`, `class_id`, `is_thing`, and perhaps `score`.
        class_names: names by class id, or None.
        options: see `draw_instances`, of segments in the place of instances: `colors`, `captions`,
            `show_mask`, `show_bbox`, by default False.

    Returns:
        [H, W, 3] uint8.

    Example:

    >>> found = model.detect([image])[0]
    >>> picture = draw_panoptic(image, found["segmentation"], found["segments"])
    """
    instances, drawing = segment_instances(segmentation, segments, class_names)
    return draw_instances(image, *instances, **{**drawing, **options})


def segment_instances(segmentation, segments, class_names=None):
    """What functions that draw instances take for segments.

    Args:
        segmentation, segments, class_names: as of `draw_panoptic`.

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
