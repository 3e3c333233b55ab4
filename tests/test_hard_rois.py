"""The hardest ROIs of an image, with numbers worked out by hand."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_array_equal
from tensors import f32, gradient, i32

from mrcnn import layers, settings
from mrcnn.ops import losses

LN = np.log
# The first two have IoU 0.16 / 0.2; the others touch nothing.
ROIS = f32(
    [
        [
            *([0, 0, 0.4, 0.4], [0, 0, 0.4, 0.5], [0.5, 0.5, 0.9, 0.9]),
            *([0.6, 0, 0.9, 0.3], [0.5, 0, 0.55, 0.1], [0, 0.6, 0.3, 0.9]),
        ]
    ]
)
# Two objects, background, padding among it. By the odds of background : object the losses of the
# class are log 2, log 4/3, log 4, log 2, padding's log 101 and log 10/9.
CLASS_IDS = [[1, 1, 0, 0, -1, 0]]
LOGITS = f32([[[0, 0], [0, LN(3)], [0, LN(3)], [0, 0], [0, LN(100)], [LN(9), 0]]])
ACTIVE = f32([[1, 1]])
# The first box is off by 1 delta: 0.5 more.
BBOX = np.zeros((1, 6, 2, 4), "float32")
BBOX[0, 0, 1, 0] = 1
CLASS_LOSS = {"kind": "cross_entropy"}
BOX_LOSS = {"beta": 1.0, "kind": "smooth_l1", "std_dev": (1.0,) * 4, "normalizer": "positives"}


def choose(count, logits=LOGITS, active=ACTIVE, native=True, **class_loss):
    layer = layers.HardROIs(
        settings.HardROIs(count=count, native=native),
        class_loss=CLASS_LOSS | class_loss,
        box_loss=BOX_LOSS,
    )
    deltas = f32(np.zeros((1, 6, 4)))
    return layer(ROIS, i32(CLASS_IDS), (logits, active), (deltas, f32(BBOX)))


def test_loss_of_each_roi():
    terms = (LOGITS, ACTIVE), (f32(np.zeros((1, 6, 4))), f32(BBOX))
    found = losses.roi_losses(i32(CLASS_IDS), *terms, CLASS_LOSS, BOX_LOSS)
    expected = [[LN(2) + 0.5, LN(4 / 3), LN(4), LN(2), 0, LN(10 / 9)]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [-1, -1, 0, -1, -1, -1]),  # log 4
        (2, [1, -1, 0, -1, -1, -1]),  # log 2 + 0.5
        (3, [1, -1, 0, 0, -1, -1]),  # log 2
        (4, [1, -1, 0, 0, -1, 0]),  # the second is the first once more
        (6, [1, -1, 0, 0, -1, 0]),
    ],
)
def test_the_hardest_are_chosen_without_duplicates(count, expected, native):
    assert_array_equal(choose(count, native=native), [expected])


def test_class_weights_count():
    # Of objects 10 times: also the second is harder than any background, but a duplicate.
    found = choose(2, class_weights=(1.0, 10.0))
    assert_array_equal(found, [[1, -1, 0, -1, -1, -1]])
    assert_array_equal(choose(1, class_weights=(1.0, 10.0)), [[1, -1, -1, -1, -1, -1]])


def test_classes_that_the_data_set_lacks_count_nothing():
    # The second and the third are taken for class 1, which is not active.
    assert_array_equal(choose(2, active=f32([[1, 0]])), [[1, -1, -1, 0, -1, -1]])


def test_a_loss_that_is_no_number_is_the_hardest():
    logits = np.array(LOGITS)
    logits[0, 5] = np.nan
    assert_array_equal(choose(1, f32(logits)), [[-1, -1, -1, -1, -1, 0]])


def test_the_others_do_not_train():
    def loss(logits):
        return losses.mrcnn_class_loss(choose(2, logits), logits, ACTIVE)

    # Probability minus target, over the two: 1/2 and 3/4.
    expected = np.zeros((1, 6, 2))
    expected[0, 0], expected[0, 2] = [0.25, -0.25], [-0.375, 0.375]
    found = ops.convert_to_numpy(gradient(loss, LOGITS))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert float(loss(LOGITS)) == pytest.approx((LN(2) + LN(4)) / 2)


def test_without_drawn_rois_there_are_none():
    layer = layers.HardROIs(settings.HardROIs(count=2), class_loss=CLASS_LOSS, box_loss=BOX_LOSS)
    ids = i32([[-1] * 6])
    found = layer(ROIS, ids, (LOGITS, ACTIVE), (f32(np.zeros((1, 6, 4))), f32(BBOX)))
    assert_array_equal(found, [[-1] * 6])


def test_the_layer_is_made_again_from_its_config():
    layer = layers.HardROIs(
        settings.HardROIs(count=2), name="hard", class_loss=CLASS_LOSS, box_loss=BOX_LOSS
    )
    again = layers.HardROIs.from_config(layer.get_config())
    assert again.settings == layer.settings and again.name == "hard"
    assert again.class_loss == CLASS_LOSS and again.box_loss == BOX_LOSS


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX always compiles")
def test_xla_chooses_and_learns_the_same():
    import tensorflow as tf

    box_loss = BOX_LOSS | {"kind": "diou"}
    layer = layers.HardROIs(
        settings.HardROIs(count=3, native=False), class_loss={"kind": "focal"}, box_loss=box_loss
    )
    deltas, pixels = f32(np.zeros((1, 6, 4))), 100 * ROIS

    def step(logits, bbox):
        with tf.GradientTape() as tape:
            tape.watch([logits, bbox])
            of_box = deltas, bbox, pixels
            ids = layer(ROIS, i32(CLASS_IDS), (logits, ACTIVE), of_box)
            loss = losses.mrcnn_class_loss(ids, logits, ACTIVE, kind="focal")
            loss += losses.mrcnn_bbox_loss(ids, *of_box, **box_loss)
        return ids, loss, *tape.gradient(loss, [logits, bbox])

    found = tf.function(step, jit_compile=True)(LOGITS, f32(BBOX))
    assert_array_equal(found[0], [[1, -1, 0, 0, -1, -1]])
    for compiled, plain in zip(found, step(LOGITS, f32(BBOX)), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-5, atol=1e-6)
