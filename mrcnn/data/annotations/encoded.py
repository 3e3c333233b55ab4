"""Masks that stay run-length codes until one of them is asked for."""

import numpy as np
from pycocotools import mask as mask_utils

_NO_BOXES = np.zeros((0, 4), np.int32)


class EncodedMasks:
    """Looks like masks bool [H, W, N] to what takes them one by one, as `masks[:, :, i]`.

    400 masks of a picture of 2000 x 2000 are 1.6 GB as pixels.

    Args:
        codes: list of compressed run-length codes.
        size: (H, W).
    """

    ndim, dtype = 3, bool

    def __init__(self, codes, size):
        self.codes, self.shape = codes, (*size, len(codes))

    @property
    def boxes(self):
        """The tight box of each mask, int32 [N, 4] = y1 x1 y2 x2, pixels; zeros of an empty one."""
        corners = mask_utils.toBbox(self.codes).astype(np.int32) if self.codes else _NO_BOXES
        x, y, width, height = corners.T
        return np.stack([y, x, y + height, x + width], axis=1)

    def __getitem__(self, key):
        rows, columns, index = key
        return mask_utils.decode(self.codes[index]).view(bool)[rows, columns]
