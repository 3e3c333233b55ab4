"""What an exported file says of the model that is in it: a dict, ready for JSON."""

import subprocess
from pathlib import Path

import mrcnn
from mrcnn.config_values import plain_values

KEY = "mrcnn"  # its name in files that hold metadata by names
FILE = "mrcnn.json"  # and in those that hold files


class ForeignFileError(ValueError):
    """A file of a known format that has none: others than `export` wrote it."""

    def __init__(self, path, missing):
        super().__init__(f"{path} was not written by mrcnn export: it has no {missing}")


def metadata_of(model, name, sizes, batch, full_masks):
    """Describes a `DetectionModel` that is exported.

    Args:
        model: `DetectionModel`.
        name: of the format.
        sizes: list of (height, width) that the file takes, or None for any.
        batch: int, images that it takes at once, or None for any number.
        full_masks: bool, whether masks are pasted.
    """
    config = plain_values(model.config)
    scheme = model.keypoint_scheme
    return {
        "format": name,
        "version": mrcnn.__version__,
        "commit": _commit(),
        "preset": model.config.PRESET,
        "precision": model.config.PRECISION,
        "class_names": model.class_names,
        "keypoints": None if scheme is None else scheme.to_json(),
        "sizes": sizes and [list(size) for size in sizes],
        "batch": batch,
        "full_masks": full_masks,
        # Functions are in the file as what they built.
        "config": {k: x for k, x in config.items() if not str(x).startswith("<")},
    }


def _commit():
    """The commit of this code where it runs in a clone of its repository, else None."""
    root = Path(mrcnn.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
