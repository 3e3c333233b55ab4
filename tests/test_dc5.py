"""Mask R-CNN on a dilated C5, and the box head's spatial pyramid, with numbers by hand."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tiny import TinyConfig

from mrcnn import settings
from mrcnn.config_values import apply_assignments
from mrcnn.model import MaskRCNNDC5, create
from mrcnn.network.heads import box_head
from mrcnn.network.resnet import dilated_stage5, resnet_stage
from mrcnn.settings import Settings
from mrcnn.weights import names
from mrcnn.weights.names import detectron2


class DilatedConfig(TinyConfig):
    ARCHITECTURE = "dc5"
    BACKBONE_STRIDES = [16]  # noqa: RUF012
    RPN_ANCHOR_SCALES = ((32, 40, 48, 56, 64),)


def test_a_dilated_convolution_reads_every_other_place():
    x = keras.Input((9, 9, 16))
    model = keras.Model(x, dilated_stage5("", 16, train_bn=False, style=settings.ConvStyle())(x))
    convs = {layer.name: layer for layer in model.layers if "branch" in layer.name}
    middle = convs["res5a_branch2b"]
    assert middle.dilation_rate == (2, 2) and middle.strides == (1, 1)
    image = np.zeros((1, 9, 9, middle.kernel.shape[2]), "float32")
    image[0, 4, 4] = 1
    middle.set_weights([np.ones(middle.kernel.shape), np.zeros(middle.bias.shape)])
    ys, xs = np.nonzero(np.asarray(middle(image))[0, :, :, 0])
    assert sorted(set(ys)) == sorted(set(xs)) == [2, 4, 6] and len(ys) == 9


def test_stage_5_is_resnets_and_as_dense_as_c4():
    x = keras.Input((6, 8, 32))
    style = settings.ConvStyle()
    stage = dilated_stage5("other", 32, train_bn=False, style=style)
    model = keras.Model(x, stage(x))
    usual = keras.Model(x, resnet_stage(5, 3, (16, 16, 64), train_bn=False, style=style)(x))
    assert model.output.shape == (None, 6, 8, 64)
    assert usual.output.shape == (None, 3, 4, 64)
    for mine, theirs in zip(model.layers, usual.layers, strict=True):
        assert [w.shape for w in mine.weights] == [w.shape for w in theirs.weights]
        if "branch" in mine.name:
            assert mine.name == theirs.name
    strides = {layer.strides for layer in model.layers if hasattr(layer, "strides")}
    assert strides == {(1, 1)}
    grouped = keras.Model(x, dilated_stage5("resnext101_32x8d", 32, train_bn=False, style=style)(x))
    assert grouped.get_layer("res5a_branch2b").kernel.shape == (3, 3, 64, 2048)  # of 32 groups


def test_names_of_detectron2():
    found = {ours: theirs for ours, theirs, _ in detectron2.detectron2_dc5_layers(7, 3)}
    usual = {ours for ours, *_ in detectron2.detectron2_layers(7) if not ours.startswith("fpn_")}
    assert set(found) == usual
    assert found["res5a_branch2a"] == "backbone.res5.0.conv1"
    assert found["bn5c_branch2b"] == "backbone.res5.2.conv2.norm"
    assert found["conv1"] == "backbone.stem.conv1"
    assert found["mrcnn_class_conv1"] == "roi_heads.box_head.fc1"
    assert found["mrcnn_mask_conv4"] == "roi_heads.mask_head.mask_fcn4"
    made = Settings.from_config(DilatedConfig())
    table = names.MASK_RCNN_DC5.table("detectron2", {}, made)
    assert table["backbone.res5.0.conv1.weight"][0] == "res5a_branch2a/kernel"
    # Anchors: all shapes of a scale in turn there, all scales of a shape here.
    ours, layout = table["proposal_generator.rpn_head.objectness_logits.bias"]
    scale, shape = np.mgrid[:5, :3]
    moved = layout((10 * scale + shape).reshape(-1))
    assert ours == "rpn_class_raw/bias"
    assert_array_equal(moved[1::2], [10 * s + r for r in range(3) for s in range(5)])


def test_what_it_cannot_work_with(tmp_path):
    config = DilatedConfig()
    config.BACKBONE_STRIDES = TinyConfig.BACKBONE_STRIDES
    with pytest.raises(ValueError, match=r"BACKBONE_STRIDES is .*; the architecture 'dc5' has"):
        MaskRCNNDC5("inference", config, tmp_path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"SPP_LEVELS": (3, 0)}, r"SPP_LEVELS is \(3, 0\); expected bins a side"),
        ({"SPP_LEVELS": ()}, r"SPP_LEVELS is \(\); expected bins a side"),
        ({"SPP_LEVELS": 3}, "SPP_LEVELS is 3; expected bins a side"),
        ({"SPP_LEVELS": (3, 1), "BOX_HEAD_CONV_LAYERS": 4}, "BOX_HEAD_CONV_LAYERS 4; convolutions"),
        ({"SPP_LEVELS": (3,), "ARCHITECTURE": "c4"}, "architecture 'c4' has None"),
        ({"ROI_ALIGN_MODE": "max"}, "expected one of .*'roi_pool'"),
    ],
)
def test_grids_that_cannot_be(keys, message):
    with pytest.raises(ValueError, match=message):
        type("Keys", (TinyConfig,), keys)().validate()


def test_grids_of_the_command_line():
    assert apply_assignments(TinyConfig(), ["SPP_LEVELS=6,3,2,1"]).SPP_LEVELS == (6, 3, 2, 1)
    assert apply_assignments(TinyConfig(), ["SPP_LEVELS=null"]).SPP_LEVELS is None


def test_the_first_layer_of_the_box_head_takes_all_grids():
    made = settings.BoxHead(num_classes=2, channels=4, spp_levels=(2, 1), train_bn=False)
    assert made.grid == (1, 5) and settings.BoxHead().grid == (7, 7)
    head = box_head(made, settings.ConvStyle())
    x = keras.Input((3, 1, 5, 8))
    model = keras.Model(x, head(x))
    assert model.get_layer("mrcnn_class_conv1").kernel.shape == (1, 5, 8, 4)
    assert model.output["mrcnn_bbox"].shape == (None, 3, 2, 4)


@pytest.mark.slow
def test_it_has_one_map_and_mask_rcnns_heads(tmp_path):
    model = create("inference", DilatedConfig(), tmp_path)
    assert type(model) is MaskRCNNDC5
    layers = {layer.name: layer for layer in model.graphs["inference"].layers}
    assert layers["res5c_out"].output.shape[1:] == (4, 4, 16)  # twice the 8 channels of C4
    assert not [name for name in layers if name.startswith("fpn_")]
    assert {"mrcnn_class_conv1", "mrcnn_mask_conv4"} <= layers.keys()
    # 4 x 4 places, five scales and three shapes.
    assert model.get_anchors((64, 64)).shape == (4 * 4 * 15, 4)
    (found,) = model.detect([np.full((64, 64, 3), 99, np.uint8)])
    assert found["masks"].shape[:2] == (64, 64)
