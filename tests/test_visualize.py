import importlib
import pickle
import subprocess
import sys
import types

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn import visualize
from mrcnn.visualize import draw

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


def test_draw_instances_touches_box_and_mask_only():
    boxes, masks, class_ids = one_instance()
    image = np.full((64, 64, 3), 100, np.uint8)
    masks[0, 0] = True  # outside the box, drawn all the same
    picture = visualize.draw_instances(image, boxes, masks, class_ids, colors=[(1, 0, 0)])
    assert (image == 100).all()
    inside = np.zeros((64, 64), bool)
    inside[10:40, 20:50] = inside[0, 0] = True
    assert (picture[~inside] == 100).all()
    assert picture[0, 0].tolist() == [255, 0, 0]  # outline
    assert picture[10, 20].tolist() == [255, 0, 0]  # box and outline
    # Fill: 100 * 0.6 + 255 * 0.4 = 162 and 60; halo: 162 * 0.4 + 255 * 0.6 = 217.8, 177.
    assert picture[25, 35].tolist() == [162, 60, 60]
    assert picture[11, 21].tolist() == [217, 177, 177]


def test_draw_instances_parts_can_be_left_out():
    boxes, masks, class_ids = one_instance()
    image = np.full((64, 64), 100, np.uint8)
    box = visualize.draw_instances(image, boxes, None, class_ids)
    assert (box[11:39, 21:49] == 100).all()
    assert (box[10, 20:50] != 100).any()
    masks[10:20] = False
    mask = visualize.draw_instances(image, boxes, masks, class_ids, show_bbox=False)
    assert (mask[10:20] == 100).all()
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


@pytest.mark.parametrize("size", [(29, 57), (64, 64), (113, 271)])
def test_texts_leave_the_other_pixels_alone(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert (draw._draw_texts(image, []) == image).all()
    labelled = draw._draw_texts(image, [("a", 5, 4, 10, (1, 0, 0))])
    changed = np.argwhere((labelled != image).any(axis=-1))
    assert labelled.shape == image.shape
    assert changed.min(axis=0).tolist() == pytest.approx([4, 5], abs=2)
    assert changed.max(axis=0)[0] < 4 + 15
    white = np.full_like(image, 255)  # a white label's soft border on white is white
    assert (draw._draw_texts(white, [(" ", 5.3, 4.3, 10, (1, 1, 1))]) == 255).all()


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


def test_display_instances_colors_pixels_boxes_and_labels():
    image, (boxes, masks, _) = np.full((64, 64, 4), 100, np.uint8), one_instance()
    boxes = np.concatenate([boxes, [[50, 0, 64, 8]], [[0, 0, 0, 0]]])
    masks = np.pad(masks, ((0, 0), (0, 0), (0, 2)))
    ax = visualize.display_instances(
        image, boxes, masks, [1, 0, 2], NAMES, [0.9, None, 0.5], colors=["red", "#0000ff", "g"]
    )
    shown = ax.images[0].get_array()
    # 100 * 0.5 + 255 * 0.5 = 177.5, cut to 177, and 100 * 0.5 = 50.
    assert shown[10, 20].tolist() == shown[39, 49].tolist() == [177, 50, 50]
    assert shown[9, 20].tolist() == shown[40, 49].tolist() == [100, 100, 100]
    # Largest first; the second has an empty mask, the third a box of zeros.
    contour, box, other = ax.patches
    assert contour.get_edgecolor()[:3] == (1, 0, 0)
    assert box.get_bbox().extents.tolist() == [19.5, 9.5, 49.5, 39.5]  # x1 y1 x2 y2
    assert other.get_bbox().extents.tolist() == [-0.5, 49.5, 7.5, 63.5]
    assert other.get_edgecolor()[:3] == (0, 0, 1)
    assert {text.get_text() for text in ax.texts} == {"cat 0.90", "BG"}
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 63.5), (63.5, -0.5))


def test_display_instances_draws_a_mask_outside_its_box():
    image, (boxes, masks, _) = np.zeros((64, 64, 3), np.uint8), one_instance()
    ax = visualize.display_instances(image, boxes + 5, masks, [1], None, mask_alpha=1)
    red = (255 * np.array(visualize.class_colors([1])[0])).astype(int).tolist()
    assert ax.images[0].get_array()[10, 20].tolist() == red


@pytest.mark.parametrize("size", [(32, 32), (100, 640), (300, 400)])
@pytest.mark.parametrize("inches", [3, 16])
def test_labels_in_a_figure_are_seen_whole_and_apart(size, inches):
    boxes = np.array([[0.2, 0.1, 0.9, 0.6], [0.2, 0.1, 0.5, 0.5], [0.6, 0.7, 1.0, 1.0]])
    boxes = boxes * np.tile(size, 2)
    ax = visualize.display_instances(
        np.zeros(size, np.uint8), boxes, None, [1, 2, 1], NAMES, figsize=(inches, inches)
    )
    ax.figure.canvas.draw()
    outer = ax.get_window_extent()
    spots = [text.get_bbox_patch().get_window_extent() for text in ax.texts]
    assert len(spots) == 3
    assert all(text.get_size() >= 7 for text in ax.texts)
    for i, spot in enumerate(spots):
        assert spot.x0 > outer.x0 - 3 and spot.x1 < outer.x1 + 3
        assert spot.y0 > outer.y0 - 3 and spot.y1 < outer.y1 + 3
        assert not any(spot.padded(-2).overlaps(other) for other in spots[:i])


def test_display_images(tmp_path):
    grey, mask = np.array([[0, 9]], np.uint8), np.ones((8, 8), bool)
    images = [np.zeros((8, 8, 3), np.uint8), mask, np.zeros((8, 9), np.float32), grey[..., None]]
    axes = visualize.display_images(images, ["a", "b", 3, "word " * 30], cols=3)
    assert [ax.get_title() for ax in axes[:3]] == ["a", "b", "3"]
    assert axes[3].get_title().count("\n") == 2  # 149 letters, 14 * 14 / 3 = 65 in a line
    assert len(axes[0].figure.axes) == 6  # two rows of three
    assert axes[2].images[0].get_array().shape == (8, 9)
    assert axes[3].images[0].get_array().tolist() == [[0, 9]]
    names = [ax.images[0].get_cmap().name for ax in axes]
    assert names[1] == names[3] == "gray" != names[2]
    assert axes[1].images[0].to_rgba(mask)[0, 0].tolist() == [1, 1, 1, 1]  # ones are bright
    assert visualize.display_images(images)[0].get_title() == ""
    assert visualize.display_images([]) == []
    visualize.display_images(images, save_path=tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 0
    with pytest.raises(ValueError, match="5 entries for 4 images"):
        visualize.display_images(images, ["a"] * 5)


def test_display_images_passes_on_how_to_map_values():
    norm = matplotlib.colors.Normalize(0, 4)
    image = np.array([[0.0, 1.0]])
    (ax,) = visualize.display_images([image], None, 1, "gray", norm, "bilinear")
    assert ax.images[0].to_rgba(image)[0, 1].round(1).tolist() == [0.3, 0.3, 0.3, 1]  # 1 / 4
    assert ax.images[0].get_interpolation() == "bilinear"
    assert visualize.display_images([image > 0], norm=norm)[0].images[0].norm is norm


def test_display_top_masks():
    image = np.full((4, 6, 3), 100, np.uint8)
    masks = np.zeros((4, 6, 4), bool)
    masks[0, :, 0] = masks[1, :2, 1] = masks[2, :5, 2] = True
    # Areas: class 2 6 + 2 = 8, class 1 5, class 3 0, which is not shown.
    axes = visualize.display_top_masks(image, masks, np.array([2, 2, -1, 3]), ["BG", "a", "b"])
    assert [ax.get_title() for ax in axes] == ["H x W = 4 x 6", "b (2)", "a crowd (1)"]
    assert (axes[0].images[0].get_array() == 100).all()
    shown = axes[1].images[0].get_array()
    first, second = np.array(visualize.instance_colors(2))
    # 100 * 0.3 = 30 under the masks, with 0.2 of it left in them.
    assert shown[3, 5].tolist() == shown[2, 0].tolist() == [30, 30, 30]
    assert np.abs(shown[0, 5] - (6 + 204 * first)).max() <= 1
    assert np.abs(shown[1, 0] - (6 + 204 * second)).max() <= 1
    assert len(visualize.display_top_masks(image, masks, np.array([2, 2, -1, 3]), None, 1)) == 2
    mini = visualize.display_top_masks(image, masks[:2], [1, 2, 3, 4], None)
    assert [ax.get_title() for ax in mini[1:]] == ["class 1 (1)", "class 2 (1)"]
    assert mini[1].images[0].get_array()[1, 5].tolist() == [0, 0, 0]
    assert len(visualize.display_top_masks(image, masks[..., :0], [], None)) == 1


def matches_by_hand(monkeypatch):
    """A stand-in of `mrcnn.evaluate.per_image` that notes what it is asked; returns its notes."""
    asked = []

    def compute_matches(*arguments):
        asked.append(arguments)
        truths, found = len(arguments[1]), len(arguments[4])
        overlaps = np.array([[0.75, 0.0], [0.25, 0.125]])[:found, :truths]
        first = [0, -1] if truths and found else [-1]
        return np.array(first[:truths]), np.array(first[:found]), overlaps

    module = types.ModuleType("mrcnn.evaluate.per_image")
    module.compute_matches = compute_matches
    monkeypatch.setitem(sys.modules, "mrcnn.evaluate.per_image", module)
    return asked


def test_display_differences(monkeypatch):
    asked = matches_by_hand(monkeypatch)
    image = np.zeros((64, 64, 3), np.uint8)
    gt_box = np.array([[10, 20, 40, 50], [0, 0, 0, 0], [44, 40, 60, 60]])
    gt_mask, pred_mask = np.zeros((64, 64, 3), bool), np.zeros((64, 64, 2), bool)
    gt_mask[10:40, 20:50, 0] = pred_mask[12:40, 20:50, 1] = True
    pred_box = np.array([[0, 0, 8, 16], [12, 20, 40, 50]])
    ax = visualize.display_differences(
        *(image, gt_box, np.array([1, 0, 2]), gt_mask),
        *(pred_box, np.array([2, 1]), np.array([0.6, 0.9]), pred_mask, NAMES),
        iou_threshold=0.4,
        score_threshold=0.3,
    )
    truth_boxes, truth_ids, truth_masks, boxes, ids, scores, masks, *thresholds = asked[0]
    # Padding is left out and the best score comes first.
    assert truth_boxes.tolist() == gt_box[[0, 2]].tolist()
    assert (truth_ids.tolist(), truth_masks.shape[-1]) == ([1, 2], 2)
    assert (ids.tolist(), scores.tolist(), thresholds) == ([1, 2], [0.9, 0.6], [0.4, 0.3])
    assert boxes.tolist() == pred_box[::-1].tolist()
    assert (masks[..., 0] == pred_mask[..., 1]).all()
    # The first prediction is matched; the other's best IoU is 0.25. The second truth is missed.
    assert {text.get_text() for text in ax.texts} == {"0.90 / 0.75", "0.60 / 0.25 dog", "dog"}
    assert ax.get_title().endswith("1 matched, 1 missed, 1 false")
    shown = ax.images[0].get_array()
    assert shown[10, 30, 1] > shown[10, 30, 0]  # truth alone is green
    assert shown[30, 30, 0] > shown[30, 30, 1] > 0  # red over green
    boxes = {tuple(p.get_bbox().extents): p.get_edgecolor()[:3] for p in ax.patches[1:] if box(p)}
    assert boxes[(19.5, 9.5, 49.5, 39.5)] == boxes[(39.5, 43.5, 59.5, 59.5)] == visualize.GREEN
    assert boxes[(19.5, 11.5, 49.5, 39.5)] == boxes[(-0.5, -0.5, 15.5, 7.5)] == visualize.RED


def box(patch):
    return isinstance(patch, matplotlib.patches.Rectangle)


def test_display_differences_of_nothing(monkeypatch, tmp_path):
    matches_by_hand(monkeypatch)
    image, (boxes, masks, class_ids) = np.zeros((64, 64, 3), np.uint8), one_instance()
    nothing = np.zeros((0, 4)), np.zeros(0, int)
    empty = np.zeros((64, 64, 0), bool)
    path = tmp_path / "x.png"
    ax = visualize.display_differences(
        *(image, boxes, class_ids, masks, *nothing, np.zeros(0), empty, NAMES), "mine"
    )
    assert ax.get_title() == "mine"
    ax = visualize.display_differences(
        *(image, *nothing, empty, boxes, class_ids, [0.9], masks, NAMES), save_path=path
    )
    assert path.stat().st_size > 0
    assert ax.texts[0].get_text() == "0.90 / 0.00 cat"


def test_importing_leaves_the_backend_alone_and_loads_no_keras():
    code = (
        "import matplotlib; matplotlib.use('svg'); import sys, mrcnn.visualize;"
        "assert matplotlib.get_backend().lower() == 'svg'; assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_augmentation_loads_matplotlib_only_to_draw():
    code = (
        "import sys, mrcnn.augment; assert 'matplotlib' not in sys.modules;"
        "from mrcnn.augment import preview; assert preview is mrcnn.augment.preview;"
        "assert preview.__module__ == 'mrcnn.visualize.augmentations'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_drawing_under_its_old_path(monkeypatch):
    monkeypatch.delitem(sys.modules, "mrcnn.draw", raising=False)
    with pytest.warns(FutureWarning, match=r"mrcnn\.draw is mrcnn\.visualize\.draw"):
        old = importlib.import_module("mrcnn.draw")
    assert old.draw_instances is visualize.draw_instances


def test_nothing_detected_given_as_lists(tmp_path):
    ax = visualize.display_instances(np.zeros((8, 8, 3), "uint8"), [], [], [], ["BG"], [])
    assert not ax.patches and not ax.texts


def test_titles_may_be_fewer_than_images():
    axes = visualize.display_images([np.zeros((4, 4, 3), "uint8")] * 2, titles=["first"])
    assert [ax.get_title() for ax in axes] == ["first", ""]
    with pytest.raises(ValueError, match="titles has 3 entries for 2 images"):
        visualize.display_images([np.zeros((4, 4, 3), "uint8")] * 2, titles=["a", "b", "c"])


# ---- outlines with and without fill


def two_instances():
    """Boxes and masks of two rectangles in a picture of 60 x 80."""
    masks = np.zeros((60, 80, 2), bool)
    masks[5:25, 5:30, 0] = masks[30:55, 40:75, 1] = True
    return np.array([[5, 5, 25, 30], [30, 40, 55, 75]]), masks, np.array([1, 1])


def outlines(ax):
    return [patch for patch in ax.patches if isinstance(patch, matplotlib.patches.Polygon)]


@pytest.mark.parametrize("show_mask", [True, False])
def test_display_instances_outlines_each_mask(show_mask):
    image, (boxes, masks, class_ids) = np.full((60, 80, 3), 200, np.uint8), two_instances()
    ax = visualize.display_instances(
        image, boxes, masks, class_ids, NAMES, show_mask=show_mask, show_bbox=False
    )
    assert len(outlines(ax)) == len(ax.patches) == 2
    filled = (ax.images[0].get_array() != 200).any(axis=-1)
    assert filled.sum() == (20 * 25 + 25 * 35 if show_mask else 0)


@pytest.mark.parametrize("show_mask", [True, False])
def test_display_differences_outlines_each_mask(show_mask):
    image, (boxes, masks, class_ids) = np.full((60, 80, 3), 200, np.uint8), two_instances()
    ax = visualize.display_differences(
        *(image, boxes, class_ids, masks, boxes, class_ids, np.ones(2), masks, NAMES),
        show_mask=show_mask,
        show_box=False,
    )
    assert len(outlines(ax)) == 4
    assert (ax.images[0].get_array() == 200).all() != show_mask


def test_draw_instances_outlines_without_fill():
    image, (boxes, masks, class_ids) = np.full((60, 80, 3), 200, np.uint8), two_instances()
    picture = visualize.draw_instances(
        image, boxes, masks, class_ids, colors=["red", "blue"], show_mask=False, show_bbox=False
    )
    # Lines of one pixel: the border of each mask, then its halo, then nothing.
    assert picture[5, 5:30].tolist() == [[255, 0, 0]] * 25
    assert picture[30:55, 74].tolist() == [[0, 0, 255]] * 25
    assert (picture[7:23, 7:28] == 200).all() and (picture[32:53, 42:73] == 200).all()
    assert (picture[~masks.any(axis=-1)] == 200).all()


def test_masks_may_be_missing():
    image, (boxes, _, class_ids) = np.zeros((60, 80, 3), np.uint8), two_instances()
    ax = visualize.display_instances(
        image, boxes, None, class_ids, NAMES, show_mask=False, show_bbox=False
    )
    assert not ax.patches


def test_no_instances_are_announced_in_matterports_words(capsys):
    image, nothing = np.zeros((60, 80, 3), np.uint8), np.zeros((0, 4))
    visualize.display_instances(image, nothing, np.zeros((60, 80, 0)), np.zeros(0, int), NAMES)
    assert capsys.readouterr().out == "\n*** No instances to display *** \n\n"
    boxes, masks, class_ids = two_instances()
    visualize.display_instances(image, boxes, masks, class_ids, NAMES)
    visualize.draw_instances(image, nothing, None, [])
    assert capsys.readouterr().out == ""


# ---- what a notebook prints


def printed(value):
    """What a notebook or IPython's shell would print of the value of a cell's last line."""
    from IPython.core.interactiveshell import InteractiveShell

    return InteractiveShell.instance().display_formatter.format(value)[0]


def test_axes_as_the_last_value_of_a_cell_print_nothing(capsys):
    image, (boxes, masks, class_ids) = np.zeros((60, 80, 3), np.uint8), two_instances()
    _, mine = plt.subplots()
    instances = boxes, masks, class_ids, NAMES
    for value in (
        visualize.display_images([image]),
        visualize.display_top_masks(image, masks, class_ids, NAMES),
        visualize.display_instances(image, *instances),
        visualize.display_instances(image, *instances, ax=mine),
        visualize.draw_boxes(image, boxes),
        visualize.plot_precision_recall(1, [1, 0], [1, 1]),
        visualize.plot_overlaps([1], [1], [1], np.ones((1, 1)), NAMES),
    ):
        assert printed(value) == {}
    assert capsys.readouterr().out == ""
    assert "Axes" in printed(plt.subplots()[1])["text/plain"]  # other axes do


def test_axes_that_print_nothing_are_lists_and_axes_otherwise():
    axes = visualize.display_images([np.zeros((8, 8))] * 2)
    assert isinstance(axes, list) and len(axes) == 2
    assert pickle.loads(pickle.dumps(axes[0].figure)).axes
