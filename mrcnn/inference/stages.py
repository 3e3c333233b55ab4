"""`Inspector`: what every stage of a network says of one picture, in pixels of that picture.

Shapes: H W of the picture, A anchors, L boxes that compete, N proposals, K classes, D detections,
h w of a small mask or of a level.
"""

import dataclasses

import keras
import numpy as np

from mrcnn.inference.suppression import suppress
from mrcnn.inference.unmold import unmold_boxes
from mrcnn.layers.dense_detections import DenseDetectionLayer
from mrcnn.layers.detections import DetectionLayer
from mrcnn.layers.proposals import ProposalLayer
from mrcnn.ops.indexing import take_class
from mrcnn.ops.roi_align import roi_levels
from mrcnn.settings import Detections

_STEPS = ("pre_nms_scores", "refined_anchors_clipped", "rpn_non_max_suppression")
_POOLED_LEVELS = 4  # of a pyramid, see `mrcnn.network.trunk.pool`


@dataclasses.dataclass(frozen=True)
class ScoredAnchors:
    """Every anchor.

    Attributes:
        boxes: float [A, 4].
        scores: float [A], of an object, or where anchors are classified of the best class.
        levels: int [A], 0 for the finest.
        maps: list of float [h, w], of each level the best score at each place.
        strides: ints, molded pixels from one place of a level to the next.
    """

    boxes: np.ndarray
    scores: np.ndarray
    levels: np.ndarray
    maps: list
    strides: tuple


@dataclasses.dataclass(frozen=True)
class Competition:
    """Boxes before non-maximum suppression.

    Attributes:
        boxes: float [L, 4].
        normalized: float [L, 4], the same as the network compares them: where the corner pixels are
            0 and 1 the overlaps are a little smaller.
        scores: float [L]; -inf of what takes no part.
        class_ids: int [L], what is suppressed together; of proposals the level.
        settings: `mrcnn.settings.Detections`.
    """

    boxes: np.ndarray
    normalized: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    settings: Detections

    def suppress(self, **changes):
        """What becomes of the boxes, a `Suppression`.

        Args:
            changes: fields of the settings with other values, such as `nms_threshold`.
        """
        settings = dataclasses.replace(self.settings, **changes)
        return suppress(self.normalized, self.scores, self.class_ids, settings)


@dataclasses.dataclass(frozen=True)
class Proposals:
    """What the region proposal network proposes.

    Attributes:
        boxes: float [N, 4], best first.
        scores: float [N].
        candidates: `Competition` of the refined anchors that they were chosen of.
    """

    boxes: np.ndarray
    scores: np.ndarray
    candidates: Competition


@dataclasses.dataclass(frozen=True)
class ClassifiedROIs:
    """What the box head is given, of a cascade the last one, and what it says.

    Attributes:
        boxes: float [N, 4].
        levels: int [N], of the pyramid, 0 for the finest that is pooled from.
        probs: float [N, K], background first.
    """

    boxes: np.ndarray
    levels: np.ndarray
    probs: np.ndarray


@dataclasses.dataclass(frozen=True)
class SmallMasks:
    """What the mask head draws, before it is put into the picture.

    Attributes:
        masks: float [D, h, w], probabilities of each detection's class over its box.
        boxes: float [D, 4].
        class_ids: int [D].
        scores: float [D].
    """

    masks: np.ndarray
    boxes: np.ndarray
    class_ids: np.ndarray
    scores: np.ndarray


@dataclasses.dataclass(frozen=True)
class Stages:
    """What the stages say of a picture; None of those that the network does not have.

    Attributes:
        anchors: `ScoredAnchors`.
        proposals: `Proposals`.
        rois: `ClassifiedROIs`.
        candidates: `Competition` of refined ROIs, or of refined anchors, whatever their scores.
        masks: `SmallMasks`.
    """

    anchors: ScoredAnchors | None = None
    proposals: Proposals | None = None
    rois: ClassifiedROIs | None = None
    candidates: Competition | None = None
    masks: SmallMasks | None = None


class Inspector:
    """Looks inside a model. What it looks at is chosen by the layers that the model has.

    Args:
        model: a `DetectionModel`.

    Example:

    >>> stages = Inspector(model).look(image)  # doctest: +SKIP
    >>> stages.candidates.suppress(nms_threshold=0.5).kept  # doctest: +SKIP
    array([3, 17])
    """

    def __init__(self, model):
        self.model = model
        layers = model.graphs["inference"].layers
        self._proposals = next((x for x in layers if isinstance(x, ProposalLayer)), None)
        kinds = DetectionLayer, DenseDetectionLayer
        self._detections = next((x for x in layers if isinstance(x, kinds)), None)
        self._outputs = self._find_outputs({layer.name for layer in layers})

    @property
    def available(self):
        """Names of the stages that `look` finds."""
        dense = isinstance(self._detections, DenseDetectionLayer)
        has = {
            "anchors": dense or self._proposals is not None,
            "proposals": self._proposals is not None,
            "rois": self._detections is not None and not dense,
            "candidates": self._detections is not None,
            "masks": "masks" in self._outputs,
        }
        return [name for name, there in has.items() if there]

    def _find_outputs(self, names):
        """Symbolic tensors by name: all that one call of the network has to compute."""
        graph, outputs = self.model.graphs["inference"], {}
        if self._proposals is not None:
            pillar = self._proposals.output
            place = self._proposals.name
            outputs |= {x: self.model.ancestor(pillar, f"{place}/{x}") for x in _STEPS}
            outputs["rpn_class"] = graph.get_layer("rpn_class").output
        if self._detections is not None:
            given = keras.tree.flatten(self._detections.input)
            outputs |= {f"given_{i}": tensor for i, tensor in enumerate(given)}
            outputs["detections"] = self._detections.output
            if "mrcnn_mask" in names:
                outputs["masks"] = graph.get_layer("mrcnn_mask").output
        return outputs

    def look(self, image):
        """Runs the network, and keeps what each stage says.

        Args:
            image: array as `detect` takes it.

        Returns:
            `Stages`; an empty one of a network without any of them.

        Raises:
            ValueError: an image that cannot be used.
        """
        if not self._outputs:
            return Stages()
        molded, metas, windows = self.model.mold_inputs([image])
        found = self.model.compute(molded, list(self._outputs.items()), image_metas=metas)
        place = _Place(np.shape(image), molded.shape[1:], windows[0], self.model.settings)
        given = [array for name, array in found.items() if name.startswith("given_")]
        stages = {}
        if self._proposals is not None:
            stages["anchors"] = self._anchors(place, found["rpn_class"][0, :, 1])
            stages["proposals"] = self._proposed(place, found)
        if isinstance(self._detections, DenseDetectionLayer):
            count = len(given) // 3
            logits, deltas, anchors = (given[i * count : (i + 1) * count] for i in range(3))
            best = np.concatenate([level[0, :, 1:].max(axis=-1) for level in logits])
            stages["anchors"] = self._anchors(place, 1 / (1 + np.exp(-best)))
            given = [logits, deltas, anchors, given[-1]]
        elif self._detections is not None:
            stages["rois"] = self._classified(place, given)
        if self._detections is not None:
            stages["candidates"] = self._competition(place, given)
        if "masks" in found:
            stages["masks"] = _small_masks(place, found)
        return Stages(**stages)

    def _anchors(self, place, scores):
        settings, shape = self.model.settings.anchors, place.molded_shape
        sides = -(-self.model.feature_shapes(shape) // settings.anchor_stride)
        counts = [height * width * settings.per_location for height, width in sides]
        parts = np.split(scores, np.cumsum(counts)[:-1])
        maps = [
            part.reshape(*side, -1).max(axis=-1) for part, side in zip(parts, sides, strict=True)
        ]
        return ScoredAnchors(
            place.pixels(self.model.get_anchors(shape)),
            scores,
            np.repeat(np.arange(len(counts)), counts),
            maps,
            tuple(settings.strides),
        )

    def _proposed(self, place, found):
        settings = self._proposals.settings
        scores = found["pre_nms_scores"][0].astype(float)
        normalized = found["refined_anchors_clipped"][0]
        boxes = place.pixels(normalized)
        keep = np.ravel(found["rpn_non_max_suppression"])
        keep = keep[keep >= 0]
        keep = keep[np.argsort(-scores[keep], kind="stable")][: settings.proposal_count]
        rules = Detections(
            max_instances=settings.proposal_count,
            min_confidence=0.0,
            nms_threshold=settings.nms_threshold,
            nms="hard",
            class_agnostic_nms=False,
        )
        levels = np.arange(len(scores)) // settings.pre_nms_limit
        candidates = Competition(boxes, normalized, scores, levels, rules)
        return Proposals(boxes[keep], scores[keep], candidates)

    def _classified(self, place, given):
        rois, probs, settings = given[0], given[1][0], self.model.settings
        real = rois[0].any(axis=-1)
        count = min(_POOLED_LEVELS, len(settings.anchors.strides))
        sides = np.array([place.molded_shape[:2]], np.float32)
        rounding = settings.pooling.level_rounding
        levels = keras.ops.convert_to_numpy(roi_levels(rois, sides, count, rounding))[0]
        return ClassifiedROIs(place.pixels(rois[0][real]), levels[real], probs[real])

    def _competition(self, place, given):
        """What competes to be detected, from what the layer was given; of any score."""
        layer = self._detections
        settings = dataclasses.replace(layer.settings, min_confidence=0.0)
        kind = DenseDetectionLayer if isinstance(layer, DenseDetectionLayer) else DetectionLayer
        competing = kind(settings).candidates(*given)
        boxes, scores, ids = (keras.ops.convert_to_numpy(each)[0] for each in competing)
        scores = scores.astype(float)
        return Competition(place.pixels(boxes), boxes, scores, ids, layer.settings)


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a picture lies in its molded image."""

    shape: tuple
    molded_shape: tuple
    window: tuple
    settings: object

    def pixels(self, boxes):
        """Normalised boxes [N, 4] of the molded image in pixels of the picture."""
        offset = self.settings.anchors.box_offset
        return unmold_boxes(boxes, self.shape, self.molded_shape, self.window, offset)


def _small_masks(place, found):
    detections = found["detections"][0]
    real = detections[:, 4] > 0
    ids = detections[None, :, 4].astype(int)
    masks = keras.ops.convert_to_numpy(take_class(found["masks"], ids))[0]
    boxes = place.pixels(detections[real, :4])
    return SmallMasks(masks[real], boxes, ids[0][real], detections[real, 5])
