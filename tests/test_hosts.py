"""Several hosts: processes of this machine that train together over sockets."""

import functools
import json
import math
import random
import signal
import sys
import time
import types

import keras
import numpy as np
import pytest
from hosted import STEPS, read_log, start
from test_cli_train import TINY, write_balloons
from tiny import TinyConfig

from mrcnn.parallel import OneHost, hosts, join
from mrcnn.training.agreement import agree_on_start, agree_on_training
from mrcnn.training.results import read_results
from mrcnn.training.state import FILE, Position, read_position

SOON = 30  # seconds that the others may live on


def test_hosts_need_jax_and_addresses(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    with pytest.raises(ValueError, match="several hosts train on JAX; the backend is tensorflow"):
        join(["a:1", "b:1"], 0)
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(ValueError, match="process 2; expected one of 0 to 1, its place among a:1"):
        join(["a:1", "b:1"], 2)
    with pytest.raises(ValueError, match="address 'b' of a host; expected HOST:PORT, as 10"):
        join(["a:1", "b"], 0)
    with pytest.raises(ValueError, match="expected addresses and index, or KERAS_DISTRIBUTION_J"):
        join()


@pytest.mark.parametrize(
    ("addresses", "count", "index", "message"),
    [
        # Each of these hosts would have trained on all data, into one folder.
        ("a:1,b:1", None, None, "which lacks KERAS_DISTRIBUTION_PROCESS_ID$"),
        ("a:1", None, "1", "which lacks KERAS_DISTRIBUTION_NUM_PROCESSES$"),
        (None, None, "1", "lacks KERAS_DISTRIBUTION_JOB_ADDRESSES, KERAS_DISTRIBUTION_NUM_PROC"),
        ("a:1", "two", "1", "KERAS_DISTRIBUTION_NUM_PROCESSES is 'two'; expected a whole number"),
        ("a:1", "2", "-1", "KERAS_DISTRIBUTION_PROCESS_ID is '-1'; expected a whole number"),
        ("a:1", "2", "2", "this is process 2; expected one of 0 to 1"),
        ("a:1,b:1", "3", "2", "has 2 addresses and KERAS_DISTRIBUTION_NUM_PROCESSES is 3; expe"),
    ],
)
def test_variables_that_are_not_whole_are_told(addresses, count, index, message, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    assert not hosts.are_named()
    given = {hosts.ADDRESSES: addresses, hosts.COUNT: count, hosts.INDEX: index}
    for name, text in given.items():
        if text is not None:
            monkeypatch.setenv(name, text)
    assert hosts.are_named()
    with pytest.raises(ValueError, match=message):
        join()


def test_who_is_waited_for_is_told(monkeypatch, capsys):
    met = []

    def initialize(*args, **options):
        time.sleep(0.2)
        met.append((args, options))

    monkeypatch.setattr("jax.distributed.initialize", initialize)
    monkeypatch.setattr(hosts, "PATIENCE", 60)
    hosts._connect("a:1", 2, 1)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(hosts, "PATIENCE", 0.01)
    hosts._connect("a:1", 2, 1)
    assert capsys.readouterr().out == "mrcnn: process 1 of 2 waits for the others to come to a:1\n"
    assert met[0] == (("a:1", 2, 1), {"cluster_detection_method": "deactivate"})


def test_a_state_that_one_host_does_not_see_is_told():
    class Two(OneHost):
        def check_same(self, name, value):
            raise ValueError(f"{name}: {value}")

    with pytest.raises(ValueError, match=r"a folder that all see \(epochs and steps done\): None"):
        agree_on_start(Two(), None)


class Recorder(OneHost):
    """One of two hosts; of what the other one gave, `given`, it refuses what differs."""

    count = 2

    def __init__(self, given=None):
        self.own, self.given = {}, given

    def check_same(self, name, value):
        assert name not in self.own
        self.own[name] = json.loads(json.dumps(value))
        if self.given is not None and self.given[name] != self.own[name]:
            raise ValueError(f"another {name}")


def flip(image, masks):
    return image[:, ::-1], masks[:, ::-1]


def agreed(hosts, folder="/data", names=("a", "b"), weight=1.0, augmentation=None, seed=3, **keys):
    """Has one host say what it trains."""
    layer = keras.layers.Dense(1, use_bias=False)
    layer.build((None, 1))
    layer.set_weights([np.array([[weight]])])
    model = types.SimpleNamespace(variables=layer.variables)
    config = TinyConfig()
    vars(config).update(keys)
    infos = [{"id": name, "source": "x", "path": f"{folder}/{name}.jpg"} for name in names]
    data = types.SimpleNamespace(image_info=[None, *infos])
    generator = types.SimpleNamespace(dataset=data, image_ids=np.arange(1, len(names) + 1))
    position = Position({"images": 2}, seed=seed)
    agree_on_training(hosts, position, model, config, generator, augmentation)
    return hosts.own


def test_hosts_agree_on_all_that_a_training_is_made_of():
    given = agreed(Recorder(), augmentation=flip)
    # Another folder, other threads, a function that lies elsewhere in memory: the same training.
    copy = types.FunctionType(flip.__code__, {}, "flip")
    assert agreed(Recorder(given), folder="/mnt/d", augmentation=copy, WORKERS=7) == given


@pytest.mark.parametrize(
    ("difference", "named"),
    [
        ({"names": ("a", "c")}, "images, in their order"),
        ({"names": ("b", "a")}, "images, in their order"),
        ({"weight": 1.5}, "weights"),
        ({"seed": 4}, "position"),
        ({"RPN_NMS_THRESHOLD": 0.6}, "RPN_NMS_THRESHOLD"),
        ({"GPU_COUNT": 2}, "GPU_COUNT"),
        ({"augmentation": None}, "augmentation"),
    ],
)
def test_what_another_host_has_differently_is_named(difference, named):
    given = agreed(Recorder(), augmentation=flip)
    with pytest.raises(ValueError, match=f"^another {named}"):
        agreed(Recorder(given), **{"augmentation": flip, **difference})


# Sums over all processes for ever; one of them ends in the third. "late": word of it comes only
# after a collective has failed, or, of the first, after JAX has aborted.
SUMS = """
import os, signal, sys, time
from mrcnn.parallel import join
hosts = join()
import jax, keras, numpy as np
from jax.experimental import multihost_utils
assert hosts.first("seed", hosts.index + 7) == 7
assert hosts.gather("index", hosts.index) == list(range(hosts.count))
try:
    hosts.check_same("SEED", hosts.index)
except ValueError as error:
    print(error)
print("GPUs:", jax.config.read("jax_cuda_visible_devices"), keras.random.uniform(()))
step, (kind, who) = 0, sys.argv[1:]
if kind == "late":
    tell = hosts._member._on_gone
    hosts._member._on_gone = lambda *gone: (time.sleep(4), tell(*gone))
while True:
    total = multihost_utils.process_allgather(np.array([hosts.index])).sum()
    step += 1
    if step == 3 and hosts.index == int(who):
        if kind in ("killed", "late"):
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "fails":
            raise KeyError("no such picture")
    if step == 3 and kind == "works":
        break
print("done")
"""


def run_sums(folder, kind, who=0):
    """Exit codes of three processes, and their logs."""
    script = folder / "sums.py"
    script.write_text(SUMS, encoding="utf-8")
    started = start(folder, 3, command=[sys.executable, str(script), kind, str(who)])
    try:
        codes = [process.wait(timeout=600) for process in started]
    finally:
        for process in started:
            process.kill()
    return codes, [read_log(folder, i) for i in range(3)]


@pytest.mark.slow
def test_processes_agree_and_end_together(tmp_path, monkeypatch):
    # As a task of SLURM with all GPUs of its node sees it: JAX would take the first GPU alone.
    for name in ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID"):
        monkeypatch.setenv(f"SLURM_{name}", "0")
    codes, logs = run_sums(tmp_path, "works")
    assert codes == [0, 0, 0], logs
    assert "3 hosts of 1 devices" in logs[0]
    drawn = {line for log in logs for line in log.splitlines() if line.startswith("GPUs:")}
    assert len(drawn) == 1 and drawn.pop().startswith("GPUs: all ")  # and of one seed
    for log in logs:
        assert "expected the same SEED in all 3 processes; process 0 has 0, process 1 1" in log
        assert "done" in log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("killed", 0),
        pytest.param("killed", 2, marks=pytest.mark.thorough),
        pytest.param("late", 0, marks=pytest.mark.thorough),
        pytest.param("late", 2, marks=pytest.mark.thorough),
    ],
)
def test_a_killed_process_ends_the_others_with_a_word(kind, who, tmp_path):
    codes, logs = run_sums(tmp_path, kind, who)
    assert codes[who] == -9
    for i in {0, 1, 2} - {who}:
        assert codes[i] == 1, logs[i]
        assert f"mrcnn: process {who} of 3 is gone. This one, process {i}, ends too" in logs[i]


@pytest.mark.slow
def test_an_error_of_one_is_told_by_the_others(tmp_path):
    codes, logs = run_sums(tmp_path, "fails", 1)
    assert codes == [1, 1, 1] and "KeyError: 'no such picture'" in logs[1]
    assert "mrcnn: process 1 of 3 ended: KeyError: 'no such picture'. This one, proc" in logs[0]


def trained(folder, count, **options):
    """The losses of the steps and the last weights of a training on so many processes."""
    codes = [process.wait() for process in start(folder, count, **options)]
    assert codes == [0] * count, read_log(folder, 0)
    with np.load(folder / "0.npz") as arrays:
        found = dict(arrays)
    return found.pop("losses"), found


def assert_same(found, expected, exactly=False):
    tolerance = {"rtol": 0, "atol": 0} if exactly else {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found[0], expected[0][-len(found[0]) :], **tolerance)
    for name, weight in expected[1].items():
        np.testing.assert_allclose(found[1][name], weight, err_msg=name, **tolerance)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process trains on so many devices; each once."""

    @functools.cache
    def on(devices):
        folder = tmp_path_factory.mktemp("alone")
        return trained(folder, 1, devices=devices, validates=True)

    return on


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(("count", "devices"), [(2, 1), (4, 1), (2, 4)])
def test_several_processes_train_as_one(count, devices, alone, tmp_path):
    found = trained(tmp_path, count, devices=devices, validates=True)
    assert_same(found, alone(count * devices))  # devices of one process, the same program
    assert_same(found, alone(1))


@pytest.mark.slow
@pytest.mark.thorough
def test_ten_kills_of_three_processes_cost_nothing(tmp_path):
    undisturbed = trained(tmp_path / "undisturbed", 3)
    draw = random.Random(1)
    for number in range(10):
        folder = tmp_path / f"{number}"
        # Who, in which step, and how many seconds after it began.
        kill = [draw.randrange(3), draw.randrange(STEPS), draw.random() / 2]
        processes = start(folder, 3, kill=kill)
        killed = processes[kill[0]]
        assert killed.wait() == -9
        dead = time.monotonic()
        others = [process for process in processes if process is not killed]
        assert [process.wait() for process in others] == [1, 1]
        assert time.monotonic() - dead < SOON
        for i in {0, 1, 2} - {kill[0]}:
            assert f"mrcnn: process {kill[0]} of 3 is gone" in read_log(folder, i)
        # With as many processes the same bits, else another order of sums.
        count = 3 if number % 2 else 2
        assert_same(trained(folder, count), undisturbed, exactly=count == 3)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_command_on_two_hosts_goes_on_on_one(tmp_path):
    data = write_balloons(tmp_path / "data", train=8, val=3, height=48, width=64)
    keys = ["LEARNING_SCHEDULE=cosine", "WARMUP_STEPS=3", "LEARNING_RATE=0.02", "SEED=1"]
    words = [sys.executable, "-m", "mrcnn", "train", str(data), "--config", TINY, *keys]
    words += ["STEPS_PER_EPOCH=2", "--epochs", "8", "--weights", "none", "--out", str(tmp_path)]

    def command(addresses, index):
        return [*words, "--hosts", addresses, "--process-id", str(index)]

    processes = start(tmp_path, 2, command=command)
    while "epoch 2 of 8" not in read_log(tmp_path, 0):
        assert [process.poll() for process in processes] == [None, None], read_log(tmp_path, 0)
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    codes = [process.wait() for process in processes]
    assert codes == [128 + signal.SIGTERM, 1], read_log(tmp_path, 0)  # the first one saved
    logs = [read_log(tmp_path, i) for i in range(2)]
    assert "2 hosts of 1 devices" in logs[0] and "Interrupted in epoch" in logs[0]
    assert "This one, process 1, ends too" in logs[1]
    run = tmp_path / "train"
    earlier = read_results(run / "results.csv")
    assert 2 <= len(earlier) < 8

    (process,) = start(tmp_path / "one", 1, command=[*words[:4], "--resume", str(run)])
    assert process.wait() == 0, read_log(tmp_path / "one", 0)
    rows = read_results(run / "results.csv")
    assert rows[: len(earlier)] == earlier and [row["epoch"] for row in rows] == [*range(1, 9)]
    assert all("val_segm_AP" in row for row in rows)
    # 16 updates, of which 3 rise and 13 fall; an epoch leaves the rate of its last update plus one.
    rates = [0.01 * (1 + math.cos(math.pi * (2 * epoch - 3) / 13)) for epoch in range(2, 9)]
    assert [row["learning_rate"] for row in rows[1:]] == pytest.approx(rates, rel=1e-4, abs=1e-8)
    position = read_position(run / FILE)
    assert position.facts["images of a batch"] == 4 and position.finished
