"""COCO's files of detections, of whichever program."""

import math
from pathlib import Path

from mrcnn.data.annotations.json_files import read_json
from mrcnn.data.annotations.outlines import to_code
from mrcnn.data.formats.coco.annotations import read_annotations, to_id


def read_truth(path):
    """The content of a COCO annotation file, checked and completed: see `read_annotations`."""
    return read_annotations(str(path), str(Path(path).parent)).dataset


def read_results(path):
    """The detections of a COCO result file: a list, each of an image, a class and a score, with a
    box [x, y, width, height] or a run-length code.

    Raises:
        ValueError: names the file and the entry.
    """
    content = read_json(path)
    if not isinstance(content, list):
        kind = "an annotation file" if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: expected a list of detections, received {kind}")
    return [_checked(entry, f"{path}, [{i}]") for i, entry in enumerate(content)]


def _checked(entry, where):
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected a detection, received {str(entry)[:60]}")
    ids = {key: to_id(entry.get(key), f"{where}, {key}") for key in ("image_id", "category_id")}
    if not _is_number(entry.get("score")):
        raise ValueError(f"{where}: expected a score, received {entry.get('score')!r}")
    box, code = entry.get("bbox"), entry.get("segmentation")
    has_box = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
    has_code = isinstance(code, dict) and {"size", "counts"} <= code.keys()
    if not (has_box or has_code):
        raise ValueError(
            f"{where}: expected a bbox [x, y, width, height] or a run-length code as segmentation, "
            f"received {str(box)[:60]} and {str(code)[:60]}"
        )
    if has_code:
        code = to_code(code, None, None, where)
        counts = code["counts"]  # as text, which JSON can hold
        code = {**code, "counts": counts if isinstance(counts, str) else counts.decode()}
        entry = {**entry, "segmentation": code}
    return {**entry, **ids}


def _is_number(value):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) < math.inf
