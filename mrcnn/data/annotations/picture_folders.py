"""Folders of pictures beside folders of what is drawn on them, by subset."""

from mrcnn.data.annotations.files import files_in
from mrcnn.data.annotations.subsets import folders_in, named_subsets
from mrcnn.image.reading import SUFFIXES


def beside_images(path, names, fit):
    """Where `images` lies beside folders that belong to it, by subset.

    Looks for `images` and one of the names in the folder; for folders of the same name in both,
    which are subsets; and for both in the folders of subsets.

    Args:
        path: `pathlib.Path` of a folder.
        names: names of the folders that may lie beside `images`.
        fit: function of a folder of pictures and such a folder: whether they belong together.

    Returns:
        dict: by subset the folder of the pictures, and the list of those that fit it.
    """
    return _below(path, names, fit) or named_subsets(
        {x.name: _below(x, names, fit).get("") for x in folders_in(path)}
    )


def _below(path, names, fit):
    images, found = path / "images", {}
    if not images.is_dir():
        return found
    for subset in ("", *(x.name for x in folders_in(images))):
        beside = [path / name / subset for name in names]
        fitting = [x for x in beside if x.is_dir() and fit(images / subset, x)]
        if fitting:
            found[subset] = images / subset, fitting
    return found


def label_files_in(path):
    """The files of a folder that `read_labels` may read, as `files_in`."""
    return files_in(path, {*SUFFIXES, ".npy"})
