"""What a user is told when memory runs out."""

import ast
import re

import keras
import pytest
from test_rcnn import RCNNConfig
from tiny import TinyConfig, tiny_of

from mrcnn.config import Config
from mrcnn.model import MaskRCNN, create
from mrcnn.settings import Settings
from mrcnn.training.freezing import LAYER_GROUPS, set_trainable
from mrcnn.training.memory import advice, is_out_of_memory


class ResourceExhaustedError(Exception):
    """As TensorFlow's is called."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (ResourceExhaustedError("OOM when allocating tensor with shape[8,256,512,512]"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes"), True),
        (ValueError("Image 3 has room for improvement"), False),
    ],
    ids=["python", "tensorflow", "jax", "another"],
)
def test_which_errors_are_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def config_of(**keys):
    config = Config()
    vars(config).update({"NAME": "x", "NUM_CLASSES": 2, **keys})
    return config


@pytest.fixture(scope="module")
def mask_rcnn(tmp_path_factory):
    return MaskRCNN("training", TinyConfig(), tmp_path_factory.mktemp("logs")).keras_model


def advise(network, config, sides=(1024, 1024), layers=".*"):
    set_trainable(network, layers)
    return advice(Settings.from_config(config), network, sides)


def follow(config, text):
    """Sets the keys of a config to the values that a text names."""
    for key, value in re.findall(r"([A-Z_]+) = ([\w\"]+)", text):
        setattr(config, key, ast.literal_eval(value))


def test_advice_names_what_can_be_changed(mask_rcnn):
    config = config_of(IMAGES_PER_GPU=4, ACCUMULATION_STEPS=2)
    text = advise(mask_rcnn, config)
    assert "IMAGES_PER_GPU = 1 (it is 4), with ACCUMULATION_STEPS = 8" in text
    assert 'PRECISION = "mixed_bfloat16"' in text and "TRAIN_ROIS_PER_IMAGE below 200" in text
    assert "USE_MINI_MASK" not in text and "keeps nothing of the backbone" in text
    assert "USE_MINI_MASK = True" in advise(mask_rcnn, config_of(USE_MINI_MASK=False))
    follow(config, text)
    config.validate()
    again = advise(mask_rcnn, config)
    assert "IMAGES_PER_GPU" not in again and "PRECISION" not in again


@pytest.mark.parametrize(
    ("keys", "sides", "told"),
    [
        # 1024 = 8 * 128, and 800 = 6 * 128 + 32.
        ({}, None, "IMAGE_MIN_DIM = 384 (it is 800) and IMAGE_MAX_DIM = 512 (it is 1024): about"),
        ({"IMAGE_MIN_DIM": None}, None, "IMAGE_MAX_DIM = 512 (it is 1024): about a quarter"),
        (
            {"IMAGE_MIN_DIM": 40, "IMAGE_MAX_DIM": 320},
            None,
            "; IMAGE_MAX_DIM = 128 (it is",
        ),
        (
            {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_MAX_DIM": 1333},
            None,
            "IMAGE_MIN_DIM = 384 (it is 800) and IMAGE_MAX_DIM = 640 (it is 1333): about",
        ),
        ({"IMAGE_RESIZE_MODE": "crop", "IMAGE_MIN_DIM": 320}, None, "; IMAGE_MIN_DIM = 128 (it is"),
        (
            {
                "IMAGE_RESIZE_MODE": "longest_edge",
                "IMAGE_INTERPOLATION": "corners",
                "IMAGE_MAX_DIM": 641,
            },
            None,
            "; IMAGE_MAX_DIM = 321 (it is 641)",
        ),
        ({"IMAGE_RESIZE_MODE": "none"}, (960, 1536), "; TILE_SIZE = 768 (it is None): parts"),
        (
            {"IMAGE_RESIZE_MODE": "none", "TILE_SIZE": 512, "TILE_OVERLAP": 200},
            (512, 512),
            "TILE_SIZE = 256 (it is 512) and TILE_OVERLAP = None (it is 200): parts",
        ),
        (
            {"IMAGE_RESIZE_MODE": "pad64", "IMAGE_MIN_DIM": 512, "IMAGE_BUCKETS": [(512, 640)]},
            (512, 640),
            "TILE_SIZE = 320 (it is None) and IMAGE_MIN_DIM = 320 (it is 512) and smaller IMAGE_B",
        ),
        (
            {"IMAGE_RESIZE_MODE": "none", "USE_KEYPOINTS": True},
            (512, 640),
            "smaller pictures (the longest side is 640)",
        ),
    ],
)
def test_what_makes_images_smaller_in_each_mode(mask_rcnn, keys, sides, told):
    """As advised, the config still works, with smaller images."""
    config = config_of(**keys)
    config.validate()
    text = advise(mask_rcnn, config, sides or (1024, 1024))
    assert told in text
    before = Settings.from_config(config)
    follow(config, text)
    config.validate()
    after = Settings.from_config(config)
    if "TILE_SIZE" in told:
        assert after.tiles.size < max(sides)
    elif "DIM" in told:
        assert after.image.shape < before.image.shape


@pytest.mark.parametrize(
    ("keys", "sides"),
    [
        ({"IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64}, (64, 64)),
        ({"IMAGE_RESIZE_MODE": "none"}, (64, 64)),
        ({"IMAGE_RESIZE_MODE": "none", "TILE_SIZE": 64}, (640, 640)),
    ],
)
def test_small_images_stay(mask_rcnn, keys, sides):
    text = advise(mask_rcnn, config_of(**keys), sides)
    assert "DIM" not in text and "TILE" not in text


@pytest.mark.parametrize(
    ("keys", "layers", "told"),
    [
        ({}, ".*", True),
        ({"JIT_COMPILE": True}, ".*", False),  # which undoes it
        ({"REMATERIALIZE": True}, ".*", False),
        ({"BACKBONE": "keras/ResNet50"}, ".*", False),
        ({"TRAIN_BN": True}, ".*", False),
        ({"TRAIN_BN": True, "NORM": "group"}, ".*", True),
        ({}, LAYER_GROUPS["heads"], False),  # nothing of the backbone is kept
    ],
)
def test_where_features_can_be_computed_again(mask_rcnn, keys, layers, told):
    text = advise(mask_rcnn, config_of(**keys), layers=layers)
    known = keras.backend.backend() == "tensorflow"
    assert ("REMATERIALIZE = True" in text) is (told and known)


def test_what_helps_a_training_is_what_it_has(mask_rcnn, tmp_path):
    """The heads alone train already; RetinaNet has no ROIs."""
    config = config_of()
    assert 'layers="heads"' not in advise(mask_rcnn, config, layers=LAYER_GROUPS["heads"])
    retinanet = tiny_of("torchvision/retinanet_resnet50_fpn_v2")
    network = create("training", retinanet, tmp_path).keras_model
    text = advise(network, retinanet, (64, 64))
    assert "ROIS" not in text and 'layers="heads"' in text


@pytest.mark.parametrize(
    ("size", "context", "told"),
    [
        (224, 16, "WARP_SIZE = 96 (it is 224)"),
        (64, 15, "WARP_SIZE = 32 (it is 64)"),
        (64, 16, None),
    ],
)
def test_crops_are_what_is_large_in_rcnn(tmp_path, size, context, told):
    keys = {"WARP_SIZE": size, "WARP_CONTEXT": context, "TRAIN_BN": False}
    config = type("Keys", (RCNNConfig,), keys)()
    network = create("training", config, tmp_path).keras_model
    config.BACKBONE = "resnet50"  # of which "REMATERIALIZE = True" is known elsewhere
    text = advise(network, config)
    assert "IMAGE_M" not in text and "REMATERIALIZE" not in text
    assert (told in text) if told else ("WARP_SIZE" not in text)
    follow(config, text)
    config.validate()
