"""Label images: found beside their pictures, read, refused by name, written."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import tifffile
from odd_outlines import OUTLINES, SIZE, instances, item, masks_of, save, square
from PIL import Image

from mrcnn.data import converting
from mrcnn.data.annotations.instances import Instance
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.writing import items_of
from mrcnn.data.formats.label_images import LabelImageDataset
from mrcnn.data.formats.label_images import dataset as label_images
from mrcnn.data.loading import load, recognize, subsets

DATA = os.environ.get("MRCNN_DATA")


def labels(*numbers):
    """Bars of 4 x 2 pixels, from the left."""
    image = np.zeros(SIZE, np.uint16)
    for i, number in enumerate(numbers):
        image[3:7, 4 * i : 4 * i + 2] = number
    return image


def place(path, content=None):
    """Writes a label image, or a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        save(path)
    elif path.suffix == ".npy":
        np.save(path, content)
    else:
        Image.fromarray(content).save(path)


@pytest.fixture
def pair(tmp_path):
    """A picture, and its label image with the numbers 1, 300 and 1 again, far away."""
    place(tmp_path / "images" / "a.jpg")
    place(tmp_path / "masks" / "a.png", labels(1, 300, 0, 1))
    return tmp_path


def sizes(dataset, image_id=0):
    masks, class_ids = dataset.load_mask(image_id)
    names = [dataset.class_names[i] for i in class_ids]
    return list(zip(masks.sum(axis=(0, 1)).tolist(), names, strict=True))


def test_a_number_is_an_object(pair):
    dataset = load(pair, class_name="cell", verbose=0)
    assert sizes(dataset) == [(16, "cell"), (8, "cell")]  # the pixels of 1 are in two bars
    masks, _ = dataset.load_mask(0)
    np.testing.assert_array_equal(masks[..., 1], labels(0, 1) > 0)
    assert dataset.instances(0)[1].name == "number 300"
    place(pair / "masks" / "a.png", labels())
    assert sizes(load(pair, verbose=0)) == []


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("images/a.jpg", "masks/a.tif"),
        ("images/a.jpg", "labels/a.npy"),
        ("images/a.jpg", "label/a.png"),
        ("images/a.jpg", "annotations/a.png"),
        ("images/a.jpg", "instances/a.png"),
        ("images/a.jpg", "masks/a_masks.png"),
        ("train/images/a.jpg", "train/masks/a.png"),
        ("images/train/a.jpg", "masks/train/a.png"),
        ("a.tif", "a_masks.png"),
        ("a_img.png", "a_masks.png"),
        ("a.png", "a_cp_masks.tif"),
        ("a_img.png", "a_label.tif"),
        ("train/a.tif", "train/a_masks.tif"),
        ("plate.1.tif", "plate.1_masks.tif"),
    ],
)
def test_layouts(tmp_path, picture, label):
    place(tmp_path / picture)
    place(tmp_path / label, labels(5, 6))
    assert recognize(tmp_path) == "labels"
    assert subsets(tmp_path) == ["train" if "train" in picture else ""]
    dataset = load(tmp_path, verbose=0)
    assert [x["id"] for x in dataset.image_info] == [Path(picture).name]
    assert sizes(dataset) == [(8, "object"), (8, "object")]


@pytest.mark.parametrize(
    "files",
    [
        ["JPEGImages/a.jpg", "Annotations/a.xml", "SegmentationObject/a.png"],
        ["images/a.jpg", "labels/a.txt"],
        ["images/train/a.jpg", "labels/train/a.txt", "data.yaml"],
        ["train2017/a.jpg", "annotations/instances_train2017.json"],
        ["images/a.jpg", "annotations/instances_default.json"],
        ["stage1_train/a/images/a.png", "stage1_train/a/masks/0.png"],
        ["images/a.jpg", "masks/a/0.png"],
        ["a.png", "b.png", "masks.png"],
    ],
)
def test_other_formats_are_not_claimed(tmp_path, files):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path) if path.suffix in (".jpg", ".png") else path.write_text("")
    assert LabelImageDataset.find(tmp_path) == {}
    assert LabelImageDataset.find(path) == {}


def test_what_is_alone_is_told(pair):
    place(pair / "images" / "b.jpg")
    place(pair / "masks" / "c.png", labels(1, 2))
    place(pair / "masks" / "._a.png", labels(1, 2))  # macOS leaves such in archives
    with pytest.warns(UserWarning) as caught:
        assert load(pair, verbose=0).num_images == 1
    assert sorted(str(x.message).partition(": ")[2] for x in caught) == [
        f"label images without a picture are left out: {pair / 'masks' / 'c.png'}",
        f"pictures without a label image are left out: {pair / 'images' / 'b.jpg'}",
    ]


def test_what_is_double_is_refused(pair):
    place(pair / "masks" / "a.tif", labels(1))
    with pytest.raises(ValueError, match=r"expected one picture and one label image .*a\.tif"):
        load(pair, verbose=0)
    (pair / "masks" / "a.tif").unlink()
    place(pair / "labels" / "a.png", labels(1, 2))
    with pytest.raises(ValueError, match=r"masks and .*labels: expected one folder of label"):
        load(pair, verbose=0)
    assert sizes(load(pair, labels="labels", verbose=0)) == [(8, "object")] * 2


def test_cellposes_own_file_tells_what_to_save(tmp_path):
    place(tmp_path / "a.png")
    np.save(tmp_path / "a_seg.npy", np.array({"masks": labels(1)}), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a_seg\.npy: .*save the masks as PNG or TIFF"):
        load(tmp_path, verbose=0)
    place(tmp_path / "a_masks.png", labels(1, 2))
    assert len(sizes(load(tmp_path, verbose=0))) == 2


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_of_all_objects_is_refused(tmp_path, value):
    for name, image in (("a", labels(value, value, value)), ("b", labels(value))):
        place(tmp_path / "images" / f"{name}.png")
        place(tmp_path / "masks" / f"{name}.png", image)
    with pytest.raises(
        ValueError, match=r"a\.png: .*one number in 3 separate pieces, .*1 of 2.*components=True"
    ):
        load(tmp_path, verbose=0)
    pieces = load(tmp_path, components=True, verbose=0)
    assert sizes(pieces) == [(8, "object")] * 3
    assert sizes(load(tmp_path, components=False, verbose=0)) == [(24, "object")]
    # With a second number somewhere they are labels, and an object may be in pieces.
    place(tmp_path / "masks" / "b.png", labels(1, 2))
    assert sizes(load(tmp_path, verbose=0)) == [(24, "object")]


def test_one_object_a_picture_is_no_doubt(tmp_path):
    place(tmp_path / "images" / "a.png")
    place(tmp_path / "masks" / "a.png", labels(255))
    assert sizes(load(tmp_path, verbose=0)) == [(8, "object")]


def test_pieces_touch_by_corners_and_have_one_number(pair):
    # 1 1 0 0 0    Three pieces: of 1 three pixels, of which two touch by a corner, and one pixel
    # 0 0 1 2 0    below, which touches none of them; and the 2 between, which is another number.
    # 0 0 0 0 1
    image = np.zeros(SIZE, np.uint8)
    image[0, :2] = image[1, 2] = image[2, 4] = 1
    image[1, 3] = 2
    place(pair / "masks" / "a.png", image)
    dataset = load(pair, components=True, verbose=0)
    assert sorted(size for size, _ in sizes(dataset)) == [1, 1, 3]
    masks, _ = dataset.load_mask(0)
    np.testing.assert_array_equal(masks.any(axis=-1), image > 0)


def test_another_size_names_both(pair):
    place(pair / "masks" / "a.png", labels(1, 2).T)
    with pytest.raises(ValueError, match=r"masks.a\.png: expected the size of .*a\.jpg, \[20"):
        load(pair, verbose=0)
    np.save(pair / "masks" / "a.npy", labels(1, 2)[:-1])
    (pair / "masks" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"a\.npy: expected the size .*received \[19, 30\]"):
        load(pair, verbose=0)


def test_classes_by_number(pair):
    path = pair / "masks" / "classes.json"
    path.write_text(json.dumps({"a": {"1": "cat", "300": "dog"}}))
    assert sizes(load(pair, verbose=0)) == [(16, "cat"), (8, "dog")]
    path.write_text(json.dumps({"a": {"1": "cat", "300": " cat "}}))
    assert load(pair, verbose=0).class_names == ["BG", "cat"]
    path.write_text(json.dumps({"a": {"1": "cat", "300": "dog", "7": "cat"}, "b": {}}))
    with pytest.warns(UserWarning, match=r"no pixel has .*a\.png, 7|without a label image .*: b"):
        load(pair, verbose=0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "expected JSON"),
        ("[1]", r"expected classes by label images, received '\[1\]'"),
        ('{"a": 1}', "a: expected classes by numbers, received '1'"),
        ('{"a": {"1": null}}', "a, 1: expected the name of a class, received 'None'"),
        ('{"a": {"x": "cat"}}', "a: expected a number of the label image, received 'x'"),
        ('{"a": {"1": "cat"}}', "a: expected the class of number 300, received those of .1."),
    ],
)
def test_classes_that_are_wrong_are_named(pair, content, words):
    (pair / "masks" / "classes.json").write_text(content)
    with pytest.raises(ValueError, match=rf"classes\.json.*{words}"):
        load(pair, verbose=0)


def write(items, folder, class_names=("cat", "dog")):
    notes = Notes()
    converting.write(items, folder, list(class_names), [], "labels", notes)
    return list(notes.messages())


def test_round_trip(tmp_path):
    for i, each in enumerate(instances()):
        whole = [item([each], subset="train"), item([], "b.jpg", "val")]
        assert write(whole, tmp_path / str(i)) == []
        dataset = load(tmp_path / str(i), classes=["cat", "dog"], verbose=0)
        masks, class_ids = dataset.load_mask(0)
        np.testing.assert_array_equal(masks, masks_of(whole[0]))
        assert class_ids.tolist() == [1 + i % 2]
        assert dataset.load_mask(1)[0].shape == (20, 30, 0)
    assert i == len(OUTLINES) - 1
    with Image.open(tmp_path / "0" / "train" / "masks" / "a.png") as picture:
        assert picture.mode == "I;16"
    path = tmp_path / "0" / "train" / "masks" / "classes.json"
    assert json.loads(path.read_text()) == {"a": {"1": "cat"}}


def test_a_pixel_belongs_to_the_smallest(tmp_path):
    # 10 x 10 = 100 pixels with one of 4 x 4 inside; two of 2 x 2, of which the first stays; and
    # one of 3 x 3 over them, of whose 9 pixels 5 are left.
    squares = (2, 2, 10), (3, 3, 4), (20, 3, 2), (20, 3, 2), (20, 3, 3)
    objects = [
        Instance("dog" if i == 4 else "cat", [[square(*each)]], name=f"region {i}")
        for i, each in enumerate(squares)
    ]
    told = write([item(objects)], tmp_path)
    assert [x.partition(": ")[0] for x in told] == [
        "objects lose pixels to smaller ones, as each pixel has one number",
        "objects that smaller ones cover wholly are left out",
    ]
    assert told[0].endswith("region 4 (4 of 9)") and "region 0 (16 of 100)" in told[0]
    assert told[1].endswith("region 3")
    dataset = load(tmp_path, verbose=0)
    assert sizes(dataset) == [(84, "cat"), (16, "cat"), (4, "cat"), (5, "dog")]


def test_what_label_images_cannot_hold_is_told(tmp_path):
    odd = [
        Instance("cat", [[square(2, 2, 5)]], crowd=True, name="region 0"),
        Instance("cat", [[square(90, 90, 5)]], name="region 1"),
        Instance("cat", box=(2, 3, 6, 8), name="region 2"),
    ]
    told = write([item(odd)], tmp_path)
    assert [x.partition(": ")[0] for x in told] == [
        "crowds, which label images cannot hold, are left out",
        "objects without a pixel are left out",
        "objects without an outline have their box for a mask",
    ]
    assert sizes(load(tmp_path, verbose=0)) == [(20, "cat")]


def test_more_objects_than_16_bits_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(label_images, "DEEPEST_PNG", 2)
    objects = [Instance("cat", [[square(5 * i, 2, 3)]]) for i in range(3)]
    assert write([item(objects), item(objects[:2], "b.png")], tmp_path) == []
    assert tifffile.imread(tmp_path / "masks" / "a.tif").dtype == np.uint32
    assert (tmp_path / "masks" / "b.png").is_file()
    assert [len(sizes(load(tmp_path, verbose=0), i)) for i in (0, 1)] == [3, 2]


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused(pair):
    place(pair / "images" / "a.tif")
    (pair / "images" / "a.jpg").unlink()
    classes = pair / "masks" / "classes.json"
    classes.write_text(json.dumps({"a": {"1": "cat", "300": "dog"}}))
    files = [pair / "images" / "a.tif", pair / "masks" / "a.png", classes]
    contents, dice, refusals = [x.read_bytes() for x in files], random.Random(0), 0
    for number in range(300):
        target, content = files[number % 3], contents[number % 3]
        broken = bytearray(content)
        at = dice.randrange(len(broken))
        if dice.random() < 0.6:
            broken[at] = dice.choice(b'\0\xff{["09x')
        else:
            del broken[at:]
        target.write_bytes(broken)
        try:
            load(pair, verbose=0).load_mask(0)
        except ValueError as error:
            assert target.name in str(error)
            refusals += 1
        target.write_bytes(content)
    assert refusals > 100


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
@pytest.mark.parametrize("name", ["balloon", "tiny_coco", "nuclei"])
def test_real_data_and_back(tmp_path, name):
    """What no other object touches is the same; of the others the smallest is."""
    before = load(Path(DATA) / name, verbose=0)
    chosen = before.image_ids[:: 20 if name == "nuclei" else 5]
    converting.write(
        items_of(before, chosen), tmp_path, before.class_names[1:], [], "labels", Notes()
    )
    after = load(tmp_path, classes=before.class_names[1:], verbose=0)
    places = {Path(x["path"]).stem: i for i, x in enumerate(after.image_info)}
    assert len(places) == after.num_images == len(chosen)
    for i in chosen:
        masks, class_ids = before.load_mask(i)
        masks, class_ids = masks[..., class_ids > 0], class_ids[class_ids > 0]
        back, back_ids = after.load_mask(places[Path(before.image_info[i]["path"]).stem])
        np.testing.assert_array_equal(back_ids, class_ids)  # none of the real ones vanishes
        alone = masks & (masks.sum(axis=-1, keepdims=True) == 1)
        assert (back | ~alone).all() and (masks | ~back).all()
        np.testing.assert_array_equal(back.sum(axis=-1), masks.any(axis=-1))
        if name == "nuclei":
            np.testing.assert_array_equal(back, masks)
