"""Files beyond this machine, in a fixed order, as many names in memory as one request brings.

A bucket may hold ten million names in one folder, and fsspec's `ls` a dict of a kilobyte for each.
So buckets are asked page after page; of other file systems the names of one folder are kept.
"""

import math
import os
import re

from mrcnn.files.remote import errors_of, file_system, is_remote

_SIGNS = re.compile(r"[*?\[]")


def files_below(system, place):
    """Yields the paths of the files that a folder has in it and below, or that a pattern matches.

    Args:
        system: fsspec file system.
        place: str, a folder, of which hidden ones below are left out; or a pattern with `*`, `**`.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    first = _SIGNS.search(place)
    if first is None:
        yield from _walk(system, place.rstrip("/"), math.inf, lambda path: not _is_hidden(path))
        return
    from fsspec.utils import glob_translate

    root = place[: first.start()].rpartition("/")[0]
    depth = math.inf if "**" in place else place.count("/", first.start())
    yield from filter(re.compile(glob_translate(place)).match, _walk(system, root, depth))


def pages(system, folder):
    """Yields what a folder has in it, page after page: sorted lists of (path, is a folder).

    Args:
        system: fsspec file system.
        folder: str, without "/" at its end.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    kind = _kind(system)
    if not folder or kind not in _PAGES:
        yield sorted(
            (each["name"].rstrip("/"), each["type"] == "directory")
            for each in system.ls(folder, detail=True)
        )
        return
    bucket, key, _ = system.split_path(folder)
    is_empty = True
    for folders, files in _PAGES[kind](system, bucket, f"{key}/" if key else ""):
        found = [(f"{bucket}/{name.rstrip('/')}", True) for name in folders]
        found += [(f"{bucket}/{name}", False) for name in files if not name.endswith("/")]
        is_empty = is_empty and not folders and not files
        yield sorted(found)
    if key and is_empty:
        raise FileNotFoundError(folder)


def is_of_one_file(path, error):
    """Whether an error of reading a file is that file's alone: of a remote one, its folder lists.

    Args:
        path: str, of the file, here or remote.
        error: OSError.
    """
    if isinstance(error, FileNotFoundError) or not is_remote(path):
        return isinstance(error, FileNotFoundError)
    system, place = file_system(path)
    if _kind(system) == "http":  # it lists nothing; what it says of one address it says alone
        status = getattr(error.__cause__, "status", 0)
        return 400 <= status < 500 and status != 429  # too many requests
    try:
        with errors_of(path):
            next(pages(system, place.rpartition("/")[0]), None)
    except OSError:
        return False
    return True


def _walk(system, folder, depth, enters=lambda path: True):
    for page in pages(system, folder):
        for path, is_folder in page:
            if not is_folder:
                yield path
            elif depth > 0 and path != folder and enters(path):
                yield from _walk(system, path, depth - 1, enters)


def _kind(system):
    return system.protocol if isinstance(system.protocol, str) else system.protocol[0]


def _is_hidden(path):
    return os.path.basename(path).startswith(".")


def _s3_pages(system, bucket, prefix):
    """Yields (folders, files) of s3fs, keys of the bucket; a thousand of them."""
    asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
    while True:
        page = system.call_s3("list_objects_v2", **asked)
        folders = [each["Prefix"] for each in page.get("CommonPrefixes", ())]
        yield folders, [each["Key"] for each in page.get("Contents", ())]
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def _gs_pages(system, bucket, prefix):
    """As `_s3_pages`, of gcsfs."""
    asked = {"delimiter": "/", "json_out": True} | ({"prefix": prefix} if prefix else {})
    while True:
        page = system.call("GET", "b/{}/o", bucket, **asked)
        yield page.get("prefixes", []), [each["name"] for each in page.get("items", ())]
        if "nextPageToken" not in page:
            return
        asked["pageToken"] = page["nextPageToken"]


_PAGES = {"s3": _s3_pages, "gs": _gs_pages}
