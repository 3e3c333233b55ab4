"""COCO's annotation files as the many tools that write them do, in the form that pycocotools takes.

What is unambiguous is taken, whatever its form: ids as text, outlines as pairs of points, missing
sizes, boxes and areas. What is left out is told by a warning that names the entries. What can be
meant in several ways, or in none, is an error that names its entry. Outlines are checked here, so
that none of them stops a training.
"""

import contextlib
import io
import itertools
import math
import os
import re

import numpy as np
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from mrcnn.data.annotations.files import found_name, side_of
from mrcnn.data.annotations.json_files import read_json
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.outlines import check_numbers, outline_parts, to_code
from mrcnn.data.formats.coco.keypoints import check_keypoints
from mrcnn.image.reading import image_size

_CROWD = {0: 0, 1: 1, None: 0, "0": 0, "1": 1, "false": 0, "true": 1, "": 0}


def read_annotations(path, image_dir, notes=None):
    """Reads and checks an annotation file.

    Args:
        path: str, a JSON file.
        image_dir: str, folder of its pictures: for sizes that the file lacks, and for file names
            with backslashes.
        notes: `Notes`; by default one that raises errors, and warns of what is left out.

    Returns:
        `pycocotools.coco.COCO` with ids as the file has them (whole numbers as int), `width`,
        `height`, `iscrowd`, `area` and `bbox` of each entry, and outlines as polygons
        [x, y, x, y, ...] or run-length codes; an empty list where there is a box alone.

    Raises:
        ValueError: names the file and the entry.
    """
    warns, notes = notes is None, notes or Notes()
    data = read_lists(path)
    categories = _categories(path, data, notes)
    images = _images(path, data, image_dir, notes)
    annotations = _annotations(path, data, images, categories, notes)
    if warns:
        notes.warn(path)
    coco = COCO()
    coco.dataset = {
        **data,
        "images": list(images.values()),
        "annotations": annotations,
        "categories": list(categories.values()),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def read_lists(path, required=("images",)):
    """The content of a file of COCO's, checked for its lists; what is not `required` may lack.

    Raises:
        ValueError: names the file.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not data.keys() >= set(required):
        what = f"one with {list(data)[:5]}" if isinstance(data, dict) else type(data).__name__
        hint = " Results of detections are no annotations." if isinstance(data, list) else ""
        raise ValueError(
            f"{path}: expected an object with 'images', 'annotations' and 'categories', received "
            f"{what}.{hint}"
        )
    for key in ("images", "annotations", "categories"):
        entries = data.get(key, [])
        wrong = not isinstance(entries, list) or not all(isinstance(x, dict) for x in entries)
        if wrong:
            raise ValueError(f"{path}: expected {key!r} to be a list of objects")
    return data


def to_id(value, where):
    """An id of one form: 7, 7.0 and "7" are 7."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9]\d*)", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"{where}: expected an id, received {value!r}")
    return value


def _categories(path, data, notes):
    found = {}
    for i, entry in enumerate(data.get("categories", [])):
        with notes.entry():
            where = f"{path}, categories[{i}]"
            key = to_id(entry.get("id"), where)
            entry = {**entry, "id": key, "name": str(entry.get("name") or key)}
            if found.setdefault(key, entry)["name"] != entry["name"]:
                raise ValueError(
                    f"{where}: id {key} is that of {found[key]['name']!r} and of {entry['name']!r}"
                )
    return found


def _images(path, data, image_dir, notes):
    found, written = {}, {}  # by id; by file what the entry that has it calls it
    for i, entry in enumerate(data["images"]):
        with notes.entry():
            image = _image(entry, image_dir, f"{path}, images[{i}]", found, written)
            found[image["id"]] = image
    return found


def _image(entry, image_dir, where, found, written):
    """An image's entry with its id, file name and size, which agree with those before it."""
    key, name = to_id(entry.get("id"), where), entry.get("file_name")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{where}: expected a 'file_name', received {name!r}")
    as_written, name = name, _file_name(image_dir, name, where)
    if found.get(key, {}).get("file_name", name) != name:
        raise ValueError(f"{where}: id {key} is that of {found[key]['file_name']} and of {name}")
    if written.setdefault(name, as_written) != as_written:
        raise ValueError(
            f"{where}: {as_written!r} and {written[name]!r} would both be {name} in "
            f"{image_dir}. Write file names with / from that folder."
        )
    sides = [side_of(entry.get(side)) for side in ("height", "width")]
    if None in sides:
        try:
            sides = list(image_size(os.path.join(image_dir, name)))
        except ValueError as error:
            raise ValueError(
                f"{where}: it has no width and height, and the picture tells none: {error}"
            ) from error
    known = found.get(key)
    if known and sides != [known["height"], known["width"]]:
        raise ValueError(
            f"{where}: image {key} has the height and width {sides}, and "
            f"{[known['height'], known['width']]} before"
        )
    return {**entry, "id": key, "file_name": name, "height": sides[0], "width": sides[1]}


def _file_name(image_dir, name, where):
    """The name by which a file is there; as written where it is not."""
    found = found_name(image_dir, name)
    if found or "\\" not in name:
        return found or name
    raise ValueError(
        f"{where}: file_name {name!r} is a path of Windows, and {image_dir} has no file of that "
        "name. Write file names with / from that folder."
    )


def _annotations(path, data, images, categories, notes):
    found = []
    entries = data.get("annotations", [])
    for entry, number in zip(entries, _own_ids(path, entries, notes), strict=True):
        with notes.entry():
            label = number if entry.get("id") is None else entry["id"]
            name = f"{path}: Annotation {label} of image {entry.get('image_id')}"
            image_id = to_id(entry.get("image_id"), f"{name}, image_id")
            category_id = to_id(entry.get("category_id"), f"{name}, category_id")
            if image_id not in images:
                notes.leave_out("annotations of images that are not listed are left out", label)
            elif category_id not in categories:
                notes.leave_out("annotations of categories that are not listed are left out", label)
            else:
                facts = {"id": number, "image_id": image_id, "category_id": category_id}
                facts["iscrowd"] = _crowd(entry.get("iscrowd"), name)
                check_keypoints({**entry, **facts}, categories, name)
                outline = _outline(entry, images[image_id], name, label, notes)
                if outline is not None:
                    entry = {**entry, **facts, "segmentation": outline}
                    found.append(_with_box(entry, images[image_id], name))
    return found


def _own_ids(path, entries, notes):
    """A number for each annotation that no other has: that of the file where it has one."""
    numbers = [None] * len(entries)
    for i, entry in enumerate(entries):
        with notes.entry():
            if entry.get("id") is not None:
                numbers[i] = to_id(entry["id"], f"{path}, annotations[{i}]")
    fresh = itertools.count(1 + max((n for n in numbers if isinstance(n, int)), default=0))
    used = set()
    for number in numbers:
        if number in used or not isinstance(number, int):
            if number is not None:
                notes.leave_out("annotations have a text or the id of another, and get one", number)
            number = next(fresh)
        used.add(number)
        yield number


def _crowd(value, where):
    flag = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(flag, (int, float, str, type(None))) or flag not in _CROWD:
        raise ValueError(f"{where}: expected iscrowd 0 or 1, received {value!r}")
    return _CROWD[flag]


def _outline(entry, image, name, label, notes):
    """An annotation's checked outline: polygons, a code, or [] of one that has a box alone; None
    where nothing is left of it."""
    value = entry.get("segmentation")
    if not value:
        if _is_box(entry.get("bbox")):
            return []
        raise ValueError(
            f"{name}: expected polygons or a run-length code, received {value!r} as its "
            "segmentation. Remove the annotation, or draw the object's outline."
        )
    parts = outline_parts(value, name)
    kept = [part for part in parts if isinstance(part, dict) or len(part) >= 6]
    if len(kept) < len(parts):
        notes.leave_out("outlines of fewer than three points are left out, of annotations", label)
    if not any(isinstance(part, dict) for part in kept):
        for polygon in kept:
            check_numbers(polygon, name)
        return kept or None
    code = to_code(kept, image["height"], image["width"], name)
    counts = code["counts"]  # as text, which JSON can hold
    return {**code, "counts": counts if isinstance(counts, str) else counts.decode()}


def _with_box(entry, image, name):
    """With `area` and `bbox`, of the outline where the file has no usable ones."""
    box, area, outline = entry.get("bbox"), entry.get("area"), entry["segmentation"]
    has_area = _is_real(area) and area >= 0
    if not outline:
        entry["area"] = area if has_area else float(box[2] * box[3])
    elif not (_is_box(box) and has_area):
        code = to_code(outline, image["height"], image["width"], name)
        entry["area"] = area if has_area else float(mask_utils.area(code))
        entry["bbox"] = box if _is_box(box) else mask_utils.toBbox(code).tolist()
    return entry


def _is_box(value):
    return isinstance(value, list) and len(value) == 4 and all(map(_is_real, value))


def _is_real(value):
    try:
        return not isinstance(value, bool) and math.isfinite(value)
    except (TypeError, OverflowError):  # text; a whole number beyond all floats
        return False
