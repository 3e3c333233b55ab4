"""Pictures in NumPy: what comes in, resizing, molding, image meta.

Shape legend: H, W size in pixels; C channels; K classes, background included. An image is
`[H, W, C]`. A box is `y1, x1, y2, x2` in pixels, half-open: row `y2` and column `x2` lie outside.
"""

import math
import warnings

import numpy as np
from PIL import Image
from skimage import transform

from mrcnn.config import RESIZE_MODES
from mrcnn.resample import bilinear

# The layout of an image's meta vector `[12 + K]`; nothing else knows it.
_META_PARTS = {
    "image_id": 0,
    "original_image_shape": slice(1, 4),
    "image_shape": slice(4, 7),
    "window": slice(7, 11),
    "scale": 11,
    "active_class_ids": slice(12, None),
}


def to_model_image(image, channels=3, name="image"):
    """Checks a picture and brings it to the form that the model takes.

    Values: uint8 stays; uint16 maps its full range onto 0..255 (divided by 257 and rounded to
    uint8); any float is taken as values on the 0..255 scale; other integers must lie in 0..255.
    Channels: with `channels=3` grey is replicated and an alpha channel (the second of two, the
    fourth of four) is dropped; otherwise the count must be `channels`, `[H, W]` counting as one.

    Args:
        image: array of shape `[H, W]` or `[H, W, C]`, or what `np.asarray` turns into one.
        channels: int, channels that the model takes.
        name: str, what an error calls this picture.

    Returns:
        Array `[H, W, channels]`, uint8 or float32. It may share memory with `image`.

    Raises:
        ValueError: if the dtype, shape or values are none of the above, or not finite.

    Example:

    >>> to_model_image(np.zeros((4, 6), "uint16")).shape
    (4, 6, 3)
    """
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
    return _to_value_range(_to_channels(image, channels, name), name)


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
    accepted = "1, 2 (grey, alpha), 3 or 4 (RGB, alpha)" if channels == 3 else channels
    raise ValueError(
        f"{name}: expected {accepted} channels, received {count} in shape {list(image.shape)}. "
        "Channels come last; set IMAGE_CHANNEL_COUNT and MEAN_PIXEL for another count."
    )


def _to_value_range(image, name):
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    low, high = image.min(), image.max()
    if image.dtype.kind in "ui":
        if low < 0 or high > 255:
            raise ValueError(
                f"{name}: expected {image.dtype} pixels within 0..255, received {low}..{high}. "
                "Scale them to 0..255, or pass uint16 for its full range."
            )
        return image.astype(np.uint8)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"{name}: expected finite pixels, received NaN or infinity. "
            "Replace them, for example with np.nan_to_num(image)."
        )
    if low < high <= 1:
        warnings.warn(
            f"{name}: float pixels are taken on the 0..255 scale, but the largest is {high:.3g}. "
            "If they are 0..1, multiply by 255.",
            UserWarning,
            stacklevel=4,
        )
    return image.astype(np.float32)


def resize(
    image,
    output_shape,
    order=1,
    mode="constant",
    cval=0,
    clip=True,
    preserve_range=False,
    anti_aliasing=False,
    anti_aliasing_sigma=None,
):
    """`skimage.transform.resize`, by default bilinear without anti-aliasing."""
    return transform.resize(
        image,
        output_shape,
        order=order,
        mode=mode,
        cval=cval,
        clip=clip,
        preserve_range=preserve_range,
        anti_aliasing=anti_aliasing,
        anti_aliasing_sigma=anti_aliasing_sigma,
    )


def resize_image(
    image,
    min_dim=None,
    max_dim=None,
    min_scale=None,
    mode="square",
    rng=None,
    interpolation="constant",
    padding=None,
):
    """Resizes an image and pads or crops it; only mode "shortest_edge" and `max_dim` shrink it.

    Args:
        image: array `[H, W, C]` of any numeric dtype.
        min_dim: int, the short side is scaled up to it; in mode `"crop"` the side of the crop; in
            mode `"shortest_edge"` the short side is scaled to it, up or down.
        max_dim: int, side of the result in mode `"square"`; in mode `"shortest_edge"` the long
            side at most; ignored in the others.
        min_scale: float, the image is scaled up at least by this, even past `min_dim`; ignored in
            mode `"shortest_edge"`.
        mode: `"none"`: as it is. `"square"`: zero-padded to `[max_dim, max_dim]`. `"pad64"`:
            zero-padded to multiples of 64. `"crop"`: a random `[min_dim, min_dim]` region.
            `"shortest_edge"`: the short side becomes `min_dim`, unless the long one would pass
            `max_dim`; zero-padded at the bottom and right to multiples of 32.
        rng: `np.random.Generator` that places the crop.
        interpolation: see `scale_image`.
        padding: bool, outdated: of matterport's first version, which returned no crop. True is
            mode `"square"`, False the same without the padding.

    Returns:
        The image in its dtype, or as `scale_image` returns it; `window`, the box of the picture
        within it, padding excluded; `scale`; `padding` as `[(top, bottom), (left, right),
        (0, 0)]`; `crop` as `(y, x, height, width)` in the scaled image, or None.

    Raises:
        ValueError: for an unknown mode, or dimensions that the mode cannot use.

    Example:

    >>> resize_image(np.zeros((2, 4, 3), "uint8"), max_dim=8, min_dim=4)[1]
    (2, 0, 6, 8)
    """
    if padding is not None:
        return _resize_image_v1(image, min_dim, max_dim, padding)
    _check_resize(mode, min_dim, max_dim)
    height, width = image.shape[:2]
    pads = [(0, 0), (0, 0), (0, 0)]
    if mode == "none":
        return image, (0, 0, height, width), 1, pads, None
    if mode == "shortest_edge":
        scale, size = _shortest_edge(height, width, min_dim, max_dim, interpolation)
        if size != (height, width) or interpolation == "edge":
            image = scale_image(image, size, interpolation)
        pads[:2] = [(0, -side % 32) for side in size]
        return np.pad(image, pads), (0, 0, *size), scale, pads, None

    scale = max(1, min_dim / min(height, width)) if min_dim else 1
    scale = max(scale, min_scale or 0)
    if mode == "square" and round(max(height, width) * scale) > max_dim:
        scale = max_dim / max(height, width)
    if scale != 1:
        height, width = scaled_size(height, width, scale)
        image = scale_image(image, (height, width), interpolation)

    if mode == "crop":
        rng = rng or np.random.default_rng()
        y, x = (int(rng.integers(size - min_dim + 1)) for size in (height, width))
        image = image[y : y + min_dim, x : x + min_dim]
        return image, (0, 0, min_dim, min_dim), scale, pads, (y, x, min_dim, min_dim)

    for axis, size in enumerate((height, width)):
        extra = max_dim - size if mode == "square" else -size % 64
        pads[axis] = (extra // 2, extra - extra // 2)
    (top, _), (left, _) = pads[:2]
    return np.pad(image, pads), (top, left, top + height, left + width), scale, pads, None


def _resize_image_v1(image, min_dim, max_dim, padding):
    warnings.warn(
        "resize_image(padding=...) is outdated; pass mode='square', and take five values",
        FutureWarning,
        stacklevel=3,
    )
    image, window, scale, pads, _ = resize_image(image, min_dim, max_dim)
    if padding:
        return image, window, scale, pads
    y1, x1, y2, x2 = window
    return image[y1:y2, x1:x2], (0, 0, y2 - y1, x2 - x1), scale, [(0, 0), (0, 0), (0, 0)]


def _shortest_edge(height, width, min_dim, max_dim, interpolation):
    """Scale and size of mode "shortest_edge", each family with its own rounding."""
    scale = min(min_dim / min(height, width), max_dim / max(height, width))
    half = 0.0 if interpolation == "edge" else 0.5  # torchvision rounds down
    return scale, tuple(max(1, int(side * scale + half)) for side in (height, width))


def scale_image(image, size, interpolation):
    """Resizes an image bilinearly.

    Args:
        image: array `[H, W, C]`.
        size: height and width of the result.
        interpolation: `"constant"`: black beyond the border, the dtype kept (matterport).
            `"edge"`: the border repeated, float32 (torchvision). `"antialias"`: as `"edge"`, and
            when shrinking a weighted mean over the pixels covered, uint8 rounded (detectron2; other
            dtypes as `"edge"`).

    Returns:
        Array `[*size, C]`.
    """
    if interpolation == "constant":
        return bilinear(image, size, dtype=image.dtype)
    if interpolation == "antialias" and image.dtype == np.uint8:
        planes = [Image.fromarray(image[:, :, i]) for i in range(image.shape[2])]
        planes = [np.asarray(p.resize(size[::-1], Image.Resampling.BILINEAR)) for p in planes]
        return np.stack(planes, axis=-1)
    return bilinear(image, size, border="edge", dtype=np.float32)


def _check_resize(mode, min_dim, max_dim):
    if mode not in RESIZE_MODES:
        raise ValueError(
            f"Expected a resize mode of {', '.join(RESIZE_MODES)}, received {mode!r}. "
            "Set IMAGE_RESIZE_MODE to one of them."
        )
    if mode == "square" and not max_dim:
        raise ValueError(f"Mode 'square' expects max_dim, received {max_dim}. Pass its side.")
    if mode == "shortest_edge" and not (min_dim and max_dim):
        raise ValueError(
            f"Mode 'shortest_edge' expects min_dim and max_dim, received {min_dim} and {max_dim}. "
            "Pass both, such as 800 and 1333."
        )
    if mode == "crop" and not min_dim:
        raise ValueError(f"Mode 'crop' expects min_dim, received {min_dim}. Pass its side.")
    if mode == "pad64" and (min_dim or 0) % 64:
        raise ValueError(
            f"Mode 'pad64' expects min_dim divisible by 64, received {min_dim}. "
            f"Use {max(64, round(min_dim / 64) * 64)}."
        )


def scaled_size(height, width, scale):
    """Height and width in pixels of an image resized by `scale`; no side falls below 1."""
    return max(1, round(height * scale)), max(1, round(width * scale))


def mold_image(image, mean_pixel, std_pixel=1.0):
    """Returns `image` `[..., C]` minus `mean_pixel` `[C]` over `std_pixel` `[C]`, float32."""
    image = np.array(image, np.float32, order="C")
    # Whole rows against a row of means: 1024 x 1024 pixels take 2 ms, three numbers at a time 7.
    row = image.shape[-2:]
    lines = image.reshape(*image.shape[:-2], math.prod(row))
    lines -= np.broadcast_to(np.asarray(mean_pixel, np.float32), row).ravel()
    if not np.all(std_pixel == 1.0):
        lines /= np.broadcast_to(np.asarray(std_pixel, np.float32), row).ravel()
    return image


def unmold_image(image, mean_pixel, std_pixel=1.0):
    """Inverts `mold_image`: rounds, clips to 0..255; uint8."""
    image = np.asarray(image, np.float32) * np.asarray(std_pixel, np.float32)
    image += np.asarray(mean_pixel, np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def compose_image_meta(
    image_id, original_image_shape, image_shape, window, scale, active_class_ids
):
    """Packs what the model must know of an image into one vector.

    Args:
        image_id: int.
        original_image_shape: `(H, W, C)` before resizing.
        image_shape: `(H, W, C)` after resizing and padding.
        window: box of the picture within the padded image, pixels.
        scale: float, as `resize_image` returned it.
        active_class_ids: `[K]` of 0 and 1, the classes that the image's source annotates.

    Returns:
        float32 array `[12 + K]`.
    """
    parts = [image_id, *original_image_shape, *image_shape, *window, scale, *active_class_ids]
    return np.array(parts, np.float32)


def with_image_shape(meta, sides):
    """A copy of a meta vector whose image has other sides after padding."""
    meta = np.array(meta)
    meta[_META_PARTS["image_shape"]][:2] = sides
    return meta


def pad_to(image, sides):
    """Pads an image `[H, W, ...]` with zeros at the bottom and right to `sides`."""
    padding = [(0, side - have) for side, have in zip(sides, image.shape, strict=False)]
    return np.pad(image, [*padding, *[(0, 0)] * (image.ndim - 2)]) if np.any(padding) else image


def bucket_sides(sides, buckets):
    """What an image or a batch is padded to.

    Args:
        sides: (height, width).
        buckets: list of (height, width), or None.

    Returns:
        (height, width): the smallest bucket that holds it; where none does, the largest height with
        the largest width of all; where not even that, `sides`.
    """
    if buckets is None or len(buckets) == 0:
        return tuple(sides)
    candidates = [*sorted(map(tuple, buckets), key=math.prod), tuple(np.max(buckets, axis=0))]
    fitting = (bucket for bucket in candidates if np.all(np.greater_equal(bucket, sides)))
    return next(fitting, tuple(sides))


def parse_image_meta(meta):
    """Splits meta vectors `[..., 12 + K]`, arrays or tensors, into a dict of their parts.

    The keys are the argument names of `compose_image_meta`.

    Example:

    >>> meta = compose_image_meta(7, (4, 6, 3), (8, 8, 3), (1, 0, 7, 8), 1.5, [1, 1])
    >>> parse_image_meta(meta)["window"]
    array([1., 0., 7., 8.], dtype=float32)
    """
    return {name: meta[..., part] for name, part in _META_PARTS.items()}
