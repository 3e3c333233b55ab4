"""The network: what its layers give, and what its graphs share; its weights are the inventory's."""

import keras
import numpy as np
import pytest
from tiny import TinyConfig, shapes, tiny_backbone

from mrcnn.config import Config
from mrcnn.data import DataGenerator
from mrcnn.layers import PureLayer
from mrcnn.network import ConvStyle, build_backbone, build_graphs, resnet_graph
from mrcnn.network.named_weights import named_weights
from mrcnn.settings import Settings, Trunk


@pytest.fixture(scope="module")
def resnet50():
    names = {"NAME": "test", "BACKBONE": "resnet50", "NUM_CLASSES": 81}
    return build_graphs(Settings.from_config(type("Coco", (Config,), names)()), training=True)


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


@pytest.mark.slow
def test_mask_head_moves_its_statistics_once_a_step():
    # From 0, the average of one batch with momentum 0.5 is half of that with momentum 0. Two
    # updates by the same batch would make it three quarters.
    config = type("Moving", (TinyConfig,), {"TRAIN_BN": True, "SEED": 3})()
    (batch,) = DataGenerator(shapes(2), config, shuffle=False)[0]
    moved = []
    for momentum in (0.0, 0.5):
        network = build_graphs(Settings.from_config(config), training=True)["training"]
        (norm,) = (x for x in network._flatten_layers() if x.name == "mrcnn_mask_bn1")
        for weight in network.weights:  # the same values in both networks
            size = int(np.prod(weight.shape))
            weight.assign(np.reshape(np.sin(np.arange(size)), weight.shape))
        norm.moving_mean.assign(np.zeros(8))
        norm.momentum = momentum
        network(batch, training=True)
        moved.append(keras.ops.convert_to_numpy(norm.moving_mean))
    assert np.abs(moved[0]).max() > 0.01
    np.testing.assert_allclose(moved[1], moved[0] / 2, rtol=1e-3, atol=1e-5)


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
        build_backbone(keras.Input((64, 64, 3)), Trunk(backbone=backbone), ConvStyle())


def test_callable_backbone_of_wrong_length_is_refused():
    def backbone(input_image, stage5=True, train_bn=None):
        return tiny_backbone(input_image)[1:]

    with pytest.raises(ValueError, match="returned 4 feature maps; expected"):
        build_backbone(keras.Input((64, 64, 3)), Trunk(backbone=backbone), ConvStyle())


@pytest.mark.parametrize("mode", ["none", "pad64", "crop"])
def test_other_modes_build_with_open_sides(mode):
    config = type("Open", (TinyConfig,), {"IMAGE_RESIZE_MODE": mode})()
    network = build_graphs(Settings.from_config(config), training=True)
    sides = network["inference"].inputs[0].shape[1:3]
    assert sides == (None, None)
