import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, i32

from mrcnn import ops

# ---- norm_boxes, denorm_boxes


def test_norm_boxes_puts_corner_pixels_at_0_and_1():
    # 101 x 201 pixels: y / 100, x / 200, and one pixel less for y2, x2.
    boxes = f32([[0, 0, 101, 201], [0, 0, 1, 1], [100, 200, 101, 201], [10, 20, 61, 121]])
    expected = [[0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0.1, 0.1, 0.6, 0.6]]
    assert_allclose(ops.norm_boxes(boxes, (101, 201)), expected, atol=1e-7)


def test_norm_boxes_takes_one_shape_for_each_image():
    boxes = i32([[[10, 10, 21, 21]], [[10, 10, 21, 21]]])
    shapes = f32([[[101, 201]], [[41, 21]]])
    # 10 / 100, 10 / 200, 20 / 100, 20 / 200; 10 / 40, 10 / 20, 20 / 40, 20 / 20.
    expected = [[[0.1, 0.05, 0.2, 0.1]], [[0.25, 0.5, 0.5, 1.0]]]
    assert_allclose(ops.norm_boxes(boxes, shapes), expected, atol=1e-7)


def test_denorm_boxes_does_not_round():
    # 0.123 * 100, 0 * 200, 0.5 * 100 + 1, 0.0525 * 200 + 1
    boxes = ops.denorm_boxes(f32([[0.123, 0, 0.5, 0.0525]]), (101, 201))
    assert_allclose(boxes, [[12.3, 0, 51, 11.5]], rtol=1e-6)


def test_denorm_boxes_inverts_norm_boxes():
    boxes = f32([[3.25, 7.5, 40.125, 199.75], [0, 0, 0, 0], [-5, -6, 300, 400]])
    there = ops.norm_boxes(boxes, (77, 333))
    assert_allclose(ops.denorm_boxes(there, (77, 333)), boxes, atol=1e-4)


@pytest.mark.parametrize("function", [ops.norm_boxes, ops.denorm_boxes])
def test_conversion_of_no_boxes(function):
    assert function(np.zeros((2, 0, 4), "float32"), (8, 8)).shape == (2, 0, 4)


# ---- apply_box_deltas, box_deltas


def test_apply_box_deltas_shifts_then_scales_around_the_center():
    # Size 10 x 20, center (5, 10) + (0.1 * 10, 0.2 * 20) = (6, 14); size 10 * 2, 20 / 2.
    boxes = ops.apply_box_deltas(f32([[0, 0, 10, 20]]), f32([[0.1, 0.2, np.log(2), np.log(0.5)]]))
    assert_allclose(boxes, [[-4, 9, 16, 19]], rtol=1e-6)


def test_zero_deltas_keep_the_box():
    boxes = f32([[[1, 2, 5, 9], [0, 0, 0, 0]]])
    assert_allclose(ops.apply_box_deltas(boxes, f32(np.zeros((1, 2, 4)))), boxes)


def test_log_scale_is_clamped_above_only():
    # exp(clamp) = 1000 / 16: 16 pixels become 1000 around the center 8, however large the delta.
    # exp(-20) * 16 = 3e-8: no clamp below.
    boxes = ops.apply_box_deltas(f32([[0, 0, 16, 16]]), f32([[0, 0, 1e6, -20]]))
    assert_allclose(boxes, [[-492, 8, 508, 8]], rtol=1e-5)


def test_log_scale_below_the_clamp_is_exact():
    # exp(4) = 54.59815
    boxes = ops.apply_box_deltas(f32([[-1, -1, 1, 1]]), f32([[0, 0, 4, 4]]))
    assert_allclose(boxes, [[-54.59815, -54.59815, 54.59815, 54.59815]], rtol=1e-6)


def test_box_without_area_stays_where_it_is():
    boxes = ops.apply_box_deltas(f32([[3, 4, 3, 4]]), f32([[0.5, 0.5, 1, 1]]))
    assert_allclose(boxes, [[3, 4, 3, 4]])


def test_box_deltas_by_hand():
    # Centers (5, 10) and (6, 14): 1 / 10, 4 / 20; sizes 10 -> 20, 20 -> 10.
    deltas = ops.box_deltas(f32([[0, 0, 10, 20]]), f32([[-4, 9, 16, 19]]))
    assert_allclose(deltas, [[0.1, 0.2, np.log(2), -np.log(2)]], rtol=1e-6)


def test_box_deltas_invert_apply_box_deltas():
    boxes = f32([[0, 0, 10, 20], [5, 5, 6, 90], [-3, 1, 4, 2]])
    targets = f32([[1, 2, 3, 4], [0, 0, 50, 5], [-3, 1, 4, 2]])
    assert_allclose(ops.apply_box_deltas(boxes, ops.box_deltas(boxes, targets)), targets, atol=1e-5)


def test_box_deltas_without_area_are_zero():
    box, flat, point, turned = [0, 0, 2, 2], [0, 0, 0, 2], [1, 1, 1, 1], [2, 2, 0, 0]
    deltas = ops.box_deltas(f32([flat, box, point, turned]), f32([box, flat, point, box]))
    assert_array_equal(deltas, np.zeros((4, 4)))


def test_deltas_of_no_boxes():
    none = np.zeros((2, 0, 4), "float32")
    assert ops.apply_box_deltas(none, none).shape == (2, 0, 4)
    assert ops.box_deltas(none, none).shape == (2, 0, 4)


# ---- clip_boxes, box_area, iou


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([20, 20, 30, 30], [20, 20, 30, 30]),  # inside
        ([10, 10, 50, 60], [10, 10, 50, 60]),  # the window itself
        ([0, 20, 70, 30], [10, 20, 50, 30]),  # across two edges
        ([0, 0, 5, 5], [10, 10, 10, 10]),  # above and left
        ([60, 70, 80, 90], [50, 60, 50, 60]),  # below and right
        ([20, 0, 30, 10], [20, 10, 30, 10]),  # touches the left edge
    ],
)
def test_clip_boxes(box, clipped):
    assert_array_equal(ops.clip_boxes(f32([box]), f32([10, 10, 50, 60])), [clipped])


def test_clip_boxes_takes_one_window_for_each_image():
    boxes = f32([[[0, 0, 9, 9]], [[0, 0, 9, 9]]])
    windows = f32([[[1, 2, 3, 4]], [[0, 0, 5, 99]]])
    assert_array_equal(ops.clip_boxes(boxes, windows), [[[1, 2, 3, 4]], [[0, 0, 5, 9]]])


def test_box_area():
    # 3 * 5, 0 * 7, 0
    assert_array_equal(ops.box_area(f32([[1, 2, 4, 7], [3, 0, 3, 7], [0, 0, 0, 0]])), [15, 0, 0])


@pytest.mark.parametrize(
    ("box1", "box2", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [0, 0, 20, 20], 0.25),  # contained: 100 / 400
        ([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3),  # 50 / (100 + 100 - 50)
        ([0, 0, 10, 10], [8, 6, 12, 16], 8 / 132),  # 2 * 4 / (100 + 40 - 8)
        ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),  # touching edges
        ([0, 0, 10, 10], [10, 10, 20, 20], 0.0),  # touching corners
        ([0, 0, 10, 10], [20, 20, 30, 30], 0.0),  # apart on both axes
        ([0, 0, 10, 10], [5, 0, 5, 10], 0.0),  # a line inside a box
        ([5, 5, 5, 5], [5, 5, 5, 5], 0.0),  # no union: not NaN
    ],
)
def test_iou(box1, box2, expected):
    assert_allclose(ops.iou(f32([box1]), f32([box2])), [[expected]], rtol=1e-6)
    assert_allclose(ops.iou(f32([box2]), f32([box1])), [[expected]], rtol=1e-6)


def test_iou_rows_are_the_first_boxes_and_batches_broadcast():
    first = f32([[[0, 0, 10, 10], [0, 0, 20, 20]]])  # one set for both images
    second = f32([[[0, 0, 10, 10]], [[0, 0, 20, 20]]])
    expected = [[[1.0], [0.25]], [[0.25], [1.0]]]
    assert_allclose(ops.iou(first, second), expected)


def test_iou_of_no_boxes():
    box, none = np.ones((2, 3, 4), "float32"), np.zeros((2, 0, 4), "float32")
    assert ops.iou(none, box).shape == (2, 0, 3)
    assert ops.iou(box, none).shape == (2, 3, 0)


# ---- gather


def test_gather_takes_rows_of_each_image():
    values = f32([[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]])
    taken = ops.gather(values, i32([[2, 0, 2, 1], [1, 1, 0, 2]]))
    expected = [[[5, 6], [1, 2], [5, 6], [3, 4]], [[9, 10], [9, 10], [7, 8], [11, 12]]]
    assert_array_equal(taken, expected)


def test_gather_of_scalars_and_of_planes():
    indices = i32([[1, 0], [0, 0]])
    assert_array_equal(ops.gather(i32([[1, 2], [3, 4]]), indices), [[2, 1], [3, 3]])
    planes = f32(np.arange(16).reshape(2, 2, 2, 2))
    # Planes of image 0: 0..3 and 4..7; of image 1: 8..11 and 12..15.
    expected = [[[[4, 5], [6, 7]], [[0, 1], [2, 3]]], [[[8, 9], [10, 11]]] * 2]
    assert_array_equal(ops.gather(planes, indices), expected)


def test_gather_of_no_rows():
    taken = ops.gather(f32(np.ones((2, 3, 4))), keras.ops.zeros((2, 0), "int32"))
    assert taken.shape == (2, 0, 4)


# ---- nms: `native` changes the code path on TensorFlow only

LEFT, LEFT_80, RIGHT = [0, 0, 10, 10], [0, 0, 10, 8], [0, 20, 10, 30]  # IoU 0.8, 0, 0
BOTH_PATHS = pytest.mark.parametrize("native", [False, True])


def nms(boxes, scores, max_output, threshold, class_ids=None, native=True):
    """`ops.nms` of one image, as a list."""
    class_ids = None if class_ids is None else i32([class_ids])
    kept = ops.nms(f32([boxes]), f32([scores]), max_output, threshold, class_ids, native)
    assert kept.shape == (1, max_output)
    assert keras.backend.standardize_dtype(kept.dtype) == "int32"
    return convert_to_numpy(kept)[0].tolist()


@BOTH_PATHS
def test_nms_keeps_the_best_and_pads_with_minus_1(native):
    boxes, scores = [LEFT, LEFT_80, RIGHT], [0.8, 0.9, 0.95]
    assert nms(boxes, scores, 5, 0.5, native=native) == [2, 1, -1, -1, -1]


@BOTH_PATHS
def test_nms_stops_at_max_output(native):
    boxes = [LEFT, RIGHT, [50, 50, 60, 60]]
    assert nms(boxes, [0.1, 0.3, 0.2], 2, 0.5, native=native) == [1, 2]


@BOTH_PATHS
def test_a_dropped_box_drops_no_other(native):
    # Neighbours share 6 of 14 columns (0.43), the outer two 2 of 18 (0.11).
    boxes = [[0, 0, 10, 10], [0, 4, 10, 14], [0, 8, 10, 18]]
    assert nms(boxes, [0.9, 0.8, 0.7], 3, 0.3, native=native) == [0, 2, -1]


@BOTH_PATHS
def test_nms_ties_go_to_the_lower_index(native):
    boxes = [RIGHT, LEFT, LEFT_80, [50, 50, 60, 60]]
    assert nms(boxes, [0.5] * 4, 4, 0.5, native=native) == [0, 1, 3, -1]
    assert nms(boxes, [0.5] * 4, 4, 0.5, [1] * 4, native=native) == [0, 1, 3, -1]


@BOTH_PATHS
@pytest.mark.parametrize("class_ids", [None, [1, 1]])
def test_nms_keeps_an_iou_exactly_at_the_threshold(native, class_ids):
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5]]  # 50 / 100
    assert nms(boxes, [0.9, 0.8], 2, 0.5, class_ids, native) == [0, 1]
    assert nms(boxes, [0.9, 0.8], 2, 0.49, class_ids, native) == [0, -1]


@BOTH_PATHS
def test_only_boxes_of_one_class_suppress_each_other(native):
    boxes = [LEFT, LEFT_80, LEFT, RIGHT]
    assert nms(boxes, [0.9, 0.8, 0.7, 0.6], 4, 0.5, [1, 2, 1, 1], native) == [0, 1, 3, -1]


@BOTH_PATHS
@pytest.mark.parametrize("class_ids", [None, [1, 1, 1]])
def test_minus_infinity_takes_a_box_out(native, class_ids):
    boxes, out = [LEFT, LEFT_80, RIGHT], -np.inf
    assert nms(boxes, [out, 0.8, 0.7], 3, 0.5, class_ids, native) == [1, 2, -1]
    assert nms(boxes, [out, out, out], 3, 0.5, class_ids, native) == [-1, -1, -1]


@BOTH_PATHS
def test_nms_of_negative_scores(native):
    assert nms([LEFT, LEFT_80, RIGHT], [-3, -2, -4], 3, 0.5, native=native) == [1, 2, -1]


@BOTH_PATHS
def test_padding_changes_no_choice(native):
    boxes, scores = [LEFT, LEFT_80, RIGHT], [0.8, 0.9, 0.7]
    padded = nms(boxes + [[0] * 4] * 5, scores + [-np.inf] * 5, 4, 0.5, native=native)
    assert padded == nms(boxes, scores, 4, 0.5, native=native) == [1, 2, -1, -1]


@BOTH_PATHS
def test_boxes_without_area_suppress_nothing(native):
    boxes = [[5, 5, 5, 5], LEFT, [5, 5, 5, 5]]
    assert nms(boxes, [0.9, 0.8, 0.7], 3, 0.0, native=native) == [0, 1, 2]


@BOTH_PATHS
def test_nms_treats_images_alone(native):
    boxes = f32([[LEFT, LEFT_80, RIGHT], [LEFT, RIGHT, RIGHT]])
    scores = f32([[0.9, 0.8, 0.7], [-np.inf, 0.1, 0.2]])
    assert_array_equal(ops.nms(boxes, scores, 3, 0.5, native=native), [[0, 2, -1], [2, -1, -1]])
    # A box of class 1 in one image and of class 2 in the other.
    class_ids = i32([[1, 2, 1], [1, 1, 1]])
    assert_array_equal(ops.nms(boxes, scores, 3, 0.5, class_ids, native), [[0, 1, 2], [2, -1, -1]])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="no native path")
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("with_classes", [False, True])
def test_both_paths_of_nms_agree(with_classes, threshold):
    rng = np.random.default_rng(0)
    low, size = rng.uniform(0, 0.7, (2, 300, 2)), rng.uniform(0, 0.3, (2, 300, 2))
    boxes = f32(np.concatenate([low, low + size], axis=-1))
    scores = rng.integers(0, 100, (2, 300)).astype("float32")  # many ties
    scores[:, ::7] = -np.inf
    class_ids = i32(rng.integers(1, 4, (2, 300))) if with_classes else None
    portable, native = (
        convert_to_numpy(ops.nms(boxes, f32(scores), 100, threshold, class_ids, native))
        for native in (False, True)
    )
    assert_array_equal(portable, native)
    assert (portable[:, 0] >= 0).all()


# ---- offset 0: the image's edges are 0 and 1


def test_norm_boxes_with_offset_0_puts_edges_at_0_and_1():
    # 100 x 200 pixels: y / 100, x / 200, for both corners.
    boxes = f32([[0, 0, 100, 200], [0, 0, 0, 0], [10, 20, 50, 150]])
    expected = [[0, 0, 1, 1], [0, 0, 0, 0], [0.1, 0.1, 0.5, 0.75]]
    assert_allclose(ops.norm_boxes(boxes, (100, 200), 0), expected, atol=1e-7)


def test_denorm_boxes_with_offset_0():
    # 0.123 * 100, 0 * 200, 0.5 * 100, 0.0525 * 200: no pixel is added, nothing is rounded.
    boxes = ops.denorm_boxes(f32([[0.123, 0, 0.5, 0.0525]]), (100, 200), 0)
    assert_allclose(boxes, [[12.3, 0, 50, 10.5]], rtol=1e-6)


def test_offset_0_takes_one_shape_for_each_image():
    # 10 / 100, 10 / 200, 20 / 100, 20 / 200; 10 / 40, 10 / 20, 20 / 40, 20 / 20.
    boxes, shapes = f32([[[10, 10, 20, 20]]] * 2), f32([[[100, 200]], [[40, 20]]])
    normalized = ops.norm_boxes(boxes, shapes, 0)
    assert_allclose(normalized, [[[0.1, 0.05, 0.2, 0.1]], [[0.25, 0.5, 0.5, 1]]], atol=1e-7)
    assert_allclose(ops.denorm_boxes(normalized, shapes, 0), boxes, rtol=1e-6)


# ---- trim_padding

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


@pytest.mark.parametrize(
    ("class_ids", "width"),
    [
        ([[1, 0, 0, 0], [2, 3, 0, 0]], 2),  # the longest image decides
        ([[1, -1, -2, 0], [2, 0, 0, 0]], 3),  # crowds are no padding
        ([[1, 2, 3, 4], [0, 0, 0, 0]], 4),
        ([[0, 0, 0, 0], [0, 0, 0, 0]], 1),  # at least one column
    ],
)
def test_trim_padding_cuts_to_the_longest_image(class_ids, width):
    width = width if ON_TENSORFLOW else 4  # elsewhere shapes are fixed
    boxes = f32(np.arange(32).reshape(2, 4, 4))
    ids, trimmed = ops.trim_padding(i32(class_ids), boxes)
    assert_array_equal(ids, np.array(class_ids)[:, :width])
    assert_array_equal(trimmed, np.arange(32).reshape(2, 4, 4)[:, :width])


def test_trim_padding_without_values():
    (ids,) = ops.trim_padding(i32([[5, 0]]))
    assert_array_equal(ids, [[5]] if ON_TENSORFLOW else [[5, 0]])


# ---- class_nms: `native` changes the code path on TensorFlow only


def class_nms(boxes, scores, max_output, threshold, native):
    """`ops.class_nms` of one image, as a list of (box, score, class)."""
    boxes, scores, class_ids = ops.class_nms(
        f32([boxes]), f32([scores]), max_output, threshold, native
    )
    assert boxes.shape == (1, max_output, 4) and scores.shape == (1, max_output)
    assert keras.backend.standardize_dtype(class_ids.dtype) == "int32"
    columns = (convert_to_numpy(x)[0].tolist() for x in (boxes, scores, class_ids))
    return [tuple(row) for row in zip(*columns, strict=True)]


PADDING = ([0, 0, 0, 0], 0, -1)


@BOTH_PATHS
def test_class_nms_is_a_competition_within_each_class(native):
    # Class 0: LEFT drops LEFT_80, IoU 0.8. Class 1: RIGHT and LEFT do not overlap. LEFT of class 0
    # and LEFT of class 1 are the same box.
    boxes = [[LEFT, RIGHT], [LEFT_80, LEFT]]
    found = class_nms(boxes, [[1.0, 0.25], [0.75, 0.5]], 5, 0.5, native)
    assert found == [(LEFT, 1, 0), (LEFT, 0.5, 1), (RIGHT, 0.25, 1), PADDING, PADDING]


@BOTH_PATHS
def test_class_nms_takes_the_best_of_all_classes(native):
    boxes = [[LEFT, LEFT], [RIGHT, RIGHT]]
    found = class_nms(boxes, [[0.25, 0.75], [0.5, 1.0]], 3, 0.5, native)
    assert found == [(RIGHT, 1, 1), (LEFT, 0.75, 1), (RIGHT, 0.5, 0)]


def test_class_nms_ties_go_to_the_lower_index():
    # Only the portable path: TensorFlow's kernel leaves the order of equal scores open.
    boxes = [[RIGHT, LEFT], [LEFT, LEFT_80], [LEFT_80, RIGHT]]
    found = class_nms(boxes, [[0.5] * 2] * 3, 5, 0.5, native=False)
    expected = [(RIGHT, 0), (LEFT, 1), (LEFT, 0), (RIGHT, 1), ([0] * 4, -1)]
    assert [(box, class_id) for box, _, class_id in found] == expected


@BOTH_PATHS
def test_class_nms_keeps_one_of_two_equal_boxes(native):
    found = class_nms([[LEFT], [LEFT], [RIGHT]], [[0.5]] * 3, 3, 0.5, native)
    assert sorted(box for box, _, _ in found) == [[0, 0, 0, 0], LEFT, RIGHT]


@BOTH_PATHS
def test_class_nms_keeps_an_iou_exactly_at_the_threshold(native):
    boxes = [[[0, 0, 10, 10]], [[0, 0, 10, 5]]]  # 50 / 100
    assert class_nms(boxes, [[1], [0.5]], 2, 0.5, native)[1] == ([0, 0, 10, 5], 0.5, 0)
    assert class_nms(boxes, [[1], [0.5]], 2, 0.49, native)[1] == PADDING


@BOTH_PATHS
def test_class_nms_minus_infinity_takes_a_box_out_and_zero_does_not(native):
    boxes, out = [[LEFT, LEFT], [LEFT_80, LEFT_80]], -np.inf
    found = class_nms(boxes, [[out, 0.0], [0.5, out]], 3, 0.5, native)
    assert found == [(LEFT_80, 0.5, 0), (LEFT, 0, 1), PADDING]
    assert class_nms(boxes, [[out, out]] * 2, 2, 0.5, native) == [PADDING] * 2


@BOTH_PATHS
def test_class_nms_boxes_may_lie_anywhere(native):
    # Pixels, not cut to 0..1.
    box = [-5.0, -7.5, 300.0, 400.0]
    assert class_nms([[box]], [[0.5]], 1, 0.5, native) == [(box, 0.5, 0)]


@BOTH_PATHS
def test_class_nms_treats_images_alone(native):
    boxes = f32([[[LEFT], [LEFT_80]], [[RIGHT], [LEFT]]])
    scores = f32([[[0.5], [0.75]], [[0.25], [1.0]]])
    boxes, scores, class_ids = ops.class_nms(boxes, scores, 2, 0.5, native)
    assert_array_equal(boxes, [[LEFT_80, [0] * 4], [LEFT, RIGHT]])
    assert_array_equal(scores, [[0.75, 0], [1, 0.25]])
    assert_array_equal(class_ids, [[0, -1], [0, 0]])


@pytest.mark.skipif(not ON_TENSORFLOW, reason="no native path")
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_both_paths_of_class_nms_agree(threshold):
    rng = np.random.default_rng(0)
    low, size = rng.uniform(0, 0.7, (2, 60, 5, 2)), rng.uniform(0, 0.3, (2, 60, 5, 2))
    boxes = f32(np.concatenate([low, low + size], axis=-1))
    # Every score occurs once: which class comes first in a tie is no promise.
    scores = rng.permutation(600).reshape(2, 60, 5) / 600
    scores[:, ::7] = -np.inf
    portable, native = (ops.class_nms(boxes, f32(scores), 40, threshold, n) for n in (False, True))
    for ours, theirs in zip(portable, native, strict=True):
        assert_array_equal(ours, theirs)
    assert (convert_to_numpy(portable[2])[:, 0] >= 0).all()
