"""Steps that change values of pixels, and move none. Padding stays as it is.

Images are `[H, W, C]`, uint8 or float32, of any number of channels. Strengths are in grey values of
0 to 255; `mrcnn.image.value_scale` says what these are in pictures of another range.
"""

import functools
import io

import numpy as np
from PIL import Image, ImageStat
from scipy import ndimage
from scipy.special import ndtri

from mrcnn.augment.ranges import factor_range, number_range, share
from mrcnn.data.sample import Step
from mrcnn.image.value_scale import ValueScale

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)


class Photometric(Step):
    """A step that changes the values of the picture; a subclass has `change`.

    Args:
        p: float, how probably.
    """

    keeps_rectangles = True

    def __init__(self, p=1.0):
        self.p = share("p", p)

    def apply(self, sample, rng):
        if self.p < 1 and rng.random() >= self.p:
            return sample
        pixels = sample.image[sample.inside]
        scale = ValueScale.of(pixels)
        pixels = scale.restore(self.change(scale.to_grey(pixels), rng))
        image = sample.padding()
        if scale.limited and (pixels.dtype != image.dtype or image.dtype != np.uint8):
            pixels = np.clip(pixels, 0, 255)
            pixels = np.rint(pixels) if image.dtype == np.uint8 else pixels
        image[sample.inside] = pixels
        return sample.replace(image=image)

    def change(self, pixels, rng):
        """New grey values `[h, w, C]`: of the dtype of `pixels`, or float; see `ValueScale`."""
        raise NotImplementedError


class ColorJitter(Photometric):
    """Changes brightness, contrast and saturation, in this order, each by a random factor.

    Args:
        brightness, contrast, saturation: the range of the factor, or a number x for 1 - x to 1 + x;
            0 leaves it alone. Contrast scales the distance from the mean grey of the picture,
            saturation that from the grey of the pixel (of three channels, the luminance).
        p: float, how probably.
    """

    def __init__(self, brightness=0.2, contrast=0.2, saturation=0.2, p=1.0):
        super().__init__(p)
        given = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.ranges = {name: factor_range(name, value) for name, value in given.items()}

    def change(self, pixels, rng):
        brightness, contrast, saturation = (rng.uniform(*r) for r in self.ranges.values())
        channels = pixels.shape[2]
        grey = _LUMINANCE if channels == 3 else np.full(channels, 1 / channels)
        # Each of the three is an affine map of a pixel's channels; the mean grey stays in the last.
        to_grey = np.tile(grey[:, None], channels)
        matrix = saturation * np.eye(channels) + (1 - saturation) * to_grey
        matrix *= brightness * contrast
        to_shift = brightness * (1 - contrast) * grey  # from the mean of each channel
        if pixels.dtype == np.uint8 and channels == 3:
            return _mapped_colors(pixels, matrix, to_shift)
        flat = pixels.reshape(-1, channels).astype(np.float32)
        mean = np.ones(len(flat), np.float32) @ flat / len(flat)
        pixels = pixels.astype(np.float32) @ matrix.astype(np.float32)
        pixels += np.float32(mean @ to_shift)
        return pixels


def _mapped_colors(pixels, matrix, to_shift):
    """The same map of 8-bit colours by Pillow, rounded and clipped."""
    image = Image.fromarray(pixels)
    shift = np.full(3, ImageStat.Stat(image).mean @ to_shift)
    rows = np.column_stack([matrix.T, shift])
    return np.asarray(image.convert("RGB", tuple(rows.ravel().tolist())))


class GaussianBlur(Photometric):
    """Blurs, as a picture out of focus.

    Args:
        sigma: pixels, the range that the standard deviation is drawn from.
        p: float, how probably.
    """

    def __init__(self, sigma=(0.3, 1.5), p=1.0):
        super().__init__(p)
        self.sigma = number_range("sigma", sigma, above=0)

    def change(self, pixels, rng):
        sigma = rng.uniform(*self.sigma)
        pixels = pixels.astype(np.float32)
        for axis in (0, 1):
            pixels = ndimage.gaussian_filter1d(pixels, sigma, axis, mode="nearest", truncate=3)
        return pixels


class GaussianNoise(Photometric):
    """Adds noise, its own in each pixel and channel.

    Args:
        std: grey values of 0 to 255, the range that the standard deviation is drawn from.
        p: float, how probably.
    """

    def __init__(self, std=(0, 12), p=1.0):
        super().__init__(p)
        self.std = number_range("std", std)

    def change(self, pixels, rng):
        std = np.float32(rng.uniform(*self.std))
        drawn = rng.integers(2**16, size=pixels.shape, dtype=np.uint16)
        return (std * _normal_quantiles()).take(drawn) + pixels


@functools.cache
def _normal_quantiles():
    """float32 `[65536]`, equally likely: several times as fast to draw from as a normal one."""
    return ndtri((np.arange(2**16) + 0.5) / 2**16).astype(np.float32)


class JPEGCompression(Photometric):
    """Writes the picture as JPEG and reads it: three channels in colour, others one by one in grey.

    Args:
        quality: whole numbers of 1 to 95, the range that JPEG's quality is drawn from.
        p: float, how probably.
    """

    def __init__(self, quality=(40, 95), p=1.0):
        super().__init__(p)
        self.quality = number_range("quality", quality, above=0)
        if self.quality[1] > 95:
            raise ValueError(f"Expected quality of 95 at most, received {quality}")

    def change(self, pixels, rng):
        quality = round(rng.uniform(*self.quality))
        whole = pixels if pixels.dtype == np.uint8 else np.rint(pixels).clip(0, 255)
        values = np.ascontiguousarray(whole, np.uint8)
        if values.shape[2] == 3:
            return _as_jpeg(values, quality).astype(pixels.dtype)
        planes = [_as_jpeg(np.ascontiguousarray(x), quality) for x in np.moveaxis(values, 2, 0)]
        return np.stack(planes, axis=-1).astype(pixels.dtype)


def _as_jpeg(values, quality):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
