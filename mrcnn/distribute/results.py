"""Detections in Parquet, read again: beside a ground truth, to score them."""

import json
import os

from mrcnn.distribute.packages import import_pyarrow
from mrcnn.distribute.parts import PART, gaps_of
from mrcnn.distribute.plan import SETTINGS, Plan
from mrcnn.distribute.rows import METADATA, annotations_of
from mrcnn.files.folders import open_folder
from mrcnn.files.remote import fetched, is_remote, without_file_scheme


def is_results(path):
    """Whether a path is a folder that `detect_dataset` wrote into, whether it has finished or not.

    >>> is_results("nowhere")
    False
    """
    if not is_remote(path) and not os.path.isdir(without_file_scheme(path)):
        return False
    folder = open_folder(path)
    return bool(_files(folder)) or folder.has(SETTINGS)


def _files(folder):
    return sorted(name for name in folder.names() if PART.fullmatch(name))


def iterate_rows(path, columns=None):
    """Yields the rows of a folder, a part in memory at a time.

    Args:
        path: of the folder, here or remote.
        columns: list of str, which columns; all by default.

    Yields:
        dict by column, see `mrcnn.distribute.rows`.
    """
    for name in _files(open_folder(path)):
        read = import_pyarrow().parquet.ParquetFile
        with fetched(f"{path}/{name}") as file, read(file) as table:
            for batch in table.iter_batches(1024, columns=columns):
                yield from batch.to_pylist()


def class_names_of(path):
    """The class names of the model whose detections are in a folder, list by class id, or None.

    Raises:
        ValueError: there are none.
    """
    names = _files(open_folder(path))
    if not names:
        raise ValueError(f"{path}: expected detections, found none{_unfinished(path)}")
    with fetched(f"{path}/{names[0]}") as file:
        metadata = import_pyarrow().parquet.read_schema(file).metadata
    return json.loads(metadata[METADATA])["class_names"]


def _unfinished(path):
    """What is to be said of a folder that has not all its detections yet, or nothing."""
    folder = open_folder(path)
    if not folder.has(SETTINGS) or not any(gaps_of(Plan(folder))):
        return ""
    return ": detection has not finished; the same `mrcnn detect` line goes on"


def coco_results_of(path, names, categories):
    """The detections of some pictures as COCO results; all others are passed over.

    Args:
        path: of the folder.
        names: dict of image id -> the picture's file name, or the end of its path: "a.jpg" is the
            picture of `/data/a.jpg`, if there is no second one of that name.
        categories: list of COCO's categories, whose names are those of the model's classes.

    Returns:
        (list of COCO results, dict of image id -> error of pictures in which nothing could be
        detected).

    Raises:
        ValueError: a picture that has no row, or several, or a class that is no category.
    """
    wanted = {}
    for image_id, name in names.items():
        wanted.setdefault(os.path.basename(name), []).append((image_id, name.lstrip("/")))
    ids = {str(each["name"]): each["id"] for each in categories}
    found, errors, of = [], {}, {}
    for row in iterate_rows(path):
        for image_id, name in wanted.get(os.path.basename(row["path"]), ()):
            if not f"/{row['path']}".endswith(f"/{name}"):
                continue
            if of.setdefault(image_id, row["path"]) != row["path"] or row["page"] not in (None, 1):
                raise ValueError(
                    f"{path}: expected one picture {name}, found {of[image_id]} and {row['path']}"
                    + ("" if row["page"] is None else f", page {row['page']}")
                )
            if row["error"] is not None:
                errors[image_id] = row["error"]
            found += _results(row, image_id, ids, path)
    missing = [name for image_id, name in names.items() if image_id not in of]
    if missing:
        raise ValueError(
            f"{path}: expected detections of all {len(names)} pictures of the ground truth, "
            f"{len(missing)} have none, {missing[0]} for example{_unfinished(path)}"
        )
    return found, errors


def _results(row, image_id, ids, path):
    annotations = annotations_of(row)
    for annotation, name in zip(annotations, row["class_names"] or (), strict=True):
        if name not in ids:
            raise ValueError(
                f"{path}: expected classes of the ground truth, such as {next(iter(ids), None)!r}, "
                f"received {name!r}"
            )
        annotation |= {"image_id": image_id, "category_id": ids[name]}
    return annotations
