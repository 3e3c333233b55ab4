"""LabelMe's files of every version, read and written."""

import base64
import importlib.util
import io
import json
import os
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from mutations import mutated
from PIL import Image
from pycocotools import mask as mask_utils

from mrcnn.data.annotations.instances import Instance, Picture
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.annotations.shapes import circle
from mrcnn.data.annotations.writing import Item
from mrcnn.data.converting import convert
from mrcnn.data.formats.labelme import LabelMeDataset, write_labelme
from mrcnn.data.loading import load, recognize

DATA = os.environ.get("MRCNN_DATA")
HEIGHT, WIDTH = 20, 30


def shape(kind, points, label="cat", **more):
    return {"label": label, "points": points, "shape_type": kind, "flags": {}} | more


def base64_of(pixels, format="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return base64.b64encode(file.getvalue()).decode()


POLYGON = shape("polygon", [[2, 3], [6, 3], [6, 6], [2, 6]])  # 4 x 3
RECTANGLE = shape("rectangle", [[11, 8], [4, 5]])  # 7 x 3, from its right lower corner
CIRCLE = shape("circle", [[10, 10], [13, 14]])  # radius (3^2 + 4^2)^0.5 = 5
TURNED = shape("oriented_rectangle", [[10, 4], [16, 10], [12, 14], [6, 8]])  # 72^0.5 x 32^0.5
PIXELS = np.array([[1, 0, 1], [1, 1, 1]], bool)
MASK = shape("mask", [[5, 4], [7, 5]], mask=base64_of(PIXELS))
LINE = shape("line", [[5, 10], [15, 10]])
STRIP = shape("linestrip", [[5, 4], [15, 4], [15, 12]])


def write(folder, shapes, name="a", **changes):
    """Writes a picture and its JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(folder / f"{name}.png")
    content = {
        "version": "5.2.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": f"{name}.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps({k: v for k, v in (content | changes).items() if v != "none"}))
    return path


def areas(dataset, image_id=0):
    return dataset.load_mask(image_id)[0].sum(axis=(0, 1)).tolist()


def test_every_shape(tmp_path):
    path = write(tmp_path, [POLYGON, RECTANGLE, CIRCLE, TURNED, MASK])
    for place in (path, tmp_path):
        assert recognize(place) == "labelme"
        dataset = load(place, verbose=0)
        assert dataset.class_names == ["BG", "cat"]
        masks = dataset.load_mask(0)[0]
        polygon, rectangle, circle, turned, mask = areas(dataset)
        assert (polygon, rectangle, mask) == (12, 21, 5)
        # pi r^2 = 78.5; and 8.49 x 5.66 = 48 whose border the pixels of the diagonals share.
        assert abs(circle - 78.5) < 2 and abs(turned - 48) <= 12
        np.testing.assert_array_equal(masks[4:6, 5:8, 4], PIXELS)
    assert [each.box for each in dataset.instances(0) if not each.parts] == [(5, 4, 8, 11)]
    info = dataset.image_info[0]
    assert (info["id"], info["height"], info["width"]) == ("a", HEIGHT, WIDTH)
    assert info["path"] == str(tmp_path / "a.png")


def test_the_smallest_file(tmp_path):
    # Version 3 knew polygons only, and wrote colours.
    old = {"label": " cat ", "points": POLYGON["points"], "line_color": None, "fill_color": None}
    lacking = dict.fromkeys(("version", "imageHeight", "imageWidth", "flags"), "none")
    write(tmp_path, [old, POLYGON], lineColor=[0, 255, 0, 128], **lacking)
    dataset = load(tmp_path, verbose=0)
    assert dataset.class_names == ["BG", "cat"] and areas(dataset) == [12, 12]


def test_rectangles_of_four_corners(tmp_path):
    upright = shape("rectangle", [[4, 5], [11, 5], [11, 8], [4, 8]])
    turned = shape("rotation", TURNED["points"])  # as X-AnyLabeling calls it
    write(tmp_path, [upright, turned, shape("rectangle", TURNED["points"])])
    dataset = load(tmp_path, verbose=0)
    assert [each.box for each in dataset.instances(0)] == [(5, 4, 8, 11), None, None]
    assert areas(dataset)[1] == areas(dataset)[2]


def test_lines_have_a_width_or_are_told(tmp_path):
    write(tmp_path, [LINE, STRIP, POLYGON])
    with pytest.warns(UserWarning, match=r"line_width=.*: .*a.json, shape 0, .*a.json, shape 1$"):
        assert areas(load(tmp_path, verbose=0)) == [12]
    line, strip, _ = areas(load(tmp_path, verbose=0, line_width=4))
    # 10 x 4 and half a circle of radius 2 at either end. The strip: 10 x 4 and 8 x 4, of which the
    # corner shares a quarter of a circle and lacks none: 40 + 32 - 4 + pi / 4 * 4 + 2 half circles.
    assert abs(line - (40 + np.pi * 4)) < 3
    assert abs(strip - (68 + np.pi + np.pi * 4)) < 4


def test_points_are_told(tmp_path):
    write(tmp_path, [shape("point", [[3, 3]]), shape("points", [[3, 3], [4, 4]]), POLYGON])
    with pytest.warns(UserWarning, match=r"points have no outline .*shape 0, .*shape 1$"):
        assert areas(load(tmp_path, verbose=0)) == [12]


def test_a_group_of_one_label_is_one_instance(tmp_path):
    apart = shape("polygon", [[20, 10], [22, 10], [22, 12], [20, 12]])  # 2 x 2
    other = shape("polygon", apart["points"], "dog")
    grouped = [each | {"group_id": 0} for each in (POLYGON, apart, other)]
    write(tmp_path, [*grouped, POLYGON | {"group_id": None}])
    dataset = load(tmp_path, verbose=0)
    assert areas(dataset) == [12 + 4, 4, 12]
    assert dataset.load_mask(0)[1].tolist() == [1, 2, 1]
    assert dataset.instances(0)[0].name == "shape 0 with shape 1"


def test_a_group_of_rectangles(tmp_path):
    aside = shape("rectangle", [[20, 1], [25, 2]])
    write(tmp_path, [each | {"group_id": 3} for each in (RECTANGLE, aside)])
    (instance,) = load(tmp_path, verbose=0).instances(0)
    assert instance.box == (1, 4, 8, 25) and not instance.parts  # around both
    write(tmp_path, [each | {"group_id": 3} for each in (RECTANGLE, aside, POLYGON)])
    # 21 + 5 + 12, less the 2 pixels of the polygon in the rectangle: columns 4, 5 of row 5.
    assert areas(load(tmp_path, verbose=0)) == [21 + 5 + 12 - 2]


def test_crowds(tmp_path):
    crowd = POLYGON | {"flags": {"iscrowd": True}}
    grouped = [each | {"group_id": 2} for each in (CIRCLE, crowd)]
    write(tmp_path, [crowd, POLYGON | {"flags": None}, *grouped])
    assert load(tmp_path, verbose=0).load_mask(0)[1].tolist() == [-1, 1, -1]


def test_masks_are_cut_at_the_border_and_have_the_size_of_their_points(tmp_path):
    write(tmp_path, [MASK | {"points": [[28, 19], [30, 20]]}])
    masks = load(tmp_path, verbose=0).load_mask(0)[0]
    assert masks[19, 28, 0] and masks.sum() == 1  # [1, 0] of the first row are inside
    write(tmp_path, [MASK | {"points": [[-1, -1], [1, 0]]}])
    masks = load(tmp_path, verbose=0).load_mask(0)[0]
    assert masks[0, :2, 0].all() and masks.sum() == 2  # of the second row the last two
    write(tmp_path, [MASK | {"points": [[5, 4], [8, 5]]}])
    with pytest.raises(ValueError, match=r"shape 0, a mask: .*size \[2, 4\], received \[2, 3\]"):
        load(tmp_path)


def test_other_folders_and_machines(tmp_path):
    for name in ("..\\pictures\\a.png", "../pictures/a.png", "C:\\Users\\me\\a.png", "/me/a.png"):
        write(tmp_path / "pictures", [])
        path = write(tmp_path / "json", [POLYGON], imagePath=name)
        (tmp_path / "json" / "a.png").unlink()
        options = {} if "pictures" in name else {"images": tmp_path / "pictures"}
        dataset = load(path, verbose=0, **options)
        assert dataset.load_image(0).shape == (HEIGHT, WIDTH, 3) and areas(dataset) == [12]
    with pytest.raises(ValueError, match=r"a.json, imagePath: names /me/a.png, but .* is missing"):
        load(path)


def test_a_picture_inside_of_its_file(tmp_path):
    inside = np.full((HEIGHT, WIDTH, 3), 7, np.uint8)
    write(tmp_path / "in", [POLYGON], imageData=base64_of(inside))
    (tmp_path / "in" / "a.png").unlink()
    dataset = load(tmp_path / "in", verbose=0)
    np.testing.assert_array_equal(dataset.load_image(0), inside)
    back = load(convert(dataset, tmp_path / "out", "labelme"), verbose=0)
    np.testing.assert_array_equal(back.load_image(0), inside)
    write(tmp_path / "in", [POLYGON], imageData="bm90IGEgcGljdHVyZQ==")
    (tmp_path / "in" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"a.json: there is no picture a.png, and its imageData"):
        load(tmp_path / "in")


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (None, None, (20, 30)),
        ("none", "none", (20, 30)),
        (0, 30, (20, 30)),
        (1e9, 30, (20, 30)),
        ("wide", [], (20, 30)),
        (float("inf"), 30, (20, 30)),
        (30, 20, (30, 20)),  # turned: training says so
    ],
)
def test_sizes(tmp_path, height, width, size):
    write(tmp_path, [POLYGON], imageHeight=height, imageWidth=width)
    dataset = load(tmp_path, verbose=0)
    assert dataset.load_mask(0)[0].shape == (*size, 1)


def test_subsets_and_what_else_lies_there(tmp_path):
    write(tmp_path / "train", [POLYGON])
    write(tmp_path / "val", [shape("polygon", POLYGON["points"], "dog")])
    dataset = load(tmp_path, "val", verbose=0)
    assert dataset.class_names == ["BG", "cat", "dog"]
    assert [info["id"] for info in load(tmp_path, verbose=0).image_info] == ["a", "val/a"]
    (tmp_path / "train" / "settings.json").write_text('{"labels": ["cat"]}')
    Image.new("RGB", (3, 3)).save(tmp_path / "train" / "b.jpg")
    with pytest.warns() as caught:
        assert load(tmp_path, "train", verbose=0).num_images == 1
    said = " / ".join(str(each.message) for each in caught)
    assert "JSON files that are not LabelMe's are left out: " in said and "settings.json" in said
    assert "pictures that no annotation names are left out: " in said and "b.jpg" in said


def test_many_files_the_first_of_another_kind(tmp_path):
    for i in range(12):
        write(tmp_path, [POLYGON], f"picture_{i}")
    (tmp_path / "_all.json").write_text("[]")
    with pytest.warns(UserWarning, match=r"not LabelMe's are left out: .*_all.json$"):
        assert load(tmp_path, verbose=0).num_images == 12


def test_two_files_of_a_picture(tmp_path):
    write(tmp_path, [POLYGON])
    (tmp_path / "b.json").write_text((tmp_path / "a.json").read_text())
    with pytest.raises(ValueError, match=r"b.json: expected one entry .*a.json is of .*a.png too"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "expected a label, received None"),
        ({"label": " "}, "expected a label"),
        ({"points": None}, r"expected a list of points \[x, y\], received None"),
        ({"points": [[1, 2], [3, 4]]}, "expected at least 3 points, received 2"),
        ({"points": [[1, 2], [3, 4], [5]]}, "expected a list of points"),
        ({"points": [[1, 2], [3, "4"], [5, 6]]}, "a finite number, received 4"),
        ({"points": [[1, 2], [3, float("nan")], [5, 6]]}, "a finite number, received nan"),
        ({"points": [[1, 2], [3, 10**400], [5, 6]]}, "a finite number, received 1000"),
        ({"shape_type": "cuboid"}, "expected a shape of polygon, .* received 'cuboid'"),
        ({"shape_type": ["polygon"]}, "expected a shape of polygon"),
        ({"shape_type": "circle"}, "a circle: expected 2 points, received 4"),
        ({"shape_type": "mask", "points": [[1, 1], [2, 2]]}, "a mask: expected a picture in base6"),
        ({"shape_type": "rectangle", "points": [[1, 1], [1, 2]]}, "a rectangle: expected a side"),
        ({"group_id": [1]}, r"a number as group_id, received \[1\]"),
        ({"flags": {"iscrowd": "maybe"}}, "flag iscrowd true or false, received maybe"),
    ],
)
def test_a_wrong_shape_is_named_or_kept(tmp_path, changes, message):
    path = write(tmp_path, [POLYGON, POLYGON | changes])
    with pytest.raises(ValueError, match=rf"{path}, shape 1.*{message}"):
        load(tmp_path, verbose=0)
    notes = Notes(strict=False)
    assert areas(load(tmp_path, verbose=0, notes=notes)) == [12]
    assert len(notes.errors) == 1 and "shape 1" in notes.errors[0]


def test_a_broken_file_beside_others_is_named(tmp_path):
    write(tmp_path, [POLYGON])
    (tmp_path / "b.json").write_text('{"shapes": [')
    with pytest.raises(ValueError, match=r"b.json: expected JSON"):
        load(tmp_path)


def test_an_outline_that_ends_far_away(tmp_path):
    # To the right and down without end: 28 x 18 pixels of the picture from (2, 2) on.
    far = shape("polygon", [[2, 2], [1e9, 2], [1e9, 1e9], [2, 1e9]])
    wide = shape("circle", [[0, 0], [1e9, 0]])
    write(tmp_path, [far, wide])
    assert areas(load(tmp_path, verbose=0)) == [28 * 18, HEIGHT * WIDTH]
    assert len(circle(0, 0, 1e300)) < 20000


def test_whatever_is_in_the_file_it_loads_or_is_named(tmp_path):
    shapes = [POLYGON, RECTANGLE, CIRCLE, TURNED, MASK, LINE, STRIP | {"group_id": 1}]
    path = write(tmp_path, shapes, imageData=base64_of(np.zeros((HEIGHT, WIDTH), np.uint8)))
    text, rng, refused = path.read_text(), random.Random(0), 0
    for _ in range(500):
        path.write_bytes(mutated(text, rng))
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*(covers no pixel|left out)")
                dataset = load(path, verbose=0, line_width=3)
                dataset.load_mask(0), dataset.load_image(0)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error) or "a.png" in str(error) or "image a" in str(error)
    assert 100 < refused < 450


def test_find_takes_no_other_files(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    (tmp_path / "b.json").write_text('{"shapes": []}')
    assert LabelMeDataset.find(tmp_path) == {}
    assert LabelMeDataset.find(tmp_path / "b.json") == {}


# Writing.


def ring_code():
    """A square of 8 x 8 pixels with a hole of 4 x 4, a pixel apart, two that meet at a corner."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[8:16, 16:24], mask[10:14, 18:22], mask[19, 29] = 1, 0, 1
    mask[1, 25] = mask[2, 26] = 1
    return mask_utils.encode(np.asfortranarray(mask))


SQUARE, HOLE = [2, 2, 12, 2, 12, 10, 2, 10], [4, 4, 8.3, 4, 8.3, 7.6, 4, 7.6]
INSTANCES = [
    Instance("cat", [[SQUARE]], name="polygon"),
    Instance("dog", [[SQUARE, HOLE]], name="hole"),
    Instance("cat", [[SQUARE], [[4, 4, 20.5, 4, 20.5, 7.3, 4, 7.3]]], name="overlapping parts"),
    Instance("cat", [[SQUARE, HOLE], [[20, 10, 25, 10, 22.2, 18]]], name="a hole and a part"),
    Instance("cat", [ring_code()], name="code"),
    Instance("dog", [[[25.25, 15.5, 40, -7, 33, 30.125]]], name="over the border"),
    Instance("dog", [ring_code()], crowd=True, name="crowd"),
    Instance("cat", [], (3.1, 4, 9.7, 10.3), name="box"),
]


def write_item(folder, instances, size=(HEIGHT, WIDTH)):
    picture = Picture("a.b.png", "", *size, instances)
    notes = Notes()
    item = Item(picture, "train", lambda path: Image.new("RGB", size[::-1]).save(path))
    write_labelme([item], folder, ["cat", "dog"], notes)
    return list(notes.messages())


def test_what_is_written_reads_back_the_same(tmp_path):
    assert write_item(tmp_path / "out", INSTANCES) == []
    again = load(tmp_path / "out", verbose=0)
    assert (again.source, again.image_info[0]["subset"]) == ("labelme", "train")
    truth = LabelMeDataset()
    for name in ("cat", "dog"):
        truth.add_class("labelme", name, name)
    truth.add_image("labelme", "a", None, height=HEIGHT, width=WIDTH, instances=INSTANCES)
    truth.prepare()
    for found, expected in zip(again.load_mask(0), truth.load_mask(0), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert again.instances(0)[-1].box == INSTANCES[-1].box and not again.instances(0)[-1].parts
    write_item(tmp_path / "twice", again.instances(0))
    np.testing.assert_array_equal(
        load(tmp_path / "twice", verbose=0).load_mask(0)[0], truth.load_mask(0)[0]
    )


def test_an_object_without_a_pixel_is_told(tmp_path):
    nothing = mask_utils.encode(np.zeros((HEIGHT, WIDTH), np.uint8, order="F"))
    (said,) = write_item(tmp_path, [*INSTANCES, Instance("cat", [nothing], name="ghost")])
    assert said.startswith("objects without a pixel are left out: ") and said.endswith(", ghost")


def same_after_converting(dataset, folder):
    back = load(convert(dataset, folder, "labelme"), verbose=0, classes=dataset.class_names[1:])
    assert back.num_images == dataset.num_images
    found = {(info["subset"], info["id"]): i for i, info in enumerate(back.image_info)}
    found |= {
        (info["subset"], Path(info["path"]).stem): i for i, info in enumerate(back.image_info)
    }
    for image_id, info in enumerate(dataset.image_info):
        other = found[info.get("subset", ""), Path(info["path"]).stem]
        for a, b in zip(dataset.load_mask(image_id), back.load_mask(other), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["balloon", "tiny_coco"])
def test_real_data_there_and_back(tmp_path, name):
    same_after_converting(load(Path(DATA) / name, verbose=0), tmp_path / "out")


@pytest.mark.realdata
def test_real_nuclei_there_and_back(tmp_path):
    path = Path(__file__).parents[1] / "samples" / "nucleus" / "nucleus.py"
    spec = importlib.util.spec_from_file_location("nucleus", path)
    sample = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sample)
    dataset = sample.NucleusDataset()
    dataset.load_nucleus(Path(DATA) / "nuclei", "stage1_train", limit=5)
    dataset.prepare()
    same_after_converting(dataset, tmp_path / "out")


# Other tools' own writers.


def test_a_file_that_labelme_saved(tmp_path):
    label_file = pytest.importorskip("labelme._label_file")
    path = write(tmp_path, [])
    mask = MASK | {"description": "", "group_id": None}
    shapes = [{"description": "", "group_id": None} | x for x in (POLYGON, CIRCLE, TURNED)]
    label_file.write_label_file(
        str(path), shapes=[*shapes, mask], image_path="a.png", image_height=HEIGHT,
        image_width=WIDTH, image_data=(tmp_path / "a.png").read_bytes(),
    )  # fmt: skip
    label_file.read_label_file(str(path))  # it takes it itself
    assert [areas(load(tmp_path, verbose=0))[i] for i in (0, 3)] == [12, 5]


def test_labelme_reads_what_is_written(tmp_path):
    label_file = pytest.importorskip("labelme._label_file")
    write_item(tmp_path, INSTANCES)
    read = label_file.read_label_file(str(tmp_path / "train" / "a.b.json"))
    assert [each["shape_type"] for each in read.shapes][-1] == "rectangle"


def test_a_folder_that_supervision_exported(tmp_path):
    sv = pytest.importorskip("supervision")
    write(tmp_path / "in", [])
    masks = np.zeros((1, HEIGHT, WIDTH), bool)
    masks[0, 3:7, 2:9] = True
    found = sv.Detections(xyxy=np.array([[2, 3, 8, 6]], float), mask=masks, class_id=np.array([0]))
    picture = str(tmp_path / "in" / "a.png")
    data = sv.DetectionDataset(["cat"], [picture], {picture: found})
    data.as_labelme(
        images_directory_path=str(tmp_path / "out"),
        annotations_directory_path=str(tmp_path / "out"),
    )
    dataset = load(tmp_path / "out", verbose=0)
    # Its polygon goes through the centres of the border's pixels: one row and column are lacking.
    assert dataset.class_names == ["BG", "cat"] and abs(areas(dataset)[0] - 4 * 7) <= 10
