"""The maths of keypoints: targets, loss, heat maps to points, their names and mirrors."""

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, gradient, i32, numeric_gradient

from mrcnn.data import KeypointScheme
from mrcnn.data.keypoints import (
    COCO_NAMES,
    COCO_PERSON,
    COCO_SIGMAS,
    from_coco,
    from_points,
    to_coco,
    to_points,
)
from mrcnn.image.heatmaps import cubic_weights, find_peaks
from mrcnn.image.meta import compose_image_meta
from mrcnn.image.resizing import resize_points
from mrcnn.inference.unmold import unmold_detections
from mrcnn.layers import KeypointTargetLayer
from mrcnn.network.heads import keypoint_head
from mrcnn.ops import losses, targets
from mrcnn.settings import KeypointHead

# ---- targets

BOX = [10, 20, 18, 36]  # 8 x 16 pixels, in 4 x 4 bins of 2 x 4


def encode(points, class_id=1, match=0, box=BOX):
    keypoints = np.zeros((1, 2, len(points), 3))
    keypoints[0, 0] = points
    found = targets.encode_keypoints(
        f32([[box]]), i32([[class_id]]), i32([[match]]), f32(keypoints), 4
    )
    assert keras.backend.standardize_dtype(found.dtype) == "int32"
    return convert_to_numpy(found)[0, 0].tolist()


def test_the_bin_that_a_point_lies_in():
    # (13 - 10) / 2 = 1.5 and (33.9 - 20) / 4 = 3.5: row 1, column 3 of 4: 7. An edge between two
    # bins belongs to the second: (12 - 10) / 2 = 1, (24 - 20) / 4 = 1: 5.
    assert encode([[13, 33.9, 2], [12, 24, 1]]) == [7, 5]


def test_points_on_the_edges_of_the_box_lie_in_the_bins_there():
    # The lower and right edge are 18 and 36: bin 4 would be beyond, so row 3 and column 3.
    assert encode([[10, 20, 2], [18, 36, 2], [18, 20, 2], [10, 36, 2]]) == [0, 15, 12, 3]
    # Normalising and back rounds by less than a thousandth of a pixel.
    assert encode([[9.9999, 36.0001, 2]]) == [3]


def test_what_does_not_count():
    # Above, below, left, right of the box; not annotated.
    outside = [[9.9, 25, 2], [18.1, 25, 2], [12, 19.9, 2], [12, 36.1, 2], [12, 25, 0]]
    assert encode(outside) == [-1] * 5
    inside = [[12, 25, 2]]
    assert encode(inside) == [5]
    # Of the background, of padding, and of an object without keypoints.
    assert encode(inside, class_id=0) == encode(inside, class_id=-1) == [-1]
    assert encode(inside, match=1) == [-1]
    assert encode(inside, box=[0, 0, 0, 0]) == [-1]


@pytest.mark.parametrize("box_offset", [0, 1])
def test_the_layer_takes_normalised_boxes(box_offset):
    # The box above in an image of 40 x 80: 10 / 40 .. 18 / 40; with offset 1 10 / 39 .. 17 / 39.
    high, sides = np.array([18, 36]) - box_offset, np.array([40, 80]) - box_offset
    rois = f32([[[*(np.array([10, 20]) / sides), *(high / sides)]]])
    meta = compose_image_meta(0, (40, 80, 3), (40, 80, 3), (0, 0, 40, 80), 1, np.ones(2))
    keypoints = f32([[[[13, 33.9, 2], [18, 36, 2]]]])
    layer = KeypointTargetLayer(box_offset=box_offset, side=4)
    found = layer(rois, i32([[1]]), i32([[0]]), keypoints, f32([meta]))
    assert_array_equal(found, [[[7, 15]]])


# ---- loss


def test_keypoint_loss():
    # 2 x 2 bins, two keypoints. Of the first all bins are equal: ln 4. Of the second the target has
    # 3 of 6 in all: ln 2. The mean is (ln 4 + ln 2) / 2 = 1.5 ln 2.
    logits = np.zeros((1, 1, 2, 2, 2))
    logits[0, 0, 1, 0, 1] = np.log(3)
    loss = losses.mrcnn_keypoint_loss(i32([[[3, 2]]]), f32(logits))
    assert loss.shape == ()
    assert_allclose(loss, 1.5 * np.log(2), rtol=1e-6)
    # What does not count changes nothing, whatever was predicted.
    padded = np.concatenate([logits, np.full_like(logits, 50)], axis=1)
    loss = losses.mrcnn_keypoint_loss(i32([[[3, 2], [-1, -1]]]), f32(padded))
    assert_allclose(loss, 1.5 * np.log(2), rtol=1e-6)
    loss = losses.mrcnn_keypoint_loss(i32([[[3, -1]]]), f32(logits))
    assert_allclose(loss, np.log(4), rtol=1e-6)


def test_keypoint_loss_of_a_batch_without_any_is_exactly_zero():
    logits = f32(np.random.default_rng(0).normal(size=(2, 3, 4, 4, 5)))
    none = i32(np.full((2, 3, 5), -1))
    assert convert_to_numpy(losses.mrcnn_keypoint_loss(none, logits)) == 0.0
    slope = gradient(lambda x: losses.mrcnn_keypoint_loss(none, x), logits)
    assert not convert_to_numpy(slope).any()


def test_keypoint_loss_pulls_at_its_own_map_alone():
    # The slope of cross-entropy: probability less 1 at the target, here 1/4 - 1.
    logits = f32(np.zeros((1, 1, 2, 2, 2)))
    slope = gradient(lambda x: losses.mrcnn_keypoint_loss(i32([[[1, -1]]]), x), logits)
    assert_allclose(convert_to_numpy(slope)[0, 0, :, :, 0], [[0.25, -0.75], [0.25, 0.25]])
    assert not convert_to_numpy(slope)[..., 1].any()


def test_gradient_of_the_keypoint_loss_is_that_of_finite_differences():
    # Two boxes, 2 x 2 bins, three keypoints: of the first box all count, of the second one.
    targets = i32([[[3, 0, 1], [-1, 2, -1]]])
    logits = np.random.default_rng(0).normal(size=(1, 2, 2, 2, 3)).astype(np.float32)

    def loss(x):
        return losses.mrcnn_keypoint_loss(targets, x)

    found, numeric = convert_to_numpy(gradient(loss, f32(logits))), numeric_gradient(loss, logits)
    assert np.abs(numeric).max() > 0.1 and not found[0, 1, :, :, [0, 2]].any()
    assert_allclose(found, numeric, atol=2e-4)


# ---- heat maps to points


def test_cubic_weights():
    # Doubling: value 3 lies at (3 + 0.5) / 2 - 0.5 = 1.25 bins, 1.25, 0.25, 0.75 and 1.75 from the
    # four around. Up to 1 the kernel is (1.25 d - 2.25) d^2 + 1: 0.87890625 at 0.25, 0.26171875 at
    # 0.75; up to 2 -0.75 d^3 + 3.75 d^2 - 6 d + 3: -0.10546875 at 1.25, -0.03515625 at 1.75.
    weights = cubic_weights(8, 4)
    assert_allclose(weights[3], [-0.10546875, 0.87890625, 0.26171875, -0.03515625], atol=1e-7)
    assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    # Value 0 lies at -0.25, 0.25 from bin 0, and 0.75 and 1.75 from what it stands for beyond it.
    assert_allclose(weights[0, 0], 0.87890625 + 0.26171875 - 0.03515625, atol=1e-7)
    assert_allclose(cubic_weights(5, 5), np.eye(5), atol=1e-7)


def peak(size, where, scores="probabilities", value=5.0, bins=4):
    heatmaps = np.zeros((1, bins, bins, 1), np.float32)
    heatmaps[0, *where, 0] = value
    return find_peaks(heatmaps, np.array([size], float), scores)[0, 0]


def test_a_peak_is_found_at_the_centre_of_a_pixel_of_the_box():
    # A box as large as the map: row 2, column 1 are the centres 2.5 / 4 and 1.5 / 4.
    assert_allclose(peak((4, 4), (2, 1))[:2], [0.625, 0.375])
    # 3.2 x 8 pixels are searched as 4 x 8: of bin 1 of 4, columns 2 and 3 lie as near on either
    # side, and the first is taken: (2 + 0.5) / 8.
    assert_allclose(peak((3.2, 8), (2, 1))[:2], [0.625, 2.5 / 8])
    # A box of whole pixels, but for rounding, and one below a pixel.
    assert_allclose(peak((4.0001, 4), (3, 3))[:2], [0.875, 0.875])
    assert_allclose(peak((0.1, 0.1), (3, 3))[:2], [0.5, 0.5])


def test_scores_are_logits_or_probabilities():
    # Of 16 bins one has odds e^5, the others 1: e^5 / (e^5 + 15).
    assert peak((4, 4), (0, 0), "logits")[2] == 5
    assert_allclose(peak((4, 4), (0, 0))[2], np.exp(5) / (np.exp(5) + 15), rtol=1e-6)
    assert_allclose(peak((4, 4), (0, 0), value=0.0)[2], 1 / 16, rtol=1e-6)


def test_a_pixel_far_below_the_peak_has_no_score():
    # In a box of one pixel the centre of 5 bins lies where e^-100 of the peak's odds are left.
    heatmaps = np.full((1, 5, 5, 1), -100, np.float32)
    heatmaps[0, 0, 0] = 0
    (found,) = find_peaks(heatmaps, np.array([[1.0, 1.0]]))[0]
    assert found.tolist() == [0.5, 0.5, pytest.approx(np.exp(-100), rel=1e-3)]


def test_few_matrices_are_kept():
    assert cubic_weights.cache_info().maxsize <= 64


def test_no_boxes_have_no_peaks():
    assert find_peaks(np.zeros((0, 4, 4, 3)), np.zeros((0, 2))).shape == (0, 3, 3)


@pytest.mark.parametrize("box_offset", [0, 1])
def test_points_in_the_image_that_was_given(box_offset):
    # A picture of 10 x 20 lies doubled in rows 10 to 30 of 40 x 40. Its box is rows 2 to 6, columns
    # 8 to 12: 14 to 22 and 16 to 24 there, 8 x 8. The peak of 4 x 4 bins is bin 1, 2: pixel 2 or 3
    # of 8 and 4 or 5; of each two the first: 2.5 / 8 of 4 rows from row 2 on, 4.5 / 8 of 4 columns.
    side = 40 - box_offset
    box = np.array([14, 16, 22 - box_offset, 24 - box_offset]) / side
    detections = np.array([[*box, 1, 0.9], np.zeros(6)])
    heatmaps = np.zeros((2, 4, 4, 1))
    heatmaps[0, 1, 2] = 5
    given = (detections, None, (10, 20, 3), (40, 40, 3), (10, 0, 30, 40), "resize", box_offset)
    found = unmold_detections(*given, heatmaps=heatmaps, keypoint_scores="logits")
    expected = [2 + 2.5 / 8 * 4, 8 + 4.5 / 8 * 4]
    # With offset 1 the scale is that between corner pixels, 19 / 9 in place of 2.
    assert_allclose(found["keypoints"][0, 0, :2], expected, atol=1e-5 + 0.03 * box_offset)
    assert found["keypoints"].shape == (1, 1, 3) and found["keypoints"].dtype == np.float32
    given = (np.zeros((2, 6)), *given[1:])
    assert unmold_detections(*given, heatmaps=heatmaps)["keypoints"].shape == (0, 1, 3)


# ---- head


def test_keypoint_head_has_maps_four_times_as_fine():
    head = keypoint_head(KeypointHead(num_keypoints=3, layers=2, channels=4))
    found = head(f32(np.ones((1, 2, 5, 5, 6))))
    assert list(found) == ["mrcnn_keypoint_logits"]
    assert found["mrcnn_keypoint_logits"].shape == (1, 2, 20, 20, 3)


# ---- names, mirrors, formats


def test_flip_pairs_follow_from_the_names():
    scheme = KeypointScheme(["nose", "left_eye", "right_eye", "left_wing"])
    assert scheme.flip_pairs == ((1, 2),)
    assert scheme.order.tolist() == [0, 2, 1, 3]
    assert scheme.sigmas == (0.05,) * 4
    assert KeypointScheme(**scheme.to_json()) == scheme
    own = KeypointScheme(["a", "b"], [(0, 1)], flip_pairs=[(1, 0)], sigmas=[0.1, 0.2])
    assert (own.skeleton, own.flip_pairs, own.sigmas) == (((0, 1),), ((1, 0),), (0.1, 0.2))


def test_coco_has_its_own_sigmas_and_pairs():
    from pycocotools.cocoeval import Params

    assert COCO_PERSON.sigmas == COCO_SIGMAS
    assert_allclose(COCO_SIGMAS, Params("keypoints").kpt_oks_sigmas)
    assert COCO_PERSON.flip_pairs == tuple((i, i + 1) for i in range(1, 17, 2))
    assert len(COCO_PERSON.skeleton) == 19 and len(COCO_NAMES) == 17


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": []}, "received 0 names"),
        ({"names": ["a"], "sigmas": [1, 2]}, "received 1 names and 2 sigmas"),
        ({"names": ["a", "b"], "skeleton": [(1, 2)]}, r"from 0 to 1, received \(1, 2\)"),
        ({"names": ["a", "b"], "flip_pairs": [(-1, 0)]}, "in flip_pairs pairs of indices"),
        ({"names": ["a", "b"], "skeleton": [(0,)]}, r"in skeleton pairs .* received \(0,\)"),
        ({"names": ["a", "b"], "flip_pairs": [(0, 1, 1)]}, r"received \(0, 1, 1\)"),
        ({"names": ["a", "b"], "flip_pairs": (0, 1)}, "in flip_pairs pairs .* received 0"),
    ],
)
def test_a_scheme_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        KeypointScheme(**arguments)


def test_a_category_in_cocos_format():
    assert set(COCO_PERSON.to_coco()) == {"keypoints", "skeleton"}
    own = KeypointScheme(["left_end", "right_end"], [(0, 1)])
    facts = {"keypoints": ["left_end", "right_end"], "skeleton": [[1, 2]]}
    assert own.to_coco() == {**facts, "keypoint_sigmas": [0.05, 0.05]}
    turned = KeypointScheme(["a", "b", "c"], flip_pairs=[(2, 0)], sigmas=[0.1, 0.2, 0.3])
    assert turned.to_coco()["keypoint_flip_pairs"] == [[3, 1]]
    for scheme in (COCO_PERSON, own, turned, KeypointScheme(own.names, flip_pairs=[])):
        assert KeypointScheme.from_coco(scheme.to_coco()) == scheme


def test_points_in_a_window():
    # Inside, on its edge, beyond it, and none.
    points = to_points(np.array([[[4, 5, 1], [8, 8, 2], [8.5, 5, 2], [3, 3, 0]]]))
    assert np.isnan(points[0, 3]).all() and points[0, 0].tolist() == [4, 5]
    found = from_points(points, (2, 2, 8, 8))
    assert found.tolist() == [[[4, 5, 2], [8, 8, 2], [0, 0, 0], [0, 0, 0]]]
    assert found.dtype == np.float32


def test_coco_counts_from_the_centre_of_the_first_pixel():
    assert from_coco([0, 2, 2, 7.5, 3, 1]).tolist() == [[2.5, 0.5, 2], [3.5, 8, 1]]
    assert to_coco([[2.5, 0.5, 0.25]]) == [0, 2, 0.25]


def test_points_are_resized_as_their_picture():
    # Doubled, 3 rows of padding on top, 1 column on the left: y 2 * 1.5 + 3, x 2 * 4 + 1.
    points = np.array([[[1.5, 4.0]]])
    assert resize_points(points, (4, 6), 2, [(3, 3), (1, 1), (0, 0)]).tolist() == [[[6, 9]]]
    # To 8 x 6, then cropped from row 2, column 1 on: y 2 * 1.5 - 2, x 4 - 1.
    crop, size = (2, 1, 4, 4), (8, 6)
    found = resize_points(points, (4, 6), 1, [(0, 0), (0, 0), (0, 0)], crop, size)
    assert found.tolist() == [[[1, 3]]]
