"""Files that appear whole or not at all."""

import contextlib
import os


@contextlib.contextmanager
def replaced(path):
    """The path of a file to write beside `path`, which it replaces once it is on the disk.

    If writing fails, nothing is left of it, and what was at `path` is untouched.

    Raises:
        OSError: the file cannot be written, such as on a full disk; the message names `path`.

    Example:

    >>> with replaced("weights.h5") as unfinished:  # doctest: +SKIP
    ...     write(unfinished)
    """
    path = os.path.abspath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    unfinished = f"{path}.{os.getpid()}.unfinished"
    try:
        yield unfinished
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(unfinished)
