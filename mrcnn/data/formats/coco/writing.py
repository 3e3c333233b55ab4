"""`write_coco`: any data set in COCO's format."""

import json
import os

from pycocotools import mask as mask_utils

from mrcnn.data.annotations.instances import MaskFile
from mrcnn.data.annotations.outlines import text_code
from mrcnn.data.annotations.writing import code_of, save_picture

_KEPT = ("score", "keypoints", "num_keypoints", "attributes")  # of what a file said beside


def write_coco(items, folder, class_names, notes):
    """Writes `annotations/instances_<subset>.json` and pictures to `<subset>/`; of data without
    subsets `instances.json` and `images/`.

    An instance with holes, or of pixels, is a run-length code; others are polygons, as they were.
    Keypoints are called what the data set calls them, in all categories.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        folder: `pathlib.Path`, new or empty.
        class_names: list of str, without the background; their ids are 1, 2, ...
        notes: `Notes`, told of what the format cannot hold.
    """
    ids = {name: i for i, name in enumerate(class_names, start=1)}
    categories = [{"id": i, "name": name, "supercategory": ""} for name, i in ids.items()]
    contents = {}
    for item in items:
        picture, scheme = item.picture, item.keypoint_scheme
        for category in categories if scheme is not None else ():
            category.update(scheme.to_coco())
        content = contents.setdefault(
            item.subset, {"images": [], "annotations": [], "categories": categories}
        )
        save_picture(item, folder / (item.subset or "images") / picture.name)
        image_id = len(content["images"]) + 1
        size = {"height": int(picture.height), "width": int(picture.width)}
        content["images"].append({"id": image_id, "file_name": picture.name, **size})
        for instance in picture.instances:
            annotation = _annotation(instance, picture)
            if annotation["area"]:
                number = len(content["annotations"]) + 1  # 0 means "unmatched" to COCOeval
                facts = {"id": number, "image_id": image_id}
                facts["category_id"] = ids[instance.category]
                content["annotations"].append(facts | annotation)
            else:
                notes.leave_out(
                    "objects without a pixel are left out", f"{picture.name}, {instance.name}"
                )
    os.makedirs(folder / "annotations", exist_ok=True)
    for subset, content in contents.items():
        name = f"instances_{subset}.json" if subset else "instances.json"
        (folder / "annotations" / name).write_text(json.dumps(content), encoding="utf-8")


def _annotation(instance, picture):
    """An annotation without its ids."""
    kept = {key: instance.extra[key] for key in _KEPT if key in instance.extra}
    kept["iscrowd"] = int(instance.crowd)
    if not instance.parts:
        y1, x1, y2, x2 = map(float, instance.box)
        box = [x1, y1, x2 - x1, y2 - y1]
        return {"segmentation": [], "bbox": box, "area": box[2] * box[3], **kept}
    code = code_of(instance, picture)
    polygons = [
        None if isinstance(part, (dict, MaskFile)) or len(part) > 1 else part[0]
        for part in instance.parts
    ]
    if instance.crowd or None in polygons:
        outline = text_code(code)
    else:
        outline = [list(map(float, polygon)) for polygon in polygons]
    area, box = float(mask_utils.area(code)), mask_utils.toBbox(code).tolist()
    return {"segmentation": outline, "bbox": box, "area": area, **kept}
