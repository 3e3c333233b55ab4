"""Styles of ResNet by a picture of one pixel, by their layers and by the counts of the papers."""

import keras
import numpy as np
import pytest
from builders import fpn
from keras import layers
from numpy.testing import assert_allclose

from mrcnn.network import ConvStyle, conv_block, identity_block, resnet_graph
from mrcnn.network.named_weights import named_weights
from mrcnn.network.norm import BatchNorm

TORCH = {"use_bias": False, "epsilon": 1e-5, "symmetric_padding": True}


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def style_of(**changes):
    """A ResNet-50 of a style, without C5."""
    images = keras.Input((64, 64, 3))
    features = resnet_graph(images, "resnet50", style=ConvStyle(**changes))
    return keras.Model(images, features[:4])


# ---- one block


@pytest.mark.parametrize(
    ("style", "rows"),
    [
        # The 1x1 convolution takes rows 0 and 2, the 3x3 the one before: none, and 0.
        (ConvStyle(), [None, 0]),
        (ConvStyle(symmetric_padding=True), [None, 0]),
        # The 3x3 convolution has the stride. TensorFlow pads below only: rows 0 and 2.
        (ConvStyle(stride_in_1x1=False), [0, 2]),
        # Padded on both sides it starts one row earlier: none, and 1.
        (ConvStyle(stride_in_1x1=False, symmetric_padding=True), [None, 1]),
    ],
)
def test_stride_and_padding_of_a_block(style, rows):
    # Kernels that pass the pixel at their centre, the 3x3 one that of the upper left corner; the
    # shortcut is zero. BatchNorm divides by sqrt(1.001) three times, which shows in no digit here.
    image = keras.Input((4, 4, 1))
    block = keras.Model(image, conv_block(image, 3, (1, 1, 1), 3, "a", 2, style=style))
    for name, weight in named_weights(block).items():
        if name.endswith("kernel"):
            kernel = np.zeros(weight.shape)
            kernel[0, 0] = 0 if "branch1" in name else 1
            weight.assign(kernel)
    plane = np.add.outer(10 * np.arange(4), np.arange(1, 5))  # never 0
    found = block.predict_on_batch(plane[None, ..., None].astype("float32"))[0, ..., 0]
    expected = [[0 if None in (y, x) else plane[y, x] for x in rows] for y in rows]
    assert_allclose(found, expected, rtol=0.01)


def test_groups_of_a_block():
    image = keras.Input((4, 4, 8))
    model = keras.Model(image, identity_block(image, 3, (4, 4, 8), 2, "b", groups=2))
    weights = named_weights(model)
    # Each of 4 outputs sees 4 / 2 channels; the 1x1 convolutions see all.
    assert tuple(weights["res2b_branch2b/kernel"].shape) == (3, 3, 2, 4)
    assert tuple(weights["res2b_branch2a/kernel"].shape) == (1, 1, 8, 4)
    assert tuple(weights["res2b_branch2c/kernel"].shape) == (1, 1, 4, 8)


def test_biases_of_a_block_follow_the_argument_or_the_style():
    image = keras.Input((4, 4, 8))

    def biases(**arguments):
        block = identity_block(image, 3, (4, 4, 8), 2, "b", **arguments)
        return sum(layer.use_bias for layer in layers_of(keras.Model(image, block), layers.Conv2D))

    assert (biases(), biases(use_bias=False)) == (3, 0)
    assert biases(style=ConvStyle(use_bias=False)) == 0
    assert biases(use_bias=False, style=ConvStyle()) == 3


# ---- resnet_graph


def test_matterports_style():
    model = style_of()
    convolutions = layers_of(model, layers.Conv2D)
    # 1 + 3 * 3 + 4 * 3 + 6 * 3, and a shortcut for each of three stages.
    assert len(convolutions) == 43 and all(layer.use_bias for layer in convolutions)
    assert {layer.epsilon for layer in layers_of(model, BatchNorm)} == {1e-3}
    assert len(layers_of(model, layers.ZeroPadding2D)) == 1  # before conv1
    assert [layer.padding for layer in layers_of(model, layers.MaxPooling2D)] == ["same"]
    assert strided(model) == {
        *("conv1", "res3a_branch2a", "res3a_branch1", "res4a_branch2a", "res4a_branch1"),
    }


def strided(model):
    return {layer.name for layer in layers_of(model, layers.Conv2D) if layer.strides != (1, 1)}


def test_torchvisions_style():
    model = style_of(**TORCH, stride_in_1x1=False)
    assert not any(layer.use_bias for layer in layers_of(model, layers.Conv2D))
    assert {layer.epsilon for layer in layers_of(model, BatchNorm)} == {1e-5}
    # Before conv1, the pooling and the strided 3x3 convolutions of stages 3 and 4.
    padding = [layer.padding for layer in layers_of(model, layers.ZeroPadding2D)]
    assert padding == [((n, n), (n, n)) for n in (3, 1, 1, 1)]
    assert [layer.padding for layer in layers_of(model, layers.MaxPooling2D)] == ["valid"]
    assert strided(model) == {
        *("conv1", "res3a_branch2b", "res3a_branch1", "res4a_branch2b", "res4a_branch1"),
    }
    for stage in (3, 4):
        assert model.get_layer(f"res{stage}a_branch2b").padding == "valid"
        assert model.get_layer(f"res{stage}b_branch2b").padding == "same"


def test_detectron2s_style():
    model = style_of(**TORCH)
    # The strided 1x1 convolutions need no padding.
    assert len(layers_of(model, layers.ZeroPadding2D)) == 2
    assert "res3a_branch2a" in strided(model) and "res3a_branch2b" not in strided(model)


@pytest.mark.parametrize("symmetric", [False, True])
def test_sides_of_a_style_are_halved(symmetric):
    images = keras.Input((64, 96, 3))
    style = ConvStyle(stride_in_1x1=False, symmetric_padding=symmetric)
    features = resnet_graph(images, "resnet50", style=style)
    shapes = [tuple(feature.shape[1:3]) for feature in features[:4]]
    assert shapes == [(16, 24), (16, 24), (8, 12), (4, 6)]


def test_pooling_of_both_paddings_by_one_pixel():
    # conv1 halves 16 to 8; a bright pixel at (1, 1) of its output is seen by the windows from -1
    # to 1 and from 1 to 3 (symmetric), or by that from 0 to 2 only.
    for symmetric, expected in ((True, [[1, 1], [1, 1]]), (False, [[1, 0], [0, 0]])):
        images = keras.Input((16, 16, 1))
        style = ConvStyle(use_bias=False, symmetric_padding=symmetric)
        model = keras.Model(images, resnet_graph(images, "resnet50", style=style)[0])
        kernel = np.zeros((7, 7, 1, 64))
        kernel[3, 3] = 1  # the pixel at twice the place
        model.get_layer("conv1").set_weights([kernel])
        picture = np.zeros((1, 16, 16, 1), "float32")
        picture[0, 2, 2] = 1
        found = model.predict_on_batch(picture)[0, :, :, 0]
        assert found.shape == (4, 4)
        assert_allclose(found[:2, :2], expected, rtol=0.01)
        assert not found[2:].any() and not found[:, 2:].any()


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [
        # torchvision's classifiers without their last layer of 2048 * 1000 + 1000 = 2,049,000.
        ("resnet50", 25_557_032 - 2_049_000),
        ("resnext101_32x8d", 88_791_336 - 2_049_000),
    ],
)
def test_parameters_without_biases(architecture, parameters):
    images = keras.Input((64, 64, 3))
    style = ConvStyle(**TORCH, stride_in_1x1=False)
    features = resnet_graph(images, architecture, stage5=True, style=style)
    weights = named_weights(keras.Model(images, features))
    counted = [w for name, w in weights.items() if "/moving_" not in name]
    assert sum(int(np.prod(weight.shape)) for weight in counted) == parameters
    # A mean and a variance for each gamma and beta, and nothing else.
    norms = [w for name, w in weights.items() if name.endswith(("/gamma", "/beta"))]
    assert len(weights) - len(counted) == len(norms)
    if architecture == "resnext101_32x8d":
        # 32 groups of 8 channels in stage 2, of 64 in stage 5.
        assert tuple(weights["res2a_branch2b/kernel"].shape) == (3, 3, 8, 256)
        assert tuple(weights["res5c_branch2b/kernel"].shape) == (3, 3, 64, 2048)
        assert tuple(weights["res4w_branch2c/kernel"].shape) == (1, 1, 1024, 1024)


# ---- fpn


def pyramid(**arguments):
    features = [keras.Input((side, side, 3)) for side in (16, 8, 4, 2)]
    return keras.Model(features, fpn(features, 5, **arguments))


CONVOLUTIONS = [f"fpn_{name}" for name in ("c2p2", "c3p3", "c4p4", "c5p5", "p2", "p3", "p4", "p5")]


def test_pyramid_without_norm_has_biases_whatever_the_style():
    for style in (None, ConvStyle(use_bias=False)):
        weights = named_weights(pyramid(style=style))
        assert set(weights) == {f"{name}/{v}" for name in CONVOLUTIONS for v in ("kernel", "bias")}


@pytest.mark.parametrize("use_bias", [False, True])
def test_pyramid_with_norm(use_bias):
    model = pyramid(norm=True, style=ConvStyle(use_bias=use_bias, epsilon=1e-5), train_bn=False)
    weights = named_weights(model)
    variables = ("gamma", "beta", "moving_mean", "moving_variance")
    expected = {f"{name}_bn/{v}" for name in CONVOLUTIONS for v in variables}
    expected |= {f"{name}/{v}" for name in CONVOLUTIONS for v in ["kernel", "bias"][: 1 + use_bias]}
    assert set(weights) == expected
    assert tuple(weights["fpn_c5p5/kernel"].shape) == (1, 1, 3, 5)
    assert tuple(weights["fpn_p2/kernel"].shape) == (3, 3, 5, 5)
    norms = layers_of(model, BatchNorm)
    assert {(layer.epsilon, layer.train_bn) for layer in norms} == {(1e-5, False)}
    assert [output.shape[1:] for output in model.outputs] == [
        (side, side, 5) for side in (16, 8, 4, 2, 1)
    ]


def test_pyramid_normalises_before_it_adds():
    # Every lateral is 1 -> (1 - 3) * 2 / 1 + 10 = 6 through its norm; P5 is 6, P4 6 + 6, P3 18,
    # P2 24. The last convolutions pass it; their norm adds 1.
    model = pyramid(norm=True, style=ConvStyle(use_bias=False, epsilon=0.0))
    for name, weight in named_weights(model).items():
        lateral = not name.startswith("fpn_p")
        values = {"gamma": 2.0, "beta": 10.0, "moving_mean": 3.0, "moving_variance": 1.0}
        if not lateral:
            values = {"gamma": 1.0, "beta": 1.0, "moving_mean": 0.0, "moving_variance": 1.0}
        variable = name.split("/")[1]
        value = np.full(weight.shape, values.get(variable, 0.0))
        if variable == "kernel" and lateral:
            value[...] = 1 / 3  # of three channels of ones
        elif variable == "kernel":
            value[1, 1] = np.eye(5)
        weight.assign(value)
    found = model.predict_on_batch([np.ones((1, s, s, 3), "float32") for s in (16, 8, 4, 2)])
    for level, value in zip(found, (25, 19, 13, 7, 7), strict=True):
        assert_allclose(level, np.full_like(level, value), rtol=1e-5)
