"""Large pictures read by regions: each region is what the whole picture has there."""

import pickle

import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn.image import PageReader, TiffRegions, open_regions, read_image
from mrcnn.image import regions as module
from mrcnn.image.regions import ModelRegions, reduced_picture
from mrcnn.inference.images import read_images

RNG = np.random.default_rng(0)
# 40 x 56 of blocks of 4 x 4, which JPEG keeps nearly.
RGB = np.kron(RNG.integers(0, 255, (10, 14, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
GREY16 = RGB[:, :, 0].astype(np.uint16) * 257
PLANES = np.moveaxis(RGB, -1, 0).copy()
FIVE = np.stack([GREY16 // (i + 1) for i in range(5)])
APART = {"planarconfig": "separate"}
PARTS = [(0, 40, 0, 56), (3, 20, 9, 41), (39, 40, 55, 56), (16, 32, 16, 32), (5, 5, 0, 9)]

WRITTEN = {
    "uncompressed": (RGB, {}),
    "tiles": (RGB, {"tile": (16, 32), "compression": "zlib", "predictor": True}),
    "strips": (RGB, {"rowsperstrip": 7, "compression": "zlib"}),
    "one_piece": (RGB, {"rowsperstrip": 40, "compression": "zlib"}),
    "alpha": (np.dstack([RGB, RGB[:, :, 0]]), {"tile": (16, 16), "extrasamples": [2]}),
    "grey16": (GREY16, {"tile": (16, 16)}),
    "big_endian": (GREY16, {"byteorder": ">"}),
    "big_endian_tiles": (GREY16, {"byteorder": ">", "tile": (16, 16), "compression": "zlib"}),
    "float": (GREY16 / np.float32(7), {"tile": (16, 16)}),
    # Each channel a plane of its own.
    "planar": (PLANES, {"planarconfig": "separate"}),
    "planar_tiles": (PLANES, {**APART, "tile": (16, 32), "compression": "zlib"}),
    "planar_strips": (PLANES, {**APART, "rowsperstrip": 7, "compression": "zlib"}),
    "five_planes": (FIVE, {**APART, "photometric": "minisblack", "tile": (16, 16)}),
    "five_as_they_are": (FIVE, {**APART, "photometric": "minisblack", "byteorder": ">"}),
    "white_is_zero": (RGB[:, :, 0], {"photometric": "miniswhite", "tile": (16, 16)}),
}


def write(path, name):
    pixels, options = WRITTEN[name]
    kind = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(path, pixels, **{"photometric": kind, **options})
    return path


@pytest.mark.parametrize("name", WRITTEN)
def test_a_region_is_what_the_whole_picture_has_there(name, tmp_path):
    path = write(tmp_path / "a.tif", name)
    whole, regions = read_image(path), open_regions(path)
    assert regions.shape == whole.shape and regions.dtype == whole.dtype
    for y1, y2, x1, x2 in PARTS:
        part = regions[y1:y2, x1:x2]
        np.testing.assert_array_equal(part, whole[y1:y2, x1:x2])
        assert part.dtype.isnative
    np.testing.assert_array_equal(np.asarray(regions), whole)


def test_jpeg_in_rgb_and_in_ycbcr(tmp_path):
    for name, options in {"ycbcr": {}, "grey": {"grey": True}}.items():
        picture = Image.fromarray(RGB).convert("L") if options else Image.fromarray(RGB)
        picture.save(tmp_path / f"{name}.tif", compression="jpeg", quality=95)
        whole, regions = (
            read_image(tmp_path / f"{name}.tif"),
            open_regions(tmp_path / f"{name}.tif"),
        )
        np.testing.assert_array_equal(regions[3:30, 5:50], whole[3:30, 5:50])
    # As slide scanners store it: RGB in JPEG's three components, without a word in the piece.
    stored = module._decode_jpeg(jpeg_of(RGB[:16, :16]), None, 0)
    assert np.abs(stored.astype(int) - RGB[:16, :16]).max() <= 12


def jpeg_of(pixels):
    """JPEG of three components that are red, green and blue, without a marker that says so."""
    import io

    file = io.BytesIO()
    # Pillow writes RGB as YCbCr: what is named YCbCr already is stored as it is.
    Image.frombytes("YCbCr", pixels.shape[1::-1], pixels.tobytes()).save(
        file, "JPEG", quality=100, subsampling=0
    )
    data = file.getvalue()
    assert data[2:4] == b"\xff\xe0"  # JFIF, which would mean YCbCr
    length = int.from_bytes(data[4:6], "big")
    return data[:2] + data[4 + length :]


def test_of_a_pyramid_the_full_size_and_of_a_stack_each_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(RGB, tile=(16, 16), photometric="rgb")
        file.write(RGB[::2, ::2].copy(), subfiletype=1, tile=(16, 16), photometric="rgb")
        file.write(255 - RGB, tile=(16, 16), photometric="rgb")
    regions = open_regions(tmp_path / "pyramid.tif")
    assert regions.shape == (40, 56, 3)
    second = open_regions(tmp_path / "pyramid.tif", page=1)
    np.testing.assert_array_equal(second[0:3, 0:3], 255 - RGB[0:3, 0:3])
    assert open_regions(tmp_path / "pyramid.tif", page=2) is None
    with PageReader(tmp_path / "pyramid.tif") as pages:
        assert isinstance(pages.read(1, tile_size=55), TiffRegions)
        assert isinstance(pages.read(1, tile_size=56), np.ndarray)


def test_other_pages_are_told(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([RGB, RGB]), tile=(16, 16), photometric="rgb")
    with pytest.warns(UserWarning, match="has 2 pages or frames; the first is taken"):
        (regions,) = read_images([tmp_path / "a.tif"], tile_size=30)
    assert isinstance(regions, TiffRegions)
    Image.fromarray(RGB).save(tmp_path / "b.png")
    found = list(read_images([tmp_path / "b.png", RGB], tile_size=30))
    assert [type(image) for image in found] == [np.ndarray] * 2


@pytest.mark.parametrize("name", ["png", "turned", "palette", "missing", "broken"])
def test_what_must_be_read_whole(name, tmp_path):
    path = tmp_path / "a.tif"
    if name == "png":
        Image.fromarray(RGB).save(path, format="PNG")
    elif name == "turned":
        tifffile.imwrite(path, RGB, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    elif name == "palette":
        Image.fromarray(RGB).convert("P").save(path)
    elif name == "broken":
        path.write_bytes(write(tmp_path / "b.tif", "tiles").read_bytes()[:100])
    assert open_regions(path) is None


def test_pieces_that_are_too_large_are_no_regions(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif", "one_piece")
    monkeypatch.setattr(module, "_LARGEST_PIECE", 40 * 56 * 3 - 1)
    assert open_regions(path) is None
    assert open_regions(write(tmp_path / "b.tif", "uncompressed")) is not None


def test_few_pieces_are_kept(tmp_path):
    regions = open_regions(write(tmp_path / "a.tif", "tiles"), cache=2 * 16 * 32 * 3)
    np.testing.assert_array_equal(regions[0:40, 0:56], RGB)
    assert len(regions._pieces) == 2 and regions._kept == 2 * 16 * 32 * 3


def test_a_damaged_piece_is_named_when_it_is_read(tmp_path):
    path = write(tmp_path / "a.tif", "tiles")
    regions = open_regions(path)
    content = bytearray(path.read_bytes())
    last = regions._offsets[-1]
    content[last : last + regions._counts[-1]] = b"\0" * regions._counts[-1]
    path.write_bytes(content)
    np.testing.assert_array_equal(regions[0:16, 0:32], RGB[:16, :32])
    with pytest.raises(ValueError, match=r"a\.tif, region 32 32 40 56, but it cannot be read"):
        regions[32:40, 32:56]


def test_pickled(tmp_path):
    regions = pickle.loads(pickle.dumps(open_regions(write(tmp_path / "a.tif", "tiles"))))
    np.testing.assert_array_equal(regions[1:9, 2:8], RGB[1:9, 2:8])


def test_regions_as_the_model_takes_them(tmp_path):
    regions = ModelRegions(open_regions(write(tmp_path / "a.tif", "grey16")))
    assert regions.shape == (40, 56, 3) and regions.dtype == np.uint8
    np.testing.assert_array_equal(regions[2:5, 3:9], RGB[2:5, 3:9, :1].repeat(3, axis=2))


def test_a_reduced_picture_has_the_means_of_blocks():
    image = np.array([[0, 2, 9], [4, 6, 11], [20, 30, 50]], np.uint8)
    # Largest side 2: a factor of 2. (0 + 2 + 4 + 6) / 4, (9 + 11) / 2, (20 + 30) / 2, 50.
    small, factor = reduced_picture(image, 2)
    assert factor == 2 and small.tolist() == [[3, 10], [25, 50]] and small.dtype == np.uint8
    assert reduced_picture(image, 3)[1] == 1
    colours, _ = reduced_picture(np.dstack([image, image + 1]), 2)
    assert colours[:, :, 1].tolist() == [[4, 11], [26, 51]]
