"""Layers of the training graph alone: targets and losses. Like all layers here, without weights.

Shapes: B images, A anchors, N proposals, T training ROIs, P of them that may be positive,
M ground truths, J keypoints.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.layers.base import PureLayer, image_shape
from mrcnn.ops import dense_losses, losses, mask_losses, targets
from mrcnn.ops.boxes import denorm_boxes
from mrcnn.ops.indexing import trim_padding


@keras.saving.register_keras_serializable("mrcnn")
class AnchorTargetLayer(PureLayer):
    """Targets of the RPN: `mrcnn.ops.targets.rpn_targets`.

    Args:
        settings: `mrcnn.settings.AnchorTargets`.
    """

    settings_type = settings.AnchorTargets

    def __init__(self, settings=None, name=None, **values):
        super().__init__(settings, name, **values)
        self.seed_generator = keras.random.SeedGenerator(self.settings.seed)

    def call(self, anchors, gt_class_ids, gt_boxes):
        settings = self.settings
        if settings.native:
            gt_class_ids, gt_boxes = trim_padding(gt_class_ids, gt_boxes)
        return targets.rpn_targets(
            anchors,
            gt_class_ids,
            gt_boxes,
            settings.num_anchors,
            settings.std_dev,
            self.seed_generator,
            settings.positive_ratio,
        )


@keras.saving.register_keras_serializable("mrcnn")
class DenseTargetLayer(PureLayer):
    """Targets of every anchor: `mrcnn.ops.targets.dense_targets`.

    Args:
        settings: `mrcnn.settings.DenseTargets`.
    """

    settings_type = settings.DenseTargets

    def call(self, anchors, gt_class_ids, gt_boxes):
        if self.settings.native:
            gt_class_ids, gt_boxes = trim_padding(gt_class_ids, gt_boxes)
        return targets.dense_targets(anchors, gt_class_ids, gt_boxes, self.settings.std_dev)


@keras.saving.register_keras_serializable("mrcnn")
class DetectionTargetLayer(PureLayer):
    """Training ROIs of the heads and their targets: `mrcnn.ops.targets.roi_targets`.

    Args:
        settings: `mrcnn.settings.ROITargets`.
    """

    settings_type = settings.ROITargets

    def __init__(self, settings=None, name=None, **values):
        super().__init__(settings, name, **values)
        self.seed_generator = keras.random.SeedGenerator(self.settings.seed)

    def call(self, proposals, gt_class_ids, gt_boxes, gt_masks):
        if self.settings.add_gt:
            objects = ops.where(ops.expand_dims(gt_class_ids > 0, -1), gt_boxes, 0.0)
            proposals = ops.concatenate([proposals, objects], axis=1)
        return targets.roi_targets(
            proposals, gt_class_ids, gt_boxes, gt_masks, self.settings, self.seed_generator
        )


@keras.saving.register_keras_serializable("mrcnn")
class KeypointTargetLayer(PureLayer):
    """Targets of the keypoint head: `mrcnn.ops.targets.encode_keypoints`.

    Args:
        settings: `mrcnn.settings.KeypointTargets`.
    """

    settings_type = settings.KeypointTargets

    def call(self, rois, class_ids, matches, gt_keypoints, image_meta):
        """rois float [B, P, 4] normalised, class_ids [B, P], matches [B, P], gt_keypoints
        [B, M, J, 3] in pixels, image_meta [B, META] -> int32 [B, P, J]."""
        shape = ops.expand_dims(image_shape(image_meta), 1)
        pixels = denorm_boxes(rois, shape, self.settings.box_offset)
        return targets.encode_keypoints(
            pixels, class_ids, matches, gt_keypoints, self.settings.side
        )


@keras.saving.register_keras_serializable("mrcnn")
class MaskTargets(PureLayer):
    """Which mask each segment is, and what each mask should be: `mask_losses.mask_targets`."""

    def call(self, segments, classes, mask_logits, class_logits):
        return mask_losses.mask_targets(segments, classes, mask_logits, class_logits)

    def compute_output_spec(self, segments, classes, mask_logits, class_logits):
        of_segments, of_masks = tuple(classes.shape), tuple(class_logits.shape[:2])
        return {
            "slots": keras.KerasTensor(of_segments, "int32"),
            "segment_weights": keras.KerasTensor(of_segments, "float32"),
            "target_classes": keras.KerasTensor(of_masks, "int32"),
            "class_weights": keras.KerasTensor(of_masks, "float32"),
        }


@keras.saving.register_keras_serializable("mrcnn")
class Loss(PureLayer):
    """A function of `mrcnn.ops.losses`, `dense_losses` or `mask_losses`: tensors -> float32 scalar.

    Args:
        name: str, of the loss: a function of these, and of which stage of a cascade, as
            `mrcnn_bbox_loss_stage2`.
        constants: further keyword arguments of the function.
    """

    def __init__(self, name, **constants):
        super().__init__(name=name)
        self.constants = constants

    def compute_output_spec(self, *tensors):
        return keras.KerasTensor((), "float32")

    def call(self, *tensors):
        name = settings.loss_of(self.name)
        modules = losses, dense_losses, mask_losses
        function = next(getattr(module, name) for module in modules if hasattr(module, name))
        return function(*tensors, **self.constants)

    def get_config(self):
        return {**super().get_config(), **self.constants}
