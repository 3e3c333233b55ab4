"""What is right and wrong in each picture: which object was found, missed, mistaken, badly cut.

Matches within a class are COCOeval's for objects of all sizes, so that the right detections here
are its hits; then detections and objects that are left over are compared across classes.

Shapes: D detections of a picture, best score first; G its objects and crowds; C classes.
"""

import dataclasses
import functools
from collections import defaultdict

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.evaluate.annotations import complete
from mrcnn.evaluate.boundary import boundary_overlaps
from mrcnn.evaluate.keypoints import limit_of, object_similarity, sigmas_of, with_points

NEAR = 0.1  # least IoU of a detection that means an object, Bolya et al. 2020, "TIDE"
KINDS = ("missed", "false", "wrong_class", "poor_mask")


@dataclasses.dataclass(frozen=True)
class Picture:
    """The detections of an image beside its objects.

    Attributes:
        image_id: id in the ground truth.
        annotations: int [G], places in the ground truth's list.
        results: int [D], places in the list of results.
        classes: int [D], positions in the sorted category ids; `scores` float [D].
        gt_classes: int [G], the same; `crowds` bool [G].
        overlaps: float [D, G], IoU, of keypoints OKS; for crowds the share of the detection that
            lies on it.
    """

    image_id: object
    annotations: np.ndarray
    results: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    gt_classes: np.ndarray
    crowds: np.ndarray
    overlaps: np.ndarray


def compare_pictures(ground_truth, results, iou_type, max_detections):
    """Returns a `Picture` for each image, in the order of the sorted ids.

    Args:
        ground_truth, results, iou_type, max_detections: as in `mrcnn.evaluate.accumulate`.
    """
    annotations = complete(ground_truth)["annotations"]
    compare = functools.partial(_overlaps, iou_type)
    if iou_type == "keypoints":
        sigmas = sigmas_of(ground_truth)
        # Nothing is wrong with an object without a keypoint, nor with what is found on it.
        annotations = [
            {**each, "iscrowd": int(each["iscrowd"] or not each["num_keypoints"])}
            for each in with_points(annotations, len(sigmas))
        ]
        compare = functools.partial(object_similarity, sigmas=sigmas)
    limit = limit_of(iou_type, max_detections)
    ids = sorted(category["id"] for category in ground_truth["categories"])
    places = {category_id: i for i, category_id in enumerate(ids)}
    truths, found = defaultdict(list), defaultdict(list)
    for i, annotation in enumerate(annotations):
        if annotation["category_id"] in places:  # else COCOeval does not see it
            truths[annotation["image_id"]].append(i)
    for i in sorted(range(len(results)), key=lambda i: -results[i]["score"]):
        found[results[i]["image_id"]].append(i)
    pictures = []
    for image_id in sorted(image["id"] for image in ground_truth["images"]):
        kept = _first_of_class(found[image_id], results, limit)
        truth = {i: annotations[i] for i in truths[image_id]}
        pictures.append(_compare(image_id, truth, {i: results[i] for i in kept}, places, compare))
    return pictures


def _first_of_class(order, results, limit):
    """The first `limit` detections of each class."""
    counts, kept = defaultdict(int), []
    for i in order:
        counts[results[i]["category_id"]] += 1
        if counts[results[i]["category_id"]] <= limit:
            kept.append(i)
    return kept


def _overlaps(iou_type, results, annotations):
    """How much of each other detections and objects cover, float [D, G]."""
    if not (results and annotations):
        return np.zeros((len(results), len(annotations)))
    key = "bbox" if iou_type == "bbox" else "segmentation"
    shapes, gt_shapes = ([each[key] for each in group] for group in (results, annotations))
    compare = boundary_overlaps if iou_type == "boundary" else mask_utils.iou
    return np.asarray(compare(shapes, gt_shapes, [int(each["iscrowd"]) for each in annotations]))


def _compare(image_id, truths, found, places, compare):
    """A `Picture` of annotations and results by their place in the lists."""
    crowds = [int(each["iscrowd"]) for each in truths.values()]
    overlaps = compare(list(found.values()), list(truths.values()))
    classes, gt_classes = (
        np.array([places[each["category_id"]] for each in group.values()], int)
        for group in (found, truths)
    )
    return Picture(
        image_id=image_id,
        annotations=np.array(list(truths), int),
        results=np.array(list(found), int),
        classes=classes,
        scores=np.array([each["score"] for each in found.values()], float),
        gt_classes=gt_classes,
        crowds=np.array(crowds, bool),
        overlaps=overlaps,
    )


def match(overlaps, allowed):
    """Gives each detection, in their order, the free object that overlaps it most.

    Args:
        overlaps: float [D, G].
        allowed: bool [D, G], pairs that may match.

    Returns:
        int [D], column of the object, or -1; of equal overlaps the last, as COCOeval.
    """
    found = np.full(len(overlaps), -1)
    candidates = np.where(allowed, overlaps, -1.0)
    for row in np.flatnonzero(allowed.any(axis=1)):
        best = candidates.shape[1] - 1 - candidates[row, ::-1].argmax()
        if candidates[row, best] >= 0:
            found[row] = best
            candidates[:, best] = -1
    return found


def judge(picture, iou=0.5, score=0.0):
    """Says of each detection and object of a picture what became of it.

    First detections take objects of their class; then what is left over meets across classes,
    then within a class with an IoU from 0.1 (TIDE's bound) to `iou`.

    Args:
        picture: `Picture`.
        iou: float, least IoU of a match.
        score: float, least score of a detection that counts.

    Returns:
        dict: `right`, `wrong_class` and `poor_mask`, each int [n, 2] of (detection, object);
        `false` int [n], detections, and `missed` int [n], objects; rows and columns of
        `picture.overlaps`. What lies on a crowd of its class is in none.
    """
    shown = picture.scores >= score
    same = picture.classes[:, None] == picture.gt_classes
    # As COCOeval: an IoU of 1 is reached by all but rounding.
    enough = picture.overlaps >= min(iou, 1 - 1e-10)
    free, objects = shown.copy(), ~picture.crowds
    judged = {}
    rounds = {
        "right": same & enough,
        "wrong_class": ~same & enough,
        "poor_mask": same & (picture.overlaps >= NEAR),
    }
    for kind, allowed in rounds.items():
        if kind == "wrong_class":
            free &= ~(same & enough & picture.crowds).any(axis=1)
        found = match(picture.overlaps, allowed & free[:, None] & objects)
        pairs = np.flatnonzero(found >= 0)
        judged[kind] = np.stack([pairs, found[pairs]], axis=1)
        free[pairs], objects[found[pairs]] = False, False
    return judged | {"false": np.flatnonzero(free), "missed": np.flatnonzero(objects)}


def confusion_matrix(pictures, class_count, iou=0.5, score=0.0):
    """Counts what each object was taken for.

    Args:
        pictures: list of `Picture`.
        class_count: int C.
        iou, score: as in `judge`.

    Returns:
        int [1 + C, 1 + C]: rows are the truth, columns the detections; 0 is the background: row 0
        are detections of nothing, column 0 are missed objects. A badly cut object is both.
    """
    matrix = np.zeros((class_count + 1, class_count + 1), int)
    for picture in pictures:
        rows, columns = picture.gt_classes + 1, picture.classes + 1
        judged = judge(picture, iou, score)
        for found, truth in np.concatenate([judged["right"], judged["wrong_class"]]):
            matrix[rows[truth], columns[found]] += 1
        for found in [*judged["false"], *judged["poor_mask"][:, 0]]:
            matrix[0, columns[found]] += 1
        for truth in [*judged["missed"], *judged["poor_mask"][:, 1]]:
            matrix[rows[truth], 0] += 1
    return matrix


def picture_errors(pictures, iou=0.5, score=0.0):
    """Lists what is wrong in each picture, the worst picture first.

    Args:
        pictures: list of `Picture`.
        iou, score: as in `judge`.

    Returns:
        list of dicts: `image_id`; `error`, the number of things that are wrong; `missed`, places
        of annotations in the ground truth; `false`, places of results; `wrong_class` and
        `poor_mask`, pairs (result, annotation) of such places. Equal errors keep the order of ids.
    """
    rows = []
    for picture in pictures:
        judged = judge(picture, iou, score)
        row = {
            "image_id": picture.image_id,
            "error": sum(len(judged[kind]) for kind in KINDS),
            "missed": picture.annotations[judged["missed"]].tolist(),
            "false": picture.results[judged["false"]].tolist(),
        }
        for kind in ("wrong_class", "poor_mask"):
            found, truth = judged[kind].T
            pairs = zip(picture.results[found], picture.annotations[truth], strict=True)
            row[kind] = [(int(result), int(annotation)) for result, annotation in pairs]
        rows.append(row)
    return sorted(rows, key=lambda row: -row["error"])
