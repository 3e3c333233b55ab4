"""Panoptic truth (arXiv:1801.00868): what `Dataset.load_panoptic` returns, and what follows.

Shape legend: H, W size in pixels; N instances of an image; K classes: background, things, stuff.
"""

import numpy as np

from mrcnn.data.image_loading import image_name, load_instances
from mrcnn.image.label_maps import VOID
from mrcnn.image.masks import no_masks


def load_segments(dataset, image_id, image_shape):
    """Returns the checked ids and segments of an image; None where the data set has none.

    Args:
        dataset: a prepared `Dataset`.
        image_id: int.
        image_shape: (H, W, ...) of the image.

    Returns:
        ids: int `[H, W]`, 0 where no segment is.
        segments: list of dicts, of `id`, `class_id`, `is_thing` and `is_crowd`.

    Raises:
        ValueError: names the image and the segment.
    """
    found = dataset.load_panoptic(image_id)
    if found is None:
        return None
    name = f"{image_name(dataset, image_id)}, load_panoptic"
    ids, segments = np.asarray(found[0]), [{"is_crowd": False, **each} for each in found[1]]
    for i, each in enumerate(segments):
        missing = [key for key in ("id", "class_id", "is_thing") if key not in each]
        if missing:
            raise ValueError(
                f"{name}: expected id, class_id and is_thing of each segment; segment {i} of the "
                f"list has no {missing[0]}, received {found[1][i]}"
            )
    if ids.shape != tuple(image_shape[:2]) or ids.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected ids of segments, integers {list(image_shape[:2])} as the image, "
            f"received {ids.dtype} {list(ids.shape)}"
        )
    _check_classes(segments, dataset.num_classes, dataset.num_stuff_classes, name)
    listed = [each["id"] for each in segments]
    unknown = np.setdiff1d(ids, [0, *listed])
    if len(unknown) or 0 in listed or len(set(listed)) < len(listed):
        raise ValueError(
            f"{name}: expected each id of the map in one segment, and 0 where none is; received "
            f"segments {sorted(listed)[:10]} and ids {unknown[:10].tolist()} of none"
        )
    return ids, segments


def _check_classes(segments, classes, stuff, name):
    """Raises ValueError for a thing of a class of stuff, or the reverse."""
    for each in segments:
        is_thing = each["is_thing"]
        low, high = (1, classes - stuff) if is_thing else (classes - stuff, classes)
        if not low <= each["class_id"] < high:
            kinds = "things" if is_thing else "stuff"
            range_ = f"a class from {low} to {high - 1}" if low < high else "none: it has no such"
            raise ValueError(
                f"{name}: segment {each['id']} is {'a thing' if is_thing else 'stuff'} of class "
                f"{each['class_id']}; expected of {kinds} {range_}, with num_stuff_classes = "
                f"{stuff} of {classes} classes. Add the classes of things first, and set "
                "num_stuff_classes to the number of the others"
            )


def class_labels(ids, segments):
    """The class of each pixel, int32 `[H, W]`; `VOID` where no segment is."""
    values, places = np.unique(ids, return_inverse=True)
    classes = {each["id"]: each["class_id"] for each in segments}
    found = np.array([classes.get(value, VOID) for value in values.tolist()], np.int32)
    return found[places.reshape(ids.shape)]


def thing_masks(ids, segments):
    """The things as instances: masks bool `[H, W, N]`, class ids int32 `[N]`, negative of crowds.

    A segment without a pixel is left out.
    """
    present = set(np.unique(ids).tolist())
    things = [each for each in segments if each["is_thing"] and each["id"] in present]
    masks = no_masks(ids.shape, len(things))
    for i, each in enumerate(things):
        np.equal(ids, each["id"], out=masks[:, :, i])
    class_ids = [-each["class_id"] if each.get("is_crowd") else each["class_id"] for each in things]
    return masks, np.array(class_ids, np.int32)


def instance_labels(masks, class_ids, size):
    """The class of each pixel by instances alone, int32 `[H, W]`: 0, background, between them.

    Where masks overlap the smaller one is seen. Crowds count as their class.

    Args:
        masks: `[H, W, N]`, bool or `EncodedMasks`.
        class_ids: int `[N]`, negative for crowds.
        size: (H, W).
    """
    labels = np.zeros(size, np.int32)
    areas = [np.count_nonzero(masks[:, :, i]) for i in range(len(class_ids))]
    for i in np.argsort(areas, kind="stable")[::-1]:
        labels[masks[:, :, i]] = abs(class_ids[i])
    return labels


def segment_map(masks, class_ids, labels, thing_classes, limit):
    """One map of which segment each pixel belongs to: an instance, or a class of stuff.

    Where instances overlap the smaller one is seen. Crowds are in no segment, and where there are
    more than `limit` the smallest are in none.

    Args:
        masks: bool `[H, W, N]`.
        class_ids: int `[N]`, negative for crowds.
        labels: int `[H, W]`, the class of each pixel.
        thing_classes: int, classes of things with the background.
        limit: int S.

    Returns:
        segments: int32 `[H, W]`, 0 to S - 1, `VOID` where there is none.
        classes: int32 `[S]`, of each, 0 where there is none.
    """
    segments = np.full(labels.shape, VOID, np.int32)
    areas = np.count_nonzero(masks, axis=(0, 1))
    for i in np.argsort(areas, kind="stable")[::-1]:
        segments[masks[:, :, i]] = i if class_ids[i] > 0 else VOID
    things, kinds = len(class_ids), labels[labels >= thing_classes]
    stuff = np.unique(kinds)
    for i, class_id in enumerate(stuff, things):
        segments[(labels == class_id) & (segments == VOID)] = i
    all_classes = np.concatenate([class_ids, stuff])
    counts = np.bincount(segments[segments >= 0], minlength=len(all_classes))
    kept = np.sort(np.argsort(-counts, kind="stable")[:limit])
    kept = kept[counts[kept] > 0]
    places = np.full(len(all_classes) + 1, VOID, np.int32)  # the last is that of VOID
    places[kept] = np.arange(len(kept))
    classes = np.zeros(limit, np.int32)
    classes[: len(kept)] = all_classes[kept]
    return places[segments], classes


def joined_segments(labels, thing_classes, instances=None):
    """A panoptic map of the class of each pixel, with the instances that are known in front.

    Args:
        labels: int `[H, W]`, the class of each pixel, `VOID` or 0 where no segment is.
        thing_classes: int, classes of things with the background.
        instances: (masks bool `[H, W, N]`, class ids int `[N]`), which the things are; None makes
            all things of a class one segment.

    Returns:
        ids int `[H, W]` and segments, as of `load_segments`.
    """
    low = 1 if instances is None else thing_classes
    ids = np.where(labels >= low, labels, 0)
    segments = [
        {"id": each, "class_id": each, "is_thing": each < thing_classes}
        for each in np.unique(ids[ids > 0]).tolist()
    ]
    masks, class_ids = instances or (None, ())
    for i, class_id in enumerate(class_ids):
        number = labels.max() + 1 + i
        ids[masks[:, :, i]] = number
        segments.append({"id": int(number), "class_id": abs(int(class_id)), "is_thing": True})
    return ids, segments


def load_map(dataset, image_id, image_shape):
    """The panoptic truth of an image as a dict of `segmentation` and `segments`, as results have.

    Of a data set without `load_panoptic` it is one segment for each class of `load_labels`.
    """
    found = load_segments(dataset, image_id, image_shape)
    if found is None:
        labels = load_labels(dataset, image_id, image_shape)
        found = joined_segments(labels, dataset.num_classes - dataset.num_stuff_classes)
    return dict(zip(("segmentation", "segments"), found, strict=True))


def load_labels(dataset, image_id, image_shape):
    """The class of each pixel of an image, int32 `[H, W]`.

    Of a data set without `load_panoptic` it is that of the instances, and background between them.
    """
    found = load_segments(dataset, image_id, image_shape)
    if found is not None:
        return class_labels(*found)
    instances = load_instances(dataset, image_id, image_shape, dataset.num_classes)
    return instance_labels(*instances, image_shape[:2])
