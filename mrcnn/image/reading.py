"""Picture files as a viewer shows them: by their content, whatever their suffix.

| kind | what `read_image` returns |
| --- | --- |
| turned by EXIF or TIFF's orientation | upright |
| palette, CMYK, YCbCr | RGB; colour profiles are not applied |
| one bit | 0 and 255 |
| white-is-zero TIFF of unsigned samples | black-is-zero |
| 16 bits a sample, float | as stored; of a 16-bit PNG with colours or alpha the upper 8 bits |
| alpha | kept; `to_model_image` drops it |
| an array of NumPy (.npy), grey or with the channels last | as stored |
| several pages or frames | the first; a warning says how many there are. `PageReader` has all |
| truncated, empty, of a kind that neither Pillow nor tifffile knows | ValueError |

When several pages or files are the channels of one picture, says `mrcnn.image.channels`.

Shape legend: H, W size in pixels; C channels.
"""

import contextlib
import io
import urllib.request
import warnings

import numpy as np
import tifffile
from PIL import Image, ImageOps

from mrcnn.files.remote import errors_of, file_system, is_remote, without_file_scheme
from mrcnn.image.pixels import is_first

# By which pictures in folders are known. `read_image` goes by the content.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".gif", ".tif", ".tiff", ".bmp", ".dib"),
    *(".webp", ".avif", ".heic", ".heif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
)

# What Pillow's modes become: those that are not listed stay as they are.
_MODES = {"1": "L", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "RGBX": "RGB"}
_ORIENTATION = 274  # the tag of EXIF and TIFF
# How a picture with that orientation is brought upright.
_TURNS = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}
_NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_image(file, owner=None):
    """Reads a picture as a viewer shows it; see the table above.

    Args:
        file: path, URL (http, or what fsspec knows: s3, gs, ...), or a binary file that is open.
        owner: whose picture it is, see `mrcnn.image.to_model_image`: of all its files only the
            first with several pages warns.

    Returns:
        Array `[H, W]` or `[H, W, C]` of the file's type.

    Raises:
        ValueError: there is no such file, or it cannot be read as a picture.
    """
    name = getattr(file, "name", file)
    with errors_named(f"expected an image file at {name}"), opened(file) as data:
        if _is_npy(data):
            return np.ascontiguousarray(np.load(data, allow_pickle=False))
        image = _read_tiff(data, file, owner) if is_tiff(data) else None
        return np.ascontiguousarray(_read_any(data, file, owner) if image is None else image)


@contextlib.contextmanager
def errors_named(expected):
    """Whatever goes wrong with a file is a ValueError that says what was expected, and names it."""
    try:
        yield
    except Warning:  # where warnings are errors
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{expected}, but it cannot be read ({type(error).__name__}: {reason})"
        ) from error


@contextlib.contextmanager
def opened(file):
    """A picture file as a binary file that is open; a remote one is read whole.

    Args:
        file: as of `read_image`.
    """
    if hasattr(file, "read"):
        yield file
    elif not is_remote(file):
        with open(without_file_scheme(file), "rb") as data:
            yield data
    elif str(file).startswith(("http://", "https://")):
        with urllib.request.urlopen(str(file)) as answer:
            yield io.BytesIO(answer.read())
    else:
        system, place = file_system(file)
        with errors_of(file):
            content = system.cat_file(place)
        yield io.BytesIO(content)


def _head(data, size):
    data.seek(0)
    head = data.read(size)
    data.seek(0)
    return head


def is_tiff(data):
    """Whether an open file is a TIFF; afterwards it stands at its start."""
    return _head(data, 4) in _TIFF


def _is_npy(data):
    return _head(data, 6) == _NPY


def _read_tiff(data, file, owner):
    """The first page, where tifffile can decode it; else None."""
    with tifffile.TiffFile(data) as tiff:
        pages = tiff_pages(tiff)
        image = decode_page(pages[0])
        if image is not None:
            warn_of_pages(file, len(pages), owner)
        return image


def tiff_pages(tiff):
    """The pages of an open `tifffile.TiffFile` without the small copies of others."""
    if len(tiff.pages) == 1:
        return [tiff.pages[0]]
    return [page for page in tiff.pages if not page.is_reduced] or [tiff.pages[0]]


def decode_page(page):
    """The pixels of a page that is grey or RGB and that tifffile can decode; else None."""
    white_is_zero = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    black_is_zero = page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
    if not (white_is_zero or black_is_zero or page.photometric == tifffile.PHOTOMETRIC.RGB):
        return None
    if page.bitspersample not in (1, 8, 16, 32, 64):  # Pillow brings these to 8 bits
        return None
    try:
        image = page.asarray()
    except (NotImplementedError, ValueError):
        return None  # a compression that needs a package more; Pillow knows some of them
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and image.ndim == 3:
        image = np.moveaxis(image, 0, -1)
    if white_is_zero and image.dtype.kind in "ub":
        grey = image[..., :1] if page.samplesperpixel > 1 else image  # alpha stays
        grey[...] = ~grey
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    turn = _TURNS.get(int(page.tags.valueof(_ORIENTATION, 1)))
    return turn(image) if turn else image


def _read_any(data, file, owner):
    deep = _is_deep_png(data)
    data.seek(0)
    picture = Image.open(data)
    warn_of_pages(file, frame_count(picture), owner)
    pixels = decode_frame(picture)
    # Upper halves as 16 bits again: `to_model_image` tells whether they use their range.
    return pixels.astype(np.uint16) * 257 if deep else pixels


def frame_count(picture):
    """How many frames a picture that Pillow opened has."""
    # MPO: a phone's JPEG, with a thumbnail or a depth map inside.
    return 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)


def decode_frame(picture):
    """The pixels of the frame at which a picture that Pillow opened stands."""
    image = ImageOps.exif_transpose(picture)
    mode = _MODES.get(image.mode, image.mode)
    if image.mode in ("P", "PA"):
        mode = "RGBA" if image.has_transparency_data else "RGB"
    return np.array(image if image.mode == mode else image.convert(mode))


def _is_deep_png(data):
    """Whether it is a PNG of 16 bits in several channels, of which Pillow keeps 8."""
    head = _head(data, 26)
    return head.startswith(b"\x89PNG") and head[24] == 16 and head[25] in (2, 4, 6)


def warn_of_pages(file, count, owner):
    """Warns where a file has several pages, of which only the first is taken; see `read_image`."""
    if count > 1 and is_first(owner, "pages"):
        warnings.warn(
            f"{getattr(file, 'name', file)} has {count} pages or frames; the first is taken. Write "
            "the others to files of their own to use them, or set IMAGE_PAGES = 'channels' where "
            "they are one picture's channels.",
            stacklevel=4,
        )


def image_size(path):
    """Height and width of a picture as `read_image` returns it, without decoding JPEG and TIFF.

    Raises:
        ValueError: there is no such file, or it cannot be read as a picture.
    """
    try:
        with opened(path) as data:
            if is_tiff(data):
                with tifffile.TiffFile(data) as file:
                    page = file.pages[0]
                    height, width = page.imagelength, page.imagewidth
                    orientation = page.tags.valueof(_ORIENTATION, 1)
            elif _is_npy(data):
                return np.load(path, mmap_mode="r", allow_pickle=False).shape[:2]
            else:
                file = Image.open(data)
                width, height = file.size
                orientation = file.getexif().get(_ORIENTATION, 1)
    except Exception:  # of a kind that neither knows, or an error that says more
        return read_image(path).shape[:2]
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)
