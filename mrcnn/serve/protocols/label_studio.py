"""What Label Studio asks a backend for, and its answer: predictions of tasks.

A task names its picture. The labelling configuration says as what objects are drawn: with masks as
brushes, else as polygons, else as boxes, whichever of these controls the picture has. An object
whose class is no label of the control is left out.
"""

import dataclasses
import uuid

import numpy as np

from mrcnn.data.annotations.tracing import bridge, trace
from mrcnn.data.annotations.xml_files import parse_xml
from mrcnn.data.class_names import class_name, plain_name
from mrcnn.data.formats.label_studio.brush_codes import encode_brush
from mrcnn.image.cropped_masks import masks_of
from mrcnn.serve.errors import RequestError, shown
from mrcnn.serve.protocols.json_bodies import read_json, write_json

# Controls by their tags, the most exact first, and whether they need a mask.
_CONTROLS = {"BrushLabels": True, "PolygonLabels": True, "RectangleLabels": False}


@dataclasses.dataclass(frozen=True)
class Control:
    """With what objects are drawn into a picture.

    Args:
        tag: of `_CONTROLS`.
        name, picture: str, names of the control and of the picture in the configuration.
        key: str, under which a task's data have the picture.
        labels: dict from plain names to labels as the control has them.
    """

    tag: str
    name: str
    picture: str
    key: str
    labels: dict

    @property
    def type(self):
        """str, of results."""
        return self.tag.lower()


def read_predict(body, has_masks):
    """The tasks of a request, and the `Control` that draws what is found in them.

    Args:
        body: bytes of JSON.
        has_masks: bool, whether the model has.

    Returns:
        list of (id of a task, what it names as its picture), and a `Control`.

    Raises:
        RequestError: it is no such request, or its configuration has no control that fits.
    """
    content = read_json(body)
    tasks = content.get("tasks")
    if not isinstance(tasks, list) or not all(_is_task(task) for task in tasks):
        raise RequestError(
            400, f'expected "tasks", a list of objects with data, received {shown(tasks)}'
        )
    control = read_control(content.get("label_config"), has_masks)
    return [(task.get("id"), task["data"].get(control.key)) for task in tasks], control


def _is_task(task):
    return isinstance(task, dict) and isinstance(task.get("data"), dict)


def read_control(config, has_masks):
    """The `Control` of a labelling configuration.

    Args:
        config: str of XML.
        has_masks: bool, whether the model has.

    Raises:
        RequestError: it is no XML, or has no control that fits.
    """
    try:
        root = parse_xml(config if isinstance(config, str) else "")
    except ValueError as error:
        raise RequestError(400, f"label_config: {error}; send the project's") from None
    pictures = {each.get("name"): each.get("value", "") for each in root.iter("Image")}
    for tag, needs_mask in _CONTROLS.items():
        for element in root.iter(tag) if has_masks or not needs_mask else ():
            picture = element.get("toName")
            if picture in pictures:
                key = pictures[picture].removeprefix("$")
                return Control(tag, element.get("name", ""), picture, key, _labels(element))
    known = [tag for tag, needs_mask in _CONTROLS.items() if has_masks or not needs_mask]
    raise RequestError(
        400,
        f"expected a labelling configuration with an Image and one of {', '.join(known)} for it, "
        f"received one of {shown([each.tag for each in root.iter()])}; add one",
    )


def _labels(element):
    labels = {}
    for each in element.iter("Label"):
        value = each.get("value", "")
        for name in [*each.get("predicted_values", "").split(","), value]:
            labels[plain_name(name)] = value
    labels.pop("", None)
    return labels


def prediction(found, size, control, version):
    """A task's prediction, a dict.

    Args:
        found: `Detections`.
        size: (height, width) of the picture.
        control: `Control`.
        version: str, of the model.
    """
    names = [class_name(class_id, found.class_names) for class_id in found["class_ids"]]
    labels = [control.labels.get(plain_name(name)) for name in names]
    regions = []
    rows = zip(labels, found["scores"], _values(found, size, control), strict=True)
    for label, score, value in rows:
        if label is not None and value is not None:
            regions.append(
                {
                    "id": uuid.uuid4().hex[:10],
                    "type": control.type,
                    "from_name": control.name,
                    "to_name": control.picture,
                    "original_height": size[0],
                    "original_width": size[1],
                    "image_rotation": 0,
                    "value": {**value, control.type: [label]},
                    "score": float(score),
                }
            )
    scores = [region["score"] for region in regions]
    mean = float(np.mean(scores)) if scores else 0.0
    return {"result": regions, "score": mean, "model_version": version}


def _values(found, size, control):
    """Yields the value of each object's region, without its label; None of an empty mask."""
    if control.tag == "RectangleLabels":
        for y1, x1, y2, x2 in np.asarray(found.get("boxes", found["rois"]), float):
            left, top, right, bottom = _percents([x1, y1, x2, y2], size).ravel().tolist()
            sides = {"width": right - left, "height": bottom - top}
            yield {"x": left, "y": top, **sides, "rotation": 0}
        return
    draw = _brush if control.tag == "BrushLabels" else _polygon
    for top, left, patch in masks_of(found["masks"]):
        yield draw(top, left, patch, size) if patch.any() else None


def _brush(top, left, patch, size):
    mask = np.zeros(size, bool)
    mask[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    return {"format": "rle", "rle": encode_brush(mask)}


def _polygon(top, left, patch, size):
    """One ring for all parts and holes, as Label Studio's polygons have."""
    rings = [ring for part in trace(patch) for ring in part]
    corners = np.reshape(bridge(rings), (-1, 2)) + np.array([left, top])
    return {"points": _percents(corners, size).tolist(), "closed": True}


def _percents(corners, size):
    """Corners x, y in percents of the picture's sides, [P, 2]."""
    return 100 * np.reshape(corners, (-1, 2)) / (size[1], size[0])


def write_predict(predictions):
    """The body of an answer: of each task its prediction, or the error why there is none.

    Args:
        predictions: list of dicts and `RequestError`s.

    Raises:
        RequestError: every task has an error.
    """
    errors = [each for each in predictions if isinstance(each, RequestError)]
    if errors and len(errors) == len(predictions):
        raise RequestError(max(each.status for each in errors), errors[0].message)
    return write_json(
        {
            "results": [
                {"error": each.message} if isinstance(each, RequestError) else each
                for each in predictions
            ]
        }
    )


def read_setup(body, has_masks):
    """Checks the project that Label Studio connects.

    Raises:
        RequestError: its labelling configuration, if it has one yet, has no control that fits.
    """
    schema = read_json(body).get("schema")
    if schema:
        read_control(schema, has_masks)


def read_event(body):
    """Refuses the event by which Label Studio asks for a training; others mean nothing here.

    Raises:
        RequestError: a training is asked for.
    """
    content = read_json(body)
    event = content.get("action") or content.get("event")
    if event == "START_TRAINING":
        raise RequestError(
            501,
            "expected predictions to be asked for, received START_TRAINING; export the project as "
            "JSON, run mrcnn train on it, and start the server with the new weights",
        )
