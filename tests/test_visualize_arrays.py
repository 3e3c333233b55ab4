"""Boxes and maps as arrays of pixels."""

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.visualize import boxes_picture, map_picture


def test_numbers_in_colors():
    drawn = map_picture([[0.0, 1.0, 2.0], [-1.0, 0.5, 1.0]], side=7, cmap="gray")
    # 7 pixels for 3 numbers: squares of 3, 9 wide. What is outside has the nearest color; the
    # middle of 256 greys is the 128th.
    assert drawn.shape == (6, 9, 3) and drawn.dtype == np.uint8
    assert drawn[::3, ::3, 0].tolist() == [[0, 255, 255], [0, 128, 255]]
    assert (drawn[:3, 3:6] == 255).all() and (drawn[3:, 3:6] == 128).all()
    low_and_high = map_picture([[2.0, 4.0]], side=2, low=2, high=4)
    assert low_and_high.tolist() == [[[68, 1, 84], [253, 231, 37]]]  # the ends of viridis


def test_boxes_in_a_picture_without_pyplot():
    image = np.full((20, 40, 3), 255, np.uint8)
    figures = plt.get_fignums()
    drawn = boxes_picture(image, None, [[4, 8, 12, 32]], side=400)
    assert drawn.shape == (200, 400, 3) and drawn.dtype == np.uint8
    assert plt.get_fignums() == figures
    # Ten pixels of the drawing are one of the picture: the upper side of the box is row 40.
    colored = (drawn.min(axis=-1) < 200).any(axis=1)
    assert 36 <= np.flatnonzero(colored)[0] <= 41 and 119 <= np.flatnonzero(colored)[-1] <= 124
    assert (drawn[80, 200] == 255).all()


def test_boxes_beyond_the_picture_widen_it():
    # 4 rows above, the margin's limit of a tenth of 40: 24 rows of 40 columns, 10 pixels each.
    drawn = boxes_picture(np.zeros((20, 40, 3), np.uint8), None, [[-9, 8, 12, 32]], side=400)
    assert drawn.shape == (240, 400, 3)
