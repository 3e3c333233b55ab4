"""Detection in many pictures, into a folder: what is written, and what goes wrong on the way."""

import csv
import io
import json
import os
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from rich.console import Console
from skimage.io import imread
from tiny import TinyConfig, shapes

from mrcnn import settings
from mrcnn.data.loading import load
from mrcnn.data.panoptic import load_segments
from mrcnn.image import extract_bboxes
from mrcnn.inference import Detections
from mrcnn.inference.streams import detect_to_folder
from mrcnn.inference.writers import folder_name, write_label_image
from mrcnn.model import MaskRCNN


class FakeModel:
    """Finds what is red, a cat of score 0.9, and what is green, a dog of score 0.4."""

    class_names = ("BG", "cat", "dog/wolf")

    def __init__(self, batch_size=2, has_masks=True):
        self.settings = SimpleNamespace(
            runtime=SimpleNamespace(batch_size=batch_size),
            image=settings.Image(num_classes=3),
            tiles=SimpleNamespace(size=None),
            mask_head=SimpleNamespace(enabled=has_masks),
            ground_truth=settings.GroundTruth(),
        )
        self.batches = []

    def detect(self, images):
        self.batches.append(len(images))
        return [Detections(self.find(image), image, self.class_names) for image in images]

    def find(self, image):
        assert image.ndim == 3 and image.dtype == np.uint8
        if (image == 7).all():
            raise ValueError("images[0] cannot be used")
        masks = image[:, :, :2] > 100
        there = masks.any(axis=(0, 1))
        masks = masks[:, :, there]
        rois = extract_bboxes(masks)
        found = {
            "rois": rois,
            "boxes": rois.astype(np.float32),
            "class_ids": np.array([1, 2], np.int32)[there],
            "scores": np.array([0.9, 0.4], np.float32)[there],
        }
        return found | ({"masks": masks} if self.settings.mask_head.enabled else {})


def picture(red=(1, 2, 3, 5), green=(2, 4, 5, 7)):
    """An image of 6 x 8 with a red and a green box, y1 x1 y2 x2; both where they overlap."""
    image = np.zeros((6, 8, 3), np.uint8)
    for channel, box in enumerate((red, green)):
        if box is not None:
            y1, x1, y2, x2 = box
            image[y1:y2, x1:x2, channel] = 250
    return image


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, image=None):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture() if image is None else image).save(path)


def run(model=None, inputs="pics", out="out", **options):
    """Detects quietly, and returns the summary."""
    console = Console(file=io.StringIO())
    return detect_to_folder(model or FakeModel(), inputs, out, console=console, **options)


def files_of(folder):
    """The content of all files by their paths in a folder."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def coco(out="out"):
    return json.loads(Path(out, "detections.json").read_text())


# ---- what is written


def test_all_that_is_written_for_a_picture():
    write("pics/sub/a.png")
    summary = run()
    assert (summary.done, summary.earlier, summary.instances, summary.skipped) == (1, 0, 2, [])
    assert set(files_of("out")) == {
        "detections.csv",
        "detections.json",
        "detections.jsonl",
        "overlays/sub/a.jpg",
        "masks/sub/a/0001.png",
        "masks/sub/a/0002.png",
        "labels/sub/a.png",
        "crops/cat/sub/a_0001.png",
        "crops/dog_wolf/sub/a_0002.png",
    }
    first, second = imread("out/masks/sub/a/0001.png"), imread("out/masks/sub/a/0002.png")
    np.testing.assert_array_equal(first, (picture()[..., 0] > 100) * np.uint8(255))
    labels = imread("out/labels/sub/a.png")
    assert labels.dtype == np.uint16
    # Where they overlap the better one, the first, is seen.
    np.testing.assert_array_equal(labels, np.where(first, 1, np.where(second, 2, 0)))
    np.testing.assert_array_equal(imread("out/crops/cat/sub/a_0001.png"), picture()[1:3, 2:5])
    assert imread("out/overlays/sub/a.jpg").shape == (6, 8, 3)


def test_coco_and_the_table():
    write("pics/a.png")
    write("pics/b.png", picture(red=None, green=None))
    write("pics/c.png", picture(red=None))
    run()
    found = coco()
    assert found["images"] == [
        {"id": i, "file_name": name, "width": 8, "height": 6}
        for i, name in enumerate(("a.png", "b.png", "c.png"), 1)
    ]
    assert found["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog/wolf"}]
    cat, dog, other = found["annotations"]
    assert (cat["id"], dog["id"], other["id"], other["image_id"]) == (1, 2, 3, 3)
    assert (cat["category_id"], cat["bbox"], cat["area"], cat["iscrowd"]) == (1, [2, 1, 3, 2], 6, 0)
    assert cat["score"] == pytest.approx(0.9)
    np.testing.assert_array_equal(mask_utils.decode(dog["segmentation"]), picture()[..., 1] > 100)
    with open("out/detections.csv", newline="") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    box = ["2.00", "4.00", "5.00", "7.00", "9"]
    assert rows == [
        ["a", "1", "1", "cat", "0.9000", "1.00", "2.00", "3.00", "5.00", "6"],
        ["a", "2", "2", "dog/wolf", "0.4000", *box],
        ["c", "1", "2", "dog/wolf", "0.4000", *box],
    ]


def test_pycocotools_reads_it(capsys):
    write("pics/a.png")
    run(save="json")
    assert set(files_of("out")) == {"detections.json", "detections.jsonl"}
    assert COCO("out/detections.json").annToMask(coco()["annotations"][0]).sum() == 6


def test_a_model_without_masks_and_without_names():
    write("pics/a.png")
    model = FakeModel(has_masks=False)
    model.class_names = None
    run(model)
    assert {path.split("/")[0] for path in files_of("out")} == {
        *("crops", "overlays", "detections.csv", "detections.json", "detections.jsonl")
    }
    cat = coco()["annotations"][0]
    assert "segmentation" not in cat and cat["area"] == 6
    assert coco()["categories"][0]["name"] == "class 1" and Path("out/crops/class 2").is_dir()
    assert Path("out/detections.csv").read_text().splitlines()[1].endswith("5.00,")
    with pytest.raises(ValueError, match="the model finds boxes only"):
        run(model, out="other", save=["masks"])


class PanopticModel(FakeModel):
    """As `FakeModel`; the dogs are stuff, and behind the cats."""

    finds_segments = True

    def __init__(self):
        super().__init__()
        self.settings.semantic_head = SimpleNamespace(thing_classes=2)

    def find(self, image):
        found, ids = super().find(image), np.zeros(image.shape[:2], np.int32)
        ids[image[..., 1] > 100] = 300
        ids[image[..., 0] > 100] = 1
        segments = [
            {"id": 1, "class_id": 1, "is_thing": True, "score": 0.9, "area": 6},
            {"id": 300, "class_id": 2, "is_thing": False, "score": 0.4, "area": 8},
        ]
        present = [x for x in segments if (ids == x["id"]).any()]
        return found | {"segmentation": ids, "segments": present}


def test_a_panoptic_map_is_a_data_set():
    for name, image in (("a", picture()), ("b", picture(green=None)), ("c", picture(None, None))):
        write(f"pics/sub/{name}.png", image)
    run(PanopticModel())
    assert {"panoptic.json", "panoptic/sub/a.png", "masks/sub/a/0002.png"} <= set(files_of("out"))
    (first, second), (third,), none = (
        x["segments_info"] for x in json.loads(Path("out/panoptic.json").read_text())["annotations"]
    )
    # The cat covers one of the dog's nine pixels, whose box is whole.
    assert first == {
        **{"id": 1, "category_id": 1, "iscrowd": 0, "area": 6, "bbox": [2, 1, 3, 2], "score": 0.9}
    }
    assert (second["id"], second["area"], second["bbox"]) == (300, 8, [4, 2, 3, 3])
    assert (third["id"], none) == (1, [])
    data = load("out/panoptic.json", images="pics", verbose=0)
    assert data.class_names == ["BG", "cat", "dog/wolf"] and data.num_stuff_classes == 1
    for image_id in (0, 1, 2):
        found = PanopticModel().find(data.load_image(image_id))
        ids, segments = load_segments(data, image_id, (6, 8))
        np.testing.assert_array_equal(ids, found["segmentation"])
        kinds = [
            [{k: x[k] for k in ("id", "class_id", "is_thing")} for x in y]
            for y in (segments, found["segments"])
        ]
        assert kinds[0] == kinds[1]
    assert "coco_panoptic" in str(load("out", format="coco_panoptic", images="pics").source)
    run(PanopticModel(), save=["json"], resume=False)
    assert set(files_of("out")) == {"detections.json", "detections.jsonl"}


def test_a_map_alone_has_no_masks_to_write():
    write("pics/a.png")
    model = PanopticModel()
    model.finds_instances = False
    run(model)
    assert {x.split("/")[0] for x in files_of("out")} >= {"panoptic", "panoptic.json", "overlays"}
    assert not {x.split("/")[0] for x in files_of("out")} & {"masks", "labels"}


def test_a_model_without_a_map_writes_none():
    write("pics/a.png")
    with pytest.raises(ValueError, match="finds no panoptic map: leave out"):
        run(save=["panoptic"])


def test_a_least_score():
    write("pics/a.png")
    assert run(score=0.5).instances == 1
    assert [each["category_id"] for each in coco()["annotations"]] == [1]
    assert not Path("out/masks/a/0002.png").exists()


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match=r"save has \['boxes'\]; expected any of"):
        run(save=["json", "boxes"])
    assert not Path("out").exists()


def test_pictures_of_other_modes_are_rgb():
    write("pics/grey.png", picture()[..., 0])
    write("pics/alpha.png", np.dstack([picture(), np.full((6, 8), 9, np.uint8)]))
    Path("pics/deep.tif").write_bytes(b"")
    tifffile.imwrite("pics/deep.tif", picture().astype(np.uint16) * 257, photometric="rgb")
    assert run().skipped == []
    for path in ("crops/cat/alpha_0001.png", "crops/cat/deep_0001.png"):
        np.testing.assert_array_equal(imread(f"out/{path}"), picture()[1:3, 2:5])
    assert imread("out/crops/cat/grey_0001.png").shape == (2, 3, 3)


def test_equal_stems_of_two_folders_and_two_suffixes():
    write("one/x.png")
    write("two/x.png", picture(red=None))
    write("two/x.jpg", picture())
    assert run(inputs=["one", "two"]).done == 3
    names = ["one/x.png", "two/x.jpg", "two/x.png"]
    assert [image["file_name"] for image in coco()["images"]] == names
    expected = ["one/x.jpg", "two/x.jpg.jpg", "two/x.png.jpg"]
    assert sorted(files_of("out/overlays")) == expected


def test_pages_and_frames_are_pictures_of_their_own():
    pages = np.stack([picture()[..., 0], picture(red=None)[..., 0]])
    Path("pics").mkdir()
    tifffile.imwrite("pics/stack.tif", pages, photometric="minisblack")
    first, second = Image.fromarray(picture()), Image.fromarray(picture(red=None))
    first.save("pics/a.gif", save_all=True, append_images=[second])
    assert run().done == 4
    assert [(image["file_name"], image["page"]) for image in coco()["images"]] == [
        *(("a.gif", 1), ("a.gif", 2), ("stack.tif", 1), ("stack.tif", 2))
    ]
    assert sorted(files_of("out/labels")) == [
        *("a_f0001.png", "a_f0002.png", "stack_p0001.png", "stack_p0002.png")
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc", "_.._etc"),
        ("..", "_"),
        ("", "_"),
        ("sports ball", "sports ball"),
        ("a\\b:c\n", "a_b_c_"),
        ("Hündchen", "Hündchen"),
    ],
)
def test_a_class_is_one_folder(name, expected):
    assert folder_name(name) == expected


def test_nothing_is_written_outside_of_the_folder():
    write("place/pics/a.png")
    write("b.png")
    model = FakeModel()
    model.class_names = ("BG", "../../../cat", "/dog")
    before = set(files_of("."))
    run(model, ["place/pics/../../b.png", "place/pics"], "place/out")
    written = set(files_of(".")) - before
    assert len(written) == 15 and all(path.startswith("place/out/") for path in written)


def test_label_images_of_many_instances_have_32_bits():
    labels = np.array([[0, 65535], [1, 2]], np.int32)
    write_label_image("few", labels)
    assert imread("few.png").dtype == np.uint16 and imread("few.png").tolist() == labels.tolist()
    labels[1, 1] = 65536
    write_label_image("many", labels)
    many = tifffile.imread("many.tif")
    assert many.dtype == np.uint32 and many.tolist() == labels.tolist()


# ---- what goes wrong


def test_what_cannot_be_used_is_told_and_skipped():
    for name in "abcd":
        write(f"pics/{name}.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    write("pics/b.jpg", noise)
    whole = Path("pics/b.jpg").read_bytes()
    Path("pics/b.jpg").write_bytes(whole[: len(whole) // 2])
    write("pics/c.png", np.full((6, 8, 3), 7, np.uint8))  # the model refuses it
    many = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite("pics/e.tif", np.zeros((4, 4, 7), np.uint8), **many)
    console = Console(file=io.StringIO())
    summary = detect_to_folder(FakeModel(), "pics", "out", console=console)
    assert (summary.done, len(summary.skipped)) == (3, 3)
    reasons = dict(summary.skipped)
    assert "b.jpg, but it cannot be read (OSError: " in reasons["pics/b.jpg"]
    assert reasons["pics/c.png"] == "images[0] cannot be used"
    assert "expected 1, 2 (grey, alpha), 3 or 4" in reasons["pics/e.tif"]
    assert [x["file_name"] for x in coco()["images"]] == ["a.png", "b.png", "d.png"]
    lines = console.file.getvalue().splitlines()
    assert lines[0].startswith("skipped pics/b.jpg: expected an image file at pics/b.jpg")
    assert lines[-1].startswith("detect: 6 of 6, ")


def test_what_was_skipped_is_tried_again():
    write("pics/a.png")
    Path("pics/b.png").write_bytes(b"not yet")
    write("pics/c.png")
    assert len(run().skipped) == 1
    write("pics/b.png")
    summary = run()
    assert (summary.done, summary.earlier, summary.skipped) == (1, 2, [])
    # In the order of the pictures, not in that of their lines.
    assert [x["file_name"] for x in coco()["images"]] == ["a.png", "b.png", "c.png"]


class Stopped(Exception):
    pass


class StoppedModel(FakeModel):
    """Is stopped at its third batch."""

    def detect(self, images):
        if len(self.batches) == 2:
            raise Stopped
        return super().detect(images)


def test_it_goes_on_where_it_was_stopped():
    for i in range(7):
        write(f"pics/{i}.png", picture(red=(0, i, 3, 8)))
    with pytest.raises(Stopped):
        run(StoppedModel())
    assert not Path("out/detections.json").exists()
    model = FakeModel()
    summary = run(model)
    assert (summary.earlier, summary.done, sum(model.batches)) == (4, 3, 3)
    run(out="whole")
    assert files_of("out") == files_of("whole")


def test_a_line_cut_short_is_done_again():
    for name in "abc":
        write(f"pics/{name}.png")
    run(out="whole")
    run()
    lines = Path("out/detections.jsonl")
    lines.write_bytes(lines.read_bytes()[:-9])
    summary = run()
    assert (summary.earlier, summary.done) == (2, 1)
    assert files_of("out") == files_of("whole")
    lines.write_bytes(lines.read_bytes()[:5])  # of the settings themselves
    assert run().done == 3
    assert files_of("out") == files_of("whole")


def test_a_file_that_has_changed_is_done_again():
    write("pics/a.bmp")
    write("pics/b.bmp")
    run()
    write("pics/a.bmp", picture(green=None))
    os.utime("pics/a.bmp", ns=(1, 1))  # of the same size, but of another time
    assert run().done == 1
    assert [each["image_id"] for each in coco()["annotations"]] == [1, 2, 2]
    # One instance less: what was written for it is gone, and of the others nothing is.
    assert sorted(files_of("out/masks")) == ["a/0001.png", "b/0001.png", "b/0002.png"]
    assert sorted(files_of("out/crops")) == [
        *("cat/a_0001.png", "cat/b_0001.png", "dog_wolf/b_0002.png")
    ]


def test_results_of_other_settings_are_not_mixed():
    write("pics/a.png")
    run(about={"weights": "one.h5"})
    words = r"settings \(about.weights 'one.h5', now 'two.h5'\)"
    with pytest.raises(ValueError, match=words):
        run(about={"weights": "two.h5"})
    with pytest.raises(ValueError, match=r"score None, now 0\.5"):
        run(about={"weights": "one.h5"}, score=0.5)
    assert run(about={"weights": "one.h5"}).earlier == 1
    Path("other").mkdir()
    Path("other/detections.jsonl").write_text("something else\n")
    with pytest.raises(ValueError, match="expected results of an earlier run, received"):
        run(out="other")


def test_what_begins_anew_removes_what_earlier_runs_wrote_alone():
    write("pics/a.png")
    write("pics/b.png")
    run(about={"weights": "one.h5"})
    own = ["out/notes.txt", "out/overlays/mine.jpg", "out/masks/a/mine.png", "out/crops/cat/a.png"]
    for path in own:
        Path(path).write_text("mine")
    os.remove("pics/b.png")
    run(about={"weights": "two.h5"}, save=["overlay"], resume=False)
    kept = {path.removeprefix("out/") for path in own}
    assert set(files_of("out")) == kept | {"detections.jsonl", "overlays/a.jpg"}
    assert run(about={"weights": "two.h5"}, save=["overlay"]).earlier == 1
    Path("out/detections.jsonl").write_text("something else\n")
    with pytest.raises(ValueError, match="expected results of an earlier run, received"):
        run(resume=False)
    assert set(files_of("out")) == kept | {"detections.jsonl", "overlays/a.jpg"}


# ---- memory


def test_memory_is_flat_in_two_thousand_pictures():
    rng = np.random.default_rng(0)
    for i in range(2000):
        image = rng.integers(0, 100, (64, 64, 3), dtype=np.uint8)
        image[8:40, 8 : 20 + i % 40, i % 2] = 200
        write(f"pics/{i:04d}.jpg", image)
    whole = Path("pics/0700.jpg").read_bytes()
    Path("pics/0700.jpg").write_bytes(whole[: len(whole) // 2])
    held = []

    class Watched(FakeModel):
        def detect(self, images):
            results = super().detect(images)
            if len(self.batches) in (100, 500):  # of 4 pictures each
                held.append(tracemalloc.get_traced_memory()[0])
                tracemalloc.reset_peak()
            return results

    tracemalloc.start()
    try:
        summary = run(Watched(batch_size=4), save=["json", "labels", "csv"])
        held.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert summary.done == 1999 and summary.skipped[0][0] == "pics/0700.jpg"
    # 1600 pictures of 12 288 bytes are 20 MB; their names and places in the file stay.
    assert held[1] - held[0] < 2e6
    assert held[2] - held[1] < 2e6  # while the files of all pictures are written
    assert len(coco()["images"]) == 1999


# ---- with a model


def test_a_model_detects_into_a_folder(tmp_path):
    model = MaskRCNN("inference", TinyConfig(), tmp_path / "logs")
    model.class_names = ["BG", "square", "circle", "triangle"]
    dataset = shapes(3)
    for i in dataset.image_ids:
        write(f"pics/{i}.png", dataset.load_image(i))
    summary = run(model)
    results = model.detect([dataset.load_image(i) for i in dataset.image_ids])
    assert summary.instances == sum(found.count for found in results) > 0
    boxes = [each["bbox"] for each in coco()["annotations"]]
    expected = [each["bbox"] for found in results for each in found.to_coco(0)]
    np.testing.assert_allclose(boxes, expected, atol=1e-3)
