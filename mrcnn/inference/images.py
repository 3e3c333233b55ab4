"""What `detect` is given: arrays and paths, in a list or one after another."""

import os

import numpy as np

from mrcnn.image.channels import Channels
from mrcnn.image.reading import image_size, read_image, warn_of_pages


def check_images(images, stream):
    """Raises ValueError unless `images` is a list, or an iterable for a stream."""
    if isinstance(images, np.ndarray) and images.ndim < 4:
        raise ValueError(f"images has shape {images.shape}; pass a list: detect([image])")
    if isinstance(images, (str, os.PathLike)) or images is None:
        path = "path" if images is None else repr(os.fspath(images))
        raise ValueError(
            f"images is {images!r}; expected a list of arrays [H, W, C] or of paths: "
            f"detect([{path}])"
        )
    if not stream and not hasattr(images, "__len__"):
        raise ValueError(
            f"images is a {type(images).__name__} and has no length; pass list(images), or "
            "stream=True for results one by one"
        )


def read_images(images, owner=None, channels=None, tile_size=None):
    """Yields each image as it is or, for a path, what its file holds.

    Args:
        images: iterable of arrays and paths.
        owner: see `mrcnn.image.read_image`.
        channels: `mrcnn.image.Channels` of the model, or None for three.
        tile_size: int, of a file of a larger image only the regions asked for are to be read, where
            `Channels.open_regions` can; or None.

    Raises:
        ValueError: a file that cannot be read, named by its place.
    """
    for i, image in enumerate(images):
        if isinstance(image, (str, os.PathLike)):
            try:
                image = _read(image, owner, channels or Channels(), tile_size)
            except ValueError as error:
                raise ValueError(f"images[{i}]: {error}") from error
        yield image


def _read(path, owner, channels, tile_size):
    if tile_size is not None and os.path.isfile(path) and max(image_size(path)) > tile_size:
        regions = channels.open_regions(path)
        if regions is not None:
            warn_of_pages(path, regions.pages, owner)
            return regions
    if channels == Channels():
        return read_image(path, owner)  # as its file has it
    return channels.read(path, owner=owner)
