"""`train(resume=True)`: interrupted anywhere, a training ends as if it had not been."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from resumed import EPOCHS, STEPS, Signal, config, train, weights
from tiny import shapes

from mrcnn.model import MaskRCNN
from mrcnn.training.state import FILE, read_position

pytestmark = pytest.mark.slow
# Everything that a state must hold at once: averages, gathered gradients, a schedule.
KEYS = {
    "EMA_MOMENTUM": 0.9,
    "ACCUMULATION_STEPS": 3,
    "LEARNING_SCHEDULE": "cosine",
    "WARMUP_STEPS": 1,
    "CHECKPOINTS_KEPT": 2,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    model, history = train(folder, KEYS)
    assert history.epoch == [0, 1, 2]
    return weights(model), history.history, sorted(os.listdir(model.log_dir))


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("step", "done"), [(1, (0, 1)), (STEPS, (0, STEPS)), (2 * STEPS - 1, (1, STEPS - 1))]
)
def test_an_interrupted_training_ends_in_the_same_bits(step, done, undisturbed, tmp_path, capsys):
    expected, losses, files = undisturbed
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, KEYS, callbacks=[Signal(signal.SIGINT, step)])
    assert (
        f"Interrupted in epoch {done[0] + 1} of 3, after {done[1]} steps" in capsys.readouterr().out
    )
    (state,) = tmp_path.glob(f"*/{FILE}")
    position = read_position(state)
    assert (position.epoch, position.step, position.finished) == (*done, False)
    model, history = train(tmp_path, KEYS)
    assert same(expected, weights(model)) and model.epoch == EPOCHS
    # What the log says of an epoch is of all its steps, also of those before.
    for name in ("loss", "mrcnn_mask_loss", "val_loss"):
        assert history.history[name] == losses[name][-len(history.epoch) :], name
    assert sorted(os.listdir(model.log_dir)) == files
    assert files[:2] == ["mask_rcnn_tiny_0002.h5", "mask_rcnn_tiny_0003.h5"]


def test_a_signal_in_the_validation_costs_nothing_but_it(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr("mrcnn.training.saving.SECONDS", 0)  # else up to a minute of steps
    with pytest.raises(SystemExit):
        train(tmp_path, KEYS, callbacks=[Signal(signal.SIGTERM, test=2)])
    (state,) = tmp_path.glob(f"*/{FILE}")
    assert read_position(state).step == STEPS
    model, history = train(tmp_path, KEYS)
    assert history.epoch == [1, 2] and same(undisturbed[0], weights(model))


def test_a_training_that_has_ended_is_not_gone_on_with(undisturbed, tmp_path):
    model, _ = train(tmp_path, KEYS, epochs=1)
    ended = weights(model)
    model = MaskRCNN("training", config(KEYS), tmp_path)
    with pytest.warns(UserWarning, match="nothing to train: epochs=1 is the total and the weights"):
        assert model.train(shapes(6), None, 0.01, 1, "all", resume=True) is None
    assert same(ended, weights(model)) and model.epoch == 1
    # The next stage begins where it ended, in its folder; and is what is gone on with then.
    with pytest.raises(KeyboardInterrupt):
        model.train(
            *(shapes(6), None, 0.001, 3, "heads"),
            custom_callbacks=[Signal(signal.SIGINT, 2)],
            resume=True,
        )
    model = MaskRCNN("training", config(KEYS), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.train(shapes(6), None, 0.01, 1, "all", resume=True) is None
    assert model.train(shapes(6), None, 0.001, 3, "heads", resume=True).epoch == [1, 2]


def test_another_training_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, KEYS, callbacks=[Signal(signal.SIGINT, 1)])
    with pytest.raises(ValueError, match=r"is of another training \(learning_rate 0.01, now 0.1\)"):
        train(tmp_path, KEYS, rate=0.1)
    with pytest.raises(ValueError, match=r"LEARNING_SCHEDULE 'cosine', now 'constant'"):
        train(tmp_path, {**KEYS, "LEARNING_SCHEDULE": "constant"})
    with pytest.raises(ValueError, match=r"\(epochs 3, now 4\)"):  # the cosine depends on it
        train(tmp_path, KEYS, epochs=4)


def test_without_a_state_training_begins(tmp_path, capsys):
    _, history = train(tmp_path, {"STEPS_PER_EPOCH": 1}, epochs=1)
    assert history.epoch == [0]
    assert f"No training to resume in {tmp_path}: it begins" in capsys.readouterr().out


def test_it_stops_early_and_remembers_how_long_it_waited(tmp_path):
    class Scores(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_segm_AP"] = [0.3, 0.2, 0.1, 0.4][epoch]

    keys = {"STEPS_PER_EPOCH": 2, "EARLY_STOPPING": 2}
    model = MaskRCNN("training", config(keys), tmp_path)
    with pytest.raises(ValueError, match="EARLY_STOPPING is set; expected a val_dataset"):
        model.train(shapes(6), None, 0.01, 4, "all")
    from mrcnn.training import EvaluateCallback

    evaluating = EvaluateCallback(model, shapes(2), every=9)
    with pytest.raises(KeyboardInterrupt):
        model.train(
            *(shapes(6), shapes(2), 0.01, 4, "all"),
            custom_callbacks=[evaluating, Scores(), Signal(signal.SIGINT, 4)],
        )
    model, history = train(tmp_path, keys, epochs=4, callbacks=[evaluating, Scores()])
    assert history.epoch == [1, 2] and model.epoch == 3  # two epochs without a better one
    best = Path(model.log_dir, "mask_rcnn_tiny_best.h5").read_bytes()
    assert best == Path(model.log_dir, "mask_rcnn_tiny_0001.h5").read_bytes()


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_killed_process_loses_what_was_not_saved_and_nothing_else(backend, tmp_path):
    """Killed in its 2nd and again in its 7th step, with a save after each step."""
    keys = json.dumps({**KEYS, "CHECKPOINT_MINUTES": 1e-9})

    def run(folder, *step):
        script = str(Path(__file__).with_name("resumed.py"))
        environment = {**os.environ, "KERAS_BACKEND": backend}
        command = [sys.executable, script, str(tmp_path / folder), keys, *map(str, step)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    done = run("undisturbed")
    assert done.returncode == 0, done.stderr[-3000:]
    assert run("killed", 2).returncode == -signal.SIGKILL
    assert run("killed", 6).returncode == -signal.SIGKILL
    (state,) = tmp_path.glob(f"killed/*/{FILE}")
    position = read_position(state)
    assert (position.epoch, position.step) == (1, 2)  # 1 and 5 steps
    done = run("killed")
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (np.load(tmp_path / name / "final.npz") for name in ("undisturbed", "killed"))
    with first, second:
        assert same([first[k] for k in first], [second[k] for k in second])
    assert not list(tmp_path.glob("*/*/*.unfinished"))


@pytest.mark.parametrize("saved", [True, False])
def test_a_loss_that_is_no_number_ends_it_with_the_last_good_weights(saved, tmp_path):
    """The picture of the third batch is told; weights are those of two steps, or of none."""

    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                good.extend(weights(model))
                kernel = model.keras_model.get_layer("rpn_conv_shared").kernel
                kernel.assign(keras.ops.full(kernel.shape, np.nan))

    good, keys = [], {"STEPS_PER_EPOCH": 4, "CHECKPOINT_MINUTES": 1e-9 if saved else None}
    model = MaskRCNN("training", config({**keys, "IMAGES_PER_GPU": 1}), tmp_path)
    first = weights(model)
    words = r"the loss is nan from step 3 of the epoch on; the pictures of this batch: Image . \("
    with pytest.raises(FloatingPointError, match=words) as raised:
        model.train(shapes(6), None, 0.01, 2, "all", custom_callbacks=[Poison()])
    step = 2 if saved else 0
    assert f"last good weights again, of epoch 1, step {step}: train them" in str(raised.value)
    assert same(weights(model), good if saved else first) and model.epoch == 0
    assert not list(tmp_path.glob("*/mask_rcnn*"))
    # The same model trains on.
    assert model.train(shapes(6), None, 0.001, 1, "all").epoch == [0]
