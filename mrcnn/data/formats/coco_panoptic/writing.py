"""`write_coco_panoptic`: any data set in COCO's panoptic format."""

import json

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.writing import code_of, mask_of, save_picture
from mrcnn.data.formats.coco_panoptic.segment_files import ids_to_colors, segment_info


def write_coco_panoptic(items, folder, class_names, notes):
    """Writes `annotations/panoptic_<subset>.json`, PNGs beside it, and pictures to `<subset>/`; of
    data without subsets `annotations/panoptic.json` and `images/`.

    A pixel belongs to one segment only. Of a data set without `load_panoptic` the segments are its
    instances, and each pixel is the smallest one's.

    Args:
        items: iterable of `mrcnn.data.annotations.writing.Item`.
        folder: `pathlib.Path`, new or empty.
        class_names: list of str, without the background; their ids are 1, 2, ... Where a thing and
            stuff have one name, the stuff has an id after those.
        notes: `Notes`, told of what the format cannot hold.

    Raises:
        ValueError: names the picture whose ids cannot be written.
    """
    numbers, contents = _Numbers(class_names), {}
    for item in items:
        picture, subset = item.picture, item.subset
        content = contents.setdefault(subset, {"images": [], "annotations": []})
        save_picture(item, folder / (subset or "images") / picture.name)
        number = len(content["images"]) + 1
        size = {"height": int(picture.height), "width": int(picture.width)}
        content["images"].append({"id": number, "file_name": picture.name, **size})
        found = item.panoptic()
        ids, segments = _drawn(picture, notes) if found is None else found
        numbers.add(item)
        name = picture.name.rpartition(".")[0] + ".png"
        place = folder / "annotations" / _stem(subset)
        place.mkdir(parents=True, exist_ok=True)
        try:
            colors = ids_to_colors(ids)
        except ValueError as error:
            raise ValueError(f"{picture.path or picture.name}: {error}") from None
        Image.fromarray(colors).save(place / name)
        infos = [
            segment_info(ids, each["id"], numbers.of(each), each["is_crowd"]) for each in segments
        ]
        annotation = {"image_id": number, "file_name": name}
        annotation["segments_info"] = [info for info in infos if info["area"]]
        content["annotations"].append(annotation)
    categories = numbers.categories()
    for subset, content in contents.items():
        text = json.dumps({**content, "categories": categories})
        (folder / "annotations" / f"{_stem(subset)}.json").write_text(text, encoding="utf-8")


def _stem(subset):
    return f"panoptic_{subset}" if subset else "panoptic"


class _Numbers:
    """The ids of classes, which are known by their names and whether they are things."""

    def __init__(self, class_names):
        self.names, self.things, self.stuff = list(class_names), set(), {}

    def add(self, item):
        """Takes what an item says of its classes."""
        self.things |= set(item.things)
        for name in item.stuff:
            self.stuff.setdefault(name, len(self.names) + 1 + len(self.stuff))

    def of(self, segment):
        """The category id of a segment."""
        name = segment["category"]
        if segment["is_thing"] or name not in self.things:
            return self.names.index(name) + 1
        return self.stuff[name]

    def categories(self):
        """COCO's list of them."""
        found = [
            (i, name, name in self.things or name not in self.stuff)
            for i, name in enumerate(self.names, start=1)
        ]
        found += [(i, name, False) for name, i in self.stuff.items() if name in self.things]
        return [
            {"id": i, "name": name, "supercategory": "", "isthing": int(is_thing)}
            for i, name, is_thing in found
        ]


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
        kind = {"category": each.category, "is_thing": True, "is_crowd": each.crowd}
        segments.append({"id": i + 1, **kind})
    return ids, segments
