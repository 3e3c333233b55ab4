"""COCO's format as other tools write it: taken, told, or refused by name."""

import json
import random
import warnings

import numpy as np
import pytest
from mutations import mutate
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.outlines import _cut, run_lengths, to_code
from mrcnn.data.formats.coco import CocoDataset

HEIGHT, WIDTH = 20, 30
BOX = [2, 2, 12, 2, 12, 10, 2, 10]  # 10 x 8 pixels
# The same, column by column, and one of 8 x 8 from column 15 on.
CODE = {"size": [20, 30], "counts": [42, *[8, 12] * 9, 8, 600 - 42 - 180 - 8]}
ASIDE = {"size": [20, 30], "counts": [302, *[8, 12] * 7, 8, 600 - 302 - 140 - 8]}


def content(**changes):
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [BOX], "iscrowd": 0}
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{**annotation, **changes}],
    }


@pytest.fixture
def load(tmp_path):
    """Loads what an annotation file of one picture holds."""
    (tmp_path / "train").mkdir()
    (tmp_path / "annotations").mkdir()
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "train" / "a.png")

    def load(data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        (tmp_path / "annotations" / "instances_train.json").write_bytes(data)
        dataset = CocoDataset()
        dataset.coco = dataset.load_coco(tmp_path, "train", year="", return_coco=True)
        dataset.prepare()
        return dataset

    load.folder = tmp_path
    return load


def areas(dataset):
    masks, class_ids = dataset.load_mask(0)
    return masks.sum(axis=(0, 1)).tolist(), class_ids.tolist()


@pytest.mark.parametrize(
    ("form", "area"),
    [
        ([BOX], 80),
        (BOX, 80),
        ([[BOX]], 80),
        ([[2, 2], [12, 2], [12, 10], [2, 10]], 80),
        ([[[2, 2], [12, 2], [12, 10], [2, 10]]], 80),
        (json.dumps([BOX]), 80),
        (CODE, 80),
        ([CODE], 80),
        ([BOX, ASIDE], 144),
        ([BOX, [15, 2, 23, 2, 23, 10, 15, 10]], 144),
        ([BOX, BOX], 80),
    ],
)
def test_outlines_in_every_form_that_can_be_meant(load, form, area):
    dataset = load(content(segmentation=form))
    assert areas(dataset) == ([area], [1])
    (entry,) = dataset.coco.anns.values()
    assert dataset.coco.annToMask(entry).sum() == area  # pycocotools takes it too
    assert entry["area"] == area and len(entry["bbox"]) == 4


@pytest.mark.parametrize(
    "form", [[[2, 2, 12, 10]], [[2, 2]], [[]], [BOX, []], [BOX, [2, 2, 12, 10]]]
)
def test_fewer_than_three_points_are_told(load, form):
    with pytest.warns(UserWarning, match=r"fewer than three points .*, of annotations: 1$"):
        dataset = load(content(segmentation=form))
    assert areas(dataset)[0] == [80] * (form[0] == BOX)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"segmentation": [[2, 2, 12, 2, 12]]}, "Annotation 1 of image 1: .*5 numbers"),
        ({"segmentation": "polygon"}, "Annotation 1 of image 1: expected polygons, .*'polygon'"),
        ({"segmentation": [[2, 2, None, 2, 2, 10]]}, "Annotation 1 .*finite coordinates"),
        ({"segmentation": [[2, 2, "x", 2, 2, 10]]}, "Annotation 1 .*finite coordinates"),
        ({"segmentation": [[2, 2, 10**400, 2.5, 2, 10]]}, "Annotation 1 .*finite coordinates"),
        ({"segmentation": {"size": [20, 30], "counts": [5, 5]}}, "Annotation 1 .*fill its size"),
        ({"segmentation": {"size": [20, 30], "counts": [-5, 605]}}, "Annotation 1 .*fill its"),
        ({"segmentation": {"size": [20], "counts": "abc"}}, "Annotation 1 .*fill its size"),
        ({"segmentation": {"counts": [600]}}, "Annotation 1 .*fill its size None"),
        ({"segmentation": {"size": [20, 30], "counts": "o"}}, "Annotation 1 .*fill its size"),
        ({"segmentation": {"size": ["20", "30"], "counts": [600]}}, "Annotation 1 .*fill its"),
        ({"segmentation": {"size": [20, 30], "counts": [41.5, 8.5, 550]}}, "Annotation 1 .*fill"),
        ({"segmentation": {"size": [20.5, 30], "counts": [600]}}, "Annotation 1 .*fill its"),
        ({"iscrowd": "maybe"}, "Annotation 1 of image 1: expected iscrowd 0 or 1, .* 'maybe'"),
        ({"iscrowd": [0]}, "Annotation 1 of image 1: expected iscrowd"),
        ({"image_id": None}, "Annotation 1 of .*, image_id: expected an id, received None"),
        ({"category_id": True}, "Annotation 1 .*, category_id: expected an id, received True"),
        ({"id": [1]}, r"annotations\[0\]: expected an id, received \[1\]"),
    ],
)
def test_what_cannot_be_meant_names_the_annotation(load, changes, words):
    for facts in ({}, {"bbox": [2, 2, 10, 8], "area": 80}):
        with pytest.raises(ValueError, match=rf"instances_train\.json.*{words}"):
            load(content(**{**facts, **changes}))


@pytest.mark.parametrize(
    "facts",
    [
        {"bbox": ["2", 2, 10, 8], "area": -1},
        {"bbox": [2, 2, float("nan"), 8], "area": True},
        {"bbox": None, "area": "80"},
    ],
)
def test_boxes_and_areas_that_are_none_are_the_outlines(load, facts):
    (entry,) = load(content(**facts)).coco.anns.values()
    assert (entry["bbox"], entry["area"]) == ([2, 2, 10, 8], 80)


@pytest.mark.parametrize(
    ("value", "class_id"),
    [("0", 1), ("false", 1), (False, 1), (None, 1), ("1", -1), ("True", -1), (1.0, -1)],
)
def test_flags_of_crowds(load, value, class_id):
    assert areas(load(content(iscrowd=value)))[1] == [class_id]


@pytest.mark.parametrize("changes", [{"image_id": "1"}, {"category_id": "1"}, {"category_id": 1.0}])
def test_ids_meet_whatever_their_type(load, changes):
    assert areas(load(content(**changes))) == ([80], [1])


def test_ids_may_be_texts(load):
    data = content(image_id="a", category_id="cat")
    data["images"][0]["id"], data["categories"][0]["id"] = "a", "cat"
    dataset = load(data)
    assert areas(dataset) == ([80], [1]) and dataset.image_info[0]["id"] == "a"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"category_id": 7}, "annotations of categories that are not listed are left out: 1$"),
        ({"image_id": 5}, "annotations of images that are not listed are left out: 1$"),
    ],
)
def test_ids_of_nothing_are_told(load, changes, words):
    with pytest.warns(UserWarning, match=words):
        assert areas(load(content(**changes))) == ([], [])


def test_a_warning_names_five_and_counts_the_others(load):
    data = content()
    data["annotations"] = [{**data["annotations"][0], "id": i, "image_id": 9} for i in range(8)]
    with pytest.warns(UserWarning, match=r"left out: 0, 1, 2, 3, 4 and 3 more$"):
        load(data)


def test_ids_of_annotations_are_made_unique(load):
    data = content()
    data["annotations"] *= 2
    data["annotations"] += [{k: v for k, v in data["annotations"][0].items() if k != "id"}]
    data["annotations"] += [{**data["annotations"][0], "id": "7"}]
    with pytest.warns(UserWarning, match="a text or the id of another, and get one: 1$"):
        dataset = load(data)
    assert sorted(dataset.coco.anns) == [1, 7, 8, 9] and areas(dataset)[0] == [80] * 4


def test_an_id_of_two_things_is_refused(load):
    data = content()
    data["images"].append({**data["images"][0], "file_name": "b.png"})
    with pytest.raises(ValueError, match=r"images\[1\]: id 1 is that of a\.png and of b\.png"):
        load(data)
    data["images"][1] = {**data["images"][0], "width": 31}
    with pytest.raises(ValueError, match=r"images\[1\]: image 1 has .* \[20, 31\], and \[20, 30\]"):
        load(data)
    data = content()
    data["categories"].append({"id": "1", "name": "dog"})
    with pytest.raises(ValueError, match=r"categories\[1\]: id 1 is that of 'cat' and of 'dog'"):
        load(data)


def test_sizes_that_lack_are_the_pictures(load):
    for size in (
        {},
        {"width": None, "height": 0},
        {"width": True},
        {"width": "30", "height": "20"},
    ):
        data = content()
        data["images"][0] = {"id": 1, "file_name": "a.png", **size}
        assert load(data).load_mask(0)[0].shape == (20, 30, 1)
    data["images"][0] = {"id": 1, "file_name": "nowhere.png"}
    with pytest.raises(ValueError, match=r"images\[0\]: it has no width .*nowhere\.png"):
        load(data)


@pytest.mark.parametrize("name", [".\\a.png", "..\\train\\a.png", "C:\\me\\a.png"])
def test_paths_of_windows_are_found_by_name(load, name):
    data = content()
    data["images"][0]["file_name"] = name
    assert load(data).load_image(0).shape == (20, 30, 3)
    data["images"][0]["file_name"] = ".\\b.png"
    with pytest.raises(ValueError, match=r"images\[0\]: file_name '.*b\.png' is a path of Windows"):
        load(data)


def test_one_file_is_not_two_pictures(load):
    data = content()
    data["images"][0]["file_name"] = "cam1\\a.png"
    data["images"].append({**data["images"][0], "id": 2, "file_name": "cam2\\a.png"})
    with pytest.raises(
        ValueError, match=r"images\[1\]: 'cam2.*' and 'cam1.*' would both be a\.png"
    ):
        load(data)


def test_classes_are_chosen_by_ids_of_any_type(load):
    data = content()
    data["categories"] += [{"id": "dog", "name": "dog"}]
    for ids in (["1", "dog"], np.array([1]), [1.0]):
        dataset = CocoDataset()
        load(data)
        dataset.load_coco(load.folder, "train", year="", class_ids=ids)
        assert [info["id"] for info in dataset.class_info[1:]] == [1, "dog"][: len(ids)]
    with pytest.raises(ValueError, match=r"Expected class_ids of \[1, 'dog'\], received \[99\]"):
        dataset.load_coco(load.folder, "train", year="", class_ids=[99])


@pytest.mark.parametrize("name", [None, "", 7])
def test_images_need_a_file_name(load, name):
    data = content()
    data["images"][0]["file_name"] = name
    with pytest.raises(ValueError, match=r"images\[0\]: expected a 'file_name', received"):
        load(data)


def test_a_byte_order_mark_does_not_matter(load):
    data = json.dumps(content()).encode("utf-8-sig")
    assert areas(load(data)) == ([80], [1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "expected an object .* received list. Results of detections are no annotations"),
        (3, r"expected an object .* received int\.$"),
        ({"annotations": []}, r"expected an object .* one with \['annotations'\]"),
        ({"images": {}}, "expected 'images' to be a list of objects"),
        ({"images": [1]}, "expected 'images' to be a list of objects"),
    ],
)
def test_another_file_is_told(load, data, words):
    with pytest.raises(ValueError, match=rf"instances_train\.json: {words}"):
        load(data)


def test_an_outline_that_ends_far_away_is_cut_at_once(load):
    # To the right and down without end: 28 x 18 pixels of the picture from (2, 2) on.
    far = [2, 2, 1e9, 2, 1e9, 1e9, 2, 1e9]
    assert areas(load(content(segmentation=[far]))) == ([28 * 18], [1])
    outside = load(content(segmentation=[[1e6, 1e6, 2e6, 1e6, 2e6, 2e6]]))
    with pytest.warns(UserWarning, match="image 1, annotation 1: the outline covers no pixel"):
        assert areas(outside) == ([], [])


def test_cutting_by_hand():
    # A triangle whose tip passes 4: two corners take its place, at half of each side.
    triangle = np.array([[0.0, 0], [8, 4], [0, 8]])
    found = _cut(triangle, -9, 4)
    assert {tuple(point) for point in found.tolist()} == {(0, 0), (4, 2), (4, 4), (0, 4)}


def test_runs_of_a_compressed_code():
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = np.asfortranarray(rng.random((37, 53)) < rng.random(), np.uint8)
        code = mask_utils.encode(mask)
        flat = mask.ravel(order="F")
        ends = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *ends, flat.size]).tolist()
        assert run_lengths(code["counts"]) == ([0, *runs] if flat[0] else runs)
        assert to_code(code, 37, 53, "it") == code


def test_parts_of_codes_must_have_one_size():
    other = {"size": [2, 2], "counts": [4]}
    with pytest.raises(ValueError, match=r"it: expected parts of one size, .*\[2, 2\]"):
        to_code([BOX, other], 20, 30, "it")


def test_whatever_is_in_the_file_it_loads_or_is_named(load):
    entry = content()["annotations"][0]
    shapes = [[BOX], CODE, [BOX, [15, 2, 23, 2, 23, 10]], to_code(CODE, HEIGHT, WIDTH, "it")]
    shapes[3] = {**shapes[3], "counts": shapes[3]["counts"].decode()}
    whole = content()
    whole["annotations"] = [
        {**entry, "id": i, "segmentation": shape, "bbox": [2, 2, 10, 8], "area": 80}
        for i, shape in enumerate(shapes)
    ]
    text, rng, refused = json.dumps(whole), random.Random(0), 0
    path = str(load.folder / "annotations" / "instances_train.json")
    for _ in range(600):
        changed = json.loads(text)
        mutate(changed, rng, rng.choice([1, 1, 2, 4]))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset = load(changed)
                if dataset.num_images:
                    dataset.load_mask(0)
        except ValueError as error:
            refused += 1
            assert path in str(error) or "annotation" in str(error)
    assert 200 < refused < 600
