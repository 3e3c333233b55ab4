"""Subsets of a data set, by the names that people give them."""

import re

_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def subset_of(name):
    """The subset that a file or folder name tells of: "val2017" is "val", "stage1_train" of a
    contest "train"; None for other names."""
    return _NAMES.get(re.sub(r"^stage\d+_|[\W_]*\d*$", "", name.lower()))


def choose(found, subset, path):
    """The keys of `found` that a user means by `subset`; None means all.

    Raises:
        ValueError: there is no such subset.
    """
    if subset is None:
        return set(found)
    chosen = {name for name in found if subset in (name, subset_of(name))}
    if not chosen and not any(found):
        raise ValueError(f"{path} has no subsets, received {subset!r}: leave it out for all of it")
    if not chosen:
        has = ", ".join(sorted(map(repr, found)))
        raise ValueError(f"{path}: expected a subset of {has}, received {subset!r}")
    return chosen


def subset_folders(path):
    """By subset the folders below a `pathlib.Path` that are named as one, else itself as ""."""
    folders = {x.name: x for x in sorted(path.iterdir()) if x.is_dir() and subset_of(x.name)}
    return folders or {"": path}


def named_subsets(found):
    """The entries that are not None; a folder alone is a subset only if it is named as one."""
    found = {name: place for name, place in found.items() if place}
    if len(found) == 1 and not subset_of(*found):
        return dict(zip([""], found.values(), strict=True))
    return found


def folders_in(path):
    """The folders of a folder, sorted, without hidden ones."""
    return sorted(x for x in path.iterdir() if not x.name.startswith(".") and x.is_dir())


def by_folder(path, look):
    """What is found in a folder and in those of its subsets; if nothing in itself, in any folder
    in it.

    Args:
        path: `pathlib.Path` of a folder.
        look: function of a folder; what it returns is left out where it is empty.

    Returns:
        dict by subset, "" of the folder itself.
    """
    own = look(path)
    if not own:
        return named_subsets({x.name: look(x) for x in folders_in(path)})
    below = {name: look(folder) for name, folder in subset_folders(path).items() if name}
    return {"": own} | {name: place for name, place in below.items() if place}
