"""`fix`: a cleaned copy of a data set."""

import collections
import dataclasses
from pathlib import PurePosixPath

from mrcnn.data.annotations.files import true_suffix
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.writing import items_of
from mrcnn.data.checking.findings import BOX_ALONE, Finding
from mrcnn.data.class_names import names_alike
from mrcnn.data.converting import write
from mrcnn.data.formats import WRITERS

# Kinds of findings, and what is left out for them.
_UNREAD = {"entry that cannot be used", "left out"}
_PICTURES = {
    "picture that cannot be read",
    "size that differs from the annotation",
    "masks that cannot be used",
    "same picture in two subsets",
    "same picture twice",
}
_OBJECTS = {
    "outline that cannot be used",
    "object without a pixel",
    "object annotated twice",
    "box under one pixel",
}


def fix(dataset, report, folder, format=None):
    """Writes a copy without what a check found fault with.

    Left out are pictures that cannot be used or are there twice (of two subsets, that to train on),
    and objects that cannot be used, have no pixel or are there twice; where masks are to be trained
    also pictures with an object that has a box alone. Class names that differ by case, blanks or
    dashes become the most frequent of them, file names get their true suffix.

    Args:
        dataset: the checked `Dataset`, as `check_path` returned it.
        report: its `Report`.
        folder: path, new or empty.
        format: key of `mrcnn.data.formats.WRITERS`; by default that of the data set, or COCO's.

    Returns:
        list of str, what was changed.

    Raises:
        ValueError: as `mrcnn.data.convert`, or nothing to train on would be left.
    """
    format = format or (dataset.source if getattr(dataset, "source", None) in WRITERS else "coco")
    pictures = collections.defaultdict(list)
    for finding in report.findings:
        pictures[finding.image_id].append(finding)
    changes = [f"left out when read: {x}" for x in pictures[None] if x.kind in _UNREAD]
    gone = {
        image_id: next((x for x in findings if x.kind in _PICTURES), None)
        for image_id, findings in pictures.items()
    }
    if any(finding.kind == BOX_ALONE for finding in report.findings):
        gone = _with_a_box_alone(dataset) | {i: x for i, x in gone.items() if x}
    changes += [f"left out the picture {finding}" for finding in gone.values() if finding]
    kept = [i for i in range(dataset.num_images) if not gone.get(i)]
    names = _one_name_each(report.facts["objects of each class"], changes)

    def items():
        objects = 0
        for image_id, item in zip(kept, items_of(dataset, kept), strict=True):
            cleaned = _cleaned(item, pictures[image_id], names, changes)
            objects += sum(not each.crowd for each in cleaned.picture.instances)
            yield cleaned
        if not objects:
            raise ValueError(
                f"{report.name}: nothing to train on would be left in {folder}, which is not "
                "written: " + "; ".join(changes or ["there is no object"])
            )

    notes = Notes()
    write(items(), folder, list(dict.fromkeys(names.values())), format, notes)
    return changes + list(notes.messages())


def _with_a_box_alone(dataset):
    """Findings by picture, of each that has an object without an outline."""
    found = {}
    for image_id, info in enumerate(dataset.image_info):
        own = info["source"] == dataset.source
        for place, each in enumerate(dataset.instances(image_id) if own else []):
            if not each.parts:
                text = "it has a box alone: keep it by USE_MASK = False, or box_masks = True"
                where = f"{info['path']}, {each.name}"
                found.setdefault(
                    image_id, Finding("error", BOX_ALONE, where, text, image_id, place)
                )
    return found


def _one_name_each(counts, changes):
    """By a class name the one that it becomes."""
    names = {name: name for name in counts}
    for group in names_alike(counts):
        best = max(group, key=counts.get)
        names |= dict.fromkeys(group, best)
        changes += [f"class {name!r} becomes {best!r}" for name in group if name != best]
    return names


def _cleaned(item, findings, names, changes):
    faulty = {x.instance: x for x in findings if x.kind in _OBJECTS and x.instance is not None}
    changes += [f"left out the object {finding}" for finding in faulty.values()]
    instances = [
        dataclasses.replace(each, category=names[each.category])
        for place, each in enumerate(item.picture.instances)
        if place not in faulty
    ]
    picture = dataclasses.replace(item.picture, instances=instances)
    suffix = true_suffix(picture.path) if picture.path else None
    if suffix:
        name = PurePosixPath(picture.name).stem + suffix
        changes.append(f"{picture.path} is called {name}")
        picture = dataclasses.replace(picture, name=name)
    return dataclasses.replace(item, picture=picture)
