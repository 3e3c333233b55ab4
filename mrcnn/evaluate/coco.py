"""COCO evaluation of any `Dataset`: the numbers of pycocotools for boxes, masks and keypoints.

Ground truth and detections are compared at the size of the original image. What scores is
`COCOeval`, imported where it is used: it brings matplotlib, which models and data do not need.
"""

import contextlib
import functools
import gc
import importlib.util
import io
import warnings

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.evaluate import keypoints
from mrcnn.evaluate.annotations import complete
from mrcnn.evaluate.boundary import boundary_overlaps
from mrcnn.evaluate.detecting import detect_dataset, detection_limit, further_scorers
from mrcnn.evaluate.tables import format_table

IOU_TYPES = ("bbox", "segm")  # of all data sets; "keypoints" of those that have some
BACKENDS = ("pycocotools", "faster")


def evaluate(model, dataset, image_ids=None, max_detections=None, verbose=0, backend="pycocotools"):
    """Detects in every image of a dataset and compares with the ground truth.

    Args:
        model: has `detect([image])` -> [dict with `rois`, `class_ids`, `scores`, `masks`], and may
            take an iterable as `detect(images, stream=True)`.
        dataset: a prepared `Dataset`.
        image_ids: which of its images; all by default.
        max_detections: the most confident detections of a class in an image that count; by
            default 100 as COCO, or the model's DETECTION_MAX_INSTANCES where that is more.
        verbose: 1 prints progress and the table.
        backend: as in `accumulate`.

    Returns:
        As `evaluate_detections`; "segm" only from a model with masks, "keypoints" only from one
        with keypoints and for data that have some; and what an architecture is scored by beside
        that, such as "panoptic".

    Raises:
        ValueError: masks or class ids that training refuses too; the message names the image.

    Example:

    >>> evaluate(model, dataset)["segm"]["AP50"]
    """
    check_backend(backend)
    scorers = further_scorers(model, dataset)
    truth, results = detect_dataset(model, dataset, image_ids, verbose, scorers=scorers.values())
    if not truth["annotations"] and not scorers:
        warnings.warn(
            f"nothing to find: {len(truth['images'])} images without an object, so the scores "
            "are nan",
            stacklevel=2,
        )
    limit = detection_limit(model, max_detections)
    kinds = scored(iou_types_of(truth, results), truth, scorers)
    scores = evaluate_detections(truth, results, limit, kinds, backend)
    scores |= {name: scorer.scores() for name, scorer in scorers.items()}
    if verbose:
        print(format_table(scores))
    return scores


def iou_types_of(ground_truth, results):
    """Which of "bbox", "segm" and "keypoints" results can be scored by.

    Without detections there is no telling what the model finds; then all score alike. Results may
    have keypoints alone, as COCO's own files of them.
    """
    kinds = ()
    if all("segmentation" in result for result in results):
        kinds = IOU_TYPES
    elif all(result.keys() & {"bbox", "segmentation"} for result in results):
        kinds = ("bbox",)
    compared = keypoints.has_keypoints(ground_truth) and all(map(_has_keypoints, results))
    return (*kinds, "keypoints") if compared else kinds


def _has_keypoints(result):
    return "keypoints" in result


def scored(iou_types, truth, further):
    """Of the types those that say something: none where there is nothing to find, if a model has
    further scores, as one that finds no instances."""
    return iou_types if truth["annotations"] or not further else ()


def evaluate_detections(
    ground_truth, results, max_detections=100, iou_types=IOU_TYPES, backend="pycocotools"
):
    """Compares detections with ground truth, both in COCO's format.

    `COCOeval.summarize` works for at most 100 detections only, so the means are taken here.

    Args:
        ground_truth: as from `coco_ground_truth`, or a COCO annotation file's content.
        results: list of dicts as from `coco_results`; each needs `bbox`, `segmentation` or
            `keypoints` as asked.
        max_detections: the most confident detections of a class in an image that count; of
            keypoints 20 at most, as COCO.
        iou_types: any of "bbox", "segm", "boundary", "keypoints".
        backend: as in `accumulate`.

    Returns:
        {iou_type: {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10",
        f"AR{max_detections}", "ARs", "ARm", "ARl"}} as floats in 0..1; nan where there is nothing
        to find, such as large objects in a dataset without any. Of "keypoints", of
        which COCO has no scores of small objects by themselves: "AP", "AP50", "AP75", "APm", "APl",
        "AR20", "ARm", "ARl", by OKS in place of IoU, see `mrcnn.evaluate.keypoints`.
    """
    return {
        iou_type: summarize(
            accumulate(ground_truth, results, iou_type, max_detections, backend), max_detections
        )
        for iou_type in iou_types
    }


def accumulate(ground_truth, results, iou_type, max_detections=100, backend="pycocotools"):
    """Runs COCOeval silently.

    Args:
        ground_truth, results, max_detections: as in `evaluate_detections`.
        iou_type: "bbox", "segm", "boundary" or "keypoints", see `mrcnn.evaluate.boundary` and
            `mrcnn.evaluate.keypoints`; the last two by pycocotools alone.
        backend: "pycocotools", or "faster" for faster-coco-eval, whose numbers are the same.

    Returns:
        The accumulated `COCOeval`, for `summarize`; with `max_detections=100` its own
        `summarize()` prints COCO's 12 lines.

    Raises:
        ImportError: the backend is not installed; the message says how to.
        ValueError: results of images that the ground truth has not.
    """
    limits = {1, min(10, max_detections), max_detections}
    if iou_type == "keypoints":
        limits = {keypoints.limit_of(iou_type, max_detections)}
    with scoring():
        evaluation = prepare(ground_truth, results, iou_type, backend)
        evaluation.params.maxDets = sorted(limits)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


@contextlib.contextmanager
def scoring():
    """Keeps COCOeval silent, and Python's collector of cycles out of its way.

    COCOeval makes millions of small objects and no cycles: looking for some took a fifth of the
    time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        if enabled:
            gc.enable()


def prepare(ground_truth, results, iou_type, backend="pycocotools"):
    """Returns a COCOeval, of arguments as in `accumulate`, that has not run yet.

    The ids of its annotations and detections are their places in the lists, from 1: COCOeval takes
    0 for "unmatched".
    """
    check_backend(backend)
    if backend == "faster" and iou_type not in ("boundary", "keypoints"):
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    else:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

    known = {image["id"] for image in ground_truth["images"]}
    unknown = sorted({result["image_id"] for result in results} - known)
    if unknown:
        raise ValueError(f"Expected results for images of the ground truth, got ids {unknown[:5]}")
    annotations = complete(ground_truth)["annotations"]
    if iou_type in ("segm", "boundary"):
        _check_outlines(annotations, "annotation")
        _check_outlines(results, "result")
    if iou_type == "keypoints":
        sigmas = keypoints.sigmas_of(ground_truth)
        annotations = keypoints.with_points(annotations, len(sigmas))
        _check_points(results, len(sigmas))
    truth, found = COCO(), COCO()
    truth.dataset = {**ground_truth, "annotations": _numbered(annotations)}
    found.dataset = {**ground_truth, "annotations": _with_areas(results, iou_type)}
    truth.createIndex()
    found.createIndex()
    evaluation = COCOeval(truth, found, "segm" if iou_type == "boundary" else iou_type)
    if iou_type == "boundary":
        evaluation.computeIoU = functools.partial(_compute_boundary, evaluation)
    if iou_type == "keypoints":
        evaluation.params.kpt_oks_sigmas = sigmas
    return evaluation


def check_backend(backend):
    """Raises unless a backend of `accumulate` is known, ValueError, and installed, ImportError."""
    if backend not in BACKENDS:
        raise ValueError(f'backend is {backend!r}; expected "pycocotools" or "faster"')
    if backend == "faster" and importlib.util.find_spec("faster_coco_eval") is None:
        raise ImportError(
            'backend="faster" needs faster-coco-eval: pip install faster-coco-eval, or leave '
            'backend="pycocotools", which gives the same numbers'
        )


def _check_outlines(shapes, kind):
    for i, shape in enumerate(shapes):
        if "segmentation" not in shape:
            raise ValueError(
                f"{kind} {i} of image {shape['image_id']}: expected a `segmentation` to compare "
                'masks, received none. Compare boxes: iou_types=("bbox",).'
            )


def _check_points(results, count):
    for i, result in enumerate(results):
        found = len(result.get("keypoints", ()))
        if found != 3 * count:
            raise ValueError(
                f"result {i} of image {result['image_id']}: expected {3 * count} numbers in "
                f"keypoints, x y score of {count} points, received {found}. Compare boxes: "
                'iou_types=("bbox",).'
            )


def _numbered(annotations):
    """Copies of annotations, which COCOeval modifies, numbered from 1."""
    return [{**each, "id": i + 1} for i, each in enumerate(annotations)]


def _with_areas(results, iou_type):
    """Returns copies of results as annotations of one type.

    The area, by which detections count as small, medium or large, is that of the box, the mask or
    the box around the keypoints.
    """
    if iou_type == "keypoints":
        sides = [keypoints.extent(result["keypoints"])[2:] for result in results]
        areas = [width * height for width, height in sides]
    elif iou_type == "bbox":
        areas = [result["bbox"][2] * result["bbox"][3] for result in results]
    else:
        areas = [float(mask_utils.area(result["segmentation"])) for result in results]
    return [
        {**result, "id": i + 1, "iscrowd": 0, "area": area}
        for i, (result, area) in enumerate(zip(results, areas, strict=True))
    ]


def _compute_boundary(evaluation, image_id, category_id):
    """What `COCOeval.computeIoU` is for boundary IoU: [detections, best first; ground truths]."""
    truths = evaluation._gts[image_id, category_id]
    found = evaluation._dts[image_id, category_id]
    if not truths and not found:
        return []
    found = sorted(found, key=lambda each: -each["score"])[: evaluation.params.maxDets[-1]]
    codes, gt_codes = ([each["segmentation"] for each in group] for group in (found, truths))
    return boundary_overlaps(codes, gt_codes, [int(each["iscrowd"]) for each in truths])


def summarize(evaluation, max_detections=100):
    """Takes the means from the arrays of an accumulated COCOeval; nan where it prints -1."""
    # precision: [T thresholds, R recalls, K classes, 4 areas, limits]; recall: the same without R
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    params = evaluation.params
    limits, thresholds = params.maxDets, params.iouThrs
    areas = {label[0]: i for i, label in enumerate(params.areaRngLbl) if i > 0}  # 0 is all sizes
    scores = {"AP": mean(precision[:, :, :, 0, -1])}
    for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
        scores[name] = mean(precision[np.isclose(thresholds, threshold), :, :, 0, -1])
    scores |= {f"AP{name}": mean(precision[:, :, :, i, -1]) for name, i in areas.items()}
    for limit in limits if params.iouType == "keypoints" else (1, 10, max_detections):
        at = limits.index(min(limit, max_detections))
        scores[f"AR{limit}"] = mean(recall[:, :, 0, at])
    return scores | {f"AR{name}": mean(recall[:, :, i, -1]) for name, i in areas.items()}


def mean(array):
    """Mean of COCOeval's numbers, without its -1 for classes and areas without ground truth."""
    array = array[array > -1]
    # COCOeval adds `np.spacing(1)` to what it divides by: rounding makes a perfect score 1.0.
    return round(float(array.mean()), 12) if array.size else float("nan")
