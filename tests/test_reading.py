"""Picture files of every kind, made here, as a viewer shows them."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn.data import Dataset
from mrcnn.image import image_size, read_image, to_model_image

UPRIGHT = np.zeros((8, 6, 3), np.uint8)
UPRIGHT[1:4, 2:5] = (200, 30, 10)
UPRIGHT[5:, :2] = (10, 180, 40)
GREY = UPRIGHT[..., 0]
# What a camera stores so that the viewer's turn by this EXIF orientation brings it upright.
STORED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: np.moveaxis(image, 0, 1),
    6: lambda image: np.rot90(image),
    7: lambda image: np.moveaxis(image, 0, 1)[::-1, ::-1],
    8: lambda image: np.rot90(image, -1),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("flag", STORED)
def test_turned_pictures_are_upright(flag):
    stored = np.ascontiguousarray(STORED[flag](UPRIGHT))
    exif = Image.Exif()
    exif[274] = flag
    Image.fromarray(stored).save("a.png", exif=exif)
    tag = [(274, "H", 1, flag, True)]
    tifffile.imwrite("a.tif", stored, photometric="rgb", extratags=tag)
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(read_image(name), UPRIGHT)
        assert image_size(name) == (8, 6)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.gif"])
def test_palettes_are_colors(name):
    Image.fromarray(UPRIGHT).quantize(8).save(name)
    np.testing.assert_array_equal(to_model_image(read_image(name)), UPRIGHT)


def test_transparent_palettes_keep_their_alpha():
    Image.fromarray(UPRIGHT).quantize(8).save("a.png", transparency=0)
    image = read_image("a.png")
    assert image.shape == (8, 6, 4) and set(np.unique(image[..., 3])) == {0, 255}


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_is_rgb(name):
    picture = np.full((16, 16, 3), (200, 30, 10), np.uint8)
    Image.fromarray(picture).convert("CMYK").save(name, quality=95)
    np.testing.assert_allclose(read_image(name), picture, atol=4)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_is_zero(dtype):
    with_alpha = np.stack([GREY, GREY], axis=-1)
    tifffile.imwrite("b.tif", with_alpha, photometric="miniswhite", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image("b.tif"), np.stack([255 - GREY, GREY], axis=-1))
    values = GREY.astype(dtype) * (257 if dtype == "uint16" else 1)
    tifffile.imwrite("a.tif", np.iinfo(dtype).max - values, photometric="miniswhite")
    np.testing.assert_array_equal(read_image("a.tif"), values)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_one_bit_is_0_and_255(name):
    Image.fromarray(GREY > 100).save(name)
    image = read_image(name)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiffs(compression):
    Image.fromarray(UPRIGHT).save("a.tif", compression=compression)
    np.testing.assert_array_equal(read_image("a.tif"), UPRIGHT)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64", "int32"])
def test_tiffs_keep_their_type(dtype):
    tifffile.imwrite("a.tif", GREY.astype(dtype), byteorder=">")
    image = read_image("a.tif")
    assert image.dtype == dtype
    np.testing.assert_array_equal(image, GREY)


def test_colors_in_planes_of_their_own():
    planes = np.moveaxis(UPRIGHT, -1, 0).astype("uint16")
    tifffile.imwrite("a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image("a.tif"), UPRIGHT)


def test_sixteen_bits_in_a_png():
    Image.fromarray(GREY.astype("uint16") * 257).save("a.png")
    image = read_image("a.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(to_model_image(image), np.repeat(GREY[..., None], 3, axis=2))


def test_files_that_are_open_and_urls():
    Image.fromarray(GREY > 100).save("a.png")
    expected = np.where(GREY > 100, 255, 0)
    with open("a.png", "rb") as file:
        np.testing.assert_array_equal(read_image(file), expected)
        file.seek(0)
        np.testing.assert_array_equal(read_image(io.BytesIO(file.read())), expected)
    url = Path("a.png").absolute().as_uri()
    np.testing.assert_array_equal(read_image(url), expected)
    with pytest.raises(
        ValueError, match=r"expected an image file at file://.*nowhere\.png, but it"
    ):
        read_image(url.replace("a.png", "nowhere.png"))


def test_orientations_that_do_not_exist_turn_nothing():
    exif = Image.Exif()
    exif[274] = 9
    Image.fromarray(UPRIGHT).save("a.png", exif=exif)
    assert read_image("a.png").shape == (8, 6, 3) and image_size("a.png") == (8, 6)


@pytest.mark.parametrize("name", ["a.gif", "a.tif"])
def test_the_first_of_several_pages_is_taken_with_one_warning(name):
    pages = [Image.fromarray(UPRIGHT), Image.fromarray(UPRIGHT[::-1].copy())]
    pages[0].save(name, save_all=True, append_images=pages[1:])
    dataset = Dataset()
    for i in range(2):
        dataset.add_image("s", i, name)
    with pytest.warns(UserWarning, match=f"{name} has 2 pages or frames; the first") as caught:
        warnings.simplefilter("always")
        images = [dataset.load_image(i) for i in range(2)]
    assert len(caught) == 1
    np.testing.assert_array_equal(images[1], UPRIGHT)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "bmp", "webp"])
def test_the_content_tells_the_kind_and_not_the_suffix(kind):
    options = {"lossless": True} if kind == "webp" else {}
    Image.fromarray(UPRIGHT).save("a.txt", kind, **options)
    assert read_image("a.txt").shape == (8, 6, 3)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "gif"])
def test_half_a_file_is_no_picture(kind):
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(file, kind)
    content = file.getvalue()
    with open("a.png", "wb") as half:
        half.write(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"expected an image file at a\.png, .* cannot be read"):
        read_image("a.png")


@pytest.mark.parametrize("content", [b"", b"hello", b"II*\0"])
def test_what_is_no_picture_is_told(content):
    with open("a.tif", "wb") as file:
        file.write(content)
    with pytest.raises(ValueError, match=r"expected an image file at a\.tif, .* cannot be read"):
        read_image("a.tif")
    with pytest.raises(ValueError, match=r"nowhere\.png, .* \(FileNotFoundError: "):
        read_image("nowhere.png")


def test_sixteen_bits_of_either_byte_order():
    image = np.array([[0, 65535]], ">u2")
    assert to_model_image(image)[0, :, 0].tolist() == [0, 255]


def test_sizes_of_what_pillow_does_not_read():
    picture = np.zeros((8, 6, 5), "uint16")
    tifffile.imwrite("a.tif", picture, photometric="minisblack", planarconfig="contig")
    assert image_size("a.tif") == (8, 6) and read_image("a.tif").shape == (8, 6, 5)
    with pytest.raises(ValueError, match=r"nowhere\.png, but it cannot be read"):
        image_size("nowhere.png")


@pytest.mark.parametrize(("most", "warned"), [(255, True), (4095, True), (4096, False)])
def test_few_values_of_sixteen_bits_warn(most, warned):
    image = np.array([[0, most]], np.uint16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        to_model_image(image, name="scan")
    assert [str(w.message).startswith("scan: uint16 pixels") for w in caught] == [True] * warned
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = Dataset()
        for _ in range(3):
            to_model_image(image, name="scan", owner=dataset)
    assert len(caught) == warned


@pytest.mark.parametrize(("kind", "samples"), [(2, (4095, 0, 0)), (4, (4095, 65535))])
def test_twelve_bits_in_the_channels_of_a_png_warn(kind, samples):
    # Pillow writes no such file: its header and rows by hand.
    row = b"\0" + struct.pack(f">{len(samples)}H", *samples) * 2

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 2, 2, 16, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row * 2)), chunk(b"IEND", b"")]
    with open("a.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.warns(UserWarning, match="the largest is 3855"):
        image = to_model_image(read_image("a.png"))
    np.testing.assert_array_equal(image[..., 0], [[15, 15], [15, 15]])


def test_a_text_for_a_picture_is_told_as_such(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"UnidentifiedImageError: cannot identify image file"):
        read_image(tmp_path / "a.png")
