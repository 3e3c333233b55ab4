"""`pixel_statistics`: what the values of a data set's pictures are, channel by channel.

Shape legend: H, W size in pixels; C channels.
"""

import dataclasses

import numpy as np

from mrcnn.data.image_loading import image_name
from mrcnn.image.pixels import to_model_image
from mrcnn.settings import Settings

_BLOCK = 1 << 20  # pixels computed at a time in float64


@dataclasses.dataclass(frozen=True)
class PixelStatistics:
    """Values of all pixels of pictures, before resizing and padding, as the network takes them.

    Attributes:
        pictures: int. pixels: int, of each channel.
        mean, std: float64 [C]; std over all pixels, not of a sample (N, not N - 1).
        low, high: float64 [C], least and largest value.
        dtypes: tuple of str: "uint8", "float32", as the network takes them.
    """

    pictures: int
    pixels: int
    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray
    dtypes: tuple

    @property
    def constant(self):
        """list of int, the channels of which all pixels have one value."""
        return np.flatnonzero(self.low == self.high).tolist()

    def normalising(self, spread=1.0):
        """MEAN_PIXEL and STD_PIXEL with which each channel has mean 0 and a standard deviation.

        Args:
            spread: float, that standard deviation. Weights that were trained on other pictures
                expect the one that those had: see `mrcnn.weights.families.input_spread`.

        Returns:
            dict of two lists of C floats. A constant channel is divided by 1.
        """
        std = np.where(self.low == self.high, 1.0, self.std / spread)
        return {
            "MEAN_PIXEL": [float(f"{x:.5g}") for x in self.mean],
            "STD_PIXEL": [float(f"{x:.5g}") for x in std],
        }


def pixel_statistics(dataset, config=None, progress=None):
    """Computes mean, standard deviation and range of each channel, one picture in memory at a time.

    Sums of squares about the mean are merged as in Chan, Golub and LeVeque (1983), so that nothing
    is lost where the mean is large.

    Args:
        dataset: a prepared `Dataset`. Of one that reads files, `channels` says which there are.
        config: `Config` whose IMAGE_CHANNEL_COUNT channels count; by default as many as the first
            picture has.
        progress: function of how many pictures are done, and of how many there are; or None.

    Returns:
        `PixelStatistics`.

    Raises:
        ValueError: a picture that cannot be read, or that has other channels.

    Example:

    >>> found = pixel_statistics(mrcnn.data.load("cells", "train"))  # doctest: +SKIP
    >>> found.normalising()
    {'MEAN_PIXEL': [33.1], 'STD_PIXEL': [11.7]}
    """
    total, dtypes = _Moments(0), set()
    count = None if config is None else Settings.from_config(config).image.channels
    for done, image_id in enumerate(dataset.image_ids, 1):
        image = np.asarray(dataset.load_image(image_id))
        count = count or (image.shape[2] if image.ndim == 3 else 1)
        image = to_model_image(image, count, image_name(dataset, image_id), dataset)
        dtypes.add(str(image.dtype))
        pixels = image.reshape(-1, count)  # (H, W, C) -> (H * W, C)
        for start in range(0, len(pixels), _BLOCK):
            total = total.merged(_Moments.of(pixels[start : start + _BLOCK]))
        if progress:
            progress(done, len(dataset.image_ids))
    if not total.count:
        raise ValueError("expected a data set with pictures, received one without")
    return PixelStatistics(
        pictures=len(dataset.image_ids),
        pixels=total.count,
        mean=total.mean,
        std=np.sqrt(total.squares / total.count),
        low=total.low,
        high=total.high,
        dtypes=tuple(sorted(dtypes)),
    )


@dataclasses.dataclass(frozen=True)
class _Moments:
    """Count, mean, sum of squares about it, and range of numbers."""

    count: int
    mean: np.ndarray = 0.0
    squares: np.ndarray = 0.0
    low: np.ndarray = np.inf
    high: np.ndarray = -np.inf

    @classmethod
    def of(cls, pixels):
        values = pixels.astype(np.float64)
        mean = values.mean(axis=0)
        squares = ((values - mean) ** 2).sum(axis=0)
        return cls(len(values), mean, squares, values.min(axis=0), values.max(axis=0))

    def merged(self, other):
        count = self.count + other.count
        step = other.mean - self.mean
        return _Moments(
            count,
            self.mean + step * (other.count / count),
            self.squares + other.squares + step**2 * (self.count * other.count / count),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )
