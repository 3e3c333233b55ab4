"""`MaskRCNN` as matterport's scripts use it: named inputs and outputs, given anchors, targets."""

import keras
import numpy as np
import pytest
from tiny import TinyConfig, shapes, tiny_of

from mrcnn.model import DataGenerator, MaskRCNN
from mrcnn.ops.anchors import generate_pyramid_anchors
from mrcnn.presets import PRESETS


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return MaskRCNN("inference", TinyConfig(), tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def training_model(tmp_path_factory):
    return MaskRCNN("training", TinyConfig(), tmp_path_factory.mktemp("logs"))


IMAGE = shapes().load_image(0)  # [64, 64, 3]
INFERENCE_OUTPUTS = ["mrcnn_detection", "mrcnn_class", "mrcnn_bbox", "mrcnn_mask"]
INFERENCE_OUTPUTS += ["ROI", "rpn_class", "rpn_bbox"]
THOROUGH = [pytest.mark.thorough]
GIVEN_ANCHORS = [
    pytest.param(name, marks=[] if name == "torchvision/maskrcnn_resnet50_fpn" else THOROUGH)
    for name, preset in PRESETS.items()
    if preset.ARCHITECTURE == "mask_rcnn"
]


def test_inference_inputs_and_outputs(model):
    names = [tensor.name for tensor in model.keras_model.inputs]
    assert names == ["input_image", "input_image_meta", "input_anchors"]
    assert model.keras_model.output_names == INFERENCE_OUTPUTS
    assert [output.shape for output in model.keras_model.outputs] == [
        (None, 8, 6),
        (None, 16, 4),
        (None, 16, 4, 4),
        (None, 8, 28, 28, 4),
        (None, 16, 4),
        # (16 + 8 + 4 + 2 + 1 cells a side, squared) * 3
        (None, 1023, 2),
        (None, 1023, 4),
    ]


def test_training_inputs_and_outputs(training_model):
    graph = training_model.keras_model
    assert [tensor.name for tensor in graph.inputs] == [
        *("input_image", "input_image_meta", "input_rpn_match", "input_rpn_bbox"),
        *("input_gt_class_ids", "input_gt_boxes", "input_gt_masks"),
    ]
    assert graph.output_names == [
        *("rpn_class_logits", "rpn_class", "rpn_bbox"),
        *("mrcnn_class_logits", "mrcnn_class", "mrcnn_bbox", "mrcnn_mask", "ROI", "output_rois"),
        *("rpn_class_loss", "rpn_bbox_loss"),
        *("mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss"),
    ]
    shapes = {name: graph.get_layer(name).output.shape for name in ("ROI", "output_rois")}
    assert shapes["output_rois"] == (None, 12, 4)
    assert graph.outputs[6].shape == (None, 3, 28, 28, 4)  # int(12 * 0.33) may be positive


@pytest.mark.slow
@pytest.mark.parametrize("preset", GIVEN_ANCHORS)
def test_given_anchors_are_the_models_own(preset, tmp_path):
    config = tiny_of(preset)
    model = MaskRCNN("inference", config, tmp_path)
    molded, metas, _ = model.mold_inputs([IMAGE])
    anchors = model.get_anchors(molded.shape[1:])
    outputs = model.keras_model.predict([molded, metas, anchors[None]], verbose=0)
    expected = model.graphs["detection"].predict_on_batch(
        {"input_image": molded, "input_image_meta": metas}
    )
    # The detection graph folds BatchNorm into the convolutions, which rounds otherwise.
    np.testing.assert_allclose(outputs[0], expected["detections"], atol=5e-5)
    if config.USE_MASK:
        own_class = outputs[0][0, :, 4].astype(int)
        masks = outputs[3][0, np.arange(len(own_class)), :, :, own_class]
        np.testing.assert_allclose(masks, expected["masks"][0], atol=5e-5)
    if config.USE_KEYPOINTS:
        np.testing.assert_allclose(outputs[-1], expected["heatmaps"], atol=5e-5)
    assert config.USE_MASK or config.USE_KEYPOINTS


def test_other_anchors_give_other_proposals(model):
    molded, metas, _ = model.mold_inputs([IMAGE])
    # Deltas are in units of the anchor's size: one without size cannot move.
    point = np.full((1, 1023, 4), 0.375, "float32")
    rois = model.keras_model.predict([molded, metas, point], verbose=0)[4]
    np.testing.assert_array_equal(rois, np.full((1, 16, 4), 0.375, "float32"))


def test_anchors_in_pixels(model):
    normalized = model.get_anchors((64, 64, 3))
    sizes = [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    config = model.config
    expected = generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES, config.RPN_ANCHOR_RATIOS, sizes, [4, 8, 16, 32, 64], 1
    )
    np.testing.assert_allclose(model.anchors, expected)
    # Offset 1: y1 / 63 and (y2 - 1) / 63.
    np.testing.assert_allclose(normalized[:, 0], expected[:, 0] / 63, rtol=1e-6)
    np.testing.assert_allclose(normalized[:, 3], (expected[:, 3] - 1) / 63, rtol=1e-5, atol=1e-7)


def test_anchors_follow_the_image_seen_last(tmp_path):
    model = MaskRCNN("inference", TinyConfig(), tmp_path)
    assert model.anchors is None
    model.detect([IMAGE])
    assert model.anchors.shape == (1023, 4)
    molded, metas, _ = model.mold_inputs([IMAGE])
    fresh = MaskRCNN("inference", TinyConfig(), tmp_path)
    fresh.detect_molded(molded, metas)
    assert fresh.anchors.shape == (1023, 4)


def test_a_training_model_has_the_anchors_of_its_images(training_model):
    assert training_model.anchors.shape == (1023, 4)


def test_detect_in_matterports_steps(model):
    picture = IMAGE[:48]
    expected = model.detect([picture])[0]
    molded, metas, windows = model.mold_inputs([picture])
    anchors = model.get_anchors(molded.shape[1:])
    outputs = model.keras_model.predict([molded, metas, anchors[None]], verbose=0)
    arguments = (outputs[0][0], outputs[3][0], picture.shape, molded[0].shape, windows[0])
    found = model.unmold_detections(*arguments)
    for name, array in zip(("rois", "class_ids", "scores", "masks"), found, strict=True):
        np.testing.assert_array_equal(array, expected[name])
    assert len(found[0]) > 0


def test_tf_identity_of_a_layers_output(model):
    import tensorflow as tf

    output = model.keras_model.get_layer("input_image").output
    named = [("x", tf.identity(output)), ("y", tf.identity(input=output, name="y"))]
    found = model.run_graph([IMAGE], named)
    # The picture's first pixel less the mean, as it fills the molded image.
    pixel = np.float32(IMAGE[0, 0]) - np.float32(model.config.MEAN_PIXEL)
    for array in found.values():
        assert array.shape == (1, 64, 64, 3)
        np.testing.assert_array_equal(array[0, 0, 0], pixel)
    assert tf.identity([3, 4]).numpy().tolist() == [3, 4]
    with pytest.raises(ValueError, match="unsupported type"):
        tf.identity(object())


@pytest.mark.slow
@pytest.mark.parametrize("preset", [None, "detectron2/mask_rcnn_R_50_FPN_3x"])
def test_steps_of_the_proposals(preset, tmp_path):
    config = tiny_of(preset) if preset else TinyConfig()
    model = MaskRCNN("inference", config, tmp_path)
    pillar = model.keras_model.get_layer("ROI").output
    steps = ["pre_nms_anchors", "refined_anchors", "refined_anchors_clipped"]
    outputs = [(step, model.ancestor(pillar, f"ROI/{step}:0")) for step in steps]
    nms = model.ancestor(pillar, "ROI/rpn_non_max_suppression/NonMaxSuppressionV3:0")
    found = model.run_graph([IMAGE], [*outputs, ("keep", nms), ("proposals", pillar)])
    keep, clipped = found["keep"], found["refined_anchors_clipped"][0]
    assert keep.ndim == 1 and keep.min() >= 0
    kept = clipped[keep]
    proposals = found["proposals"][0]
    proposals = proposals[proposals.any(axis=1)]
    if preset is None:  # one competition: what NMS kept are the proposals
        np.testing.assert_array_equal(kept, proposals)
    else:  # the best of what the levels kept
        assert len(kept) > len(proposals)
        assert all((np.abs(kept - box).max(axis=1) == 0).any() for box in proposals)
    refined, before = found["refined_anchors"][0], found["pre_nms_anchors"][0]
    np.testing.assert_array_equal(clipped, np.clip(refined, 0, 1))
    assert (clipped != refined).any()
    assert before.shape == refined.shape
    real = before.any(axis=1)  # more room than anchors: what is left over is zeros
    assert real.sum() == 1023 if preset is None else 0 < real.sum() <= 1023
    assert not refined[~real].any() and not clipped[~real].any()
    anchors = {tuple(box) for box in model.get_anchors((64, 64))}
    assert {tuple(box) for box in before[real]} <= anchors
    assert (before != refined)[real].any(axis=1).all()


def test_what_nms_kept_of_several_images_is_padded(model):
    pillar = model.keras_model.get_layer("ROI").output
    nms = model.ancestor(pillar, "ROI/rpn_non_max_suppression:0")
    both = model.run_graph([IMAGE, IMAGE[::-1]], [("keep", nms)])["keep"]
    assert both.shape == (2, 16)
    for image, keep in zip([IMAGE, IMAGE[::-1]], both, strict=True):
        one = model.run_graph([image], [("keep", nms)])["keep"]
        np.testing.assert_array_equal(one, keep[keep >= 0])


def test_trainable_layers(model):
    layers = model.get_trainable_layers()
    names = [layer.name for layer in layers]
    assert "rpn_model" in names and "mrcnn_mask" in names and "ROI" not in names
    assert sum(layer.count_params() for layer in layers) == model.keras_model.count_params()
    wrapper = keras.layers.TimeDistributed(keras.layers.Dense(2, name="inner"))
    assert model.find_trainable_layer(wrapper).name == "inner"


def test_training_steps_with_matterports_targets(training_model):
    """What the generator of matterport gives: targets of every anchor from outside."""
    anchors = training_model.get_anchors((64, 64, 3))
    dataset = shapes()
    training_model.compile(0.01, 0.9)
    (inputs,) = DataGenerator(dataset, training_model.config)[0]
    match = np.zeros((2, len(anchors), 1), "int32")
    match[:, 5], match[:, 3], match[:, 7] = 1, -1, -1
    deltas = np.zeros((2, 256, 4), "float32")
    deltas[:, 0] = [1.0, 2.0, 0.0, 0.0]
    given = {**inputs, "input_rpn_match": match, "input_rpn_bbox": deltas}
    names = training_model.keras_model.output_names
    outputs = training_model.keras_model.predict_on_batch(list(given.values()))
    found = dict(zip(names, outputs, strict=True))
    logits = found["rpn_class_logits"][:, [5, 3, 7]]
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    # One object and two of background in each image.
    expected = -np.mean([log_probs[:, 0, 1], log_probs[:, 1, 0], log_probs[:, 2, 0]])
    assert float(found["rpn_class_loss"]) == pytest.approx(expected, rel=1e-5)
    distance = np.abs(found["rpn_bbox"][:, 5] - deltas[:, 0])
    smooth = np.where(distance < 1, 0.5 * distance**2, distance - 0.5)
    assert float(found["rpn_bbox_loss"]) == pytest.approx(smooth.mean(), rel=1e-5)
