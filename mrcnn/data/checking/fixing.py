"""`fix`: a cleaned copy of a data set."""

import collections
import dataclasses
import functools
from pathlib import PurePosixPath

import numpy as np

from mrcnn.data.annotations.files import true_suffix
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.writing import items_of, mask_of
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
    "segments that cannot be used",
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
    counts, things = report.facts["objects of each class"], dataset.thing_names[1:]
    names = _one_name_each({name: counts[name] for name in things}, changes)
    stuff = _one_name_each(dict.fromkeys(dataset.class_names[1 + len(things) :], 0), changes)

    def items():
        objects = 0
        for image_id, item in zip(kept, items_of(dataset, kept), strict=True):
            cleaned = _cleaned(item, pictures[image_id], names, stuff, changes)
            objects += sum(not each.crowd for each in cleaned.picture.instances)
            yield cleaned
        if not objects and not (kept and dataset.num_stuff_classes):
            raise ValueError(
                f"{report.name}: nothing to train on would be left in {folder}, which is not "
                "written: " + "; ".join(changes or ["there is no object"])
            )

    notes = Notes()
    write(items(), folder, list(names.values()), list(stuff.values()), format, notes)
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


def _cleaned(item, findings, names, stuff, changes):
    """An item without its faulty objects, its classes renamed.

    Args:
        names, stuff: by the name of a class of things, of stuff, the one that it becomes.
    """
    faulty = {x.instance: x for x in findings if x.kind in _OBJECTS and x.instance is not None}
    changes += [f"left out the object {finding}" for finding in faulty.values()]
    instances = [
        dataclasses.replace(each, category={**stuff, **names}[each.category])
        for place, each in enumerate(item.picture.instances)
        if place not in faulty
    ]
    picture = dataclasses.replace(item.picture, instances=instances)
    suffix = true_suffix(picture.path) if picture.path else None
    if suffix:
        name = PurePosixPath(picture.name).stem + suffix
        changes.append(f"{picture.path} is called {name}")
        picture = dataclasses.replace(picture, name=name)
    return dataclasses.replace(
        item,
        picture=picture,
        panoptic=functools.partial(_cleaned_segments, item, faulty, names, stuff),
        things=tuple(dict.fromkeys(names.values())),
        stuff=tuple(dict.fromkeys(stuff.values())),
    )


def _cleaned_segments(item, faulty, names, stuff):
    """The panoptic map of an item without the segments of faulty objects, given by their places."""
    found = item.panoptic()
    if found is None:
        return None
    ids, segments = found
    left_out = set()
    if faulty:  # an object that is there twice has one segment, which stays
        under = [_segment_of(each, item.picture, ids) for each in item.picture.instances]
        left_out = {each["id"] for each in segments if each["is_thing"]}
        left_out &= {x for place, x in enumerate(under) if place in faulty}
        left_out -= {x for place, x in enumerate(under) if place not in faulty}
    kinds = {True: names, False: stuff}
    renamed = [
        {**each, "category": kinds[bool(each["is_thing"])][each["category"]]}
        for each in segments
        if each["id"] not in left_out
    ]
    return np.where(np.isin(ids, list(left_out)), 0, ids), renamed


def _segment_of(instance, picture, ids):
    """The id of the segment that most of an instance's pixels are of, 0 of one without any."""
    try:
        under = ids[mask_of(instance, picture)]
    except ValueError:  # the outline cannot be drawn
        return 0
    values, counts = np.unique(under, return_counts=True)
    return int(values[counts.argmax()]) if len(values) else 0
