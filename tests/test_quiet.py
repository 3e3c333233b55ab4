"""What reaches a user's terminal: errors and our own words, no start-up lines of TensorFlow."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrcnn import cli
from mrcnn.startup import quiet

ROOT = Path(__file__).resolve().parents[1]
# What TensorFlow 2.21 and 2.16 write while they are imported, and what no one may miss.
NOTES = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1700000000.123456    99 port.cc:153] oneDNN custom operations are on.
E0000 00:00:1700000000.123456    99 cuda_platform.cc:52] failed call to cuInit
2024-05-01 12:00:00.123456: I tensorflow/core/util/port.cc:113] oneDNN custom operations are on.
To enable the following instructions: AVX2 FMA, rebuild TensorFlow.
"""
WORDS = "F0000 00:00:1700000000.123456    99 cpu.cc:1] no AVX on this machine\nInformation: 1\n"


@pytest.fixture
def run(tmp_path):
    """Runs Python with a `tensorflow` that writes its lines as the real one; gives stderr."""
    library = f"import os\nos.write(2, {(NOTES + WORDS).encode()!r})\n"
    (tmp_path / "tensorflow.py").write_text(library)

    def run(*arguments, code=0, **environment):
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        environment = {**os.environ, "PYTHONPATH": path, **environment}
        if environment["TF_CPP_MIN_LOG_LEVEL"] is None:
            del environment["TF_CPP_MIN_LOG_LEVEL"]
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr[-4000:]
        return done.stderr

    return run


INSTALL = "from mrcnn.startup import quiet\nquiet.install()\n"


def test_start_up_lines_are_left_out_and_other_words_are_not(run):
    assert run("-c", INSTALL + "import tensorflow", TF_CPP_MIN_LOG_LEVEL=None) == WORDS


def test_what_is_written_after_the_import_stays_in_order(run):
    code = INSTALL + "import tensorflow, sys\nprint('later', file=sys.stderr)"
    assert run("-c", code, TF_CPP_MIN_LOG_LEVEL=None) == WORDS + "later\n"


def test_the_last_words_of_a_process_that_is_killed_are_shown(run, tmp_path):
    with open(tmp_path / "tensorflow.py", "a") as file:
        file.write("os.abort()\n")
    code = INSTALL + "import tensorflow"
    assert run("-c", code, code=-6, TF_CPP_MIN_LOG_LEVEL=None).startswith(WORDS)


def test_an_import_that_fails_shows_its_error(run, tmp_path):
    with open(tmp_path / "tensorflow.py", "a") as file:
        file.write("raise ImportError('no such library')\n")
    found = run("-c", INSTALL + "import tensorflow", code=1, TF_CPP_MIN_LOG_LEVEL=None)
    assert found.startswith(WORDS + "Traceback") and "ImportError: no such library" in found


def test_a_level_that_the_user_set_stays(run):
    assert run("-c", INSTALL + "import tensorflow", TF_CPP_MIN_LOG_LEVEL="0") == NOTES + WORDS
    code = INSTALL + "import os, sys\nsys.exit(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    assert run("-c", code, code=1, TF_CPP_MIN_LOG_LEVEL="1") == "1\n"


def test_warnings_of_libraries_are_left_out_and_ours_are_not(run):
    warn = "import warnings\nfor name in ('keras.src.x', 'mrcnn.x', '__main__', 'kerasify'):\n"
    warn += "    warnings.warn_explicit(name, UserWarning, 'file', 1, module=name)\n"
    assert "keras.src.x" in run("-c", warn)
    found = run("-c", INSTALL + warn)
    assert "keras.src.x" not in found
    assert all(name in found for name in ("mrcnn.x", "__main__", "kerasify"))
    assert "keras.src.x" in run("-W", "default", "-c", INSTALL + warn)


def test_log_lines_of_libraries_are_left_out_and_their_errors_are_not(run):
    log = "import logging\nlogging.getLogger('tensorflow').{}('words')\n"
    assert run("-c", log.format("warning")) == "words\n"
    assert run("-c", INSTALL + log.format("warning")) == ""
    assert run("-c", INSTALL + log.format("error")) == "words\n"


@pytest.mark.slow
def test_the_real_library_says_nothing(tmp_path):
    np.savez(tmp_path / "some.npz", odd=np.zeros(2))
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    code = "import sys\nfrom mrcnn.cli import main\nsys.exit(main())"
    command = [sys.executable, "-c", code, "weights", "inspect", str(tmp_path / "some.npz")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "arrays      1" in done.stdout
    assert done.stderr == ""


class Called(Exception):
    pass


@pytest.fixture
def watched(monkeypatch):
    def install():
        raise Called

    monkeypatch.setattr(quiet, "install", install)


@pytest.mark.parametrize("arguments", [["demo"], ["weights", "list"]])
def test_commands_are_quiet(arguments, watched):
    with pytest.raises(Called):
        cli.main(arguments)


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("balloon", ["train", "--dataset", "DATA", "--weights", "coco"]),
        ("coco", ["train", "--dataset", "DATA", "--model", "coco", "--download"]),
        ("nucleus", ["detect", "--dataset", "DATA", "--subset", "stage1_train", "--weights", "x"]),
        ("rgbd", ["train"]),
        ("shapes", ["train"]),
    ],
)
def test_samples_are_quiet(name, arguments, watched, monkeypatch, tmp_path):
    (tmp_path / "stage1_train" / "a").mkdir(parents=True)
    arguments = [str(tmp_path) if text == "DATA" else text for text in arguments]
    monkeypatch.syspath_prepend(str(ROOT / "samples" / name))
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    sample = importlib.import_module(name)
    with pytest.raises(Called):
        sample.main()


@pytest.mark.parametrize("name", ["balloon", "coco", "nucleus", "rgbd", "shapes"])
def test_samples_import_no_backend_before_they_are_quiet(name, run_python):
    code = f"import sys\nsys.path.insert(0, {str(ROOT / 'samples' / name)!r})\nimport {name}\n"
    assert run_python(code + "print('keras' in sys.modules)") == "False\n"
