"""Pictures to try: painted ones, and photos that come with scikit-image. Nothing is fetched."""

from pathlib import Path

import numpy as np
import skimage.data

from mrcnn.data.corners import CornersDataset
from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.shapes import ShapesDataset
from mrcnn.image.pixels import accepts
from mrcnn.image.reading import read_image

PAINTED = 6
SIDES = (128, 512)  # of a painted picture, pixels
# What is on scikit-image's photos, in COCO's words.
PHOTOS = {"chelsea.png": "cat", "astronaut.png": "person", "coffee.png": "cup"}


def samples_of(model):
    """Pictures of what a model may know.

    Args:
        model: `mrcnn.page.models.PageModel`.

    Returns:
        list of (str name, uint8 [H, W, 3]): photos of its classes, or else painted pictures; none
        for a model that takes no colors.
    """
    if not accepts(3, model.model.settings.image.channels):
        return []
    folder = Path(skimage.data.__file__).parent
    known = set(model.names[1:])
    photos = [
        (Path(file).stem, read_image(folder / file))
        for file, what in PHOTOS.items()
        if what in known and (folder / file).is_file()
    ]
    return photos or painted(model)


def painted(model):
    """Pictures of the data set that teaches such a model in `mrcnn demo`."""
    settings = model.model.settings.image
    kind = ShapesDataset
    if model.finds_segments:
        kind = GroundsDataset
    elif model.model.config.USE_KEYPOINTS:
        kind = CornersDataset
    side = int(np.clip(max(settings.shape), *SIDES))
    dataset = kind()
    dataset.load_shapes(PAINTED, side, side, seed=2)  # no picture that the demo trains on
    dataset.prepare()
    return [(f"painted_{i + 1}", dataset.load_image(i)) for i in dataset.image_ids]
