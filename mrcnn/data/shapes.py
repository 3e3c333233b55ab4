"""Procedural pictures of squares, circles and triangles: a dataset that needs no file."""

import numpy as np
from skimage.draw import disk, polygon, rectangle

from mrcnn.config import Config
from mrcnn.data.dataset import Dataset

NMS_THRESHOLD = 0.3
COLOR_DISTANCE = 64  # in the channel that differs most


class ShapesConfig(Config):
    """Small pictures, small anchors and short epochs, as in matterport's sample."""

    NAME = "shapes"
    IMAGES_PER_GPU = 8
    NUM_CLASSES = 1 + 3
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    TRAIN_ROIS_PER_IMAGE = 32
    STEPS_PER_EPOCH = 100
    VALIDATION_STEPS = 5


class ShapesDataset(Dataset):
    """Pictures of one to four shapes, drawn when they are loaded.

    A shape is (name, RGB color, (x, y, half size)). Shapes are listed from back to front; a front
    shape hides what lies behind it.

    Example:

    >>> dataset = ShapesDataset()
    >>> dataset.load_shapes(count=50, height=128, width=128, seed=1)
    >>> dataset.prepare()
    >>> masks, class_ids = dataset.load_mask(0)
    """

    def load_shapes(self, count, height, width, seed=0):
        """Adds `count` pictures; picture i of a seed is always the same.

        Args:
            count: number of pictures.
            height, width: of each picture, in pixels.
            seed: use another one for the validation set.
        """
        for class_id, name in enumerate(("square", "circle", "triangle"), start=1):
            self.add_class("shapes", class_id, name)
        for i in range(count):
            rng = np.random.default_rng([seed, i])
            background, shapes = self.random_image(height, width, rng)
            info = {"height": height, "width": width, "bg_color": background, "shapes": shapes}
            self.add_image("shapes", image_id=i, path=None, **info)

    def load_image(self, image_id):
        """Returns the picture, [H, W, 3] uint8."""
        info = self.image_info[image_id]
        if info["source"] != "shapes":
            return super().load_image(image_id)
        image = np.empty((info["height"], info["width"], 3), np.uint8)
        image[:] = info["bg_color"]
        for shape, color, dims in info["shapes"]:
            self.draw_shape(image, shape, dims, color)
        return image

    def load_mask(self, image_id):
        """Returns masks [H, W, N] bool of the visible parts, and class ids [N] int32."""
        info = self.image_info[image_id]
        if info["source"] != "shapes":
            return super().load_mask(image_id)
        masks = self._visible_masks(info["shapes"], info["height"], info["width"])
        seen = masks.any(axis=(0, 1))
        class_ids = [self.class_names.index(shape) for shape, _, _ in info["shapes"]]
        return masks[:, :, seen], np.array(class_ids, np.int32)[seen]

    def image_reference(self, image_id):
        """Returns the list of shapes."""
        info = self.image_info[image_id]
        return info["shapes"] if info["source"] == "shapes" else super().image_reference(image_id)

    def draw_shape(self, image, shape, dims, color):
        """Fills a shape in an image [H, W, 3] or a mask [H, W], in place, and returns it.

        Args:
            image: modified; what lies outside is cut off.
            shape: "square", "circle" or "triangle".
            dims: (x, y, s): the center and half the size, in pixels.
            color: value of a pixel.
        """
        x, y, s = dims
        if shape == "square":
            rows, columns = rectangle((y - s, x - s), (y + s, x + s), shape=image.shape[:2])
        elif shape == "circle":
            rows, columns = disk((y, x), s + 0.5, shape=image.shape[:2])
        elif shape == "triangle":
            base = s / np.sin(np.radians(60))
            corners = (y - s, y + s, y + s), (x, x - base, x + base)
            rows, columns = polygon(*corners, shape=image.shape[:2])
        else:
            raise ValueError(f"Expected square, circle or triangle, got {shape!r}")
        image[rows, columns] = color
        return image

    def random_shape(self, height, width, rng=None):
        """Returns a random (name, color, (x, y, half size)) that lies inside the picture."""
        rng = np.random.default_rng(rng)
        side = min(height, width)
        margin = min(20, side // 6)
        name = str(rng.choice(["square", "circle", "triangle"]))
        color = tuple(rng.integers(0, 256, 3).tolist())
        x = int(rng.integers(margin, width - margin))
        y = int(rng.integers(margin, height - margin))
        size = int(rng.integers(margin, max(margin, side // 4), endpoint=True))
        return name, color, (x, y, size)

    def random_image(self, height, width, rng=None):
        """Returns a random background color and a list of shapes that are visible in front of it.

        Colors differ clearly from one another. A shape that is nearly covered, by non-maximum
        suppression of the bounding squares, or hidden completely is left out.
        """
        rng = np.random.default_rng(rng)
        colors = [rng.integers(0, 256, 3)]
        shapes = []
        for _ in range(rng.integers(1, 5)):
            while True:
                shape = self.random_shape(height, width, rng)
                if min(np.abs(shape[1] - color).max() for color in colors) >= COLOR_DISTANCE:
                    break
            colors.append(np.array(shape[1]))
            shapes.append(shape)
        kept = []
        for shape in reversed(shapes):  # the front wins
            if all(_overlap(shape[2], other[2]) <= NMS_THRESHOLD for other in kept):
                kept.insert(0, shape)
        seen = self._visible_masks(kept, height, width).any(axis=(0, 1))
        shapes = [shape for shape, visible in zip(kept, seen, strict=True) if visible]
        return tuple(colors[0].tolist()), shapes

    def _visible_masks(self, shapes, height, width):
        """Returns [H, W, N] bool: the pixels of each shape that no later one covers."""
        masks = np.zeros((height, width, len(shapes)), bool)
        free = np.ones((height, width), bool)
        for i in reversed(range(len(shapes))):
            shape, _, dims = shapes[i]
            masks[:, :, i] = self.draw_shape(np.zeros_like(free), shape, dims, True) & free
            free &= ~masks[:, :, i]
        return masks


def _overlap(dims1, dims2):
    """Returns the intersection over union of the bounding squares of two (x, y, half size)."""
    (x1, y1, s1), (x2, y2, s2) = dims1, dims2
    height = max(0, min(y1 + s1, y2 + s2) - max(y1 - s1, y2 - s2))
    width = max(0, min(x1 + s1, x2 + s2) - max(x1 - s1, x2 - s2))
    intersection = height * width
    return intersection / (4 * s1**2 + 4 * s2**2 - intersection)
