"""A trained file knows itself: its config and its class names."""

import dataclasses
import hashlib
import json

import h5py
import numpy as np
import pytest
from tiny import TinyConfig, shapes, tiny_of

from mrcnn.config_files import write_config
from mrcnn.config_values import KEYS
from mrcnn.files.hdf5 import read_attribute
from mrcnn.model import MaskRCNN
from mrcnn.weights import class_names_of, config_of, registry
from mrcnn.weights.weight_file import WeightFile

SHAPES = ["BG", "square", "circle", "triangle"]


class NamedConfig(TinyConfig):
    """Without a function: such a config is read from a file again."""

    BACKBONE = "resnet50"
    MEAN_PIXEL = np.array([1.0, 2.0, 3.0])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file of a model that has class names, whose config has no function."""
    model = MaskRCNN("inference", TinyConfig(), "logs")
    model.config, model.class_names = NamedConfig(), SHAPES
    path = tmp_path_factory.mktemp("weights") / "tiny.h5"
    model.save_weights(path)
    return path


def test_config_is_in_the_file(saved):
    config, expected = config_of(saved), NamedConfig()
    for key in KEYS:
        np.testing.assert_array_equal(getattr(config, key), getattr(expected, key), err_msg=key)
    assert class_names_of(saved) == SHAPES
    assert read_attribute(saved, "preset") == "matterport/mask_rcnn_coco"


def test_loading_sets_the_class_names(saved):
    model = MaskRCNN("inference", TinyConfig(), "logs")
    assert model.class_names is None
    model.load_weights(saved)
    assert model.class_names == SHAPES


def test_names_of_other_heads_are_not_taken(saved):
    config = type("Other", (TinyConfig,), {"NUM_CLASSES": 3})()
    model = MaskRCNN("training", config, "logs")
    with pytest.warns(UserWarning, match="start anew"):
        model.load_weights(saved)
    assert model.class_names is None
    model = MaskRCNN("training", TinyConfig(), "logs")
    model.load_weights(saved, exclude=list(model.weight_names.class_heads))
    assert model.class_names is None


@pytest.mark.slow
def test_training_sets_the_class_names_and_checkpoints_keep_them(tmp_path):
    model = MaskRCNN("training", TinyConfig(), tmp_path)
    model.train(shapes(), None, 0.001, 1, "heads")
    assert model.class_names == SHAPES
    assert class_names_of(model.find_last()) == SHAPES


def test_a_function_is_named(tmp_path):
    path = tmp_path / "tiny.h5"
    MaskRCNN("inference", TinyConfig(), "logs").save_weights(path)
    with pytest.raises(
        ValueError, match=r"tiny.h5, attribute config: BACKBONE was function tiny.t"
    ):
        config_of(path)
    assert class_names_of(path) is None


def test_many_classes_have_room(tmp_path):
    """HDF5 has room for 64 kB in an attribute's list; a text lies elsewhere."""
    model = MaskRCNN("inference", TinyConfig(), "logs")
    model.class_names = [f"class {i}" for i in range(20_000)]
    model.save_weights(tmp_path / "many.h5")
    assert class_names_of(tmp_path / "many.h5") == model.class_names
    with h5py.File(tmp_path / "many.h5") as file:
        assert len(file.attrs["class_names"]) > 2**16
        assert len(json.loads(file.attrs["config"])) > 80


def old_file(path):
    """As it was before config and names were kept."""
    MaskRCNN("inference", tiny_of("matterport/mask_rcnn_coco"), "logs").save_weights(path)
    with h5py.File(path, "a") as file:
        del file.attrs["config"]
    return path


def test_config_of_the_run_beside_the_file(tmp_path):
    path = old_file(tmp_path / "mask_rcnn_shapes_0001.h5")
    with pytest.raises(ValueError, match=r"does not tell the config .* --config FILE, or --preset"):
        config_of(path)
    write_config(NamedConfig(), tmp_path / "config.yaml", class_names=SHAPES)
    assert config_of(path).IMAGE_MAX_DIM == 64
    assert class_names_of(path) == SHAPES
    (tmp_path / "config.yaml").write_text("MODEL: [of another tool")
    assert class_names_of(path) is None  # and loading goes on


def test_config_of_a_public_file(tmp_path, monkeypatch):
    path = tmp_path / "renamed.pth"
    path.write_bytes(b"weights")
    entry = dataclasses.replace(
        registry.find("torchvision/fasterrcnn_resnet50_fpn"),
        size=7,
        sha256=hashlib.sha256(b"weights").hexdigest(),
    )
    monkeypatch.setattr(registry, "REGISTRY", (entry,))
    config = config_of(path)
    assert entry.preset == config.PRESET
    assert (config.NUM_CLASSES, config.USE_MASK) == (91, False)
    assert class_names_of(path)[:3] == ["BG", "person", "bicycle"]


@pytest.mark.parametrize(
    "facts, name, known",
    [
        ({"size": 7, "sha256": None}, "renamed.h5", False),  # the size alone is no proof
        ({"size": 7, "sha256": None}, "given.h5", True),
        ({"size": None, "md5": hashlib.md5(b"weights").hexdigest()[:6]}, "given.h5", True),
        ({"size": None, "md5": hashlib.md5(b"weights").hexdigest()[:6]}, "renamed.h5", False),
        ({"size": None, "md5": "0" * 6}, "given.h5", False),
        ({"size": 7, "sha256": "0" * 64}, "given.h5", False),
        ({"size": 8}, "given.h5", False),
    ],
)
def test_public_files_are_known_by_their_bytes(facts, name, known, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(b"weights")
    entry = WeightFile("a/b", "https://c/given.h5", "matterport", "coco", "r", None)
    monkeypatch.setattr(registry, "REGISTRY", (dataclasses.replace(entry, **facts),))
    assert (registry.public_file(tmp_path / name) is not None) == known


def test_config_of_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weight file at"):
        config_of(tmp_path / "nowhere.h5")
