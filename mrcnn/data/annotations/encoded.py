"""Masks that stay run-length codes until one of them is asked for."""

from pycocotools import mask as mask_utils


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

    def __getitem__(self, key):
        rows, columns, index = key
        return mask_utils.decode(self.codes[index]).view(bool)[rows, columns]
