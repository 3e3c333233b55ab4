"""A picture file for the mask of each object: found, read, refused by name, written."""

import importlib.util
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from odd_outlines import HEIGHT, OUTLINES, SIZE, WIDTH, instances, item, masks_of, save
from PIL import Image

from mrcnn.data import converting
from mrcnn.data.annotations.instances import Instance
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.writing import items_of
from mrcnn.data.formats.mask_folders import MaskFolderDataset
from mrcnn.data.loading import load, recognize, subsets

DATA = os.environ.get("MRCNN_DATA")


def draw(path, *, y=0, x=0, height=2, width=3, size=SIZE):
    """Writes a mask with a rectangle."""
    mask = np.zeros(size, np.uint8)
    mask[y : y + height, x : x + width] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path)


@pytest.fixture
def bowl(tmp_path):
    """The contest's layout: a picture with masks of 6 and 4 pixels, one without objects."""
    for name in ("ab", "cd"):
        picture(tmp_path / "stage1_train" / name / "images" / f"{name}.png")
        (tmp_path / "stage1_train" / name / "masks").mkdir()
    draw(tmp_path / "stage1_train" / "ab" / "masks" / "2.png", x=5)
    draw(tmp_path / "stage1_train" / "ab" / "masks" / "7.png", y=9, height=4, width=1)
    return tmp_path


@pytest.fixture
def flat(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    draw(tmp_path / "masks" / "a" / "0.png")
    return tmp_path


def sizes(dataset, image_id=0):
    masks, class_ids = dataset.load_mask(image_id)
    names = [dataset.class_names[i] for i in class_ids]
    return list(zip(masks.sum(axis=(0, 1)).tolist(), names, strict=True))


def test_the_contests_layout(bowl):
    dataset = load(bowl, class_name="nucleus", verbose=0)
    assert [(x["id"], x["subset"]) for x in dataset.image_info] == [
        ("ab", "stage1_train"),
        ("cd", "stage1_train"),
    ]
    assert sizes(dataset) == [(6, "nucleus"), (4, "nucleus")] and sizes(dataset, 1) == []
    assert load(bowl / "stage1_train", verbose=0).class_names == ["BG", "object"]
    assert subsets(bowl) == ["stage1_train"] and subsets(bowl / "stage1_train") == [""]
    assert load(bowl, subset="train", verbose=0).num_images == 2


def test_a_folder_alone_with_another_name_is_no_subset(bowl):
    (bowl / "stage1_train").rename(bowl / "cells")
    assert subsets(bowl) == [""]


def test_a_test_set_without_masks_is_told(bowl):
    picture(bowl / "stage1_test" / "ef" / "images" / "ef.png")
    (bowl / "stage1_train" / "__MACOSX").mkdir()
    with pytest.warns(UserWarning) as caught:
        dataset = load(bowl, verbose=0)
    texts = [str(x.message) for x in caught]
    assert any("without a folder 'masks' are left out" in x and "ef" in x for x in texts)
    assert any("without 'images' in them are left out" in x and "__MACOSX" in x for x in texts)
    assert subsets(bowl) == ["stage1_test", "stage1_train"] and dataset.num_images == 2


def test_the_flat_layout(flat):
    dataset = load(flat, verbose=0)
    assert sizes(dataset) == [(6, "object")] and dataset.image_info[0]["id"] == "a.jpg"
    picture(flat / "images" / "b.jpg")
    draw(flat / "masks" / "c" / "0.png")
    with pytest.warns(UserWarning) as caught:
        load(flat, verbose=0)
    told = sorted(str(x.message).partition(": ")[2] for x in caught)
    assert told == [
        f"folders of masks without a picture are left out: {flat / 'masks' / 'c'}",
        f"pictures without a folder of masks are left out: {flat / 'images' / 'b.jpg'}",
    ]


@pytest.mark.parametrize("inside", [True, False])
def test_subsets_of_the_flat_layout(tmp_path, inside):
    for subset in ("train", "val"):
        images = Path("images", subset) if inside else Path(subset, "images")
        masks = Path("masks", subset) if inside else Path(subset, "masks")
        picture(tmp_path / images / "a.jpg")
        draw(tmp_path / masks / "a" / "0.png")
    assert subsets(tmp_path) == ["train", "val"] and recognize(tmp_path) == "masks"
    dataset = load(tmp_path, verbose=0)
    assert [x["id"] for x in dataset.image_info] == ["a.jpg", "val/a.jpg"]


def test_folders_name_classes(bowl):
    masks = bowl / "stage1_train" / "cd" / "masks"
    draw(masks / "dog" / "0.png")
    draw(masks / "cat" / "1.png", width=1)
    draw(masks / "2.png", width=2)
    dataset = load(bowl, class_name="thing", verbose=0)
    assert dataset.class_names == ["BG", "cat", "dog", "thing"]
    assert sizes(dataset, 1) == [(6, "dog"), (2, "cat"), (4, "thing")]  # by the files' names
    chosen = load(bowl, classes=["dog", "cat", "thing", "none"], class_name="thing", verbose=0)
    assert chosen.class_names[1:] == ["dog", "cat", "thing", "none"]


def test_all_but_zero_belongs_to_the_object(bowl):
    path = bowl / "stage1_train" / "ab" / "masks" / "2.png"
    Image.fromarray(np.eye(*SIZE, dtype=np.uint8)).save(path)
    assert sizes(load(bowl, verbose=0))[0] == (20, "object")


def test_another_size_names_both(bowl):
    draw(bowl / "stage1_train" / "ab" / "masks" / "3.png", size=(WIDTH, HEIGHT))
    with pytest.raises(ValueError, match=r"3\.png: expected the size of .*ab\.png, \[20, 30\]"):
        load(bowl, verbose=0)
    notes = Notes(strict=False)
    assert sizes(load(bowl, notes=notes, verbose=0)) == [(6, "object"), (4, "object")]
    assert len(notes.errors) == 1


def test_masks_that_are_none_are_named(bowl):
    masks = bowl / "stage1_train" / "ab" / "masks"
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(masks / "3.png")
    dataset = load(bowl, verbose=0)
    with pytest.warns(UserWarning, match=r"image ab, masks/3\.png: the outline covers no pixel"):
        dataset.load_mask(0)
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(masks / "3.jpg")
    dataset = load(bowl, verbose=0)
    with pytest.raises(ValueError, match=r"3\.jpg: expected labels, received a JPEG"):
        dataset.load_mask(0)
    (masks / "4.png").write_text("none")
    with pytest.raises(ValueError, match=r"4\.png: expected a picture of labels"):
        load(bowl, verbose=0)


def test_pictures_that_are_several(bowl, flat):
    folder = bowl / "stage1_train" / "cd" / "images"
    picture(folder / "y.png")
    with pytest.raises(ValueError, match=r"cd.images: expected one picture, received \['cd"):
        load(bowl / "stage1_train", verbose=0)
    shutil.rmtree(bowl / "stage1_train")
    picture(flat / "images" / "a.png")
    with pytest.raises(ValueError, match=r"masks.a: expected the masks of one picture, found a"):
        load(flat, verbose=0)


@pytest.mark.parametrize(
    "files",
    [
        ["JPEGImages/a.jpg", "Annotations/a.xml", "SegmentationObject/a.png"],
        ["images/a.jpg", "labels/a.txt"],
        ["images/train/a.jpg", "labels/train/a.txt", "data.yaml"],
        ["train2017/a.jpg", "annotations/instances_train2017.json"],
        ["images/a.jpg", "masks/a.png"],
        ["train/images/a.jpg", "train/masks/a.png"],
        ["a/b/c/d.png"],
    ],
)
def test_other_formats_are_not_claimed(tmp_path, files):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(path) if path.suffix in (".jpg", ".png") else path.write_text("")
    assert MaskFolderDataset.find(tmp_path) == {}
    assert MaskFolderDataset.find(path) == {}


def write(items, folder, class_names=("cat", "dog")):
    notes = Notes()
    converting.write(items, folder, list(class_names), [], "masks", notes)
    return list(notes.messages())


def test_round_trip(tmp_path):
    whole = item(instances(), subset="train")
    empty = item([], "b.jpg", "val")
    assert write([whole, empty], tmp_path) == []
    dataset = load(tmp_path, verbose=0)
    masks, class_ids = dataset.load_mask(0)
    np.testing.assert_array_equal(masks, masks_of(whole))
    assert class_ids.tolist() == [1, 2] * (len(OUTLINES) // 2)
    assert dataset.load_mask(1)[0].shape == (20, 30, 0)
    assert (tmp_path / "val" / "b" / "images" / "b.jpg").is_file()
    with Image.open(tmp_path / "train" / "a" / "masks" / "dog" / "001.png") as mask:
        assert mask.mode == "L" and set(np.unique(mask)) == {0, 255}


def test_one_class_of_no_name_has_the_contests_layout(tmp_path):
    assert write([item(instances(["object"]))], tmp_path, ["object"]) == []
    assert len(list((tmp_path / "a" / "masks").glob("*.png"))) == len(OUTLINES)
    assert load(tmp_path, verbose=0).class_names == ["BG", "object"]


def test_what_masks_cannot_hold_is_told(tmp_path):
    odd = [
        Instance("cat", [[[2, 2, 8, 2, 8, 8]]], crowd=True, name="region 0"),
        Instance("cat", [[[90, 90, 99, 90, 99, 99]]], name="region 1"),
        Instance("cat", box=(2, 3, 6, 8), name="region 2"),
        Instance("a/b", box=(0, 0, 1, 1), name="region 3"),
    ]
    told = write([item(odd)], tmp_path / "out", ["cat", "a/b"])
    assert [x.partition(": ")[0] for x in told] == [
        "classes that no folder can be called have another name",
        "crowds, which masks cannot hold, are left out",
        "objects without a pixel are left out",
        "objects without an outline have their box for a mask",
    ]
    assert told[1].endswith("region 0") and told[2].endswith("region 1")
    assert sizes(load(tmp_path / "out", verbose=0)) == [(20, "cat"), (1, "a_b")]
    with pytest.raises(ValueError, match=r"class 'a_b': expected a name of its own .* 'a_b'"):
        write([], tmp_path / "other", ["a/b", "a_b"])


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused(bowl):
    masks = bowl / "stage1_train" / "ab" / "masks"
    content, dice, refusals = (masks / "2.png").read_bytes(), random.Random(0), 0
    for _ in range(200):
        broken = bytearray(content)
        place = dice.randrange(len(broken))
        if dice.random() < 0.5:
            broken[place] ^= 1 << dice.randrange(8)
        else:
            del broken[place:]
        target = dice.choice([masks / "2.png", masks.parent / "images" / "ab.png"])
        before = target.read_bytes()
        target.write_bytes(broken)
        try:
            load(bowl, verbose=0).load_mask(0)
        except ValueError as error:
            assert target.name in str(error)
            refusals += 1
        target.write_bytes(before)
    assert refusals > 50


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
def test_real_nuclei_are_those_of_the_sample():
    path = Path(__file__).parents[1] / "samples" / "nucleus" / "nucleus.py"
    spec = importlib.util.spec_from_file_location("nucleus", path)
    nucleus = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nucleus)
    ours, theirs = load(Path(DATA) / "nuclei", verbose=0), nucleus.NucleusDataset()
    theirs.load_nucleus(Path(DATA) / "nuclei", "stage1_train")
    assert ours.num_images == len(theirs.image_info) == 123
    for i in range(0, 123, 20):
        assert ours.image_info[i]["id"] == theirs.image_info[i]["id"]
        np.testing.assert_array_equal(ours.load_mask(i)[0], theirs.load_mask(i)[0])


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
@pytest.mark.parametrize("name", ["balloon", "tiny_coco", "nuclei"])
def test_real_data_and_back(tmp_path, name):
    before = load(Path(DATA) / name, verbose=0)
    chosen = before.image_ids[:: 20 if name == "nuclei" else 5]
    converting.write(
        items_of(before, chosen), tmp_path, before.class_names[1:], [], "masks", Notes()
    )
    after = load(tmp_path, classes=before.class_names[1:], verbose=0)
    places = {Path(x["path"]).stem: i for i, x in enumerate(after.image_info)}
    assert len(places) == after.num_images == len(chosen)
    for i in chosen:
        masks, class_ids = before.load_mask(i)
        back, back_ids = after.load_mask(places[Path(before.image_info[i]["path"]).stem])
        np.testing.assert_array_equal(back, masks[..., class_ids > 0])
        np.testing.assert_array_equal(back_ids, class_ids[class_ids > 0])
