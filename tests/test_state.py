"""The file of a training's state, and the signals that end a training."""

import os
import signal
import threading

import keras
import numpy as np
import pytest

from mrcnn.files.replacing import replaced
from mrcnn.training.interrupts import Interrupts
from mrcnn.training.state import (
    Position,
    read_position,
    remembered,
    remind,
    restore_state,
    save_state,
)


def net(units=3):
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dropout(0.5)]
    )
    model.compile("adam", "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


def values(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def test_all_variables_come_back(tmp_path):
    model, data = net(), np.ones((4, 2), np.float32)
    model.fit(data, np.ones((4, 3)), epochs=2, verbose=0)
    save_state(tmp_path / "state.h5", model, Position({}, epoch=2))
    other = net()
    other.fit(data, np.zeros((4, 3)), verbose=0)  # its metrics have variables from then on
    restore_state(tmp_path / "state.h5", other)
    for before, after in zip(values(model), values(other), strict=True):
        np.testing.assert_array_equal(before, after)
    assert any("seed" in variable.path for variable in model.variables)


def test_the_position_comes_back(tmp_path):
    position = Position({"layers": "all"}, 1, 2, 3, 2**40, True, [["EarlyStopping", {"wait": 1}]])
    save_state(tmp_path / "state.h5", net(), position)
    assert read_position(tmp_path / "state.h5") == position


def test_another_network_is_refused_and_stays(tmp_path):
    save_state(tmp_path / "state.h5", net(), Position({}))
    other = net(units=4)
    before = values(other)
    with pytest.raises(ValueError, match=r"state.h5 is of another network .*\[2, 4\], .* \[2, 3\]"):
        restore_state(tmp_path / "state.h5", other)
    for a, b in zip(before, values(other), strict=True):
        np.testing.assert_array_equal(a, b)
    other = net()
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"expected . optimizer variables, found 6"):
        restore_state(tmp_path / "state.h5", other)


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"0" * 99])
def test_what_is_no_state_is_named(tmp_path, content):
    (tmp_path / "state.h5").write_bytes(content)
    with pytest.raises(ValueError, match=r"state.h5: expected the state of a training"):
        read_position(tmp_path / "state.h5")


def test_a_disk_that_is_full_loses_nothing(tmp_path, run_python):
    """No file may grow beyond 20 kB: writing fails as on a full disk."""
    path = tmp_path / "state.h5"
    save_state(path, net(), Position({}, epoch=7))
    before = path.read_bytes()
    code = f"""
import resource, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_state import *
model = net(20_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_state({str(path)!r}, model, Position({{}}, epoch=8))
except OSError as error:
    print(error)
"""
    assert f"{path} cannot be written: " in run_python(code)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["state.h5"]


def test_what_is_not_finished_is_removed(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), replaced(tmp_path / "a") as path:
        with open(path, "w") as file:
            file.write("new")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]
    with replaced(tmp_path / "new" / "a") as path, open(path, "w") as file:
        file.write("new")
    assert (tmp_path / "new" / "a").read_text() == "new"


class Mine(keras.callbacks.Callback):
    count = 0

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]


def test_callbacks_are_reminded():
    stopping, mine = keras.callbacks.EarlyStopping(patience=3), Mine()
    stopping.wait, stopping.best, mine.count = 2, np.float32(0.5), 4
    states = remembered([keras.callbacks.History(), stopping, mine])
    assert [name for name, _ in states] == ["EarlyStopping", "Mine"]
    # The others come in another order, with one more.
    new = [Mine(), Mine(), keras.callbacks.EarlyStopping(patience=3)]
    remind(new, states)
    assert [new[0].count, new[1].count, new[2].wait, new[2].best] == [4, 0, 2, 0.5]
    assert new[2].patience == 3


def test_a_signal_waits_while_it_is_held(capsys):
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.received == signal.SIGINT
        assert "ends after this step; once more ends it at once" in capsys.readouterr().out
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_ends_at_once_while_nothing_is_held(number, error):
    with Interrupts() as interrupts:
        interrupts.held = False
        with pytest.raises(error) as raised:
            os.kill(os.getpid(), number)
    assert number == signal.SIGINT or raised.value.code == 128 + 15


def test_other_threads_change_nothing():
    before, seen = signal.getsignal(signal.SIGINT), []

    def run():
        with Interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
