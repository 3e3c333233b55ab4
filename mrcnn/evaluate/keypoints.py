"""Object keypoint similarity (OKS), COCO's measure of keypoints, and these in COCO's format.

Shapes: D detections, G ground truths, K keypoints.
"""

import numpy as np

from mrcnn.data.keypoints import KeypointScheme

LIMIT = 20  # detections of a class in an image that count, as COCO


def sigmas_of(ground_truth):
    """The sigmas of a ground truth in COCO's format, float [K].

    They are those under `keypoint_sigmas` of its first category with keypoints, as
    `KeypointScheme.to_coco` writes them; without, what `KeypointScheme` takes for their names.

    Raises:
        ValueError: it has no keypoints, or another number of sigmas.
    """
    for category in ground_truth["categories"]:
        if category.get("keypoints"):
            scheme = KeypointScheme(category["keypoints"], sigmas=category.get("keypoint_sigmas"))
            return np.array(scheme.sigmas, float)
    raise ValueError(
        "expected a category with names under `keypoints` to compare keypoints, received none. "
        'Compare boxes: iou_types=("bbox",).'
    )


def has_keypoints(ground_truth):
    """Whether a ground truth in COCO's format has keypoints."""
    return any(category.get("keypoints") for category in ground_truth["categories"])


def object_similarity(results, annotations, sigmas):
    """OKS of each pair.

    The mean over an object's annotated points of exp(-d^2 / (8 area sigma^2)), where d is how far
    apart they are (https://cocodataset.org/#keypoints-eval). As in pycocotools, of an object
    without any, a crowd for example, d is how far a point lies outside of twice its box.

    Args:
        results: list of D dicts with `keypoints`, x y score.
        annotations: list of G dicts with `keypoints`, `bbox` and `area`.
        sigmas: float [K].

    Returns:
        float [D, G].
    """
    found = np.array([each["keypoints"] for each in results], float).reshape(-1, len(sigmas), 3)
    overlaps = np.zeros((len(results), len(annotations)))
    for g, annotation in enumerate(annotations):
        truth = np.reshape(annotation["keypoints"], (-1, 3)).astype(float)
        seen = truth[:, 2] > 0
        if seen.any():
            away = found[:, seen, :2] - truth[seen, :2]
        else:
            low, size = np.reshape(annotation["bbox"], (2, 2))
            away = np.maximum(0, low - size - found[..., :2])
            away += np.maximum(0, found[..., :2] - (low + 2 * size))
            seen = np.ones(len(sigmas), bool)
        scaled = (away**2).sum(axis=-1) / (8 * sigmas[seen] ** 2)
        scaled = scaled / (annotation["area"] + np.spacing(1))
        overlaps[:, g] = np.exp(-scaled).mean(axis=-1)
    return overlaps


def with_points(annotations, count):
    """Copies of annotations with `keypoints` and their number, none where a file has none.

    Args:
        annotations: list of dicts in COCO's format.
        count: int K.
    """
    found = []
    for each in annotations:
        numbers = each.get("keypoints") or [0] * (3 * count)
        seen = int(np.count_nonzero(np.greater(numbers[2::3], 0)))
        found.append({**each, "keypoints": numbers, "num_keypoints": seen})
    return found


def extent(numbers):
    """The box x y width height around all points of COCO's list x y v."""
    x, y, _ = np.reshape(numbers, (-1, 3)).T
    return [float(x.min()), float(y.min()), float(np.ptp(x)), float(np.ptp(y))]


def limit_of(iou_type, max_detections):
    """How many detections of a class in an image count: of keypoints `LIMIT` at most."""
    return min(LIMIT, max_detections) if iou_type == "keypoints" else max_detections
