"""Pictures of strangers: sizes are read before anything is decoded."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from serving import encoded, picture

from mrcnn.serve import pictures
from mrcnn.serve.errors import RequestError
from mrcnn.serve.limits import Limits
from mrcnn.serve.pictures import encoded_size, load_images

LIMITS = Limits(pixels=100, images=3)


def png_header(height, width):
    """A PNG of a grey picture, whose pixels are 8 bytes that are none."""
    chunks = b"\x89PNG\r\n\x1a\n"
    for name, content in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", b"\0" * 8),
    ):
        body = name + content
        chunks += struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    return chunks


def tiff(image, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, image, **options)
    return file.getvalue()


@pytest.fixture
def nothing_is_decoded(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("decoded")

    monkeypatch.setattr(pictures, "read_image", fail)


@pytest.mark.parametrize(
    "kind, options",
    [
        *(("PNG", {}), ("JPEG", {}), ("GIF", {}), ("BMP", {}), ("PPM", {})),
        *(("WEBP", {"lossless": True}), ("WEBP", {"lossless": False})),
        ("WEBP", {"lossless": False, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
    ],
)
def test_kinds_of_files(kind, options):
    data = encoded(200, (5, 7), kind, **options)
    assert encoded_size(data, LIMITS) == (5, 7)
    (image,) = load_images([data], LIMITS)
    assert image.shape[:2] == (5, 7) and abs(int(image.flat[0]) - 200) < 3


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff(compression):
    image = np.arange(70, dtype=np.uint16).reshape(7, 10)
    data = tiff(image, compression=compression)
    assert encoded_size(data, LIMITS) == (7, 10)
    np.testing.assert_array_equal(load_images([data], LIMITS)[0], image)


def test_arrays_stay_and_errors_too():
    error, grey = RequestError(400, "images[1]: none"), np.zeros((2, 3), np.uint16)
    results = load_images([picture(), error, grey], LIMITS)
    assert results[1] is error and results[2] is grey


@pytest.mark.parametrize("size", [(60_000, 60_000), (11_000, 10_000)])
def test_bombs_are_refused_unopened(nothing_is_decoded, size):
    (broken,) = load_images([png_header(*size)], LIMITS)
    assert broken.status == 413 and "expected 1 to 100 pixels, received" in broken.message


def test_a_picture_beyond_the_limit(nothing_is_decoded):
    items = [encoded(1, (10, 11)), picture(1, (10, 11)), encoded(1, (11, 10), "WEBP")]
    results = load_images(items, LIMITS)
    assert [each.status for each in results] == [413, 413, 413]
    assert results[0].message == (
        "images[0]: expected 1 to 100 pixels, received 10 x 11; make the picture smaller, or start "
        "the server with a larger --max-pixels"
    )
    assert "images[2]: expected 1 to 100 pixels, received 11 x 10" in results[2].message
    assert load_images([np.zeros((0, 3))], LIMITS)[0].status == 400


def test_a_request_beyond_the_limits(nothing_is_decoded):
    for items, status, told in (
        ([], 400, "expected 1 to 3 images in a request, received 0; add one"),
        ([b""] * 4, 413, "received 4; send them in several requests"),
    ):
        with pytest.raises(RequestError) as caught:
            load_images(items, LIMITS)
        assert caught.value.status == status and told in caught.value.message
    with pytest.raises(RequestError, match=r"at most 400 pixels .* received 500; send"):
        load_images([picture(1, (10, 10))] * 5, Limits(pixels=100, images=5))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"hello", b"\xff\xd8\xff\xe0", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"II*\0"),
        *(b"RIFF\0\0\0\0WEBPVP8 ", b"RIFF\0\0\0\0WEBPNONE" + b"\0" * 20),
        encoded(1, (5, 5))[:50],
        encoded(1, (5, 5), "JPEG")[:-40],
        png_header(5, 5),
        tiff(picture(1, (5, 5)))[:-20],
        tiff(picture(1, (5, 5)), compression="zlib")[:-10],
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_picture(data):
    broken, fine = load_images([data, encoded(7)], LIMITS)
    assert broken.status == 400
    assert broken.message.startswith("images[0]: expected an encoded picture (JPEG, PNG, WebP")
    assert broken.message.endswith("send the bytes of the file as they are")
    assert fine.flat[0] == 7


def test_postscript_is_never_run(monkeypatch):
    file = io.BytesIO()
    Image.fromarray(picture(1, (5, 5))).save(file, "EPS")
    monkeypatch.setattr(pictures, "read_image", lambda *arguments, **options: 1 / 0)
    assert load_images([file.getvalue()], LIMITS)[0].status == 400


def test_a_tiff_whose_strip_holds_more_than_it_says(nothing_is_decoded):
    data = tiff(np.zeros((10, 10), np.uint8), compression="zlib")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        (offset,), (count,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
        place = file.pages[0].tags["StripByteCounts"].valueoffset
    bomb = zlib.compress(b"\0" * 101, 9)
    honest = zlib.compress(b"\0" * 100, 9)
    for segment, refused in ((bomb, True), (honest, False)):
        assert len(segment) <= count + 8
        changed = bytearray(data[:offset] + segment)
        size = len(segment)
        changed[place : place + 4] = struct.pack("<I", size)
        if refused:
            (result,) = load_images([bytes(changed)], LIMITS)
            assert result.status == 413 and "100 bytes when decompressed" in result.message
        else:
            assert encoded_size(bytes(changed), LIMITS) == (10, 10)


def test_a_tiff_of_many_channels_or_another_compression(nothing_is_decoded):
    deep = tiff(np.zeros((10, 10, 17), np.uint8), photometric="minisblack", planarconfig="contig")
    (result,) = load_images([deep], LIMITS)
    assert result.status == 413 and "a TIFF of at most 1600 bytes when decoded" in result.message
    file = io.BytesIO()
    Image.fromarray(picture(1, (5, 5))).save(file, "TIFF", compression="tiff_lzw")
    (result,) = load_images([file.getvalue()], LIMITS)
    assert result.status == 400 and "compressed by LZW; save it as PNG" in result.message
