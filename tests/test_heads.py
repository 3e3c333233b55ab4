"""The heads of the families: their layers, names and shapes."""

import keras
import numpy as np
import pytest
from builders import box_head, mask_head, rpn_head
from numpy.testing import assert_allclose

from mrcnn.network.named_weights import named_weights
from mrcnn.network.norm import BatchNorm

NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def built(head, pool_size, channels=6):
    """A head as a model of three ROIs."""
    pooled = keras.Input((3, pool_size, pool_size, channels))
    return keras.Model(pooled, head(pooled))


def shapes(model):
    return {name: tuple(weight.shape) for name, weight in named_weights(model).items()}


def expected_shapes(convolutions, norms=()):
    """Of layers by name: (kernel, bias or None), and of norms their channels."""
    found = {f"{name}/kernel": kernel for name, (kernel, _) in convolutions.items()}
    found |= {f"{name}/bias": (bias,) for name, (_, bias) in convolutions.items() if bias}
    return found | {f"{name}/{v}": (channels,) for name, channels in norms for v in NORM}


# ---- rpn_head


def test_rpn_of_one_convolution():
    weights = shapes(rpn_head(3, 1, 4, 5))
    assert weights == expected_shapes(
        {
            "rpn_conv_shared": ((3, 3, 4, 5), 5),
            "rpn_class_raw": ((1, 1, 5, 6), 6),  # 3 anchors, background and object
            "rpn_bbox_pred": ((1, 1, 5, 12), 12),  # 3 anchors, four deltas
        }
    )


def test_rpn_of_three_convolutions():
    model = rpn_head(3, 1, 4, 5, conv_layers=3)
    weights = shapes(model)
    convolutions = ["rpn_conv_shared", "rpn_conv_shared2", "rpn_conv_shared3"]
    assert [weights[f"{name}/kernel"] for name in convolutions] == [
        (3, 3, 4, 5),
        *[(3, 3, 5, 5)] * 2,
    ]
    assert len(weights) == 2 * (3 + 2)
    assert all(model.get_layer(name).activation is keras.activations.relu for name in convolutions)


def test_only_the_first_convolution_has_the_anchor_stride():
    # 4 x 6 features, every second: 2 * 3 locations, 3 anchors.
    model = rpn_head(3, 2, 4, 5, conv_layers=2)
    logits, probs, deltas = model(np.zeros((1, 4, 6, 4), "float32"))
    assert logits.shape == probs.shape == (1, 18, 2) and deltas.shape == (1, 18, 4)


def test_initial_kernels_of_the_rpn():
    names = ("rpn_conv_shared", "rpn_conv_shared2", "rpn_class_raw", "rpn_bbox_pred")
    normal, default = rpn_head(3, 1, 4, 5, 2, init_std=0.01), rpn_head(3, 1, 4, 5, 2)
    for name in names:
        initializer = normal.get_layer(name).kernel_initializer
        assert isinstance(initializer, keras.initializers.RandomNormal)
        assert (initializer.mean, initializer.stddev) == (0.0, 0.01)
        initializer = default.get_layer(name).kernel_initializer
        assert isinstance(initializer, keras.initializers.GlorotUniform)


def test_initial_kernels_of_the_rpn_are_drawn_for_each_layer():
    # One initializer that gives equal draws for equal shapes would make the two the same.
    model = rpn_head(3, 1, 5, 5, 2, init_std=0.01)
    first, second = (
        model.get_layer(name).get_weights()[0] for name in ("rpn_conv_shared", "rpn_conv_shared2")
    )
    assert first.shape == second.shape and not np.array_equal(first, second)


# ---- box_head

PREDICTORS = {"mrcnn_class_logits": ((7, 3), 3), "mrcnn_bbox_fc": ((7, 12), 12)}


def test_matterports_box_head():
    weights = shapes(built(box_head(3, 2, 7, False), 2))
    convolutions = {"mrcnn_class_conv1": ((2, 2, 6, 7), 7), "mrcnn_class_conv2": ((1, 1, 7, 7), 7)}
    norms = [("mrcnn_class_bn1", 7), ("mrcnn_class_bn2", 7)]
    assert weights == expected_shapes(convolutions | PREDICTORS, norms)


def test_box_head_without_norm_has_biases():
    # Whatever `use_bias` says of normalised convolutions.
    for use_bias in (False, True):
        weights = shapes(built(box_head(3, 2, 7, False, fc_norm=False, use_bias=use_bias), 2))
        assert weights == expected_shapes(
            {
                "mrcnn_class_conv1": ((2, 2, 6, 7), 7),
                "mrcnn_class_conv2": ((1, 1, 7, 7), 7),
                **PREDICTORS,
            }
        )


def test_box_head_of_convolutions_and_one_fully_connected_layer():
    # torchvision's v2: normalised convolutions without biases, then one layer without a norm.
    head = box_head(
        3, 2, 7, False, conv_layers=2, conv_channels=5, fc_layers=1, fc_norm=False, use_bias=False
    )
    convolutions = {
        "mrcnn_box_conv1": ((3, 3, 6, 5), None),
        "mrcnn_box_conv2": ((3, 3, 5, 5), None),
        "mrcnn_class_conv1": ((2, 2, 5, 7), 7),
    }
    norms = [("mrcnn_box_bn1", 5), ("mrcnn_box_bn2", 5)]
    assert shapes(built(head, 2)) == expected_shapes(convolutions | PREDICTORS, norms)


def test_box_head_of_three_fully_connected_layers():
    weights = shapes(built(box_head(3, 2, 7, False, fc_layers=3, use_bias=False), 2))
    kernels = [weights[f"mrcnn_class_conv{i}/kernel"] for i in (1, 2, 3)]
    assert kernels == [(2, 2, 6, 7), (1, 1, 7, 7), (1, 1, 7, 7)]
    assert "mrcnn_class_conv1/bias" not in weights and "mrcnn_class_bn3/gamma" in weights


@pytest.mark.parametrize("options", [{}, {"conv_layers": 2, "fc_layers": 1, "fc_norm": False}])
def test_outputs_of_the_box_head(options):
    model = built(box_head(3, 2, 7, False, **options), 2)
    shapes = {name: output.shape for name, output in model.output.items()}
    assert shapes == {
        "mrcnn_class_logits": (None, 3, 3),
        "mrcnn_class": (None, 3, 3),
        "mrcnn_bbox": (None, 3, 3, 4),
    }


def test_convolutions_come_before_the_fully_connected_layer():
    # Pooled 1 and 2 x 2 bins of 1 channel. The convolution passes its centre, its norm adds 1:
    # 2; the layer sums four bins and adds its bias of -3: 5; logits 5 and -5, of one ROI each.
    head = box_head(2, 2, 1, False, 1, 1, 1, fc_norm=False, use_bias=False, epsilon=0.0)
    model = built(head, 2, channels=1)
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1
    model.get_layer("mrcnn_box_conv1").set_weights([kernel])
    model.get_layer("mrcnn_box_bn1").set_weights([np.array([x]) for x in (1.0, 1.0, 0.0, 1.0)])
    model.get_layer("mrcnn_class_conv1").set_weights([np.ones((2, 2, 1, 1)), np.array([-3.0])])
    model.get_layer("mrcnn_class_logits").set_weights([np.array([[1.0, -1.0]]), np.zeros(2)])
    found = model.predict_on_batch(np.ones((1, 3, 2, 2, 1), "float32"))
    assert_allclose(found["mrcnn_class_logits"], [[[5, -5]] * 3], rtol=1e-6)


# ---- mask_head

LAST = {"mrcnn_mask_deconv": ((2, 2, 5, 5), 5), "mrcnn_mask": ((1, 1, 5, 3), 3)}


@pytest.mark.parametrize(
    ("norm", "use_bias", "bias"),
    [(True, True, 5), (True, False, None), (False, True, 5), (False, False, 5)],
)
def test_mask_head(norm, use_bias, bias):
    model = built(mask_head(3, 5, False, norm, use_bias, 1e-5), 2)
    convolutions = {f"mrcnn_mask_conv{i}": ((3, 3, 5, 5), bias) for i in (2, 3, 4)}
    convolutions["mrcnn_mask_conv1"] = ((3, 3, 6, 5), bias)
    norms = [(f"mrcnn_mask_bn{i}", 5) for i in (1, 2, 3, 4)] if norm else []
    assert shapes(model) == expected_shapes(convolutions | LAST, norms)
    found = [layer for layer in model.layers if isinstance(layer, BatchNorm)]
    assert {layer.epsilon for layer in found} == ({1e-5} if norm else set())
    assert model.output.shape == (None, 3, 4, 4, 3)
