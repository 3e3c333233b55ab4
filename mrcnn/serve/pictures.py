"""Encoded pictures of strangers, decoded within limits.

A file of some kilobytes can say that it is 60000 pixels wide, and a decoder believes it. Here the
size is read from the header first. Only kinds are taken whose decoders stop at that size: Pillow
also opens PostScript, which is a program, and TIFF's compressed strips may hold more than they say.
"""

import io
import threading
import warnings
import zlib

import numpy as np
import tifffile
from PIL import Image

from mrcnn.image.reading import is_tiff, read_image, tiff_pages
from mrcnn.serve.errors import RequestError, shown

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM")
KINDS = "JPEG, PNG, WebP, GIF, BMP, PNM, or TIFF that is not compressed or by deflate"
_PIXEL_BYTES = 16  # of a TIFF's channels together, at most: four floats
_DEFLATE = (tifffile.COMPRESSION.ADOBE_DEFLATE, tifffile.COMPRESSION.DEFLATE)
_filters = threading.Lock()  # Python's filters of warnings are one list for all threads


def load_images(items, limits):
    """The pictures of a request, each an array or the error that it has instead of one.

    Args:
        items: list of bytes (an encoded picture), arrays [H, W] or [H, W, C], and `RequestError`s.
        limits: `Limits`.

    Returns:
        list of arrays and `RequestError`s.

    Raises:
        RequestError: no pictures, or together more than the limits.
    """
    if not 1 <= len(items) <= limits.images:
        raise RequestError(
            413 if items else 400,
            f"expected 1 to {limits.images} images in a request, received {len(items)}; "
            + ("send them in several requests" if items else "add one"),
        )
    sizes = [_checked_size(item, f"images[{i}]", limits) for i, item in enumerate(items)]
    total = sum(size[0] * size[1] for size in sizes if not isinstance(size, RequestError))
    if total > limits.request_pixels:
        raise RequestError(
            413,
            f"expected at most {limits.request_pixels} pixels in the images of a request together, "
            f"received {total}; send them in several requests",
        )
    return [
        size if isinstance(size, RequestError) else _decoded(item, f"images[{i}]")
        for i, (item, size) in enumerate(zip(items, sizes, strict=True))
    ]


def _checked_size(item, name, limits):
    """Height and width of a picture within the limits, or a `RequestError`."""
    if isinstance(item, RequestError):
        return item
    try:
        height, width = item.shape[:2] if hasattr(item, "shape") else encoded_size(item, limits)
    except RequestError as error:
        return RequestError(error.status, f"{name}: {error.message}")
    except Exception as error:  # whatever a decoder says of bytes that are no picture
        return RequestError(400, _unreadable(name, item, error))
    if not 1 <= height * width <= limits.pixels:
        return RequestError(
            413 if height * width else 400,
            f"{name}: expected 1 to {limits.pixels} pixels, received {height} x {width}; "
            "make the picture smaller, or start the server with a larger --max-pixels",
        )
    return height, width


def _decoded(item, name):
    if hasattr(item, "shape"):
        return item
    try:
        # Of all pictures only the first of several pages warns.
        return read_image(io.BytesIO(item), owner=_decoded)
    except Exception as error:
        return RequestError(400, _unreadable(name, item, error))


def _unreadable(name, data, error):
    reason = str(error).strip().split("\n")[0]
    return (
        f"{name}: expected an encoded picture ({KINDS}), received {len(data)} bytes that begin "
        f"with {shown(bytes(data[:12]))} and cannot be read ({type(error).__name__}: {reason}); "
        "send the bytes of the file as they are"
    )


def encoded_size(data, limits):
    """Height and width that the header of an encoded picture says, before it is decoded.

    Raises:
        RequestError: a TIFF that holds more than its header says, or of another compression.
        Exception: whatever the decoders raise where it is no picture.
    """
    if is_tiff(io.BytesIO(data)):
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return _tiff_size(tiff_pages(file)[0], data, limits)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data)  # whose decoder makes its canvas when it is opened
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                return picture.height, picture.width
        except Image.DecompressionBombError as error:
            raise RequestError(
                413,
                f"expected 1 to {limits.pixels} pixels, received more ({error}); make the picture "
                "smaller",
            ) from None


def _webp_size(data):
    kind, number = data[12:16], int.from_bytes
    if kind == b"VP8X":
        return number(data[27:30], "little") + 1, number(data[24:27], "little") + 1
    if kind == b"VP8L":
        bits = number(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        return number(data[28:30], "little") & 0x3FFF, number(data[26:28], "little") & 0x3FFF
    raise ValueError(f"a WebP of the kind {kind!r}")


def _tiff_size(page, data, limits):
    if page.nbytes > _PIXEL_BYTES * limits.pixels:
        raise RequestError(
            413,
            f"expected a TIFF of at most {_PIXEL_BYTES * limits.pixels} bytes when decoded, "
            f"received one of {page.nbytes}; make the picture smaller",
        )
    if page.compression in _DEFLATE:
        _check_segments(page, data)
    elif page.compression != tifffile.COMPRESSION.NONE:
        raise RequestError(
            400,
            f"expected {KINDS}, received a TIFF compressed by {page.compression.name}; "
            "save it as PNG",
        )
    return page.imagelength, page.imagewidth


def _check_segments(page, data):
    """Raises RequestError where a strip or tile decompresses to more than its pixels."""
    expected = int(np.prod(page.chunks)) * page.dtype.itemsize
    for start, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        segment = data[start : start + size]
        if len(zlib.decompressobj().decompress(segment, expected + 1)) > expected:
            raise RequestError(
                413,
                f"expected strips or tiles of {expected} bytes when decompressed, as the TIFF's "
                "header says, received one that holds more; save it as PNG",
            )
