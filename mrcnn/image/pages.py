"""The pages of a TIFF and the frames of an animation, one at a time."""

import contextlib

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from mrcnn.image.reading import (
    decode_frame,
    decode_page,
    errors_named,
    frame_count,
    is_tiff,
    opened,
    read_image,
    tiff_pages,
)
from mrcnn.image.regions import open_regions


class PageReader:
    """A picture file of which each page or frame is decoded when it is asked for.

    `len` is their number; small copies of pages inside a TIFF do not count. In order is fastest: a
    frame of an animation is what the frames before it left.

    Args:
        path: of a picture of any kind, or it as a binary file that is open; most have one page.

    Attributes:
        animated: bool, whether these are frames.

    Raises:
        ValueError: there is no such file, or it cannot be read as a picture.

    Example:

    >>> with PageReader("stack.tif") as pages:  # doctest: +SKIP
    ...     for i in range(len(pages)):
    ...         model.detect([pages.read(i)])
    """

    def __init__(self, path):
        self._path, self._pages, self._picture = path, None, None
        with contextlib.ExitStack() as files:
            with errors_named(f"expected an image file at {path}"):
                self._count = self._open(files.enter_context(opened(path)), files)
            self._files = files.pop_all()
        self.animated = self._pages is None

    def _open(self, data, files):
        """Prepares an open file, puts what is to be closed into `files`; the number of pages."""
        if is_tiff(data):
            self._pages = tiff_pages(files.enter_context(tifffile.TiffFile(data)))
            return len(self._pages)
        try:
            self._picture = files.enter_context(Image.open(data))
        except UnidentifiedImageError:
            return 1  # `read_image` knows more kinds
        return frame_count(self._picture)

    def __len__(self):
        return self._count

    def read(self, index, tile_size=None):
        """The pixels of a page, counted from 0, of the form that `read_image` gives the first.

        Args:
            index: int.
            tile_size: int, of a page that is larger `TiffRegions` are returned, where
                `open_regions` can; or None.

        Raises:
            ValueError: it cannot be read; the message names file and page.
        """
        if tile_size is not None and not (self.animated or hasattr(self._path, "read")):
            regions = open_regions(self._path, index)
            if regions is not None and max(regions.shape[:2]) > tile_size:
                return regions
        if self._count == 1:
            return read_image(self._path)
        with errors_named(
            f"expected an image file at {self._path}, page {index + 1} of {self._count}"
        ):
            pixels = self._frame(index) if self.animated else self._page(self._pages[index])
            return np.ascontiguousarray(pixels)

    def _page(self, page):
        pixels = decode_page(page)
        if pixels is None:  # of a kind that Pillow knows better
            with opened(self._path) as data, Image.open(data) as picture:
                picture.seek(page.index)
                pixels = decode_frame(picture)
        return pixels

    def _frame(self, index):
        self._picture.seek(index)
        return decode_frame(self._picture)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._files.close()
