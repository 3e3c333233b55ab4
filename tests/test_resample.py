"""Pixels under new centres, and bilinear values bit for bit as scikit-image's."""

import platform

import numpy as np
import pytest

from mrcnn.image import resampling as resample
from mrcnn.image import resize


def test_nearest_is_the_pixel_under_the_centre():
    # 3 -> 2: centres 0.5 * 3 / 2 = 0.75 and 2.25; 2 -> 3: 1/3, 1 (the pixel on its right), 5/3
    assert resample.nearest(3, 2).tolist() == [0, 2]
    assert resample.nearest(2, 3).tolist() == [0, 1, 1]


def test_bilinear_of_both_axes_and_channels():
    # 2 -> 1 along each axis: the mean of 1, 2, 3, 4 and of 10, 20, 30, 40
    image = np.array([[[1, 10], [2, 20]], [[3, 30], [4, 40]]], "uint8")
    assert resample.bilinear(image, (1, 1)).tolist() == [[[2.5, 25.0]]]
    assert resample.bilinear(image, (1, 1), dtype=np.uint8).tolist() == [[[2, 25]]]


def pictures(rng):
    """With values between, with ties at a half, without contrast, below 0 and above 1."""
    shape = tuple(rng.integers(1, 60, 2))
    yield rng.random(shape)
    yield rng.random(shape).astype(np.float32)
    yield rng.random(shape) > 0.5
    yield np.full(shape, 0.5)
    yield rng.normal(size=shape).astype(np.float16)
    yield rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    yield rng.integers(77, 79, (*shape, 1)).astype(np.uint8)
    yield rng.integers(-(2**20), 2**20, (*shape, 2))
    yield rng.normal(100, 60, (*shape, 3)).astype(np.float32)


@pytest.mark.parametrize("block", [1, 100, resample._BLOCK])
@pytest.mark.parametrize("border", ["constant", "edge"])
def test_bilinear_is_the_librarys_resize(monkeypatch, border, block):
    monkeypatch.setattr(resample, "_BLOCK", block)
    rng = np.random.default_rng(0)
    for _ in range(20):
        for picture in pictures(rng):
            size = tuple(rng.integers(1, 150, 2))
            plain = picture.astype(float) if picture.dtype == bool else picture
            expected = resize(plain, size, mode=border, preserve_range=True)
            found = resample.bilinear(picture, size, border)
            assert found.dtype == expected.dtype
            if platform.machine() in ("x86_64", "AMD64"):  # elsewhere compilers may fuse x * y + z
                np.testing.assert_array_equal(found, expected)
            else:
                np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
            for threshold in (0.25, 0.5):
                np.testing.assert_array_equal(found >= threshold, expected >= threshold)
            np.testing.assert_array_equal(found > 0.5, np.around(expected) > 0.5)


def test_a_picture_larger_than_a_block():
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    expected = resize(picture, (200, 251), preserve_range=True).astype(np.uint8)
    assert expected.size > resample._BLOCK  # so several
    found = resample.bilinear(picture, (200, 251), dtype=np.uint8)
    if platform.machine() in ("x86_64", "AMD64"):
        np.testing.assert_array_equal(found, expected)
    else:  # whole numbers may fall to the one below
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1
