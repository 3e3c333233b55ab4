"""Where the pictures and labels of YOLO's data sets are.

A label file has the name of its picture and the suffix .txt. It lies beside the picture, or where
the folder `images` of the picture's path is called `labels`.
"""

import dataclasses
import os
from pathlib import Path

from mrcnn.data.annotations.subsets import subset_folders, subset_of
from mrcnn.data.annotations.text_files import read_text, read_yaml, shown
from mrcnn.image.reading import SUFFIXES

FEW = 20  # pictures of a folder whose label files are looked into
NAMES_FILES = ("classes.txt", "obj.names")
_NO_LABELS = {*NAMES_FILES, "train.txt", "val.txt", "valid.txt", "test.txt"}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a subset is.

    Args:
        root: `pathlib.Path`, the folder of the data set.
        entries: what the description says of the pictures of this subset, or paths of folders and
            pictures.
        others: list of the same of all subsets.
        description: `pathlib.Path` of the YAML file, or None.
        subset: str, its key there.
    """

    root: Path
    entries: object
    others: list = dataclasses.field(default_factory=list)
    description: Path | None = None
    subset: str = ""


def find_places(path):
    """`Place`s by subset: those that a YAML file lists, else those of the folders `images` and
    `labels`, else those of pictures with label files beside them."""
    if path.is_file():
        return _described(path) if is_description(path) else {}
    files = [x for x in sorted(path.iterdir()) if is_description(x)]
    if files:
        return _described(next((x for x in files if x.stem == "data"), files[0]))
    entries = _folders(path) or _side_by_side(path)
    listed = list(entries.values())
    return {name: Place(path, value, listed, subset=name) for name, value in entries.items()}


def is_description(path):
    if path.suffix.lower() not in (".yaml", ".yml") or not path.is_file():
        return False
    try:
        content = read_yaml(path)
    except ValueError:  # whoever reads it says what is wrong
        return path.stem == "data"
    is_dict = isinstance(content, dict) and content.keys() & {"names", "nc"}
    return bool(is_dict and _keys(path.parent, content))


def _keys(root, content):
    """The keys of the subsets: those that are named as one, and those of folders that exist."""
    texts = [key for key in content if isinstance(key, str) and key != "path"]
    named = [key for key in texts if subset_of(key) or key == "minival"]
    return named + [x for x in texts if x not in named and _locate(root, content, content[x])]


def _described(path):
    try:
        content = read_yaml(path)
        keys = [key for key in _keys(path.parent, content) if content[key]]
    except ValueError:  # `content_of` raises it again
        keys = []
    if not keys:
        return {"": Place(path.parent, None, description=path)}
    listed = [content[key] for key in keys]
    return {key: Place(path.parent, content[key], listed, path, key) for key in keys}


def _folders(path):
    """Of `images/train` or `train/images`, or of `images`, each with its like of `labels`."""
    images, found = path / "images", {}
    if images.is_dir():
        subsets = [x for x in sorted(images.iterdir()) if x.is_dir() and subset_of(x.name)]
        alone = [x for x in sorted(images.iterdir()) if x.suffix.lower() in SUFFIXES]
        found = {x.name: [x] for x in subsets}
        found |= {"": alone if subsets else [images]} if alone or not subsets else {}
    else:
        folders = subset_folders(path).items()
        found = {name: [x / "images"] for name, x in folders if (x / "images").is_dir()}
    return found if any(map(_have_labels, found.values())) else {}


def _have_labels(entries):
    """Whether any picture has a label file below `labels`, where others keep label images."""
    folders = {labels_folder(x if x.is_dir() else x.parent) for x in entries}
    stems = {x.stem for folder in folders for x in folder.rglob("*.txt")}
    return bool(stems) and any(x.stem in stems for x in pictures_under(entries))


def labels_folder(folder):
    """The folder with `labels` for the last `images` of its path; itself where there is none."""
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _side_by_side(path):
    folders = {"": path, **{k: v for k, v in subset_folders(path).items() if k}}
    for each in sorted(path.glob("obj_*_data")):  # as CVAT writes them for Darknet
        folders[each.name[4:-5]] = each
    found = {}
    for name, folder in folders.items():
        pictures = [x for x in sorted(folder.iterdir()) if x.suffix.lower() in SUFFIXES]
        labels = [x.with_suffix(".txt") for x in pictures[:FEW]]
        if any(map(_looks_like_labels, labels)):
            found[name] = [folder] if name else pictures
    return found


def _looks_like_labels(path):
    try:
        first = read_text(path).split("\n", 1)[0].split()
        return len(first) >= 5 and bool([float(x) for x in first])
    except ValueError:
        return False


def pictures_under(entries):
    """Yields the picture files of a list of folders and pictures."""
    for entry in entries:
        if entry.is_dir():
            yield from sorted(x for x in entry.rglob("*") if x.suffix.lower() in SUFFIXES)
        else:
            yield entry


def label_of(picture):
    """The label file of a picture, or None where there is none."""
    beside = picture.with_suffix(".txt")
    there = labels_folder(picture.parent) / beside.name
    return next((x for x in (there, beside) if os.path.isfile(x)), None)


def content_of(place):
    """What the YAML file of a data set says, a dict; empty where there is none.

    Raises:
        ValueError: it is no YAML, or none of a data set.
    """
    if place.description is None:
        return {}
    content = read_yaml(place.description)
    if not isinstance(content, dict) or place.entries is None:
        raise ValueError(
            f"{place.description}: expected the keys train, val and names, received "
            f"{shown(content)}"
        )
    return content


def pictures_of(place, entries, notes):
    """The pictures of a subset: list of paths, each once.

    Args:
        place: `Place`.
        entries: its own, or one of `others`.
        notes: `Notes`, told of subsets and pictures that are left out.
    """
    found = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        with notes.entry():
            for path in _pictures_of_entry(place, entry, notes):
                if path in found:
                    notes.leave_out("pictures that are listed twice are taken once", path)
                found[path] = None
    return list(found)


def _pictures_of_entry(place, entry, notes):
    if isinstance(entry, Path):
        return pictures_under([entry])
    where = f"{place.description}, {place.subset}"
    if not isinstance(entry, str):
        raise ValueError(
            f"{where}: expected a folder or a .txt list of pictures, received {shown(entry)}"
        )
    path = _locate(place.root, content_of(place), entry)
    if path is None and subset_of(place.subset) == "test":
        notes.leave_out("the subset test is left out, its folder is missing", entry)
        return []
    if path is None:
        raise ValueError(
            f"{where}: expected a folder or a .txt list of pictures, but there is no {entry} at "
            f"{place.root}; correct the path, it counts from the folder of the YAML file"
        )
    return pictures_under([path]) if path.is_dir() else _listed(path, notes)


def _listed(path, notes):
    """The pictures of a list, one a line, whose paths count from it, or from where it was made."""
    folder = path.parent
    for i, line in enumerate(read_text(path).splitlines(), 1):
        name = line.strip().replace("\\", "/")
        parts = [x for x in name.split("/") if x not in ("", ".", "..")]
        tails = ("/".join(parts[i:]) for i in range(len(parts)))
        candidates = [os.path.join(folder, x) for x in (name, *tails)]
        found = next(filter(os.path.isfile, candidates), None)
        with notes.entry():
            if name and not found:
                raise ValueError(
                    f"{path}, line {i}: expected the path of a picture, but there is no {name} at "
                    f"{folder}; put it there, or remove the line"
                )
        if found:
            yield Path(found)


def _locate(root, content, entry):
    """The folder or list that an entry means, or None.

    Paths count from `path` of the YAML file, or from its folder. Roboflow's begin with one `..`
    too many, and those of other machines are found by their last names.
    """
    if not isinstance(entry, str) or not entry.strip():
        return None
    bases, base = [root], content.get("path")
    if isinstance(base, str):
        bases = [Path(root, base), root]
    parts = [x for x in entry.strip().replace("\\", "/").split("/") if x not in ("", ".", "..")]
    tails = [parts[i:] for i in range(len(parts)) if i == 0 or i < len(parts) - 1]
    tails += [parts[-1:]] if parts and subset_of(parts[-1]) else []
    candidates = [Path(x, entry) for x in bases] + [Path(x, *y) for x in bases for y in tails if y]
    for path in candidates:
        if os.path.isdir(path) or (os.path.isfile(path) and path.suffix.lower() == ".txt"):
            return Path(os.path.normpath(path))
    return None


def lone_labels(labels):
    """The files beside some label files that would be such, but no picture has them.

    Args:
        labels: set of the label files that pictures have.
    """
    beside = {path for folder in {x.parent for x in labels} for path in folder.glob("*.txt")}
    return sorted(x for x in beside - labels if x.name not in _NO_LABELS)
