"""Between the stages of a cascade: ROIs moved, and compared with the ground truth anew.

Shapes: B images, N proposals, T training ROIs, M ground truths, K classes.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.layers.base import PureLayer, normalized_window
from mrcnn.ops import targets
from mrcnn.ops.boxes import apply_box_deltas, clip_boxes


@keras.saving.register_keras_serializable("mrcnn")
class RefinedROIs(PureLayer):
    """The ROIs of a stage, moved by its deltas: those of the next one, without a gradient.

    Args:
        settings: `mrcnn.settings.CascadeStage`, of the stage that predicted the deltas.
    """

    settings_type = settings.CascadeStage

    def call(self, rois, mrcnn_bbox, image_meta):
        """Moves ROIs.

        Args:
            rois: float [B, N, 4], normalised, zero padded.
            mrcnn_bbox: float [B, N, K, 4], deltas, the same for all classes.
            image_meta: float [B, META]; boxes are clipped to its window.

        Returns:
            float32 [B, N, 4], normalised; padding stays zero.
        """
        deltas = ops.cast(mrcnn_bbox[:, :, 0], "float32")
        deltas = deltas * ops.convert_to_tensor(self.settings.std_dev, "float32")
        window = ops.expand_dims(normalized_window(image_meta, self.settings.box_offset), 1)
        moved = clip_boxes(apply_box_deltas(rois, deltas), window)
        is_roi = ops.any(rois != 0, axis=-1, keepdims=True)
        return ops.stop_gradient(ops.where(is_roi, moved, 0.0))


@keras.saving.register_keras_serializable("mrcnn")
class MatchedTargetLayer(PureLayer):
    """Targets of all ROIs of a later stage: `mrcnn.ops.targets.matched_targets`.

    Args:
        settings: `mrcnn.settings.CascadeStage`.
    """

    settings_type = settings.CascadeStage

    def call(self, rois, gt_class_ids, gt_boxes):
        stage = self.settings
        return targets.matched_targets(rois, gt_class_ids, gt_boxes, stage.iou, stage.std_dev)
