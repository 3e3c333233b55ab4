"""From heat maps over boxes to points, in NumPy.

Shapes: n boxes, S bins a side of a heat map, J keypoints, h w of a box in whole pixels.
"""

import functools

import numpy as np

CUBIC = -0.75  # slope of the kernel at 1, PyTorch's and OpenCV's
ROUNDING = 1e-3  # pixels: a box that is whole but for float32's rounding is no pixel larger


def find_peaks(heatmaps, sizes, scores="probabilities"):
    """The places of the largest values of heat maps that are enlarged to the size of their boxes.

    As torchvision and detectron2 (`heatmaps_to_keypoints`): by bicubic interpolation, to whole
    pixels, rounded up. Of equal values the first is taken, by rows.

    Args:
        heatmaps: float [n, S, S, J], logits, each over its box.
        sizes: float [n, 2], height and width of the boxes in pixels of the image that the network
            saw.
        scores: "probabilities": the softmax over the bins, at the peak and so at most about 1, as
            detectron2; "logits": the value itself, as torchvision.

    Returns:
        float32 [n, J, 3]: y and x, 0 at a box's upper left corner and 1 at its lower right one; and
        the score.
    """
    found = np.zeros((len(heatmaps), heatmaps.shape[-1], 3), np.float32)
    grids = np.ceil(np.maximum(sizes, 1) - ROUNDING).astype(int)
    for i, (height, width) in enumerate(grids.tolist()):
        maps = np.moveaxis(np.asarray(heatmaps[i], np.float32), -1, 0)  # (J, S, S)
        rows, columns = (cubic_weights(side, maps.shape[1]) for side in (height, width))
        enlarged = (rows @ maps @ columns.T).reshape(len(maps), -1)  # (J, h * w)
        peaks = enlarged.argmax(axis=1)
        best = np.take_along_axis(enlarged, peaks[:, None], axis=1)
        found[i, :, 0] = (peaks // width + 0.5) / height
        found[i, :, 1] = (peaks % width + 0.5) / width
        if scores == "logits":
            found[i, :, 2] = best[:, 0]
        else:
            logits = maps.reshape(len(maps), -1)
            highest = logits.max(axis=1)  # far above `best` where a box of a pixel misses the peak
            total = np.exp(logits - highest[:, None]).sum(axis=1)
            found[i, :, 2] = np.exp(best[:, 0] - highest) / total
    return found


@functools.lru_cache(maxsize=64)  # one may have 200 KB
def cubic_weights(size, bins):
    """The weight of each of `bins` values in each of `size` that lie between them: float32
    [size, bins]. Cubic convolution (Keys 1981); what lies outside has the value at the edge."""
    places = (np.arange(size) + 0.5) * bins / size - 0.5
    first = np.floor(places).astype(int)
    weights = np.zeros((size, bins))
    for tap in (-1, 0, 1, 2):
        at = np.clip(first + tap, 0, bins - 1)
        np.add.at(weights, (np.arange(size), at), _cubic(np.abs(places - first - tap)))
    return weights.astype(np.float32)


def _cubic(distance):
    d, a = distance, CUBIC
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, far)
