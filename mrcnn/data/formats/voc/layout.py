"""Where the files of Pascal VOC's data sets are, as its own kit and other tools lay them out.

Annotations/*.xml  JPEGImages/*.jpg  SegmentationObject/*.png  SegmentationClass/*.png
ImageSets/Segmentation/train.txt     ImageSets/Main/train.txt
"""

import dataclasses
import os
import re
from pathlib import Path

from mrcnn.data.annotations.files import files_in, has_picture, picture_at
from mrcnn.data.annotations.subsets import subset_folders, subset_of
from mrcnn.data.annotations.text_files import read_text
from mrcnn.data.annotations.xml_files import root_tag
from mrcnn.image.reading import SUFFIXES

FEW = 8  # XML files of a folder that are looked into
_PICTURES = ("JPEGImages", "images", "Images")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where pictures of a subset are annotated.

    Args:
        annotations: `pathlib.Path` of the folder of XML files, or of one file.
        pictures: list of folders, where pictures are looked for.
        root: folder of `SegmentationObject`, or None.
        listed: path of the list of the subset in `ImageSets`, or None: all.
        lists: paths of those of all subsets.
    """

    annotations: Path
    pictures: list
    root: Path | None = None
    listed: Path | None = None
    lists: tuple = ()


def find_places(path):
    """Lists of `Place`s by subset."""
    if path.is_file():
        return {"": [_beside(path)]} if _is_voc(path) else {}
    found = {}
    for name, root in _roots(path):
        for subset, place in _subsets_of(root).items():
            found.setdefault(name or subset, []).append(place)
    if found:
        return found
    folders = {"": path, **subset_folders(path)}
    return {name: [_beside(x)] for name, x in folders.items() if _has_voc(x)}


def _is_voc(path):
    return path.suffix.lower() == ".xml" and path.is_file() and root_tag(path) == "annotation"


def _has_voc(folder):
    return any(map(_is_voc, files_in(folder, [".xml"])[:FEW]))


def _beside(path):
    """The place of an XML file, or of a folder of such; pictures lie beside, or one level up."""
    folder = path.parent if path.is_file() else path
    above = folder.parent
    pictures = [folder, *(above / x for x in _PICTURES), above]
    root = above if (above / "SegmentationObject").is_dir() else None
    return Place(path, [x for x in pictures if x.is_dir()], root)


def _roots(path):
    """(subset, folder) of those that are laid out like VOC; the subset is "" where none is told."""
    if _annotations_of(path):
        return [("", path)]
    for folder in (path, path / "VOCdevkit"):
        below = sorted(x for x in folder.iterdir() if x.is_dir()) if folder.is_dir() else []
        found = [(x.name if subset_of(x.name) else "", x) for x in below if _annotations_of(x)]
        if found:
            return found
    return []


def _annotations_of(root):
    """The folder of a root's XML files, which may be missing beside instance files; or None."""
    for name in ("Annotations", "annotations"):
        if (root / name).is_dir() and _has_voc(root / name):
            return root / name
    return root / "Annotations" if _has_instance_files(root) else None


def _instance_files(root):
    folder = root / "SegmentationObject"
    return files_in(folder, [".png"]) if folder.is_dir() else []


def _has_instance_files(root):
    return bool(_instance_files(root))


def _subsets_of(root):
    annotations, instances = _annotations_of(root), _has_instance_files(root)
    pictures = [root / x for x in _PICTURES if (root / x).is_dir()]
    place = Place(annotations, [*pictures, annotations, root], root if instances else None)
    kinds = ("Segmentation", "Main") if instances else ("Main", "Segmentation")
    lists = next(filter(None, (_lists(root / "ImageSets" / kind) for kind in kinds)), {})
    every = tuple(lists.values())
    listed = {name: dataclasses.replace(place, listed=x, lists=every) for name, x in lists.items()}
    return listed or {"": place}


def _lists(folder):
    """The lists of subsets, without those of single classes and of train and val together."""
    lists = {x.stem: x for x in (files_in(folder, [".txt"]) if folder.is_dir() else [])}
    of_classes = {x for x in lists for y in lists if x != y and x.endswith(f"_{y}")}
    both = {"trainval"} if {"train", "val"} <= lists.keys() else set()
    return {name: x for name, x in lists.items() if name not in of_classes | both}


def stems_of(place, notes):
    """The names, without suffix, of what is annotated; `notes` is told of what no list names."""
    if place.annotations.is_file():
        return [place.annotations.stem]
    files = files_in(place.annotations, [".xml"]) if place.annotations.is_dir() else []
    annotated = {x.stem for x in files}
    if place.listed is None:
        if place.root and not annotated:
            annotated = {x.stem for x in _instance_files(place.root)}
        return sorted(annotated)
    if place.listed == place.lists[0]:
        named = {name for each in place.lists for name in _names_in(each)}
        for name in sorted(annotated - named):
            notes.leave_out(
                f"XML files that no list of {place.listed.parent} names are left out; load "
                f"{place.annotations} for all",
                name,
            )
    return _names_in(place.listed)


def _names_in(path):
    """The names of a list, one a line; behind one 1, 0 or -1 may say whether a class is there."""
    lines = (re.sub(r"\s+-?[01]$", "", x.strip()).strip('"') for x in read_text(path).splitlines())
    return list(dict.fromkeys(filter(None, lines)))


def xml_of(place, stem):
    """The XML file of a name, or None."""
    if place.annotations.is_file():
        return place.annotations
    paths = (place.annotations / f"{stem}{suffix}" for suffix in (".xml", ".XML"))
    return next(filter(os.path.isfile, paths), None)


def picture_of(place, stem, name, images, where):
    """The picture that an XML file names, else that of its own name, and its size.

    Args:
        place: `Place`.
        stem: str, name of the XML file without suffix.
        name: str, as the file says; or None.
        images: folder of the pictures, or None: those of the place.
        where: str, what an error calls the entry.
    """
    folders = [Path(images)] if images else place.pictures
    own = (f"{stem}{x}" for suffix in sorted(SUFFIXES) for x in (suffix, suffix.upper()))
    for candidate in (*([name] if name else []), *own):
        for folder in folders:
            if has_picture(folder, candidate):
                return picture_at(folder, candidate, where)
    return picture_at(folders[0], name or f"{stem}.jpg", where)
