"""COCO's panoptic format: ids as colours, JSON beside them, and two channels."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrcnn.data.checking import check_path, fix
from mrcnn.data.checking.findings import Finding
from mrcnn.data.converting import convert
from mrcnn.data.dataset import Dataset
from mrcnn.data.formats.coco_panoptic.dataset import CocoPanopticDataset
from mrcnn.data.formats.coco_panoptic.segment_files import (
    channels_to_ids,
    colors_to_ids,
    ids_to_colors,
    read_ids,
)
from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.loading import load
from mrcnn.data.panoptic import class_labels, load_segments
from mrcnn.image.label_maps import VOID

SAMPLE = Path(os.environ.get("MRCNN_DATA", "."), "panoptic_sample", "sample_data")
CATEGORIES = [
    {"id": 7, "name": "sky", "isthing": 0},
    {"id": 3, "name": "cat", "isthing": 1},
    {"id": 9, "name": "dog", "isthing": 1},
]
# One row: a cat, void, a crowd of dogs, sky.
IDS = np.array([[70000, 70000, 0, 300, 5, 5]])
SEGMENTS = [
    {"id": 70000, "category_id": 3, "iscrowd": 0},
    {"id": 300, "category_id": 9, "iscrowd": 1},
    {"id": 5, "category_id": 7, "iscrowd": 0},
]


def write(folder, ids=IDS, segments=SEGMENTS, categories=CATEGORIES, **annotation):
    """Writes a data set of one picture; returns the path of its JSON file."""
    (folder / "annotations" / "panoptic_val").mkdir(parents=True)
    (folder / "val").mkdir()
    Image.fromarray(np.zeros((*ids.shape, 3), np.uint8)).save(folder / "val" / "a.png")
    Image.fromarray(ids_to_colors(ids)).save(folder / "annotations" / "panoptic_val" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": ids.shape[0], "width": ids.shape[1]}],
        "annotations": [
            {"image_id": 1, "file_name": "a.png", "segments_info": segments} | annotation
        ],
        "categories": categories,
    }
    path = folder / "annotations" / "panoptic_val.json"
    path.write_text(json.dumps(content))
    return path


def test_ids_are_colours():
    # 70000 = 112 + 256 * 17 + 65536 * 1; 300 = 44 + 256.
    colors = ids_to_colors(np.array([[70000, 300, 5, 0]]))
    assert colors.tolist() == [[[112, 17, 1], [44, 1, 0], [5, 0, 0], [0, 0, 0]]]
    assert colors.dtype == np.uint8
    assert colors_to_ids(colors).tolist() == [[70000, 300, 5, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.uint64])
def test_ids_of_any_integers_are_colours(dtype):
    assert ids_to_colors(np.array([[200, 1]], dtype)).tolist() == [[[200, 0, 0], [1, 0, 0]]]


@pytest.mark.parametrize("number", [-1, 256**3])
def test_ids_that_no_colour_has_are_refused(number):
    with pytest.raises(ValueError, match=f"expected ids .* from 0 to 16777215, received {number}"):
        ids_to_colors(np.array([[0, number]]))


def test_a_file_that_changed_is_read_anew(tmp_path):
    path = str(tmp_path / "a.png")
    Image.fromarray(ids_to_colors(np.array([[7, 7]]))).save(path)
    assert read_ids(path).tolist() == [[7, 7]]
    Image.fromarray(ids_to_colors(np.array([[9, 9]]))).save(path)
    os.utime(path, ns=(1, 1))
    assert read_ids(path).tolist() == [[9, 9]]


def test_a_file_is_read_once_for_all_things_of_its_picture(tmp_path, monkeypatch):
    from mrcnn.data.annotations import annotated

    reads, values_of = [], annotated.values_of
    monkeypatch.setattr(annotated, "values_of", lambda *x: reads.append(x) or values_of(*x))
    write(tmp_path)
    load(tmp_path, verbose=0).load_mask(0)
    assert len(reads) == 1


def test_ids_of_two_channels():
    colors = np.array([[[3, 1, 0], [3, 255, 0], [7, 0, 0], [0, 4, 0]]], np.uint8)
    assert channels_to_ids(colors).tolist() == [[3 * 256 + 1, 3 * 256 + 255, 7 * 256, 0]]


def test_things_are_instances_and_come_before_stuff(tmp_path):
    write(tmp_path)
    dataset = load(tmp_path, verbose=0)
    assert dataset.source == "coco_panoptic" and dataset.num_images == 1
    assert dataset.class_names == ["BG", "cat", "dog", "sky"] and dataset.num_stuff_classes == 1
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [1, -2]
    assert masks.astype(int).tolist() == [[[1, 0], [1, 0], [0, 0], [0, 1], [0, 0], [0, 0]]]
    assert dataset.load_boxes(0, (1, 6))[0].tolist() == [[0, 0, 1, 2], [0, 3, 1, 4]]
    found = load_segments(dataset, 0, (1, 6))
    assert class_labels(*found).tolist() == [[1, 1, VOID, 2, 3, 3]]
    assert [x["is_crowd"] for x in found[1]] == [False, True, False]


def test_segments_of_other_classes_than_asked_for_are_void(tmp_path):
    path = write(tmp_path)
    with pytest.warns(UserWarning, match="classes that were not asked for"):
        dataset = load(path, classes=["sky", "dog"], verbose=0)
    assert dataset.class_names == ["BG", "dog", "sky"]
    found = load_segments(dataset, 0, (1, 6))
    assert class_labels(*found).tolist() == [[VOID, VOID, VOID, 1, 2, 2]]


def test_two_channels_need_no_annotations(tmp_path):
    path = write(tmp_path)
    colors = np.zeros((1, 6, 3), np.uint8)
    colors[0, :, :2] = [[3, 1], [3, 1], [0, 0], [9, 255], [7, 0], [7, 0]]
    (tmp_path / "annotations" / "channels").mkdir()
    Image.fromarray(colors).save(tmp_path / "annotations" / "channels" / "a.png")
    content = json.loads(path.read_text())
    del content["annotations"]
    path = path.with_name("images.json")
    path.write_text(json.dumps(content))
    options = {"segments": str(path.parent / "channels"), "images": str(tmp_path / "val")}
    dataset = load(path, verbose=0, **options)
    assert dataset.load_mask(0)[1].tolist() == [1, -2]
    found = load_segments(dataset, 0, (1, 6))
    assert class_labels(*found).tolist() == [[1, 1, VOID, 2, 3, 3]]


def test_instances_of_coco_come_first_where_both_lie_side_by_side(tmp_path):
    write(tmp_path)
    box = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 2, 1], "area": 2}
    outline = {"segmentation": [[0, 0, 2, 0, 2, 1, 0, 1]], "iscrowd": 0}
    content = json.loads((tmp_path / "annotations" / "panoptic_val.json").read_text())
    content["annotations"] = [box | outline]
    (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(content))
    assert load(tmp_path, verbose=0).source == "coco"
    assert load(tmp_path, format="coco_panoptic", verbose=0).num_stuff_classes == 1


def test_the_other_files_of_cocos_folder_are_not_read(tmp_path):
    path = write(tmp_path)
    for name in ("captions_val", "person_keypoints_val", "stuff_val"):
        path.with_name(f"{name}.json").write_text(path.read_text())
    assert list(CocoPanopticDataset.find(tmp_path)) == ["val"]
    path.rename(path.with_name("own.json"))  # without the name that COCO gives it, all that fit
    assert sorted(CocoPanopticDataset.find(tmp_path))[-2:] == ["person_keypoints_val", "stuff_val"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file_name": None}, r"annotations\[0\]: expected file_name, that of a PNG, received"),
        ({"segments_info": None}, r"annotations\[0\]: expected segments_info, a list of objects"),
        ({"segments": [7]}, r"annotations\[0\]: expected segments_info, a list of objects"),
        ({"categories": [7]}, "expected 'categories' to be a list of objects"),
        ({"categories": {}}, "expected 'categories' to be a list of objects"),
        ({"image_id": 2}, r"images\[0\]: expected an annotation of image 1, there is none"),
        ({"segments": [{"id": 0, "category_id": 3}]}, r"segments_info\[0\]: expected an id above"),
        ({"segments": [{"id": 5, "category_id": 4}]}, "segment 5 has category_id 4; expected one"),
        ({"categories": [{"id": 3, "name": "cat"}]}, r"categories\[0\]: expected isthing 0 or 1"),
    ],
)
def test_entries_that_cannot_be_used_are_named(tmp_path, changes, message):
    path = write(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        load(path, format="coco_panoptic", verbose=0)


def test_files_that_cannot_be_used_are_named(tmp_path):
    path = write(tmp_path, segments=SEGMENTS[:2])
    dataset = load(path, verbose=0)
    with pytest.raises(ValueError, match=r"a.png.*expected each id of the map .* ids \[5\] of non"):
        load_segments(dataset, 0, (1, 6))
    file = Path(dataset.image_info[0]["segments_file"])
    Image.new("L", (6, 1)).save(file.with_name("b.png"))
    dataset.image_info[0]["segments_file"] = str(file.with_name("b.png"))
    with pytest.raises(ValueError, match=r"b.png: expected a PNG whose colours are ids.*mode L"):
        dataset.load_panoptic(0)


def test_a_file_without_categories_is_named(tmp_path):
    path = write(tmp_path)
    content = json.loads(path.read_text())
    del content["categories"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"val.json: expected an object with 'images', 'annotat"):
        load(path, format="coco_panoptic", verbose=0)


class Own(Dataset):
    """A picture of one row."""

    num_stuff_classes = 1

    def __init__(self, ids, segments, names=("cat", "sky")):
        super().__init__()
        self.found = np.array(ids), segments
        for i, name in enumerate(names, start=1):
            self.add_class("own", i, name)
        self.add_image("own", "a", None)
        self.prepare()

    def load_image(self, image_id):
        return np.zeros((*self.found[0].shape, 3), np.uint8)

    def load_panoptic(self, image_id):
        return self.found


CAT, SKY = {"class_id": 1, "is_thing": True}, {"class_id": 2, "is_thing": False}


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[1, 256**3]], r"a.png: expected ids of segments from 0 to 16777215, received 16777216"),
        ([[1, 2]], r"expected each id of the map in one segment, .* and ids \[2\] of none"),
    ],
)
def test_what_cannot_be_written_names_its_picture(tmp_path, ids, message):
    dataset = Own(ids, [{"id": 1, **CAT}, {"id": 256**3, **SKY}])
    with pytest.raises(ValueError, match=message):
        convert(dataset, tmp_path / "out", "coco_panoptic")
    assert not any(tmp_path.iterdir())


def test_a_thing_and_stuff_of_one_name_stay_two(tmp_path):
    data = Own([[1, 1, 2]], [{"id": 1, **CAT}, {"id": 2, **SKY}], ("glass", "glass"))
    back = load(convert(data, tmp_path / "out", "coco_panoptic"), verbose=0)
    assert back.class_names == ["BG", "glass", "glass"] and back.num_stuff_classes == 1
    assert class_labels(*load_segments(back, 0, (1, 3))).tolist() == [[1, 1, 2]]


def test_stuff_that_is_lost_is_told(tmp_path):
    data = Own([[1, 1, 2]], [{"id": 1, **CAT}, {"id": 2, **SKY}])
    with pytest.warns(UserWarning, match="stuff, which the format cannot hold, is left out: sky"):
        folder = convert(data, tmp_path / "out", "coco")
    assert load(folder, verbose=0).class_names == ["BG", "cat"]


def test_the_cleaned_copy_has_renamed_segments(tmp_path):
    # Cat is cat, of which there are more; SKY and sky are stuff of one name.
    names = {1: "cat", 2: "Cat", 3: "sky", 4: "SKY"}
    categories = [{"id": i, "name": name, "isthing": int(i < 3)} for i, name in names.items()]
    ids = np.array([[1, 1, 2, 3, 4, 5]])
    kinds = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4}
    write(tmp_path / "in", ids, [{"id": i, "category_id": c} for i, c in kinds.items()], categories)
    dataset, report = check_path(tmp_path / "in")
    changes = fix(dataset, report, tmp_path / "out")
    assert {"class 'Cat' becomes 'cat'", "class 'SKY' becomes 'sky'"} <= set(changes)
    back = load(tmp_path / "out", verbose=0)
    assert back.class_names == ["BG", "cat", "sky"] and back.num_stuff_classes == 1
    assert class_labels(*load_segments(back, 0, (1, 6))).tolist() == [[1, 1, 1, 1, 2, 2]]
    assert len(back.load_mask(0)[1]) == 3


def test_the_cleaned_copy_has_no_segments_of_objects_left_out(tmp_path):
    class Twice(Own):  # its second object is the first again
        def load_mask(self, image_id):
            masks = self.found[0][:, :, None] == np.array([1, 1, 2])
            return masks, np.array([1, 1, 1], np.int32)

    data = Twice([[1, 1, 2, 3]], [{"id": 1, **CAT}, {"id": 2, **CAT}, {"id": 3, **SKY}])
    report = data.check()
    report.findings.append(Finding("warning", "object without a pixel", "a", "gone", 0, 2))
    fix(data, report, tmp_path / "out", "coco_panoptic")
    back = load(tmp_path / "out", verbose=0)
    found = load_segments(back, 0, (1, 4))
    # Of the doubled object the first stays, and its segment; the third is gone.
    assert class_labels(*found).tolist() == [[1, 1, VOID, 2]] and len(found[1]) == 2


def test_pictures_whose_segments_cannot_be_used_are_told_and_left_out(tmp_path):
    path = write(tmp_path / "in")
    content = json.loads(path.read_text())
    content["images"].append(content["images"][0] | {"id": 2, "file_name": "b.png"})
    stuff = {"image_id": 2, "file_name": "b.png", "segments_info": SEGMENTS[2:]}
    content["annotations"].append(stuff)
    path.write_text(json.dumps(content))
    Image.new("RGB", (6, 1), (9, 9, 9)).save(tmp_path / "in" / "val" / "b.png")
    (path.with_suffix("") / "b.png").write_bytes(b"no picture")
    dataset, report = check_path(tmp_path / "in")
    (error,) = [x for x in report.findings if x.level == "error"]
    assert error.kind == "segments that cannot be used" and "b.png" in str(error)
    fix(dataset, report, tmp_path / "out")
    (info,) = load(tmp_path / "out", verbose=0).image_info
    assert info["path"].endswith("a.png")


def test_segments_written_are_those_read(tmp_path):
    grounds = GroundsDataset()
    grounds.load_shapes(2, 40, 60)
    grounds.prepare()
    back = load(convert(grounds, tmp_path / "out", "coco_panoptic"), verbose=0)
    assert back.class_names == grounds.class_names and back.num_stuff_classes == 2
    for image_id in (0, 1):
        np.testing.assert_array_equal(back.load_image(image_id), grounds.load_image(image_id))
        ours, theirs = (load_segments(x, image_id, (40, 60)) for x in (grounds, back))
        np.testing.assert_array_equal(*(class_labels(*found) for found in (ours, theirs)))
        assert len(theirs[1]) == len(ours[1])
        np.testing.assert_array_equal(back.load_mask(image_id)[0], grounds.load_mask(image_id)[0])


def test_the_layout_of_cityscapes(tmp_path):
    truth, key = tmp_path / "gtFine", "aachen_000000_000019"
    pictures = tmp_path / "leftImg8bit" / "val" / "aachen"
    pictures.mkdir(parents=True)
    Image.fromarray(np.full((1, 6, 3), 9, np.uint8)).save(pictures / f"{key}_leftImg8bit.png")
    maps = truth / "cityscapes_panoptic_val"
    maps.mkdir(parents=True)
    Image.fromarray(ids_to_colors(IDS)).save(maps / f"{key}_gtFine_panoptic.png")
    content = {
        "images": [
            {"id": key, "file_name": f"{key}_gtFine_leftImg8bit.png", "height": 1, "width": 6}
        ],
        "annotations": [
            {
                "image_id": key,
                "file_name": f"{key}_gtFine_panoptic.png",
                "segments_info": SEGMENTS,
            }
        ],
        "categories": CATEGORIES,
    }
    (truth / "cityscapes_panoptic_val.json").write_text(json.dumps(content))
    dataset = load(tmp_path, subset="val")
    assert (dataset.load_image(0) == 9).all()
    ids, segments = load_segments(dataset, 0, (1, 6, 3))
    assert ids.tolist() == IDS.tolist()
    assert [dataset.class_names[x["class_id"]] for x in segments] == ["cat", "dog", "sky"]


@pytest.mark.realdata
def test_both_layouts_of_cocos_sample_are_the_same():
    images = SAMPLE / "input_images"
    colors = load(SAMPLE / "panoptic_examples.json", images=images, verbose=0)
    folder = SAMPLE / "panoptic_examples_2ch_format"
    channels = load(SAMPLE / "images_info_examples.json", images=images, segments=folder, verbose=0)
    assert colors.num_images == channels.num_images == 2
    assert colors.num_stuff_classes == 53 and colors.num_classes == 134
    assert colors.class_names == channels.class_names
    listed = json.loads((SAMPLE / "panoptic_examples.json").read_text())["annotations"]
    for image_id in (0, 1):
        size = colors.load_image(image_id).shape
        ours, theirs = (load_segments(x, image_id, size) for x in (colors, channels))
        np.testing.assert_array_equal(class_labels(*ours), class_labels(*theirs))
        areas = {x["id"]: x["area"] for x in listed[image_id]["segments_info"]}
        assert {x["id"]: int((ours[0] == x["id"]).sum()) for x in ours[1]} == areas
        kinds = [
            sorted((x["class_id"], x["is_crowd"], int((ids == x["id"]).sum())) for x in found)
            for ids, found in (ours, theirs)
        ]
        assert kinds[0] == kinds[1]
