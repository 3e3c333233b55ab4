"""`Placement`: a picture that is scaled and laid on a canvas, or of which the canvas shows a part.

Shape legend: h, w of the picture as it is given, H, W of the canvas, in pixels; C channels; N
instances.
"""

import dataclasses

import numpy as np

from mrcnn.image.label_maps import resize_labels
from mrcnn.image.masks import resize_mask
from mrcnn.image.resizing import scale_image


def filled(shape, dtype, fill):
    """An image `[H, W, C]`, all of it `fill`, a number or one a channel, rounded in integers."""
    canvas = np.empty(shape, dtype)
    canvas[:] = np.rint(fill).clip(0, 255) if canvas.dtype.kind in "ui" else fill
    return canvas


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where each pixel of a picture comes to lie.

    Attributes:
        size: (height, width) that the picture is scaled to.
        crop: (y, x, height, width), the part of it that is seen.
        padding: [(top, bottom), (left, right), (0, 0)] around that part.
    """

    size: tuple
    crop: tuple
    padding: list

    @classmethod
    def drawn(cls, picture, scale, canvas, rng):
        """Draws the place on the canvas, and the part of a picture that is larger.

        Args:
            picture: (height, width) before.
            scale: float, how much larger it becomes.
            canvas: (height, width).
            rng: `np.random.Generator`.
        """
        size = np.maximum(np.rint(np.multiply(picture, scale)), 1).astype(int)
        seen = np.minimum(size, canvas)
        start = rng.integers(size - seen + 1)
        place = rng.integers(canvas - seen + 1)
        after = canvas - seen - place
        padding = [*zip(place.tolist(), after.tolist(), strict=True), (0, 0)]
        return cls(tuple(size.tolist()), (*start.tolist(), *seen.tolist()), padding)

    @property
    def window(self):
        """y1 x1 y2 x2 of what is seen on the canvas."""
        (top, _), (left, _), _ = self.padding
        return top, left, top + self.crop[2], left + self.crop[3]

    def image(self, image, fill):
        """An image `[h, w, C]` on the canvas `[H, W, C]`, in its dtype, on padding of `fill`."""
        seen = scale_image(image, self.size, "antialias", self.crop)
        (top, bottom), (left, right), _ = self.padding
        height, width, channels = seen.shape
        canvas = filled((top + height + bottom, left + width + right, channels), image.dtype, fill)
        canvas[top : top + height, left : left + width] = seen
        return canvas

    def masks(self, masks):
        """Masks `[h, w, N]` on the canvas, `[H, W, N]`."""
        return resize_mask(masks, 1, self.padding, self.crop, self.size)

    def labels(self, labels):
        """A label map `[h, w]` on the canvas, `[H, W]`."""
        return resize_labels(labels, 1, self.padding, self.crop, self.size)

    def points(self, points, picture):
        """Points y x `[..., 2]` of a picture of (height, width) on the canvas."""
        offset = np.subtract(self.window[:2], self.crop[:2])
        return points * np.divide(self.size, picture) + offset
