"""What detection found in many pictures: a line of JSON for each, and COCO's and a table's file.

A record is a dict of `file_name`, `width`, `height`, `page` where it is one of several,
`annotations` as COCO has them, without ids, and of a panoptic map `segments_info`, as COCO has them
too, with a `score`.
"""

import contextlib
import itertools
import json
import os

from mrcnn.data.class_names import class_name
from mrcnn.data.keypoints import from_coco
from mrcnn.files.differences import differences
from mrcnn.files.replacing import replaced
from mrcnn.inference.tables import COLUMNS, instance_row, point_columns, write_csv


@contextlib.contextmanager
def open_records(path, settings):
    """Opens a file of `Records`, or makes it.

    Args:
        path: of the file.
        settings: dict, ready for JSON, of what the results depend on: the file's first line.

    Raises:
        ValueError: its records were made with other settings, or it is another's file.
    """
    with open(path, "a+b") as file:
        yield Records(file, settings)


def recorded_names(path):
    """Names of the pictures that have records in a file; none where there is no file.

    Raises:
        ValueError: it is no file of records.
    """
    if not os.path.exists(path):
        return []
    names = []
    with open(path, "rb") as file:
        settings = next(file, b"")
        if settings.endswith(b"\n"):  # else it was cut short: there are no records
            _read_settings(settings, path)
        for line in file:
            with contextlib.suppress(ValueError, KeyError):
                names.append(json.loads(line)["name"])
    return names


class Records:
    """A file of JSON lines to which each picture's record is appended as soon as it is done.

    A line cut short, for the process was stopped while it wrote, is taken away.
    """

    def __init__(self, file, settings):
        self._file = file
        self._places = {}  # by name: (offset of the line, stamp)
        settings, end = json.loads(json.dumps(settings)), 0
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                break
            if end == 0:
                self._check_settings(line, settings)
            else:
                with contextlib.suppress(ValueError, KeyError):  # then it is done again
                    found = json.loads(line)
                    self._places[found["name"]] = end, found["stamp"]
            end += len(line)
        file.truncate(end)
        if end == 0:
            self._write(settings)

    def _check_settings(self, line, settings):
        earlier = _read_settings(line, self._file.name)
        differing = list(differences(earlier, settings))
        if differing:
            raise ValueError(
                f"{os.path.dirname(self._file.name)} holds results of other settings "
                f"({'; '.join(differing)}): choose another folder, or begin anew with --no-resume "
                "(resume=False)"
            )

    def _write(self, value):
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(value).encode() + b"\n")
        self._file.flush()
        return offset

    def __contains__(self, name):
        return name in self._places

    def is_done(self, name, stamp):
        """Whether there is a record of this picture, made from the same file."""
        return name in self._places and self._places[name][1] == stamp

    def append(self, name, stamp, record):
        """Adds a picture's record.

        Args:
            name: str, of the picture.
            stamp: list, ready for JSON, by which its file is known again.
            record: dict, see above.
        """
        offset = self._write({"name": name, "stamp": stamp, **record})
        self._places[name] = offset, stamp

    def read(self, names):
        """Yields the records of those of the names that have one, with their `name`."""
        for name in names:
            if name in self._places:
                self._file.seek(self._places[name][0])
                yield json.loads(self._file.readline())


def _read_settings(line, path):
    """The first line of a file of records, a dict."""
    try:
        return dict(json.loads(line))
    except (TypeError, ValueError):
        raise ValueError(
            f"{path}: expected results of an earlier run, received {line[:40]!r}: choose another "
            "folder"
        ) from None


def write_coco(path, records, names, categories):
    """Writes COCO's JSON in flat memory, whole or not at all.

    Args:
        path: of the file.
        records: `Records`.
        names: list of the pictures' names in their order, which numbers the images from 1 on.
        categories: list of dicts.
    """

    def annotations():
        numbers = itertools.count(1)
        for image_id, record in enumerate(records.read(names), 1):
            for annotation in record["annotations"]:
                yield {"id": next(numbers), "image_id": image_id, **annotation}

    _write_lists(path, _images(records, names), annotations(), categories)


def write_coco_panoptic(path, records, names, categories):
    """Writes COCO's panoptic JSON, as `write_coco`; the PNGs lie in the folder of its name."""

    def annotations():
        for image_id, record in enumerate(records.read(names), 1):
            file = {"image_id": image_id, "file_name": f"{record['name']}.png"}
            yield {**file, "segments_info": record["segments_info"]}

    _write_lists(path, _images(records, names), annotations(), categories)


def _images(records, names):
    """Yields COCO's entries of the pictures."""
    keys = "file_name", "width", "height", "page"
    for image_id, record in enumerate(records.read(names), 1):
        yield {"id": image_id, **{key: record[key] for key in keys if key in record}}


def _write_lists(path, images, annotations, categories):
    with replaced(path) as unfinished, open(unfinished, "w", encoding="utf-8") as file:
        for start, items in (
            ('{"images": [', images),
            ('], "annotations": [', annotations),
            ('], "categories": [', categories),
        ):
            file.write(start)
            for i, item in enumerate(items):
                file.write((",\n" if i else "\n") + json.dumps(item))
        file.write("]}\n")


def write_table(path, records, names, class_names):
    """Writes all instances as CSV in flat memory, whole or not at all; with their keypoints.

    Args:
        path, records, names: as in `write_coco`.
        class_names: list by class id, or None.
    """
    found = (annotation for each in records.read(names) for annotation in each["annotations"])
    columns = point_columns(len(next(found, {}).get("keypoints", ())) // 3)

    def rows():
        for record in records.read(names):
            for i, annotation in enumerate(record["annotations"], 1):
                x, y, width, height = annotation["bbox"]
                class_id, score = annotation["category_id"], annotation["score"]
                area = int(annotation["area"]) if "segmentation" in annotation else None
                box = y, x, y + height, x + width
                row = instance_row(i, class_id, class_names, score, box, area)
                if columns:
                    points = from_coco(annotation["keypoints"]).ravel().tolist()
                    row |= zip(columns, points, strict=True)
                yield {"image": record["name"], **row}

    with (
        replaced(path) as unfinished,
        open(unfinished, "w", newline="", encoding="utf-8") as file,
    ):
        write_csv(file, rows(), ("image", *COLUMNS, *columns))


def categories_of(num_classes, class_names, scheme=None):
    """COCO's categories of a model: list of dicts of `id` and `name`, without the background.

    Args:
        num_classes: int, background included.
        class_names: list by class id, or None.
        scheme: `mrcnn.data.KeypointScheme`, or None: without what COCO says of keypoints.
    """
    points = {} if scheme is None else scheme.to_coco()
    return [{"id": i, "name": class_name(i, class_names), **points} for i in range(1, num_classes)]


def coco_annotations(found):
    """COCO's annotations of an image, without ids: list of dicts.

    Args:
        found: `Detections`.
    """
    from pycocotools import mask as mask_utils

    annotations = []
    for result in found.to_coco(0):
        del result["image_id"]
        if "segmentation" in result:
            area = int(mask_utils.area(result["segmentation"]))
        else:
            area = result["bbox"][2] * result["bbox"][3]
        annotations.append({**result, "area": area, "iscrowd": 0})
    return annotations
