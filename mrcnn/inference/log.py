"""What detection and training say on the way."""

import numpy as np

from mrcnn.image.cropped_masks import CroppedMasks


def log(text, array=None):
    """Prints a text, with the shape, range and type of an array when one is given."""
    if isinstance(array, CroppedMasks):
        text = f"{text:25}  shape: {array.shape!s:20}  {array.dtype}"
    elif array is not None:
        array = np.asarray(array)
        numbers = array.size and array.dtype != object
        low, high = (array.min(), array.max()) if numbers else ("", "")
        text = f"{text:25}  shape: {array.shape!s:20}  min: {low:10}  max: {high:10}  {array.dtype}"
    print(text)
