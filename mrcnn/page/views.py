"""What is seen of a result: chosen by score and class, drawn, as rows. No network runs here.

Shapes: n instances.
"""

import dataclasses

import numpy as np

from mrcnn.data.class_names import class_name
from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.inference.detections import OF_PICTURE
from mrcnn.visualize import draw_instances, draw_panoptic

SMALLEST, LARGEST = 512, 1600  # pixels of the longer side of what is drawn
COLUMNS = ("no.", "class", "score", "box (y1 x1 y2 x2)", "pixels")


@dataclasses.dataclass(frozen=True)
class View:
    """How a result is looked at.

    Args:
        least: float, the least score.
        classes: names of classes, or none for all.
        parts: of "masks", "boxes", "captions", what is drawn.
        by_object: bool, whether each object has its own color, else each class.
    """

    least: float = 0.0
    classes: tuple = ()
    parts: tuple = ("masks", "boxes", "captions")
    by_object: bool = False

    def wants(self, class_id, names):
        """Whether a class is chosen."""
        return not self.classes or class_name(class_id, names) in self.classes


def without_map(found):
    """The result without a panoptic map, so that its instances are what is seen."""
    plain = found.copy()
    for name in OF_PICTURE:
        plain.pop(name, None)
    return plain


def choose(found, view):
    """Indices of the instances that are sure enough and of a chosen class, int [n]."""
    wanted = [view.wants(class_id, found.class_names) for class_id in found["class_ids"]]
    return np.flatnonzero(np.array(wanted, bool) & (np.asarray(found["scores"]) >= view.least))


def draw(found, view, colors=None):
    """Draws a result as a view has it.

    Args:
        found: `Detections` with its image, of any scores.
        view: `View`.
        colors: one for each instance that is chosen; None: as the view says.

    Returns:
        uint8 [h, w, 3], `scale_of` times as high and wide as the picture.
    """
    found = fitted(found[choose(found, view)])
    options = {"show_mask": "masks" in view.parts}
    no_captions = [] if "captions" in view.parts else [""]
    if "segmentation" in found:
        segments = [x for x in found["segments"] if _is_chosen(x, view, found.class_names)]
        options |= {"captions": no_captions * len(segments)} if no_captions else {}
        return draw_panoptic(
            found.image, found["segmentation"], segments, found.class_names, **options
        )
    return draw_instances(
        found.image,
        found["rois"],
        found.get("masks"),
        found["class_ids"],
        found.class_names,
        found["scores"],
        colors or ("instance" if view.by_object else "class"),
        captions=no_captions * found.count or None,
        show_bbox="boxes" in view.parts,
        keypoints=found.get("keypoints"),
        skeleton=found.skeleton,
        **options,
    )


def scale_of(shape):
    """How many times larger than a picture of a shape its drawing is: a whole number, or one over
    a whole number."""
    side = max(shape[:2])
    return max(1, SMALLEST // side) if side <= LARGEST else 1 / -(-side // LARGEST)


def fitted(found):
    """A result in a picture that is neither too large to look at nor too small."""
    factor = scale_of(np.shape(found.image))
    if factor <= 1:
        return found.reduced(LARGEST)
    grown = found.copy()
    grown.image = _larger(np.asarray(found.image), factor)
    for name in ("rois", "boxes"):
        if name in found:
            grown[name] = found[name] * factor
    if "keypoints" in found:
        grown["keypoints"] = found["keypoints"] * np.array([factor, factor, 1], np.float32)
    if "masks" in found:
        masks = found["masks"]
        patches = [_larger(patch, factor) for patch in masks.patches]
        grown["masks"] = CroppedMasks(*grown.image.shape[:2], masks.boxes * factor, patches)
    if "segmentation" in found:
        grown["segmentation"] = _larger(found["segmentation"], factor)
    return grown


def _larger(image, factor):
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _is_chosen(segment, view, names):
    return segment.get("score", 1) >= view.least and view.wants(segment["class_id"], names)


def rows(found, chosen):
    """A row of `COLUMNS` for each of the chosen instances; their numbers are those of all."""
    return [
        [
            int(i) + 1,
            row["class_name"],
            round(row["score"], 3),
            " ".join(str(round(row[side])) for side in ("y1", "x1", "y2", "x2")),
            "" if row["area"] is None else row["area"],
        ]
        for i, row in zip(chosen, found[chosen].rows(), strict=True)
    ]


def summary(found, chosen):
    """str: how many are chosen, of which classes, and how many are hidden."""
    names = [class_name(i, found.class_names) for i in found["class_ids"][chosen]]
    counts = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    text = f"**{len(chosen)} found**" + (f": {counts}" if counts else "")
    if "segmentation" in found:
        text += f"; {len(found['segments'])} segments"
    if hidden := found.count - len(chosen):
        text += f". Hidden by the least score or the classes: {hidden}"
    return text + "."


def instance_at(found, x, y):
    """The smallest instance at a point, or None.

    Args:
        found: `Detections`.
        x, y: pixels of its image.
    """
    boxes = np.asarray(found["rois"])
    inside = (boxes[:, :2] <= (y, x)).all(axis=1) & (boxes[:, 2:] > (y, x)).all(axis=1)
    masks = found.get("masks")
    hits = [
        i for i in np.flatnonzero(inside) if masks is None or masks[y : y + 1, x : x + 1, i].any()
    ]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return min(hits, key=lambda i: areas[i], default=None)
