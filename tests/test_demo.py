"""The demonstration: it says how long it takes, and ends when it is good or when the user says."""

import signal
from types import SimpleNamespace

import pytest
from skimage import io

from mrcnn import demo


@pytest.fixture
def progress(monkeypatch, capsys):
    """Of 4 epochs of 30 steps, on a clock that tests set."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(demo.time, "perf_counter", lambda: clock.now)
    callback = demo.Progress()
    callback.clock, callback.stopped = clock, SimpleNamespace(stop_training=False)
    callback.set_model(callback.stopped)
    callback.set_params({"epochs": 4, "steps": 30, "verbose": "auto"})
    callback.on_train_begin()
    return callback


def take(progress, steps, seconds):
    for _ in range(steps):
        progress.clock.now += seconds
        progress.on_train_batch_end(0, {"loss": 1.25})


def test_the_first_steps_tell_how_long_training_takes(progress, capsys):
    take(progress, 1, 40)  # traces and compiles
    take(progress, 19, 0.5)
    assert capsys.readouterr().out == "Compiling, then timing 20 steps ...\n"
    take(progress, 1, 0.5)
    # 99 steps are left, of half a second each.
    said = "0.50 seconds a step on this machine: training takes 0:50 minutes, less"
    assert capsys.readouterr().out.startswith(said)
    take(progress, 9, 0.5)
    assert capsys.readouterr().out == ""  # no bar where there is no terminal


def test_what_is_left_counts_the_looks_at_the_detections(progress, capsys):
    take(progress, 1, 40)
    take(progress, 29, 0.5)
    progress.clock.now += 14.5
    capsys.readouterr()
    progress.on_epoch_end(0, {"mask_ap50": 0.514})
    # 29 steps took 29 seconds, a look included; 90 are left.
    assert capsys.readouterr().out.strip() == "step 30 of 120: mask AP50 51 %, 1:30 left"
    progress.stopped.stop_training = True
    progress.on_epoch_end(1, {"mask_ap50": 0.961})
    assert capsys.readouterr().out.strip() == "step 30 of 120: mask AP50 96 %, the last"


def test_on_a_terminal_a_line_changes_once_a_second(progress, capsys, monkeypatch):
    monkeypatch.setattr(demo.sys.stdout, "isatty", lambda: True, raising=False)
    take(progress, 21, 0.5)
    capsys.readouterr()
    take(progress, 6, 0.5)
    shown = capsys.readouterr().out.split("\r")[1:]
    # Of steps 22 to 27 each third is more than a second after the one before.
    assert [text.split(",")[0] for text in shown] == ["step 22 of 120", "step 25 of 120"]
    assert shown[0].rstrip().endswith("loss 1.25, 0:49 left")


def test_training_stops_at_a_mask_ap50(monkeypatch):
    scores = iter([0.94, 0.95])
    monkeypatch.setattr(
        demo, "evaluate", lambda *args, **kwargs: {"segm": {"AP50": next(scores)}, "bbox": {}}
    )
    callback = demo.StopWhenGood(SimpleNamespace(config=demo.DemoConfig()), "pictures", 0.95)
    callback.set_model(SimpleNamespace(stop_training=False))
    for epoch, expected in enumerate([0.94, 0.95]):
        logs = {}
        callback.on_epoch_end(epoch, logs)
        assert logs == {"mask_ap50": expected}
        assert callback.model.stop_training == (expected == 0.95)
    callback.on_epoch_end(2, {})  # stopped: nothing is scored


def test_an_interrupt_while_detections_are_scored_is_kept(monkeypatch):
    def evaluate(*args, **kwargs):
        callback.model.stop_training = True
        return {"segm": {"AP50": 0.5}}

    monkeypatch.setattr(demo, "evaluate", evaluate)
    callback = demo.StopWhenGood(SimpleNamespace(config=demo.DemoConfig()), "pictures", 0.95)
    callback.set_model(SimpleNamespace(stop_training=False))
    callback.on_epoch_end(0, {})
    assert callback.model.stop_training


@pytest.fixture
def interrupts():
    """Python's own answer to Ctrl-C, which a shell's background jobs do not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_interrupt_is_pythons_own(interrupts, capsys):
    callback = demo.StopOnInterrupt()
    callback.set_model(SimpleNamespace(stop_training=False))
    before = signal.getsignal(signal.SIGINT)
    callback.on_train_begin()
    signal.raise_signal(signal.SIGINT)
    assert callback.model.stop_training and "Ctrl-C again" in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    callback.on_train_end()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.thorough
@pytest.mark.slow
def test_an_interrupted_demo_scores_and_draws_what_it_has(tmp_path, capsys, monkeypatch):
    class Interrupted(demo.Progress):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if self.done == 2:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(demo, "Progress", Interrupted)
    scores = demo.run_demo(str(tmp_path), steps=1000)
    out = capsys.readouterr().out
    assert "Compiling, then timing 20 steps" in out and "This was the last step" in out
    assert "COCO scores on 50 pictures" in out and 0 <= scores["segm"]["AP50"] <= 1
    assert io.imread(tmp_path / "detections.png").ndim == 3
    assert demo.trained_model(tmp_path).epoch == 1  # what there was after two steps


@pytest.mark.thorough
@pytest.mark.slow
def test_a_good_network_is_not_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "EPOCH", 2)
    model, held_out = demo.train_demo(tmp_path, steps=5, good=0.0)
    assert (model.epoch, model.keras_model.optimizer.iterations.numpy()) == (1, 2)
    assert len(model.keras_model.history.history["mask_ap50"]) == 1
    assert len(held_out.image_ids) == 50
