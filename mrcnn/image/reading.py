"""Picture files as a viewer shows them: by their content, whatever their suffix.

| kind | what `read_image` returns |
| --- | --- |
| turned by EXIF or TIFF's orientation | upright |
| palette, CMYK, YCbCr | RGB |
| one bit | 0 and 255 |
| white-is-zero TIFF | black-is-zero |
| 16 bits a sample, float | as stored; of colours in a 16-bit PNG the upper 8 bits |
| alpha | kept; `to_model_image` drops it |
| several pages or frames | the first; a warning says how many there are |
| truncated, empty, not a picture | ValueError |

Shape legend: H, W size in pixels; C channels.
"""

import os
import warnings

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError
from skimage import io

from mrcnn.image.pixels import is_first

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
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_image(path, owner=None):
    """Reads a picture file, or a URL, as a viewer shows it; see the table above.

    Args:
        path: str or path.
        owner: whose picture it is, see `mrcnn.image.to_model_image`: of all its files only the
            first with several pages warns.

    Returns:
        Array `[H, W]` or `[H, W, C]` of the file's type.

    Raises:
        ValueError: there is no such file, or it cannot be read as a picture.
    """
    path = os.fspath(path)
    try:
        if "://" in path:
            return io.imread(path)
        image = _read_tiff(path, owner) if _is_tiff(path) else None
        return np.ascontiguousarray(_read_any(path, owner) if image is None else image)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"expected an image file at {path}, but it cannot be read "
            f"({type(error).__name__}: {reason})"
        ) from error


def _is_tiff(path):
    with open(path, "rb") as file:
        return file.read(4) in _TIFF


def _read_tiff(path, owner):
    """The first page, where it is grey or RGB and tifffile can decode it; else None."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        grey = page.photometric in (
            tifffile.PHOTOMETRIC.MINISBLACK,
            tifffile.PHOTOMETRIC.MINISWHITE,
        )
        if not grey and page.photometric != tifffile.PHOTOMETRIC.RGB:
            return None
        try:
            image = page.asarray()
        except ValueError:  # a compression that needs a package more; Pillow knows some of them
            return None
        _warn_of_pages(path, len(file.pages), owner)
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and image.ndim == 3:
            image = np.moveaxis(image, 0, -1)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and image.dtype.kind in "ub":
            image = ~image
        if image.dtype == bool:
            image = image.astype(np.uint8) * 255
        turn = _TURNS.get(int(page.tags.valueof(_ORIENTATION, 1)))
        return turn(image) if turn else image


def _read_any(path, owner):
    try:
        file = Image.open(path)
    except UnidentifiedImageError:
        return io.imread(path)  # a format of another of its plugins, or an error
    with file:
        if file.format != "MPO":  # a phone's JPEG, with a thumbnail or a depth map inside
            _warn_of_pages(path, getattr(file, "n_frames", 1), owner)
        deep = _is_16_bit_color_png(path)
        image = ImageOps.exif_transpose(file)
        mode = _MODES.get(image.mode, image.mode)
        if image.mode in ("P", "PA"):
            mode = "RGBA" if image.has_transparency_data else "RGB"
        pixels = np.array(image if image.mode == mode else image.convert(mode))
    # Upper halves as 16 bits again: `to_model_image` tells whether they use their range.
    return pixels.astype(np.uint16) * 257 if deep else pixels


def _is_16_bit_color_png(path):
    with open(path, "rb") as file:
        head = file.read(26)
    return head.startswith(b"\x89PNG") and head[24] == 16 and head[25] in (2, 6)


def _warn_of_pages(path, count, owner):
    if count > 1 and is_first(owner, "pages"):
        warnings.warn(
            f"{path} has {count} pages or frames; the first is taken. Write the others to files of "
            "their own to use them.",
            stacklevel=4,
        )


def image_size(path):
    """Height and width of a picture as `read_image` returns it, without decoding most kinds.

    Raises:
        ValueError: there is no such file, or it cannot be read as a picture.
    """
    try:
        if _is_tiff(path):
            with tifffile.TiffFile(path) as file:
                page = file.pages[0]
                height, width = page.imagelength, page.imagewidth
                turned = page.tags.valueof(_ORIENTATION, 1) >= 5
        else:
            with Image.open(path) as file:
                width, height = file.size
                turned = file.getexif().get(_ORIENTATION, 1) >= 5
    except Exception:  # of a kind that neither knows, or an error that says more
        return read_image(path).shape[:2]
    return (width, height) if turned else (height, width)
