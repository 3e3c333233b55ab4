"""Pixels as the network takes them, and back.

Shape legend: H, W size in pixels; C channels.
"""

import math

import numpy as np

from mrcnn.image.meta import compose_image_meta
from mrcnn.image.pixels import to_model_image
from mrcnn.image.proposals import checked_proposals, mold_proposals
from mrcnn.image.resizing import pad_to, rescale_by, resize_by
from mrcnn.image.sizes import bucket_sides, rescaled_buckets, rescaled_sides, resized_sides


def mold_image(image, mean_pixel, std_pixel=1.0):
    """Returns `image` `[..., C]` minus `mean_pixel` `[C]` over `std_pixel` `[C]`, float32."""
    image = np.array(image, np.float32, order="C")
    # Whole rows against a row of means: faster than three numbers at a time.
    row = image.shape[-2:]
    lines = image.reshape(*image.shape[:-2], math.prod(row))
    lines -= np.broadcast_to(np.asarray(mean_pixel, np.float32), row).ravel()
    if not np.all(np.equal(std_pixel, 1.0)):
        lines /= np.broadcast_to(np.asarray(std_pixel, np.float32), row).ravel()
    return image


def unmold_image(image, mean_pixel, std_pixel=1.0):
    """Inverts `mold_image`: rounds, clips to 0..255; uint8."""
    values = unmold_values(image, mean_pixel, std_pixel)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def unmold_values(image, mean_pixel, std_pixel=1.0):
    """Inverts `mold_image`, of pixels on any scale; float32."""
    image = np.asarray(image, np.float32) * np.asarray(std_pixel, np.float32)
    return image + np.asarray(mean_pixel, np.float32)


def mold(image, window, settings):
    """Returns what the network takes for a resized image: float32 `[H, W, C]`.

    In mode "shortest_edge" the padding is zero afterwards, as in torchvision and detectron2, and so
    it is of images of other than three channels; in matterport's modes it was black before.

    Args:
        image: array `[H, W, C]`, resized and padded.
        window: y1 x1 y2 x2 of the picture in it, pixels.
        settings: `mrcnn.settings.Image`.
    """
    molded = mold_image(image, settings.mean_pixel, settings.std_pixel)
    if settings.pads_with_mean:
        y1, x1, y2, x2 = window
        outside = np.ones(image.shape[:2], bool)
        outside[y1:y2, x1:x2] = False
        molded[outside] = 0
    return molded


class MoldedImages:
    """Images of any sizes as the network takes them for detection, each molded when asked for.

    `molded[i]`, i an int, is a dict of the molded `image` float32 `[H, W, C]`, its `meta`, and
    `window`, y1 x1 y2 x2 of the picture in it, pixels; with proposals also these, in its pixels.

    Args:
        images: list of arrays, as `to_model_image` takes them.
        settings: `mrcnn.settings.Image`.
        owner: see `to_model_image`.
        names: list of what errors call the images, or None for their places in the list.
        proposals: list of `[N, 4]` y1 x1 y2 x2 in pixels of each image, or None.
        factor: float, how much larger they are than detection has them otherwise, or one for each
            image; the molded images are padded at the bottom and right then, without proposals.

    Attributes:
        shapes: of the images, as they were given.
        molded_shapes: (H, W, C) that they have when they are molded.

    Raises:
        ValueError: an image or proposals that cannot be used, by its name.
    """

    def __init__(self, images, settings, owner=None, names=None, proposals=None, factor=1):
        self.images, self.settings, self.owner = images, settings, owner or self
        self.factors = np.broadcast_to(factor, len(images)).tolist()
        self.names = names or [f"images[{i}]" for i in range(len(images))]
        # Crops are for training: detection sees the whole image, at the same scale.
        self.mode = "pad64" if settings.resize_mode == "crop" else settings.resize_mode
        self.shapes = [np.shape(image) for image in images]
        self.molded_shapes = [self._molded_shape(i) for i in range(len(images))]
        self.proposals = proposals
        if proposals is not None:
            pairs = zip(proposals, self.names, strict=True)
            self.proposals = [checked_proposals(*pair) for pair in pairs]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        settings, image, factor = self.settings, self._checked(index), self.factors[index]
        if factor == 1:
            resized, window, scale, padding, crop = resize_by(settings, image, self.mode)
        else:
            resized, window, scale = rescale_by(settings, image, factor)
        shape = self.molded_shapes[index]
        active = np.zeros(settings.num_classes, np.int32)
        meta = compose_image_meta(0, image.shape, shape, window, scale, active)
        molded = mold(pad_to(resized, shape[:2]), window, settings)
        item = {"image": molded, "meta": meta, "window": window}
        if self.proposals is not None:
            place = scale, padding, crop, (window[2] - window[0], window[3] - window[1])
            boxes = self.proposals[index]
            item["proposals"] = mold_proposals(boxes, image.shape, place, window)
        return item

    def _checked(self, index):
        name, channels = self.names[index], self.settings.channels
        return to_model_image(self.images[index], channels, name, self.owner)

    def _molded_shape(self, index):
        (height, width), factor = self._checked(index).shape[:2], self.factors[index]
        if factor != 1:
            sides = rescaled_sides(self.settings, height, width, factor)
            buckets = rescaled_buckets(self.settings.buckets, factor)
            return *bucket_sides(sides, buckets), self.settings.channels
        sides = resized_sides(self.settings, height, width, self.mode)
        free = self.settings.interpolation == "corners"  # of any multiple
        if self.mode == "none" and not free and np.any(np.mod(sides, 64)):
            raise ValueError(
                f"{self.names[index]} has shape {self.shapes[index]}; IMAGE_RESIZE_MODE "
                '"none" takes sides that are multiples of 64 only, use "square" or "pad64"'
            )
        return *bucket_sides(sides, self.settings.buckets), self.settings.channels
