"""The pictures that annotations name."""

import os
import re
from pathlib import Path

from mrcnn.image.reading import SUFFIXES, image_size

LONGEST = 2**16  # pixels; a longer side is a slip, and masks of it take all memory


def side_of(value):
    """A side in pixels, of a number or text; None for anything else, or longer than `LONGEST`."""
    try:
        side = None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        side = None
    return side if side and 0 < side <= LONGEST else None


def picture_at(folder, name, where):
    """The file that annotations call `name`, and its size.

    Args:
        folder: path of the folder of the pictures.
        name: str, as written: also with the backslashes of Windows, or another machine's folders,
            which are left out where there is no such file.
        where: str, what a message calls the entry.

    Returns:
        `pathlib.Path`, and (height, width).

    Raises:
        ValueError: there is no such picture, or it cannot be read.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{where}: expected the name of a picture, received {name!r}")
    candidates = _places(folder, name)
    path = next((path for path in candidates if os.path.isfile(path)), candidates[1])
    try:
        return path, image_size(path)
    except ValueError as error:
        raise ValueError(
            f"{where}: names {name}, but {path} cannot be read ({error}); put the picture there, "
            "or remove the entry"
        ) from None


def has_picture(folder, name):
    """Whether `picture_at` finds a file."""
    return any(os.path.isfile(path) for path in _places(folder, name))


def _places(folder, name):
    """Where a picture may lie: as written, with this machine's separators, without folders."""
    parts = [part for part in re.split(r"[/\\]", name.strip()) if part not in ("", ".")]
    return [Path(folder, name), Path(folder, *parts), Path(folder, *parts[-1:])]


def annotated_size(height, width, size):
    """The size (height, width) that annotations give, where they give one that can be meant.

    Args:
        height, width: as written: a number, a text, or anything.
        size: (height, width) of the picture, which is taken for what is missing, no whole number
            above 0, or more than four times as long.
    """
    try:
        sides = int(height), int(width)
    except (TypeError, ValueError, OverflowError):
        return size
    return sides if min(sides) > 0 and max(sides) <= 4 * max(size) else size


def pictures_in(folder):
    """The picture files of a folder, sorted, those of its folders left out."""
    return sorted(x for x in Path(folder).iterdir() if x.suffix.lower() in SUFFIXES)
