"""`train(resume=True)`: interrupted anywhere, a training ends as if it had not been."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import h5py
import keras
import numpy as np
import pytest
from resumed import EPOCHS, STEPS, Fresh, Signal, same, train, weights
from tiny import shapes

from mrcnn.files.folders import open_folder
from mrcnn.training import EvaluateCallback
from mrcnn.training.state import FILE, read_position, save_state

pytestmark = pytest.mark.slow
# What a state must hold beside weights: averages, gathered gradients.
KEYS = {"EMA_MOMENTUM": 0.9, "ACCUMULATION_STEPS": 3, "CHECKPOINTS_KEPT": 2}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return Fresh(KEYS, tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="module")
def undisturbed(fresh, tmp_path_factory):
    model = fresh(tmp_path_factory.mktemp("undisturbed"))
    history = train(model)
    assert history.epoch == [0, 1, 2]
    return weights(model), history.history, sorted(os.listdir(model.log_dir))


def interrupt(model, number=signal.SIGINT, **options):
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        train(model, [Signal(number, **options)])
    return read_position(Path(model.log_dir, FILE))


@pytest.mark.parametrize(
    ("step", "done"), [(1, (0, 1)), (STEPS, (0, STEPS)), (2 * STEPS - 1, (1, STEPS - 1))]
)
def test_an_interrupted_training_ends_in_the_same_bits(
    step, done, fresh, undisturbed, tmp_path, capsys
):
    expected, losses, files = undisturbed
    position = interrupt(fresh(tmp_path), step=step)
    said = capsys.readouterr().out
    assert f"Interrupted in epoch {done[0] + 1} of 3, after {done[1]} steps" in said
    assert (position.epoch, position.step, position.finished) == (*done, False)
    model = fresh(tmp_path)
    history = train(model)
    assert same(expected, weights(model)) and model.epoch == EPOCHS
    # What the log says of an epoch is of all its steps, also of those before.
    for name in ("loss", "mrcnn_mask_loss", "val_loss"):
        assert history.history[name] == losses[name][-len(history.epoch) :], name
    assert sorted(os.listdir(model.log_dir)) == files
    assert files[:2] == ["mask_rcnn_tiny_0002.h5", "mask_rcnn_tiny_0003.h5"]


def test_a_remote_training_goes_on_on_another_machine(fresh, undisturbed):
    fsspec.filesystem("memory").store.clear()
    place = "memory://bucket/logs"
    model = fresh(place)
    first, position = model.runs.path, interrupt(model, step=2 * STEPS - 1)
    assert (position.epoch, position.step) == (1, STEPS - 1)
    model = fresh(place)
    assert model.runs.path != first  # as on another machine
    train(model)
    assert same(undisturbed[0], weights(model))
    run = open_folder(model.runs.there(model.log_dir))
    missing = {"train", "validation"}  # folders
    assert run.names() == set(undisturbed[2]) - missing and run.names("train")
    last = model.find_last()
    assert last == f"{run.path}/mask_rcnn_tiny_0003.h5"
    model = fresh(place)
    model.load_weights(last)
    assert model.epoch == 3 and model.runs.there(model.log_dir) == run.path
    assert same(undisturbed[0], weights(model))
    model.save_weights("memory://bucket/mine.h5")
    assert open_folder("memory://bucket").names() == {"mine.h5"}
    assert train(model, epochs=4, resume=False).epoch == [3]
    rows = run.read("results.csv").decode().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2", "3", "4"]


def test_a_signal_in_the_validation_costs_nothing_but_it(fresh, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr("mrcnn.training.saving.SECONDS", 0)  # else up to a minute of steps
    position = interrupt(fresh(tmp_path), signal.SIGTERM, test=2)
    assert (position.epoch, position.step) == (1, STEPS)
    model = fresh(tmp_path)
    history = train(model)
    assert history.epoch == [1, 2] and same(undisturbed[0], weights(model))


def test_a_training_that_has_ended_is_not_gone_on_with(fresh, tmp_path):
    model = fresh(tmp_path)
    train(model, epochs=1)
    ended, model = weights(model), fresh(tmp_path)
    with pytest.warns(UserWarning, match="nothing to train: epochs=1 is the total and the weights"):
        assert train(model, epochs=1) is None
    assert same(ended, weights(model)) and model.epoch == 1
    # The next stage begins where it ended, in its folder, and is what is gone on with then.
    with pytest.raises(KeyboardInterrupt):
        train(model, [Signal(signal.SIGINT, 2)], rate=0.001)
    model = fresh(tmp_path)
    with pytest.warns(UserWarning, match="nothing to train"):
        assert train(model, epochs=1) is None
    assert train(model, rate=0.001).epoch == [1, 2]


def test_another_training_is_refused(fresh, tmp_path):
    interrupt(fresh(tmp_path), step=1)
    with pytest.raises(ValueError, match=r"is of another training \(learning_rate 0.01, now 0.1\)"):
        train(fresh(tmp_path), rate=0.1)
    with pytest.raises(ValueError, match=r"LEARNING_SCHEDULE 'constant', now 'cosine'"):
        train(fresh(tmp_path, LEARNING_SCHEDULE="cosine"))
    with pytest.raises(ValueError, match=r"steps of an epoch 4, now 5\): resume with what it was"):
        train(fresh(tmp_path, STEPS_PER_EPOCH=5))


def test_a_schedule_is_that_of_the_whole_training(fresh, tmp_path, monkeypatch):
    rates, places = [], []

    def fit(model, generator, batches, callbacks, epochs, position, validation):
        rates.append(keras.optimizers.schedules.serialize(model.optimizer._learning_rate))
        places.append((position.epoch, position.step, int(model.optimizer.iterations)))
        model.optimizer.variables[0].assign(6)  # batches of three make an update
        position.epoch, position.step = 1, 2
        save_state(callbacks[0].path, model, position)

    monkeypatch.setattr("mrcnn.architectures.training.fit", fit)
    for _ in range(2):
        train(fresh(tmp_path, LEARNING_SCHEDULE="cosine"))
    assert rates[0] == rates[1] and rates[0]["config"]["decay_steps"] == EPOCHS * STEPS // 3
    assert places == [(0, 0, 0), (1, 2, 2)]


def test_without_a_state_training_begins(fresh, tmp_path, capsys):
    assert train(fresh(tmp_path), epochs=1).epoch == [0]
    assert f"No training to resume in {tmp_path}: it begins" in capsys.readouterr().out


def test_it_stops_early_and_remembers_how_long_it_waited(fresh, tmp_path):
    class Scores(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_segm_AP"] = [0.3, 0.2, 0.1, 0.4][epoch]

    model = fresh(tmp_path, EARLY_STOPPING=2)
    with pytest.raises(ValueError, match="EARLY_STOPPING is set; expected a val_dataset"):
        model.train(shapes(6), None, 0.01, 4, "all")
    evaluating = EvaluateCallback(model, shapes(2), every=9)
    with pytest.raises(KeyboardInterrupt):  # in the second epoch of four
        train(model, [evaluating, Scores(), Signal(signal.SIGINT, STEPS + 1)], epochs=4)
    model = fresh(tmp_path, EARLY_STOPPING=2, CHECKPOINTS_KEPT=None)
    history = train(model, [evaluating, Scores()], epochs=4)
    assert history.epoch == [1, 2] and model.epoch == 3  # two epochs without a better one
    best = Path(model.log_dir, "mask_rcnn_tiny_best.h5").read_bytes()
    assert best == Path(model.log_dir, "mask_rcnn_tiny_0001.h5").read_bytes()


def averages(network):
    """The weights of a network, with the optimizer's averages for those that are trained."""
    found = network.optimizer._model_variables_moving_average
    found = dict(zip(map(id, network.trainable_variables), found, strict=True))
    return [np.array(keras.ops.convert_to_numpy(found.get(id(x), x))) for x in network.weights]


class Averages(keras.callbacks.Callback):
    """Works out the averages of the trained weights; `seen` is what the model had as epochs ended,
    beside them."""

    def __init__(self, momentum, from_step):
        super().__init__()
        self.momentum, self.from_step = momentum, from_step
        self.steps, self.last, self.seen = 0, None, []

    def values(self):
        return [np.array(keras.ops.convert_to_numpy(x)) for x in self.model.trainable_variables]

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        now, kept = self.values(), self.momentum
        before = now if self.steps <= self.from_step else self.last
        self.last = [kept * a + (1 - kept) * b for a, b in zip(before, now, strict=True)]

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((self.values(), self.last))


def test_the_averages_are_what_is_evaluated_and_saved(fresh, tmp_path):
    """The average begins with the weights after the first update, as Keras's."""
    steps = KEYS["ACCUMULATION_STEPS"]
    model, watched = fresh(tmp_path), Averages(KEYS["EMA_MOMENTUM"] ** (1 / steps), steps)
    train(model, [watched], epochs=2)
    network, trained = model.keras_model, watched.values()
    raw = [np.array(x) for x in network.optimizer._model_variables_moving_average]  # swapped
    assert not all(np.allclose(a, b, 1e-5, 1e-7) for a, b in zip(raw, trained, strict=True))
    found = [*watched.seen, (trained, watched.last)]
    for epoch in (1, 2):
        network.load_weights(model.checkpoint_path.format(epoch=epoch))
        found.append((watched.values(), watched.seen[epoch - 1][1]))
    for values, expected in found:
        for a, b in zip(values, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_memory_that_ran_out_is_told_with_what_helps(fresh, tmp_path, monkeypatch, capsys):
    def fit(model, generator, batches, callbacks, epochs, position, validation):
        position.epoch, position.step = 1, 2
        save_state(callbacks[0].path, model, position)
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes")

    monkeypatch.setattr("mrcnn.architectures.training.fit", fit)
    model = fresh(tmp_path)
    with pytest.raises(MemoryError, match=r"than there is. What helps: IMAGES_PER_GPU = 1 \(it"):
        train(model)
    told = f"train(..., resume=True) goes on from {model.log_dir}, epoch 2, step 2"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("saved", [True, False])
def test_a_loss_that_is_no_number_ends_it_with_the_last_good_weights(fresh, saved, tmp_path):
    """The pictures of the fourth batch are told; weights are the averages of three steps, of which
    the third made an update, or those of none."""

    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                good.extend(averages(self.model))
                kernel = model.keras_model.trainable_variables[0]
                kernel.assign(keras.ops.full(kernel.shape, np.nan))

    model, good = fresh(tmp_path, CHECKPOINT_MINUTES=1e-9 if saved else None), []
    first = weights(model)
    words = r"the loss is nan from step 4 of the epoch on; the pictures of this batch: Image . \("
    with pytest.raises(FloatingPointError, match=words) as raised:
        train(model, [Poison()])
    step = 3 if saved else 0
    assert f"last good weights again, of epoch 1, step {step}: train them" in str(raised.value)
    assert same(weights(model), good if saved else first) and model.epoch == 0
    assert not same(good, first)
    assert not list(tmp_path.glob("*/mask_rcnn*"))
    assert train(model, epochs=1, resume=False).epoch == [0]  # the same model trains on


def run_resumed(backend, folder, minutes, *options):
    keys = json.dumps({**KEYS, "CHECKPOINT_MINUTES": minutes})
    script = str(Path(__file__).with_name("resumed.py"))
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, script, str(folder), keys, *map(str, options)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.thorough)])
def test_a_killed_process_loses_what_was_not_saved_and_nothing_else(backend, tmp_path):
    """Killed in its 6th step, with a save after each step."""
    killed = run_resumed(backend, tmp_path, 1e-9, "--kill-in-step", 6)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    (state,) = tmp_path.glob(f"killed/*/{FILE}")
    position = read_position(state)
    assert (position.epoch, position.step) == (1, 1)  # 5 steps were done
    done = run_resumed(backend, tmp_path, 1e-9)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "from epoch 1, step 1 to 3" in done.stdout and done.stdout.split()[-1] == "same"
    assert not list(tmp_path.glob("*/*/*.unfinished"))


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_twenty_kills_at_random_moments_change_nothing(backend, tmp_path):
    """Within steps, saves and validations; what has its final name is whole after each."""
    rng = random.Random(0)
    epochs, most = 125, 24  # 20 times at most 24 steps are fewer than 125 epochs of 4
    for _ in range(20):
        step, seconds = rng.randint(1, most), rng.uniform(0, 0.5)
        options = ("--epochs", epochs, "--kill-in-step", step, "--seconds", seconds)
        killed = run_resumed(backend, tmp_path, 0.002, *options)
        assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
        for path in tmp_path.glob("killed/*/*"):
            if path.suffix in (".h5", ".hdf5"):
                read_all(path)
            elif path.suffix == ".json":
                json.loads(path.read_text())
    done = run_resumed(backend, tmp_path, 0.002, "--epochs", epochs)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split()[-1] == "same"
    assert not list(tmp_path.glob("*/*/*.unfinished"))


def read_all(path):
    """Reads every value of an HDF5 file, which raises where it is not whole."""
    with h5py.File(path) as file:
        file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)


def test_a_run_is_left_before_its_last_checkpoint_for_a_folder_of_its_own(fresh, tmp_path):
    model = fresh(tmp_path, CHECKPOINTS_KEPT=None)
    train(model, epochs=2)
    first, path = model.log_dir, model.checkpoint_path.format(epoch=1)
    later = Path(first, "mask_rcnn_tiny_0002.h5")
    before = later.read_bytes()
    model.load_weights(path)
    assert model.epoch == 1 and model.log_dir == first
    assert train(model, epochs=2, rate=0.02, resume=False).epoch == [1]
    assert model.log_dir != first and later.read_bytes() == before
    assert Path(model.log_dir, "mask_rcnn_tiny_0002.h5").exists()
