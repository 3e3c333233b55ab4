"""What each loss of a detector with proposals takes: named tensors of targets and predictions.

Terms are dicts of tuples, by the losses' names; `settings`, `trunk`, `gt` and `roi` are those of
`mrcnn.network.mask_rcnn.training_stages`.

Shapes: B images, T training ROIs, P of them that may be positive.
"""

from mrcnn.image.meta import parse_image_meta
from mrcnn.layers.anchors import PixelBoxes
from mrcnn.layers.hard_rois import HardROIs
from mrcnn.layers.targets import AnchorTargetLayer, KeypointTargetLayer, Loss
from mrcnn.settings import Boxes


def rpn_terms(settings, trunk, gt, anchor_targets=None):
    """Ground truth -> what the RPN's losses take, by their names; see `training_stages`.

    Nothing where proposals are given and its losses weigh nothing: then it is not in the graph.
    """
    losses = ("rpn_class_loss", "rpn_bbox_loss")
    weighed = any(settings.losses.weight(name) for name in losses)
    if not settings.ground_truth.use_rpn_rois and not weighed:
        return {}
    if anchor_targets is None:
        layer = AnchorTargetLayer(settings.anchor_targets, name="rpn_targets")
        boxes = gt["input_gt_class_ids"], gt["input_gt_boxes"]
        anchor_targets = layer(trunk["anchors"]["pixels"], *boxes)
    index, anchor_class = (anchor_targets[f"target_rpn_{name}"] for name in ("index", "class"))
    deltas = anchor_targets["target_rpn_deltas"]
    return {
        "rpn_class_loss": (index, anchor_class, trunk["rpn_class_logits"]),
        "rpn_bbox_loss": (index, anchor_class, deltas, trunk["rpn_bbox"]),
    }


def may_be_positive(tensor, roi):
    """The first P of T ROIs, among which are all positives: [B, T, ...] -> [B, P, ...]."""
    return tensor[:, : roi["target_masks"].shape[1]]


def box_terms(settings, trunk, rois, targets, predicted, suffix=""):
    """What the losses of a box head take, by their names and a suffix.

    Args:
        settings, trunk: as of `training_stages`.
        rois: float [B, T, 4], normalised, what the head was given.
        targets: dict: `target_class_ids` [B, T] and `target_deltas` [B, T, 4].
        predicted: dict of the head's outputs.
        suffix: str, of the stage of a cascade.
    """
    image_meta, class_ids = trunk["input_image_meta"], targets["target_class_ids"]
    active_class_ids = parse_image_meta(image_meta)["active_class_ids"]
    of_class = (predicted["mrcnn_class_logits"], active_class_ids)
    of_box = (targets["target_deltas"], predicted["mrcnn_bbox"])
    if settings.losses.boxes_in_pixels:
        layer = PixelBoxes(
            Boxes(box_offset=settings.anchors.box_offset), name=f"pixel_rois{suffix}"
        )
        of_box += (layer(rois, image_meta),)
    class_loss, bbox_loss = f"mrcnn_class_loss{suffix}", f"mrcnn_bbox_loss{suffix}"
    if settings.hard_rois.count is not None:
        constants = loss_constants(settings)
        layer = HardROIs(
            settings.hard_rois,
            name=f"hard_rois{suffix}",
            class_loss=constants[class_loss],
            box_loss=constants[bbox_loss],
        )
        class_ids = layer(rois, class_ids, of_class, of_box)
    return {class_loss: (class_ids, *of_class), bbox_loss: (class_ids, *of_box)}


def mask_terms(roi, predicted):
    """What the loss of the masks of the first P ROIs takes, by its name."""
    class_ids = may_be_positive(roi["target_class_ids"], roi)
    return {"mrcnn_mask_loss": (class_ids, roi["target_masks"], predicted["mrcnn_mask_logits"])}


def keypoint_terms(settings, trunk, gt, roi, predicted):
    """What the loss of the keypoints of the first P ROIs takes, by its name."""
    rois, class_ids, matches = (
        may_be_positive(roi[name], roi) for name in ("rois", "target_class_ids", "target_matches")
    )
    target = KeypointTargetLayer(settings.keypoint_targets, name="keypoint_targets")(
        rois, class_ids, matches, gt["input_gt_keypoints"], trunk["input_image_meta"]
    )
    return {"mrcnn_keypoint_loss": (target, predicted["mrcnn_keypoint_logits"])}


def make_losses(settings, terms):
    """What losses take, by their names -> float32 scalars by the same names."""
    constants = loss_constants(settings)
    return {
        name: Loss(name, **constants.get(name, {}))(*tensors) for name, tensors in terms.items()
    }


def loss_constants(settings):
    """The keyword arguments of the losses, by their names; the box heads of a cascade have their
    own."""
    losses, cascade = settings.losses, settings.cascade
    constants = {"rpn_bbox_loss": losses.rpn_box_loss}
    for suffix, stage in zip(cascade.suffixes, cascade.stages, strict=True):
        of_class = losses.class_loss(settings.image.num_classes)
        constants[f"mrcnn_class_loss{suffix}"] = of_class
        constants[f"mrcnn_bbox_loss{suffix}"] = losses.box_loss(stage.std_dev)
    return constants
