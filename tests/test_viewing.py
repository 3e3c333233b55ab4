"""Pictures of any channels and values as people can see them."""

import numpy as np
import pytest

from mrcnn.image.viewing import to_uint8_rgb


def test_eight_bits_are_shown_as_they_are():
    five = np.array([[[1, 2, 3, 4, 5]]], np.uint8)
    assert to_uint8_rgb(five).tolist() == [[[1, 2, 3]]]
    assert to_uint8_rgb(five[:, :, :4]).tolist() == [[[1, 2, 3]]]
    assert to_uint8_rgb(five[:, :, :2]).tolist() == [[[1, 1, 1]]]
    two = np.array([[[-5.0, 9.0], [5.0, 1.0]]])
    assert to_uint8_rgb(two).tolist() == [[[0, 0, 0], [255, 255, 255]]]  # the first, stretched
    floats = np.array([[[0.0, 40.4, 254.6, 9e9]]])
    assert to_uint8_rgb(floats).tolist() == [[[0, 40, 255]]]


@pytest.mark.parametrize("values", [[0, 1024, 2048], [0, 2048, 4096]])
def test_twelve_bits_in_sixteen_are_stretched(values):
    image = np.array([values], np.uint16)
    # Least and largest become 0 and 255 but for a thousandth: the middle 127 or 128.
    shown = to_uint8_rgb(image)[0, :, 0].astype(int)
    assert shown[0] == 0 and abs(shown[1] - 127.5) <= 1 and shown[2] == 255


def test_each_channel_is_stretched_by_its_own_range():
    # Kelvin, metres below 0, and a constant.
    image = np.stack([np.linspace(290, 310, 101), np.linspace(-5, 5, 101), np.full(101, 7)], -1)
    shown = to_uint8_rgb(image[None])[0]
    assert shown[0].tolist() == [0, 0, 0] and shown[-1].tolist() == [255, 255, 0]
    assert abs(int(shown[50, 0]) - 127.5) <= 1 and abs(int(shown[50, 1]) - 127.5) <= 1


def test_what_is_no_picture_is_an_error():
    with pytest.raises(ValueError, match="finite"):
        to_uint8_rgb(np.array([[np.nan, 300.0]]))
