"""What a cloud refuses for a moment is asked again, so that it ends no long run."""

import errno
import functools
import time

PAUSES = (1, 4, 16)  # seconds before each further try
_FULL = (errno.ENOSPC, errno.EDQUOT)


def patient(call):
    """A function that tries again, with pauses, where it raised an `OSError` that may pass.

    What passes by no waiting is raised at once: a file that is not there, a refusal, a full disk.

    Args:
        call: function that may be called again.

    Example:

    >>> patient(lambda: 1)()
    1
    """

    @functools.wraps(call)
    def called(*args, **options):
        for pause in PAUSES:
            try:
                return call(*args, **options)
            except (FileNotFoundError, PermissionError):
                raise
            except OSError as error:
                if is_full(error):
                    raise
            time.sleep(pause)
        return call(*args, **options)

    return called


def is_full(error):
    """Whether an `OSError` says that a disk of this machine has no room left."""
    return {error.errno, getattr(error.__cause__, "errno", None)} & set(_FULL) != set()
