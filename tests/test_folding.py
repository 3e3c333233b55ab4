"""Convolutions with their BatchNorm folded in."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from mrcnn.folding import FoldedConv, fold_batch_norm
from mrcnn.norm import BatchNorm

array = ops.convert_to_numpy


def random_norm(norm, seed=0):
    rng = np.random.default_rng(seed)
    shape = norm.gamma.shape
    norm.set_weights([*rng.normal(size=(3, *shape)), rng.uniform(0.5, 2, shape)])


def folded_layers(model):
    return [layer for layer in model.layers if isinstance(layer, FoldedConv)]


def test_by_hand():
    # One channel, kernel 2, bias 1; gamma 3, beta 5, mean 7, variance 3.99 + epsilon 0.01 = 4:
    # x = 10: conv 2 * 10 + 1 = 21; 3 * (21 - 7) / 2 + 5 = 26.
    x = keras.Input((1, 4, 1))
    conv, norm = layers.Conv2D(1, 1), BatchNorm(epsilon=0.01)
    model = keras.Model(x, norm(conv(x)))
    conv.set_weights([np.full((1, 1, 1, 1), 2.0), np.array([1.0])])
    norm.set_weights([np.array([value]) for value in (3.0, 5.0, 7.0, 3.99)])
    folded = fold_batch_norm(model)
    assert len(folded_layers(folded)) == 1
    np.testing.assert_allclose(array(folded(np.full((1, 1, 4, 1), 10.0)))[0, 0, 0], 26, rtol=1e-6)
    # The weights are shared: another bias, 3 * (22 - 7) / 2 + 5 = 27.5.
    conv.bias.assign([2.0])
    np.testing.assert_allclose(array(folded(np.full((1, 1, 4, 1), 10.0)))[0, 0, 0], 27.5, rtol=1e-6)


@pytest.mark.parametrize("side", [1, 3, 16, None])  # by far fewer features than weights, and more
@pytest.mark.parametrize("kind", ["plain", "strided", "groups", "depthwise", "no bias", "no scale"])
def test_equals_the_two_layers(kind, side):
    options = {"padding": "same", "strides": 2 if kind == "strided" else 1}
    if kind == "depthwise":
        conv = layers.DepthwiseConv2D(3, depth_multiplier=2, **options)
    else:
        groups = 2 if kind == "groups" else 1
        conv = layers.Conv2D(8, 3, groups=groups, use_bias=kind != "no bias", **options)
    norm = layers.BatchNormalization(scale=kind != "no scale", center=kind != "no scale")
    x = keras.Input((side, side, 4))
    model = keras.Model(x, layers.ReLU()(norm(conv(x))))
    rng = np.random.default_rng(1)
    conv.set_weights([rng.normal(size=w.shape) for w in conv.get_weights()])
    if kind != "no scale":
        random_norm(norm)
    folded = fold_batch_norm(model)
    assert len(folded_layers(folded)) == 1
    image = rng.normal(size=(2, side or 12, side or 12, 4)).astype("float32")
    expected = array(model(image))
    np.testing.assert_allclose(array(folded(image)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("train_bn", [False, None])
def test_training(train_bn):
    x = keras.Input((8, 8, 3))
    conv, norm = layers.Conv2D(4, 3), BatchNorm(train_bn)
    model = keras.Model(x, norm(conv(x)))
    random_norm(norm)
    folded = fold_batch_norm(model)
    image = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    before = array(norm.moving_mean)
    expected = array(norm(conv(image), training=False))
    found = array(folded(image, training=True))
    # train_bn None takes the batch's own mean and variance: those of the output are beta, gamma^2.
    assert np.allclose(found, expected, atol=1e-5) == (train_bn is False)
    if train_bn is None:
        gamma, beta = array(norm.gamma), array(norm.beta)
        np.testing.assert_allclose(found.mean(axis=(0, 1, 2)), beta, atol=1e-5)
        np.testing.assert_allclose(found.std(axis=(0, 1, 2)), np.abs(gamma), rtol=1e-2)
        assert not np.allclose(array(norm.moving_mean), before)
        norm.trainable = False  # Keras's rule: a frozen layer uses its moving averages
        expected = array(norm(conv(image), training=False))
        np.testing.assert_allclose(array(folded(image, training=True)), expected, atol=1e-5)


@pytest.mark.parametrize("conv", [layers.Conv2D(4, 2), layers.DepthwiseConv2D(2)])
def test_one_place(conv):
    x, norm = keras.Input((2, 2, 4)), BatchNorm()
    model = keras.Model(x, norm(conv(x)))
    random_norm(norm)
    features = np.random.default_rng(0).normal(size=(5, 2, 2, 4)).astype("float32")
    found = array(fold_batch_norm(model)(features))
    assert found.shape == (5, 1, 1, 4)
    np.testing.assert_allclose(found, array(model(features)), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_folded():
    x = keras.Input((8, 8, 3))
    active = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))
    alone = layers.BatchNormalization()(layers.ReLU()(active))
    fixed = layers.BatchNormalization()(layers.Conv2D(4, 1)(alone), training=True)
    model = keras.Model(x, fixed)
    folded = fold_batch_norm(model)
    assert folded_layers(folded) == []
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(array(folded(image)), array(model(image)), atol=1e-5)


def test_features_and_their_norm():
    # The convolution's own output is asked for too, and one pair of layers is applied twice.
    x = keras.Input((8, 8, 3))
    conv, norm = layers.Conv2D(3, 3, padding="same"), BatchNorm()
    y = conv(x)
    model = keras.Model(x, [y, norm(conv(norm(y)))])
    random_norm(norm)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    for found, expected in zip(fold_batch_norm(model)(image), model(image), strict=True):
        np.testing.assert_allclose(array(found), array(expected), rtol=1e-4, atol=1e-4)
