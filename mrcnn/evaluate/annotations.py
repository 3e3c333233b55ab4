"""COCO's format as dicts: a data set's ground truth and a model's detections, and back to arrays.

Only run-length codes are kept, so that memory holds the masks of one image at a time.
"""

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.outlines import text_code, to_code
from mrcnn.data.annotations.run_lengths import encode_part
from mrcnn.data.boxes import has_codes
from mrcnn.data.image_loading import load_instances, load_keypoints
from mrcnn.data.keypoints import coco_facts, from_coco, to_coco
from mrcnn.evaluate.keypoints import extent
from mrcnn.image.cropped_masks import masks_of

_OF_A_RESULT = ("bbox", "score", "segmentation", "keypoints")
LARGE = 2**24  # pixels of an image whose masks are not all drawn at once, if it can be helped


def coco_ground_truth(dataset, image_ids=None):
    """Returns a dataset in COCO's format: `images`, `annotations` and `categories`.

    Boxes and areas come from the masks, negative class ids become `iscrowd`, and masks without a
    pixel are left out. Image and category ids are the dataset's internal ones. A dataset with
    keypoints has them, their names, lines and sigmas.

    Args:
        dataset: a prepared `Dataset`.
        image_ids: which of its images; all by default.
    """
    truth = empty_ground_truth(dataset)
    for image_id in dataset.image_ids if image_ids is None else image_ids:
        add_image(truth, dataset, image_id, dataset.load_image(image_id).shape)
    return truth


def empty_ground_truth(dataset):
    """Returns a dataset's classes in COCO's format, and no image yet, see `add_image`."""
    categories = [{"id": i, "name": name} for i, name in enumerate(dataset.class_names) if i > 0]
    scheme = getattr(dataset, "keypoint_scheme", None)
    if scheme is not None:
        categories = [category | scheme.to_coco() for category in categories]
    return {"images": [], "annotations": [], "categories": categories}


def add_image(truth, dataset, image_id, shape):
    """Appends one image of `shape` and its annotations to a ground truth in COCO's format."""
    height, width = shape[:2]
    codes, class_ids = _load_codes(dataset, image_id, shape)
    truth["images"].append({"id": int(image_id), "height": int(height), "width": int(width)})
    keypoints = load_keypoints(dataset, image_id, len(class_ids))
    points = [{}] * len(class_ids) if keypoints is None else map(coco_facts, keypoints)
    for code, class_id, facts in zip(codes, class_ids, points, strict=True):
        area = int(mask_utils.area(code))
        if area == 0:
            continue
        truth["annotations"].append(
            {
                "id": len(truth["annotations"]) + 1,
                "image_id": int(image_id),
                "category_id": abs(int(class_id)),
                "iscrowd": int(class_id < 0),
                "area": area,
                "bbox": mask_utils.toBbox(code).tolist(),
                "segmentation": code,
                **facts,
            }
        )


def _load_codes(dataset, image_id, shape):
    """Codes ready for JSON and class ids of an image's instances."""
    height, width = shape[:2]
    if height * width > LARGE and has_codes(dataset, image_id):
        codes, class_ids = dataset.load_codes(image_id)
        if all(list(code["size"]) == [height, width] for code in codes):
            return map(text_code, codes), class_ids
    masks, class_ids = load_instances(dataset, image_id, shape, dataset.num_classes)
    return (encode(masks[:, :, i]) for i in range(len(class_ids))), class_ids


def coco_results(image_id, detection):
    """Returns what was detected in one image as a list of COCO results.

    Args:
        image_id: id of the image in the ground truth.
        detection: dict with `boxes` (or `rois`) [N, (y1, x1, y2, x2)] in pixels, `class_ids` [N],
            `scores` [N]; from a model with masks `masks` [H, W, N] bool or `CroppedMasks`; from one
            with keypoints `keypoints` [N, K, 3], y x score, of which the score becomes COCO's v.
    """
    boxes = np.asarray(detection.get("boxes", detection["rois"]), float).reshape(-1, 4)
    rows = zip(boxes.tolist(), detection["class_ids"], detection["scores"], strict=True)
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
        size = detection["masks"].shape[:2]
        for result, (top, left, patch) in zip(results, masks_of(detection["masks"]), strict=True):
            result["segmentation"] = encode_part(patch, top, left, *size)
    if "keypoints" in detection:
        for result, keypoints in zip(results, detection["keypoints"], strict=True):
            result["keypoints"] = to_coco(keypoints)
    return results


def to_instances(annotations, height, width):
    """Returns annotations or results of one image as matterport's dict, for drawing.

    Args:
        annotations: list of dicts with `category_id` and `bbox`, of which one with keypoints alone
            has the box around them.
        height, width: of the image.

    Returns:
        dict: `rois` float [N, (y1, x1, y2, x2)] in pixels; `class_ids` int [N], the category ids,
        negative for crowds; `masks` bool [H, W, N] if every one has an outline; `scores` [N] if
        every one has a score; `keypoints` float [N, K, 3] if every one has them.
    """
    boxes = [each["bbox"] if "bbox" in each else extent(each["keypoints"]) for each in annotations]
    boxes = np.array(boxes, float).reshape(-1, 4)[:, [1, 0, 3, 2]]
    boxes[:, 2:] += boxes[:, :2]  # height and width -> y2 x2
    signs = [-1 if each.get("iscrowd") else 1 for each in annotations]
    ids = [each["category_id"] for each in annotations]
    instances = {"rois": boxes, "class_ids": np.multiply(ids, signs).astype(int)}
    if all("segmentation" in each for each in annotations):
        masks = [mask_utils.decode(each["segmentation"]) for each in annotations]
        masks = np.stack(masks, axis=-1) if masks else np.zeros((height, width, 0))
        instances["masks"] = masks.astype(bool)
    if all("score" in each for each in annotations):
        instances["scores"] = np.array([each["score"] for each in annotations])
    if annotations and all(each.get("keypoints") for each in annotations):
        instances["keypoints"] = np.array([from_coco(each["keypoints"]) for each in annotations])
    return instances


def encode(mask):
    """Returns the compressed run-length code of a [H, W] mask, ready for JSON."""
    return text_code(mask_utils.encode(np.asfortranarray(mask, np.uint8)))


def complete(ground_truth):
    """Returns a ground truth with what scoring reads and tools leave out.

    Outlines become run-length codes; `bbox` and `area` follow from them, `area` without an outline
    from the box; `iscrowd` is 0. What is there stays as it is: COCO counts the areas of the file.

    Raises:
        ValueError: it is in another format, or an annotation has neither outline nor box, or its
            image is not listed; the message names it.
    """
    lists = {"images", "categories"}
    if not isinstance(ground_truth, dict) or not lists <= ground_truth.keys():
        received = list(ground_truth)[:5] if isinstance(ground_truth, dict) else "no dict"
        raise ValueError(
            "expected annotations in COCO's format, a dict with lists of `images`, `annotations` "
            f"and `categories`, received {received}"
        )
    images = {image["id"]: image for image in ground_truth["images"]}
    annotations = [_complete(each, images) for each in ground_truth.get("annotations", ())]
    return {**ground_truth, "annotations": annotations}


def complete_results(results):
    """Returns results with compressed masks, and with their boxes where there are none.

    Other tools write files of masks alone, and run-length codes as lists of numbers.
    """
    return [_complete_result(each) for each in results]


def _complete_result(result):
    if "segmentation" not in result:
        return result
    code = result["segmentation"]
    if isinstance(code["counts"], list):
        code = text_code(mask_utils.frPyObjects(code, *code["size"]))
        result = {**result, "segmentation": code}
    if "bbox" in result:
        return result
    return {**result, "bbox": mask_utils.toBbox(code).tolist()}


def results_by_name(detections, ground_truth):
    """Results for a ground truth, of a COCO file of detections that has ids of its own.

    Args:
        detections: dict as `mrcnn detect` writes it: annotations with scores; its images have the
            same `file_name`, its categories the same `name` as those of the ground truth.
        ground_truth: in COCO's format.

    Returns:
        list of COCO results.

    Raises:
        ValueError: a picture or a class that the other has not.
    """
    images = _ids_by(detections["images"], ground_truth["images"], "file_name")
    missing = {image["id"] for image in ground_truth["images"]} - set(images.values())
    if missing:
        raise ValueError(
            f"expected detections of all {len(ground_truth['images'])} pictures of the ground "
            f"truth, {len(missing)} have none, image {min(missing, key=str)!r} for example"
        )
    used = {each["category_id"] for each in detections["annotations"]}
    found = [each for each in detections["categories"] if each["id"] in used]
    categories = _ids_by(found, ground_truth["categories"], "name")
    return [
        {
            **{key: each[key] for key in _OF_A_RESULT if key in each},
            "image_id": images[each["image_id"]],
            "category_id": categories[each["category_id"]],
        }
        for each in detections["annotations"]
    ]


def _ids_by(entries, truths, key):
    """For the id of each entry that of the truth with the same text under `key`."""
    ids = {str(each.get(key)): each["id"] for each in truths}
    unknown = [str(each[key]) for each in entries if str(each[key]) not in ids]
    if unknown:
        raise ValueError(
            f"expected detections with a {key} of the ground truth, such as "
            f"{next(iter(ids), None)!r}, received {unknown[0]!r}"
        )
    return {each["id"]: ids[str(each[key])] for each in entries}


def _complete(annotation, images):
    name = f"annotation {annotation.get('id')}"
    if annotation["image_id"] not in images:
        raise ValueError(
            f"{name}: expected an image of the file, received image_id "
            f"{annotation['image_id']!r}. List the image under `images`, or remove the annotation."
        )
    found = {"iscrowd": 0, **annotation}
    if found.get("segmentation"):
        code = found["segmentation"]
        if not (isinstance(code, dict) and isinstance(code["counts"], str)):
            image = images[found["image_id"]]
            code = text_code(to_code(code, image["height"], image["width"], name))
        if "bbox" not in found:
            found["bbox"] = mask_utils.toBbox(code).tolist()
        if "area" not in found:
            found["area"] = float(mask_utils.area(code))
        return {**found, "segmentation": code}
    found.pop("segmentation", None)
    if "bbox" not in found:
        raise ValueError(
            f"{name}: expected an outline in `segmentation` or a box in `bbox`, received "
            f"{sorted(annotation)}. Draw the object, or remove the annotation."
        )
    return {"area": found["bbox"][2] * found["bbox"][3], **found}
