"""Label Studio's JSON: every kind of region, the annotation that counts, and where pictures lie."""

import base64
import io
import json
import random
import warnings

import numpy as np
import pytest
from mutations import mutated
from PIL import Image

from mrcnn.data.annotations.notes import Notes
from mrcnn.data.formats.label_studio import LabelStudioDataset
from mrcnn.data.formats.label_studio.brush_codes import decode_brush
from mrcnn.data.loading import load, recognize

HEIGHT, WIDTH = 20, 30


def bits(*numbers):
    """The bytes of numbers, each (value, bits)."""
    text = "".join(f"{value:0{size}b}" for value, size in numbers)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def brush(mask, sizes=(3, 4, 8, 16)):
    """A brush's code: a run for each row of equal pixels, single pixels as literals."""
    rgba = np.repeat(mask.ravel().astype(int) * 255, 4)
    header = [(rgba.size, 32), (7, 5), *((size - 1, 4) for size in sizes)]
    ends = [*(np.flatnonzero(np.diff(rgba)) + 1).tolist(), rgba.size]
    blocks, start = [], 0
    for end in ends:
        while start < end:
            length = min(end - start, 256)
            if length == 4:
                blocks += [(0, 1), (0, 2), (3, 3), *[(int(rgba[start]), 8)] * 4]
            else:
                blocks += [(1, 1), (2, 2), (length - 1, 8), (int(rgba[start]), 8)]
            start += length
    return bits(*header, *blocks)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def result(kind, label="cat", **value):
    if label is not None:
        value[kind] = [label]
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": f"id-{kind}", "type": kind, "from_name": "label", "value": value, **size}


PIXELS = np.zeros((HEIGHT, WIDTH), bool)
PIXELS[4:6, 5:8] = [[1, 0, 1], [1, 1, 1]]
# Percents of 30 x 20: columns 3 to 9, rows 4 to 10.
POLYGON = result("polygonlabels", points=[[10, 20], [30, 20], [30, 50], [10, 50]])
RECTANGLE = result("rectanglelabels", x=10, y=20, width=20, height=30, rotation=0)
# From its corner (15, 4) a box of 6 x 3 goes down and to the left: columns 12 to 15, rows 4 to 10.
TURNED = result("rectanglelabels", x=50, y=20, width=20, height=15, rotation=90)
ELLIPSE = result("ellipselabels", x=50, y=50, radiusX=30, radiusY=15)  # 9 and 3 pixels
BRUSH = result("brushlabels", format="rle", rle=brush(PIXELS))
RGBA = np.dstack([np.zeros((HEIGHT, WIDTH, 3), np.uint8), PIXELS * np.uint8(255)])
BITMASK = result("bitmasklabels", imageDataURL=png(RGBA))
TEXT = {"id": "t", "type": "textarea", "from_name": "note", "value": {"text": ["hm"]}}
RELATION = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}


def task(results, image="a.png", number=1, **changes):
    annotation = {"id": 10, "completed_by": 1, "was_cancelled": False, "result": results}
    return {"id": number, "data": {"image": image}, "annotations": [annotation]} | changes


def write(folder, tasks, name="a.png"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(folder / name)
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return path


def areas(dataset, image_id=0):
    return dataset.load_mask(image_id)[0].sum(axis=(0, 1)).tolist()


def test_a_code_by_hand():
    # Two pixels of RGBA, the second one drawn: 8 values of 8 bits. A run of 4 zeros; four literals.
    code = bits(
        (8, 32), (7, 5), (2, 4), (3, 4), (7, 4), (15, 4),
        (1, 1), (0, 2), (3, 3), (0, 8),
        (0, 1), (1, 2), (3, 4), (0, 8), (2, 8), (3, 8), (255, 8),
    )  # fmt: skip
    assert decode_brush(code, 1, 2).tolist() == [[False, True]]
    assert decode_brush(code, 2, 1).tolist() == [[False], [True]]
    with pytest.raises(ValueError, match="2 x 2 pixels, 16 values, received 8"):
        decode_brush(code, 2, 2)
    with pytest.raises(ValueError, match="more than its 11 bytes: it is cut"):
        decode_brush(code[:11], 1, 2)
    for wrong in (None, "text", 5, [1.5], [300], [[]]):
        with pytest.raises(ValueError, match=r"rle|bytes"):
            decode_brush(wrong, 1, 2)


def test_a_code_that_the_tool_wrote():
    sdk = pytest.importorskip("label_studio_sdk.converter.brush")
    rng = np.random.default_rng(0)
    for _ in range(5):
        mask = rng.random((37, 53)) < rng.random()
        mask[10:30, :] = True  # more than 2^8 equal values
        np.testing.assert_array_equal(decode_brush(sdk.mask2rle(mask * 255), 37, 53), mask)
    mask = np.ones((200, 300), bool)  # more than 2^16
    np.testing.assert_array_equal(decode_brush(sdk.mask2rle(mask * 255), 200, 300), mask)


def test_every_region(tmp_path):
    path = write(tmp_path, [task([POLYGON, RECTANGLE, TURNED, ELLIPSE, BRUSH, BITMASK])])
    for place in (path, tmp_path):
        assert recognize(place) == "label_studio"
        dataset = load(place, verbose=0)
        assert dataset.class_names == ["BG", "cat"]
        masks = dataset.load_mask(0)[0]
        assert masks[4:10, 3:9, :2].all() and areas(dataset)[:2] == [36, 36]
        assert masks[4:10, 12:15, 2].all() and areas(dataset)[2] == 18
        # As VIA's ellipse of these radii around (15, 10).
        assert areas(dataset)[3] == 88
        for i in (4, 5):
            np.testing.assert_array_equal(masks[:, :, i], PIXELS)
    boxes = [each.box for each in dataset.instances(0)]
    assert boxes == [None, (4, 3, 10, 9), None, None, None, None]
    assert dataset.image_info[0]["path"] == str(tmp_path / "a.png")


def test_an_ellipse_turns_clockwise(tmp_path):
    value = ELLIPSE["value"] | {"radiusX": 80 / 3, "radiusY": 10, "rotation": 45}
    write(tmp_path, [task([ELLIPSE | {"value": value}])])
    mask = load(tmp_path, verbose=0).load_mask(0)[0][:, :, 0]
    # Rows grow downwards: its right end goes down, its left end up.
    assert mask[14, 19] and mask[5, 10] and not mask[5, 19] and not mask[14, 10]


def test_a_single_task_and_an_old_version(tmp_path):
    path = write(tmp_path, task([POLYGON]))
    assert recognize(path) == recognize(tmp_path) == "label_studio"
    assert areas(load(path, verbose=0)) == [36]
    old = task([POLYGON])
    old["completions"] = old.pop("annotations")
    write(tmp_path, [old])
    assert areas(load(path, verbose=0)) == [36]


def test_labels_that_are_results_of_their_own(tmp_path):
    # <Polygon> and <Labels>: two results of one region, of which one has the label.
    value = {"points": POLYGON["value"]["points"]}
    bare = POLYGON | {"id": "x", "type": "polygon", "value": value}
    label = POLYGON | {"id": "x", "type": "labels", "value": value | {"labels": ["dog"]}}
    write(tmp_path, [task([bare, label])])
    dataset = load(tmp_path, verbose=0)
    assert dataset.class_names == ["BG", "dog"] and areas(dataset) == [36]
    write(tmp_path, [task([bare, RECTANGLE])])
    with pytest.warns(UserWarning, match=r"without a label are left out: .*task 1, result x$"):
        assert areas(load(tmp_path, verbose=0)) == [36]


def test_what_is_no_region_is_told(tmp_path):
    write(tmp_path, [task([POLYGON, TEXT, RELATION])])
    with pytest.warns(
        UserWarning, match=r"no regions.*: .*result t \(textarea\), .*result 2 \(relation\)$"
    ):
        assert areas(load(tmp_path, verbose=0)) == [36]


def test_the_annotation_that_counts(tmp_path):
    def annotation(number, label, **facts):
        return {"id": number, "result": [result("rectanglelabels", label, x=0, y=0, width=50,
                                                height=50)]} | facts  # fmt: skip

    skipped = annotation(1, "skipped", was_cancelled=True)
    first, second = annotation(2, "first"), annotation(3, "second")
    cases = [
        ([skipped, first], "first", None),
        ([skipped, first, second], "first", r"others are left out: .*task 1, annotation 3$"),
        ([first, second | {"ground_truth": True}], "second", r"task 1, annotation 2$"),
    ]
    for annotations, expected, told in cases:
        write(tmp_path, [task([], annotations=annotations)])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert load(tmp_path, verbose=0).class_names == ["BG", expected]
        assert bool(caught) == bool(told)
        if told:
            with pytest.warns(UserWarning, match=told):
                load(tmp_path, verbose=0)


def test_tasks_without_an_annotation_are_told(tmp_path):
    skipped = task([], annotations=[{"was_cancelled": True, "result": []}], number=8)
    tasks = [task([POLYGON]), skipped, task([], annotations=[], number=9)]
    write(tmp_path, tasks)
    with pytest.warns(UserWarning, match=r"or skipped, are left out: .*task 8, .*task 9$"):
        assert load(tmp_path, verbose=0).num_images == 1


def test_the_short_export_is_known_and_refused(tmp_path):
    short = {"image": "/data/upload/1/a.png", "id": 1, "annotator": 1, "annotation_id": 1}
    (tmp_path / "short.json").write_text(json.dumps([{**short, "label": [{"x": 1, "y": 2}]}]))
    with pytest.raises(ValueError, match=r"short.json, task 1: .* Export, JSON \(not JSON-MIN\)"):
        load(tmp_path)


def test_a_picture_without_objects_stays(tmp_path):
    write(tmp_path, [task([])])
    assert load(tmp_path, verbose=0, classes=["cat"]).num_images == 1


@pytest.mark.parametrize(
    ("reference", "file"),
    [
        ("a.png", "a.png"),
        ("a b.png", "images/a b.png"),
        ("/data/upload/3/9f3c2b1a-a%20b.png", "9f3c2b1a-a b.png"),
        ("/data/upload/3/9f3c2b1a-a.png", "a.png"),
        ("/data/upload/3/9f3c-a.png", "images/a.png"),
        ("/data/local-files/?d=pets/my%20cats/a.png", "images/my cats/a.png"),
        ("/data/local-files/?d=pets%5Cmy%20cats%5Ca.png", "a.png"),
        ("https://host.org/x/a%20b.png?token=1", "a b.png"),
        ("s3://bucket/pets/a.png", "a.png"),
        ("C:\\pets\\a.png", "images/a.png"),
    ],
)
def test_where_pictures_lie(tmp_path, reference, file):
    path = write(tmp_path / "in", [task([POLYGON], reference)], file)
    options = {}
    if "my cats" in file:
        options["images"] = (tmp_path / "in" / file).parent
    dataset = load(path, verbose=0, **options)
    assert dataset.image_info[0]["path"] == str(tmp_path / "in" / file)
    with pytest.raises(ValueError, match=r"export.json, task 1.*images=.*names .*is missing"):
        (tmp_path / "in" / file).unlink()
        load(path, **options)


def test_a_name_that_begins_as_a_prefix_is_not_cut(tmp_path):
    path = write(tmp_path, [task([POLYGON], "2024-a.png")], "a.png")
    with pytest.raises(ValueError, match=r"names 2024-a.png, but"):
        load(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"photo": "a.png", "title": "a text"}, None),
        ({"image": "a.png", "thumbnail": "b.png"}, None),
        ({"front": "a.png", "back": "b.png"}, r"expected one picture in its data"),
        ({"text": "hello"}, r"expected one picture in its data"),
        (None, r"expected one picture in its data"),
        ({"image": png(RGBA)}, r".*the picture itself in base64"),
    ],
)
def test_which_of_the_data_is_the_picture(tmp_path, data, message):
    path = write(tmp_path, [task([POLYGON], data=data)])
    if message is None:
        assert areas(load(path, verbose=0)) == [36]
    else:
        with pytest.raises(ValueError, match=rf"{path}, task 1: {message}"):
            load(path)


def test_two_tasks_of_a_picture(tmp_path):
    write(tmp_path, [task([POLYGON]), task([POLYGON], "/elsewhere/a.png", number=2)])
    with pytest.raises(ValueError, match=r"task 2: expected one entry .* task 1 is of .*a.png too"):
        load(tmp_path)


def test_pictures_of_one_name_in_two_folders(tmp_path):
    write(tmp_path, [], "x/a.png")
    write(tmp_path, [task([], "x/a.png"), task([POLYGON], "y/a.png", 2)], "y/a.png")
    ids = [info["id"] for info in load(tmp_path, verbose=0).image_info]
    assert ids == [str(tmp_path / "x" / "a.png"), str(tmp_path / "y" / "a.png")]


def test_subsets(tmp_path):
    write(tmp_path / "train", [task([POLYGON])])
    write(tmp_path / "val", [task([POLYGON])])
    assert load(tmp_path, "val", verbose=0).num_images == 1
    assert load(tmp_path, verbose=0).num_images == 2


def test_sizes_that_lack_are_the_pictures(tmp_path):
    for size in ({}, {"original_width": None, "original_height": 0}, {"original_width": 1e9}):
        bare = {k: v for k, v in POLYGON.items() if not k.startswith("original")} | size
        write(tmp_path, [task([bare])])
        assert areas(load(tmp_path, verbose=0)) == [36]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": {"points": None, "polygonlabels": ["cat"]}}, "expected a list of points"),
        ({"value": {"points": [[1, 2], [3, 4]], "polygonlabels": ["cat"]}}, "received 2"),
        ({"value": POLYGON["value"] | {"polygonlabels": ["cat", "dog"]}}, "expected one label"),
        ({"value": POLYGON["value"] | {"polygonlabels": [" "]}}, "expected one label"),
        ({"value": POLYGON["value"] | {"polygonlabels": 5}}, "expected one label, received 5"),
        ({"image_rotation": 90}, "expected an upright picture"),
        (result("ellipselabels", x=1, y="2", radiusX=1, radiusY=1), "finite number, received 2"),
        (result("ellipselabels", x=1, y=2, radiusX=1), "a finite number, received None"),
        (result("rectanglelabels", x=1, y=2, width=0, height=4), "above 0, received 0"),
        (result("brushlabels", rle=BRUSH["value"]["rle"][:-9]), "a brush: .*it is cut"),
        (result("bitmasklabels", imageDataURL=png(RGBA[1:])), r"\[20, 30\], received \[19, 30\]"),
        (result("bitmasklabels", imageDataURL=png(RGBA[:, :, 0])), "a transparent background"),
    ],
)
def test_a_wrong_region_is_named_or_kept(tmp_path, changes, message):
    wrong = POLYGON | changes | {"id": "wrong"}
    path = write(tmp_path, [task([POLYGON, wrong])])
    with pytest.raises(ValueError, match=rf"{path}, task 1, result wrong.*{message}"):
        load(tmp_path, verbose=0)
    notes = Notes(strict=False)
    assert areas(load(tmp_path, verbose=0, notes=notes)) == [36]
    assert len(notes.errors) == 1 and "result wrong" in notes.errors[0]


def test_whatever_is_in_the_file_it_loads_or_is_named(tmp_path):
    results = [POLYGON, RECTANGLE, TURNED, ELLIPSE, BRUSH, BITMASK, TEXT, RELATION]
    path = write(tmp_path, [task(results), task([], "/data/upload/1/9f3c2b1a-a.png", 2)])
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "9f3c2b1a-a.png")
    text, rng, refused = path.read_text(), random.Random(0), 0
    for _ in range(500):
        path.write_bytes(mutated(text, rng))
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*(covers no pixel|left out)")
                dataset = load(path, verbose=0)
                for image_id in dataset.image_ids:
                    dataset.load_mask(image_id)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error) or "a.png" in str(error)
    assert 100 < refused < 450


def test_find_takes_no_other_files(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    (tmp_path / "b.json").write_text('[{"image": "a.png", "label": []}]')
    assert LabelStudioDataset.find(tmp_path) == {}
    assert LabelStudioDataset.find(tmp_path / "b.json") == {}
