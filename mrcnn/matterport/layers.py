"""matterport's layers under its signatures, for networks put together by hand.

Each takes its inputs as one list and its numbers from a `Config`, and keeps the numbers: a saved
model needs no `Config`. What a family of numerics asks for they do, or refuse where matterport's
inputs do not tell enough. The maths is that of the layers and functions they adapt.

Shapes: B images, H W, A anchors, N ROIs, T training ROIs, M ground truths, D detections, K classes,
C channels.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.layers import detections as detection_layers
from mrcnn.layers import roi_align
from mrcnn.layers import targets as target_layers
from mrcnn.layers.base import PureLayer, take_kept
from mrcnn.network import norm
from mrcnn.ops.boxes import apply_box_deltas, clip_boxes
from mrcnn.ops.indexing import gather, top_k
from mrcnn.ops.non_max_suppression import nms

__all__ = [
    "BatchNorm",
    "DetectionLayer",
    "DetectionTargetLayer",
    "ProposalLayer",
    "PyramidROIAlign",
    "to_matterport_targets",
]


def _settings(layer, kind, config, fields, **given):
    """Settings of a layer: of a `Config`, or the fields that `get_config` saved."""
    if config is not None:
        return kind.from_config(config, **{**given, **fields})
    if not fields:
        raise ValueError(
            f"{type(layer).__name__}: expected config=, a Config, received None. Pass the config "
            "of your model."
        )
    return kind(**{key: settings.plain(value) for key, value in {**given, **fields}.items()})


def _compiles(native):
    """Whether XLA can compile a layer; TensorFlow's own kernels it cannot."""
    return not (native and keras.backend.backend() == "tensorflow")


@keras.saving.register_keras_serializable("mrcnn.matterport")
class BatchNorm(norm.BatchNorm):
    """A BatchNormalization that keeps to the `training` it was called with in a functional model.

    Keras lets the model's own `training` overrule that of a call, so that `training=False`, which
    matterport writes for `TRAIN_BN = False`, would not hold the statistics fixed while it trains.

    Args:
        axis: int, the channels.
        train_bn: see `mrcnn.network.norm.BatchNorm`; the `training` of a symbolic call sets it.
    """

    def __init__(self, axis=-1, train_bn=None, **kwargs):
        super().__init__(train_bn, axis=axis, **kwargs)

    def __call__(self, inputs, training=None, **kwargs):
        if training is not None and isinstance(inputs, keras.KerasTensor):
            self.train_bn = bool(training)
        return super().__call__(inputs, training=training, **kwargs)

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=training, mask=mask)


@keras.saving.register_keras_serializable("mrcnn.matterport")
class ProposalLayer(PureLayer):
    """The best anchors, refined, clipped to the image, without duplicates.

    Args:
        proposal_count: int, proposals of an image (N).
        nms_threshold: float, IoU above which the lower score goes.
        config: `Config`: `PRE_NMS_LIMIT`, `RPN_BBOX_STD_DEV`.

    Raises:
        ValueError: the config asks for what needs the levels of the anchors, or the windows.
    """

    def __init__(self, proposal_count, nms_threshold, config=None, name=None, **fields):
        given = {"proposal_count": proposal_count, "nms_threshold": nms_threshold}
        found = _settings(self, settings.Proposals, config, fields, **given)
        for key, asked, lacking in (
            ("RPN_NMS_PER_LEVEL", found.per_level, "the levels of the anchors"),
            ("RPN_CLIP_TO_WINDOW", found.clip_to_window, "image_meta"),
        ):
            if asked:
                raise ValueError(
                    f"{type(self).__name__}: {key} is True, but matterport's inputs do not have "
                    f"{lacking}; use mrcnn.layers.ProposalLayer, or set it to False"
                )
        super().__init__(found, name)
        self.supports_jit = _compiles(self.settings.native)

    def call(self, inputs):
        """[rpn_class [B, A, 2], rpn_bbox [B, A, 4], anchors [B, A, 4], normalised] -> float32
        [B, N, 4], normalised, best first, padded with zeros."""
        probs, deltas, anchors = (ops.stop_gradient(x) for x in inputs)
        scores, index = top_k(ops.cast(probs[..., 1], "float32"), self.settings.pre_nms_limit)
        deltas = ops.cast(gather(deltas, index), "float32")
        deltas = deltas * ops.convert_to_tensor(self.settings.std_dev)
        boxes = apply_box_deltas(gather(anchors, index), deltas)
        boxes = clip_boxes(boxes, ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0]))
        keep = nms(
            boxes,
            scores,
            self.settings.proposal_count,
            self.settings.nms_threshold,
            native=self.settings.native,
        )
        return take_kept(boxes, keep)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((inputs[0].shape[0], self.settings.proposal_count, 4), "float32")


@keras.saving.register_keras_serializable("mrcnn.matterport")
class PyramidROIAlign(roi_align.PyramidROIAlign):
    """Pools each box from the pyramid level that fits its size, one sample a bin.

    Args:
        pool_shape: [int, int], bins a side, equal (P).

    Raises:
        ValueError: the sides differ.
    """

    def __init__(self, pool_shape, name=None, native=True):
        rows, columns = (int(side) for side in pool_shape)
        if rows != columns:
            raise ValueError(f"pool_shape is {list(pool_shape)}; expected equal sides, as [7, 7]")
        super().__init__(rows, name=name, native=native, box_offset=1)
        self.supports_jit = _compiles(native)

    def call(self, inputs):
        """[boxes [B, N, 4] normalised, image_meta [B, META], P2, P3, P4, P5] -> float
        [B, N, P, P, C]."""
        boxes, image_meta, *features = inputs
        return super().call(boxes, image_meta, features)

    def compute_output_spec(self, inputs):
        boxes, _, feature, *_ = inputs
        sides = (self.pool_size, self.pool_size)
        return keras.KerasTensor((*boxes.shape[:2], *sides, feature.shape[-1]), feature.dtype)

    def get_config(self):
        pool_shape = [self.pool_size, self.pool_size]
        return {"name": self.name, "pool_shape": pool_shape, "native": self.settings.native}


@keras.saving.register_keras_serializable("mrcnn.matterport")
class DetectionTargetLayer(target_layers.DetectionTargetLayer):
    """Draws training ROIs and encodes their targets.

    Args:
        config: `Config`: `TRAIN_ROIS_PER_IMAGE`, `ROI_POSITIVE_RATIO`, `BBOX_STD_DEV`,
            `MASK_SHAPE`, `MASK_TARGET`, `USE_MINI_MASK`, `ROI_FILL_NEGATIVES`, `ROI_ADD_GT`,
            `SEED`.
    """

    def __init__(self, config=None, name=None, **fields):
        super().__init__(_settings(self, settings.ROITargets, config, fields), name)

    def call(self, inputs):
        """[proposals [B, N, 4] normalised, gt_class_ids [B, M], gt_boxes [B, M, 4] normalised,
        gt_masks [B, h, w, M]] -> see `to_matterport_targets`."""
        return to_matterport_targets(super().call(*inputs))

    def compute_output_spec(self, inputs):
        rows = (inputs[0].shape[0], self.settings.num_rois)
        sides = self.settings.mask_shape
        return [
            keras.KerasTensor((*rows, 4), "float32"),
            keras.KerasTensor(rows, "int32"),
            keras.KerasTensor((*rows, 4), "float32"),
            keras.KerasTensor((*rows, *sides), "float32"),
        ]


def to_matterport_targets(found):
    """What `mrcnn.ops.targets.roi_targets` found, for all T ROIs and padded with zeros.

    Returns:
        list: rois float32 [B, T, 4] normalised, positives first; class ids int32 [B, T], 0
        background and padding; deltas float32 [B, T, 4] and masks float32 [B, T, *MASK_SHAPE],
        zeros unless positive.
    """
    class_ids = found["target_class_ids"]
    drawn, positive = ops.expand_dims(class_ids >= 0, -1), ops.expand_dims(class_ids > 0, -1)
    masks = found["target_masks"]
    count, most = class_ids.shape[1], masks.shape[1]
    masks = ops.where(positive[:, :most, :, None], masks, 0.0)
    return [
        ops.where(drawn, found["rois"], 0.0),
        ops.maximum(class_ids, 0),
        ops.where(positive, found["target_deltas"], 0.0),
        ops.pad(masks, [[0, 0], [0, count - most], [0, 0], [0, 0]]),
    ]


@keras.saving.register_keras_serializable("mrcnn.matterport")
class DetectionLayer(detection_layers.DetectionLayer):
    """Final detections: ROIs refined, without duplicates in a class.

    Args:
        config: `Config`: `DETECTION_MAX_INSTANCES`, `DETECTION_MIN_CONFIDENCE`,
            `DETECTION_NMS_THRESHOLD`, `DETECTION_PER_CLASS`, `BBOX_STD_DEV`, `BOX_OFFSET`.
    """

    def __init__(self, config=None, name=None, **fields):
        super().__init__(_settings(self, settings.Detections, config, fields), name)
        self.supports_jit = _compiles(self.settings.native)

    def call(self, inputs):
        """[rois [B, N, 4] normalised, mrcnn_class [B, N, K], mrcnn_bbox [B, N, K, 4], image_meta
        [B, META]] -> float32 [B, D, 6] = y1 x1 y2 x2 (normalised), class id, score."""
        return super().call(*inputs)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((inputs[0].shape[0], self.settings.max_instances, 6), "float32")
