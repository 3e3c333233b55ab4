"""`YoloDataset` and `write_yolo`: label files of YOLO, of polygons and of boxes."""

import dataclasses
import os

import yaml

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.files import picture_at
from mrcnn.data.annotations.instances import Picture
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.subsets import subset_of
from mrcnn.data.annotations.text_files import read_text, shown
from mrcnn.data.annotations.tracing import trace
from mrcnn.data.annotations.writing import mask_of, ring_of, save_picture
from mrcnn.data.formats.yolo.labels import read_line, share_of, span_shares
from mrcnn.data.formats.yolo.layout import (
    content_of,
    find_places,
    label_of,
    lone_labels,
    pictures_of,
)
from mrcnn.data.formats.yolo.names import class_names


class YoloDataset(AnnotatedDataset):
    """Pictures with label files of YOLO.

    A line of four numbers after the class is a box without an outline, one of more is a polygon.
    Classes that have no names are called by their numbers.

    Example:

    >>> dataset = YoloDataset()
    >>> dataset.load("balloon/data.yaml", subset="train")
    >>> dataset.prepare()
    """

    source = "yolo"
    declares_classes = True

    @classmethod
    def find(cls, path):
        """A YAML file of a data set (`data.yaml`); or a folder with one, with `images` and
        `labels`, or with label files beside the pictures."""
        return find_places(path)

    def read(self, found, notes):
        """Reads label files.

        Args:
            found: `mrcnn.data.formats.yolo.layout.Place`.
            notes: `Notes`.
        """
        content, names = content_of(found), class_names(found)
        keypoints = _keypoints(found, content)
        paths = pictures_of(found, found.entries, notes)
        labels = {path: label_of(path) for path in paths}
        if paths and not any(labels.values()):
            raise ValueError(
                f"{paths[0]}: expected a label file {paths[0].with_suffix('.txt').name} beside "
                "it, or in a folder labels where its path has images; no picture has one"
            )
        pictures, owners, base = [], {}, _base(paths)
        for path in paths:
            with notes.entry():
                _check_alone(path, labels[path], owners)
                name = path.relative_to(base).as_posix()
                pictures.append(_picture(path, name, labels[path], names, keypoints, notes))
        for path in lone_labels({x for x in labels.values() if x}):
            notes.leave_out("label files without a picture are left out", path)
        return _told(found, names, notes), pictures


def _check_alone(path, label, owners):
    """Raises ValueError where a label file is that of another picture too, as of a.png and a.jpg.

    Args:
        owners: dict of the first picture of each label file; kept up.
    """
    first = owners.setdefault(label, path) if label else path
    if first != path:
        raise ValueError(
            f"{label}: expected the objects of one picture, but {first.name} and {path.name} have "
            "this name; rename one of them, and its label file"
        )


def _base(paths):
    folders = {str(path.parent) for path in paths}
    return os.path.commonpath(folders) if folders else ""


def _keypoints(place, content):
    """(points, numbers of each) of a data set with keypoints, or None."""
    shape = content.get("kpt_shape")
    if shape is None:
        return None
    is_shape = isinstance(shape, list) and len(shape) == 2
    if not is_shape or not all(type(x) is int and x > 0 for x in shape) or shape[1] not in (2, 3):
        raise ValueError(
            f"{place.description}: expected kpt_shape [points, 2 or 3 numbers of each], received "
            f"{shown(shape)}"
        )
    return tuple(shape)


def _told(place, names, notes):
    """The names of the classes, each once; those without names are the numbers of all subsets."""
    if names is None:
        what = "classes have no names, and are called by their numbers"
        if place.root not in notes.left_out.get(what, []):
            notes.leave_out(what, place.root)
        return [str(number) for number in sorted(_numbers(place))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        what = "several classes have one name, and are one class"
        entry = f"{place.description or place.root}, {', '.join(twice)}"
        if entry not in notes.left_out.get(what, []):
            notes.leave_out(what, entry)
    return list(dict.fromkeys(names))


def _numbers(place):
    """The numbers of classes in the label files of all subsets; what is wrong there is told by
    who reads them."""
    found, silent = set(), Notes(strict=False)
    for entries in place.others:
        for label in filter(None, map(label_of, pictures_of(place, entries, silent))):
            with silent.entry():
                for i, line in enumerate(read_text(label).splitlines(), 1):
                    if line.strip():
                        found.add(int(read_line(line, None, (1, 1), None, "", f"{i}").category))
    return found


def _picture(path, name, label, names, keypoints, notes):
    where = str(label or path)
    _, size = picture_at(path.parent, path.name, where)
    instances = []
    if label is None:
        notes.leave_out("label files are missing; taken as without objects are", path)
    lines = read_text(label).splitlines() if label else []
    for i, line in enumerate(lines, 1):
        if line.strip():
            with notes.entry():
                at = f"{label}, line {i}"
                instances.append(read_line(line, names, size, keypoints, f"line {i}", at))
    return Picture(name, str(path), *size, instances, entry=where)


def write_yolo(items, folder, class_names, notes):
    """Writes `images/<subset>/`, `labels/<subset>/` and `data.yaml` into a folder.

    An instance of several parts or with holes is one polygon, whose parts are joined by lines that
    go forth and back. One that reaches over the border is traced along its pixels. Pictures of no
    subset are those of `train`.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        folder: `pathlib.Path`, new or empty.
        class_names: list of str, without the background.
        notes: `Notes`, told of what the format cannot hold.
    """
    subsets = {}
    for item in items:
        subset = item.subset or "train"
        subsets[subset] = None
        path = folder / "images" / subset / item.picture.name
        if path.exists():
            raise ValueError(f"{path}: expected one picture of this name, received two")
        save_picture(item, path)
        lines = []
        for instance in item.picture.instances:
            numbers = None if instance.crowd else _numbers_of(instance, item.picture)
            if numbers:
                number = class_names.index(instance.category)
                lines.append(" ".join([str(number), *(repr(float(x)) for x in numbers)]))
            else:
                what = "crowds, which YOLO does not know," if instance.crowd else _NOTHING
                notes.leave_out(f"{what} are left out", f"{item.picture.name}, {instance.name}")
        label = folder / "labels" / subset / f"{item.picture.name.rpartition('.')[0]}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    keys = [subset_of(subset) for subset in subsets]
    clear = None not in keys and len(set(keys)) == len(keys)
    keys = keys if clear else list(subsets)
    content = {key: f"images/{x}" for key, x in zip(keys, subsets, strict=True)}
    content |= {"nc": len(class_names), "names": dict(enumerate(class_names))}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")


_NOTHING = "objects without a pixel"


def _numbers_of(instance, picture):
    """The numbers of a line after the class; None of an instance that covers nothing."""
    height, width = picture.height, picture.width
    if not instance.parts:
        y1, x1, y2, x2 = instance.box
        x, across = span_shares(x1, x2, width)
        y, down = span_shares(y1, y2, height)
        return [x, y, across, down] if min(across * width, down * height) > 1e-6 else None
    ring = ring_of(instance, picture)
    if ring and not _inside(ring, width, height):
        parts = trace(mask_of(instance, picture))
        ring = ring_of(dataclasses.replace(instance, parts=parts), picture)
    if not ring or len(ring) < 6:
        return None
    return [share_of(x, height if i % 2 else width) for i, x in enumerate(ring)]


def _inside(ring, width, height):
    xs, ys = ring[::2], ring[1::2]
    return min(*xs, *ys) >= 0 and max(xs) <= width and max(ys) <= height
