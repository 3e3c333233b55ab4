"""Pascal VOC's files, as its own kit and other tools lay them out."""

import os
import warnings
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import text_mutations
from PIL import Image

from mrcnn.data.annotations.notes import Notes
from mrcnn.data.formats import FORMATS
from mrcnn.data.formats.voc import VocDataset
from mrcnn.data.formats.voc.pixels import CLASSES, _palette
from mrcnn.data.loading import load, recognize, subsets

HEIGHT, WIDTH = 20, 40
CAT = CLASSES.index("cat")


def box(name, xmin, ymin, xmax, ymax, more=""):
    corners = {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
    inside = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners.items())
    return f"<object><name>{escape(name)}</name>{more}<bndbox>{inside}</bndbox></object>"


def xml(path, *objects, name=None, size=(HEIGHT, WIDTH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    name = name or f"{path.stem}.jpg"
    text = f"<filename>{name}</filename>{sides}{''.join(objects)}"
    path.write_text(f"<annotation>{text}</annotation>", encoding="utf-8")
    return path


def picture(path, size=(HEIGHT, WIDTH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)


def numbers(path, *areas, size=(HEIGHT, WIDTH), colors=False):
    """A picture with VOC's palette; an area is (number, y1, x1, y2, x2)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, np.uint8)
    for number, y1, x1, y2, x2 in areas:
        pixels[y1:y2, x1:x2] = number
    image = Image.fromarray(pixels)
    image.putpalette([x for number in range(256) for x in _palette(number)])
    (image.convert("RGB") if colors else image).save(path)


def kit(folder, colors=False):
    """A cat in rows 2 to 9 and columns 3 to 12, with a border of void; a dog that is a box."""
    picture(folder / "JPEGImages" / "a.jpg")
    facts = "<pose>Left</pose><truncated>1</truncated><difficult>0</difficult>"
    cat, dog = box("cat", 4, 3, 13, 10, facts), box("dog", 21, 1, 30, 15)
    xml(folder / "Annotations" / "a.xml", cat, dog)
    void = 255, 1, 2, 11, 14
    numbers(folder / "SegmentationObject" / "a.png", void, (1, 2, 3, 10, 13), colors=colors)
    numbers(folder / "SegmentationClass" / "a.png", void, (CAT, 2, 3, 10, 13), colors=colors)
    return folder


def lists(folder, kind="Segmentation", **names):
    (folder / "ImageSets" / kind).mkdir(parents=True, exist_ok=True)
    for name, text in names.items():
        (folder / "ImageSets" / kind / f"{name}.txt").write_text(text)


def test_the_smallest_file(tmp_path):
    # 1-based and inclusive: pixels 4 to 13 are columns 3 to 12, from 3 to the edge 13.
    path = xml(tmp_path / "a.xml", box("cat", 4, 3, 13, 10))
    picture(tmp_path / "a.jpg")
    for place in (path, tmp_path):
        assert recognize(place) == "voc"
        dataset = load(place, box_masks=True, verbose=0)
        (instance,) = dataset.instances(0)
        assert instance.box == (2, 3, 10, 13) and instance.parts == []
        mask = dataset.load_mask(0)[0][:, :, 0]
        assert mask[2:10, 3:13].all() and mask.sum() == 8 * 10
    assert load(path, one_based=False, verbose=0).instances(0)[0].box == (3, 4, 10, 13)
    (info,) = dataset.image_info
    assert (info["id"], info["height"], info["width"]) == ("a", HEIGHT, WIDTH)


@pytest.mark.parametrize("colors", [False, True])
def test_instances_have_masks_and_void_is_nothing(tmp_path, colors):
    dataset = load(kit(tmp_path, colors), verbose=0)
    assert dataset.class_names == ["BG", "cat", "dog"]
    cat, dog = dataset.instances(0)
    assert cat.category == "cat" and cat.box is None
    assert cat.extra == {"pose": "Left", "truncated": 1, "difficult": 0}
    assert dog.box == (0, 20, 15, 30) and dog.parts == []
    masks, class_ids = dataset.load_mask(0)
    assert masks[2:10, 3:13, 0].all() and masks[:, :, 0].sum() == 8 * 10
    assert class_ids.tolist() == [1, 2]


def test_without_xml_files_pixels_tell_all(tmp_path):
    (kit(tmp_path) / "Annotations" / "a.xml").unlink()
    dataset = load(tmp_path, verbose=0)
    assert [x.category for x in dataset.instances(0)] == ["cat"]


def test_a_class_is_that_of_most_pixels(tmp_path):
    # Of 8 x 10 pixels 3 x 10 are background, 2 x 10 a dog's, 3 x 10 a cat's.
    dog = CLASSES.index("dog")
    areas = (dog, 5, 3, 7, 13), (CAT, 7, 3, 10, 13)
    numbers(kit(tmp_path) / "SegmentationClass" / "a.png", *areas)
    assert load(tmp_path, verbose=0).instances(0)[0].category == "cat"


def test_without_class_pixels_the_box_that_meets_an_instance_names_it(tmp_path):
    (kit(tmp_path) / "SegmentationClass" / "a.png").unlink()
    assert load(tmp_path, verbose=0).instances(0)[0].category == "cat"
    # Half a box more to the right: 5 of 15 columns are shared, a third.
    xml(tmp_path / "Annotations" / "a.xml", box("cat", 9, 3, 18, 10))
    with pytest.raises(
        ValueError, match=r"a\.png, instance 1: expected its class .* found neither"
    ):
        load(tmp_path, verbose=0)
    # Three columns: 7 of 13 are.
    xml(tmp_path / "Annotations" / "a.xml", box("cat", 7, 3, 16, 10))
    assert len(load(tmp_path, verbose=0).instances(0)) == 1


def test_numbers_of_classes_that_are_not_vocs(tmp_path):
    # There are wheels in the XML: number 8 is no cat, whatever VOC says.
    xml(kit(tmp_path) / "Annotations" / "a.xml", box("wheel", 4, 3, 13, 10))
    assert load(tmp_path, verbose=0).instances(0)[0].category == "wheel"
    color = "{},{},{}".format(*_palette(CAT))
    (tmp_path / "labelmap.txt").write_text(f"# a\nbackground:0,0,0::\ntyre:{color}::\n")
    found = [x.category for x in load(tmp_path, verbose=0).instances(0)]
    assert found == ["tyre", "wheel"]
    (tmp_path / "labelmap.txt").write_text("background:::\n" + "x:::\n" * 7 + "rim:::\n")
    assert load(tmp_path, verbose=0).instances(0)[0].category == "rim"
    (tmp_path / "labelmap.txt").unlink()
    (tmp_path / "class_names.txt").write_text("_background_\n" + "x\n" * 7 + "hub\n")
    assert load(tmp_path, verbose=0).instances(0)[0].category == "hub"


def test_difficult_objects_are_void_and_told(tmp_path):
    hard = box("dog", 21, 1, 30, 15, "<difficult>1</difficult>")
    xml(kit(tmp_path) / "Annotations" / "a.xml", box("cat", 4, 3, 13, 10), hard)
    with pytest.warns(UserWarning, match=r"difficult objects of XML .* left out: a, object 1$"):
        assert len(load(tmp_path, verbose=0).instances(0)) == 1
    os.rename(tmp_path / "SegmentationObject", tmp_path / "Other")
    kept = load(tmp_path, verbose=0).instances(0)
    assert [x.extra.get("difficult") for x in kept] == [None, 1]


def test_subsets_are_the_lists_of_what_there_is(tmp_path):
    root = kit(tmp_path / "VOCdevkit" / "VOC2012")
    for name in "bcd":
        picture(root / "JPEGImages" / f"{name}.jpg")
        xml(root / "Annotations" / f"{name}.xml", box("cat", 4, 3, 13, 10))
    lists(root, train="a\n", val='"b"\n', trainval="a\nb\n")
    lists(root, "Main", train="a\nc 1\n", val="b\n", cat_train="a  1\nc -1\n", trainval="a\nb\nc\n")
    for place in (tmp_path, root.parent, root):
        with (
            pytest.warns(UserWarning, match=r"no list of .*Segmentation names .* for all: c, d$"),
            pytest.warns(UserWarning, match=r"no annotation names .*/c.jpg, .*/d.jpg$"),
        ):
            dataset = load(place, verbose=0)
        assert [(x["id"], x["subset"]) for x in dataset.image_info] == [
            ("a", "train"),
            ("b", "val"),
        ]
    assert load(root / "Annotations", verbose=0).num_images == 4
    os.rename(root / "SegmentationObject", root / "Other")
    assert subsets(tmp_path) == ["train", "val"]
    with (
        pytest.warns(UserWarning, match=r"ImageSets/Main names .* for all: d$"),
        pytest.warns(UserWarning, match=r"no annotation names .*/d.jpg$"),
    ):
        assert load(tmp_path, subset="train", verbose=0).num_images == 2


def test_a_listed_picture_that_nothing_annotates_is_told(tmp_path):
    lists(kit(tmp_path), train="a\nz\n")
    with pytest.warns(UserWarning, match=r"nothing annotates, are left out: z of .*train\.txt$"):
        assert load(tmp_path, verbose=0).num_images == 1


@pytest.mark.parametrize(
    ("labels", "image", "subset"),
    [
        ("train/a_jpg.rf.0f.xml", "train/a_jpg.rf.0f.jpg", "train"),  # Roboflow
        ("valid/a.xml", "valid/a.png", "valid"),
        ("annotations/a.xml", "images/a.png", ""),
        ("Annotations/a.XML", "a.JPG", ""),
        ("train/Annotations/a.xml", "train/images/a.jpg", "train"),
        ("train/a.xml", "images/a.jpg", "train"),
    ],
)
def test_other_layouts(tmp_path, labels, image, subset):
    picture(tmp_path / image)
    xml(tmp_path / labels, box("cat", 4, 3, 13, 10), name="renamed.bmp")
    assert recognize(tmp_path) == "voc" and subsets(tmp_path) == [subset]
    dataset = load(tmp_path, verbose=0)
    assert dataset.image_reference(0) == str(tmp_path / image)
    assert len(dataset.instances(0)) == 1


def test_pictures_are_found_by_the_name_in_the_file(tmp_path):
    picture(tmp_path / "pictures" / "b.png")
    xml(tmp_path / "a.xml", box("cat", 4, 3, 13, 10), name="C:\\me\\b.png")
    with pytest.raises(ValueError, match=r"a\.xml: names C:.*b\.png, but .* is missing"):
        load(tmp_path, verbose=0)
    dataset = load(tmp_path, images=tmp_path / "pictures", verbose=0)
    assert dataset.image_reference(0) == str(tmp_path / "pictures" / "b.png")


def test_sizes_that_cannot_be_meant_are_the_pictures(tmp_path):
    picture(tmp_path / "a.jpg")
    for size in ((0, 0), ("", ""), ("NaN", "x"), (10**9, 10**9)):
        xml(tmp_path / "a.xml", box("cat", 4, 3, 13, 10), size=size)
        assert load(tmp_path, verbose=0).image_info[0]["height"] == HEIGHT
    xml(tmp_path / "a.xml", box("cat", 4, 3, 13, 10), size=(30, 60))
    assert load(tmp_path, verbose=0).image_info[0]["height"] == 30  # `check` tells it


def test_polygons(tmp_path):
    points = "<polygon><x1>3</x1><y1>3</y1><x2>13</x2><y2>3</y2>{}</polygon>"
    points = points.format("<x10>3</x10><y10>11</y10><x3>13</x3><y3>11</y3>")
    own = box("cat", 3, 3, 13, 11, points)
    old = "<object><name>dog</name><deleted>0</deleted><polygon><username>me</username>"
    old += "".join(
        f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((2, 2), (12, 2), (12, 10), (2, 10))
    )
    gone = "<object><name>dog</name><deleted>1</deleted></object>"
    xml(tmp_path / "a.xml", own, f"{old}</polygon></object>", gone)
    picture(tmp_path / "a.jpg")
    with pytest.warns(UserWarning, match=r"marked as deleted .*a\.xml, object 2$"):
        dataset = load(tmp_path, verbose=0)
    square = [2, 2, 12, 2, 12, 10, 2, 10]
    assert [x.parts for x in dataset.instances(0)] == [[[square]]] * 2
    assert [x.box for x in dataset.instances(0)] == [None, None]
    with pytest.warns(UserWarning):
        dataset = load(tmp_path, one_based=False, verbose=0)
    assert dataset.instances(0)[0].parts == [[[3, 3, 13, 3, 13, 11, 3, 11]]]


def test_boxes_are_cut_off_at_the_border(tmp_path):
    picture(tmp_path / "a.jpg")
    xml(tmp_path / "a.xml", box("cat", 0, -5, 9e9, 10.5))
    assert load(tmp_path, verbose=0).instances(0)[0].box == (0, 0, 10.5, WIDTH)


@pytest.mark.parametrize(
    ("element", "words"),
    [
        (box("", 4, 3, 13, 10), "expected a class in <name>, received none"),
        ("<object><name>cat</name></object>", "expected <bndbox> or <polygon>, received <name>"),
        (box("cat", "nan", 3, 13, 10), "a number in <xmin> of <bndbox>, received 'nan'"),
        (box("cat", 4, 3, "x", 10), "a number in <xmax> of <bndbox>, received 'x'"),
        (box("cat", 4, "", 13, 10), "a number in <ymin> of <bndbox>, received ''"),
        (box("cat", 14, 3, 13, 10), "a box inside of the picture, 40 x 20 .* xmin 14, ymin 3"),
        (box("cat", 50, 3, 60, 10), "a box inside of the picture"),
        (
            "<object><name>cat</name><polygon><x1>1</x1><y1>1</y1></polygon></object>",
            "a polygon: expected at least 3 points, received 1",
        ),
        (
            "<object><name>cat</name><polygon><x1>1</x1></polygon></object>",
            "a number in <y1> of <polygon>, received ''",
        ),
    ],
)  # fmt: skip
def test_a_wrong_object_is_named_or_kept(tmp_path, element, words):
    picture(tmp_path / "a.jpg")
    xml(tmp_path / "a.xml", box("cat", 4, 3, 13, 10), element)
    with pytest.raises(ValueError, match=rf"a\.xml, object 1: .*{words}"):
        load(tmp_path, verbose=0)
    notes = Notes(strict=False)
    dataset = load(tmp_path, notes=notes, verbose=0)
    assert len(notes.errors) == 1 and len(dataset.instances(0)) == 1


BOMB = (
    '<!DOCTYPE a [<!ENTITY b "{}">{}]><annotation><object><name>&b9;</name></object></annotation>'
)
BOMB = BOMB.format("x" * 99, "".join(f'<!ENTITY b{i} "{"&b;" * 9}">' for i in range(10)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "it declares the document type a"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "declares the document type"),
        ("<annotation><object>", "expected XML, .*no element found"),
        ("<annotation>&x;</annotation>", "expected XML, .*undefined entity"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "expected XML"),
        ("<annotations/>", "expected <annotation> of Pascal VOC, received <annotations>"),
        ("", "expected XML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, words):
    for name in "ab":
        picture(tmp_path / f"{name}.jpg")
        xml(tmp_path / f"{name}.xml", box("cat", 4, 3, 13, 10))
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "b.xml").write_text(text, encoding=encoding)
        if "klingon" in text and encoding == "utf-16":
            continue  # the mark in front of it is stronger
        with pytest.raises(ValueError, match=rf"b\.xml: .*{words}"):
            load(tmp_path, verbose=0)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    picture(tmp_path / "a.jpg")
    path = xml(tmp_path / "a.xml", box("Kühe & Co", 4, 3, 13, 10))
    head = '<?xml version="1.0" encoding="latin-1"?>' if encoding == "latin-1" else ""
    path.write_bytes((head + path.read_text(encoding="utf-8")).encode(encoding))
    assert load(tmp_path, verbose=0).class_names == ["BG", "Kühe & Co"]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "SegmentationObject",
            {"size": (9, 9)},
            r"the size of its picture, \[20, 40\], .* \[9, 9\]",
        ),
        (
            "SegmentationClass",
            {"size": (9, 9)},
            r"the size of its picture, \[20, 40\], .* \[9, 9\]",
        ),
        (
            "SegmentationClass",
            {"areas": [(99, 0, 0, 20, 40)]},
            "a class from 1 to 20 .*received 99",
        ),
        (
            "SegmentationClass",
            {"areas": [(255, 0, 0, 20, 40)]},
            "a class .* instance 1 is, received 0",
        ),
    ],
)
def test_wrong_pixels_are_named(tmp_path, name, change, words):
    areas = change.pop("areas", [(1, 2, 3, 10, 13)])
    numbers(kit(tmp_path) / name / "a.png", *areas, **change)
    with pytest.raises(ValueError, match=rf"{name}/a\.png: expected {words}"):
        load(tmp_path, verbose=0)


def test_colours_that_mean_nothing_and_broken_pictures_are_named(tmp_path):
    path = kit(tmp_path) / "SegmentationObject" / "a.png"
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"SegmentationObject/a\.png: .*received \(7, 7, 7\)"):
        load(tmp_path, verbose=0)
    kit(tmp_path, colors=True)
    for size in (0, 20, 60, path.stat().st_size - 30):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(ValueError, match=r"SegmentationObject/a\.png"):
            load(tmp_path, verbose=0)
        kit(tmp_path, colors=size % 40 == 0)


def test_find_takes_no_other_files(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val.json").write_text("{}")
    (tmp_path / "annotations.xml").write_text("<annotations><image/></annotations>")
    (tmp_path / "pom.xml").write_text("<project/>")
    (tmp_path / "broken.xml").write_text("<")
    (tmp_path / "SegmentationObject").mkdir()
    for place in (tmp_path, *tmp_path.iterdir()):
        assert VocDataset.find(place) == {}
    (tmp_path / "voc").mkdir()
    root = kit(tmp_path / "voc")
    assert [name for name, kind in FORMATS.items() if kind.find(root)] == ["voc"]


@pytest.mark.parametrize(
    "name", ["Annotations/a.xml", "ImageSets/Segmentation/train.txt", "labelmap.txt"]
)
def test_whatever_is_in_a_file_it_loads_or_is_named(tmp_path, name):
    lists(kit(tmp_path), train='a\n"b b"\n')
    polygon = "<polygon><x1>3</x1><y1>3</y1><x2>13</x2><y2>3</y2><x3>9</x3><y3>9</y3></polygon>"
    objects = box("cat", 4, 3, 13, 10, "<difficult>1</difficult>"), box("dog", 1, 1, 9, 9, polygon)
    xml(tmp_path / "Annotations" / "a.xml", *objects)
    colors = [",".join(map(str, _palette(number))) for number in range(10)]
    text = "".join(f"{x}:{color}::\n" for x, color in zip(CLASSES, colors, strict=False))
    (tmp_path / "labelmap.txt").write_text(f"# label:color_rgb:parts:actions\n{text}")
    data, refused = (tmp_path / name).read_bytes(), 0
    for changed in text_mutations.mutations(data, 250):
        (tmp_path / name).write_bytes(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset = load(tmp_path, verbose=0, format="voc")
                for i in dataset.image_ids:
                    dataset.load_mask(i)
            except ValueError as error:
                refused += 1
                assert str(tmp_path) in str(error)
    assert 10 < refused < 250


def test_the_palette():
    # As VOC's kit prints it: aeroplane, bicycle, ..., tvmonitor; void.
    assert [_palette(x) for x in (1, 2, 3, 8, 20, 255)] == [
        (128, 0, 0), (0, 128, 0), (128, 128, 0), (64, 0, 0), (0, 64, 128), (224, 224, 192)
    ]  # fmt: skip
    assert len(CLASSES) == 21 and CLASSES[15] == "person"


def test_supervisions_own_files(tmp_path):
    supervision = pytest.importorskip("supervision")
    mask = np.zeros((1, HEIGHT, WIDTH), bool)
    mask[0, 3:9, 5:20] = True
    corners = np.array([[5.0, 3, 20, 9]])
    picture(tmp_path / "a.png")
    for shape, expected in ((mask, 5 * 14), (None, 6 * 15)):
        objects = supervision.Detections(xyxy=corners, mask=shape, class_id=np.array([1]))
        name = str(tmp_path / "a.png")
        data = supervision.DetectionDataset(["cat", "dog"], [name], {name: objects})
        folders = [str(tmp_path / str(expected) / x) for x in ("images", "annotations")]
        data.as_pascal_voc(*folders)
        dataset = load(Path(folders[0]).parent, box_masks=True, verbose=0)
        assert dataset.class_names == ["BG", "dog"]
        # Its boxes are VOC's; OpenCV's outlines lose the last row and column.
        assert dataset.load_mask(0)[0].sum() == expected


def test_datumaros_own_files(tmp_path):
    datumaro = pytest.importorskip("datumaro")
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[3:9, 5:20] = True
    item = datumaro.DatasetItem(
        id="a b",
        subset="train",
        media=datumaro.Image.from_numpy(data=np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
        annotations=[datumaro.Mask(mask, label=1, id=1, group=1)],
    )
    data = datumaro.Dataset.from_iterable([item], categories=["cat", "dog"])
    data.export(str(tmp_path / "out"), "voc", save_media=True)
    dataset = load(tmp_path / "out", verbose=0)
    masks, class_ids = dataset.load_mask(0)
    assert (masks[:, :, 0] == mask).all() and masks.shape[2] == 1
    assert dataset.class_names[class_ids[0]] == "dog"
