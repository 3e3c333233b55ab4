"""Boundary IoU: how well the outlines of two masks agree, whatever their size.

Cheng, Girshick, Dollár, Berg and Kirillov 2021, "Boundary IoU: Improving Object-Centric Image
Segmentation Evaluation": the IoU of the parts of two masks that lie within a distance of their own
outlines, 2 % of the image's diagonal. Boundary AP is COCO's with the smaller of mask IoU and
boundary IoU; crowds are compared by their masks.
"""

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.evaluate.annotations import encode

BAND = 0.02  # width of the band inside the outline, of the image's diagonal


def boundary_band(mask, band=BAND):
    """Returns the pixels of a mask that lie within the band along its outline.

    The image's border is an outline too. A pixel is within a distance of d if fewer than d steps
    to any of its 8 neighbours leave the mask, as of d erosions by 3 x 3.

    Args:
        mask: bool [H, W].
        band: float, width of the band as a share of the image's diagonal; a pixel at least.

    Returns:
        bool [H, W].
    """
    mask = np.asarray(mask, bool)
    width = max(1, round(band * np.hypot(*mask.shape)))
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return mask.copy()
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    core = np.pad(mask[box], width)
    for axis in (0, 1):
        core = _eroded(core, width, axis)
    found = np.zeros_like(mask)
    found[box] = mask[box] & ~core
    return found


def _eroded(mask, width, axis):
    """Erodes a padded mask by `width` pixels along an axis, which loses the padding."""
    counts = np.cumsum(mask, axis=axis, dtype=np.int32)
    counts = np.concatenate([np.zeros_like(counts.take([0], axis)), counts], axis=axis)
    size = mask.shape[axis] - 2 * width
    first = np.take(counts, np.arange(size), axis)
    last = np.take(counts, np.arange(size) + 2 * width + 1, axis)
    return last - first == 2 * width + 1


def boundary_code(code, band=BAND):
    """Returns the run-length code of a mask's band, see `boundary_band`."""
    return encode(boundary_band(mask_utils.decode(code), band))


def boundary_overlaps(codes, gt_codes, gt_crowds):
    """The smaller of mask IoU and boundary IoU of each pair; mask IoU for crowds.

    Args:
        codes: run-length codes of P masks.
        gt_codes: of M ground truths.
        gt_crowds: int [M].

    Returns:
        float [P, M].
    """
    if not codes or not gt_codes:
        return np.zeros((len(codes), len(gt_codes)))
    overlaps = mask_utils.iou(codes, gt_codes, gt_crowds)
    bands, gt_bands = ([boundary_code(code) for code in each] for each in (codes, gt_codes))
    along_bands = mask_utils.iou(bands, gt_bands, gt_crowds)
    return np.where(np.asarray(gt_crowds) > 0, overlaps, np.minimum(overlaps, along_bands))
