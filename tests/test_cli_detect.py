"""`mrcnn detect`: from a checkpoint and pictures to a folder of results."""

import json
import shutil
import sys

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from test_cli_train import SMALL

from mrcnn import cli
from mrcnn.config_files import config_from
from mrcnn.distribute import dataset as distribute
from mrcnn.distribute.blocks import BlockDetector
from mrcnn.distribute.results import iterate_rows
from mrcnn.distribute.rows import annotations_of
from mrcnn.image.regions import TiffRegions
from mrcnn.model import MaskRCNN


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small model of random weights that knows its config and class names."""
    folder = tmp_path_factory.mktemp("model")
    model = MaskRCNN("inference", config_from(_small(), str), folder)
    model.class_names = ["BG", "cat", "dog"]
    model.save_weights(folder / "small.h5")
    return folder / "small.h5"


def _small():
    keys = dict(text.split("=") for text in SMALL) | {"NAME": "small", "NUM_CLASSES": "3"}
    return {key: int(value) if value.isdigit() else value for key, value in keys.items()}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.jpg", "b.png"):
        pixels = np.random.default_rng(3).integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


@pytest.mark.slow
def test_pictures_into_a_folder(checkpoint, pictures, tmp_path, capsys):
    out = tmp_path / "found"
    line = ["detect", str(checkpoint), str(pictures), "--out", str(out), "--score", "0.0"]
    assert cli.main([*line, "--save", "json", "csv", "overlay"]) == 0
    assert "objects in 2 pictures" in capsys.readouterr().out
    content = json.loads((out / "detections.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.jpg", "b.png"]
    assert [each["name"] for each in content["categories"]] == ["cat", "dog"]
    assert sorted(path.name for path in (out / "overlays").iterdir()) == ["a.jpg", "b.jpg"]
    # What was found, as annotations to correct by hand.
    labels = tmp_path / "labels"
    argv = ["convert", str(out), str(labels), "--images", str(pictures), "--to", "labelme"]
    assert cli.main(argv) == 0
    shapes = json.loads((labels / "a.json").read_text())["shapes"]
    found = [each for each in content["annotations"] if each["image_id"] == 1]
    assert {shape["label"] for shape in shapes} <= {"cat", "dog"}
    assert len({shape["group_id"] or i for i, shape in enumerate(shapes)}) == len(found)
    capsys.readouterr()
    # A broken file beside them: those that are done are not done again, and the exit code tells.
    (pictures / "broken.jpg").write_text("none")
    assert cli.main([*line, "--save", "json", "csv", "overlay"]) == 1
    said = capsys.readouterr()
    assert "0 objects in 0 pictures, 2 were done before" in said.out
    assert said.err.count("skipped") == 1 and "broken.jpg" in said.err
    assert "pictures that could not be read: 1\n" in said.err
    # Other settings do not go on in it, and are told without those that are alike.
    assert cli.main([*line, "--save", "json", "csv", "overlay", "RPN_NMS_THRESHOLD=0.6"]) == 2
    assert "settings (about.config.RPN_NMS_THRESHOLD 0.7, now 0.6): " in capsys.readouterr().err
    # Or they begin anew.
    assert cli.main([*line, "--save", "json", "--no-resume"]) == 1
    assert "in 2 pictures: " in capsys.readouterr().out
    assert not (out / "overlays" / "a.jpg").exists() and (out / "detections.json").exists()


@pytest.mark.slow
def test_pictures_into_parquet(checkpoint, pictures, tmp_path, capsys, monkeypatch):
    """The rows say what the JSON of detection into a folder says, to the bit of float32."""

    def here(job, blocks, workers):
        assert workers == 2
        detector = BlockDetector(job)
        for block in blocks:
            yield detector.detect(block)

    monkeypatch.setitem(distribute._ENGINES, "local", here)
    (pictures / "broken.jpg").write_text("none")
    line = ["detect", str(checkpoint), str(pictures), "--score", "0.0"]
    assert cli.main([*line, "--out", str(tmp_path / "found"), "--save", "json"]) == 1
    out = str(tmp_path / "many")
    engine = ["--engine", "local", "--workers", "2", "--out", out]
    capsys.readouterr()
    assert cli.main([*line, *engine]) == 1
    said = capsys.readouterr()
    assert "objects in 2 pictures, " in said.out and "could not be read: 1, see" in said.err
    content = json.loads((tmp_path / "found" / "detections.json").read_text())
    truth = {**content, "annotations": [], "images": content["images"][:1]}
    rows = {row["path"]: row for row in iterate_rows(out)}
    assert [row["error"] is None for row in rows.values()] == [True, True, False]
    for image in content["images"]:
        found = [x for x in content["annotations"] if x["image_id"] == image["id"]]
        row = rows[str(pictures / image["file_name"])]
        assert (row["height"], row["width"]) == (image["height"], image["width"])
        assert row["class_ids"] == [x["category_id"] for x in found] and found
        assert row["scores"] == [x["score"] for x in found]
        assert row["masks"] == [x["segmentation"]["counts"] for x in found]
        results = annotations_of(row)
        assert [x["bbox"] for x in results] == [pytest.approx(x["bbox"]) for x in found]
    # Each of its own detections as an object: all are found.
    truth["annotations"] = [x for x in content["annotations"] if x["image_id"] == 1]
    truth["images"].append({"id": 9, "file_name": "broken.jpg", "height": 4, "width": 4})
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    assert cli.main(["evaluate", out, str(tmp_path / "truth.json")]) == 1
    said = capsys.readouterr()
    assert "pictures without a score: 1" in said.err and "AP50" in said.out
    # Done before, or with other settings.
    assert cli.main([*line, *engine]) == 0
    assert "0 objects in 0 pictures, 3 were done before: " in capsys.readouterr().out
    # A machine that has a copy of the weights, and less memory, goes on; not one with others.
    elsewhere = shutil.copy(checkpoint, tmp_path / "copy.h5")
    line[1] = str(elsewhere)
    assert cli.main([*line, *engine, "IMAGES_PER_GPU=1"]) == 0
    assert "3 were done before: " in capsys.readouterr().out
    with h5py.File(elsewhere, "r+") as file:
        file.attrs["note"] = 1
    assert cli.main([*line, *engine]) == 2
    assert "other settings (about.weights '" in capsys.readouterr().err
    line[1] = str(checkpoint)
    assert cli.main([*line, *engine, "RPN_NMS_THRESHOLD=0.6"]) == 2
    assert "settings (about.config.RPN_NMS_THRESHOLD 0.7, now 0.6): " in capsys.readouterr().err
    assert cli.main([*line, *engine, "--save", "json"]) == 2
    assert "--save does not go with --engine" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*(as many detections as it may|larger than what tiles share)")
def test_a_pyramid_by_tiles(checkpoint, tmp_path, monkeypatch, capsys):
    pixels = np.random.default_rng(5).integers(0, 255, (25, 40, 3), np.uint8)
    pixels = np.kron(pixels, np.ones((4, 4, 1), np.uint8))  # 100 x 160
    slide = tmp_path / "slide.tif"
    with tifffile.TiffWriter(slide) as file:
        options = {"tile": (32, 32), "photometric": "rgb"}
        file.write(pixels, subifds=1, **options)
        file.write(pixels[::2, ::2], subfiletype=1, **options)
    read, asked = TiffRegions.__getitem__, set()

    def region(self, key):
        asked.add(tuple((part.start or 0, part.stop) for part in key))
        return read(self, key)

    monkeypatch.setattr(TiffRegions, "__getitem__", region)
    line = ["detect", str(checkpoint), str(slide), "--out", str(tmp_path / "found")]
    line += ["--score", "0.0", "--save", "json"]
    assert cli.main([*line, "TILE_SIZE=64", "TILE_OVERLAP=16"]) == 0
    assert "objects in 1 pictures" in capsys.readouterr().out
    # Rows 0..64 and 36..100, columns 0..64, 48..112 and 96..160; a pixel tells what the file holds.
    tiles = {((y, y + 64), (x, x + 64)) for y in (0, 36) for x in (0, 48, 96)}
    assert asked == tiles | {((0, 1), (0, 1))}
    content = json.loads((tmp_path / "found" / "detections.json").read_text())
    (image,) = content["images"]
    assert (image["height"], image["width"]) == (100, 160)
    keys = {"TILE_SIZE": 64, "TILE_OVERLAP": 16, "DETECTION_MIN_CONFIDENCE": 0.0}
    config = config_from({**_small(), **keys}, str)
    model = MaskRCNN("inference", config, tmp_path)
    model.load_weights(checkpoint)
    (wanted,) = model.detect([pixels])
    found = content["annotations"]
    assert len(found) == wanted.count > 0
    np.testing.assert_allclose([x["score"] for x in found], wanted["scores"], atol=1e-6)
    boxes = np.array([x["bbox"] for x in found])[:, [1, 0, 3, 2]]  # x y w h
    sides = np.diff(wanted["boxes"].reshape(-1, 2, 2), axis=1)[:, 0]
    np.testing.assert_allclose(boxes[:, 2:], sides, atol=0.01)
    assert boxes[:, 1].max() > 64  # beyond the first tile


@pytest.mark.slow
def test_proposals_of_a_file(checkpoint, pictures, tmp_path, capsys):
    path, out = tmp_path / "boxes.npz", tmp_path / "found"
    np.savez(path, **{"a.jpg": [[5, 5, 30, 40], [0, 0, 20, 20]]})
    line = ["detect", str(checkpoint), str(pictures), "--out", str(out), "--save", "json"]
    given = [*line, "--score", "0.0", "USE_RPN_ROIS=false"]
    assert cli.main([*given, "--proposals", str(path)]) == 1  # none for b.png
    said = capsys.readouterr()
    assert "in 1 pictures" in said.out and "has no proposals" in said.err
    content = json.loads((out / "detections.json").read_text())
    assert 0 < len(content["annotations"]) <= 2 * 2  # of each box any class, at most
    assert cli.main(given) == 2
    assert "expected for each image boxes" in capsys.readouterr().err
    assert cli.main([*line, "--proposals", str(path)]) == 2
    assert "USE_RPN_ROIS is True: the network makes its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["detect", "nowhere.h5", "PICTURES"], "no weights 'nowhere.h5'"),
        (["detect", "coco", "PICTURES/none"], "PICTURES/none"),
        (["detect", "imagenet", "PICTURES"], "detect nothing"),
        (["detect", "coco", "PICTURES", "IMAGE_MAX_DIM=1000"], "IMAGE_MAX_DIM is 1000"),
    ],
)
def test_what_is_wrong_is_told_before_a_model_is_built(
    line, message, pictures, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("mrcnn.model.create", lambda *args: pytest.fail("built"))
    line = [text.replace("PICTURES", str(pictures)) for text in line]
    assert cli.main([*line, "--out", str(tmp_path / "out")]) == 2
    assert message.replace("PICTURES", str(pictures)) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ("coco", ["--score", "0.5"], "holds results of other settings (save ['json'], now ['ov"),
        ("torchvision/fasterrcnn_resnet50_fpn", ["--save", "masks"], "the model finds boxes only"),
    ],
)
def test_a_folder_that_cannot_be_gone_on_with_is_told_before_a_model_is_built(
    weights, options, message, pictures, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("mrcnn.model.create", lambda *args: pytest.fail("built"))
    (tmp_path / "detections.jsonl").write_text('{"save": ["json"]}\n')
    assert cli.main(["detect", weights, str(pictures), "--out", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err
    file = str(tmp_path / "detections.jsonl")
    assert cli.main(["detect", weights, str(pictures), "--out", file]) == 2
    assert f"{file}: expected a folder to write into" in capsys.readouterr().err


def test_a_package_that_is_missing_is_told_in_a_line(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (pictures / "party.mp4").write_text("")
    assert cli.main(["detect", "coco", str(pictures), "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'mrcnn[video]'" in capsys.readouterr().err
