"""`write_coco_panoptic`: any data set in COCO's panoptic format."""

import json

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.writing import code_of, mask_of, save_picture
from mrcnn.data.formats.coco_panoptic.segment_files import ids_to_colors


def write_coco_panoptic(items, folder, class_names, notes):
    """Writes `annotations/panoptic_<subset>.json`, PNGs beside it, and pictures to `<subset>/`; of
    data without subsets `annotations/panoptic.json` and `images/`.

    A pixel belongs to one segment only. Of a data set without `load_panoptic` the segments are its
    instances, and each pixel is the smallest one's.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        folder: `pathlib.Path`, new or empty.
        class_names: list of str, without the background; their ids are 1, 2, ...
        notes: `Notes`, told of what the format cannot hold.
    """
    numbers = {name: i for i, name in enumerate(class_names, start=1)}
    contents, stuff = {}, set()
    for item in items:
        picture, subset = item.picture, item.subset
        content = contents.setdefault(subset, {"images": [], "annotations": []})
        save_picture(item, folder / (subset or "images") / picture.name)
        number = len(content["images"]) + 1
        size = {"height": int(picture.height), "width": int(picture.width)}
        content["images"].append({"id": number, "file_name": picture.name, **size})
        found = item.panoptic()
        ids, segments = _drawn(picture, notes) if found is None else found
        stuff |= set(item.stuff)
        name = picture.name.rpartition(".")[0] + ".png"
        place = folder / "annotations" / _stem(subset)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids_to_colors(ids)).save(place / name)
        infos = [_info(ids, each, numbers) for each in segments]
        annotation = {"image_id": number, "file_name": name}
        annotation["segments_info"] = [info for info in infos if info["area"]]
        content["annotations"].append(annotation)
    categories = [
        {"id": i, "name": name, "supercategory": "", "isthing": int(name not in stuff)}
        for name, i in numbers.items()
    ]
    for subset, content in contents.items():
        text = json.dumps({**content, "categories": categories})
        (folder / "annotations" / f"{_stem(subset)}.json").write_text(text, encoding="utf-8")


def _stem(subset):
    return f"panoptic_{subset}" if subset else "panoptic"


def _info(ids, segment, numbers):
    """What COCO says of a segment."""
    code = mask_utils.encode(np.asfortranarray(ids == segment["id"], np.uint8))
    return {
        "id": int(segment["id"]),
        "category_id": numbers[segment["category"]],
        "iscrowd": int(segment["is_crowd"]),
        "area": int(mask_utils.area(code)),
        "bbox": list(map(int, mask_utils.toBbox(code))),
    }


def _drawn(picture, notes):
    """Ids and segments of instances that may overlap: the smallest of a pixel is seen."""
    instances = picture.instances
    areas = [int(mask_utils.area(code_of(each, picture))) for each in instances]
    ids = np.zeros((picture.height, picture.width), np.int32)
    for i in sorted(range(len(areas)), key=lambda i: (areas[i], i), reverse=True):
        ids[mask_of(instances[i], picture)] = i + 1
    seen = np.bincount(ids.ravel(), minlength=len(areas) + 1)[1:]
    segments = []
    for i, each in enumerate(instances):
        name = f"{picture.name}, {each.name}"
        if not seen[i]:
            what = "objects without a pixel, or that smaller ones cover wholly, are left out"
            notes.leave_out(what, name)
        elif seen[i] < areas[i]:
            notes.leave_out("objects lose pixels to smaller ones, as each pixel has one", name)
        segments.append({"id": i + 1, "category": each.category, "is_crowd": each.crowd})
    return ids, segments
