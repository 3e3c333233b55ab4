"""Matplotlib figures: images in rows, and what other figures are made of.

Boxes are `y1 x1 y2 x2` in pixels, half-open. In Matplotlib the center of a pixel has whole
coordinates and its edges lie half a pixel before and after: hence the -0.5 of all that is drawn.
"""

import textwrap

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Polygon, Rectangle
from matplotlib.patheffects import withStroke
from skimage.measure import find_contours

from mrcnn.visualize.captions import fit_labels, label_style
from mrcnn.visualize.draw import apply_mask, to_uint8_rgb

NON_INTERACTIVE = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}
# A light or dark rim makes lines of any color visible on any background.
HALO = withStroke(linewidth=3.5, foreground="white")
SHADOW = withStroke(linewidth=3, foreground="black", alpha=0.35)


def open_axes(ax, figsize, title=""):
    """Returns axes without ticks, and whether they belong to a new figure of ours.

    Args:
        ax: axes to draw into, or None for those of a new figure.
        figsize: of a new figure, in inches.
        title: of the axes.
    """
    own_figure = ax is None
    if own_figure:
        _, ax = plt.subplots(figsize=figsize)
    ax.axis("off")
    ax.set_title(title)
    return ax, own_figure


def show_image(ax, image, boxes=()):
    """Shows an image, with a margin where boxes reach beyond it.

    The margin is at most a tenth of the longer side.

    Returns:
        y1 x1 y2 x2 of what the axes show.
    """
    height, width = image.shape[:2]
    margin = max(height, width) / 10
    boxes = np.array([(0, 0, height, width), *boxes], float)
    y1, x1 = np.maximum(boxes[:, :2].min(axis=0), -margin)
    y2, x2 = np.minimum(boxes[:, 2:].max(axis=0), (height + margin, width + margin))
    ax.imshow(image)
    ax.set(xlim=(x1 - 0.5, x2 - 0.5), ylim=(y2 - 0.5, y1 - 0.5))
    return float(y1), float(x1), float(y2), float(x2)


def add_box(ax, box, color, linestyle="dashed", alpha=0.9):
    """Adds the border of a box."""
    y1, x1, y2, x2 = box
    style = {"facecolor": "none", "edgecolor": color, "linewidth": 2, "linestyle": linestyle}
    style |= {"alpha": alpha, "path_effects": [SHADOW]}
    # Unlike add_patch, add_artist does not compute data limits.
    ax.add_artist(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, **style))


def add_mask(ax, canvas, mask, color, extent, alpha=0.5):
    """Blends a mask into the canvas that the axes will show, and adds its outline to them.

    Args:
        ax: axes.
        canvas: [H, W, 3] uint8. Modified.
        mask: [H, W] bool.
        color: three values in 0..1.
        extent: y1 x1 y2 x2 of the smallest box around the mask; what lies outside is not read.
        alpha: the weight of the color; 0 leaves the outline only.
    """
    y1, x1, y2, x2 = extent
    mask = mask[y1:y2, x1:x2]
    apply_mask(canvas[y1:y2, x1:x2], mask, color, alpha)
    for contour in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        # The padding moved the mask by one pixel; Matplotlib wants x before y.
        points = (contour + np.array([y1, x1]) - 1)[:, ::-1]
        style = {"facecolor": "none", "edgecolor": color, "linewidth": 2}
        ax.add_artist(Polygon(points, path_effects=[HALO], **style))


def add_labels(ax, boxes, captions, colors, order, view):
    """Adds captions at their boxes, without overlaps. Large axes have larger text.

    Args:
        ax: axes.
        boxes: [N, 4].
        captions: N texts.
        colors: N RGB tuples.
        order: indices of those to add, the most important first.
        view: y1 x1 y2 x2 of what the axes show.
    """
    extent, points = ax.get_window_extent(), 72 / ax.figure.dpi
    width, height = extent.width * points, extent.height * points
    pixel = max((view[3] - view[1]) / width, (view[2] - view[0]) / height)  # pixels in a point
    size = np.clip(width / 70, 7, 12)
    labels = fit_labels(boxes, captions, order, view, size * pixel, 7 * pixel)
    for i, x, y, size in labels:
        where = {"x": x - 0.5 + 0.15 * size, "y": y - 0.5 + 0.15 * size, "va": "top", "ha": "left"}
        ax.text(s=captions[i], size=size / pixel, clip_on=True, **where, **label_style(colors[i]))


def finish(figure, save_path, own_figure):
    """Saves a figure, or shows it if it is our own and the backend has a window or notebook.

    Args:
        figure: the figure.
        save_path: file to write, or None.
        own_figure: whether we made the figure; if so, it is closed after saving.
    """
    if save_path is not None:
        bounds = "tight"
        if figure.get_layout_engine() is None:
            # "tight" would draw everything once more to find the bounds.
            bounds = figure.get_tightbbox().padded(0.1)
        # Pillow's default of 6 takes much longer, for files hardly smaller.
        png = str(save_path).lower().endswith(".png")
        figure.savefig(
            save_path, bbox_inches=bounds, pil_kwargs={"compress_level": 4} if png else None
        )
        if own_figure:
            plt.close(figure)
    elif own_figure and matplotlib.get_backend().lower() not in NON_INTERACTIVE:
        plt.show()


class AxesList(list):
    """A list of axes that a notebook does not print where it is the last value of a cell."""

    def _ipython_display_(self):
        """Prints nothing: IPython calls this instead of printing the value."""


def without_echo(ax):
    """Returns the axes, which a notebook no longer prints as the last value of a cell."""
    ax._ipython_display_ = _print_nothing
    return ax


def _print_nothing():
    """Does nothing, under a name, since figures with a lambda could not be pickled."""


def display_images(
    images, titles=None, cols=4, cmap=None, norm=None, interpolation=None, save_path=None
):
    """Shows images in rows of `cols`, each with its title.

    Args:
        images: images or maps of any sizes, [H, W] or [H, W, 1 | 3 | 4].
        titles: a text for each, or for the first ones; or None.
        cols: images in a row.
        cmap, norm, interpolation: as in Matplotlib's `imshow`; the first two are for images of
            one channel, which are grey by default if they are uint8 or bool.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        list of the axes, one for each image.

    Raises:
        ValueError: more titles than images.
    """
    titles = [""] * len(images) if titles is None else titles
    if len(titles) > len(images):
        raise ValueError(f"titles has {len(titles)} entries for {len(images)} images")
    titles = [*titles, *[""] * (len(images) - len(titles))]
    tile = 14 / cols  # inches
    cols = max(1, min(cols, len(images)))
    images = [_as_map(image) for image in images]
    ratios = [min(image.shape[0] / image.shape[1], 1.5) for image in images] or [1]
    heights = [max(ratios[start : start + cols]) for start in range(0, len(ratios), cols)]
    figure, axes = plt.subplots(
        len(heights),
        cols,
        figsize=(tile * cols, sum(tile * height + 0.3 for height in heights)),
        squeeze=False,
        layout="constrained",
        height_ratios=heights,
    )
    for ax in axes.flat:
        ax.axis("off")
    used = list(axes.flat)[: len(images)]
    for ax, image, title in zip(used, images, titles, strict=True):
        options = {"cmap": cmap, "norm": norm, "interpolation": interpolation}
        if cmap is None and image.dtype in (bool, np.uint8):
            options["cmap"] = "gray"
        if norm is None and image.dtype == bool:
            options |= {"vmin": 0, "vmax": 1}  # a mask of ones only is bright
        ax.imshow(image, **options)
        lines = [textwrap.fill(line, int(14 * tile)) for line in str(title).split("\n")]
        ax.set_title("\n".join(lines), fontsize=9)
    finish(figure, save_path, True)
    return AxesList(used)


def _as_map(image):
    """Returns an image as [H, W], of any values, or as [H, W, 3] uint8."""
    image = np.asarray(image)
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    return image if image.ndim == 2 else to_uint8_rgb(image)
