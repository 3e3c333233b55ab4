"""What an augmentation does to an image, in one picture: `mrcnn.augment.preview`."""

import numpy as np
from skimage.io import imsave

from mrcnn.data.augmentation import as_callable
from mrcnn.data.ground_truth import load_image_gt
from mrcnn.visualize.draw import draw_tile
from mrcnn.visualize.figures import display_images


def preview(
    dataset, config, image_id, augmentation, count=8, columns=4, tile=320, seed=0, save_path=None
):
    """Draws an image as training sees it, augmented several times, with its masks and boxes.

    The picture is shown only if `save_path` is not given and Matplotlib's backend can show it.

    Args:
        dataset: prepared `Dataset`.
        config: `Config`, for resizing.
        image_id: int, one of `dataset.image_ids`.
        augmentation: of any kind that training takes, see `mrcnn.augment`.
        count: int, how many augmented versions to draw.
        columns: int, versions in a row.
        tile: int, side of a version in pixels.
        seed: int; the random numbers of version i are those of `np.random.default_rng([seed, i])`.
        save_path: where to write the picture, with its format by suffix.

    Returns:
        One uint8 `[H, W, 3]` picture.

    Example:

    >>> preview(dataset, config, 0, FlipLeftRight(), save_path="flips.png")  # doctest: +SKIP
    """
    gap, augmentation = 6, as_callable(augmentation)
    columns = max(1, min(columns, count))
    rows, step = -(-count // columns), tile + gap
    picture = np.full((rows * step - gap, columns * step - gap, 3), 255, np.uint8)
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        image, _, class_ids, boxes, masks = load_image_gt(
            dataset, config, image_id, augmentation=augmentation, use_mini_mask=False, rng=rng
        )
        instances = {"rois": boxes, "masks": masks, "class_ids": class_ids}
        top, left = i // columns * step, i % columns * step
        drawn = draw_tile(image, instances, dataset.class_names, tile)
        picture[top : top + tile, left : left + tile] = drawn
    if save_path is None:
        display_images([picture], cols=1)
    else:
        imsave(save_path, picture, check_contrast=False)
    return picture
