"""Panoptic maps drawn into arrays of pixels.

Shapes: image [H, W] or [H, W, C] of any channels, see `to_uint8_rgb`; segmentation [H, W] int.
"""

from mrcnn.visualize.draw import draw_instances
from mrcnn.visualize.segments import segment_instances


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
