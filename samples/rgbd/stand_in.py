"""Pictures to try the RGB-D sample with when none of a depth camera are at hand.

Blocks and balls lie on a table under the camera, all of them covered with the same cloth: the
colours say little of where one ends, the depths all. Written as the sample reads them.
"""

from pathlib import Path

import numpy as np
from skimage.filters import gaussian
from skimage.io import imsave

TABLE = 1000.0  # mm below the camera
HEIGHTS = (40.0, 150.0)  # mm that an object rises above the table
NOISE = 2.0  # mm, standard deviation of a depth
TRIES = 20  # to find a free place


def write_tables(folder, train=200, val=20, height=128, width=128, seed=0):
    """Writes a data set that `RGBDDataset.load_rgbd` reads.

    Args:
        folder: path; a picture that exists there is replaced.
        train, val: int, pictures of each subset.
        height, width: int, of a picture in pixels.
        seed: int; the same pictures for the same seed.

    Returns:
        Path of the folder.
    """
    for number, (subset, count) in enumerate({"train": train, "val": val}.items()):
        target = Path(folder) / subset
        target.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            rng = np.random.default_rng([seed, number, i])
            colors, depth, objects = paint_table(height, width, rng)
            for suffix, picture in (("", colors), ("_depth", depth), ("_objects", objects)):
                imsave(target / f"{i:03d}{suffix}.png", picture, check_contrast=False)
    return Path(folder)


def paint_table(height, width, rng):
    """Paints a table with one to five objects, none over another.

    Args:
        height, width: int, in pixels.
        rng: `np.random.Generator`.

    Returns:
        colors: uint8 [H, W, 3].
        depth: uint16 [H, W], mm from the camera.
        objects: uint8 [H, W], the number of the object of each pixel, 0 for the table.
    """
    rows, columns = np.mgrid[:height, :width]
    down, across = rng.uniform(-50, 50, 2)  # mm that the table falls over the picture
    depth = TABLE + down * (rows / height - 0.5) + across * (columns / width - 0.5)
    objects = np.zeros((height, width), np.uint8)
    for number in range(1, rng.integers(1, 6) + 1):
        for _ in range(TRIES):
            radius = min(height, width) * rng.uniform(0.06, 0.2)
            y, x = rng.uniform(radius, np.array([height, width]) - radius)
            turn, ball = rng.uniform(0, np.pi / 2), rng.random() < 0.5
            down, across = rows - y, columns - x
            along = np.cos(turn) * down + np.sin(turn) * across
            beside = np.cos(turn) * across - np.sin(turn) * down
            square = np.maximum(abs(along), 1.4 * abs(beside)) < 0.8 * radius
            round_ = np.hypot(down, across) / radius
            mask = round_ < 1 if ball else square
            if mask.any() and not objects[mask].any():
                shape = np.sqrt(1 - round_[mask] ** 2) if ball else 1
                depth[mask] -= rng.uniform(*HEIGHTS) * shape
                objects[mask] = number
                break
    depth += rng.normal(0, NOISE, depth.shape)
    cloth = gaussian(rng.normal(size=(height, width)), 1.5) * 100
    colors = rng.uniform(80, 180, 3) + cloth[:, :, None] + rng.normal(0, 3, (height, width, 3))
    return colors.clip(0, 255).astype(np.uint8), np.rint(depth).astype(np.uint16), objects
