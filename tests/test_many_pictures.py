"""Any number of pictures into Parquet: what is written, what is listed, what goes on."""

import io
import itertools
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as mask_utils
from rich.console import Console
from white_model import WhiteModel

from mrcnn import cli
from mrcnn.data import KeypointScheme
from mrcnn.distribute import dataset, detect_dataset, list_pictures
from mrcnn.distribute.blocks import BlockDetector
from mrcnn.distribute.decoding import decode
from mrcnn.distribute.jobs import Job
from mrcnn.distribute.parts import Parts
from mrcnn.distribute.plan import Plan, open_plan
from mrcnn.distribute.results import class_names_of, coco_results_of, is_results, iterate_rows
from mrcnn.files.folders import open_folder

QUIET = Console(file=io.StringIO())


def paint(path, box, size=(6, 8)):
    """A black picture with a white box y1 x1 y2 x2."""
    pixels = np.zeros((*size, 3), np.uint8)
    y1, x1, y2, x2 = box
    pixels[y1:y2, x1:x2] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pictures(tmp_path):
    """Seven files in two folders, of which one is broken and one has two pages."""
    folder = tmp_path / "pictures"
    for i in range(5):
        paint(folder / "a" / f"{i}.png", (1, 2, 3, 3 + i))
    (folder / "b").mkdir()
    (folder / "b" / "broken.jpg").write_bytes(b"no picture")
    frames = [Image.new("RGB", (4, 4), color) for color in ("white", "black")]
    frames[0].save(folder / "b" / "pages.tif", save_all=True, append_images=frames[1:])
    return folder


def here(job, blocks, workers=None):
    """The engine of these tests: this process."""
    detector = BlockDetector(job)
    for block in blocks:
        yield detector.detect(block)


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    monkeypatch.setitem(dataset._ENGINES, "local", here)


def detect(inputs, out, build=WhiteModel, **options):
    return detect_dataset(build, inputs, out, **{"console": QUIET, **options})


def names(folder):
    return sorted(x.relative_to(folder).as_posix() for x in folder.rglob("*") if x.is_file())


def test_a_row_for_each_picture(pictures, tmp_path):
    out = tmp_path / "out"
    summary = detect(pictures, out, block_size=3)
    # 5 pictures, 1 broken file and 2 pages; the second page is black.
    assert (summary.done, summary.failed, summary.earlier, summary.instances) == (8, 1, 0, 6)
    rows = list(iterate_rows(out))
    places = [f"a/{i}.png" for i in range(5)] + ["b/broken.jpg", "b/pages.tif", "b/pages.tif"]
    assert [row["path"] for row in rows] == [str(pictures / place) for place in places]
    assert [row["page"] for row in rows] == [None] * 6 + [1, 2]
    assert "expected an image file at" in rows[5]["error"] and rows[5]["boxes"] is None
    assert [row["error"] for i, row in enumerate(rows) if i != 5] == [None] * 7
    # The box 1 2 3 5 of 6 x 8 pixels: 2 x 3 white ones, 6 / 48.
    assert rows[2]["boxes"] == [[1, 2, 3, 5]] and rows[2]["scores"] == [0.125]
    assert (rows[2]["height"], rows[2]["width"]) == (6, 8)
    assert (rows[2]["class_ids"], rows[2]["class_names"]) == ([1], ["white"])
    mask = mask_utils.decode({"size": [6, 8], "counts": rows[2]["masks"][0]})
    assert mask.sum() == 6 and mask[1:3, 2:5].all()
    assert rows[7]["boxes"] == [] and rows[7]["masks"] == [] and rows[7]["keypoints"] is None
    assert names(out)[:2] == ["_plan/pictures-000000-7.parquet", "_plan/settings.json"]
    (part,) = names(out)[2:]
    assert part.startswith("part-") and part.endswith("-00000000-00000002.parquet")
    metadata = pq.read_schema(out / part).metadata[b"mrcnn"]
    assert json.loads(metadata)["class_names"] == ["BG", "white"]


def test_what_is_done_is_not_done_again(pictures, tmp_path):
    out = tmp_path / "out"
    detect(pictures, out, block_size=3)
    before = names(out)
    again = detect(pictures, out, build=None)  # no worker is asked
    assert (again.done, again.earlier) == (0, 7) and names(out) == before
    # What came since is done, and alone.
    paint(pictures / "a" / "00.png", (0, 0, 1, 1))
    later = detect(pictures, out)
    assert (later.done, later.earlier, later.instances) == (1, 7, 1)
    paths = [(row["path"], row["page"]) for row in iterate_rows(out)]
    assert len(paths) == len(set(paths)) == 9
    anew = detect(pictures / "a", out, resume=False)
    assert (anew.done, anew.earlier) == (6, 0) and len(list(iterate_rows(out))) == 6


@pytest.mark.parametrize("stop", range(4))
def test_a_run_that_was_stopped_goes_on(pictures, tmp_path, monkeypatch, stop):
    """Of four blocks of two files, after each of which the run may end."""
    out = tmp_path / "out"

    def ending(job, blocks, workers=None):
        for i, done in enumerate(here(job, blocks)):
            if i == stop:  # the block is written, and nobody was told
                raise KeyboardInterrupt
            yield done

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(dataset._ENGINES, "local", ending)
        detect(pictures, out, block_size=2)
    (out / "_blocks" / "half.parquet.1234.unfinished").write_bytes(b"PAR1")
    summary = detect(pictures, out)
    assert summary.earlier == min(2 * (stop + 1), 7)
    paths = [(row["path"], row["page"]) for row in iterate_rows(out)]
    assert len(paths) == len(set(paths)) == 8
    assert names(out / "_blocks") == names(out / "_attempts") == []


def test_parts_hold_many_blocks(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("mrcnn.distribute.parts.PICTURES", 4)
    out = tmp_path / "out"
    detect(pictures, out, block_size=2)  # blocks 0 1, 2 3 of 4
    ends = [name[-26:] for name in names(out) if name.startswith("part")]
    assert ends == ["-00000000-00000001.parquet", "-00000002-00000003.parquet"]
    # A part was written, and the run was killed before its blocks were removed.
    plan = Plan(open_folder(out))
    (out / "_blocks" / f"{plan.name}-00000001.parquet").write_bytes(b"")
    assert Parts(plan).missing == [] and names(out / "_blocks") == []


def test_other_settings_are_refused(pictures, tmp_path):
    out = tmp_path / "out"
    detect(pictures, out, about={"weights": "a.h5"})
    with pytest.raises(ValueError, match=r"other settings \(about.weights 'a.h5', now 'b.h5'\)"):
        detect(pictures, out, about={"weights": "b.h5"})
    with pytest.raises(ValueError, match="expected a folder, a pattern, a list"):
        detect(tmp_path / "nowhere", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="engine is 'spark'; expected one of"):
        detect(pictures, out, engine="spark")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="expected a folder to write into, received a file"):
        detect(pictures, tmp_path / "file")
    (out / "_plan" / "settings.json").write_text("[]")
    with pytest.raises(ValueError, match="something else: choose another folder"):
        detect(pictures, out)


def test_a_function_that_no_worker_imports_is_refused_first(pictures, tmp_path):
    with pytest.raises(ValueError, match=r"build is <function .*lambda.*a function of a module"):
        detect(pictures, tmp_path / "out", build=lambda: WhiteModel())
    assert not (tmp_path / "out").exists()


def test_scores_below_the_least_are_left_out(pictures, tmp_path):
    detect(pictures / "a", tmp_path / "out", score=0.1)
    # 2, 4, 6, 8 and 10 white pixels of 48: 0.04, 0.08, 0.125, 0.17, 0.21.
    assert [len(row["boxes"]) for row in iterate_rows(tmp_path / "out")] == [0, 0, 1, 1, 1]


def test_what_is_decoded_ahead_gives_the_same(pictures, tmp_path):
    plan = open_plan(open_folder(tmp_path / "out"), {}, 7).extend(list_pictures(pictures))
    decoded = decode(plan, 0)
    # The broken file and that of two pages are left to the worker.
    assert [pixels is None for pixels in decoded] == [False] * 5 + [True, True]
    detector = BlockDetector(Job(WhiteModel, plan, "run"))
    files = []
    for given in (None, decoded):
        assert detector.detect(0, given).pictures == 8
        files.append((tmp_path / "out" / "_blocks" / f"{plan.name}-00000000.parquet").read_bytes())
    assert files[0] == files[1]


def test_little_is_decoded_ahead_of_large_pictures(pictures, tmp_path, monkeypatch):
    plan = open_plan(open_folder(tmp_path / "out"), {}, 5).extend(list_pictures(pictures / "a"))
    monkeypatch.setattr("mrcnn.distribute.decoding.SENT", 2 * 6 * 8 * 3)  # two of them
    assert [pixels is None for pixels in decode(plan, 0)] == [False, False, True, True, True]


def test_a_picture_that_kills_is_a_row(pictures, tmp_path, monkeypatch):
    """Two workers die of the block, then two of the picture; the fifth one says so."""
    plan = open_plan(open_folder(tmp_path / "out"), {}, 3).extend(list_pictures(pictures / "a"))

    class Deadly(WhiteModel):
        def detect(self, images, **options):
            if any((image > 250).sum() == 2 * 2 * 3 for image in images):  # of 1.png
                raise KeyboardInterrupt  # as sudden as a signal
            return super().detect(images)

    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            BlockDetector(Job(Deadly, plan, "run")).detect(0)
    done = BlockDetector(Job(Deadly, plan, "run")).detect(0)
    assert (done.pictures, done.failed, done.instances) == (3, 1, 2)
    table = pq.read_table(tmp_path / "out" / "_blocks" / f"{plan.name}-00000000.parquet")
    errors = table.column("error").to_pylist()
    assert errors[0] is errors[2] is None and "was killed 4 times" in errors[1]
    # In another run it is tried again.
    with pytest.raises(KeyboardInterrupt):
        BlockDetector(Job(Deadly, plan, "other")).detect(0)


def test_lists_of_paths(pictures, tmp_path):
    wanted = [str(pictures / "a" / "0.png"), "s3://bucket/b.png"]
    (pictures / "list.csv").write_text("id,path\n7,a/0.png\n8,s3://bucket/b.png\n")
    assert list(list_pictures(pictures / "list.csv")) == wanted
    uri = [f"file://{wanted[0]}", wanted[1]]
    pq.write_table(pa.table({"uri": uri, "n": [1, 2]}), pictures / "list.parquet")
    assert list(list_pictures(pictures / "list.parquet", column="uri")) == wanted
    (pictures / "list.txt").write_text("a/0.png\n\ns3://bucket/b.png\n")
    assert list(list_pictures([pictures / "list.txt"])) == wanted
    for name in ("list.csv", "list.parquet"):
        with pytest.raises(ValueError, match=f"{name}: expected a table with a column 'file'"):
            list(list_pictures(pictures / name, column="file"))
    assert next(list_pictures(pictures / "a" / "*.png")) == wanted[0]
    with pytest.raises(ValueError, match="expected a folder, a pattern, a list"):
        list(list_pictures("nowhere"))
    os.mkdir(pictures / "empty")
    with pytest.raises(ValueError, match="expected pictures, found none"):
        list(list_pictures(pictures / "empty"))


def test_the_same_path_twice_is_one(pictures, tmp_path):
    folder = open_folder(tmp_path / "out")
    paths = ["/a.png", "/b.png", "/a.png"]
    plan = open_plan(folder, {}, 2).extend(paths)
    assert plan.paths(0) == ["/a.png", "/b.png"] and plan.num_blocks == 1
    plan = plan.extend(["/b.png", "/c.png"])
    assert plan.num_pictures == 3 and plan.paths(1) == ["/c.png"] and plan.count(1) == 1


def test_rows_become_results_of_a_ground_truth(pictures, tmp_path):
    detect(pictures, tmp_path / "out")
    categories = [{"id": 9, "name": "white"}]
    names_of = {5: "a/1.png", 6: "broken.jpg"}
    results, errors = coco_results_of(tmp_path / "out", names_of, categories)
    (result,) = results  # y1 x1 y2 x2 = 1 2 3 4
    assert result["bbox"] == [2, 1, 2, 2] and (result["image_id"], result["category_id"]) == (5, 9)
    assert list(errors) == [6]
    with pytest.raises(ValueError, match=r"1 have none, a/9.png for example"):
        coco_results_of(tmp_path / "out", {1: "a/9.png"}, categories)
    with pytest.raises(ValueError, match="such as 'cat', received 'white'"):
        coco_results_of(tmp_path / "out", {5: "a/1.png"}, [{"id": 1, "name": "cat"}])
    with pytest.raises(ValueError, match=r"expected one picture pages.tif"):
        coco_results_of(tmp_path / "out", {5: "pages.tif"}, categories)


def test_detections_that_are_not_finished_say_so(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("mrcnn.distribute.parts.PICTURES", 2)
    out, categories = tmp_path / "out", [{"id": 1, "name": "white"}]

    def ending(job, blocks, workers=None):
        yield from itertools.islice(here(job, blocks), 1)
        raise KeyboardInterrupt

    for blocks in (0, 1):  # before the first part and after it
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setitem(dataset._ENGINES, "local", ending if blocks else _interrupted)
            detect(pictures, out, block_size=2)
        assert is_results(out)
        message = r"1 have none, a/4.png for example: detection has not finished; the same `mrcnn"
        with pytest.raises(ValueError, match=message):
            coco_results_of(out, {1: "a/4.png"}, categories)
    assert class_names_of(out) == ["BG", "white"]
    assert len(coco_results_of(out, {1: "a/0.png"}, categories)[0]) == 1  # this one is done
    detect(pictures, out)
    assert len(coco_results_of(out, {1: "a/4.png"}, categories)[0]) == 1


def _interrupted(job, blocks, workers=None):
    raise KeyboardInterrupt


class NosedModel(WhiteModel):
    """As `WhiteModel`, with a keypoint in the middle of what it finds."""

    keypoint_scheme = KeypointScheme(["nose"])

    def detect(self, images, **options):
        found = super().detect(images)
        for each in found:
            y1, x1, y2, x2 = each["rois"][0]
            each["keypoints"] = np.array([[[(y1 + y2) / 2, (x1 + x2) / 2, 1]]], np.float32)
        return found


def test_pictures_of_equal_names_beside_their_labels(tmp_path):
    """`0.png` in two folders, of LabelMe, detected into a bucket; the last one finds a mistake."""
    data, boxes = tmp_path / "data", {"a": (10, 10, 40, 50), "b": (5, 30, 35, 70)}
    for name, box in boxes.items():
        paint(data / name / "0.png", box, size=(60, 80))
        y1, x1, y2, x2 = box
        corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
        shape = {"label": "white", "points": corners, "shape_type": "polygon", "flags": {}}
        content = {"version": "5.5.0", "flags": {}, "shapes": [shape], "imagePath": "0.png"}
        content |= {"imageData": None, "imageHeight": 60, "imageWidth": 80}
        (data / name / "0.json").write_text(json.dumps(content))
    out, scores = "memory://found/labelme", tmp_path / "scores"
    detect(data, out)
    assert cli.main(["evaluate", out, str(data), "--out", str(scores)]) == 0
    found = json.loads((scores / "scores.json").read_text())
    assert [found["scores"][kind]["AP"] for kind in ("bbox", "segm")] == [1, 1]
    # The white of one is the label of the other: nothing is where it was.
    for name in "ab":
        paint(data / name / "0.png", boxes["ab".replace(name, "")], size=(60, 80))
    detect(data, out, resume=False)
    assert cli.main(["evaluate", out, str(data), "--out", str(scores)]) == 0
    found = json.loads((scores / "scores.json").read_text())
    assert found["scores"]["bbox"]["AP"] < 0.1


def test_keypoints_become_results_of_a_ground_truth(tmp_path):
    paint(tmp_path / "in" / "a.png", (1, 2, 3, 4))
    detect(tmp_path / "in", tmp_path / "out", build=NosedModel)
    categories = [{"id": 9, "name": "white"}]
    ((result,), _) = coco_results_of(tmp_path / "out", {5: "a.png"}, categories)
    assert result["keypoints"][:2] == [2.5, 1.5]  # x y, of COCO by the middle of pixels
