"""The operations of semantic heads, and scores of pixels."""

import math

import numpy as np
import pytest
from keras import ops
from tensors import f32, gradient, i32, numeric_gradient

from mrcnn.evaluate.semantic import SemanticScores, class_overlaps, count_pixels
from mrcnn.image.label_maps import VOID
from mrcnn.image.resampling import bilinear_weights
from mrcnn.inference.panoptic import most_likely, semantic_map
from mrcnn.ops.losses import semantic_loss
from mrcnn.ops.semantic import stuff_targets
from mrcnn.ops.upsampling import upsample


def test_upsampling_by_two():
    # New pixels at -1/4, 1/4, 3/4, 5/4, ... of the old: 0; 4/4; 4 * 3/4; 4 + 4/4; 4 + 4 * 3/4; 8.
    row = f32([0, 4, 8])
    expected = [0, 1, 3, 5, 7, 8]
    across = upsample(row[None, None, :, None], 2)
    assert across.shape == (1, 2, 6, 1)
    for line in np.array(across)[0, :, :, 0]:
        np.testing.assert_allclose(line, expected)
    down = upsample(row[None, :, None, None], 2)
    np.testing.assert_allclose(np.array(down)[0, :, 0, 0], expected)


def test_upsampling_by_four():
    # New pixels at -3/8, -1/8, 1/8, 3/8, 5/8, ...: 8 * 1/8 = 1, 8 * 3/8 = 3, 5, 7, then the border.
    rows = np.array(upsample(f32([0, 8])[None, None, :, None], 4))
    np.testing.assert_allclose(rows[0, 0, :, 0], [0, 0, 1, 3, 5, 7, 8, 8])


def test_upsampling_keeps_the_channels_apart():
    pixels = np.random.default_rng(0).normal(size=(2, 3, 5, 2)).astype("float32")
    both = np.array(upsample(f32(pixels), 2))
    for channel in (0, 1):
        alone = np.array(upsample(f32(pixels[..., channel : channel + 1]), 2))
        np.testing.assert_array_equal(both[..., channel], alone[..., 0])


def test_stuff_targets():
    # Background and void are void; things 1 and 2 are 0; stuff 3, 4, 5 is 1, 2, 3.
    labels = i32([[[VOID, 0, 1], [2, 3, 5]]])
    assert np.array(stuff_targets(labels, 3)).tolist() == [[[-1, -1, 0], [0, 1, 3]]]


def test_semantic_loss_is_the_mean_over_known_pixels():
    # One logit pixel is sixteen of the labels. Softmax of (0, ln 3) is (1/4, 3/4).
    logits = f32([[[[0, math.log(3)]]]])
    labels = np.full((1, 4, 4), VOID)
    labels[0, 0, :3] = 1, 1, 0
    expected = (2 * math.log(4 / 3) + math.log(4)) / 3
    np.testing.assert_allclose(semantic_loss(i32(labels), logits), expected, rtol=1e-6)


def test_semantic_loss_of_void_alone_is_zero():
    labels = i32(np.full((2, 4, 4), VOID))
    logits = f32(np.full((2, 1, 1, 3), 50.0))
    assert float(semantic_loss(labels, logits)) == 0.0
    assert not np.array(gradient(lambda x: semantic_loss(labels, x), logits)).any()


def test_gradient_of_the_semantic_loss_is_that_of_finite_differences():
    # 2 x 2 logits of three classes, upsampled to 8 x 8 labels with void among them.
    rng = np.random.default_rng(0)
    labels = i32(rng.choice([VOID, 0, 1, 2], (1, 8, 8)))
    logits = rng.normal(size=(1, 2, 2, 3)).astype(np.float32)

    def loss(x):
        return semantic_loss(labels, x)

    found, numeric = (
        ops.convert_to_numpy(gradient(loss, f32(logits))),
        numeric_gradient(loss, logits),
    )
    assert np.abs(numeric).max() > 0.05
    np.testing.assert_allclose(found, numeric, atol=2e-4)


def test_more_void_changes_no_loss():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 3, (1, 8, 8)), rng.normal(size=(1, 2, 2, 3))
    alone = float(semantic_loss(i32(labels), f32(logits)))
    labels = np.concatenate([labels, np.full((1, 8, 8), VOID)])
    logits = np.concatenate([logits, rng.normal(size=(1, 2, 2, 3))])
    assert float(semantic_loss(i32(labels), f32(logits))) == pytest.approx(alone, rel=1e-6)


def test_bilinear_weights():
    # Four pixels of two, at -1/4, 1/4, 3/4, 5/4; two of four, at 1/2 and 5/2.
    assert bilinear_weights(2, 4).tolist() == [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    assert bilinear_weights(4, 2).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]


def test_most_likely_class_at_the_size_of_the_image():
    # Logits of one row, class 1 at 0 and 8: at stride 4 that is 0 0 1 3 5 7 8 8, against 4 of
    # class 0. The window is its pixels 2 to 6, 1 3 5 7, which the image shows twice as large: at
    # -1/4, 1/4, 3/4, ... 1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.
    logits = np.array([[[4, 0], [4, 8]]], np.float32)
    classes, scores = most_likely(logits, (8, 8, 3), (4, 8, 3), (0, 2, 4, 6))
    assert classes.shape == (8, 8) and classes.dtype == np.int32
    expected = np.array([1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7]) - 4
    assert (classes == (expected > 0)).all()
    np.testing.assert_allclose(scores[0], 1 / (1 + np.exp(-np.abs(expected))), rtol=1e-5)


def test_probabilities_of_many_classes():
    logits = np.random.default_rng(0).normal(0, 4, (3, 2, 7)).astype("float32")
    classes, scores = most_likely(logits, (12, 8), (12, 8), (0, 0, 12, 8))
    large = ops.softmax(upsample(f32(logits)[None], 4), axis=-1)
    np.testing.assert_array_equal(classes, np.argmax(large[0], axis=-1))
    np.testing.assert_allclose(scores, np.max(large[0], axis=-1), rtol=1e-4)


def test_a_semantic_map_has_a_segment_for_each_class():
    classes = np.array([[0, 1, 1], [3, 3, 3]], np.int32)
    scores = np.array([[0.9, 0.5, 0.7], [0.2, 0.3, 0.4]], np.float32)
    found = semantic_map(classes, scores, thing_classes=3)
    assert found["segmentation"] is classes
    thing, stuff = found["segments"]
    assert thing == {"id": 1, "class_id": 1, "is_thing": True, "area": 2, "score": thing["score"]}
    assert stuff == {"id": 3, "class_id": 3, "is_thing": False, "area": 3, "score": stuff["score"]}
    assert (thing["score"], stuff["score"]) == (pytest.approx(0.6), pytest.approx(0.3))


# Scores. Rows are the truth: 0 was found as 0; 1 as 1 and 2; 2 as 2 and, once, as nothing.
COUNTS = [[1, 0, 0], [0, 1, 1], [1, 0, 1]]


def test_pixels_are_counted_by_their_truth():
    truth = np.array([[0, 1, 1], [2, VOID, 2]])
    found = np.array([[0, 1, 2], [2, 2, VOID]])
    assert count_pixels(truth, found, 3).tolist() == COUNTS


def test_overlaps_of_classes():
    # Each has one pixel right; of the unions 1 + 2 - 1, 2 + 1 - 1 and 2 + 2 - 1.
    found = class_overlaps(np.array(COUNTS))
    np.testing.assert_allclose(found, [1 / 2, 1 / 2, 1 / 3])
    absent = class_overlaps(np.array([[1, 0], [0, 0]]))
    assert absent[0] == 1 and np.isnan(absent[1])


class Truth:
    """One picture of three classes, without segments of its own."""

    num_classes, num_stuff_classes, class_names = 3, 0, ("BG", "a", "b")
    image_info = ({"id": 0, "path": "x.png"},)

    def load_panoptic(self, image_id):
        return None

    def load_mask(self, image_id):
        # A large instance of 1 under a small one of 2; the rest is background.
        masks = np.zeros((2, 3, 2), bool)
        masks[:, :2, 0], masks[1, 1, 1] = True, True
        return masks, np.array([1, 2], np.int32)


def test_scores_of_a_data_set():
    # The truth is 1 1 0 / 1 2 0, found 1 1 0 / 2 2 1. Right: 4 of 6. IoU of 0: 1 of 2, of 1: 2 of
    # 3 + 3 - 2, of 2: 1 of 1 + 2 - 1; mean 1/2.
    scores = SemanticScores(Truth())
    found = np.array([[1, 1, 0], [2, 2, 1]])
    scores.add(0, {"segmentation": found, "segments": [{"id": i, "class_id": i} for i in (1, 2)]})
    assert scores.scores() == {"mIoU": pytest.approx(1 / 2), "accuracy": pytest.approx(4 / 6)}
    assert [(x["name"], x["pixels"]) for x in scores.per_class()] == [("BG", 2), ("a", 3), ("b", 1)]


def test_a_class_that_the_truth_has_not_is_no_part_of_the_mean():
    # The truth has 0 and 1, 3 pixels each; one pixel of 1 is taken for 2, which is nowhere.
    scores = SemanticScores(Truth())
    scores.counts = np.array([[3, 0, 0], [0, 2, 1], [0, 0, 0]])
    assert scores.scores()["mIoU"] == pytest.approx((3 / 3 + 2 / 3) / 2)


def test_scores_without_a_pixel_are_nan():
    assert all(np.isnan(x) for x in SemanticScores(Truth()).scores().values())
