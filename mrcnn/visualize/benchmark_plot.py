"""Bars of what models cost and what they are worth, side by side."""

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.visualize.figures import finish


def plot_benchmark(names, measures, save_path=None):
    """Plots a panel of bars for each measure, with a bar for each model.

    Args:
        names: list of str, the models, the first on top.
        measures: {title: list of float, one for each model; None or nan where there is none}.
        save_path: where to write the figure, with its format by suffix.

    Returns:
        The figure.
    """
    places = np.arange(len(names))
    figure, axes = plt.subplots(
        1,
        len(measures),
        figsize=(2 + 2.4 * len(measures), 1 + 0.4 * len(names)),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for ax, (title, values) in zip(axes[0], measures.items(), strict=True):
        values = np.array(values, float)
        texts = [_text(value) for value in values]
        bars = ax.barh(places, np.nan_to_num(values), color=plt.cm.tab10(places % 10))
        ax.bar_label(bars, texts, padding=3)
        ax.set(title=title)
        ax.margins(x=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_yticks(places, names)
    axes[0, 0].invert_yaxis()
    finish(figure, save_path, True)
    return figure


def _text(value):
    """Three digits that count, and no exponent."""
    if np.isnan(value):
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
