"""`ValueScale`: pictures of any range as grey values, for augmentations that count in these.

Shape legend: H, W size in pixels; C channels.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class ValueScale:
    """How the values of a picture and grey values of 0 to 255 become each other.

    uint8, and floats of three channels that all lie within 0 to 255, are grey values, and stay as
    they are. Of other floats, kelvin, metres or 12 bits in 16, each channel's least value in the
    picture is 0 and its largest 255. These have no limits: values beyond are meant, and kept.

    Attributes:
        low: float32 [C], the value that is 0; None where values are grey values already.
        unit: float32 [C], values for each grey value; 0 of a channel of one value.
    """

    low: np.ndarray = None
    unit: np.ndarray = None

    @classmethod
    def of(cls, image):
        """That of a picture `[H, W, C]`."""
        if image.dtype.kind != "f" or not image.size:
            return cls()
        low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
        if image.shape[2] == 3 and low.min() >= 0 and high.max() <= 255:
            return cls()
        return cls(low, (high - low) / np.float32(255))

    @property
    def limited(self):
        """Whether values beyond 0 to 255 are none, and are clipped."""
        return self.low is None

    def to_grey(self, image):
        """`[H, W, C]` in grey values."""
        if self.low is None:
            return image
        return (image - self.low) / np.where(self.unit > 0, self.unit, 1)

    def restore(self, grey):
        """`[H, W, C]` of grey values as the picture had them."""
        return grey if self.low is None else grey * self.unit + self.low
