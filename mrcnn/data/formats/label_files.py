"""Pictures whose pixels are numbers: masks, and labels of instances.

Shape legend: H, W size in pixels.
"""

import numpy as np
from PIL import Image

from mrcnn.image.reading import read_image


def read_labels(path):
    """Reads the number of each pixel: of a palette the index, of grey the value.

    Args:
        path: str, a picture of 1, 8, 16 or 32 bits, or an array in a `.npy` file.

    Returns:
        int or uint array [H, W].

    Raises:
        ValueError: there is no such file, or it has several different channels, or fractions.
    """
    if str(path).lower().endswith(".npy"):
        labels = _read_npy(path)
    else:
        labels = _palette_indices(path)
        labels = read_image(path) if labels is None else labels
    if labels.ndim == 3:
        colors = labels[:, :, : -1 if labels.shape[2] in (2, 4) else None]  # without alpha
        if (colors != colors[:, :, :1]).any():
            raise ValueError(f"{path}: expected one number for each pixel, received colours")
        labels = colors[:, :, 0]
    if labels.ndim != 2 or labels.dtype.kind not in "biuf":
        raise ValueError(f"{path}: expected labels [H, W], received {labels.dtype} {labels.shape}")
    if labels.dtype.kind == "f":
        if not (np.isfinite(labels).all() and (labels == labels.round()).all()):
            raise ValueError(f"{path}: expected whole numbers as labels, received fractions")
        labels = labels.astype(np.int64)
    return labels.astype(np.uint8) if labels.dtype == bool else labels


def _read_npy(path):
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{path}: expected an array of labels: {error}. Of Cellpose's _seg.npy, which holds "
            "Python objects, save the masks as PNG or TIFF"
        ) from error


def _palette_indices(path):
    try:
        with Image.open(path) as picture:
            return np.array(picture) if picture.mode == "P" else None
    except OSError:  # of a kind that Pillow does not know; `read_image` says what is wrong
        return None
