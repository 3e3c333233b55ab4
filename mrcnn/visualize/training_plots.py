"""Plots of a training: the labels that go in, and the curves that come out."""

import math
import re

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.visualize.captions import class_colors, class_name
from mrcnn.visualize.figures import finish

MAX_BARS = 40  # classes with a bar of their own
_AP = re.compile(r".*AP\d*")


def plot_labels(class_ids, boxes, class_names, title="", save_path=None):
    """Plots how many objects each class has, and where they lie and how large they are.

    Args:
        class_ids: [N].
        boxes: [N, 4], y1 x1 y2 x2 in shares of the height and width of their images.
        class_names: names by class id.
        title: of the figure.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The figure.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    figure, (counts, places, sizes) = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
    figure.suptitle(title)
    _add_counts(counts, np.bincount(class_ids, minlength=len(class_names)), class_names)
    y, x = (boxes[:, :2] + boxes[:, 2:]).T / 2
    height, width = (boxes[:, 2:] - boxes[:, :2]).T
    share = {"range": [(0, 1), (0, 1)], "bins": 25, "cmap": "Blues"}
    places.hist2d(x, y, **share)
    places.set(title="centres in the image", xlabel="x / width", ylabel="y / height")
    places.invert_yaxis()
    colors = class_colors(class_ids) or "black"
    sizes.scatter(width, height, s=8, c=colors, alpha=0.5, linewidths=0)
    sizes.set(title="sizes", xlabel="width / image width", ylabel="height / image height")
    sizes.set(xlim=(0, 1), ylim=(0, 1))
    for ax in (places, sizes):
        ax.set_aspect("equal")
    finish(figure, save_path, True)
    return figure


def _add_counts(ax, counts, class_names):
    order = np.argsort(-counts[1:], kind="stable") + 1
    shown = order[:MAX_BARS]
    names = [class_name(i, class_names) for i in shown]
    bars = ax.barh(np.arange(len(shown)), counts[shown], color=class_colors(shown))
    ax.bar_label(bars, padding=3)
    ax.set_yticks(np.arange(len(shown)), names)
    ax.set_ylim(max(len(shown), 6) - 0.5, -0.5)  # the first on top; no bar is a wall
    ax.margins(x=0.15)
    more = f", the {MAX_BARS} most frequent of {len(order)}" if len(order) > MAX_BARS else ""
    ax.set(title=f"objects of each class{more}", xlabel="objects")


def plot_results(rows, save_path=None):
    """Plots the losses of a training over its epochs, beside those of the validation, and AP.

    Args:
        rows: list of dicts, one for each epoch: `epoch`, and what was logged, by name. Names that
            end in AP, or AP and a number, share a panel.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The figure.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    losses = [n for n in names if n.endswith("loss") and not n.startswith("val_")]
    panels = [(name, [name, f"val_{name}"]) for name in losses]
    scores = [name for name in names if _AP.fullmatch(name)]
    panels += [("AP", scores)] if scores else []
    columns = min(4, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(4 * columns, 3 * lines), layout="constrained", squeeze=False
    )
    for ax, (title, group) in zip(axes.flat, panels, strict=False):
        for name in group:
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            if points:
                label = name if title == "AP" else "validation" if name != title else "training"
                ax.plot(*zip(*points, strict=True), marker=".", label=label)
        ax.set(title=title, xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        ax.legend()
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    finish(figure, save_path, True)
    return figure
