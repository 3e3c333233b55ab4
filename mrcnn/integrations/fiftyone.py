"""What a model finds, in FiftyOne's data sets: for its app, its queries and its evaluation.

Shape legend: H, W size of the picture.
"""

import numpy as np

from mrcnn.data.class_names import class_name
from mrcnn.image.masks import extract_bboxes
from mrcnn.integrations.packages import needed

fo = needed("fiftyone", "fiftyone")


def to_fiftyone(found, size=None):
    """The instances of a result as FiftyOne's labels.

    A box with a mask has whole pixels and holds all of it, for FiftyOne's masks fill their boxes.

    Args:
        found: `mrcnn.inference.Detections`.
        size: (H, W) of the picture; None: of `found.image`, which a stream does not keep.

    Returns:
        `fiftyone.Detections`, best first, with `confidence`, and `mask` where the model has masks.

    Example:

    >>> sample["mrcnn"] = to_fiftyone(model.detect([sample.filepath])[0])  # doctest: +SKIP
    """
    size = _size(found, size)
    boxes, masks = _boxes_and_masks(found)
    labels = []
    for i, (y1, x1, y2, x2) in enumerate((boxes / (*size, *size)).tolist()):
        labels.append(
            fo.Detection(
                label=class_name(found["class_ids"][i], found.class_names),
                bounding_box=[x1, y1, x2 - x1, y2 - y1],
                confidence=float(found["scores"][i]),
                mask=masks[i],
            )
        )
    return fo.Detections(detections=labels)


def keypoints_to_fiftyone(found, size=None):
    """The keypoints of a result as FiftyOne's labels.

    Args:
        found: `mrcnn.inference.Detections` with `keypoints`.
        size: as of `to_fiftyone`.

    Returns:
        `fiftyone.Keypoints`, one for each instance, with a confidence of each point.
    """
    height, width = _size(found, size)
    return fo.Keypoints(
        keypoints=[
            fo.Keypoint(
                label=class_name(class_id, found.class_names),
                points=[(float(x) / width, float(y) / height) for y, x, _ in points],
                confidence=[float(score) for *_, score in points],
            )
            for class_id, points in zip(found["class_ids"], found["keypoints"], strict=True)
        ]
    )


class FiftyOneModel(fo.Model):
    """A model for `apply_model` of FiftyOne's data sets and views.

    Args:
        model: `mrcnn.model.DetectionModel`, or another object with `detect`.

    Example:

    >>> dataset.apply_model(FiftyOneModel(model), "mrcnn", batch_size=4)  # doctest: +SKIP
    """

    media_type = "image"
    transforms = None  # `detect` molds pictures itself,
    preprocess = False
    ragged_batches = False  # and takes any sizes together

    def __init__(self, model):
        self.model = model

    def predict(self, arg):
        """The labels of a picture [H, W, 3]: `fiftyone.Detections`; of a model with keypoints a
        dict of `detections` and `keypoints`, which FiftyOne makes two fields of."""
        return self.predict_all([arg])[0]

    def predict_all(self, args):
        """The labels of several pictures, which are one batch: list, see `predict`."""
        return [_labels(found) for found in self.model.detect(args)]


def _labels(found):
    detections = to_fiftyone(found)
    if "keypoints" not in found:
        return detections
    return {"detections": detections, "keypoints": keypoints_to_fiftyone(found)}


def _size(found, size):
    if size is None:
        if found.image is None:
            raise ValueError(
                "expected the size of the picture, for this result does not keep its image; give "
                "size=(height, width)"
            )
        size = np.shape(found.image)[:2]
    return size


def _boxes_and_masks(found):
    """Boxes [n, 4], and for each its mask bool [h, w], or None."""
    if "masks" not in found:
        return np.asarray(found.get("boxes", found["rois"]), float), [None] * found.count
    masks, boxes = found["masks"], np.array(found["rois"])
    tight = extract_bboxes(masks)
    some = tight[:, 2] > 0  # a mask without a pixel has no box
    boxes[some, :2] = np.minimum(boxes[some, :2], tight[some, :2])
    boxes[some, 2:] = np.maximum(boxes[some, 2:], tight[some, 2:])
    sides = enumerate(boxes.tolist())
    return boxes, [np.array(masks[y1:y2, x1:x2, i]) for i, (y1, x1, y2, x2) in sides]
