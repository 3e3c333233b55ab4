"""Outlines of every kind that writers meet, on a picture of 20 x 30, for round trips in tests."""

import functools

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.instances import Instance, Picture
from mrcnn.data.annotations.writing import Item, code_of

SIZE = HEIGHT, WIDTH = 20, 30


def square(x, y, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def code(*pixels):
    """The run-length code of pixels (y, x)."""
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[tuple(zip(*pixels, strict=True))] = 1
    return mask_utils.encode(mask)


OUTLINES = {
    "square": [[square(2, 2, 6)]],
    "hole": [[square(2, 2, 8), square(4, 4, 3)]],
    "two parts": [[square(1, 1, 3)], [square(10, 10, 5)]],
    "parts that overlap": [[square(12, 2, 6)], [square(15, 4, 6)]],
    "code": [code((0, 0), (1, 0), (19, 29), (7, 7))],
    "one pixel": [code((5, 20))],
    "touching by corners": [code((8, 8), (9, 9), (10, 8), (9, 7))],
    "floats": [[[3.3, 2.7, 9.1, 4.4, 7.2, 11.9, 1.5, 8.8]]],
    "over the border": [[square(25.5, 15.5, 20)]],
    "a code and a ring": [code((1, 28)), [square(20, 1, 4)]],
}


def save(path):
    Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(path)


def item(instances, name="a.png", subset=""):
    """An `Item` of a picture with instances."""
    return Item(Picture(name, "", HEIGHT, WIDTH, list(instances)), subset, save)


def instances(categories=("cat", "dog")):
    """An instance of each outline, of the categories in turn."""
    return [
        Instance(categories[i % len(categories)], parts, name=name)
        for i, (name, parts) in enumerate(OUTLINES.items())
    ]


def masks_of(item):
    """The masks of an item, bool [H, W, N]."""
    draw = functools.partial(code_of, picture=item.picture)
    return mask_utils.decode([draw(each) for each in item.picture.instances]).astype(bool)
