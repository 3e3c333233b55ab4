"""Checks of a data set as a whole, from the records of its pictures.

Shape legend: N objects of a data set; A anchor shapes.
"""

import collections
import math

import numpy as np

from mrcnn.data.annotations.subsets import subset_of
from mrcnn.data.checking.findings import Finding
from mrcnn.data.class_names import is_slip, names_alike
from mrcnn.image.sizes import resized_scale

TINY = 4  # pixels in the network: an object of a shorter side is hardly seen
FITS = 0.5  # IoU from which an anchor's shape fits an object's
BETTER = 0.05  # share of objects that other scales must win to be suggested
SLIPS = 0.1  # share of a class's objects that another may have whose name is a slip of it
# Scales of the first level, each level with twice the one before.
CANDIDATES = (4, 6, 8, 12, 16, 24, 32, 48, 64)


def check_names(class_names, objects):
    """Yields findings about class names that may be one.

    Args:
        class_names: list of str, "BG" first.
        objects: int [K], objects of each class.
    """
    kind = "class names that are nearly the same"
    for names in names_alike(class_names[1:]):
        text = f"{', '.join(map(repr, names))} are the same but for case, blanks or dashes"
        yield Finding("warning", kind, "", text)
    named = list(zip(class_names, objects.tolist(), strict=True))[1:]
    for slip, few in named:
        for name, many in named:
            if 0 < few <= SLIPS * many and is_slip(slip, name):
                text = f"{slip!r}, {few} objects, may be a slip for {name!r}, which {many} have"
                yield Finding("warning", kind, "", text)


def check_counts(records, class_names, max_instances):
    """Yields findings about classes, crowds and numbers of objects."""
    counts = class_counts(records, len(class_names))
    objects = counts["objects"]
    if not records:
        yield Finding("error", "no pictures", "", "there is no picture to train on")
    elif not objects.sum():
        what = "every object is a crowd" if counts["crowds"].sum() else "no picture has an object"
        yield Finding("error", "no objects", "", f"{what}: there is nothing to learn")
    for class_id, name in enumerate(class_names[1:], start=1):
        if not objects[class_id]:
            text = f"{name!r} has no object"
            yield Finding("note", "class without an object", "", text)
    by_subset = collections.defaultdict(set)
    for record in records:
        by_subset[subset_of(record.subset)] |= set(record.class_ids[record.class_ids > 0].tolist())
    if "train" in by_subset:
        for subset, class_ids in by_subset.items():
            for class_id in sorted(class_ids - by_subset["train"]):
                text = f"{class_names[class_id]!r} occurs in {subset or 'other pictures'}"
                text += " and never in train"
                yield Finding("warning", "class that is never trained", "", text)
    crowded = [record for record in records if (record.class_ids > 0).sum() > max_instances]
    for record in crowded:
        text = f"{(record.class_ids > 0).sum()} objects, of which training takes {max_instances}"
        kind = "more objects than MAX_GT_INSTANCES"
        yield Finding("warning", kind, record.where, text, record.image_id)


def class_counts(records, num_classes):
    """Objects and crowds of each class: {"objects": int [K], "crowds": int [K]}."""
    ids = np.concatenate([record.class_ids for record in records] or [np.zeros(0, int)])
    return {
        "objects": np.bincount(ids[ids > 0], minlength=num_classes),
        "crowds": np.bincount(-ids[ids < 0], minlength=num_classes),
    }


def check_repeats(records):
    """Yields findings about pictures of equal pixels; in two subsets it is a leak."""
    first = {}
    for record in records:
        earlier = first.setdefault(record.digest, record)
        if record.digest is None or earlier is record:
            continue
        if earlier.subset == record.subset:
            text = f"its pixels are those of {earlier.where}"
            yield Finding("warning", "same picture twice", record.where, text, record.image_id)
            continue
        # Told of the one that is trained on: a validation without it is another validation.
        trained, other = sorted((record, earlier), key=lambda x: subset_of(x.subset) != "train")
        text = f"its pixels are those of {other.where}: what is trained on is no validation"
        kind = "same picture in two subsets"
        yield Finding("warning", kind, trained.where, text, trained.image_id)


def network_sides(records, settings):
    """Height and width of all objects in the network's pixels, float [N, 2]; and of each picture
    the factor that it is made larger by."""
    sides, factors = [np.zeros((0, 2))], []
    for record in records:
        if record.height and record.width:
            factors.append(network_scale(settings, record.height, record.width))
            sides.append(record.sides[record.class_ids > 0] * factors[-1])
    return np.concatenate(sides), np.array(factors)


def network_scale(settings, height, width):
    """The factor that a picture, or with `TILE_SIZE` its tiles, is made larger by."""
    size = settings.tiles.size or max(height, width)
    return resized_scale(settings.image, min(height, size), min(width, size))


def lost_shares(factors):
    """Share of each picture's pixels that resizing by its factor loses."""
    return 1 - np.minimum(factors, 1) ** 2


def check_sizes(sides, factors, max_dim):
    """Yields findings about what resizing to the network's size loses."""
    tiny = int((sides.min(axis=1, initial=np.inf) < TINY).sum())
    if tiny:
        text = (
            f"{tiny} of {len(sides)} objects have a side under {TINY} pixels in the network; raise "
            "IMAGE_MAX_DIM and IMAGE_MIN_DIM, or train on crops (IMAGE_RESIZE_MODE = 'crop')"
        )
        yield Finding("warning", "objects too small to see", "", text)
    lost = lost_shares(factors)
    if lost.size and np.median(lost) > 0.5:
        text = (
            f"half of the pictures lose {100 * np.median(lost):.0f} % of their pixels or more at "
            f"IMAGE_MAX_DIM = {max_dim}, one {100 * lost.max():.0f} %"
        )
        yield Finding("note", "pixels lost by resizing", "", text)


def anchor_fit(sides, scales, ratios):
    """Share of objects whose shape an anchor at the same centre covers with an IoU of `FITS`.

    Args:
        sides: float [N, 2], heights and widths.
        scales: roots of the anchors' areas, pixels.
        ratios: widths over heights.
    """
    if not len(sides):
        return 1.0
    roots = np.sqrt(np.asarray(ratios, float))
    heights = np.outer(scales, 1 / roots).ravel()
    widths = np.outer(scales, roots).ravel()
    both = np.minimum(sides[:, :1], heights) * np.minimum(sides[:, 1:], widths)  # [N, A]
    areas = sides.prod(axis=1, keepdims=True) + heights * widths - both
    return float((both / areas >= FITS).any(axis=1).mean())


def suggestions(sides, records, settings):
    """Keys of the config that fit the data better: {key: (value, why)}."""
    found = {}
    most = max(((record.class_ids > 0).sum() for record in records), default=0)
    limits = {
        "MAX_GT_INSTANCES": settings.ground_truth.max_instances,
        "DETECTION_MAX_INSTANCES": settings.detections.max_instances,
    }
    for key, limit in limits.items():
        if most > limit:
            value = math.ceil(most / 50) * 50
            found[key] = value, f"a picture has {most} objects, it is {limit}"
    scales, ratios = settings.anchors.scales, settings.anchors.ratios
    fit = anchor_fit(sides, scales, ratios)
    levels = range(len(scales))
    fits = {
        base: anchor_fit(sides, [base * 2**level for level in levels], ratios)
        for base in CANDIDATES
    }
    best = max(fits, key=lambda base: (round(fits[base], 3), base))
    if fits[best] >= fit + BETTER and np.ndim(scales) == 1:
        why = f"their shapes fit {100 * fits[best]:.0f} % of the objects, {tuple(scales)} "
        value = tuple(best * 2**level for level in levels)
        found["RPN_ANCHOR_SCALES"] = value, why + f"{100 * fit:.0f} %"
    return found
