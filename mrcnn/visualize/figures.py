"""What the functions of `mrcnn.visualize` share: axes with a picture, boxes, contours, labels.

Boxes are `y1 x1 y2 x2` in pixels, half-open. Pixel centers have whole coordinates in Matplotlib,
so the edge of a pixel lies half a pixel before it.
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
# Lines of any color show on any background.
HALO = withStroke(linewidth=3.5, foreground="white")
SHADOW = withStroke(linewidth=3, foreground="black", alpha=0.35)


def open_axes(ax, figsize, title=""):
    """Returns axes without ticks, `ax` or of a new figure, and whether they are new."""
    own_figure = ax is None
    if own_figure:
        _, ax = plt.subplots(figsize=figsize)
    ax.axis("off")
    ax.set_title(title)
    return ax, own_figure


def show_image(ax, image, boxes=()):
    """Shows an image, and around it room for boxes that reach out, a tenth of its side at most.

    Returns:
        y1 x1 y2 x2 of what is seen.
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
    """Blends a mask into the canvas that the axes will show, and adds its border.

    Args:
        ax: axes.
        canvas: [H, W, 3] uint8. Modified.
        mask: [H, W] bool.
        color: three values in 0..1.
        extent: y1 x1 y2 x2 of the mask, so that nobody looks at all pixels.
        alpha: the weight of the color.
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
    """Adds captions at their boxes, without overlaps, in text that suits the size of the axes.

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
    pixel = max((view[3] - view[1]) / width, (view[2] - view[0]) / height)  # of a point
    size = np.clip(width / 70, 7, 12)
    labels = fit_labels(boxes, captions, order, view, size * pixel, 7 * pixel)
    for i, x, y, size in labels:
        where = {"x": x - 0.5 + 0.15 * size, "y": y - 0.5 + 0.15 * size, "va": "top", "ha": "left"}
        ax.text(s=captions[i], size=size / pixel, clip_on=True, **where, **label_style(colors[i]))


def finish(figure, save_path, own_figure):
    """Saves the figure, or shows it if it is our own and the backend has a window or notebook."""
    if save_path is not None:
        bounds = "tight"
        if figure.get_layout_engine() is None:  # else "tight" draws everything twice
            bounds = figure.get_tightbbox().padded(0.1)
        # Compressing a PNG takes as long as drawing; one step less makes a file 3 % larger.
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
