"""`Sample`: all that an augmentation moves together, and how augmentations of any kind change it.

Shape legend: H, W size in pixels; C channels; N instances; K points of an instance. Boxes are
`y1, x1, y2, x2` in pixels, half-open; points are `y, x` in the same coordinates: 0 is the upper or
left edge of the first pixel, and 0.5 its centre.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable

import numpy as np

from mrcnn.data.keypoints import mirrored_order
from mrcnn.image.label_maps import VOID
from mrcnn.image.masks import extract_bboxes, no_masks, to_bool
from mrcnn.image.placement import filled


@dataclasses.dataclass(frozen=True)
class Sample:
    """A picture and what lies on it. Steps return new samples, and write into none.

    Attributes:
        image: `[H, W, C]`, uint8 or float32; on the scale of 0 to 255 where C is 3.
        masks: bool `[H, W, N]`.
        class_ids: int `[N]`, negative for crowds; by default ones.
        window: y1 x1 y2 x2 of the picture inside the padding; by default all of the image.
        points: float `[N, K, 2]`, or None. NaN where there is no point; a point that has left the
            image is outside of it.
        proposals: float `[P, 4, 2]`, the corners y x of proposals that are given, or None.
        labels: int `[H, W]`, a class for each pixel, `mrcnn.image.label_maps.VOID` in the padding;
            or None.
        flip_pairs: pairs of indices of points that trade places in a mirror, as a left and a right
            hand.
        other: function of a `np.random.Generator` that returns another picture of the data set, as
            it is read, and the scale at which resizing would show it: (`Sample`, float), or None
            where the picture cannot be read. None: there are no others.
        fill: what padding holds, a number or one for each channel: black for photos, the mean where
            0 may be no value of the pictures.
    """

    image: np.ndarray
    masks: np.ndarray
    class_ids: np.ndarray = None
    window: tuple = None
    points: np.ndarray = None
    labels: np.ndarray = None
    flip_pairs: tuple = ()
    other: Callable = None
    fill: tuple | float = 0
    proposals: np.ndarray = None

    def __post_init__(self):
        if self.window is None:
            object.__setattr__(self, "window", (0, 0, *self.image.shape[:2]))
        if self.class_ids is None:
            object.__setattr__(self, "class_ids", np.ones(self.masks.shape[2], np.int32))

    @property
    def size(self):
        """Height and width of the image, padding included."""
        return self.image.shape[:2]

    @property
    def inside(self):
        """Slices of rows and columns: the picture without its padding."""
        y1, x1, y2, x2 = self.window
        return slice(y1, y2), slice(x1, x2)

    def padding(self):
        """`[H, W, C]` of the image's dtype, all of it padding."""
        return filled(self.image.shape, self.image.dtype, self.fill)

    def window_mask(self):
        """bool `[H, W]`, true inside the window."""
        mask = np.zeros(self.size, bool)
        mask[self.inside] = True
        return mask

    def replace(self, **changes):
        """A copy with other attributes."""
        return dataclasses.replace(self, **changes)

    def moved(self, pixels, points, mirrored=False):
        """A copy that a mirror or a turn by right angles has moved.

        Args:
            pixels: function of an array `[h, w, n]` that moves it: the image, or a part of a mask.
            points: function of points `[..., 2]` that moves them the same way.
            mirrored: bool, whether it is a mirror: what is left is then right.
        """
        found = None if self.points is None else points(self.points)
        image = np.ascontiguousarray(pixels(self.image))
        return self.replace(
            image=image,
            masks=self._moved_masks(pixels, points, image.shape),
            window=clipped_window(_moved_box(self.window, points), image.shape),
            points=self.traded(found) if mirrored else found,
            proposals=None if self.proposals is None else points(self.proposals),
            labels=None if self.labels is None else pixels(self.labels[:, :, None])[:, :, 0],
        )

    def traded(self, points):
        """Points `[N, K, 2]` in a mirror, those of `flip_pairs` exchanged; None stays None."""
        if points is None or not self.flip_pairs:
            return points
        return points[:, mirrored_order(self.flip_pairs, points.shape[1])]

    def _moved_masks(self, pixels, points, shape):
        """Each mask is moved in its box alone."""
        masks = no_masks(shape[:2], self.masks.shape[2])
        for i, box in enumerate(extract_bboxes(self.masks)):
            y1, x1, y2, x2 = box
            patch = pixels(self.masks[y1:y2, x1:x2, i : i + 1])[:, :, 0]
            y1, x1, y2, x2 = np.rint(_moved_box(box, points)).astype(int)
            masks[y1:y2, x1:x2, i] = patch
        return masks


def _moved_box(box, points):
    corners = points(np.reshape(box, (2, 2)).astype(float))
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def clipped_window(box, shape):
    """Whole pixels of a box that lie in an image; of one without any the whole image."""
    low, high = np.rint(np.reshape(box, (2, 2))).clip(0, shape[:2]).astype(int)
    return (*low.tolist(), *high.tolist()) if (high > low).all() else (0, 0, *shape[:2])


class Step:
    """An augmentation that changes all of a sample; a subclass has `apply`.

    It is also a callable `(image, masks, rng) -> (image, masks)`, as other augmentations are.

    Attributes:
        keeps_rectangles: bool, whether upright rectangles stay upright rectangles. Where all steps
            do, boxes are trained without drawing a mask (`USE_MASK = False`).

    Example:

    >>> class Upside(Step):
    ...     def apply(self, sample, rng):
    ...         height = sample.size[0]
    ...         return sample.moved(
    ...             pixels=lambda array: array[::-1],
    ...             points=lambda points: points * [-1, 1] + [height, 0],
    ...             mirrored=True,
    ...         )
    >>> pixels = np.zeros((4, 2, 3), "uint8")
    >>> Upside().apply(Sample(pixels, pixels > 0, window=(0, 0, 3, 2)), rng=None).window
    (1, 0, 4, 2)
    """

    keeps_rectangles = False

    def __call__(self, image, masks, rng):
        sample = self.apply(Sample(image, masks), rng)
        return sample.image, sample.masks

    def split_zoom(self):
        """The zoom that it begins with and the rest of it: (step, step), each None where there is
        none. A picture is zoomed while it is resized; see `mrcnn.augment.ScaleJitter`."""
        return None, self

    def apply(self, sample, rng):
        """Returns the changed `Sample`; draws from `rng`, a `np.random.Generator`, alone."""
        raise NotImplementedError


def takes_rng(augmentation):
    """Whether the callable has an argument `rng`, a `np.random.Generator` to draw from."""
    try:
        return "rng" in inspect.signature(augmentation).parameters
    except ValueError:  # some built-in callables have no signature
        return False


def apply_augmentation(augmentation, sample, rng):
    """Changes a sample by an augmentation that `as_callable` returned.

    A function `(image, masks)` sees the masks of the objects alone: it may count them, or paint
    over one. Where it moved the picture it cannot tell, so the window grows to hold all objects.

    Raises:
        ValueError: the sample has points, labels or proposals, and the augmentation cannot move
            them.
    """
    if isinstance(augmentation, Step):
        return augmentation.apply(sample, rng)
    riders = {
        "points": sample.points,
        "labels of pixels": sample.labels,
        "proposals": sample.proposals,
    }
    what = next((name for name, rider in riders.items() if rider is not None), None)
    if what is not None:
        raise ValueError(
            f"expected an augmentation that moves {what}, received a function of image and masks. "
            "Write a subclass of mrcnn.augment.Step, or take imgaug or albumentations"
        )
    if takes_rng(augmentation):
        augmentation = functools.partial(augmentation, rng=rng)
    # A copy: a function may work in place, and the picture may be the data set's own.
    image, masks = augmentation(sample.image.copy(), sample.masks)
    image, masks = np.asarray(image), to_bool(masks)
    window = np.array(sample.window)
    if masks.ndim == 3 and masks.any():
        boxes = extract_bboxes(masks)
        boxes = np.concatenate([window[None], boxes[boxes[:, 2] > 0]])
        window = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    window = clipped_window(window, image.shape)
    return sample.replace(image=image, masks=masks, window=window)


def augment_sample(augmentation, sample, rng, picture_alone=False):
    """Changes a sample and checks what came out.

    Args:
        augmentation: what `as_callable` returned.
        sample: `Sample`.
        rng: `np.random.Generator`.
        picture_alone: bool, keep the padding out of it, where it is, as `sample.fill`.

    Returns:
        `Sample` of the image's shape and dtype.

    Raises:
        ValueError: the shape or dtype is another, or there is not one mask a class id.
    """
    given = sample
    if picture_alone:
        y, x = sample.window[:2]
        sample = sample.replace(
            image=sample.image[sample.inside],
            masks=sample.masks[sample.inside],
            window=None,
            points=None if sample.points is None else sample.points - np.array([y, x]),
            proposals=None if sample.proposals is None else sample.proposals - np.array([y, x]),
            labels=None if sample.labels is None else sample.labels[sample.inside],
        )
    changed = apply_augmentation(augmentation, sample, rng)
    before = sample.image.shape, sample.image.dtype, (*sample.size, len(changed.class_ids))
    after = changed.image.shape, changed.image.dtype, changed.masks.shape
    if before != after:
        raise ValueError(
            "expected the image's shape and dtype and the masks' shape unchanged, "
            "{} {} and {}, received {} {} and {}. Leave out what crops, resizes or normalises "
            "(IMAGE_RESIZE_MODE and MEAN_PIXEL do), or pad back.".format(*before, *after)
        )
    if not picture_alone:
        return changed
    image, masks = given.padding(), no_masks(given.size, len(changed.class_ids))
    image[given.inside], masks[given.inside] = changed.image, changed.masks
    labels = None if given.labels is None else np.full_like(given.labels, VOID)
    if labels is not None:
        labels[given.inside] = changed.labels
    return changed.replace(
        image=image,
        masks=masks,
        labels=labels,
        window=tuple(a + b for a, b in zip(changed.window, (y, x, y, x), strict=True)),
        points=None if changed.points is None else changed.points + np.array([y, x]),
        proposals=None if changed.proposals is None else changed.proposals + np.array([y, x]),
    )
