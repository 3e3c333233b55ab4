import json

import keras
import numpy as np
import pytest
from keras import ops
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, gradient, i32

from mrcnn import layers
from mrcnn.image import compose_image_meta
from mrcnn.layers import detections as detection_layers
from mrcnn.layers import targets as target_layers
from mrcnn.layers.base import image_shape

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
BOTH_PATHS = pytest.mark.parametrize("native", [False, True])
STD_DEV = [0.1, 0.1, 0.2, 0.2]


def meta(side=5, window=None, images=1):
    """Meta of square images of `side` pixels with 3 classes, [B, 15]."""
    window = (0, 0, side, side) if window is None else window
    shape = (side, side, 3)
    return f32([compose_image_meta(0, shape, shape, window, 1, [1] * 3)] * images)


# ---- image_shape, NormBoxes, Anchors


def test_image_shape_is_that_of_the_molded_image():
    one = compose_image_meta(7, (100, 200, 3), (64, 128, 3), (0, 0, 64, 128), 0.5, [1, 1])
    assert_array_equal(image_shape(f32([one])), [[64, 128]])


def test_norm_boxes_by_the_shape_of_each_image():
    image_meta = ops.concatenate([meta(5), meta(9)])
    # (1, 2, 4 - 1, 5 - 1) over 4 and over 8.
    boxes = layers.NormBoxes()(i32([[[1, 2, 4, 5]]] * 2), image_meta)
    assert_allclose(boxes, [[[0.25, 0.5, 0.75, 1]], [[0.125, 0.25, 0.375, 0.5]]])


def test_anchors_of_two_levels():
    images = f32(np.zeros((2, 9, 17, 3)))
    features = [f32(np.zeros((2, 1, 2, 8))), f32(np.zeros((2, 1, 1, 8)))]
    result = layers.Anchors(scales=[2, 4], ratios=[1], strides=[8, 16])(images, features)
    pixels = [[[-1, -1, 1, 1], [-1, 7, 1, 9], [-2, -2, 2, 2]]]
    assert_allclose(result["pixels"], pixels)
    # (y1 / 8, x1 / 16, (y2 - 1) / 8, (x2 - 1) / 16)
    expected = [
        [-1 / 8, -1 / 16, 0, 0],
        [-1 / 8, 7 / 16, 0, 8 / 16],
        [-1 / 4, -1 / 8, 1 / 8, 1 / 16],
    ]
    assert_allclose(ops.concatenate(result["levels"], axis=1), [expected])
    assert [level.shape[1] for level in result["levels"]] == [2, 1]


# ---- ProposalLayer

# IoU of the first two: 0.5 * 0.4 / (0.5 * 0.5) = 0.8.
ANCHORS = f32([[[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.4], [0.5, 0.5, 1, 1], [0.8, 0.8, 1.2, 1.2]]])


def propose(scores, deltas=None, count=4, threshold=0.7, limit=6000, native=True):
    scores = np.array([scores], "float32")
    deltas = np.zeros((*scores.shape, 4)) if deltas is None else [deltas]
    layer = layers.ProposalLayer(
        proposal_count=count,
        nms_threshold=threshold,
        pre_nms_limit=limit,
        std_dev=STD_DEV,
        native=native,
    )
    rois = layer(f32(np.stack([1 - scores, scores], axis=-1)), f32(deltas), [ANCHORS], meta())
    return convert_to_numpy(rois)[0]


@BOTH_PATHS
def test_proposals_are_clipped_best_first_and_padded(native):
    expected = [[0.5, 0.5, 1, 1], [0, 0, 0.5, 0.4], [0.8, 0.8, 1, 1], [0, 0, 0, 0]]
    assert_allclose(propose([0.6, 0.7, 0.9, 0.1], native=native), expected)


@BOTH_PATHS
def test_proposals_are_refined_by_scaled_deltas(native):
    # Center (0.75, 0.75) + (-2 * 0.1 * 0.5, 0), height 0.5 * 2, width 0.5 / 2: rows 0.15 to 1.15,
    # clipped at 1. The deltas of other anchors would show.
    deltas = np.full((4, 4), 1.0)
    deltas[2] = [-2, 0, 5 * np.log(2), -5 * np.log(2)]
    rois = propose([0.1, 0.2, 0.9, 0.3], deltas, count=1, native=native)
    assert_allclose(rois, [[0.15, 0.625, 1, 0.875]], rtol=1e-5)


@BOTH_PATHS
def test_proposals_come_from_the_best_anchors_before_suppression(native):
    # The best two suppress each other: the third did not take part.
    expected = [[0, 0, 0.5, 0.5], [0, 0, 0, 0]]
    assert_allclose(propose([0.9, 0.8, 0.7, 0.6], count=2, limit=2, native=native), expected)
    expected = [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]
    assert_allclose(propose([0.9, 0.8, 0.7, 0.6], count=2, limit=3, native=native), expected)


@BOTH_PATHS
def test_proposal_threshold(native):
    expected = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.4]]
    rois = propose([0.9, 0.8, 0.7, 0.6], count=2, threshold=0.9, native=native)
    assert_allclose(rois, expected)


@BOTH_PATHS
def test_each_image_has_its_proposals(native):
    scores = np.array([[0.9, 0.1, 0.2, 0.3], [0.1, 0.2, 0.9, 0.3]], "float32")
    layer = layers.ProposalLayer(
        proposal_count=1, nms_threshold=0.7, pre_nms_limit=6000, std_dev=STD_DEV, native=native
    )
    rois = layer(
        f32(np.stack([1 - scores, scores], -1)), f32(np.zeros((2, 4, 4))), [ANCHORS], meta(images=2)
    )
    assert_allclose(rois, [[[0, 0, 0.5, 0.5]], [[0.5, 0.5, 1, 1]]])


@BOTH_PATHS
def test_proposals_have_no_gradient(native):
    layer = layers.ProposalLayer(
        proposal_count=2, nms_threshold=0.7, pre_nms_limit=6000, std_dev=STD_DEV, native=native
    )
    scores, deltas = f32([[[0.5, 0.5]] * 4]), f32(np.full((1, 4, 4), 0.1))
    to_scores = gradient(lambda x: ops.sum(layer(x, deltas, [ANCHORS], meta())), scores)
    to_deltas = gradient(lambda x: ops.sum(layer(scores, x, [ANCHORS], meta())), deltas)
    assert_array_equal(to_scores, np.zeros((1, 4, 2)))
    assert_array_equal(to_deltas, np.zeros((1, 4, 4)))


# ---- PyramidROIAlign


def ramp(side):
    y, x = np.mgrid[:side, :side]
    return f32((10 * y + x)[None, ..., None])


@BOTH_PATHS
def test_crop_mode_takes_the_level_of_the_box(native):
    # An image of 449 pixels: the whole belongs to P5, half of it (224.5) to P4, a corner to P2.
    # Centers (0.5, 0.5), (0.5, 0.75) and (0, 0) of maps of 9, 7, 5 and 3 pixels: rows and columns
    # 1 and 1, 2 and 3, 0 and 0; plus 1000 a level.
    features = [ramp(9) + 2000, ramp(7) + 3000, ramp(5) + 4000, ramp(3) + 5000]
    boxes = f32([[[0, 0, 1, 1], [0.25, 0.5, 0.75, 1], [0, 0, 0, 0]]])
    layer = layers.PyramidROIAlign(1, native=native)
    assert_allclose(layer(boxes, meta(449), features)[0, :, 0, 0, 0], [5011, 4023, 2000])


@BOTH_PATHS
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # Columns and rows 1 to 3 of 0 to 4: corners, as (y2 - 1) / (h - 1) counts them.
        ({"mode": "crop_and_resize"}, [[11, 13], [31, 33]]),
        # Pixels 1 to 4 half-open: bins of 1.5 with centers 1.75, 3.25.
        ({"mode": "roi_align", "aligned": False}, [[19.25, 20.75], [34.25, 35.75]]),
        ({"mode": "roi_align"}, [[13.75, 15.25], [28.75, 30.25]]),  # 1.25, 2.75
        ({"mode": "roi_align", "sampling_ratio": 1}, [[13.75, 15.25], [28.75, 30.25]]),
        ({"mode": "roi_align", "sampling_ratio": 0}, [[13.75, 15.25], [28.75, 30.25]]),
    ],
)
def test_modes_of_roi_align(arguments, expected, native):
    layer = layers.PyramidROIAlign(2, native=native, **arguments)
    pooled = layer(f32([[[0.25, 0.25, 0.75, 0.75]]]), meta(5), [ramp(5)])
    assert_allclose(pooled[0, 0, ..., 0], expected, rtol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (1, 6.5),  # row 2.5 of squares
        (2, 7.0),  # rows 1.75 and 3.25: (3.25 + 10.75) / 2
        (0, 7.166667),  # rows 1.5, 2.5, 3.5: (2.5 + 6.5 + 12.5) / 3
    ],
)
def test_sampling_ratio_of_roi_align(ratio, expected, native):
    squares = f32(np.tile(np.arange(5)[:, None] ** 2, 5)[None, ..., None])
    layer = layers.PyramidROIAlign(
        1, mode="roi_align", sampling_ratio=ratio, aligned=False, native=native
    )
    pooled = layer(f32([[[0.25, 0.25, 0.75, 0.75]]]), meta(5), [squares])  # pixels 1 to 4
    assert_allclose(pooled[0, 0, 0, 0], [expected], rtol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize("mode", ["crop_and_resize", "roi_align"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_boxes_have_no_gradient_and_features_do(ratio, mode, native):
    layer = layers.PyramidROIAlign(2, mode=mode, sampling_ratio=ratio, native=native)
    boxes, features = f32([[[0.25, 0.25, 0.75, 0.7]]]), ramp(5)
    to_boxes = gradient(lambda x: ops.sum(layer(x, meta(5), [features])), boxes)
    assert_array_equal(to_boxes, np.zeros((1, 1, 4)))
    to_features = gradient(lambda x: ops.sum(layer(boxes, meta(5), [x])), features)
    # The weights of each of 2 x 2 bins sum to 1.
    assert_allclose(ops.sum(ops.convert_to_tensor(to_features)), 4, rtol=1e-5)


@BOTH_PATHS
@pytest.mark.parametrize("mode", ["crop_and_resize", "roi_align"])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_pooled_features_keep_their_type(dtype, ratio, mode, native):
    layer = layers.PyramidROIAlign(1, mode=mode, sampling_ratio=ratio, native=native)
    boxes, features = f32([[[0.25, 0.25, 0.75, 0.75]]]), ops.cast(ramp(5), dtype)
    pooled = layer(boxes, meta(5), [features])
    assert keras.backend.standardize_dtype(pooled.dtype) == dtype
    # Center (2, 2); the box ends a pixel later in roi_align, half of which alignment takes back.
    assert_allclose(ops.cast(pooled, "float32")[0, 0, 0, 0], [22], rtol=1e-2)


# ---- AnchorTargetLayer, DetectionTargetLayer

PIXEL_ANCHORS = f32([[[0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 10, 5]]])
GT_CLASS_IDS, GT_BOXES = i32([[2, 0]]), f32([[[0, 0, 10, 8], [0, 0, 0, 0]]])


def test_anchor_targets():
    # IoU 0.8, 0 and 50 / 80, between the thresholds.
    result = target_layers.AnchorTargetLayer(num_anchors=3, std_dev=STD_DEV, seed=0)(
        PIXEL_ANCHORS, GT_CLASS_IDS, GT_BOXES
    )
    assert_array_equal(result["target_rpn_class"], [[1, 0, -1]])
    assert_array_equal(result["target_rpn_index"][:, :2], [[0, 1]])
    # Center x 5 -> 4 of 10 pixels, width 10 -> 8.
    deltas = [0, -1, 0, np.log(0.8) / 0.2]
    assert_allclose(result["target_rpn_deltas"][0, 0], deltas, rtol=1e-5)


def detection_targets(add_gt, proposals=((0.5, 0.5, 1, 1), (0, 0, 0, 0)), class_ids=(2, -1, 0)):
    layer = target_layers.DetectionTargetLayer(
        num_rois=4,
        positive_ratio=0.5,
        std_dev=STD_DEV,
        mask_shape=(2, 2),
        mini_masks=True,
        add_gt=add_gt,
        seed=0,
    )
    # The last is padding, as `norm_boxes` of an image of 5 pixels leaves it.
    gt_boxes = [[0, 0, 0.5, 0.5], [0, 0.6, 0.4, 1], [0, 0, -0.25, -0.25]]
    masks = ops.ones((1, 2, 2, 3), "bool")
    return layer(f32([proposals]), i32([class_ids]), f32([gt_boxes]), masks)


def test_detection_targets():
    result = detection_targets(False, [[0, 0, 0.5, 0.4], [0.5, 0.5, 1, 1], [0, 0, 0, 0]])
    assert_allclose(result["rois"][0, :2], [[0, 0, 0.5, 0.4], [0.5, 0.5, 1, 1]])
    assert_array_equal(result["target_class_ids"][0, :2], [2, 0])
    # Center x 0.2 -> 0.25 of width 0.4; width 0.4 -> 0.5.
    deltas = [0, 1.25, 0, np.log(1.25) / 0.2]
    assert_allclose(result["target_deltas"][0, 0], deltas, atol=1e-5)
    assert_array_equal(result["target_masks"][0, 0], [[1, 1], [1, 1]])


def test_ground_truth_joins_the_proposals_only_when_asked():
    without, with_gt = detection_targets(False), detection_targets(True)
    assert (convert_to_numpy(without["target_class_ids"]) <= 0).all()
    # Neither the crowd nor the padding becomes a ROI.
    assert_array_equal(with_gt["target_class_ids"], [[2, 0, -1, -1]])
    assert_allclose(with_gt["rois"][0, :2], [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])


def test_zero_padded_pixel_rois_are_never_drawn():
    # `input_roi` goes through NormBoxes: padding must still be padding behind it.
    pixels = f32([[[0, 0, 4, 4], [0, 0, 0, 0], [0, 0, 0, 0]]])
    proposals = layers.NormBoxes()(pixels, meta(5))
    layer = target_layers.DetectionTargetLayer(
        num_rois=3,
        positive_ratio=0.5,
        std_dev=STD_DEV,
        mask_shape=(2, 2),
        mini_masks=True,
        fill_negatives=True,
    )
    masks = ops.ones((1, 2, 2, 1), "bool")
    result = layer(proposals, i32([[0]]), f32([[[0, 0, 0, 0]]]), masks)
    assert_array_equal(result["target_class_ids"], [[0, -1, -1]])


# ---- DetectionLayer

# The first two share 0.5 * 0.4 of 0.5 * 0.5: IoU 0.8.
ROIS = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.4], [0.5, 0.5, 1, 1]]


def detect(probs, rois=ROIS, deltas=None, count=3, confidence=0.5, native=True, image_meta=None):
    """Detections of one image of 3 classes."""
    deltas = np.zeros((len(rois), 3, 4)) if deltas is None else deltas
    layer = detection_layers.DetectionLayer(
        max_instances=count,
        min_confidence=confidence,
        nms_threshold=0.3,
        std_dev=STD_DEV,
        native=native,
    )
    image_meta = meta() if image_meta is None else image_meta
    detections = layer(f32([rois]), f32([probs]), f32([deltas]), image_meta)
    assert detections.shape == (1, count, 6)
    return convert_to_numpy(detections)[0]


@BOTH_PATHS
def test_detections_best_first_without_duplicates_in_a_class(native):
    probs = [[0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.1, 0.0, 0.9]]
    expected = [[*ROIS[2], 2, 0.9], [*ROIS[1], 1, 0.8], [0] * 6]
    assert_allclose(detect(probs, native=native), expected)


@BOTH_PATHS
def test_classes_do_not_suppress_each_other(native):
    probs = [[0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.9, 0.1, 0.0]]
    expected = [[*ROIS[1], 2, 0.8], [*ROIS[0], 1, 0.7], [0] * 6]
    assert_allclose(detect(probs, native=native), expected)


@BOTH_PATHS
def test_background_and_low_scores_are_left_out(native):
    probs = [[0.9, 0.1, 0.0], [0.3, 0.4, 0.3], [0.25, 0.5, 0.25]]  # 0.5 is enough
    assert_allclose(detect(probs, native=native), [[*ROIS[2], 1, 0.5], [0] * 6, [0] * 6])
    assert_array_equal(detect([[1, 0, 0]] * 3, native=native), np.zeros((3, 6)))


@BOTH_PATHS
@pytest.mark.parametrize("confidence", [0, None])
def test_no_confidence_limit(confidence, native):
    probs = [[0.3, 0.4, 0.3], [0.9, 0.1, 0], [0.3, 0.36, 0.34]]
    result = detect(probs, confidence=confidence, native=native)
    assert_allclose(result, [[*ROIS[0], 1, 0.4], [*ROIS[2], 1, 0.36], [0] * 6])


@BOTH_PATHS
def test_padded_rois_give_no_detection(native):
    rois, probs = [*ROIS, [0] * 4, [0] * 4], [[0, 1, 0], [0.1, 0.9, 0], [0.3, 0.7, 0]]
    padded = detect([*probs, [0, 1, 0], [0, 0, 1]], rois, native=native)
    assert_allclose(padded, detect(probs, native=native))
    assert_allclose(padded[:, 5], [1, 0.7, 0])
    assert_array_equal(detect([[0, 1, 0]] * 2, rois[3:], native=native), np.zeros((3, 6)))


@BOTH_PATHS
def test_detections_are_refined_by_the_deltas_of_their_class(native):
    # Center (0.75, 0.75) + (0.1 * -1 * 0.5, 0) = (0.7, 0.75); height 0.5 / 2, width 0.5.
    deltas = np.full((3, 3, 4), 9.0)
    deltas[2, 1] = [-1, 0, -5 * np.log(2), 0]
    probs = [[1, 0, 0], [1, 0, 0], [0.1, 0.6, 0.3]]
    result = detect(probs, deltas=deltas, count=1, native=native)
    assert_allclose(result, [[0.575, 0.5, 0.825, 1, 1, 0.6]], rtol=1e-5)


@BOTH_PATHS
def test_detections_are_clipped_to_the_window(native):
    # Rows 1 to 4 and columns 0 to 3 of 5 pixels: 0.25 to 0.75 and 0 to 0.5.
    image_meta = meta(window=(1, 0, 4, 3))
    probs = [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    result = detect(probs, native=native, image_meta=image_meta, count=2)
    assert_allclose(result, [[0.25, 0, 0.5, 0.5, 1, 1], [0.5, 0.5, 0.75, 0.5, 2, 1]])


@BOTH_PATHS
def test_at_most_so_many_detections(native):
    probs = [[0.2, 0.8, 0], [0.2, 0, 0.8], [0.1, 0.9, 0]]
    assert_allclose(detect(probs, count=1, native=native), [[*ROIS[2], 1, 0.9]])


# ---- ClassMasks, Loss


def test_class_masks():
    masks = f32(np.arange(12).reshape(1, 2, 1, 2, 3))  # pixels 0 1 2, 3 4 5; 6 7 8, 9 10 11
    detections = f32([[[0, 0, 1, 1, 2, 0.9], [0] * 6]])
    expected = 1 / (1 + np.exp([[[[-2.0, -5]], [[-6, -9]]]]))  # sigmoid
    assert_allclose(detection_layers.ClassMasks()(masks, detections), expected, rtol=1e-6)


def test_loss_layer_is_the_function_of_its_name():
    # Odds 1 : 3.
    layer = target_layers.Loss(name="rpn_class_loss")
    loss = layer(i32([[0]]), i32([[1]]), f32([[[0, np.log(3)]]]))
    assert loss.shape == ()
    assert_allclose(loss, np.log(4 / 3), rtol=1e-5)


# ---- offset 0, measured strides, levels that compete by themselves


def test_norm_boxes_with_offset_0_keeps_padding():
    # (1, 2, 4, 5) over 5 and over 8; the padding stays zeros.
    image_meta = ops.concatenate([meta(5), meta(8)])
    boxes = layers.NormBoxes(box_offset=0)(i32([[[1, 2, 4, 5], [0] * 4]] * 2), image_meta)
    first, second = [0.2, 0.4, 0.8, 1], [0.125, 0.25, 0.5, 0.625]
    assert_allclose(boxes, [[first, [0] * 4], [second, [0] * 4]])


def anchors_of_a_large_image(measured_strides):
    """Pixel anchors of P5 and P6 of 800 x 1088 pixels and their normalised last one."""
    images = f32(np.zeros((1, 800, 1088, 1)))
    features = [f32(np.zeros((1, 25, 34, 1))), f32(np.zeros((1, 13, 17, 1)))]
    layer = layers.Anchors(
        scales=[256, 512],
        ratios=[1],
        strides=[32, 64],
        anchor_stride=1,
        rounded=True,
        measured_strides=measured_strides,
        box_offset=0,
    )
    found = layer(images, features)
    pixels = convert_to_numpy(found["pixels"])[0]
    assert len(pixels) == 25 * 34 + 13 * 17
    return pixels, convert_to_numpy(found["levels"][1])[0, -1]


def test_measured_strides_are_the_side_over_the_cells():
    # P5: 800 // 25 = 32, 1088 // 34 = 32. P6, 13 x 17 cells: 800 // 13 = 61, 1088 // 17 = 64.
    pixels, last = anchors_of_a_large_image(True)
    assert_allclose(pixels[34], [32 - 128, -128, 32 + 128, 128])  # the second row of P5
    # The last of P6: 12 * 61 = 732 and 16 * 64 = 1024, 256 to either side.
    assert_allclose(pixels[-1], [476, 768, 988, 1280])
    assert_allclose(last, [476 / 800, 768 / 1088, 988 / 800, 1280 / 1088], rtol=1e-6)


def test_given_strides_are_what_they_are():
    # 12 * 64 = 768
    pixels, _ = anchors_of_a_large_image(False)
    assert_allclose(pixels[-1], [512, 768, 1024, 1280])


FIRST, SECOND = ANCHORS[:, ::2], ANCHORS[:, 1::2]  # the first and third, the second and fourth


def propose_by_level(levels, count=4, limit=6000, native=True, deltas=None, **options):
    scores = np.array([[0.9, 0.3, 0.8, 0.7]], "float32")
    deltas = np.zeros((1, 4, 4)) if deltas is None else [deltas]
    layer = layers.ProposalLayer(
        proposal_count=count,
        nms_threshold=0.7,
        pre_nms_limit=limit,
        std_dev=STD_DEV,
        native=native,
        **options,
    )
    rois = layer(f32(np.stack([1 - scores, scores], -1)), f32(deltas), levels, meta())
    return convert_to_numpy(rois)[0]


BEST, BEST_80, THIRD, CORNER = (
    [0, 0, 0.5, 0.5],
    [0, 0, 0.5, 0.4],
    [0.5, 0.5, 1, 1],
    [0.8, 0.8, 1, 1],
)


@BOTH_PATHS
def test_levels_compete_by_themselves(native):
    # The best two overlap by 0.8: one of them goes only if they are in one competition.
    together = propose_by_level([ops.concatenate([FIRST, SECOND], 1)], native=native)
    assert_allclose(together, [BEST, CORNER, THIRD, [0] * 4])
    apart = propose_by_level([FIRST, SECOND], native=native)
    assert_allclose(apart, [BEST, BEST_80, CORNER, THIRD])
    # The best of all levels, and of few the padding stays zeros.
    assert_allclose(propose_by_level([FIRST, SECOND], 2, native=native), [BEST, BEST_80])
    padded = propose_by_level([FIRST, SECOND], 6, native=native)
    assert_allclose(padded, [BEST, BEST_80, CORNER, THIRD, [0] * 4, [0] * 4])


@BOTH_PATHS
def test_limit_before_suppression_is_a_levels(native):
    found = propose_by_level([FIRST, SECOND], limit=1, native=native)
    assert_allclose(found, [BEST, BEST_80, [0] * 4, [0] * 4])


@BOTH_PATHS
def test_each_level_has_its_own_deltas(native):
    # The third row is the first of the second level: x by 1 * 0.1 * 0.4 = 0.04.
    deltas = np.zeros((4, 4))
    deltas[2, 1] = 1
    found = propose_by_level([FIRST, SECOND], 2, native=native, deltas=deltas)
    assert_allclose(found, [BEST, [0, 0.04, 0.5, 0.44]], atol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize("by_level", [False, True])
@pytest.mark.parametrize(
    ("offset", "window", "expected"),
    [
        # Rows 1 to 4 and columns 0 to 3 of 5 pixels: rows 0.25 to 0.75 and columns 0 to 0.5. The
        # third ends at column 0.5 without area, the fourth lies outside.
        (1, (1, 0, 4, 3), [[0.25, 0, 0.5, 0.5], [0.25, 0, 0.5, 0.4]]),
        # Rows 0.2 to 0.8 and columns 0 to 0.6; the fourth has no area at row 0.8.
        (0, (1, 0, 4, 3), [[0.2, 0, 0.5, 0.5], [0.2, 0, 0.5, 0.4], [0.5, 0.5, 0.8, 0.6]]),
    ],
)
def test_proposals_end_at_the_window(offset, window, expected, by_level, native):
    levels = [FIRST, SECOND] if by_level else [ops.concatenate([FIRST, SECOND], 1)]
    scores = np.array([[0.9, 0.3, 0.8, 0.95]], "float32")
    layer = layers.ProposalLayer(
        proposal_count=4,
        nms_threshold=0.9,
        pre_nms_limit=6000,
        std_dev=STD_DEV,
        native=native,
        clip_to_window=True,
        box_offset=offset,
    )
    scores = f32(np.stack([1 - scores, scores], -1))
    rois = layer(scores, f32(np.zeros((1, 4, 4))), levels, meta(window=window))
    expected = expected + [[0] * 4] * (4 - len(expected))
    assert_allclose(rois, [expected], atol=1e-6)


@BOTH_PATHS
def test_without_the_window_padding_belongs_to_the_image(native):
    layer = layers.ProposalLayer(
        proposal_count=1,
        nms_threshold=0.7,
        pre_nms_limit=6000,
        std_dev=STD_DEV,
        native=native,
        box_offset=0,
    )
    image_meta = meta(window=(0, 0, 4, 3))
    rois = layer(f32([[[0.1, 0.9]]]), f32(np.zeros((1, 1, 4))), [SECOND[:, 1:]], image_meta)
    assert_allclose(rois, [[CORNER]])


@BOTH_PATHS
@pytest.mark.parametrize(("rounding", "levels"), [("floor", [4, 3]), ("round", [4, 4])])
def test_level_rounding_of_roi_align(rounding, levels, native):
    # Boxes of 224 and of 0.4375 * 448 = 196 pixels: log2 0 and -0.19.
    features = [f32(np.full((1, 8, 8, 1), level)) for level in (2, 3, 4, 5)]
    layer = layers.PyramidROIAlign(
        1, mode="roi_align", sampling_ratio=2, native=native, level_rounding=rounding, box_offset=0
    )
    boxes = f32([[[0.5, 0.5, 1, 1], [0, 0, 0.4375, 0.4375]]])
    assert_allclose(layer(boxes, meta(448), features)[0, :, 0, 0, 0], levels)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 1, 2])
@pytest.mark.parametrize(
    ("aligned", "expected"),
    [
        # Pixels 1 to 3 of 4, half-open: bins with centers 1.5 and 2.5; aligned half a pixel less.
        (False, [[16.5, 17.5], [26.5, 27.5]]),
        (True, [[11, 12], [21, 22]]),
    ],
)
def test_roi_align_with_offset_0(aligned, expected, ratio, native):
    layer = layers.PyramidROIAlign(
        2,
        mode="roi_align",
        sampling_ratio=ratio,
        aligned=aligned,
        native=native,
        level_rounding="floor",
        box_offset=0,
    )
    pooled = layer(f32([[[0.25, 0.25, 0.75, 0.75]]]), meta(4), [ramp(4)])
    assert_allclose(pooled[0, 0, ..., 0], expected, rtol=1e-6)


# ---- DetectionLayer of every class


def detect_classes(probs, rois=ROIS, deltas=None, count=3, confidence=0.25, native=True, **options):
    """Detections of one image of 3 classes."""
    image_meta = options.pop("image_meta", meta())
    deltas = np.zeros((len(rois), 3, 4)) if deltas is None else deltas
    layer = detection_layers.DetectionLayer(
        per_class=True,
        max_instances=count,
        min_confidence=confidence,
        nms_threshold=0.3,
        std_dev=STD_DEV,
        native=native,
        **options,
    )
    detections = layer(f32([rois]), f32([probs]), f32([deltas]), image_meta)
    assert detections.shape == (1, count, 6)
    return convert_to_numpy(detections)[0]


@BOTH_PATHS
def test_one_roi_may_be_of_two_classes(native):
    # Class 1 stays. Class 2: center y 0.75 - 1 * 0.1 * 0.5 = 0.7, width 0.5 / 2 around 0.75.
    # Background's deltas would show.
    deltas = [[[9] * 4, [0] * 4, [-1, 0, 0, -5 * np.log(2)]]]
    found = detect_classes([[0.0, 0.5, 0.375]], [ROIS[2]], deltas, native=native)
    expected = [[*ROIS[2], 1, 0.5], [0.45, 0.625, 0.95, 0.875, 2, 0.375], [0] * 6]
    assert_allclose(found, expected, rtol=1e-5)


@BOTH_PATHS
def test_background_is_no_class_and_takes_none_away(native):
    # The largest is background's in both.
    probs = [[0.5, 0.25, 0.25], [1, 0, 0], [0.625, 0.0, 0.375]]
    found = detect_classes(probs, confidence=0.3, native=native)
    assert_allclose(found, [[*ROIS[2], 2, 0.375], [0] * 6, [0] * 6])


@BOTH_PATHS
def test_each_class_has_its_threshold_and_the_threshold_counts(native):
    probs = [[0, 0.5, 0.25], [1, 0, 0], [0, 0.125, 0.75]]
    found = detect_classes(probs, native=native)
    expected = [[*ROIS[2], 2, 0.75], [*ROIS[0], 1, 0.5], [*ROIS[0], 2, 0.25]]
    assert_allclose(found, expected)


@BOTH_PATHS
def test_duplicates_go_within_their_class_only(native):
    # The first two overlap by 0.8.
    probs = [[0, 0.75, 0.0], [0, 0.5, 0.625], [1, 0, 0]]
    found = detect_classes(probs, native=native)
    assert_allclose(found, [[*ROIS[0], 1, 0.75], [*ROIS[1], 2, 0.625], [0] * 6])


@BOTH_PATHS
def test_detections_of_classes_end_at_the_window(native):
    # Rows 0.25 to 0.75 and columns 0 to 0.5 of 5 pixels: the third ROI has no area there.
    probs = [[0, 1, 0], [1, 0, 0], [0, 0, 0.5]]
    image_meta = meta(window=(1, 0, 4, 3))
    found = detect_classes(probs, native=native, image_meta=image_meta)
    assert_allclose(found, [[0.25, 0, 0.5, 0.5, 1, 1], [0] * 6, [0] * 6])
    # With offset 0: rows 0.2 to 0.8 and columns 0 to 0.6.
    found = detect_classes(probs, native=native, image_meta=image_meta, box_offset=0)
    expected = [[0.2, 0, 0.5, 0.5, 1, 1], [0.5, 0.5, 0.8, 0.6, 2, 0.5], [0] * 6]
    assert_allclose(found, expected, rtol=1e-6)


@BOTH_PATHS
def test_padded_rois_are_of_no_class(native):
    # Even where deltas would make something of them.
    deltas = np.full((2, 3, 4), 1.0)
    found = detect_classes([[0, 1, 1]] * 2, [[0] * 4] * 2, deltas, native=native)
    assert_array_equal(found, np.zeros((3, 6)))
    rois, probs = [ROIS[2], [0] * 4], [[0, 0.5, 0], [0, 1, 1]]
    found = detect_classes(probs, rois, native=native)
    assert_allclose(found, [[*ROIS[2], 1, 0.5], [0] * 6, [0] * 6])


@BOTH_PATHS
def test_at_most_so_many_detections_of_all_classes(native):
    probs = [[0, 0.5, 0.75], [1, 0, 0], [0, 0.625, 1.0]]
    found = detect_classes(probs, count=2, native=native)
    assert_allclose(found, [[*ROIS[2], 2, 1], [*ROIS[0], 2, 0.75]])


# ---- every layer: configuration and symbolic build

MASKS = ops.ones((1, 2, 2, 2), "bool")
UNIT_BOXES = f32([[[0, 0, 0.5, 0.5], [0.5, 0.25, 1, 1]]])
PROBS = f32([[[0.1, 0.9, 0.0], [0.2, 0.1, 0.7]]])
# Layers and inputs of each.
EVERY_CLASS = {"per_class": True, "max_instances": 3, "min_confidence": 0.1}
EVERY_CLASS |= {"nms_threshold": 0.4, "std_dev": STD_DEV}
LAYERS = {
    "NormBoxes": (layers.NormBoxes(), (GT_BOXES, meta())),
    "Anchors": (
        layers.Anchors(scales=[8, 16], ratios=[0.5, 1], strides=[4, 8], anchor_stride=2),
        (f32(np.zeros((1, 24, 16, 3))), [f32(np.zeros((1, n, 4, 1))) for n in (6, 3)]),
    ),
    "Anchors measured": (
        layers.Anchors(
            scales=[8, 16],
            ratios=[0.5, 1],
            strides=[4, 8],
            anchor_stride=1,
            rounded=True,
            measured_strides=True,
            box_offset=0,
        ),
        (f32(np.zeros((1, 25, 18, 3))), [f32(np.zeros((1, n, 4, 1))) for n in (6, 3)]),
    ),
    "ProposalLayer levels": (
        layers.ProposalLayer(
            proposal_count=3,
            nms_threshold=0.6,
            pre_nms_limit=5,
            std_dev=STD_DEV,
            clip_to_window=True,
            box_offset=0,
        ),
        (
            f32([[[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [0.7, 0.3]]]),
            ANCHORS * 0.1,
            [ANCHORS[:, :1], ANCHORS[:, 1:]],
            meta(window=(0, 0, 4, 3)),
        ),
    ),
    "ProposalLayer": (
        layers.ProposalLayer(proposal_count=3, nms_threshold=0.6, pre_nms_limit=5, std_dev=STD_DEV),
        (
            f32([[[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [0.7, 0.3]]]),
            ANCHORS * 0.1,
            [ANCHORS],
            meta(),
        ),
    ),
    "ProposalLayer portable": (
        layers.ProposalLayer(
            proposal_count=3, nms_threshold=0.6, pre_nms_limit=5, std_dev=STD_DEV, native=False
        ),
        (
            f32([[[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [0.7, 0.3]]]),
            ANCHORS * 0.1,
            [ANCHORS],
            meta(),
        ),
    ),
    "PyramidROIAlign": (layers.PyramidROIAlign(2), (UNIT_BOXES, meta(), [ramp(5), ramp(3)])),
    "PyramidROIAlign portable": (
        layers.PyramidROIAlign(2, native=False),
        (UNIT_BOXES, meta(), [ramp(5), ramp(3)]),
    ),
    "PyramidROIAlign ratio": (
        layers.PyramidROIAlign(2, mode="roi_align", sampling_ratio=1, aligned=False),
        (UNIT_BOXES, meta(), [ramp(5), ramp(3)]),
    ),
    "PyramidROIAlign adaptive": (
        layers.PyramidROIAlign(2, mode="roi_align", sampling_ratio=0),
        (UNIT_BOXES, meta(), [ramp(5), ramp(3)]),
    ),
    "PyramidROIAlign floor": (
        layers.PyramidROIAlign(
            2,
            mode="roi_align",
            sampling_ratio=2,
            aligned=False,
            level_rounding="floor",
            box_offset=0,
        ),
        (UNIT_BOXES, meta(), [ramp(5), ramp(3)]),
    ),
    "AnchorTargetLayer": (
        target_layers.AnchorTargetLayer(num_anchors=2, std_dev=STD_DEV, seed=1),
        (PIXEL_ANCHORS, GT_CLASS_IDS, GT_BOXES),
    ),
    "DetectionTargetLayer": (
        target_layers.DetectionTargetLayer(
            num_rois=3,
            positive_ratio=0.4,
            std_dev=STD_DEV,
            mask_shape=(3, 2),
            mini_masks=False,
            fill_negatives=True,
            add_gt=True,
            seed=1,
        ),
        (UNIT_BOXES, i32([[2, 1]]), UNIT_BOXES * 0.9, MASKS),
    ),
    "DetectionLayer": (
        detection_layers.DetectionLayer(
            max_instances=3, min_confidence=0.1, nms_threshold=0.4, std_dev=STD_DEV
        ),
        (UNIT_BOXES, PROBS, f32(np.ones((1, 2, 3, 4))), meta()),
    ),
    "DetectionLayer portable": (
        detection_layers.DetectionLayer(
            max_instances=3, min_confidence=0.1, nms_threshold=0.4, std_dev=STD_DEV, native=False
        ),
        (UNIT_BOXES, PROBS, f32(np.ones((1, 2, 3, 4))), meta()),
    ),
    "DetectionLayer of every class": (
        detection_layers.DetectionLayer(**EVERY_CLASS, box_offset=0),
        (UNIT_BOXES, PROBS, f32(np.ones((1, 2, 3, 4))), meta()),
    ),
    "DetectionLayer of every class portable": (
        detection_layers.DetectionLayer(**EVERY_CLASS, native=False),
        (UNIT_BOXES, PROBS, f32(np.ones((1, 2, 3, 4))), meta()),
    ),
    "ClassMasks": (
        detection_layers.ClassMasks(),
        (f32(np.arange(12).reshape(1, 2, 1, 2, 3)), f32([[[0, 0, 1, 1, 2, 0.9], [0] * 6]])),
    ),
    "Loss": (
        target_layers.Loss(name="mrcnn_class_loss"),
        (i32([[1, 0]]), PROBS, f32([[1, 1, 1]])),
    ),
}
EACH_LAYER = pytest.mark.parametrize("name", LAYERS)


def assert_same(actual, expected):
    actual, expected = keras.tree.flatten(actual), keras.tree.flatten(expected)
    for a, b in zip(actual, expected, strict=True):
        assert_allclose(a, b, atol=1e-6)


def clone(layer):
    """The layer as a saved model would bring it back."""
    return type(layer).from_config(json.loads(json.dumps(layer.get_config())))


@EACH_LAYER
def test_layer_from_its_configuration_gives_the_same(name):
    layer, inputs = LAYERS[name]
    copy = clone(layer)
    assert copy.name == layer.name
    assert copy.get_config() == layer.get_config()
    assert_same(copy(*inputs), clone(layer)(*inputs))
    assert not copy.weights or all("seed" in weight.path for weight in copy.weights)
    assert not copy.trainable_weights


def test_target_layers_of_one_seed_draw_alike():
    boxes = f32([np.linspace([0, 0, 1, 1], [0.5, 0.5, 0.75, 0.75], 60)])
    anchors = target_layers.AnchorTargetLayer(num_anchors=8, std_dev=STD_DEV, seed=1)
    rois = target_layers.DetectionTargetLayer(
        num_rois=8,
        positive_ratio=0.5,
        std_dev=STD_DEV,
        mask_shape=(2, 2),
        mini_masks=True,
        fill_negatives=True,
        seed=1,
    )
    class_ids, gt_boxes, masks = i32([[0]]), f32([[[0, 0, 0, 0]]]), ops.ones((1, 2, 2, 1), "bool")
    for layer, inputs in [(anchors, ()), (rois, (masks,))]:
        first, second = (clone(layer)(boxes, class_ids, gt_boxes, *inputs) for _ in range(2))
        assert_same(first, second)
        different = layer.from_config({**layer.get_config(), "seed": 2})
        with pytest.raises(AssertionError):
            assert_same(different(boxes, class_ids, gt_boxes, *inputs), first)


def unknown_sides(tensor):
    """The shape of a tensor for `keras.Input`; height and width of images and masks are None."""
    is_picture = len(tensor.shape) == 4 and tensor.shape[-1] < 4  # else [B, N, K, 4]
    return (None, None, tensor.shape[-1]) if is_picture else tuple(tensor.shape[1:])


@EACH_LAYER
def test_layer_builds_with_unknown_height_and_width(name):
    layer, inputs = clone(LAYERS[name][0]), LAYERS[name][1]
    symbols = keras.tree.map_structure(
        lambda x: keras.Input(
            unknown_sides(x), batch_size=1, dtype=keras.backend.standardize_dtype(x.dtype)
        ),
        inputs,
    )
    model = keras.Model(symbols, layer(*symbols))
    assert_same(model(inputs), clone(LAYERS[name][0])(*inputs))


@pytest.mark.parametrize("name", ["ProposalLayer", "ProposalLayer portable", "AnchorTargetLayer"])
def test_layer_builds_with_an_unknown_number_of_anchors(name):
    layer, inputs = clone(LAYERS[name][0]), LAYERS[name][1]
    anchors = PIXEL_ANCHORS if name == "AnchorTargetLayer" else ANCHORS
    symbols = keras.tree.map_structure(
        lambda x: keras.Input(
            (None if x.shape[1] == anchors.shape[1] else x.shape[1], *x.shape[2:]),
            batch_size=1,
            dtype=keras.backend.standardize_dtype(x.dtype),
        ),
        list(inputs),
    )
    model = keras.Model(symbols, layer(*symbols))
    assert_same(model(list(inputs)), clone(LAYERS[name][0])(*inputs))
