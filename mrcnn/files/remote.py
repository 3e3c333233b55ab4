"""Paths that lead beyond this machine, such as s3://bucket/a.jpg, through fsspec.

`file://` is this machine. Who may read what is told by the environment, as each file system's own
tools take it: AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, or fsspec's configuration files.
"""

import contextlib
import os
import re
import tempfile

from mrcnn.files.retrying import patient

_HERE = ("file://", "local://")


def is_remote(path):
    """Whether a path leads beyond this machine.

    >>> is_remote("s3://bucket/a.jpg"), is_remote("file:///a.jpg"), is_remote("a.jpg")
    (True, False, False)
    """
    path = os.fspath(path)
    return "://" in path and not path.startswith(_HERE)


def without_file_scheme(path):
    """A path of this machine as the system takes it, without `file://`; others as they are."""
    path = os.fspath(path)
    start = next((text for text in _HERE if path.startswith(text)), "")
    return path[len(start) :]


def inside(folder, name):
    """The path of what has a name in a folder, here or remote.

    >>> inside("s3://bucket/runs", "train")
    's3://bucket/runs/train'
    """
    if is_remote(folder):
        return f"{os.fspath(folder).rstrip('/')}/{name}"
    return os.path.join(folder, name)


def is_folder(path):
    """Whether a path, here or remote, leads to a folder."""
    if not is_remote(path):
        return os.path.isdir(without_file_scheme(path))
    system, place = file_system(path)
    with errors_of(path):
        return system.isdir(place)


def local_path(path):
    """As `without_file_scheme`, of what can lie on this machine alone.

    Raises:
        ValueError: the path leads beyond this machine.

    >>> local_path("file:///runs")
    '/runs'
    """
    path = os.fspath(path)
    if is_remote(path):
        raise ValueError(
            f"{path}: expected a folder or file of this machine; write there, and copy it"
        )
    # As pathlib writes s3://bucket and file:///runs.
    if re.match(r"[a-z][a-z0-9+.]+:/(?!/)", path):
        raise ValueError(f"{path}: expected a path of this machine, or a str with :// in it")
    return without_file_scheme(path)


def file_system(path):
    """The fsspec file system of a remote path, and the path as that takes it.

    Raises:
        ImportError: fsspec, or its part for this kind of path, is not installed.
        ValueError: a kind of path that fsspec does not know.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ImportError(f"{path} needs fsspec and its file systems: {_INSTALL}") from None
    try:
        # What others wrote since is to be seen.
        return url_to_fs(os.fspath(path), use_listings_cache=False)
    except ImportError as error:  # its own message names the package
        raise ImportError(f"{path}: {error}; {_INSTALL}") from None
    except ValueError as error:
        raise ValueError(f"{path}: expected a path such as s3://bucket/name: {error}") from None


_INSTALL = (
    "s3:// and gs:// come with pip install 'mrcnn[remote]', or pip install '.[remote]' in a clone; "
    "others with their own package"
)


@contextlib.contextmanager
def errors_of(path):
    """What a file system raises becomes an OSError that names the path.

    Each library of a cloud has errors of its own, which are no OSError.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such file or folder") from error
    except (OSError, ImportError, ValueError) as error:
        if os.fspath(path) in str(error):
            raise
        kind = PermissionError if isinstance(error, PermissionError) else OSError
        raise kind(f"{path}: {_said(error)}") from error
    except Exception as error:
        raise OSError(f"{path}: {_said(error)}") from error


def _said(error):
    name = type(error).__name__
    text = f"{name}: {str(error).strip() or 'no reason given'}"
    if "Credential" in name or isinstance(error, PermissionError):
        text += (
            ". Who may read and write is told by the environment, as its own tools take it: "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS"
        )
    return text


@contextlib.contextmanager
def fetched(path):
    """A file of this machine with what a path leads to: itself, or a copy that is removed after.

    Args:
        path: of a file, here or remote.

    Raises:
        OSError: there is no such file, or it cannot be fetched.

    Example:

    >>> with fetched("s3://bucket/a.jpg") as path:  # doctest: +SKIP
    ...     image = read_image(path)
    """
    if not is_remote(path):
        yield without_file_scheme(path)
        return
    system, place = file_system(path)
    with tempfile.TemporaryDirectory(prefix="mrcnn") as folder:
        # Its own name, for what is told by the suffix.
        copy = os.path.join(folder, os.path.basename(place.rstrip("/")) or "file")
        _fetch(path, system, place, copy)
        yield copy


@patient
def _fetch(path, system, place, copy):
    with errors_of(path):
        system.get_file(place, copy)
