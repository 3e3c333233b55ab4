import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn import draw, visualize

NAMES = ["BG", "cat", "dog"]


@pytest.fixture(autouse=True)
def headless():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def one_instance(size=64):
    """A box, its mask, which fills it, and a class id."""
    masks = np.zeros((size, size, 1), bool)
    masks[10:40, 20:50] = True
    return np.array([[10, 20, 40, 50]]), masks, np.array([1])


def test_apply_mask_blends_in_place():
    image = np.full((1, 3, 3), 100, np.uint8)
    result = visualize.apply_mask(image, [[1, 0, 255]], (1.0, 0.0, 0.2), alpha=0.25)
    assert result is image
    # 100 * 0.75 + 255 * 0.25 = 138.75, cut to 138; 100 * 0.75 = 75; 75 + 51 * 0.25 = 87.75.
    assert image.tolist() == [[[138, 75, 87], [100, 100, 100], [138, 75, 87]]]


def test_draw_box_stays_inside():
    image = np.zeros((5, 6, 1), int)
    assert visualize.draw_box(image, (1, 1, 4, 5), 7, thickness=1) is image
    assert image[..., 0].tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 7, 7, 7, 7, 0],
        [0, 7, 0, 0, 7, 0],
        [0, 7, 7, 7, 7, 0],
        [0, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("box", [(-3, -3, 9, 9), (2, 2, 2, 2), (8, 8, 9, 9)])
def test_draw_box_outside_or_empty(box):
    image = np.zeros((5, 5, 3), np.uint8)
    visualize.draw_box(image, box, (1, 2, 3))
    # The first covers all but the inner 1 x 1; the others hold no pixel of the image.
    assert (image.sum(axis=-1) > 0).sum() == (24 if box[0] < 0 else 0)


def test_random_colors():
    colors = visualize.random_colors(6)
    assert len(set(colors)) == 6
    assert all(max(color) == 1 for color in colors)
    assert all(max(color) == 0.7 for color in visualize.random_colors(6, bright=False))
    assert colors == visualize.random_colors(6)
    assert visualize.random_colors(0) == []


def test_class_colors_depend_on_the_class_only():
    first, crowd, other = visualize.class_colors([3, -3, 4])
    assert first == crowd != other
    assert visualize.class_colors([3 + len(draw.PALETTE)]) == [first]


def test_outline():
    mask = np.array(["01110", "11111", "11111", "11111"])
    mask = np.array([[pixel == "1" for pixel in row] for row in mask])
    # What lies beyond the picture is off: its bottom row belongs to the border.
    rows = draw._outline(mask, 1).astype(int).tolist()
    assert rows == [[0, 1, 1, 1, 0], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
    assert (draw._outline(mask, 2) == mask).all()
    hole = np.ones((9, 9), bool)
    hole[4, 4] = False
    # Two pixels along the sides and, in row 4, two beside the hole: all of it.
    assert draw._outline(hole, 2)[4].astype(int).tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert draw._outline(hole, 1)[4].astype(int).tolist() == [1, 0, 0, 1, 0, 1, 0, 0, 1]


def test_draw_instances_touches_the_box_only():
    boxes, masks, class_ids = one_instance()
    image = np.full((64, 64, 3), 100, np.uint8)
    masks[0, 0] = True  # outside the box
    picture = visualize.draw_instances(image, boxes, masks, class_ids, colors=[(1, 0, 0)])
    assert (image == 100).all()
    inside = np.zeros((64, 64), bool)
    inside[10:40, 20:50] = True
    assert (picture[~inside] == 100).all()
    assert picture[10, 20].tolist() == [255, 0, 0]  # box and outline
    # Fill: 100 * 0.6 + 255 * 0.4 = 162 and 60; halo: 162 * 0.4 + 255 * 0.6 = 217.8, 177.
    assert picture[25, 35].tolist() == [162, 60, 60]
    assert picture[11, 21].tolist() == [217, 177, 177]


def test_draw_instances_parts_can_be_left_out():
    boxes, masks, class_ids = one_instance()
    image = np.full((64, 64), 100, np.uint8)
    box = visualize.draw_instances(image, boxes, masks, class_ids, show_mask=False)
    assert (box[11:39, 21:49] == 100).all()
    assert (box[10, 20:50] != 100).any()
    masks[10:20] = False
    mask = visualize.draw_instances(image, boxes, masks, class_ids, show_bbox=False)
    assert (mask[10:20] == 100).all()
    assert (visualize.draw_instances(image, boxes, None, class_ids) == box).all()
    text = visualize.draw_instances(image, boxes, None, class_ids, captions=["x"])
    assert (text != box).any()


def test_small_instances_are_drawn_over_large_ones():
    image = np.zeros((40, 40, 3), np.uint8)
    boxes = np.array([[10, 10, 20, 20], [0, 0, 40, 40]])
    masks = np.zeros((40, 40, 2), bool)
    masks[10:20, 10:20, 0] = masks[:, :, 1] = True
    picture = visualize.draw_instances(image, boxes, masks, [1, 2], colors=[(1, 0, 0), (0, 0, 1)])
    # Blue 255 * 0.4 = 102; then 102 * 0.6 = 61.2 blue under 255 * 0.4 = 102 red.
    assert picture[15, 15].tolist() == [102, 0, 61]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 1), bool),
        np.zeros((64, 64, 4), np.uint16),
        np.zeros((64, 64, 3), np.float32),
    ],
)
def test_any_common_image_and_no_instances(image):
    nothing = np.zeros((0, 4)), np.zeros((64, 64, 0), bool), np.zeros(0, int)
    picture = visualize.draw_instances(image, *nothing, NAMES, np.zeros(0))
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert (picture == 0).all()
    assert visualize.display_instances(image, *nothing, NAMES).patches[:] == []


def test_values_of_common_images():
    assert visualize.to_uint8_rgb(np.array([[0.0, 1.0]]))[0, :, 0].tolist() == [0, 255]
    assert visualize.to_uint8_rgb(np.array([[0.0, 200.0]]))[0, :, 0].tolist() == [0, 200]
    assert visualize.to_uint8_rgb(np.array([[False, True]]))[0, :, 0].tolist() == [0, 255]
    assert visualize.to_uint8_rgb(np.array([[0, 65535]], np.uint16))[0, :, 0].tolist() == [0, 255]
    alpha = np.full((1, 1, 4), (1, 2, 3, 99), np.uint8)
    assert visualize.to_uint8_rgb(alpha).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("draw", [visualize.draw_instances, visualize.display_instances])
def test_counts_that_differ_are_an_error(draw):
    image, (boxes, masks, _) = np.zeros((64, 64, 3), np.uint8), one_instance()
    with pytest.raises(ValueError, match="class id"):
        draw(image, boxes, masks, [1, 2], NAMES)
    with pytest.raises(ValueError, match=r"\(64, 64, 1\).*\(9, 64, 1\)"):
        draw(image, boxes, masks[:9], [1], NAMES)


def test_captions():
    assert draw.default_captions([1, -2], NAMES, [0.917, 0.5]) == ["cat 0.92", "dog crowd 0.50"]
    assert draw.default_captions([1, -2], None, None) == ["", ""]
    assert draw.default_captions([1], None, [0.5]) == ["0.50"]


def test_labels_do_not_overlap_and_stay_inside():
    shape, size = (100, 100, 3), 10  # a label is 15 high, 6.2 a letter + 4 = 41 wide for 6
    boxes = np.array([[0, 0, 50, 50], [0, 0, 50, 50], [20, 95, 60, 100]], float)
    placed = draw._place_labels(boxes, ["square"] * 3, [0, 1, 2], shape, size)
    # No room above the first: inside its corner. The second goes below its box, the third above,
    # moved left from 95 to 100 - 41 = 59.
    assert placed == [(0, 0, 0), (1, 0, 50), (2, 59, 5)]
    crowded = draw._place_labels(boxes[[0] * 9], ["square"] * 9, range(9), shape, size)
    assert 1 < len(crowded) < 9


@pytest.mark.parametrize("size", [(29, 57), (64, 64), (113, 271)])
def test_texts_leave_the_other_pixels_alone(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert (draw._draw_texts(image, [], 10) == image).all()
    labelled = draw._draw_texts(image, [("a", 5, 4, (1, 0, 0))], 10)
    changed = np.argwhere((labelled != image).any(axis=-1))
    assert labelled.shape == image.shape
    assert changed.min(axis=0).tolist() == pytest.approx([4, 5], abs=2)
    assert changed.max(axis=0)[0] < 4 + 15


def test_draw_comparison(tmp_path):
    boxes, masks, class_ids = one_instance()
    image = np.zeros((64, 64, 3), np.uint8)
    truth = {"rois": boxes, "masks": masks, "class_ids": class_ids}
    found = {**truth, "scores": np.array([0.9])}
    nothing = {
        "rois": boxes[:0],
        "masks": masks[:, :, :0],
        "class_ids": class_ids[:0],
        "scores": np.zeros(0),
    }
    path = tmp_path / "grid.png"
    grid = visualize.draw_comparison(
        [image, np.zeros((32, 64), np.uint8), image],
        [truth, {**nothing, "masks": masks[:32, :, :0]}, truth],
        [found, {**nothing, "masks": masks[:32, :, :0]}, nothing],
        NAMES,
        tile=128,
        save_path=path,
    )
    # Two rows of 128 + 12 below a header of 26; two pairs of 2 * 128 + 6, 18 apart, margins of 6.
    assert grid.shape == (26 + 2 * 140, 6 + 262 + 18 + 262 + 6, 3)
    assert (plt.imread(path)[..., :3] * 255).round().astype(np.uint8).tolist() == grid.tolist()
    left, right = grid[26 : 26 + 128, 6:134], grid[26 : 26 + 128, 140:268]
    assert left[60, 90].tolist() == right[60, 90].tolist() != [0, 0, 0]  # the same filled mask
    assert (left != right).any()  # the score
    assert (grid[26 + 140 : 26 + 140 + 128, 140:268] == 0).all()  # the third found nothing
    wide = grid[26 : 26 + 128, 6 + 262 + 18 : 6 + 262 + 18 + 128]
    assert (wide[:32] == 255).all()  # 64 of 128 rows in the middle
    assert (wide[32:96] == 0).all()


def test_display_instances_saves_and_closes_its_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    boxes, masks, class_ids = one_instance()
    image, path = np.zeros((64, 64, 3), np.uint8), tmp_path / "one.png"
    ax = visualize.display_instances(
        image, boxes, masks, class_ids, NAMES, [0.9], "title", (2, 2), save_path=path
    )
    assert path.stat().st_size > 0
    assert plt.get_fignums() == []
    assert [text.get_text() for text in ax.texts] == ["cat 0.90"]
    assert ax.get_title() == "title"
    assert len(ax.patches) == 2  # contour and box
    assert (image == 0).all()


def test_display_instances_draws_into_given_axes(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    monkeypatch.setattr(matplotlib, "get_backend", lambda: "qtagg")
    _, ax = plt.subplots()
    image, (boxes, masks, class_ids) = np.zeros((64, 64, 3), np.uint8), one_instance()
    result = visualize.display_instances(
        image, boxes, masks, class_ids, None, ax=ax, captions=["mine"], show_bbox=False
    )
    assert result is ax
    assert ax.texts[0].get_text() == "mine"
    # The mask's edge lies half a pixel before its first pixel's center, (10, 20): x 19.5, y 9.5.
    assert ax.patches[0].get_xy().min(axis=0).tolist() == [19.5, 9.5]


@pytest.mark.parametrize("backend, shown", [("agg", 0), ("qtagg", 1), ("inline", 1)])
def test_shows_where_a_backend_can(monkeypatch, backend, shown):
    calls = []
    monkeypatch.setattr(plt, "show", lambda: calls.append(1))
    monkeypatch.setattr(matplotlib, "get_backend", lambda: backend)
    image = np.zeros((8, 8, 3), np.uint8)
    visualize.display_instances(image, np.zeros((0, 4)), None, [], NAMES, figsize=(1, 1))
    assert len(calls) == shown
    assert len(plt.get_fignums()) == 1  # open, for plt.savefig


def test_display_images():
    images = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool), np.zeros((8, 9), np.float32)]
    axes = visualize.display_images(images, ["a", "b", "c"], cols=2, cmap="gray")
    assert [ax.get_title() for ax in axes] == ["a", "b", "c"]
    assert len(axes[0].figure.axes) == 4  # two rows of two
    assert axes[2].images[0].get_array().shape == (8, 9)
    assert visualize.display_images(images)[0].get_title() == ""


def test_importing_leaves_the_backend_alone():
    code = (
        "import matplotlib; matplotlib.use('svg'); import mrcnn.visualize;"
        "assert matplotlib.get_backend().lower() == 'svg'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
