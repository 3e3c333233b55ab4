import sys
import types

import keras
import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn import visualize

NAMES = ["BG", "cat", "dog"]
TABLE = [["NAME", "N"], ["a<b", 10], ["*** dead?", ""]]


@pytest.fixture(autouse=True)
def headless():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def test_plot_precision_recall(tmp_path):
    path = tmp_path / "curve.png"
    precisions, recalls = [1, 1, 0.5, 0], [0, 0.5, 1, 1]
    ax = visualize.plot_precision_recall(0.75, precisions, recalls, save_path=path)
    assert ax.get_title() == "Precision-recall curve, AP = 0.750"
    (line,) = ax.lines
    assert line.get_xydata().tolist() == [[0, 1], [0.5, 1], [1, 0.5], [1, 0]]
    # The filled area is the AP: 0.5 * 1 + 0.5 * 0.5, by the shoelace formula.
    x, y = ax.collections[0].get_paths()[0].vertices.T
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    assert area == pytest.approx(0.75)
    assert path.stat().st_size > 0
    assert visualize.plot_precision_recall(0.75, precisions, recalls, ax=ax) is ax


def test_plot_overlaps(tmp_path):
    overlaps = np.array([[0.9, 0.0], [0.5, 0.125], [0.49, 0.0]])
    path = tmp_path / "grid.png"
    ax = visualize.plot_overlaps(
        np.array([1, 2]), [1, 2, 3], [0.9, 0.8, 0.7], overlaps, NAMES, save_path=path
    )
    # 0.5 is a match, as in compute_matches, but of another class; 0.49 is none.
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["0.900\nmatch", "0", "0.500\nwrong", "0.125", "0.490", "0"]
    frames = {p.get_xy(): p.get_edgecolor()[:3] for p in ax.patches}
    green, red = (plt.matplotlib.colors.to_rgb(name) for name in ("tab:green", "tab:red"))
    assert frames == {(-0.46, -0.46): green, (-0.46, 0.54): red}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog"]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == ["cat 0.90", "dog 0.80", "class 3 0.70"]
    assert path.stat().st_size > 0
    assert "0.500\nwrong" not in [
        text.get_text()
        for text in visualize.plot_overlaps(
            [1, 2], [1, 2, 3], [1, 1, 1], overlaps, None, threshold=0.6
        ).texts
    ]


@pytest.mark.parametrize("padded", [False, True])
def test_plot_overlaps_leaves_padding_out(padded):
    overlaps = np.array([[0.75, 0.0], [0.0, 0.0]])[: 1 + padded, : 1 + padded]
    ax = visualize.plot_overlaps([1, 0], [2, 0], [0.9, 0], overlaps, NAMES)
    assert [text.get_text() for text in ax.texts] == ["0.750\nwrong"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dog 0.90"]


def test_plot_overlaps_without_a_side_or_with_another_shape():
    assert list(visualize.plot_overlaps([1], [], [], np.zeros((0, 1)), NAMES).texts) == []
    with pytest.raises(ValueError, match=r"\(1, 2\); expected \(2, 1\)"):
        visualize.plot_overlaps([1], [1, 1], [1, 1], np.zeros((1, 2)), NAMES)


def test_display_table_as_text(capsys):
    visualize.display_table(TABLE)
    assert capsys.readouterr().out == "NAME       N\na<b        10\n*** dead?\n"
    visualize.display_table([])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kernel", [True, False])
def test_display_table_in_ipython(kernel, monkeypatch, capsys):
    shown = []
    shell = types.SimpleNamespace(kernel=None) if kernel else types.SimpleNamespace()
    display = types.ModuleType("IPython.display")
    display.HTML, display.display = str, shown.append
    ipython = types.ModuleType("IPython")
    ipython.get_ipython, ipython.display = lambda: shell, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    visualize.display_table(TABLE)
    assert (capsys.readouterr().out == "") == kernel  # a terminal has text
    assert len(shown) == kernel
    if kernel:
        assert '<td style="text-align: left">a&lt;b</td>' in shown[0]
        assert '<td style="text-align: left; color: red">*** dead?</td>' in shown[0]
        assert shown[0].count("<tr>") == 3


def stats_model():
    """A dense layer of 1, 2, 3, 4 and a bias of 0; inside it a scale of 5, 5 and an offset."""
    inside = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(name="bn")])
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="fc"), inside])
    model.get_layer("fc").set_weights([np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros(2)])
    inside.layers[0].set_weights(
        [np.full(2, 5.0), np.array([-2000.0, 0.0]), np.array([np.nan, 1]), np.array([1.0, 2.0])]
    )
    return model


@pytest.mark.parametrize("wrap", ["keras", "keras_model", "get_trainable_layers"])
def test_weight_stats(wrap):
    model = stats_model()
    if wrap == "keras_model":
        model = types.SimpleNamespace(keras_model=model)
    elif wrap == "get_trainable_layers":
        model = types.SimpleNamespace(get_trainable_layers=lambda layers=model.layers: layers)
    kernel, bias, gamma, beta, mean, variance = visualize.weight_stats(model)
    # Of 1 2 3 4: mean 2.5, variance (2.25 + 0.25 + 0.25 + 2.25) / 4 = 1.25.
    assert kernel["name"] == "fc/kernel"
    assert (kernel["shape"], kernel["min"], kernel["max"]) == ((2, 2), 1, 4)
    assert kernel["std"] == pytest.approx(1.25**0.5)
    alerts = [row["alerts"] for row in (kernel, bias, gamma, beta, mean, variance)]
    assert alerts == [[], [], ["dead"], ["overflow"], ["not finite"], []]
    assert gamma["name"] == "bn/gamma"


def test_display_weight_stats(capsys):
    visualize.display_weight_stats(stats_model())
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["WEIGHT", "NAME", "SHAPE", "MIN", "MAX", "STD"]
    assert lines[1] == ["fc/kernel", "(2,", "2)", "+1.0000", "+4.0000", "+1.1180"]
    assert lines[3][:3] == ["bn/gamma", "***", "dead?"]
    assert len(lines) == 7
