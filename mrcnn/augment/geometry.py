"""Steps that move pixels, and with them masks, window and points: mirrors, turns, zooms."""

import numpy as np

from mrcnn.augment.ranges import number_range, share
from mrcnn.data.sample import Step
from mrcnn.image.masks import extract_bboxes
from mrcnn.image.object_size import factor_to, median_size
from mrcnn.image.placement import Placement


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

        return sample.moved(lambda array: np.flip(array, axis), mirror, mirrored=True)


class FlipLeftRight(_Flip):
    """Mirrors left and right with probability `p`. Points of `Sample.flip_pairs` trade places: a
    left hand in a mirror is a right one."""

    axis = 1


class FlipUpDown(_Flip):
    """Mirrors top and bottom with probability `p`. Points trade places as in any mirror."""

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
    part is seen; where it is smaller, it lies at a random place on padding. As the first step of
    all it scales the picture as it was read, in place of the resizing: sharper, and no slower.

    Args:
        scale: range that the scale is drawn from, its logarithm uniformly; 2 shows things twice as
            large.
        p: float, how probably.
    """

    keeps_rectangles = True

    def __init__(self, scale=(0.5, 2.0), p=1.0):
        self.scale, self.p = number_range("scale", scale, above=0), share("p", p)

    def apply(self, sample, rng):
        y1, x1, y2, x2 = sample.window
        picture = y2 - y1, x2 - x1
        scale = self.draw(sample.size, picture, rng, lambda: extract_bboxes(sample.masks))
        if scale is None:
            return sample
        place = Placement.drawn(picture, scale, sample.size, rng)
        points, labels, boxes = sample.points, sample.labels, sample.proposals
        return sample.replace(
            image=place.image(sample.image[sample.inside], sample.fill),
            masks=place.masks(sample.masks[sample.inside]),
            window=place.window,
            points=None if points is None else place.points(points - [y1, x1], picture),
            proposals=None if boxes is None else place.points(boxes - [y1, x1], picture),
            labels=None if labels is None else place.labels(labels[sample.inside]),
        )

    def split_zoom(self):
        return self, None

    def draw(self, canvas, picture, rng, boxes):
        """Draws how much larger a picture becomes.

        Args:
            canvas, picture: (height, width) of the image and of the picture on it.
            rng: `np.random.Generator`.
            boxes: function without arguments to the boxes [N, 4] of its objects, pixels.

        Returns:
            float; None where the picture stays as it is.
        """
        if self.p < 1 and rng.random() >= self.p:
            return None
        return self.draw_scale(canvas, picture, rng, boxes)

    def draw_scale(self, canvas, picture, rng, boxes):
        """As `draw`, of a picture that does not stay as it is."""
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

    def draw_scale(self, canvas, picture, rng, boxes):
        return np.divide(canvas, picture).min() * rng.uniform(*self.scale)


class ObjectSizeJitter(ScaleJitter):
    """Zooms until a picture's median object has one size, and from there at random.

    For pictures of one kind of object at many magnifications, such as cells: the network sees them
    at one size, and detection with `TEST_OBJECT_SIZE` brings each picture to it. A picture without
    objects is zoomed at random alone.

    Args:
        size: float, pixels: the square root of the area of the median object's box.
        scale: range of the random factor, as of `ScaleJitter`.
        p: float, how probably.
    """

    def __init__(self, size=44.0, scale=(0.6, 1.6), p=1.0):
        super().__init__(scale, p)
        if not (np.isscalar(size) and size > 0):
            raise ValueError(f"Expected size as a number of pixels above 0, received {size}")
        self.size = size

    def draw_scale(self, canvas, picture, rng, boxes):
        drawn = super().draw_scale(canvas, picture, rng, boxes)
        return drawn * factor_to(self.size, median_size(boxes()))
