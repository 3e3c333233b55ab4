"""MLflow and Weights & Biases: what each is told, by stand-ins, and offline by themselves."""

import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import TinyConfig

from mrcnn.cli import main
from mrcnn.training import MLflowLogger, WandbLogger


class Model:
    """What a tracker wants of a model, with a picture and two checkpoints in its folder."""

    def __init__(self, folder):
        self.config, self.log_dir = TinyConfig(), str(folder / "tiny run")
        path = folder / "tiny run"
        path.mkdir()
        keras.utils.save_img(path / "labels.jpg", np.zeros((4, 4, 3)))
        for epoch in (1, 2):
            (path / f"mask_rcnn_tiny_{epoch:04d}.h5").write_bytes(b"weights")


class Evaluate:
    evaluation = None

    def draw(self):
        return np.full((4, 4, 3), 9, np.uint8)


class Calls:
    """A module that records what is called, and with what."""

    def __init__(self, **answers):
        self.calls, self.answers, self.run, self.active = [], answers, None, None

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, *args, *sorted(kwargs.items())))
            return self.answers.get(name)

        return call


def train(tracker, evaluate):
    """Two epochs; the second has no evaluation of its own."""
    tracker.on_train_begin()
    evaluate.evaluation = object()
    tracker.on_epoch_end(0, {"loss": np.float32(2.0), "note": "no number"})
    tracker.on_epoch_end(1, {"loss": 1.0})
    tracker.on_train_end()


class MLflow(Calls):
    def active_run(self):
        return self.active

    def start_run(self, **kwargs):
        self.calls.append(("start_run", kwargs))
        self.active = types.SimpleNamespace(info=types.SimpleNamespace(run_id="7"))
        return self.active

    def end_run(self):
        self.calls.append(("end_run",))
        self.active = None


def mlflow_module(monkeypatch, **params):
    run = types.SimpleNamespace(data=types.SimpleNamespace(params=params))
    module = MLflow(get_run=run)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return module


def test_what_mlflow_is_told(tmp_path, monkeypatch):
    module, evaluate = mlflow_module(monkeypatch, NAME="tiny"), Evaluate()
    model = Model(tmp_path)
    tracker = MLflowLogger(model, evaluate)
    train(tracker, evaluate)
    params = next(call[1] for call in module.calls if call[0] == "log_params")
    assert params["NUM_CLASSES"] == 4 and "NAME" not in params  # which the run has already
    assert [call for call in module.calls if call[0] not in ("get_run", "log_params")] == [
        ("start_run", {"run_id": None, "run_name": "tiny run"}),
        ("log_artifact", f"{model.log_dir}/labels.jpg", "pictures"),
        ("log_metrics", {"loss": 2.0}, ("step", 1)),
        ("log_image", pytest.approx(evaluate.draw()), "evaluation/epoch_0001.png"),
        ("log_metrics", {"loss": 1.0}, ("step", 2)),
        ("log_artifact", f"{model.log_dir}/mask_rcnn_tiny_0002.h5", "checkpoints"),
        ("end_run",),
    ]
    module.calls.clear()
    MLflowLogger(model, evaluate).on_train_begin()  # of a process that resumes: in the same run
    assert ("start_run", {"run_id": "7", "run_name": None}) in module.calls


def test_an_open_run_of_mlflow_stays_open(tmp_path, monkeypatch):
    module, evaluate = mlflow_module(monkeypatch), Evaluate()
    module.start_run()
    module.calls.clear()
    model = Model(tmp_path)
    train(MLflowLogger(model, evaluate, checkpoint=False), evaluate)
    assert not {"start_run", "end_run"} & {call[0] for call in module.calls}
    assert not list(Path(model.log_dir).glob("*.txt"))  # it is not the folder's own
    assert [call[2] for call in module.calls if call[0] == "log_artifact"] == ["pictures"]


def test_what_wandb_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    artifact = Calls()
    module = Calls(init=types.SimpleNamespace(id="abc"), Artifact=artifact, Image="picture")
    module.config = Calls()
    monkeypatch.setitem(sys.modules, "wandb", module)
    model, evaluate = Model(tmp_path), Evaluate()
    tracker = WandbLogger(model, evaluate)
    train(tracker, evaluate)
    assert module.config.calls[0][1]["NUM_CLASSES"] == 4
    assert [call for call in module.calls if call[0] != "Image"] == [
        ("init", ("name", "tiny run"), ("project", "tiny")),
        ("define_metric", "*", ("step_metric", "epoch")),
        ("log", {"labels": "picture"}),
        ("log", {"loss": 2.0, "epoch": 1}),
        ("log", {"truth and detections": "picture", "epoch": 1}),
        ("log", {"loss": 1.0, "epoch": 2}),
        ("Artifact", "tiny_run-checkpoints", ("type", "model")),
        ("log_artifact", artifact),
        ("finish",),
    ]
    assert artifact.calls == [("add_file", f"{model.log_dir}/mask_rcnn_tiny_0002.h5")]
    module.calls.clear()
    WandbLogger(model, evaluate).on_train_begin()  # of a process that resumes
    assert module.calls[0] == ("init", ("id", "abc"), ("project", "tiny"), ("resume", "allow"))


@pytest.mark.parametrize("tracker", [MLflowLogger, WandbLogger])
def test_a_library_that_is_missing_is_named(tracker, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, tracker.library, None)
    with pytest.raises(ImportError, match=rf"pip install 'mrcnn\[{tracker.library}\]'"):
        tracker(Model(tmp_path))


def test_the_command_line_asks_for_the_library_first(tmp_path, monkeypatch, capsys):
    from samples.balloon.stand_in import write_balloons

    data = write_balloons(tmp_path / "balloons", train=1, val=1, height=48, width=64)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    argv = ["train", str(data), "--weights", "none", "--out", str(tmp_path / "runs")]
    assert main([*argv, "--log", "mlflow"]) == 2
    assert "pip install 'mrcnn[mlflow]'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_offline(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    evaluate = Evaluate()
    train(MLflowLogger(Model(tmp_path), evaluate), evaluate)
    (run,) = mlflow.search_runs(output_format="list")
    assert (run.info.run_name, run.info.status) == ("tiny run", "FINISHED")
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [(1, 2.0), (2, 1.0)]
    assert run.data.params["NUM_CLASSES"] == "4"
    names = {path.name for path in tmp_path.glob("mlruns/**/artifacts/*/*")}
    assert names == {"labels.jpg", "epoch_0001.png", "mask_rcnn_tiny_0002.h5"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    run, evaluate = wandb.init(project="own"), Evaluate()
    train(WandbLogger(Model(tmp_path), evaluate), evaluate)
    assert wandb.run is run  # ours stays open
    assert run.config["NUM_CLASSES"] == 4
    assert (run.summary["loss"], run.summary["epoch"]) == (1.0, 2)
    run.finish()
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 1
    # The labels, and truth and detections.
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/images/*.*"))) == 2
