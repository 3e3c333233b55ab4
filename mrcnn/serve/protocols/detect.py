"""The plain interface: a file in, COCO's JSON or a picture out; options in the query."""

import dataclasses
import io
import threading

import numpy as np
from PIL import Image

from mrcnn.data.class_names import class_name
from mrcnn.image.tracing import signed_area
from mrcnn.inference.records import categories_of, coco_annotations
from mrcnn.serve.errors import RequestError, shown
from mrcnn.serve.protocols.json_bodies import write_json

MASKS = ("rle", "polygons", "none")
FORMATS = ("json", "png")
OPTIONS = ("score", "classes", "masks", "format")
_drawing = threading.Lock()  # Matplotlib's fonts are one for all threads


@dataclasses.dataclass(frozen=True)
class DetectOptions:
    """What is wanted of an answer.

    Args:
        score: float, the least.
        class_ids: tuple of int, or None for all.
        masks: of `MASKS`.
        format: of `FORMATS`.
    """

    score: float = 0.0
    class_ids: tuple | None = None
    masks: str = "rle"
    format: str = "json"


def read_options(query, class_names, num_classes):
    """The `DetectOptions` of a query.

    Args:
        query: list of (name, value), both str.
        class_names: list by class id, "BG" first, or None.
        num_classes: int, background included.

    Raises:
        RequestError: an unknown name or value, or a name twice.
    """
    given = {}
    for key, value in query:
        if key not in OPTIONS or key in given:
            raise RequestError(
                400,
                f"expected each of {', '.join(OPTIONS)} once at most in the query, received "
                f"{shown(key)}{' again' if key in given else ''}; leave it out",
            )
        given[key] = value
    values = {}
    if "score" in given:
        values["score"] = _score(given["score"])
    if "classes" in given:
        values["class_ids"] = _class_ids(given["classes"], class_names, num_classes)
    for key, known in (("masks", MASKS), ("format", FORMATS)):
        if key in given:
            if given[key] not in known:
                raise RequestError(
                    400,
                    f"expected {key} to be one of {', '.join(known)}, received "
                    f"{shown(given[key])}; leave it out for {known[0]}",
                )
            values[key] = given[key]
    return DetectOptions(**values)


def _score(text):
    try:
        score = float(text)
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise RequestError(
            400, f"expected score to be a number from 0 to 1, received {shown(text)}; score=0.5"
        )
    return score


def _class_ids(text, class_names, num_classes):
    ids = {class_name(i, class_names): i for i in range(1, num_classes)}
    ids |= {str(i): i for i in range(1, num_classes) if str(i) not in ids}
    wanted = [name.strip() for name in text.split(",")]
    unknown = [name for name in wanted if name not in ids]
    if unknown:
        names = [class_name(i, class_names) for i in range(1, num_classes)]
        known = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise RequestError(
            400,
            f"expected classes to be names or ids of 1 to {num_classes - 1}, with commas, received "
            f"{shown(unknown[0])}; there are {known}",
        )
    return tuple(ids[name] for name in wanted)


def selected(found, options):
    """The instances of a result that the options want."""
    keep = np.asarray(found["scores"]) >= options.score
    if options.class_ids is not None:
        keep &= np.isin(found["class_ids"], options.class_ids)
    return found.filter(keep)


def write_answer(found, size, file_name, options, num_classes):
    """The body of an answer and its media type; the arguments are those of `write_coco`."""
    found = selected(found, options)
    if options.format == "png":
        return write_png(found, options), "image/png"
    return write_coco(found, size, file_name, options, num_classes), "application/json"


def write_coco(found, size, file_name, options, num_classes):
    """The body of an answer in COCO's format: images, annotations and categories.

    Args:
        found: `Detections`, with `class_names` and `keypoint_scheme`.
        size: (height, width) of the picture.
        file_name: str or None.
        options: `DetectOptions`.
        num_classes: int, background included.
    """
    annotations = coco_annotations(found)
    if options.masks == "none":
        for each in annotations:
            each.pop("segmentation", None)
    elif options.masks == "polygons" and "masks" in found:
        for each, rings in zip(annotations, found.polygons(), strict=True):
            outer = [ring for ring in rings if signed_area(ring) > 0]  # COCO's have no holes
            each["segmentation"] = [ring.ravel().tolist() for ring in outer]
    places = [{"id": i, "image_id": 1, **each} for i, each in enumerate(annotations, 1)]
    image = {"id": 1, "file_name": file_name or "", "width": size[1], "height": size[0]}
    categories = categories_of(num_classes, found.class_names, found.keypoint_scheme)
    return write_json({"images": [image], "annotations": places, "categories": categories})


def write_png(found, options):
    """The bytes of a PNG of the picture with what was found drawn into it."""
    if options.masks == "none":
        found = found.copy()
        found.pop("masks", None)
    with _drawing:
        pixels = found.plot()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
