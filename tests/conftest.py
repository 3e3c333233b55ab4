"""Shared by all tests: quiet backends, a tiny model, the second backend in a process of its own."""

import os
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
import pytest


def pytest_configure(config):
    """What JAX compiles in one process of the tests is read in the others: a third of the time.

    Workers take files in the order of `pytest_collection_modifyitems`, not of their length.
    """
    config.option.loadscopereorder = False
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = tempfile.mkdtemp(prefix="jax")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache  # workers inherit it
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))


def pytest_collection_modifyitems(items):
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    # Short files last, so that the workers end at about the same time.
    items.sort(key=lambda item: item.path not in slow)
    if os.environ.get("MRCNN_DATA"):
        return
    for item in items:
        if item.get_closest_marker("realdata"):
            item.add_marker(pytest.mark.skip(reason="MRCNN_DATA names no folder of real pictures"))


@pytest.fixture(scope="session")
def run_python():
    """Runs code in a new process and returns what it printed; `backend` is KERAS_BACKEND."""

    def run(code, backend="tensorflow", **environment):
        environment = {**os.environ, "KERAS_BACKEND": backend, **environment}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    return run


@pytest.fixture
def features_on_jax(run_python, tmp_path):
    """Function of a test module's name to the list of arrays of its `random_features` on JAX."""

    def features(module):
        found = tmp_path / "features.npz"
        code = (
            f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
            "import keras, numpy as np; assert keras.backend.backend() == 'jax'\n"
            f"from {module} import random_features\n"
            f"np.savez({str(found)!r}, *random_features())"
        )
        run_python(code, backend="jax")
        with np.load(found) as arrays:
            return list(arrays.values())

    return features
