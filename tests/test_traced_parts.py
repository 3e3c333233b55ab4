"""Outlines of masks, drawn again: the same mask, pixel by pixel."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.outlines import parts_code
from mrcnn.data.annotations.tracing import bridge, trace


def draw(parts, shape):
    return mask_utils.decode(parts_code(parts, *shape, "it")).astype(bool)


def grid(text):
    return np.array([[c == "#" for c in line] for line in text.split()])


def test_a_rectangle_has_its_four_corners():
    # Columns 1 and 2 of rows 1 to 3: from (1, 1) to (3, 4).
    mask = grid("..... .##.. .##.. .##.. .....")
    ((ring,),) = trace(mask)
    corners = list(zip(ring[::2], ring[1::2], strict=True))
    assert sorted(corners) == [(1, 1), (1, 4), (3, 1), (3, 4)]


def test_a_hole_is_a_ring_of_its_part_and_follows_it():
    mask = grid("##### #...# #.#.# #...# #####")
    parts = sorted(trace(mask), key=len)
    (dot,), (outer, hole) = parts
    assert set(zip(outer[::2], outer[1::2], strict=True)) == {(0, 0), (5, 0), (5, 5), (0, 5)}
    assert set(zip(hole[::2], hole[1::2], strict=True)) == {(1, 1), (4, 1), (4, 4), (1, 4)}
    assert set(zip(dot[::2], dot[1::2], strict=True)) == {(2, 2), (3, 2), (3, 3), (2, 3)}


def test_pixels_that_meet_at_a_corner_are_two_parts():
    parts = trace(grid("#. .#"))
    assert [len(part) for part in parts] == [1, 1]
    assert [len(ring) for (ring,) in parts] == [8, 8]
    # A ring around a hole that meets its outside at a corner stays one part.
    (part,) = trace(grid("### #.# ##."))
    np.testing.assert_array_equal(draw([part], (3, 3)), grid("### #.# ##."))


@pytest.mark.parametrize("mask", ["#", ".", "####", "# # #", "#.# .#. #.#"])
def test_small_masks(mask):
    mask = grid(mask)
    np.testing.assert_array_equal(draw(trace(mask), mask.shape), mask)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.8])
def test_any_mask_drawn_again_is_the_same(density):
    rng = np.random.default_rng(0)
    for _ in range(60):
        mask = rng.random(rng.integers(1, 40, 2)) < density
        parts = trace(mask)
        np.testing.assert_array_equal(draw(parts, mask.shape), mask)
        if parts:
            joined = bridge([ring for part in parts for ring in part])
            np.testing.assert_array_equal(draw([[joined]], mask.shape), mask)


def test_rings_of_a_part_are_filled_where_an_odd_number_lies_around():
    outer = [0, 0, 8, 0, 8, 8, 0, 8]
    hole = [2, 2, 6, 2, 6, 6, 2, 6]
    island = [3, 3, 5, 3, 5, 5, 3, 5]
    # 64 - 16 + 4 pixels
    mask = draw([[outer, hole, island]], (10, 12))
    assert mask.sum() == 52
    assert mask[4, 4] and not mask[2, 2] and mask[1, 1]
    # As parts they are one union.
    assert draw([[outer], [hole], [island]], (10, 12)).sum() == 64


def test_a_bridge_between_any_polygons_changes_no_pixel():
    rng = np.random.default_rng(1)
    for _ in range(100):
        height, width = rng.integers(5, 60, 2)
        points = (rng.random((4, 5, 2)) * 1.4 - 0.2) * (width, height)
        rings = [ring.ravel().tolist() for ring in points[: rng.integers(2, 5)]]
        alone = [draw([[ring]], (height, width)) for ring in rings]
        expected = np.logical_xor.reduce(alone)
        np.testing.assert_array_equal(draw([rings], (height, width)), expected)
