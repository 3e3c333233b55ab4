"""Files that appear whole or not at all."""

import contextlib
import os
import uuid

from mrcnn.files.remote import local_path

UNFINISHED = ".unfinished"  # how the names of files that are being written end


@contextlib.contextmanager
def replaced(path):
    """The path of a file to write beside `path`, which it replaces once it is on the disk.

    If writing fails, nothing is left of it, and what was at `path` is untouched.

    Raises:
        OSError: the file cannot be written, such as on a full disk; the message names `path`.
        ValueError: `path` is not of this machine.

    Example:

    >>> with replaced("weights.h5") as unfinished:  # doctest: +SKIP
    ...     write(unfinished)
    """
    path = os.path.abspath(local_path(path))
    try:
        with appearing(path) as unfinished:
            yield unfinished
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be written: {error}") from error


@contextlib.contextmanager
def appearing(path):
    """As `replaced`, of what comes from elsewhere: errors are those of its source."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # Two machines that share the disk may write the same file at a time.
    unfinished = f"{path}.{uuid.uuid4().hex}{UNFINISHED}"
    try:
        yield unfinished
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            os.remove(unfinished)
