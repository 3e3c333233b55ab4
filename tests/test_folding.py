"""Convolutions with their BatchNorm folded in."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tiny import TinyConfig, shapes

from mrcnn.architectures import MaskRCNN
from mrcnn.data import DataGenerator
from mrcnn.network.folding import FoldedConv, fold_batch_norm
from mrcnn.network.norm import BatchNorm
from mrcnn.network.training_model import TrainingModel

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


@pytest.mark.parametrize("side", [1, 3, 16, None])
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


def test_a_model_inside():
    x = keras.Input((8, 8, 3))
    conv, norm = layers.Conv2D(4, 3), BatchNorm()
    inner = keras.Model(x, norm(conv(x)), name="inner")
    random_norm(norm)
    images, others = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    model = keras.Model([images, others], [inner(images), inner(others)])
    folded = fold_batch_norm(model)
    assert [len(folded_layers(each)) for each in folded.layers if each.name == "inner"] == [1]
    given = list(np.random.default_rng(0).normal(size=(2, 1, 8, 8, 3)).astype("float32"))
    for found, expected in zip(folded(given), model(given), strict=True):
        np.testing.assert_allclose(array(found), array(expected), rtol=1e-4, atol=1e-5)
    outer = fold_batch_norm(keras.Model(model.input, model(model.input)))
    assert sum(isinstance(layer, FoldedConv) for layer in outer._flatten_layers()) == 1


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


def test_one_convolution_of_two_norms_and_keywords():
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(3, 3)(x)
    norms = [BatchNorm() for _ in range(3)]
    model = keras.Model(x, [norms[0](y), norms[1](y), norms[2](inputs=y)])
    for seed, norm in enumerate(norms):
        random_norm(norm, seed)
    folded = fold_batch_norm(model)
    assert len(folded_layers(folded)) == 2
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    for found, expected in zip(folded(image), model(image), strict=True):
        np.testing.assert_allclose(array(found), array(expected), rtol=1e-4, atol=1e-4)


def test_kernel_is_scaled_in_float32():
    # Kernel 257/256 times gamma 256/257 is 1, times 256 is 256. In bfloat16, of 8 bits, the kernel
    # alone were 1, gamma 255/256, and the result 255.
    conv = layers.Conv2D(1, 1, use_bias=False, dtype="mixed_bfloat16")
    norm = BatchNorm(epsilon=0.0, dtype="mixed_bfloat16")
    conv.build((1, 4, 4, 1))
    norm.build((1, 4, 4, 1))
    conv.set_weights([np.full((1, 1, 1, 1), 257 / 256)])
    norm.set_weights([np.array([value]) for value in (256 / 257, 0.0, 0.0, 1.0)])
    found = FoldedConv(conv, norm)(np.full((1, 4, 4, 1), 256.0))
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    assert array(ops.cast(found, "float32")).tolist() == np.full((1, 4, 4, 1), 256.0).tolist()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="oneDNN's gradients")
@pytest.mark.parametrize("gpus, training, expected", [(0, True, 1), (0, False, 0), (1, True, 0)])
def test_depthwise_convolutions_train_in_float32_on_a_processor(
    gpus, training, expected, monkeypatch
):
    # Taps 257/256 and -1 over 256, 256 give 257 - 256 = 1; in bfloat16 the first tap is 1.
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"] * gpus)
    conv = layers.DepthwiseConv2D((1, 2), use_bias=False, dtype="mixed_bfloat16")
    norm = BatchNorm(train_bn=False, epsilon=0.0, dtype="mixed_bfloat16")
    conv.build((1, 1, 2, 1))
    norm.build((1, 1, 1, 1))
    conv.set_weights([np.array([257 / 256, -1]).reshape(1, 2, 1, 1)])
    features = np.full((1, 1, 2, 1), 256.0)
    found = FoldedConv(conv, norm)(features, training=training)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    assert array(ops.cast(found, "float32")).tolist() == [[[[expected]]]]


def test_a_folded_model_can_be_saved(tmp_path):
    x = keras.Input((8, 8, 3))
    conv, norm = layers.Conv2D(4, 3, dtype="mixed_bfloat16"), BatchNorm(epsilon=0.5)
    folded = fold_batch_norm(keras.Model(x, norm(conv(x))))
    random_norm(norm)
    folded.save(tmp_path / "model.keras")
    kinds = {"FoldedConv": FoldedConv, "BatchNorm": BatchNorm}
    again = keras.saving.load_model(tmp_path / "model.keras", kinds)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    np.testing.assert_array_equal(array(again(image)), array(folded(image)))


# ---- in the network


@pytest.fixture
def training(tmp_path):
    """A model whose norms do something, and a batch."""

    class Fixed(TinyConfig):
        TRAIN_BN = False

    model = MaskRCNN("training", Fixed(), tmp_path)
    for seed, layer in enumerate(model.keras_model._flatten_layers()):
        if isinstance(layer, layers.BatchNormalization):
            random_norm(layer, seed)
    return model, DataGenerator(shapes(), model.config)[0][0]


def test_detection_runs_folded(training):
    detection = training[0].graphs["detection"]
    norms = [x for x in detection._flatten_layers() if isinstance(x, BatchNorm)]
    assert len(folded_layers(detection)) == len(norms) == 5 + 2 + 4  # backbone, box, mask head


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="GradientTape")
def test_losses_and_gradients_are_those_without_folding(training):
    import tensorflow as tf

    model, batch = training
    network = model.keras_model
    model.set_trainable(".*", verbose=0)
    generators = [x.seed_generator for x in network.layers if hasattr(x, "seed_generator")]
    draws = [array(generator.state) for generator in generators]
    assert len(draws) == 2
    results = []
    for call in (network, super(TrainingModel, network).call):
        for generator, state in zip(generators, draws, strict=True):
            generator.state.assign(state)
        with tf.GradientTape() as tape:
            losses = call(batch)[-5:]
            total = sum(losses)
        gradients = tape.gradient(total, network.trainable_variables)
        results.append([*losses, *gradients])
    kernels = 0
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(array(found), array(expected), rtol=1e-3, atol=1e-4)
        kernels += not np.array_equal(array(found), array(expected))
    assert kernels > 10  # two ways of rounding, so not the same graph twice
