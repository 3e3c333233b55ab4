"""Keypoints drawn into pixels and figures, and in what detections make of themselves."""

import csv

import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn.data import KeypointScheme
from mrcnn.inference.detections import Detections
from mrcnn.visualize import display_instances, draw_instances, draw_skeleton
from mrcnn.visualize.draw import draw_comparison, draw_tile
from mrcnn.visualize.grids import draw_grid

RED = (1.0, 0.0, 0.0)
SCHEME = KeypointScheme(["a", "b", "c"], [(0, 1), (1, 2)])
# Of three points of an object the last is missing, and with it a line.
POINTS = np.array([[[10.5, 5.5, 0.9], [10.5, 35.5, 0.8], [30.5, 35.5, 0.0]]])


def black():
    return np.zeros((40, 40, 3), np.uint8)


def red(image):
    return (image[..., 0] > 200) & (image[..., 1] < 50)


def found():
    arrays = {
        "rois": np.array([[5, 2, 35, 38]]),
        "boxes": np.array([[5.0, 2, 35, 38]], np.float32),
        "class_ids": np.array([1]),
        "scores": np.array([0.75]),
        "keypoints": POINTS.astype(np.float32),
    }
    return Detections(arrays, black(), ["BG", "stick"], SCHEME)


def test_points_and_lines_between_those_that_are_there():
    image = draw_skeleton(black(), POINTS[0], SCHEME.skeleton, RED, thickness=1)
    drawn = red(image)
    # The points, at the centres of pixels 5 and 35 of row 10, each in a white ring; and the line.
    assert drawn[10, [5, 35]].all() and drawn[10, 10:31].all()
    assert (image == 255).all(axis=-1).any()
    assert not image[15:].any()  # neither the third point nor the line to it
    alone = draw_skeleton(black(), POINTS[0], None, RED, thickness=1)
    assert red(alone)[10, [5, 35]].all() and not alone[:, 15:25].any()


def test_instances_are_drawn_with_their_keypoints():
    given = black(), [[5, 2, 35, 38]], None, [1]
    options = {"colors": [RED], "captions": [""], "show_bbox": False}
    drawn = draw_instances(*given, **options, keypoints=POINTS, skeleton=SCHEME.skeleton)
    assert red(drawn)[10, 10:31].all()
    assert not draw_instances(*given, **options).any()
    with pytest.raises(
        ValueError, match=r"Expected keypoints of shape \(1, K, 3\), .* got \(3, 3\)"
    ):
        draw_instances(*given, keypoints=POINTS[0])


def test_figures_show_keypoints():
    given = black(), [[5, 2, 35, 38]], None, [1], ["BG", "stick"]
    _, ax = plt.subplots()
    display_instances(*given, ax=ax, keypoints=POINTS, skeleton=SCHEME.skeleton)
    (line,) = ax.lines
    assert line.get_xydata().tolist() == [[5, 10], [35, 10]]
    assert ax.collections[0].get_offsets().tolist() == [[5, 10], [35, 10]]
    plt.close()


def test_detections_draw_and_scale_and_choose_their_keypoints():
    detections = found()
    assert detections.skeleton == SCHEME.skeleton
    assert red(detections.plot(colors=[RED], captions=[""]))[10, 10:30].all()
    assert detections.filter([]).skeleton == SCHEME.skeleton
    assert detections[[0]]["keypoints"].tolist() == detections["keypoints"].tolist()
    small = detections.reduced(20)
    np.testing.assert_allclose(small["keypoints"][0, 0], [5.25, 2.75, 0.9])
    assert small.image.shape == (20, 20, 3)
    # A tile of 20: half of everything.
    tile = draw_tile(black(), detections, detections.class_names, 20)
    assert (tile[5, 3:17] != 0).any(axis=1).all()
    # A plain dict has no lines of its own: black between the points, but for their caption's row.
    plain = {k: v for k, v in detections.items() if k != "scores"}
    between = slice(9, 12)
    assert (draw_tile(black(), plain, ["", ""], 20)[5, between] == 0).all()
    given = draw_tile(black(), plain, ["", ""], 20, skeleton=SCHEME.skeleton)
    assert (given[5, between] != 0).any(axis=1).all()
    grid = draw_grid([black()], [plain], ["", ""], tile=20, skeleton=SCHEME.skeleton)
    pair = draw_comparison([black()], [plain], [plain], ["", ""], tile=20, skeleton=SCHEME.skeleton)
    np.testing.assert_array_equal(grid, given)
    for left in (6, 32):  # a margin of 6, a header of 26, and 6 between the tiles
        np.testing.assert_array_equal(pair[26:46, left : left + 20], given)


def test_detections_have_rows_and_coco_of_their_keypoints(tmp_path):
    detections = found()
    (row,) = detections.rows()
    assert list(row)[9:] == [f"point{i}_{x}" for i in (1, 2, 3) for x in ("y", "x", "score")]
    assert (row["point2_y"], row["point2_x"]) == (10.5, 35.5)
    detections.save(tmp_path / "found.csv")
    with open(tmp_path / "found.csv", encoding="utf-8") as file:
        (saved,) = csv.DictReader(file)
    assert (saved["point2_x"], saved["point2_score"], saved["score"]) == (
        "35.50",
        "0.8000",
        "0.7500",
    )
    (result,) = detections.to_coco(3)
    np.testing.assert_allclose(result["keypoints"], [5, 10, 0.9, 35, 10, 0.8, 35, 30, 0], rtol=1e-6)
