"""COCO evaluation of any `Dataset`: the 12 numbers of pycocotools for boxes and for masks.

Ground truth and detections are compared at the size of the original image. Only run-length codes
are kept, so that memory holds the masks of one image at a time. pycocotools is imported where it
is used: it brings matplotlib, which models and data do not need.
"""

import contextlib
import io
import warnings

import numpy as np

from mrcnn.data.ground_truth import check_dataset, load_instances

IOU_TYPES = ("bbox", "segm")
AREAS = {"s": 1, "m": 2, "l": 3}  # positions in COCOeval's areaRng; 0 is all sizes


def evaluate(model, dataset, image_ids=None, max_detections=100, verbose=0):
    """Detects in every image of a dataset and compares with the ground truth.

    Args:
        model: has `detect([image])` -> [dict with `rois`, `class_ids`, `scores`, `masks`].
        dataset: a prepared `Dataset`.
        image_ids: which of its images; all by default.
        max_detections: the most confident detections of a class in an image that count.
        verbose: 1 prints progress and the table.

    Returns:
        As `evaluate_detections`; "segm" only from a model with masks.

    Raises:
        ValueError: masks or class ids that training refuses too; the message names the image.

    Example:

    >>> evaluate(model, dataset)["segm"]["AP50"]
    """
    if not hasattr(model, "detect"):
        order = " in this order" if hasattr(dataset, "detect") else ""
        raise TypeError(
            f"model is a {type(model).__name__}, without detect(); expected (model, dataset){order}"
        )
    check_dataset(dataset, "dataset")
    image_ids = dataset.image_ids if image_ids is None else image_ids
    truth, results = {"images": [], "annotations": [], "categories": _categories(dataset)}, []
    for i, image_id in enumerate(image_ids):
        image = dataset.load_image(image_id)
        _add_image(truth, dataset, image_id, image.shape)
        results += coco_results(image_id, model.detect([image])[0])
        if verbose:
            print(f"\rEvaluated {i + 1}/{len(image_ids)} images", end="", flush=True)
    if not truth["annotations"]:
        warnings.warn(
            f"nothing to find: {len(image_ids)} images without an object, so the scores are nan",
            stacklevel=2,
        )
    # Without detections there is no telling whether the model has masks; then both score alike.
    iou_types = IOU_TYPES if all("segmentation" in result for result in results) else ("bbox",)
    scores = evaluate_detections(truth, results, max_detections, iou_types)
    if verbose:
        print("\n" + format_table(scores))
    return scores


def evaluate_detections(ground_truth, results, max_detections=100, iou_types=IOU_TYPES):
    """Compares detections with ground truth, both in COCO's format.

    `COCOeval.summarize` works for at most 100 detections only, so the means are taken here.

    Args:
        ground_truth: as from `coco_ground_truth`, or a COCO annotation file's content.
        results: list of dicts as from `coco_results`; each needs `bbox` or `segmentation` as asked.
        max_detections: the most confident detections of a class in an image that count.
        iou_types: any of "bbox", "segm".

    Returns:
        {iou_type: {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10",
        f"AR{max_detections}", "ARs", "ARm", "ARl"}} as floats in 0..1; nan where there is nothing
        to find, such as large objects in a dataset without any.
    """
    return {
        iou_type: summarize(
            accumulate(ground_truth, results, iou_type, max_detections), max_detections
        )
        for iou_type in iou_types
    }


def accumulate(ground_truth, results, iou_type, max_detections=100):
    """Runs COCOeval silently.

    Args:
        ground_truth, results, max_detections: as in `evaluate_detections`.
        iou_type: "bbox" or "segm".

    Returns:
        The accumulated `COCOeval`, for `summarize`; with `max_detections=100` its own
        `summarize()` prints COCO's 12 lines.
    """
    from pycocotools.cocoeval import COCOeval

    known = {image["id"] for image in ground_truth["images"]}
    unknown = sorted({result["image_id"] for result in results} - known)
    if unknown:
        raise ValueError(f"Expected results for images of the ground truth, got ids {unknown[:5]}")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _index(ground_truth, ground_truth["annotations"])
        detections = _index(ground_truth, _with_areas(results, iou_type))
        evaluation = COCOeval(truth, detections, iou_type)
        limits = {1, min(10, max_detections), max_detections}
        evaluation.params.maxDets = sorted(limits)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def coco_ground_truth(dataset, image_ids=None):
    """Returns a dataset in COCO's format: `images`, `annotations` and `categories`.

    Boxes and areas come from the masks, negative class ids become `iscrowd`, and masks without a
    pixel are left out. Image and category ids are the dataset's internal ones.

    Args:
        dataset: a prepared `Dataset`.
        image_ids: which of its images; all by default.
    """
    truth = {"images": [], "annotations": [], "categories": _categories(dataset)}
    for image_id in dataset.image_ids if image_ids is None else image_ids:
        _add_image(truth, dataset, image_id, dataset.load_image(image_id).shape)
    return truth


def coco_results(image_id, detection):
    """Returns what was detected in one image as a list of COCO results.

    Args:
        image_id: id of the image in the ground truth.
        detection: dict with `boxes` (or `rois`) [N, (y1, x1, y2, x2)] in pixels, `class_ids` [N],
            `scores` [N] and, from a model with masks, `masks` [H, W, N] bool.
    """
    boxes = np.asarray(detection.get("boxes", detection["rois"]), float).reshape(-1, 4)
    rows = zip(boxes, detection["class_ids"], detection["scores"], strict=True)
    results = [
        {
            "image_id": int(image_id),
            "category_id": int(class_id),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(score),
        }
        for (y1, x1, y2, x2), class_id, score in rows
    ]
    if "masks" in detection:
        for i, result in enumerate(results):
            result["segmentation"] = _encode(detection["masks"][:, :, i])
    return results


def format_table(scores):
    """Returns the result of `evaluate` as a small table, in percent; "-" where it is nan."""
    names = list(next(iter(scores.values())))
    lines = ["      " + "".join(f"{name:>7}" for name in names)]
    for iou_type, values in scores.items():
        cells = ("-" if np.isnan(values[name]) else f"{100 * values[name]:.1f}" for name in names)
        lines.append(f"{iou_type:<6}" + "".join(f"{cell:>7}" for cell in cells))
    return "\n".join(lines)


def _categories(dataset):
    return [{"id": i, "name": name} for i, name in enumerate(dataset.class_names) if i > 0]


def _add_image(truth, dataset, image_id, shape):
    """Appends one image and its annotations to a ground truth in COCO's format."""
    from pycocotools import mask as mask_utils

    height, width = shape[:2]
    masks, class_ids = load_instances(dataset, image_id, shape, dataset.num_classes)
    truth["images"].append({"id": int(image_id), "height": int(height), "width": int(width)})
    for i, class_id in enumerate(class_ids):
        code = _encode(masks[:, :, i])
        area = int(mask_utils.area(code))
        if area == 0:
            continue
        truth["annotations"].append(
            {
                "id": len(truth["annotations"]) + 1,  # COCOeval takes 0 for "unmatched"
                "image_id": int(image_id),
                "category_id": abs(int(class_id)),
                "iscrowd": int(class_id < 0),
                "area": area,
                "bbox": mask_utils.toBbox(code).tolist(),
                "segmentation": code,
            }
        )


def _encode(mask):
    """Returns the compressed run-length code of a [H, W] mask, ready for JSON."""
    from pycocotools import mask as mask_utils

    code = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return {"size": code["size"], "counts": code["counts"].decode("ascii")}


def _with_areas(results, iou_type):
    """Returns copies of results as annotations of one type.

    The area, by which detections count as small, medium or large, is that of the box or the mask.
    """
    from pycocotools import mask as mask_utils

    key = "bbox" if iou_type == "bbox" else "segmentation"
    annotations = []
    for i, result in enumerate(results):
        shape = result[key]
        area = shape[2] * shape[3] if iou_type == "bbox" else float(mask_utils.area(shape))
        annotations.append({**result, "id": i + 1, "iscrowd": 0, "area": area})
    return annotations


def _index(ground_truth, annotations):
    """Returns a COCO object over copies of the annotations, which COCOeval modifies."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {**ground_truth, "annotations": [dict(each) for each in annotations]}
    coco.createIndex()
    return coco


def summarize(evaluation, max_detections=100):
    """Takes the 12 means from the arrays of an accumulated COCOeval; nan where it prints -1."""
    # precision: [T thresholds, R recalls, K classes, 4 areas, limits]; recall: the same without R
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    limits, thresholds = evaluation.params.maxDets, evaluation.params.iouThrs

    def mean(array):
        array = array[array > -1]  # -1: no ground truth of this class and area
        # COCOeval adds `np.spacing(1)` to what it divides by: rounding makes a perfect score 1.0.
        return round(float(array.mean()), 12) if array.size else float("nan")

    scores = {"AP": mean(precision[:, :, :, 0, -1])}
    for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
        scores[name] = mean(precision[np.isclose(thresholds, threshold), :, :, 0, -1])
    scores |= {f"AP{name}": mean(precision[:, :, :, i, -1]) for name, i in AREAS.items()}
    for limit in (1, 10, max_detections):
        at = limits.index(min(limit, max_detections))
        scores[f"AR{limit}"] = mean(recall[:, :, 0, at])
    return scores | {f"AR{name}": mean(recall[:, :, i, -1]) for name, i in AREAS.items()}
