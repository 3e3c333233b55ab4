"""`CocoDataset`: COCO, or any data annotated in its format, as a `Dataset`."""

import dataclasses
import os

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.files import has_picture
from mrcnn.data.annotations.instances import Instance, Picture
from mrcnn.data.annotations.json_files import is_kind, json_files, read_json
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.outlines import outline_parts, to_code
from mrcnn.data.annotations.subsets import named_subsets, subset_folders
from mrcnn.data.formats.coco import download as coco_files
from mrcnn.data.formats.coco.annotations import read_annotations, to_id
from mrcnn.data.formats.coco.keypoints import keypoints_of, leave_out_others, scheme_of

_WHOLE = ("instances", "annotations", "detections")  # files of data without subsets
FEW = 20  # pictures that are looked for to find their folder


class CocoDataset(AnnotatedDataset):
    """Images with COCO's annotations: polygons or run-length codes, crowds among them; keypoints.

    COCO numbers its 80 classes with gaps; here they are 1 to 80 in the same order. Keypoints are in
    the files `person_keypoints_...`: load such a file itself, or `load_coco(keypoints=True)`.

    Example:

    >>> dataset = CocoDataset()
    >>> dataset.load_coco("coco", "val", year=2017)
    >>> dataset.prepare()
    """

    source = "coco"
    declares_classes = True

    @classmethod
    def find(cls, path):
        """Annotation files by subset: the file itself; in `annotations/`, those called
        `instances_...` if there are any; in the folder, or in its folders of subsets."""
        if path.is_file():
            return named_subsets({_subset_name(path): is_kind(path, "coco") and path})
        listed = path / "annotations"
        if listed.is_dir():
            files = json_files(listed, "coco", "instances_") or json_files(listed, "coco")
            if files:
                return _by_subset([(_subset_name(x), x) for x in files], path)
        found = []
        for name, folder in {"": path, **subset_folders(path)}.items():
            files = json_files(folder, "coco")
            found += [(name if name and len(files) == 1 else _subset_name(x), x) for x in files]
        return _by_subset(found, path)

    def read(self, found, notes, images=None):
        """Reads an annotation file.

        Args:
            found: `pathlib.Path` of a JSON file.
            notes: `Notes`.
            images: folder of its pictures; by default found by the first one's name.
        """
        image_dir = str(images or image_folder(found, _subset_name(found)))
        coco = read_annotations(str(found), image_dir, notes)
        self._take_scheme(coco, found, notes)
        classes = _one_class_a_name(coco, found, notes)
        pictures = (_picture(coco, i, image_dir, coco.cats) for i in _in_order(coco.imgs))
        return classes, [dataclasses.replace(x, entry=f"{found}, image {x.name}") for x in pictures]

    def load_coco(
        self,
        dataset_dir,
        subset,
        year="2014",
        class_ids=None,
        class_map=None,
        return_coco=False,
        auto_download=False,
        keypoints=False,
    ):
        """Adds the classes and images of a subset, images in the order of their ids.

        Args:
            dataset_dir: folder of `<subset><year>/` and of
                `annotations/instances_<subset><year>.json`.
            subset: "train", "val", of 2014 also "minival" and "valminusminival"; or your own.
            year: str or int.
            class_ids: list of COCO's ids of classes: only these, in this order, and only images
                that have one. By default all classes and all images, also those without objects.
            class_map: not used; accepted for scripts written for matterport's library.
            return_coco: bool, whether to return the annotations.
            auto_download: bool, whether to fetch what is missing; see `auto_download`.
            keypoints: bool, whether to read `person_keypoints_<subset><year>.json` instead.

        Returns:
            `pycocotools.coco.COCO` with `return_coco`, otherwise None.

        Raises:
            ValueError: a file or folder is missing, or the annotations cannot be used.
        """
        kind = "person_keypoints" if keypoints else "instances"
        if auto_download and keypoints:
            coco_files.fetch_subset(dataset_dir, subset, year, kind)
        elif auto_download:
            self.auto_download(dataset_dir, subset, year)
        image_dir = coco_files.image_folder(dataset_dir, subset, year)
        path = coco_files.annotation_file(dataset_dir, subset, year, kind)
        coco = _read_annotations(path, subset, year, image_dir)
        notes = Notes()
        self._take_scheme(coco, path, notes)
        notes.warn(path)
        everything = class_ids is None or not len(class_ids)
        chosen = _in_order(coco.cats) if everything else _known_classes(coco, class_ids)
        if not os.path.isdir(image_dir):
            raise ValueError(_missing("pictures in the folder", image_dir, subset, year))
        for class_id in chosen:
            self.add_class("coco", class_id, coco.cats[class_id]["name"])
        for image_id in _in_order(coco.imgs):
            picture = _picture(coco, image_id, image_dir, chosen)
            if picture.instances or everything:
                size = {"width": picture.width, "height": picture.height}
                self.add_image("coco", image_id, picture.path, **size, **picture.extra)
        return coco if return_coco else None

    def auto_download(self, dataDir, dataType, dataYear):
        """Fetches the pictures and annotations of a subset from COCO's server where they lack.

        Args:
            dataDir: str, as `dataset_dir` of `load_coco`; made if there is none.
            dataType: "train", "val", "minival" or "valminusminival".
            dataYear: 2014 or 2017; 2014 only for the last two.

        Raises:
            ValueError, OSError: as `mrcnn.data.formats.coco.download.fetch_subset`.
        """
        coco_files.fetch_subset(dataDir, dataType, dataYear)

    def instances(self, image_id):
        """Returns the `Instance`s of a picture, whose `extra` is COCO's annotation."""
        return [_instance(each) for each in self.image_info[image_id]["annotations"]]

    def instances_with_keypoints(self, image_id):
        """As of `AnnotatedDataset`: as in the file, unless a subclass has keypoints of its own."""
        if type(self).load_keypoints is CocoDataset.load_keypoints:
            return self.instances(image_id)
        return super().instances_with_keypoints(image_id)

    def _add_pictures(self, pictures, notes):
        super()._add_pictures(pictures, notes)
        for info in self.image_info:
            if "instances" in info:
                info["annotations"] = [each.extra for each in info.pop("instances")]

    def _take_scheme(self, coco, path, notes):
        scheme, ids = scheme_of(coco.cats.values(), path, notes)
        if scheme is None:
            return
        leave_out_others(coco.dataset["annotations"], coco.cats, ids, notes)
        if self.keypoint_scheme is not None and self.keypoint_scheme.names != scheme.names:
            raise ValueError(
                f"{path}: expected the keypoints of the files before, "
                f"{', '.join(self.keypoint_scheme.names)}, received {', '.join(scheme.names)}"
            )
        self.keypoint_scheme = self.keypoint_scheme or scheme

    def load_keypoints(self, image_id):
        """Returns the keypoints of an image, float32 [N, K, 3] y x visibility: see `Dataset`."""
        if self.keypoint_scheme is None or self.image_info[image_id]["source"] != self.source:
            return super().load_keypoints(image_id)
        count = len(self.keypoint_scheme)
        found = [keypoints_of(instance.extra, count) for instance, _ in self.drawn(image_id)]
        return np.array(found, np.float32).reshape(-1, count, 3)

    def image_reference(self, image_id):
        """Returns the link of an image in COCO's explorer."""
        info = self.image_info[image_id]
        if info["source"] != "coco":
            return super().image_reference(image_id)
        return f"http://cocodataset.org/#explore?id={info['id']}"

    def annToRLE(self, ann, height, width):
        """Returns the run-length code of an annotation.

        Args:
            ann: dict with `segmentation`: list of polygons [x, y, x, y, ...], the parts of one
                object; or a code, `counts` as a list or compressed.
            height, width: of the image; a code brings its own.
        """
        name = f"Annotation {ann.get('id')} of image {ann.get('image_id')}"
        return to_code(ann["segmentation"], height, width, name)

    def annToMask(self, ann, height, width):
        """Returns the mask of an annotation, uint8 [H, W]; the arguments are `annToRLE`'s."""
        return mask_utils.decode(self.annToRLE(ann, height, width))


def _by_subset(files, path):
    """{subset: file} of pairs; a file of a name that is taken is called by its path."""
    found = {}
    for name, file in files:
        other = file.relative_to(path).with_suffix("").as_posix()
        found[other if name in found else name] = file
    return named_subsets(found)


def _subset_name(path):
    """The subset of an annotation file: "val2017" of "instances_val2017.json", "" of
    "instances.json"."""
    name = path.stem.removesuffix(".coco").removeprefix("_")
    if name in _WHOLE:
        return ""
    return name.removeprefix("instances_").removeprefix("person_keypoints_")


def image_folder(path, subset):
    """Where the pictures of an annotation file of a subset lie: where one of the first is as it is
    written, or by its name alone."""
    images = read_json(path)["images"]
    entries = images if isinstance(images, list) else []
    names = [x.get("file_name") for x in entries if isinstance(x, dict)]
    names = [x.replace("\\", "/") for x in names if isinstance(x, str) and x.strip()][:FEW]
    folders = []
    for base in (path.parent, path.parent.parent):
        folders += [base, base / subset, base / "images", base / "images" / subset]
    for fits in (lambda folder, name: os.path.isfile(folder / name), has_picture):
        for name in names:
            found = next((x for x in folders if fits(x, name)), None)
            if found:
                return found
    near = path.parent.parent if path.parent.name == "annotations" else path.parent
    return near / subset if (near / subset).is_dir() else near


def _one_class_a_name(coco, path, notes):
    """(id, name) of each class. Annotations of a category whose name an earlier one has become of
    that one: Roboflow, for example, writes a parent of the same name."""
    first = {}
    for key in _in_order(coco.cats):
        first.setdefault(coco.cats[key]["name"], key)
    for annotation in coco.dataset["annotations"]:
        annotation["category_id"] = first[coco.cats[annotation["category_id"]]["name"]]
    for key in _in_order(coco.cats.keys() - set(first.values())):
        what = "several categories have one name, and are one class"
        notes.leave_out(what, f"{path}, {coco.cats[key]['name']!r}, id {key}")
    return [(key, name) for name, key in first.items()]


def _picture(coco, image_id, image_dir, chosen):
    info = coco.imgs[image_id]
    annotations = [a for a in coco.imgToAnns.get(image_id, []) if a["category_id"] in chosen]
    return Picture(
        image_id,
        os.path.join(image_dir, info["file_name"]),
        info["height"],
        info["width"],
        [_instance(each) for each in annotations],
        {"annotations": annotations},
    )


def _instance(annotation):
    box, name = None, f"annotation {annotation.get('id')}"
    parts = outline_parts(annotation["segmentation"], name) if annotation["segmentation"] else []
    if not parts:
        x, y, width, height = annotation["bbox"]
        box = y, x, y + height, x + width
    return Instance(
        annotation["category_id"],
        [part if isinstance(part, dict) else [part] for part in parts],
        box,
        bool(annotation.get("iscrowd", 0)),
        name,
        annotation,
    )


def _read_annotations(path, subset, year, image_dir):
    if not os.path.isfile(path):
        raise ValueError(_missing("annotations in the file", path, subset, year))
    return read_annotations(path, image_dir)


def _in_order(ids):
    """Numbers first, then texts."""
    return sorted(ids, key=lambda value: (isinstance(value, str), value))


def _missing(what, path, subset, year):
    return (
        f"Expected COCO's {what} {path}, but it does not exist (subset {subset!r}, year {year}; "
        f"COCO has {', '.join(coco_files.SUBSETS)}, the last two of 2014, and the years "
        f"{', '.join(coco_files.YEARS)}). Correct them or dataset_dir, or download the subset: "
        "load_coco(..., auto_download=True), on the command line --download."
    )


def _known_classes(coco, class_ids):
    class_ids = [to_id(class_id, "class_ids") for class_id in class_ids]
    unknown = [class_id for class_id in class_ids if class_id not in coco.cats]
    if unknown:
        raise ValueError(
            f"Expected class_ids of {_in_order(coco.cats)}, received {unknown}. They are COCO's "
            "own ids; coco.cats has their names."
        )
    return class_ids
