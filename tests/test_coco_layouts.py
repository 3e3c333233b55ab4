"""Where COCO's files and their pictures lie: whatever lies there, nothing is lost or mixed up."""

import json

import numpy as np
import pytest
from format_examples import HEIGHT, WIDTH, save

from mrcnn.data.loading import load

SQUARE = [2, 3, 12, 3, 12, 13, 2, 13]


def annotations(path, *files, classes=("cat",)):
    """Writes annotations with an object of the first class in each picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [
            {"id": i, "file_name": file, "width": WIDTH, "height": HEIGHT}
            for i, file in enumerate(files)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, start=1)],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 1, "segmentation": [SQUARE]}
            for i in range(len(files))
        ],
    }
    path.write_text(json.dumps(content), encoding="utf-8")


def pictures(folder, *names):
    for i, name in enumerate(names):
        save(np.full((HEIGHT, WIDTH, 3), i), folder / name)


def read(path, **options):
    dataset = load(path, verbose=0, **options)
    return [(info["subset"], info["path"][len(str(path)) + 1 :]) for info in dataset.image_info]


def test_two_files_of_one_folder_are_both_read(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    annotations(tmp_path / "annotations.json", "a.png")
    annotations(tmp_path / "instances.json", "b.png")
    assert read(tmp_path) == [("", "a.png"), ("instances", "b.png")]


def test_a_file_alone_is_no_subset_whatever_its_name(tmp_path):
    pictures(tmp_path, "a.png")
    annotations(tmp_path / "result.json", "a.png")
    assert read(tmp_path) == [("", "a.png")]
    assert load(tmp_path / "result.json", verbose=0).image_info[0]["subset"] == ""


def test_a_class_id_that_means_another_class_in_another_subset_is_refused(tmp_path):
    for subset, classes in (("train", ["cat", "dog"]), ("val", ["dog", "cat"])):
        pictures(tmp_path / subset, f"{subset}.png")
        annotations(tmp_path / "annotations" / f"{subset}.json", f"{subset}.png", classes=classes)
    with pytest.raises(ValueError, match=r"1 is that of 'cat' and of 'dog'; number them alike"):
        load(tmp_path, verbose=0)
    val = load(tmp_path, "val", classes=["cat", "dog"], verbose=0)
    assert val.load_mask(0)[1].tolist() == [2]


def test_categories_of_one_name_are_one_class(tmp_path):
    """Roboflow writes a parent of the same name."""
    pictures(tmp_path, "a.png", "b.png")
    annotations(tmp_path / "a.json", "a.png", "b.png", classes=["fish", "fish"])
    content = json.loads((tmp_path / "a.json").read_text())
    content["annotations"][1]["category_id"] = 2
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.warns(
        UserWarning, match=r"have one name, and are one class: .*a.json, 'fish', id 2$"
    ):
        dataset = load(tmp_path, verbose=0)
    assert dataset.class_names == ["BG", "fish"]
    assert [dataset.load_mask(i)[1].tolist() for i in (0, 1)] == [[1], [1]]


def test_names_that_a_comma_makes_the_same_are_told(tmp_path):
    pictures(tmp_path, "a.png")
    annotations(tmp_path / "a.json", "a.png", classes=["fish, small", "fish, big"])
    with pytest.warns(UserWarning, match=r"then the same: 'fish, small' and 'fish, big'$"):
        load(tmp_path, verbose=0)


def test_the_folder_of_pictures_is_found_when_the_first_is_missing(tmp_path):
    pictures(tmp_path / "images", "b.png")
    annotations(tmp_path / "annotations" / "train.json", "a.png", "b.png")
    assert read(tmp_path) == [("train", "images/a.png"), ("train", "images/b.png")]


@pytest.mark.parametrize(
    "name", ["/home/me/pets/a.png", "../../label-studio/data/media/upload/1/a.png", "..\\x\\a.png"]
)
def test_pictures_of_another_machine_are_found_by_name(tmp_path, name):
    pictures(tmp_path / "images", "a.png")
    annotations(tmp_path / "result.json", name)
    assert read(tmp_path) == [("", "images/a.png")]


def test_many_files_in_the_folder_of_annotations(tmp_path):
    """COCO's own: of 2014 and 2017 together there are 15, captions first."""
    pictures(tmp_path / "val2014", "a.png")
    for kind in ("captions", "image_info", "person_keypoints"):
        for subset in ("train2014", "val2014", "train2017", "val2017"):
            path = tmp_path / "annotations" / f"{kind}_{subset}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text('{"images": [], "annotations": [{"caption": "a cat"}]}')
    annotations(tmp_path / "annotations" / "instances_val2014.json", "a.png")
    assert read(tmp_path) == [("val2014", "val2014/a.png")]


def test_a_folder_of_other_annotations_beside_a_file(tmp_path):
    pictures(tmp_path, "a.png")
    (tmp_path / "annotations").mkdir()
    annotations(tmp_path / "coco.json", "a.png")
    assert read(tmp_path) == [("", "a.png")]
