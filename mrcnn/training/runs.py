"""Folders and checkpoints of training runs: `<name><date>T<time>/mask_rcnn_<name>_<epoch>.h5`."""

import datetime
import os
import re


def last_checkpoint(model_dir, name):
    """The path of the newest checkpoint of an experiment.

    Args:
        model_dir: str, folder of the runs' folders.
        name: str, of the experiment, in lower case.

    Raises:
        FileNotFoundError: there is none.
    """
    pattern = re.compile(re.escape(name) + r"\d{8}T\d{4}")
    folders = os.listdir(model_dir) if os.path.isdir(model_dir) else []
    for folder in sorted(filter(pattern.fullmatch, folders), reverse=True):
        folder = os.path.join(model_dir, folder)
        found = [(int(m[1]), n) for n in os.listdir(folder) if (m := _CHECKPOINT.fullmatch(n))]
        if found:
            return os.path.join(folder, max(found)[1])
    raise FileNotFoundError(f"no checkpoint of {name!r} under {os.path.abspath(model_dir)}")


_CHECKPOINT = re.compile(r"mask_rcnn_.*?(\d+)\.h5")


def run_of(path, name):
    """The run that a checkpoint of an experiment belongs to: (its folder, epoch), or None."""
    pattern = rf"(.*[/\\]{re.escape(name)}\d{{8}}T\d{{4}})[/\\]mask_rcnn_[^/\\]*_(\d{{4,}})\.h5"
    match = re.fullmatch(pattern, os.path.abspath(path))
    return (match[1], int(match[2])) if match else None


def new_run(model_dir, name):
    """A folder that no earlier run uses: names have minutes, so a taken one is put off."""
    now = datetime.datetime.now()
    while True:
        folder = os.path.join(model_dir, f"{name}{now:%Y%m%dT%H%M}")
        if not os.path.exists(folder):
            return folder
        now += datetime.timedelta(minutes=1)
