import keras
import numpy as np
import pytest
from keras import ops
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, gradient, i32

from mrcnn.ops import box_losses, dense_losses, losses

LN = np.log


def assert_loss(loss, expected):
    assert loss.shape == ()
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert_allclose(loss, expected, rtol=1e-5)


# ---- smooth_l1, masked_mean, cross_entropy


def test_smooth_l1_is_a_parabola_up_to_1():
    # 0.5 d^2: 0, 0.125, 0.405; d - 0.5: 0.5, 1.5, 2.5
    pred = f32([3, 3.5, 2.1, 2, 5, 0])
    assert_allclose(box_losses.smooth_l1(3.0, pred), [0, 0.125, 0.405, 0.5, 1.5, 2.5], rtol=1e-5)


@pytest.mark.parametrize(
    ("mask", "mean"), [([1, 1, 1], 3.0), ([0, 1, 1], 4.0), ([1, 0, 0], 1.0), ([0, 0, 0], 0.0)]
)
def test_masked_mean(mask, mean):
    values = f32([1, 3, 5])
    assert convert_to_numpy(losses.masked_mean(values, ops.cast(i32(mask), "bool"))) == mean
    assert convert_to_numpy(losses.masked_mean(values, i32(mask))) == mean


def test_masked_values_may_be_anything():
    assert_loss(losses.masked_mean(f32([np.inf, 2, np.nan]), i32([0, 1, 0])), 2)


def test_mean_of_nothing_is_zero():
    assert_loss(losses.masked_mean(f32(np.zeros((2, 0))), i32(np.zeros((2, 0)))), 0)


def test_cross_entropy():
    # Odds 1 : 3 and 1 : 1 : 2; -log of 3/4, 1/4, 2/4, 1/4. Padding ids count as class 0.
    logits = f32([[0, LN(3)], [5, 5 + LN(3)], [0, LN(3)]])
    assert_allclose(
        losses.cross_entropy(i32([1, 0, -1]), logits), [LN(4 / 3), LN(4), LN(4)], rtol=1e-5
    )
    assert_allclose(losses.cross_entropy(i32([[2]]), f32([[[0, 0, LN(2)]]])), [[LN(2)]], rtol=1e-5)


def test_cross_entropy_of_large_logits_is_finite():
    assert_loss(losses.cross_entropy(i32(0), f32([1000, 2000])), 1000)


# ---- the five losses

# Three anchors with odds background : object of 1 : 3, 1 : 1 and 3 : 1, and their deltas.
RPN_LOGITS = f32([[[0, LN(3)], [0, 0], [LN(3), 0]]])
RPN_BBOX = f32([[[9, 9, 9, 9], [1, 1, 1, 1], [0, 0.5, 1, 2]]])
# Two ROIs with odds 1 : 1 : 2 and 6 : 1 : 1; deltas and masks of 3 classes each.
CLASS_LOGITS = f32([[[0, 0, LN(2)], [LN(6), 0, 0]]])
BBOX = f32([[[[9] * 4, [0, 0.5, 1, 2], [1] * 4], [[3] * 4, [0] * 4, [2] * 4]]])


def logits(probs):
    return f32(np.log(probs) - np.log1p(-np.asarray(probs)))


MASK = logits(np.moveaxis([[[[[0.1]], [[0.5]], [[0.8]]], [[[0.2]], [[0.4]], [[0.3]]]]], 2, -1))
ALL_ACTIVE = f32([[1, 1, 1]])


def rpn_class(index, classes, logits=RPN_LOGITS):
    return losses.rpn_class_loss(i32(index), i32(classes), logits)


def rpn_bbox(index, classes, bbox=RPN_BBOX):
    # Targets of 0: the distance is the prediction.
    return losses.rpn_bbox_loss(
        i32(index), i32(classes), f32(np.zeros((*np.shape(index), 4))), bbox
    )


def mrcnn_class(class_ids, logits=CLASS_LOGITS, active=ALL_ACTIVE):
    return losses.mrcnn_class_loss(i32(class_ids), logits, active)


def mrcnn_bbox(class_ids, bbox=BBOX):
    return losses.mrcnn_bbox_loss(i32(class_ids), f32(np.zeros((*np.shape(class_ids), 4))), bbox)


def mrcnn_mask(class_ids, mask=MASK):
    return losses.mrcnn_mask_loss(i32(class_ids), ops.ones((*np.shape(class_ids), 1, 1)), mask)


@pytest.mark.parametrize(
    ("index", "classes", "expected"),
    [
        ([[0]], [[1]], LN(4 / 3)),
        ([[0]], [[0]], LN(4)),
        ([[2, 1]], [[1, 0]], (LN(4) + LN(2)) / 2),
        ([[2, 1, 0]], [[1, -1, -1]], LN(4)),
        ([[2, 0]], [[-1, -1]], 0),
    ],
)
def test_rpn_class_loss(index, classes, expected):
    assert_loss(rpn_class(index, classes), expected)


@pytest.mark.parametrize(
    ("index", "classes", "expected"),
    [
        ([[2]], [[1]], 0.53125),  # (0 + 0.125 + 0.5 + 1.5) / 4
        ([[1, 2]], [[1, 1]], 0.515625),  # (0.5 + 0.53125) / 2
        ([[1, 2, 0]], [[1, 0, -1]], 0.5),  # only the positive one
        ([[0, 1]], [[0, -1]], 0),
    ],
)
def test_rpn_bbox_loss(index, classes, expected):
    assert_loss(rpn_bbox(index, classes), expected)


@pytest.mark.parametrize(
    ("class_ids", "expected"),
    [
        ([[2, 0]], (LN(4 / 2) + LN(8 / 6)) / 2),
        ([[1, 2]], (LN(4) + LN(8)) / 2),
        ([[1, -1]], LN(4)),
        ([[-1, -1]], 0),
    ],
)
def test_mrcnn_class_loss(class_ids, expected):
    assert_loss(mrcnn_class(class_ids), expected)


@pytest.mark.parametrize(
    ("class_ids", "weights", "expected"),
    [
        # Losses LN(4) of class 1 and LN(8) of class 2: the mean with weights 1 and 3.
        ([[1, 2]], (1, 1, 3), (LN(4) + 3 * LN(8)) / 4),
        ([[1, 2]], (9, 5, 5), (LN(4) + LN(8)) / 2),
        ([[1, -1]], (9, 5, 1), LN(4)),
        ([[1, 2]], (1, 0, 3), LN(8)),
        ([[1, 1]], (1, 0, 3), 0),
        ([[-1, -1]], (1, 1, 3), 0),
    ],
)
def test_class_weights(class_ids, weights, expected):
    found = losses.mrcnn_class_loss(i32(class_ids), CLASS_LOGITS, ALL_ACTIVE, weights)
    assert_loss(found, expected)


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        ([[1, 1, 0]], LN(8)),  # the first ROI is taken for class 2, which the data set lacks
        ([[0, 1, 1]], LN(4)),  # the second for class 0
        ([[0, 1, 0]], 0),
    ],
)
def test_rois_taken_for_an_unknown_class_do_not_count(active, expected):
    assert_loss(mrcnn_class([[1, 1]], active=f32(active)), expected)


def test_active_classes_belong_to_their_image():
    logits = ops.concatenate([CLASS_LOGITS, CLASS_LOGITS])
    # Image 0 counts its first ROI, log(4), image 1 its second, log(8).
    loss = mrcnn_class([[1, 1], [1, 1]], logits, f32([[0, 0, 1], [1, 0, 0]]))
    assert_loss(loss, (LN(4) + LN(8)) / 2)


@pytest.mark.parametrize(
    ("class_ids", "expected"),
    [
        ([[1, 0]], 0.53125),
        ([[2, 1]], 0.25),  # (0.5 + 0) / 2
        ([[1, 2]], 1.015625),  # (0.53125 + 1.5) / 2
        ([[-1, 2]], 1.5),
        ([[0, -1]], 0),
    ],
)
def test_mrcnn_bbox_loss(class_ids, expected):
    assert_loss(mrcnn_bbox(class_ids), expected)


@pytest.mark.parametrize(
    ("class_ids", "expected"),
    [
        ([[1, 0]], LN(2)),
        ([[2, 1]], (-LN(0.8) - LN(0.4)) / 2),
        ([[-1, 2]], -LN(0.3)),
        ([[0, -1]], 0),
    ],
)
def test_mrcnn_mask_loss(class_ids, expected):
    assert_loss(mrcnn_mask(class_ids), expected)


def test_one_mask_for_all_classes():
    # The same ROIs as above, whose only channel is that of class 1.
    assert_loss(mrcnn_mask([[2, 1]], MASK[..., 1:2]), (-LN(0.5) - LN(0.4)) / 2)
    assert_loss(mrcnn_mask([[0, 2]], MASK[..., 1:2]), -LN(0.4))


def test_mrcnn_mask_loss_is_a_mean_over_pixels():
    # -log(0.5), -log(1 - 0.25), -log(0.9), -log(1 - 0.2) over 4; class 0 is not looked at.
    pred = np.stack([np.full((2, 2), 0.01), [[0.5, 0.25], [0.9, 0.2]]], axis=-1)
    loss = losses.mrcnn_mask_loss(i32([[1]]), f32([[[[1, 0], [1, 0]]]]), logits([[pred]]))
    assert_loss(loss, -(LN(0.5) + LN(0.75) + LN(0.9) + LN(0.8)) / 4)


def test_deltas_are_compared_with_their_targets():
    # Distances 0, 1, 3, 0.5: (0 + 0.5 + 2.5 + 0.125) / 4
    target = f32([[[1, 2, 3, 4]]])
    pred = f32([[[1, 3, 0, 3.5]]])
    assert_loss(losses.rpn_bbox_loss(i32([[0]]), i32([[1]]), target, pred), 0.78125)
    per_class = ops.stack([pred * 0, pred], axis=2)
    assert_loss(losses.mrcnn_bbox_loss(i32([[1]]), target, per_class), 0.78125)


# ---- all five: images together, padding, nothing positive


def test_losses_are_means_over_the_batch_not_over_images():
    def twice(tensor):
        return ops.concatenate([tensor, tensor])

    # One image counts two rows, the other one.
    index, classes = [[0, 1], [2, 0]], [[1, 1], [1, -1]]
    assert_loss(rpn_class(index, classes, twice(RPN_LOGITS)), (LN(4 / 3) + LN(2) + LN(4)) / 3)
    # 9 - 0.5, 0.5, 0.53125
    assert_loss(rpn_bbox(index, classes, twice(RPN_BBOX)), 9.53125 / 3)
    class_ids = [[2, 1], [1, -1]]
    expected = (LN(2) + LN(8) + LN(4)) / 3
    assert_loss(mrcnn_class(class_ids, twice(CLASS_LOGITS), twice(ALL_ACTIVE)), expected)
    assert_loss(mrcnn_bbox(class_ids, twice(BBOX)), (0.5 + 0 + 0.53125) / 3)
    assert_loss(mrcnn_mask(class_ids, twice(MASK)), -(LN(0.8) + LN(0.4) + LN(0.5)) / 3)


def padded(tensor):
    """Two rows more on axis 1, of values that would show."""
    return ops.concatenate([tensor, tensor + 0.1], axis=1)


def test_padding_rows_change_no_loss():
    index, classes = [[2, 0]], [[1, 0]]
    more_index, more_classes = [[2, 0, 0, 2]], [[1, 0, -1, -1]]
    for loss in (rpn_class, rpn_bbox):
        assert_loss(loss(more_index, more_classes), convert_to_numpy(loss(index, classes)))
    for loss, pred in [(mrcnn_class, CLASS_LOGITS), (mrcnn_bbox, BBOX), (mrcnn_mask, MASK)]:
        expected = convert_to_numpy(loss([[2, 1]]))
        assert expected > 0
        assert_loss(loss([[2, 1, -1, -1]], padded(pred)), expected)


NOTHING = {
    "rpn_class_loss": (lambda x: rpn_class([[0, 1]], [[-1, -1]], x), RPN_LOGITS),
    "rpn_bbox_loss": (lambda x: rpn_bbox([[0, 1]], [[0, -1]], x), RPN_BBOX),
    "mrcnn_class_loss": (lambda x: mrcnn_class([[-1, -1]], x), CLASS_LOGITS),
    "mrcnn_bbox_loss": (lambda x: mrcnn_bbox([[0, -1]], x), BBOX),
    "mrcnn_mask_loss": (lambda x: mrcnn_mask([[0, -1]], x), MASK),
}


@pytest.mark.parametrize("name", NOTHING)
def test_loss_and_gradient_of_nothing_are_exactly_zero(name):
    loss, pred = NOTHING[name]
    assert convert_to_numpy(loss(pred)) == 0.0
    assert_array_equal(gradient(loss, pred), np.zeros(pred.shape))


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_gradient_of_certain_masks_is_finite(value):
    mask = f32(np.full((1, 2, 1, 1, 3), value))
    assert np.isfinite(convert_to_numpy(mrcnn_mask([[1, 2]], mask)))
    assert np.isfinite(convert_to_numpy(gradient(lambda x: mrcnn_mask([[1, 2]], x), mask))).all()


def test_gradient_of_cross_entropy_is_probability_minus_target():
    # Odds 1 : 3, class 0; the other anchors were not sampled.
    result = gradient(lambda x: rpn_class([[0]], [[0]], x), RPN_LOGITS)
    assert_allclose(result, [[[-0.75, 0.75], [0, 0], [0, 0]]], atol=1e-6)


def test_gradient_of_box_loss_reaches_only_the_target_class():
    # min(d, 1) / 4 of class 1 in the first ROI.
    result = convert_to_numpy(gradient(lambda x: mrcnn_bbox([[1, 0]], x), BBOX))
    assert_allclose(result[0, 0, 1], [0, 0.125, 0.25, 0.25], rtol=1e-6)
    result[0, 0, 1] = 0
    assert_array_equal(result, np.zeros_like(result))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_losses_of_half_precision_are_float32(dtype):
    assert_loss(rpn_class([[1]], [[1]], ops.cast(RPN_LOGITS, dtype)), LN(2))
    assert_loss(rpn_bbox([[1]], [[1]], ops.cast(RPN_BBOX, dtype)), 0.5)
    assert_loss(mrcnn_class([[-1, 0]], ops.cast(CLASS_LOGITS * 0, dtype)), LN(3))
    assert_loss(mrcnn_bbox([[2, 2]], ops.cast(BBOX, dtype)), 1.0)
    assert_loss(mrcnn_mask([[1, 0]], ops.cast(MASK, dtype)), LN(2))


# ---- the focal loss of a softmax


@pytest.mark.parametrize(
    ("class_ids", "weights", "gamma", "expected"),
    [
        # p of the target 1/4 and 1/8: (3/4)^2 log 4 and (7/8)^2 log 8, as means.
        ([[1, 2]], None, 2.0, (9 / 16 * LN(4) + 49 / 64 * LN(8)) / 2),
        ([[1, 2]], None, 1.0, (3 / 4 * LN(4) + 7 / 8 * LN(8)) / 2),
        ([[1, 2]], None, 0.0, (LN(4) + LN(8)) / 2),
        ([[1, 2]], (1, 1, 3), 2.0, (9 / 16 * LN(4) + 3 * 49 / 64 * LN(8)) / 4),
        ([[0, 0]], None, 2.0, (9 / 16 * LN(4) + 1 / 16 * LN(4 / 3)) / 2),  # 1/4 and 6/8
        ([[1, -1]], None, 2.0, 9 / 16 * LN(4)),
        ([[-1, -1]], None, 2.0, 0),
    ],
)
def test_focal_class_loss(class_ids, weights, gamma, expected):
    options = {"class_weights": weights, "kind": "focal", "gamma": gamma}
    found = losses.mrcnn_class_loss(i32(class_ids), CLASS_LOGITS, ALL_ACTIVE, **options)
    assert_loss(found, expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_gradient_of_the_focal_class_loss_is_that_of_finite_differences(gamma):
    given = np.array([[0.3, -1.2, 2.0], [1.5, 0.1, -0.4]])
    class_ids = np.array([1, 0])

    def loss(x):  # in double precision
        p = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
        p_t = p[np.arange(2), class_ids]
        return np.mean(-((1 - p_t) ** gamma) * np.log(p_t))

    def slope(i):
        step = np.zeros(6)
        step[i] = 1e-6
        step = step.reshape(2, 3)
        return (loss(given + step) - loss(given - step)) / 2e-6

    found = gradient(
        lambda x: losses.mrcnn_class_loss(
            i32([class_ids]), x, ALL_ACTIVE, kind="focal", gamma=gamma
        ),
        f32([given]),
    )
    # The step is exact to 1e-9; float32 rounds some twenty operations by 6e-8 each, on values to 4.
    expected = np.reshape([slope(i) for i in range(6)], (1, 2, 3))
    assert_allclose(convert_to_numpy(found), expected, atol=5e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_losses_of_certain_predictions_are_finite(gamma):
    certain = f32([[[200.0, 0, 0], [0, 200, 0]]])

    def softmax(x):
        return losses.mrcnn_class_loss(i32([[0, 0]]), x, ALL_ACTIVE, kind="focal", gamma=gamma)

    def sigmoid(x):
        return ops.sum(dense_losses.focal_loss(f32([1.0, 1, 0, 0]), x, gamma=gamma))

    assert_loss(softmax(certain), 100)  # 0 of what is right, 200 of what is wrong
    found = convert_to_numpy(gradient(softmax, certain))
    # Probability minus target, over the two, of the wrong one: 1 - p_t is 1.
    assert_allclose(found, [[[0, 0, 0], [-0.5, 0.5, 0]]], atol=1e-6)
    found = convert_to_numpy(gradient(sigmoid, f32([200.0, -200, 200, -200])))
    assert_allclose(found, [0, -0.25, 0.75, 0], atol=1e-6)


# ---- beta and normalizer


def test_smooth_l1_with_beta():
    # Beta 1/9: 0.5 * 9 / 18^2 = 1/72 at 1/18; 1/9 - 1/18 = 1/18 at 1/9; 1 - 1/18 at 1, both ways.
    pred = f32([3, 3 + 1 / 18, 3 + 1 / 9, 4, 2])
    expected = [0, 1 / 72, 1 / 18, 17 / 18, 17 / 18]
    assert_allclose(box_losses.smooth_l1(3.0, pred, 1 / 9), expected, rtol=1e-4, atol=1e-7)


def test_smooth_l1_with_beta_0_is_the_distance():
    assert_allclose(box_losses.smooth_l1(3.0, f32([3, 3.25, 5, 0]), 0), [0, 0.25, 2, 3])


DISTANCES = [[[9] * 4, [1] * 4, [0, 0.5, 1, 2], [7] * 4]]
POSITIVE, DRAWN = [[0, 1, 1, 0]], [[1, 1, 1, 0]]


@pytest.mark.parametrize(
    ("beta", "normalizer", "expected"),
    [
        (1.0, "positives", (0.5 + 0.53125) / 2),  # 2 / 4 and (0.125 + 0.5 + 1.5) / 4
        (1.0, "sampled", (2 + 2.125) / 3),  # sums, over the three that were drawn
        (0, "positives", (1 + 0.875) / 2),  # 4 / 4 and 3.5 / 4
        (0, "sampled", (4 + 3.5) / 3),
        # 4 * 17/18 = 34/9; 0.5, 1 and 2 less 1/18 each: 3.5 - 1/6 = 10/3.
        (1 / 9, "positives", (34 / 9 + 10 / 3) / 8),
        (1 / 9, "sampled", (34 / 9 + 10 / 3) / 3),
    ],
)
def test_box_loss(beta, normalizer, expected):
    positive, drawn = (ops.cast(i32(x), "bool") for x in (POSITIVE, DRAWN))
    target, pred = f32(np.zeros((1, 4, 4))), f32(DISTANCES)
    assert_loss(losses.box_loss(target, pred, positive, drawn, beta, normalizer), expected)
    # Anchors 0 to 3 in another order, drawn as background, object, object, padding.
    loss = losses.rpn_bbox_loss(
        i32([[1, 3, 2, 0]]),
        i32([[0, 1, 1, -1]]),
        target,
        f32(np.array(DISTANCES)[:, [3, 0, 2, 1]]),
        beta,
        normalizer,
    )
    assert_loss(loss, expected)
    # ROIs of classes 0, 2, 1 and padding; the deltas of other classes would show.
    class_ids = [[0, 2, 1, -1]]
    per_class = np.full((1, 4, 3, 4), 5.0)
    for i, class_id in enumerate(class_ids[0]):
        per_class[0, i, class_id] = DISTANCES[0][i]
    loss = losses.mrcnn_bbox_loss(
        i32(class_ids), target, f32(per_class), beta=beta, normalizer=normalizer
    )
    assert_loss(loss, expected)


@pytest.mark.parametrize("beta", [0, 1 / 9, 1])
@pytest.mark.parametrize("classes", [[[0, 0]], [[0, -1]], [[-1, -1]]])
def test_box_losses_over_the_drawn_are_zero_without_positives(classes, beta):
    options = {"beta": beta, "normalizer": "sampled"}
    target = f32(np.zeros((1, 2, 4)))

    def rpn(pred):
        return losses.rpn_bbox_loss(i32([[0, 1]]), i32(classes), target, pred, **options)

    def box(pred):
        return losses.mrcnn_bbox_loss(i32(classes), target, pred, **options)

    for loss, pred in ((rpn, RPN_BBOX), (box, BBOX)):
        assert convert_to_numpy(loss(pred)) == 0.0
        assert_array_equal(gradient(loss, pred), np.zeros(pred.shape))


def test_padding_changes_no_box_loss_over_the_drawn():
    def loss(classes):
        target = f32(np.zeros((1, len(classes), 4)))
        index, pred = i32([list(range(len(classes)))]), f32([([[1] * 4] * 9)[: len(classes)]])
        return losses.rpn_bbox_loss(index, i32([classes]), target, pred, 0, "sampled")

    # 4 over the two drawn, padded or not.
    assert_loss(loss([1, 0]), 2)
    assert_loss(loss([1, 0, -1, -1]), 2)


def test_box_loss_over_the_drawn_counts_the_batch_not_images():
    # One of one drawn in the first image, none of two in the second: 4 / 3.
    pred, target = f32(np.ones((2, 2, 4))), f32(np.zeros((2, 2, 4)))
    loss = losses.rpn_bbox_loss(
        i32([[0, 1]] * 2), i32([[1, -1], [0, 0]]), target, pred, 0, "sampled"
    )
    assert_loss(loss, 4 / 3)
