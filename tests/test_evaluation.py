"""`Evaluation`: the pictures of `scenes.TRUTHS`, every number by hand; files; another data set."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scenes import FOUND, TRUTHS, A, B, Oracle, Pictures, detection

from mrcnn import evaluate
from mrcnn.data import load
from mrcnn.evaluate import Evaluation

DATA = os.environ.get("MRCNN_DATA")
NAN = float("nan")


def evaluation_of(truths=TRUTHS, found=FOUND, **arguments):
    model = Oracle(*(detection(*each) for each in found))
    return Evaluation.of(model, Pictures(*truths), **arguments)


@pytest.fixture
def evaluation():
    return evaluation_of()


def test_scores_are_those_of_evaluate(evaluation):
    expected = evaluate.evaluate(Oracle(*(detection(*each) for each in FOUND)), Pictures(*TRUTHS))
    assert list(evaluation.scores) == ["bbox", "segm"]
    for kind, scores in evaluation.scores.items():
        assert_array_equal(list(scores.values()), list(expected[kind].values()))
    # Cats: recall 1/2 at precision 1 at every threshold, read at 51 of 101 recalls. Dogs: 0.
    assert evaluation.scores["segm"]["AP"] == pytest.approx(51 / 101 / 2)


def test_per_class(evaluation):
    cat, dog = evaluation.per_class()
    # The detection on the crowd is one, but neither right nor false.
    assert cat == {
        **{"id": 1, "name": "cat", "objects": 2, "detections": 4, "AR": 0.5},
        **dict.fromkeys(("AP", "AP50"), pytest.approx(51 / 101)),
    }
    expected = {"id": 2, "name": "dog", "AP": 0, "AP50": 0, "AR": 0, "objects": 2, "detections": 1}
    assert dog == expected


def test_per_class_at_an_iou_of_a_half():
    # 5 of 10 rows: found at 0.50 alone of ten thresholds.
    cat, _ = evaluation_of([[(A, 1)]], [[((0, 0, 5, 10), 1, 0.5)]]).per_class()
    expected = dict.fromkeys(("AP", "AR"), pytest.approx(0.1)) | {"AP50": pytest.approx(1)}
    assert {name: cat[name] for name in expected} == expected


def test_a_class_that_never_occurs_is_nan_and_does_not_count():
    evaluation = evaluation_of([[(A, 1)]], [[(A, 1, 0.5), (B, 2, 0.5)]])
    cat, dog = evaluation.per_class()
    assert cat["AP"] == evaluation.scores["segm"]["AP"] == 1
    assert np.isnan([dog["AP"], dog["AP50"], dog["AR"]]).all()
    assert (dog["objects"], dog["detections"]) == (0, 1)
    curves = evaluation.precision_recall()
    assert np.isnan(curves["precision"][1]).all() and np.isnan(curves["AP"][1])
    best = evaluation.best_scores()["classes"][1]
    assert np.isnan([best["score"], best["f1"], best["precision"], best["recall"]]).all()


def test_precision_recall(evaluation):
    curves = evaluation.precision_recall()
    assert_allclose(curves["recall"], np.arange(101) / 100)
    # One of two cats, before any false alarm: precision 1 up to recall 0.50, then none.
    assert_allclose(curves["precision"], [[1] * 51 + [0] * 50, [0] * 101])
    # Recall 0 is reached by whatever comes first, here on the crowd.
    assert_allclose(curves["scores"][0], [0.9375] + [0.875] * 50 + [0] * 50)
    assert_allclose(curves["AP"], [51 / 101, 0])
    # At IoU 0.40 the second cat would be found: COCO has no such threshold.
    with pytest.raises(ValueError, match=r"iou is 0.4; expected one of COCO's 0.50, 0.55"):
        evaluation.precision_recall(0.4)


def test_precision_recall_at_another_iou():
    # IoU 0.7: found at 0.70, not at 0.75.
    evaluation = evaluation_of([[(A, 1)]], [[((0, 0, 7, 10), 1, 0.5)]])
    assert evaluation.precision_recall(0.7)["AP"][0] == pytest.approx(1)
    assert evaluation.precision_recall(0.75)["AP"][0] == 0


def test_best_scores(evaluation):
    # All classes: 4 objects. By score: right 0.875, false 0.75, 0.625, 0.5; the crowd's does not
    # count. F1 = 2 TP / (TP + FP + 4): 2/5, 2/6, 2/7, 2/8. Cats alone have 2 objects: 2/3.
    best = evaluation.best_scores()
    cat, dog = best.pop("classes")
    assert best == {
        **{"key": "DETECTION_MIN_CONFIDENCE", "score": 0.875},
        **{"f1": pytest.approx(0.4), "precision": 1.0, "recall": 0.25},
    }
    assert (cat["id"], cat["name"], cat["score"]) == (1, "cat", 0.875)
    assert (cat["f1"], cat["recall"]) == (pytest.approx(2 / 3), 0.5)
    # Dogs are there, and none is found: 0, and no threshold is better than another.
    assert dog == {
        "id": 2,
        "name": "dog",
        "score": dog["score"],
        "f1": 0,
        "precision": 0,
        "recall": 0,
    }
    assert np.isnan(dog["score"])


def test_detections_of_equal_score_are_taken_together():
    # Two at 0.5, right and false: F1 2/(2 + 1); the first alone would have 2/2.
    found = [[(A, 1, 0.5), (B, 1, 0.5)]]
    best = evaluation_of([[(A, 1)]], found).best_scores()
    assert (best["score"], best["f1"]) == (0.5, pytest.approx(2 / 3))


def test_best_score_at_another_iou():
    # At IoU 0.5 both are right: F1 1 at 0.25. At 0.75 the second, of IoU 0.5, is false: 2/3 at 0.5.
    evaluation = evaluation_of([[(A, 1)], [(B, 1)]], [[(A, 1, 0.5)], [((10, 10, 15, 20), 1, 0.25)]])
    best = [evaluation.best_scores(iou) for iou in (0.5, 0.75)]
    assert [each["score"] for each in best] == [0.25, 0.5]
    assert [each["f1"] for each in best] == [1, pytest.approx(2 / 3)]


def test_score_curves(evaluation):
    # Thresholds 0, 1/8 .. 1; right at 7/8, false at 6/8, 5/8 and (a dog) 4/8; 4 objects.
    curves = evaluation.score_curves(steps=9)
    assert_array_equal(curves["scores"], np.arange(9) / 8)
    precision = [1 / 4] * 5 + [1 / 3, 1 / 2, 1, NAN]
    f1 = [2 / 8] * 5 + [2 / 7, 2 / 6, 2 / 5, 0]
    assert_allclose(curves["precision"][0], precision)
    assert_allclose(curves["recall"][0], [1 / 4] * 8 + [0])
    assert_allclose(curves["f1"][0], f1)
    assert_allclose(curves["precision"][2], [0] * 5 + [NAN] * 4)
    assert_allclose(curves["f1"][1], [2 / 5] * 6 + [2 / 4, 2 / 3, 0])


def test_count_errors(evaluation):
    # From 5/8 on the dog in picture 2 is not shown: -1 in one of five.
    counts = evaluation.count_errors(score=0.625)
    assert counts["objects"].tolist() == [2, 1, 1, 0, 0]
    assert counts["found"].tolist() == [2, 1, 0, 0, 0]
    assert counts["mean_error"] == pytest.approx(-1 / 5)
    assert counts["mae"] == pytest.approx(1 / 5)
    assert counts["rmse"] == pytest.approx((1 / 5) ** 0.5)
    # At the best F1, 7/8, only one is shown: -1, -1, -1.
    assert evaluation.count_errors()["mean_error"] == pytest.approx(-3 / 5)
    assert evaluation.count_errors(score=0)["mae"] == 0


def test_confusion(evaluation):
    # Rows: nothing, cat, dog. The badly cut cat of picture 1 is missed, and its detection false.
    assert evaluation.confusion(score=0).tolist() == [[0, 1, 1], [1, 1, 0], [1, 1, 0]]
    # At the best F1 there is the first detection alone.
    assert evaluation.confusion().tolist() == [[0, 0, 0], [1, 1, 0], [2, 0, 0]]
    # At IoU 0.4 the cat of picture 1 is found.
    assert evaluation.confusion(iou=0.4, score=0).tolist() == [[0, 0, 1], [0, 2, 0], [1, 1, 0]]


def test_errors_come_worst_first(evaluation):
    rows = evaluation.errors(score=0)
    assert [row["image_id"] for row in rows] == [2, 0, 1, 3, 4]
    assert [row["error"] for row in rows] == [2, 1, 1, 0, 0]
    assert (rows[0]["missed"], rows[0]["false"]) == ([3], [3])
    assert rows[1]["wrong_class"] == [(1, 1)]
    assert rows[2]["poor_mask"] == [(2, 2)]


def test_contest(evaluation):
    # TP / (TP + FP + FN) is the same at all thresholds: 1 / (1 + 1 + 1); 0; 0; nothing to find
    # and nothing found; a crowd and what lies on it, likewise.
    found = evaluation.contest()
    assert found["score"] == pytest.approx((1 / 3 + 0 + 0 + 1 + 1) / 5)
    assert list(found["by_image"]) == [0, 1, 2, 3, 4]
    assert found["by_image"][0] == pytest.approx(1 / 3)
    # From 0.875 on there is nothing false: 1 / (1 + 0 + 1), the rest as before.
    assert evaluation.contest(score=0.875)["score"] == pytest.approx((1 / 2 + 2) / 5)


def test_instances_are_those_of_the_picture(evaluation):
    truth, found = evaluation.instances(0, score=0.8)
    assert truth["class_ids"].tolist() == [1, 2]
    assert_array_equal(truth["rois"], [A, B])
    assert_array_equal(truth["masks"], detection((A, 1, 1), (B, 2, 1))["masks"])
    assert "scores" not in truth
    assert found["class_ids"].tolist() == [1] and found["scores"].tolist() == [0.875]
    truth, found = evaluation.instances(4, score=0)
    assert truth["class_ids"].tolist() == [-1] and found["scores"].tolist() == [0.9375]
    truth, found = evaluation.instances(3)
    assert truth["masks"].shape == found["masks"].shape == (20, 20, 0)


def test_nothing_at_all():
    evaluation = evaluation_of([], [])
    assert np.isnan(evaluation.scores["bbox"]["AP"]) and evaluation.errors() == []
    assert np.isnan(evaluation.contest()["score"])
    assert np.isnan(evaluation.count_errors()["mae"])
    assert np.isnan(evaluation.best_scores()["score"])
    assert not evaluation.confusion().any()
    assert np.isnan(evaluation.intervals(n=5)["segm"]["AP"]).all()


def test_more_detections_than_100():
    # 150 false alarms before the hit; with 200 a picture it is found, and counts everywhere.
    found = [[(B, 1, 0.9)] * 150 + [(A, 1, 0.1)]]
    least, more = (evaluation_of([[(A, 1)]], found, max_detections=n) for n in (None, 200))
    assert least.confusion(score=0).tolist() == [[0, 100, 0], [1, 0, 0], [0, 0, 0]]
    assert more.confusion(score=0).tolist() == [[0, 150, 0], [0, 1, 0], [0, 0, 0]]
    assert [each.per_class()[0]["detections"] for each in (least, more)] == [100, 151]
    assert more.scores["segm"]["AR200"] == 1
    assert more.intervals(n=2)["segm"]["AR200"] == (1, 1)


# ---- files


def test_saved_and_loaded_again(evaluation, tmp_path):
    evaluation.save(tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["detections.json", "ground_truth.json", "scores.json"]
    results = json.loads((tmp_path / "run" / "detections.json").read_text())
    assert set(results[0]) == {"image_id", "category_id", "bbox", "score", "segmentation"}
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())["scores"]
    assert scores["segm"]["AP"] == evaluation.scores["segm"]["AP"]
    assert scores["segm"]["APl"] is None  # JSON has no nan
    loaded = Evaluation.load(tmp_path / "run", Pictures(*TRUTHS))
    assert loaded.confusion(score=0).tolist() == evaluation.confusion(score=0).tolist()
    assert loaded.max_detections == 100


def test_some_images_of_a_data_set_are_loaded_again(tmp_path):
    model = Oracle(detection((A, 1, 0.5)))
    Evaluation.of(model, Pictures(*TRUTHS), image_ids=[1], max_detections=7).save(tmp_path)
    assert Evaluation.load(tmp_path, Pictures(*TRUTHS)).max_detections == 7


@pytest.mark.parametrize(
    "other", [Pictures([(A, 1)]), Pictures(*TRUTHS[:4], [(A, -1)]), Pictures(*TRUTHS, size=30)]
)
def test_detections_of_another_data_set_are_refused(evaluation, tmp_path, other):
    evaluation.save(tmp_path)
    with pytest.raises(
        ValueError, match=r"detections.json: expected detections for images of this"
    ):
        Evaluation.load(tmp_path, other)


def test_a_ground_truth_that_was_exchanged_is_refused(evaluation, tmp_path):
    evaluation.save(tmp_path)
    truth = evaluate.coco_ground_truth(Pictures(*TRUTHS[:4], [(A, -1)]))
    (tmp_path / "ground_truth.json").write_text(json.dumps(truth))
    with pytest.raises(
        ValueError, match=r"detections for ground_truth.json beside it.*Detect again"
    ):
        Evaluation.load(tmp_path)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"image_id": 9},
            "detection 1: expected an image of the ground truth, received image_id 9",
        ),
        ({"category_id": 3}, "detection 1: expected a class of .*, received category_id 3"),
        (
            {"segmentation": {"size": [9, 20], "counts": ""}},
            r"mask of \[20, 20\] as image 0, received \[9, 20\]",
        ),
    ],
)
def test_a_detection_that_cannot_be_of_these_pictures_is_named(evaluation, changed, words):
    results = [evaluation.results[0], {**evaluation.results[1], **changed}]
    with pytest.raises(ValueError, match=words):
        Evaluation(evaluation.ground_truth, results)


def test_results_of_masks_alone_have_their_boxes(evaluation):
    results = [{k: v for k, v in each.items() if k != "bbox"} for each in evaluation.results]
    other = Evaluation(evaluation.ground_truth, results)
    assert other.scores["bbox"] == pytest.approx(evaluation.scores["bbox"], nan_ok=True)


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
@pytest.mark.parametrize("backend", ["pycocotools", "faster"])
@pytest.mark.parametrize(
    "kind, expected",
    # The results published with the COCO API: AP AP50 AP75 APs APm APl, AR1 AR10 AR100 ARs ARm ARl.
    [
        ("bbox", "0.505 0.697 0.573 0.586 0.519 0.501 0.387 0.594 0.595 0.640 0.566 0.564"),
        ("segm", "0.320 0.562 0.299 0.387 0.310 0.327 0.268 0.415 0.417 0.469 0.377 0.381"),
    ],
)
def test_published_results_saved_and_loaded_again(kind, expected, backend, tmp_path):
    if backend == "faster":
        pytest.importorskip("faster_coco_eval", reason="pip install faster-coco-eval")
    folder = Path(DATA) / "coco_eval_fake100"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
    Evaluation(truth, results).save(tmp_path)
    scores = Evaluation.load(tmp_path, backend=backend).scores[kind]
    assert " ".join(f"{value:.3f}" for value in scores.values()) == expected


def test_boxes_alone():
    found = [detection(*each) for each in FOUND]
    for each in found:
        del each["masks"]
    evaluation = Evaluation.of(Oracle(*found), Pictures(*TRUTHS))
    assert list(evaluation.scores) == ["bbox"]
    assert evaluation.confusion(score=0).tolist() == [[0, 1, 1], [1, 1, 0], [1, 1, 0]]
    assert "masks" not in evaluation.instances(0)[1]
    with pytest.raises(ValueError, match="result 0 of image 0: expected a `segmentation`"):
        evaluation.boundary_scores()


def test_objects_with_a_box_alone_score_boxes(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 20}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "a.png")
    found = detection((A, 1, 0.5))
    dataset = load(tmp_path, verbose=0)
    evaluation = Evaluation.of(Oracle(found), dataset)
    assert evaluation.scores.keys() == {"bbox"} and evaluation.scores["bbox"]["AP"] == 1
    dataset.box_masks = True  # asked for
    assert Evaluation.of(Oracle(found), dataset).scores.keys() == {"bbox", "segm"}
