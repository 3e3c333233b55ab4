"""Pictures in NumPy: what comes in.

Shape legend: H, W size in pixels; C channels. An image is `[H, W, C]`.
"""

import os
import warnings

import numpy as np


def to_model_image(image, channels=3, name="image", owner=None):
    """Checks a picture and brings it to the form that the model takes.

    Values with `channels=3`: uint8 stays; uint16 maps its full range onto 0..255 (divided by 257
    and rounded to uint8, with a warning where the picture uses a 16th of it at most); any float is
    taken as values on the 0..255 scale; other integers must lie in 0..255. With any other count
    nothing is rounded and no range is expected: uint16 is divided by 257 to float32, other
    integers and floats keep their values, for MEAN_PIXEL and STD_PIXEL are then the data's own.
    Channels: with `channels=3` grey is replicated and an alpha channel (the second of two, the
    fourth of four) is dropped; with `channels=1` alpha is dropped too and colours become their luma
    (ITU-R 601); otherwise the count must be `channels`, `[H, W]` counting as one.

    Args:
        image: array of shape `[H, W]` or `[H, W, C]`, or what `np.asarray` turns into one.
        channels: int, channels that the model takes.
        name: str, what an error calls this picture.
        owner: whose picture it is, a data set for example: of all its pictures only the first that
            looks as if it were on another scale warns. None: each does.

    Returns:
        Array `[H, W, channels]`, uint8 or float32. It may share memory with `image`.

    Raises:
        ValueError: if the dtype, shape or values are none of the above, or not finite.

    Example:

    >>> to_model_image(np.zeros((4, 6), "uint16")).shape
    (4, 6, 3)
    """
    if isinstance(image, (str, os.PathLike)):
        raise ValueError(
            f"{name}: expected pixels, received the path {str(image)!r}. Read the picture, for "
            "example skimage.io.imread(path)."
        )
    try:
        image = np.asarray(image)
    except ValueError as e:
        raise ValueError(f"{name}: expected one array [H, W, C], received {e}.") from e
    if image.dtype.kind not in "uif":
        raise ValueError(
            f"{name}: expected integer or float pixels, received dtype {image.dtype}. Pass the "
            "decoded picture, for example skimage.io.imread(path); bool * 255 as uint8."
        )
    if image.ndim not in (2, 3) or not image.size:
        raise ValueError(
            f"{name}: expected shape [H, W] or [H, W, C] with at least one pixel, received "
            f"{list(image.shape)}. Pass one picture at a time, not a batch, and no empty crop."
        )
    image = _to_channels(image, channels, name)
    return _to_value_range(image, name, owner) if channels == 3 else on_model_scale(image, name)


def accepts(count, channels):
    """Whether `to_model_image` brings a picture of `count` channels to `channels`."""
    return count == channels or (channels in (1, 3) and 1 <= count <= 4)


def on_model_scale(image, name):
    """The values of a picture of any channels, none of them rounded or warned of.

    Args:
        image: array `[H, W, C]`; uint8 stays, uint16 is divided by 257, others keep their values.
        name: str, what an error calls it.

    Returns:
        uint8 or float32 `[H, W, C]`.

    Raises:
        ValueError: NaN, infinity, or no numbers.
    """
    if image.dtype.kind not in "uif":
        raise ValueError(
            f"{name}: expected integer or float pixels, received dtype {image.dtype}. Pass bool * "
            "255 as uint8."
        )
    if image.dtype == np.uint8:
        return image
    if image.dtype.newbyteorder("=") == np.uint16:
        return image.astype(np.float32) / np.float32(257)
    if image.dtype.kind == "f":
        _check_finite(image, name)
    return image.astype(np.float32)


def _to_channels(image, channels, name):
    if image.ndim == 2:
        image = image[:, :, None]  # (H, W) -> (H, W, 1)
    count = image.shape[2]
    if count == channels:
        return image
    if channels == 3 and count in (1, 2):
        return np.repeat(image[:, :, :1], 3, axis=2)
    if channels == 3 and count == 4:
        return image[:, :, :3]
    if channels == 1 and count == 2:
        return image[:, :, :1]
    if channels == 1 and count in (3, 4):
        return _luma(image)
    accepted = "1, 2 (grey, alpha), 3 or 4 (RGB, alpha)" if channels in (1, 3) else channels
    raise ValueError(
        f"{name}: expected {accepted} channels, received {count} in shape {list(image.shape)}. "
        f"Channels come last; for these set IMAGE_CHANNEL_COUNT = {count} (in Python also "
        "dataset.read_as(config)) with MEAN_PIXEL and STD_PIXEL of `mrcnn stats`."
    )


def _luma(image):
    """[H, W, 3 or 4] -> [H, W, 1] of its dtype; equal colours give exactly their value."""
    if (image[:, :, :1] == image[:, :, 1:3]).all():
        return image[:, :, :1]
    grey = image[:, :, :3] @ np.array([[0.299], [0.587], [0.114]])
    return (np.rint(grey) if image.dtype.kind in "ui" else grey).astype(image.dtype)


def _to_value_range(image, name, owner):
    if image.dtype == np.uint8:
        return image
    if image.dtype.newbyteorder("=") == np.uint16:
        _warn_of_small_range(image, name, owner)
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    low, high = image.min(), image.max()
    if image.dtype.kind == "f":
        _check_finite(image, name)
    else:
        if low < 0 or high > 255:
            raise ValueError(
                f"{name}: expected {image.dtype} pixels within 0..255, received {low}..{high}. "
                "Scale them to 0..255, or pass uint16 for its full range."
            )
        return image.astype(np.uint8)
    if low < high <= 1 and is_first(owner, "floats"):
        warnings.warn(
            f"{name}: float pixels are taken on the 0..255 scale, but the largest is {high:.3g}. "
            "If they are 0..1, multiply by 255.",
            UserWarning,
            stacklevel=4,
        )
    return image.astype(np.float32)


def _check_finite(image, name):
    if not (np.isfinite(image.min()) and np.isfinite(image.max())):
        raise ValueError(
            f"{name}: expected finite pixels, received NaN or infinity. "
            "Replace them, for example with np.nan_to_num(image)."
        )


def _warn_of_small_range(image, name, owner):
    high = int(image.max())
    if 0 < high < 4096 and is_first(owner, "range"):
        warnings.warn(
            f"{name}: uint16 pixels are taken on the scale 0..65535, but the largest is {high}, "
            f"which leaves {(high + 128) // 257 + 1} grey levels. If they are values of 8 or 12 "
            "bits, multiply them by 257 or 16, or set IMAGE_CHANNEL_COUNT = 1, which rounds "
            "nothing.",
            UserWarning,
            stacklevel=5,
        )


def is_first(owner, what):
    """Whether this is the first time that it is asked of an owner, in whichever thread."""
    mark = object()
    return owner is None or vars(owner).setdefault(f"_has_warned_of_{what}", mark) is mark
