"""Named ways to train: each can work, and what is said beside one counts more."""

import os
import re
import signal
import types
from pathlib import Path

import keras
import pytest

from mrcnn import cli
from mrcnn.augment import named
from mrcnn.config import Config
from mrcnn.config_files import read_run
from mrcnn.presets import PRESETS
from mrcnn.recipes import ALL_BUT_NORMS, RECIPES
from mrcnn.settings import Settings
from mrcnn.training.remote_runs import runs_at
from samples.balloon.stand_in import write_balloons

TINY = str(Path(__file__).with_name("tiny.py"))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("preset", PRESETS)
def test_each_recipe_is_possible(name, preset):
    recipe, config = RECIPES[name], PRESETS[preset]()
    config.NAME, config.NUM_CLASSES = "x", 3
    config.NUM_STUFF_CLASSES = min(1, config.NUM_STUFF_CLASSES)
    assert all(hasattr(Config, key) for key in recipe.keys)
    assert recipe.apply(config) is config
    config.validate()
    settings = Settings.from_config(config)
    assert settings.optimization.schedule == recipe.keys["LEARNING_SCHEDULE"]
    assert named(recipe.augment) is not None


@pytest.mark.parametrize("name", RECIPES)
def test_the_docs_say_what_it_is(name):
    text = Path(__file__).parents[1].joinpath("docs/training.md").read_text(encoding="utf-8")
    assert f"| `{name}` | {RECIPES[name].epochs} | `{RECIPES[name].augment}` |" in text


@pytest.mark.parametrize(
    ("name", "trains"),
    [
        ("bn2a_branch2a", False),
        ("stem_bn", False),
        ("res2a_branch2a", True),
        ("fpn_p2", True),
        ("mrcnn_mask_bn1", True),
        ("mrcnn_class_logits", True),
    ],
)
def test_all_but_the_norms_of_a_backbone(name, trains):
    assert bool(re.fullmatch(ALL_BUT_NORMS, name)) is trains


@pytest.fixture(scope="module")
def balloons(tmp_path_factory):
    folder = tmp_path_factory.mktemp("balloons")
    return str(write_balloons(folder, train=4, val=2, height=48, width=64))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--recipe", "scratch"], "none"),
        (["--recipe", "scratch", "--weights", "imagenet"], "imagenet"),
        (["--recipe", "finetune"], "coco"),
        ([], "coco"),
    ],
)
def test_from_scratch_is_from_nothing(options, expected, balloons, tmp_path, monkeypatch):
    """The others start from COCO's weights, which the default preset has."""
    given = []

    def build(arguments, config, weights):
        given.append(weights)
        raise ZeroDivisionError

    monkeypatch.setattr("mrcnn.cli.train._build", build)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", balloons, "--out", str(tmp_path), *options])
    assert given == [expected]


@pytest.fixture
def begun(balloons, tmp_path, monkeypatch):
    """Function of options: the config of a run that is begun with them, and what it wrote down."""

    def begin(*options):
        configs, model = [], types.SimpleNamespace(runs=runs_at(tmp_path))

        def build(arguments, config, weights):
            configs.append(config)
            return model

        monkeypatch.setattr("mrcnn.cli.train._build", build)
        monkeypatch.setattr("mrcnn.reports.run_folder.draw_labels", lambda *_: 1 / 0)
        argv = ["train", balloons, "--config", TINY, "--weights", "none", "--out", str(tmp_path)]
        name = f"run{len(list(tmp_path.iterdir()))}"
        with pytest.raises(ZeroDivisionError):
            cli.main([*argv, "--name", name, *options])
        return configs[-1], read_run(tmp_path / name / "config.yaml")

    return begin


def test_a_recipe_says_what_nobody_else_does(begun):
    config, run = begun("--recipe", "finetune", "--steps", "20")
    recipe = RECIPES["finetune"]
    assert {key: getattr(config, key) for key in recipe.keys} == recipe.keys
    assert (run["epochs"], run["augment"], run["layers"]) == (60, "photo", ALL_BUT_NORMS)


def test_what_is_said_beside_a_recipe_counts_more(begun):
    options = ["--epochs", "3", "--augment", "none", "--layers", "heads", "--learning-rate", "0.5"]
    config, run = begun("--recipe", "finetune", *options, "EMA_MOMENTUM=0.5")
    assert (config.LEARNING_RATE, config.EMA_MOMENTUM) == (0.5, 0.5)
    assert config.LEARNING_SCHEDULE == "cosine"
    assert (run["epochs"], run["augment"], run["layers"]) == (3, "none", "heads")


def test_without_a_recipe_nothing_is_changed(begun):
    config, run = begun()
    assert config.EMA_MOMENTUM is None
    assert (run["epochs"], run["augment"]) == (30, "flip")


def test_a_short_training_has_a_short_warm_up(begun, capsys):
    config, _ = begun("--recipe", "finetune", "--epochs", "10")
    assert config.WARMUP_STEPS == 2  # 10 epochs of 2 steps of 2 of the 4 pictures
    text = "finetune: 10 epochs, --augment photo, LEARNING_RATE=0.01 LEARNING_SCHEDULE=cosine"
    assert f"{text} WARMUP_STEPS=2 EMA_MOMENTUM=0.99\n" in capsys.readouterr().out
    config, _ = begun("--recipe", "finetune", "--epochs", "10", "WARMUP_STEPS=7")
    assert config.WARMUP_STEPS == 7


@pytest.mark.slow
def test_a_recipe_with_a_config_of_python_is_resumed(balloons, tmp_path, monkeypatch, capsys):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            os.kill(os.getpid(), signal.SIGINT)

    argv = ["train", balloons, "--config", TINY, "--weights", "none", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr("mrcnn.training.progress.Progress", lambda path: Stop())
        assert cli.main([*argv, "--recipe", "scratch", "--epochs", "2", "EMA_MOMENTUM=0.5"]) == 130
    resumed = []
    monkeypatch.setattr("mrcnn.cli.train._fit", lambda arguments, model, *_: resumed.append(model))
    monkeypatch.setattr("mrcnn.reports.run_folder.draw_validation", lambda *_: None)
    assert cli.main(["train", "--resume", str(tmp_path)]) == 0  # the newest run below
    config = resumed[0].config
    assert (config.OPTIMIZER, config.EMA_MOMENTUM, config.WARMUP_STEPS) == ("adamw", 0.5, 0)
    assert Path(resumed[0].log_dir) == tmp_path / "train"


def test_an_unknown_recipe_is_told(balloons, capsys):
    assert cli.main(["train", balloons, "--recipe", "quick"]) == 2
    message = "no recipe 'quick'; expected one of finetune, scratch, long\n"
    assert capsys.readouterr().err.endswith(message)
