"""Keeps the start-up lines of TensorFlow, and other libraries' warnings, off a user's terminal.

The commands, samples and benchmarks call `install` before they import anything heavy; importing
the library changes nothing. Who has set TF_CPP_MIN_LOG_LEVEL, or Python's -W or PYTHONWARNINGS,
has said what to show, and keeps it.
"""

import contextlib
import logging
import os
import pickle
import subprocess
import sys
import warnings

from mrcnn.startup.late_imports import around_import

LIBRARIES = (
    *("absl", "albumentations", "h5py", "imageio", "imgaug", "jax", "keras", "matplotlib"),
    *("nncf", "numpy", "onnx", "openvino", "pycocotools", "scipy", "skimage", "tensorflow"),
    "tf2onnx",
)
# Log lines below "fatal": TensorFlow writes some while it is loaded, whatever the level is set to.
_FILTER = r"""
import re, sys
notes = re.compile(
    rb"[IWE]\d{4} |[-\d]{10} [:.\d]+ [IWE] |WARNING: All log messages before absl::"
    rb"|To enable the following instructions:"
)
for line in sys.stdin.buffer:
    if not notes.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def install():
    """Quietens what is imported from now on, unless the user has set otherwise."""
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # what stops a program is raised in Python too
        around_import("tensorflow", _import_quietly)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module=rf"({'|'.join(LIBRARIES)})(\.|$)")


def call_quietly(pickled, *arguments):
    """Calls a function in a process of its own, which has imported nothing heavy yet.

    Args:
        pickled: bytes, the function and its first arguments, whose modules are imported here.
        arguments: what follows them.
    """
    with filtered_stderr():
        install()
        function, *first = pickle.loads(pickled)
        function(*first, *arguments)


def _import_quietly(exec_module, module):
    with filtered_stderr():
        exec_module(module)


@contextlib.contextmanager
def filtered_stderr():
    """Inside it, a process of its own takes the notes out of what libraries write to stderr.

    So that the last words of a process that is killed are still shown.
    """
    reader = subprocess.Popen([sys.executable, "-IS", "-c", _FILTER], stdin=subprocess.PIPE)
    sys.stderr.flush()
    stderr = os.dup(2)
    os.dup2(reader.stdin.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        reader.stdin.close()
        reader.wait()
