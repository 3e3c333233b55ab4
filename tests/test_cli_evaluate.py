"""`mrcnn evaluate` of detections in files, and what it refuses before a model is built."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from test_cli_train import SQUARE, coco

from mrcnn import cli
from mrcnn.data import load
from mrcnn.evaluate import Evaluation, coco_ground_truth

DATA = os.environ.get("MRCNN_DATA")


@pytest.fixture
def truth(tmp_path):
    """An annotation file of one picture, a.png of 64 x 64, with a cat at rows and columns 8..24."""
    (tmp_path / "data").mkdir()
    return coco(tmp_path / "data", "truth.json", "cat", SQUARE)


def square(**ids):
    """The cat itself as a detection."""
    mask = np.zeros((64, 64), np.uint8, order="F")
    mask[8:24, 8:24] = 1
    code = mask_utils.encode(mask)
    code = {"size": [64, 64], "counts": code["counts"].decode()}
    return {"bbox": [8, 8, 16, 16], "score": 0.75, "segmentation": code, **ids}


def write(path, content):
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture(autouse=True)
def nothing_is_built(monkeypatch):
    monkeypatch.setattr("mrcnn.model.create", lambda *args: pytest.fail("a model was built"))


def test_a_file_of_results(truth, tmp_path, capsys):
    path = write(tmp_path / "found.json", [square(image_id=1, category_id=1)])
    assert cli.main(["evaluate", path, truth, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "segm    100.0  100.0" in printed
    assert "best F1 1.000 (precision 1.000, recall 1.000) with DETECTION_MIN_CON" in printed
    assert (tmp_path / "out" / "PR_curve.png").is_file()


def test_run_length_codes_as_numbers(truth, tmp_path, capsys):
    # By columns: 8 of 64 and 8 pixels, then 16 pixels and 48 to the next column, 16 times.
    counts = [8 * 64 + 8, *[16, 48] * 15, 16, 64 - 24 + 40 * 64]
    found = {"size": [64, 64], "counts": counts}
    found = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": found}
    assert cli.main(["evaluate", write(tmp_path / "found.json", [found]), truth]) == 0
    assert "segm    100.0  100.0" in capsys.readouterr().out


def detections(file_name="a.png", name="cat"):
    """As `mrcnn detect` writes them, with numbers of its own."""
    return {
        "images": [{"id": 5, "file_name": file_name, "width": 64, "height": 64}],
        "annotations": [{"id": 1, "area": 256, **square(image_id=5, category_id=2)}],
        "categories": [{"id": 1, "name": "bird"}, {"id": 2, "name": name}],
    }


def test_what_detect_wrote_is_matched_by_names(truth, tmp_path, capsys):
    path = write(tmp_path / "detections.json", detections())
    assert cli.main(["evaluate", path, truth]) == 0
    assert "segm    100.0  100.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (detections(file_name="b.png"), "a file_name of the ground truth, such as 'a.png', receiv"),
        (detections(name="dog"), "detections with a name of the ground truth, such as 'cat', rece"),
        ({**detections(), "images": [], "annotations": []}, "of all 1 pictures of the ground tru"),
        ({"a": 1}, "expected COCO results, a list of dicts with image_id, category_id, score and"),
        ([3], "detection 0: expected a dict with image_id, category_id and score, received 3"),
        (
            [{"image_id": 1, "category_id": 1, "score": 1}],
            "detection 0: expected a bbox, a segm",
        ),
        ([square(image_id=1, category_id=1, segmentation=[[1, 2]])], "expected a run-length code"),
        ([square(image_id=2, category_id=1)], "detection 0: expected an image of the ground truth"),
    ],
)
def test_files_that_do_not_fit_are_told(content, words, truth, tmp_path, capsys):
    path = write(tmp_path / "found.json", content)
    assert cli.main(["evaluate", path, truth]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"mrcnn: {path} with {truth}: ") and words in err


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ("DIR", [], "expected the COCO annotation file that"),
        ("RESULTS", [], "expected annotations in COCO's format, a dict with lists of `images`"),
        ("TRUTH", ["IMAGE_MAX_DIM=64"], "holds detections, of which a config changes nothing"),
        ("TRUTH", ["--compare", "DIR"], "saved evaluation, but ground_truth.json is not in it"),
    ],
)
def test_results_with_what_does_not_fit(data, options, words, truth, tmp_path, capsys):
    results = write(tmp_path / "found.json", [square(image_id=1, category_id=1)])
    places = {"DIR": str(tmp_path / "data"), "TRUTH": truth, "RESULTS": results}
    options = [places.get(text, text) for text in options]
    assert cli.main(["evaluate", results, places[data], *options]) == 2
    assert words in capsys.readouterr().err


def saved(truth, folder, **keys):
    """A folder that --out wrote, of a model that knows birds and cats."""
    content = coco_ground_truth(load(truth)) | keys
    content["categories"] = [{"id": 1, "name": "bird"}, {"id": 2, "name": "cat"}]
    for each in content["annotations"]:
        each["category_id"] = 2
    Evaluation(content, [square(image_id=0, category_id=2)]).save(folder)
    return str(folder)


def test_detections_of_a_model_with_more_classes_are_scored_again(truth, tmp_path, capsys):
    folder = saved(truth, tmp_path / "scores")
    assert cli.main(["evaluate", folder, truth]) == 0
    assert "segm    100.0  100.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("weights", "options", "words"),
    [
        ("torchvision/fasterrcnn_resnet50_fpn", ["--boundary"], "the model finds boxes only"),
        ("coco", ["--compare", "SCORES"], "expected an evaluation on the same pictures"),
        ("coco", ["--backend", "faster"], "pip install faster-coco-eval"),
        ("coco", ["--out", "TRUTH"], "File exists"),
    ],
)
def test_what_would_fail_after_the_detection_is_told_first(
    weights, options, words, truth, tmp_path, capsys, monkeypatch
):
    places = {"SCORES": saved(truth, tmp_path / "scores"), "TRUTH": truth}
    if "faster" in options:
        monkeypatch.setattr("mrcnn.evaluate.coco.importlib.util.find_spec", lambda name: None)
    options = [places.get(text, text) for text in options]
    assert cli.main(["evaluate", weights, truth, *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("mrcnn: ") and words in err


def test_results_are_kept_before_anything_else_may_fail(truth, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("no space")

    monkeypatch.setattr("mrcnn.cli.evaluate._print", fail)
    path = write(tmp_path / "found.json", [square(image_id=1, category_id=1)])
    assert cli.main(["evaluate", path, truth, "--out", str(tmp_path / "out")]) == 2
    assert (tmp_path / "out" / "detections.json").is_file()


def test_all_that_can_be_asked_for_is_printed_where_nothing_is_right(truth, tmp_path, capsys):
    path = write(tmp_path / "found.json", [])
    assert cli.main(["evaluate", path, truth, "--intervals", "--boundary"]) == 0
    printed = capsys.readouterr().out.splitlines()
    # The numbers stand below their names.
    table = printed[printed.index(next(x for x in printed if x.startswith("boundary"))) - 1 :]
    assert len(table[0]) == len(table[1]) and table[1].split()[:2] == ["boundary", "0.0"]
    assert printed[-1].startswith("95 % of segm: AP 0.0 to 0.0, AP50 0.0 to 0.0")


COMMANDS = ["demo", "check", "train", "evaluate", "detect", "convert", "weights", "info"]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_printed(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--help"])
    assert stop.value.code == 0 and "usage: mrcnn" in capsys.readouterr().out


OUTLINE = [10, 10, 30, 10, 30, 30, 10, 30]


@pytest.fixture
def files(tmp_path):
    """Two pictures with an object each, of which one is found."""
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 40} for i in (1, 2)],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 7, "segmentation": [OUTLINE]} for i in (1, 2)
        ],
    }
    found = [{"image_id": 1, "category_id": 7, "score": 0.9, "bbox": [10, 10, 20, 20]}]
    paths = tmp_path / "found.json", tmp_path / "truth.json"
    for path, content in zip(paths, (found, truth), strict=True):
        path.write_text(json.dumps(content))
    return list(map(str, paths))


def test_scores_of_files(files, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["evaluate", *files, "--out", str(out), "--intervals"]) == 0
    said = capsys.readouterr().out
    # One of two objects, at every threshold: precision 1 up to a recall of 0.5, 51 of 101 recalls.
    table = dict(zip(*(line.split()[-12:] for line in said.splitlines()[:2]), strict=True))
    assert (table["AP"], table["AP50"], table["AR1"]) == ("50.5", "50.5", "50.0")
    # F1 of precision 1 and recall 1/2: 2/3.
    assert "best F1 0.667 (precision 1.000, recall 0.500) with DETECTION_MIN_CONFIDENCE=0.9" in said
    # Half an object a picture too few; of two pictures one is right.
    assert "0.50 objects too few on average (mean absolute error 0.50)" in said
    assert "score 0.500" in said
    assert "95 % of bbox: AP" in said
    assert json.loads((out / "scores.json").read_text())["scores"]["bbox"]["AR1"] == 0.5
    assert json.loads((out / "detections.json").read_text())[0]["score"] == 0.9


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
@pytest.mark.parametrize(
    "kind, expected",
    # As published with the COCO API, in percent.
    [
        ("bbox", "50.5 69.7 57.3 58.6 51.9 50.1 38.7 59.4 59.5 64.0 56.6 56.4"),
        ("segm", "32.0 56.2 29.9 38.7 31.0 32.7 26.8 41.5 41.7 46.9 37.7 38.1"),
    ],
)
def test_published_numbers(kind, expected, capsys):
    folder = Path(DATA) / "coco_eval_fake100"
    found = folder / f"instances_val2014_fake{kind}100_results.json"
    assert cli.main(["evaluate", str(found), str(folder / "instances_val2014_100.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [kind, *expected.split()] in [line.split() for line in lines]
