"""Plots of scores and overlaps, and tables."""

import html
import sys

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.data.class_names import class_name
from mrcnn.visualize.figures import finish, without_echo

ALERT = "***"
HUGE = 1000  # larger weights hint at a training that diverges


def plot_precision_recall(AP, precisions, recalls, ax=None, save_path=None):
    """Plots precision over recall; the filled area is the average precision.

    Args:
        AP: float.
        precisions, recalls: [n], as `compute_ap` returns them: `precisions[i]` is that between
            `recalls[i - 1]` and `recalls[i]`.
        ax: axes to draw into.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The axes.
    """
    own_figure = ax is None
    if own_figure:
        _, ax = plt.subplots()
    (line,) = ax.plot(recalls, precisions, drawstyle="steps-pre", linewidth=2)
    ax.fill_between(recalls, precisions, step="pre", alpha=0.2, color=line.get_color())
    ax.set(xlim=(0, 1.05), ylim=(0, 1.05), xlabel="Recall", ylabel="Precision")
    ax.set_title(f"Precision-recall curve, AP = {AP:.3f}")
    ax.grid(alpha=0.3)
    finish(ax.figure, save_path, own_figure)
    return without_echo(ax)


def plot_overlaps(
    gt_class_ids,
    pred_class_ids,
    pred_scores,
    overlaps,
    class_names,
    threshold=0.5,
    ax=None,
    save_path=None,
):
    """Shows the IoU of each prediction with each ground truth as a grid.

    A cell of at least `threshold` says "match" in a green frame if the classes agree, else
    "wrong" in a red one.

    Args:
        gt_class_ids: [M]; padding with 0 is left out.
        pred_class_ids, pred_scores: [N]; padding with class 0 is left out.
        overlaps: [N, M], with or without the padding.
        class_names: names by class id, or None.
        threshold: least IoU of a match.
        ax: axes to draw into.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The axes.

    Raises:
        ValueError: `overlaps` of another shape.
    """
    truth, found = (np.asarray(ids).astype(int) for ids in (gt_class_ids, pred_class_ids))
    overlaps, scores = np.asarray(overlaps, float), np.asarray(pred_scores)
    if overlaps.shape == (len(found), len(truth)):
        overlaps = overlaps[found != 0][:, truth != 0]
    scores = scores[found != 0] if len(scores) == len(found) else scores
    truth, found = truth[truth != 0], found[found != 0]
    if overlaps.shape != (len(found), len(truth)):
        raise ValueError(
            f"overlaps has shape {overlaps.shape}; expected {(len(found), len(truth))}, "
            "predictions by ground truths"
        )
    own_figure = ax is None
    if own_figure:
        size = np.clip([2.5 + 0.8 * len(truth), 2 + 0.6 * len(found)], 4, 24)
        _, ax = plt.subplots(figsize=size, layout="constrained")
    if overlaps.size:
        ax.imshow(overlaps, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    names = [class_name(i, class_names) for i in truth]
    ax.set_xticks(np.arange(len(truth)), names, rotation=45, ha="right")
    names = [f"{class_name(i, class_names)} {scores[n]:.2f}" for n, i in enumerate(found)]
    ax.set_yticks(np.arange(len(found)), names)
    for row, column in np.ndindex(*overlaps.shape):
        same = found[row] == truth[column]
        _add_cell(ax, row, column, overlaps[row, column], threshold, same)
    ax.set(xlabel="Ground truth", ylabel="Predictions")
    ax.set_title(f"IoU of predictions and ground truth, match from {threshold:g}")
    finish(ax.figure, save_path, own_figure)
    return without_echo(ax)


def _add_cell(ax, row, column, iou, threshold, same_class):
    """Writes an IoU into its cell, and whether it is a match."""
    text, color = f"{iou:.3f}" if iou else "0", "white" if iou > 0.5 else "black" if iou else "grey"
    if iou >= threshold:
        text += "\nmatch" if same_class else "\nwrong"
        edge = "tab:green" if same_class else "tab:red"
        frame = {"fill": False, "edgecolor": edge, "linewidth": 3}
        ax.add_patch(plt.Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, **frame))
    ax.text(column, row, text, ha="center", va="center", fontsize=9, color=color)


def display_table(table):
    """Shows a table: HTML in a notebook, aligned text elsewhere.

    Args:
        table: list of rows, each a list of values. A cell that contains "***" is red in a
            notebook.
    """
    rows = [[str(cell) for cell in row] for row in table]
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):  # a terminal's IPython shows no HTML
        from IPython.display import HTML, display

        display(HTML(_to_html(rows)))
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _to_html(rows):
    lines = []
    for row in rows:
        cells = ""
        for cell in row:
            style = "text-align: left" + ("; color: red" if ALERT in cell else "")
            cells += f'<td style="{style}">{html.escape(cell)}</td>'
        lines.append(f"<tr>{cells}</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def display_weight_stats(model):
    """Shows name, shape, minimum, maximum and standard deviation of each weight as a table.

    Args:
        model: a `MaskRCNN`, or a Keras model.
    """
    table = [["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]]
    for row in weight_stats(model):
        name = " ".join([row["name"], *(f"{ALERT} {alert}?" for alert in row["alerts"])])
        numbers = [f"{row[key]:+9.4f}" for key in ("min", "max", "std")]
        table.append([name, str(row["shape"]), *numbers])
    display_table(table)


def weight_stats(model):
    """Computes the statistics of each weight of a model, and of models inside it.

    Args:
        model: a `MaskRCNN`, or a Keras model.

    Returns:
        list of dicts: `name` as "layer/weight", `shape`, `min`, `max`, `std`, and `alerts`, a list
        that may hold "dead" (all values are equal, and it is neither a bias nor a single value),
        "overflow" (values beyond 1000) and "not finite".
    """
    rows = []
    for layer in _layers_with_weights(model):
        for weight, values in zip(layer.weights, layer.get_weights(), strict=True):
            values = np.asarray(values, np.float32)
            low, high, std = float(values.min()), float(values.max()), float(values.std())
            alerts = {
                "dead": low == high and values.size > 1 and weight.name != "bias",
                "overflow": max(-low, high) > HUGE,
                "not finite": not np.isfinite(values).all(),
            }
            rows.append(
                {
                    "name": f"{layer.name}/{weight.name}",
                    "shape": values.shape,
                    **{"min": low, "max": high, "std": std},
                    "alerts": [name for name, found in alerts.items() if found],
                }
            )
    return rows


def _layers_with_weights(model):
    """Returns the layers of a `MaskRCNN` or Keras model that own weights, nested ones too."""
    if hasattr(model, "get_trainable_layers"):
        layers = model.get_trainable_layers()
    else:
        layers = getattr(model, "keras_model", model).layers
    found = []
    for layer in layers:
        inner = getattr(layer, "layers", None)
        found += _layers_with_weights(layer) if inner else [layer] if layer.weights else []
    return found
