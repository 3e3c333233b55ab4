"""What became of boxes, in words."""

import numpy as np

from mrcnn.inference.suppression import Fate

_WORDS = {
    Fate.DETECTED: "kept",
    Fate.SURPLUS: "enough others are better",
    Fate.UNSURE: "below the least score",
    Fate.BACKGROUND: "outside the picture, or background",
}


def reason(found, index, called):
    """Why a box was kept, or was not.

    Args:
        found: `mrcnn.inference.suppression.Suppression`.
        index: int, of the box.
        called: function of another box's index to what it is called.
    """
    fate = Fate(found.fates[index])
    if fate in _WORDS:
        return _WORDS[fate]
    lowered = f"lowered to {found.scores[index]:.2f}, " if fate == Fate.LOWERED else ""
    return f"{lowered}overlaps {called(int(found.rivals[index]))}, IoU {found.overlaps[index]:.2f}"


def counts_text(found, rules, limit, least):
    """Markdown: how many boxes became what.

    Args:
        found: `Suppression`.
        rules: `mrcnn.settings.Detections` of the model.
        limit: float, IoU above which the lower score went.
        least: float, the least score.
    """
    counts = {fate: int(np.sum(found.fates == fate)) for fate in Fate}
    soft = f"lowered by Soft-NMS below the least score: {counts[Fate.LOWERED]}; "
    return (
        f"**Detections: {counts[Fate.DETECTED]}** (solid). Suppressed by a better box: "
        f"{counts[Fate.OVERLAPPED]} (grey, dotted); {soft if rules.nms != 'hard' else ''}below the "
        f"least score {least:.2f}: {counts[Fate.UNSURE]}; more than DETECTION_MAX_INSTANCES = "
        f"{rules.max_instances}: {counts[Fate.SURPLUS]}. Boxes overlap too much above an IoU of "
        f"{limit:.2f}; the model's own DETECTION_NMS_THRESHOLD is {rules.nms_threshold:g}."
    )
