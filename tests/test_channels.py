"""Which channels a picture has: of one file, of its pages, of several files; on which scale."""

import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn.config import Config
from mrcnn.data import Dataset
from mrcnn.image import Channels, image_size, read_image, to_model_image
from mrcnn.inference.images import read_images
from mrcnn.inference.inputs import find_sources, iterate_inputs

COLOR = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
DEPTH = np.array([[0, 257, 514, 65535], [1, 2, 3, 4]], np.uint16)


def pages(count, height=2, width=4, dtype="uint8"):
    """Page i holds the value 10 * i."""
    return np.stack([np.full((height, width), 10 * i, dtype) for i in range(count)])


def write_pages(path, *stack):
    with tifffile.TiffWriter(path) as tiff:
        for page in stack:
            tiff.write(page, photometric="minisblack", contiguous=False)


# ---- one file


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_tiff_of_any_channels(tmp_path, count, planar):
    image = np.arange(2 * 4 * count, dtype=np.uint8).reshape(2, 4, count)
    stored = np.moveaxis(image, -1, 0) if planar == "separate" and count > 1 else image
    options = {"photometric": "minisblack", "planarconfig": planar} if count > 1 else {}
    tifffile.imwrite(tmp_path / "a.tif", stored if count > 1 else image[:, :, 0], **options)
    read = Channels(count).read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read, image)
    assert read.dtype == np.uint8


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int16"])
def test_an_array_of_numpy(tmp_path, dtype):
    image = (np.arange(40).reshape(2, 4, 5) * 3 - 4).astype(dtype)  # -4..113; 252.. of uint8
    np.save(tmp_path / "a.npy", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy"), image)
    read = Channels(5).read(tmp_path / "a.npy")
    np.testing.assert_array_equal(read, image.astype(np.float32))
    assert read.dtype == (np.uint8 if dtype == "uint8" else np.float32)
    assert image_size(tmp_path / "a.npy") == (2, 4)


def test_an_array_that_runs_code_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy, but it cannot be read"):
        Channels(5).read(tmp_path / "a.npy")


def test_the_fourth_channel_of_a_png_is_kept_for_four(tmp_path):
    rgba = np.concatenate([COLOR, 100 + COLOR[:, :, :1]], axis=2)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(Channels(4).read(tmp_path / "a.png"), rgba)
    np.testing.assert_array_equal(Channels().read(tmp_path / "a.png"), COLOR)


def test_one_channel_of_colours_is_their_luma(tmp_path):
    # 0.299 * 10 + 0.587 * 20 + 0.114 * 30 = 18.15; equal colours stay what they are.
    image = np.array([[[10, 20, 30], [77, 77, 77]]], np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    assert Channels(1).read(tmp_path / "a.png").ravel().tolist() == [18, 77]
    floats = to_model_image(np.array([[[10.0, 20, 30]]]), 1)
    assert floats.ravel() == pytest.approx([18.15])
    alpha = to_model_image(np.array([[[7, 255]]], np.uint8), 1)
    assert alpha.tolist() == [[[7]]]


def test_sixteen_bits_lose_nothing_unless_there_are_three_channels():
    # 12 bits: 4095 / 257 = 15.934; 300 / 257 = 1.1673
    image = np.array([[[300, 4095]]], np.uint16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = to_model_image(image, 2)
    assert exact.dtype == np.float32 and exact.ravel() == pytest.approx([1.1673, 15.934], abs=1e-3)
    big_endian = to_model_image(image.astype(">u2"), 2)
    np.testing.assert_array_equal(big_endian, exact)


@pytest.mark.parametrize("value", [-3.5, 0.25, 4000.0])
def test_floats_of_any_range_keep_their_values(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = to_model_image(np.array([[[value, 0.0]]]), 2)
    assert image.ravel().tolist() == [value, 0.0]


# ---- pages


def test_pages_are_channels_where_one_has_not_enough(tmp_path):
    write_pages(tmp_path / "a.tif", *pages(5))
    image = Channels(5).read(tmp_path / "a.tif")
    assert image.shape == (2, 4, 5) and image[1, 3].tolist() == [0, 10, 20, 30, 40]


def test_pages_stay_pictures_where_one_is_enough(tmp_path):
    write_pages(tmp_path / "grey.tif", *pages(3))
    for count in (1, 3):
        with pytest.warns(UserWarning, match=r"3 pages.*IMAGE_PAGES = 'channels'"):
            assert Channels(count).read(tmp_path / "grey.tif").shape == (2, 4, count)
    tifffile.imwrite(tmp_path / "two.tif", np.zeros((3, 2, 4, 2), np.uint8), planarconfig="contig")
    with pytest.warns(UserWarning, match="3 pages"):
        assert Channels(2).read(tmp_path / "two.tif").shape == (2, 4, 2)


def test_pages_are_what_the_config_says(tmp_path):
    write_pages(tmp_path / "a.tif", *pages(3))
    image = Channels(3, pages="channels").read(tmp_path / "a.tif")
    assert image[0, 0].tolist() == [0, 10, 20]
    with (
        pytest.raises(ValueError, match=r"expected 5 channels, received 1"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        Channels(5, pages="pictures").read(tmp_path / "a.tif")


def test_pages_that_do_not_come_to_the_count(tmp_path):
    write_pages(tmp_path / "a.tif", *pages(3))
    words = (
        r"a\.tif: expected IMAGE_CHANNEL_COUNT = 5 channels, received 3 \(page 1: \[2, 4\].*stats"
    )
    with pytest.raises(ValueError, match=words):
        Channels(5).read(tmp_path / "a.tif")
    write_pages(tmp_path / "b.tif", np.zeros((2, 4), np.uint8), np.zeros((3, 4), np.uint8))
    with pytest.raises(
        ValueError, match=r"one height and width, received page 1: \[2, 4\], page 2"
    ):
        Channels(2).read(tmp_path / "b.tif")


def test_frames_of_an_animation_are_no_channels(tmp_path):
    first, *others = [Image.fromarray(page) for page in pages(4)]
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    with pytest.raises(ValueError, match="expected 5 channels"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Channels(5).read(tmp_path / "a.gif")


# ---- several files


@pytest.fixture
def color_and_depth(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / "a.png")
    Image.fromarray(DEPTH).save(tmp_path / "a_depth.png")
    return tmp_path


def check_color_and_depth(image):
    assert image.shape == (2, 4, 4) and image.dtype == np.float32
    np.testing.assert_array_equal(image[:, :, :3], COLOR)
    assert image[0, :, 3].tolist() == [0, 1, 2, 255]  # / 257
    assert image[1, 3, 3] == pytest.approx(4 / 257)


def test_colour_with_depth_beside_it(color_and_depth):
    check_color_and_depth(Channels(4, ("_depth",)).read(color_and_depth / "a.png"))


@pytest.mark.parametrize("place", ["../depth/", "../depth/_d"])
def test_depth_in_another_folder(color_and_depth, place):
    for folder in ("rgb", "depth"):
        (color_and_depth / folder).mkdir()
    (color_and_depth / "a.png").rename(color_and_depth / "rgb" / "a.png")
    target = "a.PNG" if place.endswith("/") else "a_d.png"
    (color_and_depth / "a_depth.png").rename(color_and_depth / "depth" / target)
    check_color_and_depth(Channels(4, (place,)).read(color_and_depth / "rgb" / "a.png"))


def test_alpha_goes_where_the_count_asks_for_it(color_and_depth):
    rgba = np.concatenate([COLOR, COLOR[:, :, :1]], axis=2)
    Image.fromarray(rgba).save(color_and_depth / "a.png")
    check_color_and_depth(Channels(4, ("_depth",)).read(color_and_depth / "a.png"))
    assert Channels(5, ("_depth",)).read(color_and_depth / "a.png").shape == (2, 4, 5)


def test_files_that_are_missing_or_do_not_fit(color_and_depth):
    words = r"a\.png: expected one file .*a_nir\.\* as IMAGE_CHANNEL_FILES has '_nir', found none"
    with pytest.raises(ValueError, match=words):
        Channels(4, ("_nir",)).read(color_and_depth / "a.png")
    with pytest.raises(ValueError, match=r"= 5 channels, received 4 .*a\.png: \[2, 4, 3\]"):
        Channels(5, ("_depth",)).read(color_and_depth / "a.png")
    Image.fromarray(DEPTH.T.copy()).save(color_and_depth / "a_depth.png")
    with pytest.raises(ValueError, match=r"one height and width.*\[2, 4, 3\].*\[4, 2\]"):
        Channels(4, ("_depth",)).read(color_and_depth / "a.png")
    np.save(color_and_depth / "a_depth.npy", DEPTH)
    with pytest.raises(ValueError, match=r"found a_depth\.png, a_depth\.npy"):
        Channels(4, ("_depth",)).read(color_and_depth / "a.png")


# ---- data sets and detection


class RGBDConfig(Config):
    NAME = "rgbd"
    NUM_CLASSES = 2
    IMAGE_CHANNEL_COUNT = 4
    IMAGE_CHANNEL_FILES = ("_depth",)
    MEAN_PIXEL = np.array([100.0, 100.0, 100.0, 20.0])


def test_a_data_set_reads_as_its_config(color_and_depth):
    dataset = Dataset()
    dataset.add_image("x", "a", str(color_and_depth / "a.png"))
    assert dataset.load_image(0).shape == (2, 4, 3)
    check_color_and_depth(dataset.read_as(RGBDConfig()).load_image(0))
    dataset.channels = 5
    with pytest.raises(ValueError, match=r"^Image 0 .*expected 5 channels, received 3.*read_as"):
        dataset.load_image(0)


def test_detection_takes_a_picture_for_its_files(color_and_depth):
    channels = Channels(4, ("_depth",))
    (picture,) = iterate_inputs(str(color_and_depth), channels=channels)
    assert picture.name == "a" and picture.page is None
    check_color_and_depth(picture.load())
    (image,) = read_images([color_and_depth / "a.png"], channels=channels)
    check_color_and_depth(image)
    named = find_sources([str(color_and_depth / "a_depth.png")], channels=channels)
    assert len(named) == 1  # what is named itself is taken


def test_detection_takes_pages_for_channels(tmp_path):
    write_pages(tmp_path / "a.tif", *pages(5))
    (picture,) = iterate_inputs(str(tmp_path), channels=5)
    assert (picture.name, picture.page, picture.load().shape) == ("a", None, (2, 4, 5))
    assert [x.name for x in iterate_inputs(str(tmp_path), channels=1)][-1] == "a_p0005"


def test_arrays_are_taken_where_they_are_named(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 5), np.uint8))
    with pytest.raises(ValueError, match=r'a pattern that ends in "\.npy"'):
        find_sources(str(tmp_path))
    for text in ("a.npy", "*.npy"):
        (picture,) = iterate_inputs(str(tmp_path / text), channels=5)
        assert picture.load().shape == (2, 4, 5)


def test_keys_of_channels_are_checked():
    config = RGBDConfig()
    config.IMAGE_CHANNEL_FILES, config.IMAGE_PAGES = "_depth", "all"
    with pytest.raises(ValueError, match=r"IMAGE_PAGES is 'all'(.|\n)*IMAGE_CHANNEL_FILES is '_de"):
        config.validate()
    config = RGBDConfig()
    config.MEAN_PIXEL = np.zeros(3)
    with pytest.raises(ValueError, match="`mrcnn stats DATA IMAGE_CHANNEL_COUNT=4` prints them"):
        config.validate()
