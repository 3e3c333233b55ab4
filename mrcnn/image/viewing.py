"""Pictures of any channels and values as people can see them.

Shape legend: H, W size in pixels; C channels.
"""

import numpy as np

from mrcnn.image.pixels import accepts, on_model_scale, to_model_image

_DARK = 32  # of 255: a picture below is black to the eye
_PERCENTILES = (0.1, 99.9)  # so that single hot pixels darken nothing


def to_uint8_rgb(image):
    """A copy of a picture to look at.

    Of more than four channels the first three are red, green and blue, of two the first is grey;
    one, three and four are as `to_model_image` takes them. Booleans and floats from 0 to 1 are
    times 255. Other values than uint8 that leave 0..255, or stay in its lowest eighth as 12 bits in
    16 and metres do, are stretched: each channel from its own least to its largest value.

    Args:
        image: array `[H, W]` or `[H, W, C]` of bool or numbers.

    Returns:
        uint8 `[H, W, 3]`.
    """
    image = np.asarray(image)
    if image.ndim == 3 and (image.shape[2] == 2 or not accepts(image.shape[2], 3)):
        image = image[:, :, : 3 if image.shape[2] > 2 else 1]
    if image.dtype == np.uint8 or not image.size:
        return to_model_image(image).astype(np.uint8)
    if image.dtype.kind in "bf" and image.min() >= 0 and image.max() <= 1:
        return np.clip(to_model_image(image * 255.0), 0, 255).astype(np.uint8)
    return _stretched(image)


def _stretched(image):
    values = on_model_scale(image, "image")
    values = values[:, :, None] if image.ndim == 2 else values[:, :, :3]
    inside = values.min() >= -0.5 and values.max() <= 255.5
    if not inside or values.max() < _DARK:
        low, high = np.percentile(values, _PERCENTILES, axis=(0, 1))
        values = (values - low) * (255 / np.where(high > low, high - low, 1))
    values = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values
