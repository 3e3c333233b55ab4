"""Pictures of odd kinds in a data set: each loads as a viewer shows it, or is reported by name."""

import io
import json
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn.data.checking import check_path

HEIGHT, WIDTH = 24, 36
RGB = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
RGB[:12, :18], RGB[:12, 18:], RGB[12:, :18] = (200, 40, 40), (40, 200, 40), (40, 40, 200)
RGB[12:, 18:] = (220, 220, 60)
GREY = np.where(RGB[:, :, :1] > 100, 210, 30).astype(np.uint8)[:, :, 0]
AS_GREY = np.repeat(GREY[:, :, None], 3, axis=2)
OF_PILLOW = Image.fromarray(RGB)
WHOLE = ("jpg", "png", "tif", "bmp", "gif", "webp", "jp2", "ppm", "tga", "pcx")


def saved(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def turned(orientation, kind):
    """A file whose pixels lie as EXIF's orientation says, so that upright they are RGB."""
    stored = {
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.swapaxes(0, 1),
        6: np.rot90(RGB, 1),
        7: RGB[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(RGB, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    options = options.get(kind, {})
    return saved(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)


def png_chunk(name, data):
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def deep_png(samples):
    """A 16-bit PNG of [H, W, 3] or [H, W]."""
    color = 2 if samples.ndim == 3 else 0
    rows = samples.astype(">u2").reshape(HEIGHT, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, color, 0, 0, 0)
    body = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def whole(kind):
    """A sound file of a kind, by its suffix."""
    if kind == "jpg":
        return saved(OF_PILLOW, "JPEG", quality=100, subsampling=0)
    if kind == "gif":
        return saved(OF_PILLOW.quantize(8), "GIF")
    options = {"lossless": True} if kind == "webp" else {}
    names = {"tif": "TIFF", "jp2": "JPEG2000"}
    return saved(OF_PILLOW, names.get(kind, kind.upper()), **options)


def good():
    """Name -> (content, expected pixels, how far they may be)."""
    files = {f"whole.{kind}": (whole(kind), RGB, 6) for kind in WHOLE}
    files |= {f"turned{i}.jpg": (turned(i, "JPEG"), RGB, 6) for i in range(2, 9)}
    files |= {f"turned{i}.png": (turned(i, "PNG"), RGB, 0) for i in (3, 6, 8)}
    files |= {f"turned{i}.webp": (turned(i, "WEBP"), RGB, 2) for i in (6,)}
    files["zlib.tif"] = tiff(RGB, compression="zlib", photometric="rgb"), RGB, 0
    for codec in ("lzw", "packbits", "jpeg"):
        content = saved(OF_PILLOW, "TIFF", compression=codec if codec != "lzw" else "tiff_lzw")
        files[f"{codec}.tif"] = content, RGB, 40 if codec == "jpeg" else 0
    files["planes.tif"] = (
        tiff(np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate"),
        RGB,
        0,
    )
    files["big_endian.tif"] = tiff(RGB, byteorder=">", photometric="rgb"), RGB, 0
    files["big.tif"] = tiff(RGB, bigtiff=True, photometric="rgb"), RGB, 0
    files["tiles.tif"] = tiff(RGB, tile=(16, 16), photometric="rgb"), RGB, 0
    files["white_is_zero.tif"] = tiff(255 - GREY, photometric="miniswhite"), AS_GREY, 0
    # 257 times the value is the full range of 16 bits.
    sixteen = GREY.astype(np.uint16) * 257
    files["sixteen.tif"] = tiff(sixteen, photometric="minisblack"), AS_GREY, 0
    files["sixteen.png"] = deep_png(sixteen), AS_GREY, 0
    files["sixteen_colors.png"] = deep_png(RGB.astype(np.uint16) * 257), RGB, 0
    files["float.tif"] = tiff(GREY.astype(np.float32), photometric="minisblack"), AS_GREY, 0
    files["grey.png"] = saved(Image.fromarray(GREY)), AS_GREY, 0
    files["grey.jpg"] = saved(Image.fromarray(GREY), "JPEG", quality=100), AS_GREY, 3
    alpha = Image.fromarray(GREY).convert("LA")
    files["grey_alpha.png"] = saved(alpha), AS_GREY, 0
    files["alpha.png"] = saved(OF_PILLOW.convert("RGBA")), RGB, 0
    files["palette.png"] = saved(OF_PILLOW.quantize(8)), RGB, 6
    files["clear_palette.png"] = saved(OF_PILLOW.quantize(8), transparency=3), RGB, 6
    files["palette.bmp"] = saved(OF_PILLOW.quantize(8), "BMP"), RGB, 6
    files["palette.tif"] = saved(OF_PILLOW.quantize(8), "TIFF"), RGB, 6
    bits = Image.fromarray(GREY).point(lambda v: 255 * (v > 100)).convert("1")
    black_and_white = np.where(AS_GREY > 100, 255, 0)
    files["bits.png"] = saved(bits), black_and_white, 0
    files["bits.tif"] = saved(bits, "TIFF", compression="group4"), black_and_white, 0
    files["cmyk.jpg"] = saved(OF_PILLOW.convert("CMYK"), "JPEG", quality=100), RGB, 12
    files["cmyk.tif"] = saved(OF_PILLOW.convert("CMYK"), "TIFF"), RGB, 2
    files["progressive.jpg"] = (
        saved(OF_PILLOW, "JPEG", progressive=True, quality=100, subsampling=0),
        RGB,
        6,
    )
    files["thumbnail.jpg"] = whole("jpg") + whole("jpg"), RGB, 6
    files["really_png.jpg"] = whole("png"), RGB, 0
    files["really_jpg.png"] = whole("jpg"), RGB, 6
    files["no_suffix"] = whole("png"), RGB, 0
    files["späte Äpfel 苹果.png"] = whole("png"), RGB, 0
    two = [Image.fromarray(255 - RGB)]
    files["two.gif"] = (
        saved(OF_PILLOW.quantize(8), "GIF", save_all=True, append_images=two),
        RGB,
        6,
    )
    files["two.png"] = saved(OF_PILLOW, save_all=True, append_images=two), RGB, 0
    files["two.tif"] = saved(OF_PILLOW, "TIFF", save_all=True, append_images=two), RGB, 0
    files["two.webp"] = (
        saved(OF_PILLOW, "WEBP", save_all=True, append_images=two, lossless=True),
        RGB,
        2,
    )
    return files


def bad():
    """Name -> content that is no picture of this size."""
    files = {f"half.{kind}": whole(kind)[: len(whole(kind)) // 2] for kind in ("jpg", "png", "tif")}
    files |= {f"head.{kind}": whole(kind)[:20] for kind in ("jpg", "png", "tif", "gif", "webp")}
    files["empty.png"] = b""
    files["page.jpg"] = b"<html><body>404 Not Found</body></html>"
    files["text.png"] = "keine Datei".encode("utf-16")
    files["paper.png"] = b"%PDF-1.4\n%\xe2\xe3"
    files["zeros.tif"] = bytes(400)
    files["noise.jpg"] = np.random.default_rng(0).bytes(400)
    content = bytearray(whole("png"))
    content[content.index(b"IDAT") + 8] ^= 255
    files["flipped.png"] = bytes(content)
    files["smaller.png"] = saved(OF_PILLOW.resize((18, 12)))
    files["sideways.png"] = saved(OF_PILLOW.transpose(Image.Transpose.ROTATE_90))
    files["pointer.jpg"] = b"version https://git-lfs.github.com/spec/v1\nsize 12345\n"
    files["scan.dcm"] = bytes(128) + b"DICM" + bytes(100)
    huge = struct.pack(">IIBBBBB", 10**6, 10**6, 8, 2, 0, 0, 0)
    files["bomb.png"] = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", huge) + png_chunk(b"IEND", b"")
    files["numbers.tif"] = tiff(np.full((HEIGHT, WIDTH), np.nan, np.float32))
    return files


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The data set of all these pictures, and by file name what the check says of each."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "train").mkdir()
    (folder / "annotations").mkdir()
    files = {name: content for name, (content, _, _) in good().items()} | bad()
    for name, content in files.items():
        (folder / "train" / name).write_bytes(content)
    os.symlink(folder / "nowhere.png", folder / "train" / "link.png")
    (folder / "train" / "folder.png").mkdir()
    names = [*files, "link.png", "folder.png"]
    square = [2, 2, 12, 2, 12, 12, 2, 12]
    content = {
        "images": [
            {"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT}
            for i, name in enumerate(names)
        ],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 1, "segmentation": [square]}
            for i in range(len(names))
        ],
    }
    (folder / "annotations" / "instances_train.json").write_text(json.dumps(content))
    dataset, report = check_path(folder)
    errors = {name: [] for name in names}
    for finding in report.findings:
        if finding.level == "error":
            (name,) = [name for name in names if f"/{name}:" in f"{finding.where}:"]
            errors[name].append(str(finding))
    return dataset, errors


def test_there_are_sixty_and_more():
    assert len(good()) + len(bad()) + 2 >= 60


@pytest.mark.parametrize("name", good())
def test_a_good_picture_is_as_a_viewer_shows_it(checked, name):
    dataset, errors = checked
    assert errors[name] == []
    (image_id,) = [i for i, x in enumerate(dataset.image_info) if x["path"].endswith(f"/{name}")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pages; test_reading has them
        image = dataset.load_image(image_id)
    _, expected, far = good()[name]
    assert image.shape == RGB.shape
    assert np.abs(image.astype(int) - expected.astype(int)).max() <= far


@pytest.mark.parametrize("name", [*bad(), "link.png", "folder.png"])
def test_a_bad_picture_is_reported_by_name(checked, name):
    _, errors = checked
    assert len(errors[name]) == 1
