"""Augmentation steps that need no extra package.

Images are `[H, W, C]`, uint8 or float32 on the scale of 0 to 255; masks are bool `[H, W, N]`. Both
keep their shapes.

`keeps_rectangles`: an upright rectangle stays one. Without it, a callable needs the masks of a data
set even where boxes alone are trained.
"""

import numpy as np

from mrcnn.data.augmentation import as_callable, takes_rng
from mrcnn.image.masks import resize_mask
from mrcnn.image.resizing import scale_image


class Compose:
    """Applies augmentations of any kinds one after another.

    Args:
        steps: list of what `augmentation=` takes.

    Example:

    >>> augmentation = Compose([FlipLeftRight(), ScaleJitter((0.8, 1.25)), ColorJitter()])
    """

    def __init__(self, steps):
        self.steps = [step for step in map(as_callable, steps) if step is not None]

    def __call__(self, image, masks, rng):
        for step in self.steps:
            image, masks = step(image, masks, **({"rng": rng} if takes_rng(step) else {}))
        return image, masks

    @property
    def keeps_rectangles(self):
        """Whether all steps do."""
        return all(getattr(step, "keeps_rectangles", False) for step in self.steps)


class FlipLeftRight:
    """Mirrors left and right with probability `p`."""

    keeps_rectangles = True

    def __init__(self, p=0.5):
        self.p = p

    def __call__(self, image, masks, rng):
        return (image[:, ::-1], masks[:, ::-1]) if rng.random() < self.p else (image, masks)


class FlipUpDown:
    """Mirrors top and bottom with probability `p`."""

    keeps_rectangles = True

    def __init__(self, p=0.5):
        self.p = p

    def __call__(self, image, masks, rng):
        return (image[::-1], masks[::-1]) if rng.random() < self.p else (image, masks)


class Rotate90:
    """Turns by 0, 90, 180 or 270 degrees, all equally likely; by 0 or 180 unless square."""

    keeps_rectangles = True

    def __call__(self, image, masks, rng):
        step = 1 if image.shape[0] == image.shape[1] else 2
        turns = step * rng.integers(4 // step)
        return np.rot90(image, turns), np.rot90(masks, turns)


class ScaleJitter:
    """Zooms in or out on a canvas that keeps its size.

    Zoomed in, a random part fills the canvas; zoomed out, the picture lies at a random place on
    black.

    Args:
        scale: range that the scale is drawn from, its logarithm uniformly; 2 shows things twice as
            large.
    """

    keeps_rectangles = True

    def __init__(self, scale=(0.5, 2.0)):
        low, high = scale
        if not 0 < low <= high:
            raise ValueError(f"Expected scale = (low, high) with 0 < low <= high, received {scale}")
        self.scale = low, high

    def __call__(self, image, masks, rng):
        scale = np.exp(rng.uniform(*np.log(self.scale)))
        size = np.array(image.shape[:2])
        source = np.clip(np.rint(size / scale), 1, size).astype(int)
        target = np.clip(np.rint(size * scale), 1, size).astype(int)
        part = _slices(rng.integers(size - source + 1), source)
        place = _slices(rng.integers(size - target + 1), target)
        canvas, mask_canvas = np.zeros_like(image), np.zeros_like(masks)
        canvas[place] = scale_image(image[part], tuple(target.tolist()), "antialias")
        mask_canvas[place] = resize_mask(masks[part], 1, [(0, 0)], size=tuple(target.tolist()))
        return canvas, mask_canvas


def _slices(start, size):
    return tuple(slice(int(a), int(a + b)) for a, b in zip(start, size, strict=True))


class ColorJitter:
    """Changes brightness, contrast and saturation, in this order, each by a random factor.

    Args:
        brightness, contrast, saturation: the range of the factor, or a number x for 1 - x to 1 + x;
            0 leaves it alone. Contrast scales the distance from the mean grey of the image,
            saturation that from the grey of the pixel (of three channels, the luminance).
    """

    keeps_rectangles = True

    def __init__(self, brightness=0.2, contrast=0.2, saturation=0.2):
        given = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.ranges = {name: _factor_range(name, value) for name, value in given.items()}

    def __call__(self, image, masks, rng):
        brightness, contrast, saturation = (rng.uniform(*r) for r in self.ranges.values())
        pixels = image.astype(np.float32) * np.float32(brightness)
        mean = _grey(pixels).mean()
        pixels = mean + (pixels - mean) * np.float32(contrast)
        grey = _grey(pixels)
        pixels = np.clip(grey + (pixels - grey) * np.float32(saturation), 0, 255)
        return (np.rint(pixels) if image.dtype == np.uint8 else pixels).astype(image.dtype), masks


def _factor_range(name, value):
    low, high = (max(0.0, 1 - value), 1 + value) if np.isscalar(value) else value
    if not 0 <= low <= high:
        raise ValueError(
            f"Expected {name} as a number of 0 or more, or as (low, high) with 0 <= low <= high, "
            f"received {value}"
        )
    return low, high


def _grey(pixels):
    """Returns `[H, W, 1]`."""
    if pixels.shape[2] == 3:
        return pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)
    return pixels.mean(axis=2, keepdims=True)
