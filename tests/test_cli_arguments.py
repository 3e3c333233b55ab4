"""What the arguments of `mrcnn train` mean: subsets, splits, weights, KEY=VALUE."""

import argparse
import os
import sys
from pathlib import Path

import pytest
from tiny import TinyConfig

from mrcnn.cli.config_arguments import make_config, split_assignments
from mrcnn.cli.training_config import config_of_run
from mrcnn.cli.training_data import load_training_data
from mrcnn.cli.weights_argument import best_start, file_of
from mrcnn.config import Config
from mrcnn.config_files import write_config
from mrcnn.config_values import is_set
from mrcnn.presets import PRESETS
from mrcnn.training.runs import newest_checkpoint, numbered_folder

sys.path.append(str(Path(__file__).resolve().parents[1]))

from samples.balloon.stand_in import write_balloons


@pytest.fixture(scope="module")
def balloons(tmp_path_factory):
    return write_balloons(tmp_path_factory.mktemp("balloons"), train=6, val=3, height=48, width=64)


def arguments(data, **given):
    keys = ("format", "images", "label", "class_name", "line_width", "val", "split")
    values = {key: None for key in keys} | {"box_masks": False, "seed": 0, "read": []}
    values["data"] = str(data)
    return argparse.Namespace(**values | given)


def counts(datasets):
    return [dataset.num_images for dataset in datasets]


def test_subsets_train_and_val(balloons, capsys):
    assert counts(load_training_data(arguments(balloons))) == [6, 3]
    assert "--split" not in capsys.readouterr().out


@pytest.mark.parametrize("names", [("training", "valid"), ("train2017", "val2017")])
def test_subsets_of_other_names(names, balloons, tmp_path):
    for name, other in zip(("train", "val"), names, strict=True):
        (tmp_path / other).symlink_to(balloons / name)
    assert counts(load_training_data(arguments(tmp_path))) == [6, 3]


def test_without_validation_a_fifth_is_split_off_and_told(balloons, capsys):
    # 0.2 * 6 = 1.2
    assert counts(load_training_data(arguments(balloons / "train"))) == [5, 1]
    out = capsys.readouterr().out
    assert "1 of the pictures validate, 5 train: --split 0.2 --seed 0; --val names other" in out


def test_a_split_goes_before_the_subset_val(balloons):
    train, val = load_training_data(arguments(balloons, split=0.5))
    assert counts((train, val)) == [3, 3]
    assert {info["subset"] for info in val.image_info} == {"train"}


def test_validation_data_of_its_own(balloons, tmp_path, capsys):
    write_balloons(tmp_path, train=2, val=1, height=48, width=64, seed=5)
    train, val = load_training_data(arguments(balloons, val=str(tmp_path)))
    assert counts((train, val)) == [6, 1]
    assert train.class_names == val.class_names
    load_training_data(arguments(balloons / "train", val=str(balloons / "train")))
    assert "Warning: 6 pictures both train and validate, " in capsys.readouterr().out


def test_a_subset_without_train_is_refused(balloons, tmp_path):
    for name in ("val", "test"):
        (tmp_path / name).symlink_to(balloons / "val")
    with pytest.raises(ValueError, match="expected a subset train, found test, val; give the fol"):
        load_training_data(arguments(tmp_path))


# ---- Config


def test_assignments_anywhere():
    argv = ["train", "NAME=a", "data", "--epochs", "3", "LOSS_WEIGHTS.x=2", "a=b", "--out=A=B"]
    assert split_assignments(argv) == (
        ["train", "data", "--epochs", "3", "a=b", "--out=A=B"],
        ["NAME=a", "LOSS_WEIGHTS.x=2"],
    )


def config_arguments(**given):
    keys = {"config": None, "preset": None, "assignments": [], "learning_rate": None}
    return argparse.Namespace(**keys | {"batch_size": None, "steps": None, "weights": None} | given)


def test_config_of_arguments(tmp_path):
    def config(weights=None, **given):
        return make_config(config_arguments(**given), weights)

    assert type(config()) is type(config("coco")) is PRESETS["matterport/mask_rcnn_coco"]
    preset = "torchvision/maskrcnn_resnet50_fpn"
    assert config(preset=preset, assignments=["IMAGE_MIN_DIM=320"]).IMAGE_MIN_DIM == 320
    (tmp_path / "mine.yaml").write_text(f"PRESET: {preset}\nNAME: mine\n")
    read = config(config=str(tmp_path / "mine.yaml"), assignments=["SEED=2"])
    assert preset == read.PRESET and (read.NAME, read.SEED) == ("mine", 2)
    (tmp_path / "other.h5").write_bytes(b"of another library")
    assert config(tmp_path / "other.h5").BACKBONE == "resnet101"


@pytest.mark.parametrize(
    "name, preset, backbone, masks",
    [
        ("detectron2/faster_rcnn_R_101_FPN_3x", "detectron2/mask_rcnn_R_101", "resnet101", False),
        ("torchvision/resnet101", "torchvision/maskrcnn_resnet50_fpn", "resnet101", True),
        ("efficientnet_lite0/imagenet", "matterport/mask_rcnn_coco", "efficientnet_lite0", True),
    ],
)
def test_public_weights_bring_their_config(name, preset, backbone, masks):
    config = make_config(config_arguments(), name)
    assert config.PRESET.startswith(preset)
    assert backbone == config.BACKBONE and masks == config.USE_MASK


class EarlierConfig(Config):
    NAME = "earlier"
    NUM_CLASSES = 4
    STEPS_PER_EPOCH = 4
    RPN_CHANNELS = 8


def test_training_goes_on_with_the_config_of_its_weights(tmp_path):
    (tmp_path / "earlier.h5").touch()
    write_config(EarlierConfig(), tmp_path / "config.yaml")
    config = config_of_run(config_arguments(learning_rate=0.5), str(tmp_path / "earlier.h5"))
    # But for the name, and the length of an epoch, which follow from the data.
    assert (config.RPN_CHANNELS, config.LEARNING_RATE) == (8, 0.5)
    assert not is_set(config, "NAME") and not is_set(config, "STEPS_PER_EPOCH")
    given = config_arguments(assignments=["NAME=mine"], steps=7)
    config = config_of_run(given, str(tmp_path / "earlier.h5"))
    assert (config.NAME, config.STEPS_PER_EPOCH) == ("mine", 7)


# ---- Weights and folders


def test_best_start():
    config = PRESETS["matterport/mask_rcnn_coco"]()
    assert best_start(config) == "coco"
    config.BACKBONE = "resnet50"  # no detector of it is public, a classifier is
    assert best_start(config) == "imagenet"
    assert best_start(TinyConfig()) == "none"
    config = PRESETS["matterport/mask_rcnn_coco"]()
    config.ARCHITECTURE = "cascade_rcnn"  # the public cascade has another preset
    assert best_start(config) == "imagenet"


def checkpoint(folder, epoch, time):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"mask_rcnn_balloon2_{epoch:04d}.h5"
    path.touch()
    os.utime(path, (time, time))
    return str(path)


def test_weights_of_runs(tmp_path):
    checkpoint(tmp_path / "train", 9, time=10)
    last = checkpoint(tmp_path / "train", 10, time=20)
    newer = checkpoint(tmp_path / "train2", 1, time=30)
    best = tmp_path / "train2" / "mask_rcnn_balloon2_best.h5"
    best.touch()
    assert file_of("last", tmp_path, best=True) == str(best)
    assert file_of(str(tmp_path / "train"), "runs", best=True) == last  # nothing was evaluated
    (tmp_path / "train3").mkdir()  # was stopped before its first epoch ended
    assert file_of(str(tmp_path / "train"), "runs") == last
    assert file_of("last", tmp_path) == newer == newest_checkpoint(tmp_path)
    assert file_of(newer, "runs") == newer
    for name in ("coco", "imagenet", "none", "torchvision/maskrcnn_resnet50_fpn"):
        assert file_of(name, "runs") is None
    with pytest.raises(FileNotFoundError, match=r"no checkpoint under .*train3"):
        file_of(str(tmp_path / "train3"), "runs")


def test_runs_are_numbered(tmp_path):
    names = [numbered_folder(tmp_path / "runs", "train").name for _ in range(3)]
    assert names == ["train", "train2", "train3"]
    assert numbered_folder(tmp_path / "runs", "train", exist_ok=True).name == "train"
    assert numbered_folder(tmp_path / "runs", "new", exist_ok=True).is_dir()
