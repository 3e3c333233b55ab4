"""Steps that move pixels, and with them masks, window and points: mirrors, turns, zooms."""

import numpy as np

from mrcnn.augment.ranges import number_range, share
from mrcnn.data.sample import Step, padding_like
from mrcnn.image.masks import resize_mask
from mrcnn.image.resizing import scale_image


class _Flip(Step):
    axis = None

    keeps_rectangles = True

    def __init__(self, p=0.5):
        self.p = share("p", p)

    def apply(self, sample, rng):
        if rng.random() >= self.p:
            return sample
        axis, side = self.axis, sample.size[self.axis]

        def mirror(points):
            points = np.array(points)
            points[..., axis] = side - points[..., axis]
            return points

        return sample.moved(lambda array: np.flip(array, axis), mirror)


class FlipLeftRight(_Flip):
    """Mirrors left and right with probability `p`. Points keep their order: a left hand that is
    mirrored stays the same point of its object."""

    axis = 1


class FlipUpDown(_Flip):
    """Mirrors top and bottom with probability `p`."""

    axis = 0


class Rotate90(Step):
    """Turns by 0, 90, 180 or 270 degrees, all equally likely; by 0 or 180 unless square."""

    keeps_rectangles = True

    def apply(self, sample, rng):
        height, width = sample.size
        step = 1 if height == width else 2
        turns = int(step * rng.integers(4 // step))

        def turn(points):
            sides = (height, width)
            for _ in range(turns):  # counterclockwise: the right side comes on top
                points = np.stack([sides[1] - points[..., 1], points[..., 0]], axis=-1)
                sides = sides[::-1]
            return points

        return sample.moved(lambda array: np.rot90(array, turns), turn)


class ScaleJitter(Step):
    """Zooms in or out on a canvas that keeps its size.

    The picture without its padding is scaled. Where it is then larger than the canvas, a random
    part is seen; where it is smaller, it lies at a random place on padding.

    Args:
        scale: range that the scale is drawn from, its logarithm uniformly; 2 shows things twice as
            large.
        p: float, how probably.
    """

    keeps_rectangles = True

    def __init__(self, scale=(0.5, 2.0), p=1.0):
        self.scale, self.p = number_range("scale", scale, above=0), share("p", p)

    def apply(self, sample, rng):
        if self.p < 1 and rng.random() >= self.p:
            return sample
        return zoom(sample, self.draw(sample, rng), rng)

    def draw(self, sample, rng):
        """How much larger the picture becomes."""
        return np.exp(rng.uniform(*np.log(self.scale)))


class LargeScaleJitter(ScaleJitter):
    """Large-scale jitter (Ghiasi et al. 2021, arXiv:2012.07177): as `ScaleJitter`, uniformly.

    Args:
        scale: range that the scale is drawn from; 1 is the largest picture that fits the canvas. It
            is meant for the fixed canvas of `IMAGE_RESIZE_MODE = "square"`.
        p: float, how probably.
    """

    def __init__(self, scale=(0.1, 2.0), p=1.0):
        super().__init__(scale, p)

    def draw(self, sample, rng):
        y1, x1, y2, x2 = sample.window
        fitting = np.min(np.array(sample.size) / (y2 - y1, x2 - x1))
        return fitting * rng.uniform(*self.scale)


def zoom(sample, scale, rng):
    """Scales the picture of a sample on its canvas; `rng` draws the part and the place."""
    canvas, window = np.array(sample.size), np.reshape(sample.window, (2, 2))
    have = window[1] - window[0]
    fits = np.rint(have * scale) <= canvas
    source = np.where(fits, have, np.clip(np.rint(canvas / scale), 1, have)).astype(int)
    target = np.where(fits, np.clip(np.rint(have * scale), 1, canvas), canvas).astype(int)
    start = window[0] + rng.integers(have - source + 1)
    place = rng.integers(canvas - target + 1)
    part, there = (_slices(*box) for box in ((start, source), (place, target)))
    padding = [*zip(place.tolist(), (canvas - target - place).tolist(), strict=True), (0, 0)]
    size = tuple(target.tolist())

    def pixels(image):
        result = padding_like(image, sample.fill)
        result[there] = scale_image(image[part], size, "antialias")
        return result

    moved = sample.moved(
        pixels,
        points=lambda points: (points - start) * (target / source) + place,
        masks=resize_mask(sample.masks[part], 1, padding, size=size),
    )
    return moved.replace(window=(*place.tolist(), *(place + target).tolist()))


def _slices(start, size):
    return tuple(slice(int(a), int(a + b)) for a, b in zip(start, size, strict=True))
