"""Where a distortion of albumentations puts points.

Its own ways drop what leaves the picture, and give the uppermost pixel near a point ("mask"),
or take seconds for a picture ("direct").
"""

import numpy as np
from scipy.ndimage import map_coordinates

MOST_STEPS = 50
SETTLED = 0.1  # pixels between the last two steps


def mend_distortions(transform):
    """Has the distortions of a transform of albumentations, and of those that it is composed of,
    move points by `distorted_points`."""
    if hasattr(transform, "keypoint_remapping_method"):
        transform.apply_to_keypoints = distorted_points
        transform.add_targets({"keypoints": "keypoints"})  # has it look the method up again
    for inner in getattr(transform, "transforms", ()):
        mend_distortions(inner)


def distorted_points(points, map_x, map_y, **params):
    """Moves points as pixels are moved; one beyond the edges by as much as what is at the edge.

    A pixel at q comes from q + shift(q), so a point p moves to the q at which q = p - shift(q): a
    fixed point, found by iteration where the shift grows by less than a pixel from one pixel to the
    next.

    Args:
        points: float [n, 2 or more], x y and what stays as it is; 0 is the first pixel's centre.
        map_x, map_y: float [H, W], where in the undistorted picture a pixel comes from.
        **params: what else albumentations knows of the picture.

    Returns:
        float of the shape of `points`, without those that no place was found for.
    """
    maps = np.stack([map_x, map_y]).astype(float)
    shifts = maps - np.indices(maps.shape[1:])[::-1]  # x y
    given = points[:, :2].T
    found = given
    for _ in range(MOST_STEPS):
        before, found = found, given - _sampled(shifts, found)
    settled = np.abs(found - before).max(axis=0) < SETTLED
    return np.concatenate([found.T, points[:, 2:]], axis=1)[settled]


def _sampled(maps, places):
    """Linear interpolation of maps [n, H, W] at places x y [2, m]: [n, m]."""
    at = places[::-1]
    return np.stack([map_coordinates(each, at, order=1, mode="nearest") for each in maps])
