"""Instances in Matplotlib figures: `display_*` draws and returns the axes.

Shapes as in `mrcnn.draw`, whose functions are here too, under matterport's import path.
"""

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Polygon, Rectangle
from matplotlib.patheffects import withStroke
from skimage.measure import find_contours

from mrcnn.draw import (
    apply_mask,
    class_colors,
    default_captions,
    draw_box,
    draw_comparison,
    draw_instances,
    label_style,
    prepare,
    random_colors,
    to_uint8_rgb,
    whole_pixels,
)

__all__ = [
    "apply_mask",
    "class_colors",
    "display_images",
    "display_instances",
    "draw_box",
    "draw_comparison",
    "draw_instances",
    "random_colors",
    "to_uint8_rgb",
]

NON_INTERACTIVE = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


def display_instances(
    image,
    boxes,
    masks,
    class_ids,
    class_names,
    scores=None,
    title="",
    figsize=(16, 16),
    ax=None,
    show_mask=True,
    show_bbox=True,
    colors=None,
    captions=None,
    save_path=None,
):
    """Shows an image with its instances in a Matplotlib figure.

    The figure is shown only if neither `ax` nor `save_path` is given and the backend can show it.

    Args:
        image, boxes, masks, class_ids, scores, colors, captions, show_mask, show_bbox: as in
            `draw_instances`.
        class_names: names by class id, or None.
        title: of the axes.
        figsize: in inches, used without `ax`.
        ax: axes to draw into.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The axes.

    Example:

    >>> result = model.detect([image])[0]
    >>> display_instances(image, result["rois"], result["masks"], result["class_ids"], names)
    """
    canvas, boxes, masks = prepare(image, boxes, masks, class_ids)
    colors = class_colors(class_ids) if colors is None else colors
    captions = captions or default_captions(class_ids, class_names, scores)
    own_figure = ax is None
    if own_figure:
        _, ax = plt.subplots(figsize=figsize)
    points = ax.get_window_extent().width * 72 / ax.figure.dpi
    text_size = float(np.clip(points / 70, 7, 12))
    for i in np.flatnonzero(boxes.any(axis=1)):
        y1, x1, y2, x2 = whole_pixels(boxes[i], canvas.shape)
        if show_mask and masks is not None:
            apply_mask(canvas[y1:y2, x1:x2], masks[y1:y2, x1:x2, i], colors[i])
            _add_contours(ax, masks[y1:y2, x1:x2, i], (y1, x1), colors[i])
        if show_bbox:
            _add_box(ax, boxes[i], colors[i])
        if captions[i]:
            fits = x1 < 0.8 * canvas.shape[1]
            x, side = (x1, "left") if fits else (x2, "right")
            style = {"va": "top", "ha": side, "size": text_size, **label_style(colors[i])}
            ax.text(x, y1, captions[i], clip_on=True, **style)
    ax.imshow(canvas)
    ax.axis("off")
    ax.set_title(title)
    _finish(ax.figure, save_path, own_figure)
    return ax


def display_images(images, titles=None, cols=4, cmap=None, norm=None, interpolation=None):
    """Shows images in rows of `cols`, each with its title, and returns their axes."""
    titles = [""] * len(images) if titles is None else titles
    rows = max(1, -(-len(images) // cols))
    figure, axes = plt.subplots(
        rows, cols, figsize=(14, 14 * rows / cols), squeeze=False, layout="constrained"
    )
    for ax in axes.flat:
        ax.axis("off")
    used = list(axes.flat)[: len(images)]
    for ax, image, title in zip(used, images, titles, strict=True):
        image = image if np.ndim(image) == 2 else to_uint8_rgb(image)
        ax.imshow(image, cmap=cmap, norm=norm, interpolation=interpolation)
        ax.set_title(title, fontsize=9)
    _finish(figure, None, True)
    return used


def _add_contours(ax, mask, offset, color):
    for contour in find_contours(np.pad(mask, 1).astype(float), 0.5):
        # The padding moved the mask by one pixel; Matplotlib wants x before y.
        points = (contour + offset - 1)[:, ::-1]
        halo = [withStroke(linewidth=3, foreground="white")]  # for a background of this color
        style = {"facecolor": "none", "edgecolor": color, "linewidth": 1.5, "path_effects": halo}
        ax.add_patch(Polygon(points, **style))


def _add_box(ax, box, color):
    y1, x1, y2, x2 = box
    style = {"facecolor": "none", "linewidth": 2, "alpha": 0.7, "linestyle": "dashed"}
    # Pixel centers have whole coordinates, so the edge of a pixel lies half a pixel before it.
    ax.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, edgecolor=color, **style))


def _finish(figure, save_path, own_figure):
    """Saves the figure, or shows it if it is our own and the backend has a window or notebook."""
    if save_path is not None:
        figure.savefig(save_path, bbox_inches="tight")
        if own_figure:
            plt.close(figure)
    elif own_figure and matplotlib.get_backend().lower() not in NON_INTERACTIVE:
        plt.show()
