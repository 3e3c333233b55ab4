"""Corrections of a result: what a person says of its classes and masks.

Each function returns a new `Detections`, without a panoptic map, which would be wrong now. What a
person made is as sure as can be, score 1.

Shapes: H W of a picture, n instances, h w of a canvas.
"""

import dataclasses

import numpy as np

from mrcnn.image.cropped_masks import CroppedMasks, tight_box
from mrcnn.image.regions import reduced_picture
from mrcnn.image.viewing import to_uint8_rgb
from mrcnn.page.errors import PageError
from mrcnn.page.views import without_map
from mrcnn.visualize import apply_mask, class_colors

CANVAS = 640  # pixels of its longer side, about
# What the brush says: this belongs to the object, this does not.
ADD, ERASE = "#00e000", "#ff0000"


def set_class(found, index, class_id):
    """The result with another class of an instance."""
    return _replaced(found, index, class_ids=class_id, scores=1.0)


def set_mask(found, index, mask):
    """The result with another mask, bool [H, W], of an instance; without masks with its box.

    Raises:
        PageError: the mask has no pixel.
    """
    box = _box_of(mask)
    changed = _replaced(found, index, rois=box, boxes=box, scores=1.0)
    if "masks" in found:
        masks = found["masks"]
        patches = list(masks.patches)
        patches[index] = _patch(mask, box)
        boxes = masks.boxes.copy()
        boxes[index] = box
        changed["masks"] = CroppedMasks(*masks.shape[:2], boxes, patches)
    return changed


def add(found, mask, class_id):
    """The result with one more instance, the last one; its mask is bool [H, W].

    Raises:
        PageError: the mask has no pixel.
    """
    box = _box_of(mask)
    values = {"rois": box, "boxes": box, "class_ids": class_id, "scores": 1.0}
    grown = without_map(found)
    for name, value in values.items():
        if name in found:
            row = np.asarray([value], found[name].dtype)
            grown[name] = np.concatenate([found[name], row])
    if "keypoints" in found:
        grown["keypoints"] = np.pad(found["keypoints"], ((0, 1), (0, 0), (0, 0)))
    if "masks" in found:
        masks = found["masks"]
        boxes = np.concatenate([masks.boxes, [box]])
        patches = [*masks.patches, _patch(mask, box)]
        grown["masks"] = CroppedMasks(*masks.shape[:2], boxes, patches)
    return grown


def remove(found, index):
    """The result without an instance."""
    return without_map(found)[np.delete(np.arange(found.count), index)]


def _replaced(found, index, **values):
    changed = without_map(found)
    for name, value in values.items():
        if name in found:
            changed[name] = np.array(found[name])
            changed[name][index] = value
    return changed


def _box_of(mask):
    if not mask.any():
        raise PageError(
            "expected an object of one pixel at least, received none; paint it, or remove the "
            "object"
        )
    return tight_box(mask)


def _patch(mask, box):
    y1, x1, y2, x2 = box
    return mask[y1:y2, x1:x2].copy()


@dataclasses.dataclass(frozen=True)
class Canvas:
    """A part of a picture, large enough to paint on.

    Args:
        region: y1 x1 y2 x2 of the picture.
        larger, smaller: ints, how many pixels of the canvas are one of the picture's along a side,
            and the other way; one of them is 1.
    """

    region: tuple
    larger: int
    smaller: int

    @classmethod
    def around(cls, shape, box=None):
        """The canvas for a box and what surrounds it; without a box that of the whole picture."""
        height, width = shape[:2]
        region = (0, 0, height, width)
        if box is not None:
            y1, x1, y2, x2 = (int(side) for side in box)
            margin = max(16, max(y2 - y1, x2 - x1) // 3)
            region = max(0, y1 - margin), max(0, x1 - margin)
            region += min(height, y2 + margin), min(width, x2 + margin)
        side = max(region[2] - region[0], region[3] - region[1])
        return cls(region, max(1, CANVAS // side), max(1, -(-side // CANVAS)))

    def picture(self, image, mask=None, class_id=1):
        """What is painted on: uint8 [h, w, 3], with a mask, bool [H, W], in its class's color."""
        y1, x1, y2, x2 = self.region
        part = to_uint8_rgb(np.asarray(image[y1:y2, x1:x2]))
        if mask is not None:
            apply_mask(part, mask[y1:y2, x1:x2], class_colors([class_id])[0], 0.5)
        part, _ = reduced_picture(part, -(-max(part.shape[:2]) // self.smaller))
        return part.repeat(self.larger, axis=0).repeat(self.larger, axis=1)

    def mask(self, shape, layers, before=None):
        """The mask that was painted, bool [H, W].

        Args:
            shape: (H, W, ...) of the picture.
            layers: list of uint8 [h, w, 4], red green blue and opacity: green adds, red takes away.
            before: bool [H, W], what there was; None: nothing.
        """
        mask = np.zeros(shape[:2], bool) if before is None else np.array(before, bool)
        y1, x1, y2, x2 = self.region
        part = mask[y1:y2, x1:x2]
        for layer in layers:
            rows, columns = (
                self._places(*pair) for pair in zip(part.shape, layer.shape[:2], strict=True)
            )
            paint = layer[np.ix_(rows, columns)].astype(int)
            painted = paint[..., 3] > 127
            adds = paint[..., 1] > paint[..., 0]
            part[painted & adds] = True
            part[painted & ~adds] = False
        return mask

    def _places(self, count, painted):
        """For each of `count` pixels of the region the one of the canvas in its middle."""
        places = (np.arange(count) + 0.5) * self.larger / self.smaller
        scaled = places * painted / (-(-count // self.smaller) * self.larger)
        return np.minimum(scaled.astype(int), painted - 1)
