"""`LabelStudioDataset`: what Label Studio exports as JSON."""

import collections
import dataclasses

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.embedded import placed_code, read_embedded
from mrcnn.data.annotations.files import annotated_size
from mrcnn.data.annotations.instances import Instance, Picture
from mrcnn.data.annotations.json_files import is_kind, json_files, read_json
from mrcnn.data.annotations.shapes import box_of, ellipse, number, points_of, rectangle, ring
from mrcnn.data.annotations.subsets import by_folder
from mrcnn.data.formats.label_studio.brush_codes import decode_brush
from mrcnn.data.formats.label_studio.files import find_picture, reference_of

# What a region is drawn with, by a key that only it has.
_SHAPES = {
    "points": "polygon",
    "radiusX": "ellipse",
    "rle": "brush",
    "imageDataURL": "bitmask",
    "width": "rectangle",
}


class LabelStudioDataset(AnnotatedDataset):
    """Pictures with the regions of Label Studio: polygons, ellipses, brushes, bit masks, turned
    rectangles; and upright rectangles, which are boxes without an outline.

    Of a task that several people annotated the annotation that is marked as ground truth is taken,
    otherwise the first one.

    Example:

    >>> dataset = LabelStudioDataset()
    >>> dataset.load("export.json", images="pictures")
    >>> dataset.prepare()
    """

    source = "label_studio"

    @classmethod
    def find(cls, path):
        """JSON files: the file itself, those of the folder, of its folders of subsets, or of others
        in it."""
        if path.is_file():
            return {"": [path]} if is_kind(path, "label_studio") else {}
        return by_folder(path, lambda folder: json_files(folder, "label_studio"))

    def read(self, found, notes, images=None):
        """Reads files of tasks.

        Args:
            found: list of `pathlib.Path` of JSON files.
            notes: `Notes`.
            images: folder of the pictures, which Label Studio does not export; by default that of
                the file, or `images/` beside it.
        """
        pictures = []
        for path in found:
            content = read_json(path)
            tasks = content if isinstance(content, list) else [content]
            folders = [images] if images else [path.parent, path.parent / "images"]
            for i, task in enumerate(tasks):
                with notes.entry():
                    where = f"{path}, {_task_name(task, i)}"
                    annotation = _annotation(task, where, notes)
                    if annotation is None:
                        continue
                    file, size = find_picture(reference_of(task.get("data"), where), folders, where)
                    pictures.append(_picture(task, annotation, file, size, where, notes))
        return None, _with_names(pictures)


def _task_name(task, i):
    number = task.get("id", i) if isinstance(task, dict) else i
    return f"task {number}" if isinstance(number, (int, str)) else f"tasks[{i}]"


def _annotation(task, where, notes):
    """The annotation of a task that is taken; None where nobody annotated it."""
    listed = task.get("annotations", task.get("completions")) if isinstance(task, dict) else None
    if not isinstance(listed, list) or not all(isinstance(x, dict) for x in listed):
        raise ValueError(
            f"{where}: expected a task with a list of 'annotations', received {str(task)[:80]}; "
            "in Label Studio choose Export, JSON (not JSON-MIN)"
        )
    kept = [x for x in listed if not (x.get("was_cancelled") or x.get("skipped"))]
    if not kept:
        notes.leave_out("tasks that are not annotated, or skipped, are left out", where)
        return None
    taken = next((x for x in kept if x.get("ground_truth") is True), kept[0])
    for each in kept:
        if each is not taken:
            notes.leave_out(
                "of a task's annotations one is taken, the others are left out",
                f"{where}, annotation {str(each.get('id'))[:40]}",
            )
    return taken


def _picture(task, annotation, file, size, where, notes):
    results = annotation.get("result")
    if not isinstance(results, list) or not all(isinstance(x, dict) for x in results):
        raise ValueError(f"{where}: expected a list of results, received {str(results)[:80]}")
    sizes = (
        annotated_size(result["original_height"], result["original_width"], size)
        for result in results
        if "original_height" in result and "original_width" in result
    )
    size = next(sizes, size)
    labelled = {_key(x) for x in results if str(x.get("type")).endswith("labels")}
    instances = []
    for i, result in enumerate(results):
        with notes.entry():
            name = f"result {_key(result) or i}"
            instance = _instance(result, size, labelled, name, f"{where}, {name}", notes)
            if instance is not None:
                instances.append(instance)
    return Picture(file.name, str(file), *size, instances, {"task": task.get("id")}, where)


def _key(result):
    """The id of a region, which results about the same region share."""
    return result["id"] if isinstance(result.get("id"), str) else None


def _with_names(pictures):
    """The pictures, by their whole path where several have one name."""
    counts = collections.Counter(picture.name for picture in pictures)
    for picture in pictures:
        if counts[picture.name] > 1:
            picture = dataclasses.replace(picture, name=picture.path)
        yield picture


def _instance(result, size, labelled, name, where, notes):
    """An `Instance` of a result; None of one that is left out."""
    kind, value = result.get("type"), result.get("value")
    shape = _shape_of(kind, value)
    if shape is None:
        notes.leave_out(
            "results that are no regions of pixels are left out (texts, key points, relations ...)",
            f"{where} ({str(kind)[:40]})",
        )
        return None
    labels = value.get(kind) or value.get("labels")
    if not labels:
        if kind in _SHAPES.values() and _key(result) in labelled:
            return None  # another result has the same region with its label
        notes.leave_out("regions without a label are left out", where)
        return None
    if not isinstance(labels, list) or len(labels) != 1 or not _is_name(labels[0]):
        raise ValueError(
            f"{where}: expected one label, received {str(labels)[:80]}; choose one in Label Studio"
        )
    try:
        if number(result.get("image_rotation") or 0):
            raise ValueError("expected an upright picture, received a turned one; turn it back")
        parts, box = _parts_and_box(shape, value, *size)
    except ValueError as error:
        raise ValueError(f"{where}, a {shape}: {error}; draw it anew in Label Studio") from None
    extra = {key: each for key, each in result.items() if key != "value"}
    return Instance(labels[0].strip(), parts, box, name=name, extra=extra)


def _shape_of(kind, value):
    """What a result is drawn with; None where it is no region of pixels."""
    if not isinstance(kind, str) or not isinstance(value, dict):
        return None
    if kind == "labels":
        return next((shape for key, shape in _SHAPES.items() if key in value), None)
    shape = kind.removesuffix("labels")
    return shape if shape in _SHAPES.values() else None


def _is_name(value):
    return isinstance(value, str) and bool(value.strip())


def _parts_and_box(shape, value, height, width):
    """The parts of a region, or of an upright rectangle its box. Lengths are percents."""

    def along_x(percent):
        return width * number(percent) / 100

    def along_y(percent):
        return height * number(percent) / 100

    if shape == "polygon":
        return [[ring([(along_x(x), along_y(y)) for x, y in points_of(value.get("points"))])]], None
    if shape == "brush":
        mask = decode_brush(value.get("rle"), height, width)
        return [placed_code(mask, 0, 0, height, width)], None
    if shape == "bitmask":
        pixels = read_embedded(value.get("imageDataURL"), (height, width))
        if pixels.ndim != 3 or pixels.shape[2] not in (2, 4):
            raise ValueError("expected a PNG with a transparent background, received one without")
        return [placed_code(pixels[:, :, -1] > 0, 0, 0, height, width)], None
    corner = along_x(value.get("x")), along_y(value.get("y"))
    turn = number(value.get("rotation") or 0)
    if shape == "ellipse":
        radii = along_x(value.get("radiusX")), along_y(value.get("radiusY"))
        return [[ellipse(*corner, *radii, turn)]], None
    sides = along_x(value.get("width")), along_y(value.get("height"))
    return ([[rectangle(*corner, *sides, turn)]], None) if turn else ([], box_of(*corner, *sides))
