"""Pictures and masks that lie inside annotation files.

Shape legend: H, W size of the picture in pixels; h, w of a mask; C channels.
"""

import base64
import io

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.image.reading import read_image


def read_embedded(text, size=None):
    """Reads a picture in base64, as `mrcnn.image.reading.read_image`.

    Args:
        text: str, with or without "data:image/png;base64," before it.
        size: (height, width) that it must have; checked before its pixels are decoded.

    Returns:
        Array `[H, W]` or `[H, W, C]`.

    Raises:
        ValueError: it is none, or has another size.
    """
    if not isinstance(text, str):
        raise ValueError(f"expected a picture in base64, received {str(text)[:40]}")
    file = io.BytesIO()
    try:
        file = io.BytesIO(base64.b64decode(text.rpartition(",")[2]))
        with Image.open(file) as opened:
            found = opened.height, opened.width
        image = read_image(file) if size in (None, found) else None
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = f"{type(error).__name__}: {error}".replace(repr(file), "it")
        raise ValueError(
            f"expected a picture in base64, but it cannot be read ({reason})"
        ) from None
    if image is None:
        raise ValueError(f"expected a mask of the size {list(size)}, received {list(found)}")
    return image


def placed_code(mask, top, left, height, width):
    """The run-length code of a mask that covers a box of a picture; what lies outside is cut off.

    Args:
        mask: bool [h, w].
        top, left: int, where its first pixel lies.
        height, width: of the picture.

    Returns:
        dict: `size` [height, width] and `counts`, compressed.
    """
    whole = np.zeros((height, width), np.uint8, order="F")
    y1, y2 = (min(max(y, 0), height) for y in (top, top + mask.shape[0]))
    x1, x2 = (min(max(x, 0), width) for x in (left, left + mask.shape[1]))
    if y1 < y2 and x1 < x2:
        whole[y1:y2, x1:x2] = mask[y1 - top : y2 - top, x1 - left : x2 - left]
    return mask_utils.encode(whole)
