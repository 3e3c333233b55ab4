"""What arrays tell of themselves: the library, the preset, the number of classes."""

import re

from mrcnn.weights.names import SOURCES

_SEMANTIC = {"detectron2": "sem_seg_head.predictor.weight", "matterport": "semantic_logits/kernel"}


def guess_source(arrays):
    """Names the source of arrays by their names.

    Raises:
        ValueError: no known source calls weights so.
    """
    names = list(arrays)
    signs = {
        "detectron2": r"backbone\.bottom_up\.",
        "torchvision": r"backbone\.body\.|layer1\.0\.conv1\.",
        "efficientnet_lite": r"_conv_stem\.",
        "keras_applications": r"conv1_conv/|conv1/conv1_W",
        "matterport": r"[^/]+/(kernel|bias|gamma|beta|moving_\w+)$",
    }
    for source, sign in signs.items():
        if any(re.match(sign, name) for name in names):
            return source
    raise ValueError(
        f"these weights are of no known source; expected names as of {', '.join(SOURCES)}, "
        f"received {few(names, 5)}"
    )


def count_classes(arrays, source):
    """Number of classes of a source's heads, background included; None without heads."""
    key, axis = {
        "torchvision": ("roi_heads.box_predictor.cls_score.weight", 0),
        "detectron2": ("roi_heads.box_predictor.cls_score.weight", 0),
        "matterport": ("mrcnn_class_logits/kernel", -1),
    }.get(source, (None, 0))
    if key not in arrays:
        return None
    # A semantic head has a class for all things, then those of stuff.
    semantic = _SEMANTIC.get(source)
    stuff = arrays[semantic].shape[axis] - 1 if semantic in arrays else 0
    return int(arrays[key].shape[axis] + stuff)


def guess_preset(arrays):
    """Key of `PRESETS` whose numerics and architecture are those of the arrays; None without."""
    source = guess_source(arrays)
    if source == "matterport":
        return "matterport/mask_rcnn_coco"
    if source == "torchvision":
        v2 = "backbone.fpn.inner_blocks.0.1.weight" in arrays
        return "torchvision/maskrcnn_resnet50_fpn" + ("_v2" if v2 else "")
    if source == "detectron2":
        if _SEMANTIC[source] in arrays:
            return "detectron2/panoptic_fpn_R_50_3x"
        if "backbone.bottom_up.res4.22.conv1.weight" not in arrays:
            return "detectron2/mask_rcnn_R_50_FPN_3x"
        grouped = arrays["backbone.bottom_up.res2.0.conv2.weight"].shape[1] == 8
        return f"detectron2/mask_rcnn_{'X_101_32x8d' if grouped else 'R_101'}_FPN_3x"
    return None


def few(names, limit=12):
    """The first names, and how many there are, for messages."""
    names = list(names)
    return ", ".join(names[:limit]) + (f", ... {len(names)} in all" if len(names) > limit else "")
