"""The smallest example of each annotation format, as docs/data.md shows them."""

import pathlib
import re

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 20, 30
FIRST, LAST = (2, 3), (12, 13)  # corners x, y of the object of every example
PICTURES = {
    "coco": "train/a.png",
    "coco_panoptic": "train/a.png",
    "labelme": "a.png",
    "via": "a.png",
    "yolo": "images/train/a.png",
    "voc": "JPEGImages/a.png",
    "cvat": "images/a.png",
    "label_studio": "a.png",
    "masks": "stage1_train/a/images/a.png",
    "labels": "images/a.png",
}
SEGMENTS = {"coco_panoptic": "annotations/panoptic_train/a.png"}
MASKS = {"masks": "stage1_train/a/masks/0.png", "labels": "masks/a.png"}


def example_files():
    """The files that docs/data.md shows: {name: content}."""
    page = pathlib.Path(__file__).resolve().parents[1] / "docs" / "data.md"
    text = page.read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", text, re.S))


def write_example(format, folder):
    """Writes the example of a format into a folder; returns the mask of its object."""
    files = {name.partition("/")[::2]: text for name, text in example_files().items()}
    for (kind, name), text in files.items():
        if kind == format:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[FIRST[1] : LAST[1], FIRST[0] : LAST[0]] = True
    save(np.zeros((HEIGHT, WIDTH, 3)), folder / PICTURES[format])
    if format in MASKS:
        save(mask, folder / MASKS[format])
    if format in SEGMENTS:
        save(np.where(mask[:, :, None], [7, 0, 0], [44, 1, 0]), folder / SEGMENTS[format])
    return mask


def save(pixels, path):
    """Saves an array as a picture into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
