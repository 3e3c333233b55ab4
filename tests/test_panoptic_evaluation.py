"""`Evaluation` of panoptic and semantic maps: broken pictures, files, comparisons."""

import math
from pathlib import Path

import numpy as np
import pytest

from mrcnn.data.converting import convert
from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.loading import load
from mrcnn.data.panoptic import class_labels
from mrcnn.evaluate import Evaluation
from mrcnn.evaluate.panoptic import PanopticScores
from mrcnn.evaluate.semantic import SemanticScores
from mrcnn.training import EvaluateCallback

SIZE = 24, 32


@pytest.fixture
def data(tmp_path):
    """Three pictures of things and stuff, in files."""
    grounds = GroundsDataset()
    grounds.load_shapes(3, *SIZE)
    grounds.prepare()
    return load(convert(grounds, tmp_path / "data", "coco_panoptic"), verbose=0)


class Model:
    """Finds all that there is, in a row of pictures; with `worse` stuff is nowhere."""

    log_dir = ""

    def __init__(self, data, semantic=False, worse=False, image_ids=(0, 1, 2)):
        self.found = iter([data.load_panoptic(i) for i in image_ids])
        self.finds_instances, self.worse = not semantic, worse
        scores = {"semantic": SemanticScores} if semantic else {"panoptic": PanopticScores}
        self.further_scores = scores

    def detect(self, images):
        ids, segments = next(self.found)
        if self.worse:
            segments = [x for x in segments if x["is_thing"]]
        things = [x for x in segments if x["is_thing"]] if self.finds_instances else []
        masks = ids[:, :, None] == np.array([x["id"] for x in things], int)
        boxes = np.array([[0, 0, *SIZE]] * len(things)).reshape(-1, 4)
        return [
            {
                "rois": boxes,
                "class_ids": np.array([x["class_id"] for x in things], int),
                "scores": np.ones(len(things)),
                "masks": masks,
                "segmentation": ids,
                "segments": segments,
            }
        ]


def evaluation(data, **options):
    return Evaluation.of(Model(data, **options), data)


@pytest.mark.parametrize("semantic", [False, True])
def test_a_broken_map_ends_no_training(data, semantic):
    model = Model(data, semantic, image_ids=(0, 2))
    Path(data.image_info[1]["segments_file"]).write_bytes(b"no picture")
    data.image_info[1]["instances"] = []  # of things, it would be told when they are drawn
    callback, logs = EvaluateCallback(model, data, pictures=0, log_dir=""), {}
    callback.set_params({"epochs": 1})
    with pytest.warns(UserWarning, match=r"left out of the scores: Image 1 .*1\.png"):
        callback.on_epoch_end(0, logs)
    name = "val_semantic_mIoU" if semantic else "val_panoptic_PQ"
    assert logs[name] == pytest.approx(1)
    assert [x["id"] for x in callback.evaluation.ground_truth["images"]] == [0, 2]


def test_a_broken_map_is_an_error_elsewhere(data):
    model = Model(data, image_ids=(0, 2))
    Path(data.image_info[1]["segments_file"]).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1\.png"):
        Evaluation.of(model, data)


@pytest.mark.parametrize("semantic", [False, True])
def test_saved_scores_are_those_loaded(data, tmp_path, semantic):
    ours = evaluation(data, semantic=semantic)
    ours.further["panoptic" if not semantic else "semantic"]["nothing"] = math.nan
    ours.save(tmp_path / "saved")
    for dataset in (None, data):
        theirs = Evaluation.load(tmp_path / "saved", dataset)
        assert repr(theirs.scores) == repr(ours.scores)
    assert list(theirs.scores) == (["semantic"] if semantic else ["bbox", "segm", "panoptic"])


def test_comparison_of_semantic_maps(data):
    better, worse = (evaluation(data, semantic=True, worse=x) for x in (False, True))
    found = better.compare(worse)
    assert list(found) == ["semantic"] and list(found["semantic"]) == ["mIoU", "accuracy"]
    stuff = sum((class_labels(*data.load_panoptic(i)) > 3).sum() for i in (0, 1, 2))
    share = stuff / (3 * SIZE[0] * SIZE[1])
    assert found["semantic"]["accuracy"] == {"difference": pytest.approx(share)}
    assert better.intervals() == {}


def test_comparison_of_pictures_without_things(data):
    for info in data.image_info:
        info["instances"] = []
    better, worse = (evaluation(data, worse=x) for x in (False, True))
    found = better.compare(worse)
    assert list(found) == ["panoptic"]
    assert found["panoptic"]["PQ_stuff"] == {"difference": pytest.approx(1)}
    assert found["panoptic"]["PQ_things"] == {"difference": 0}


def test_comparison_with_instances_has_both(data):
    found = evaluation(data).compare(evaluation(data, worse=True), n=10)
    assert list(found) == ["bbox", "segm", "panoptic"]
    assert found["segm"]["AP"]["difference"] == 0 and "p" in found["segm"]["AP"]
