"""From classified anchors to detections, without proposals. Like all layers here, without weights.

Shapes: B images, A anchors of a level, L candidates of it, D detections, K classes.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.layers.base import PureLayer, normalized_window
from mrcnn.layers.detections import without_duplicates
from mrcnn.ops.boxes import apply_box_deltas, clip_boxes
from mrcnn.ops.indexing import gather, top_k


@keras.saving.register_keras_serializable("mrcnn")
class DenseDetectionLayer(PureLayer):
    """Final detections of a detector without proposals: of the best scores of every level.

    Args:
        settings: `mrcnn.settings.Detections`.
    """

    settings_type = settings.Detections

    def call(self, class_logits, deltas, anchors, image_meta):
        """Turns classified anchors into detections.

        Args:
            class_logits: list of float [B, A, K], one for each level, background first.
            deltas: list of float [B, A, 4].
            anchors: list of float [1, A, 4], normalised.
            image_meta: float [B, META]; boxes are clipped to its window.

        Returns:
            float32 [B, D, 6] = y1 x1 y2 x2 (normalised), class id, score; best first, zero padded.
        """
        boxes, scores, class_ids = self.candidates(class_logits, deltas, anchors, image_meta)
        settings = self.settings
        window = ops.expand_dims(normalized_window(image_meta, settings.box_offset), 1)
        shown = boxes if settings.clip_first else clip_boxes(boxes, window)
        return without_duplicates(boxes, shown, scores, class_ids, settings)

    def candidates(self, class_logits, deltas, anchors, image_meta):
        """What competes in `call`: as `DetectionLayer.candidates`, level by level."""
        settings = self.settings
        levels = [
            dense_candidates(*level, settings)
            for level in zip(class_logits, deltas, anchors, strict=True)
        ]
        boxes, scores, class_ids = (
            ops.concatenate(parts, axis=1) for parts in zip(*levels, strict=True)
        )
        if settings.clip_first:
            window = normalized_window(image_meta, settings.box_offset)
            boxes = clip_boxes(boxes, ops.expand_dims(window, 1))
        return boxes, scores, class_ids

    def compute_output_spec(self, class_logits, *args, **kwargs):
        # Given: Keras would otherwise run `call` on sizes that it makes up, too small for levels.
        shape = (class_logits[0].shape[0], self.settings.max_instances, 6)
        return keras.KerasTensor(shape, "float32")


def dense_candidates(class_logits, deltas, anchors, settings):
    """The best scores of a level, whatever anchors and classes they are of.

    Args:
        class_logits: float [B, A, K], background first, which is never a candidate.
        deltas: float [B, A, 4].
        anchors: float [1, A, 4], normalised.
        settings: `mrcnn.settings.Detections`, which says how many (L).

    Returns:
        boxes float32 [B, L, 4], refined; scores float32 [B, L], best first, -inf below
        `min_confidence` and in what pads a small level; and class_ids int32 [B, L].
    """
    count, classes = settings.candidates, class_logits.shape[-1] - 1
    logits = ops.cast(ops.stop_gradient(class_logits[..., 1:]), "float32")
    # The best L scores are of the L anchors whose best scores are best.
    best, index = top_k(ops.max(logits, axis=-1), count)
    padding = ops.expand_dims(best == -float("inf"), -1)
    logits = ops.where(padding, -float("inf"), gather(logits, index))  # (B, L, K - 1)
    logits, place = top_k(ops.reshape(logits, (-1, count * classes)), count)
    index = ops.take_along_axis(index, place // classes, axis=1)  # (B, L), of the anchors
    scores = ops.sigmoid(logits)
    wanted = (logits > -float("inf")) & (scores >= settings.min_confidence)
    deltas = ops.cast(gather(ops.stop_gradient(deltas), index), "float32")
    deltas = deltas * ops.convert_to_tensor(settings.std_dev, "float32")
    boxes = apply_box_deltas(ops.take(anchors[0], index, axis=0), deltas)
    return boxes, ops.where(wanted, scores, -float("inf")), place % classes + 1
