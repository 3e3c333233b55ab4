"""Losses of MaX-DeepLab on four pixels, two masks, and two segments: worked out by hand.

Of the logits' four pixels two are of the first segment, a thing, one is of the second, stuff, and
one is void.
"""

import keras
import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_allclose
from tensors import f32, gradient, i32, numeric_gradient

from mrcnn.layers.targets import Loss
from mrcnn.ops import mask_losses
from mrcnn.ops.losses import semantic_loss

VOID = -1


def strided_map(pixels):
    """A map [1, 8, 8] whose every fourth pixel has these values, and the others another."""
    found = np.full((1, 8, 8), 7, np.int32)
    found[0, ::4, ::4] = np.reshape(pixels, (2, 2))
    return i32(found)


def logits_of(shares):
    """Logits whose softmax these are."""
    return f32(np.log(np.array(shares, float)))


SEGMENTS = strided_map([0, 0, 1, VOID])
CLASSES = i32([[1, 2]])
MASKS = logits_of([[[[0.75, 0.25], [0.75, 0.25]], [[0.25, 0.75], [0.5, 0.5]]]])
OF_CLASS = logits_of([[[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]])
DICE = [2 * 1.5 / (2 + 1.75), 2 * 0.75 / (1 + 1.25)]  # 0.8 and 2 / 3


def targets(segments=SEGMENTS, classes=CLASSES, masks=MASKS, of_class=OF_CLASS):
    found = mask_losses.mask_targets(segments, classes, masks, of_class)
    return {name: ops.convert_to_numpy(each) for name, each in found.items()}


def test_segments_are_matched_by_class_and_dice():
    found = targets()
    assert found["slots"].tolist() == [[0, 1]]
    assert_allclose(found["segment_weights"], [[0.5, 0.5]], rtol=1e-6)
    assert found["target_classes"].tolist() == [[0, 1]]
    assert_allclose(found["class_weights"], [DICE], rtol=1e-4)


def test_the_class_decides_where_masks_are_alike():
    even = logits_of(np.full((1, 2, 2, 2), 0.5))
    found = targets(masks=even, of_class=OF_CLASS[:, ::-1])
    assert found["slots"].tolist() == [[1, 0]]
    assert found["target_classes"].tolist() == [[1, 0]]


def test_a_segment_without_a_strided_pixel_is_none():
    found = targets(segments=strided_map([0, 0, VOID, VOID]))
    assert found["slots"].tolist() == [[0, -1]]
    assert_allclose(found["segment_weights"], [[0.5, 0]], rtol=1e-6)
    assert found["target_classes"].tolist() == [[0, 2]]  # none of the classes
    # Of the second mask, 0.25 + 0.25 of 0.25 + 0.25 + 0.75 + 0.5 is not on void.
    assert_allclose(found["class_weights"][0, 1], 0.5 / 1.75, rtol=1e-4)


def test_more_slots_for_segments_change_nothing():
    more = targets(classes=i32([[1, 2, 0, 0]][:1]), masks=wide(MASKS), of_class=wide_classes())
    few = targets(masks=wide(MASKS), of_class=wide_classes())
    assert more["slots"].tolist() == [[*few["slots"][0].tolist(), -1, -1]]
    for name in ("target_classes", "class_weights"):
        assert_allclose(more[name], few[name])
    losses = []
    for found, classes in ((more, i32([[1, 2, 0, 0]])), (few, CLASSES)):
        tensors = SEGMENTS, i32(found["slots"]), f32(found["segment_weights"]), wide(MASKS)
        losses.append(
            [
                float(mask_losses.pq_mask_loss(*tensors)),
                float(mask_losses.mask_id_loss(*tensors[:2], wide(MASKS))),
                float(mask_losses.instance_loss(SEGMENTS, classes, MASKS, thing_classes=2)),
            ]
        )
    assert_allclose(losses[0], losses[1], rtol=1e-6)


def wide(masks):
    """Two masks more that no pixel fits."""
    return ops.pad(masks, [(0, 0)] * 3 + [(0, 2)], constant_values=-20.0)


def wide_classes():
    return ops.concatenate([OF_CLASS, OF_CLASS[:, :1], OF_CLASS[:, :1]], axis=1)


def value(name, *tensors, **constants):
    return float(Loss(name, **constants)(*tensors))


def test_class_term():
    found = targets()
    loss = value(
        "pq_class_loss", i32(found["target_classes"]), f32(found["class_weights"]), OF_CLASS
    )
    # Both classes have probability 0.5; positives weigh 0.75.
    assert_allclose(loss, 0.75 * np.log(2) * sum(DICE) / 2, rtol=1e-4)
    # Two masks that are none: -log 0.25, of weight 0.25.
    loss = value("pq_class_loss", i32([[2, 2]]), f32([[1.0, 0.5]]), OF_CLASS)
    assert_allclose(loss, 0.25 * np.log(4) * 1.5 / 2, rtol=1e-6)


def test_mask_term():
    loss = value("pq_mask_loss", SEGMENTS, i32([[0, 1]]), f32([[0.5, 0.25]]), MASKS)
    dice = [(2 * 1.5 + 1) / (1.75 + 2 + 1), (2 * 0.75 + 1) / (1.25 + 1 + 1)]
    weighed = 0.5 * (1 - dice[0]) + 0.25 * (1 - dice[1])
    assert_allclose(loss, 0.75 / 2 * weighed, rtol=1e-6)


def test_mask_of_each_pixel():
    assert_allclose(value("mask_id_loss", SEGMENTS, i32([[0, 1]]), MASKS), -np.log(0.75), rtol=1e-6)
    # Crosswise every pixel of a segment has 0.25.
    assert_allclose(value("mask_id_loss", SEGMENTS, i32([[1, 0]]), MASKS), np.log(4), rtol=1e-6)


def test_instances_are_told_apart():
    features = f32([[[[1, 0], [0.8, 0.6]], [[0, 1], [0.6, 0.8]]]])
    # The first segment is (0.9, 0.3) of length 1: (3, 1) / sqrt 10; the second is (0, 1).
    own, other = np.array([3, 3]) / 10**0.5, np.array([0, 0.6])
    of_things = np.log(1 + np.exp((other - own) / 0.3))
    loss = value("instance_loss", SEGMENTS, CLASSES, features, thing_classes=2)
    assert_allclose(loss, of_things.mean(), rtol=1e-5)
    # The pixel of the second counts if that is a thing too: 1 of its own, 1 / sqrt 10 of the other.
    of_second = np.log(1 + np.exp((10**-0.5 - 1) / 0.3))
    loss = value("instance_loss", SEGMENTS, i32([[1, 1]]), features, thing_classes=2)
    assert_allclose(loss, np.mean([*of_things, of_second]), rtol=1e-5)
    # All alike: two segments that no feature tells apart.
    same = f32(np.full((1, 2, 2, 2), 0.5**0.5))
    loss = value("instance_loss", SEGMENTS, CLASSES, same, thing_classes=2)
    assert_allclose(loss, np.log(2), rtol=1e-5)


def test_class_of_each_fourth_pixel():
    labels = strided_map([1, 1, 2, VOID])
    logits = logits_of(
        [[[[0.2, 0.5, 0.3], [0.2, 0.25, 0.55]], [[0.1, 0.1, 0.8], [0.9, 0.05, 0.05]]]]
    )
    loss = float(semantic_loss(labels, logits, corners=True))
    assert_allclose(loss, -np.log([0.5, 0.25, 0.8]).mean(), rtol=1e-5)


def test_nothing_known_costs_nothing_but_the_classes():
    nothing = strided_map([VOID] * 4)
    found = targets(segments=nothing, classes=i32([[0, 0]]))
    assert found["slots"].tolist() == [[-1, -1]]
    slots, weights = i32(found["slots"]), f32(found["segment_weights"])
    assert value("pq_mask_loss", nothing, slots, weights, MASKS) == 0
    assert value("mask_id_loss", nothing, slots, MASKS) == 0
    assert value("instance_loss", nothing, i32([[0, 0]]), MASKS, thing_classes=2) == 0


LOSSES = {
    "pq_class_loss": lambda x: mask_losses.pq_class_loss(i32([[0, 2]]), f32([[0.8, 0.3]]), x),
    "pq_mask_loss": lambda x: mask_losses.pq_mask_loss(
        SEGMENTS, i32([[1, 0]]), f32([[0.5, 0.7]]), x
    ),
    "mask_id_loss": lambda x: mask_losses.mask_id_loss(SEGMENTS, i32([[1, 0]]), x),
    "instance_loss": lambda x: mask_losses.instance_loss(SEGMENTS, i32([[1, 1]]), x, 2),
    "semantic_loss": lambda x: semantic_loss(strided_map([1, 0, 1, VOID]), x, corners=True),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    rng, loss = np.random.default_rng(0), LOSSES[name]
    shape = (1, 2, 3) if name == "pq_class_loss" else (1, 2, 2, 2)
    x = rng.normal(size=shape).astype(np.float32)
    found, numeric = gradient(loss, f32(x)), numeric_gradient(loss, x)
    assert np.abs(numeric).max() > 1e-3
    assert_allclose(ops.convert_to_numpy(found), numeric, atol=2e-4)


def test_targets_have_no_gradient():
    def total(x):
        found = mask_losses.mask_targets(SEGMENTS, CLASSES, x, OF_CLASS)
        return ops.sum(found["class_weights"])

    assert not keras.ops.convert_to_numpy(gradient(total, MASKS)).any()
