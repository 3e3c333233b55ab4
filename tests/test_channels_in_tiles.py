"""Large pictures of any channels, by tiles: in data sets, in detection, in `mrcnn anchors`.

Pictures of 40 x 70 in tiles of 40 that share 10: columns 0..40 and 30..70.
"""

import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn import cli
from mrcnn.config import Config
from mrcnn.data import DataGenerator, Dataset
from mrcnn.data.checking import anchors
from mrcnn.data.tiles import TiledDataset
from mrcnn.image import Channels, TiffRegions
from mrcnn.image.channels import PageRegions
from mrcnn.image.regions import ModelRegions
from mrcnn.inference.images import read_images
from mrcnn.inference.inputs import iterate_inputs

RNG = np.random.default_rng(0)
FIVE = RNG.integers(0, 2**16, (40, 70, 5), np.uint16)
COLOR = RNG.integers(0, 255, (40, 70, 3), np.uint8)

# How five bands of 16 bits are stored, and what reads a part of them; None: all is read.
STORED = {"contig": TiffRegions, "separate": TiffRegions, "pages": PageRegions, "npy": None}


def write_bands(folder, kind):
    """`a.tif` or `a.npy` of `FIVE`."""
    path = folder / ("a.npy" if kind == "npy" else "a.tif")
    planes = np.moveaxis(FIVE, -1, 0).copy()
    if kind == "npy":
        np.save(path, FIVE)
    elif kind == "pages":
        with tifffile.TiffWriter(path) as file:
            for plane in planes:
                file.write(plane, photometric="minisblack", tile=(16, 16), contiguous=False)
    else:
        pixels = FIVE if kind == "contig" else planes
        options = {"photometric": "minisblack", "planarconfig": kind, "tile": (16, 16)}
        tifffile.imwrite(path, pixels, **options)
    return path


class Bands(Config):
    NAME, NUM_CLASSES, IMAGES_PER_GPU = "bands", 2, 1
    IMAGE_CHANNEL_COUNT, MEAN_PIXEL = 5, np.full(5, 127.0)
    IMAGE_RESIZE_MODE, TILE_SIZE, TILE_OVERLAP = "square", 40, 10
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    WORKERS = 0


class OfFiles(Dataset):
    """Pictures of files with an object in the last ten columns."""

    def __init__(self, *paths):
        super().__init__()
        self.add_class("x", 1, "thing")
        for path in paths:
            self.add_image("x", path.name, str(path))
        self.prepare()

    def load_mask(self, image_id):
        masks = np.zeros((40, 70, 1), bool)
        masks[10:30, 60:] = True
        return masks, np.ones(1, np.int32)


@pytest.mark.parametrize("kind", STORED)
def test_a_tile_has_the_channels_of_its_picture(kind, tmp_path, monkeypatch):
    path, wanted = write_bands(tmp_path, kind), FIVE / np.float32(257)
    whole = Channels(5).read(path)
    np.testing.assert_allclose(whole, wanted, rtol=1e-6)
    tiled = TiledDataset(OfFiles(path).read_as(Bands()), 40, 10)
    if STORED[kind]:
        monkeypatch.setattr(Channels, "read", lambda *_, **__: pytest.fail("read whole"))
    tile = tiled.load_image(1)
    np.testing.assert_array_equal(tile, whole[:, 30:])
    assert tile.dtype == np.float32


@pytest.mark.parametrize("kind", STORED)
def test_detection_reads_tiles_of_large_pictures_alone(kind, tmp_path):
    path, channels = write_bands(tmp_path, kind), Channels(5)
    whole, kept = channels.read(path), STORED[kind] or np.ndarray
    (image,) = read_images([path], channels=channels, tile_size=40)
    assert isinstance(image, kept) and image.shape == (40, 70, 5)
    (picture,) = iterate_inputs(str(path), channels=channels, tile_size=40)
    loaded = picture.load()
    assert isinstance(loaded, kept) and picture.page is None
    if STORED[kind]:
        part = ModelRegions(loaded, 5)[5:20, 33:50]
        np.testing.assert_array_equal(part, whole[5:20, 33:50])
        np.testing.assert_array_equal(np.asarray(ModelRegions(image, 5)), whole)
    (small,) = read_images([path], channels=channels, tile_size=70)
    np.testing.assert_array_equal(small, whole)
    (picture,) = iterate_inputs(str(path), channels=channels, tile_size=70)
    assert not isinstance(picture.load(), PageRegions)


def test_pages_are_told_apart_without_reading_one(tmp_path, monkeypatch):
    path = write_bands(tmp_path, "pages")
    monkeypatch.setattr(TiffRegions, "__array__", lambda *_: pytest.fail("read whole"))
    assert isinstance(Channels(5).open_regions(path), PageRegions)
    assert isinstance(Channels(1).open_regions(path), TiffRegions)  # pages are pictures
    assert Channels(1).open_regions(path).pages == 5
    assert Channels(5, files=("_depth",)).open_regions(path) is None
    with pytest.raises(ValueError, match=r"a\.tif: expected IMAGE_CHANNEL_COUNT = 4 .*received 5"):
        Channels(4).open_regions(path)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        for side in (40, 41):
            file.write(np.zeros((side, 70), np.uint8), tile=(16, 16), contiguous=False)
    assert Channels(2).open_regions(tmp_path / "b.tif") is None  # which says what is wrong


def test_tiles_of_several_files(tmp_path):
    depth = FIVE[:, :, 0]
    tifffile.imwrite(tmp_path / "a.tif", COLOR, photometric="rgb", tile=(16, 16))
    Image.fromarray(depth).save(tmp_path / "a_depth.png")

    class RGBD(Bands):
        IMAGE_CHANNEL_COUNT, MEAN_PIXEL = 4, np.full(4, 127.0)
        IMAGE_CHANNEL_FILES = ("_depth",)

    tiled = TiledDataset(OfFiles(tmp_path / "a.tif"), 40, 10)
    assert tiled.load_image(1).shape == (40, 40, 3)
    assert tiled.read_as(RGBD()) is tiled and tiled.dataset.channels.count == 4
    tile = tiled.load_image(1)
    np.testing.assert_array_equal(tile[:, :, :3], COLOR[:, 30:])
    np.testing.assert_allclose(tile[:, :, 3], depth[:, 30:] / np.float32(257), rtol=1e-6)


def test_batches_of_tiles_have_all_channels(tmp_path):
    dataset = OfFiles(write_bands(tmp_path, "separate")).read_as(Bands())
    generator = DataGenerator(dataset, Bands(), shuffle=False)
    batches = [generator[i][0] for i in range(len(generator))]
    assert [batch["input_image"].shape for batch in batches] == [(1, 64, 64, 5)] * 2
    # The second tile's object is 20 x 10 of 40 x 40, which are 64 x 64 afterwards.
    assert batches[1]["input_gt_boxes"][0, 0].tolist() == [16, 48, 48, 64]


def test_anchors_are_suggested_for_the_pictures_of_the_config(tmp_path, capsys, monkeypatch):
    given = []

    def boxes_of(dataset, settings, progress):
        given.append((Channels.of(dataset.channels), len(dataset.image_ids)))
        raise ValueError("enough")

    monkeypatch.setattr(anchors, "object_boxes", boxes_of)
    for name in ("a.png", "a_depth.png"):
        Image.fromarray(COLOR).save(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "classes.txt").write_text("thing\n")
    keys = ["IMAGE_CHANNEL_COUNT=4", "IMAGE_CHANNEL_FILES=_depth", "MEAN_PIXEL=1,1,1,1"]
    assert cli.main(["anchors", str(tmp_path), "--format", "yolo", *keys]) == 2
    assert "enough" in capsys.readouterr().err
    assert given == [(Channels(4, ("_depth",)), 1)]
