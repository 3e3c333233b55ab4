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
    if not chosen:
        has = ", ".join(sorted(map(repr, found))) if any(found) else "none"
        raise ValueError(f"{path}: expected a subset of {has}, received {subset!r}")
    return chosen


def subset_folders(path):
    """By subset the folders below a `pathlib.Path` that are named as one, else itself as ""."""
    folders = {x.name: x for x in sorted(path.iterdir()) if x.is_dir() and subset_of(x.name)}
    return folders or {"": path}
