"""`CocoPanopticDataset`: COCO's panoptic annotations, a JSON file and PNGs, as a `Dataset`.

    annotations/panoptic_<subset>.json
    annotations/panoptic_<subset>/<stem>.png     whose colours are ids of segments
    <subset>/<stem>.jpg

A JSON file without annotations has PNGs of two channels, category and instance.

Cityscapes has the same files, as its scripts make them, and pictures in folders of cities:

    gtFine/cityscapes_panoptic_<subset>.json
    gtFine/cityscapes_panoptic_<subset>/<id>_gtFine_panoptic.png
    leftImg8bit/<subset>/<city>/<id>_leftImg8bit.png
"""

from pathlib import Path

import numpy as np

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.files import side_of
from mrcnn.data.annotations.instances import Instance, MaskFile, Picture
from mrcnn.data.annotations.json_files import is_kind, json_files
from mrcnn.data.annotations.subsets import named_subsets, subset_folders
from mrcnn.data.formats.coco.annotations import read_lists, to_id
from mrcnn.data.formats.coco.dataset import image_folder
from mrcnn.data.formats.coco_panoptic.segment_files import CROWD, read_channels, read_ids


class CocoPanopticDataset(AnnotatedDataset):
    """Pictures with segments: things are the instances, stuff is what `load_panoptic` adds.

    The classes of things come first, each group in the order of its file.

    Example:

    >>> dataset = CocoPanopticDataset()
    >>> dataset.load("coco", subset="val")
    >>> dataset.prepare()
    >>> ids, segments = dataset.load_panoptic(0)
    """

    source = "coco_panoptic"
    declares_classes = True
    gives_way_to = "coco"

    @classmethod
    def find(cls, path):
        """Annotation files by subset: the file itself; in `annotations/` or `gtFine/`; in the
        folder, or in its folders of subsets; of each folder those called `panoptic...` if there are
        any."""
        if path.is_file():
            return named_subsets({_subset_name(path): is_kind(path, cls.source) and path})
        folders = [path / name for name in ("annotations", "gtFine") if (path / name).is_dir()]
        folders += subset_folders(path).values()
        files = [
            x
            for folder in folders
            for x in json_files(folder, cls.source, "panoptic") or json_files(folder, cls.source)
        ]
        return named_subsets({_subset_name(x): x for x in files})

    def read(self, found, notes, images=None, segments=None):
        """Reads an annotation file.

        Args:
            found: `pathlib.Path` of a JSON file.
            notes: `Notes`.
            images: folder of its pictures; by default found by the first one's name.
            segments: folder of its PNGs, as `images` from the working folder on; by default that
                of the file's name without suffix.
        """
        content = read_lists(found, ("images", "categories"))
        classes = _classes(found, content, notes)
        stuff = {key for key, (_, is_thing) in classes.items() if not is_thing}
        self._stuff = getattr(self, "_stuff", set()) | stuff
        locate = _locate_pictures(found, images)
        segments = Path(segments) if segments else found.with_suffix("")
        listed = _listed(found, content, notes)
        pictures = []
        for i, entry in enumerate(content["images"]):
            with notes.entry():
                where = f"{found}, images[{i}]"
                pictures.append(_picture(entry, where, locate, segments, listed, classes))
        order = sorted(classes, key=lambda key: key in stuff)
        return [(key, classes[key][0]) for key in order], pictures

    def _add_classes(self, names, chosen, path, notes):
        super()._add_classes(names, chosen, path, notes)

        def is_stuff(info):
            return info["source"] == self.source and info["id"] in self._stuff

        self.class_info.sort(key=is_stuff)
        self.num_stuff_classes = sum(map(is_stuff, self.class_info))

    def load_panoptic(self, image_id):
        """Returns ids and segments; see `Dataset.load_panoptic`. Segments of classes that were not
        asked for are void."""
        info = self.image_info[image_id]
        if info["source"] != self.source:
            return super().load_panoptic(image_id)
        known = {x["id"] for x in self.class_info if x["source"] == self.source}
        ids = info["read_segments"](info["segments_file"])
        kept, left_out = [], []
        for each in info["segments"]:
            if each["category_id"] in known:
                kept.append(
                    {
                        "id": each["id"],
                        "class_id": self.map_source_class_id(
                            f"{self.source}.{each['category_id']}"
                        ),
                        "is_thing": each["category_id"] not in self._stuff,
                        "is_crowd": each["is_crowd"],
                    }
                )
            else:
                left_out.append(each["id"])
        return (np.where(np.isin(ids, left_out), 0, ids) if left_out else ids), kept


def _subset_name(path):
    name = path.stem.removeprefix("cityscapes_")
    return "" if name == "panoptic" else name.removeprefix("panoptic_")


def _locate_pictures(found, images):
    """Function of an image's id and `file_name` -> `pathlib.Path` of its picture."""
    cities = found.parent.parent / "leftImg8bit" / _subset_name(found)
    if images is None and cities.is_dir():
        # The `file_name` that Cityscapes' scripts write is that of no picture.
        return lambda key, name: cities / str(key).split("_")[0] / f"{key}_leftImg8bit.png"
    folder = Path(images) if images else image_folder(found, _subset_name(found))
    return lambda key, name: folder / name


def _classes(path, content, notes):
    """{id: (name, whether it is a thing)}."""
    found = {}
    for i, entry in enumerate(content["categories"]):
        with notes.entry():
            key = to_id(entry.get("id"), f"{path}, categories[{i}]")
            if entry.get("isthing") not in (0, 1):
                raise ValueError(
                    f"{path}, categories[{i}]: expected isthing 0 or 1, received "
                    f"{entry.get('isthing')!r}"
                )
            found[key] = str(entry.get("name") or key), bool(entry["isthing"])
    return found


def _listed(path, content, notes):
    """By image id what the file says of its segments; None of a file that says nothing."""
    if "annotations" not in content:
        return None
    found = {}
    for i, entry in enumerate(content["annotations"]):
        with notes.entry():
            where = f"{path}, annotations[{i}]"
            key = to_id(entry.get("image_id"), where)
            if key in found:
                raise ValueError(f"{where}: image {key} has one already")
            name, segments = entry.get("file_name"), entry.get("segments_info")
            if not isinstance(name, str) or not name:
                raise ValueError(f"{where}: expected file_name, that of a PNG, received {name!r}")
            if not isinstance(segments, list) or not all(isinstance(x, dict) for x in segments):
                raise ValueError(
                    f"{where}: expected segments_info, a list of objects, received "
                    f"{str(segments)[:40]}"
                )
            found[key] = entry
    return found


def _picture(entry, where, locate, folder, listed, classes):
    key, name = to_id(entry.get("id"), where), entry.get("file_name")
    sides = [side_of(entry.get(side)) for side in ("height", "width")]
    if not isinstance(name, str) or not name or None in sides:
        raise ValueError(f"{where}: expected file_name, height and width, received {entry}")
    if listed is None:
        file, read = folder / f"{name.rpartition('.')[0]}.png", read_channels
        segments = _of_channels(read(str(file)), classes)
    elif key in listed:
        file, read = folder / listed[key]["file_name"], read_ids
        segments = listed[key]["segments_info"]
    else:
        raise ValueError(f"{where}: expected an annotation of image {key}, there is none")
    segments = [_segment(x, f"{where}, segments_info[{i}]") for i, x in enumerate(segments)]
    for each in segments:
        if each["category_id"] not in classes:
            raise ValueError(
                f"{where}: segment {each['id']} has category_id {each['category_id']}; expected "
                "one of the categories of the file"
            )
    things = [
        Instance(
            each["category_id"],
            [MaskFile(str(file), each["id"], read)],
            crowd=each["is_crowd"],
            name=f"segment {each['id']}",
        )
        for each in segments
        if classes[each["category_id"]][1]
    ]
    extra = {"segments": segments, "segments_file": str(file), "read_segments": read}
    return Picture(key, str(locate(key, name)), *sides, things, extra, entry=where)


def _segment(entry, where):
    number, crowd = entry.get("id"), entry.get("iscrowd", 0)
    if not isinstance(number, int) or number < 1 or crowd not in (0, 1):
        raise ValueError(f"{where}: expected an id above 0, and iscrowd 0 or 1, received {entry}")
    category = to_id(entry.get("category_id"), where)
    return {"id": number, "category_id": category, "is_crowd": bool(crowd)}


def _of_channels(ids, classes):
    """Segments as COCO lists them, of ids of two channels."""
    return [
        {
            "id": number,
            "category_id": number // 256,
            "iscrowd": int(number % 256 == CROWD and classes.get(number // 256, (0, 0))[1]),
        }
        for number in np.unique(ids[ids > 0]).tolist()
    ]
