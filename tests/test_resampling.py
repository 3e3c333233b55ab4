"""Bootstrap over pictures: weights instead of copies, intervals and p values."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scenes import A, B, Oracle, Pictures, detection

from mrcnn.evaluate import Evaluation, evaluate_detections, resampling
from mrcnn.evaluate.matches import match_classes, weighted_scores

DATA = os.environ.get("MRCNN_DATA")


def evaluation_of(truths, found):
    return Evaluation.of(Oracle(*(detection(*each) for each in found)), Pictures(*truths))


def matches(evaluation, kind="segm"):
    given = evaluation.ground_truth, evaluation.results, kind, evaluation.max_detections
    return match_classes(*given)


def test_weighted_scores_by_hand():
    # A cat in each of two pictures, found in the first. Drawn (2, 0): all found; (1, 1): recall
    # 1/2, read at 51 of 101 recalls; (0, 2): none found.
    evaluation = evaluation_of([[(A, 1)], [(A, 1)]], [[(A, 1, 0.5)], []])
    scores = weighted_scores(matches(evaluation), np.array([[2, 0], [1, 1], [0, 2]]))
    for name in ("AP", "AP50", "AP75"):
        assert_allclose(scores[name], [1, 51 / 101, 0])
    assert_allclose(scores["AR"], [1, 0.5, 0])


def test_a_class_without_objects_in_a_sample_does_not_count():
    # A cat found in picture 0, a dog missed in picture 1; picture 2 has neither.
    evaluation = evaluation_of([[(A, 1)], [(A, 2)], []], [[(A, 1, 0.5)], [], []])
    scores = weighted_scores(matches(evaluation), np.array([[3, 0, 0], [1, 1, 1], [0, 0, 3]]))
    assert_allclose(scores["AP"], [1, 0.5, np.nan])


def random_scene(rng):
    """Two classes, crowds, false alarms, scores with ties across pictures, some of them empty."""
    truths, found = [], []
    for _ in range(8):
        objects, detections, scores = [], [], iter(rng.permutation(8) / 8)
        for _ in range(rng.integers(0, 5)):
            y, x = rng.integers(0, 12, 2)
            kind = int(rng.integers(1, 3)) * (-1 if rng.random() < 0.15 else 1)
            objects.append(((y, x, y + 7, x + 7), kind))
            shift = int(rng.integers(0, 3))
            detections.append(((y + shift, x, y + 7, x + 7), abs(kind), next(scores)))
        if rng.random() < 0.5:
            detections.append(((0, 0, 5, 5), 1, next(scores)))
        truths.append(objects)
        found.append(detections)
    return evaluation_of(truths, found)


def with_copies(evaluation, weights):
    """COCOeval's numbers of a data set that has each picture as often as its weight says."""
    truth, results = {**evaluation.ground_truth, "images": [], "annotations": []}, []
    for image in evaluation.ground_truth["images"]:
        for copy in range(weights[image["id"]]):
            new = {"image_id": 100 * image["id"] + copy}
            truth["images"].append({**image, "id": new["image_id"]})
            for group, target in (
                (evaluation.ground_truth["annotations"], truth["annotations"]),
                (evaluation.results, results),
            ):
                target += [each | new for each in group if each["image_id"] == image["id"]]
    return evaluate_detections(truth, results)["segm"]


@pytest.mark.parametrize("seed", range(6))
def test_weights_are_as_good_as_copies(seed):
    rng = np.random.default_rng(seed)
    evaluation = random_scene(rng)
    weights = rng.multinomial(8, np.full(8, 1 / 8), size=4)
    scores = weighted_scores(matches(evaluation), weights)
    for i, row in enumerate(weights):
        expected = with_copies(evaluation, row)
        for name, ours in (("AP", "AP"), ("AP50", "AP50"), ("AP75", "AP75"), ("AR100", "AR")):
            assert scores[ours][i] == pytest.approx(expected[name], abs=1e-12, nan_ok=True)


def test_intervals_of_a_proportion():
    # One object a picture, found without a false alarm in 50 of 100: recall is the share of drawn
    # pictures that are found, binomial with a standard deviation of sqrt(0.25 / 100) = 0.05; 95 %
    # of it lie within 0.5 -+ 1.96 * 0.05 = 0.402 .. 0.598.
    found = [[(A, 1, 0.5)] if i % 2 else [] for i in range(100)]
    intervals = evaluation_of([[(A, 1)]] * 100, found).intervals(n=2000, seed=1)
    assert list(intervals) == ["bbox", "segm"]
    assert list(intervals["segm"]) == ["AP", "AP50", "AP75", "AR100"]
    assert_allclose(intervals["segm"]["AR100"], [0.402, 0.598], atol=0.015)


def test_the_seed_decides():
    evaluation = random_scene(np.random.default_rng(0))
    first, again, other = (evaluation.intervals(n=50, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


def test_chunks_change_nothing(monkeypatch):
    evaluation = random_scene(np.random.default_rng(0))
    whole = evaluation.intervals(n=50)
    monkeypatch.setattr(resampling, "CHUNK", 100)
    assert evaluation.intervals(n=50) == whole


def test_interval_and_p_value_by_hand():
    # The middle 90 % of 0 .. 100.
    assert resampling.interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert resampling.interval(np.array([1.0, np.nan]), 0.9) == (1, 1)
    # None of four samples is against: 2 * (0 + 1) / (4 + 1). One is: 2 * 2 / 5. Two: 1 at most.
    assert resampling.p_value(np.array([1, 2, 3, 4.0])) == pytest.approx(0.4)
    assert resampling.p_value(np.array([-1, -2, 3, -4.0])) == pytest.approx(0.8)
    assert resampling.p_value(np.array([-1, -2, 3, 4.0])) == 1
    assert resampling.p_value(np.zeros(4)) == 1


def test_comparison_of_equals():
    first, second = (random_scene(np.random.default_rng(0)) for _ in range(2))
    for values in first.compare(second, n=20)["segm"].values():
        assert values == {"difference": 0, "low": 0, "high": 0, "p": 1}


def test_comparison_is_paired():
    # Of 40 pictures one finds all, the other 39: whatever is drawn, it is never better. Drawn
    # without the 40th, a share of (39/40)^40 = 0.36 of the samples, they are equal: 2 * 0.36.
    truths = [[(A, 1)]] * 40
    everything = [[(A, 1, 0.5)]] * 40
    good, less = evaluation_of(truths, everything), evaluation_of(truths, [*everything[:39], []])
    found = good.compare(less, n=1000)["segm"]["AR100"]
    assert found["difference"] == pytest.approx(1 / 40)
    assert found["low"] == 0 and 0 < found["high"] < 0.15
    assert found["p"] == pytest.approx(0.73, abs=0.1)
    swapped = less.compare(good, n=1000)["segm"]["AR100"]
    assert swapped["difference"] == pytest.approx(-1 / 40) and swapped["p"] == found["p"]
    # All against none: no sample speaks against it, 2 / (1000 + 1).
    nothing = evaluation_of(truths, [[]] * 40)
    assert good.compare(nothing, n=1000)["segm"]["AP"] == {
        **{"difference": 1, "low": 1, "high": 1, "p": pytest.approx(2 / 1001)}
    }


def test_other_pictures_are_not_compared():
    first = evaluation_of([[(A, 1)], []], [[], []])
    for other in (evaluation_of([[(B, 1)], []], [[], []]), evaluation_of([[(A, 1)]], [[]])):
        with pytest.raises(ValueError, match="expected evaluations of one ground truth"):
            first.compare(other)


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
def test_published_results_come_from_the_matches_too():
    folder = Path(DATA) / "coco_eval_fake100"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakesegm100_results.json").read_text())
    expected = evaluate_detections(truth, results, iou_types=["segm"])["segm"]
    once = np.ones((1, 100), int)
    scores = weighted_scores(match_classes(truth, results, "segm", 100), once)
    for name, ours in (("AP", "AP"), ("AP50", "AP50"), ("AP75", "AP75"), ("AR100", "AR")):
        assert scores[ours][0] == pytest.approx(expected[name], abs=1e-12)
