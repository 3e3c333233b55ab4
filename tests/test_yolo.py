"""YOLO's label files, read and written."""

import dataclasses
import os
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import text_mutations
import yaml
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.instances import Instance, Picture
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.outlines import parts_code
from mrcnn.data.annotations.writing import Item
from mrcnn.data.converting import convert
from mrcnn.data.formats import FORMATS
from mrcnn.data.formats.yolo import YoloDataset, write_yolo
from mrcnn.data.formats.yolo.labels import pixels, share_of, span_pixels, span_shares
from mrcnn.data.loading import load, recognize, subsets

HEIGHT, WIDTH = 20, 40
POLYGON = "1 0.05 0.1 0.25 0.1 0.25 0.5 0.05 0.5"  # (2, 2) to (10, 10): 64 pixels
BOX = "0 0.5 0.5 0.25 0.2"  # center (20, 10), 10 x 4: (15, 8) to (25, 12)


def picture(path, size=(HEIGHT, WIDTH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)


def label(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def described(folder, content, subset="train"):
    """A data set of one picture: `data.yaml`, `images/train/a.png`, `labels/train/a.txt`."""
    picture(folder / "images" / subset / "a.png")
    label(folder / "labels" / subset / "a.txt", POLYGON, BOX)
    content = {"train": f"images/{subset}", "names": ["cat", "dog"]} | content
    path = folder / "data.yaml"
    path.write_text(yaml.safe_dump({key: x for key, x in content.items() if x is not None}))
    return path


def test_polygons_and_boxes(tmp_path):
    path = described(tmp_path, {})
    for place in (path, tmp_path):
        assert recognize(place) == "yolo"
        dataset = load(place, verbose=0)
        assert dataset.class_names == ["BG", "cat", "dog"]
        outline, box = dataset.instances(0)
        assert outline.parts == [[[2, 2, 10, 2, 10, 10, 2, 10]]] and outline.box is None
        assert box.parts == [] and box.box == (8, 15, 12, 25)
        masks, class_ids = dataset.load_mask(0)
        assert masks[2:10, 2:10, 0].all() and masks[:, :, 0].sum() == 64
        assert class_ids.tolist() == [2, 1]
    (info,) = dataset.image_info
    assert (info["id"], info["subset"]) == ("a.png", "train")
    assert dataset.image_reference(0) == str(tmp_path / "images" / "train" / "a.png")


def test_four_points_are_an_outline(tmp_path):
    # A turned box looks the same: corners (20, 0), (40, 10), (20, 20), (0, 10), half the picture.
    described(tmp_path, {})
    label(tmp_path / "labels" / "train" / "a.txt", "0 0.5 0 1 0.5 0.5 1 0 0.5")
    mask = load(tmp_path, verbose=0).load_mask(0)[0]
    assert abs(int(mask.sum()) - HEIGHT * WIDTH / 2) <= WIDTH / 2 and not mask[0, 0].any()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({0: "cat", 1: " dog "}, ["cat", "dog"]),
        ({"1": "dog", "0": "cat"}, ["cat", "dog"]),
        ([2024, "no"], ["2024", "no"]),
    ],
)
def test_names_in_every_form(tmp_path, names, expected):
    described(tmp_path, {"names": names, "nc": 2})
    assert load(tmp_path, verbose=0).class_names[1:] == expected


def test_two_numbers_of_one_name_are_one_class(tmp_path):
    described(tmp_path, {"names": ["cat", "cat "]})
    with pytest.warns(UserWarning, match=r"several classes have one name.*data\.yaml, cat$"):
        dataset = load(tmp_path, verbose=0)
    assert dataset.class_names == ["BG", "cat"]
    assert dataset.load_mask(0)[1].tolist() == [1, 1]


def test_classes_without_names_are_their_numbers_in_all_subsets(tmp_path):
    for subset, number in (("train", 0), ("val", 11)):
        picture(tmp_path / "images" / subset / "a.png")
        label(tmp_path / "labels" / subset / "a.txt", f"{number}{BOX[1:]}")
    with pytest.warns(UserWarning, match=rf"no names, and are .* numbers: {tmp_path}$"):
        dataset = load(tmp_path, verbose=0)
    assert dataset.class_names == ["BG", "0", "11"]
    with pytest.warns(UserWarning, match="no names"):
        alone = load(tmp_path, subset="train", verbose=0)
    assert alone.class_names == ["BG", "0", "11"]
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnc: 12\n")
    with pytest.warns(UserWarning, match="no names"):
        assert load(tmp_path, verbose=0).class_names == ["BG", "0", "11"]


LAYOUTS = {
    "flat": ("images/a.png", "labels/a.txt", "classes.txt", ""),
    "subset inside": ("images/val/a.png", "labels/val/a.txt", "classes.txt", "val"),
    "subset outside": ("valid/images/a.png", "valid/labels/a.txt", "classes.txt", "valid"),
    "names beside labels": (
        "images/val/a.png",
        "labels/val/a.txt",
        "labels/val/classes.txt",
        "val",
    ),
    "one folder": ("a.png", "a.txt", "classes.txt", ""),
    "darknet": ("obj_train_data/a.png", "obj_train_data/a.txt", "obj.names", "train"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_without_a_description(tmp_path, layout):
    image, labels, names, subset = LAYOUTS[layout]
    picture(tmp_path / image)
    label(tmp_path / labels, POLYGON, BOX)
    label(tmp_path / names, "cat", "dog", "")
    assert recognize(tmp_path) == "yolo" and subsets(tmp_path) == [subset]
    dataset = load(tmp_path, verbose=0)
    assert dataset.class_names == ["BG", "cat", "dog"]
    assert dataset.load_mask(0)[1].tolist() == [2, 1]


def test_pictures_beside_the_folders_of_subsets_count_too(tmp_path):
    described(tmp_path, {})
    (tmp_path / "data.yaml").unlink()
    label(tmp_path / "classes.txt", "cat", "dog")
    picture(tmp_path / "images" / "b.png")
    label(tmp_path / "labels" / "b.txt", BOX)
    dataset = load(tmp_path, verbose=0)
    assert [(x["id"], x["subset"]) for x in dataset.image_info] == [
        ("a.png", "train"),
        ("b.png", ""),
    ]


def test_a_subset_alone_has_the_names_of_its_data_set(tmp_path):
    described(tmp_path, {"train": "train/images"})
    (tmp_path / "train").mkdir()
    os.rename(tmp_path / "images" / "train", tmp_path / "train" / "images")
    os.rename(tmp_path / "labels" / "train", tmp_path / "train" / "labels")
    assert load(tmp_path / "train", verbose=0).class_names == ["BG", "cat", "dog"]


@pytest.mark.parametrize(
    ("folder", "content"),
    [
        ("train/images", {"train": "../train/images"}),  # Roboflow: one .. too many
        ("train/images", {"train": "..\\train\\images"}),
        ("train/images", {"train": "/content/drive/My Drive/pets/train/images"}),
        ("train/images", {"train": "/content/pets/train"}),
        ("train/images", {"train": ["train/images"]}),
        ("train/images", {"train": "train.txt"}),
        ("pets/train/images", {"path": "pets", "train": "train/images"}),
        ("pets/train/images", {"path": "../elsewhere", "train": "pets/train/images"}),
    ],
)
def test_where_a_description_says_the_pictures_are(tmp_path, folder, content):
    picture(tmp_path / folder / "a.png")
    label(tmp_path / folder.replace("images", "labels") / "a.txt", BOX)
    label(tmp_path / "train.txt", "./train/images/a.png", "")
    content = {"names": ["cat"], "val": None, "roboflow": {"version": 3}, **content}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(content))
    dataset = load(tmp_path, verbose=0)
    assert [info["path"] for info in dataset.image_info] == [str(tmp_path / folder / "a.png")]
    assert len(dataset.instances(0)) == 1 and subsets(tmp_path) == ["train"]


def test_several_folders_make_a_subset_and_a_picture_counts_once(tmp_path):
    for folder in ("images/one", "images/two"):
        picture(tmp_path / folder / "a.png")
        label(tmp_path / folder.replace("images", "labels") / "a.txt", BOX)
    content = {"names": ["cat"], "train": ["images/one", "images/two", "images"]}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(content))
    with pytest.warns(UserWarning, match=r"listed twice .*one/a\.png, .*two/a\.png$"):
        dataset = load(tmp_path, verbose=0)
    assert [info["id"] for info in dataset.image_info] == ["one/a.png", "two/a.png"]


def test_a_folder_that_is_missing(tmp_path):
    described(tmp_path, {"test": "images/test"})
    with pytest.warns(UserWarning, match=r"the subset test is left out, .*: images/test$"):
        assert load(tmp_path, verbose=0).num_images == 1
    described(tmp_path, {"val": "images/val"})
    with pytest.raises(ValueError, match=r"data\.yaml, val: expected a folder .* no images/val at"):
        load(tmp_path, verbose=0)


def test_folders_behind_links_are_read_once(tmp_path):
    for name, folder in (("a.png", "elsewhere"), ("b.png", "data/images/train")):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (30, 20)).save(tmp_path / folder / name)
    data = tmp_path / "data"
    (data / "images" / "train" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(data / "images" / "train")
    (data / "labels" / "train" / "more").mkdir(parents=True)
    (data / "labels" / "train" / "more" / "a.txt").write_text("0 0.5 0.5 0.2 0.2")
    (data / "labels" / "train" / "b.txt").write_text("")
    (data / "data.yaml").write_text("train: images/train\nnames: [cat]")
    dataset = load(data, verbose=0)
    assert [info["id"] for info in dataset.image_info] == ["b.png", "more/a.png"]


def test_pictures_without_objects(tmp_path):
    described(tmp_path, {})
    for name in ("b", "c"):
        picture(tmp_path / "images" / "train" / f"{name}.png")
    label(tmp_path / "labels" / "train" / "b.txt", "")
    label(tmp_path / "labels" / "train" / "d.txt", BOX)
    with pytest.warns() as told:
        dataset = load(tmp_path, verbose=0)
    assert [len(dataset.instances(i)) for i in range(3)] == [2, 0, 0]
    (missing,) = [str(x.message) for x in told if "label files are missing" in str(x.message)]
    assert missing.endswith("c.png") and "b.png" not in missing
    (lone,) = [str(x.message) for x in told if "without a picture" in str(x.message)]
    assert lone.endswith("d.txt") and len(told) == 2


def test_no_label_file_at_all_is_an_error(tmp_path):
    described(tmp_path, {})
    (tmp_path / "labels" / "train" / "a.txt").unlink()
    with pytest.raises(ValueError, match=r"a\.png: expected a label file a\.txt .*no picture has"):
        load(tmp_path, verbose=0)


def test_a_listed_picture_that_is_missing_is_named(tmp_path):
    described(tmp_path, {"train": "train.txt"})
    label(tmp_path / "train.txt", "images/train/a.png", "images/train/z.png")
    with pytest.raises(ValueError, match=r"train\.txt, line 2: .* no images/train/z\.png"):
        load(tmp_path, verbose=0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.25", "a box of 4 numbers, .* received 3 numbers after the class"),
        ("0", "received 0 numbers"),
        (f"{BOX} 0.93", "received 5 numbers .*confidence of a detection, or the number of a track"),
        (f"{POLYGON} 7", "received 9 numbers .*confidence"),
        ("0 0.5 x 0.25 0.2", "expected numbers after the class, received '0 0.5 x"),
        ("0 nan 0.5 0.25 0.2", "expected numbers after the class"),
        ("0 inf 0.5 0.25 0.2", "expected numbers after the class"),
        ("0,0.5,0.5,0.25,0.2", "number of a class from 0 to 1, received '0,0.5"),
        ("cat 0.5 0.5 0.25 0.2", "number of a class from 0 to 1, received 'cat'"),
        ("2 0.5 0.5 0.25 0.2", "number of a class from 0 to 1, received '2'"),
        ("-1 0.5 0.5 0.25 0.2", "number of a class from 0 to 1, received '-1'"),
        ("0.5 0.5 0.5 0.25 0.2", "number of a class from 0 to 1, received '0.5'"),
        ("inf 0.5 0.5 0.25 0.2", "number of a class from 0 to 1, received 'inf'"),
        ("0 20 10 10 4", "fractions of the picture's sides, 0 to 1, .*divide pixels"),
        ("0 2 2 10 2 10 10", "fractions of the picture's sides, 0 to 1, .*divide pixels"),
        ("0 0.5 0.5 0 0.2", "a box .* that covers something"),
        ("0 0.5 0.5 -0.1 0.2", "a box .* that covers something"),
        ("0 1.5 0.5 0.1 0.2", "a box .* that covers something"),
    ],
)
def test_a_wrong_line_is_named_or_kept(tmp_path, line, words):
    described(tmp_path, {})
    label(tmp_path / "labels" / "train" / "a.txt", POLYGON, "", line)
    with pytest.raises(ValueError, match=rf"a\.txt, line 3: .*{words}"):
        load(tmp_path, verbose=0)
    notes = Notes(strict=False)
    dataset = load(tmp_path, notes=notes, verbose=0)
    assert len(notes.errors) == 1 and len(dataset.instances(0)) == 1


def test_what_reaches_over_the_border_is_cut_off(tmp_path):
    # A box of 20 x 8 around (40, 20): its left upper quarter is (30, 16) to (40, 20).
    described(tmp_path, {})
    label(
        tmp_path / "labels" / "train" / "a.txt", "0 1 1 0.5 0.4", "1 -0.1 -0.1 .5 -.1 .5 .5 -.1 .5"
    )
    dataset = load(tmp_path, verbose=0)
    assert dataset.instances(0)[0].box == (16, 30, 20, 40)
    mask = dataset.load_mask(0)[0][:, :, 1]
    assert mask[:10, :20].all() and mask.sum() == 200


def test_keypoints_are_kept_beside_their_box(tmp_path):
    described(tmp_path, {"kpt_shape": [2, 3]})
    label(tmp_path / "labels" / "train" / "a.txt", f"{BOX} 0.5 0.5 2 0.1 0.1 0")
    (instance,) = load(tmp_path, verbose=0).instances(0)
    assert instance.box == (8, 15, 12, 25)
    # Of 40 x 20 pixels.
    assert instance.extra == {"keypoints": [20, 10, 2, 4, 2, 0]}
    described(tmp_path, {"kpt_shape": [2, 2]})
    label(tmp_path / "labels" / "train" / "a.txt", f"{BOX} 0.5 0.5 0.1 0.1")
    (instance,) = load(tmp_path, verbose=0).instances(0)
    assert instance.extra == {"keypoints": [20, 10, 2, 4, 2, 2]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: [cat\ntrain: images", "expected YAML, but it is none"),
        ("names: !!python/object/apply:os.system [ls]\ntrain: x", "expected YAML"),
        ("names: !!int x\ntrain: x", "expected YAML"),
        ("3", "expected annotations .*, found none"),
        ("names: [cat]\ntrain:", "expected the keys train, val and names"),
        ("names: [cat]\ntrain: {a: 1}", r"train: expected a folder or a \.txt list"),
        ("names: [cat]\ntrain: [3]", r"train: expected a folder or a \.txt .* 3$"),
        ("names: [yes]\ntrain: images", "a name for class 0, received True; .* in quotes"),
        ("names: [cat, ~]\ntrain: images", "a name for class 1, received None"),
        ("names: {1: cat}\ntrain: images", "a name for class 0, received None"),
        ("names: cat\ntrain: images", "expected 'names' as a list, .* received 'cat'"),
        ("names: []\ntrain: images", r"expected 'names' as a list, .* received \[\]"),
        ("names: [cat]\nnc: 2\ntrain: images", "as many names as nc says, received 1 and nc 2"),
        ("names: [cat]\nkpt_shape: 3\ntrain: images", "expected kpt_shape .* received 3"),
    ],
)
def test_a_wrong_description_is_named(tmp_path, text, words):
    described(tmp_path, {})
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"data\.yaml.*{words}"):
        load(tmp_path / "data.yaml", verbose=0, format="yolo")


def test_aliases_that_grow_without_end_end_in_a_short_message(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (tmp_path / "data.yaml").write_text("\n".join([*lines, "names: *a11", "train: images"]))
    with pytest.raises(ValueError, match=r"data\.yaml: expected a name for class 0") as told:
        load(tmp_path, verbose=0)
    assert len(str(told.value)) < 500


def test_find_takes_no_other_files(tmp_path):
    for suffix in (".png", ".tif", ".npy"):  # label images
        picture(tmp_path / "labels_as_pictures" / "images" / "a.png")
        (tmp_path / "labels_as_pictures" / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels_as_pictures" / "labels" / f"a{suffix}").write_bytes(b"")
    label(tmp_path / "labels_as_pictures" / "labels" / "README.txt", "0 1 2 3 4")
    picture(tmp_path / "captions" / "a.png")
    label(tmp_path / "captions" / "a.txt", "a cat on a mat")
    label(tmp_path / "captions" / "config.yaml", "names: [cat]")
    label(tmp_path / "captions" / "other.yaml", "{")
    for folder in (*tmp_path.iterdir(), tmp_path, *tmp_path.rglob("*.*")):
        assert YoloDataset.find(folder) == {}
    described(tmp_path / "yolo", {})
    claimed = [name for name, kind in FORMATS.items() if kind.find(tmp_path / "yolo")]
    assert claimed == ["yolo"]


@pytest.mark.parametrize("name", ["data.yaml", "labels/train/a.txt", "classes.txt", "train.txt"])
def test_whatever_is_in_a_file_it_loads_or_is_named(tmp_path, name):
    described(tmp_path, {"nc": 2, "val": ["images/train"], "kpt_shape": [3, 2]})
    label(tmp_path / "train.txt", "./images/train/a.png", "images/train/a.png")
    label(tmp_path / "classes.txt", "cat", "dog")
    if name == "train.txt":
        described(tmp_path, {"train": "train.txt"})
    if name == "classes.txt":
        (tmp_path / "data.yaml").unlink()
    data, refused = (tmp_path / name).read_bytes(), 0
    for changed in text_mutations.mutations(data, 150):
        (tmp_path / name).write_bytes(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset = load(tmp_path, verbose=0, format="yolo")
                for i in dataset.image_ids:
                    dataset.load_mask(i)
            except ValueError as error:
                refused += 1
                assert str(tmp_path) in str(error)
    assert 10 < refused < 150


# Writing.


def test_fractions_read_back_in_the_place_of_their_vertex():
    # pycocotools tells apart floor(5 x + 0.5): 0.1, 0.3, ... are borders between its places.
    rng = random.Random(0)
    for side in [*range(1, 300), 427, 640, 1333, 4099, 6000, 30001, 65535]:
        vertices = [rng.random() * side for _ in range(20)]
        vertices += [rng.randrange(10 * side + 1) / 10 for _ in range(20)]
        vertices += [np.nextafter(x, rng.choice((0, side))) for x in vertices[20:]]
        vertices += [x + 1e-9 * (x < side) for x in vertices[20:40]]
        for x in (*vertices, 0, side):
            back = pixels(float(repr(float(share_of(x, side)))), side)
            assert int(5 * back + 0.5) == int(5 * x + 0.5)
            assert 0 <= share_of(x, side) <= 1
        for x in vertices[20:40]:
            assert pixels(share_of(x, side), side) == x  # with 6 digits nothing changes
    for side in (1, 7, 100, 333, 641):
        for low in np.arange(0, side, side / 50):
            for high in (low + 0.3, low + 0.1, low + 1.7, side + 3):
                found = span_pixels(*span_shares(low, high, side), side)
                wanted = low, min(high, side)
                assert [int(5 * x + 0.5) for x in found] == [int(5 * x + 0.5) for x in wanted]


SQUARE = [2, 2, 14, 2, 14, 14, 2, 14]
HOLE = [5, 5, 9, 5, 9, 9, 5, 9]
CODE = mask_utils.encode(np.asfortranarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8)))
INSTANCES = {
    "a hole": [[SQUARE, HOLE]],
    "two parts": [[SQUARE], [[20, 2, 30, 2, 30, 14]]],
    "parts one over another": [[SQUARE], [[10.5, 8.1, 30.3, 2, 30, 14.9]]],
    "a code of pixels that meet at corners": [CODE],
    "a code and a polygon": [CODE, [SQUARE]],
    "a pixel": [[[3, 4, 4, 4, 4, 5, 3, 5]]],
    "vertices between pixels": [[[2.1, 3.3, 14.700001, 2.49999999999, 13.5, 15.9, 2.3, 14.1]]],
    "over the border": [[[-7.3, 3, 50, -4, 33, 28.4]]],
    "crossing itself": [[[2, 2, 30, 14, 30, 2, 2, 14]]],
}


def item(instances, name="a.png", subset="", size=(HEIGHT, WIDTH)):
    held = Picture(name, name, *size, instances)
    return Item(held, subset, lambda path: picture(path, size))


@pytest.mark.parametrize("parts", INSTANCES.values(), ids=INSTANCES)
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (23, 41), (61, 37)])
def test_masks_are_the_same_when_read_back(tmp_path, parts, size):
    if size != (HEIGHT, WIDTH):
        parts = [x for x in parts if not isinstance(x, dict)]
    instances = [Instance("dog", parts, name="it")] if parts else []
    notes = Notes()
    write_yolo([item(instances, size=size)], tmp_path, ["cat", "dog"], notes)
    dataset = load(tmp_path, verbose=0)
    written = (tmp_path / "labels" / "train" / "a.txt").read_text().split()
    assert all(0 <= float(x) <= 1 for x in written[1:])  # others refuse whole files for less
    expected = [mask_utils.decode(parts_code(x.parts, *size, "it")) for x in instances]
    masks, class_ids = dataset.load_mask(0)
    assert not notes.left_out and class_ids.tolist() == [2] * len(instances)
    assert masks.shape[2] == len(expected)
    assert all((masks[:, :, i] == mask).all() for i, mask in enumerate(expected))


def test_random_outlines_of_many_sizes(tmp_path):
    rng = np.random.default_rng(0)
    items, sizes = [], []
    for i in range(60):
        size = tuple(rng.integers(5, 200, 2).tolist())
        tenths = rng.integers(0, np.multiply(size[::-1], 10) + 1, (6, 8, 2)) / 10
        rings = [each.ravel().tolist() for each in (*tenths, *(tenths + 1e-7 * (tenths < 1)))]
        items.append(item([Instance("cat", [[x]]) for x in rings], f"{i:02}.png", size=size))
        sizes.append(size)
    write_yolo(items, tmp_path, ["cat"], Notes())
    dataset = load(tmp_path, verbose=0)
    for i, (each, size) in enumerate(zip(items, sizes, strict=True)):
        codes = [parts_code(x.parts, *size, "it") for x in each.picture.instances]
        assert (mask_utils.decode(codes) == dataset.load_mask(i)[0]).all()


def test_what_is_written(tmp_path):
    box = Instance("cat", box=(8, 15, 12, 25))
    outside = dataclasses.replace(box, box=(8, -3, 30, 10))
    write_yolo([item([box, outside])], tmp_path, ["cat", "no"], Notes())
    # (15 + 25) / 2 / 40, (8 + 12) / 2 / 20, 10 / 40, 4 / 20; then (0, 8) to (10, 20).
    assert (tmp_path / "labels" / "train" / "a.txt").read_text() == (
        "0 0.5 0.5 0.25 0.2\n0 0.125 0.7 0.25 0.6\n"
    )
    assert yaml.safe_load((tmp_path / "data.yaml").read_text()) == {
        "train": "images/train",
        "nc": 2,
        "names": {0: "cat", 1: "no"},
    }
    dataset = load(tmp_path, verbose=0)
    assert [x.box for x in dataset.instances(0)] == [(8, 15, 12, 25), (8, 0, 20, 10)]


def test_what_cannot_be_held_is_told(tmp_path):
    instances = [
        Instance("cat", [[SQUARE]], crowd=True, name="one"),
        Instance("cat", [mask_utils.encode(np.zeros((20, 40), np.uint8, "F"))], name="two"),
        Instance("cat", box=(3, 50, 5, 60), name="three"),
        Instance("cat", [[[2, 2, 5, 5]]], name="four"),
    ]
    notes = Notes()
    write_yolo([item(instances)], tmp_path, ["cat"], notes)
    assert notes.left_out == {
        "crowds, which YOLO does not know, are left out": ["a.png, one"],
        "objects without a pixel are left out": ["a.png, two", "a.png, three", "a.png, four"],
    }
    assert load(tmp_path, verbose=0).instances(0) == []


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["train2017", "val2017"], ["train", "val"]),
        (["train2014", "train2017"], ["train2014", "train2017"]),
        (["fold 1", "fold 2"], ["fold 1", "fold 2"]),
        (["", "val"], ["train", "val"]),
    ],
)
def test_subsets_are_kept(tmp_path, names, keys):
    write_yolo([item([], subset=name) for name in names], tmp_path, ["cat"], Notes())
    assert subsets(tmp_path) == keys
    assert load(tmp_path, verbose=0).num_images == 2
    assert load(tmp_path, subset=keys[1], verbose=0).num_images == 1
    with pytest.raises(
        ValueError, match=r"a\.png: expected one picture of this name, received two"
    ):
        write_yolo([item([], subset=names[0])], tmp_path, ["cat"], Notes())


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["balloon", "tiny_coco"])
def test_real_data_there_and_back(tmp_path, name):
    data = load(Path(os.environ["MRCNN_DATA"], name), verbose=0)
    notes = Notes()
    convert(data, tmp_path / "yolo", "yolo", notes)
    back = load(tmp_path / "yolo", classes=data.class_names[1:], verbose=0)
    places = {Path(info["path"]).name: i for i, info in enumerate(back.image_info)}
    assert len(places) == data.num_images
    crowds = 0
    for i, info in enumerate(data.image_info):
        masks, class_ids = data.load_mask(i)
        found, found_ids = back.load_mask(places[Path(info["path"]).name])
        assert (found_ids == class_ids[class_ids > 0]).all()
        assert (found == masks[:, :, class_ids > 0]).all()
        crowds += int((class_ids < 0).sum())
    assert sum(map(len, notes.left_out.values())) == crowds


def test_supervisions_own_files(tmp_path):
    supervision = pytest.importorskip("supervision")
    mask = np.zeros((1, HEIGHT, WIDTH), bool)
    mask[0, 3:9, 5:20] = True
    objects = supervision.Detections(
        xyxy=np.array([[5.0, 3, 20, 9]]), mask=mask, class_id=np.array([1])
    )
    picture(tmp_path / "a.png")
    name = str(tmp_path / "a.png")
    data = supervision.DetectionDataset(["cat", "dog"], [name], {name: objects})
    folders = {f"{x}_directory_path": str(tmp_path / "out" / x) for x in ("images", "annotations")}
    data.as_yolo(**folders, data_yaml_path=str(tmp_path / "out" / "data.yaml"))
    os.rename(tmp_path / "out" / "annotations", tmp_path / "out" / "labels")
    with open(tmp_path / "out" / "data.yaml", "a") as file:
        file.write("train: images\n")
    dataset = load(tmp_path / "out", verbose=0)
    found, class_ids = dataset.load_mask(0)
    # OpenCV's outlines go through the middle of the outermost pixels: the last ones are lost.
    assert class_ids.tolist() == [2] and (found[3:8, 5:19, 0]).all() and found.sum() == 5 * 14
