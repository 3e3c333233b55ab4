"""Which channels a picture has: those of one file, of its pages, or of several files.

C is IMAGE_CHANNEL_COUNT. The first rule that holds decides:

| a picture of | its channels |
| --- | --- |
| IMAGE_CHANNEL_FILES: several files | those of all files, in this order; an alpha channel is left out where they are C only without |
| IMAGE_PAGES "channels": a file of several pages | those of all pages, in order |
| IMAGE_PAGES "auto": a file of several pages of which one has not C channels | the same; not for frames of an animation |
| any other file | those of the first page, as `mrcnn.image.to_model_image` brings them to C |

With C = 3 and C = 1 every grey or colour page has C channels, for `to_model_image` repeats grey and
mixes colours: their pages are channels only if IMAGE_PAGES says so. Whatever does not come to C is
an error that says what the file has.

Shape legend: H, W size in pixels; C channels.
"""  # noqa: E501

import dataclasses
import os
from pathlib import Path

import numpy as np

from mrcnn.image.pages import PageReader
from mrcnn.image.pixels import accepts, on_model_scale, to_model_image
from mrcnn.image.reading import SUFFIXES, read_image
from mrcnn.image.regions import CACHE, open_regions

_SUFFIXES = (*SUFFIXES, ".npy")


@dataclasses.dataclass(frozen=True)
class Channels:
    """How many channels a picture has, and where they lie; see the rules above.

    Attributes:
        count: int, IMAGE_CHANNEL_COUNT.
        files: IMAGE_CHANNEL_FILES, a text for each further file of a picture: what its name has
            behind that of the picture, before the suffix, or its folder from that of the picture
            on, or both: "_depth", "../depth/", "../depth/_d".
        pages: IMAGE_PAGES, "auto", "channels" or "pictures".

    Example:

    >>> Channels(4, files=("_depth",)).read("a.png").shape  # doctest: +SKIP
    (480, 640, 4)
    """

    count: int = 3
    files: tuple = ()
    pages: str = "auto"

    @classmethod
    def of(cls, value):
        """From an int, or from `mrcnn.settings.Image`."""
        if isinstance(value, cls):
            return value
        if isinstance(value, int):
            return cls(value)
        return cls(value.channels, value.channel_files, value.pages)

    def read(self, path, name=None, owner=None):
        """Reads a picture from its files or pages, as the model takes it.

        Args:
            path: of its first file.
            name: str, what an error calls it; by default the path.
            owner: see `mrcnn.image.to_model_image`.

        Returns:
            Array `[H, W, C]`, uint8 or float32; see `to_model_image`.

        Raises:
            ValueError: a file is missing or cannot be read, or their channels are not C.
        """
        name = os.fspath(path) if name is None else name
        if self.files:
            paths = [os.fspath(path), *self.further(path)]
            return self._joined([(each, read_image(each, owner)) for each in paths], name)
        if self.pages == "channels" or self.count not in (1, 3):
            with PageReader(path) as pages:
                if self.stacks(pages):
                    return self.stack(pages, name)
        return to_model_image(read_image(path, owner), self.count, name, owner)

    def stacks(self, pages):
        """Whether the pages of a file, a `PageReader`, are the channels of one picture.

        Raises:
            ValueError: its first page cannot be read.
        """
        if len(pages) == 1 or self.pages == "pictures" or self.files:
            return False
        if self.pages == "channels":
            return True
        # By regions, where that goes, nothing of the page is read yet.
        return not pages.animated and not accepts(_count(pages.read(0, tile_size=0)), self.count)

    def stack(self, pages, name):
        """The pages of a file, a `PageReader`, as the channels of a picture; see `read`."""
        read = [(f"page {i + 1}", pages.read(i)) for i in range(len(pages))]
        return self._joined(read, name)

    def stack_regions(self, pages, path):
        """As `stack`, by regions: `PageRegions`; None where the pages must be read whole."""
        cache = CACHE // len(pages)
        read = [open_regions(path, i, cache) for i in range(len(pages))]
        if None in read or len({x.shape[:2] for x in read}) > 1:
            return None
        return PageRegions(read, self, os.fspath(path))

    def open_regions(self, path):
        """Opens a picture to read regions of it, which then are as `read_image` has them.

        Args:
            path: of a file.

        Returns:
            `mrcnn.image.TiffRegions`, or `PageRegions` where its pages are channels; None for what
            is read whole: what `mrcnn.image.open_regions` says, and pictures of several files.
        """
        regions = None if self.files else open_regions(path)
        if regions is None or regions.pages == 1:
            return regions
        with PageReader(path) as pages:
            return self.stack_regions(pages, path) if self.stacks(pages) else regions

    def further(self, path):
        """Paths of the further files of a picture.

        Raises:
            ValueError: one is not there, or there are several.
        """
        return [_further(Path(path), place) for place in self.files]

    def is_further(self, path):
        """Whether a file is a further one of another picture that lies beside it."""
        path = Path(path)
        for place in self.files:
            folder, ending = os.path.split(place)
            stem = path.stem.removesuffix(ending)
            if not folder and ending and stem != path.stem and _found(path.parent, stem):
                return True
        return False

    def _joined(self, parts, name):
        """Pixels of several (what, array) as one picture."""
        shapes = ", ".join(f"{what}: {list(image.shape)}" for what, image in parts[:8])
        shapes += f", ... {len(parts)} in all" if len(parts) > 8 else ""
        if len({image.shape[:2] for _, image in parts}) > 1:
            raise ValueError(
                f"{name}: expected files or pages of one height and width, received {shapes}. "
                "Resize them to that of the first, on which the annotations lie."
            )
        images = [x if x.ndim == 3 else x[:, :, None] for _, x in parts]  # (H, W) -> (H, W, 1)
        if sum(map(_count, images)) != self.count:
            images = [x[:, :, :-1] if _count(x) in (2, 4) else x for x in images]
        found = sum(map(_count, images))
        if found != self.count:
            raise ValueError(
                f"{name}: expected IMAGE_CHANNEL_COUNT = {self.count} channels, received {found} "
                f"({shapes}). Set IMAGE_CHANNEL_COUNT = {found} with MEAN_PIXEL and STD_PIXEL of "
                "`mrcnn stats`, or IMAGE_PAGES = 'pictures' where each page is a picture of its "
                "own."
            )
        scaled = [
            on_model_scale(image, f"{name}, {what}")
            for image, (what, _) in zip(images, parts, strict=True)
        ]
        return np.concatenate(scaled, axis=2)  # uint8 beside float32 becomes float32


class PageRegions:
    """Pages that are the channels of one picture, of which only what is asked for is decoded.

    `picture[y1:y2, x1:x2]` is what `Channels.stack` has there, `[h, w, C]` of uint8 or float32.

    Args:
        pages: list of `mrcnn.image.TiffRegions` of one height and width.
        channels: `Channels`.
        name: str, what an error calls the picture.

    Raises:
        ValueError: their channels are not C.
    """

    ndim = 3
    pages = 1  # pictures, as of `TiffRegions`

    def __init__(self, pages, channels, name):
        self._pages, self._channels, self._name = pages, channels, name
        first = self[:1, :1]
        self.shape, self.dtype = (*pages[0].shape[:2], first.shape[2]), first.dtype

    def __getitem__(self, key):
        parts = [(f"page {i + 1}", page[key]) for i, page in enumerate(self._pages)]
        return self._channels._joined(parts, self._name)

    def __array__(self, dtype=None, copy=None):
        return self[:, :].astype(dtype or self.dtype, copy=False)


def _count(image):
    return image.shape[2] if image.ndim == 3 else 1


def _further(path, place):
    folder, ending = os.path.split(place)
    folder = Path(os.path.normpath(path.parent / folder))
    found = _found(folder, path.stem + ending, but=path)
    if len(found) != 1:
        pattern = folder / f"{path.stem}{ending}.*"
        what = ", ".join(x.name for x in found) or "none"
        raise ValueError(
            f"{path}: expected one file {pattern} as IMAGE_CHANNEL_FILES has {place!r}, found "
            f"{what}. Put it there, or correct IMAGE_CHANNEL_FILES."
        )
    return str(found[0])


def _found(folder, stem, but=None):
    """The pictures of a folder with a stem, except one."""
    names = (f"{stem}{suffix}" for x in _SUFFIXES for suffix in (x, x.upper()))
    return [path for name in names if (path := folder / name).is_file() and path != but]
