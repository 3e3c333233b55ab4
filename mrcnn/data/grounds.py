"""Shapes over two kinds of ground: a panoptic data set that needs no file."""

import numpy as np

from mrcnn.data.dataset import Dataset
from mrcnn.data.shapes import ShapesDataset

GROUNDS = ("waves", "sand")
CONTRAST = 40  # of 255, from the darkest to the brightest pixel of a ground


class GroundsDataset(ShapesDataset):
    """Shapes, the things, in front of waves and sand, the stuff.

    A straight line at any angle divides the ground. Both parts have one random color: only what is
    drawn on it, stripes or grains, tells them apart.

    Example:

    >>> dataset = GroundsDataset()
    >>> dataset.load_shapes(count=50, height=128, width=128, seed=1)
    >>> dataset.prepare()
    >>> ids, segments = dataset.load_panoptic(0)
    """

    num_stuff_classes = len(GROUNDS)
    load_mask = Dataset.load_mask  # the things of the panoptic truth

    def load_shapes(self, count, height, width, seed=0):
        """Adds `count` pictures, as `ShapesDataset`."""
        super().load_shapes(count, height, width, seed)
        for class_id, name in enumerate(GROUNDS, start=4):
            self.add_class("shapes", class_id, name)
        for info in self.image_info[len(self.image_info) - count :]:
            info["ground_seed"] = [seed, info["id"], 1]

    def load_image(self, image_id):
        """Returns the picture, [H, W, 3] uint8."""
        info = self.image_info[image_id]
        rng = np.random.default_rng(info["ground_seed"])
        sand, shade = self._ground(info, rng)
        grains = rng.uniform(-0.5, 0.5, sand.shape)
        ground = np.where(sand, grains, shade / 2) * CONTRAST
        image = np.clip(np.add(ground[:, :, None], info["bg_color"]), 0, 255).astype(np.uint8)
        for shape, color, dims in info["shapes"]:
            self.draw_shape(image, shape, dims, color)
        return image

    def load_panoptic(self, image_id):
        """Returns ids [H, W] int32 and segments; see `Dataset.load_panoptic`."""
        info = self.image_info[image_id]
        sand, _ = self._ground(info, np.random.default_rng(info["ground_seed"]))
        ids = np.where(sand, 2, 1).astype(np.int32)
        segments = [{"id": i, "class_id": 3 + i, "is_thing": False} for i in (1, 2)]
        for number, (shape, _, dims) in enumerate(info["shapes"], start=3):
            self.draw_shape(ids, shape, dims, number)
            class_id = self.class_names.index(shape)
            segments.append({"id": number, "class_id": class_id, "is_thing": True})
        present = np.unique(ids)
        return ids, [each for each in segments if each["id"] in present]

    @staticmethod
    def _ground(info, rng):
        """Where sand is, bool [H, W], and the shade of waves, float [H, W], -1 to 1."""
        height, width = info["height"], info["width"]
        y, x = np.mgrid[:height, :width]
        angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25)
        across = (y - height / 2) * np.sin(angle) + (x - width / 2) * np.cos(angle)
        wave, length = rng.uniform(0, np.pi), rng.uniform(6, 12)
        shade = np.sin((y * np.sin(wave) + x * np.cos(wave)) * 2 * np.pi / length)
        return across > offset * min(height, width), shade
