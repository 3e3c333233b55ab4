"""Pictures to try the balloon sample with when the photos are not at hand.

Balloons are painted on photos that come with scikit-image, and written as the data set is: `train`
and `val`, each with pictures and a `via_region_data.json`.
"""

import json
from pathlib import Path

import numpy as np
from skimage import data
from skimage.color import hsv2rgb
from skimage.draw import line_aa, polygon2mask
from skimage.io import imsave
from skimage.transform import resize

BACKGROUNDS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "brick", "grass")
LIGHT = np.array([-0.45, -0.35])  # where a balloon shines, in its radii: y, x
OUTLINE = 32  # points of a region


def write_balloons(folder, train=60, val=12, height=144, width=192, seed=0):
    """Writes a data set that `BalloonDataset.load_balloon` reads.

    Args:
        folder: path; a picture that exists there is replaced.
        train, val: int, pictures of each subset.
        height, width: int, of a picture in pixels.
        seed: int; the same pictures for the same seed.

    Returns:
        Path of the folder.
    """
    photos = [_as_rgb(getattr(data, name)()) for name in BACKGROUNDS]
    for number, (subset, count) in enumerate({"train": train, "val": val}.items()):
        target = Path(folder) / subset
        target.mkdir(parents=True, exist_ok=True)
        annotations = {}
        for i in range(count):
            rng = np.random.default_rng([seed, number, i])
            photo = photos[rng.integers(len(photos))]
            picture, outlines = paint_balloons(_crop(photo, height, width, rng), rng)
            name = f"{subset}_{i:03d}.png"
            imsave(target / name, picture, check_contrast=False)
            annotations[name] = {"filename": name, "regions": list(map(_region, outlines))}
        (target / "via_region_data.json").write_text(json.dumps(annotations))
    return Path(folder)


def paint_balloons(image, rng):
    """Paints one to five balloons, none over another.

    Args:
        image: uint8 [H, W, 3].
        rng: `np.random.Generator`.

    Returns:
        picture: uint8 [H, W, 3].
        outlines: list of float [P, 2], y and x in pixels.
    """
    picture, taken, outlines = image / 255, np.zeros(image.shape[:2], bool), []
    side = min(image.shape[:2])
    for _ in range(rng.integers(1, 6)):
        for _ in range(20):  # tries to find a free place
            radius = side * rng.uniform(0.07, 0.24)
            center = rng.uniform(0.5 * radius, np.array(image.shape[:2]) - 0.5 * radius)
            shape = center, radius * np.array([rng.uniform(1.05, 1.3), 1]), rng.uniform(-0.4, 0.4)
            outline = np.clip(_outline(*shape), 0, np.array(image.shape[:2]) - 1)
            mask = polygon2mask(taken.shape, outline)
            if mask.any() and not (mask & taken).any():
                color = hsv2rgb([rng.random(), rng.uniform(0.7, 1), rng.uniform(0.7, 1)])
                _paint(picture, mask, shape, color)
                taken |= mask
                outlines.append(outline)
                break
    return np.rint(picture * 255).astype(np.uint8), outlines


def _outline(center, radii, angle):
    """Points [P, 2] on an egg that is narrower below, where it is tied."""
    turn = np.linspace(0, 2 * np.pi, OUTLINE, endpoint=False)
    y, x = -np.cos(turn), np.sin(turn)
    x = x * (1 - 0.18 * np.maximum(y, 0))
    return center + np.stack([y, x], axis=1) * radii @ _rotation(angle)


def _rotation(angle):
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _paint(picture, mask, shape, color):
    """Adds a string, which is no part of the object, and a lit, shaded balloon."""
    center, radii, angle = shape
    knot = center + np.array([radii[0], 0]) @ _rotation(angle)
    end = knot + radii * (1.2, 0.3)
    rows, columns, strength = line_aa(*np.rint([*knot, *end]).astype(int))
    seen = (rows >= 0) & (rows < len(mask)) & (columns >= 0) & (columns < mask.shape[1])
    rows, columns, strength = rows[seen], columns[seen], 0.7 * strength[seen, None]
    picture[rows, columns] = picture[rows, columns] * (1 - strength) + 0.9 * strength
    # Each pixel's place in the frame of the balloon, whose radius is 1.
    place = (np.argwhere(mask) - center) @ _rotation(angle).T / radii
    distance = np.linalg.norm(place - LIGHT, axis=1)[:, None]
    shine = np.exp(-((distance / 0.22) ** 2))
    body = color * np.clip(1.1 - 0.4 * distance, 0, 1)
    picture[mask] = 0.93 * (body + (1 - body) * 0.8 * shine) + 0.07 * picture[mask]


def _region(outline):
    """VIA's record of a polygon; whole pixels, as it writes them."""
    ys, xs = np.rint(outline).astype(int).T.tolist()
    shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
    return {"shape_attributes": shape, "region_attributes": {}}


def _crop(photo, height, width, rng):
    """A random part of a photo, at a random scale, mirrored by chance."""
    zoom = rng.uniform(0.5, 1) * min(photo.shape[0] / height, photo.shape[1] / width)
    size = np.array([height, width]) * zoom
    top, left = rng.integers(photo.shape[:2] - size.astype(int) + 1)
    part = photo[top : top + int(size[0]), left : left + int(size[1])]
    part = resize(part, (height, width), anti_aliasing=True, preserve_range=True)
    return (part[:, ::-1] if rng.random() < 0.5 else part).astype(np.uint8)


def _as_rgb(image):
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
