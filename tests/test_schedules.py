"""Learning rates over the updates of a training, worked out by hand."""

import math

import keras
import pytest

from mrcnn.config import Config
from mrcnn.settings import Optimization
from mrcnn.training.schedules import OneCycle, Warmup, make_rate


def rate(updates, learning_rate=1.0, **keys):
    config = Config()
    vars(config).update(keys)
    return make_rate(Optimization.from_config(config), learning_rate, updates)


def values(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_a_constant_rate_stays_a_number():
    assert rate(10, 0.02) == 0.02


def test_a_training_without_a_whole_update_has_a_rate():
    assert rate(0, 0.02) == 0.02 and values(rate(0, LEARNING_SCHEDULE="cosine"), [0]) == [1]


def test_a_schedule_of_the_user_stays_itself():
    own = keras.optimizers.schedules.CosineDecay(1.0, 5)
    assert rate(10, own, LEARNING_SCHEDULE="multistep", WARMUP_STEPS=99) is own


def test_multistep():
    # Of 9 updates 67 %, 6, have the rate, two more a tenth, the last a hundredth.
    schedule = rate(9, LEARNING_SCHEDULE="multistep")
    assert values(schedule, range(9)) == pytest.approx([1] * 6 + [0.1] * 2 + [0.01])
    halves = rate(4, LEARNING_SCHEDULE="multistep", LEARNING_MILESTONES=[0.5], LEARNING_DROP=0.5)
    assert values(halves, range(4)) == [1, 1, 0.5, 0.5]


def test_cosine():
    # Half of a cosine from 1 to 0: at a quarter (1 + cos 45 degrees) / 2.
    schedule = rate(8, LEARNING_SCHEDULE="cosine")
    assert values(schedule, (0, 2, 4, 8)) == pytest.approx([1, 0.853553, 0.5, 0], abs=1e-6)


def test_one_cycle_is_that_of_pytorch():
    # 20 updates: from 1/25 to the peak in 6, then down to 1/250000; halfway up (1 + 1/25) / 2.
    schedule = rate(20, LEARNING_SCHEDULE="one_cycle")
    expected = [0.04, 0.52, 1, 0.5 + 2e-6, 4e-6]
    assert values(schedule, (0, 3, 6, 13, 20)) == pytest.approx(expected, abs=1e-6)


def test_a_warm_up_comes_before_what_follows():
    # From a thousandth to the whole in 4 updates, and the cosine of 8 begins after them.
    schedule = rate(12, LEARNING_SCHEDULE="cosine", WARMUP_STEPS=4)
    expected = [0.001, 0.25075, 0.5005, 0.75025, 1.0, 0.5, 0]
    assert values(schedule, (0, 1, 2, 3, 4, 8, 12)) == pytest.approx(expected, abs=1e-6)
    constant = rate(9, 2.0, WARMUP_STEPS=2, WARMUP_FACTOR=0.5)
    assert values(constant, (0, 1, 2, 8)) == [1.0, 1.5, 2.0, 2.0]


def test_a_warm_up_longer_than_the_training_is_told():
    with pytest.raises(ValueError, match="WARMUP_STEPS is 9, but the training has 9 updates"):
        rate(9, WARMUP_STEPS=9)


@pytest.mark.parametrize(
    "schedule",
    [
        Warmup(0.5, 4),
        Warmup(keras.optimizers.schedules.CosineDecay(1.0, 5), 4, 0.1),
        OneCycle(1.0, 20),
    ],
    ids=["number", "schedule", "cycle"],
)
def test_schedules_are_saved_with_an_optimizer(schedule):
    serialize = keras.optimizers.schedules.serialize
    again = keras.optimizers.schedules.deserialize(serialize(schedule))
    steps = (0, 2, 3, 7, 15)
    assert values(again, steps) == values(schedule, steps)
    assert not any(math.isnan(value) for value in values(schedule, steps))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"LEARNING_SCHEDULE": "poly"}, "LEARNING_SCHEDULE is 'poly'; expected one of"),
        ({"OPTIMIZER": "adam"}, "OPTIMIZER is 'adam'; expected one of"),
        ({"LEARNING_MILESTONES": [0.9, 0.6]}, "LEARNING_MILESTONES is .*; expected rising shares"),
        ({"LEARNING_MILESTONES": [6, 8]}, "expected rising shares of the updates"),
        ({"WARMUP_STEPS": -1}, "WARMUP_STEPS is -1; expected a whole number of 0 or more"),
        ({"WARMUP_FACTOR": 0}, "WARMUP_FACTOR is 0; expected above 0"),
        ({"LAYER_DECAY": 2}, "LAYER_DECAY is 2; expected above 0, at most 1"),
        (
            {"ACCUMULATION_STEPS": 0},
            "ACCUMULATION_STEPS is 0; expected a whole .* 1 or more$",
        ),
        ({"EMA_MOMENTUM": 1}, "EMA_MOMENTUM is 1; expected between 0 and 1, or None"),
        (
            {"EARLY_STOPPING": 0},
            "EARLY_STOPPING is 0; expected a whole .* 1 or more, or None",
        ),
        (
            {"CHECKPOINTS_KEPT": 1.5},
            "CHECKPOINTS_KEPT is 1.5; expected a whole .*more, or None",
        ),
        ({"CHECKPOINT_MINUTES": 0}, "CHECKPOINT_MINUTES is 0; expected above 0, or None"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_keys_that_cannot_work_are_told(keys, words):
    config = Config()
    vars(config).update({"NAME": "x", "NUM_CLASSES": 2, **keys})
    with pytest.raises(ValueError, match=words):
        config.validate()
