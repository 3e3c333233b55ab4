"""Layers of the training graph alone: targets and losses. Like all layers here, without weights.

Shapes: B images, A anchors, N proposals, T training ROIs, M ground truths.
"""

import keras
from keras import ops

from mrcnn import losses, targets
from mrcnn.layers import PureLayer
from mrcnn.ops import trim_padding


class AnchorTargetLayer(PureLayer):
    """Targets of the RPN: `mrcnn.targets.rpn_targets`.

    Args:
        num_anchors: int, anchors drawn for each image.
        std_dev: four floats, scale of the deltas.
        seed: int or None.
        native: see `mrcnn.ops.trim_padding`; XLA cannot compile it.
    """

    def __init__(self, num_anchors, std_dev, seed=None, native=True, name=None):
        std_dev = [float(x) for x in std_dev]
        super().__init__(name, num_anchors=num_anchors, std_dev=std_dev, seed=seed, native=native)
        self.num_anchors, self.std_dev, self.native = num_anchors, std_dev, native
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, anchors, gt_class_ids, gt_boxes, rpn_match=None, rpn_bbox=None):
        """Computes the targets, or lays out given ones: those of no anchors are not given."""
        if rpn_match is not None and rpn_match.shape[1] != 0:
            return targets.given_rpn_targets(rpn_match, rpn_bbox, self.num_anchors)
        if self.native:
            gt_class_ids, gt_boxes = trim_padding(gt_class_ids, gt_boxes)
        return targets.rpn_targets(
            anchors, gt_class_ids, gt_boxes, self.num_anchors, self.std_dev, self.seed_generator
        )


class DetectionTargetLayer(PureLayer):
    """Training ROIs of the heads and their targets: `mrcnn.targets.roi_targets`.

    Args:
        num_rois: int, ROIs drawn for each image (T).
        positive_ratio: float, share of positives at most.
        std_dev: four floats, scale of the deltas.
        mask_shape: (int, int), height and width of mask targets.
        mini_masks: bool, ground truth masks cover their boxes instead of the image.
        fill_negatives: bool, draw more negatives where positives are few.
        add_gt: bool, ground truth boxes join the proposals.
        mask_target: see `mrcnn.targets.encode_masks`.
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
        mask_target="crop_and_resize",
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
            "mask_target": mask_target,
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


class Loss(PureLayer):
    """The function of `mrcnn.losses` with the layer's name: tensors -> float32 scalar.

    Args:
        constants: further keyword arguments of the function.
    """

    def call(self, *tensors):
        return getattr(losses, self.name)(*tensors, **self._constants)
