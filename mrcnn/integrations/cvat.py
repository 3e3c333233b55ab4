"""An automatic-annotation function of CVAT, for its command line and for `annotate_task`.

cvat-cli task auto-annotate 7 --function-module mrcnn.integrations.cvat -p weights=str:runs/train

Masks become CVAT's masks, or polygons where CVAT wants these; boxes of a model without masks
rectangles; keypoints skeletons.
"""

import functools

import numpy as np

from mrcnn.data.annotations.tracing import bridge, trace
from mrcnn.image.cropped_masks import masks_of
from mrcnn.integrations.models import load_model
from mrcnn.integrations.packages import needed

cvataa = needed("cvat_sdk.auto_annotation", "cvat-sdk")
encode_mask = needed("cvat_sdk.masks", "cvat-sdk").encode_mask


def create(weights, config=None, preset=None, score=None):
    """The function that CVAT's command line asks for; its `-p NAME=TYPE:VALUE` are these.

    Args:
        weights, config, preset: as those of `mrcnn detect`.
        score: float, the least; None: DETECTION_MIN_CONFIDENCE.

    Returns:
        `DetectionFunction`.
    """
    keys = {} if score is None else {"DETECTION_MIN_CONFIDENCE": score}
    return DetectionFunction(load_model(weights, config, preset, **keys))


class DetectionFunction:
    """What CVAT calls for each picture.

    Args:
        model: `mrcnn.model.DetectionModel`, or another object with `detect` and `class_names`.

    Attributes:
        spec: the model's classes, as CVAT's labels.

    Example:

    >>> from cvat_sdk.auto_annotation import annotate_task
    >>> annotate_task(client, 7, DetectionFunction(model))  # doctest: +SKIP
    """

    def __init__(self, model):
        if not model.class_names:
            raise ValueError(
                "expected a model that knows its classes' names, by which CVAT finds its labels, "
                'received one without; set model.class_names = ["BG", ...]'
            )
        self.model = model
        scheme = getattr(model, "keypoint_scheme", None)
        self._points = () if scheme is None else scheme.names
        kind = "mask" if model.config.USE_MASK else "rectangle"
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[self._label(i, name, kind) for i, name in enumerate(model.class_names) if i]
        )

    def _label(self, class_id, name, kind):
        if not self._points:
            return cvataa.label_spec(name, class_id, type=kind)
        points = [cvataa.keypoint_spec(point, i) for i, point in enumerate(self._points)]
        return cvataa.skeleton_label_spec(name, class_id, points)

    def detect(self, context, image):
        """The objects in a picture.

        Args:
            context: `DetectionFunctionContext`: the least score, and whether masks are to be
                polygons.
            image: `PIL.Image.Image`.

        Returns:
            list of `LabeledShapeRequest`, each with its score.
        """
        (found,) = self.model.detect([np.asarray(image.convert("RGB"))])
        if context.conf_threshold is not None:
            found = found[np.asarray(found["scores"]) >= context.conf_threshold]
        labels = zip(found["class_ids"].tolist(), map(float, found["scores"]), strict=True)
        shapes = zip(labels, self._shapes(found, context.conv_mask_to_poly), strict=True)
        return [make(class_id, score=score) for (class_id, score), make in shapes if make]

    def _shapes(self, found, as_polygons):
        """Yields for each object a function of its label that makes CVAT's shape; None of a mask
        without a pixel."""
        if self._points:
            for points in found["keypoints"]:
                yield functools.partial(cvataa.skeleton, elements=_elements(points))
        elif "masks" in found:
            for top, left, patch in masks_of(found["masks"]):
                draw = _polygon if as_polygons else _mask
                yield draw(top, left, patch) if patch.any() else None
        else:
            for y1, x1, y2, x2 in np.asarray(found.get("boxes", found["rois"]), float).tolist():
                yield functools.partial(cvataa.rectangle, points=[x1, y1, x2, y2])


def _elements(points):
    """The points of a skeleton, of rows y x score."""
    return [cvataa.keypoint(i, [float(x), float(y)]) for i, (y, x, _) in enumerate(points)]


def _mask(top, left, patch):
    *runs, x1, y1, x2, y2 = encode_mask(patch)
    points = [*runs, x1 + left, y1 + top, x2 + left, y2 + top]
    return functools.partial(cvataa.mask, points=points)


def _polygon(top, left, patch):
    """One polygon for all parts and holes of a mask: CVAT's have one ring."""
    rings = [ring for part in trace(patch) for ring in part]
    points = np.reshape(bridge(rings), (-1, 2)) + np.array([left, top])
    return functools.partial(cvataa.polygon, points=points.ravel().tolist())
