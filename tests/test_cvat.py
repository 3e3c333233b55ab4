"""CVAT's XML for images and for video."""

import random
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mrcnn.data.annotations.notes import Notes
from mrcnn.data.formats.cvat import CvatDataset
from mrcnn.data.loading import load, recognize, subsets

HEIGHT, WIDTH = 20, 30
POLYGON = '<polygon label="cat" points="2.00,3.00;6.00,3.00;6.00,6.00;2.00,6.00"/>'  # 4 x 3
BOX = '<box label="cat" xtl="4" ytl="5" xbr="11" ybr="8"/>'  # 7 x 3
# 6 x 4 around (13, 10), turned by a quarter: columns 11 to 15, rows 7 to 13.
TURNED = '<box label="cat" xtl="10" ytl="8" xbr="16" ybr="12" rotation="90.00"/>'
ELLIPSE = '<ellipse label="cat" cx="15" cy="10" rx="9" ry="3"/>'
# Rows of three pixels: .## #.#
MASK = '<mask label="cat" rle="1, 3, 1, 1" left="5" top="4" width="3" height="2"/>'
LINE = '<polyline label="cat" points="5,10;15,10"/>'
OTHERS = (
    '<points label="cat" points="1,1;2,2"/><tag label="cat"/>'
    '<skeleton label="cat"><points label="1" points="1,1"/></skeleton>'
)
META = (
    "<version>1.1</version><meta><task><labels><label><name>dog</name></label>"
    "<label><name>cat</name></label><label><name>1</name><parent>cat</parent></label></labels>"
    "<original_size><width>30</width><height>20</height></original_size></task></meta>"
)
SHAPES = (POLYGON, BOX, TURNED, ELLIPSE, MASK)


def image(*shapes, name="a.png", **attributes):
    facts = {"id": "0", "name": name, "width": WIDTH, "height": HEIGHT} | attributes
    facts = " ".join(f'{key}="{value}"' for key, value in facts.items() if value is not None)
    return f"<image {facts}>{''.join(shapes)}</image>"


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(path)


def write(folder, *elements, files=("images/a.png",), meta=META):
    for name in files:
        picture(folder / name)
    path = folder / "annotations.xml"
    body = f"<annotations>{meta}{''.join(elements)}</annotations>"
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{body}')
    return path


def areas(dataset, image_id=0):
    return dataset.load_mask(image_id)[0].sum(axis=(0, 1)).tolist()


def test_every_shape(tmp_path):
    path = write(tmp_path, image(*SHAPES))
    for place in (path, tmp_path):
        assert recognize(place) == "cvat"
        dataset = load(place, verbose=0)
        assert dataset.class_names == ["BG", "dog", "cat"]  # as declared, no point of a skeleton
        masks, class_ids = dataset.load_mask(0)
        assert masks[7:13, 11:15, 2].all()
        assert areas(dataset) == [12, 21, 24, 88, 4]  # the ellipse as VIA's
        assert masks[4:6, 5:8, 4].tolist() == [[False, True, True], [True, False, True]]
        assert class_ids.tolist() == [2] * 5
    boxes = [each.box for each in dataset.instances(0)]
    assert boxes == [None, (5, 4, 8, 11), None, None, None]
    info = dataset.image_info[0]
    assert (info["id"], info["path"]) == ("a.png", str(tmp_path / "images" / "a.png"))


def test_the_smallest_file(tmp_path):
    write(tmp_path, f'<image name="a.png">{POLYGON}</image>', files=["a.png"], meta="")
    dataset = load(tmp_path, verbose=0)
    assert dataset.class_names == ["BG", "cat"] and areas(dataset) == [12]


def test_turns_are_clockwise(tmp_path):
    box = '<box label="cat" xtl="7" ytl="8" xbr="23" ybr="12" rotation="45"/>'
    write(tmp_path, image(box, ELLIPSE.replace("/>", ' rotation="45"/>')))
    masks = load(tmp_path, verbose=0).load_mask(0)[0]
    for i in (0, 1):
        # Rows grow downwards: its right end goes down, its left end up; its middle stays.
        assert masks[14, 19, i] and masks[5, 10, i] and masks[9, 14, i]
        assert not masks[5, 19, i] and not masks[14, 10, i]


def test_lines_have_a_width_or_are_told(tmp_path):
    write(tmp_path, image(POLYGON, LINE))
    with pytest.warns(UserWarning, match=r"line_width=.*: .*image a.png, polyline 1$"):
        assert areas(load(tmp_path, verbose=0)) == [12]
    # 10 x 4 and half a circle of radius 2 at either end.
    line = areas(load(tmp_path, verbose=0, line_width=4))[1]
    assert abs(line - (40 + np.pi * 4)) < 3


def test_what_has_no_outline_is_told(tmp_path):
    write(tmp_path, image(POLYGON, OTHERS))
    with pytest.warns(UserWarning, match=r"tags .* left out: .*points 1, .*tag 2, .*skeleton 3$"):
        assert areas(load(tmp_path, verbose=0)) == [12]


def test_groups_attributes_and_crowds(tmp_path):
    grouped = POLYGON.replace("/>", ' group_id="7"/>')
    mask = MASK.replace("/>", ' group_id="7"><attribute name="color">red</attribute></mask>')
    crowd = BOX.replace("/>", ' group_id="0"><attribute name="is_crowd">true</attribute></box>')
    write(tmp_path, image(grouped, mask, crowd, crowd))
    dataset = load(tmp_path, verbose=0)
    # 12 + 4 pixels, of which column 5 of row 5 is in both; 0 is no group.
    assert areas(dataset) == [12 + 4 - 1, 21, 21]
    assert dataset.load_mask(0)[1].tolist() == [2, -2, -2]
    assert dataset.instances(0)[0].extra["group"][1]["attributes"] == {"color": "red"}


def test_subsets_of_a_project(tmp_path):
    elements = image(POLYGON, subset="Train"), image(BOX, POLYGON, subset="Val")
    path = write(tmp_path, *elements, files=["images/Train/a.png", "images/Val/a.png"])
    for place in (path, tmp_path):
        assert subsets(place) == ["Train", "Val"]
        assert areas(load(place, "train", verbose=0)) == [12]
        val = load(place, "val", verbose=0)
        assert areas(val) == [21, 12]
        assert val.image_info[0]["path"] == str(tmp_path / "images" / "Val" / "a.png")
    assert load(tmp_path, verbose=0).num_images == 2


def test_folders_of_subsets(tmp_path):
    write(tmp_path / "train", image(POLYGON))
    write(tmp_path / "val", image(BOX), files=["a.png"])
    assert areas(load(tmp_path, "val", verbose=0)) == [21]
    assert load(tmp_path, verbose=0).num_images == 2


def track(shapes, number=0, **attributes):
    facts = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<track id="{number}" label="cat"{facts}>{"".join(shapes)}</track>'


def at(shape, frame, outside=0):
    return shape.replace(' label="cat"', f' frame="{frame}" outside="{outside}" keyframe="1"')


def test_a_video(tmp_path):
    first = track([at(POLYGON, 0), at(BOX, 1), at(BOX, 2, outside=1)])
    second = track([at(MASK, 1), at(ELLIPSE, 6), at(ELLIPSE, 7, outside=1)], 1)
    files = [f"images/frame_{i:06d}.png" for i in range(9)]
    write(tmp_path, first, second, files=files)
    with pytest.warns() as caught:
        dataset = load(tmp_path, verbose=0)
    said = " / ".join(str(each.message) for each in caught)
    assert "not annotated, and are left out: " in said and "frames 3 to 5" in said
    assert "only leave are left out: " in said and "frame 2, " in said and "frame 7" in said
    assert [info["id"] for info in dataset.image_info] == [
        "frame_000000.png", "frame_000001.png", "frame_000006.png",
    ]  # fmt: skip
    assert [areas(dataset, i) for i in range(3)] == [[12], [21, 4], [88]]
    assert dataset.instances(1)[1].name == "track 1, mask 0"


def test_pictures_of_a_video_in_their_order(tmp_path):
    # As numbers: 2, 9, 10.
    names = [f"images/cam {i}.jpg" for i in (10, 9, 2)]
    write(tmp_path, track([at(POLYGON, 0), at(BOX, 1), at(MASK, 2)]), files=names)
    found = [info["id"] for info in load(tmp_path, verbose=0).image_info]
    assert found == ["cam 2.jpg", "cam 9.jpg", "cam 10.jpg"]
    write(tmp_path, track([at(POLYGON, 3)]), files=[])
    with pytest.raises(ValueError, match=r"frame 3: names frame_000003.png, but"):
        load(tmp_path)


def test_groups_of_tracks(tmp_path):
    tracks = (track([at(x, 0)], i, group_id=4) for i, x in enumerate((POLYGON, MASK)))
    write(tmp_path, *tracks, files=["images/frame_000000.PNG"])
    assert areas(load(tmp_path, verbose=0)) == [12 + 4 - 1]


def test_videos_of_several_tasks_are_refused(tmp_path):
    tracks = (track([at(POLYGON, 0)], task_id=i) for i in range(2))
    write(tmp_path, *tracks, files=["images/frame_000000.png"])
    with pytest.raises(ValueError, match=r"annotations.xml: expected the video of one task"):
        load(tmp_path)


def test_other_machines_folders_and_sizes(tmp_path):
    for name in ("C:\\pets\\a.png", "/home/me/a.png", "pets/a.png"):
        write(tmp_path, image(POLYGON, name=name))
        assert areas(load(tmp_path, verbose=0)) == [12]
        assert areas(load(tmp_path, verbose=0, images=tmp_path / "images")) == [12]
    for sides in ((None, None), ("", "x"), ("1e9", "nan"), ("0", "-3"), ("10" * 9, "30")):
        write(tmp_path, image(POLYGON, height=sides[0], width=sides[1]))
        assert load(tmp_path, verbose=0).load_mask(0)[0].shape == (20, 30, 1)
    write(tmp_path, image(POLYGON), image(BOX))
    with pytest.raises(ValueError, match=r"image a.png: expected one entry .*a.png too"):
        load(tmp_path)
    write(tmp_path, image(POLYGON, name="gone.png"))
    with pytest.raises(ValueError, match=r"image gone.png: names gone.png, but .*is missing"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (POLYGON.replace("cat", " "), "expected a label"),
        (POLYGON.replace(' label="cat"', ""), "expected a label"),
        ('<polygon label="cat"/>', "expected points 'x,y;x,y;...', received ''"),
        ('<polygon label="cat" points="1,2;3,4"/>', "at least 3 points, received 2"),
        ('<polygon label="cat" points="1,2;3,x;4,5"/>', "expected points 'x,y"),
        ('<polygon label="cat" points="1,2;3;4,5"/>', "expected points 'x,y"),
        ('<polygon label="cat" points="1,2;3,nan;4,5"/>', "a finite number, received nan"),
        (BOX.replace("xbr", "x"), "expected the attribute xbr, received"),
        (BOX.replace('xbr="11"', 'xbr="4"'), "above 0, received 0"),
        (BOX.replace('xbr="11"', 'xbr="wide"'), "could not convert string to float: 'wide'"),
        (TURNED.replace("90.00", "inf"), "a finite number, received inf"),
        (ELLIPSE.replace('rx="9"', 'rx="-9"'), "above 0, received -9"),
        (MASK.replace('rle="1, 3, 1, 1"', 'rle="1, 3, 1"'), "expected runs of 2 x 3 pixels"),
        (MASK.replace('rle="1, 3, 1, 1"', 'rle="1, 3, -1, 3"'), "expected runs of 2 x 3"),
        (MASK.replace('rle="1, 3, 1, 1"', ""), "expected whole numbers"),
        (MASK.replace('left="5"', ""), "expected whole numbers"),
        (MASK.replace('width="3"', 'width="31"'), "a mask inside of 20 x 30, received 2 x 31"),
    ],
)
def test_a_wrong_shape_is_named_or_kept(tmp_path, shape, message):
    path = write(tmp_path, image(POLYGON, shape))
    with pytest.raises(ValueError, match=rf"{path}, image a.png, \w+ 1: .*{message}"):
        load(tmp_path, verbose=0)
    notes = Notes(strict=False)
    assert areas(load(tmp_path, verbose=0, notes=notes)) == [12]
    assert len(notes.errors) == 1


def test_broken_files_and_document_types(tmp_path):
    path = write(tmp_path, image(POLYGON))
    text = path.read_text()
    path.write_text(text[:-20])
    with pytest.raises(ValueError, match=r"annotations.xml: expected XML, but it cannot be read"):
        load(tmp_path)
    bomb = '<!DOCTYPE annotations [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    path.write_text(text.replace("<annotations>", f"{bomb}<annotations>"))
    with pytest.raises(
        ValueError, match=r"annotations.xml: .*declares the document type annotations"
    ):
        load(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert areas(load(tmp_path, verbose=0)) == [12]
    path.write_bytes(text.replace("utf-8", "utf-16").encode("utf-16"))
    assert areas(load(tmp_path, verbose=0)) == [12]


def mutated(text, rng):
    """The bytes of an XML file with some places changed, or cut."""
    if rng.random() < 0.05:
        return text[: rng.randrange(len(text))].encode()
    root = ElementTree.fromstring(text)
    garbage = ["", "text", "-1", "1e9", "9" * 400, "nan", "1,2", "x" * 5000, "\u2028"]
    for _ in range(rng.choice([1, 1, 2, 4])):
        parents = {child: parent for parent in root.iter() for child in parent}
        element = rng.choice(list(parents))
        way = rng.random()
        if way < 0.1:
            parents[element].remove(element)
        elif way < 0.2:
            element.tag = rng.choice([*"ab", "image", "track", "box", "polygon", "mask"])
        elif way < 0.3 or not element.attrib:
            element.text = rng.choice(garbage)
        else:
            key = rng.choice(sorted(element.attrib))
            element.set(key, rng.choice(garbage))
            if rng.random() < 0.3:
                del element.attrib[key]
    return ElementTree.tostring(root)


def test_whatever_is_in_the_file_it_loads_or_is_named(tmp_path):
    tracks = track([at(POLYGON, 0), at(BOX, 1)], subset=""), track([at(ELLIPSE, 1)], 1)
    files = ["images/a.png", "images/frame_000000.png", "images/frame_000001.png"]
    path = write(tmp_path, image(*SHAPES, LINE, OTHERS, subset=""), *tracks, files=files)
    text, rng, refused = path.read_text(), random.Random(0), 0
    for _ in range(500):
        path.write_bytes(mutated(text.split("\n", 1)[1], rng))
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*(covers no pixel|left out)")
                dataset = load(path, verbose=0, line_width=3)
                for image_id in dataset.image_ids:
                    dataset.load_mask(image_id)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error) or "a.png" in str(error) or "frame_" in str(error)
    assert 100 < refused < 450


def test_find_takes_no_other_files(tmp_path):
    (tmp_path / "a.xml").write_text("<annotation><object/></annotation>")
    (tmp_path / "b.xml").write_text("no xml")
    (tmp_path / "c.xml").write_text("<annotations><other/></annotations>")
    assert CvatDataset.find(tmp_path) == {}
    assert CvatDataset.find(tmp_path / "a.xml") == {}


def test_a_folder_that_datumaro_exported(tmp_path):
    dm = pytest.importorskip("datumaro")
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[4:6, 5:8] = [[0, 1, 1], [1, 0, 1]]
    shapes = [
        dm.Polygon([2, 3, 6, 3, 6, 6, 2, 6], label=1, id=1, group=1),
        dm.Bbox(4, 5, 7, 3, label=0, id=2, group=2),
        dm.Mask(mask, label=1, id=3, group=3),
    ]
    item = dm.DatasetItem("a", subset="train", media=dm.Image.from_numpy(pixels),
                          annotations=shapes)  # fmt: skip
    data = dm.Dataset.from_iterable([item], categories=["dog", "cat"])
    data.export(str(tmp_path / "out"), "cvat", save_media=True)
    dataset = load(tmp_path / "out", verbose=0)
    assert dataset.class_names == ["BG", "dog", "cat"]
    assert areas(dataset) == [12, 21, 4] and dataset.load_mask(0)[1].tolist() == [2, 1, 2]
