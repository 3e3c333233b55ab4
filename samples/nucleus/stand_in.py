"""Pictures to try the nucleus sample with when those of the Data Science Bowl are not at hand.

Nuclei are painted in two styles, fluorescence and stained tissue, and written as the data set is:
`stage1_train/<id>/images/<id>.png` and `stage1_train/<id>/masks/*.png`.
"""

from pathlib import Path

import numpy as np
from skimage.filters import gaussian
from skimage.io import imsave

# Style: share of the pictures; colors of background and nuclei; how much nuclei differ.
FLUORESCENCE = {"background": (12, 12, 16), "nucleus": (150, 150, 155), "spread": 0.45}
TISSUE = {"background": (222, 190, 214), "nucleus": (112, 66, 140), "spread": 0.12}
TISSUE_SHARE = 0.3
SIZES = ((128, 128), (128, 160), (160, 160), (192, 256))  # height, width in pixels


def write_nuclei(folder, val_ids, train=100, seed=0):
    """Writes a data set that `NucleusDataset.load_nucleus` reads.

    Args:
        folder: path; a picture that exists there is replaced.
        val_ids: list of str, names of the validation pictures.
        train: int, pictures beside them.
        seed: int; the same pictures for the same seed.

    Returns:
        Path of the folder.
    """
    names = [*val_ids, *(f"stand_in_{i:03d}" for i in range(train))]
    for i, name in enumerate(names):
        rng = np.random.default_rng([seed, i])
        picture, masks = paint_nuclei(SIZES[rng.integers(len(SIZES))], rng)
        target = Path(folder) / "stage1_train" / name
        for part in ("images", "masks"):
            (target / part).mkdir(parents=True, exist_ok=True)
        imsave(target / "images" / f"{name}.png", picture, check_contrast=False)
        for k, mask in enumerate(masks):
            path = target / "masks" / f"{k:03d}.png"
            imsave(path, mask.astype(np.uint8) * 255, check_contrast=False)
    return Path(folder)


def paint_nuclei(shape, rng):
    """Paints a picture of one style with nuclei of like size, which touch but share no pixel.

    Args:
        shape: height and width in pixels.
        rng: `np.random.Generator`.

    Returns:
        picture: uint8 [H, W, 3].
        masks: list of bool [H, W].
    """
    style = TISSUE if rng.random() < TISSUE_SHARE else FLUORESCENCE
    texture = gaussian(rng.normal(size=shape), 2) * 4  # deviation about 0.6
    light = np.zeros(shape)  # 0 background, about 1 nucleus
    radius, masks, free = rng.uniform(4, 10), [], np.ones(shape, bool)
    density = rng.uniform(0.1, 0.35)
    for _ in range(int(density * np.prod(shape) / (np.pi * radius**2))):
        mask = _blob(shape, radius * rng.lognormal(0, 0.25), rng)
        visible = mask & free
        if visible.sum() < 0.7 * mask.sum():  # too much of it would lie under another
            continue
        free &= ~visible
        masks.append(visible)
        own = max(0.4, 1 + style["spread"] * rng.normal())
        light[visible] = own + 0.12 * texture[visible]
    light = gaussian(light, rng.uniform(0.6, 1.2))[:, :, None]
    background, nucleus = (np.array(style[key], float) for key in ("background", "nucleus"))
    picture = background + np.clip(light, 0, 1.6) * (nucleus - background)
    picture += (texture * 6 * (style is TISSUE))[:, :, None] + rng.normal(0, 3, (*shape, 1))
    return np.clip(picture, 0, 255).astype(np.uint8), masks


def _blob(shape, radius, rng):
    """A mask of an ellipse whose border waves a little; its centre lies in the picture."""
    center, tilt, stretch = rng.uniform(0, shape), rng.uniform(0, np.pi), rng.uniform(1, 1.6)
    reach = 1.1 * radius * stretch
    top, left = np.maximum(center - reach, 0).astype(int)
    bottom, right = np.minimum(center + reach + 1, shape).astype(int)
    y, x = np.ogrid[top:bottom, left:right]
    y, x = y - center[0], x - center[1]
    along = (np.cos(tilt) * y + np.sin(tilt) * x) / stretch
    across = (np.cos(tilt) * x - np.sin(tilt) * y) * stretch**0.5
    turn = np.arctan2(across, along)
    wave = 1 + 0.06 * np.sin(3 * turn + rng.uniform(0, 6)) + 0.04 * np.sin(5 * turn)
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = np.hypot(along, across) < radius * wave
    return mask
