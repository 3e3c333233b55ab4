"""The pictures that annotations name."""

import contextlib
import os
import re
from pathlib import Path

from PIL import Image

from mrcnn.image.reading import SUFFIXES, image_size

# Of the kinds that Pillow tells apart; the first is that which a file without one gets.
_SUFFIXES_OF = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}

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
    path = Path(folder, found_name(folder, name) or _names_of(name)[1])
    try:
        return path, image_size(path)
    except ValueError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            what = "is missing; put it there"
        else:
            reason = str(error.__cause__ or error).strip().split("\n")[0]
            what = f"cannot be read ({reason}); replace it"
        raise ValueError(f"{where}: names {name}, but {path} {what}, or remove the entry") from None


def has_picture(folder, name):
    """Whether `picture_at` finds a file."""
    return found_name(folder, name) is not None


def found_name(folder, name):
    """The name by which a file that annotations call `name` is in a folder; None without one."""
    names = _names_of(name)
    return next((x for x in names if os.path.isfile(os.path.join(folder, x))), None)


def _names_of(name):
    """What a picture may be called: as written, with this machine's separators, no folders."""
    parts = [part for part in re.split(r"[/\\]", name.strip()) if part not in ("", ".")]
    return [name, "/".join(parts), *parts[-1:]]


def picture_suffix(path):
    """The suffix of a picture file by its content; None of one that is no picture."""
    suffixes = _suffixes_of(path)
    return suffixes[0] if suffixes else None


def true_suffix(path):
    """The suffix that a picture file should have; None where it has it, or is of another kind."""
    suffixes = _suffixes_of(path)
    return suffixes[0] if suffixes and Path(path).suffix.lower() not in suffixes else None


def _suffixes_of(path):
    with contextlib.suppress(Exception), Image.open(path) as picture:
        return _SUFFIXES_OF.get(picture.format)
    return None


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


def files_in(folder, suffixes, deep=False):
    """The files of a folder with one of the suffixes, sorted, without hidden ones.

    macOS leaves `._a.json` beside `a.json` in archives and on foreign disks.

    Args:
        folder: path.
        suffixes: of lower case; those of the files may be of any.
        deep: bool, whether those of the folders in it count too, also behind links.
    """
    found = _below(Path(folder), set()) if deep else Path(folder).iterdir()
    named = (x for x in found if x.suffix.lower() in suffixes and not x.name.startswith("."))
    return sorted(x for x in named if not x.is_dir())


def _below(folder, seen):
    """Yields all paths below a folder; `seen`: real paths of folders, so that no link circles."""
    seen.add(os.path.realpath(folder))
    for path in folder.iterdir():
        yield path
        if path.is_dir() and os.path.realpath(path) not in seen:
            yield from _below(path, seen)


def pictures_in(folder, deep=False):
    """The picture files of a folder, as `files_in`."""
    return files_in(folder, SUFFIXES, deep)
