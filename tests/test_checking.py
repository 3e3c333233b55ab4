"""`mrcnn check`, `Dataset.check` and the cleaned copy."""

import json
import random
import shutil
import time
import warnings

import numpy as np
import pytest
from mutations import mutate
from PIL import Image

from mrcnn.cli import main
from mrcnn.config import Config
from mrcnn.data import Dataset
from mrcnn.data.checking import check_path, fix
from mrcnn.data.checking.statistics import anchor_fit
from mrcnn.data.class_names import is_slip, names_alike
from mrcnn.data.loading import load
from mrcnn.data.shapes import ShapesConfig, ShapesDataset

HEIGHT, WIDTH = 40, 60


def square(x, y, side=20):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def picture(path, seed, shape=(HEIGHT, WIDTH), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*shape, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


def write(folder, subset, pictures, categories=("cat", "dog"), start=0):
    """COCO's files of a subset; `pictures`: by file name a list of (category, outline)."""
    images, annotations = [], []
    for number, (name, objects) in enumerate(pictures.items()):
        if not (folder / subset / name).exists():
            picture(folder / subset / name, start + number)
        image = {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        images.append(image)
        for category, outline in objects:
            entry = {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0}
            entry["category_id"] = categories.index(category) + 1
            annotations.append(entry | {"segmentation": [outline]})
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": i + 1, "name": x} for i, x in enumerate(categories)]
    (folder / "annotations" / f"instances_{subset}.json").write_text(json.dumps(content))


def kinds(report, level=None):
    """What was found: by kind the texts."""
    found = {}
    for finding in report.findings:
        if level in (None, finding.level):
            found.setdefault(finding.kind, []).append(str(finding))
    return found


def test_good_data(tmp_path):
    write(tmp_path, "train", {"a.png": [("cat", square(5, 5))], "b.png": [("dog", square(9, 9))]})
    _, report = check_path(tmp_path)
    assert report.ok and not report.findings and not report.suggestions
    assert report.facts["objects of each class"] == {"cat": 1, "dog": 1}
    assert report.facts["pictures"] == {"train": 2}
    # 40 x 60 to 1024: 20 pixels become 20 * 1024 / 60 = 341.3.
    assert report.facts["root of a box's area in the network"].startswith("341.3 to 341.3")
    assert str(report).startswith(f"{tmp_path}: 0 errors, 0 warnings, 0 notes")
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def test_files(tmp_path):
    names = ("good", "gone", "cut", "png", "turned", "large")
    write(tmp_path, "train", {f"{name}.jpg": [("cat", square(5, 5))] for name in names})
    folder = tmp_path / "train"
    (folder / "gone.jpg").unlink()
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:700])
    picture(folder / "as.png", 7)
    shutil.move(folder / "as.png", folder / "png.jpg")
    exif = Image.Exif()
    exif[274] = 3
    picture(folder / "turned.jpg", 8, exif=exif)
    picture(folder / "large.jpg", 9, (WIDTH, HEIGHT))
    dataset, report = check_path(tmp_path)
    found = kinds(report, "error")
    unread, sizes = (
        found["picture that cannot be read"],
        found.pop("size that differs from the annotation"),
    )
    assert len(unread) == 2 and "gone.jpg" in "".join(unread) and "cut.jpg" in "".join(unread)
    assert sizes == [
        f"{folder / 'large.jpg'}: the picture is 40 x 60 pixels, its annotation says 60 x 40. "
        "Pictures are read upright, as their EXIF says."
    ]
    found = kinds(report, "warning")
    assert found["suffix of another kind"] == [
        f"{folder / 'png.jpg'}: its content is that of a .png file"
    ]
    assert "orientation 3" in found["turned or mirrored by EXIF"][0]
    assert not report.ok

    changes = fix(dataset, report, tmp_path / "out")
    assert sum("left out the picture" in change for change in changes) == 3
    assert f"{folder / 'png.jpg'} is called png.png" in changes
    clean, report = check_path(tmp_path / "out")
    assert report.ok
    names = [info["path"].rsplit("/", 1)[1] for info in clean.image_info]
    assert names == ["good.jpg", "png.png", "turned.jpg"]


def test_outlines(tmp_path):
    objects = [
        ("cat", square(5, 5)),
        ("cat", square(5.2, 5)),  # the same
        ("dog", square(5, 5)),  # of two classes
        ("cat", square(50, 30, 30)),  # 20 pixels over the right border, 20 below
        ("cat", square(200, 5)),
        ("dog", square(40, 5, 0.5)),
    ]
    write(tmp_path, "train", {"a.png": objects})
    dataset, report = check_path(tmp_path)
    found = kinds(report)
    (twice,) = found["object annotated twice"]
    assert "a.png, annotation 2: the same object as annotation 1" in twice
    assert len(found["object of two classes"]) == 2
    beyond = found["outline outside of the picture"]
    assert "annotation 4: it reaches 20 pixels over the border" in beyond[0]
    assert "annotation 5: it reaches 160 pixels" in beyond[1]
    (empty,) = found["object without a pixel"]
    assert "a.png, annotation 5: " in empty
    assert "its box is 0.5 x 0.5 pixels" in found["box under one pixel"][0]
    changes = fix(dataset, report, tmp_path / "out")
    assert sum("left out the object" in change for change in changes) == 3
    assert load(tmp_path / "out", verbose=0).load_mask(0)[1].tolist() == [1, 2, 1]


def test_repeats_and_classes(tmp_path):
    write(
        tmp_path,
        "train",
        {name: [("cat", square(5, 5))] for name in ("a.png", "b.png", "c.png")},
        ("cat", "Cat ", "cow"),
    )
    write(
        tmp_path,
        "val",
        {"d.png": [("Cat ", square(5, 5))], "e.png": [("cow", square(5, 5))]},
        ("cat", "Cat ", "cow"),
        start=10,
    )
    for copy in ("train/b.png", "val/d.png"):
        Image.open(tmp_path / "train" / "a.png").save(tmp_path / copy, compress_level=1)
    dataset, report = check_path(tmp_path)
    found = kinds(report)
    (twice,) = found["same picture twice"]
    assert twice.startswith(f"{tmp_path / 'train' / 'b.png'}: its pixels are those of")
    (leak,) = found["same picture in two subsets"]
    assert leak.startswith(f"{tmp_path / 'train' / 'a.png'}: ") and "val/d.png" in leak
    assert found["class names that are nearly the same"] == [
        "'cat', 'Cat' are the same but for case, blanks or dashes"
    ]
    assert "'Cat' occurs in val and never in train" in found["class that is never trained"]
    changes = fix(dataset, report, tmp_path / "out")
    assert "class 'Cat' becomes 'cat'" in changes
    clean = load(tmp_path / "out", verbose=0)
    assert clean.class_names == ["BG", "cat", "cow"]
    names = [info["path"].rsplit("/", 1)[1] for info in clean.image_info]
    assert names == ["c.png", "d.png", "e.png"]


def test_an_object_drawn_for_two_spellings_of_a_class_is_one(tmp_path):
    objects = [("cat", square(5, 5)), ("Cat", square(5, 5)), ("Cat", square(20, 5))]
    write(tmp_path, "train", {"a.png": objects}, ("cat", "Cat"))
    dataset, report = check_path(tmp_path)
    (twice,) = kinds(report)["object annotated twice"]
    assert "annotation 2: the same object as annotation 1" in twice
    fix(dataset, report, tmp_path / "out")
    clean = load(tmp_path / "out", verbose=0)
    assert clean.class_names == ["BG", "Cat"] and clean.load_mask(0)[0].shape[2] == 2


def test_what_the_reader_refuses_is_told_with_all_the_rest(tmp_path):
    write(tmp_path, "train", {"a.png": [("cat", square(5, 5)), ("cat", [1, 2, float("nan")] * 2)]})
    dataset, report = check_path(tmp_path)
    (text,) = kinds(report, "error")["entry that cannot be used"]
    assert "Annotation 2 of image 0" in text
    changes = fix(dataset, report, tmp_path / "out")
    assert changes == [f"left out when read: {text}"]
    assert check_path(tmp_path / "out")[1].ok


def test_nothing_can_be_read(tmp_path, capsys):
    dataset, report = check_path(tmp_path)
    assert dataset is None and not report.ok
    assert "found none" in kinds(report)["annotations that cannot be read"][0]
    assert main(["check", str(tmp_path)]) == 1
    assert "1 error, 0 warnings" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert "there is no" in capsys.readouterr().err


def test_no_objects(tmp_path):
    write(tmp_path, "train", {"a.png": []})
    _, report = check_path(tmp_path)
    assert kinds(report, "error") == {
        "no objects": ["no picture has an object: there is nothing to learn"]
    }
    write(tmp_path, "train", {"a.png": [("cat", square(5, 5))]})
    path = tmp_path / "annotations" / "instances_train.json"
    path.write_text(path.read_text().replace('"iscrowd": 0', '"iscrowd": 1'))
    assert "every object is a crowd" in kinds(check_path(tmp_path)[1])["no objects"][0]


def test_boxes_alone(tmp_path):
    write(tmp_path, "train", {"a.png": [("cat", [])]})
    path = tmp_path / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["annotations"][0] |= {"segmentation": [], "bbox": [1, 2, 30, 30]}
    path.write_text(json.dumps(content))
    (text,) = kinds(check_path(tmp_path)[1], "error")["objects with a box alone"]
    assert "a.png, annotation 1" in text and "--box-masks" in text
    boxes = type("Boxes", (Config,), {"USE_MASK": False})()
    for report in (check_path(tmp_path, boxes)[1], check_path(tmp_path, box_masks=True)[1]):
        assert report.ok


def test_sizes_and_suggestions(tmp_path):
    many = [("cat", square(x, y, 3)) for x in range(0, 60, 5) for y in range(0, 40, 5)]  # 96
    write(tmp_path, "train", {"a.png": many})
    config = type("Small", (Config,), {"IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64})()
    config.MAX_GT_INSTANCES, config.RPN_ANCHOR_SCALES = 50, (32, 64, 128, 256, 512)
    _, report = check_path(tmp_path, config)
    assert report.ok
    found = kinds(report)
    assert (
        "96 objects, of which training takes 50" in found["more objects than MAX_GT_INSTANCES"][0]
    )
    assert report.suggestions["MAX_GT_INSTANCES"][0] == 100
    # 60 becomes 64, and 3 pixels 3.2.
    assert "96 of 96 objects have a side under 4" in found["objects too small to see"][0]
    assert report.suggestions["RPN_ANCHOR_SCALES"][0] == (4, 8, 16, 32, 64)
    assert "MAX_GT_INSTANCES=100: a picture has 96" in str(report)
    picture(tmp_path / "train" / "a.png", 1, (400, 600))
    write(tmp_path, "train", {"a.png": []})
    # 400 x 600 to 64: (64 / 600)^2 = 1.1 % of the pixels are left.
    assert "lose 99 %" in kinds(check_path(tmp_path, config)[1])["pixels lost by resizing"][0]


def test_the_fit_of_anchors():
    # 10 x 10 in 16 x 16: 100 / 256 = 0.39; in 12 x 12: 0.69.
    assert anchor_fit(np.array([[10.0, 10]]), [16], [1]) == 0
    assert anchor_fit(np.array([[10.0, 10]]), [12], [1]) == 1
    # A ratio of 4 at scale 10 is 5 high and 20 wide.
    assert anchor_fit(np.array([[5.0, 20], [20, 5]]), [10], [1, 4]) == 0.5
    assert anchor_fit(np.zeros((0, 2)), [10], [1]) == 1


class Broken(Dataset):
    """Of four pictures one is good."""

    def load_image(self, image_id):
        if image_id == 1:
            raise KeyError("no such picture")
        return np.full((HEIGHT, WIDTH, 3), image_id, np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((HEIGHT, WIDTH, 2), bool)
        masks[3:9, 4:20, 0] = True
        if image_id == 2:
            return masks, np.array([1])
        return masks, np.array([1, 2 if image_id else 1])


def test_a_data_set_of_ones_own():
    dataset = Broken()
    for i, name in enumerate(("cat", "dog"), start=1):
        dataset.add_class("own", i, name)
    for i in range(4):
        dataset.add_image("own", i, path=None)
    dataset.prepare()
    report = dataset.check()
    found = kinds(report)
    assert "no such picture" in found["picture that cannot be read"][0]
    assert "2 masks and 1 class ids" in found["masks that cannot be used"][0]
    assert len(found["object without a pixel"]) == 2


def boxes_alone(folder, image_ids):
    """Takes the outlines of objects of pictures away, so that boxes are left."""
    path = folder / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        if entry["image_id"] in image_ids:
            entry |= {"segmentation": [], "bbox": [5, 5, 20, 20]}
    path.write_text(json.dumps(content))


def test_the_cleaned_copy_of_boxes_and_outlines_trains_masks(tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    objects = [("cat", square(5, 5)), ("dog", square(35, 5))]
    write(data, "train", {"a.png": objects, "b.png": objects})
    boxes_alone(data, [1])
    assert main(["check", str(data), "--fix", str(out)]) == 1
    assert "left out the picture " in (said := capsys.readouterr().out) and "b.png" in said
    assert main(["check", str(out)]) == 0 and load(out, verbose=0).num_images == 1
    line = ["check", str(data), "USE_MASK=false", "--fix", str(tmp_path / "boxes")]
    assert main(line) == 0 and load(tmp_path / "boxes", verbose=0).num_images == 2


@pytest.mark.parametrize("spoil", ["outlines", "pictures", "annotations"])
def test_no_copy_without_anything_to_train_on(tmp_path, capsys, spoil):
    data, out = tmp_path / "data", tmp_path / "out"
    write(data, "train", {"a.png": [("cat", square(5, 5))]})
    if spoil == "outlines":
        boxes_alone(data, [0])
    else:
        name = "train/a.png" if spoil == "pictures" else "annotations/instances_train.json"
        (data / name).write_text("{")
    assert main(["check", str(data), "--fix", str(out)]) == (1 if spoil == "annotations" else 2)
    said = capsys.readouterr().err
    assert f"{out}" in said and "not written" in said
    assert sorted(tmp_path.iterdir()) == [data]


def test_a_name_that_no_file_can_have_is_told_of_its_picture(tmp_path):
    write(tmp_path, "train", {"a.png": [("cat", square(5, 5))]})
    path = tmp_path / "annotations" / "instances_train.json"
    path.write_text(path.read_text().replace("a.png", 300 * "a"))
    found = kinds(check_path(tmp_path)[1], "error")
    assert "File name too long" in found["picture that cannot be read"][0]


def test_what_resizing_loses(tmp_path):
    """A side of 1024 becomes 512: 3 of 4 pixels are lost; pictures of 40 x 60 lose none."""
    write(tmp_path, "train", {"a.png": [("cat", square(5, 5))]}, categories=("cat", "fox"))
    picture(tmp_path / "train" / "b.png", 9, (1024, 1024))
    content = json.loads((tmp_path / "annotations" / "instances_train.json").read_text())
    content["images"].append({"id": 7, "file_name": "b.png"})
    content["annotations"].append(content["annotations"][0] | {"id": 9, "category_id": 2})
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(content))
    config = Config()
    config.IMAGE_MIN_DIM = config.IMAGE_MAX_DIM = 512
    report = load(tmp_path, verbose=0).check(config)
    lost = report.facts["percent of a picture's pixels that IMAGE_MAX_DIM loses"]
    assert lost == "0 to 75, half of them 37.5 or more"
    assert report.facts["objects of each class"] == {"cat": 1, "fox": 1}


class Warns(Dataset):
    """Every fifth picture warns, while others are read by other threads."""

    def load_image(self, image_id):
        time.sleep(0.002)
        if image_id % 5 == 0:
            warnings.warn(f"look at {image_id}", stacklevel=1)
            warnings.warn("np.odd is deprecated", DeprecationWarning, stacklevel=1)
        return np.full((HEIGHT, WIDTH, 3), image_id, np.uint8)

    def load_mask(self, image_id):
        time.sleep(0.002)
        return np.ones((HEIGHT, WIDTH, 1), bool), np.array([1])


def test_a_warning_is_that_of_its_picture():
    dataset, shown = Warns(), warnings.showwarning
    dataset.add_class("own", 1, "cat")
    for i in range(40):
        dataset.add_image("own", i, path=None)
    dataset.prepare()
    found = [x for x in dataset.check().findings if x.kind == "picture to look at"]
    assert [(x.image_id, x.text) for x in found] == [(i, f"look at {i}") for i in range(0, 40, 5)]
    assert warnings.showwarning is shown
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", stacklevel=1)


def test_drawn_shapes():
    dataset = ShapesDataset()
    dataset.load_shapes(4, 128, 128)
    dataset.prepare()
    seen = []
    report = dataset.check(ShapesConfig(), lambda done, count: seen.append((done, count)))
    assert report.ok and seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sum(report.facts["objects of each class"].values()) == sum(
        len(info["shapes"]) for info in dataset.image_info
    )


def test_the_command(tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    write(data, "train", {"a.png": [("cat", square(5, 5))], "b.png": []})
    assert main(["check", str(data)]) == 0
    (data / "train" / "b.png").write_text("none")
    line = ["check", str(data), "--json", str(tmp_path / "new" / "r.json"), "--fix", str(out)]
    assert main(line) == 1
    said = capsys.readouterr().out
    assert "error, picture that cannot be read (1)" in said and "left out the picture" in said
    assert json.loads((tmp_path / "new" / "r.json").read_text())["findings"][0]["level"] == "error"
    assert main(["check", str(out)]) == 0
    assert main(line) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Cat", "cat ", " CAT", "c at"])
def test_names_that_are_nearly_the_same(name):
    assert names_alike(["cow", "cat", name]) == ([] if name == "c at" else [["cat", name]])


def test_a_rare_name_may_be_a_slip_of_a_frequent_one(tmp_path):
    frequent = [("yeast", square(2 * i, 2 * i, 9)) for i in range(20)]
    objects = [*frequent, ("yaest", square(5, 5)), ("yeasty", square(5, 5)), ("bud", square(5, 5))]
    classes = ("yeast", "yaest", "yeasty", "bud", "bun")
    write(tmp_path, "train", {"a.png": objects, "b.png": [("yeast", square(9, 9))]}, classes)
    _, report = check_path(tmp_path)
    assert kinds(report, "warning")["class names that are nearly the same"] == [
        "'yaest', 1 objects, may be a slip for 'yeast', which 21 have",
        "'yeasty', 1 objects, may be a slip for 'yeast', which 21 have",
    ]


@pytest.mark.parametrize(
    ("name", "other", "slip"),
    [
        ("yaest", "yeast", True),
        ("Yeast", "yeast", False),  # the same but for case: told otherwise
        ("cat", "bat", False),  # short words are near many
        ("platelet", "plate", False),  # 5 of 8 and 5 letters: 10 / 13
        ("bicycle", "motorcycle", False),
    ],
)
def test_slips(name, other, slip):
    assert is_slip(name, other) is slip


def test_names_of_several_words_that_are_nearly_the_same(tmp_path, capsys):
    names = ["traffic_light", "cow", "Traffic-Light", "traffic  light"]
    assert names_alike(names) == [["traffic_light", "Traffic-Light", "traffic  light"]]
    write(tmp_path, "train", {"a.png": [(names[0], square(5, 5))]}, names)
    load(tmp_path)  # training tells it too
    said = capsys.readouterr().out
    assert "classes that may be one: 'traffic_light', 'Traffic-Light', 'traffic  light'\n" in said


def test_whatever_is_in_the_file_there_is_a_report(tmp_path):
    write(tmp_path, "train", {"a.png": [("cat", square(5, 5))], "b.png": [("dog", square(9, 9))]})
    path = tmp_path / "annotations" / "instances_train.json"
    text, rng, wrong = path.read_text(), random.Random(1), 0
    for _ in range(150):
        content = json.loads(text)
        mutate(content, rng, rng.choice([1, 2, 4]))
        path.write_text(json.dumps(content))
        _, report = check_path(tmp_path)
        assert json.dumps(report.to_dict()) and str(report)
        wrong += not report.ok
    assert 50 < wrong < 150
