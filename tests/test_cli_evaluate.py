"""`mrcnn evaluate` of detections that are there: no model, no pictures."""

import json
import os
from pathlib import Path

import pytest

from mrcnn import cli

DATA = os.environ.get("MRCNN_DATA")
SHORT = {"size": [40, 60], "counts": "7"}  # 7 pixels of 2400
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


@pytest.fixture
def files(tmp_path):
    """Two pictures with an object each, of which one is found."""
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 40} for i in (1, 2)],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 7, "segmentation": [SQUARE]} for i in (1, 2)
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
    assert "-0.50 objects a picture, MAE 0.50" in said and "score 0.500" in said
    assert "95 % of bbox: AP" in said
    assert json.loads((out / "scores.json").read_text())["scores"]["bbox"]["AR1"] == 0.5
    assert json.loads((out / "detections.json").read_text())[0]["score"] == 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found[0].update(image_id=3), "image"),
        (lambda found: found[0].update(category_id=8), "categor"),
        (lambda found: found[0].pop("score"), "score"),
        (lambda found: found[0].pop("bbox"), "bbox"),
        (
            lambda found: found[0].update(segmentation={"size": [40, 60], "counts": "7"}),
            "runs fill",
        ),
    ],
)
def test_wrong_files_are_told_in_a_line(files, change, message, capsys):
    found = json.loads(Path(files[0]).read_text())
    change(found)
    Path(files[0]).write_text(json.dumps(found))
    assert cli.main(["evaluate", *files]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mrcnn: ") and message in said


def test_codes_as_lists_of_numbers(files, tmp_path, capsys):
    found = json.loads(Path(files[0]).read_text())
    # Columns 10 to 29, of each rows 10 to 29 of 40.
    runs = [10 * 40 + 10, *[20, 20] * 19, 20, 2400 - 410 - 19 * 40 - 20]
    found[0] |= {"segmentation": {"size": [40, 60], "counts": runs}}
    Path(files[0]).write_text(json.dumps(found))
    assert cli.main(["evaluate", *files, "--out", str(tmp_path / "out")]) == 0
    assert "segm     50.5" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{", "{}", "3", "[3]", "[]"])
def test_what_is_no_result_file(files, content, capsys):
    Path(files[0]).write_text(content)
    assert cli.main(["evaluate", *files]) == (0 if content == "[]" else 2)
    assert content == "[]" or "found.json" in capsys.readouterr().err


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
