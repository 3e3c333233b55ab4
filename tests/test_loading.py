"""`mrcnn.data.load` and `convert`: what a folder holds, and the same in another format."""

import json
import os

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

import mrcnn.data
from mrcnn.cli import main
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.converting import convert
from mrcnn.data.formats import FORMATS, WRITERS
from mrcnn.data.loading import load, recognize, subsets
from mrcnn.data.shapes import ShapesDataset

HEIGHT, WIDTH = 20, 30
BOX = [2, 2, 12, 2, 12, 10, 2, 10]  # 10 x 8 pixels


def ring_code():
    """A square of 8 x 8 pixels with a hole of 4 x 4, and a pixel apart."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[8:16, 16:24], mask[10:14, 18:22], mask[19, 29] = 1, 0, 1
    code = mask_utils.encode(np.asfortranarray(mask))
    return {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()}


def write(folder, name="instances_train.json", pictures="train", **changes):
    """Two pictures with COCO's annotations: a polygon, a code with a hole, two overlapping parts,
    a crowd, a box alone; and a picture without objects."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / pictures).mkdir(exist_ok=True)
    for file in ("a.png", "b.png"):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(folder / pictures / file)
    outlines = [[BOX], ring_code(), [BOX, [4, 4, 20.5, 4, 20.5, 7.3, 4, 7.3]], ring_code(), []]
    content = {
        "images": [
            {"id": i, "file_name": file, "height": HEIGHT, "width": WIDTH}
            for i, file in enumerate(("a.png", "b.png"))
        ],
        "categories": [
            {"id": 3, "name": "cat"},
            {"id": 9, "name": "dog"},
            {"id": 4, "name": "Cow"},
        ],
        "annotations": [
            {
                "id": i + 1,
                "image_id": 0,
                "category_id": 9 if i == 1 else 3,
                "segmentation": outline,
                "bbox": [3.5, 4, 5, 6.25],
                "iscrowd": int(i == 3),
            }
            for i, outline in enumerate(outlines)
        ],
    }
    path = folder / "annotations" / name
    path.write_text(json.dumps(content | changes))
    return path


def truth(dataset, image_id=0):
    masks, class_ids = dataset.load_mask(image_id)
    names = [dataset.class_names[abs(i)] for i in class_ids]
    return masks, names, (class_ids < 0).tolist()


def test_a_folder_and_a_file_are_recognised(tmp_path, capsys):
    path = write(tmp_path)
    for place in (tmp_path, path, str(tmp_path)):
        assert recognize(place) == "coco"
        dataset = mrcnn.data.load(place)
        assert dataset.class_names == ["BG", "cat", "Cow", "dog"]  # by COCO's ids
        assert truth(dataset)[1:] == (["cat", "dog", "cat", "cat", "cat"], [0, 0, 0, 1, 0])
    said = capsys.readouterr().out
    assert "coco, 2 pictures (train 2), 5 objects of 3 classes; 1 crowds" in said
    assert "1 without an outline, 1 pictures without objects" in said
    assert "cat 4, dog 1\n  classes without an object: Cow" in said


def test_holes_and_parts(tmp_path):
    write(tmp_path)
    masks, _, _ = truth(load(tmp_path, verbose=0))
    # 8 x 8 - 4 x 4 + 1. The box alone: columns 3.5 to 8.5, rows 4 to 10.25.
    assert masks[:, :, 1].sum() == 49
    assert masks[4:10, 4:8, 4].all() and abs(masks[:, :, 4].sum() - 5 * 6.25) < 5


def test_subsets(tmp_path):
    write(tmp_path)
    write(tmp_path, "instances_val2017.json", "val2017", annotations=[])
    assert subsets(tmp_path) == ["train", "val2017"]
    assert load(tmp_path, verbose=0).num_images == 4
    val = load(tmp_path, "val", verbose=0)  # or as it is called
    assert [info["subset"] for info in val.image_info] == ["val2017"] * 2
    assert load(tmp_path, "val2017", verbose=0).num_images == 2
    with pytest.raises(ValueError, match=r"a subset of 'train', 'val2017', received 'test'"):
        load(tmp_path, "test", verbose=0)


def test_chosen_classes(tmp_path):
    write(tmp_path)
    with pytest.warns(UserWarning, match=r"classes that were not asked for.*train/a.png \(9\)"):
        dataset = load(tmp_path, classes=["Cow", "cat"], verbose=0)
    assert dataset.class_names == ["BG", "Cow", "cat"]
    assert truth(dataset)[1] == ["cat"] * 4
    with pytest.raises(ValueError, match=r"classes of \['cat', 'Cow', 'dog'\], received \['cow'\]"):
        load(tmp_path, classes=["cow"], verbose=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "expected annotations of coco, .* found none. docs/data.md"),
        (lambda folder: (folder / "a.json").write_text("{"), "a.json: expected JSON"),
        (lambda folder: (folder / "a.json").write_text("[]"), "found none"),
        (lambda folder: os.rmdir(folder), "expected an annotation file or the folder"),
    ],
)
def test_nothing_to_load(tmp_path, make, message):
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    with pytest.raises(ValueError, match=rf"{tmp_path}/data.*{message}"):
        load(tmp_path / "data")


def test_wrong_wishes(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match=r"expected a format of coco, .*, received 'cocoa'"):
        load(tmp_path, format="cocoa")
    with pytest.raises(ValueError, match="expected annotations for ViaDataset, found none"):
        load(tmp_path, format="via")
    with pytest.raises(ValueError, match="for coco options of images, received label"):
        load(tmp_path, label="kind")
    dataset = load(tmp_path, verbose=0)
    with pytest.raises(ValueError, match=r"expected a format of .*coco.*, received 'xls'"):
        convert(dataset, tmp_path / "out", "xls")
    with pytest.raises(ValueError, match=r"expected a new or empty folder"):
        convert(dataset, tmp_path, "coco")


def test_all_errors_of_a_file_at_once(tmp_path):
    nan = {
        "id": 5,
        "image_id": 0,
        "category_id": 3,
        "segmentation": [[1, float("nan"), 3, 3, 5, 5]],
    }
    good = {"id": 6, "image_id": 0, "category_id": 3, "segmentation": [BOX]}
    images = [{"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "gone.png"}]
    write(tmp_path, images=images, annotations=[nan, good, good | {"id": 7, "iscrowd": "maybe"}])
    notes = Notes(strict=False)
    dataset = load(tmp_path, notes=notes, verbose=0)
    assert truth(dataset)[0].sum() == 80
    said = " / ".join(notes.errors)
    assert len(notes.errors) == 3
    for what in ("gone.png", "Annotation 5 of image 0", "Annotation 7 of image 0"):
        assert what in said


@pytest.mark.parametrize("format", ["coco", "via"])
def test_there_and_back(tmp_path, format):
    write(tmp_path / "in")
    dataset = load(tmp_path / "in", verbose=0)
    convert(dataset, tmp_path / "out", format)
    back = load(tmp_path / "out", verbose=0)
    assert back.source == format and back.num_images == 2
    for image_id in (0, 1):
        (a, *names), (b, *others) = truth(dataset, image_id), truth(back, image_id)
        np.testing.assert_array_equal(a, b)
        assert names == others
    np.testing.assert_array_equal(back.load_image(0), dataset.load_image(0))
    assert sum(not each.parts for each in back.instances(0)) == 1  # the box is a box still


@pytest.mark.parametrize("format", ["coco", "via"])
def test_any_data_set_is_converted(tmp_path, format):
    shapes = ShapesDataset()
    shapes.load_shapes(3, 64, 80, seed=5)
    shapes.prepare()
    back = load(
        convert(shapes, tmp_path / "out", format), verbose=0, classes=shapes.class_names[1:]
    )
    for image_id in range(3):
        np.testing.assert_array_equal(back.load_image(image_id), shapes.load_image(image_id))
        (a, names, _), (b, others, _) = truth(shapes, image_id), truth(back, image_id)
        np.testing.assert_array_equal(a, b)
        assert names == others


def test_keypoints_and_attributes_are_kept(tmp_path):
    facts = {"keypoints": [3, 4, 2], "num_keypoints": 1, "attributes": {"occluded": True}}
    entry = {"id": 6, "image_id": 0, "category_id": 3, "segmentation": [BOX], **facts}
    write(tmp_path, annotations=[entry])
    dataset = load(tmp_path, verbose=0)
    assert dataset.instances(0)[0].extra.items() >= facts.items()
    convert(dataset, tmp_path / "out", "coco")
    assert load(tmp_path / "out", verbose=0).instances(0)[0].extra.items() >= facts.items()


def test_what_is_left_out_is_told_with_the_folder_that_stays(tmp_path):
    write(tmp_path / "in")
    notes = Notes()
    convert(load(tmp_path / "in", verbose=0), tmp_path / "out", "masks", notes)
    said = " ".join(notes.messages())
    assert f"{tmp_path / 'out' / 'train' / 'a'}" in said and ".out-" not in said


def test_what_fails_leaves_nothing(tmp_path, monkeypatch):
    write(tmp_path)

    def fail(items, folder, class_names, notes):
        (folder / "half").touch()
        raise OSError("disk full")

    monkeypatch.setitem(WRITERS, "via", fail)
    with pytest.raises(OSError, match="disk full"):
        convert(load(tmp_path, verbose=0), tmp_path / "out", "via")
    assert sorted(os.listdir(tmp_path)) == ["annotations", "train"]


def test_the_command(tmp_path, capsys):
    write(tmp_path / "in")
    line = ["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--to", "via"]
    assert main(line) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path / 'out'}\n")
    assert recognize(tmp_path / "out") == "via"
    assert main(line) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err


def test_options_of_a_format_on_the_command_line(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:5, 2:5] = mask[9:12, 9:12] = 255
    for folder in ("images", "masks"):
        Image.fromarray(mask).save(tmp_path / folder / "a.png")
    line = ["convert", str(tmp_path), str(tmp_path.with_name("out")), "--to", "coco"]
    assert main(line) == 2  # one value for all objects, in two pieces
    assert "components" in capsys.readouterr().err
    assert main([*line, "--read", "components=true", "--class-name", "cell"]) == 0
    dataset = load(tmp_path.with_name("out"), verbose=0)
    assert truth(dataset)[1] == ["cell", "cell"]
    with pytest.raises(SystemExit):
        main([*line, "--read", "components"])
    assert "expected KEY=VALUE, got 'components'" in capsys.readouterr().err


def test_every_format_has_a_name():
    assert all(kind.source == name for name, kind in FORMATS.items())
    assert WRITERS.keys() <= FORMATS.keys()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("classes=[a]", "expected an option of one format, got 'classes'"),
        ("notes=1", "expected an option of one format, got 'notes'"),
        ("components={", "expected a value of YAML"),
        ("components", "expected KEY=VALUE"),
    ],
)
def test_an_option_that_is_none_of_a_format(tmp_path, capsys, option, message):
    with pytest.raises(SystemExit):
        main(["check", str(tmp_path), "--read", option])
    assert message in capsys.readouterr().err
