"""Folders and checkpoints of training runs: `<name><date>T<time>/mask_rcnn_<name>_<epoch>.h5`.

They are found here and remote alike.
"""

import itertools
import os
import re
from datetime import datetime
from pathlib import Path

from mrcnn.files.folders import open_folder
from mrcnn.files.remote import inside, is_remote


def last_checkpoint(model_dir, name):
    """The path of the newest checkpoint of an experiment.

    Args:
        model_dir: str, folder of the runs' folders.
        name: str, of the experiment, in lower case.

    Raises:
        FileNotFoundError: there is none.
    """
    for run in run_folders(model_dir, name):
        found = checkpoints(run)
        if found:
            return found[max(found)]
    raise FileNotFoundError(f"no checkpoint of {name!r} under {open_folder(model_dir).path}")


def run_folders(model_dir, name):
    """Paths of the folders of an experiment's runs, the newest first."""
    pattern = re.compile(re.escape(name) + _STARTED)
    runs = [match for match in map(pattern.fullmatch, open_folder(model_dir).folders()) if match]
    runs.sort(key=lambda match: (match[1], int(match[2] or 1)), reverse=True)
    return [inside(model_dir, run[0]) for run in runs]


def checkpoints(folder):
    """Paths of the checkpoints in a run's folder, by epoch."""
    found = map(_CHECKPOINT.fullmatch, open_folder(folder).names())
    return {int(match[1]): inside(folder, match[0]) for match in found if match}


def newest_checkpoint(folder):
    """The checkpoint of the last epoch in a run's folder, or below it of the run that ran last.

    Raises:
        FileNotFoundError: there is none.
    """
    place, own = open_folder(folder), checkpoints(folder)
    if own:
        return own[max(own)]
    found = {run: checkpoints(inside(folder, run)) for run in place.folders()}
    last = {epochs[max(epochs)]: run for run, epochs in found.items() if epochs}
    if not last:
        raise FileNotFoundError(f"no checkpoint under {place.path}")
    return max(last, key=lambda path: place.modified(f"{last[path]}/{os.path.basename(path)}"))


def best_checkpoint(folder):
    """The weights of a run that scored best, which `BestCheckpoint` writes; None without."""
    names = sorted(open_folder(folder).names())
    return next((inside(folder, name) for name in names if _BEST.fullmatch(name)), None)


def numbered_folder(parent, name, exist_ok=False, make=os.makedirs):
    """Makes a folder that no other run has: `name`, `name2`, `name3`, ...

    Args:
        parent: path of the folder of runs.
        name: str.
        exist_ok: bool, whether `name` may be a folder of a run already.
        make: function that makes a folder, or raises FileExistsError.

    Returns:
        `pathlib.Path`.
    """
    first = Path(parent, name)
    if exist_ok:
        first.mkdir(parents=True, exist_ok=True)
        return first
    for path in itertools.chain([first], (Path(parent, f"{name}{i}") for i in itertools.count(2))):
        try:
            make(path)
        except FileExistsError:
            continue
        return path


# Date and minute of a run; a later one of that minute has a number from 2 on.
_STARTED = r"(\d{8}T\d{4})(?:-(\d+))?"
_CHECKPOINT = re.compile(r"mask_rcnn_.*?(\d+)\.h5")
_BEST = re.compile(r"mask_rcnn_.*_best\.h5")


def run_of(path, name):
    """The run of this machine that a checkpoint of an experiment belongs to: (its folder, epoch),
    or None."""
    if is_remote(path):
        return None
    folder, file = rf"(.*[/\\]{re.escape(name)}{_STARTED})", r"mask_rcnn_[^/\\]*_(\d{4,})\.h5"
    match = re.fullmatch(rf"{folder}[/\\]{file}", os.path.abspath(path))
    return (match[1], int(match[4])) if match else None


def new_run(model_dir, name):
    """A folder that no earlier run has."""
    first = os.path.join(model_dir, f"{name}{datetime.now():%Y%m%dT%H%M}")
    later = (f"{first}-{number}" for number in itertools.count(2))
    return next(path for path in itertools.chain([first], later) if not os.path.exists(path))
