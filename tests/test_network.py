"""The network: matterport's layers, shapes and parameter counts."""

import keras
import numpy as np
import pytest
from tiny import TinyConfig, tiny_backbone

from mrcnn.backbone import ResNetStyle, build_backbone, resnet_graph
from mrcnn.config import Config
from mrcnn.hdf5 import named_weights
from mrcnn.layers import PureLayer
from mrcnn.network import build_network


def config_of(architecture, classes):
    names = {"NAME": "test", "BACKBONE": architecture, "NUM_CLASSES": classes}
    return type("TestConfig", (Config,), names)()


@pytest.fixture(scope="module")
def resnet50():
    return build_network(config_of("resnet50", 81), training=True)


def in_part(name):
    if name.startswith(("res", "bn", "conv1")):
        return "backbone"
    return {"fpn": "fpn", "rpn": "rpn"}.get(name[:3], name[: len("mrcnn_mask")])


PARTS = {  # matterport's counts
    "backbone": 23_587_712,
    "fpn": 3_344_384,
    "rpn": 1_189_394,
    "box": 14_318_997,
    "mask": 2_647_633,
}


def test_parameters_of_each_part(resnet50):
    counts = dict.fromkeys(PARTS, 0)
    for name, weight in named_weights(resnet50["inference"]).items():
        part = in_part(name)
        part = {"mrcnn_clas": "box", "mrcnn_bbox": "box", "mrcnn_mask": "mask"}.get(part, part)
        counts[part] += int(np.prod(weight.shape))
    assert counts == PARTS
    assert resnet50["inference"].count_params() == 45_088_120


@pytest.mark.parametrize(
    ("architecture", "classes", "total"),
    [("resnet50", 2, 44_662_942), ("resnet101", 81, 64_158_584), ("resnet101", 2, 63_733_406)],
)
def test_total_parameters(architecture, classes, total):
    network = build_network(config_of(architecture, classes))
    assert network["inference"].count_params() == total


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv1/kernel", (7, 7, 3, 64)),
        ("conv1/bias", (64,)),
        ("bn_conv1/gamma", (64,)),
        ("res2a_branch2a/kernel", (1, 1, 64, 64)),
        ("res2b_branch2a/kernel", (1, 1, 256, 64)),
        ("res2a_branch1/kernel", (1, 1, 64, 256)),
        ("res3d_branch2b/kernel", (3, 3, 128, 128)),
        ("res4f_branch2c/kernel", (1, 1, 256, 1024)),
        ("res5a_branch1/kernel", (1, 1, 1024, 2048)),
        ("bn5c_branch2c/moving_variance", (2048,)),
        ("fpn_c5p5/kernel", (1, 1, 2048, 256)),
        ("fpn_c2p2/kernel", (1, 1, 256, 256)),
        ("fpn_p2/kernel", (3, 3, 256, 256)),
        ("rpn_conv_shared/kernel", (3, 3, 256, 512)),
        ("rpn_class_raw/kernel", (1, 1, 512, 6)),
        ("rpn_bbox_pred/kernel", (1, 1, 512, 12)),
        ("mrcnn_class_conv1/kernel", (7, 7, 256, 1024)),
        ("mrcnn_class_conv2/kernel", (1, 1, 1024, 1024)),
        ("mrcnn_class_bn2/beta", (1024,)),
        ("mrcnn_class_logits/kernel", (1024, 81)),
        ("mrcnn_bbox_fc/kernel", (1024, 324)),
        ("mrcnn_mask_conv4/kernel", (3, 3, 256, 256)),
        ("mrcnn_mask_bn4/moving_mean", (256,)),
        ("mrcnn_mask_deconv/kernel", (2, 2, 256, 256)),
        ("mrcnn_mask/kernel", (1, 1, 256, 81)),
    ],
)
def test_weight_has_matterports_name_and_shape(resnet50, name, shape):
    assert tuple(named_weights(resnet50["inference"])[name].shape) == shape


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("res2c_out", (None, 256, 256, 256)),
        ("res5c_out", (None, 32, 32, 2048)),
        ("fpn_p3add", (None, 128, 128, 256)),
        ("fpn_p6", (None, 16, 16, 256)),
        ("rpn_class", (None, 261_888, 2)),
        ("rpn_bbox", (None, 261_888, 4)),
        ("ROI", (None, 1000, 4)),
        ("roi_align_classifier", (None, 1000, 7, 7, 256)),
        ("pool_squeeze", (None, 1000, 1024)),
        ("mrcnn_class", (None, 1000, 81)),
        ("mrcnn_bbox", (None, 1000, 81, 4)),
        ("mrcnn_detection", (None, 100, 6)),
        ("roi_align_mask", (None, 100, 14, 14, 256)),
    ],
)
def test_layer_output_has_matterports_shape(resnet50, name, shape):
    assert resnet50["inference"].get_layer(name).output.shape == shape


def test_only_the_predicted_class_leaves_the_graph(resnet50):
    shapes = {name: output.shape for name, output in resnet50["detection"].output.items()}
    assert shapes == {"detections": (None, 100, 6), "masks": (None, 100, 28, 28)}


def test_both_graphs_share_every_weight(resnet50):
    inference, training = (named_weights(resnet50[mode]) for mode in ("inference", "training"))
    assert list(inference) and set(inference) == set(training)
    assert all(inference[name] is training[name] for name in inference)


def test_mask_head_sees_bounded_positives_only(resnet50):
    pooled = resnet50["training"].get_layer("roi_align_mask").output
    assert pooled.shape == (None, 66, 14, 14, 256)  # int(200 * 0.33)


def test_custom_layers_own_no_weights(resnet50):
    custom = [x for x in resnet50["training"].layers if isinstance(x, PureLayer)]
    assert len(custom) > 10
    assert not any(layer.weights for layer in custom)


def test_resnet_without_stage_5():
    features = resnet_graph(keras.Input((64, 64, 3)), "resnet50", stage5=False)
    assert [f.shape[1:] for f in features[:4]] == [
        (16, 16, 64),
        (16, 16, 256),
        (8, 8, 512),
        (4, 4, 1024),
    ]
    assert features[4] is None


def test_callable_backbone_of_wrong_stride_is_refused():
    def backbone(input_image, stage5=True, train_bn=None):
        return [*tiny_backbone(input_image)[1:], tiny_backbone(input_image)[4]]

    with pytest.raises(ValueError, match=r"C2 of shape .* expected stride 4"):
        build_backbone(backbone, keras.Input((64, 64, 3)), None, ResNetStyle())


def test_callable_backbone_of_wrong_length_is_refused():
    def backbone(input_image, stage5=True, train_bn=None):
        return tiny_backbone(input_image)[1:]

    with pytest.raises(ValueError, match="returned 4 feature maps; expected"):
        build_backbone(backbone, keras.Input((64, 64, 3)), None, ResNetStyle())


@pytest.mark.parametrize("mode", ["none", "pad64", "crop"])
def test_other_modes_build_with_open_sides(mode):
    config = type("Open", (TinyConfig,), {"IMAGE_RESIZE_MODE": mode})()
    network = build_network(config, training=True)
    sides = network["inference"].inputs[0].shape[1:3]
    assert sides == (None, None)
