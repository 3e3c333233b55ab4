"""From scored anchors to proposals.

Shapes: B images, A anchors, L the best of a level, N proposals.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.layers.base import PureLayer, normalized_window, take_kept
from mrcnn.ops.boxes import apply_box_deltas, clip_boxes
from mrcnn.ops.indexing import gather, top_k
from mrcnn.ops.non_max_suppression import nms


@keras.saving.register_keras_serializable("mrcnn")
class ProposalLayer(PureLayer):
    """Proposals of the RPN: the best anchors, refined, clipped, without duplicates.

    Args:
        settings: `mrcnn.settings.Proposals`.
    """

    settings_type = settings.Proposals

    def call(self, rpn_class, rpn_bbox, anchors, image_meta):
        """Turns scored anchors into proposals.

        Args:
            rpn_class: float [B, A, 2], probabilities of background and object.
            rpn_bbox: float [B, A, 4], deltas.
            anchors: list of float [1 or B, A_l, 4], normalised, the same for all images. NMS runs
                on each item of the list by itself; the best of what they keep is returned.
            image_meta: float [B, META].

        Returns:
            float32 [B, N, 4], normalised, best first, padded with zeros.
        """
        found = [
            (take_kept(level["clipped"], level["keep"]), level["kept_scores"])
            for level in self.candidates(rpn_class, rpn_bbox, anchors, image_meta)
        ]
        if len(found) == 1:
            return found[0][0]
        boxes, scores = (ops.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        best, index = top_k(scores, self.settings.proposal_count)
        return ops.where(best[..., None] > -float("inf"), gather(boxes, index), 0.0)

    def compute_output_spec(self, rpn_class, *args, **kwargs):
        # Given: Keras would otherwise run `call` on sizes that it makes up, too small for levels.
        return keras.KerasTensor((rpn_class.shape[0], self.settings.proposal_count, 4), "float32")

    def candidates(self, rpn_class, rpn_bbox, anchors, image_meta):
        """The steps of `call`, for each level a dict: its best L anchors `anchors` [B, L, 4], best
        first, `refined` and `clipped` to the image, and what of them NMS kept: `keep` int32 [B, N],
        padded with -1, and `kept_scores` [B, N], padded with -inf."""
        if self.settings.clip_to_window:
            window = ops.expand_dims(normalized_window(image_meta, self.settings.box_offset), 1)
        else:
            window = ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0])
        found, start = [], 0
        for level in anchors:
            end = start + ops.shape(level)[1]
            predictions = rpn_class[:, start:end], rpn_bbox[:, start:end]
            found.append(self._level_candidates(*predictions, level, window))
            start = end
        return found

    def _level_candidates(self, rpn_class, rpn_bbox, anchors, window):
        settings = self.settings
        scores = ops.cast(ops.stop_gradient(rpn_class[..., 1]), "float32")
        scores, index = top_k(scores, settings.pre_nms_limit)
        deltas = ops.cast(gather(ops.stop_gradient(rpn_bbox), index), "float32")
        best = ops.take(anchors[0], index, axis=0)
        refined = apply_box_deltas(best, deltas * ops.convert_to_tensor(settings.std_dev))
        clipped = clip_boxes(refined, window)
        if settings.clip_to_window:
            seen = ops.all(clipped[..., 2:] > clipped[..., :2], axis=-1)
            scores = ops.where(seen, scores, -float("inf"))
        keep = nms(
            clipped,
            scores,
            settings.proposal_count,
            settings.nms_threshold,
            native=settings.native,
        )
        kept_scores = ops.where(keep >= 0, gather(scores, ops.maximum(keep, 0)), -float("inf"))
        return {
            "scores": scores,
            "anchors": best,
            "refined": refined,
            "clipped": clipped,
            "keep": keep,
            "kept_scores": kept_scores,
        }


@keras.saving.register_keras_serializable("mrcnn")
class ProposalSteps(ProposalLayer):
    """What a `ProposalLayer` of the same configuration computes on its way, to look at.

    Returns a dict: `pre_nms_anchors`, `refined_anchors` and `refined_anchors_clipped`, float32
    [B, L, 4], best score first in each level, zeros where a level has fewer anchors;
    `pre_nms_scores`, float32 [B, L], -inf there and of what lies outside the picture; and
    `rpn_non_max_suppression`, int32 [B, N], which of those NMS kept, padded with -1.
    """

    def call(self, rpn_class, rpn_bbox, anchors, image_meta):
        levels = self.candidates(rpn_class, rpn_bbox, anchors, image_meta)
        keep = [
            ops.where(level["keep"] >= 0, level["keep"] + i * self.settings.pre_nms_limit, -1)
            for i, level in enumerate(levels)
        ]
        scores = ops.concatenate([level["scores"] for level in levels], axis=1)
        is_anchor = ops.expand_dims(scores > -float("inf"), -1)
        steps = {"pre_nms_anchors": "anchors", "refined_anchors": "refined"}
        steps |= {"refined_anchors_clipped": "clipped"}
        found = {
            name: ops.concatenate([level[key] for level in levels], axis=1)
            for name, key in steps.items()
        }
        found = {name: ops.where(is_anchor, boxes, 0.0) for name, boxes in found.items()}
        found["pre_nms_scores"] = scores
        return found | {"rpn_non_max_suppression": ops.concatenate(keep, axis=1)}

    def compute_output_spec(self, rpn_class, rpn_bbox, anchors, image_meta):
        batch, count = rpn_class.shape[0], len(anchors)
        rows = count * self.settings.pre_nms_limit
        boxes = (batch, rows, 4)
        keep = (batch, count * self.settings.proposal_count)
        names = ("pre_nms_anchors", "refined_anchors", "refined_anchors_clipped")
        # Keras tells tensors apart by identity: one for each name.
        spec = {name: keras.KerasTensor(boxes, "float32") for name in names}
        spec["pre_nms_scores"] = keras.KerasTensor((batch, rows), "float32")
        return spec | {"rpn_non_max_suppression": keras.KerasTensor(keep, "int32")}
