"""A model run over a data set, in batches and in flat memory, for scoring."""

import collections
import contextlib
import inspect
import itertools
import warnings

from mrcnn.data.fitting import check_dataset, check_proposals
from mrcnn.data.image_loading import image_name
from mrcnn.data.proposals import load_proposals
from mrcnn.evaluate.annotations import add_image, coco_results, empty_ground_truth
from mrcnn.progress import Progress


def detect_dataset(model, dataset, image_ids=None, verbose=0, skip_broken=False, scorers=()):
    """Detects in images of a dataset.

    A model whose `detect` has an argument `stream` gets all images in one call and is handed one
    after the other, so that it fills its batches; any other gets one image a call. One that is
    given proposals (`USE_RPN_ROIS = False`) gets those of the dataset.

    Args:
        model: has `detect(images)` -> list of dicts as `coco_results` takes them.
        dataset: a prepared `Dataset`.
        image_ids: which of its images; all by default.
        verbose: 1 prints progress to the standard error.
        skip_broken: bool, whether an image that cannot be loaded is left out with a warning, as
            training does, and is no error after many others.
        scorers: objects of `further_scorers`, which are given the truth of each image, and what
            was found.

    Returns:
        ground_truth: in COCO's format, see `coco_ground_truth`.
        results: list of COCO results, in the order of the images; boxes alone where objects of the
            dataset have boxes alone.

    Raises:
        TypeError: no model, or no dataset.
        ValueError: masks or class ids that training refuses too; the message names the image.
    """
    if not hasattr(model, "detect"):
        order = " in this order" if hasattr(dataset, "detect") else ""
        raise TypeError(
            f"model is a {type(model).__name__}, without detect(); expected (model, dataset){order}"
        )
    check_dataset(dataset, "dataset")
    image_ids = dataset.image_ids if image_ids is None else image_ids
    truth, results = empty_ground_truth(dataset), []

    shown = collections.deque()  # (image id, the truth of each scorer) of what is detected in now
    given = wants_proposals(model)
    if given:
        check_proposals(dataset, model.settings)

    def pictures():
        for image_id in image_ids:
            try:
                image = dataset.load_image(image_id)
                boxes = load_proposals(dataset, int(image_id)) if given else None
                truths = [scorer.load(image_id, image.shape) for scorer in scorers]
                add_image(truth, dataset, image_id, image.shape)
            except (OSError, RuntimeError, ValueError) as error:
                if not skip_broken:
                    raise
                name = image_name(dataset, image_id)
                warnings.warn(f"left out of the scores: {name}: {error}", stacklevel=2)
                if progress:
                    progress.advance(passed_over=True)
                continue
            shown.append((image_id, truths))
            yield image, boxes

    told = Progress("evaluate", len(image_ids)) if verbose else contextlib.nullcontext()
    with told as progress:
        for found in _detect(model, pictures(), given):
            image_id, truths = shown.popleft()
            results += coco_results(image_id, found)
            for scorer, known in zip(scorers, truths, strict=True):
                scorer.count(known, found)
            if progress:
                progress.advance()
    if getattr(dataset, "without_outline", None):
        # Rectangles are no masks to compare with.
        results = [{k: v for k, v in x.items() if k != "segmentation"} for x in results]
    if not getattr(model, "finds_instances", True):
        truth["annotations"] = []
    return truth, results


def further_scorers(model, dataset):
    """By name what scores a model beside COCO's numbers: by `load(image_id, image_shape)` of each
    image's truth, `count(truth, found)`, and `scores()` of all."""
    return {name: make(dataset) for name, make in getattr(model, "further_scores", {}).items()}


def wants_proposals(model):
    """Whether a model is given its proposals, `USE_RPN_ROIS = False`."""
    ground_truth = getattr(getattr(model, "settings", None), "ground_truth", None)
    return not getattr(ground_truth, "use_rpn_rois", True)


def detect_some(model, dataset, image_ids, images):
    """What a model detects in some images of a dataset, with the proposals of the dataset where it
    is given those."""
    options = {}
    if wants_proposals(model):
        options["proposals"] = [load_proposals(dataset, int(image_id)) for image_id in image_ids]
    return model.detect(images, **options)


def _detect(model, pictures, given):
    """Results one by one of (image, proposals) that come one by one."""
    if "stream" not in inspect.signature(model.detect).parameters:
        return (model.detect([image])[0] for image, _ in pictures)
    if not given:
        return model.detect((image for image, _ in pictures), stream=True)
    images, proposals = itertools.tee(pictures)
    return model.detect(
        (image for image, _ in images), stream=True, proposals=(boxes for _, boxes in proposals)
    )


def detection_limit(model, max_detections=None):
    """How many detections of a class in an image count: what is asked for, or the model's own.

    COCO's 100, and more where the model's DETECTION_MAX_INSTANCES lets it find more.
    """
    if max_detections is not None:
        return max_detections
    return max(100, int(getattr(getattr(model, "config", None), "DETECTION_MAX_INSTANCES", 100)))
