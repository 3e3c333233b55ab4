"""`mrcnn train` on several devices and hosts: what its options mean."""

import argparse

import pytest
from tiny import TinyConfig

from mrcnn import cli
from mrcnn.cli.hosts_arguments import fit_to_devices, without_hosts
from mrcnn.parallel import OneHost


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hosts", "a:1,b:1"], "expected --hosts and --process-id together: the addresses"),
        (["--process-id", "0"], "expected --hosts and --process-id together: the addresses"),
        (["--hosts", "a:1", "--process-id", "0"], "several hosts train on JAX; the backend is"),
    ],
)
def test_what_cannot_be_hosts_is_told(options, message, monkeypatch, capsys):
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    assert cli.main(["train", "DATA", *options]) == 2
    assert message in capsys.readouterr().err


def test_the_line_of_a_run_names_no_hosts():
    line = [
        "mrcnn",
        "train",
        "DATA",
        "--hosts",
        "a:1,b:1",
        "--epochs",
        "3",
        "--process-id=1",
        "--out",
        "x",
    ]
    assert without_hosts(line) == ["mrcnn", "train", "DATA", "--epochs", "3", "--out", "x"]


class Hosts(OneHost):
    count = 2

    def __init__(self, devices):
        self.devices = devices


def fitted(monkeypatch, hosts, there, resume=None, batch_size=None, assignments=(), **keys):
    """GPU_COUNT, IMAGES_PER_GPU and BATCH_SIZE where so many devices are."""
    file = keys.pop("file", None)
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    monkeypatch.setattr("jax.device_count", lambda: there)
    config = TinyConfig()
    vars(config).update(keys)
    arguments = argparse.Namespace(
        resume=resume, batch_size=batch_size, assignments=list(assignments), config=file
    )
    fit_to_devices(config, arguments, hosts)
    return config.GPU_COUNT, config.IMAGES_PER_GPU, config.BATCH_SIZE


def test_hosts_have_all_their_devices(monkeypatch):
    # Two images of each of sixteen devices; or 64 of all.
    assert fitted(monkeypatch, Hosts(16), 16) == (16, 2, 32)
    assert fitted(monkeypatch, Hosts(16), 16, batch_size=64) == (16, 4, 64)
    with pytest.raises(ValueError, match="--batch-size is 40; expected a multiple of GPU_COUNT=16"):
        fitted(monkeypatch, Hosts(16), 16, batch_size=40)
    # What the user says is left, for the model to refuse.
    given = {"assignments": ["GPU_COUNT=8"], "GPU_COUNT": 8}
    assert fitted(monkeypatch, Hosts(16), 16, **given) == (8, 2, 16)


def test_one_host_has_what_its_config_says(monkeypatch):
    assert fitted(monkeypatch, OneHost(), 8) == (1, 2, 2)
    assert fitted(monkeypatch, OneHost(), 8, GPU_COUNT=4) == (4, 2, 8)
    # Weights of another machine; but a config that the user wrote is not changed.
    assert fitted(monkeypatch, OneHost(), 2, GPU_COUNT=4) == (2, 2, 4)
    assert fitted(monkeypatch, OneHost(), 2, GPU_COUNT=4, file="it.yaml") == (4, 2, 8)
    # A batch of 6 is one of two devices, though the weights are of four.
    assert fitted(monkeypatch, OneHost(), 2, batch_size=6, GPU_COUNT=4) == (2, 3, 6)
    assert fitted(monkeypatch, OneHost(), 8, batch_size=6) == (1, 6, 6)


def test_a_batch_stays_what_it_was_on_other_devices(monkeypatch):
    was = {"resume": "runs/train", "GPU_COUNT": 6, "IMAGES_PER_GPU": 3}  # 18 images
    assert fitted(monkeypatch, Hosts(4), 4, **was)[::2] == (4, 18)
    assert fitted(monkeypatch, OneHost(), 2, **was)[::2] == (2, 18)
    assert fitted(monkeypatch, OneHost(), 8, **was)[::2] == (6, 18)
    # As it was given; as many as fitted, which the state knows.
    was["IMAGES_PER_GPU"] = -1
    assert fitted(monkeypatch, OneHost(), 4, batch_size=18, **was)[::2] == (4, 18)
    assert fitted(monkeypatch, OneHost(), 4, **was)[1] == -1
