"""matterport's functions and layers under its signatures, one by one and as a network by hand."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, i32
from tiny import TinyConfig, shapes, tiny_backbone

from mrcnn import model as modellib
from mrcnn.config import Config
from mrcnn.image import compose_image_meta
from mrcnn.matterport import generator as matterport_data
from mrcnn.matterport import graphs as matterport_graphs
from mrcnn.matterport.generator import data_generator


def config_of(**keys):
    return type("TestConfig", (Config,), {"NAME": "test", "NUM_CLASSES": 3, **keys})()


def meta(height=1024, width=1024, window=None, classes=3):
    window = window or (0, 0, height, width)
    shape = (height, width, 3)
    return f32([compose_image_meta(0, shape, shape, window, 1, [1] * classes)])


# ---- boxes


def test_backbone_shapes_round_up():
    expected = [[25, 16], [13, 8], [7, 4], [4, 2], [2, 1]]
    assert modellib.compute_backbone_shapes(Config(), (100, 64, 3)).tolist() == expected


def test_callable_backbone_may_tell_its_shapes():
    told = config_of(
        BACKBONE=tiny_backbone, COMPUTE_BACKBONE_SHAPE=lambda config, shape: [shape[:2]] * 5
    )
    assert modellib.compute_backbone_shapes(told, (6, 7, 3)).tolist() == [[6, 7]] * 5
    silent = config_of(BACKBONE=tiny_backbone)
    assert modellib.compute_backbone_shapes(silent, (64, 64, 3))[:, 0].tolist() == [16, 8, 4, 2, 1]


def test_box_functions():
    # Centre (5, 10) + (0.1 * 10, 0.2 * 20) = (6, 14); size (10 * 2, 20).
    refined = modellib.apply_box_deltas_graph(
        f32([[0, 0, 10, 20]]), f32([[0.1, 0.2, np.log(2), 0]])
    )
    assert_allclose(refined, [[-4, 4, 16, 24]], rtol=1e-6)
    clipped = modellib.clip_boxes_graph(f32([[-4, 4, 16, 24]]), f32([0, 5, 10, 20]))
    assert_array_equal(clipped, [[0, 5, 10, 20]])
    # 50 of 100, and 50 of 100 + 100 - 50.
    overlaps = modellib.overlaps_graph(f32([[0, 0, 10, 10]]), f32([[0, 0, 10, 5], [0, 5, 20, 10]]))
    assert_allclose(overlaps, [[1 / 2, 1 / 3]], rtol=1e-6)
    assert_allclose(modellib.log2_graph(f32([8.0, 0.5])), [3, -1])


def test_normalised_boxes_and_back():
    # y / 10, x / 20; the last row and column are one less than y2, x2.
    boxes, normalised = [[0, 0, 11, 21], [5, 5, 6, 11]], [[0, 0, 1, 1], [0.5, 0.25, 0.5, 0.5]]
    assert_allclose(modellib.norm_boxes_graph(f32(boxes), i32([11, 21])), normalised)
    pixels = modellib.denorm_boxes_graph(f32(normalised), i32([11, 21]))
    assert keras.backend.standardize_dtype(pixels.dtype) == "int32"
    assert_array_equal(pixels, boxes)
    rounded = modellib.denorm_boxes_graph(f32([[0.26, 0.24, 0.5, 0.5]]), i32([11, 11]))
    assert_array_equal(rounded, [[3, 2, 6, 6]])  # 2.6, 2.4, 5 + 1, 5 + 1


def test_rows_of_zeros_are_trimmed():
    boxes, kept = modellib.trim_zeros_graph(
        f32([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0], [-1, 0, 0, 0]]), name="trim"
    )
    assert_array_equal(boxes, [[0, 0, 1, 1], [-1, 0, 0, 0]])
    assert_array_equal(kept, [False, True, False, True])


def test_batch_pack_takes_the_first_of_each_row():
    packed = modellib.batch_pack_graph(f32([[1, 2], [3, 4], [5, 6]]), i32([2, 0, 1]), 3)
    assert_array_equal(packed, [1, 2, 5])


def test_meta_is_parsed_in_the_graph():
    parts = modellib.parse_image_meta_graph(meta(64, 32, (1, 2, 63, 30)))
    assert_array_equal(parts["window"], [[1, 2, 63, 30]])
    assert_array_equal(parts["image_shape"], [[64, 32, 3]])


# ---- ProposalLayer


def test_proposals_of_each_image_come_from_its_own_anchors():
    config = config_of(PRE_NMS_LIMIT=3)
    layer = modellib.ProposalLayer(proposal_count=3, nms_threshold=0.7, config=config, name="ROI")
    best, beyond, double, late = [0, 0, 0.5, 0.5], [0.8, 0.8, 1.2, 1.2], [0, 0, 0.5, 0.4], [0.1] * 4
    anchors = [[best, beyond, double, late], [late, late, late, best]]
    scores = [[0.9, 0.6, 0.8, 0.5], [0.1, 0.2, 0.3, 0.4]]
    probs = f32([[[1 - s, s] for s in image] for image in scores])
    deltas = np.zeros((2, 4, 4))
    deltas[1, 3, 1] = 1.0  # times 0.1, of a width of 0.5: 0.05 to the right
    found = convert_to_numpy(layer([probs, f32(deltas), f32(anchors)]))
    # `double` has an IoU of 0.8 with `best`; `late` is the fourth of three.
    assert_allclose(found[0], [best, [0.8, 0.8, 1, 1], [0] * 4], atol=1e-6)
    assert_allclose(found[1, 0], [0, 0.05, 0.5, 0.55], atol=1e-6)


@pytest.mark.parametrize(
    ("key", "lacking"),
    [("RPN_NMS_PER_LEVEL", "the levels of the anchors"), ("RPN_CLIP_TO_WINDOW", "image_meta")],
)
def test_proposals_refuse_what_their_inputs_cannot_tell(key, lacking):
    with pytest.raises(ValueError, match=f"{key} is True, but .* do not have {lacking}"):
        modellib.ProposalLayer(3, 0.7, config_of(**{key: True}))


# ---- PyramidROIAlign


def test_boxes_are_pooled_from_the_level_of_their_size():
    # 4 + log2(side / 224): 224 -> 4, 112 -> 3, 1023 -> 6.2, at most 5, 10 -> -0.5, at least 2.
    sides = np.array([224, 112, 1023, 10]) / 1024
    boxes = f32([[[0, 0, side, side] for side in sides]])
    features = [f32(np.full((1, 8, 8, 2), level)) for level in (2, 3, 4, 5)]
    pooled = modellib.PyramidROIAlign([7, 7], name="align")([boxes, meta(), *features])
    assert pooled.shape == (1, 4, 7, 7, 2)
    assert_array_equal(pooled[0, :, 3, 3, 0], [4, 3, 5, 2])
    assert_allclose(pooled[0, :, 0, 6, 1], [4, 3, 5, 2])


def test_pooled_bins_are_square():
    with pytest.raises(ValueError, match=r"\[7, 14\]; expected equal sides"):
        modellib.PyramidROIAlign([7, 14])


# ---- detections

# The first two share 0.5 * 0.4 of 0.5 * 0.5: IoU 0.8.
ROIS = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.4], [0.5, 0.5, 1, 1], [0, 0, 0, 0]]
PROBS = [[0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.1, 0.0, 0.9], [0.0, 1.0, 0.0]]
DETECTIONS = [[0.6, 0.5, 0.9, 0.9, 2, 0.9], [0.1, 0, 0.5, 0.4, 1, 0.8], [0] * 6]


def deltas():
    found = np.zeros((4, 3, 4))
    found[2, 2, 0] = 2.0  # times 0.1, of a height of 0.5: 0.1 down
    found[2, 1] = 9.0  # of a class that is not the best
    return f32(found)


def test_detections_of_one_image():
    config = config_of(DETECTION_MAX_INSTANCES=3)
    window = f32([0.1, 0, 0.9, 0.9])
    found = modellib.refine_detections_graph(f32(ROIS), f32(PROBS), deltas(), window, config)
    assert_allclose(found, DETECTIONS, atol=1e-6)
    config.DETECTION_MIN_CONFIDENCE = 0.85
    found = modellib.refine_detections_graph(f32(ROIS), f32(PROBS), deltas(), window, config)
    assert_allclose(found, [DETECTIONS[0], [0] * 6, [0] * 6], atol=1e-6)


def test_detection_layer():
    layer = modellib.DetectionLayer(config_of(DETECTION_MAX_INSTANCES=3), name="mrcnn_detection")
    # 11 / 110 and (100 - 1) / 110 of 111 pixels are 0.1 and 0.9.
    image_meta = meta(111, 111, (11, 0, 100, 100))
    found = layer([f32([ROIS]), f32([PROBS]), deltas()[None], image_meta])
    assert_allclose(found, [DETECTIONS], atol=1e-6)


def test_detection_layer_takes_the_configs_box_offset():
    # 11 / 110 and 99 / 110 of 110 pixels are 0.1 and 0.9 where boxes have no offset.
    layer = modellib.DetectionLayer(config_of(DETECTION_MAX_INSTANCES=3, BOX_OFFSET=0))
    found = layer([f32([ROIS]), f32([PROBS]), deltas()[None], meta(110, 110, (11, 0, 99, 99))])
    assert_allclose(found, [DETECTIONS], atol=1e-6)


def test_detections_of_every_class_where_the_config_says_so():
    # Class 1 stays. Class 2: center y 0.75 - 1 * 0.1 * 0.5 = 0.7, width 0.5 / 2 around 0.75.
    config = config_of(
        DETECTION_MAX_INSTANCES=3, DETECTION_MIN_CONFIDENCE=0.25, DETECTION_PER_CLASS=True
    )
    roi, probs = f32([[0.5, 0.5, 1, 1]]), f32([[0.0, 0.5, 0.375]])
    moves = f32([[[9] * 4, [0] * 4, [-1, 0, 0, -5 * np.log(2)]]])
    expected = [[0.5, 0.5, 1, 1, 1, 0.5], [0.45, 0.625, 0.95, 0.875, 2, 0.375], [0] * 6]
    found = modellib.refine_detections_graph(roi, probs, moves, f32([0, 0, 1, 1]), config)
    assert_allclose(found, expected, atol=1e-6)
    layer = modellib.DetectionLayer(config)
    assert_allclose(layer([roi[None], probs[None], moves[None], meta()])[0], expected, atol=1e-6)


# ---- targets

# IoU 0.4 / 0.5 with the object of class 2; the second proposal touches none; the third is padding.
PROPOSALS = [[0, 0, 0.5, 0.4], [0.6, 0.6, 1, 1], [0, 0, 0, 0]]
GT_BOXES = [[0, 0, 0.5, 0.5], [0, 0, 0, 0]]
# dx (0.25 - 0.2) / 0.4 / 0.1, log dw log(0.5 / 0.4) / 0.2
DELTAS = [0, 1.25, 0, 1.1157178]


def target_config():
    return config_of(TRAIN_ROIS_PER_IMAGE=4, ROI_POSITIVE_RATIO=0.5, MASK_SHAPE=[2, 2])


def gt_masks():
    # The ROI ends at 0.8 of the object, column 0.8 * 5 = 4 of its mini-mask.
    masks = np.zeros((2, 6, 2), bool)
    masks[:, [0, 1, 2, 3, 5], 0] = True
    return ops.convert_to_tensor(masks)


def test_targets_of_one_image_are_padded_with_zeros():
    rois, class_ids, bbox, masks = modellib.detection_targets_graph(
        f32(PROPOSALS), i32([2, 0]), f32(GT_BOXES), gt_masks(), target_config()
    )
    assert_allclose(rois, [*PROPOSALS[:2], [0] * 4, [0] * 4])
    assert_array_equal(class_ids, [2, 0, 0, 0])
    assert_allclose(bbox, [DELTAS, [0] * 4, [0] * 4, [0] * 4], atol=1e-5)
    assert_array_equal(masks, [[[1, 0], [1, 0]], *np.zeros((3, 2, 2))])


def test_target_layer():
    layer = modellib.DetectionTargetLayer(target_config(), name="proposal_targets")
    # The second image has no object.
    rois, class_ids, bbox, masks = layer(
        [
            f32([PROPOSALS, PROPOSALS]),
            i32([[2, 0], [0, 0]]),
            f32([GT_BOXES, GT_BOXES]),
            ops.stack([gt_masks(), gt_masks()]),
        ]
    )
    assert_array_equal(class_ids, [[2, 0, 0, 0], [0] * 4])
    assert_allclose(rois[0], [*PROPOSALS[:2], [0] * 4, [0] * 4])
    assert_allclose(sorted(convert_to_numpy(rois[1]).tolist()), sorted([*PROPOSALS, [0] * 4]))
    assert_allclose(bbox[0, 0], DELTAS, atol=1e-5)
    assert_array_equal(bbox[1], np.zeros((4, 4)))
    assert masks.shape == (2, 4, 2, 2)
    assert_array_equal(masks[0, 0], [[1, 0], [1, 0]])
    assert_array_equal(ops.sum(masks), 2)


def test_targets_take_the_configs_mask_target():
    # An ROI as large as its object, over a mini-mask of 2 x 4 pixels whose first column is off.
    # A target of 2 x 2 has two samples along x: 0.5 (half of pixel 0, half of 1) and 1.5 give
    # (0.5 + 1) / 2, then 2.5 and 3.5 give 1. One sample at the corner would give 0.
    masks = np.zeros((2, 4, 1), bool)
    masks[:, [1, 2, 3], 0] = True
    config = target_config()
    config.MASK_TARGET, config.BOX_OFFSET = "roi_align", 0
    box = [[0.0, 0.0, 0.5, 0.5]]
    given = (f32(box), i32([1]), f32(box), ops.convert_to_tensor(masks))
    found = modellib.detection_targets_graph(*given, config)[3]
    assert_allclose(found[0], [[0.75, 1.0]] * 2, atol=1e-5)
    layer = modellib.DetectionTargetLayer(config)
    assert_allclose(layer([x[None] for x in given])[3][0, 0], [[0.75, 1.0]] * 2, atol=1e-5)


# ---- configuration of the layers


@pytest.mark.parametrize(
    "make",
    [
        lambda config: modellib.ProposalLayer(3, 0.5, config, name="it"),
        lambda config: modellib.PyramidROIAlign((5, 5), name="it"),
        lambda config: modellib.DetectionTargetLayer(config, name="it"),
        lambda config: modellib.DetectionLayer(config, name="it"),
        lambda config: modellib.BatchNorm(name="it", train_bn=False),
    ],
)
def test_layers_keep_their_numbers_without_a_config(make):
    config = config_of(
        PRE_NMS_LIMIT=7, TRAIN_ROIS_PER_IMAGE=9, DETECTION_MAX_INSTANCES=11, JIT_COMPILE=True
    )
    layer = make(config)
    saved = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(saved)
    assert json.loads(json.dumps(again.get_config())) == saved
    assert saved["name"] == "it"
    for key, value in (("pre_nms_limit", 7), ("num_rois", 9), ("max_instances", 11)):
        assert saved.get(key, value) == value
    assert getattr(again, "native", None) == getattr(layer, "native", None)


@pytest.mark.parametrize("compiled", [False, True])
def test_models_with_kernels_of_tensorflow_are_not_compiled_by_xla(compiled):
    config = config_of(JIT_COMPILE=compiled)
    assert modellib.ProposalLayer(3, 0.5, config).supports_jit == compiled
    assert modellib.DetectionLayer(config).supports_jit == compiled
    assert modellib.PyramidROIAlign([7, 7], native=not compiled).supports_jit == compiled


@pytest.mark.parametrize(
    ("layer", "arguments"),
    [("ProposalLayer", (3, 0.5)), ("DetectionLayer", ()), ("DetectionTargetLayer", ())],
)
def test_layers_need_a_config(layer, arguments):
    with pytest.raises(ValueError, match=f"{layer}: expected config=, .* received None"):
        getattr(modellib, layer)(*arguments)


def test_batch_norm_stays_fixed_in_a_training_model():
    pixels = f32([[[1.0], [3.0]]])
    inputs = keras.Input((2, 1))
    expected = {False: [1, 3] / np.sqrt(1.001), None: [-1 / np.sqrt(1.001), 1 / np.sqrt(1.001)]}
    for training, values in expected.items():
        outputs = modellib.BatchNorm(name="bn_fixed")(inputs, training=training)
        model = keras.Model(inputs, outputs)
        assert_allclose(model(pixels, training=True)[0, :, 0], values, rtol=1e-5)
        assert_allclose(model(pixels, training=False)[0, :, 0].shape, [2])
        assert [w.name for w in model.layers[1].weights][:2] == ["gamma", "beta"]


# ---- heads


def test_rpn_puts_its_layers_into_the_callers_model():
    feature = keras.Input((4, 3, 5))
    outputs = modellib.rpn_graph(feature, 3, 1)
    assert [tuple(x.shape) for x in outputs] == [(None, 36, 2), (None, 36, 2), (None, 36, 4)]
    mine, nested = keras.Model(feature, outputs), modellib.build_rpn_model(1, 3, 5)
    names = {"rpn_conv_shared", "rpn_class_raw", "rpn_class_xxx", "rpn_bbox_pred"}
    assert names < {layer.name for layer in mine.layers}
    assert mine.get_layer("rpn_class_xxx").output.shape == (None, 36, 2)
    assert (nested.name, nested.inputs[0].name) == ("rpn_model", "input_rpn_feature_map")
    mine.set_weights(nested.get_weights())
    pixels = f32(np.random.default_rng(0).normal(size=(2, 4, 3, 5)))
    for got, expected in zip(mine(pixels), nested([pixels]), strict=True):
        assert_allclose(got, expected, atol=1e-6)
    assert_array_equal(nested(pixels)[0], nested([pixels])[0])
    assert nested.count_params() == 9 * 5 * 512 + 512 + 512 * 18 + 18


def test_rpn_has_matterports_size():
    assert modellib.build_rpn_model(1, 3, 256).count_params() == 1_189_394


def head_inputs(channels):
    features = [keras.Input((side, side, channels)) for side in (16, 8, 4, 2)]
    return keras.Input((10, 4), name="rois"), features, keras.Input((93,), name="meta")


def test_heads_have_matterports_shapes_names_and_sizes():
    rois, features, image_meta = head_inputs(256)
    outputs = modellib.fpn_classifier_graph(rois, features, image_meta, 7, 81, train_bn=False)
    assert [tuple(x.shape[1:]) for x in outputs] == [(10, 81), (10, 81), (10, 81, 4)]
    model = keras.Model([rois, *features, image_meta], outputs)
    assert model.count_params() == 14_318_997
    names = {layer.name for layer in model.layers}
    assert {"roi_align_classifier", "mrcnn_class_conv1", "mrcnn_class_bn2", "pool_squeeze"} < names
    assert {"mrcnn_class_logits", "mrcnn_class", "mrcnn_bbox_fc", "mrcnn_bbox"} < names

    masks = modellib.build_fpn_mask_graph(rois, features, image_meta, 14, 81, train_bn=False)
    assert tuple(masks.shape[1:]) == (10, 28, 28, 81)
    model = keras.Model([rois, *features, image_meta], masks)
    assert model.count_params() == 2_647_633
    names = {layer.name for layer in model.layers}
    assert {"roi_align_mask", "mrcnn_mask_conv4", "mrcnn_mask_bn1", "mrcnn_mask_deconv"} < names
    assert "mrcnn_mask" in names


def test_masks_are_probabilities():
    rois, features, image_meta = head_inputs(2)
    masks = modellib.build_fpn_mask_graph(rois, features, image_meta, 2, 3)
    model = keras.Model([rois, *features, image_meta], masks)
    model.get_layer("mrcnn_mask").set_weights([np.zeros((1, 1, 256, 3)), np.log([1, 3, 1 / 3])])
    arrays = [f32(np.zeros((1, *x.shape[1:]))) for x in model.inputs]
    arrays[-1] = meta(64, 64, classes=81)
    assert_allclose(model(arrays)[0, 0, 0, 0], [1 / 2, 3 / 4, 1 / 4], rtol=1e-5)


def test_number_of_rois_must_be_fixed():
    _, features, image_meta = head_inputs(2)
    with pytest.raises(ValueError, match=r"\(None, None, 4\); expected a fixed number"):
        modellib.fpn_classifier_graph(keras.Input((None, 4)), features, image_meta, 7, 3)


# ---- losses


def test_smooth_l1_loss():
    assert_allclose(modellib.smooth_l1_loss(f32([0, 0, 0]), f32([0.5, -2, 1])), [0.125, 1.5, 0.5])


def test_rpn_bbox_loss_takes_the_configs_beta():
    # One positive anchor, 2 off in one of its four deltas: 2 - beta / 2.
    for beta, expected in ((1.0, 1.5), (0.5, 1.75)):
        found = modellib.rpn_bbox_loss_graph(
            config_of(SMOOTH_L1_BETA=beta), f32([[[2, 0, 0, 0]]]), i32([[[1]]]), f32([[[0] * 4]])
        )
        assert float(found) == pytest.approx(expected / 4)


def test_rpn_class_loss():
    match = i32([[[1], [-1], [0]]])
    logits = f32([[[0, np.log(3)], [0, 0], [9, -9]]])
    # -log(3 / 4) and -log(1 / 2)
    expected = (0.2876821 + 0.6931472) / 2
    assert_allclose(modellib.rpn_class_loss_graph(match, logits), expected, rtol=1e-6)
    assert modellib.rpn_class_loss_graph(0 * match, logits) == 0


def test_rpn_box_loss_pairs_rows_with_positive_anchors_in_order():
    match = i32([[[0], [1], [-1], [1]], [[1], [0], [0], [0]]])
    target = f32([[[0.5, 0, 0, 0], [2, 0, 0, 0]], [[1, 0, 0, 0], [99, 99, 99, 99]]])
    pred = np.zeros((2, 4, 4))
    pred[0, 3, 0] = 2.0  # as its target, the second row; the others are zeros
    pred[0, 2] = pred[1, 1] = 7.0  # not positive
    loss = modellib.rpn_bbox_loss_graph(Config(), target, match, f32(pred))
    assert_allclose(loss, (0.125 + 0 + 0.5) / 12, rtol=1e-6)
    assert modellib.rpn_bbox_loss_graph(Config(), target, 0 * match, f32(pred)) == 0


def test_class_loss_counts_classes_of_each_images_own_data_set():
    logits = f32([[[0, 0, np.log(2)]], [[0, 0, np.log(2)]]])  # class 2 is predicted, 1 : 1 : 2
    class_ids, known = f32([[1], [1]]), f32([[1, 1, 1], [1, 1, 0]])
    loss = modellib.mrcnn_class_loss_graph(class_ids, logits, known)
    assert_allclose(loss, -np.log(1 / 4), rtol=1e-6)
    assert modellib.mrcnn_class_loss_graph(class_ids, logits, 0 * known) == 0


def test_box_loss_takes_the_deltas_of_the_class():
    pred = np.full((1, 2, 3, 4), 9.0)
    pred[0, 0, 2] = [0.5, 0, 0, 2]
    args = f32(np.zeros((1, 2, 4))), i32([[2, 0]])
    loss = modellib.mrcnn_bbox_loss_graph(*args, f32(pred))
    assert_allclose(loss, (0.125 + 1.5) / 4, rtol=1e-6)
    assert modellib.mrcnn_bbox_loss_graph(args[0], i32([[0, 0]]), f32(pred)) == 0


def test_mask_loss_takes_probabilities_of_the_class():
    pred = np.full((1, 2, 1, 2, 3), 0.5)
    pred[0, 0, 0, :, 1] = [0.8, 0.0]
    target = f32([[[[1, 1]], [[1, 1]]]])
    loss = modellib.mrcnn_mask_loss_graph(target, i32([[1, 0]]), f32(pred))
    # -log(0.8), and -log(1e-7) as no probability counts as nought
    assert_allclose(loss, (0.2231436 + 16.1180957) / 2, rtol=1e-5)
    assert modellib.mrcnn_mask_loss_graph(target, i32([[0, 0]]), f32(pred)) == 0


# ---- a network by hand, as scripts and forks put it together


class HandConfig(TinyConfig):
    SEED = None
    TRAIN_BN = None
    # The mask head has 256 channels: fewer pixels.
    MASK_POOL_SIZE = 4
    MASK_SHAPE = (8, 8)


def lambda_layer(function, name=None):
    return layers.Lambda(lambda inputs: function(*inputs), name=name)


def fpn_by_hand(image, config):
    size = config.TOP_DOWN_PYRAMID_SIZE
    _, c2, c3, c4, c5 = config.BACKBONE(image, stage5=True, train_bn=config.TRAIN_BN)
    top = layers.Conv2D(size, 1, name="fpn_c5p5")(c5)
    tops = [top]
    for level, feature in ((4, c4), (3, c3), (2, c2)):
        lateral = layers.Conv2D(size, 1, name=f"fpn_c{level}p{level}")(feature)
        top = layers.Add(name=f"fpn_p{level}add")([layers.UpSampling2D(2)(top), lateral])
        tops.insert(0, top)
    pyramid = [layers.Conv2D(size, 3, padding="same")(top) for top in tops]
    return [*pyramid, layers.MaxPooling2D(1, 2)(pyramid[-1])]


def rpn_by_hand(pyramid, config):
    rpn = modellib.build_rpn_model(
        config.RPN_ANCHOR_STRIDE, len(config.RPN_ANCHOR_RATIOS), config.TOP_DOWN_PYRAMID_SIZE
    )
    outputs = zip(*[rpn([level]) for level in pyramid], strict=True)
    names = ("rpn_class_logits", "rpn_class", "rpn_bbox")
    return [
        layers.Concatenate(axis=1, name=name)(list(levels))
        for name, levels in zip(names, outputs, strict=True)
    ]


def build(mode, config):
    """matterport's graph of a mode: keras.Model."""
    image = layers.Input((None, None, 3), name="input_image")
    image_meta = layers.Input((config.IMAGE_META_SIZE,), name="input_image_meta")
    anchors = layers.Input((None, 4), name="input_anchors")
    pyramid = fpn_by_hand(image, config)
    class_logits, rpn_class, rpn_bbox = rpn_by_hand(pyramid, config)
    training = mode == "training"
    rpn_rois = modellib.ProposalLayer(
        proposal_count=config.POST_NMS_ROIS_TRAINING
        if training
        else config.POST_NMS_ROIS_INFERENCE,
        nms_threshold=config.RPN_NMS_THRESHOLD,
        name="ROI",
        config=config,
    )([rpn_class, rpn_bbox, anchors])
    inputs, maps, classes = [image, image_meta, anchors], pyramid[:4], config.NUM_CLASSES
    width = config.FPN_CLASSIF_FC_LAYERS_SIZE
    heads = {"train_bn": config.TRAIN_BN}
    if not training:
        _, mrcnn_class, mrcnn_bbox = modellib.fpn_classifier_graph(
            rpn_rois, maps, image_meta, config.POOL_SIZE, classes, fc_layers_size=width, **heads
        )
        detections = modellib.DetectionLayer(config, name="mrcnn_detection")(
            [rpn_rois, mrcnn_class, mrcnn_bbox, image_meta]
        )
        boxes = layers.Lambda(lambda x: x[..., :4])(detections)
        masks = modellib.build_fpn_mask_graph(
            boxes, maps, image_meta, config.MASK_POOL_SIZE, classes, **heads
        )
        outputs = [detections, mrcnn_class, mrcnn_bbox, masks, rpn_rois, rpn_class, rpn_bbox]
        return keras.Model(inputs, outputs, name="mask_rcnn")

    match = layers.Input((None, 1), dtype="int32", name="input_rpn_match")
    rpn_targets = layers.Input((None, 4), name="input_rpn_bbox")
    gt_ids = layers.Input((None,), dtype="int32", name="input_gt_class_ids")
    gt_pixels = layers.Input((None, 4), name="input_gt_boxes")
    gt_masks = layers.Input((*config.MINI_MASK_SHAPE, None), dtype="bool", name="input_gt_masks")
    gt_boxes = lambda_layer(lambda x, y: modellib.norm_boxes_graph(x, ops.shape(y)[1:3]))(
        [gt_pixels, image]
    )
    rois, ids, bbox, mask = modellib.DetectionTargetLayer(config, name="proposal_targets")(
        [rpn_rois, gt_ids, gt_boxes, gt_masks]
    )
    logits, _, mrcnn_bbox = modellib.fpn_classifier_graph(
        rois, maps, image_meta, config.POOL_SIZE, classes, fc_layers_size=width, **heads
    )
    masks = modellib.build_fpn_mask_graph(
        rois, maps, image_meta, config.MASK_POOL_SIZE, classes, **heads
    )
    known = layers.Lambda(lambda x: modellib.parse_image_meta_graph(x)["active_class_ids"])(
        image_meta
    )

    def loss(function, *tensors):
        return lambda_layer(function, function.__name__.removesuffix("_graph"))(list(tensors))

    losses = [
        loss(modellib.rpn_class_loss_graph, match, class_logits),
        lambda_layer(lambda *x: modellib.rpn_bbox_loss_graph(config, *x), "rpn_bbox_loss")(
            [rpn_targets, match, rpn_bbox]
        ),
        loss(modellib.mrcnn_class_loss_graph, ids, logits, known),
        loss(modellib.mrcnn_bbox_loss_graph, bbox, ids, mrcnn_bbox),
        loss(modellib.mrcnn_mask_loss_graph, mask, ids, masks),
    ]
    inputs += [match, rpn_targets, gt_ids, gt_pixels, gt_masks]
    return keras.Model(inputs, [*losses, rpn_rois, rois, ids], name="mask_rcnn")


def batch_by_hand():
    """The arrays that the model of `build` takes for training, from matterport's generator."""
    np.random.seed(0)
    config = HandConfig()
    generator = data_generator(shapes(2), config, shuffle=False, batch_size=2)
    inputs, outputs = next(generator)
    assert outputs == []
    anchors = anchors_by_hand(config)
    return [*inputs[:2], anchors, *inputs[2:]]


def anchors_by_hand(config):
    from mrcnn.ops.anchors import generate_pyramid_anchors

    pixels = generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES,
        config.RPN_ANCHOR_RATIOS,
        modellib.compute_backbone_shapes(config, config.IMAGE_SHAPE),
        config.BACKBONE_STRIDES,
        config.RPN_ANCHOR_STRIDE,
    )
    normalised = convert_to_numpy(modellib.norm_boxes_graph(pixels, config.IMAGE_SHAPE[:2]))
    return np.broadcast_to(normalised, (2, *normalised.shape))


def check_training_outputs(outputs, config):
    *losses, rpn_rois, rois, class_ids = (convert_to_numpy(x) for x in outputs)
    assert [loss.shape for loss in losses] == [()] * 5
    assert all(np.isfinite(loss) and loss > 0 for loss in losses)
    assert rpn_rois.shape == (2, config.POST_NMS_ROIS_TRAINING, 4)
    assert rois.shape == (2, config.TRAIN_ROIS_PER_IMAGE, 4)
    assert (class_ids > 0).any(axis=1).all()  # ROI_ADD_GT


def check_inference_outputs(outputs, config):
    found, rois, anchors = config.DETECTION_MAX_INSTANCES, config.POST_NMS_ROIS_INFERENCE, 1023
    assert [x.shape for x in outputs] == [
        (2, found, 6), (2, rois, 4), (2, rois, 4, 4), (2, found, 8, 8, 4), (2, rois, 4),
        (2, anchors, 2), (2, anchors, 4),
    ]  # fmt: skip
    assert (outputs[0][..., 5] > 0).any()


@pytest.mark.slow
def test_network_by_hand_takes_a_training_step():
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    config = HandConfig()
    model, batch = build("training", config), batch_by_hand()
    optimizer = keras.optimizers.SGD(0.01)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            outputs = model(batch, training=True)
            total = tf.add_n(outputs[:5])
        gradients = tape.gradient(total, model.trainable_weights)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        return outputs, gradients

    outputs, gradients = step()
    check_training_outputs(outputs, config)
    moved = [w.path for w, g in zip(model.trainable_weights, gradients, strict=True) if np.any(g)]
    # A bias before a BatchNorm has no gradient but rounding's.
    assert {w.path for w in model.trainable_weights if w.name != "bias"} <= set(moved)
    # The RPN's losses draw nothing at random: on the same batch a small step lowers them.
    assert sum(step()[0][:2]) < sum(outputs[:2])


@pytest.mark.slow
@pytest.mark.thorough
def test_network_by_hand_detects_the_same_on_jax(run_python, tmp_path):
    keras.utils.set_random_seed(1)
    config = HandConfig()
    model, batch = build("inference", config), batch_by_hand()
    expected = model.predict_on_batch(batch[:3])
    check_inference_outputs(expected, config)
    np.savez(tmp_path / "weights.npz", *model.get_weights())
    np.savez(tmp_path / "expected.npz", *expected)
    np.savez(tmp_path / "batch.npz", *batch)
    code = f"""
import sys
sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]}
import keras
import numpy as np
import test_matterport_graphs as test

def arrays(name):
    return list(np.load({str(tmp_path)!r} + "/" + name + ".npz").values())

assert keras.backend.backend() == "jax"
config = test.HandConfig()
model = test.build("inference", config)
model.set_weights(arrays("weights"))
batch = arrays("batch")
found = model.predict_on_batch(batch[:3])
test.check_inference_outputs(found, config)
for got, expected in zip(found, arrays("expected"), strict=True):
    np.testing.assert_allclose(got, expected, atol=1e-4)
model = test.build("training", config)
test.check_training_outputs(model.predict_on_batch(batch), config)
print("done")
"""
    assert "done" in run_python(code, "jax")


def test_a_saved_network_needs_no_config(tmp_path):
    config = HandConfig()
    _, features, image_meta = head_inputs(2)
    scores, anchors = keras.Input((None, 2)), keras.Input((None, 4))
    proposals = modellib.ProposalLayer(5, 0.7, config)([scores, anchors, anchors])
    pooled = modellib.PyramidROIAlign([3, 3])([proposals, image_meta, *features])
    model = keras.Model([scores, anchors, image_meta, *features], [proposals, pooled])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    rng = np.random.default_rng(0)
    arrays = [f32(rng.random((1, *[side or 20 for side in x.shape[1:]]))) for x in model.inputs]
    arrays[2] = meta(64, 64, classes=81)
    for got, expected in zip(again(arrays), model(arrays), strict=True):
        assert_array_equal(got, expected)


def test_every_name_is_there():
    assert {*matterport_graphs.__all__, *matterport_data.__all__} < {*modellib.__all__}
    assert all(hasattr(modellib, name) for name in modellib.__all__)
