"""A bilinear sample of a ramp is the ramp itself, so every sample can be worked out on paper.

Images of 5 or 9 pixels make normalised coordinates quarters or eighths: exact in float32.
"""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import ops
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, gradient, i32

from mrcnn.ops import pooling, roi_align

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
needs_tensorflow = pytest.mark.skipif(not ON_TENSORFLOW, reason="no native path")
BOTH_PATHS = pytest.mark.parametrize("native", [False, True])


def image_of(function, height, width):
    """float [1, height, width, 1] of `function(y, x)`."""
    y, x = np.mgrid[:height, :width].astype("float32")
    return f32(function(y, x)[None, ..., None])


def ramp(height, width):
    return image_of(lambda y, x: 10 * y + x, height, width)


def norm(boxes, height, width):
    """Pixels to normalised coordinates: (y1, x1, y2 - 1, x2 - 1) over (h - 1, w - 1)."""
    boxes = np.array(boxes, "float32") - [0, 0, 1, 1]
    return boxes / (np.array([height, width, height, width]) - 1)


# ---- roi_levels


@pytest.mark.parametrize(
    ("height", "width", "level"),
    [
        (224, 224, 4),  # (223 / 1023 * 1024) / 224 = 0.9965, log2 -0.005
        (112, 112, 3),
        (448, 448, 5),
        (112, 448, 4),  # sqrt(112 * 448) = 224
        (158, 158, 3),  # (157 / 1023 * 1024) / 224 = 0.7016, log2 -0.511
        (160, 160, 4),  # (159 / 1023 * 1024) / 224 = 0.7105, log2 -0.493
        (20, 20, 2),  # log2 -3.6: clipped
        (1024, 1024, 5),  # log2 2.2: clipped
        (1, 1, 2),  # corner pixel: no area in normalised coordinates
    ],
)
def test_level_of_a_box(height, width, level):
    box = norm([[[0, 0, height, width]]], 1024, 1024)
    levels = roi_align.roi_levels(f32(box), f32([[1024, 1024]]), 4)
    assert keras.backend.standardize_dtype(levels.dtype) == "int32"
    assert_array_equal(levels, [[level - 2]])


def test_level_depends_on_the_size_of_each_image():
    # Half of 448 and of 224 pixels: 224 -> P4, 112 -> P3; 448 x 112 -> P4.
    boxes = f32([[[0, 0, 0.5, 0.5]]] * 3)
    shapes = f32([[448, 448], [224, 224], [896, 224]])
    assert_array_equal(roi_align.roi_levels(boxes, shapes, 4), [[2], [1], [2]])


def test_levels_end_with_the_pyramid():
    boxes = f32([[[0, 0, 1, 1], [0, 0, 0, 0]]])
    assert_array_equal(roi_align.roi_levels(boxes, f32([[1024, 1024]]), 2), [[1, 0]])
    assert_array_equal(roi_align.roi_levels(boxes, f32([[1024, 1024]]), 1), [[0, 0]])


def test_levels_of_no_boxes():
    assert roi_align.roi_levels(f32(np.zeros((2, 0, 4))), f32([[8, 8]] * 2), 4).shape == (2, 0)


# ---- pyramid_crop_and_resize


def crop(features, boxes, pool_size, native, levels=None):
    """The only channel of `pyramid_crop_and_resize`, [B, N, P, P]."""
    levels = np.zeros(np.shape(boxes)[:2]) if levels is None else levels
    pooled = roi_align.pyramid_crop_and_resize(features, f32(boxes), i32(levels), pool_size, native)
    return convert_to_numpy(pooled)[..., 0]


@BOTH_PATHS
def test_crop_spans_the_box_from_corner_to_corner(native):
    # Rows 0.25, 0.5, 0.75 of 4; columns 0.5, 0.75, 1 of 8.
    expected = [[14, 16, 18], [24, 26, 28], [34, 36, 38]]
    pooled = crop([ramp(5, 9)], [[[0.25, 0.5, 0.75, 1]]], 3, native)
    assert_allclose(pooled, [[expected]], rtol=1e-6)


@BOTH_PATHS
def test_crop_interpolates_between_pixels(native):
    # Rows 0.125 * 4 = 0.5 and 1; columns 0.0625 * 8 = 0.5 and 3.
    pooled = crop([ramp(5, 9)], [[[0.125, 0.0625, 0.25, 0.375]]], 2, native)
    assert_allclose(pooled, [[[[5.5, 8], [10.5, 13]]]], rtol=1e-6)
    # Squares are no ramp: 0.5 lies halfway from 0 to 1, 1.5 halfway from 1 to 4.
    squares = image_of(lambda y, x: y * y, 5, 5)
    pooled = crop([squares], [[[0.125, 0, 0.375, 0]]], 2, native)
    assert_allclose(pooled, [[[[0.5, 0.5], [2.5, 2.5]]]], rtol=1e-6)


@BOTH_PATHS
def test_crop_to_one_bin_takes_the_center(native):
    # Row 0.5 * 4 = 2, column 0.75 * 8 = 6.
    assert_allclose(crop([ramp(5, 9)], [[[0.25, 0.5, 0.75, 1]]], 1, native), [[[[26]]]])


@BOTH_PATHS
def test_crop_of_a_box_without_area_repeats_one_sample(native):
    # Row 2, column 4; a padding box reads the first pixel.
    pooled = crop([ramp(5, 9) + 1], [[[0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0]]], 2, native)
    assert_allclose(pooled, [[[[25, 25], [25, 25]], [[1, 1], [1, 1]]]])


@BOTH_PATHS
def test_crop_of_the_whole_image_reaches_every_corner(native):
    pooled = crop([ramp(5, 9) + 1], [[[0, 0, 1, 1]]], 2, native)
    assert_allclose(pooled, [[[[1, 9], [41, 49]]]], rtol=1e-6)


@BOTH_PATHS
def test_boxes_of_several_levels_and_images_keep_their_order(native):
    # The center of every map: rows 2, 1, 0 and columns 4, 2, 0, plus 100 a level, 1000 an image.
    features = [
        ops.concatenate([ramp(h, w) + 100 * level + 1000 * image for image in (0, 1)])
        for level, (h, w) in enumerate([(5, 9), (3, 5), (1, 1)])
    ]
    levels = [[2, 0, 1, 0, 2], [1, 2, 2, 0, 1]]
    pooled = crop(features, [[[0.5] * 4] * 5] * 2, 1, native, levels)[..., 0, 0]
    assert_allclose(pooled, [[200, 24, 112, 24, 200], [1112, 1200, 1200, 1024, 1112]])


@BOTH_PATHS
def test_channels_stay_apart(native):
    feature = ops.concatenate([ramp(5, 5), 2 * ramp(5, 5)], axis=-1)
    box, level = f32([[[0.5, 0.5, 0.5, 0.5]]]), i32([[0]])
    pooled = roi_align.pyramid_crop_and_resize([feature], box, level, 1, native)
    assert_allclose(pooled, [[[[[22, 44]]]]])


@BOTH_PATHS
def test_crop_of_no_boxes(native):
    assert crop([ramp(5, 5), ramp(3, 3)], np.zeros((1, 0, 4)), 7, native).shape == (1, 0, 7, 7)


# ---- pyramid_roi_align


def align(feature, boxes, pool_size, ratio, aligned=True, native=False, shape=None):
    """RoIAlign of pixel boxes [N, 4] on one map of one image -> [N, P, P]."""
    shape = shape or feature.shape[1:3]
    pooled = roi_align.pyramid_roi_align(
        [feature],
        f32([norm(boxes, *shape)]),
        i32(np.zeros((1, len(boxes)))),
        pool_size,
        f32([shape]),
        ratio,
        aligned,
        native,
    )
    return convert_to_numpy(pooled)[0, ..., 0]


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("aligned", "expected"),
    [
        # The box covers features (1, 2) to (5, 10); bins are 2 x 4, centered on rows 2, 4 and
        # columns 4, 8. Aligned: half a pixel less. Samples lie symmetrically around the centers.
        (False, [[24, 28], [44, 48]]),
        (True, [[18.5, 22.5], [38.5, 42.5]]),
    ],
)
def test_bins_of_a_ramp_hold_their_centers(aligned, expected, ratio, native):
    pooled = align(ramp(8, 16), [[4, 8, 20, 40]], 2, ratio, aligned, native, (32, 64))
    assert_allclose(pooled, [expected], rtol=1e-5)


@BOTH_PATHS
@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (1, 4.0),  # row 2
        (2, 5.0),  # rows 1 and 3: (1 + 9) / 2
        (4, 5.5),  # rows 0.5, 1.5, 2.5, 3.5: (0.5 + 2.5 + 6.5 + 12.5) / 4
        (0, 5.5),  # ceil(4 / 1) = 4 samples
    ],
)
def test_bin_is_the_mean_of_its_samples(ratio, expected, native):
    squares = image_of(lambda y, x: y * y, 5, 5)
    pooled = align(squares, [[0, 0, 4, 4]], 1, ratio, False, native)
    assert_allclose(pooled, [[[expected]]], rtol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize(
    ("pool_size", "height", "rows"),
    [
        (1, 2.0, [1.5]),  # 2 samples, rows 0.5 and 1.5: (0.5 + 2.5) / 2
        (1, 2.5, [2.19444]),  # 3, rows 5/12, 15/12, 25/12: (0.41667 + 1.75 + 4.41667) / 3
        (2, 4.0, [1.5, 9.5]),  # 2 a bin: (0.5 + 2.5) / 2, (6.5 + 12.5) / 2
        (2, 2.0, [0.5, 2.5]),  # 1 a bin, rows 0.5 and 1.5
        (2, 0.0, [0.25, 0.75]),  # at least one pixel high: rows 0.25 and 0.75
    ],
)
def test_adaptive_takes_a_sample_for_each_pixel_begun(pool_size, height, rows, native):
    squares = image_of(lambda y, x: y * y, 9, 9)
    pooled = align(squares, [[0, 4, height, 5]], pool_size, 0, False, native)
    assert_allclose(pooled[0, :, 0], rows, rtol=1e-4)


@BOTH_PATHS
def test_adaptive_counts_each_axis_alone(native):
    # 4 rows and 2 columns in 2 x 2 bins: 2 samples down, 1 across. Rows as above: 1.5, 9.5;
    # columns 0.5 -> 0.5, 1.5 -> 2.5, times 100.
    squares = image_of(lambda y, x: y * y + 100 * x * x, 9, 9)
    pooled = align(squares, [[0, 0, 4, 2]], 2, 0, False, native)
    assert_allclose(pooled, [[[51.5, 251.5], [59.5, 259.5]]], rtol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 1])
@pytest.mark.parametrize(
    ("center", "expected"),
    [
        (-0.5, 1),  # repeats row and column 0
        (-1, 1),  # one pixel outside still does
        (-1.25, 0),
        (4.5, 45),  # repeats row and column 4
        (5, 45),
        (5.25, 0),
    ],
)
def test_samples_repeat_the_border_up_to_one_pixel_outside(center, expected, ratio, native):
    box = [[center - 0.5, center - 0.5, center + 0.5, center + 0.5]]
    pooled = align(ramp(5, 5) + 1, box, 1, ratio, False, native)
    assert_allclose(pooled, [[[expected]]], rtol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 1, 2])
def test_only_the_samples_outside_are_zero(ratio, native):
    # Columns -4 to 2 in bins of 3: the first bin ends at -1, the second has its center at 0.5.
    ones = image_of(lambda y, x: 1 + 0 * x, 5, 5)
    pooled = align(ones, [[0, -4, 2, 2]], 2, ratio, False, native)
    assert_allclose(pooled, [[[0, 1], [0, 1]]], rtol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 1, 2])
def test_box_without_area(ratio, native):
    point = [[2, 3, 2, 3]]
    # Unaligned: one pixel from (2, 3), center (2.5, 3.5). Aligned: the point, half a pixel less.
    assert_allclose(align(ramp(9, 9), point, 1, ratio, False, native), [[[28.5]]], rtol=1e-6)
    assert_allclose(align(ramp(9, 9), point, 1, ratio, True, native), [[[17.5]]], rtol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 2])
def test_align_takes_each_box_from_its_level(ratio, native):
    # Constant maps: 1 and 2 in image 0, 11 and 12 in image 1.
    features = [f32([1, 11])[:, None, None, None] + f32(np.zeros((2, 9, 9, 1)))]
    features.append(features[0][:, ::2, ::2] + 1)
    boxes = f32(np.tile([0.25, 0.25, 0.75, 0.75], (2, 5, 1)))
    levels, shapes = i32([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1]]), f32([[9, 9], [9, 9]])
    pooled = roi_align.pyramid_roi_align(features, boxes, levels, 1, shapes, ratio, native=native)
    expected = [[2, 1, 2, 2, 1], [11, 11, 12, 11, 12]]
    assert_allclose(pooled[..., 0, 0, 0], expected, rtol=1e-6)


@BOTH_PATHS
def test_adaptive_pools_any_number_of_boxes(monkeypatch, native):
    monkeypatch.setattr(pooling, "_BLOCK", 4)
    # Boxes of 2 x 2 features at row i / 2 and column i / 4, twice the value in image 1:
    # 10 * (i / 2 + 1) + i / 4 + 1 = 11 + 5.25 i.
    for count in (0, 1, 4, 10):
        i = np.arange(count)
        boxes = norm(np.stack([i / 2, i / 4, i / 2 + 2, i / 4 + 2], axis=1), 9, 9)
        pooled = roi_align.pyramid_roi_align(
            [ops.concatenate([ramp(9, 9), 2 * ramp(9, 9)])],
            f32([boxes, boxes]),
            i32(np.zeros((2, count))),
            1,
            f32([[9, 9], [9, 9]]),
            sampling_ratio=0,
            aligned=False,
            native=native,
        )
        assert pooled.shape == (2, count, 1, 1, 1)
        assert_allclose(pooled[..., 0, 0, 0], np.outer([1, 2], 11 + 5.25 * i), rtol=1e-6)


@BOTH_PATHS
def test_adaptive_takes_many_samples_of_a_long_box(native):
    # 40 rows, 0.5 to 39.5, of which the last repeats row 39: (0.5 + ... + 38.5 + 39) / 40 =
    # (39 * 39 / 2 + 39) / 40 = 19.9875. Column 0.5.
    pooled = align(ramp(40, 3), [[0, 0, 40, 1]], 1, 0, False, native)
    assert_allclose(pooled, [[[199.875 + 0.5]]], rtol=1e-6)


@BOTH_PATHS
def test_adaptive_is_exact_for_a_box_much_larger_than_its_map(native):
    # Rows -100 to 105, 205 samples from -99.5 on. Six are inside: -0.5, 0.5, 1.5, 2.5, 3.5, 4.5
    # at rows 0, 0.5, 1.5, 2.5, 3.5, 4: 12 in sum, and 6 for their ones. Column 0.5: 6 * 0.5.
    pooled = align(ramp(5, 5) + 1, [[-100, 0, 105, 1]], 1, 0, False, native)
    assert_allclose(pooled, [[[(120 + 3 + 6) / 205]]], rtol=1e-5)


@BOTH_PATHS
@pytest.mark.parametrize("aligned", [False, True])
def test_adaptive_equals_the_ratio_it_chooses(aligned, native):
    # Sizes above 6 and up to 9 features in 3 bins: 3 samples.
    rng = np.random.default_rng(1)
    size = rng.uniform(6.1, 8.9, (40, 2))
    low = rng.uniform(0, 16 - size)
    boxes, feature = np.concatenate([low, low + size], 1), f32(rng.normal(size=(1, 16, 16, 1)))
    adaptive, fixed = (align(feature, boxes, 3, ratio, aligned, native) for ratio in (0, 3))
    assert_allclose(adaptive, fixed, atol=1e-5)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 1, 2])
def test_align_of_no_boxes(ratio, native):
    assert align(ramp(5, 5), np.zeros((0, 4)), 7, ratio, native=native).shape == (0, 7, 7)


# ---- any box, sample by sample


def odd_pyramid(seed, dtype="float32"):
    """Three levels of two images, boxes of every kind, levels, image shapes."""
    rng = np.random.default_rng(seed)
    features = [ops.cast(rng.normal(size=(2, side, side + 4, 3)), dtype) for side in (16, 8, 4)]
    low, size = rng.uniform(0, 0.6, (2, 20, 2)), rng.uniform(0, 0.4, (2, 20, 2))
    odd = [
        [-0.31, -0.22, 0.4, 0.5],  # over the border
        [0.7, 0.6, 1.43, 1.06],
        [0.45, 0.5, 0.452, 0.503],  # tiny, and without area
        [0.3, 0.3, 0.3, 0.3],
        [0.01, 0.4, 0.99, 0.42],  # elongated
        [0.9, 0.02, 0.92, 1.0],
        [-2.0, -3.0, 3.0, 2.5],  # larger than the image
        [-0.1, -7.0, 0.3, 8.0],
        [1.2, 0.1, 1.9, 0.6],  # all samples outside
        [0.2, -5.0, 0.5, -4.0],
    ]
    boxes = np.concatenate([low, low + size], axis=-1)
    boxes = np.concatenate([boxes, np.tile(odd, (2, 1, 1))], axis=1)
    levels = rng.integers(0, 3, boxes.shape[:2])
    return features, f32(boxes), i32(levels), f32([[64, 80], [64, 80]])


def first_level(seed, ratio, native):
    """The first map of an odd pyramid, and what is pooled from the pyramid as its function."""
    (first, *others), boxes, levels, shapes = odd_pyramid(seed)

    def pooled(feature):
        args = ([feature, *others], boxes, levels, 2, shapes, ratio)
        return roi_align.pyramid_roi_align(*args, native=native)

    return first, pooled


def sampled_bin(feature, low, step, samples):
    """Mean of `samples` = (rows, columns) points from `low` + step / 2 on, by RoIAlign's rule."""
    total = np.zeros(feature.shape[-1])
    for i, j in np.ndindex(*samples):
        point = low + (np.array([i, j]) + 0.5) * step
        extent = np.array(feature.shape[:2])
        if (point < -1).any() or (point > extent).any():
            continue
        point = np.clip(point, 0, extent - 1)
        y, x = np.minimum(point.astype(int), extent - 2)
        dy, dx = point - [y, x]
        total += (1 - dy) * ((1 - dx) * feature[y, x] + dx * feature[y, x + 1])
        total += dy * ((1 - dx) * feature[y + 1, x] + dx * feature[y + 1, x + 1])
    return total / np.prod(samples)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("aligned", [False, True])
def test_any_box_is_the_mean_of_its_samples(aligned, ratio, native):
    features, boxes, levels, shapes = odd_pyramid(6)
    pooled = roi_align.pyramid_roi_align(
        features, boxes, levels, 3, shapes, ratio, aligned, native, box_offset=0
    )
    expected = np.zeros(pooled.shape)
    maps = [convert_to_numpy(feature).astype("float64") for feature in features]
    for image, box in np.ndindex(*levels.shape):
        feature = maps[int(levels[image, box])][image]
        sides = np.tile(feature.shape[:2], 2)
        low, high = np.split(convert_to_numpy(boxes)[image, box] * sides, 2)
        size = high - low if aligned else np.maximum(high - low, 1)
        low = low - 0.5 if aligned else low
        # 1e-5: no sample more for a size that float32 makes a little too large.
        samples = np.full(2, ratio) if ratio else np.maximum(np.ceil(size / 3 - 1e-5), 1)
        samples = samples.astype(int)
        for i, j in np.ndindex(3, 3):
            corner = low + np.array([i, j]) * size / 3
            expected[image, box, i, j] = sampled_bin(feature, corner, size / 3 / samples, samples)
    assert_allclose(pooled, expected, atol=1e-4)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 2])
def test_align_keeps_the_type_of_its_features(ratio, native):
    features, boxes, levels, shapes = odd_pyramid(7, "bfloat16")
    exact = [ops.cast(feature, "float32") for feature in features]
    pooled, expected = (
        roi_align.pyramid_roi_align(maps, boxes, levels, 2, shapes, ratio, native=native)
        for maps in (features, exact)
    )
    assert keras.backend.standardize_dtype(pooled.dtype) == "bfloat16"
    # Sums are in float32: the rounding of the result, 2^-9, is the only error.
    assert_allclose(ops.cast(pooled, "float32"), expected, rtol=2**-8, atol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 1])
def test_gradient_of_bfloat16_is_summed_in_float32(ratio, native):
    # 1001 times the same pixel: bfloat16 counts to 256 only. 1001 rounds to 1000.
    box = f32(np.tile([[[0.5, 0.5, 0.5, 0.5]]], (1, 1001, 1)))

    def pooled(feature):
        args = ([feature], box, i32(np.zeros((1, 1001))), 1, f32([[5, 5]]), ratio)
        return ops.sum(ops.cast(roi_align.pyramid_roi_align(*args, native=native), "float32"))

    found = gradient(pooled, ops.zeros((1, 5, 5, 1), "bfloat16"))
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    expected = np.zeros((5, 5))
    expected[2, 2] = 1000  # 0.5 * 4 to 0.5 * 4 + 1, center 2.5, half a pixel less
    assert_array_equal(ops.cast(found, "float32")[0, ..., 0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0, 2])
def test_portable_path_compiles(ratio):
    features, boxes, levels, shapes = odd_pyramid(8)

    def pooled(feature, boxes, levels):
        pyramid = [feature, *features[1:]]
        args = (pyramid, boxes, levels, 2, shapes, ratio, True, False)
        return ops.sum(roi_align.pyramid_roi_align(*args) ** 2)

    def both(feature, boxes, levels):
        return pooled(feature, boxes, levels), gradient(lambda x: pooled(x, boxes, levels), feature)

    args = (features[0], boxes, levels)
    for found, expected in zip(compiled(both)(*args), both(*args), strict=True):
        assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def compiled(function):
    """`function` by XLA."""
    if ON_TENSORFLOW:
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    import jax

    return jax.jit(function)


# ---- the native path equals the portable one


def random_pyramid(seed):
    """Three levels of two images, boxes inside the image, levels, image shapes."""
    rng = np.random.default_rng(seed)
    features = [f32(rng.normal(size=(2, side, side + 4, 3))) for side in (16, 8, 4)]
    low, size = rng.uniform(0, 0.6, (2, 30, 2)), rng.uniform(0, 0.4, (2, 30, 2))
    boxes = f32(np.concatenate([low, low + size], axis=-1))
    return features, boxes, i32(rng.integers(0, 3, (2, 30))), f32([[64, 80], [64, 80]])


@needs_tensorflow
@pytest.mark.parametrize("pool_size", [1, 2, 7])
def test_both_paths_of_crop_agree(pool_size):
    features, boxes, levels, _ = random_pyramid(2)
    portable, native = (
        roi_align.pyramid_crop_and_resize(features, boxes, levels, pool_size, native)
        for native in (False, True)
    )
    assert_allclose(portable, native, atol=1e-4)


@needs_tensorflow
@pytest.mark.parametrize("ratio", [0, 1, 2])
@pytest.mark.parametrize("aligned", [False, True])
def test_both_paths_of_align_agree(aligned, ratio):
    features, boxes, levels, shapes = odd_pyramid(3)
    portable, native = (
        roi_align.pyramid_roi_align(features, boxes, levels, 3, shapes, ratio, aligned, native)
        for native in (False, True)
    )
    assert_allclose(portable, native, atol=1e-4)


@BOTH_PATHS
def test_gradient_of_a_sample_is_its_bilinear_weights(native):
    # Row 1.5, column 0.75: 0.5 each of rows 1 and 2, 0.25 and 0.75 of columns 0 and 1.
    def pooled(feature):
        box = f32([[[0.75, 0.375, 0.75, 0.375]]])
        return ops.sum(roi_align.pyramid_crop_and_resize([feature], box, i32([[0]]), 1, native))

    weights = [[0, 0, 0], [0.125, 0.375, 0], [0.125, 0.375, 0]]
    assert_allclose(gradient(pooled, f32(np.ones((1, 3, 3, 1))))[0, ..., 0], weights, rtol=1e-6)


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 1])
def test_gradient_of_a_sample_outside_is_zero(ratio, native):
    def pooled(feature):
        box = f32([norm([[-6, 0, -4, 2]], 5, 5)])
        shape = f32([[5, 5]])
        return ops.sum(
            roi_align.pyramid_roi_align([feature], box, i32([[0]]), 1, shape, ratio, False, native)
        )

    assert_array_equal(gradient(pooled, ramp(5, 5)), np.zeros((1, 5, 5, 1)))


@needs_tensorflow
@pytest.mark.parametrize("ratio", [0, 1, 2])
def test_gradients_of_both_paths_agree(ratio):
    features, boxes, levels, shapes = odd_pyramid(4)
    weight = f32(np.random.default_rng(5).normal(size=(2, 30, 2, 2, 3)))

    def gradients(native):
        def pooled(level, feature):
            pyramid = [*features[:level], feature, *features[level + 1 :]]
            return ops.sum(
                weight
                * roi_align.pyramid_roi_align(
                    pyramid, boxes, levels, 2, shapes, ratio, native=native
                )
            )

        return [gradient(lambda f, i=i: pooled(i, f), x) for i, x in enumerate(features)]

    for portable, native in zip(gradients(False), gradients(True), strict=True):
        assert_allclose(portable, native, atol=1e-4)
        assert np.abs(native).max() > 0


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 2])
def test_gradient_loses_nothing_where_boxes_overlap(ratio, native):
    # 400 times the same box of 7 x 7 bins, each with the weight 1 in all. Threads that add to one
    # pixel without waiting for each other would lose some, as `tf.image.crop_and_resize` does.
    box = f32(np.tile([[[0.1, 0.2, 0.6, 0.7]]], (1, 400, 1)))

    def pooled(feature):
        args = ([feature], box, i32(np.zeros((1, 400))), 7, f32([[128, 128]]), ratio)
        return ops.sum(roi_align.pyramid_roi_align(*args, native=native))

    found = gradient(pooled, f32(np.zeros((1, 32, 32, 256))))
    channels = convert_to_numpy(found).sum((0, 1, 2))
    assert_allclose(channels, np.full(256, 400 * 49), rtol=1e-4)


@needs_tensorflow
@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 2])
def test_gradient_passes_through_a_graph(ratio, native):
    import tensorflow as tf

    feature, pooled = first_level(9, ratio, native)

    def total(feature):
        return ops.sum(pooled(feature) ** 2)

    inside, outside = (gradient(f, feature) for f in (tf.function(total), total))
    assert_allclose(inside, outside, atol=1e-5)
    assert np.abs(inside).max() > 0


@needs_tensorflow
@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 2])
def test_pooling_does_not_keep_the_graph_of_its_model(ratio, native):
    import tensorflow as tf

    feature, pooled = first_level(10, ratio, native)
    traced = tf.function(pooled)
    graph = weakref.ref(traced.get_concrete_function(feature).graph)
    assert graph() is not None
    del traced
    gc.collect()
    assert graph() is None


# ---- crop_and_resize_masks


def crop_masks(mask, boxes, shape):
    masks = np.tile(mask, (1, len(boxes), 1, 1))
    return convert_to_numpy(roi_align.crop_and_resize_masks(masks, f32([boxes]), shape))[0]


MASK = [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("box", "shape", "expected"),
    [
        ([0, 0, 1, 1], (3, 3), MASK),
        ([0, 0, 1, 1], (2, 2), [[0, 0], [0, 1]]),  # the corner pixels
        ([0, 0, 0.5, 0.5], (2, 2), [[0, 1], [1, 0]]),  # the upper left 2 x 2 pixels
        # Rows 0, 0.5, 1 and column 0: 0, half of 0 and 1, 1.
        ([0, 0, 0.5, 0], (3, 1), [[0], [0.5], [1]]),
        # Row 0.25 * 2 = 0.5 of columns 0, 1, 2: halves of (0, 1), (1, 0), (0, 0).
        ([0.25, 0, 0.25, 1], (1, 3), [[0.5, 0.5, 0]]),
        ([0, 0, 0.5, 0.5], (1, 1), [[0.5]]),  # center (0.5, 0.5) of 0 1 / 1 0
        ([1, 1, 0, 0], (2, 2), [[1, 0], [0, 0]]),  # turned round
        ([1, 1, 1, 1], (2, 2), [[1, 1], [1, 1]]),  # a point repeats one sample
        # Rows and columns -1, 0, 1: outside is 0.
        ([-0.5, -0.5, 0.5, 0.5], (3, 3), [[0, 0, 0], [0, 0, 1], [0, 1, 0]]),
        # Rows and columns 1, 2, 3.
        ([0.5, 0.5, 1.5, 1.5], (3, 3), [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        ([1.5, 1.5, 2, 2], (2, 2), [[0, 0], [0, 0]]),  # outside altogether
    ],
)
def test_crop_of_a_mask(box, shape, expected):
    assert_allclose(crop_masks(MASK, [box], shape), [expected], atol=1e-6)


def test_each_box_has_its_own_mask_of_any_type():
    masks = np.zeros((2, 2, 2, 4), bool)
    masks[0, 1], masks[1, 0, 1, 3] = True, True
    boxes = f32(np.tile([0, 0, 1, 1], (2, 2, 1)))
    cropped = roi_align.crop_and_resize_masks(ops.convert_to_tensor(masks), boxes, (2, 2))
    assert keras.backend.standardize_dtype(cropped.dtype) == "float32"
    ones, corner, none = [[1, 1], [1, 1]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]
    assert_allclose(cropped, [[none, ones], [corner, none]])


def test_crop_of_no_masks():
    cropped = roi_align.crop_and_resize_masks(
        f32(np.zeros((2, 0, 5, 5))), f32(np.zeros((2, 0, 4))), (3, 4)
    )
    assert cropped.shape == (2, 0, 3, 4)


@needs_tensorflow
def test_crop_of_masks_equals_tensorflow():
    import tensorflow as tf

    rng = np.random.default_rng(6)
    masks = rng.uniform(size=(1, 50, 9, 12)).astype("float32")
    low = rng.uniform(-0.3, 0.8, (50, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 0.5, (50, 2))], 1).astype("float32")
    expected = tf.image.crop_and_resize(masks[0][..., None], boxes, np.arange(50), (5, 7))
    cropped = roi_align.crop_and_resize_masks(masks, f32([boxes]), (5, 7))
    assert_allclose(cropped[0], expected[..., 0], atol=1e-5)


# ---- roi_levels, rounded down


@pytest.mark.parametrize(
    ("height", "width", "level"),
    [
        (224, 224, 4),  # log2(1) = 0
        (223.9, 223.9, 3),  # log2 -0.0006
        (448, 448, 5),  # log2(2) = 1
        (447.8, 447.8, 4),  # log2 0.9994
        (112, 112, 3),  # log2(0.5) = -1
        (111.9, 111.9, 2),  # log2 -1.0013
        (112, 448, 4),  # sqrt(112 * 448) = 224
        (20, 20, 2),  # log2 -3.5: clipped
        (0, 0, 2),
    ],
)
@pytest.mark.parametrize("image", [(1024, 1024), (800, 1088), (1344, 800), (608, 928)])
def test_level_of_a_box_rounded_down(image, height, width, level):
    # Sides that are no powers of two: 224 pixels are 224 only up to the last bit of float32.
    box = np.array([[[0, 0, height, width]]]) / np.tile(image, 2)
    assert_array_equal(roi_align.roi_levels(f32(box), f32([image]), 4, "floor"), [[level - 2]])


def test_level_of_224_pixels_wherever_they_are():
    low = np.stack([np.arange(0, 564, 12), np.arange(1056, 492, -12)], axis=1)
    boxes = np.concatenate([low, low + 224], axis=1) / [800, 1344, 800, 1344]
    levels = roi_align.roi_levels(f32([boxes]), f32([[800, 1344]]), 4, "floor")
    assert_array_equal(levels, np.full((1, 47), 2))


# ---- pyramid_roi_align, offset 0


@BOTH_PATHS
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("aligned", "expected"),
    [(False, [[24, 28], [44, 48]]), (True, [[18.5, 22.5], [38.5, 42.5]])],
)
def test_offset_0_pools_the_same_pixels(aligned, expected, ratio, native):
    # As `test_bins_of_a_ramp_hold_their_centers`; the box (4, 8) to (20, 40) of 32 x 64 pixels is
    # (1/8, 1/8) to (5/8, 5/8).
    pooled = roi_align.pyramid_roi_align(
        [ramp(8, 16)],
        f32([[[0.125, 0.125, 0.625, 0.625]]]),
        i32([[0]]),
        2,
        f32([[32, 64]]),
        ratio,
        aligned,
        native,
        box_offset=0,
    )
    assert_allclose(pooled[0, ..., 0], [expected], rtol=1e-5)


# ---- roi_align_masks


def align_masks(mask, boxes, shape, aligned):
    boxes = f32([boxes])
    matches = i32(np.zeros(boxes.shape[:2]))
    found = roi_align.roi_align_masks(f32([[mask]]), matches, boxes, shape, aligned)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    return convert_to_numpy(found)[0]


PLANE = np.add.outer(10 * np.arange(4), np.arange(4))  # 4 x 4: a sample is 10 y + x


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        # The whole in 4 x 4 bins: centers 0.5, 1.5, 2.5, and 3.5, which repeats the border.
        ([0, 0, 1, 1], [0.5, 1.5, 2.5, 3], [0.5, 1.5, 2.5, 3]),
        # The upper half in 2 x 2 bins of 1 x 2 pixels. Columns 0.5, 1.5 and 2.5, 3.5 (3).
        ([0, 0, 0.5, 1], [0.5, 1.5], [1, 2.75]),
        # The lower right quarter: pixels 2 to 4, centers 2.5 and 3.5 (3).
        ([0.5, 0.5, 1, 1], [2.5, 3], [2.5, 3]),
        # Without area: at least one pixel, from 2 to 3.
        ([0.5, 0.5, 0.5, 0.5], [2.5], [2.5]),
    ],
)
def test_roi_align_of_a_mask(box, rows, columns):
    expected = np.add.outer(10 * np.array(rows), columns)
    found = align_masks(PLANE, [box], expected.shape, aligned=False)
    assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ([0, 0, 1, 1], [0, 1, 2, 3], [0, 1, 2, 3]),  # the mask itself
        ([0, 0, 0.5, 1], [0, 1], [0.5, 2.5]),  # columns 0, 1 and 2, 3
        ([0.5, 0.5, 1, 1], [2, 3], [2, 3]),
        ([0.5, 0.5, 0.5, 0.5], [1.5], [1.5]),  # a point
    ],
)
def test_roi_align_of_a_mask_aligned(box, rows, columns):
    expected = np.add.outer(10 * np.array(rows), columns)
    found = align_masks(PLANE, [box], expected.shape, aligned=True)
    assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("aligned", "expected"),
    [
        # Rows -2 to 2, two samples a bin: -1.5 is outside and counts as zero, -0.5 repeats the
        # border: (0 + 10) / 2. Rows 0.5 and 1.5: (15 + 25) / 2.
        (False, [[5], [20]]),
        # -2 is outside, -1 repeats the border: (0 + 10) / 2. Rows 0 and 1: (10 + 20) / 2.
        (True, [[5], [15]]),
    ],
)
def test_roi_align_of_a_box_partly_outside_its_mask(aligned, expected):
    rows = np.tile(10 * np.arange(1, 5)[:, None], 4)
    found = align_masks(rows, [[-0.5, 0, 0.5, 1]], (2, 1), aligned)
    assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_of_a_box_outside_its_mask_is_zero(aligned):
    found = align_masks(PLANE + 1, [[1.5, 0, 2.5, 1], [0, -2, 1, -1]], (2, 2), aligned)
    assert_array_equal(found, np.zeros((2, 2, 2)))


def test_roi_align_takes_the_mask_of_each_match():
    masks = np.zeros((2, 3, 2, 2), bool)
    masks[0, 2], masks[1, 1, 1, 0] = True, True
    boxes = f32(np.tile([0, 0, 1, 1], (2, 2, 1)))
    found = roi_align.roi_align_masks(
        ops.convert_to_tensor(masks), i32([[2, 0], [1, 1]]), boxes, (2, 2), True
    )
    ones, corner, none = [[1, 1], [1, 1]], [[0, 0], [1, 0]], [[0, 0], [0, 0]]
    assert_allclose(found, [[ones, none], [corner, corner]])


def test_roi_align_of_a_box_twice_as_high_as_its_mask():
    # Rows -4 to 4 of a mask of 4, eight samples: -3.5 to 3.5, of which the five from -0.5 on count.
    found = align_masks(np.ones((4, 4)), [[-1, 0, 1, 1]], (1, 1), aligned=False)
    assert_allclose(found, [[[5 / 8]]])


def test_roi_align_of_a_box_five_times_as_high_as_its_mask():
    # Rows -8 to 12, twenty samples: -7.5 to 11.5, of which the same five count.
    found = align_masks(np.ones((4, 4)), [[-2, 0, 3, 1]], (1, 1), aligned=False)
    assert_allclose(found, [[[5 / 20]]])
