"""What arrays tell of themselves: the library, the preset, the number of classes."""

import re

from mrcnn.weights.names import SOURCES
from mrcnn.weights.names.keras import OUR_HEADS

# The last layer of a semantic head, and its axis of classes.
_SEMANTIC = {
    "detectron2": ("sem_seg_head.predictor.weight", 0),
    "matterport": ("semantic_logits/kernel", -1),
}


def guess_source(arrays):
    """Names the source of arrays by their names.

    Raises:
        ValueError: no known source calls weights so.
    """
    names = list(arrays)
    signs = [
        ("detectron2", r"backbone\.(bottom_up|stem|res\d)\."),
        ("deeplab2", r"DeepLab/|(model/)?_?(encoder|decoder)/"),
        ("torchvision", r"backbone\.body\.|layer1\.0\.conv1\."),
        ("efficientnet_lite", r"_conv_stem\."),
        ("matterport", OUR_HEADS),  # on a backbone whose layers may be called as Keras's
        ("keras_applications", r"conv1_conv/|conv1/conv1_W"),
        ("matterport", r"[^/]+/(kernel|bias|gamma|beta|moving_\w+)$"),
    ]
    for source, sign in signs:
        if any(re.match(sign, name) for name in names):
            return source
    raise ValueError(
        f"these weights are of no known source; expected names as of {', '.join(SOURCES)}, "
        f"received {few(names, 5)}"
    )


def count_classes(arrays, source):
    """Number of classes of a source's heads, background included; None without heads.

    Those of a Semantic FPN, which has no others, are of its semantic head.
    """
    predictor = "roi_heads.box_predictor."
    stage = "0." if f"{predictor}0.cls_score.weight" in arrays else ""  # of a cascade
    key, axis = {
        "torchvision": (f"{predictor}cls_score.weight", 0),
        "detectron2": (f"{predictor}{stage}cls_score.weight", 0),
        "matterport": ("mrcnn_class_logits/kernel", -1),
    }.get(source, (None, 0))
    if name := next((name for name in _MASK_CLASSES if name in arrays), None):
        return int(arrays[name].shape[0])
    if key in arrays:
        return int(arrays[key].shape[axis] + (count_stuff(arrays, source) or 0))
    logits, deltas, background = _DENSE.get(source, (None, None, 0))
    if logits in arrays:  # of as many anchors as there are four deltas
        return 4 * arrays[logits].shape[0] // arrays[deltas].shape[0] + background
    return _semantic_classes(arrays, source)


def count_stuff(arrays, source):
    """Number of classes of stuff of a Panoptic FPN, whose semantic head has one for all things, and
    then those; None without such a head."""
    classes = _semantic_classes(arrays, source)
    return None if classes is None else classes - 1


def is_semantic(arrays, source):
    """Whether arrays are of a Semantic FPN: their only classes are those of a semantic head."""
    classes = _semantic_classes(arrays, source)
    return classes is not None and count_classes(arrays, source) == classes


def _semantic_classes(arrays, source):
    key, axis = _SEMANTIC.get(source, (None, 0))
    return int(arrays[key].shape[axis]) if key in arrays else None


# Biases of MaX-DeepLab's classes: those of segments, and none of them.
_MASK_CLASSES = (
    "DeepLab/MaXDeepLab/transformer_class_head/conv/bias",
    "model/_decoder/_transformer_class_head/_conv/bias",
    "transformer_class_head_conv/bias",
)
# Biases of detectors without proposals, and whether the background is to be counted beside.
_DENSE = {
    "torchvision": (
        "head.classification_head.cls_logits.bias",
        "head.regression_head.bbox_reg.bias",
        0,
    ),
    "detectron2": ("head.cls_score.bias", "head.bbox_pred.bias", 1),
    "matterport": ("retinanet_class_raw/bias", "retinanet_bbox_pred/bias", 0),
}
# An array that one model alone has, the rarer first, and the key of its preset.
_SIGNS = {
    "head.classification_head.conv.0.1.weight": "torchvision/retinanet_resnet50_fpn_v2",
    "head.classification_head.cls_logits.weight": "torchvision/retinanet_resnet50_fpn",
    "head.cls_score.weight": "detectron2/retinanet_R_50_FPN_3x",
    _SEMANTIC["detectron2"][0]: "detectron2/panoptic_fpn_R_50_3x",
    **dict.fromkeys(_MASK_CLASSES, "deeplab2/max_deeplab_s_os16_res641_100k"),
}


def count_keypoints(arrays, source):
    """Number of keypoints of a source's heads; None without such a head."""
    key, axis = {
        "torchvision": ("roi_heads.keypoint_predictor.kps_score_lowres.bias", 0),
        "detectron2": ("roi_heads.keypoint_head.score_lowres.bias", 0),
        "matterport": ("mrcnn_keypoint_deconv/bias", 0),
    }.get(source, (None, 0))
    return int(arrays[key].shape[axis]) if key in arrays else None


def guess_preset(arrays):
    """Key of `PRESETS` whose numerics and architecture are those of the arrays; None without."""
    source = guess_source(arrays)
    if preset := next((_SIGNS[name] for name in _SIGNS if name in arrays), None):
        return preset
    if source == "matterport":
        return "matterport/mask_rcnn_coco"
    if source == "torchvision":
        if any("keypoint" in name for name in arrays):
            return "torchvision/keypointrcnn_resnet50_fpn"
        v2 = "backbone.fpn.inner_blocks.0.1.weight" in arrays
        return "torchvision/maskrcnn_resnet50_fpn" + ("_v2" if v2 else "")
    if source == "detectron2":
        if "roi_heads.res5.0.conv1.weight" in arrays:
            return "detectron2/mask_rcnn_R_50_C4_3x"
        if "backbone.res5.0.conv1.weight" in arrays:
            return "detectron2/mask_rcnn_R_50_DC5_3x"
        if "roi_heads.box_predictor.0.cls_score.weight" in arrays:
            return "detectron2/cascade_mask_rcnn_R_50_FPN_3x"
        if any("keypoint" in name for name in arrays):
            return "detectron2/keypoint_rcnn_R_50_FPN_3x"
        if "backbone.bottom_up.res4.22.conv1.weight" not in arrays:
            return "detectron2/mask_rcnn_R_50_FPN_3x"
        grouped = arrays["backbone.bottom_up.res2.0.conv2.weight"].shape[1] == 8
        return f"detectron2/mask_rcnn_{'X_101_32x8d' if grouped else 'R_101'}_FPN_3x"
    return None


def few(names, limit=12):
    """The first names, and how many there are, for messages."""
    names = list(names)
    return ", ".join(names[:limit]) + (f", ... {len(names)} in all" if len(names) > limit else "")
