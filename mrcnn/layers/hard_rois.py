"""Online hard example mining (arXiv:1604.03540): the box head trains on the ROIs it errs on most.

Shapes: B images, T training ROIs, S chosen of them.
"""

import keras
from keras import ops

from mrcnn import settings
from mrcnn.layers.base import PureLayer
from mrcnn.ops.losses import roi_losses
from mrcnn.ops.non_max_suppression import nms

# IoU above which the easier of two ROIs is left out: its error would be counted twice (section 4).
DUPLICATE_IOU = 0.7
HARDEST = 1e30  # what a loss that is no number counts as: it must show


@keras.saving.register_keras_serializable("mrcnn")
class HardROIs(PureLayer):
    """The drawn ROIs of which only those with the largest losses still count.

    Args:
        settings: `mrcnn.settings.HardROIs`.
        class_loss: dict, constants of `mrcnn.ops.losses.mrcnn_class_loss`.
        box_loss: dict, constants of `mrcnn.ops.losses.mrcnn_bbox_loss`.
    """

    settings_type = settings.HardROIs

    def __init__(self, settings=None, name=None, *, class_loss, box_loss, **values):
        super().__init__(settings, name, **values)
        self.class_loss, self.box_loss = class_loss, box_loss

    def call(self, rois, target_class_ids, class_terms, box_terms):
        """Chooses ROIs, without a gradient.

        Args:
            rois: float [B, T, 4], normalised.
            target_class_ids: int [B, T]; 0 background, -1 padding.
            class_terms: what `mrcnn_class_loss` takes after the class ids.
            box_terms: what `mrcnn_bbox_loss` takes after them.

        Returns:
            int32 [B, T], `target_class_ids` with -1 for the ROIs that were not chosen.
        """
        losses = roi_losses(
            target_class_ids, class_terms, box_terms, self.class_loss, self.box_loss
        )
        losses = ops.nan_to_num(losses, nan=HARDEST, posinf=HARDEST)
        losses = ops.where(target_class_ids >= 0, losses, -float("inf"))
        keep = nms(rois, losses, self.settings.count, DUPLICATE_IOU, native=self.settings.native)
        places = ops.arange(rois.shape[1], dtype="int32")
        chosen = ops.any(keep[:, None] == places[:, None], axis=-1)  # (B, 1, S), (T, 1) -> (B, T)
        return ops.stop_gradient(ops.where(chosen, target_class_ids, -1))

    def get_config(self):
        return {**super().get_config(), "class_loss": self.class_loss, "box_loss": self.box_loss}
