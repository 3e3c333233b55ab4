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

import struct

import numpy as np
import tifffile
from PIL import Image, ImageOps

from mrcnn.image.reading import errors_named, image_size, read_image

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG = (6, 7)  # TIFF's numbers of its compressions
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
        labels = labels.astype(np.float64)
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
        found = _stored_size(path)
        found = found if found == tuple(size) else image_size(path)  # which turns it upright
    if tuple(found) != tuple(size):
        raise ValueError(
            f"{path}: expected the size of {picture}, {list(size)} (height, width), received "
            f"{list(found)}; draw it on the picture as a viewer shows it"
        )


def _stored_size(path):
    """Height and width that the header of a picture says, upright or not."""
    with _named(path), open(path, "rb") as opened:
        head = opened.read(24)
        if head.startswith(_PNG):
            return struct.unpack(">II", head[16:])[::-1]
        if head[:4] in _TIFF:
            return image_size(path)
        return Image.open(opened).size[::-1]


def _open_npy(path):
    try:
        # Opened as a map: a header that lies about the size takes no memory.
        labels = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(labels, np.ndarray):
            return labels
        labels.close()
        error = "it is an archive of several"
    except Warning:  # where warnings are errors
        raise
    except Exception as cause:
        error = cause
    raise ValueError(
        f"{path}: expected an array of labels: {error}. Of Cellpose's _seg.npy, which holds "
        "Python objects, save the masks as PNG or TIFF"
    )


def _named(path):
    return errors_named(f"{path}: expected a picture of labels")


def _read_picture(path):
    with _named(path), open(path, "rb") as opened:
        head = opened.read(26)
        opened.seek(0)
        fault, has_palette = _tiff_facts(opened) if head[:4] in _TIFF else _facts(opened, head)
        labels = _palette_labels(opened) if has_palette and not fault else None
    if fault:
        raise ValueError(f"{path}: {fault}")
    if labels is not None:
        return labels
    labels = read_image(path)
    few_bits = head.startswith(_PNG) and head[25] == 0 and head[24] in _SCALES
    return labels // _SCALES[head[24]] if few_bits else labels


def _tiff_facts(opened):
    """Why the numbers of a TIFF are no labels, or None; and whether it has a palette."""
    with tifffile.TiffFile(opened) as file:
        page, count = file.pages[0], len(file.pages)
        bits, kind = page.bitspersample, page.photometric
        has_palette, fault = kind == tifffile.PHOTOMETRIC.PALETTE, None
        if count > 1:
            fault = f"expected one page, received {count}; write each to a file of its own"
        elif page.compression in _JPEG:
            fault = "expected labels, received JPEG inside a TIFF, which changes numbers"
        elif bits not in (1, 8, 16, 32, 64) and not has_palette:
            fault = f"expected 8, 16 or 32 bits a pixel, received {bits}; save it as one of these"
        elif kind == tifffile.PHOTOMETRIC.MINISWHITE and bits > 1:
            fault = (
                "expected a TIFF whose 0 is black, received one whose 0 is white: its numbers can "
                "be meant as stored or inverted; save it with black as 0"
            )
    return fault, has_palette


def _facts(opened, head):
    """Why the numbers of a picture are no labels, or None; and whether it has a palette."""
    picture, fault = Image.open(opened), None
    if picture.format in ("JPEG", "MPO"):
        fault = "expected labels, received a JPEG, which changes numbers; save labels as PNG"
    elif getattr(picture, "n_frames", 1) > 1:
        fault = f"expected one frame, received {picture.n_frames}; write each to a file of its own"
    elif head.startswith(_PNG) and head[24] == 16 and head[25] != 0:
        fault = (
            "expected one number for each pixel, received a PNG of 16 bits with colours or alpha; "
            "save it as grey of 16 bits without alpha"
        )
    return fault, picture.mode == "P"


def _palette_labels(opened):
    """The numbers of a picture with a palette."""
    opened.seek(0)
    upright = ImageOps.exif_transpose(Image.open(opened))
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
