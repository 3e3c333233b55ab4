"""Pictures in NumPy at the size that the network takes.

Shape legend: H, W size in pixels; C channels. An image is `[H, W, C]`. A box is `y1, x1, y2, x2` in
pixels, half-open: row `y2` and column `x2` lie outside.
"""

import numpy as np
from PIL import Image
from skimage import transform

from mrcnn.config_checks import RESIZE_MODES
from mrcnn.image.resampling import bilinear
from mrcnn.image.sizes import (
    edge_padding,
    enlarged_scale,
    longest_edge,
    rescaled_size,
    scaled_size,
    shortest_edge,
)


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
):
    """Resizes an image and pads or crops it; only `"shortest_edge"` and `max_dim` shrink it.

    Args:
        image: array `[H, W, C]` of any numeric dtype.
        min_dim: int, the short side is scaled up to it; in mode `"crop"` the side of the crop; in
            mode `"shortest_edge"` the short side is scaled to it, up or down.
        max_dim: int, side of the result in modes `"square"` and `"longest_edge"`; in mode
            `"shortest_edge"` the long side at most; ignored in the others.
        min_scale: float, the image is scaled up at least by this, even past `min_dim`; ignored in
            modes `"shortest_edge"` and `"longest_edge"`.
        mode: `"none"`: as it is. `"square"`: zero-padded to `[max_dim, max_dim]`. `"pad64"`:
            zero-padded to multiples of 64. `"crop"`: a random `[min_dim, min_dim]` region.
            `"shortest_edge"`: the short side becomes `min_dim`, unless the long one would pass
            `max_dim`; zero-padded at the bottom and right to multiples of 32, with interpolation
            `"corners"` to one more. `"longest_edge"`: the long side becomes `max_dim`; zero-padded
            at the bottom and right to `[max_dim, max_dim]`.
        rng: `np.random.Generator` that places the crop.
        interpolation: see `scale_image`.

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
    _check_resize(mode, min_dim, max_dim)
    height, width = image.shape[:2]
    pads = [(0, 0), (0, 0), (0, 0)]
    if mode == "none":
        return image, (0, 0, height, width), 1, pads, None
    if mode == "shortest_edge":
        scale, size = shortest_edge(height, width, min_dim, max_dim, interpolation)
        if size != (height, width) or interpolation == "edge":
            image = scale_image(image, size, interpolation)
        pads[:2] = [(0, edge_padding(side, interpolation)) for side in size]
        return np.pad(image, pads), (0, 0, *size), scale, pads, None
    if mode == "longest_edge":
        scale, size = longest_edge(height, width, max_dim, interpolation)
        image = image if size == (height, width) else scale_image(image, size, interpolation)
        pads[:2] = [(0, max_dim - side) for side in size]
        return np.pad(image, pads), (0, 0, *size), scale, pads, None

    scale = enlarged_scale(height, width, min_dim, max_dim, min_scale, mode)
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


def resize_by(settings, image, mode, rng=None):
    """`resize_image` by `mrcnn.settings.Image`, in a mode that may differ from theirs."""
    return resize_image(
        image,
        min_dim=settings.min_dim,
        max_dim=settings.max_dim,
        min_scale=settings.min_scale,
        mode=mode,
        rng=rng,
        interpolation=interpolation_of(settings),
    )


def interpolation_of(settings):
    """The `interpolation` of `scale_image` by `mrcnn.settings.Image`."""
    # Black beyond the border may be no value of the pictures.
    black = settings.interpolation == "constant" and settings.channels != 3
    return "antialias" if black else settings.interpolation


def rescale_by(settings, image, factor):
    """Resizes an image to `factor` times the size that `resize_by` brings it to, unpadded.

    Args:
        settings: `mrcnn.settings.Image`.
        image: array `[H, W, C]`.
        factor: float.

    Returns:
        The image, its `window`, y1 x1 y2 x2 in pixels, and its scale.
    """
    size, scale = rescaled_size(settings, *image.shape[:2], factor)
    return scale_image(image, size, interpolation_of(settings)), (0, 0, *size), scale


def scale_image(image, size, interpolation, crop=None):
    """Resizes an image bilinearly.

    Args:
        image: array `[H, W, C]`.
        size: height and width of the result.
        interpolation: `"constant"`: black beyond the border, the dtype kept (matterport).
            `"edge"`: the border repeated, float32 (torchvision). `"antialias"`: as `"edge"`, and
            when shrinking a weighted mean over the pixels covered, uint8 rounded (detectron2; other
            dtypes as `"edge"`). `"corners"`: corner pixels stay in the corners, float32 (deeplab2).
        crop: (y, x, height, width), the part of the result that is wanted; by default all.

    Returns:
        Array `[*size, C]`, or the part of it.
    """
    crop = crop or (0, 0, *size)
    y, x, height, width = crop
    if interpolation == "antialias" and image.dtype == np.uint8:
        if image.shape[2] == 3:
            return np.array(_antialiased(Image.fromarray(image), size, crop))
        planes = (Image.fromarray(image[:, :, i]) for i in range(image.shape[2]))
        return np.stack([_antialiased(plane, size, crop) for plane in planes], axis=-1)
    if interpolation == "constant":
        scaled = bilinear(image, size, dtype=image.dtype)
    else:
        border = "corners" if interpolation == "corners" else "edge"
        scaled = bilinear(image, size, border=border, dtype=np.float32)
    return scaled[y : y + height, x : x + width]


def _antialiased(picture, size, crop):
    """A part of a Pillow image that is scaled."""
    y, x, height, width = crop
    rows, cols = picture.height / size[0], picture.width / size[1]
    box = (x * cols, y * rows, (x + width) * cols, (y + height) * rows)
    box = (*box[:2], min(box[2], picture.width), min(box[3], picture.height))  # of rounding
    return picture.resize((width, height), Image.Resampling.BILINEAR, box)


def _check_resize(mode, min_dim, max_dim):
    if mode not in RESIZE_MODES:
        raise ValueError(
            f"Expected a resize mode of {', '.join(RESIZE_MODES)}, received {mode!r}. "
            "Set IMAGE_RESIZE_MODE to one of them."
        )
    if mode in ("square", "longest_edge") and not max_dim:
        raise ValueError(f"Mode {mode!r} expects max_dim, received {max_dim}. Pass its side.")
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


def resize_points(points, shape, scale, padding, crop=None, size=None):
    """Does to points what `resize_image` did to their image.

    Args:
        points: float `[..., 2]`, y x in pixels.
        shape: `(H, W)` of the image that they lie in.
        scale, padding, crop: as `resize_image` returned them.
        size: height and width of the scaled image, where `scale` does not tell them exactly.

    Returns:
        float `[..., 2]`; those that were cropped away lie outside of the new image.
    """
    size = size or scaled_size(*shape[:2], scale)
    (top, _), (left, _), _ = np.broadcast_to(padding, (3, 2)).tolist()
    offset = np.subtract((top, left), crop[:2] if crop else (0, 0))
    return points * np.divide(size, shape[:2]) + offset


def pad_to(image, sides):
    """Pads an image `[H, W, ...]` with zeros at the bottom and right to `sides`."""
    padding = [(0, side - have) for side, have in zip(sides, image.shape, strict=False)]
    return np.pad(image, [*padding, *[(0, 0)] * (image.ndim - 2)]) if np.any(padding) else image
