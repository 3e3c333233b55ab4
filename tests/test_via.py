"""VIA's files of every version, read and written."""

import csv
import json
import random
import warnings

import numpy as np
import pytest
from mutations import mutate
from PIL import Image

from mrcnn.data.annotations.notes import Notes
from mrcnn.data.formats.via import ViaDataset
from mrcnn.data.loading import load

HEIGHT, WIDTH = 20, 30
POLYGON = {"name": "polygon", "all_points_x": [2, 6, 6, 2], "all_points_y": [3, 3, 6, 6]}  # 4 x 3
TRIANGLE = {"name": "polyline", "all_points_x": [0, 8, 0], "all_points_y": [0, 0, 8]}
RECT = {"name": "rect", "x": 4, "y": 5, "width": 7, "height": 3}  # 21
CIRCLE = {"name": "circle", "cx": 10, "cy": 10, "r": 5}
ELLIPSE = {"name": "ellipse", "cx": 15, "cy": 10, "rx": 9, "ry": 3}


def write(folder, regions, version=2, name="a.png"):
    """Writes a picture and its annotations: list of (shape, attributes)."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(folder / name)
    listed = [{"shape_attributes": s, "region_attributes": a} for s, a in regions]
    if version == 1:
        listed = {str(i): region for i, region in enumerate(listed)}
    content = {f"{name}1234": {"filename": name, "size": 1234, "regions": listed}}
    if version == "project":
        content = {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}}
    path = folder / "via.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("version", [1, 2, "project"])
def test_every_shape_of_every_version(tmp_path, version):
    regions = [(shape, {}) for shape in (POLYGON, TRIANGLE, RECT, CIRCLE, ELLIPSE)]
    path = write(tmp_path, regions, version)
    for place in (path, tmp_path):
        dataset = load(place, verbose=0)
        assert dataset.class_names == ["BG", "object"]
        masks, class_ids = dataset.load_mask(0)
        areas = masks.sum(axis=(0, 1)).tolist()
        assert areas[0] == 4 * 3
        assert areas[2] == 7 * 3 and masks[5:8, 4:11, 2].all()
        # Pixels whose centres are inside. Ellipse, rows half a pixel, 1.5 and 2.5 off its axis:
        # 9 * (1 - (v / 3)^2)^0.5 = 8.9, 7.8, 5.0: 2 * (9 + 8 + 5) above and as many below.
        assert areas[4] == 88
        # The triangle's 1 + 2 + ... + 7, and 8 whose centres lie on its border; pi r^2 = 78.5.
        assert 28 <= areas[1] <= 36 and abs(areas[3] - 78.5) < 2
        assert class_ids.tolist() == [1] * 5
    info = dataset.image_info[0]
    assert (info["id"], info["height"], info["width"]) == ("a.png", HEIGHT, WIDTH)
    assert dataset.image_reference(0) == str(tmp_path / "a.png")
    (box,) = [each for each in dataset.instances(0) if not each.parts]
    assert box.box == (5, 4, 8, 11)  # a rectangle is a box: it has no outline
    assert dataset.without_outline == f"{tmp_path / 'a.png'}, region 2"


def test_an_ellipse_turns_clockwise(tmp_path):
    turned = ELLIPSE | {"theta": np.pi / 4, "rx": 8, "ry": 2}
    write(tmp_path, [(turned, {})])
    mask = load(tmp_path, verbose=0).load_mask(0)[0][:, :, 0]
    # Rows grow downwards: its right end goes down, its left end up.
    assert mask[14, 19] and mask[5, 10] and not mask[5, 19] and not mask[14, 10]


def test_a_polyline_of_a_width(tmp_path):
    line = {"name": "polyline", "all_points_x": [5, 15], "all_points_y": [10, 10]}
    write(tmp_path, [(line, {})])
    mask = load(tmp_path, verbose=0, line_width=4).load_mask(0)[0][:, :, 0]
    # Rows 8 to 11 of columns 5 to 14, and at either end half a circle of radius 2.
    assert mask[8:12, 5:15].all() and not mask[7].any() and not mask[12].any()
    assert abs(mask.sum() - (4 * 10 + np.pi * 4)) < 3
    with pytest.raises(ValueError, match=r"region 0: .*3 points, received 2"):
        load(tmp_path, verbose=0)


def test_a_project_of_version_3(tmp_path):
    write(tmp_path, [], name="a.png")
    content = {
        "project": {"pname": "it"},
        "config": {},
        "attribute": {"1": {"aname": "kind", "options": {"0": "cat", "1": "dog"}}},
        "file": {"7": {"fid": 7, "fname": "a.png", "type": 2}},
        "view": {"3": {"fid_list": [7]}},
        "metadata": {
            "x1": {"vid": "3", "xy": [7, 2, 3, 6, 3, 6, 6, 2, 6], "av": {"1": "1"}},
            "x2": {"vid": "3", "xy": [2, 4, 5, 7, 3], "av": {"1": "0"}},
            "x3": {"vid": "3", "xy": [8, 4, 6, 11, 6, 7, 5, 7, 8], "av": {"1": "0"}},
            "whole picture": {"vid": "3", "xy": [], "av": {"1": "0"}},
        },
    }
    (tmp_path / "via.json").write_text(json.dumps(content))
    dataset = load(tmp_path, verbose=0)
    masks, class_ids = dataset.load_mask(0)
    assert dataset.class_names == ["BG", "cat", "dog"]
    # The points at the four ends of the last are those of the rectangle before it.
    assert masks.sum(axis=(0, 1)).tolist() == [12, 21, 21]
    assert class_ids.tolist() == [2, 1, 1]


def test_csv(tmp_path):
    write(tmp_path, [])
    (tmp_path / "via.json").unlink()
    rows = [
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
        "region_attributes",
        'a.png,9,{},1,0,"{""name"":""rect"",""x"":4,""y"":5,""width"":7,""height"":3}",'
        '"{""kind"":""cat""}"',
    ]
    (tmp_path / "via.csv").write_text("\n".join(rows))
    dataset = load(tmp_path, verbose=0)
    assert dataset.class_names == ["BG", "cat"] and dataset.load_mask(0)[0].sum() == 21
    (tmp_path / "via.csv").write_text("\n".join([rows[0], "a.png,9,{},1,0,{,{}"]))
    with pytest.raises(ValueError, match=r"via.csv, row 2: expected JSON"):
        load(tmp_path, verbose=0)


def test_classes(tmp_path):
    both = {"kind": "cat", "size": "big"}
    write(tmp_path, [(POLYGON, both), (POLYGON, both | {"kind": {"dog": True, "cow": False}})])
    with pytest.raises(ValueError, match=r"attributes \['kind', 'size'\]; say which.*label="):
        load(tmp_path, verbose=0)
    dataset = load(tmp_path, verbose=0, label="kind")
    assert dataset.class_names == ["BG", "cat", "dog"]
    assert dataset.load_mask(0)[1].tolist() == [1, 2]
    assert load(tmp_path, verbose=0, class_name="pet").load_mask(0)[1].tolist() == [1, 1]
    write(tmp_path, [(POLYGON, {"kind": "cat"}), (POLYGON, {"kind": " "})])
    with pytest.raises(ValueError, match=r"via.json, a.png, region 1: expected a class .*'kind'"):
        load(tmp_path, verbose=0)


def test_subsets_have_the_same_classes(tmp_path):
    write(tmp_path / "train", [(POLYGON, {"kind": "dog"})])
    write(tmp_path / "val", [(POLYGON, {"kind": "cat"})])
    train, val = (load(tmp_path, x, verbose=0) for x in ("train", "val"))
    assert train.class_names == val.class_names == ["BG", "cat", "dog"]
    assert (train.load_mask(0)[1].tolist(), val.load_mask(0)[1].tolist()) == ([2], [1])
    both = load(tmp_path, verbose=0)
    assert [info["id"] for info in both.image_info] == ["a.png", "val/a.png"]


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"name": "point", "cx": 3, "cy": 4}, "received 'point'"),
        ({"cx": 3}, "expected a polygon"),
        (None, "expected a polygon"),
        ({"name": "circle", "cx": 3, "cy": 4}, "numbers of a circle.*KeyError: 'r'"),
        ({"name": "circle", "cx": 3, "cy": float("nan"), "r": 2}, "a finite number, received nan"),
        ({"name": "rect", "x": 1, "y": "?", "width": 2, "height": 2}, "numbers of a rect"),
        ({"name": "rect", "x": 1, "y": 1, "width": 0, "height": 2}, "above 0, received 0"),
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}, "received 2"),
        ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "numbers of a"),
    ],
)
def test_a_wrong_region_is_named_or_kept(tmp_path, region, message):
    path = write(tmp_path, [(POLYGON, {}), (region, {})])
    with pytest.raises(ValueError, match=rf"{path}, a.png, region 1: .*{message}"):
        load(tmp_path, verbose=0)
    notes = Notes(strict=False)
    dataset = load(tmp_path, verbose=0, notes=notes)
    assert len(notes.errors) == 1 and "region 1" in notes.errors[0]
    assert dataset.load_mask(0)[1].tolist() == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ('{"a": {"filename": "b.png", "regions": []}}', "names b.png, but .* is missing"),
        ('{"a": {"filename": 3, "regions": []}}', "expected the name of a picture, received 3"),
        ('{"a": {"filename": "a.png"}}', "'filename' and 'regions', received"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, content, message):
    write(tmp_path, []).write_text(content)
    with pytest.raises(ValueError, match=rf"via.json.*{message}"):
        load(tmp_path, verbose=0)


def test_paths_of_windows_and_byte_order_marks(tmp_path):
    path = write(tmp_path, [(POLYGON, {})])
    text = path.read_text().replace('"filename": "a.png"', '"filename": "C:\\\\pets\\\\a.png"')
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(tmp_path, verbose=0).load_mask(0)[0].sum() == 12


def test_whatever_is_in_the_file_it_loads_or_is_named(tmp_path):
    shapes = [POLYGON, TRIANGLE, RECT, CIRCLE, ELLIPSE]
    path = write(tmp_path, [(shape, {"kind": "cat"}) for shape in shapes])
    text, rng, refused = path.read_text(), random.Random(0), 0
    for _ in range(400):
        content = json.loads(text)
        mutate(content, rng, rng.choice([1, 1, 2, 4]))
        path.write_text(json.dumps(content))
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*covers no pixel.*")
                load(path, verbose=0).load_mask(0)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error) or "a.png" in str(error)
    assert 100 < refused < 400


def test_find_takes_no_other_files(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    (tmp_path / "a.csv").write_text("filename,label\n")
    assert ViaDataset.find(tmp_path) == {}


def test_a_csv_of_long_outlines_or_of_other_bytes(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    outline = {"name": "polygon", "all_points_x": [2, *[12] * 50_000], "all_points_y": [3, 3]}
    outline["all_points_y"] += [13] * 49_999  # 2, 3 to 12, 3 to 12, 13: half of a square of 10
    path = tmp_path / "via.csv"
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["filename", "region_shape_attributes", "region_attributes"])
        rows.writerow(["a.png", json.dumps(outline), '{"class": "cat"}'])
    assert path.stat().st_size > 2**17
    assert load(tmp_path, verbose=0).load_mask(0)[0].sum() == 45  # 9 + 8 + ... + 1
    path.write_bytes(path.read_bytes()[:80] + b"\xff\xfe,\n")
    with pytest.raises(ValueError, match=rf"{path}: expected a text in UTF-8"):
        load(tmp_path)
