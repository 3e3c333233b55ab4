"""`Detections`: a result of `detect` as a dict, a picture, a table and other libraries' formats."""

import copy
import csv
import json
import pickle
import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image
from pycocotools import mask as mask_utils
from skimage.io import imread
from tiny import TinyConfig, shapes

from mrcnn.inference import Detections
from mrcnn.model import MaskRCNN
from mrcnn.visualize.grids import draw_grid

NAMES = ["BG", "cat", "dog"]


def example(**changes):
    """An image of 6 x 8 whose pixels count up, with a dog of 2 x 3 pixels and a cat of 3 x 3."""
    masks = np.zeros((2, 6, 8), bool)
    masks[0, 1:3, 2:5] = True
    masks[1, 2:5, 4:7] = True
    found = {
        "rois": np.array([[1, 2, 3, 5], [2, 4, 5, 7]], np.int32),
        "boxes": np.array([[1.25, 2, 3, 5], [2, 4, 5.5, 7]], np.float32),
        "class_ids": np.array([2, 1], np.int32),
        "scores": np.array([0.9, 0.5], np.float32),
        "masks": np.moveaxis(masks, 0, -1),
    }
    image = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8, 1).repeat(3, axis=2)
    return Detections(**{"found": found, "image": image, "class_names": NAMES, **changes})


def boxes_only(**changes):
    found = example(**changes)
    del found["masks"]
    return found


def nothing():
    return example().filter([])


def assert_same(first, second, tolerance=0):
    assert list(first) == list(second)
    for name, array in first.items():
        np.testing.assert_allclose(array, second[name], atol=tolerance, err_msg=name)


# ---- matterport's dict


def test_it_is_a_dict_of_five_keys():
    found = example()
    assert isinstance(found, dict) and len(found) == 5 and found.count == 2
    assert dict(found).keys() == {"rois", "boxes", "class_ids", "scores", "masks"}
    assert {**found}["class_ids"].tolist() == [2, 1]
    with pytest.raises(KeyError):
        found["nothing"]


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy, dict.copy, "copy"])
def test_pickled_and_copied(way):
    found = example()
    if way == "copy":
        other = found.copy()
        assert other is not found and other.image is found.image
    else:
        other = pickle.loads(way(found)) if way is pickle.dumps else way(found)
    assert_same(found, other)
    if way is not dict.copy:
        assert type(other) is Detections and other.class_names == NAMES
        np.testing.assert_array_equal(other.image, found.image)


# ---- a selection


@pytest.mark.parametrize("keep", [[False, True], np.array([False, True]), [1], slice(1, None)])
def test_a_selection(keep):
    found = example()
    kept = found[keep]
    assert type(kept) is Detections and kept.count == 1 and found.count == 2
    assert kept["rois"].tolist() == [[2, 4, 5, 7]] and kept["class_ids"].tolist() == [1]
    assert kept["masks"].shape == (6, 8, 1) and kept["masks"].sum() == 9
    assert kept["masks"][:, :, 0].flags.c_contiguous
    assert kept.image is found.image and kept.class_names is NAMES


def test_a_selection_may_be_empty_and_may_reorder():
    assert nothing().count == 0 and nothing()["masks"].shape == (6, 8, 0)
    assert example().filter([1, 0])["class_ids"].tolist() == [1, 2]


@pytest.mark.parametrize("keep", [[True], [[True, False]], [0.5, 1.0], ["a", "b"]])
def test_a_selection_of_another_form_is_refused(keep):
    with pytest.raises(ValueError, match="a bool for each of the 2 instances, or their indices"):
        example()[keep]


# ---- pictures


def test_plot_draws_into_a_copy():
    found = example()
    before = found.image.copy()
    picture = found.plot(show_bbox=False, captions=["", ""], colors=[(1, 0, 0), (0, 0, 1)])
    assert picture.shape == (6, 8, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(found.image, before)
    changed = (picture != before).any(axis=-1)
    # Drawn is inside the masks alone.
    np.testing.assert_array_equal(changed, found["masks"].any(axis=-1))
    assert boxes_only().plot().shape == nothing().plot().shape == (6, 8, 3)


def panoptic():
    """`example` with a map of a thing on the left, and stuff on the right but for a column."""
    found = example()
    found["segmentation"] = np.zeros((6, 8), np.int32)
    found["segmentation"][:, :3], found["segmentation"][:, 4:] = 1, 2
    kinds = {"score": 0.5, "area": 18}
    found["segments"] = [
        {"id": 1, "class_id": 1, "is_thing": True, **kinds},
        {"id": 2, "class_id": 2, "is_thing": False, **kinds},
    ]
    return found


def test_a_panoptic_result_is_drawn_as_its_map(tmp_path):
    found = panoptic()
    picture = found.plot(captions=["", ""])
    changed = (picture != found.image).any(axis=-1)
    np.testing.assert_array_equal(changed, found["segmentation"] > 0)
    found.save(tmp_path / "found.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "found.png")), found.plot())
    assert len(found.show(captions=["", ""]).images) == 1
    plt.close("all")


def test_a_grid_of_pictures_shows_maps():
    found = panoptic()
    nothing = {"rois": np.zeros((0, 4)), "class_ids": []}
    shown, plain = (draw_grid([found.image], [x], NAMES, tile=160) for x in (found, nothing))
    # 6 x 8 pixels are 120 x 160 of the tile, from its row 20 on. The void is column 3: a caption
    # may lie on it, in the lower rows nothing does.
    changed = (shown != plain).any(axis=-1)
    assert changed[100:138, 2:58].all() and changed[100:138, 82:158].all()
    assert not changed[100:138, 61:79].any() and not changed[:20].any()


def test_a_map_is_reduced_with_its_picture():
    found = panoptic()
    del found["masks"]
    small = found.reduced(4)
    # The pixel in the middle of each block of two: columns 1, 3, 5, 7.
    assert small["segmentation"].tolist() == [[1, 0, 2, 2]] * 3
    assert small.image.shape[:2] == (3, 4) and found["segmentation"].shape == (6, 8)
    assert small.plot(captions=["", ""]).shape == (3, 4, 3)


def test_show_returns_axes():
    axes = example().show(title="found")
    assert axes.get_title() == "found"
    plt.close("all")


def test_crops():
    found = example()
    dog, cat = found.crop()
    np.testing.assert_array_equal(dog, found.image[1:3, 2:5])
    np.testing.assert_array_equal(cat, found.image[2:5, 4:7])
    assert not np.shares_memory(dog, found.image)
    # Rows -1 to 5 and 0 to 7, columns 0 to 7 and 2 to 9, cut at 6 x 8.
    assert [crop.shape for crop in found.crop(padding=2)] == [(5, 7, 3), (6, 6, 3)]


def test_a_box_without_a_whole_pixel_has_a_crop_of_one():
    found = example().filter([0, 0])
    found["rois"] = np.array([[2, 3, 2, 3], [6, 8, 6, 8]], np.int32)
    middle, corner = found.crop()
    np.testing.assert_array_equal(middle, found.image[2:3, 3:4])
    np.testing.assert_array_equal(corner, found.image[5:6, 7:8])


def test_a_result_without_an_image_says_so():
    for use in (Detections.plot, Detections.show, Detections.crop):
        with pytest.raises(ValueError, match=r"set found\.image = image"):
            use(example(image=None))


def test_polygons_are_the_edges_of_the_pixels():
    (dog,), (cat,) = example().polygons()
    assert sorted(dog.tolist()) == [[2, 1], [2, 3], [5, 1], [5, 3]]  # x, y
    assert sorted(cat.tolist()) == [[4, 2], [4, 5], [7, 2], [7, 5]]
    assert nothing().polygons() == []


def test_rotated_boxes_of_upright_rectangles_are_upright():
    dog, cat = example().rotated_boxes().tolist()
    assert dog == [[1, 2], [1, 5], [3, 5], [3, 2]]  # y, x
    assert cat == [[2, 4], [2, 7], [5, 7], [5, 4]]
    assert nothing().rotated_boxes().shape == (0, 4, 2)
    with pytest.raises(ValueError, match="expected masks"):
        boxes_only().rotated_boxes()


def test_an_empty_mask_has_a_rotated_box_of_zeros():
    found = example()
    found["masks"][:, :, 0] = False
    empty, cat = found.rotated_boxes().tolist()
    assert empty == [[0, 0]] * 4 and cat[0] == [2, 4]


def test_in_the_label_image_the_best_is_on_top():
    labels = example().label_image()
    assert labels.dtype == np.int32
    assert labels.tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 2, 2, 0],  # column 4 is in both
        [0, 0, 0, 0, 2, 2, 2, 0],
        [0, 0, 0, 0, 2, 2, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert (example().filter([1, 0]).label_image()[2, 2:7] == [2, 2, 2, 1, 1]).all()


def test_boxes_alone_have_no_masks_to_convert():
    for use in (Detections.polygons, Detections.label_image):
        with pytest.raises(ValueError, match="USE_MASK = False"):
            use(boxes_only())


# ---- tables and formats

TABLE = [
    # class, score, y1 x1 y2 x2, pixels
    [1, 2, "dog", 0.9, 1.25, 2, 3, 5, 6],
    [2, 1, "cat", 0.5, 2, 4, 5.5, 7, 9],
]


def test_rows():
    values = [list(row.values()) for row in example().rows()]
    assert values[1] == TABLE[1]
    assert values[0][3] == pytest.approx(0.9) and values[0][4:] == TABLE[0][4:]
    row = boxes_only(class_names=None).rows()[0]
    assert row["class_name"] == "class 2" and row["area"] is None


def test_coco_results():
    dog, cat = example().to_coco(7)
    assert cat["image_id"] == 7 and cat["category_id"] == 1 and cat["score"] == 0.5
    assert dog["bbox"] == [2, 1.25, 3, 1.75]  # x y width height
    np.testing.assert_array_equal(
        mask_utils.decode(dog["segmentation"]), example()["masks"][:, :, 0]
    )
    assert "segmentation" not in boxes_only().to_coco(7)[0]
    assert nothing().to_coco(7) == []


def test_dataframe():
    pytest.importorskip("pandas")
    table = example().to_dataframe()
    assert list(table.class_name) == ["dog", "cat"] and list(table.area) == [6, 9]
    assert list(nothing().to_dataframe().columns) == list(table.columns)


def test_supervision():
    pytest.importorskip("supervision")
    found = example()
    other = found.to_supervision()
    assert other.xyxy.tolist() == [[2, 1.25, 5, 3], [4, 2, 7, 5.5]]
    np.testing.assert_array_equal(other.mask, np.moveaxis(found["masks"], -1, 0))
    assert other.confidence.tolist() == [pytest.approx(0.9), 0.5]
    assert other.class_id.tolist() == [2, 1] and other["class_name"].tolist() == ["dog", "cat"]
    assert boxes_only().to_supervision().mask is None
    assert len(nothing().to_supervision()) == 0


@pytest.mark.parametrize("package", ["pandas", "supervision"])
def test_a_package_that_is_missing_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    convert = {"pandas": Detections.to_dataframe, "supervision": Detections.to_supervision}
    with pytest.raises(ImportError, match=rf"pip install 'mrcnn\[{package}\]'"):
        convert[package](example())


def test_save_goes_by_the_suffix(tmp_path):
    found = example()
    found.save(tmp_path / "a.png")
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), found.plot())
    found.save(str(tmp_path / "a.JPG"))
    assert (tmp_path / "a.JPG").read_bytes().startswith(b"\xff\xd8\xff")
    found.save(tmp_path / "a.json", image_id=3)
    assert json.loads((tmp_path / "a.json").read_text()) == found.to_coco(3)
    found.save(tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        dog, cat = csv.DictReader(file)
    assert dog["class_name"] == "dog" and dog["score"] == "0.9000" and dog["y1"] == "1.25"
    assert cat["y2"] == "5.50" and cat["area"] == "9"
    with pytest.raises(ValueError, match=r"a\.txt: expected the suffix \.json, .*received '\.txt'"):
        found.save(tmp_path / "a.txt")


# ---- from a model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return MaskRCNN("inference", TinyConfig(), tmp_path_factory.mktemp("logs"))


def test_detect_hands_on_images_and_class_names(model):
    picture = shapes().load_image(0)
    model.class_names = ["BG", "square", "circle", "triangle"]
    (found,) = model.detect([picture])
    assert type(found) is Detections and found.image is picture
    assert found.class_names is model.class_names
    assert len(found.rows()) == len(found.crop()) == len(found.polygons()) == found.count > 0
    (streamed,) = model.detect([picture], stream=True)
    assert type(streamed) is Detections and streamed.image is None
    assert_same(found, streamed)
    molded, metas, _ = model.mold_inputs([picture])
    (found,) = model.detect_molded(molded, metas)
    assert type(found) is Detections and found.class_names is model.class_names


def test_detect_reads_files(model, tmp_path):
    picture = shapes().load_image(0)
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(picture[:40]).save(tmp_path / "b.tif")
    paths = [str(tmp_path / "a.png"), tmp_path / "b.tif"]
    results = model.detect([*paths, picture])
    np.testing.assert_array_equal(results[1].image, picture[:40])
    for found, image in zip(results, [picture, picture[:40], picture], strict=True):
        assert_same(found, model.detect([image])[0], 1e-4)  # the batch was another
    for found, streamed in zip(results, model.detect(iter(paths), stream=True), strict=False):
        assert_same(found, streamed, 1e-4)
    (tmp_path / "c.jpg").write_text("no picture")
    for stream in (False, True):
        with pytest.raises(ValueError, match=r"images\[2\]: .*c\.jpg, but it cannot be read"):
            list(model.detect([*paths, tmp_path / "c.jpg"], stream=stream))
