"""Layers without weights: each is one pure function with its constants.

All work in float32 whatever the precision policy, except `PyramidROIAlign`, which returns its
features' type. Outputs carry no gradient to boxes.

Shapes: B images, H W, A anchors, N proposals, T training ROIs, P of them that may be positive,
M ground truths, D detections, K classes, C channels.
"""

import keras
from keras import ops

from mrcnn import anchors, losses, roi_align, targets
from mrcnn.config import ROI_ALIGN_MODES
from mrcnn.image import parse_image_meta
from mrcnn.ops import apply_box_deltas, clip_boxes, gather, nms, norm_boxes, top_k


class _Layer(keras.layers.Layer):
    """A layer without weights whose constructor arguments are its configuration."""

    def __init__(self, name=None, **constants):
        super().__init__(name=name, dtype="float32", autocast=False)
        self._constants = constants

    def get_config(self):
        return {"name": self.name, **self._constants}


def image_shape(image_meta):
    """Height and width of each molded image: [B, META] -> float [B, 2]."""
    return parse_image_meta(image_meta)["image_shape"][:, :2]


class Anchors(_Layer):
    """Anchors of a pyramid: see `mrcnn.anchors`.

    Args:
        scales: list of floats, pixels, one for each level.
        ratios: list of floats, width / height.
        strides: list of ints, image pixels from one feature to the next.
        anchor_stride: int, features from one anchor location to the next.
    """

    def __init__(self, scales, ratios, strides, anchor_stride=1, name=None):
        super().__init__(
            name, scales=scales, ratios=ratios, strides=strides, anchor_stride=anchor_stride
        )
        self.levels = list(zip(scales, strides, strict=True))
        self.ratios, self.anchor_stride = ratios, anchor_stride

    def call(self, images, features):
        """Returns a dict of float32 [1, A, 4]: `pixels` and `normalized`."""
        pixels = [
            anchors.grid_anchors(
                scale, self.ratios, *ops.shape(feature)[1:3], stride, self.anchor_stride
            )
            for (scale, stride), feature in zip(self.levels, features, strict=True)
        ]
        pixels = ops.expand_dims(ops.concatenate(pixels), 0)
        shape = ops.stack([ops.cast(side, "float32") for side in ops.shape(images)[1:3]])
        return {"pixels": pixels, "normalized": norm_boxes(pixels, shape)}


class NormBoxes(_Layer):
    """Pixels to normalised coordinates: boxes [B, M, 4], meta [B, META] -> float32 [B, M, 4].

    Padding, a row of zeros, stays a row of zeros.
    """

    def call(self, boxes, image_meta):
        normalized = norm_boxes(boxes, ops.expand_dims(image_shape(image_meta), 1))
        return ops.where(ops.any(boxes != 0, axis=-1, keepdims=True), normalized, 0.0)


class ProposalLayer(_Layer):
    """Proposals of the RPN: the best anchors, refined, clipped, without duplicates.

    Args:
        proposal_count: int, proposals kept at most (N).
        nms_threshold: float, IoU above which the lower score goes.
        pre_nms_limit: int, anchors that take part.
        std_dev: four floats, scale of the deltas.
        native: see `mrcnn.ops.nms`.
    """

    def __init__(
        self, proposal_count, nms_threshold, pre_nms_limit, std_dev, native=True, name=None
    ):
        std_dev = [float(x) for x in std_dev]
        super().__init__(
            name,
            proposal_count=proposal_count,
            nms_threshold=nms_threshold,
            pre_nms_limit=pre_nms_limit,
            std_dev=std_dev,
            native=native,
        )
        self.proposal_count, self.nms_threshold = proposal_count, nms_threshold
        self.pre_nms_limit, self.std_dev, self.native = pre_nms_limit, std_dev, native

    def call(self, rpn_class, rpn_bbox, anchors):
        """Turns scored anchors into proposals.

        Args:
            rpn_class: float [B, A, 2], probabilities of background and object.
            rpn_bbox: float [B, A, 4], deltas.
            anchors: float [1, A, 4], normalised.

        Returns:
            float32 [B, N, 4], normalised, best first, padded with zeros.
        """
        scores = ops.cast(ops.stop_gradient(rpn_class[..., 1]), "float32")
        scores, index = top_k(scores, self.pre_nms_limit)
        deltas = ops.cast(gather(ops.stop_gradient(rpn_bbox), index), "float32")
        boxes = apply_box_deltas(
            ops.take(anchors[0], index, axis=0), deltas * ops.convert_to_tensor(self.std_dev)
        )
        boxes = clip_boxes(boxes, ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0]))
        keep = nms(boxes, scores, self.proposal_count, self.nms_threshold, native=self.native)
        return _take_kept(boxes, keep)


def _take_kept(values, keep):
    """Rows of `values` [B, N, ...] by index [B, S], zeros where the index is -1."""
    taken = gather(values, ops.maximum(keep, 0))
    return ops.where(ops.expand_dims(keep >= 0, -1), taken, 0.0)


class PyramidROIAlign(_Layer):
    """Pools each box from the pyramid level that fits its size.

    Args:
        pool_size: int, bins a side (P).
        mode: "crop_and_resize" (matterport: one sample a bin) or "roi_align".
        sampling_ratio: int, samples of a bin and axis in mode "roi_align"; 0: adaptive.
        aligned: bool, half-pixel correction in mode "roi_align".
        native: see `mrcnn.roi_align`.
    """

    def __init__(
        self,
        pool_size,
        mode="crop_and_resize",
        sampling_ratio=2,
        aligned=True,
        native=True,
        name=None,
    ):
        super().__init__(
            name,
            pool_size=pool_size,
            mode=mode,
            sampling_ratio=sampling_ratio,
            aligned=aligned,
            native=native,
        )
        if mode not in ROI_ALIGN_MODES:
            raise ValueError(f"mode is {mode!r}; expected one of {ROI_ALIGN_MODES}")
        self.pool_size, self.mode, self.native = pool_size, mode, native
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

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
        levels = roi_align.roi_levels(boxes, shape, len(features))
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
        )


class AnchorTargetLayer(_Layer):
    """Targets of the RPN: `mrcnn.targets.rpn_targets`.

    Args:
        num_anchors: int, anchors drawn for each image.
        std_dev: four floats, scale of the deltas.
        seed: int or None.
    """

    def __init__(self, num_anchors, std_dev, seed=None, name=None):
        std_dev = [float(x) for x in std_dev]
        super().__init__(name, num_anchors=num_anchors, std_dev=std_dev, seed=seed)
        self.num_anchors, self.std_dev = num_anchors, std_dev
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, anchors, gt_class_ids, gt_boxes):
        return targets.rpn_targets(
            anchors, gt_class_ids, gt_boxes, self.num_anchors, self.std_dev, self.seed_generator
        )


class DetectionTargetLayer(_Layer):
    """Training ROIs of the heads and their targets: `mrcnn.targets.roi_targets`.

    Args:
        num_rois: int, ROIs drawn for each image (T).
        positive_ratio: float, share of positives at most.
        std_dev: four floats, scale of the deltas.
        mask_shape: (int, int), height and width of mask targets.
        mini_masks: bool, ground truth masks cover their boxes instead of the image.
        fill_negatives: bool, draw more negatives where positives are few.
        add_gt: bool, ground truth boxes join the proposals.
        seed: int or None.
    """

    def __init__(
        self,
        num_rois,
        positive_ratio,
        std_dev,
        mask_shape,
        mini_masks,
        fill_negatives=False,
        add_gt=False,
        seed=None,
        name=None,
    ):
        self.arguments = {
            "num_rois": num_rois,
            "positive_ratio": positive_ratio,
            "std_dev": [float(x) for x in std_dev],
            "mask_shape": list(mask_shape),
            "mini_masks": mini_masks,
            "fill_negatives": fill_negatives,
        }
        super().__init__(name, **self.arguments, add_gt=add_gt, seed=seed)
        self.add_gt = add_gt
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, proposals, gt_class_ids, gt_boxes, gt_masks):
        if self.add_gt:
            objects = ops.where(ops.expand_dims(gt_class_ids > 0, -1), gt_boxes, 0.0)
            proposals = ops.concatenate([proposals, objects], axis=1)
        return targets.roi_targets(
            proposals,
            gt_class_ids,
            gt_boxes,
            gt_masks,
            seed=self.seed_generator,
            **self.arguments,
        )


class DetectionLayer(_Layer):
    """Final detections: the best class of each ROI, refined, without duplicates in a class.

    Args:
        max_instances: int, detections kept at most (D).
        min_confidence: float, lowest score that counts; 0 or None: any.
        nms_threshold: float, IoU above which the lower score of a class goes.
        std_dev: four floats, scale of the deltas.
        native: see `mrcnn.ops.nms`.
    """

    def __init__(
        self, max_instances, min_confidence, nms_threshold, std_dev, native=True, name=None
    ):
        std_dev = [float(x) for x in std_dev]
        super().__init__(
            name,
            max_instances=max_instances,
            min_confidence=min_confidence,
            nms_threshold=nms_threshold,
            std_dev=std_dev,
            native=native,
        )
        self.max_instances, self.min_confidence = max_instances, min_confidence or 0.0
        self.nms_threshold, self.std_dev, self.native = nms_threshold, std_dev, native

    def call(self, rois, mrcnn_class, mrcnn_bbox, image_meta):
        """Turns classified ROIs into detections.

        Args:
            rois: float [B, N, 4], normalised, zero padded.
            mrcnn_class: float [B, N, K], probabilities.
            mrcnn_bbox: float [B, N, K, 4], deltas of each class.
            image_meta: float [B, META]; boxes are clipped to its window.

        Returns:
            float32 [B, D, 6] = y1 x1 y2 x2 (normalised), class id, score; best first, zero padded.
        """
        probs = ops.cast(mrcnn_class, "float32")
        class_ids = ops.cast(ops.argmax(probs, axis=-1), "int32")  # (B, N)
        scores = ops.max(probs, axis=-1)
        deltas = ops.take_along_axis(mrcnn_bbox, class_ids[..., None, None], axis=2)[:, :, 0]
        deltas = ops.cast(deltas, "float32") * ops.convert_to_tensor(self.std_dev)
        window = parse_image_meta(image_meta)["window"]
        window = norm_boxes(window, image_shape(image_meta))
        boxes = clip_boxes(apply_box_deltas(rois, deltas), ops.expand_dims(window, 1))

        is_roi = ops.any(rois != 0, axis=-1)
        wanted = is_roi & (class_ids > 0) & (scores >= self.min_confidence)
        scores = ops.where(wanted, scores, -float("inf"))
        keep = nms(
            boxes, scores, self.max_instances, self.nms_threshold, class_ids, native=self.native
        )
        columns = [boxes, ops.cast(class_ids, "float32")[..., None], scores[..., None]]
        return _take_kept(ops.concatenate(columns, axis=-1), keep)


class ClassMasks(_Layer):
    """Mask of each detection's class: [B, D, h, w, K], [B, D, 6] -> float32 [B, D, h, w]."""

    def call(self, masks, detections):
        class_ids = ops.cast(detections[..., 4], "int32")[..., None, None, None]
        return ops.cast(ops.take_along_axis(masks, class_ids, axis=4)[..., 0], "float32")


class Loss(_Layer):
    """The function of `mrcnn.losses` with the layer's name: tensors -> float32 scalar."""

    def call(self, *tensors):
        return getattr(losses, self.name)(*tensors)
