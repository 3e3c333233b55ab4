"""Data sets for training and validation: one split in two, and classes that are numbered alike."""

import copy
import hashlib

from mrcnn.data.class_names import NAMELESS


def split(dataset, share, seed=0):
    """Splits a data set by pictures: the same ones whatever their order.

    Args:
        dataset: a prepared `Dataset`.
        share: float, of the pictures that validate, above 0 and below 1; at least one of each.
        seed: int; another one draws other pictures.

    Returns:
        Two prepared data sets, of training and of validation, with all classes.

    Raises:
        ValueError: another share, or fewer than two pictures.
    """
    if not 0 < share < 1:
        raise ValueError(f"expected a share above 0 and below 1 for the split, received {share}")
    infos = dataset.image_info
    if len(infos) < 2:
        raise ValueError(f"expected two pictures or more to split, received {len(infos)}")
    drawn = sorted(range(len(infos)), key=lambda i: _draw(infos[i]["id"], seed))
    count = min(max(1, round(share * len(infos))), len(infos) - 1)
    return _part(dataset, sorted(drawn[count:])), _part(dataset, sorted(drawn[:count]))


def _draw(name, seed):
    """A number of a picture that depends on its name and the seed alone."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def _part(dataset, chosen):
    part, infos = copy.copy(dataset), dataset.image_info
    part.image_info = infos.take(chosen) if hasattr(infos, "take") else [infos[i] for i in chosen]
    part.prepare()
    return part


def number_classes(dataset, class_names, num_stuff_classes=None):
    """Numbers the classes of a data set as a model has them, in place.

    Objects of files that name no class, which are "object" then, are of a model's only class.

    Args:
        dataset: a prepared `Dataset`; some of the classes may be missing in it.
        class_names: list of names, "BG" first.
        num_stuff_classes: int, how many of them, the last ones, are stuff; by default all from the
            first one on that is stuff in the data set.

    Returns:
        The data set.

    Raises:
        ValueError: it has a class that is not among them, or two of one name, or one that is a
            thing here and stuff there.
    """
    if len(class_names) == 2 and list(dataset.class_names[1:]) == [NAMELESS]:
        dataset.class_info[1]["name"] = class_names[1]
        dataset.prepare()
    own = list(dataset.class_names)
    if own == list(class_names) and num_stuff_classes in (None, dataset.num_stuff_classes):
        return dataset
    unknown = [name for name in own if name not in class_names]
    doubled = sorted({name for name in own if own.count(name) > 1})
    if unknown or doubled:
        what = f"other classes, {unknown}" if unknown else f"two classes of one name, {doubled}"
        trained = list(class_names[1:])
        raise ValueError(f"expected data of the trained classes {trained}, received {what}")
    dataset.num_stuff_classes = _stuff_among(class_names, dataset, num_stuff_classes)
    by_name = dict(zip(own, dataset.class_info, strict=True))
    source = dataset.class_info[-1]["source"]
    dataset.class_info = [
        by_name.get(name, {"source": source, "id": f"absent {i}", "name": name})
        for i, name in enumerate(class_names)
    ]
    dataset.prepare()
    return dataset


def _stuff_among(class_names, dataset, count):
    """How many of the class names, the last ones, are stuff."""
    if not dataset.num_stuff_classes and not count:
        return 0
    things = dataset.thing_names[1:]
    stuff = dataset.class_names[1 + len(things) :]
    if count is None:
        count = len(class_names) - min(class_names.index(name) for name in stuff)
    first = len(class_names) - count
    other = [name for name in things if class_names.index(name) >= first]
    other += [name for name in stuff if class_names.index(name) < first]
    if other:
        raise ValueError(
            f"expected the trained things {list(class_names[1:first])} and stuff "
            f"{list(class_names[first:])}, received data whose {other[0]!r} is of the other kind"
        )
    return count
