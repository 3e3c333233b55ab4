"""`ViaDataset`: what the VGG Image Annotator exports and saves, versions 1, 2 and 3."""

import csv
import io
import json
import math

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.files import files_in, picture_at
from mrcnn.data.annotations.instances import Instance, Picture
from mrcnn.data.annotations.json_files import is_kind, json_files, read_json
from mrcnn.data.annotations.shapes import box_of, circle, ellipse, ring, stroke
from mrcnn.data.annotations.subsets import by_folder
from mrcnn.data.annotations.text_files import read_text
from mrcnn.data.annotations.writing import ring_of, save_picture
from mrcnn.data.class_names import NAMELESS

LONGEST_FIELD = 2**27  # characters of a field of a CSV file; Python's own is some 10000 points
CROWD = "iscrowd"  # an attribute: "1" for a crowd
_EXPORT = "in VIA choose Annotation, Export Annotations (as json)"
# VIA 3 writes the kind of a shape as a number.
_KINDS_3 = {1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "line", 6: "polyline"}
_KINDS_3 |= {7: "polygon", 8: "extreme_rect", 9: "extreme_circle"}


class ViaDataset(AnnotatedDataset):
    """Pictures with the regions of VIA: polygons, polylines, circles, ellipses, and rectangles,
    which are boxes without an outline.

    The class of a region is one of its attributes. Files where no region has one make one class,
    `"object"`.

    Example:

    >>> dataset = ViaDataset()
    >>> dataset.load("balloon", subset="train")
    >>> dataset.prepare()
    """

    source = "via"

    @classmethod
    def find(cls, path):
        """JSON or CSV files: the file itself, those of the folder, of its folders of subsets, or of
        others in it."""
        if path.is_file():
            return {"": [path]} if is_kind(path, "via") or _is_csv(path) else {}
        return by_folder(path, _files)

    def read(self, found, notes, images=None, label=None, class_name=None, line_width=0):
        """Reads annotation files.

        Args:
            found: list of `pathlib.Path` of JSON or CSV files.
            notes: `Notes`.
            images: folder of the pictures; by default that of the file.
            label: str, the attribute of a region that names its class; by default the only one
                that there is.
            class_name: str, one class for all regions, whatever their attributes.
            line_width: float, pixels; polylines are lines of this width. 0: they are closed to
                polygons.
        """
        pictures = []
        for path in found:
            entries = _entries(path)
            key = None if class_name else label or _only_attribute(path, entries)
            for entry in entries:
                with notes.entry():
                    pictures.append(
                        _picture(path, entry, images, key, class_name, line_width, notes)
                    )
        return None, pictures


def _files(folder):
    return json_files(folder, "via") + [x for x in files_in(folder, [".csv"]) if _is_csv(x)]


def _is_csv(path):
    if path.suffix.lower() != ".csv":
        return False
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return "region_shape_attributes" in file.readline()


def _entries(path):
    """List of (name, regions); a region is (shape, attributes, what a message calls it)."""
    if path.suffix.lower() == ".csv":
        return _csv_entries(path)
    content = read_json(path)
    if isinstance(content, dict) and {"file", "metadata"} <= content.keys():
        return _entries_3(path, content)
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    listed = list(content.values()) if isinstance(content, dict) else [content]
    entries = []
    for entry in listed:
        if not isinstance(entry, dict) or not {"filename", "regions"} <= entry.keys():
            raise ValueError(
                f"{path}: expected pictures with 'filename' and 'regions', received "
                f"{str(entry)[:80]}; {_EXPORT}"
            )
        regions = entry["regions"]
        keyed = regions.items() if isinstance(regions, dict) else enumerate(_list(regions))
        entries.append((entry["filename"], [(*_region_parts(x), f"region {i}") for i, x in keyed]))
    return entries


def _list(value):
    return value if isinstance(value, list) else [value]


def _region_parts(region):
    if not isinstance(region, dict):
        return region, {}
    return region.get("shape_attributes"), region.get("region_attributes") or {}


def _entries_3(path, content):
    """A project of VIA 3: `view`s of files, `metadata` with shapes as numbers and options by id."""
    try:
        files = {str(key): file["fname"] for key, file in content["file"].items()}
        views = {key: [str(x) for x in view["fid_list"]] for key, view in content["view"].items()}
        names = {
            key: (attribute["aname"], attribute.get("options") or {})
            for key, attribute in content.get("attribute", {}).items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a project of VIA 3 ({error!r} is missing)") from error
    regions = {name: [] for name in files.values()}
    for key, record in content["metadata"].items():
        shape, attributes = record.get("xy") or [], record.get("av") or {}
        shown = views.get(str(record.get("vid")))
        if not shown or not shape or shown[0] not in files:
            continue  # about a whole picture, or a stretch of a video
        values = {}
        for number, value in attributes.items():
            name, options = names.get(number, (number, {}))
            values[name] = options.get(value, value)
        regions[files[shown[0]]].append((_shape_3(shape), values, f"metadata {key}"))
    return list(regions.items())


def _shape_3(numbers):
    """The shape attributes of VIA 2 for the numbers of VIA 3."""
    kind, *values = numbers
    name = _KINDS_3.get(kind, kind)
    keys = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r")}
    keys["ellipse"] = ("cx", "cy", "rx", "ry")
    if name == "extreme_rect":  # the points at its four ends
        xs, ys = values[::2], values[1::2]
        values = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        name = "rect"
    if name in keys:
        return {"name": name, **dict(zip(keys[name], values, strict=False))}
    return {"name": name, "all_points_x": values[::2], "all_points_y": values[1::2]}


def _csv_entries(path):
    entries = {}
    csv.field_size_limit(LONGEST_FIELD)
    for i, row in enumerate(_rows(path), start=2):
        regions = entries.setdefault(row.get("filename"), [])
        try:
            shape = json.loads(row["region_shape_attributes"])
            attributes = json.loads(row.get("region_attributes") or "{}")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}, row {i}: expected JSON in region_shape_attributes, received "
                f"{str(row)[:80]}"
            ) from error
        if shape:  # a picture without a region has a row too
            regions.append((shape, attributes, f"row {i}"))
    return list(entries.items())


def _rows(path):
    try:
        return list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    except csv.Error as error:
        raise ValueError(f"{path}: expected CSV, but it is none ({error}); {_EXPORT}") from error


def _only_attribute(path, entries):
    """The attribute that names the class, where there is one only; None where there is none."""
    keys = {
        key
        for _, regions in entries
        for _, attributes, _ in regions
        if isinstance(attributes, dict)
        for key, value in attributes.items()
        if isinstance(value, str) and value and key != CROWD
    }
    if len(keys) > 1:
        raise ValueError(
            f"{path}: regions have the attributes {sorted(keys)}; say which names the class: "
            "label='...'; or class_name='...' for one class"
        )
    return next(iter(keys), None)


def _picture(path, entry, images, key, class_name, line_width, notes):
    name, regions = entry
    entry_name = f"{path}, {name}"
    file, size = picture_at(images or path.parent, name, entry_name)
    instances = []
    for shape, attributes, place in regions:
        where = f"{entry_name}, {place}"
        with notes.entry():
            category = class_name or _class_of(attributes, key, where)
            parts, box = _parts_and_box(shape, line_width, where)
            crowd = isinstance(attributes, dict) and attributes.get(CROWD) == "1"
            extra = {"shape_attributes": shape, "region_attributes": attributes}
            instances.append(Instance(category, parts, box, crowd, place, extra))
    return Picture(name, str(file), *size, instances, entry=entry_name)


def _class_of(attributes, key, where):
    if key is None:
        return NAMELESS
    value = attributes.get(key) if isinstance(attributes, dict) else None
    if isinstance(value, dict):  # a checkbox: {option: true}
        chosen = [option for option, is_on in value.items() if is_on]
        value = chosen[0] if len(chosen) == 1 else None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{where}: expected a class in the attribute {key!r}, received {attributes}; set it "
            "in VIA"
        )
    return value.strip()


def _parts_and_box(shape, line_width, where):
    """The parts of a region, or of a rectangle the box, from its `shape_attributes`."""
    kind = shape.get("name") if isinstance(shape, dict) else None
    try:
        if kind in ("polygon", "polyline"):
            points = list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
            if kind == "polyline" and line_width:
                return stroke(points, line_width), None
            return [[ring(points)]], None
        if kind == "rect":
            return [], box_of(shape["x"], shape["y"], shape["width"], shape["height"])
        if kind == "circle":
            return [[circle(shape["cx"], shape["cy"], shape["r"])]], None
        if kind == "ellipse":
            turn = math.degrees(shape.get("theta") or 0)
            return [[ellipse(shape["cx"], shape["cy"], shape["rx"], shape["ry"], turn)]], None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: expected the numbers of a {kind}, received {str(shape)[:120]} "
            f"({type(error).__name__}: {error}); draw it anew in VIA"
        ) from None
    raise ValueError(
        f"{where}: expected a polygon, polyline, rect, circle or ellipse, received "
        f"{str(kind or shape)[:80]!r}; draw one of these, or remove the region"
    )


def write_via(items, folder, class_names, notes):
    """Writes pictures and `via_region_data.json`, of VIA 2, into a folder for each subset.

    The class is the attribute "class". An instance of several parts or with holes is one polygon,
    whose parts are joined by lines that go forth and back.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        folder: `pathlib.Path`, new or empty.
        class_names: list of str, without the background.
        notes: `Notes`, told of what the format cannot hold.
    """
    content = {}
    for item in items:
        path = folder / item.subset / item.picture.name
        save_picture(item, path)
        regions = []
        for instance in item.picture.instances:
            shape = _shape(instance, item.picture)
            if shape is None:
                notes.leave_out("objects without a pixel are left out", f"{path}, {instance.name}")
                continue
            attributes = {"class": instance.category} | ({CROWD: "1"} if instance.crowd else {})
            regions.append({"shape_attributes": shape, "region_attributes": attributes})
        size = path.stat().st_size
        entry = {"filename": item.picture.name, "size": size, "regions": regions}
        entries = content.setdefault(item.subset, {})
        entries[f"{item.picture.name}{size}"] = {**entry, "file_attributes": {}}
    for subset, entries in content.items():
        path = folder / subset / "via_region_data.json"
        path.write_text(json.dumps(entries), encoding="utf-8")


def _shape(instance, picture):
    if not instance.parts:
        y1, x1, y2, x2 = instance.box
        return {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
    ring = ring_of(instance, picture)
    return ring and {"name": "polygon", "all_points_x": ring[::2], "all_points_y": ring[1::2]}
