"""`convert`: a data set in another format."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.writing import items_of
from mrcnn.data.formats import HOLDS_STUFF, WITH_KEYPOINTS, WRITERS
from mrcnn.files.folders import RemoteFolder, uploaded_folder
from mrcnn.files.remote import is_remote, local_path


def convert(dataset, folder, format, notes=None, **options):
    """Writes a data set, pictures and annotations, in a format; whole or not at all.

    Masks read back are the same pixel by pixel. What the format cannot hold, such as crowds,
    keypoints or objects one over another, is told.

    Args:
        dataset: a prepared `Dataset` of any kind: what `mrcnn.data.load` returned, or your own.
        folder: path, new or empty; here, or remote, such as s3://bucket/pets: then all files lie in
            a temporary folder of this machine until they are copied.
        format: key of `mrcnn.data.formats.WRITERS`.
        notes: `mrcnn.data.annotations.notes.Notes`; by default one that warns.
        **options: of the format: `shard_mb` of shards.

    Returns:
        `pathlib.Path` of the folder; str of a remote one.

    Raises:
        OSError: it cannot be written, or not be copied.
        ValueError: an unknown format, a folder with files in it, an annotation that cannot be used.

    Example:

    >>> mrcnn.data.convert(mrcnn.data.load("balloon"), "balloon_coco", "coco")  # doctest: +SKIP
    """
    warns, notes = notes is None, notes or Notes()
    things, stuff = dataset.thing_names[1:], dataset.class_names[len(dataset.thing_names) :]
    folder = write(items_of(dataset), folder, things, stuff, format, notes, **options)
    if warns:
        notes.warn(folder)
    return folder


def write(items, folder, things, stuff, format, notes, **options):
    """Writes pictures in a format, whole or not at all; returns the folder.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        things, stuff: lists of the names of classes, without the background.
        folder, format, notes, **options: as of `convert`.
    """
    if format not in WRITERS:
        raise ValueError(f"expected a format of {', '.join(WRITERS)}, received {format!r}")
    names = [*things, *stuff]
    if format not in HOLDS_STUFF:
        names = things
        for name in stuff:
            notes.leave_out("stuff, which the format cannot hold, is left out", name)
    class_names = list(dict.fromkeys(names))  # of two sources, some are the same
    folder = new_folder(folder)
    with _appearing(folder) as unfinished:
        told = _telling_of_keypoints(items, format, notes)
        WRITERS[format](told, unfinished, class_names, notes, **options)
        notes.rename(unfinished, folder)
    return folder


@contextlib.contextmanager
def _appearing(folder):
    """A folder of this machine to write in, whose files are at `folder` then, or none of them."""
    if is_remote(folder):
        with uploaded_folder(folder, whole=True) as unfinished:
            yield Path(unfinished)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield unfinished
        if folder.exists():
            folder.rmdir()
        unfinished.chmod(0o777 & ~_umask())
        os.replace(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _telling_of_keypoints(items, format, notes):
    """Yields items, and tells of those whose keypoints will not be written."""
    for item in items:
        points = [each.extra.get("keypoints", ()) for each in item.picture.instances]
        if format not in WITH_KEYPOINTS and any(map(np.any, points)):
            formats = " and ".join(WITH_KEYPOINTS)
            what = f"keypoints are left out, which {formats} alone are written with"
            notes.leave_out(what, item.picture.name)
        yield item


def new_folder(path):
    """A path at which there is nothing yet, or an empty folder, as `pathlib.Path`; a remote one as
    str.

    Raises:
        ValueError: there is something.
    """
    if is_remote(path):
        folder = RemoteFolder(path)
        path, taken = folder.path, folder.names() or folder.folders()
    else:
        path = Path(local_path(path))
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if taken:
        raise ValueError(f"{path}: expected a new or empty folder to write to")
    return path


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
