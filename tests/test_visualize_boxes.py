import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from mrcnn import visualize
from mrcnn.visualize.boxes import GREY

NAMES = ["BG", "cat", "dog"]
IMAGE = np.full((60, 80, 3), 100, np.uint8)
# Edges lie half a pixel before the center of their pixel: y1 x1 y2 x2 -> x1 y1 x2 y2, minus 0.5.
BOXES = np.array([[10, 10, 30, 40], [20, 30, 50, 70], [0, 0, 0, 0]])
REFINED = np.array([[12, 14, 32, 42], [22, 33, 52, 73], [1, 1, 9, 9]])


@pytest.fixture(autouse=True)
def headless():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def rectangles(ax):
    """(edges, color, line style) of each box in the axes."""
    return [
        (tuple(p.get_bbox().extents), to_rgb(p.get_edgecolor()[:3]), p.get_linestyle())
        for p in ax.patches
        if isinstance(p, plt.Rectangle)
    ]


def test_draw_boxes():
    first, second, _ = visualize.instance_colors(3)
    ax = visualize.draw_boxes(IMAGE, BOXES, REFINED, captions=["a", "b", "c"], title="t")
    # The third has a box of zeros.
    assert rectangles(ax) == [
        ((9.5, 9.5, 39.5, 29.5), first, "dotted"),
        ((13.5, 11.5, 41.5, 31.5), first, "solid"),
        ((29.5, 19.5, 69.5, 49.5), second, "dotted"),
        ((32.5, 21.5, 72.5, 51.5), second, "solid"),
    ]
    # A line joins the top-left corners.
    assert [line.get_xydata().tolist() for line in ax.lines] == [
        [[9.5, 9.5], [13.5, 11.5]],
        [[29.5, 19.5], [32.5, 21.5]],
    ]
    assert [line.get_color() for line in ax.lines] == [first, second]
    assert ax.get_title() == "t"
    assert (ax.images[0].get_array() == 100).all()


def test_draw_boxes_by_visibility():
    boxes, refined = BOXES[[0, 1, 0]], REFINED[[0, 1, 0]]
    ax = visualize.draw_boxes(IMAGE, boxes, refined, None, ["", "b", ""], [0, 1, 2])
    _, second, third = visualize.instance_colors(3)
    styles = [(color, style) for _, color, style in rectangles(ax)]
    assert styles == [
        (GREY, "dotted"),  # and no refined box
        *((second, "dotted"), (second, "solid")),
        *((third, "solid"), (third, "solid")),
    ]
    assert len(ax.lines) == 2


@pytest.mark.parametrize("visibility, left", [(0, 10), (1, 14), (2, 14)])
def test_a_caption_is_at_the_refined_box_if_it_is_drawn(visibility, left):
    ax = visualize.draw_boxes(IMAGE, BOXES[:1], REFINED[:1], None, ["x"], [visibility])
    assert ax.texts[0].get_text() == "x"
    assert left - 0.5 <= ax.texts[0].get_position()[0] < left + 0.5


def test_draw_boxes_with_one_kind_and_classes():
    five = np.concatenate([BOXES[:1], [[3]]], axis=1)
    assert rectangles(visualize.draw_boxes(IMAGE, five))[0][0] == (9.5, 9.5, 39.5, 29.5)
    ((_, _, style),) = rectangles(visualize.draw_boxes(IMAGE, refined_boxes=REFINED[:1]))
    assert style == "solid"
    assert rectangles(visualize.draw_boxes(IMAGE, np.zeros((0, 4)))) == []


def test_draw_boxes_with_masks():
    masks = np.zeros((60, 80, 1), bool)
    masks[50:52, 60:64] = True  # far from the box
    ax = visualize.draw_boxes(IMAGE, BOXES[:1], masks=masks)
    shown, color = ax.images[0].get_array(), np.array(visualize.instance_colors(1)[0])
    # Half of 100 and half of the color.
    assert (
        shown[50, 60].tolist()
        == shown[51, 63].tolist()
        == (50 + 127.5 * color).astype(int).tolist()
    )
    assert (shown != 100).any(axis=-1).sum() == 8
    assert ax.patches[1].get_xy().min(axis=0).tolist() == [59.5, 49.5]
    assert (IMAGE == 100).all()


def test_draw_boxes_leaves_room_for_what_reaches_out():
    ax = visualize.draw_boxes(IMAGE, np.array([[-5, 10, 30, 999]]))
    # Five pixels above; to the right a tenth of 80.
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 87.5), (59.5, -5.5))


def test_draw_boxes_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="both None"):
        visualize.draw_boxes(IMAGE)
    with pytest.raises(ValueError, match="refined_boxes has 2 entries; expected 3"):
        visualize.draw_boxes(IMAGE, BOXES, REFINED[:2])
    with pytest.raises(ValueError, match=r"masks of shape \(60, 80, 3\)"):
        visualize.draw_boxes(IMAGE, BOXES, masks=np.zeros((60, 80, 2)))
    with pytest.raises(ValueError, match="visibilities has 1 entries"):
        visualize.draw_boxes(IMAGE, BOXES, visibilities=[1])
    with pytest.raises(ValueError, match="expected 0, 1 or 2"):
        visualize.draw_boxes(IMAGE, BOXES, visibilities=[1, 2, 3])
    with pytest.raises(ValueError, match="captions has 1 entries"):
        visualize.draw_boxes(IMAGE, BOXES, captions=["a"])


def test_draw_rois(capsys, tmp_path):
    rois = np.array([[10, 10, 30, 40], [20, 30, 50, 70], [0, 0, 0, 0], [5, 5, 9, 9]])
    masks = np.zeros((1, 2, 3))
    masks[0, :, 0] = 1  # a third of the width of 30, all of the height
    path = tmp_path / "rois.png"
    ax = visualize.draw_rois(
        *(IMAGE, rois, REFINED[[0, 1, 2, 2]], masks, [2, 0, 1, -1], NAMES), save_path=path
    )
    # The third ROI is padding by its box, the fourth by its class.
    printed = capsys.readouterr().out.split("\n")
    assert printed[:3] == ["Positive ROIs:  1", "Negative ROIs:  1", "Positive Ratio: 0.50"]
    assert ax.get_title() == "2 ROIs, 1 of them positive"
    color = visualize.instance_colors(2)[0]
    assert rectangles(ax) == [
        ((29.5, 19.5, 69.5, 49.5), GREY, "dashed"),
        ((9.5, 9.5, 39.5, 29.5), color, "dashed"),
        ((13.5, 11.5, 41.5, 31.5), color, "solid"),
    ]
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[9.5, 9.5], [13.5, 11.5]]]
    assert [text.get_text() for text in ax.texts] == ["dog"]
    changed = (ax.images[0].get_array() != 100).any(axis=-1)
    # In the middle row, the mask ends where its bilinear value falls below 0.5: between the centers
    # of the first and the second third of 10..40, at 10 + 30 * 2 / 6 = 20.
    assert np.flatnonzero(changed[20]).tolist() == list(range(10, 20))
    assert not changed[:10].any() and not changed[30:].any()
    assert path.stat().st_size > 0


def test_draw_rois_samples(capsys):
    rois = np.array([[i, i, i + 9, i + 9] for i in range(1, 31)])
    shown = [
        {edges for edges, _, _ in rectangles(visualize.draw_rois(IMAGE, *args, limit=5, rng=seed))}
        for args in [(rois, None, None, np.zeros(30, int), NAMES)]
        for seed in (1, 1, 2)
    ]
    assert len(shown[0]) == 5
    assert shown[0] == shown[1] != shown[2]
    assert shown[0] < {(i - 0.5, i - 0.5, i + 8.5, i + 8.5) for i in range(1, 31)}
    ax = visualize.draw_rois(IMAGE, rois, rois, None, np.ones(30, int), None, limit=5)
    assert ax.get_title() == "5 random ROIs out of 30, 5 of them positive"
    assert "Positive ROIs:  30" in capsys.readouterr().out
    np.random.seed(0)
    first = rectangles(visualize.draw_rois(IMAGE, rois, None, None, np.ones(30), NAMES))
    np.random.seed(0)
    assert first == rectangles(visualize.draw_rois(IMAGE, rois, None, None, np.ones(30), NAMES))


def test_draw_rois_of_nothing():
    nothing = np.zeros((0, 4))
    ax = visualize.draw_rois(IMAGE, nothing, nothing, np.zeros((0, 28, 28)), [], NAMES)
    assert ax.get_title() == "0 ROIs, 0 of them positive"


# ---- shapes of boxes


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        (BOXES[None], r"boxes has shape \(1, 3, 4\).*boxes\[0\]"),
        (np.stack([BOXES, BOXES]), r"boxes has shape \(2, 3, 4\).*boxes\[0\]"),
        (BOXES[0], r"boxes has shape \(4,\).*\[boxes\]"),
        (BOXES[:, :3], r"boxes has shape \(3, 3\)"),
        (np.zeros((0, 2)), r"boxes has shape \(0, 2\)"),
        (7, r"boxes has shape \(\)"),
    ],
)
@pytest.mark.parametrize("draw", ["draw_boxes", "draw_instances", "display_instances"])
def test_boxes_of_another_shape_are_refused(draw, boxes, words):
    given = {"draw_boxes": (boxes,)}.get(draw, (boxes, None, [1, 2, 1], NAMES))
    with pytest.raises(ValueError, match=r"(?s)" + words) as error:
        getattr(visualize, draw)(IMAGE, *given)
    assert "expected [N, 4]" in str(error.value)


def test_refined_boxes_and_rois_of_another_shape_are_refused():
    batch, ids = BOXES[None], [1, 2, 0]
    with pytest.raises(ValueError, match=r"refined_boxes has shape.*refined_boxes\[0\]"):
        visualize.draw_boxes(IMAGE, BOXES, batch)
    with pytest.raises(ValueError, match=r"rois has shape.*rois\[0\]"):
        visualize.draw_rois(IMAGE, batch, batch, None, ids, NAMES)
    with pytest.raises(ValueError, match=r"refined_rois has shape.*refined_rois\[0\]"):
        visualize.draw_rois(IMAGE, BOXES, batch, None, ids, NAMES)
    with pytest.raises(ValueError, match="class_ids has 2 entries; expected 3"):
        visualize.draw_rois(IMAGE, BOXES, None, None, ids[:2], NAMES)
    with pytest.raises(ValueError, match="refined_rois has 2 entries; expected 3"):
        visualize.draw_rois(IMAGE, BOXES, BOXES[:2], None, ids, NAMES)


def test_columns_after_the_fourth_are_class_and_score():
    six = np.concatenate([BOXES, [[1, 0.9]] * 3], axis=1)
    assert rectangles(visualize.draw_boxes(IMAGE, six)) == rectangles(
        visualize.draw_boxes(IMAGE, BOXES)
    )
    assert rectangles(visualize.draw_boxes(IMAGE, [])) == []


# Of the image of 60 x 80, an anchor that reaches beyond it and a detection with class and score.
NORMALIZED = np.float32([[-0.7, 0.1, 1.4, 0.9, 1, 0.8], [0.2, 0.1, 0.5, 0.4, 2, 0.9]])


@pytest.mark.parametrize(
    ("draw", "given", "name"),
    [
        ("draw_boxes", (NORMALIZED,), "boxes"),
        ("draw_boxes", (BOXES[:2], NORMALIZED), "refined_boxes"),
        ("draw_rois", (NORMALIZED, None, None, [0, 1], NAMES), "rois"),
        ("display_instances", (NORMALIZED, None, [1, 2], NAMES), "boxes"),
        ("draw_instances", (NORMALIZED, None, [1, 2], NAMES), "boxes"),
    ],
)
def test_normalized_boxes_warn_once_with_what_to_write(draw, given, name):
    with pytest.warns(UserWarning) as caught:
        getattr(visualize, draw)(IMAGE, *given)
    (warning,) = caught
    assert str(warning.message) == (
        f"{name} are normalised, from -0.70 to 1.40; expected pixels: "
        f"pass utils.denorm_boxes({name}, image.shape[:2])"
    )
    assert warning.filename == __file__


def test_what_may_be_pixels_does_not_warn():
    visualize.draw_boxes(IMAGE, [[0, 0, 1, 1]])  # whole numbers
    visualize.draw_boxes(IMAGE, [[0.5, 0.5, 1.5, 2.5]])  # beyond twice the image, if normalised
    visualize.draw_boxes(IMAGE[:8, :8], [[0.2, 0.2, 0.9, 0.9]])
    visualize.draw_boxes(IMAGE, np.zeros((2, 4)))
