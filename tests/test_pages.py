"""Every page of a TIFF and every frame of an animation."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn.image import PageReader, read_image

PAGES = np.stack([np.full((4, 6), value, np.uint8) for value in (10, 20, 30)])


def read_all(path):
    with PageReader(path) as pages:
        return [pages.read(i) for i in range(len(pages))]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_pages_of_a_tiff(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", PAGES.astype(dtype), photometric="minisblack")
    with PageReader(tmp_path / "a.tif") as pages:
        assert len(pages) == 3 and not pages.animated
        np.testing.assert_array_equal(pages.read(2), PAGES[2].astype(dtype))
        assert pages.read(0).dtype == dtype


def test_pages_that_pillow_decodes(tmp_path):
    first, *others = [Image.fromarray(np.stack([page] * 3, -1)).quantize(4) for page in PAGES]
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    assert [image[0, 0].tolist() for image in read_all(tmp_path / "a.tif")] == [
        [10] * 3,
        [20] * 3,
        [30] * 3,
    ]


def test_a_small_copy_of_a_page_is_no_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(PAGES[0])
        tiff.write(PAGES[0][::2, ::2], subfiletype=1)
    (image,) = read_all(tmp_path / "a.tif")
    np.testing.assert_array_equal(image, PAGES[0])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), PAGES[0])  # without a warning


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_frames_of_an_animation(tmp_path, suffix):
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    first, *others = [Image.new("RGB", (6, 4), color) for color in colors]
    path = tmp_path / f"a.{suffix}"
    exact = {"lossless": True} if suffix == "webp" else {}
    first.save(path, save_all=True, append_images=others, **exact)
    with PageReader(path) as pages:
        assert len(pages) == 3 and pages.animated
        order = (2, 0, 1)
        assert [tuple(pages.read(i)[0, 0, :3].tolist()) for i in order] == [
            colors[i] for i in order
        ]


def test_a_picture_has_one_page(tmp_path):
    Image.fromarray(PAGES[0]).save(tmp_path / "a.png")
    (image,) = read_all(tmp_path / "a.png")
    np.testing.assert_array_equal(image, PAGES[0])


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"missing\.tif, but it cannot be read \(FileNotFound"):
        PageReader(tmp_path / "missing.tif")
    path = tmp_path / "a.gif"
    first, *others = [Image.fromarray(page) for page in PAGES]
    first.save(path, save_all=True, append_images=others)
    with PageReader(path) as pages, pytest.raises(ValueError, match=r"a\.gif, page 9 of 3, but"):
        pages.read(8)
