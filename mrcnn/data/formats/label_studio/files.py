"""Where the pictures of Label Studio's tasks lie: it exports references, not files."""

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from mrcnn.data.annotations.files import has_picture, picture_at
from mrcnn.image.reading import SUFFIXES

_PREFIX = re.compile(r"^[0-9a-f]{4,}-")  # what Label Studio puts before the name of an upload


def reference_of(data, where):
    """The reference to the picture in the `data` of a task: `image`, or the only picture there.

    Raises:
        ValueError: there is none, or several.
    """
    data = data if isinstance(data, dict) else {}
    found = [x for x in data.values() if isinstance(x, str) and _is_picture(x)]
    named = data.get("image")
    if isinstance(named, str) and named.strip():
        found = [named]
    if len(found) != 1:
        raise ValueError(
            f"{where}: expected one picture in its data, received {str(data)[:80]}; call it 'image'"
        )
    if found[0].startswith("data:"):
        raise ValueError(
            f"{where}: expected the name of a picture, received the picture itself in base64; save "
            "it as a file and name that"
        )
    return found[0]


def _is_picture(text):
    return PurePosixPath(name_of(text)).suffix.lower() in SUFFIXES


def name_of(reference):
    """The path that a reference means: of an upload, a local file, a URL, or a path as it is."""
    try:
        url = urlsplit(reference)
    except ValueError:
        return reference
    local = parse_qs(url.query).get("d")
    if local:  # /data/local-files/?d=folder/name.jpg
        return local[0]
    return unquote(url.path) if "://" in reference or url.path.startswith("/data/") else reference


def find_picture(reference, folders, where):
    """The file that a reference means, and its size; of an upload with its prefix or without.

    Args:
        reference: str, as `reference_of` returns it.
        folders: list of paths that are searched, in this order.
        where: str, what a message calls the task.

    Returns, Raises: as `mrcnn.data.annotations.files.picture_at`.
    """
    name = name_of(reference)
    names = [name]
    if "upload/" in name:
        names.append(_PREFIX.sub("", re.split(r"[/\\]", name)[-1]))
    for each in names:
        for folder in folders:
            if has_picture(folder, each):
                return picture_at(folder, each, where)
    base = re.split(r"[/\\]", name)[-1]
    return picture_at(folders[0], base, f"{where} (images=... says in which folder to look)")
