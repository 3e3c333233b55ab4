"""Checks of one picture and its instances.

Shape legend: N instances of a picture.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import os
import threading
import warnings

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.files import true_suffix
from mrcnn.data.annotations.instances import MaskFile, instance_code, values_of
from mrcnn.data.checking.findings import Finding
from mrcnn.data.class_names import plain_name
from mrcnn.data.image_loading import image_name, load_instances
from mrcnn.data.panoptic import load_segments

SAME = 0.95  # IoU from which two objects are one
BORDER = 1.0  # pixels that an outline may lie outside of its picture
_ORIENTATION = 274


@dataclasses.dataclass
class Record:
    """What was measured of a picture.

    Attributes:
        image_id: int. where: str, its path or name. subset: str.
        height, width: int, of its pixels, or as annotated where those cannot be read.
        digest: bytes, equal for pictures of equal pixels; None where they cannot be read.
        class_ids: int [N], negative for crowds.
        sides: float [N, 2], height and width of the instances' boxes in pixels.
        repeated: places of instances that are there before.
        findings: list of `Finding`.
    """

    image_id: int
    where: str
    subset: str
    height: int = 0
    width: int = 0
    digest: bytes | None = None
    class_ids: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, int))
    sides: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 2)))
    repeated: list = dataclasses.field(default_factory=list)
    findings: list = dataclasses.field(default_factory=list)

    def add(self, level, kind, text, instance=None, name=""):
        """Adds a finding about the picture or one of its instances."""
        where = f"{self.where}, {name}" if name else self.where
        self.findings.append(Finding(level, kind, where, text, self.image_id, instance))


def check_picture(dataset, image_id):
    """Looks at a picture and its instances; returns a `Record`, whatever is wrong."""
    info = dataset.image_info[image_id]
    where = str(info.get("path") or image_name(dataset, image_id))
    record = Record(image_id, where, info.get("subset") or "")
    _check_file(record, info.get("path"))
    with _caught() as messages:
        shape = _check_pixels(record, dataset, image_id)
        if isinstance(dataset, AnnotatedDataset) and info["source"] == dataset.source:
            _check_outlines(record, dataset, image_id)
        elif shape is not None:
            _check_masks(record, dataset, image_id, shape)
        if shape is not None:
            _check_segments(record, dataset, image_id, shape)
    for message in dict.fromkeys(messages):
        record.add("warning", "picture to look at", message)
    return record


@contextlib.contextmanager
def warnings_by_thread():
    """Around all calls of `check_picture`: a warning goes to the picture of its thread.

    Python's own `catch_warnings` is one for all threads: it would give it to another picture.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _keep
        yield


_thread = threading.local()


def _keep(message, category, *_):
    if issubclass(category, (UserWarning, RuntimeWarning)):  # others are for programmers
        getattr(_thread, "messages", []).append(str(message))


@contextlib.contextmanager
def _caught():
    """A list that the warnings of this thread go to."""
    _thread.messages = []
    try:
        yield _thread.messages
    finally:
        _thread.messages = []


def _check_file(record, path):
    """The suffix, and how the file is turned."""
    if not path or not os.path.isfile(path):  # also where the name is too long for one
        return  # whoever loads its pixels says so
    suffix = true_suffix(path)
    if suffix:
        text = f"its content is that of a {suffix} file"
        record.add("warning", "suffix of another kind", text)
    with contextlib.suppress(Exception), Image.open(path) as picture:
        orientation = picture.getexif().get(_ORIENTATION, 1)
        if orientation in (2, 3, 4):
            record.add(
                "warning",
                "turned or mirrored by EXIF",
                f"orientation {orientation}: it is read upright; look whether its annotations are "
                "upright too, sizes do not tell",
            )


def _check_pixels(record, dataset, image_id):
    """Reads the pixels; returns their shape, or None."""
    info = dataset.image_info[image_id]
    stated = [info.get("height"), info.get("width")]
    record.height, record.width = (side or 0 for side in stated)
    try:
        image = np.asarray(dataset.load_image(image_id))
    except Exception as error:  # of the user's code too
        record.add("error", "picture that cannot be read", _after(str(error), record.where))
        return None
    record.height, record.width = image.shape[:2]
    pixels = np.ascontiguousarray(image)
    record.digest = hashlib.sha1(f"{image.shape}".encode() + pixels.tobytes()).digest()
    if None not in stated and stated != list(image.shape[:2]):
        turned = " Pictures are read upright, as their EXIF says." * (
            stated == [image.shape[1], image.shape[0]]
        )
        record.add(
            "error",
            "size that differs from the annotation",
            f"the picture is {image.shape[1]} x {image.shape[0]} pixels, its annotation says "
            f"{stated[1]} x {stated[0]}.{turned}",
        )
    return image.shape


def _check_outlines(record, dataset, image_id):
    """The instances of a data set that has outlines."""
    info, values = dataset.image_info[image_id], functools.cache(values_of)
    size = [info["height"], info["width"]]
    codes, sides, class_ids, places = [], [], [], []
    for place, instance in enumerate(dataset.instances(image_id)):
        try:
            code = instance_code(instance, size, "outline", values)
        except ValueError as error:
            record.add("error", "outline that cannot be used", str(error), place, instance.name)
            continue
        low, high = _extent(instance)
        if low is not None:
            _check_extent(record, low, high, size, place, instance.name)
        if not mask_utils.area(code):
            text = "it covers no pixel of the picture, and is left out"
            record.add("warning", "object without a pixel", text, place, instance.name)
            continue
        codes.append(code)
        sides.append(mask_utils.toBbox(code)[3:1:-1])
        class_id = dataset.class_id_of(instance)
        class_ids.append(-class_id if instance.crowd else class_id)
        places.append((place, instance.name))
    _measure(record, codes, sides, class_ids, places, dataset.class_names)


def _check_masks(record, dataset, image_id, shape):
    """The instances of a data set that has masks alone."""
    try:
        masks, ids = load_instances(dataset, image_id, shape, dataset.num_classes)
    except Exception as error:  # of the user's code too
        record.add("error", "masks that cannot be used", _after(str(error), record.where))
        return
    codes, sides, class_ids, places = [], [], [], []
    for place, code in enumerate(mask_utils.encode(np.asfortranarray(masks, np.uint8))):
        if not mask_utils.area(code):
            text = "it has no pixel, and is left out"
            record.add("warning", "object without a pixel", text, place, f"instance {place}")
            continue
        codes.append(code)
        sides.append(mask_utils.toBbox(code)[3:1:-1])
        class_ids.append(int(ids[place]))
        places.append((place, f"instance {place}"))
    _measure(record, codes, sides, class_ids, places, dataset.class_names)


def _check_segments(record, dataset, image_id, shape):
    """The panoptic map of a data set that has one."""
    try:
        load_segments(dataset, image_id, shape)
    except Exception as error:  # of the user's code too
        text = _after(str(error), record.where)
        record.add("error", "segments that cannot be used", text)


def _measure(record, codes, sides, class_ids, places, class_names):
    record.sides = np.reshape(np.array(sides, float), (-1, 2))
    record.class_ids = np.array(class_ids, int)
    objects = [i for i, class_id in enumerate(class_ids) if class_id > 0]
    if len(objects) < 2:
        return
    chosen = [codes[i] for i in objects]
    overlaps = np.triu(mask_utils.iou(chosen, chosen, [0] * len(chosen)), 1)
    for first, second in zip(*np.nonzero(overlaps >= SAME), strict=True):
        a, b = objects[first], objects[second]
        place, name = places[b]
        if plain_name(class_names[class_ids[a]]) == plain_name(class_names[class_ids[b]]):
            record.repeated.append(place)
            text = f"the same object as {places[a][1]}"
            record.add("warning", "object annotated twice", text, place, name)
        else:
            text = f"the same outline as {places[a][1]}, of another class"
            record.add("warning", "object of two classes", text, place, name)


def _extent(instance):
    """Lowest and highest x, y of an instance's rings or box; None of pixels."""
    if not instance.parts:
        y1, x1, y2, x2 = instance.box
        return np.array([x1, y1]), np.array([x2, y2])
    if any(isinstance(part, (dict, MaskFile)) for part in instance.parts):
        return None, None
    numbers = list(itertools.chain.from_iterable(ring for part in instance.parts for ring in part))
    points = np.reshape(np.array(numbers, float), (-1, 2))
    return points.min(axis=0), points.max(axis=0)


def _check_extent(record, low, high, size, place, name):
    beyond = max((-low).max(), (high - size[::-1]).max())
    if beyond > BORDER:
        text = f"it reaches {beyond:.0f} pixels over the border, and is cut there"
        record.add("warning", "outline outside of the picture", text, place, name)
    if (high - low).min() < 1:
        width, height = high - low
        text = f"its box is {width:.2g} x {height:.2g} pixels"
        record.add("warning", "box under one pixel", text, place, name)


def _after(text, where):
    """A message without the name of the picture in front, which the finding has already."""
    _, found, rest = text.partition(f"({where}): ")
    return rest if found else text
