"""Large pictures read region by region.

Shape legend: H, W size in pixels; C channels. A region is `y1, x1, y2, x2` in pixels, half-open.
"""

import collections
import io
import itertools
import threading

import numpy as np
import tifffile
from PIL import Image

from mrcnn.image.pixels import to_model_image
from mrcnn.image.reading import errors_named, is_tiff, tiff_pages

CACHE = 2**25  # bytes of decoded pieces that are kept, by default
_LARGEST_PIECE = 2**26  # bytes: a file of larger pieces is read whole
_ORIENTATION = 274
_JPEG = 7


def open_regions(path, page=0, cache=CACHE):
    """Opens a picture whose regions can be decoded without the rest of it.

    Args:
        path: of a TIFF in tiles, in strips, or uncompressed; of a pyramid the full size is read.
        page: int, counted from 0; small copies of others do not count.
        cache: int, bytes of decoded pieces that are kept.

    Returns:
        `TiffRegions`; None for what must be decoded whole: other kinds of files, a TIFF in one
        compressed piece, turned ones, palettes, and compressions that need a package more.
    """
    try:
        return TiffRegions(path, page, cache)
    except (OSError, ValueError, IndexError, NotImplementedError, tifffile.TiffFileError):
        return None


class TiffRegions:
    """A page of a TIFF as an array of which only what is asked for is decoded.

    `picture[y1:y2, x1:x2]` is a NumPy array `[h, w]` or `[h, w, C]`, also where each channel is a
    plane of its own. The file is opened for each
    reading, so that threads may share it.

    Args:
        path, page, cache: as of `open_regions`.

    Attributes:
        shape: (H, W) or (H, W, C).
        dtype: of the samples.
        pages: int, how many the file has, small copies left out.

    Raises:
        ValueError: it cannot be read by regions; later, a region that is damaged.
    """

    def __init__(self, path, page=0, cache=CACHE):
        self.path, self.page, self._cache = path, page, cache
        self._pieces, self._kept, self._lock = collections.OrderedDict(), 0, threading.Lock()
        with open(path, "rb") as opened:
            if not is_tiff(opened):
                raise ValueError("no TIFF")
            with tifffile.TiffFile(opened) as tiff:
                pages = tiff_pages(tiff)
                self.pages = len(pages)
                self._prepare(pages[page], tiff.byteorder)
        self[:1, :1]  # a compression that cannot be decoded says so now

    def _prepare(self, page, byteorder):
        kinds, samples = tifffile.PHOTOMETRIC, page.samplesperpixel
        self._jpeg = page.compression == _JPEG and page.bitspersample == 8
        shown = [kinds.MINISBLACK, kinds.MINISWHITE, kinds.RGB]
        if page.photometric not in shown + [kinds.YCBCR] * self._jpeg:
            raise ValueError("its pixels are no grey and no RGB")
        if page.bitspersample not in (8, 16, 32, 64) or page.imagedepth > 1:
            raise ValueError("samples of another size")
        if page.tags.valueof(_ORIENTATION, 1) != 1:
            raise ValueError("it is turned")
        apart = samples > 1 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        self._planes = samples if apart else 1
        height, width = page.imagelength, page.imagewidth
        self.shape = (height, width) if samples == 1 else (height, width, samples)
        self._depth = self.shape[2:] if self._planes == 1 else ()  # of what lies together
        self.dtype = np.dtype(page.dtype)
        self._inverted = page.photometric == kinds.MINISWHITE and self.dtype.kind in "ub"
        self._start = page.dataoffsets[0] if page.is_final else None
        self._stored = self.dtype.newbyteorder(byteorder)
        self._sides = (page.tilelength, page.tilewidth)
        if not page.is_tiled:
            self._sides = (min(page.rowsperstrip, height), width)
        if self._start is None and self._bytes_of(self._sides) > _LARGEST_PIECE:
            raise ValueError("its pieces are too large")
        self._offsets, self._counts = page.dataoffsets, page.databytecounts
        self._decode, self._tables = page.decode, page.jpegtables
        self._transform = int(page.photometric == kinds.YCBCR)

    def _bytes_of(self, sides):
        return int(np.prod([*sides, *self._depth], dtype=float)) * self.dtype.itemsize

    def __reduce__(self):
        return type(self), (self.path, self.page, self._cache)

    @property
    def ndim(self):
        return len(self.shape)

    def __array__(self, dtype=None, copy=None):
        return self[:, :].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key):
        (y1, y2, _), (x1, x2, _) = (
            part.indices(side) for part, side in zip(key, self.shape, strict=False)
        )
        region = np.zeros((max(0, y2 - y1), max(0, x2 - x1), *self.shape[2:]), self.dtype)
        name = f"expected an image file at {self.path}, region {y1} {x1} {y2} {x2}"
        with errors_named(name), open(self.path, "rb") as file:
            if self._start is not None:
                self._read_rows(file, region, y1, x1)
            else:
                self._read_pieces(file, region, (y1, x1, y2, x2))
        if self._inverted:
            grey = region[..., :1] if region.ndim == 3 else region  # alpha stays
            grey[...] = ~grey
        return region

    def _read_rows(self, file, region, top, left):
        """Fills a region from a file whose rows follow one another as they are."""
        pixel = self._bytes_of((1, 1))
        for plane, part in enumerate(self._planes_of(region)):
            start = self._start + plane * self.shape[0] * self.shape[1] * pixel
            for i, row in enumerate(part):
                file.seek(start + ((top + i) * self.shape[1] + left) * pixel)
                read = np.frombuffer(file.read(row.size * self.dtype.itemsize), self._stored)
                row[...] = read.reshape(row.shape)

    def _read_pieces(self, file, region, box):
        """Fills a region from the tiles or strips that it meets."""
        (height, width), (y1, x1, y2, x2) = self._sides, box
        rows, columns = -(-self.shape[0] // height), -(-self.shape[1] // width)
        planes = self._planes_of(region)
        for plane, row, column in itertools.product(
            range(len(planes)),
            range(y1 // height, -(-y2 // height)),
            range(x1 // width, -(-x2 // width)),
        ):
            piece = self._piece(file, (plane * rows + row) * columns + column)
            if piece is None:  # nothing was stored: zeros
                continue
            top, left = max(y1, row * height), max(x1, column * width)
            part = piece[top - row * height : y2 - row * height]
            part = part[:, left - column * width : x2 - column * width]
            bottom, right = top - y1 + part.shape[0], left - x1 + part.shape[1]
            planes[plane][top - y1 : bottom, left - x1 : right] = part

    def _planes_of(self, region):
        """What of a region lies together in the file: all of it, or each channel."""
        return [region] if self._planes == 1 else list(np.moveaxis(region, -1, 0))

    def _piece(self, file, index):
        """A decoded tile or strip, [h, w] or [h, w, C]; None where the file has none."""
        with self._lock:
            if index in self._pieces:
                self._pieces.move_to_end(index)
                return self._pieces[index]
        if not self._counts[index]:
            return None
        file.seek(self._offsets[index])
        data = file.read(self._counts[index])
        if self._jpeg:
            piece = _decode_jpeg(data, self._tables, self._transform)
        else:
            piece = self._decode(data, index)[0][0]  # without depth
        piece = piece.reshape(*piece.shape[:2], *self._depth)
        with self._lock:
            if index not in self._pieces:  # else another thread was faster
                self._pieces[index] = piece
                self._kept += piece.nbytes
            while self._kept > self._cache and len(self._pieces) > 1:
                self._kept -= self._pieces.popitem(last=False)[1].nbytes
        return piece


def _decode_jpeg(data, tables, transform):
    """A piece in JPEG, whose tables the page keeps for all of them.

    Args:
        transform: int, 1 where its samples are YCbCr, 0 where they are RGB, which the piece itself
            does not tell.
    """
    tables = tables[2:-2] if tables else b""
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
    with Image.open(io.BytesIO(data[:2] + adobe + tables + data[2:])) as picture:
        return np.asarray(picture)


class ModelRegions:
    """A picture that is read by regions, each in the form that the model takes.

    Args:
        regions: `TiffRegions` or `mrcnn.image.channels.PageRegions`.
        channels, name, owner: see `mrcnn.image.to_model_image`.

    Raises:
        ValueError: now or when a region is read, see there.
    """

    def __init__(self, regions, channels=3, name="image", owner=None):
        self._regions, self._options = regions, (channels, name, owner)
        first = self[:1, :1]
        self.shape, self.dtype = (*regions.shape[:2], first.shape[2]), first.dtype

    def __getitem__(self, key):
        return to_model_image(self._regions[key], *self._options)

    def __array__(self, dtype=None, copy=None):
        return self[:, :].astype(dtype or self.dtype, copy=False)


def reduced_picture(image, largest):
    """A picture made smaller by a whole factor, in the memory of some of its rows.

    Args:
        image: array `[H, W]` or `[H, W, C]`, `TiffRegions` or `ModelRegions`.
        largest: int, the side that the result has at most.

    Returns:
        The picture, each pixel the mean of a block, or as it is where it is small enough; and the
        factor.
    """
    height, width = image.shape[:2]
    factor = -(-max(height, width) // largest)
    if factor == 1:
        return np.asarray(image), 1
    columns = np.arange(0, width, factor)
    counts = np.minimum(columns + factor, width) - columns
    rows = []
    for top in range(0, height, factor):
        block = np.asarray(image[top : top + factor, 0:width])
        sums = np.add.reduceat(block.sum(axis=0, dtype=np.float64), columns, axis=0)
        mean = sums / (len(block) * counts.reshape(-1, *[1] * (sums.ndim - 1)))
        rows.append((mean if block.dtype.kind == "f" else np.rint(mean)).astype(image.dtype))
    return np.stack(rows), factor
