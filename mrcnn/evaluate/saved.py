"""Files of an evaluation, in COCO's formats; detections of another data set are refused."""

import hashlib
import json
from pathlib import Path

import numpy as np

from mrcnn.data.annotations.json_files import read_json
from mrcnn.evaluate.annotations import coco_ground_truth
from mrcnn.evaluate.keypoints import has_keypoints
from mrcnn.files.remote import local_path

TRUTH, FOUND, SCORES = "ground_truth.json", "detections.json", "scores.json"
KINDS = ("bbox", "segm", "boundary", "keypoints")  # of COCO's numbers, which are counted anew


def write(folder, ground_truth, results, max_detections, scores):
    """Writes the three files; `scores.json` says which ground truth the detections are of."""
    folder = Path(local_path(folder))
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "ground_truth_sha256": digest(ground_truth),
        "max_detections": max_detections,
        "scores": {
            kind: {name: None if np.isnan(x) else x for name, x in values.items()}
            for kind, values in scores.items()
        },
    }
    for name, content in ((TRUTH, ground_truth), (FOUND, results), (SCORES, facts)):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def read(folder, dataset=None):
    """Returns ground truth, results, max_detections and further scores; see `Evaluation.load`."""
    folder = Path(folder)
    missing = [name for name in (TRUTH, FOUND, SCORES) if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder}: expected the folder of a saved evaluation, but {missing[0]} is not in it"
        )
    truth, results, facts = (read_json(folder / name) for name in (TRUTH, FOUND, SCORES))
    if not isinstance(facts, dict) or "ground_truth_sha256" not in facts:
        raise ValueError(f"{folder / SCORES}: expected the scores of a saved evaluation")
    advice = f"Detect again: Evaluation.of(model, dataset).save({str(folder)!r})."
    if digest(truth) != facts["ground_truth_sha256"]:
        raise ValueError(
            f"{folder / FOUND}: expected detections for {TRUTH} beside it, received those of "
            f"another data set or of another state of it. {advice}"
        )
    further = {
        kind: {name: float("nan") if x is None else x for name, x in values.items()}
        for kind, values in facts.get("scores", {}).items()
        if kind not in KINDS
    }
    if dataset is not None and digest(_same_images(dataset, truth, further)) != digest(truth):
        raise ValueError(
            f"{folder / FOUND}: expected detections for images of this data set of "
            f"{len(dataset.image_ids)}, received those of another, with {len(truth['images'])} "
            f"images, or of another state of its annotations. {advice}"
        )
    return truth, results, facts["max_detections"], further


def digest(ground_truth):
    """Returns a text that is another for another ground truth."""
    return hashlib.sha256(json.dumps(ground_truth, sort_keys=True).encode()).hexdigest()


def _same_images(dataset, truth, further):
    """The ground truth of a dataset's images of the ids that another one has."""
    known, wanted = set(map(int, dataset.image_ids)), [image["id"] for image in truth["images"]]
    found = coco_ground_truth(dataset, [image_id for image_id in wanted if image_id in known])
    # Of a model that finds no instances, none are kept.
    return found if truth["annotations"] or not further else {**found, "annotations": []}


def check_results(ground_truth, results):
    """Raises a ValueError unless each result can be of this ground truth."""
    if not isinstance(results, list):
        raise ValueError(
            "expected COCO results, a list of dicts with image_id, category_id, score and bbox, "
            f"segmentation or keypoints, received a {type(results).__name__}"
        )
    sizes = {each["id"]: [each.get("height"), each.get("width")] for each in ground_truth["images"]}
    categories = {each["id"] for each in ground_truth["categories"]}
    for i, result in enumerate(results):
        _check_form(i, result)
        if not has_keypoints(ground_truth) and not result.keys() & {"bbox", "segmentation"}:
            raise ValueError(
                f"detection {i}: expected a bbox or a segmentation, received keypoints alone, and "
                "of these the ground truth has none: load the file with them, of COCO "
                "person_keypoints_*"
            )
        image_id, category_id = result["image_id"], result["category_id"]
        wrong = None
        if image_id not in sizes:
            wrong = f"an image of the ground truth, received image_id {image_id!r}"
        elif category_id not in categories:
            wrong = f"a class of the ground truth, received category_id {category_id!r}"
        elif list(result.get("segmentation", {}).get("size", sizes[image_id])) != sizes[image_id]:
            size = list(result["segmentation"]["size"])
            wrong = f"a mask of {sizes[image_id]} as image {image_id!r}, received {size}"
        if wrong:
            raise ValueError(
                f"detection {i}: expected {wrong}. The detections are of another data set: detect "
                "again, or load the ground truth that they were made for."
            )


def _check_form(i, result):
    if not isinstance(result, dict) or not {"image_id", "category_id", "score"} <= result.keys():
        received = sorted(result) if isinstance(result, dict) else repr(result)[:40]
        raise ValueError(
            f"detection {i}: expected a dict with image_id, category_id and score, received "
            f"{received}"
        )
    if not result.keys() & {"bbox", "segmentation", "keypoints"}:
        raise ValueError(
            f"detection {i}: expected a bbox, a segmentation or keypoints, received none of them"
        )
    points = result.get("keypoints", [0, 0, 0])
    is_list = isinstance(points, list) and all(isinstance(x, (int, float)) for x in points)
    if not (is_list and points and len(points) % 3 == 0):
        raise ValueError(
            f"detection {i}: expected numbers x y score in keypoints, received {repr(points)[:40]}"
        )
    code = result.get("segmentation", {"size": None, "counts": None})
    if not (isinstance(code, dict) and {"size", "counts"} <= code.keys()):
        raise ValueError(
            f"detection {i}: expected a run-length code of size and counts in segmentation, "
            f"received a {type(code).__name__}"
        )
