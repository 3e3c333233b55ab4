"""Curves and confusion of an evaluation, from arrays.

Shapes: C classes, R recalls, S score thresholds. All classes together are a thick dark line; of
many classes only the first have names in the legend, and the others are grey.
"""

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.visualize.captions import instance_colors
from mrcnn.visualize.figures import finish, without_echo

NAMED = 12  # classes that have a color and a name in the legend
WRITTEN = 30  # classes up to which the cells of a confusion matrix say their number
DARK = (0.1, 0.1, 0.15)
GREY = (0.75, 0.75, 0.75)


def plot_class_precision_recall(
    recall, precision, class_names, title="Precision over recall", ax=None, save_path=None
):
    """Plots a precision-recall curve for each class, and their mean.

    Args:
        recall: float [R].
        precision: float [C, R]; rows of nan, classes without objects, are left out.
        class_names: C names.
        title: of the axes.
        ax: axes to draw into.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The axes.

    Raises:
        ValueError: arrays of other shapes.
    """
    recall, precision = np.asarray(recall, float), np.asarray(precision, float)
    _check_rows("precision", precision, len(class_names), recall, "recall")
    there = ~np.isnan(precision).all(axis=1)
    rows = {
        i: (precision[i], f"{class_names[i]} {precision[i].mean():.3f}")
        for i in np.flatnonzero(there)
    }
    whole = precision[there].mean(axis=0) if there.any() else np.full(len(recall), np.nan)
    together = (whole, f"mean of {there.sum()} classes {whole.mean():.3f}")
    axes = ("Recall", "Precision")
    return _plot_rows(recall, together, rows, axes, title, None, ax, save_path)


def plot_over_score(scores, values, class_names, ylabel, title=None, ax=None, save_path=None):
    """Plots a quantity over the score threshold, of all classes together and of each.

    Args:
        scores: float [S], thresholds.
        values: float [1 + C, S], of all classes together first; nan is a gap.
        class_names: C names.
        ylabel: what is plotted, as "F1".
        title: of the axes; by default it says up to which threshold all classes together are best,
            and the curve is marked there.
        ax: axes to draw into.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The axes.

    Raises:
        ValueError: arrays of other shapes.
    """
    scores, values = np.asarray(scores, float), np.asarray(values, float)
    _check_rows("values", values, 1 + len(class_names), scores, "scores")
    mark = None
    if title is None:
        title = f"{ylabel} over the score threshold"
        if not np.isnan(values[0]).all():
            best = int(np.flatnonzero(values[0] == np.nanmax(values[0]))[-1])
            mark = scores[best], values[0, best]
            title += f", best {mark[1]:.3f} at {mark[0]:.3f}"
    rows = {
        i: (row, str(class_names[i])) for i, row in enumerate(values[1:]) if not np.isnan(row).all()
    }
    axes = ("Score threshold", ylabel)
    return _plot_rows(scores, (values[0], "all classes"), rows, axes, title, mark, ax, save_path)


def _plot_rows(x, together, rows, axis_labels, title, mark, ax, save_path):
    """Plots classes, {position: (values, label)}, as thin lines and all together as a thick one."""
    own_figure = ax is None
    if own_figure:
        _, ax = plt.subplots(figsize=(8, 5.5), layout="constrained")
    colors = instance_colors(max(rows, default=0) + 1)  # a class has one color in all figures
    for count, (i, (values, label)) in enumerate(rows.items()):
        named = count < NAMED
        style = {"color": colors[i] if named else GREY, "label": label if named else None}
        ax.plot(x, values, linewidth=1.2, zorder=2 + named, **style)
    if len(rows) > NAMED:
        ax.plot([], [], color=GREY, label=f"{len(rows) - NAMED} more classes")
    ax.plot(x, together[0], color=DARK, linewidth=3, label=together[1], zorder=5)
    if mark is not None:
        ax.plot(*mark, "o", color=DARK, markersize=7, zorder=6)
    ax.set(xlim=(0, 1), ylim=(0, 1.03), xlabel=axis_labels[0], ylabel=axis_labels[1])
    ax.set_title(title)
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    finish(ax.figure, save_path, own_figure)
    return without_echo(ax)


def plot_confusion(matrix, class_names, title="Confusion", ax=None, save_path=None):
    """Shows what objects were taken for: colors are shares of a row, numbers are counts.

    Args:
        matrix: int [1 + C, 1 + C], rows the truth, columns the detections, background first.
        class_names: C names.
        title: of the axes.
        ax: axes to draw into.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The axes.

    Raises:
        ValueError: a matrix of another shape.
    """
    matrix, count = np.asarray(matrix), 1 + len(class_names)
    if matrix.shape != (count, count):
        raise ValueError(
            f"matrix has shape {matrix.shape}; expected {(count, count)}, {count - 1} classes "
            "and the background"
        )
    own_figure = ax is None
    if own_figure:
        side = float(np.clip(3.5 + 0.55 * count, 5, 18))
        _, ax = plt.subplots(figsize=(side + 1, side), layout="constrained")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shown = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    ax.figure.colorbar(shown, ax=ax, label="share of the row", shrink=0.8)
    size = 9 if count <= WRITTEN else 6
    places = np.arange(count)
    ax.set_xticks(places, ["missed", *class_names], rotation=45, ha="right", fontsize=size)
    ax.set_yticks(places, ["nothing there", *class_names], fontsize=size)
    if count <= WRITTEN + 1:
        for row, column in np.argwhere(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            style = {"ha": "center", "va": "center", "fontsize": 9, "color": color}
            ax.text(column, row, f"{matrix[row, column]}", **style)
    ax.set(xlabel="Detections", ylabel="Truth")
    ax.set_title(title)
    finish(ax.figure, save_path, own_figure)
    return without_echo(ax)


def _check_rows(name, rows, count, x, x_name):
    if rows.shape != (count, len(x)):
        raise ValueError(
            f"{name} has shape {rows.shape}; expected {(count, len(x))}, the classes by the "
            f"{len(x)} entries of {x_name}"
        )
