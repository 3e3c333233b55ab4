"""Training on tiles of large pictures: where they lie, what they show, what they ignore.

Pictures of 40 x 70 in tiles of 40 that share 10: columns 0..40 and 30..70. Boxes are y1 x1 y2 x2.
"""

import json

import numpy as np
import pytest
import tifffile
from coco_folder import annotation
from pycocotools import mask as mask_utils
from skimage.io import imsave

from mrcnn.config import Config
from mrcnn.data import DataGenerator, Dataset, load
from mrcnn.data import tiles as module
from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.encoded import EncodedMasks
from mrcnn.data.boxes import load_boxes
from mrcnn.data.tiles import TiledDataset, in_tiles
from mrcnn.evaluate import annotations, coco_ground_truth
from mrcnn.settings import Tiles

LEFT, RIGHT = (0, 0, 40, 40), (0, 30, 40, 70)
PIXELS = np.random.default_rng(0).integers(0, 255, (40, 70, 3), np.uint8)


def write_slides(folder, *pictures, suffix=".png", crowd=()):
    """A data set in COCO's format, of pictures of 40 x 70 (or as large as their first box says).

    Args:
        pictures: for each a list of the boxes of its objects, which fill them.
        crowd: numbers of the objects that are crowds.
    """
    folder.mkdir()
    images, annotations = [], []
    for i, boxes in enumerate(pictures, 1):
        name = f"{i}{suffix}"
        images.append({"id": i, "file_name": name, "height": 40, "width": 70})
        if suffix == ".tif":
            tifffile.imwrite(folder / name, PIXELS, tile=(16, 16), photometric="rgb")
        else:
            imsave(folder / name, PIXELS, check_contrast=False)
        for y1, x1, y2, x2 in boxes:
            number, outline = len(annotations), [[x1, y1, x2, y1, x2, y2, x1, y2]]
            facts = {"iscrowd": int(number in crowd)}
            annotations.append(
                annotation(number, i, 1, outline, [x1, y1, x2 - x1, y2 - y1], **facts)
            )
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 1, "name": "cell"}]
    (folder / "annotations.json").write_text(json.dumps(content))
    return load(folder, verbose=0)


class Drawn(Dataset):
    """The same as a class of a user's own, which draws whole masks."""

    def __init__(self, *pictures):
        super().__init__()
        self.add_class("drawn", 1, "cell")
        for i, boxes in enumerate(pictures):
            self.add_image("drawn", i, None, boxes=boxes)
        self.prepare()

    def load_image(self, image_id):
        return PIXELS

    def load_mask(self, image_id):
        boxes = self.image_info[image_id]["boxes"]
        masks = np.zeros((40, 70, len(boxes)), bool)
        for i, (y1, x1, y2, x2) in enumerate(boxes):
            masks[y1:y2, x1:x2, i] = True
        return masks, np.ones(len(boxes), np.int32)


@pytest.fixture(params=["png", "tif", "drawn"])
def make(request, tmp_path, monkeypatch):
    """Makes a data set of pictures by their boxes, in three ways."""
    if request.param == "drawn":
        return Drawn
    if request.param == "tif":  # read by regions alone
        monkeypatch.setattr(Dataset, "load_image", lambda *_: pytest.fail("read whole"))
        monkeypatch.setattr(module, "Dataset", type("Same", (), {"load_image": Dataset.load_image}))
    return lambda *pictures: write_slides(tmp_path / "a", *pictures, suffix=f".{request.param}")


def regions_of(dataset):
    return [info.get("region") for info in dataset.image_info]


def seen(dataset, image_id):
    """Boxes of a tile's masks by class id: list of (class id, box)."""
    masks, class_ids = dataset.load_mask(image_id)
    return [
        (int(i), tuple(int(x) for x in [*np.argwhere(mask).min(0), *np.argwhere(mask).max(0) + 1]))
        for i, mask in zip(class_ids, np.moveaxis(masks, -1, 0), strict=True)
    ]


def test_tiles_show_pixels_and_objects_of_their_region(make):
    dataset = TiledDataset(make([(5, 10, 12, 18), (20, 45, 30, 52)]), 40, 10)
    assert regions_of(dataset) == [LEFT, RIGHT] and dataset.has_tiles
    assert dataset.class_names == ["BG", "cell"]
    np.testing.assert_array_equal(dataset.load_image(0), PIXELS[:, :40])
    np.testing.assert_array_equal(dataset.load_image(1), PIXELS[:, 30:])
    assert seen(dataset, 0) == [(1, (5, 10, 12, 18))]
    assert seen(dataset, 1) == [(1, (20, 15, 30, 22))]  # 30 columns further left


def test_a_sliver_is_neither_object_nor_background(make):
    # The right tile shows 2 of 10 columns of the first; 6 of 10 of the second, the left one 4 + 10.
    dataset = TiledDataset(make([(5, 22, 12, 32), (20, 26, 30, 36)]), 40, 10)
    assert seen(dataset, 0) == [(1, (5, 22, 12, 32)), (1, (20, 26, 30, 36))]
    assert seen(dataset, 1) == [(-1, (5, 0, 12, 2)), (1, (20, 0, 30, 6))]


def test_of_an_object_that_no_tile_shows_whole_every_part_trains(make):
    # 22..65: the left tile shows 18 of 43 columns, the right one 35.
    dataset = TiledDataset(make([(5, 22, 12, 65)]), 40, 10)
    assert seen(dataset, 0) == [(1, (5, 22, 12, 40))]
    assert seen(dataset, 1) == [(1, (5, 0, 12, 35))]


def test_tiles_without_an_object_are_left_out_where_the_files_tell(tmp_path):
    dataset = write_slides(tmp_path / "a", [(5, 22, 12, 32)], [], [(5, 60, 9, 66)], crowd=[1])
    # The right tile of the first shows a sliver alone; the third has a crowd.
    assert regions_of(TiledDataset(dataset, 40, 10)) == [LEFT]
    kept = TiledDataset(dataset, 40, 10, keep_empty=True)
    assert regions_of(kept) == [LEFT, RIGHT] * 3
    assert seen(kept, 5) == [(-1, (5, 30, 9, 36))] and kept.load_mask(2)[0].shape == (40, 40, 0)


def test_pictures_that_are_no_larger_stay_as_they_are():
    drawn = Drawn([(5, 10, 12, 18)])
    assert in_tiles(drawn, Tiles(size=None)) is drawn
    assert in_tiles(drawn, Tiles(size=70)) is drawn
    assert regions_of(in_tiles(drawn, Tiles(size=69))) == [(0, 0, 40, 69), (0, 1, 40, 70)]


def test_a_picture_that_cannot_be_read_is_named_when_it_is_its_turn(tmp_path):
    dataset = Dataset()
    dataset.add_class("own", 1, "cell")
    dataset.add_image("own", 0, str(tmp_path / "none.png"))
    dataset.prepare()
    tiled = TiledDataset(dataset, 40, 10)
    assert not tiled.has_tiles
    with pytest.raises(ValueError, match=r"none\.png"):
        tiled.load_image(0)


class TilesConfig(Config):
    NAME = "tiles"
    NUM_CLASSES = 2
    IMAGES_PER_GPU = 2
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    MAX_GT_INSTANCES = 4
    USE_MINI_MASK = False
    TILE_SIZE, TILE_OVERLAP = 40, 10
    SEED = 3


def test_an_epoch_is_every_tile_once_whatever_the_workers():
    boxes = [(5, 10, 12, 18), (20, 45, 30, 52)]
    dataset = Drawn(boxes, boxes, boxes)
    generator = DataGenerator(dataset, TilesConfig())
    batches = [generator[i][0] for i in range(len(generator))]
    assert len(batches) == 3  # 6 tiles
    ids = np.concatenate([batch["input_image_meta"][:, 0] for batch in batches])
    assert sorted(ids) == [0, 1, 2, 3, 4, 5]
    # A tile of 40 is scaled by 64 / 40: the box 5 10 12 18 becomes 8 16 19 29.
    place = np.flatnonzero(ids == 0)[0]
    box = batches[place // 2]["input_gt_boxes"][place % 2, 0]
    np.testing.assert_allclose(box, [8, 16, 19.2, 28.8], atol=0.5)
    again = DataGenerator(dataset, TilesConfig())
    np.testing.assert_array_equal(again[2][0]["input_image"], batches[2]["input_image"])
    again.epoch = 1
    assert not np.array_equal(
        again[0][0]["input_image_meta"][:, 0], batches[0]["input_image_meta"][:, 0]
    )


def test_boxes_without_masks(tmp_path):
    files = write_slides(tmp_path / "a", [(5, 10, 12, 18), (20, 45, 30, 52)], crowd=[1])
    boxes, class_ids, size = load_boxes(files, 0)
    assert boxes.tolist() == [[5, 10, 12, 18], [20, 45, 30, 52]]
    assert class_ids.tolist() == [1, -1] and size == (40, 70)
    boxes, class_ids, size = load_boxes(Drawn([(5, 10, 12, 18), (3, 3, 3, 3)]), 0)
    assert boxes.tolist() == [[5, 10, 12, 18]] and class_ids.tolist() == [1] and size == (40, 70)
    assert load_boxes(Drawn([]), 0)[2] == (40, 70)


def test_the_ground_truth_of_large_pictures_is_the_same(tmp_path, monkeypatch):
    dataset = write_slides(tmp_path / "a", [(5, 10, 12, 18), (20, 45, 30, 52)], [], crowd=[1])
    expected = coco_ground_truth(dataset)
    monkeypatch.setattr(annotations, "LARGE", 0)
    monkeypatch.setattr(AnnotatedDataset, "load_mask", lambda *_: pytest.fail("drawn whole"))
    assert coco_ground_truth(dataset) == expected
    assert [x["iscrowd"] for x in expected["annotations"]] == [0, 1]


# ---- Tiles that draw no mask.


@pytest.fixture
def slides(tmp_path):
    """One picture: an object of the left tile, one of both, one that the right shows a fifth of."""
    return write_slides(tmp_path / "a", [(5, 10, 12, 18), (20, 26, 30, 36), (5, 22, 12, 32)])


@pytest.fixture
def no_masks(monkeypatch):
    monkeypatch.setattr("pycocotools.mask.decode", lambda codes: pytest.fail("a mask was drawn"))


class TileBoxes(TilesConfig):
    USE_MASK = False
    REPEAT_FACTOR_THRESHOLD = 1.0


def test_no_mask_is_drawn_for_boxes_of_tiles(slides, no_masks):
    tiled = TiledDataset(slides, 40, 10)
    boxes, class_ids = tiled.load_boxes(1, (40, 40, 3))
    # 30 columns further left: 26..36 becomes 0..6, 6 of 10 columns; 22..32 becomes 0..2, 2 of 10.
    assert boxes.tolist() == [[20, 0, 30, 6], [5, 0, 12, 2]] and boxes.dtype == np.int32
    assert class_ids.tolist() == [1, -1] and class_ids.dtype == np.int32
    (batch,) = DataGenerator(slides, TileBoxes(), shuffle=False)[0]
    assert batch["input_gt_class_ids"].tolist() == [[1, 1, 1, 0], [1, -1, 0, 0]]
    # Scaled by 64 / 40: columns 0..6 become 0..9.6.
    np.testing.assert_allclose(batch["input_gt_boxes"][1, 0], [32, 0, 48, 9.6], atol=0.5)
    with pytest.raises(ValueError, match=r"the image's size \[40, 70\], received \[40, 40\]"):
        tiled.load_boxes(1, (40, 70, 3))


def test_no_mask_is_drawn_for_the_classes_of_tiles(tmp_path, no_masks):
    # Tiles of a cell and of a sliver, and of a picture with nothing: 1 of 4 has the class.
    dataset = write_slides(tmp_path / "a", [(5, 22, 12, 32)], [])
    config = TileBoxes()
    config.INCLUDE_EMPTY_IMAGES = True
    generator = DataGenerator(dataset, config)
    ids = [generator.dataset.image_class_ids(i).tolist() for i in range(4)]
    assert ids == [[1], [-1], [], []]
    assert generator.passes.factors.tolist() == [2, 1, 1, 1]  # sqrt(1 / 0.25)


def test_masks_of_tiles_stay_codes_until_each_is_asked_for(slides, monkeypatch):
    tiled, decoded, decode = TiledDataset(slides, 40, 10), [], mask_utils.decode
    monkeypatch.setattr(mask_utils, "decode", lambda code: decoded.append(code) or decode(code))
    encoded, class_ids = tiled.load_encoded(1, (40, 40, 3))
    assert isinstance(encoded, EncodedMasks) and encoded.shape == (40, 40, 2) and not decoded
    assert class_ids.tolist() == [1, -1]
    masks, same = tiled.load_mask(1)
    assert same.tolist() == [1, -1]
    for i in range(2):
        np.testing.assert_array_equal(encoded[:, :, i], masks[:, :, i])
    decoded.clear()
    DataGenerator(slides, TilesConfig(), shuffle=False)[0]
    assert [code["size"] for code in decoded] == [[40, 40]] * 5  # 3 and 2 objects, one by one
    assert tiled.load_encoded(1, (40, 70, 3)) is None  # `load_mask` then says what does not fit


def test_boxes_of_tiles_are_those_of_their_masks(make):
    tiled = TiledDataset(make([(5, 10, 12, 18), (20, 26, 30, 36), (5, 22, 12, 32)]), 40, 10)
    for image_id in (0, 1):
        boxes, class_ids = tiled.load_boxes(image_id, (40, 40))
        found = list(zip(class_ids.tolist(), map(tuple, boxes.tolist()), strict=True))
        assert found == seen(tiled, image_id)
        assert tiled.image_class_ids(image_id).tolist() == class_ids.tolist()


def test_a_box_is_that_of_the_pixels_in_the_tile(tmp_path):
    # Rows 5..25 of columns 20..28, and rows 5..8 as far as 40: the right tile shows 5..8 alone.
    write_slides(tmp_path / "a", [(5, 20, 25, 40)])
    outline = [20, 5, 40, 5, 40, 8, 28, 8, 28, 25, 20, 25]
    path = tmp_path / "a" / "annotations.json"
    data = json.loads(path.read_text())
    data["annotations"][0]["segmentation"] = [outline]
    path.write_text(json.dumps(data))
    tiled = TiledDataset(load(tmp_path / "a", verbose=0), 40, 10, keep_empty=True)
    # 3 x 10 of 160 + 36 pixels, and the left tile shows all.
    assert seen(tiled, 1) == [(-1, (5, 0, 8, 10))]
    boxes, class_ids = tiled.load_boxes(1, (40, 40))
    assert boxes.tolist() == [[5, 0, 8, 10]] and class_ids.tolist() == [-1]


class Boxed(Drawn):
    """Boxes of a user's own, without masks."""

    def load_mask(self, image_id):
        pytest.fail("a mask was drawn")

    def load_boxes(self, image_id, image_shape):
        assert tuple(image_shape[:2]) == (40, 70)
        boxes = self.image_info[image_id]["boxes"]
        return boxes, [1] * len(boxes)


def test_own_boxes_are_cut_to_their_tile():
    tiled = TiledDataset(Boxed([(5, 10, 12, 18), (20, 26, 30, 36), (5, 22, 12, 32)]), 40, 10)
    boxes, class_ids = tiled.load_boxes(1, (40, 40))
    assert boxes.tolist() == [[20, 0, 30, 6], [5, 0, 12, 2]] and class_ids.tolist() == [1, -1]
    assert tiled.image_class_ids(0).tolist() == [1, 1, 1]


def test_pictures_that_are_no_larger_are_asked_for_as_they_are(tmp_path, no_masks):
    slides = write_slides(tmp_path / "a", [(5, 10, 12, 18)])
    whole = TiledDataset(slides, 70, 10)
    assert whole.load_boxes(0, (40, 70))[0].tolist() == [[5, 10, 12, 18]]
    assert whole.load_encoded(0, (40, 70))[0].codes == slides.load_codes(0)[0]
    assert whole.image_class_ids(0).tolist() == [1]
    assert TiledDataset(Drawn([]), 70, 10).load_encoded(0, (40, 70)) is None
