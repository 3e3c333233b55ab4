import types
import warnings

import numpy as np
import pytest

from mrcnn import image as im
from mrcnn.image import resize_mask


def ramp(height, width, dtype="uint8"):
    return np.arange(height * width * 3).reshape(height, width, 3).astype(dtype)


# ---- to_model_image


def test_uint8_passes_without_a_copy():
    picture = ramp(4, 6)
    assert im.to_model_image(picture) is picture


def test_grey_is_replicated_and_alpha_dropped():
    grey = np.array([[1, 2]], "uint8")
    expected = [[[1, 1, 1], [2, 2, 2]]]
    for picture in (grey, grey[:, :, None], np.stack([grey, grey + 9], 2)):
        np.testing.assert_array_equal(im.to_model_image(picture), expected)
    rgba = np.array([[[1, 2, 3, 99]]], "uint8")
    np.testing.assert_array_equal(im.to_model_image(rgba), [[[1, 2, 3]]])
    assert im.to_model_image(rgba, channels=4).shape == (1, 1, 4)
    assert im.to_model_image(grey, channels=1).shape == (1, 2, 1)


def test_uint16_maps_its_range_onto_uint8():
    # 128 / 257 = 0.498 -> 0; 129 / 257 = 0.502 -> 1; 65406 / 257 = 254.498 -> 254; 65407 -> 255
    picture = np.array([[0, 128, 129, 257, 65406, 65407, 65535]], "uint16")
    result = im.to_model_image(picture)
    assert result.dtype == np.uint8
    assert result[0, :, 0].tolist() == [0, 0, 1, 1, 254, 255, 255]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_on_the_255_scale(dtype):
    result = im.to_model_image(np.full((2, 2, 3), 128.5, dtype))
    assert result.dtype == np.float32 and result.min() == result.max() == 128.5


def test_integers_within_the_scale_become_uint8():
    result = im.to_model_image([[0, 255]])
    assert result.dtype == np.uint8 and result[0, :, 0].tolist() == [0, 255]


def test_floats_up_to_one_warn_unless_constant():
    with pytest.warns(UserWarning, match=r"cat: .* multiply by 255"):
        im.to_model_image(np.array([[0.0, 1.0]]), name="cat")
    im.to_model_image(np.zeros((2, 2)))
    im.to_model_image(np.array([[0.0, 1.5]]))


def test_floats_up_to_one_warn_once_for_each_owner():
    first, second = types.SimpleNamespace(), types.SimpleNamespace()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for owner, name in [(first, "a"), (first, "b"), (second, "c"), (None, "d"), (None, "e")]:
            im.to_model_image(np.array([[0.0, 1.0]]), name=name, owner=owner)
    assert [str(item.message)[:2] for item in caught] == ["a:", "c:", "d:", "e:"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((4, 4, 3), bool), "dtype bool"),
        (np.zeros((4, 4, 3), complex), "dtype complex"),
        (np.full((4, 4, 3), None), "dtype object"),
        (None, "dtype object"),
        ("cat.jpg", "the path 'cat.jpg'.*imread"),
        ([[1, 2], [3]], "one array"),
        (np.zeros((0, 4, 3), "uint8"), r"received \[0, 4, 3\]"),
        (np.zeros(3, "uint8"), r"received \[3\]"),
        (np.zeros((1, 4, 4, 3), "uint8"), "not a batch"),
        (np.zeros((4, 4, 5), "uint8"), "received 5"),
        (np.full((4, 4, 3), 256), r"received 256\.\.256"),
        (np.full((4, 4, 3), -1, "int8"), r"received -1\.\.-1"),
        (np.full((4, 4, 3), np.nan), "finite"),
        (np.full((4, 4), np.inf, "float32"), "finite"),
    ],
)
def test_bad_pictures_name_the_item(bad, words):
    with pytest.raises(ValueError, match=f"(?s)^picture 3: expected.*{words}"):
        im.to_model_image(bad, name="picture 3")


def test_other_channel_counts_must_match():
    with pytest.raises(ValueError, match="expected 5 channels, received 3"):
        im.to_model_image(ramp(2, 2), channels=5)


# ---- resize_image


def check_mask_follows(image, result):
    """A mask that is the image's bright part must be resized, cropped and padded like it."""
    resized, window, scale, padding, crop = result
    for count in (0, 2):
        mask = resize_mask(np.ones((*image.shape[:2], count), bool), scale, padding, crop)
        assert mask.shape == (*resized.shape[:2], count) and mask.dtype == bool
        y1, x1, y2, x2 = window
        assert mask[y1:y2, x1:x2].all() and mask.sum() == count * (y2 - y1) * (x2 - x1)


def test_mode_none_changes_nothing():
    picture = ramp(3, 5)
    result = im.resize_image(picture, 64, 64, 2, "none")
    assert result[0] is picture and result[1:] == ((0, 0, 3, 5), 1, [(0, 0)] * 3, None)
    check_mask_follows(picture, result)


def test_mode_square_scales_up_to_min_dim_and_pads_in_the_centre():
    # scale = 4 / 2 = 2: 2x3 -> 4x6; padding 8 - 4 = 4 -> 2 + 2 rows, 8 - 6 = 2 -> 1 + 1 columns
    picture = np.full((2, 3, 3), 7, "uint8")
    result = im.resize_image(picture, min_dim=4, max_dim=8, mode="square")
    assert result[1:] == ((2, 1, 6, 7), 2, [(2, 2), (1, 1), (0, 0)], None)
    expected = np.zeros((8, 8, 3), "uint8")
    expected[2:6, 1:7] = 7
    np.testing.assert_array_equal(result[0], expected)
    assert result[0].dtype == np.uint8
    check_mask_follows(picture, result)


def test_max_dim_limits_the_scale_and_odd_padding_goes_below():
    # min_dim asks for 6 / 3 = 2, but 2 * 8 = 16 > 8: scale = 8 / 8 = 1; rows 8 - 3 = 5 -> 2 + 3
    picture = ramp(3, 8)
    resized, window, scale, padding, _ = im.resize_image(picture, min_dim=6, max_dim=8)
    assert (window, scale, padding) == ((2, 0, 5, 8), 1, [(2, 3), (0, 0), (0, 0)])
    np.testing.assert_array_equal(resized[2:5], picture)


def test_large_images_shrink_only_to_respect_max_dim():
    # scale = 8 / 20 = 0.4: rows round(9 * 0.4 = 3.6) = 4, padding (8 - 4) / 2 = 2
    result = im.resize_image(np.full((9, 20, 3), 50, "uint8"), min_dim=4, max_dim=8)
    assert result[1:] == ((2, 0, 6, 8), 0.4, [(2, 2), (0, 0), (0, 0)], None)
    check_mask_follows(np.zeros((9, 20, 3)), result)


def test_a_sliver_keeps_one_pixel():
    # scale = 8 / 100: round(1 * 0.08) = 0 rows would lose the picture
    result = im.resize_image(np.full((1, 100, 3), 50, "uint8"), max_dim=8)
    assert result[1] == (3, 0, 4, 8)
    check_mask_follows(np.zeros((1, 100, 3)), result)


def test_min_scale():
    # min_dim asks for 1, min_scale for 1.5: 4x6 -> 6x9
    result = im.resize_image(ramp(4, 6), min_dim=4, max_dim=16, min_scale=1.5)
    assert result[1] == (5, 3, 11, 12) and result[2] == 1.5


def test_bilinear_values():
    # Pixel centres of 1x4 in 1x2: -0.25, 0.25, 0.75, 1.25. Between the two: 100 + 0.25 * 100 = 125
    # and 175. Outside, a quarter of the value is the zero beyond the edge: 0.75 * 200 = 150, and
    # 0.75 * 100 = 75, which is clipped to the smallest input, 100.
    picture = np.repeat(np.array([[100, 200]], "float32")[:, :, None], 3, axis=2)
    resized = im.resize_image(picture, max_dim=4, min_scale=2)[0]
    assert resized.dtype == np.float32
    np.testing.assert_allclose(im.resize(picture[:, :, 0], (1, 4), preserve_range=True),
                               [[100, 125, 175, 150]])  # fmt: skip
    assert resized.shape == (4, 4, 3)


def test_mode_pad64():
    # 60 -> 64: 2 + 2; 129 -> 192: 63 = 31 + 32
    picture = ramp(60, 129)
    result = im.resize_image(picture, mode="pad64")
    assert result[1:] == ((2, 31, 62, 160), 1, [(2, 2), (31, 32), (0, 0)], None)
    assert result[0].shape == (64, 192, 3)
    check_mask_follows(picture, result)
    assert im.resize_image(ramp(64, 128), mode="pad64")[1] == (0, 0, 64, 128)
    # scale = 64 / 32 = 2
    assert im.resize_image(ramp(32, 40), min_dim=64, mode="pad64")[0].shape == (64, 128, 3)


def test_mode_crop_is_inside_and_repeatable():
    picture = ramp(6, 9)
    seen = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        result = im.resize_image(picture, min_dim=4, mode="crop", rng=rng)
        resized, window, scale, _, (y, x, h, w) = result
        assert (window, scale, h, w) == ((0, 0, 4, 4), 1, 4, 4)
        np.testing.assert_array_equal(resized, picture[y : y + 4, x : x + 4])
        mask = resize_mask(picture, *result[2:])
        np.testing.assert_array_equal(mask, resized)
        seen.add((y, x))
    # y in 0..6 - 4 and x in 0..9 - 4, both ends included
    assert {y for y, _ in seen} == {0, 1, 2} and {x for _, x in seen} == {0, 1, 2, 3, 4, 5}


def test_mode_crop_scales_small_images_up():
    # scale = 4 / 2 = 2: 2x3 -> 4x6
    result = im.resize_image(ramp(2, 3), min_dim=4, mode="crop")
    assert result[0].shape == (4, 4, 3) and result[2] == 2 and result[4][0] == 0
    check_mask_follows(ramp(2, 3), result)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "squared", "max_dim": 8}, "received 'squared'"),
        ({"mode": "pad64", "min_dim": 100}, "received 100. Use 128"),
        ({"mode": "square"}, "expects max_dim"),
        ({"mode": "crop"}, "expects min_dim"),
    ],
)
def test_resize_errors(arguments, words):
    with pytest.raises(ValueError, match=words):
        im.resize_image(ramp(2, 2), **arguments)


@pytest.mark.parametrize("size", [(333, 500), (427, 640), (1, 7), (1023, 1025), (375, 1242)])
def test_mask_and_image_agree_to_the_pixel(size):
    picture = np.zeros((*size, 1), "float32")
    result = im.resize_image(picture, min_dim=100, max_dim=128)
    check_mask_follows(picture, result)


def test_mold_and_unmold():
    picture = np.array([[[0, 100, 255]]], "uint8")
    molded = im.mold_image(picture, np.array([123.7, 116.8, 103.9]))
    assert molded.dtype == np.float32
    # 0 - 123.7, 100 - 116.8, 255 - 103.9
    np.testing.assert_allclose(molded[0, 0], [-123.7, -16.8, 151.1], rtol=1e-6)
    values = np.arange(256).reshape(-1, 1).repeat(3, 1).astype("uint8")
    back = im.unmold_image(im.mold_image(values, [123.7, 116.8, 103.9]), [123.7, 116.8, 103.9])
    np.testing.assert_array_equal(back, values)
    # 0.4 + 0.2 = 0.6 -> 1; out of range is clipped
    assert im.unmold_image([[0.4, -9.0, 300.0]], [0.2, 0, 0]).tolist() == [[1, 0, 255]]


def test_meta_round_trip():
    meta = im.compose_image_meta(7, (4, 6, 3), (8, 9, 3), (1, 0, 7, 8), 1.5, [1, 0, 1])
    # 1 + 3 + 3 + 4 + 1 + 3 = 15
    assert meta.tolist() == [7, 4, 6, 3, 8, 9, 3, 1, 0, 7, 8, 1.5, 1, 0, 1]
    expected = {
        "image_id": 7,
        "original_image_shape": [4, 6, 3],
        "image_shape": [8, 9, 3],
        "window": [1, 0, 7, 8],
        "scale": 1.5,
        "active_class_ids": [1, 0, 1],
    }
    assert {key: part.tolist() for key, part in im.parse_image_meta(meta).items()} == expected
    batch = im.parse_image_meta(np.stack([meta, meta]))
    assert batch["scale"].shape == (2,) and batch["window"].shape == (2, 4)


# ---- scale_image


def scale_row(row, width, interpolation, dtype="uint8"):
    """One row of a picture of three equal channels, scaled to `width`."""
    picture = np.repeat(np.array([row], dtype)[:, :, None], 3, axis=2)
    result = im.scale_image(picture, (1, width), interpolation)
    np.testing.assert_array_equal(result[..., 0], result[..., 2])
    return result[0, :, 0].tolist(), result.dtype.name


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    ("interpolation", "row"),
    [
        # Centres of 4 pixels in 2: -0.25, 0.25, 0.75, 1.25. The last is 3/4 of 200 and 1/4 black;
        # the first, 75, is clipped to the darkest pixel.
        ("constant", [100, 125, 175, 150]),
        ("edge", [100, 125, 175, 200]),  # beyond the border: the border
        ("antialias", [100, 125, 175, 200]),  # larger: as "edge"
    ],
)
def test_interpolations_enlarge(interpolation, row, dtype):
    keeps = dtype == "float32" or interpolation != "edge"
    assert scale_row([100, 200], 4, interpolation, dtype) == (row, dtype if keeps else "float32")


def test_interpolations_shrink():
    # 4 -> 2: centres 0.5 and 2.5, the mean of two neighbours.
    assert scale_row([98, 98, 0, 0], 2, "edge") == ([98, 0], "float32")
    assert scale_row([98, 98, 0, 0], 2, "constant") == ([98, 0], "uint8")
    # Pillow's triangle reaches two pixels from the centre, 1 and 3 in pixel edges: distances 0.5,
    # 0.5, 1.5 weigh 3, 3, 1. (3 * 98 + 3 * 98) / 7 and 98 / 7.
    assert scale_row([98, 98, 0, 0], 2, "antialias") == ([84, 14], "uint8")
    assert scale_row([98, 98, 0, 0], 2, "antialias", "float32") == ([98, 0], "float32")


def test_antialias_of_both_axes():
    picture = np.zeros((4, 4, 1), "uint8")
    picture[:2, :2] = 98
    # 98 * 6/7 * 6/7, 98 * 6/7 * 1/7, 98 * 1/7 * 1/7
    result = im.scale_image(picture, (2, 2), "antialias")
    np.testing.assert_array_equal(result[..., 0], [[72, 12], [12, 2]])


def test_antialias_rounds_and_keeps_channels_apart():
    # (3 * 1 + 3 * 0 + 0) / 7 = 0.43 -> 0; (3 * 1 + 3 * 1) / 7 = 0.86 -> 1
    picture = np.zeros((1, 4, 5), "uint8")
    picture[0, :1, 0], picture[0, :2, 1], picture[0, :, 4] = 1, 1, 200
    result = im.scale_image(picture, (1, 2), "antialias")
    np.testing.assert_array_equal(result[0], [[0, 1, 0, 0, 200], [0, 0, 0, 0, 200]])


@pytest.mark.parametrize("interpolation", ["constant", "edge", "antialias"])
def test_size_is_height_and_width(interpolation):
    assert im.scale_image(ramp(4, 6), (3, 7), interpolation).shape == (3, 7, 3)


# ---- mode shortest_edge


@pytest.mark.parametrize(
    ("size", "edge", "antialias"),
    [
        # 640 * 800 / 427 = 1199.06
        ((427, 640), (800, 1199), (800, 1199)),
        # 640 * 800 / 480 = 1066.67: "edge" rounds down, the others to the nearest.
        ((480, 640), (800, 1066), (800, 1067)),
        ((640, 480), (1066, 800), (1067, 800)),
        # 289 * (800 / 289) is 799.9999999999999 in float64; 400 * 800 / 289 = 1107.27.
        ((289, 400), (799, 1107), (800, 1107)),
        # 1333 / 640 = 2.0828125 is less than 800 / 360: 360 are 749.8.
        ((360, 640), (749, 1333), (750, 1333)),
        ((640, 640), (800, 800), (800, 800)),  # 1.25
        ((800, 1333), (800, 1333), (800, 1333)),
        ((1600, 1600), (800, 800), (800, 800)),  # this mode shrinks
        ((100, 4000), (33, 1333), (33, 1333)),  # 33.325
    ],
)
def test_shortest_edge_sizes_of_each_family(size, edge, antialias):
    picture = np.zeros((*size, 1), "uint8")
    for interpolation, (height, width) in (("edge", edge), ("antialias", antialias)):
        result, window, _, padding, crop = im.resize_image(
            picture, 800, 1333, None, "shortest_edge", interpolation=interpolation
        )
        assert window == (0, 0, height, width) and crop is None
        # Up to the next multiple of 32, at the bottom and right.
        below, right = -height % 32, -width % 32
        assert padding == [(0, below), (0, right), (0, 0)]
        assert result.shape == (height + below, width + right, 1)


def test_shortest_edge_scales_and_pads():
    # 20 / 4 = 2 is less than 40 / 6: 4x6 -> 8x12, padded to 32 x 32.
    picture = np.full((4, 6, 3), 7, "uint8")
    result = im.resize_image(picture, 8, 40, mode="shortest_edge", interpolation="antialias")
    assert result[1:] == ((0, 0, 8, 12), 2, [(0, 24), (0, 20), (0, 0)], None)
    expected = np.zeros((32, 32, 3), "uint8")
    expected[:8, :12] = 7
    np.testing.assert_array_equal(result[0], expected)
    assert result[0].dtype == np.uint8
    check_mask_follows(picture, result)


def test_shortest_edge_is_limited_by_max_dim():
    # 20 / 10 = 2, 60 / 40 = 1.5: 10x40 -> 15x60.
    result = im.resize_image(ramp(10, 40), 20, 60, mode="shortest_edge", interpolation="edge")
    assert result[1:3] == ((0, 0, 15, 60), 1.5)
    assert result[0].shape == (32, 64, 3) and result[0].dtype == np.float32


@pytest.mark.parametrize("interpolation", ["constant", "edge", "antialias"])
def test_shortest_edge_leaves_a_picture_of_the_right_size(interpolation):
    picture = ramp(32, 64)
    result = im.resize_image(picture, 32, 64, mode="shortest_edge", interpolation=interpolation)
    np.testing.assert_array_equal(result[0], picture)
    # "edge" is float32 whether it scales or not: an augmentation sees one dtype.
    assert result[0].dtype == (np.float32 if interpolation == "edge" else np.uint8)
    assert result[1:] == ((0, 0, 32, 64), 1, [(0, 0)] * 3, None)


@pytest.mark.parametrize("dims", [{"min_dim": 8}, {"max_dim": 8}, {}])
def test_shortest_edge_needs_both_dimensions(dims):
    with pytest.raises(ValueError, match="'shortest_edge' expects min_dim and max_dim"):
        im.resize_image(ramp(2, 2), mode="shortest_edge", **dims)


# ---- std of pixels


def test_mold_and_unmold_with_std():
    # (0 - 100) / 50, (125 - 100) / 10, (255 - 100) / 20
    mean, std = [100, 100, 100], [50.0, 10.0, 20.0]
    molded = im.mold_image(np.array([[0, 125, 255]], "uint8"), mean, std)
    assert molded.dtype == np.float32
    np.testing.assert_allclose(molded, [[-2, 2.5, 7.75]])
    assert im.unmold_image(molded, mean, std).tolist() == [[0, 125, 255]]
    # One for all channels: (0 - 100) / 5.
    np.testing.assert_allclose(im.mold_image([[0.0, 110, 100]], mean, 5), [[-20, 2, 0]])
    assert im.unmold_image([[-20, 2, 0]], mean, 5).tolist() == [[0, 110, 100]]
    # Rounded and clipped after the std: 100 + 50 * 0.013 = 100.65, 100 - 110, 100 + 160.
    assert im.unmold_image([[0.013, -11, 8]], mean, std).tolist() == [[101, 0, 255]]


def test_every_value_survives_the_std():
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    values = np.arange(256).reshape(-1, 1).repeat(3, 1).astype("uint8")
    back = im.unmold_image(im.mold_image(values, mean, std), mean, std)
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("interpolation", ["edge", "antialias"])
def test_shortest_edge_keeps_one_pixel_of_a_sliver(interpolation):
    # 1333 / 4000 of one row is a third of it.
    picture = np.zeros((1, 4000, 3), "uint8")
    result = im.resize_image(picture, 800, 1333, mode="shortest_edge", interpolation=interpolation)
    assert result[1][2] == 1
