"""The smallest rectangle around a mask, at any angle."""

import numpy as np
import pytest
from skimage.draw import polygon2mask

from mrcnn.image import min_area_rect


def drawn(*rows):
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def area(corners):
    return np.linalg.norm(corners[1] - corners[0]) * np.linalg.norm(corners[2] - corners[1])


def test_upright_rectangle():
    mask = np.zeros((9, 9), bool)
    mask[2:4, 3:8] = True
    assert min_area_rect(mask).tolist() == [[2, 3], [2, 8], [4, 8], [4, 3]]


def test_single_pixel_and_none():
    mask = np.zeros((4, 5), bool)
    assert min_area_rect(mask).tolist() == [[0, 0]] * 4
    mask[3, 1] = True
    assert min_area_rect(mask).tolist() == [[3, 1], [3, 2], [4, 2], [4, 1]]


def test_square_on_its_corner():
    # The hull has corners 0 1, 0 2, 1 3, 2 3, ... (y x). Upright: 3 x 3 = 9. At 45 degrees y + x
    # runs from 1 to 5 and x - y from -2 to 2, so both sides are 4 / sqrt 2, and 8 is less. Its
    # corners: y + x = 1 and x - y = 2 meet at y = -0.5, x = 1.5, outside the image, and so on.
    corners = min_area_rect(drawn(".#.", "###", ".#."))
    expected = [[-0.5, 1.5], [1.5, 3.5], [3.5, 1.5], [1.5, -0.5]]
    np.testing.assert_allclose(corners, expected, atol=1e-9)
    assert area(corners) == pytest.approx(8)


def test_a_staircase_lies_in_the_box_of_its_diagonal():
    # y + x runs from 0 to 10 and x - y from -1 to 1: 10 / sqrt 2 by 2 / sqrt 2 is 10, upright 25.
    corners = min_area_rect(np.eye(5, dtype=bool))
    np.testing.assert_allclose(
        corners, [[-0.5, 0.5], [4.5, 5.5], [5.5, 4.5], [0.5, -0.5]], atol=1e-9
    )
    assert area(corners) == pytest.approx(10)


def test_two_parts_and_a_hole_have_one_box():
    assert min_area_rect(drawn("##..", "##.#")).tolist() == [[0, 0], [0, 4], [2, 4], [2, 0]]
    assert min_area_rect(drawn("###", "#.#", "###")).tolist() == [[0, 0], [0, 3], [3, 3], [3, 0]]


@pytest.mark.parametrize("degrees", [0, 10, 30, 45, 77, 90])
def test_a_turned_rectangle_is_found_at_any_angle(degrees):
    # 120 x 40 around 100, 100: sides and centre within two pixels, as a mask has them.
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    outline = np.array([(-20, -60), (-20, 60), (20, 60), (20, -60)]) @ rotation + 100
    corners = min_area_rect(polygon2mask((200, 200), outline))
    sides = sorted(np.linalg.norm(np.diff(corners[:3], axis=0), axis=1))
    np.testing.assert_allclose(sides, [40, 120], atol=2)
    np.testing.assert_allclose(corners.mean(axis=0), [100, 100], atol=1)
    for corner in outline:
        assert np.linalg.norm(corners - corner, axis=1).min() < 2.5
