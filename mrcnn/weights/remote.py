"""Weight files that lie beyond this machine: copied once, and again when they have changed."""

import hashlib
import os

from mrcnn.files.remote import errors_of, file_system, inside, is_remote, without_file_scheme
from mrcnn.files.replacing import replaced
from mrcnn.weights.fetching import default_cache_dir
from mrcnn.weights.file_config import CONFIG_FILE


def local_weights(path):
    """The file of this machine that a path leads to: itself, or the copy of a remote one.

    Args:
        path: str, a path here, `file://` too, or remote, such as s3://bucket/mine.h5; or a name of
            public weights, which stays as it is.

    Returns:
        str. A copy lies in `default_cache_dir()`, below a folder of its place and its version.

    Raises:
        OSError: there is no such file, or it cannot be fetched.
        ValueError: a TensorFlow checkpoint, which is several files.
    """
    if not is_remote(path):
        return without_file_scheme(path)
    if path.endswith(".index"):
        raise ValueError(f"{path}: expected weights in one file; copy this checkpoint's files here")
    copy = local_copy(path)
    beside = inside(path.rpartition("/")[0], CONFIG_FILE)
    system, place = file_system(beside)
    with errors_of(beside):
        if system.isfile(place):  # of a run, with what it held out
            _copy(system, place, os.path.join(os.path.dirname(copy), CONFIG_FILE))
    return copy


def local_copy(path):
    """The copy of a remote file, below `default_cache_dir()`; made again when it has changed.

    Raises:
        OSError: there is no such file, or it cannot be fetched.
    """
    system, place = file_system(path)
    with errors_of(path):
        version = f"{path} {system.ukey(place)}"
        name = hashlib.sha256(version.encode()).hexdigest()[:16]
        copy = os.path.join(default_cache_dir(), "remote", name, os.path.basename(place))
        _copy(system, place, copy)
    return copy


def _copy(system, place, path):
    """Copies a file unless it is there."""
    if not os.path.exists(path):
        with replaced(path) as unfinished:
            system.get_file(place, unfinished)
