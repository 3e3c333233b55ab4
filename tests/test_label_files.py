"""The number of each pixel of a label file: as stored, or refused by name."""

import random
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.io import imsave

from mrcnn.data.annotations.label_files import check_size, read_labels

# Two numbers that 8 bits cannot tell apart (258 = 256 + 2), and two that differ by one.
DEEP = np.array([[0, 2, 258], [65535, 65534, 7]], np.uint16)
SHALLOW = np.array([[0, 1, 2], [255, 254, 7]], np.uint8)


def png(pixels, bits, kind):
    """The bytes of a PNG whose rows are `pixels`, of `bits` a sample and a colour type."""
    height, width = len(pixels), 3

    def chunk(name, content):
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row for row in pixels)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_pngs_have_their_numbers(tmp_path):
    path = tmp_path / "a.png"
    for labels in (SHALLOW, DEEP):
        Image.fromarray(labels).save(path)
        np.testing.assert_array_equal(read_labels(path), labels)
    # 2 bits: 0 1 2 is 00 01 10 and two bits of filling, 3 3 1 is 11 11 01.
    path.write_bytes(png([bytes([0b00011000]), bytes([0b11110100])], 2, 0))
    assert read_labels(path).tolist() == [[0, 1, 2], [3, 3, 1]]
    path.write_bytes(png([bytes([0x01, 0x20]), bytes([0xFE, 0x70])], 4, 0))
    assert read_labels(path).tolist() == [[0, 1, 2], [15, 14, 7]]
    path.write_bytes(png([bytes([0b01000000])], 1, 0))
    assert read_labels(path).tolist() == [[0, 255, 0]]


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_deep_pngs_of_several_channels_are_refused(tmp_path, kind, channels):
    # Pillow keeps the upper halves: 2 and 258 would be 0 and 1.
    rows = [np.repeat(row, channels).astype(">u2").tobytes() for row in DEEP]
    (tmp_path / "a.png").write_bytes(png(rows, 16, kind))
    with pytest.raises(ValueError, match=r"a\.png: expected one number .*16 bits with colours"):
        read_labels(tmp_path / "a.png")


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">i4", ">u8"]
)
@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_numbers_of_every_type(tmp_path, dtype, suffix):
    labels = np.array([[0, 1, 2], [100, 101, 7]], dtype)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, labels)
    else:
        tifffile.imwrite(path, labels)
    read = read_labels(path)
    assert read.tolist() == labels.tolist() and read.dtype.kind in "iu" and read.dtype.isnative
    check_size(path, (2, 3), "picture.png")
    with pytest.raises(ValueError, match=rf"a\.{suffix}: .*picture\.png, \[3, 2\] .*\[2, 3\]"):
        check_size(path, (3, 2), "picture.png")


@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_numbers_that_are_large(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    for labels in (
        np.array([[0, 2**63 + 5, 2**64 - 1]], np.uint64),
        np.array([[2**31 + 1, 2**32 - 1]], np.uint32),
    ):
        np.save(path, labels) if suffix == "npy" else tifffile.imwrite(path, labels)
        np.testing.assert_array_equal(read_labels(path), labels)


def test_packed_tiffs(tmp_path):
    path, labels = tmp_path / "a.tif", DEEP.astype(np.uint32) * 1000
    tifffile.imwrite(path, labels, compression="zlib")
    np.testing.assert_array_equal(read_labels(path), labels)
    Image.fromarray(DEEP).save(path, compression="tiff_lzw")
    np.testing.assert_array_equal(read_labels(path), DEEP)


def test_palettes_are_indices_but_black_and_white_are_a_mask(tmp_path):
    path = tmp_path / "a.png"
    picture = Image.fromarray(SHALLOW % 8, "P")
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *range(3, 18)])
    picture.save(path)
    np.testing.assert_array_equal(read_labels(path), SHALLOW % 8)
    picture = Image.fromarray(np.array([[0, 1, 1]], np.uint8), "P")
    picture.putpalette([255, 255, 255, 0, 0, 0])  # index 0 is the object
    picture.save(path)
    assert read_labels(path).tolist() == [[255, 0, 0]]


def test_bits_alpha_and_grey_colours(tmp_path):
    mask = np.array([[True, False, True]])
    for name in ("a.png", "a.tif", "a.bmp"):
        Image.fromarray(mask).save(tmp_path / name)
        assert read_labels(tmp_path / name).tolist() == [[255, 0, 255]]
    np.save(tmp_path / "a.npy", mask)
    assert read_labels(tmp_path / "a.npy").tolist() == [[1, 0, 1]]
    np.save(tmp_path / "a.npy", mask[:, :, None])
    assert read_labels(tmp_path / "a.npy").tolist() == [[1, 0, 1]]
    for mode in ("RGB", "LA", "RGBA"):
        Image.fromarray(SHALLOW).convert(mode).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), SHALLOW)


def test_turned_labels_are_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # stored with its left side up
    for mode in ("L", "P"):
        picture = Image.fromarray(SHALLOW % 8, mode)
        if mode == "P":
            picture.putpalette(list(range(24)))
        picture.save(tmp_path / "a.png", exif=exif)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), np.rot90(SHALLOW % 8, -1))
        check_size(tmp_path / "a.png", (3, 2), "picture.png")


def refused(path, words):
    with pytest.raises(ValueError, match=words) as caught:
        read_labels(path)
    assert path.name in str(caught.value)


def test_what_is_no_label_image(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 20, 30), np.uint16), photometric="minisblack")
    refused(path, "expected one page, received 4")
    tifffile.imwrite(path, DEEP, photometric="miniswhite")
    refused(path, "received one whose 0 is white")
    for labels, words in [
        (np.array([[0.5, 1]]), "whole numbers"),
        (np.array([[np.nan, 1]]), "whole numbers"),
        (np.array([[np.inf, 1]]), "whole numbers"),
        (np.array([[1e30, 1]]), r"up to 2\*\*53"),
        (np.array([[-1, 1]]), "from 0 on, received -1"),
        (np.array([[-1.0, 1]]), "from 0 on, received -1"),
    ]:
        tifffile.imwrite(path, labels)
        refused(path, words)
        np.save(tmp_path / "a.npy", labels)
        refused(tmp_path / "a.npy", words)
    imsave(tmp_path / "a.png", np.array([[[1, 2, 3], [0, 0, 0]]], np.uint8), check_contrast=False)
    refused(tmp_path / "a.png", "received colours; give each colour a number")
    Image.fromarray(SHALLOW).save(tmp_path / "a.jpg")
    refused(tmp_path / "a.jpg", "received a JPEG")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.jpg").read_bytes())
    refused(tmp_path / "b.png", "received a JPEG")
    pages = [Image.fromarray(SHALLOW), Image.fromarray(SHALLOW[::-1])]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:])
    refused(tmp_path / "a.gif", "expected one frame, received 2")
    (tmp_path / "a.png").write_text("no picture")
    refused(tmp_path / "a.png", "cannot be read")
    refused(tmp_path / "none.png", "cannot be read")


def test_arrays_that_are_no_labels(tmp_path):
    path = tmp_path / "a.npy"
    for labels in (
        np.zeros((2, 3, 4), int),
        np.zeros(5, int),
        np.array(3),
        np.zeros((2, 2), complex),
        np.zeros((2, 2), "U3"),
        np.zeros((2, 2), "i4,i4"),
    ):
        np.save(path, labels)
        refused(path, r"expected labels \[H, W\], received")
    np.save(path, np.array({"masks": SHALLOW}), allow_pickle=True)
    refused(path, r"Of Cellpose's _seg\.npy, .*save the masks as PNG or TIFF")
    with open(path, "wb") as file:
        np.savez(file, SHALLOW)
    refused(path, "an archive of several")
    np.save(path, SHALLOW)
    content = path.read_bytes()
    # A header that tells of a terabyte takes no memory.
    path.write_bytes(content.replace(b"(2, 3), }     ", b"(999999, 999999), }"[:14].ljust(14)))
    refused(path, "expected an array of labels")
    path.write_bytes(content.replace(b"(2, 3), }" + b" " * 10, b"(999999, 999999), }"))
    refused(path, "expected an array of labels")


def damaged(content, dice):
    """Bytes changed, deleted or cut off at random."""
    content = bytearray(content)
    for _ in range(dice.choice((1, 1, 3))):
        place = dice.randrange(len(content))
        kind = dice.randrange(4)
        if kind == 0:
            content[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            content[place] = dice.choice(b"\0\xff\x80(x")
        elif kind == 2:
            del content[place : place + dice.randrange(1, 9)]
        else:
            del content[max(1, place) :]
    return bytes(content)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "npy", "tif", "zlib.tif", "gif"])
def test_damaged_files_are_read_or_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    labels = (np.arange(400).reshape(20, 20) // 50).astype(np.uint8 if suffix == "gif" else "u2")
    if suffix == "npy":
        np.save(path, labels)
    elif suffix.endswith("tif"):
        tifffile.imwrite(path, labels, compression="zlib" if suffix != "tif" else None)
    else:
        Image.fromarray(labels).save(path)
    content, dice, refusals = path.read_bytes(), random.Random(0), 0
    for _ in range(150):
        path.write_bytes(damaged(content, dice))
        try:
            check_size(path, (20, 20), "picture.png")
            assert read_labels(path).ndim == 2
        except ValueError as error:
            assert path.name in str(error)
            refusals += 1
    assert refusals
