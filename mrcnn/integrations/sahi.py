"""A model inside SAHI: sliced prediction, its merging, `sahi.predict.predict` of a folder.

Shape legend: H, W size of a picture or a slice.
"""

import numpy as np

from mrcnn.data.class_names import class_name
from mrcnn.image.cropped_masks import masks_of, tight_box
from mrcnn.integrations.models import load_model
from mrcnn.integrations.packages import needed

DetectionModel = needed("sahi.models.base", "sahi").DetectionModel
ObjectPrediction = needed("sahi.prediction", "sahi").ObjectPrediction
outline = needed("sahi.utils.cv", "sahi").get_coco_segmentation_from_bool_mask


class SahiModel(DetectionModel):
    """SAHI's `DetectionModel` of a model of this library; slices of one call are one batch.

    Args:
        model: `mrcnn.model.DetectionModel`, or another object with `detect` and `class_names`.
        model_path, config_path: in place of `model`: what `mrcnn detect` takes as WEIGHTS and
            `--config`.
        confidence_threshold: float, the least score; below the model's own
            `DETECTION_MIN_CONFIDENCE` nothing is found.
        options: the others of SAHI's class. `device`, `image_size` and `mask_threshold` mean
            nothing here: Keras has placed the model, and its config says the rest.

    Example:

    >>> from sahi.predict import get_sliced_prediction
    >>> result = get_sliced_prediction("slide.png", SahiModel(model=model))  # doctest: +SKIP
    """

    def load_model(self):
        if self.model_path is None:
            raise ValueError("expected a model, or a model_path, received neither")
        self.set_model(load_model(self.model_path, self.config_path))

    def set_model(self, model, **options):
        self.model = model
        if self.category_mapping is None and model.class_names is not None:
            self.category_mapping = {
                str(i): name for i, name in enumerate(model.class_names) if i > 0
            }

    def set_device(self, device=None):
        self.device = device  # SAHI would choose one for PyTorch, and hide the others

    def unload_model(self):
        self.model = None

    @property
    def category_names(self):
        """list of str, without the background."""
        return self.model.class_names[1:]

    @property
    def num_categories(self):
        """int, without the background."""
        return len(self.model.class_names) - 1

    def perform_inference(self, image):
        self.perform_batch_inference([image])

    def perform_batch_inference(self, images):
        self._original_predictions = self.model.detect(images)

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list=None, full_shape_list=None
    ):
        results = self._original_predictions
        shifts = _for_each(shift_amount_list, [0, 0], len(results))
        shapes = _for_each(full_shape_list, None, len(results))
        self._object_prediction_list_per_image = [
            self._predictions(found, shift, shape)
            for found, shift, shape in zip(results, shifts, shapes, strict=True)
        ]

    def _predictions(self, found, shift, shape):
        """SAHI's objects of one result.

        Args:
            found: `Detections` of a slice.
            shift: x and y of the slice in the picture.
            shape: [H, W] of the picture, or None: the slice is all of it.
        """
        if "masks" in found:
            found = found[[patch.any() for _, _, patch in masks_of(found["masks"])]]
        found = found[np.asarray(found["scores"]) >= self.confidence_threshold]
        outlines = [None] * found.count
        if "masks" in found:
            shape = shape or list(found["masks"].shape[:2])
            outlines = [_outline(*placed) for placed in masks_of(found["masks"])]
        boxes = np.asarray(found.get("boxes", found["rois"]), float)[:, [1, 0, 3, 2]].tolist()
        rows = zip(boxes, outlines, found["class_ids"].tolist(), found["scores"], strict=True)
        return [
            ObjectPrediction(
                bbox=box,
                segmentation=rings,
                category_id=class_id,
                category_name=class_name(class_id, self.model.class_names),
                score=float(score),
                shift_amount=shift,
                full_shape=shape,
            )
            for box, rings, class_id, score in rows
        ]


def _for_each(values, default, count):
    """A value for each of some slices: SAHI gives a list of them, one alone, or None."""
    if values is None:
        return [default] * count
    return values if isinstance(values[0], (list, tuple)) else [values] * count


def _outline(top, left, patch):
    """SAHI's outline of a mask, through the centres of its border's pixels."""
    rings = outline(patch)
    if not rings:  # SAHI leaves out what has fewer than three corners
        y1, x1, y2, x2 = tight_box(patch)
        rings = [[x1, y1, x2 - 1, y1, x2 - 1, y2 - 1, x1, y2 - 1]]
    corner = np.array([left, top])
    return [(np.reshape(ring, (-1, 2)) + corner).ravel().tolist() for ring in rings]
