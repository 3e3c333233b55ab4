"""Keypoints in COCO's annotation files: what a category calls them, and those of an annotation."""

import math
import numbers

import numpy as np

from mrcnn.data.keypoints import KeypointScheme, from_coco


def scheme_of(categories, path, notes):
    """What the first category with keypoints calls them, and the ids of those that do so too.

    Args:
        categories: iterable of COCO's categories.
        path: of their file, for messages.
        notes: `Notes`, told of categories with other keypoints, and of skeletons that are none.

    Returns:
        `KeypointScheme` and a set of ids; None and an empty one where there are no keypoints.
    """
    scheme, ids = None, set()
    for category in categories:
        names = category.get("keypoints")
        if not names:
            continue
        where = f"{path}, category {category['name']!r}"
        lines = category.get("skeleton") or ()
        try:
            own = KeypointScheme(names, [(a - 1, b - 1) for a, b in lines])
        except (TypeError, ValueError):
            notes.leave_out("skeletons that are no pairs of its points are left out", where)
            own = KeypointScheme(names)
        scheme = scheme or own
        if own.names == scheme.names:
            ids.add(category["id"])
        else:
            notes.leave_out("keypoints other than those of the first category are left out", where)
    return scheme, ids


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


def keypoints_of(annotation, scheme, ids):
    """The keypoints of an annotation as float32 [K, 3], see `mrcnn.data.keypoints`; those of a
    detection whose score is above 0 are seen.

    Args:
        annotation: dict of COCO.
        scheme, ids: of `scheme_of`.
    """
    values = annotation.get("keypoints")
    if not values or annotation["category_id"] not in ids:
        return np.zeros((len(scheme), 3), np.float32)
    found = from_coco(values)
    if "score" in annotation:
        found[:, 2] = 2 * (found[:, 2] > 0)
    return np.where(found[:, 2:] > 0, found, 0)
