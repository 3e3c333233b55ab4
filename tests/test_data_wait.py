"""The share of an epoch spent waiting for batches: by hand, and in real fits with slow data."""

import time
import types
from pathlib import Path

import keras
import pytest
from tiny import TinyConfig, shapes

from mrcnn.model import DataGenerator
from mrcnn.training import DataWait, EpochFacts, callbacks, to_tf_dataset


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        # Batches 0 to 2 are made at 2, 3 and 9, their steps begin at 1, 5 and 6: waits of 1, none
        # and 3 seconds. The epoch goes from 0 to validation at 16.
        (0, 4 / 16),
        # Each step waits for the batch after its own, the last for its own: 2, 4 and 3 seconds.
        (1, 9 / 16),
    ],
)
def test_shares_by_hand(monkeypatch, ahead, expected):
    clock = iter([0.0, 1.0, 5.0, 6.0, 16.0])
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    callback = DataWait(
        types.SimpleNamespace(ready={0: 2.0, 1: 3.0, 2: 9.0}, workers=2, in_order=False)
    )
    callback.on_train_begin()
    callback._ahead = ahead
    callback.on_epoch_begin(0)
    for step in range(3):
        callback.on_train_batch_begin(step)
    callback.on_test_begin()
    logs = {"loss": 1.0}
    callback.on_epoch_end(0, logs)
    assert logs == {"loss": 1.0, "data_wait": expected}


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (9.0, 1),  # 8 of 16 seconds waited: half
        (5.0, 0),  # 4 of 16: a quarter
        (5.9, 0),  # 4.9 seconds, of which a third is not much
    ],
)
def test_much_waiting_is_told_once(monkeypatch, capsys, second, told):
    end = 16.0 if second != 5.9 else 12.0
    clock = iter([0.0, 1.0, end] * 2)
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    callback = DataWait(types.SimpleNamespace(ready={0: second}, workers=2, in_order=False))
    for epoch in (0, 1):
        callback.on_train_begin()
        callback._ahead = 0
        callback.on_epoch_begin(epoch)
        callback.on_train_batch_begin(0)
        callback.on_epoch_end(epoch, {})
        assert not capsys.readouterr().out  # not within the bar of an epoch
        callback.on_train_end()
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == (told if epoch == 0 else 0)
        if lines:
            assert "epoch 1 waited for data 50% of the time: raise WORKERS (now 2)" in lines[0]


def test_one_thread_is_told_where_workers_have_no_effect(monkeypatch, capsys):
    """A seed and an augmentation that draws by itself."""
    config = TinyConfig()
    generators = [
        DataGenerator(shapes(), config, augmentation=lambda image, masks: (image, masks)),
        DataGenerator(shapes(), config, augmentation=lambda image, masks, rng: (image, masks)),
    ]
    for generator in generators:
        generator.ready[0] = 9.0
        clock = iter([0.0, 1.0, 16.0])
        monkeypatch.setattr(callbacks.time, "perf_counter", lambda clock=clock: next(clock))
        callback = DataWait(generator)
        callback.on_train_begin()
        callback._ahead = 0
        callback.on_epoch_begin(0)
        callback.on_train_batch_begin(0)
        callback.on_epoch_end(0, {})
        callback.on_train_end()
    alone, several = capsys.readouterr().out.splitlines()
    assert "50% of the time: with SEED one thread calls an augmentation without an a" in alone
    assert "WORKERS is: give it one, or set SEED = None, or store pictures" in alone
    assert f"raise WORKERS (now {config.WORKERS})" in several


def test_the_rate_and_the_seconds_are_logged(monkeypatch):
    clock = iter([2.0, 5.5])
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    model.optimizer.iterations.assign(2)
    callback, logs = EpochFacts(), {}
    callback.set_model(model)
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0, logs)
    assert logs == {"learning_rate": 0.025, "seconds": 3.5}  # halved twice


class Mean(keras.Model):
    """Its loss is its output, whatever the batch."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred)


class SlowStep(keras.callbacks.Callback):
    """Makes each step take so many seconds longer."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(self.seconds)


def slow_batches(count, seconds, **keywords):
    dataset = shapes(count)
    load_image = dataset.load_image

    def load_slowly(image_id):
        time.sleep(seconds)
        return load_image(image_id)

    dataset.load_image = load_slowly
    return DataGenerator(dataset, TinyConfig(), **keywords)


def second_wait(data, step, val, as_dataset, workers):
    """`data_wait` of the second of two epochs: 8 batches, a validation of 2.

    Args:
        data, step, val: seconds of a picture, of a step and of a picture of the validation.
        as_dataset: bool, whether `fit` is given what `to_tf_dataset` makes.
        workers: int.
    """
    generator = slow_batches(16, data, workers=workers)
    val_data = slow_batches(4, val, workers=workers, shuffle=False)
    inputs = {
        name: keras.Input(array.shape[1:], dtype=array.dtype, name=name)
        for name, array in generator[0][0].items()
    }
    model = Mean(inputs, keras.layers.Dense(1)(inputs["input_image"]))
    model.compile("sgd")
    given = [to_tf_dataset(g, model.inputs) if as_dataset else g for g in (generator, val_data)]
    fitted = model.fit(
        given[0],
        epochs=2,
        validation_data=given[1],
        shuffle=False,
        callbacks=[DataWait(generator), SlowStep(step)],
        verbose=0,
    )
    return fitted.history["data_wait"][1]


WAYS = [(False, 1), (False, 2), (True, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("as_dataset", "workers"), WAYS)
def test_slow_data_are_waited_for_and_fast_ones_less(as_dataset, workers):
    # A batch takes 0.1 s and a step 0.01, or the reverse. How much either waits is the machine's.
    slow = second_wait(0.05 * workers, 0.01, 0.0, as_dataset, workers)
    fast = second_wait(0.0, 0.1, 0.25, as_dataset, workers)
    assert 0 <= fast < slow <= 1


@pytest.mark.slow
@pytest.mark.thorough
def test_jax_waits_alike(run_python):
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import keras
from test_data_wait import second_wait
assert keras.backend.backend() == "jax"
print(second_wait(0.1, 0.01, 0.5, False, 2), second_wait(0.0, 0.1, 0.1, False, 2))
"""
    slow, fast = map(float, run_python(code, backend="jax").split())
    assert 0 <= fast < slow <= 1
