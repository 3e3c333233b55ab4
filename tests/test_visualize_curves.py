import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn import visualize

NAN = float("nan")


@pytest.fixture(autouse=True)
def headless():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def lines(ax):
    """Label and values of each line."""
    return {line.get_label(): line.get_ydata().tolist() for line in ax.lines}


def test_precision_recall_of_classes(tmp_path):
    path = tmp_path / "PR_curve.png"
    precision = [[1, 1, 0], [1, 0, 0], [NAN] * 3]
    ax = visualize.plot_class_precision_recall(
        [0, 0.5, 1], precision, ["cat", "dog", "owl"], save_path=path
    )
    # Means 2/3 and 1/3; the owls, of which there are none, do not count: (2/3 + 1/3) / 2.
    assert lines(ax) == {
        **{"cat 0.667": [1, 1, 0], "dog 0.333": [1, 0, 0]},
        "mean of 2 classes 0.500": [1, 0.5, 0],
    }
    assert path.stat().st_size > 0
    other = plt.figure().add_subplot()
    assert visualize.plot_class_precision_recall([0, 1], [[1, 1]], ["cat"], ax=other) is other


def test_precision_recall_of_nothing():
    ax = visualize.plot_class_precision_recall([0, 1], [[NAN, NAN]], ["cat"])
    assert list(lines(ax)) == ["mean of 0 classes nan"]


def test_over_the_score_threshold(tmp_path):
    path = tmp_path / "F1_curve.png"
    values = [[0.25, 0.5, 0.5, NAN], [0.25, 0.5, 0.5, 0], [NAN] * 4]
    ax = visualize.plot_over_score([0, 0.25, 0.5, 1], values, ["cat", "dog"], "F1", save_path=path)
    # Of equal thresholds the highest.
    assert ax.get_title() == "F1 over the score threshold, best 0.500 at 0.500"
    assert [line.get_label() for line in ax.lines[:2]] == ["cat", "all classes"]
    assert ax.lines[2].get_xydata().tolist() == [[0.5, 0.5]]
    assert ax.get_ylabel() == "F1" and path.stat().st_size > 0
    ax = visualize.plot_over_score([0, 1], [[NAN, NAN]], [], "F1")
    assert ax.get_title() == "F1 over the score threshold"


def test_a_class_has_one_color_whatever_other_classes_there_are():
    # The second class alone, with others, and in the other kind of curve.
    axes = [
        visualize.plot_over_score([0, 1], [[1, 1], first, [1, 1]], ["cat", "dog"], "F1", "title")
        for first in ([NAN, NAN], [1, 1])
    ]
    axes.append(visualize.plot_class_precision_recall([0, 1], [[NAN] * 2, [1, 1]], ["cat", "dog"]))
    colors = {
        line.get_color() for ax in axes for line in ax.lines if line.get_label().startswith("dog")
    }
    assert len(colors) == 1
    assert len(axes[0].lines) == 2  # no mark under a title of one's own


def test_many_classes_share_a_colour_and_a_line_of_the_legend():
    names = [f"class {i}" for i in range(20)]
    ax = visualize.plot_over_score([0, 1], np.ones((21, 2)), names, "F1", "title")
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == [*names[:12], "8 more classes", "all classes"]


def test_confusion(tmp_path):
    path = tmp_path / "confusion_matrix.png"
    ax = visualize.plot_confusion([[0, 3], [1, 4]], ["cat"], save_path=path)
    # Shares of the rows: 0 and 3 of 3, 1 and 4 of 5. Zeros are not written.
    assert ax.images[0].get_array().tolist() == [[0, 1], [0.2, 0.8]]
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(1, 0): "3", (0, 1): "1", (1, 1): "4"}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["missed", "cat"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["nothing there", "cat"]
    assert path.stat().st_size > 0


def test_a_large_confusion_has_colours_only():
    names = [str(i) for i in range(31)]
    assert not visualize.plot_confusion(np.ones((32, 32), int), names).texts
    assert len(visualize.plot_confusion(np.ones((31, 31), int), names[:30]).texts) == 31 * 31


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: visualize.plot_confusion([[1]], ["cat"]), r"\(1, 1\); expected \(2, 2\)"),
        (
            lambda: visualize.plot_over_score([0, 1], [[1, 1]], ["cat"], "F1"),
            r"values has shape \(1, 2\); expected \(2, 2\)",
        ),
        (
            lambda: visualize.plot_class_precision_recall([0, 1], [[1]], ["cat"]),
            r"precision has shape \(1, 1\); expected \(1, 2\)",
        ),
    ],
)
def test_arrays_must_fit(draw, words):
    with pytest.raises(ValueError, match=words):
        draw()
