import keras
import numpy as np
import pytest
from keras import ops
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, i32

from mrcnn.ops import targets
from mrcnn.settings import ROITargets

STD_DEV = [0.1, 0.1, 0.2, 0.2]


# ---- match

# IoU with the object [0, 0, 10, 10]: 1, 0.8, 0.5, 0.4, 0.1, 0.
FULL, EIGHT, HALF, FOUR, ONE = ([0, 0, 10, width] for width in (10, 8, 5, 4, 1))
AWAY = [50, 50, 60, 60]
OBJECT = [0, 0, 10, 10]


def match(boxes, gt_boxes, gt_class_ids, positive=0.5, negative=0.5, match_best=False):
    """`targets.match` of one image, as two lists."""
    labels, matches = targets.match(
        f32([boxes]), f32([gt_boxes]), i32([gt_class_ids]), positive, negative, match_best
    )
    assert keras.backend.standardize_dtype(labels.dtype) == "int32"
    assert keras.backend.standardize_dtype(matches.dtype) == "int32"
    return convert_to_numpy(labels)[0].tolist(), convert_to_numpy(matches)[0].tolist()


def test_match_labels_by_iou():
    labels, _ = match([FULL, EIGHT, HALF, FOUR, ONE, AWAY], [OBJECT], [1], 0.7, 0.3)
    assert labels == [1, 1, -1, -1, 0, 0]


def test_iou_at_the_threshold_is_positive_and_not_negative():
    assert match([HALF, FOUR], [OBJECT], [1], 0.5, 0.5)[0] == [1, 0]
    assert match([HALF], [OBJECT], [1], 0.7, 0.5)[0] == [-1]


def test_matches_name_the_object_with_the_largest_iou():
    # [0, 0, 10, 8] shares 80 of 100 with the first and 50 of 80 with the second.
    labels, matches = match([EIGHT, AWAY, HALF], [OBJECT, HALF, AWAY], [4, 5, 6])
    assert labels == [1, 1, 1]
    assert matches == [0, 2, 1]


def test_best_box_of_each_object_is_positive_whatever_its_iou():
    boxes = [FOUR, ONE, [50, 50, 60, 53], AWAY]
    gt_boxes = [OBJECT, [50, 50, 60, 51]]  # the last two boxes: 10 / 30 and 10 / 100
    assert match(boxes, gt_boxes, [1, 1], 0.7, 0.3)[0] == [-1, 0, -1, 0]
    assert match(boxes, gt_boxes, [1, 1], 0.7, 0.3, match_best=True)[0] == [1, 0, 1, 0]


def test_all_boxes_that_tie_for_the_best_are_positive():
    right = [0, 6, 10, 10]  # IoU 0.4, as FOUR
    labels, matches = match([FOUR, ONE, right], [OBJECT], [1], 0.7, 0.3, match_best=True)
    assert labels == [1, 0, 1]
    assert matches == [0, 0, 0]


def test_object_that_no_box_touches_has_no_best_box():
    assert match([AWAY, AWAY], [OBJECT], [1], 0.7, 0.3, match_best=True)[0] == [0, 0]


def test_object_without_area_matches_nothing():
    boxes = [FULL, [5, 5, 5, 5]]
    assert match(boxes, [[5, 5, 5, 5]], [1], 0.7, 0.3, match_best=True)[0] == [0, 0]


@pytest.mark.parametrize("match_best", [False, True])
def test_crowd_is_never_positive_and_suppresses_negatives(match_best):
    labels, matches = match([FULL, ONE, AWAY], [OBJECT, AWAY], [-1, 2], 0.7, 0.3, match_best)
    assert labels == [-1, -1, 1]
    assert matches[2] == 1


def test_object_in_a_crowd_is_positive():
    assert match([FULL, ONE], [OBJECT, OBJECT], [-3, 2])[0] == [1, -1]
    assert match([FULL], [OBJECT, OBJECT], [-3, 2])[1] == [1]


def test_crowd_suppresses_from_an_iou_of_0_001():
    # 100 / (100 * 990) = 0.00101, 100 / (100 * 1010) = 0.00099
    assert match([FULL], [[0, 0, 100, 990]], [-1])[0] == [-1]
    assert match([FULL], [[0, 0, 100, 1010]], [-1])[0] == [0]


@pytest.mark.parametrize("match_best", [False, True])
def test_no_objects_all_negative(match_best):
    padding = [[0, 0, 0, 0]] * 3
    assert match([FULL, AWAY], padding, [0] * 3, 0.7, 0.3, match_best)[0] == [0, 0]


@pytest.mark.parametrize("match_best", [False, True])
@pytest.mark.parametrize(
    "padding", [[0, 0, 0, 0], [0, 0, -0.1, -0.1], OBJECT], ids=["zero", "normalised zero", "box"]
)
def test_padded_ground_truth_changes_nothing(padding, match_best):
    boxes = [FULL, EIGHT, HALF, ONE, AWAY, [0, 0, 0, 0]]
    ground_truth = [EIGHT, AWAY], [1, -1]
    padded = [*ground_truth[0], padding, padding], [*ground_truth[1], 0, 0]
    plain = match(boxes, *ground_truth, 0.7, 0.3, match_best)
    assert match(boxes, *padded, 0.7, 0.3, match_best) == plain
    assert plain[0] == [1, 1, -1, 0, -1, 0]  # 0.8, 1, 0.625, 0.125, crowd, nothing


def test_match_broadcasts_anchors_over_images():
    gt_boxes, gt_class_ids = f32([[OBJECT], [AWAY]]), i32([[1], [1]])
    labels, _ = targets.match(f32([[FULL, AWAY]]), gt_boxes, gt_class_ids, 0.7, 0.3)
    assert_array_equal(labels, [[1, 0], [0, 1]])


# ---- sample


def draw(labels, num, num_positive, seed=0, negatives_per_positive=None):
    """`targets.sample` of one image: index and labels as arrays."""
    index, drawn = targets.sample(i32([labels]), num, num_positive, seed, negatives_per_positive)
    index, drawn = convert_to_numpy(index)[0], convert_to_numpy(drawn)[0]
    assert index.dtype == drawn.dtype == np.int32
    real = drawn >= 0
    assert_array_equal(np.array(labels)[index[real]], drawn[real])  # never a wrong label
    assert len(set(index[real])) == real.sum()  # never twice
    assert not real[real.sum() :].any()  # padding last
    assert_array_equal(drawn[real], np.sort(drawn[real])[::-1])  # positives first
    return index, drawn


def counts(labels, num, num_positive, **options):
    """Numbers of positives, negatives and padding rows drawn."""
    drawn = draw(labels, num, num_positive, **options)[1]
    return tuple((drawn == label).sum() for label in (1, 0, -1))


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        (20, 20, (4, 6, 0)),  # more than enough of both
        (2, 20, (2, 8, 0)),  # negatives fill up
        (20, 2, (4, 2, 4)),  # positives do not
        (0, 20, (0, 10, 0)),
        (20, 0, (4, 0, 6)),
        (0, 0, (0, 0, 10)),
    ],
)
def test_sample_fills_10_of_which_4_positive(positive, negative, expected):
    labels = [1] * positive + [0] * negative + [-1] * 20
    assert counts(labels, 10, 4) == expected
    assert counts(labels[::-1], 10, 4) == expected


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        (1, 2),  # int(1 / 0.33) - 1 = 3 - 1
        (10, 20),  # int(30.3) - 10
        (33, 67),  # 100 - 33, although float32 has 33 / 0.33 below 100
        (66, 134),  # 200 - 66
        (90, 134),  # 66 at most
        (0, 200),  # without positives, what fits
    ],
)
def test_sample_keeps_the_ratio_of_negatives(positive, negative):
    labels = [1] * positive + [0] * 300
    drawn = counts(labels, 200, 66, negatives_per_positive=1 / 0.33 - 1)
    assert drawn[:2] == (min(positive, 66), negative)


@pytest.mark.parametrize(
    ("ratio", "positive", "total"),
    [
        (0.1, 2, 20),
        (0.2, 2, 10),
        (0.25, 2, 8),
        (0.33, 2, 6),  # int(6.06)
        (0.4, 2, 5),
        (0.5, 2, 4),
        (0.12, 15, 125),  # 124.99999 in float32
    ],
)
def test_whole_ratios_are_not_rounded_down(ratio, positive, total):
    labels = [1] * positive + [0] * 200
    drawn = counts(labels, 150, 50, negatives_per_positive=1 / ratio - 1)
    assert drawn == (positive, total - positive, 150 - total)


def test_sample_of_fewer_boxes_than_asked_for():
    assert counts([1, 0, -1], 8, 4)[:2] == (1, 1)
    assert counts([1, 1, 1], 8, 2)[:2] == (2, 0)
    assert counts([-1], 8, 4)[:2] == (0, 0)


def test_positives_are_among_the_first_columns():
    for seed in range(5):
        _, drawn = draw([0, 1] * 10, 8, 3, seed)
        assert drawn.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


def test_sample_depends_on_the_seed_alone():
    labels = [1] * 50 + [0] * 50
    first, again, other = (draw(labels, 20, 10, seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_each_call_of_a_seed_generator_draws_anew():
    seeds, same_seeds = keras.random.SeedGenerator(3), keras.random.SeedGenerator(3)
    labels = [1] * 50 + [0] * 50
    first, second = (draw(labels, 20, 10, seeds)[0].tolist() for _ in range(2))
    assert first != second
    assert first == draw(labels, 20, 10, same_seeds)[0].tolist()


def test_every_box_has_its_chance():
    # 2 of 4 positives and 2 of 4 negatives: one box misses 60 draws once in 2^60.
    labels, drawn = [1, 0] * 4, set()
    for seed in range(60):
        drawn.update(draw(labels, 4, 2, seed)[0].tolist())
    assert drawn == set(range(8))


def test_images_are_sampled_alone():
    labels = i32([[1, 1, 0, 0], [-1, 0, -1, -1], [0, 0, 0, 1]])
    _, drawn = targets.sample(labels, 3, 1, seed=0)
    assert_array_equal(drawn, [[1, 0, 0], [0, -1, -1], [1, 0, 0]])


# ---- encode_boxes


def test_encode_boxes_divides_deltas_by_their_scale():
    # Second ground truth: center (5, 5) -> (6, 5), size 10 x 10 -> 20 x 5:
    # 1 / 10 / 0.1, 0, log(2) / 0.2, log(0.5) / 0.2. First: the box itself.
    gt_boxes = f32([[[0, 0, 10, 10], [-4, 2.5, 16, 7.5]]])
    deltas = targets.encode_boxes(f32([[[0, 0, 10, 10]] * 2]), i32([[1, 0]]), gt_boxes, STD_DEV)
    assert_allclose(deltas, [[[1, 0, 3.465736, -3.465736], [0, 0, 0, 0]]], rtol=1e-5)


def test_encode_boxes_without_area_is_zero():
    boxes, gt_boxes = f32([[[0, 0, 0, 0], [0, 0, 4, 4]]]), f32([[[0, 0, 4, 4], [1, 1, 1, 3]]])
    deltas = targets.encode_boxes(boxes, i32([[0, 1]]), gt_boxes, STD_DEV)
    assert_array_equal(deltas, np.zeros((1, 2, 4)))


# ---- encode_masks

# 3 x 3 pixels; a mini mask covers its box with them, a full mask the image.
PLANE = [[1, 0, 0], [0, 0, 1], [0, 1, 1]]


def encode_masks(boxes, gt_boxes, planes, shape, mini_masks, matches=None):
    matches = list(range(len(boxes))) if matches is None else matches
    masks = ops.convert_to_tensor(np.moveaxis(np.array([planes], bool), 1, -1))
    encoded = targets.encode_masks(
        f32([boxes]), i32([matches]), f32([gt_boxes]), masks, shape, mini_masks
    )
    assert keras.backend.standardize_dtype(encoded.dtype) == "float32"
    return convert_to_numpy(encoded)[0].tolist()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0.25, 0.5, 0.75, 0.75], PLANE),  # the ground truth box: the mini mask
        # Its lower right quarter: rows and columns 1, 1.5, 2 of 0 1 / 1 1.
        # 1.5, 1.5 is 0.75 -> 1; halves round to the even 0: row 1: 0, 0.5, 1.
        ([0.5, 0.625, 0.75, 0.75], [[0, 0, 1], [0, 1, 1], [1, 1, 1]]),
        # Twice as large to the lower right: rows and columns 0, 2, 4; 4 is outside.
        ([0.25, 0.5, 1.25, 1.0], [[1, 0, 0], [0, 1, 0], [0, 0, 0]]),
        ([1.0, 0.5, 1.25, 0.75], [[0] * 3] * 3),  # below it
    ],
)
def test_mini_mask_covers_its_box(box, expected):
    assert encode_masks([box], [[0.25, 0.5, 0.75, 0.75]], [PLANE], (3, 3), True) == [expected]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0, 0, 1, 1], PLANE),
        ([0.5, 0.5, 1, 1], [[0, 0, 1], [0, 1, 1], [1, 1, 1]]),
    ],
)
def test_full_mask_covers_the_image(box, expected):
    # Wherever the ground truth box lies.
    assert encode_masks([box], [[0.25, 0.5, 0.75, 0.75]], [PLANE], (3, 3), False) == [expected]


@pytest.mark.parametrize("mini_masks", [False, True])
def test_each_roi_sees_the_mask_of_its_match(mini_masks):
    other = [[0, 1, 0], [0, 1, 0], [0, 1, 0]]
    box = [0, 0, 1, 1]
    encoded = encode_masks([box] * 3, [box] * 2, [PLANE, other], (3, 3), mini_masks, [1, 0, 1])
    assert encoded == [other, PLANE, other]


def test_mask_targets_need_not_be_square():
    # Corner rows of each column: 1 0 0 and 0 1 1.
    box = [0, 0, 1, 1]
    assert encode_masks([box], [box], [PLANE], (2, 3), True) == [[[1, 0, 0], [0, 1, 1]]]


def test_mini_mask_of_a_box_without_area_is_finite():
    encoded = encode_masks([[0, 0, 1, 1]], [[0, 0, 0, 0]], [PLANE], (2, 2), True)
    assert np.isin(encoded, [0, 1]).all()


# ---- rpn_targets

ANCHORS = [FULL, [20, 20, 30, 30], [0, 0, 10, 16], AWAY]
RPN_BOXES, RPN_CLASS_IDS = [EIGHT, [20, 20, 30, 24]], [7, 3]


def rpn_targets(gt_boxes, gt_class_ids, num_anchors=4, seed=0, **ratio):
    result = targets.rpn_targets(
        f32([ANCHORS]), i32([gt_class_ids]), f32([gt_boxes]), num_anchors, STD_DEV, seed, **ratio
    )
    names = ("target_rpn_index", "target_rpn_class", "target_rpn_deltas")
    assert set(result) == set(names)
    return tuple(convert_to_numpy(result[name])[0] for name in names)


def test_rpn_targets_of_two_objects():
    index, classes, deltas = rpn_targets(RPN_BOXES, RPN_CLASS_IDS)
    # IoU 0.8; 0.4, but the best of the second object; 80 / 160, ignored; background.
    assert classes.tolist() == [1, 1, 0, -1]
    assert sorted(index[:2]) == [0, 1] and index[2] == 3
    expected = {
        0: [0, -1, 0, np.log(0.8) / 0.2],  # center x 5 -> 4 of 10 pixels; width 10 -> 8
        1: [0, -3, 0, np.log(0.4) / 0.2],  # center x 25 -> 22; width 10 -> 4
    }
    assert_allclose(deltas[:2], [expected[i] for i in index[:2]], rtol=1e-5)


def test_anchors_are_positive_from_0_7_and_negative_below_0_3():
    # IoU 1, 0.71, 0.69, 0.31, 0.29 with one object.
    anchors = [[0, 0, 10, width] for width in (10, 7.1, 6.9, 3.1, 2.9)]
    result = targets.rpn_targets(f32([anchors]), i32([[1]]), f32([[OBJECT]]), 10, STD_DEV, 0)
    index = convert_to_numpy(result["target_rpn_index"])[0]
    classes = convert_to_numpy(result["target_rpn_class"])[0]
    assert sorted(index[classes == 1]) == [0, 1]
    assert index[classes == 0] == [4]


def test_half_of_the_anchors_are_positive_at_most():
    assert rpn_targets(RPN_BOXES, RPN_CLASS_IDS, num_anchors=2)[1].tolist() == [1, 0]
    assert rpn_targets(RPN_BOXES, RPN_CLASS_IDS, num_anchors=3)[1].tolist() == [1, 0, -1]


def test_the_share_of_positive_anchors():
    # Two anchors are positive, one is background: 4 * 0.25 = 1 and 2 * 1 = 2 may be positive.
    found = rpn_targets(RPN_BOXES, RPN_CLASS_IDS, positive_ratio=0.25)[1]
    assert found.tolist() == [1, 0, -1, -1]
    found = rpn_targets(RPN_BOXES, RPN_CLASS_IDS, num_anchors=2, positive_ratio=1.0)[1]
    assert found.tolist() == [1, 1]


def test_rpn_targets_without_objects():
    index, classes, deltas = rpn_targets([[0, 0, 0, 0]] * 2, [0, 0])
    assert classes.tolist() == [0] * 4 and sorted(index) == [0, 1, 2, 3]
    assert_array_equal(deltas, np.zeros((4, 4)))


def test_rpn_targets_do_not_depend_on_padding():
    plain = rpn_targets(RPN_BOXES, RPN_CLASS_IDS)
    padded = rpn_targets([*RPN_BOXES, [0] * 4, [0] * 4], [*RPN_CLASS_IDS, 0, 0])
    for a, b in zip(plain, padded, strict=True):
        assert_array_equal(a, b)


def test_rpn_targets_of_each_image():
    gt_boxes, gt_class_ids = f32([[FULL], [AWAY]]), i32([[1], [2]])
    result = targets.rpn_targets(f32([ANCHORS]), gt_class_ids, gt_boxes, 2, STD_DEV, 0)
    assert_array_equal(result["target_rpn_class"], [[1, 0], [1, 0]])
    assert_array_equal(result["target_rpn_index"][:, 0], [0, 3])


# ---- roi_targets

GT_BOXES = [[0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1]]
GT_CLASS_IDS = [3, -1]  # an object and a crowd
PROPOSALS = [
    [0, 0, 0.5, 0.5],  # the object
    [0.5, 0.5, 1, 1],  # background
    [0, 0.5, 0.5, 1],  # the crowd
    [0, 0, 0, 0],  # padding
    [0, 0, 0.5, 0.25],  # the object's left half: IoU 0.5
]


def roi_targets(proposals, gt_boxes, gt_class_ids, num_rois=4, ratio=0.5, fill=True, planes=None):
    planes = [PLANE] * len(gt_boxes) if planes is None else planes
    masks = ops.convert_to_tensor(np.moveaxis(np.array([planes], bool), 1, -1))
    result = targets.roi_targets(
        f32([proposals]),
        i32([gt_class_ids]),
        f32([gt_boxes]),
        masks,
        ROITargets(
            num_rois=num_rois,
            positive_ratio=ratio,
            std_dev=STD_DEV,
            mask_shape=(2, 2),
            mini_masks=True,
            fill_negatives=fill,
        ),
        seed=0,
    )
    names = ("rois", "target_class_ids", "target_deltas", "target_masks")
    assert set(result) == {*names, "target_matches"}
    return tuple(convert_to_numpy(result[name])[0] for name in names)


@pytest.mark.parametrize("fill", [False, True])
def test_roi_targets_of_an_object_and_a_crowd(fill):
    rois, class_ids, deltas, masks = roi_targets(PROPOSALS, GT_BOXES, GT_CLASS_IDS, fill=fill)
    assert class_ids.tolist() == [3, 3, 0, -1]
    assert_array_equal(rois[2], PROPOSALS[1])
    whole = int(rois[0, 3] == 0.25)  # place of the whole object: the order is random
    half = 1 - whole
    assert_array_equal(rois[[whole, half]], [PROPOSALS[0], PROPOSALS[4]])
    # Half: center x 0.125 -> 0.25 of width 0.25, 0.5 / 0.1; width 0.25 -> 0.5, log(2) / 0.2.
    assert_allclose(deltas[[whole, half]], [[0, 0, 0, 0], [0, 5, 0, 3.465736]], atol=1e-5)
    # Rows 0 and 2 of the mini mask; columns 0 and 2, 0 and 1.
    assert masks.shape == (2, 2, 2)
    assert_array_equal(masks[whole], [[1, 0], [0, 1]])
    assert_array_equal(masks[half], [[1, 0], [0, 1]])


def test_roi_targets_without_objects():
    for fill in (False, True):
        rois, class_ids, deltas, masks = roi_targets(PROPOSALS, [[0] * 4] * 2, [0, 0], fill=fill)
        assert class_ids.tolist() == [0, 0, 0, 0]  # four real proposals, not the padding
        assert (rois.max(axis=1) > 0).all()
        assert_array_equal(deltas, np.zeros((4, 4)))
        assert np.isfinite(masks).all()


def test_roi_targets_of_padding_alone():
    rois, class_ids, deltas, masks = roi_targets([[0] * 4] * 5, GT_BOXES, GT_CLASS_IDS)
    assert class_ids.tolist() == [-1] * 4
    assert np.isfinite(deltas).all() and np.isfinite(masks).all()
    assert_array_equal(rois, np.zeros((4, 4)))


def test_roi_targets_do_not_depend_on_padded_ground_truth():
    plain = roi_targets(PROPOSALS, GT_BOXES, GT_CLASS_IDS)
    for padding in ([0, 0, 0, 0], [0, 0, -0.01, -0.01]):
        padded = roi_targets(PROPOSALS, [*GT_BOXES, padding], [*GT_CLASS_IDS, 0])
        for a, b in zip(plain, padded, strict=True):
            assert_array_equal(a, b)


def test_negatives_keep_the_ratio_unless_filled():
    # One positive at a ratio of 0.33: int(1 / 0.33) - 1 = 2 negatives of 9 that there are.
    proposals = [PROPOSALS[0]] + [[0.5, 0.5, 1, 1]] * 9
    kept, filled = (
        roi_targets(proposals, GT_BOXES, GT_CLASS_IDS, 8, 0.33, fill)[1].tolist()
        for fill in (False, True)
    )
    assert kept == [3, 0, 0, -1, -1, -1, -1, -1]
    assert filled == [3, 0, 0, 0, 0, 0, 0, 0]


def test_positives_are_int_of_the_ratio_and_one_at_least():
    proposals = [PROPOSALS[0]] * 10
    for num_rois, ratio, positives in [(10, 0.33, 3), (8, 0.5, 4), (4, 0.1, 1)]:
        _, class_ids, _, masks = roi_targets(proposals, GT_BOXES, GT_CLASS_IDS, num_rois, ratio)
        assert (class_ids == 3).sum() == len(masks) == positives


def test_roi_has_the_class_and_mask_of_its_object():
    left, right = GT_BOXES
    planes = [np.zeros((3, 3)), np.ones((3, 3))]
    rois, class_ids, _, masks = roi_targets([left, right], [left, right], [2, 5], planes=planes)
    assert sorted(class_ids[:2]) == [2, 5]
    for roi, class_id, mask in zip(rois[:2], class_ids[:2], masks, strict=True):
        assert_array_equal(roi, left if class_id == 2 else right)
        assert_array_equal(mask, np.full((2, 2), class_id == 5))


# ---- encode_masks by RoIAlign


def align_masks(mask_target, box, gt_box, plane, shape, mini_masks):
    masks = ops.convert_to_tensor(np.array(plane, bool)[None, ..., None])
    encoded = targets.encode_masks(
        f32([[box]]), i32([[0]]), f32([[gt_box]]), masks, shape, mini_masks, mask_target
    )
    assert keras.backend.standardize_dtype(encoded.dtype) == "float32"
    return convert_to_numpy(encoded)[0, 0]


# Of PLANE = 1 0 0 / 0 0 1 / 0 1 1 by box, shares of its 3 x 3 pixels.
WHOLE, QUARTER = [0, 0, 1, 1], [0.5, 0.5, 1, 1]
ALIGNED = {
    # Samples at rows and columns 0.5, 1.5 and 2 (2.5 repeats the border): means of four, of two
    # neighbours, and the corner.
    ("roi_align", "whole"): [[0.25, 0.25, 0.5], [0.25, 0.75, 1], [0.5, 1, 1]],
    # Samples at the pixels.
    ("roi_align_binary", "whole"): PLANE,
    # 1.5 pixels in bins of 0.5: samples at 1.75, 2.25 and 2.75, the last two the corner. Of
    # 0 1 / 1 1 three quarters down and right: 1 - 0.25 * 0.25.
    ("roi_align", "quarter"): [[0.9375, 1, 1], [1, 1, 1], [1, 1, 1]],
    # Half a pixel less: 1.25, 1.75, 2.25 (2). At (1.25, 1.25): 1 - 0.75 * 0.75 = 0.4375 -> 0, at
    # (1.25, 1.75): 1 - 0.75 * 0.25 = 0.8125 -> 1.
    ("roi_align_binary", "quarter"): [[0, 1, 1], [1, 1, 1], [1, 1, 1]],
}


@pytest.mark.parametrize(("mask_target", "part"), ALIGNED)
def test_full_mask_by_roi_align(mask_target, part):
    box = WHOLE if part == "whole" else QUARTER
    # Wherever the ground truth box lies.
    found = align_masks(mask_target, box, [0.1, 0.2, 0.3, 0.4], PLANE, (3, 3), False)
    assert_allclose(found, ALIGNED[mask_target, part], rtol=1e-6)


@pytest.mark.parametrize(("mask_target", "part"), ALIGNED)
def test_mini_mask_by_roi_align(mask_target, part):
    # The mini mask covers rows 0.25 to 0.75 and columns 0.5 to 0.75.
    gt_box = [0.25, 0.5, 0.75, 0.75]
    box = gt_box if part == "whole" else [0.5, 0.625, 0.75, 0.75]
    found = align_masks(mask_target, box, gt_box, PLANE, (3, 3), True)
    assert_allclose(found, ALIGNED[mask_target, part], rtol=1e-6)


def test_mini_mask_by_roi_align_is_zero_far_from_its_box():
    # Rows -2 to 2 of a mask of 4, two bins of two samples, all ones: -2 is outside, -1 repeats the
    # border: 0.5 -> 1. Rows -4 to 0: -4, -3 and -2 are outside, -1 is not: 0, and 0.5 -> 1.
    ones = np.ones((4, 4))
    found = align_masks("roi_align_binary", [0, 0.5, 0.5, 1], QUARTER, ones, (2, 1), True)
    assert_allclose(found, [[0], [1]])
    # Columns as rows, not aligned: samples -1.5 and -0.5 of which one counts, then 0.5 and 1.5.
    found = align_masks("roi_align", [0.5, 0.25, 1, 0.75], QUARTER, ones, (1, 2), True)
    assert_allclose(found, [[0.5, 1]])


def test_half_a_pixel_is_an_object_in_binary_targets():
    # One bin over the columns 1 0: samples at 0 and 1, mean 0.5.
    plane = [[1, 0], [1, 0]]
    assert align_masks("roi_align_binary", WHOLE, WHOLE, plane, (1, 1), True) == 1
    # matterport's one sample is 0.5 as well, rounded to the even 0.
    assert align_masks("crop_and_resize", WHOLE, WHOLE, plane, (1, 1), True) == 0
    # Not aligned: columns 0.5 and 1.5 (1), samples 0.5 and 0.
    assert align_masks("roi_align", WHOLE, WHOLE, plane, (1, 1), True) == 0.25


@pytest.mark.parametrize("mask_target", ["roi_align", "roi_align_binary"])
@pytest.mark.parametrize("mini_masks", [False, True])
def test_mask_targets_by_roi_align_follow_their_match(mini_masks, mask_target):
    planes = np.zeros((1, 4, 4, 2), bool)
    planes[..., 1] = True
    found = targets.encode_masks(
        f32([[WHOLE, WHOLE]]),
        i32([[1, 0]]),
        f32([[WHOLE, WHOLE]]),
        ops.convert_to_tensor(planes),
        (2, 2),
        mini_masks,
        mask_target,
    )
    assert_allclose(found, [[np.ones((2, 2)), np.zeros((2, 2))]])


def test_given_targets_of_the_rpn():
    # Six anchors: objects 1 and 4, background 0 and 5; two of the rows of deltas are padding.
    match = i32([[[-1], [1], [0], [0], [1], [-1]], [[0], [0], [0], [-1], [0], [0]]])
    deltas = np.zeros((2, 3, 4))
    deltas[0, :2] = [[1, 2, 3, 4], [5, 6, 7, 8]]
    found = targets.given_rpn_targets(match, f32(deltas), 8)
    found = {name: convert_to_numpy(array) for name, array in found.items()}
    assert found["target_rpn_index"][:, :6].tolist() == [[1, 4, 0, 5, 2, 3], [3, 0, 1, 2, 4, 5]]
    assert found["target_rpn_class"].tolist() == [
        [1, 1, 0, 0, -1, -1, -1, -1],
        [0, -1, -1, -1, -1, -1, -1, -1],
    ]
    assert found["target_rpn_deltas"].shape == (2, 8, 4)
    assert found["target_rpn_deltas"][0, :2].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert not found["target_rpn_deltas"][0, 2:].any()
