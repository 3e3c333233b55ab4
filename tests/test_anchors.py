import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_allclose

from mrcnn.ops import anchors


def test_ratio_is_width_over_height():
    # Scale 32: ratio 1/4 is 32 / 0.5 = 64 high and 32 * 0.5 = 16 wide; ratio 4 the other way.
    expected = [[-32, -8, 32, 8], [-16, -16, 16, 16], [-8, -32, 8, 32]]
    assert_allclose(anchors.cell_anchors(32, [0.25, 1, 4]), expected)


def test_all_scales_of_the_first_ratio_come_first():
    # Ratio 1: 16 x 16, 32 x 32. Ratio 4: 8 x 32, 16 x 64.
    expected = [[-8, -8, 8, 8], [-16, -16, 16, 16], [-4, -16, 4, 16], [-8, -32, 8, 32]]
    assert_allclose(anchors.cell_anchors([16, 32], [1, 4]), expected)


def test_anchors_have_the_area_of_their_scale():
    y1, x1, y2, x2 = anchors.cell_anchors(10, [0.5, 1, 2, 7]).T
    assert_allclose((y2 - y1) * (x2 - x1), [100] * 4)


def test_centers_are_multiples_of_the_stride_row_by_row():
    boxes = anchors.generate_anchors(2, [1], (2, 3), 16, 1)
    # 2 x 2 anchors around (0, 0), (0, 16), (0, 32), (16, 0), (16, 16), (16, 32).
    expected = [
        [-1, -1, 1, 1],
        [-1, 15, 1, 17],
        [-1, 31, 1, 33],
        [15, -1, 17, 1],
        [15, 15, 17, 17],
        [15, 31, 17, 33],
    ]
    assert isinstance(boxes, np.ndarray) and boxes.dtype == np.float32
    assert_allclose(boxes, expected)


def test_ratios_vary_fastest():
    # At (0, 0): 4 high and 1 wide, 2 x 2; then the same at (0, 8).
    expected = [[-2, -0.5, 2, 0.5], [-1, -1, 1, 1], [-2, 7.5, 2, 8.5], [-1, 7, 1, 9]]
    assert_allclose(anchors.generate_anchors(2, [0.25, 1], (1, 2), 8, 1), expected)


def test_anchor_stride_skips_features():
    boxes = anchors.generate_anchors(2, [1], (3, 4), 4, 2)
    # Rows 0 and 2, columns 0 and 2, 4 pixels each.
    centers = [[0, 0], [0, 8], [8, 0], [8, 8]]
    assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, centers)


def test_feature_maps_may_have_sizes_known_only_at_run_time():
    height, width = ops.convert_to_tensor(2), ops.convert_to_tensor(3)
    boxes = anchors.grid_anchors(8, [1, 2], height, width, 4)
    assert_allclose(boxes, anchors.generate_anchors(8, [1, 2], (2, 3), 4, 1))
    assert boxes.shape == (12, 4)


def test_no_features_no_anchors():
    assert anchors.generate_anchors(32, [0.5, 1, 2], (0, 5), 4, 1).shape == (0, 4)


def test_pyramid_starts_with_the_finest_level():
    boxes = anchors.generate_pyramid_anchors([2, 4], [1], [(1, 2), (1, 1)], [8, 16], 1)
    assert boxes.dtype == np.float32
    assert_allclose(boxes, [[-1, -1, 1, 1], [-1, 7, 1, 9], [-2, -2, 2, 2]])


def test_count_of_a_1024_pixel_image():
    # (256^2 + 128^2 + 64^2 + 32^2 + 16^2) * 3 = 87296 * 3
    shapes = [(side, side) for side in (256, 128, 64, 32, 16)]
    scales, strides = (32, 64, 128, 256, 512), [4, 8, 16, 32, 64]
    boxes = anchors.generate_pyramid_anchors(scales, [0.5, 1, 2], shapes, strides, 1)
    assert boxes.shape == (261888, 4)
    # The last: ratio 2 at (15 * 64, 15 * 64), 512 / sqrt(2) = 362.04 high, 724.08 wide.
    assert_allclose(boxes[-1], [960 - 181.02, 960 - 362.04, 960 + 181.02, 960 + 362.04], atol=0.01)


def test_levels_must_match():
    with pytest.raises(ValueError, match="zip"):
        anchors.generate_pyramid_anchors([32, 64], [1], [(2, 2)], [4], 1)


def test_rounded_anchors_are_whole_pixels():
    # Ratio 1/2 of 32: 45.25 x 22.63, so 22.63 and 11.31 to either side; then the other way round.
    expected = [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    assert_allclose(anchors.cell_anchors(32, [0.5, 1, 2], rounded=True), expected)


def test_rounded_anchors_round_halves_to_even():
    # 5 / 2 = 2.5 -> 2, 7 / 2 = 3.5 -> 4
    expected = [[-2, -2, 2, 2], [-4, -4, 4, 4]]
    assert_allclose(anchors.cell_anchors([5, 7], 1, rounded=True), expected)


def test_only_the_cell_is_rounded_not_its_place():
    # Centers 0 and 2.5 along x; 3 / 2 = 1.5 -> 2.
    boxes = anchors.grid_anchors(3, [1], 1, 2, 2.5, rounded=True)
    assert_allclose(boxes, [[-2, -2, 2, 2], [-2, 0.5, 2, 4.5]])


@pytest.mark.parametrize("as_tensor", [False, True])
def test_stride_of_each_axis(as_tensor):
    stride = (61, 64)
    if as_tensor:
        stride = tuple(ops.convert_to_tensor(side) for side in stride)
    boxes = np.asarray(anchors.grid_anchors(2, [1], 2, 3, stride))
    # Rows 0 and 61, columns 0, 64 and 128.
    centers = [[0, 0], [0, 64], [0, 128], [61, 0], [61, 64], [61, 128]]
    assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, centers)


def test_stride_of_each_axis_with_an_anchor_stride():
    boxes = np.asarray(anchors.grid_anchors(2, [1], 3, 3, (10, 7), anchor_stride=2))
    # Features 0 and 2: rows 0 and 20, columns 0 and 14.
    assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, [[0, 0], [0, 14], [20, 0], [20, 14]])
