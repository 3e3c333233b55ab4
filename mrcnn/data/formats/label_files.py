"""Pictures whose pixels are numbers: masks, and labels of instances.

| kind | what `read_labels` returns |
| --- | --- |
| grey of 2, 4, 8, 16, 32 or 64 bits | the values as stored |
| one bit; a palette of black and white alone | 0 and 255 |
| another palette | the indices |
| colours that are grey, alpha | the grey values, without alpha |
| whole numbers as floats | integers |
| `.npy` | integers of any kind, bool, whole numbers |
| colours, fractions, numbers below 0, several pages, JPEG | ValueError |
| 16 bits with colours or alpha, of which Pillow keeps 8 | ValueError |
| white-is-zero TIFF of more than one bit, TIFF of 2, 4 or 12 bits | ValueError |

Shape legend: H, W size in pixels.
"""

import contextlib
import struct

import numpy as np
import tifffile
from PIL import Image, ImageOps

from mrcnn.image.reading import image_size, read_image

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SCALES = {2: 85, 4: 17}  # what Pillow multiplies grey of so many bits by
_LARGEST = 2**53  # up to which floats hold each whole number


def read_labels(path):
    """Reads the number of each pixel; see the table above.

    Args:
        path: str, a picture of 1, 8, 16 or 32 bits, or an array in a `.npy` file.

    Returns:
        int or uint array [H, W], none below 0.

    Raises:
        ValueError: names the file: there is none, it cannot be read, or holds no labels.
    """
    if str(path).lower().endswith(".npy"):
        labels = np.array(_open_npy(path))
        labels = labels[..., 0] if labels.ndim == 3 and labels.shape[2] == 1 else labels
    else:
        labels = _one_channel(_read_picture(path), path)
    if labels.ndim != 2 or labels.dtype.kind not in "biuf":
        raise ValueError(f"{path}: expected labels [H, W], received {labels.dtype} {labels.shape}")
    if labels.dtype.kind == "f":
        if not (np.isfinite(labels).all() and (labels == labels.round()).all()):
            raise ValueError(f"{path}: expected whole numbers as labels, received fractions")
        if np.abs(labels).max(initial=0) > _LARGEST:
            raise ValueError(f"{path}: expected labels up to 2**53, received {labels.max()}")
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "i" and labels.min(initial=0) < 0:
        raise ValueError(f"{path}: expected labels from 0 on, received {labels.min()}")
    labels = labels.astype(labels.dtype.newbyteorder("="), copy=False)
    return labels.astype(np.uint8) if labels.dtype == bool else labels


def check_size(path, size, picture):
    """Raises ValueError where a label file has not the size of its picture; decodes neither.

    Args:
        path: of the label file.
        size: (height, width) of the picture.
        picture: path of the picture, for the message.
    """
    if str(path).lower().endswith(".npy"):
        found = _open_npy(path).shape[:2]
    else:
        found = _png_size(path)
        # A PNG that is not upright has another size than its header says.
        found = found if found == tuple(size) else image_size(path)
    if tuple(found) != tuple(size):
        raise ValueError(
            f"{path}: expected the size of {picture}, {list(size)} (height, width), received "
            f"{list(found)}; draw it on the picture as a viewer shows it"
        )


def _png_size(path):
    """Height and width that the header of a PNG says; None of another file."""
    with _named(path), open(path, "rb") as opened:
        head = opened.read(24)
    if not head.startswith(_PNG) or len(head) < 24:
        return None
    return struct.unpack(">II", head[16:])[::-1]


def _open_npy(path):
    try:
        # Opened as a map: a header that lies about the size takes no memory.
        labels = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(labels, np.ndarray):
            return labels
        error = "it is an archive of several"
    except Warning:  # where warnings are errors
        raise
    except Exception as cause:
        error = cause
    raise ValueError(
        f"{path}: expected an array of labels: {error}. Of Cellpose's _seg.npy, which holds "
        "Python objects, save the masks as PNG or TIFF"
    )


@contextlib.contextmanager
def _named(path):
    """What goes wrong inside is a ValueError that names the file."""
    try:
        yield
    except Warning:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{path}: expected a picture of labels, but it cannot be read "
            f"({type(error).__name__}: {reason})"
        ) from error


def _read_picture(path):
    with _named(path), open(path, "rb") as opened:
        head = opened.read(26)
        fault = _tiff_fault(opened) if head[:4] in _TIFF else _fault(opened, head)
        labels = None if fault else _palette_labels(opened)
    if fault:
        raise ValueError(f"{path}: {fault}")
    if labels is not None:
        return labels
    grey_png = head.startswith(_PNG) and head[25] == 0
    return read_image(path) // (_SCALES.get(head[24], 1) if grey_png else 1)


def _tiff_fault(opened):
    """Why the numbers of a TIFF are no labels, or None."""
    opened.seek(0)
    with tifffile.TiffFile(opened) as file:
        page, count = file.pages[0], len(file.pages)
        if count > 1:
            return f"expected one page, received {count}; write each to a file of its own"
        if page.compression in (6, 7):
            return "expected labels, received JPEG inside a TIFF, which changes numbers"
        palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        if page.bitspersample not in (1, 8, 16, 32, 64) and not palette:
            return f"expected 8, 16 or 32 bits a pixel, received {page.bitspersample}"
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and page.bitspersample > 1:
            return (
                "expected a TIFF whose 0 is black, received one whose 0 is white: its numbers can "
                "be meant as stored or inverted; save it with black as 0"
            )
    return None


def _fault(opened, head):
    """Why the numbers of a picture are no labels, or None."""
    picture = _known(opened)
    if picture is None:
        return None
    if picture.format in ("JPEG", "MPO"):
        return "expected labels, received a JPEG, which changes numbers; save labels as PNG"
    if getattr(picture, "n_frames", 1) > 1:
        return f"expected one frame, received {picture.n_frames}; write each to its own file"
    if head.startswith(_PNG) and head[24] == 16 and head[25] != 0:
        return (
            "expected one number for each pixel, received a PNG of 16 bits with colours or alpha; "
            "save it as grey of 16 bits without alpha"
        )
    return None


def _known(opened):
    """The picture, not decoded; None of a kind that Pillow does not know."""
    opened.seek(0)
    try:
        return Image.open(opened)
    except OSError:  # `read_image` says what is wrong
        return None


def _palette_labels(opened):
    """The numbers of a picture with a palette; None of another."""
    picture = _known(opened)
    if picture is None or picture.mode != "P":
        return None
    upright = ImageOps.exif_transpose(picture)
    indices = np.array(upright)
    colors = np.array(upright.getpalette("RGB")).reshape(-1, 3)
    used = np.unique(indices)
    values = colors[used[used < len(colors)]]
    black_or_white = np.isin(values, (0, 255)).all() and (values == values[:, :1]).all()
    if black_or_white and len(values) == len(used):
        return colors[:, 0].astype(np.uint8)[indices]
    return indices


def _one_channel(labels, path):
    if labels.ndim != 3:
        return labels
    colors = labels[:, :, : -1 if labels.shape[2] in (2, 4) else None]  # without alpha
    if (colors != colors[:, :, :1]).any():
        raise ValueError(
            f"{path}: expected one number for each pixel, received colours; give each colour a "
            "number, and save them as grey of 8 or 16 bits"
        )
    return colors[:, :, 0]
