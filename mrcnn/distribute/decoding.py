"""Pictures decoded ahead of the worker that detects in them, by processes without a model.

Nothing heavy is imported here.
"""

import contextlib

from mrcnn.files.remote import fetched
from mrcnn.image.pages import PageReader

SENT = 2**28  # bytes of a block's decoded pictures that are handed on, at most


def decode(plan, block):
    """Decodes the pictures of a block ahead of the worker that detects in them.

    Args:
        plan: `mrcnn.distribute.plan.Plan`.
        block: int.

    Returns:
        list by file: its pixels; or None where it is for the worker to read: a file of several
        pages, one that cannot be read, and what is beyond `SENT` bytes.
    """
    decoded, size = [], 0
    for path in plan.paths(block):
        pixels = None
        with contextlib.suppress(ValueError, OSError):  # the worker says it again
            if size < SENT:
                pixels = _only_page(path)
        if pixels is not None:
            size += pixels.nbytes
        decoded.append(pixels if size <= SENT else None)
    return decoded


def _only_page(path):
    with fetched(path) as file, PageReader(file) as pages:
        return pages.read(0) if len(pages) == 1 else None
