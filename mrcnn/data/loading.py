"""`load`: a data set of whatever format a file or folder is."""

from pathlib import Path

import numpy as np

from mrcnn.data.annotations.json_files import broken_json, forget
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.class_names import names_alike
from mrcnn.data.formats import FORMATS
from mrcnn.data.remote import local_data
from mrcnn.files.remote import is_remote


def load(
    path,
    subset=None,
    format=None,
    classes=None,
    box_masks=False,
    notes=None,
    verbose=1,
    config=None,
    **options,
):
    """Loads a data set, and says what it found and what it left out.

    Args:
        path: of an annotation file, or of the folder of a data set; here, or remote, such as
            s3://bucket/pets, which is copied once: see `mrcnn.data.remote.local_data`.
        subset: str, "train" or "val" for example; None for all that there are.
        format: str, a key of `mrcnn.data.formats.FORMATS`; by default recognised by the files.
        classes: list of class names: these, in this order, and no others. A validation set takes
            those of its training set: `classes=train.class_names[1:]`.
        box_masks: bool, whether an object without an outline has its box for a mask. By default
            such objects train only networks with `USE_MASK = False`.
        notes: `mrcnn.data.annotations.notes.Notes`; by default one that raises errors, and warns of
            what is left out.
        verbose: 0 prints nothing.
        config: `Config` that says which channels pictures have, see `Dataset.read_as`; by default
            they have three.
        **options: of the format, such as `label` of VIA: see `read` of its class. Folders may be
            remote too.

    Returns:
        A prepared `Dataset`.

    Raises:
        ValueError: no format or several fit; or names the file and the entry that is wrong.
        OSError: a remote path leads to nothing, or cannot be copied.

    Example:

    >>> train = mrcnn.data.load("balloon", subset="train")  # doctest: +SKIP
    """
    warns, notes = notes is None, notes or Notes()
    options = {key: local_data(x) if isinstance(x, str) else x for key, x in options.items()}
    if is_remote(path) and "images" not in options and Path(local_data(path)).is_file():
        raise ValueError(
            f"{path}: expected the folder of a data set, received a file, whose pictures would not "
            "be copied with it; give the folder, or that of the pictures too: --images, in Python "
            "images=..."
        )
    dataset = FORMATS[recognize(path, format)]()
    dataset.box_masks = box_masks
    if config is not None:
        dataset.read_as(config)
    dataset.load(local_data(path), subset, classes, notes, **options)
    dataset.prepare()
    forget()
    if warns:
        notes.warn(path)
    if not dataset.num_images:
        raise ValueError(f"{path}: expected pictures with annotations, found none")
    if verbose:
        print(describe(dataset, path))
    return dataset


def recognize(path, format=None):
    """The key of `FORMATS` that a path is of.

    Raises:
        ValueError: there is no such path or format, or several formats fit, or none.
    """
    path, known = Path(local_data(path)), ", ".join(FORMATS)
    if not path.exists():
        raise ValueError(
            f"there is no {path}: expected an annotation file or the folder of a data set"
        )
    if format is not None:
        if format not in FORMATS:
            raise ValueError(f"expected a format of {known}, received {format!r}")
        return format
    fitting = [name for name, kind in FORMATS.items() if kind.find(path)]
    fitting = [name for name in fitting if FORMATS[name].gives_way_to not in fitting]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ValueError(
            f"{path}: expected annotations of one format, found those of {', '.join(fitting)}; say "
            f"which, for example format={fitting[0]!r}"
        )
    broken = broken_json(path)
    if broken:
        raise ValueError(broken)
    raise ValueError(
        f"{path}: expected annotations of {known}, found none. docs/data.md shows what the files "
        "of each look like, and where they lie"
    )


def subsets(path, format=None):
    """Names of the subsets of a data set; [""] where it has none."""
    path = Path(local_data(path))
    return list(FORMATS[recognize(path, format)].find(path))


def describe(dataset, path):
    """What was found, as a text of a few lines."""
    summary = dataset.summary()
    counts = summary["counts"]
    parts = [f"{name} {count}" for name, count in summary["subsets"].items() if name]
    text = f"{path}: {dataset.source}, {dataset.num_images} pictures"
    text += f" ({', '.join(parts)})" if parts else ""
    text += f", {counts.sum()} objects of {dataset.num_classes - 1} classes"
    facts = {
        "crowds": summary["crowds"],
        "without an outline": summary["boxes"],
        "pictures without objects": summary["empty"],
    }
    told = [f"{count} {what}" for what, count in facts.items() if count]
    text += f"; {', '.join(told)}" if told else ""
    present = sorted(np.flatnonzero(counts), key=lambda i: -counts[i])
    lines = [text, "  " + ", ".join(f"{dataset.class_names[i]} {counts[i]}" for i in present)]
    things = list(zip(dataset.thing_names, counts, strict=False))[1:]
    absent = [name for name, count in things if not count]
    if absent:
        lines.append(f"  classes without an object: {', '.join(absent)}")
    for names in names_alike(dataset.class_names[1:]):
        lines.append(f"  classes that may be one: {', '.join(map(repr, names))}")
    return "\n".join(lines)
