"""The networks of `keras.applications` as backbones, with random weights in place of ImageNet's."""

import re
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops
from tiny import TinyConfig, shapes

from mrcnn.architectures import MaskRCNN
from mrcnn.config import Config
from mrcnn.config_checks import KERAS_BACKBONES
from mrcnn.data import DataGenerator
from mrcnn.image.molding import mold_image
from mrcnn.network.backbones import build_backbone
from mrcnn.network.folding import FoldedConv
from mrcnn.network.keras_applications import LayerScale, imagenet_arrays, keras_graph
from mrcnn.network.named_weights import named_weights
from mrcnn.network.norm import BatchNorm
from mrcnn.presets import PRESETS
from mrcnn.settings import ConvStyle, Trunk
from mrcnn.training.freezing import LAYER_GROUPS, depth_of
from mrcnn.weights import fetch, find, for_config
from mrcnn.weights.names import source_names
from mrcnn.weights.sources import guess_source

SMALLEST = "keras/MobileNetV3Small"
PICTURE = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype("float32")


def application(backbone, weights=None):
    build = getattr(keras.applications, backbone.removeprefix("keras/"))
    return build(include_top=False, weights=weights, input_shape=(224, 224, 3))


def fake_download(monkeypatch, folder, backbone):
    """Has Keras find random weights for a network, where it would download those of ImageNet."""
    network, rng = application(backbone), np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, layers.Normalization) and layer.weights:
            # As in Keras's files: the deviation in place of the variance.
            values = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0
            layer.set_weights([np.array(value) for value in values])
        elif isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    path = f"{folder}/fake.weights.h5"
    network.save_weights(path)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *args, **options: path)


def same_as_keras(backbone, monkeypatch, folder, presets=("matterport/mask_rcnn_coco",)):
    """Checks that C5 of a molded picture is what Keras's preprocessing and network make of it."""
    fake_download(monkeypatch, folder, backbone)
    arrays = imagenet_arrays(backbone)
    reference = application(backbone, "imagenet")
    expected = reference.predict_on_batch(preprocess(backbone)(PICTURE.copy()))
    assert np.std(expected) > 0
    for preset in presets:
        config, images = PRESETS[preset](), keras.Input((None, None, 3))
        pixels = Trunk.from_config(config).preset_pixels
        ours = keras.Model(images, keras_graph(images, backbone, pixels=pixels)[4])
        weights = named_weights(ours)
        assert weights.keys() == arrays.keys()
        for name, array in arrays.items():
            weights[name].assign(array)
        found = ours.predict_on_batch(mold_image(PICTURE, config.MEAN_PIXEL, config.STD_PIXEL))
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def preprocess(backbone):
    """What Keras's documentation says to call for a network, by the beginning of its name."""
    modules = {
        "VGG16": keras.applications.vgg16,
        "ResNet50V2": keras.applications.resnet_v2,
        "DenseNet": keras.applications.densenet,
        "EfficientNetV2": keras.applications.efficientnet_v2,
        "EfficientNetB": keras.applications.efficientnet,
        "ConvNeXt": keras.applications.convnext,
        "MobileNetV2": keras.applications.mobilenet_v2,
        "MobileNetV3": keras.applications.mobilenet_v3,
    }
    name = backbone.removeprefix("keras/")
    return next(modules[key] for key in modules if name.startswith(key)).preprocess_input


# ---- the features


# By network: the layers that segmentation networks with backbones of Keras take as C2 to C5 (as
# keras-unet-collection and segmentation_models do), or the last ones of their stage; channels.
FEATURES = {
    "VGG16": (
        ("block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"),
        (256, 512, 512, 512),
    ),
    "ResNet50V2": (
        ("conv2_block3_1_relu", "conv3_block4_1_relu", "conv4_block6_1_relu", "post_relu"),
        (64, 128, 256, 2048),
    ),
    "DenseNet121": (("pool2_conv", "pool3_conv", "pool4_conv", "relu"), (128, 256, 512, 1024)),
    "EfficientNetB0": (
        (*(f"block{i}a_expand_activation" for i in (3, 4, 6)), "top_activation"),
        (144, 240, 672, 1280),
    ),
    "ConvNeXtTiny": (
        (*(f"convnext_tiny_downsampling_layernorm_{i}" for i in range(3)), "layer_normalization_1"),
        (96, 192, 384, 768),
    ),
    "MobileNet": (
        ("conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"),
        (128, 256, 512, 1024),
    ),
    "MobileNetV2": (
        (*(f"block_{i}_expand_relu" for i in (3, 6, 13)), "out_relu"),
        (144, 192, 576, 1280),
    ),
}
QUICK = ("VGG16", "MobileNet")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in ("ConvNeXtTiny",))]
)
def test_features_are_those_that_others_take(name):
    check_features(name)


def check_features(name):
    found, channels = FEATURES[name]
    features = keras_graph(keras.Input((64, 96, 3)), f"keras/{name}")
    assert features[0] is None
    layer_names = [feature._keras_history.operation.name for feature in features[1:]]
    stages = [f"stage{level}_{layer}" for level, layer in zip((2, 3, 4, 5), found, strict=True)]
    assert layer_names == stages
    # 64 / 4 = 16, ... 96 / 32 = 3
    sides = [(16, 24), (8, 12), (4, 6), (2, 3)]
    expected = [(None, *side, count) for side, count in zip(sides, channels, strict=True)]
    assert [feature.shape for feature in features[1:]] == expected


def test_without_stage5_nothing_of_it_is_built():
    images = keras.Input((64, 64, 3))
    features = keras_graph(images, "keras/VGG16", stage5=False)
    assert features[4] is None
    names = [layer.name for layer in keras.Model(images, features[1:4]).layers]
    assert "stage4_block5_conv3" in names and not [n for n in names if n.startswith("stage5")]


def test_every_layer_with_weights_is_named_by_its_stride():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras_graph(images, "keras/VGG16")[1:])
    # Two convolutions at strides 1 and 2 each, three at 4, 8 and 16; stage 1 goes to stride 2.
    names = [layer.name for layer in model.layers if layer.weights]
    assert [name.partition("_")[0] for name in names] == (
        ["stage1"] * 4 + ["stage2"] * 3 + ["stage3"] * 3 + ["stage4"] * 3
    )
    assert [depth_of(name) for name in names[3:]] == [5, 4, 4, 4, 3, 3, 3, 2, 2, 2]


# ---- preprocessing and weights


def test_features_of_a_molded_picture_are_those_of_keras(monkeypatch, tmp_path):
    presets = ("matterport/mask_rcnn_coco", "torchvision/maskrcnn_resnet50_fpn")
    same_as_keras("keras/VGG16", monkeypatch, tmp_path, presets)


@pytest.mark.slow
def test_efficientnets_statistics_are_in_the_graph(monkeypatch, tmp_path):
    same_as_keras("keras/EfficientNetB0", monkeypatch, tmp_path)


def test_pictures_of_other_statistics_are_put_where_imagenets_lie():
    # The mean of the data is 0 once molded, and becomes 123.7 - 123.68 = 0.02 of red: VGG takes BGR
    # without ImageNet's mean. A deviation of 3 becomes 1, and with STD_PIXEL 1 one of 1 is left.
    images = keras.Input((None, None, 3))
    pixels = Trunk().preset_pixels
    assert pixels == ((123.7, 116.8, 103.9), 1.0)
    features = keras_graph(images, "keras/VGG16", stage5=False, pixels=pixels)
    first = keras.Model(images, features[3]).get_layer("stage1_block1_conv1").input
    picture = mold_image(np.array([[[[7.0, 7, 7], [10, 7, 4]]]]), np.array([7.0, 7, 7]), 3.0)
    found = keras.Model(images, first).predict_on_batch(picture)
    expected = [[-0.039, 0.021, 0.02], [-0.039 - 1, 0.021, 0.02 + 1]]
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-5)


def test_imagenet_weights_are_those_of_the_backbone():
    config = types.SimpleNamespace(
        ARCHITECTURE="mask_rcnn",
        PRESET="detectron2/mask_rcnn_R_50_FPN_3x",
        BACKBONE="keras/VGG16",
        USE_MASK=True,
        USE_KEYPOINTS=False,
    )
    entry = for_config("imagenet", config)
    assert (entry.name, entry.preset, entry.masks) == ("keras/VGG16", None, False)
    assert find("keras/VGG16") == entry
    with pytest.raises(ValueError, match=r"no 'coco' weights for .*keras/VGG16"):
        for_config("coco", config)


def test_fetched_weights_are_kept(monkeypatch, tmp_path):
    fake_download(monkeypatch, tmp_path, "keras/VGG16")
    path = fetch("keras/VGG16", tmp_path)
    assert path == str(tmp_path / "keras_VGG16_imagenet.npz")
    with np.load(path) as arrays:
        assert len(arrays) == 26  # 13 convolutions, their kernels and biases
        assert arrays["stage3_block4_conv1/kernel"].shape == (3, 3, 256, 512)
    monkeypatch.setattr("keras.applications.VGG16", None)  # a second time asks nobody
    assert fetch("keras/VGG16", tmp_path) == path


def test_without_a_network_it_says_what_to_do(monkeypatch, tmp_path):
    def fail(name, origin, **options):
        raise Exception(f"URL fetch failure on {origin}: None -- no route")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    expected = (
        r"the ImageNet weights of keras/VGG16: URL fetch failure on https://.*vgg16.*notop\.h5: .*"
        r"By hand: download the file that this names and put it into .*models"
    )
    with pytest.raises(OSError, match=expected):
        fetch("keras/VGG16", tmp_path)
    assert not list(tmp_path.iterdir())


# ---- layers


def test_layer_scale_by_hand():
    layer = LayerScale(0.5, 2, name="scale")
    np.testing.assert_allclose(layer(np.array([[4.0, 6.0]])), [[2, 3]])  # half of each
    assert [weight.path for weight in layer.weights] == ["scale/gamma"]
    again = LayerScale.from_config(layer.get_config())
    assert (again.init_values, again.projection_dim) == (0.5, 2)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "sync_batch"])
def test_norms_are_ours(norm):
    images = keras.Input((64, 64, 3))
    trunk = Trunk(backbone="keras/MobileNet", train_bn=False)
    model = keras.Model(images, build_backbone(images, trunk, ConvStyle(norm=norm)))
    norms = [x for x in model.layers if isinstance(x, layers.BatchNormalization)]
    assert len(norms) == 1 + 2 * 13  # the stem's, and two a block
    # JAX's statistics are of the whole batch in any case.
    synchronized = norm == "sync_batch" and keras.backend.backend() == "tensorflow"
    assert {(type(x), x.train_bn, x.epsilon, x.synchronized) for x in norms} == {
        (BatchNorm, False, 1e-3, synchronized)
    }


# ---- the config


@pytest.mark.parametrize("backbone", ["keras/Xception", "VGG16", "keras/vgg16"])
def test_other_names_are_refused(backbone):
    config = named(backbone)
    with pytest.raises(ValueError, match=f"BACKBONE is '{backbone}'.*whole strides.*'keras/VGG16'"):
        config.validate()


def test_group_norm_is_refused_where_there_is_batch_norm():
    config = named("keras/EfficientNetV2B0")
    config.NORM = "group"
    with pytest.raises(ValueError, match=r"NORM is 'group' and BACKBONE 'keras/Eff.*'sync_batch'"):
        config.validate()
    config.NORM = "sync_batch"
    config.validate()
    config.NORM, config.BACKBONE = "group", "keras/ConvNeXtTiny"
    config.validate()


def test_other_channels_are_refused():
    config = named("keras/VGG16")
    config.IMAGE_CHANNEL_COUNT, config.MEAN_PIXEL = 2, np.array([1.0, 2.0])
    with pytest.raises(ValueError, match=r"keras/VGG16' and IMAGE_CHANNEL_COUNT 2; .* take RGB"):
        config.validate()


def named(backbone):
    config = Config()
    config.NAME, config.NUM_CLASSES, config.BACKBONE = "named", 2, backbone
    return config


def test_keras_has_every_network():
    assert len(KERAS_BACKBONES) == len(set(KERAS_BACKBONES)) == 35
    for backbone in KERAS_BACKBONES:
        assert hasattr(keras.applications, backbone.removeprefix("keras/"))
        named(backbone).validate()


# ---- a whole model


class SmallestConfig(TinyConfig):
    BACKBONE = SMALLEST
    TRAIN_BN = False
    STEPS_PER_EPOCH = 1


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model for training, with random weights of "ImageNet", and their report."""
    folder = tmp_path_factory.mktemp("smallest")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("KERAS_HOME", str(folder))
        fake_download(monkeypatch, folder, SMALLEST)
        model = MaskRCNN("training", SmallestConfig(), str(folder / "logs"))
        model.report = model.load_weights("imagenet")
        with np.load(folder / "models" / "mrcnn" / "keras_MobileNetV3Small_imagenet.npz") as arrays:
            model.arrays = dict(arrays)
    return model


@pytest.mark.slow
def test_imagenet_loads_the_backbone_and_leaves_the_heads(model):
    weights = named_weights(model.keras_model)
    backbone = {name for name in weights if name.startswith("stage")}
    assert set(model.report["loaded"]) == backbone == set(model.arrays)
    assert not model.report["unexpected"] and not model.report["wrong_shape"]
    for name in ("stage1_conv/kernel", "stage5_conv_1_bn/moving_variance"):
        np.testing.assert_array_equal(ops.convert_to_numpy(weights[name]), model.arrays[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "stages"),
    [("heads", ""), ("5+", "5"), ("4+", "45"), ("3+", "345"), ("all", "12345")],
)
def test_what_trains(model, group, stages):
    model.set_trainable(LAYER_GROUPS[group], verbose=0)
    names = {weight.path for weight in model.keras_model.trainable_weights}
    trained = {found[1] for name in names if (found := re.match(r"stage(\d)_", name))}
    assert trained == set(stages)
    assert {"fpn_p2/kernel", "rpn_class_raw/kernel", "mrcnn_mask/kernel"} <= names


@pytest.mark.thorough
@pytest.mark.slow
def test_training_keeps_statistics_and_moves_the_rest(model):
    before = values(model)
    model.train(shapes(), None, 0.01, model.epoch + 1, "all")
    after = values(model)
    moved = {name for name in after if not np.array_equal(before[name], after[name])}
    backbone = {name for name in after if name.startswith("stage")}
    kept = {name for name in backbone if "moving_" in name}
    assert kept and not kept & moved
    assert len((backbone - kept) & moved) > 0.9 * len(backbone - kept)


def values(model):
    weights = named_weights(model.keras_model)
    return {name: ops.convert_to_numpy(weight).copy() for name, weight in weights.items()}


@pytest.mark.slow
def test_folded_convolutions_detect_the_same(model):
    folded, plain = model.graphs["detection"], model.graphs["inference"]
    names = [layer.name for layer in folded.layers if isinstance(layer, FoldedConv)]
    norms = [x.name for x in plain.layers if type(x) is BatchNorm and x.name.startswith("stage")]
    assert len([name for name in names if name.startswith("stage")]) == len(norms) == 34
    batch = DataGenerator(shapes(), model.config)[0][0]
    inputs = {name: batch[name] for name in ("input_image", "input_image_meta")}
    found, expected = (graph.predict_on_batch(inputs) for graph in (folded, plain))
    assert found["detections"][..., 4:].any()
    np.testing.assert_allclose(found["detections"], expected["detections"], atol=1e-3)


@pytest.mark.slow
def test_a_checkpoint_gives_the_weights_back(model, tmp_path):
    path, before = str(tmp_path / "weights.h5"), values(model)
    assert len(model.detect([shapes().load_image(0)])[0]["scores"]) > 0
    model.save_weights(path)
    for weight in named_weights(model.keras_model).values():
        weight.assign(ops.zeros_like(weight))
    report = model.load_weights(path)
    assert not report["missing"] and not report["unexpected"]
    after = values(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def random_features():
    """C2 to C5 of random pixels by random weights, the same on every backend."""
    images, rng = keras.Input((None, None, 3)), np.random.default_rng(0)
    model = keras.Model(images, keras_graph(images, "keras/VGG16")[1:])
    for name, weight in named_weights(model).items():
        fan_in = np.prod(weight.shape[:-1]) if name.endswith("kernel") else 1
        weight.assign(rng.normal(0, fan_in**-0.5, weight.shape))
    pixels = rng.integers(0, 256, (1, 64, 96, 3)).astype("float32")
    return [ops.convert_to_numpy(feature) for feature in model.predict_on_batch(pixels)]


@pytest.mark.slow
@pytest.mark.thorough
def test_jax_gives_the_same_features(features_on_jax):
    others = features_on_jax("test_keras_applications")
    for feature, other in zip(random_features(), others, strict=True):
        assert np.std(feature) > 0.1
        np.testing.assert_allclose(other, feature, atol=1e-4 * np.abs(feature).max())


def test_a_checkpoint_on_layers_called_as_keras_is_ours():
    # A backbone that is a function may have ResNet's layers under Keras's names.
    arrays = ["conv1_conv/kernel", "conv2_block1_1_bn/gamma", "fpn_p2/kernel"]
    assert guess_source(arrays) == "matterport"
    names = source_names("matterport", arrays, pool_size=7)
    assert [names[name][0] for name in arrays] == arrays
    assert guess_source(arrays[:2]) == "keras_applications"
    names = source_names("keras_applications", arrays[:2], pool_size=7)
    assert [names[name][0] for name in arrays[:2]] == ["conv1/kernel", "bn2a_branch2a/gamma"]


def test_the_page_has_every_network():
    page = Path(__file__).parents[1] / "docs" / "backbones.md"
    rows = re.findall(r"^\| `(keras/\w+)` \| ([\d.]+) \| ([\d, ]+) \|", page.read_text(), re.M)
    assert [name for name, _, _ in rows] == list(KERAS_BACKBONES)
    stated = {name: tuple(map(int, channels.split(", "))) for name, _, channels in rows}
    for name, (_, channels) in FEATURES.items():
        assert stated[f"keras/{name}"] == channels
