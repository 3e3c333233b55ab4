"""Data sets that lie beyond this machine: copied once, and again when they have changed."""

import concurrent.futures
import functools
import hashlib
import json
import os
import shutil
import threading

from mrcnn.data.formats.shards.records import INDEX, PLACE, shard_name
from mrcnn.files.cache import default_cache_dir
from mrcnn.files.download import show_progress
from mrcnn.files.folders import RemoteFolder
from mrcnn.files.remote import errors_of, file_system, is_remote, without_file_scheme
from mrcnn.files.replacing import replaced

_THREADS = 8  # files that come at a time
# What tells a version of a file from another, in the listings of file systems.
_MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
_COMPLETE = "complete"  # a file that is written when all others are there


def local_data(path):
    """The file or folder of this machine that a path leads to: itself, or the copy of a remote one.

    A process looks once whether a remote path has changed. Of `mrcnn.data.formats.shards` only the
    index is copied.

    Args:
        path: of an annotation file or of the folder of a data set: here, `file://` too, or remote,
            such as s3://bucket/pets.

    Returns:
        str. A copy lies in `data` of `default_cache_dir()`, in a folder of its place and version.
        One that was interrupted goes on where it stopped.

    Raises:
        OSError: there is no such thing, it cannot be fetched, or the disk has no place for it.

    Example:

    >>> local_data("s3://bucket/pets")  # doctest: +SKIP
    '/home/me/.keras/models/mrcnn/data/93f0c1d2aa51e0b7/pets'
    """
    path = os.fspath(path)
    return _copied(path) if is_remote(path) else without_file_scheme(path)


@functools.cache
def _copied(path):
    system, place = file_system(path)
    place = place.rstrip("/")
    index = f"{place}/{INDEX}"  # of shards, which are read from where they are
    with errors_of(path):
        is_index = system.isfile(index) and system.isfile(f"{place}/{shard_name(0)}")
        found = {index: system.info(index)} if is_index else system.find(place, detail=True)
    files = {key: info for key, info in found.items() if not key.endswith("/")}
    if not files:
        raise FileNotFoundError(
            f"{path}: there is no such file or folder, or nothing in it: expected an annotation "
            "file or the folder of a data set"
        )
    base = os.path.basename(place) or "data"
    sizes = {_name(key, place, path): info["size"] or 0 for key, info in files.items()}
    folder = os.path.join(default_cache_dir(), "data", _version(path, files))
    complete = os.path.join(folder, _COMPLETE)
    if not os.path.exists(complete):
        _fetch(path, os.path.join(folder, base), sizes)
        if is_index:
            _write(os.path.join(folder, base, PLACE), path.rstrip("/"))
        _write(complete, path)
    return os.path.join(folder, base)


def _write(path, text):
    with replaced(path) as unfinished, open(unfinished, "w", encoding="utf-8") as file:
        file.write(text)


def _name(key, place, path):
    """What a file of a listing is called below the path; "" of the one that is at it."""
    name = key[len(place) :].lstrip("/")
    if ".." in name.split("/"):
        raise ValueError(f"{path}: {name} would lie outside of the folder of its copy; rename it")
    return name


def _version(path, files):
    """16 hex digits that change with any file of a listing."""
    listed = [[key, *(str(files[key].get(x)) for x in ("size", *_MARKS))] for key in sorted(files)]
    return hashlib.sha256(json.dumps([path, listed]).encode()).hexdigest()[:16]


def _fetch(path, copy, sizes):
    """Copies files that are not there yet, and tells first how much will come.

    Args:
        path: str, remote, of the folder or the only file.
        copy: str, where that comes to.
        sizes: dict, by the names of the files below the path their bytes.
    """
    places = {name: os.path.join(copy, name) if name else copy for name in sizes}
    missing = [name for name in sizes if _size(places[name]) != sizes[name]]
    total, folder = sum(sizes[name] for name in missing), os.path.dirname(copy)
    print(f"{path}: {len(missing)} files of {total / 1e6:.1f} MB come to {folder}", flush=True)
    os.makedirs(folder, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise OSError(
            f"{path}: {total / 1e9:.1f} GB do not fit {folder}, which has {free / 1e9:.1f} free: "
            "set KERAS_HOME to a larger disk, or `mrcnn convert` them to shards, of which only "
            "the index is copied"
        )
    done, lock, remote = 0, threading.Lock(), RemoteFolder(path)

    def fetch(name):
        nonlocal done
        remote.get(name, places[name])
        with lock:
            done += sizes[name]
            show_progress(done, total)

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(fetch, name) for name in missing]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _size(path):
    return os.path.getsize(path) if os.path.exists(path) else None
