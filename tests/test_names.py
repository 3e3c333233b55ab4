"""Layouts of other libraries on arrays small enough to write down, and their names."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mrcnn.config import Config
from mrcnn.settings import Settings
from mrcnn.weights import names
from mrcnn.weights.names import layouts
from mrcnn.weights.names.panoptic import PANOPTIC_FPN


def column(values):
    """(n, 1, 1, 1): n outputs of a 1x1 convolution of one input."""
    return np.array(values).reshape(-1, 1, 1, 1)


# ---- layouts


def test_same():
    array = np.arange(3)
    assert layouts.same(array) is array


def test_conv():
    # O 1, I 2, h 1, w 2: the first input has the row 1 2, the second 3 4.
    kernel = np.array([[[[1, 2]], [[3, 4]]]])
    assert_array_equal(layouts.conv(kernel), [[[[1], [3]], [[2], [4]]]])
    assert layouts.conv(np.zeros((5, 4, 3, 2))).shape == (3, 2, 4, 5)


def test_conv_of_a_transposed_convolution():
    # I 2, O 1, h 1, w 2 -> h, w, O, I
    kernel = np.array([[[[1, 2]]], [[[3, 4]]]])
    assert_array_equal(layouts.conv(kernel), [[[[1, 3]], [[2, 4]]]])


@pytest.mark.parametrize(
    "layout", [layouts.conv, layouts.dense, layouts.dense_as_conv, layouts.flat_as_conv(2)]
)
def test_biases_stay(layout):
    assert_array_equal(layout(np.array([3, 1, 2])), [3, 1, 2])


def test_conv_bgr_turns_the_inputs_round():
    # O 1, I 3 (blue 1, green 2, red 3)
    kernel = np.array([1, 2, 3]).reshape(1, 3, 1, 1)
    assert_array_equal(layouts.conv_bgr(kernel), [[[[3], [2], [1]]]])
    # h 1, w 1, I 3, O 2 already
    kernel = np.array([[[[1, 10], [2, 20], [3, 30]]]])
    assert_array_equal(layouts.hwio_bgr(kernel), [[[[3, 30], [2, 20], [1, 10]]]])


def test_depthwise():
    # C 2, 1, h 1, w 2 -> h, w, C, 1
    kernel = np.array([[[[1, 2]]], [[[3, 4]]]])
    assert_array_equal(layouts.depthwise(kernel), [[[[1], [3]], [[2], [4]]]])


def test_dense():
    # O 2, I 3
    kernel = np.array([[1, 2, 3], [4, 5, 6]])
    assert_array_equal(layouts.dense(kernel), [[1, 4], [2, 5], [3, 6]])
    assert_array_equal(layouts.dense_as_conv(kernel), [[[[1, 4], [2, 5], [3, 6]]]])


def test_flat_as_conv():
    # O 1, C 2, P 2: bin (y, x) of channel c is at 4 c + 2 y + x.
    found = layouts.flat_as_conv(2)(np.arange(8).reshape(1, 8))
    assert_array_equal(found, [[[[0], [4]], [[1], [5]]], [[[2], [6]], [[3], [7]]]])
    assert layouts.flat_as_conv(7)(np.zeros((5, 3 * 49))).shape == (7, 7, 3, 5)


def test_objectness():
    # Anchors 7 and 8: background is 0 and comes first.
    assert_array_equal(layouts.objectness(column([7, 8])), [[[[0, 7, 0, 8]]]])
    assert_array_equal(layouts.objectness(np.array([7, 8])), [0, 7, 0, 8])


def test_objectness_gives_the_sigmoid_by_a_softmax():
    # Odds 3 : 1 of an object: exp(log 3) / (exp(0) + exp(log 3)).
    background, thing = np.exp(layouts.objectness(np.log([3.0])))
    assert thing / (background + thing) == pytest.approx(0.75)


def test_deltas():
    # dx dy dw dh -> dy dx dh dw, of two anchors or classes.
    order = [2, 1, 4, 3, 6, 5, 8, 7]
    assert_array_equal(layouts.deltas(column(range(1, 9))), [[[order]]])
    assert_array_equal(layouts.deltas(np.arange(1, 9)), order)
    # O 4, I 2 -> I 2, O 4
    dense = np.array([[1, 10], [2, 20], [3, 30], [4, 40]])
    assert_array_equal(layouts.deltas(dense), [[2, 1, 4, 3], [20, 10, 40, 30]])


def test_background_first():
    # K 3, I 2: background is the last row, of nines.
    kernel = np.array([[1, 10], [2, 20], [9, 90]])
    assert_array_equal(layouts.background_first(kernel), [[9, 1, 2], [90, 10, 20]])
    assert_array_equal(layouts.background_first(np.array([1, 2, 9])), [9, 1, 2])


def test_class_deltas():
    # One object class; background's four are 0.
    kernel = np.array([[1, 10], [2, 20], [3, 30], [4, 40]])
    expected = [[0, 0, 0, 0, 2, 1, 4, 3], [0, 0, 0, 0, 20, 10, 40, 30]]
    assert_array_equal(layouts.class_deltas(kernel), expected)
    assert_array_equal(layouts.class_deltas(np.arange(1, 5)), expected[0])


def test_class_masks():
    assert_array_equal(layouts.class_masks(column([5, 6])), [[[[0, 5, 6]]]])
    assert_array_equal(layouts.class_masks(np.array([5, 6])), [0, 5, 6])


# ---- names


def place(source, name, pool_size=7):
    """Our name for an array of a source, and the layout's name."""
    ours, layout = names.source_names(source, [name], pool_size)[name]
    return ours, layout.__name__


HEADS = "roi_heads."


@pytest.mark.parametrize(
    ("theirs", "ours", "layout"),
    [
        ("backbone.body.conv1.weight", "conv1/kernel", "conv"),
        ("backbone.body.bn1.running_var", "bn_conv1/moving_variance", "same"),
        ("backbone.body.layer1.0.conv1.weight", "res2a_branch2a/kernel", "conv"),
        ("backbone.body.layer3.22.bn3.running_mean", "bn4w_branch2c/moving_mean", "same"),
        ("backbone.body.layer2.0.downsample.0.weight", "res3a_branch1/kernel", "conv"),
        ("backbone.body.layer4.0.downsample.1.bias", "bn5a_branch1/beta", "same"),
        # A classifier's backbone.
        ("conv1.weight", "conv1/kernel", "conv"),
        ("layer4.2.conv2.weight", "res5c_branch2b/kernel", "conv"),
        ("layer4.2.bn2.weight", "bn5c_branch2b/gamma", "same"),
        # The pyramid: before 0.13, since then, and with norm.
        ("backbone.fpn.inner_blocks.0.weight", "fpn_c2p2/kernel", "conv"),
        ("backbone.fpn.inner_blocks.0.0.weight", "fpn_c2p2/kernel", "conv"),
        ("backbone.fpn.inner_blocks.3.1.running_var", "fpn_c5p5_bn/moving_variance", "same"),
        ("backbone.fpn.layer_blocks.1.bias", "fpn_p3/bias", "conv"),
        ("backbone.fpn.layer_blocks.1.0.bias", "fpn_p3/bias", "conv"),
        # The proposals: before and since, and a second convolution.
        ("rpn.head.conv.weight", "rpn_conv_shared/kernel", "conv"),
        ("rpn.head.conv.0.0.weight", "rpn_conv_shared/kernel", "conv"),
        ("rpn.head.conv.1.0.bias", "rpn_conv_shared2/bias", "conv"),
        ("rpn.head.cls_logits.weight", "rpn_class_raw/kernel", "objectness"),
        ("rpn.head.bbox_pred.bias", "rpn_bbox_pred/bias", "deltas"),
        # The heads: before and since, and v2's.
        (HEADS + "box_head.fc6.weight", "mrcnn_class_conv1/kernel", "layout"),
        (HEADS + "box_head.fc7.weight", "mrcnn_class_conv2/kernel", "dense_as_conv"),
        (HEADS + "box_head.3.0.weight", "mrcnn_box_conv4/kernel", "conv"),
        (HEADS + "box_head.3.1.weight", "mrcnn_box_bn4/gamma", "same"),
        (HEADS + "box_head.5.bias", "mrcnn_class_conv1/bias", "layout"),
        (HEADS + "box_predictor.cls_score.weight", "mrcnn_class_logits/kernel", "dense"),
        (HEADS + "box_predictor.bbox_pred.weight", "mrcnn_bbox_fc/kernel", "deltas"),
        (HEADS + "mask_head.mask_fcn1.weight", "mrcnn_mask_conv1/kernel", "conv"),
        (HEADS + "mask_head.0.0.weight", "mrcnn_mask_conv1/kernel", "conv"),
        (HEADS + "mask_head.3.1.bias", "mrcnn_mask_bn4/beta", "same"),
        (HEADS + "mask_predictor.conv5_mask.weight", "mrcnn_mask_deconv/kernel", "conv"),
        (HEADS + "mask_predictor.mask_fcn_logits.bias", "mrcnn_mask/bias", "conv"),
    ],
)
def test_names_of_torchvision(theirs, ours, layout):
    assert place("torchvision", theirs) == (ours, layout)


STEM = "backbone.bottom_up."


@pytest.mark.parametrize(
    ("theirs", "ours", "layout"),
    [
        (STEM + "stem.conv1.weight", "conv1/kernel", "conv_bgr"),
        (STEM + "stem.conv1.norm.weight", "bn_conv1/gamma", "same"),
        (STEM + "res2.0.shortcut.weight", "res2a_branch1/kernel", "conv"),
        (STEM + "res2.0.shortcut.norm.bias", "bn2a_branch1/beta", "same"),
        (STEM + "res4.22.conv3.norm.running_var", "bn4w_branch2c/moving_variance", "same"),
        ("backbone.fpn_lateral5.weight", "fpn_c5p5/kernel", "conv"),
        ("backbone.fpn_output2.bias", "fpn_p2/bias", "conv"),
        ("proposal_generator.rpn_head.conv.weight", "rpn_conv_shared/kernel", "conv"),
        (
            "proposal_generator.rpn_head.objectness_logits.bias",
            *("rpn_class_raw/bias", "objectness"),
        ),
        ("proposal_generator.rpn_head.anchor_deltas.weight", "rpn_bbox_pred/kernel", "deltas"),
        (HEADS + "box_head.fc1.weight", "mrcnn_class_conv1/kernel", "layout"),
        (HEADS + "box_head.fc2.bias", "mrcnn_class_conv2/bias", "dense_as_conv"),
        (HEADS + "box_predictor.cls_score.bias", "mrcnn_class_logits/bias", "background_first"),
        (HEADS + "box_predictor.bbox_pred.weight", "mrcnn_bbox_fc/kernel", "class_deltas"),
        (HEADS + "mask_head.mask_fcn4.weight", "mrcnn_mask_conv4/kernel", "conv"),
        (HEADS + "mask_head.deconv.weight", "mrcnn_mask_deconv/kernel", "conv"),
        (HEADS + "mask_head.predictor.weight", "mrcnn_mask/kernel", "class_masks"),
    ],
)
def test_names_of_detectron2(theirs, ours, layout):
    assert place("detectron2", theirs) == (ours, layout)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        # Keras 2, as matterport's and ours.
        ("conv1/kernel", "conv1/kernel"),
        ("bn2a_branch2a/moving_variance", "bn2a_branch2a/moving_variance"),
        ("mrcnn_bbox_fc/bias", "mrcnn_bbox_fc/bias"),
        # Keras 1
        ("conv1/conv1_W", "conv1/kernel"),
        ("conv1/conv1_b_1", "conv1/bias"),
        ("res2a_branch1/res2a_branch1_W_1", "res2a_branch1/kernel"),
        ("bn2a_branch2a/bn2a_branch2a_gamma", "bn2a_branch2a/gamma"),
        ("bn2a_branch2a/bn2a_branch2a_beta_12", "bn2a_branch2a/beta"),
        ("bn2a_branch2a/bn2a_branch2a_running_mean", "bn2a_branch2a/moving_mean"),
        ("bn2a_branch2a/bn2a_branch2a_running_std_3", "bn2a_branch2a/moving_variance"),
        # keras.applications
        ("conv1_conv/kernel", "conv1/kernel"),
        ("conv1_bn/moving_mean", "bn_conv1/moving_mean"),
        ("conv2_block1_0_conv/kernel", "res2a_branch1/kernel"),
        ("conv2_block1_0_bn/beta", "bn2a_branch1/beta"),
        ("conv2_block1_1_conv/bias", "res2a_branch2a/bias"),
        ("conv3_block4_2_conv/kernel", "res3d_branch2b/kernel"),
        ("conv4_block23_3_bn/gamma", "bn4w_branch2c/gamma"),
        ("conv5_block3_3_conv/kernel", "res5c_branch2c/kernel"),
    ],
)
def test_names_of_keras(theirs, ours):
    assert place("matterport", theirs) == (ours, "same")
    layout = "hwio_bgr" if ours == "conv1/kernel" else "same"  # its input is BGR
    assert place("keras_applications", theirs) == (ours, layout)


def test_pool_size_reaches_the_first_fully_connected_layer():
    for source, name in (("torchvision", "fc6"), ("detectron2", "fc1")):
        layout = names.source_names(source, [], 3)[f"roi_heads.box_head.{name}.weight"][1]
        assert layout(np.zeros((2, 4 * 9))).shape == (3, 3, 4, 2)


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize(
    "architecture",
    [names.MASK_RCNN, names.CASCADE_RCNN, names.MASK_RCNN_C4, PANOPTIC_FPN],
    ids=["mask_rcnn", "cascade", "c4", "panoptic"],
)
def test_masks_of_detectron2_of_each_class_or_of_all(architecture, agnostic):
    config = Config()
    config.MASK_CLASS_AGNOSTIC = agnostic
    table = architecture.table("detectron2", [], Settings.from_config(config))
    _, layout = table[HEADS + "mask_head.predictor.weight"]
    # Two objects are three classes; a mask for all is one.
    assert layout(np.zeros((1 if agnostic else 2, 5, 1, 1))).shape == (
        1,
        1,
        5,
        1 if agnostic else 3,
    )


@pytest.mark.parametrize("source", ["torchvision", "detectron2", "efficientnet_lite"])
def test_names_that_have_no_place_are_absent(source):
    assert "head.weight" not in names.source_names(source, ["head.weight"], 7)


@pytest.mark.parametrize("source", ["torchvision", "detectron2"])
def test_branches_of_every_block_have_a_place(source):
    places = {ours for ours, _ in names.source_names(source, [], 7).values()}
    # 23 blocks of four stages, 4 branches each of a kernel, a bias and four of BatchNorm.
    found = [name for name in places if re.match(r"(res|bn)\d[a-w]_branch", name)]
    assert len(found) == 4 * 23 * 4 * 6


@pytest.mark.parametrize(
    ("source", "name", "ignored"),
    [
        ("torchvision", "backbone.body.bn1.num_batches_tracked", True),
        ("torchvision", "fc.weight", True),
        ("torchvision", "roi_heads.box_head.fc6.weight", False),
        ("detectron2", "pixel_mean", True),
        ("detectron2", "proposal_generator.anchor_generator.cell_anchors.0", True),
        ("detectron2", "backbone.bottom_up.stem.conv1.weight", False),
        ("keras_applications", "fc1000/kernel", True),
        ("keras_applications", "probs/bias", True),
        ("keras_applications", "conv1_conv/kernel", False),
        ("matterport", "fc1000/kernel", False),
    ],
)
def test_what_is_no_weight_of_ours_is_ignored(source, name, ignored):
    assert bool(re.match(names.IGNORED[source], name)) is ignored
