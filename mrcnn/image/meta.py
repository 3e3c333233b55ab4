"""The meta vector of an image: what the network must know of how it was resized.

Shape legend: H, W size in pixels; C channels; K classes, background included.
"""

import numpy as np

META = 12  # entries before the active classes
# The layout of an image's meta vector `[12 + K]`; nothing else knows it.
_META_PARTS = {
    "image_id": 0,
    "original_image_shape": slice(1, 4),
    "image_shape": slice(4, 7),
    "window": slice(7, 11),
    "scale": 11,
    "active_class_ids": slice(META, None),
}


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


def parse_image_meta(meta):
    """Splits meta vectors `[..., 12 + K]`, arrays or tensors, into a dict of their parts.

    The keys are the argument names of `compose_image_meta`.

    Example:

    >>> meta = compose_image_meta(7, (4, 6, 3), (8, 8, 3), (1, 0, 7, 8), 1.5, [1, 1])
    >>> parse_image_meta(meta)["window"]
    array([1., 0., 7., 8.], dtype=float32)
    """
    return {name: meta[..., part] for name, part in _META_PARTS.items()}
