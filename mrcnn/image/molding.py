"""Pixels as the network takes them, and back.

Shape legend: H, W size in pixels; C channels.
"""

import math

import numpy as np


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
    image = np.asarray(image, np.float32) * np.asarray(std_pixel, np.float32)
    image += np.asarray(mean_pixel, np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def mold(image, window, settings):
    """Returns what the network takes for a resized image: float32 `[H, W, C]`.

    In mode "shortest_edge" the padding is zero afterwards, as in torchvision and detectron2; in
    matterport's modes it was black before.

    Args:
        image: array `[H, W, C]`, resized and padded.
        window: y1 x1 y2 x2 of the picture in it, pixels.
        settings: `mrcnn.settings.Image`.
    """
    molded = mold_image(image, settings.mean_pixel, settings.std_pixel)
    if settings.resize_mode == "shortest_edge":
        y1, x1, y2, x2 = window
        outside = np.ones(image.shape[:2], bool)
        outside[y1:y2, x1:x2] = False
        molded[outside] = 0
    return molded
