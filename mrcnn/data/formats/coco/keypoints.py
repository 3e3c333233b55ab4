"""Keypoints in COCO's annotation files: what a category calls them, and those of an annotation."""

import math
import numbers

import numpy as np

from mrcnn.data.keypoints import KeypointScheme, from_coco

# What a category says of its keypoints beside their names, and what is told where it cannot be.
_FACTS = {
    "skeleton": "skeletons that are no pairs of its points are left out",
    "keypoint_sigmas": "sigmas that are no number for each of its points are left out",
    "keypoint_flip_pairs": "flip pairs that are no pairs of its points are left out",
}


def scheme_of(categories, path, notes):
    """What the first category with keypoints calls them, and the ids of those that do so too.

    Args:
        categories: iterable of COCO's categories.
        path: of their file, for messages.
        notes: `Notes`, told of categories with other keypoints, and of what does not fit its names.

    Returns:
        `KeypointScheme` and a set of ids; None and an empty one where there are no keypoints.
    """
    scheme, ids = None, set()
    for category in categories:
        names = category.get("keypoints")
        if not names:
            continue
        where = f"{path}, category {category['name']!r}"
        own = _scheme(category, where, notes)
        scheme = scheme or own
        if own.names == scheme.names:
            ids.add(category["id"])
        else:
            notes.leave_out("keypoints other than those of the first category are left out", where)
    return scheme, ids


def _scheme(category, where, notes):
    """The scheme of a category, without what does not fit its names."""
    fitting = {"keypoints": category["keypoints"]}
    for key, told in _FACTS.items():
        try:
            KeypointScheme.from_coco({**fitting, key: category.get(key)})
            fitting[key] = category.get(key)
        except (TypeError, ValueError):
            notes.leave_out(told, where)
    return KeypointScheme.from_coco(fitting)


def check_keypoints(annotation, categories, where):
    """Raises ValueError unless the keypoints of an annotation are x y v of each of its category's.

    Args:
        annotation: dict of COCO.
        categories: COCO's categories by id.
        where: str, what a message calls it.
    """
    names = categories[annotation["category_id"]].get("keypoints")
    values = annotation.get("keypoints")
    if not names or not values:
        return
    real = isinstance(values, list) and all(
        isinstance(x, numbers.Real) and math.isfinite(x) for x in values
    )
    # A detection, which has a score, has scores of its points there.
    odd = real and "score" not in annotation and set(values[2::3]) - {0, 1, 2}
    if not real or len(values) != 3 * len(names) or odd:
        raise ValueError(
            f"{where}: expected {3 * len(names)} numbers in keypoints, x y v of {len(names)} "
            "points, v 0, 1 or 2. Correct them, or remove keypoints from the annotation."
        )


def leave_out_others(annotations, categories, ids, notes):
    """Takes away the keypoints of annotations whose category has not those of the scheme.

    Args:
        annotations: list of dicts of COCO, each of the category that the file gives it.
        categories: COCO's categories by id.
        ids: of `scheme_of`.
        notes: `Notes`, told of those whose category names none; `scheme_of` told of the others.
    """
    for annotation in annotations:
        if annotation["category_id"] in ids:
            continue
        values = annotation.pop("keypoints", None)
        annotation.pop("num_keypoints", None)
        if values and not categories[annotation["category_id"]].get("keypoints"):
            what = "keypoints of categories that name none are left out, of annotations"
            notes.leave_out(what, annotation["id"])


def keypoints_of(annotation, count):
    """The keypoints of an annotation as float32 [K, 3], see `mrcnn.data.keypoints`; those of a
    detection whose score is above 0 are seen.

    Args:
        annotation: dict of COCO, whose category has those of the scheme.
        count: int K.
    """
    values = annotation.get("keypoints")
    if not values or len(values) != 3 * count:  # others are of a file that names none
        return np.zeros((count, 3), np.float32)
    found = from_coco(values)
    if "score" in annotation:
        found[:, 2] = 2 * (found[:, 2] > 0)
    return np.where(found[:, 2:] > 0, found, 0)
