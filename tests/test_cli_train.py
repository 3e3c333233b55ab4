"""`mrcnn train` and `mrcnn evaluate`: no Python written, errors before anything is built."""

import argparse
import json
import os
import re
import shlex
import signal
import sys
import types
from pathlib import Path

import fsspec
import keras
import numpy as np
import pytest
from skimage import io
from tiny import TinyConfig

from mrcnn import cli
from mrcnn.cli import train as train_cli
from mrcnn.cli.train import add_parser
from mrcnn.cli.training_config import _by_class_id, fit_to_data
from mrcnn.config import Config
from mrcnn.config_files import read_run, write_config
from mrcnn.config_values import apply_assignments
from mrcnn.data.grounds import GroundsDataset
from mrcnn.files.folders import open_folder
from mrcnn.files.hdf5 import read_hdf5
from mrcnn.parallel import OneHost
from mrcnn.training.remote_runs import runs_at
from mrcnn.training.results import read_results
from mrcnn.weights import class_names_of

sys.path.append(str(Path(__file__).resolve().parents[1]))

from samples.balloon.stand_in import write_balloons

TINY = str(Path(__file__).with_name("tiny.py"))
PICTURES = [
    *("labels.jpg", "train_batch0.jpg", "train_batch1.jpg", "train_batch2.jpg"),
    *("val_batch0_labels.jpg", "val_batch0_pred.jpg", "results.png"),
]


@pytest.fixture(scope="module")
def balloons(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "Red Balloons"
    return write_balloons(folder, train=6, val=3, height=48, width=64)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(balloons, runs):
    """A run of two epochs; where it ran, what it was told and what it printed."""
    options = ["--config", TINY, "--epochs", "2", "--weights", "none", "--out", str(runs)]
    argv = ["train", "STEPS_PER_EPOCH=2", str(balloons), *options, "NAME=balloon"]
    assert cli.main(argv) == 0
    return runs / "train", argv


@pytest.mark.slow
def test_run_folder_has_pictures(run):
    folder, _ = run
    for name in PICTURES:
        picture = io.imread(folder / name)
        assert picture.ndim == 3 and np.ptp(picture) > 100, name
    # Two pictures of a batch, side by side in tiles of 480, 6 pixels apart.
    assert io.imread(folder / "train_batch0.jpg").shape == (480, 966, 3)
    # Three of the validation, in two rows of two.
    assert io.imread(folder / "val_batch0_pred.jpg").shape == (966, 966, 3)


@pytest.mark.slow
def test_run_folder_says_what_was_used(run, balloons):
    folder, argv = run
    assert shlex.split((folder / "command.txt").read_text()) == ["mrcnn", *argv]
    text = (folder / "config.yaml").read_text()
    assert "NUM_CLASSES: 2\n" in text and "STEPS_PER_EPOCH: 2\n" in text
    more = read_run(folder / "config.yaml")
    assert more["class_names"] == ["BG", "object"] and more["data"] == str(balloons)
    assert (more["weights"], more["layers"], more["epochs"]) == ("none", "all", 2)
    log = (folder / "train.log").read_text().splitlines()
    assert [line.split(" ", 2)[2].split(":")[0] for line in log[1:]] == [
        "epoch 1 of 2",
        "epoch 2 of 2",
    ]
    assert "loss" in log[1] and "val_loss" in log[1] and log[1].endswith(" s left")


@pytest.mark.slow
def test_run_folder_has_numbers_and_weights(run):
    folder, _ = run
    rows = read_results(folder / "results.csv")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert {"loss", "val_loss", "mrcnn_mask_loss", "data_wait"} <= rows[0].keys()
    assert class_names_of(folder / "mask_rcnn_balloon_0002.h5") == ["BG", "object"]


@pytest.mark.slow
def test_evaluate_takes_the_folder_of_a_run(run, balloons, tmp_path, capsys):
    folder, _ = run
    out = tmp_path / "scores"
    argv = ["evaluate", str(folder), str(balloons), "--config", TINY, "--out", str(out)]
    assert cli.main(argv) == 0
    printed = capsys.readouterr().out
    # Also of a run, whose folder has the detections of its training: the model detects.
    assert "weights loaded" in printed and "3 pictures (val 3)" in printed and "AP50" in printed
    assert set(json.loads((out / "scores.json").read_text())["scores"]) == {"bbox", "segm"}
    assert (out / "evaluation.html").is_file() and (out / "PR_curve.png").is_file()
    # The detections are scored again without the model, and compared with themselves.
    assert cli.main(["evaluate", str(out), str(balloons), "--compare", str(out)]) == 0
    again = capsys.readouterr().out
    assert "weights loaded" not in again and "segm AP: +0.0 (+0.0 to +0.0), p 1.000" in again


@pytest.mark.slow
def test_other_runs_have_their_own_folder(run, balloons, runs, capsys, monkeypatch):
    begun = []

    def fit(arguments, model, folder, *others):
        begun.append((model.epoch, model.log_dir, Path(model.checkpoint_path).name))

    monkeypatch.setattr("mrcnn.cli.train._fit", fit)
    folder, _ = run
    argv = ["train", str(balloons), "--config", TINY, "STEPS_PER_EPOCH=2", "--out", str(runs)]
    argv += ["NAME=balloon", "--epochs", "1", "--weights", "last"]
    assert cli.main(argv) == 0
    assert begun == [(0, str(runs / "train2"), "mask_rcnn_balloon_{epoch:04d}.h5")]
    start = str(folder / "mask_rcnn_balloon_0002.h5")
    assert f"heads from {start}" in capsys.readouterr().out
    # The line that repeats it names the file: another will be the last.
    words = shlex.split((runs / "train2" / "command.txt").read_text())
    assert words == ["mrcnn", *argv[:-1], start]


@pytest.mark.slow
@pytest.mark.thorough
def test_a_remote_run_goes_on_and_is_evaluated(balloons, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    fsspec.filesystem("memory").store.clear()
    out = ["--out", "memory://runs"]
    argv = ["train", str(balloons), "--config", TINY, "STEPS_PER_EPOCH=2", "NAME=balloon", *out]
    assert cli.main([*argv, "--weights", "none", "--epochs", "1"]) == 0
    assert cli.main(["train", "--resume", *out, "--epochs", "2"]) == 0
    run = open_folder("memory://runs/train")
    assert {f"mask_rcnn_balloon_000{i}.h5" for i in (1, 2)} | set(PICTURES) <= run.names()
    assert [line.split(" ", 2)[2][:7] for line in run.read("train.log").decode().splitlines()] == [
        *("mrcnn t", "epoch 1", "epoch 2")
    ]
    said = capsys.readouterr().out
    assert "memory://runs/train: it goes on" in said and str(tmp_path) not in said
    argv = ["evaluate", "memory://runs/train", str(balloons), "--config", TINY]
    assert cli.main([*argv, "--out", "memory://scores"]) == 0
    assert "memory://scores/evaluation.html" in capsys.readouterr().out
    assert {"scores.json", "evaluation.html"} <= open_folder("memory://scores").names()
    assert open_folder("memory://runs").folders() == {"train"}


TIMES = {"data_wait": 0, "seconds": 0}  # of an epoch that took two sittings they differ
SMALL = [
    *("BACKBONE=efficientnet_lite0", "TOP_DOWN_PYRAMID_SIZE=8", "RPN_CHANNELS=8", "SEED=1"),
    *("FPN_CLASSIF_FC_LAYERS_SIZE=16", "MASK_HEAD_CHANNELS=8", "IMAGE_MIN_DIM=64"),
    *("IMAGE_MAX_DIM=64", "POST_NMS_ROIS_TRAINING=24", "POST_NMS_ROIS_INFERENCE=16"),
]


@pytest.mark.thorough
@pytest.mark.slow
def test_checkpoints_need_no_config(balloons, tmp_path, capsys):
    argv = ["train", str(balloons), *SMALL, "--weights", "none", "--epochs", "1", "--steps", "1"]
    argv += ["--layers", "heads"]
    assert cli.main([*argv, "--out", str(tmp_path), "--name", "small", "--no-augment"]) == 0
    (checkpoint,) = (tmp_path / "small").glob("*_0001.h5")
    assert checkpoint.name == "mask_rcnn_red_balloons_0001.h5"
    moved = checkpoint.rename(tmp_path / "moved.h5")
    assert cli.main(["evaluate", str(moved), str(balloons)]) == 0
    assert "AP50" in capsys.readouterr().out


def test_evaluate_takes_what_a_run_held_out(balloons, tmp_path, capsys, monkeypatch):
    """Of 6 pictures a third, 2, which are not mixed with those that were trained on."""
    monkeypatch.setattr("mrcnn.model.create", lambda *args: 1 / 0)
    data, run = str(balloons / "train"), tmp_path / "run"
    run.mkdir()
    facts = {"class_names": ["BG", "object"], "data": data, "split": 1 / 3, "seed": 4}
    write_config(TinyConfig(), run / "config.yaml", **facts)
    (run / "mask_rcnn_a_0001.h5").write_text("")
    argv = ["evaluate", str(run), data, "--config", TINY]
    with pytest.raises(ZeroDivisionError):
        cli.main(argv)
    assert "2 of the pictures did not train: --split 0.333333 --seed 4" in capsys.readouterr().out
    with pytest.raises(ZeroDivisionError):  # other data have a val of their own
        cli.main(["evaluate", str(run), str(balloons), "--config", TINY])
    printed = capsys.readouterr().out
    assert "did not train" not in printed and "3 pictures (val 3)" in printed


def test_the_share_that_is_held_out_by_default_is_written_down(balloons, tmp_path, monkeypatch):
    model = types.SimpleNamespace(runs=runs_at(tmp_path))
    monkeypatch.setattr("mrcnn.cli.train._build", lambda *args: model)
    monkeypatch.setattr("mrcnn.reports.run_folder.draw_labels", lambda *args: 1 / 0)
    argv = ["train", str(balloons / "train"), "--config", TINY, "--weights", "none", "--out"]
    with pytest.raises(ZeroDivisionError):
        cli.main([*argv, str(tmp_path)])
    run = read_run(tmp_path / "train" / "config.yaml")
    assert (run["split"], run["seed"], run["val"]) == (0.2, 0, None)


# ---- Errors before anything is built


@pytest.fixture
def nothing_is_built(monkeypatch):
    def build(*arguments):
        raise AssertionError("a model was built")

    monkeypatch.setattr("mrcnn.model.create", build)
    monkeypatch.setattr("mrcnn.weights.fetching.fetch", build)


def coco(folder, name, category, segmentation):
    """One picture with one object."""
    io.imsave(folder / "a.png", np.zeros((64, 64, 3), np.uint8), check_contrast=False)
    objects = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 16, 16], "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
        "categories": [{"id": 1, "name": category}],
        "annotations": [objects | segmentation],
    }
    (folder / name).write_text(json.dumps(content))
    return str(folder / name)


SQUARE = {"segmentation": [[8, 8, 24, 8, 24, 24, 8, 24]], "area": 256}


@pytest.mark.parametrize(
    "options, message",
    [
        (
            ["nowhere"],
            "there is no nowhere: expected an annotation file or the folder of a data set",
        ),
        (["DATA", "--config", "no.yaml"], "no.yaml: expected a config file"),
        (["DATA", "--config", "bad.yaml"], "bad.yaml, line 2: IMAGE_SIZE is no key of Config"),
        (["DATA", "--config", "bad.yaml", "--preset", "x"], "expected --config or --preset, rec"),
        (["DATA", "--preset", "torch"], "no preset 'torch'; expected one of matterport/"),
        (["DATA", "IMG_MAX_DIM=5"], "IMG_MAX_DIM=5: IMG_MAX_DIM is no key of Config; did you"),
        (["DATA", "NUM_CLASSES=5"], "Expected config.NUM_CLASSES = 5 classes, received a data set"),
        (["DATA", "--weights", "cocoo"], "no weights 'cocoo'; expected coco, imagenet, none, last"),
        (["DATA", "--weights", "last"], "no checkpoint under"),
        (["DATA", "--weights", "."], "no checkpoint under"),
        (["DATA", "--weights", "coco", "BACKBONE=resnet50"], "no 'coco' weights for PRESET"),
        (["DATA", "--layers", "(heads"], "--layers (heads: missing )"),
        (["DATA", "--learning-rate", "-1"], "LEARNING_RATE is -1.0; expected a number above 0"),
        (["DATA", "LEARNING_RATE=.nan"], "LEARNING_RATE is nan; expected a number above 0"),
        (["DATA", "--split", "2"], "expected a share above 0 and below 1"),
        (["DATA", "--split", "0.5", "--val", "DATA"], "expected --val or --split, received both"),
        (["DATA", "--val", "DATA/test"], "expected an annotation file or the folder"),
        (
            ["DATA/train", "--val", "cats.json"],
            "validation data: expected data of the trained class",
        ),
        (["boxes.json", "--val", "boxes.json"], "Expected an outline of each object to train mas"),
        (["dogs.json"], "expected two pictures or more to split, received 1"),
    ],
)
def test_errors_come_first_in_one_line(
    options, message, balloons, tmp_path, monkeypatch, capsys, nothing_is_built
):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("NAME: a\nIMAGE_SIZE: 5\n")
    coco(tmp_path, "cats.json", "cat", SQUARE)
    coco(tmp_path, "dogs.json", "dog", SQUARE)
    coco(tmp_path, "boxes.json", "cat", {})
    options = [x.replace("DATA", str(balloons)) for x in options]
    options += [] if "--config" in options or "--preset" in options else ["--config", TINY]
    if "BACKBONE=resnet50" in options:
        options = options[: options.index("--config")]
    assert cli.main(["train", *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("mrcnn: ") and message in err and err.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["evaluate", "imagenet", "DATA"], "weights 'imagenet' detect nothing; expected a trained"),
        (["evaluate", "coco", "DATA"], "expected data of the trained classes ['person', "),
        (["evaluate", "nowhere.h5", "DATA"], "no weights 'nowhere.h5'; expected coco"),
        (["evaluate", "coco", "DATA", "--subset", "test"], "expected a subset of 'train', 'val'"),
    ],
)
def test_evaluate_errors_come_first(arguments, message, balloons, capsys, nothing_is_built):
    arguments = [x.replace("DATA", str(balloons)) for x in arguments]
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("mrcnn: ") and message in err


@pytest.mark.parametrize("file", ["mask_rcnn_red_balloons_0030.h5", "training_state.hdf5"])
def test_two_trainings_do_not_mix_their_files(
    file, balloons, tmp_path, monkeypatch, capsys, nothing_is_built
):
    """Killed in its first epoch, a training has a state and no checkpoint."""
    monkeypatch.chdir(tmp_path)
    Path("runs/a").mkdir(parents=True)
    Path("runs/a", file).write_text("")
    argv = ["train", str(balloons), "--config", TINY, "--name", "a", "--exist-ok"]
    assert cli.main([*argv, "--weights", "none", "--epochs", "2"]) == 2
    told = "runs/a has checkpoints or the state of another training: go on with --resume runs/a"
    assert told in capsys.readouterr().err


def test_weights_that_do_not_fit_are_told_before_a_folder_is_made(
    balloons, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("weights.h5").write_text("none")
    assert cli.main(["train", str(balloons), "--config", TINY, "--weights", "weights.h5"]) == 2
    assert "weights.h5" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_impossible_configs_are_told_first(
    balloons, tmp_path, monkeypatch, capsys, nothing_is_built
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", str(balloons), "IMAGE_MAX_DIM=1000"]) == 2
    assert "IMAGE_MAX_DIM is 1000; mode 'square' needs" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_assignments_are_of_some_commands_only(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["weights", "list", "NAME=x"])
    assert stop.value.code == 2
    assert "weights takes no NAME=x" in capsys.readouterr().err


def test_the_line_of_the_readme_can_be_typed(balloons, tmp_path, monkeypatch):
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^mrcnn train DATA .*$", readme, re.M)
    reached = []
    monkeypatch.setattr("mrcnn.cli.train._build", lambda *args: reached.append(args) or 1 / 0)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.replace("DATA", shlex.quote(str(balloons))))[1:]
    with pytest.raises(ZeroDivisionError):  # what is checked before a model is built is right
        cli.main(words)
    assert reached[0][1].IMAGE_SHAPE.tolist() == [512, 512, 3]


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_whatever_stops_a_run_whose_state_is_there_is_told_the_line_to_go_on(
    error, saved, tmp_path, monkeypatch, capsys
):
    def train(*args, **options):
        raise error

    for name in ("evaluation.EvaluateCallback", "progress.Progress"):
        monkeypatch.setattr(f"mrcnn.training.{name}", lambda *args: None)
    if saved:
        (tmp_path / "training_state.hdf5").touch()
    runs = runs_at(str(tmp_path))
    model = types.SimpleNamespace(train=train, epoch=4, config=Config(), runs=runs)
    arguments = argparse.Namespace(evaluate=1, log=[], epochs=9, resume=None)
    with pytest.raises((KeyboardInterrupt, OSError)):
        train_cli._fit(arguments, model, tmp_path, (None, None), "all", None, OneHost())
    told = f"Stopped in epoch 5; mrcnn train --resume {tmp_path} goes on\n"
    assert capsys.readouterr().err == f"\n{told}" * saved


@pytest.mark.thorough
@pytest.mark.slow
def test_a_run_that_is_stopped_is_resumed(run, balloons, tmp_path, capsys, monkeypatch):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            os.kill(os.getpid(), signal.SIGINT)

    argv = ["train", "STEPS_PER_EPOCH=2", str(balloons), "--config", TINY, "NAME=balloon"]
    argv += ["--epochs", "2", "--weights", "none", "--out", str(tmp_path), "--name", "b"]
    with monkeypatch.context() as patch:
        patch.setattr("mrcnn.training.progress.Progress", lambda path: Stop())
        assert cli.main(argv) == 130
    folder = tmp_path / "b"
    assert f"mrcnn train --resume {folder} goes on" in capsys.readouterr().err
    # More epochs are asked for by the same line; what it was given cannot be changed.
    assert cli.main(["train", "--resume", "--out", str(tmp_path), "--epochs", "3"]) == 0
    assert "from epoch 0, step 1 to 3" in capsys.readouterr().out
    assert (folder / "mask_rcnn_balloon_0003.h5").exists()
    # The same as the run that nobody stopped, but for its name.
    files = [path / "mask_rcnn_balloon_0002.h5" for path in (run[0], folder)]
    first, second = map(read_hdf5, files)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    rows = [read_results(path / "results.csv") for path in (run[0], folder)]
    for one, other in zip(rows[0], rows[1][:2], strict=True):
        assert {**one, **TIMES} == pytest.approx({**other, **TIMES})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "there is no training to resume in runs: --resume RUN names its run"),
        (["--resume", "a", "LEARNING_RATE=1"], "received LEARNING_RATE=1: a training goes on with"),
        (
            ["--resume=a", "--layers", "all"],
            "expected --resume with --epochs, --out, --hosts, ",
        ),
        (["cells", "--resume", "a"], "received cells: a training goes on with what it was begun"),
        (["--resume", "nowhere"], "nowhere: expected the folder of a run of `mrcnn train`, found"),
    ],
)
def test_what_cannot_be_resumed_is_told(options, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_key_in_small_letters_is_a_slip(balloons, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", str(balloons), "image_max_dim=128"])
    assert stop.value.code == 2
    assert "image_max_dim=128: did you mean IMAGE_MAX_DIM=128?" in capsys.readouterr().err


def test_augmentations_by_name(balloons, capsys):
    assert cli.main(["train", str(balloons), "--augment", "flop"]) == 2
    assert "expected an augmentation of none, flip, photo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ([], None),  # that of the recipe, or flip
        (["--augment"], "flip"),
        (["--no-augment"], "none"),
        (["--augment", "lsj"], "lsj"),
    ],
)
def test_flags_of_augmentation(flags, name):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    assert parser.parse_args(["train", "data", *flags]).augment == name


def test_class_weights_by_name():
    names = ["BG", "cat", "dog"]
    assert _by_class_id({"dog": 4.0, 0: 0.5}, names) == {2: 4.0, 0: 0.5}
    with pytest.raises(ValueError, match=r"CLASS_WEIGHTS has \['cow'\]; expected .*BG, cat, dog"):
        _by_class_id({"cow": 4.0}, names)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], (6, 2)),
        (["NUM_CLASSES=7"], (7, 2)),
        (["NUM_STUFF_CLASSES=1"], (6, 1)),
        (["NUM_CLASSES=7", "NUM_STUFF_CLASSES=1"], (7, 1)),
    ],
)
def test_each_number_of_classes_is_the_datas_unless_it_is_given(given, expected):
    config = apply_assignments(TinyConfig(), given)
    data = GroundsDataset()
    data.load_shapes(1, 32, 32)
    data.prepare()
    fit_to_data(config, argparse.Namespace(assignments=given, data="."), data)
    found = config.NUM_CLASSES, config.NUM_STUFF_CLASSES
    assert found == expected
