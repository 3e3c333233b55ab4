"""COCO's annotation files as the many tools that write them do, in the form that pycocotools takes.

What is unambiguous is taken, whatever its form: ids as text, outlines as pairs of points, missing
sizes, boxes and areas. What is left out is told by a warning that names the entries. What can be
meant in several ways, or in none, is an error that names its entry.
"""

import collections
import contextlib
import io
import itertools
import json
import os
import re
import warnings

import numpy as np
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from mrcnn.image.reading import image_size

NAMED = 5  # entries that a warning names
_CROWD = {0: 0, 1: 1, None: 0, "0": 0, "1": 1, "false": 0, "true": 1, "": 0}


def read_annotations(path, image_dir):
    """Reads and checks an annotation file.

    Args:
        path: str, a JSON file.
        image_dir: str, folder of its pictures: for sizes that the file lacks, and for file names
            with backslashes.

    Returns:
        `pycocotools.coco.COCO` with ids as the file has them (whole numbers as int), `width`,
        `height`, `iscrowd`, `area` and `bbox` of each entry, and outlines as polygons
        [x, y, x, y, ...] or run-length codes.

    Raises:
        ValueError: names the file and the entry.
    """
    data = _read_json(path)
    left_out = collections.defaultdict(list)
    categories = _categories(path, data)
    images = _images(path, data, image_dir)
    annotations = _annotations(path, data, images, categories, left_out)
    for what, entries in left_out.items():
        more = f" and {len(entries) - NAMED} more" if len(entries) > NAMED else ""
        named = ", ".join(map(str, entries[:NAMED]))
        warnings.warn(f"{path}: {what}: {named}{more}", stacklevel=4)
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


def _read_json(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            data = json.load(file)
    except ValueError as error:
        raise ValueError(
            f"Expected annotations in COCO's format in {path}, but it is no JSON: {error}. Delete "
            "the file and fetch it again."
        ) from error
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        what = f"an object with {list(data)[:5]}" if isinstance(data, dict) else "a list"
        raise ValueError(
            f"{path}: expected an object with 'images', 'annotations' and 'categories', received "
            f"{what}. Results of detections are a list: they are no annotations."
        )
    for key in ("images", "annotations", "categories"):
        entries = data.get(key, [])
        wrong = not isinstance(entries, list) or not all(isinstance(x, dict) for x in entries)
        if wrong:
            raise ValueError(f"{path}: expected {key!r} to be a list of objects")
    return data


def _id(value, where):
    """An id of one form: 7, 7.0 and "7" are 7."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9]\d*)", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"{where}: expected an id, received {value!r}")
    return value


def _categories(path, data):
    found = {}
    for i, entry in enumerate(data.get("categories", [])):
        where = f"{path}, categories[{i}]"
        key = _id(entry.get("id"), where)
        entry = {**entry, "id": key, "name": str(entry.get("name") or key)}
        if found.setdefault(key, entry)["name"] != entry["name"]:
            raise ValueError(
                f"{where}: id {key} is that of {found[key]['name']!r} and of {entry['name']!r}"
            )
    return found


def _images(path, data, image_dir):
    found = {}
    for i, entry in enumerate(data["images"]):
        where = f"{path}, images[{i}]"
        key, name = _id(entry.get("id"), where), entry.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{where}: expected a 'file_name', received {name!r}")
        name = _file_name(image_dir, name, where)
        if found.get(key, {}).get("file_name", name) != name:
            raise ValueError(
                f"{where}: id {key} is that of {found[key]['file_name']} and of {name}"
            )
        sides = [_side(entry.get(side)) for side in ("height", "width")]
        if None in sides:
            try:
                sides = image_size(os.path.join(image_dir, name))
            except ValueError as error:
                raise ValueError(
                    f"{where}: it has no width and height, and the picture tells none: {error}"
                ) from error
        found[key] = {**entry, "id": key, "file_name": name, "height": sides[0], "width": sides[1]}
    return found


def _side(value):
    """A side in pixels, of a number or text; None for anything else."""
    try:
        side = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return side if side > 0 else None


def _file_name(image_dir, name, where):
    """The name of a file; of one with backslashes that which exists."""
    if "\\" not in name or os.path.exists(os.path.join(image_dir, name)):
        return name
    parts = name.replace("\\", "/").lstrip("./").split("/")
    for candidate in ("/".join(parts), parts[-1]):
        if os.path.exists(os.path.join(image_dir, candidate)):
            return candidate
    raise ValueError(
        f"{where}: file_name {name!r} is a path of Windows, and {image_dir} has no file of that "
        "name. Write file names with / from that folder."
    )


def _annotations(path, data, images, categories, left_out):
    found, used, entries = [], set(), data.get("annotations", [])
    fresh = itertools.count(
        1 + max((e["id"] for e in entries if _is_number(e.get("id"))), default=0)
    )
    for i, entry in enumerate(entries):
        number = entry.get("id")
        label = f"[{i}]" if number is None else number
        where = f"{path}, annotation {label}"
        image_id = _id(entry.get("image_id"), f"{where}, image_id")
        category_id = _id(entry.get("category_id"), f"{where}, category_id")
        if image_id not in images:
            left_out["annotations of images that are not listed are left out"].append(label)
            continue
        if category_id not in categories:
            left_out["annotations of categories that are not listed are left out"].append(label)
            continue
        if not _is_number(number) or number in used:
            if number is not None:
                left_out["annotations without an id of their own are given one"].append(label)
            number = next(fresh)
        used.add(number)
        outline = _outline(entry, image_id, label, images[image_id], left_out)
        if outline is not None:
            facts = {"id": number, "image_id": image_id, "category_id": category_id}
            facts |= {"iscrowd": _crowd(entry.get("iscrowd"), where), "segmentation": outline}
            found.append(_with_box({**entry, **facts}, images[image_id]))
    return found


def _is_number(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _crowd(value, where):
    flag = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(flag, (int, str, type(None))) or flag not in _CROWD:
        raise ValueError(f"{where}: expected iscrowd 0 or 1, received {value!r}")
    return _CROWD[flag]


def _outline(entry, image_id, label, image, left_out):
    """Polygons or a run-length code; None where nothing is left of them."""
    value = entry.get("segmentation")
    name = f"Annotation {label} of image {image_id}"
    if not value:
        raise ValueError(
            f"{name}: expected polygons or a run-length code, received {value!r} as its "
            "segmentation. Remove the annotation, or draw the object's outline."
        )
    parts = outline_parts(value, name)
    kept = [part for part in parts if isinstance(part, dict) or len(part) >= 6]
    if len(kept) < len(parts):
        left_out["outlines of fewer than three points are left out, of annotations"].append(label)
    if not kept:
        return None
    if any(isinstance(part, dict) for part in kept):
        return to_code(kept, image["height"], image["width"], name) if len(kept) > 1 else kept[0]
    return kept


def _with_box(entry, image):
    """With `area` and `bbox`, of the outline where the file has none."""
    box = entry.get("bbox")
    has_box = isinstance(box, list) and len(box) == 4 and None not in box
    if not has_box or not isinstance(entry.get("area"), (int, float)):
        name = f"Annotation {entry['id']} of image {entry['image_id']}"
        code = to_code(entry["segmentation"], image["height"], image["width"], name)
        entry["area"] = float(mask_utils.area(code))
        entry["bbox"] = box if has_box else mask_utils.toBbox(code).tolist()
    return entry


def outline_parts(value, name):
    """The parts of an outline: list of polygons [x, y, x, y, ...] and of run-length codes (dict).

    Args:
        value: a `segmentation`: one polygon or code, or a list of them at any depth; a polygon is
            a list of numbers or of [x, y]; all that may be JSON in a text.
        name: str, what an error calls the annotation.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(
                f"{name}: expected polygons, received the text {value[:40]!r}"
            ) from None
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name}: expected polygons, received {str(value)[:40]}")
    if not isinstance(value[0], (list, dict, str)):
        if len(value) % 2:
            raise ValueError(f"{name}: expected x and y in turn, received {len(value)} numbers")
        return [value]
    pairs = all(isinstance(x, list) and len(x) == 2 for x in value)
    if pairs and len(value) >= 3 and not any(isinstance(x[0], list) for x in value):
        return [[number for pair in value for number in pair]]
    return [part for item in value for part in outline_parts(item, name)]


def to_code(segmentation, height, width, name):
    """The run-length code of an outline, the union of its parts; a code brings its own size.

    Args:
        segmentation: see `outline_parts`.
        height, width: of the image; what lies far outside is cut off.
        name: str, what an error calls the annotation.

    Returns:
        dict: `size` [height, width] and `counts`, compressed.

    Raises:
        ValueError: a coordinate is no finite number, or a code does not fill its size.
    """
    codes, polygons = [], []
    for part in outline_parts(segmentation, name) if segmentation else ():
        if isinstance(part, dict):
            codes.append(_checked_code(part, name))
        elif len(part) >= 6:  # pycocotools takes four numbers for a box; two points have no area
            polygon = _checked_polygon(part, height, width, name)
            polygons += [polygon] if len(polygon) >= 6 else []
    codes += mask_utils.frPyObjects(polygons, height, width) if polygons else []
    if not codes:
        return mask_utils.encode(np.zeros((height, width), np.uint8, order="F"))
    if len({tuple(code["size"]) for code in codes}) > 1:
        sizes = [list(code["size"]) for code in codes]
        raise ValueError(f"{name}: expected parts of one size, received {sizes}")
    return codes[0] if len(codes) == 1 else mask_utils.merge(codes)


def _checked_polygon(part, height, width, name):
    try:
        numbers = np.asarray(part, np.float64)
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name}: expected finite coordinates, received {str(part)[:80]}")
    far = 2 * max(height, width)
    if np.abs(numbers).max() <= far:
        return part
    # pycocotools takes memory for each pixel that an outline passes, outside the image too.
    return _cut(numbers.reshape(-1, 2), -far, far).ravel().tolist()


def _cut(points, low, high):
    """The part of a polygon [N, 2] within low..high of both axes (Sutherland and Hodgman 1974)."""
    for axis in (0, 1):
        for bound, sign in ((low, 1), (high, -1)):
            kept = []
            for start, end in zip(np.roll(points, 1, axis=0), points, strict=True):
                inside = sign * (np.array([start[axis], end[axis]]) - bound) >= 0
                if inside[0] != inside[1]:
                    share = (bound - start[axis]) / (end[axis] - start[axis])
                    kept.append(start + share * (end - start))
                if inside[1]:
                    kept.append(end)
            points = np.array(kept).reshape(-1, 2)
    return points


def _checked_code(code, name):
    size, counts = code.get("size"), code.get("counts")
    try:
        height, width = (int(side) for side in size)
        runs = counts if isinstance(counts, list) else _runs(counts)
        full = all(run >= 0 for run in runs) and sum(runs) == height * width
    except (TypeError, ValueError, IndexError):
        full = False
    if not full:
        raise ValueError(
            f"{name}: expected a run-length code whose runs fill its size {size}, received "
            f"{str(counts)[:60]}"
        )
    return mask_utils.frPyObjects(code, height, width) if isinstance(counts, list) else code


def _runs(counts):
    """The runs of a compressed code: 5 bits a character, from the third run on differences."""
    text = counts.encode() if isinstance(counts, str) else counts
    runs, place = [], 0
    while place < len(text):
        value = shift = 0
        more = True
        while more:
            character = text[place] - 48
            value |= (character & 31) << shift
            shift, place, more = shift + 5, place + 1, character & 32
        if character & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
