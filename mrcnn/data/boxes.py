"""The boxes of a data set's instances, without masks of the picture's size where its files do.

Shape legend: H, W size in pixels; N instances of a picture. Boxes are `y1, x1, y2, x2` in pixels,
half-open.
"""

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.data.dataset import Dataset
from mrcnn.data.image_loading import check_instances
from mrcnn.image.masks import extract_bboxes
from mrcnn.image.reading import image_size


def has_codes(dataset, image_id):
    """Whether a data set has run-length codes of a picture's instances, which are small."""
    return hasattr(dataset, "has_codes") and dataset.has_codes(image_id)


def picture_size(dataset, image_id):
    """Height and width of a picture, from its annotations or file if these tell."""
    info = dataset.image_info[image_id]
    if has_codes(dataset, image_id):
        return int(info["height"]), int(info["width"])
    if type(dataset).load_image is Dataset.load_image and info.get("path"):
        return tuple(image_size(info["path"]))
    return tuple(dataset.load_image(image_id).shape[:2])


def load_boxes(dataset, image_id):
    """The boxes of a picture's instances.

    Args:
        dataset: a prepared `Dataset`.
        image_id: int.

    Returns:
        float [N, 4]; class ids int32 [N], negative for crowds; and (H, W).

    Raises:
        ValueError: its picture or instances are unusable.
    """
    if has_codes(dataset, image_id):
        size = picture_size(dataset, image_id)
        boxes, class_ids = dataset.load_boxes(image_id, size)
        return boxes.astype(float), class_ids, size
    instances = dataset.load_mask(image_id)
    shape = np.shape(instances[0])
    size = shape[:2] if np.prod(shape) else picture_size(dataset, image_id)
    masks, class_ids = check_instances(instances, size, dataset.num_classes)
    boxes = extract_bboxes(masks).astype(float)
    seen = boxes[:, 2] > 0
    return boxes[seen], class_ids[seen], size


def check_annotated_size(size, image_shape):
    """Whether annotations are of the size of their image.

    Args:
        size: (H, W) of the annotations.
        image_shape: (H, W, ...) of the image.

    Raises:
        ValueError: they are not.
    """
    if tuple(size) != tuple(image_shape[:2]):
        raise ValueError(
            f"expected annotations of the image's size {list(image_shape[:2])}, received "
            f"{list(size)}. Pictures are read upright, as their EXIF says: annotate them upright."
        )


def code_boxes(codes):
    """The boxes of run-length codes, float [N, 4]."""
    boxes = np.array([mask_utils.toBbox(code) for code in codes], float).reshape(-1, 4)
    x1, y1, width, height = boxes.T
    return np.stack([y1, x1, y1 + height, x1 + width], axis=1)
