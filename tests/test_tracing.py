"""Outlines along the edges of pixels."""

import numpy as np
import pytest
from matplotlib.path import Path

from mrcnn.image import signed_area, trace_mask


def mask_of(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def corners(ring):
    return {tuple(corner) for corner in ring.tolist()}


def test_a_pixel_is_a_square_of_its_corners():
    (ring,) = trace_mask(mask_of("...", ".#."))
    # Row 1 and column 1 reach from 1 to 2.
    assert ring.shape == (4, 2) and ring.dtype == float
    assert corners(ring) == {(1, 1), (2, 1), (2, 2), (1, 2)}
    assert signed_area(ring) == 1


def test_corners_in_line_are_left_out_and_the_border_is_no_hindrance():
    (ring,) = trace_mask(mask_of("##.", "###"))
    assert corners(ring) == {(0, 0), (2, 0), (2, 1), (3, 1), (3, 2), (0, 2)}
    assert signed_area(ring) == 5


def test_a_hole_runs_the_other_way():
    outside, hole = sorted(trace_mask(mask_of("####", "#.##", "####")), key=signed_area)[::-1]
    assert corners(outside) == {(0, 0), (4, 0), (4, 3), (0, 3)} and signed_area(outside) == 12
    assert corners(hole) == {(1, 1), (2, 1), (2, 2), (1, 2)} and signed_area(hole) == -1


def test_pixels_that_meet_at_a_corner_have_a_ring_each():
    rings = trace_mask(mask_of("#.", ".#"))
    assert [signed_area(ring) for ring in rings] == [1, 1]


def test_no_pixel_no_ring():
    assert trace_mask(np.zeros((3, 4), bool)) == []


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_filled_by_the_even_odd_rule_they_are_the_mask(share):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:9, :12] + 0.5
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1)
    for _ in range(20):
        mask = rng.random((9, 12)) < share
        rings = trace_mask(mask)
        inside = [Path(np.vstack([ring, ring[:1]])).contains_points(centres) for ring in rings]
        np.testing.assert_array_equal(np.sum(inside, axis=0).reshape(9, 12) % 2, mask)
        assert sum(map(signed_area, rings)) == mask.sum()
