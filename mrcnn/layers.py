"""Layers without weights: each is one pure function with its constants.

All work in float32 whatever the precision policy, except `PyramidROIAlign`, which returns its
features' type. Outputs carry no gradient to boxes.

Shapes: B images, H W, A anchors, N proposals, T training ROIs, P of them that may be positive,
M ground truths, D detections, K classes, C channels.
"""

import keras
from keras import ops

from mrcnn import anchors, roi_align
from mrcnn.config import ROI_ALIGN_MODES
from mrcnn.image import parse_image_meta
from mrcnn.ops import apply_box_deltas, clip_boxes, gather, nms, norm_boxes, top_k


class PureLayer(keras.layers.Layer):
    """A layer without weights, in float32, whose constructor arguments are its configuration."""

    def __init__(self, name=None, **constants):
        super().__init__(name=name, dtype="float32", autocast=False)
        self._constants = constants

    def get_config(self):
        return {"name": self.name, **self._constants}


def image_shape(image_meta):
    """Height and width of each molded image: [B, META] -> float [B, 2]."""
    return parse_image_meta(image_meta)["image_shape"][:, :2]


class Anchors(PureLayer):
    """Anchors of a pyramid: see `mrcnn.anchors`.

    Args:
        scales: list of floats, pixels, one for each level.
        ratios: list of floats, width / height.
        strides: list of ints, image pixels from one feature to the next.
        anchor_stride: int, features from one anchor location to the next.
        rounded: bool, whole pixels, see `mrcnn.anchors.cell_anchors`.
        measured_strides: bool, take image side // feature side instead of `strides`, as
            torchvision: it differs where a side is not a multiple of the stride.
        box_offset: see `mrcnn.ops`.
    """

    def __init__(
        self,
        scales,
        ratios,
        strides,
        anchor_stride=1,
        rounded=False,
        measured_strides=False,
        box_offset=1,
        name=None,
    ):
        super().__init__(
            name,
            scales=scales,
            ratios=ratios,
            strides=strides,
            anchor_stride=anchor_stride,
            rounded=rounded,
            measured_strides=measured_strides,
            box_offset=box_offset,
        )
        self.levels = list(zip(scales, strides, strict=True))
        self.ratios, self.anchor_stride, self.rounded = ratios, anchor_stride, rounded
        self.measured_strides, self.box_offset = measured_strides, box_offset

    def call(self, images, features):
        """Returns a dict: `levels`, the anchors of each level, float32 [1, A_l, 4] normalised, and
        `pixels`, all of them, float32 [1, A, 4]."""
        sides = ops.shape(images)[1:3]
        pixels = []
        for (scale, stride), feature in zip(self.levels, features, strict=True):
            cells = ops.shape(feature)[1:3]
            if self.measured_strides:
                stride = tuple(side // cell for side, cell in zip(sides, cells, strict=True))
            level = anchors.grid_anchors(
                scale, self.ratios, *cells, stride, self.anchor_stride, self.rounded
            )
            pixels.append(ops.expand_dims(level, 0))
        shape = ops.stack([ops.cast(side, "float32") for side in sides])
        return {
            "levels": [norm_boxes(level, shape, self.box_offset) for level in pixels],
            "pixels": ops.concatenate(pixels, axis=1),
        }


class SplitAnchors(PureLayer):
    """Anchors of all levels [B, A, 4] -> list of those of each level [B, A_l, 4].

    The second argument is a list of tensors [1, A_l, 4] of those sizes.
    """

    def call(self, anchors, levels):
        split, start = [], 0
        for level in levels:
            end = start + ops.shape(level)[1]
            split.append(anchors[:, start:end])
            start = end
        return split

    def compute_output_spec(self, anchors, levels):
        return [
            keras.KerasTensor((anchors.shape[0], *level.shape[1:]), "float32") for level in levels
        ]


class NormBoxes(PureLayer):
    """Pixels to normalised coordinates: boxes [B, M, 4], meta [B, META] -> float32 [B, M, 4].

    Padding, a row of zeros, stays a row of zeros.

    Args:
        box_offset: see `mrcnn.ops`.
    """

    def __init__(self, box_offset=1, name=None):
        super().__init__(name, box_offset=box_offset)
        self.box_offset = box_offset

    def call(self, boxes, image_meta):
        shape = ops.expand_dims(image_shape(image_meta), 1)
        normalized = norm_boxes(boxes, shape, self.box_offset)
        return ops.where(ops.any(boxes != 0, axis=-1, keepdims=True), normalized, 0.0)


class ProposalLayer(PureLayer):
    """Proposals of the RPN: the best anchors, refined, clipped, without duplicates.

    Args:
        proposal_count: int, proposals kept at most (N).
        nms_threshold: float, IoU above which the lower score goes.
        pre_nms_limit: int, anchors of a level that take part.
        std_dev: four floats, scale of the deltas.
        native: see `mrcnn.ops.nms`.
        clip_to_window: bool, clip to the picture inside the image, and drop what has no area
            there; else clip to the image, padding included.
        box_offset: see `mrcnn.ops`.
    """

    def __init__(
        self,
        proposal_count,
        nms_threshold,
        pre_nms_limit,
        std_dev,
        native=True,
        clip_to_window=False,
        box_offset=1,
        name=None,
    ):
        std_dev = [float(x) for x in std_dev]
        super().__init__(
            name,
            proposal_count=proposal_count,
            nms_threshold=nms_threshold,
            pre_nms_limit=pre_nms_limit,
            std_dev=std_dev,
            native=native,
            clip_to_window=clip_to_window,
            box_offset=box_offset,
        )
        self.proposal_count, self.nms_threshold = proposal_count, nms_threshold
        self.pre_nms_limit, self.std_dev, self.native = pre_nms_limit, std_dev, native
        self.clip_to_window, self.box_offset = clip_to_window, box_offset

    def call(self, rpn_class, rpn_bbox, anchors, image_meta):
        """Turns scored anchors into proposals.

        Args:
            rpn_class: float [B, A, 2], probabilities of background and object.
            rpn_bbox: float [B, A, 4], deltas.
            anchors: list of float [1 or B, A_l, 4], normalised, the same for all images; each item
                is a competition, the best of all of them are returned.
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
        best, index = top_k(scores, self.proposal_count)
        return ops.where(best[..., None] > -float("inf"), gather(boxes, index), 0.0)

    def compute_output_spec(self, rpn_class, *args, **kwargs):
        # Inference by running `call` on made-up sizes would cut levels out of nothing.
        return keras.KerasTensor((rpn_class.shape[0], self.proposal_count, 4), "float32")

    def candidates(self, rpn_class, rpn_bbox, anchors, image_meta):
        """The steps of `call`, for each level a dict: its best L anchors `anchors` [B, L, 4], best
        first, `refined` and `clipped` to the image, and what of them NMS kept: `keep` int32 [B, N],
        padded with -1, and `kept_scores` [B, N], padded with -inf."""
        if self.clip_to_window:
            window = ops.expand_dims(normalized_window(image_meta, self.box_offset), 1)
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
        scores = ops.cast(ops.stop_gradient(rpn_class[..., 1]), "float32")
        scores, index = top_k(scores, self.pre_nms_limit)
        deltas = ops.cast(gather(ops.stop_gradient(rpn_bbox), index), "float32")
        best = ops.take(anchors[0], index, axis=0)
        refined = apply_box_deltas(best, deltas * ops.convert_to_tensor(self.std_dev))
        clipped = clip_boxes(refined, window)
        if self.clip_to_window:
            seen = ops.all(clipped[..., 2:] > clipped[..., :2], axis=-1)
            scores = ops.where(seen, scores, -float("inf"))
        keep = nms(clipped, scores, self.proposal_count, self.nms_threshold, native=self.native)
        kept_scores = ops.where(keep >= 0, gather(scores, ops.maximum(keep, 0)), -float("inf"))
        return {
            "scores": scores,
            "anchors": best,
            "refined": refined,
            "clipped": clipped,
            "keep": keep,
            "kept_scores": kept_scores,
        }


class ProposalSteps(ProposalLayer):
    """What a `ProposalLayer` of the same configuration computes on its way, to look at.

    Returns a dict: `pre_nms_anchors`, `refined_anchors` and `refined_anchors_clipped`, float32
    [B, L, 4], best score first in each level, zeros where a level has fewer anchors, and
    `rpn_non_max_suppression`, int32 [B, N], which of those NMS kept, padded with -1.
    """

    def call(self, rpn_class, rpn_bbox, anchors, image_meta):
        levels = self.candidates(rpn_class, rpn_bbox, anchors, image_meta)
        keep = [
            ops.where(level["keep"] >= 0, level["keep"] + i * self.pre_nms_limit, -1)
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
        return found | {"rpn_non_max_suppression": ops.concatenate(keep, axis=1)}

    def compute_output_spec(self, rpn_class, rpn_bbox, anchors, image_meta):
        batch, count = rpn_class.shape[0], len(anchors)
        boxes, keep = (batch, count * self.pre_nms_limit, 4), (batch, count * self.proposal_count)
        names = ("pre_nms_anchors", "refined_anchors", "refined_anchors_clipped")
        # Keras tells tensors apart by identity: one for each name.
        spec = {name: keras.KerasTensor(boxes, "float32") for name in names}
        return spec | {"rpn_non_max_suppression": keras.KerasTensor(keep, "int32")}


def normalized_window(image_meta, box_offset):
    """Where the picture lies in its molded image: [B, META] -> float [B, 4], normalised."""
    window = parse_image_meta(image_meta)["window"]
    return norm_boxes(window, image_shape(image_meta), box_offset)


def take_kept(values, keep):
    """Rows of `values` [B, N, ...] by index [B, S], zeros where the index is -1."""
    taken = gather(values, ops.maximum(keep, 0))
    return ops.where(ops.expand_dims(keep >= 0, -1), taken, 0.0)


class PyramidROIAlign(PureLayer):
    """Pools each box from the pyramid level that fits its size.

    Args:
        pool_size: int, bins a side (P).
        mode: "crop_and_resize" (matterport: one sample a bin) or "roi_align".
        sampling_ratio: int, samples of a bin and axis in mode "roi_align"; 0: adaptive.
        aligned: bool, half-pixel correction in mode "roi_align".
        native: see `mrcnn.roi_align`.
        level_rounding: "round" or "floor", see `mrcnn.roi_align.roi_levels`.
        box_offset: see `mrcnn.ops`.
    """

    def __init__(
        self,
        pool_size,
        mode="crop_and_resize",
        sampling_ratio=2,
        aligned=True,
        native=True,
        level_rounding="round",
        box_offset=1,
        name=None,
    ):
        super().__init__(
            name,
            pool_size=pool_size,
            mode=mode,
            sampling_ratio=sampling_ratio,
            aligned=aligned,
            native=native,
            level_rounding=level_rounding,
            box_offset=box_offset,
        )
        if mode not in ROI_ALIGN_MODES:
            raise ValueError(f"mode is {mode!r}; expected one of {ROI_ALIGN_MODES}")
        self.pool_size, self.mode, self.native = pool_size, mode, native
        self.sampling_ratio, self.aligned = sampling_ratio, aligned
        self.level_rounding, self.box_offset = level_rounding, box_offset

    def call(self, boxes, image_meta, features):
        """Pools boxes.

        Args:
            boxes: float [B, N, 4], normalised.
            image_meta: float [B, META].
            features: list of float [B, h, w, C], P2 first.

        Returns:
            float [B, N, pool_size, pool_size, C].
        """
        boxes, shape = ops.stop_gradient(boxes), image_shape(image_meta)
        levels = roi_align.roi_levels(boxes, shape, len(features), self.level_rounding)
        if self.mode == "crop_and_resize":
            return roi_align.pyramid_crop_and_resize(
                features, boxes, levels, self.pool_size, self.native
            )
        return roi_align.pyramid_roi_align(
            features,
            boxes,
            levels,
            self.pool_size,
            shape,
            self.sampling_ratio,
            self.aligned,
            self.native,
            self.box_offset,
        )
