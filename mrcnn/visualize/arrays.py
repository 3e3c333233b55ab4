"""Figures and maps as arrays of pixels. Without pyplot: threads may draw at the same time.

Shapes: image [H, W] or [H, W, C] of any channels, see `to_uint8_rgb`; values [h, w].
"""

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mrcnn.visualize.boxes import draw_boxes

_DOTS = 100  # an inch


def boxes_picture(image, boxes, refined_boxes=None, side=900, **options):
    """What `draw_boxes` draws, without a title, as an array.

    Args:
        image, boxes, refined_boxes: as of `draw_boxes`.
        side: int, pixels of the longer side, about: boxes may reach beyond the image.
        options: further ones of `draw_boxes`.

    Returns:
        uint8 [h, w, 3].

    Example:

    >>> boxes_picture(np.zeros((20, 40, 3), np.uint8), [[2, 2, 9, 30]], side=400).shape
    (200, 400, 3)
    """
    height, width = np.shape(image)[:2]
    scale = side / max(height, width) / _DOTS
    figure = Figure(figsize=(width * scale, height * scale), dpi=_DOTS)
    ax = figure.add_axes((0, 0, 1, 1))
    draw_boxes(image, boxes, refined_boxes, ax=ax, **options)
    # As wide and high as what is shown, boxes beyond the image included.
    (x1, x2), (y2, y1) = ax.get_xlim(), ax.get_ylim()
    scale = side / max(x2 - x1, y2 - y1) / _DOTS
    figure.set_size_inches((x2 - x1) * scale, (y2 - y1) * scale)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def map_picture(values, side=224, low=0.0, high=1.0, cmap="viridis"):
    """A map of numbers in colors, each number a square of pixels.

    Args:
        values: float [h, w].
        side: int, pixels of the longer side at least.
        low, high: numbers of the first and the last color.
        cmap: name of a color map of Matplotlib.

    Returns:
        uint8 [h', w', 3].

    Example:

    >>> map_picture(np.eye(2), side=4).shape
    (4, 4, 3)
    """
    values = (np.asarray(values, float) - low) / (high - low)
    colors = matplotlib.colormaps[cmap](np.clip(values, 0, 1))[..., :3]
    factor = -(-side // max(values.shape))
    pixels = np.rint(255 * colors).astype(np.uint8)
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
