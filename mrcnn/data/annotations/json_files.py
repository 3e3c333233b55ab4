"""JSON files of annotations, and whose they are."""

import functools
import json
import os

from mrcnn.data.annotations.files import files_in

FEW = 8  # JSON files of a folder that are looked into; whose the others are, these tell


def read_json(path):
    """The content of a JSON file; do not change it: it is kept for who asks again.

    Raises:
        ValueError: names the file.
    """
    try:
        state = os.stat(path)
        return _read(str(path), state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ValueError(f"{path}: expected JSON, but it cannot be read: {error}") from error


@functools.lru_cache(maxsize=FEW)
def _read(path, changed, size):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected JSON, but it is none: {error}. Export the annotations anew"
        ) from error


forget = _read.cache_clear


def json_kind(content):
    """The format that the content of a JSON file is of, or None."""
    if isinstance(content, dict):
        keys = content.keys()
        if {"images", "annotations"} <= keys:
            listed = content["annotations"]
            first = listed[0] if isinstance(listed, list) and listed else {}
            if isinstance(first, dict) and "segments_info" in first:
                return "coco_panoptic"
            return "coco" if content.get("categories") else None
        if {"images", "categories"} <= keys and "isthing" in str(content["categories"])[:300]:
            return "coco_panoptic"  # of two channels
        if "shapes" in keys and keys & {"imagePath", "imageData", "imageHeight"}:
            return "labelme"
        if "data" in keys and keys & {"annotations", "completions"}:
            return "label_studio"  # one task alone
        if {"_via_img_metadata"} & keys or {"file", "metadata", "view"} <= keys:
            return "via"
        entries = list(content.values())
        if entries and all(isinstance(x, dict) and "filename" in x for x in entries[:5]):
            return "via"
    first = content[0] if isinstance(content, list) and content else None
    if not isinstance(first, dict):
        return None
    is_task = "data" in first and first.keys() & {"annotations", "completions"}
    is_short = {"annotator", "annotation_id"} <= first.keys()  # JSON-MIN: its reader refuses it
    return "label_studio" if is_task or is_short else None


def json_files(folder, kind, prefix=""):
    """The JSON files of a folder that are of a format, sorted; see `FEW`.

    Beside such a file one that is no JSON counts too: whoever reads it says what is wrong.

    Args:
        folder: `pathlib.Path`.
        kind: str, as `json_kind` returns it.
        prefix: str that their names begin with.
    """
    paths = [x for x in files_in(folder, [".json"]) if x.name.startswith(prefix)]
    kinds = {path: _kind_of(path) for path in paths[:FEW]}
    if kind not in kinds.values():
        return []
    return [x for x in paths if kinds.get(x, kind) in (kind, "broken")]


def is_kind(path, kind):
    """Whether a `pathlib.Path` is a JSON file of a format."""
    return path.suffix.lower() == ".json" and path.is_file() and _kind_of(path) == kind


def _kind_of(path):
    try:
        return json_kind(read_json(path))
    except ValueError:
        return "broken"


def broken_json(path):
    """What is wrong with a JSON file, or with the first of a folder that is none; or None."""
    if path.is_dir():
        paths = files_in(path, [".json"], deep=True)[:FEW]
    else:
        paths = [path] if path.suffix.lower() == ".json" else []
    for each in paths:
        try:
            read_json(each)
        except ValueError as error:
            return str(error)
    return None
