"""RoI max pooling: bins worked out on paper, and torchvision's own numbers."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from recipes import GOLDEN
from tensors import f32, gradient, i32

from mrcnn import layers, settings
from mrcnn.image import compose_image_meta
from mrcnn.ops.roi_pool import roi_pool, spatial_pyramid_pool, to_feature_pixels

# 10 y + x, 4 rows of 6.
RAMP = (10 * np.arange(4)[:, None] + np.arange(6.0))[None, :, :, None]


def pooled(features, boxes, pool_size, levels=None):
    """The only channel: [B, N, P, P]."""
    levels = np.zeros(np.shape(boxes)[:2]) if levels is None else levels
    found = roi_pool([f32(x) for x in features], f32(boxes), i32(levels), pool_size)
    return convert_to_numpy(found)[..., 0]


def test_bins_are_rounded_outwards_and_share_pixels():
    # Corners 0 to 2: three rows and columns, bins of 1.5: to 1.5 pixels 0 and 1, from there 1, 2.
    assert_array_equal(pooled([RAMP], [[[0, 0, 2, 2]]], 2), [[[[11, 12], [21, 22]]]])
    # Four rows in two bins of two; six columns in two of three.
    assert_array_equal(pooled([RAMP], [[[0, 0, 3, 5]]], 2), [[[[12, 15], [32, 35]]]])


def test_corners_are_rounded_halves_away_from_zero():
    # 0.5 -> 1, 2.5 -> 3: a row of pixels 1 to 3, of which the last is the largest.
    assert_array_equal(pooled([RAMP], [[[0.5, 0.5, 0.49999997, 2.5]]], 1), [[[[13]]]])
    # -0.5 -> -1: two columns before the map and its first: bins [-1, 0) and [0, 1) are 0 and 10.
    assert_array_equal(pooled([RAMP], [[[1, -0.5, 1, 0]]], 2)[0, 0, 0], [0, 10])


def test_a_box_without_area_is_one_pixel():
    assert_array_equal(pooled([RAMP], [[[2, 3, 2, 3], [2, 3, 0, 0]]], 2), [[[[23] * 2] * 2] * 2])


def test_bins_outside_the_map_are_zero_and_negative_maxima_stay():
    # Rows -2..1 in two bins: outside, and rows 0 and 1.
    found = pooled([RAMP - 100], [[[-2, 0, 1, 0], [50, 50, 60, 60]]], 2)
    assert_array_equal(found, [[[[0, 0], [-90, -90]], [[0, 0], [0, 0]]]])


def test_each_box_has_its_image_and_level():
    second = np.full((2, 2, 2, 1), 7.0)
    second[1] = 8
    features = [np.concatenate([RAMP, RAMP + 100]), second]
    boxes = [[[0, 0, 0, 1], [0, 0, 1, 1]], [[1, 1, 1, 1], [0, 0, 9, 9]]]
    found = pooled(features, boxes, 1, [[0, 1], [0, 1]])
    assert_array_equal(found[..., 0, 0], [[1, 7], [111, 8]])


def test_no_boxes():
    found = roi_pool([f32(RAMP)], f32(np.zeros((1, 0, 4))), i32(np.zeros((1, 0))), 2)
    assert ops.shape(found) == (1, 0, 2, 2, 1)


@pytest.mark.parametrize(("pool_size", "compiled"), [(1, False), (3, False), (7, True)])
def test_it_is_torchvisions_with_its_gradient(pool_size, compiled):
    # Boxes of any place and size over 13 x 70 features of stride 16, with many equal values; the
    # gradient of a sum weighted by small whole numbers is exact.
    with np.load(GOLDEN / "torchvision_roi_pool.npz") as file:
        known = dict(file)
    index, boxes = known["boxes"][:, 0].astype(int), known["boxes"][:, [2, 1, 4, 3]] / 16
    count = np.bincount(index).max()
    padded, place = np.zeros((2, count, 4)), np.zeros(len(index), int)
    weights = np.zeros((2, count, pool_size, pool_size, 3))
    for image in (0, 1):
        place[index == image] = np.arange((index == image).sum())
    padded[index, place] = boxes
    weights[index, place] = known[f"weights{pool_size}"]

    def pool(features):
        levels = i32(np.zeros((2, count)))
        return roi_pool([features], f32(padded), levels, pool_size)

    def both(features):
        return pool(features), gradient(lambda x: ops.sum(pool(x) * f32(weights)), features)

    run = compile_with_xla(both) if compiled else both
    found, slope = map(convert_to_numpy, run(f32(known["features"])))
    assert_array_equal(found[index, place], known[f"pooled{pool_size}"])
    assert_array_equal(slope, known[f"gradient{pool_size}"])


def compile_with_xla(function):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    import jax

    return jax.jit(function)


def test_the_gradient_goes_to_the_first_maximum():
    features = f32(np.array([[1, 5], [5, 0]]).reshape(1, 2, 2, 1))
    found = gradient(
        lambda x: ops.sum(roi_pool([x], f32([[[0, 0, 1, 1]]]), i32([[0]]), 1)) * 3, features
    )
    assert_array_equal(convert_to_numpy(found)[0, ..., 0], [[0, 3], [0, 0]])


def test_normalised_corners_fall_on_the_pixels_that_they_came_from():
    # Of 1000 x 1000 pixels, corners at halves of a feature pixel of 8: 4 / 8 rounds up to 1.
    corners = np.arange(4, 1000, 8)
    boxes = np.stack([corners, corners, corners + 8, corners + 8], axis=1)[None]
    for offset in (0, 1):
        normed = (boxes - np.array([0, 0, offset, offset])) / np.float32(1000 - offset)
        features = [f32(np.zeros((1, 125, 125, 1)))]
        levels = i32(np.zeros(boxes.shape[:2]))
        found = to_feature_pixels(features, f32(normed), levels, f32([[1000, 1000]]), offset)
        assert_array_equal(convert_to_numpy(found), boxes / 8)


def test_grids_of_a_spatial_pyramid_follow_each_other():
    features, boxes, levels = [f32(RAMP - 100)], f32([[[-2, 0, 1, 3]]]), i32([[0]])
    found = spatial_pyramid_pool(features, boxes, levels, (2, 1))
    # Rows -2..1: the upper bins have no pixel, and the grid of one has the rows 0 and 1.
    assert_array_equal(convert_to_numpy(found)[0, 0, :, 0], [0, 0, -89, -87, -87])
    rng = np.random.default_rng(0)
    features = [f32(rng.normal(size=(2, 9, 11, 3)))]
    boxes, levels = f32(rng.uniform(-4, 14, (2, 20, 4))), i32(np.zeros((2, 20)))
    found = spatial_pyramid_pool(features, boxes, levels, (6, 4, 3, 2, 1))
    single = [roi_pool(features, boxes, levels, grid) for grid in (6, 4, 3, 2, 1)]
    flat = [ops.reshape(x, (2, 20, -1, 3)) for x in single]
    assert_array_equal(convert_to_numpy(found), convert_to_numpy(ops.concatenate(flat, axis=2)))


def test_the_layer_pools_by_maximum():
    made = settings.Pooling(mode="roi_pool", box_offset=0)
    layer = layers.PyramidROIAlign(1, made)
    meta = f32([compose_image_meta(0, (64, 96, 3), (64, 96, 3), (0, 0, 64, 96), 1, [1])])
    # Pixels 16 to 32 of 64, 32 to 48 of 96: feature rows 1 to 2, columns 2 to 3.
    found = layer(f32([[[16 / 64, 32 / 96, 32 / 64, 48 / 96]]]), meta, [f32(RAMP)])
    assert_allclose(convert_to_numpy(found), [[[[[23]]]]])
