"""`mrcnn train`, `evaluate` and `detect` of a Panoptic FPN, on files made on the spot."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrcnn import cli
from mrcnn.data.converting import convert
from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.loading import load
from mrcnn.data.panoptic import load_segments
from mrcnn.training.results import read_results

TINY = [
    *("--config", str(Path(__file__).with_name("tiny.py")), "ARCHITECTURE=panoptic_fpn"),
    *("SEMANTIC_HEAD_CHANNELS=8", "PANOPTIC_MIN_CONFIDENCE=0", "PANOPTIC_STUFF_AREA=16"),
]


@pytest.mark.slow
def test_from_files_to_maps(tmp_path, capsys):
    grounds = GroundsDataset()
    grounds.load_shapes(6, 48, 64)
    grounds.prepare()
    data, run = str(convert(grounds, tmp_path / "grounds", "coco_panoptic")), tmp_path / "train"
    options = ["--split", "0.34", "--epochs", "1", "--weights", "none", "--out", str(tmp_path)]
    assert cli.main(["train", data, *options, *TINY]) == 0
    (row,) = read_results(run / "results.csv")
    assert row["semantic_loss"] > 0 and 0 <= row["val_panoptic_PQ"] <= 1
    assert list(run.glob("mask_rcnn_*_best.h5")) and (run / "val_batch0_pred.jpg").is_file()
    assert "PQ_things" in json.loads((run / "scores.json").read_text())["scores"]["panoptic"]

    capsys.readouterr()
    assert cli.main(["evaluate", str(run), data, *TINY, "--compare", str(run)]) == 0
    said = capsys.readouterr().out
    assert "PQ_stuff" in said and "panoptic PQ: " in said

    pictures, found = tmp_path / "grounds" / "images", tmp_path / "found"
    assert cli.main(["detect", str(run), str(pictures), "--out", str(found), *TINY]) == 0
    maps = load(found / "panoptic.json", images=pictures, verbose=0)
    assert maps.num_images == 6 and maps.class_names == grounds.class_names
    assert maps.num_stuff_classes == 2
    ids, segments = load_segments(maps, 0, (48, 64))
    assert ids.any() and segments
    overlay = np.asarray(Image.open(next(iter((found / "overlays").iterdir()))), int)
    assert np.abs(overlay - maps.load_image(0)).mean() > 5
