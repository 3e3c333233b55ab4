"""`LabelMeDataset`: JSON files beside pictures, as LabelMe writes them, versions 3 to 6."""

import itertools
import json
import math
from pathlib import Path

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.embedded import placed_code, read_embedded
from mrcnn.data.annotations.files import (
    annotated_size,
    files_in,
    has_picture,
    picture_at,
)
from mrcnn.data.annotations.groups import join
from mrcnn.data.annotations.instances import Instance, Picture
from mrcnn.data.annotations.json_files import FEW, is_kind, json_kind, read_json
from mrcnn.data.annotations.shapes import box_between, circle, points_of, ring, stroke
from mrcnn.data.annotations.subsets import by_folder
from mrcnn.data.annotations.tracing import bridge
from mrcnn.data.annotations.writing import parts_of, save_picture
from mrcnn.data.image_loading import image_name
from mrcnn.image.channels import Channels
from mrcnn.image.pixels import to_model_image

CROWD = "iscrowd"  # a flag of a shape
_VERSION = "5.5.0"  # of the format that is written
# How many points a shape has; None: any number.
_POINTS = {
    "polygon": None,
    "rectangle": (2, 4),
    "oriented_rectangle": (4,),
    "rotation": (4,),  # so does X-AnyLabeling call it
    "circle": (2,),
    "line": (2,),
    "linestrip": None,
    "mask": (2,),
}


class LabelMeDataset(AnnotatedDataset):
    """Pictures with LabelMe's shapes: polygons, circles, turned rectangles, masks, lines of a
    width; and upright rectangles, which are boxes without an outline.

    Shapes of one label and `group_id` are the parts of one instance. A shape with the flag
    `iscrowd` is a crowd. A picture whose file is missing is read from its JSON file, if that holds
    it.

    Example:

    >>> dataset = LabelMeDataset()
    >>> dataset.load("pets")
    >>> dataset.prepare()
    """

    source = "labelme"

    @classmethod
    def find(cls, path):
        """A JSON file, a folder of them, its folders of subsets, or other folders in it."""
        if path.is_file():
            return {"": path} if is_kind(path, "labelme") else {}
        return by_folder(path, _annotated)

    def read(self, found, notes, images=None, line_width=0):
        """Reads a JSON file, or all of a folder.

        Args:
            found: `pathlib.Path`.
            notes: `Notes`.
            images: folder of the pictures; by default as each file says, from its own folder on.
            line_width: float, pixels; lines are as wide. 0: they are left out.
        """
        files = [found] if found.is_file() else files_in(found, [".json"])
        pictures = []
        for path in files:
            with notes.entry():
                content = read_json(path)
                if json_kind(content) != "labelme":
                    notes.leave_out("JSON files that are not LabelMe's are left out", path)
                    continue
                pictures.append(_picture(path, content, images, line_width, notes))
        return None, pictures

    def load_image(self, image_id):
        """Reads a picture as `Dataset` does, or from its JSON file."""
        info = self.image_info[image_id]
        if info["source"] != self.source or "embedded_in" not in info:
            return super().load_image(image_id)
        image = read_embedded(read_json(info["embedded_in"])["imageData"])
        count = Channels.of(self.channels).count
        return to_model_image(image, count, image_name(self, image_id), owner=self)


def _annotated(folder):
    """The folder, if files of it are LabelMe's."""
    ours = any(is_kind(x, "labelme") for x in files_in(folder, [".json"])[:FEW])
    return folder if ours else None


def _picture(path, content, images, line_width, notes):
    file, size, extra = _file(path, content, images or path.parent)
    size = annotated_size(content.get("imageHeight"), content.get("imageWidth"), size)
    shapes = content["shapes"]
    if not isinstance(shapes, list):
        raise ValueError(f"{path}: expected a list of 'shapes', received {str(shapes)[:80]}")
    drawn = []
    for i, shape in enumerate(shapes):
        with notes.entry():
            drawn += _drawn(shape, size, line_width, f"shape {i}", path, notes)
    extra["flags"] = content.get("flags")
    return Picture(path.stem, str(file), *size, join(drawn), extra, str(path))


def _file(path, content, folder):
    """The picture's file, its size, and where else it is if there is no such file."""
    name, data = content.get("imagePath"), content.get("imageData")
    if data and not (isinstance(name, str) and has_picture(folder, name)):
        try:
            size = read_embedded(data).shape[:2]
        except ValueError as error:
            raise ValueError(
                f"{path}: there is no picture {name}, and its imageData is none: {error}; put the "
                f"picture into {folder}"
            ) from None
        name = name if isinstance(name, str) else path.stem
        return Path(folder, name), size, {"embedded_in": str(path)}
    return *picture_at(folder, name, f"{path}, imagePath"), {}


def _drawn(shape, size, line_width, name, path, notes):
    """List of (group, `Instance`) of a shape: one, or none if it is left out."""
    where = f"{path}, {name}"
    if not isinstance(shape, dict):
        raise ValueError(f"{where}: expected a shape, received {str(shape)[:80]}")
    kind = shape.get("shape_type") or "polygon"  # version 3 had no others
    if kind in ("point", "points"):
        notes.leave_out("points have no outline and are left out", where)
        return []
    if kind in ("line", "linestrip") and not line_width:
        notes.leave_out("lines are left out; line_width=... draws them as wide", where)
        return []
    if not isinstance(kind, str) or kind not in _POINTS:
        raise ValueError(
            f"{where}: expected a shape of {', '.join(_POINTS)}, received {str(kind)[:80]!r}; draw "
            "one of these, or remove the shape"
        )
    label = shape.get("label")
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"{where}: expected a label, received {str(label)[:80]}; set it")
    try:
        parts, box = _parts_and_box(kind, shape, size, line_width)
        group, crowd = _group(shape.get("group_id")), _is_crowd(shape.get("flags"))
    except ValueError as error:
        raise ValueError(f"{where}, a {kind}: {error}; draw it anew in LabelMe") from None
    extra = {key: value for key, value in shape.items() if key not in ("points", "mask")}
    return [(group, Instance(label.strip(), parts, box, crowd, name, extra))]


def _parts_and_box(kind, shape, size, line_width):
    points = points_of(shape.get("points"))
    counts = _POINTS[kind]
    if counts and len(points) not in counts:
        raise ValueError(f"expected {' or '.join(map(str, counts))} points, received {len(points)}")
    if kind == "mask":
        return [_mask_code(shape.get("mask"), points, size)], None
    if kind == "circle":
        center, on_it = points
        return [[circle(*center, math.dist(center, on_it))]], None
    if kind in ("line", "linestrip"):
        return stroke(points, line_width), None
    if kind == "rectangle" and (len(points) == 2 or _is_upright(points)):
        return [], box_between(points[0], points[len(points) // 2])
    return [[ring(points)]], None


def _is_upright(corners):
    """Whether each side of a rectangle goes along x or along y."""
    return all(
        (x1 == x2) != (y1 == y2)
        for (x1, y1), (x2, y2) in itertools.pairwise([*corners, corners[0]])
    )


def _mask_code(text, points, size):
    """The code of a mask whose first and last pixels are the points."""
    (left, top), (right, bottom) = ((round(x), round(y)) for x, y in points)
    mask = read_embedded(text, (bottom - top + 1, right - left + 1))
    if mask.ndim == 3:
        mask = mask[:, :, : -1 if mask.shape[2] in (2, 4) else None].any(axis=2)  # without alpha
    return placed_code(mask != 0, top, left, *size)


def _group(value):
    if value is None or (isinstance(value, (int, str)) and not isinstance(value, bool)):
        return value
    raise ValueError(f"expected a number as group_id, received {str(value)[:40]}")


def _is_crowd(flags):
    flag = flags.get(CROWD) if isinstance(flags, dict) else None
    if flag not in (None, False, True):
        raise ValueError(f"expected the flag {CROWD} true or false, received {str(flag)[:40]}")
    return bool(flag)


def write_labelme(items, folder, class_names, notes):
    """Writes pictures, and a JSON file beside each, into a folder for each subset.

    An instance of several parts is several polygons of one `group_id`. A part with holes is one
    polygon, whose rings are joined by lines that go forth and back.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        folder: `pathlib.Path`, new or empty.
        class_names: list of str, without the background.
        notes: `Notes`, told of what the format cannot hold.
    """
    for item in items:
        picture = item.picture
        path = folder / item.subset / picture.name
        save_picture(item, path)
        shapes = []
        for group, instance in enumerate(picture.instances):
            drawn = _shapes(instance, picture, group)
            if not drawn:
                notes.leave_out("objects without a pixel are left out", f"{path}, {instance.name}")
            shapes += drawn
        content = {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": path.name,
            "imageData": None,
            "imageHeight": int(picture.height),
            "imageWidth": int(picture.width),
        }
        path.with_suffix(".json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def _shapes(instance, picture, group):
    """The shapes of an instance; several have the group."""
    if instance.parts:
        kind = "polygon"
        rings = [[x for x in part if len(x) >= 6] for part in parts_of(instance, picture)]
        outlines = [bridge(part) for part in rings if part]
    else:
        y1, x1, y2, x2 = instance.box
        kind, outlines = "rectangle", [[x1, y1, x2, y2]]
    return [
        {
            "label": instance.category,
            "points": [
                [float(x), float(y)] for x, y in zip(outline[::2], outline[1::2], strict=True)
            ],
            "group_id": group if len(outlines) > 1 else None,
            "description": "",
            "shape_type": kind,
            "flags": {CROWD: True} if instance.crowd else {},
            "mask": None,
        }
        for outline in outlines
    ]
