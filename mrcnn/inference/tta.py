"""Test-time augmentation: detection in several forms of an image, merged into one result.

The forms differ in size and in left and right. With `TEST_OBJECT_SIZE` the sizes are those that
bring the objects of each image to one size, as earlier looks at it found them. What the network
finds in each is brought to the molded image of the first one, its frame, and merged there, before
anything has the size of the caller's image: the memory is that of a few more small masks.

Shapes: D detections, n of them real, h w of a mask, S bins a side of a heat map, J keypoints.
Boxes are y1 x1 y2 x2, normalised as `mrcnn.ops.boxes` says unless pixels are named.
"""

import dataclasses

import numpy as np

from mrcnn.image.boxes import compute_overlaps
from mrcnn.image.molding import MoldedImages
from mrcnn.image.object_size import factor_to, median_size, stepped
from mrcnn.inference.detector import Detector, log_images, log_results
from mrcnn.inference.proposals import check_wanted
from mrcnn.inference.tiling import TiledDetector

SAME = 0.5  # IoU of boxes above which they are of one object, whose masks are averaged
LOOKS = 3  # at most, at an image, to know the size of its objects
SURE = 0.5  # score, at least, of those that are measured


class AugmentedDetector(Detector):
    """A `Detector` that detects in each of `settings.test_time.variants` of an image.

    `detect_molded` takes molded images as they are.
    """

    def detect(self, images, verbose=0, names=None, progress=None, proposals=None):
        """As `Detector.detect`; proposals from outside are for images as they are.

        Raises:
            ValueError: an image that cannot be used; or keypoints whose mirror is not known.
        """
        check_wanted(self.settings, proposals)
        if verbose:
            log_images(images)
        names = names or [f"images[{i}]" for i in range(len(images))]
        self._check_keypoints()
        MoldedImages(images, self.settings.image, self, names)  # raises before anything is run
        results, size = [], self.settings.runtime.batch_size
        for start in range(0, len(images), size):
            chosen = slice(start, start + size)
            results += self._detect_variants(images[chosen], names[chosen])
        if verbose:
            log_results(results)
        return results

    def _detect_variants(self, images, names):
        """Results of as many images as a batch has."""
        factors = np.ones(len(images))
        if self.settings.test_time.object_size is not None:
            factors = self._factors(images, names)
        found = self._found(images, names, self.settings.test_time.variants, factors)
        shapes = [np.shape(image) for image in images]
        return [self._merged(each, shape) for each, shape in zip(found, shapes, strict=True)]

    def _found(self, images, names, forms, factors):
        """For each image, and for each of its forms, the outputs and their frame."""
        variants = Variants(images, self.settings.image, forms, self, names, factors)
        found = [[None] * len(forms) for _ in images]
        for index, outputs, item in self._outputs(variants, variants.molded_shapes):
            i, form = divmod(index, len(forms))
            found[i][form] = _without_padding(outputs), _Frame.of(item)
        return found

    def _factors(self, images, names):
        """How much larger each image is to be, for its objects to have `object_size`."""
        factors, open_ = np.ones(len(images)), list(range(len(images)))
        for _ in range(LOOKS):
            chosen = [images[i] for i in open_], [names[i] for i in open_]
            looks = self._found(*chosen, [(1.0, False)], factors[open_])
            before = factors.copy()
            for i, [(outputs, frame)] in zip(open_, looks, strict=True):
                size = self._median_size(outputs["detections"], frame)
                if size is not None:
                    wanted = self.settings.test_time.object_size
                    factors[i] = stepped(factor_to(wanted, size / before[i]))
            open_ = [i for i in open_ if factors[i] != before[i]]
            if not open_:
                break
        return factors

    def _median_size(self, detections, frame):
        """That of what is sure, in pixels of the frame; None where nothing is."""
        sure = detections[detections[:, 5] >= SURE]
        offset = self.settings.detections.box_offset
        return median_size(frame.pixels(sure[:, :4].astype(np.float64), offset))

    def _merged(self, found, shape):
        """The result of an image from (outputs, frame) of each form."""
        detections, offset = self.settings.detections, self.settings.detections.box_offset
        (_, first), parts = found[0], []
        forms = self.settings.test_time.variants
        for (_, mirrored), (outputs, frame) in zip(forms, found, strict=True):
            if mirrored:
                order = None if self.keypoint_scheme is None else self.keypoint_scheme.order
                outputs = mirror(outputs, frame, offset, order)
            parts.append(to_frame(outputs, frame, first, offset))
        outputs = merge(
            parts,
            first,
            offset,
            detections.nms_threshold,
            detections.max_instances,
            detections.class_agnostic_nms,
        )
        return self.unmold(outputs, shape, first.shape, first.window, self.settings)

    def _check_keypoints(self):
        """Raises ValueError where it is not known which keypoints trade places in a mirror."""
        wanted = self.settings.test_time.flip and self.settings.keypoint_head.enabled
        if wanted and self.keypoint_scheme is None:
            raise ValueError(
                "TEST_FLIP is True, and which keypoints are left and right is not known: expected "
                "weights that were trained here or are public; or set model.keypoint_scheme, such "
                "as mrcnn.data.keypoints.COCO_PERSON"
            )


class TiledAugmentedDetector(TiledDetector, AugmentedDetector):
    """A `TiledDetector` each of whose tiles is detected in by an `AugmentedDetector`."""


class Variants:
    """Images in each of their forms, molded when asked for: as `MoldedImages`.

    Form v of image i is item i * V + v, of V forms.

    Args:
        images, settings, owner, names: see `MoldedImages`.
        forms: list of (factor, mirrored).
        factors: float for each image, by which it is larger in all forms.

    Attributes:
        molded_shapes: (H, W, C) of each item.
    """

    def __init__(self, images, settings, forms, owner, names, factors):
        self.forms = forms
        self.molded = {
            factor: MoldedImages(images, settings, owner, names, factor=factor * factors)
            for factor in dict.fromkeys(factor for factor, _ in forms)
        }
        self.molded_shapes = [
            self.molded[factor].molded_shapes[i]
            for i in range(len(images))
            for factor, _ in self.forms
        ]

    def __getitem__(self, index):
        i, form = divmod(index, len(self.forms))
        factor, mirrored = self.forms[form]
        item = self.molded[factor][i]
        if mirrored:  # the picture, not its padding
            y1, x1, y2, x2 = item["window"]
            item["image"][y1:y2, x1:x2] = item["image"][y1:y2, x1:x2][:, ::-1].copy()
        return item


@dataclasses.dataclass(frozen=True)
class _Frame:
    """A molded image's (H, W) `shape`, and its picture's `window` y1 x1 y2 x2, pixels."""

    shape: tuple
    window: tuple

    @classmethod
    def of(cls, item):
        """That of a molded image."""
        return cls(tuple(item["image"].shape[:2]), tuple(int(side) for side in item["window"]))

    def place(self, offset):
        """The window's shift and scale, float [4] each, in normalised coordinates."""
        last = np.tile(np.asarray(self.shape, float) - offset, 2)
        low, high = np.tile(self.window[:2], 2), np.tile(self.window[2:], 2)
        return low / last, (high - offset - low) / last

    def pixels(self, boxes, offset):
        """Boxes [n, 4] in pixels of the molded image."""
        sides = np.tile(np.asarray(self.shape, float) - offset, 2)
        return boxes * sides + np.array([0, 0, offset, offset])


def _without_padding(outputs):
    """Copies of the rows of real detections, which keep no batch in memory."""
    real = outputs["detections"][:, 4] > 0
    return {name: array[real] for name, array in outputs.items()}


def mirror(outputs, frame, offset, keypoint_order=None):
    """What was found in a mirrored picture, as of the picture itself.

    Args:
        outputs: dict of the network's outputs for an image: `detections` float [n, 6] and, if
            there are any, `masks` float [n, h, w] and `heatmaps` float [n, S, S, J].
        frame: of the molded image.
        offset: 1 or 0, see `mrcnn.ops.boxes`.
        keypoint_order: int [J], which keypoint comes to each place; None without heat maps.

    Returns:
        dict of the same.
    """
    detections = outputs["detections"].astype(np.float64)
    shift, scale = (part[1] for part in frame.place(offset))
    # The left side is as far from the window's left as it was from its right.
    detections[:, [1, 3]] = 2 * shift + scale - detections[:, [3, 1]]
    mirrored = {**outputs, "detections": detections}
    if "masks" in outputs:
        mirrored["masks"] = outputs["masks"][:, :, ::-1]
    if "heatmaps" in outputs:
        mirrored["heatmaps"] = outputs["heatmaps"][:, :, ::-1][..., keypoint_order]
    return mirrored


def to_frame(outputs, frame, other, offset):
    """The outputs for a molded image as of another molded image of the same picture."""
    if frame == other:
        return outputs
    (shift, scale), (other_shift, other_scale) = frame.place(offset), other.place(offset)
    detections = outputs["detections"].astype(np.float64)
    inside = (detections[:, :4] - shift) / np.maximum(scale, 1e-12)
    detections[:, :4] = inside * other_scale + other_shift
    return {**outputs, "detections": detections}


def merge(parts, frame, offset, threshold, limit, class_agnostic=False):
    """One dict of outputs of those for several forms of an image, in one frame.

    Of boxes of one class and of different forms that overlap more than `threshold` the lower score
    goes; those of one form have been compared already. A mask is the mean over the forms: of the
    box that stays, and of each other form's box of its class that overlaps it most, by an IoU above
    0.5. Heat maps of keypoints are those of the box that stays.

    Args:
        parts: list of dicts as of `mirror`.
        frame: in which they are.
        offset: 1 or 0, see `mrcnn.ops.boxes`.
        threshold: float, IoU.
        limit: int, detections at most.
        class_agnostic: bool, whether boxes of different classes are compared too.

    Returns:
        dict of the same, best first.
    """
    together = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("detections", *_maps(parts))
    }
    form = np.repeat(np.arange(len(parts)), [len(part["detections"]) for part in parts])
    detections = together["detections"]
    class_ids, scores = detections[:, 4], detections[:, 5]
    boxes = frame.pixels(detections[:, :4].astype(np.float64), offset)
    overlaps = compute_overlaps(boxes, boxes)
    others = form[:, None] != form
    same_class = class_ids[:, None] == class_ids
    rivals = (overlaps > threshold) & others & (same_class | class_agnostic)
    keep = _best_without_rivals(scores, rivals)[:limit]
    found = {name: array[keep] for name, array in together.items()}
    if "masks" in together:
        alike = (overlaps > SAME) & others & same_class
        for row, i in enumerate(keep):
            group = [i, *_nearest_of_each(form, alike[i], overlaps[i])]
            masks = [_over_box(together["masks"][j], boxes[j], boxes[i]) for j in group]
            found["masks"][row] = np.mean(masks, axis=0)
    return found


def _maps(parts):
    return [name for name in ("masks", "heatmaps") if name in parts[0]]


def _best_without_rivals(scores, rivals):
    """Indices, best first, of those that no better one of those kept is a rival of."""
    keep, open_ = [], np.ones(len(scores), bool)
    for i in np.argsort(-scores, kind="stable"):
        if open_[i]:
            keep.append(int(i))
            open_ &= ~rivals[i]
    return np.array(keep, int)


def _nearest_of_each(form, alike, overlaps):
    """Of those that are alike the one of each form that overlaps most."""
    for each in np.unique(form[alike]):
        candidates = np.flatnonzero(alike & (form == each))
        yield candidates[overlaps[candidates].argmax()]


def _over_box(mask, box, other):
    """A mask [h, w] over a box as it lies over another box, by bilinear samples; 0 beyond it."""
    if np.array_equal(box, other):
        return mask
    weights = []
    for axis, count in enumerate(mask.shape):
        low, high = other[axis], other[axis + 2]
        centres = low + (np.arange(count) + 0.5) * (high - low) / count
        places = (centres - box[axis]) * count / (box[axis + 2] - box[axis]) - 0.5
        inside = np.abs(places - (count - 1) / 2) <= count / 2
        nearest = np.clip(places, 0, count - 1)[:, None]
        taken = np.maximum(0, 1 - np.abs(nearest - np.arange(count)))
        weights.append(np.where(inside[:, None], taken, 0))
    return weights[0] @ mask @ weights[1].T
