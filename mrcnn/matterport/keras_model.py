"""`keras_model` with matterport's inputs and outputs, over the layers of the network.

Shapes: B images, A anchors, N proposals, T training ROIs, R given RPN targets, K classes.
"""

import inspect
import warnings

import keras

from mrcnn.layers.anchors import SplitAnchors
from mrcnn.layers.targets import AnchorTargetLayer
from mrcnn.network import mask_rcnn
from mrcnn.network.training_model import NamedWeightsModel, TrainingModel
from mrcnn.network.trunk import recomputed_features
from mrcnn.ops.targets import given_rpn_targets


def inference_graph(settings, trunk, heads, detection_stages):
    """Given anchors, every stage's result, masks of every class: 3 inputs, 7 outputs. Heat maps of
    keypoints, which matterport has not, come last."""
    given = keras.Input((None, 4), name="input_anchors")
    anchors = SplitAnchors(name="anchor_levels")(given, trunk["anchors"]["levels"])
    stages = detection_stages(settings, trunk, heads, anchors)
    outputs = [stages["detections"], stages["mrcnn_class"], stages["mrcnn_bbox"]]
    if settings.mask_head.enabled:
        outputs.append(heads["mask"](stages["mask_features"])["mrcnn_mask"])
    outputs += [stages["rois"], trunk["rpn_class"], trunk["rpn_bbox"]]
    if settings.keypoint_head.enabled:
        outputs.append(heads["keypoint"](stages["keypoint_features"])["mrcnn_keypoint_logits"])
    inputs = [trunk["input_image"], trunk["input_image_meta"], given]
    inputs += [trunk["input_roi"]] if "input_roi" in trunk else []
    return NamedWeightsModel(inputs, outputs, name="mask_rcnn")


def training_graph(settings, trunk, heads, training_stages):
    """With RPN targets among the inputs, which may be left out: 7 inputs, 14 outputs.

    Its masks are those of the ROIs that may be positive.
    """
    given = [
        keras.Input((None, 1), dtype="int32", name="input_rpn_match", optional=True),
        keras.Input((None, 4), name="input_rpn_bbox", optional=True),
    ]
    gt = mask_rcnn.ground_truth_inputs(settings)
    anchor_targets = GivenAnchorTargetLayer(settings.anchor_targets, name="rpn_targets")(
        trunk["anchors"]["pixels"], gt["input_gt_class_ids"], gt["input_gt_boxes"], *given
    )
    stages = training_stages(settings, trunk, heads, gt, anchor_targets)
    losses = stages["losses"]
    outputs = []
    if "rpn_class_loss" in losses:  # else the region proposal network is left out
        outputs += [trunk["rpn_class_logits"], trunk["rpn_class"], trunk["rpn_bbox"]]
    outputs += [stages[name] for name in ("mrcnn_class_logits", "mrcnn_class", "mrcnn_bbox")]
    if settings.mask_head.enabled:
        outputs.append(stages["mrcnn_mask"])
    rois = keras.layers.Identity(dtype="float32", name="output_rois")(stages["rois"])
    outputs += [stages["proposals"], rois]
    return MatterportTrainingModel(
        [trunk["input_image"], trunk["input_image_meta"], *given, *gt.values()],
        [*outputs, *losses.values()],
        name="mask_rcnn",
        losses=list(losses),
        settings=settings.losses,
        recomputed=recomputed_features(settings.trunk, trunk),
    )


@keras.saving.register_keras_serializable("mrcnn.matterport")
class GivenAnchorTargetLayer(AnchorTargetLayer):
    """Lays out given RPN targets. Where there are none, or of no anchors, it computes them."""

    def call(self, anchors, gt_class_ids, gt_boxes, rpn_match=None, rpn_bbox=None):
        if rpn_match is None or rpn_match.shape[1] == 0:
            return super().call(anchors, gt_class_ids, gt_boxes)
        return given_rpn_targets(rpn_match, rpn_bbox, self.settings.num_anchors)


@keras.saving.register_keras_serializable("mrcnn.matterport")
class MatterportTrainingModel(TrainingModel):
    """A `TrainingModel` that takes the generators of matterport's scripts, and this library's."""

    def __init__(self, inputs, outputs, name=None, *, losses, settings, **kwargs):
        super().__init__(inputs, outputs, name, losses=losses, settings=settings, **kwargs)

    def __call__(self, inputs, *args, **kwargs):
        return super().__call__(self._as_list(inputs), *args, **kwargs)

    # JAX's training step calls this one itself.
    def call(self, inputs, training=None, mask=None):
        return super().call(self._as_list(inputs), training, mask)

    def _as_list(self, inputs):
        # Keras takes None for an optional input in a list, but no dict without it.
        return [inputs.get(x.name) for x in self.inputs] if isinstance(inputs, dict) else inputs

    def fit(self, x=None, *args, validation_data=None, **kwargs):
        """As Keras's; the batches of a generator may be matterport's (inputs, outputs) lists."""
        x, validation_data = as_tuples(x), as_tuples(validation_data)
        return super().fit(x, *args, validation_data=validation_data, **kwargs)

    def fit_generator(self, generator, steps_per_epoch=None, epochs=1, **kwargs):
        """Outdated: `fit`. Keywords of the loading processes have no effect."""
        warnings.warn("fit_generator is outdated; use fit", FutureWarning, stacklevel=2)
        for name in ("max_queue_size", "workers", "use_multiprocessing"):
            kwargs.pop(name, None)
        return self.fit(generator, steps_per_epoch=steps_per_epoch, epochs=epochs, **kwargs)


def as_tuples(batches):
    """A generator of (list of inputs, list of outputs) as one of what Keras takes: the network
    has its losses inside and asks for no outputs. Anything else is returned as it is."""
    if not inspect.isgenerator(batches):
        return batches
    return (
        (tuple(batch[0]),) if len(batch) == 2 and isinstance(batch[0], list) else batch
        for batch in batches
    )
