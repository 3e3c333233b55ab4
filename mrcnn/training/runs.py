"""Folders and checkpoints of training runs: `<name><date>T<time>/mask_rcnn_<name>_<epoch>.h5`."""

import itertools
import os
import re
from datetime import datetime


def last_checkpoint(model_dir, name):
    """The path of the newest checkpoint of an experiment.

    Args:
        model_dir: str, folder of the runs' folders.
        name: str, of the experiment, in lower case.

    Raises:
        FileNotFoundError: there is none.
    """
    pattern = re.compile(re.escape(name) + _STARTED)
    folders = os.listdir(model_dir) if os.path.isdir(model_dir) else []
    runs = [match for match in map(pattern.fullmatch, folders) if match]
    for run in sorted(runs, key=lambda match: (match[1], int(match[2] or 1)), reverse=True):
        folder = os.path.join(model_dir, run[0])
        found = [(int(m[1]), n) for n in os.listdir(folder) if (m := _CHECKPOINT.fullmatch(n))]
        if found:
            return os.path.join(folder, max(found)[1])
    raise FileNotFoundError(f"no checkpoint of {name!r} under {os.path.abspath(model_dir)}")


# Date and minute of a run; a later one of that minute has a number from 2 on.
_STARTED = r"(\d{8}T\d{4})(?:-(\d+))?"
_CHECKPOINT = re.compile(r"mask_rcnn_.*?(\d+)\.h5")


def run_of(path, name):
    """The run that a checkpoint of an experiment belongs to: (its folder, epoch), or None."""
    folder, file = rf"(.*[/\\]{re.escape(name)}{_STARTED})", r"mask_rcnn_[^/\\]*_(\d{4,})\.h5"
    match = re.fullmatch(rf"{folder}[/\\]{file}", os.path.abspath(path))
    return (match[1], int(match[4])) if match else None


def new_run(model_dir, name):
    """A folder that no earlier run has."""
    first = os.path.join(model_dir, f"{name}{datetime.now():%Y%m%dT%H%M}")
    later = (f"{first}-{number}" for number in itertools.count(2))
    return next(path for path in itertools.chain([first], later) if not os.path.exists(path))
