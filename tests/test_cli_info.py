"""`mrcnn info`: what is there, and what to type for what is not."""

import importlib
import json
import re
from pathlib import Path

import keras
import pytest

from mrcnn import __version__, cli
from mrcnn.cli import info

SETUP = Path(__file__).parents[1] / "setup.py"


def test_info_is_lines_of_text(capsys):
    assert cli.main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{'mrcnn':14} {__version__}" in lines
    assert f"{'keras':14} {keras.__version__}" in lines
    assert f"{'backend':14} {keras.backend.backend()}" in lines
    assert any(line.startswith(f"{'device':14} CPU:0") for line in lines)
    assert any(re.fullmatch(r"cpu +\d+ cores(, [\d.]+ GB)?", line) for line in lines)


def test_info_as_json(capsys):
    assert cli.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["versions"]["mrcnn"] == __version__
    assert facts["extras"]["jax"] is True and facts["cpu"]["cores"] >= 1


def test_what_is_missing_is_told(capsys, monkeypatch):
    find, version = info.importlib.util.find_spec, info.importlib.metadata.version

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(
        info.importlib.metadata,
        "version",
        lambda name: missing(name) if name == "pycocotools" else version(name),
    )
    monkeypatch.setattr(
        info.importlib.util, "find_spec", lambda name: None if name == "av" else find(name)
    )
    assert cli.main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{'pycocotools':14} not installed" in lines
    assert f"{'video':14} pip install 'mrcnn[video]'" in lines


def test_no_backend(capsys, monkeypatch):
    def fail(name):
        raise ImportError("No module named 'tensorflow'")

    monkeypatch.setattr(info.importlib, "import_module", fail)
    assert cli.main(["info"]) == 0
    assert "none: No module named 'tensorflow'" in capsys.readouterr().out


def test_extras_are_those_of_the_package():
    text = SETUP.read_text()
    block = text[text.index("extras_require") : text.index("entry_points")]
    assert set(re.findall(r'^        "(\w+)":', block, re.M)) == {*info.EXTRAS, "test"}


def test_graphics_memory_is_what_the_driver_says(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 81559\necho 24564\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    # Mebibytes: 81559 * 1048576 bytes are 85.5 GB.
    sizes = info._gpu_sizes()
    assert sizes == [81559 * 1048576, 24564 * 1048576]
    assert info._gigabytes(sizes[0]) == 85.5


def test_devices_of_jax(run_python):
    code = "from mrcnn.cli.info import collect; f = collect(); print(f['backend'], f['devices'])"
    assert run_python(code, "jax").startswith("jax [{'name': 'cpu:0 cpu', 'memory_gb': None}")


@pytest.mark.parametrize("size, text", [(None, None), (25_300_000_000, 25.3)])
def test_gigabytes(size, text):
    assert info._gigabytes(size) == text
