import numpy as np
import pytest
from keras import ops as kops
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32

from mrcnn import ops
from mrcnn import utils as bx

NONE = np.zeros((0, 4))


def random_boxes(count, seed):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 50, (count, 2))
    return np.concatenate([low, low + rng.integers(1, 40, (count, 2))], axis=1)


# ---- overlaps


def test_compute_iou():
    boxes = np.array([[0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 3, 3]])
    # the same; 4 of 16 + 16 - 4; a common edge; 4 of 16
    found = bx.compute_iou([0, 0, 4, 4], boxes, 16, np.array([16, 16, 16, 4]))
    assert_allclose(found, [1, 1 / 7, 0, 1 / 4])


def test_iou_of_boxes_without_area_is_zero():
    point = np.array([[1.0, 1, 1, 1]])
    assert bx.compute_iou(point[0], point, 0.0, np.zeros(1)).tolist() == [0]
    assert bx.compute_overlaps(point, point).tolist() == [[0]]


def test_compute_overlaps_has_a_row_for_each_of_the_first():
    one, two = [[0, 0, 2, 2]], [[0, 0, 2, 2], [0, 1, 2, 3], [5, 5, 6, 6]]
    expected = [1, 2 / 6, 0]  # 2 of 4 + 4 - 2
    assert_allclose(bx.compute_overlaps(one, two), [expected])
    assert_allclose(bx.compute_overlaps(two, one), np.transpose([expected]))


def test_compute_overlaps_of_no_boxes():
    assert bx.compute_overlaps(NONE, [[0, 0, 1, 1]]).shape == (0, 1)
    assert bx.compute_overlaps([[0, 0, 1, 1]], []).shape == (1, 0)
    assert bx.compute_overlaps(NONE, NONE).shape == (0, 0)


def test_compute_overlaps_looks_at_four_columns_of_any_number():
    # uint8 would wrap round: 2 - 5
    detections = np.array([[0, 0, 2, 2, 7, 9], [5, 5, 6, 6, 7, 9]], np.uint8)
    assert_array_equal(bx.compute_overlaps(detections, detections), np.eye(2))


def test_compute_overlaps_names_what_is_no_list_of_boxes():
    with pytest.raises(ValueError, match=r"Expected boxes2 \[N, 4\].*received shape \[4\]"):
        bx.compute_overlaps([[0, 0, 1, 1]], [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"boxes1.*\[2, 3\]"):
        bx.compute_overlaps(np.ones((2, 3)), NONE)


def test_both_overlaps_are_equal():
    first, second = random_boxes(20, 0), random_boxes(30, 1)
    expected = kops.convert_to_numpy(ops.iou(f32(first), f32(second)))
    assert (expected > 0).sum() > 100
    assert_allclose(bx.compute_overlaps(first, second), expected, rtol=1e-6)


# ---- suppression


def test_nms_keeps_the_best_first():
    # Box 0 has IoU 4/6 with box 1, which is better, and 4/8 with box 3; box 1 has 4/10 with box 3.
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 3], [9, 9, 10, 10], [0, 0, 4, 2]])
    scores = np.array([0.8, 0.9, 0.1, 0.3])
    kept = bx.non_max_suppression(boxes, scores, 0.6)
    assert kept.dtype == np.int32 and kept.tolist() == [1, 3, 2]
    assert bx.non_max_suppression(boxes, scores, 0.7).tolist() == [1, 0, 3, 2]
    assert bx.non_max_suppression(boxes, scores, 0.3).tolist() == [1, 2]


def test_a_dropped_box_drops_no_other():
    # In a row: 0 and 1 share 2 of 6, 1 and 2 too, 0 and 2 nothing.
    boxes = [[0, 0, 1, 4], [0, 2, 1, 6], [0, 4, 1, 8]]
    assert bx.non_max_suppression(boxes, [0.9, 0.8, 0.7], 0.3).tolist() == [0, 2]


def test_nms_keeps_an_iou_at_the_threshold_and_the_first_of_equal_scores():
    boxes = [[0, 0, 1, 2], [0, 1, 1, 3], [0, 0, 1, 2]]  # 1 of 3
    assert bx.non_max_suppression(boxes, [0.5, 0.5, 0.5], 1 / 3).tolist() == [0, 1]


def test_nms_of_no_boxes():
    kept = bx.non_max_suppression(NONE, np.zeros(0), 0.5)
    assert kept.dtype == np.int32 and kept.shape == (0,)


def test_nms_needs_a_score_for_each_box():
    with pytest.raises(ValueError, match=r"each of 2 boxes, received scores of shape \[3\]"):
        bx.non_max_suppression(np.ones((2, 4)), np.ones(3), 0.5)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_both_suppressions_are_equal(threshold):
    boxes = random_boxes(60, 2)
    scores = np.random.default_rng(3).integers(0, 20, 60) / 20  # with ties
    expected = ops.nms(f32([boxes]), f32([scores]), 60, threshold)
    expected = kops.convert_to_numpy(expected)[0]
    kept = bx.non_max_suppression(boxes, scores, threshold)
    assert 1 < len(kept) < 60
    assert_array_equal(kept, expected[expected >= 0])


# ---- conversion


def test_norm_boxes():
    # rows over 10, columns over 20, after y2 and x2 lose 1
    found = bx.norm_boxes(np.array([[0, 0, 11, 21], [2, 5, 6, 11]]), (11, 21))
    assert found.dtype == np.float32
    assert_allclose(found, [[0, 0, 1, 1], [0.2, 0.25, 0.5, 0.5]])


def test_denorm_boxes_rounds_halves_to_even():
    # times 10, y2 and x2 plus 1: 2.5, 3.5, 4.5, 5.5; then 2.4, 2.6, 3.4, 3.6
    boxes = [[0.25, 0.35, 0.35, 0.45], [0.24, 0.26, 0.24, 0.26]]
    found = bx.denorm_boxes(boxes, (11, 11, 3))
    assert found.dtype == np.int32
    assert found.tolist() == [[2, 4, 4, 6], [2, 3, 3, 4]]


def test_denorm_boxes_multiplies_exactly():
    # 0.3 in float32 is 0.300000012: 304.500012 of 1015, which float32 would take for 304.5
    assert bx.denorm_boxes(np.array([[0.3, 0, 1, 1]], "float32"), (1016, 2))[0, 0] == 305


def test_denorm_boxes_inverts_norm_boxes():
    boxes = random_boxes(50, 6)
    for shape in ((100, 90), (1, 90), (1024, 1)):  # along a side of one pixel all is 0 to 1
        inside = np.minimum(boxes, [shape[0] - 1, shape[1] - 1, *shape])
        assert_array_equal(bx.denorm_boxes(bx.norm_boxes(inside, shape), shape), inside)


def test_conversion_keeps_the_shape():
    assert_allclose(bx.norm_boxes([2, 5, 6, 11], (11, 21)), [0.2, 0.25, 0.5, 0.5])
    assert bx.norm_boxes(np.zeros((2, 3, 4)), (8, 8)).shape == (2, 3, 4)
    assert bx.norm_boxes(NONE, (8, 8)).shape == bx.denorm_boxes(NONE, (8, 8)).shape == (0, 4)


def test_both_conversions_are_equal():
    boxes, shape = random_boxes(50, 7), (640, 427)
    normalised = kops.convert_to_numpy(ops.norm_boxes(f32(boxes), f32(shape)))
    assert_allclose(bx.norm_boxes(boxes, shape), normalised, rtol=1e-6)
    back = kops.convert_to_numpy(ops.denorm_boxes(f32(normalised), f32(shape)))
    assert_allclose(bx.denorm_boxes(normalised, shape), back, atol=1e-3)


def test_trim_zeros():
    rows = [[0, 0, 1, 1], [0, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 0]]
    assert bx.trim_zeros(np.array(rows)).tolist() == [rows[0], rows[2]]
    assert bx.trim_zeros(np.zeros((3, 4))).shape == bx.trim_zeros(NONE).shape == (0, 4)
