"""Several images with their instances in one picture."""

import math

import numpy as np
from skimage.io import imsave

from mrcnn.visualize.draw import draw_tile

GAP = 6


def draw_grid(
    images, instances, class_names=None, columns=None, tile=480, save_path=None, skeleton=None
):
    """Draws images with their instances, each in a tile, as one picture.

    Args:
        images: images of any sizes; each is scaled to fit a tile.
        instances: for each image a dict with `rois`, `class_ids` and, if there are any, `masks`,
            `scores` and `keypoints`; or with `segmentation` and `segments`, which are drawn then.
        class_names: names by class id.
        columns: tiles in a row; by default about as many as rows.
        tile: side of a tile in pixels.
        save_path: where to write the picture too, with its format by suffix.
        skeleton: pairs of indices of keypoints that a line joins; by default those of `Detections`.

    Returns:
        [H, W, 3] uint8.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows, step = -(-len(images) // columns), tile + GAP
    picture = np.full((rows * step - GAP, columns * step - GAP, 3), 255, np.uint8)
    for i, (image, found) in enumerate(zip(images, instances, strict=True)):
        top, left = i // columns * step, i % columns * step
        drawn = draw_tile(image, found, class_names, tile, skeleton)
        picture[top : top + tile, left : left + tile] = drawn
    if save_path is not None:
        imsave(save_path, picture, check_contrast=False)
    return picture
