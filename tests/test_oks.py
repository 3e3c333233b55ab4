"""Scores of keypoints by OKS, and results in COCO's format."""

import json

import numpy as np
import pytest

from mrcnn import evaluate
from mrcnn.cli.main import main
from mrcnn.data import Dataset, KeypointScheme
from mrcnn.data.keypoints import COCO_NAMES
from mrcnn.evaluate import Evaluation, coco_ground_truth, coco_results
from mrcnn.evaluate.coco import prepare
from mrcnn.evaluate.keypoints import extent, object_similarity, sigmas_of
from mrcnn.evaluate.pictures import compare_pictures

SIGMAS = (0.05, 0.1)


class Two(Dataset):
    """A picture with two objects of 40 x 40 pixels; of the second the second point is missing."""

    keypoint_scheme = KeypointScheme(["left_end", "right_end"], [(0, 1)], sigmas=SIGMAS)

    def load_image(self, image_id):
        return np.zeros((100, 100, 3), np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((100, 100, 2), bool)
        masks[0:40, 0:40, 0] = masks[50:90, 50:90, 1] = True
        return masks, np.array([1, 1], np.int32)

    def load_keypoints(self, image_id):
        return np.array([[[10.5, 10.5, 2], [20.5, 20.5, 1]], [[60.5, 60.5, 2], [0, 0, 0]]])


def two():
    dataset = Two()
    dataset.add_class("own", 1, "stick")
    dataset.add_image("own", 0, path=None)
    dataset.prepare()
    return dataset


# The first object's points are 4 pixels off along y and 4 along x; the second's 3 and 4, and the
# point that is missing may lie anywhere.
FOUND = {
    "rois": np.array([[0, 0, 40, 40], [50, 50, 90, 90]]),
    "class_ids": np.array([1, 1]),
    "scores": np.array([0.9, 0.8]),
    "keypoints": np.array(
        [[[14.5, 10.5, 0.3], [20.5, 24.5, 0.4]], [[63.5, 64.5, 0.3], [1.0, 99.0, 0.1]]]
    ),
}
# d^2 / (8 area sigma^2) with area 1600: 16 / 32 = 0.5 and 16 / 128 = 0.125; 25 / 32 = 0.78125.
FIRST, SECOND = (np.exp(-0.5) + np.exp(-0.125)) / 2, np.exp(-0.78125)


def test_ground_truth_in_cocos_format():
    truth = coco_ground_truth(two())
    (category,) = truth["categories"]
    assert category["keypoints"] == ["left_end", "right_end"] and category["skeleton"] == [[1, 2]]
    assert category["keypoint_sigmas"] == list(SIGMAS)
    assert [each["keypoints"] for each in truth["annotations"]] == [
        [10, 10, 2, 20, 20, 1],
        [60, 60, 2, 0, 0, 0],
    ]
    assert [each["num_keypoints"] for each in truth["annotations"]] == [2, 1]


def test_results_in_cocos_format():
    first, _ = coco_results(7, FOUND)
    assert first["keypoints"] == [10, 14, 0.3, 24, 20, 0.4]
    assert first["bbox"] == [0, 0, 40, 40] and "segmentation" not in first
    back = evaluate.to_instances(coco_results(7, FOUND), 100, 100)
    np.testing.assert_allclose(back["keypoints"], FOUND["keypoints"], rtol=1e-6)


def test_object_similarity():
    truth, results = coco_ground_truth(two()), coco_results(0, FOUND)
    found = object_similarity(results, truth["annotations"], np.array(SIGMAS))
    np.testing.assert_allclose(np.diag(found), [FIRST, SECOND], rtol=1e-6)
    assert found[0, 1] < 1e-9 and found[1, 0] < 1e-9
    assert object_similarity([], truth["annotations"], np.array(SIGMAS)).shape == (0, 2)
    # As COCOeval has it.
    evaluation = prepare(truth, results, "keypoints")
    evaluation.evaluate()
    np.testing.assert_allclose(found, evaluation.ious[0, 1], rtol=1e-6)


def test_objects_without_points_are_compared_by_twice_their_box():
    # The box is x y 10 10 of 20 x 20: what is found within -10 to 50 is no error at all.
    truth = [{"keypoints": [0] * 6, "bbox": [10, 10, 20, 20], "area": 400}]
    results = [{"keypoints": [-10, 50, 1, 30, 30, 1]}, {"keypoints": [-14, 50, 1, 30, 53, 1]}]
    found = object_similarity(results, truth, np.array(SIGMAS))
    # 16 / (8 * 400 * 0.0025) = 2 and 9 / (8 * 400 * 0.01) = 0.28125.
    expected = (np.exp(-2) + np.exp(-0.28125)) / 2
    np.testing.assert_allclose(found, [[1], [expected]], rtol=1e-6)


def test_scores():
    truth, results = coco_ground_truth(two()), coco_results(0, FOUND)
    scores = Evaluation(truth, results).scores
    assert list(scores) == ["bbox", "keypoints"]
    # OKS 0.745 and 0.458: of the thresholds 0.50, 0.55, .. the first passes 0.50 to 0.70, five of
    # ten, the second none. One hit of two objects, first: precision 1 up to recall 0.5, 51 of 101.
    assert pytest.approx(0.7445, abs=1e-4) == FIRST and pytest.approx(0.4578, abs=1e-4) == SECOND
    points = scores["keypoints"]
    assert points["AP50"] == pytest.approx(51 / 101) and points["AP75"] == 0
    assert points["AP"] == pytest.approx(5 / 10 * 51 / 101)
    assert points["AR20"] == pytest.approx(5 / 10 * 1 / 2)
    assert points["APm"] == points["AP"] and np.isnan(points["APl"])
    assert list(points) == ["AP", "AP50", "AP75", "APm", "APl", "AR20", "ARm", "ARl"]
    table = evaluate.format_table(scores).splitlines()
    assert table[0].split() == [*scores["bbox"], "AR20"]
    assert table[2].split()[:2] == ["keypoints", "25.2"]


def test_an_evaluation_has_all_of_it_for_keypoints():
    evaluation = Evaluation(coco_ground_truth(two()), coco_results(0, FOUND))
    assert evaluation.best_scores()["score"] == 0.8  # of boxes, by which both are right
    assert evaluation.best_scores(iou_type="keypoints")["score"] == 0.9
    (row,) = evaluation.per_class("keypoints")
    assert (row["objects"], row["detections"]) == (2, 2)
    (picture,) = evaluation.errors(score=0.0, iou_type="keypoints")
    assert (picture["error"], picture["poor_mask"]) == (1, [(1, 1)])
    assert set(evaluation.intervals(5)["keypoints"]) == {"AP", "AP50", "AP75", "AR20"}
    assert evaluation.compare(evaluation, 5)["keypoints"]["AR20"]["difference"] == 0
    truth, found = evaluation.instances(0, 0.0)
    assert truth["keypoints"][0].tolist() == [[10.5, 10.5, 2], [20.5, 20.5, 1]]
    assert found["keypoints"].shape == (2, 2, 3)


def test_objects_without_keypoints_do_not_count():
    class Hidden(Two):
        def load_keypoints(self, image_id):
            found = super().load_keypoints(image_id)
            found[1] = 0
            return found

    dataset = Hidden()
    dataset.add_class("own", 1, "stick")
    dataset.add_image("own", 0, path=None)
    dataset.prepare()
    truth, results = coco_ground_truth(dataset), coco_results(0, FOUND)
    points = evaluate.evaluate_detections(truth, results, iou_types=("keypoints",))["keypoints"]
    assert points["AP50"] == 1.0 and points["AR20"] == pytest.approx(0.5)
    (picture,) = compare_pictures(truth, results, "keypoints", 100)
    assert picture.crowds.tolist() == [False, True]
    # In boxes both count, whatever the file says of keypoints.
    (picture,) = compare_pictures(truth, results, "bbox", 100)
    assert picture.crowds.tolist() == [False, False]


def test_a_model_without_keypoints_is_not_scored_by_them():
    truth = coco_ground_truth(two())
    results = [{**each} for each in coco_results(0, FOUND)]
    del results[0]["keypoints"]
    assert list(Evaluation(truth, results).scores) == ["bbox"]
    with pytest.raises(ValueError, match="result 0 of image 0: expected 6 numbers in keypoints"):
        evaluate.evaluate_detections(truth, results, iou_types=("keypoints",))


def test_sigmas():
    assert sigmas_of(coco_ground_truth(two())).tolist() == list(SIGMAS)
    persons = {"categories": [{"id": 1, "keypoints": list(COCO_NAMES)}]}
    assert sigmas_of(persons)[:3].tolist() == [0.026, 0.025, 0.025]
    animals = {"categories": [{"id": 1, "keypoints": ["withers", *COCO_NAMES[1:]]}]}
    assert sigmas_of(animals).tolist() == [0.05] * 17
    assert sigmas_of({"categories": [{"id": 1, "keypoints": ["x"]}]}).tolist() == [0.05]
    with pytest.raises(ValueError, match="expected a category with names under `keypoints`"):
        sigmas_of({"categories": [{"id": 1}]})


def test_results_of_points_alone():
    # As COCO's result files of keypoints: no box. What is drawn is the one around the points, x 10
    # to 24 and y 14 to 20, far from the object's, so boxes are not scored.
    results = [{k: v for k, v in x.items() if k != "bbox"} for x in coco_results(0, FOUND)]
    evaluation = Evaluation(coco_ground_truth(two()), results)
    assert evaluation.instances(0, 0.85)[1]["rois"].tolist() == [[14, 10, 20, 24]]
    assert list(evaluation.scores) == ["keypoints"]
    assert evaluation.scores["keypoints"]["AP50"] == pytest.approx(51 / 101)
    (row,) = evaluation.per_class()
    assert row["AP50"] == evaluation.scores["keypoints"]["AP50"]


def test_an_evaluation_of_points_alone_is_saved(tmp_path):
    truth = coco_ground_truth(two())
    results = [{k: v for k, v in x.items() if k != "bbox"} for x in coco_results(0, FOUND)]
    Evaluation(truth, results).save(tmp_path)
    assert list(Evaluation.load(tmp_path).scores) == ["keypoints"]


def test_the_command_scores_points_alone(tmp_path, capsys):
    truth = coco_ground_truth(two())
    results = [{k: v for k, v in x.items() if k != "bbox"} for x in coco_results(0, FOUND)]
    for name, content in (("truth", truth), ("results", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    line = ["evaluate", str(tmp_path / "results.json"), str(tmp_path / "truth.json"), "--intervals"]
    assert main([*line, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "keypoints   25.2" in printed and "bbox" not in printed
    assert list(Evaluation.load(tmp_path / "out").scores) == ["keypoints"]


def test_results_of_points_alone_need_a_truth_with_points():
    truth = coco_ground_truth(two())
    truth["categories"] = [{"id": 1, "name": "stick"}]
    result = {"image_id": 0, "category_id": 1, "score": 1.0, "keypoints": [1, 2, 1]}
    with pytest.raises(ValueError, match="keypoints alone, and of these"):
        Evaluation(truth, [result])


@pytest.mark.parametrize("points", [[], "xyz", [1, 2], [1, 2, "x"]])
def test_points_that_are_none_are_refused(points):
    result = {"image_id": 0, "category_id": 1, "score": 1.0, "keypoints": points}
    with pytest.raises(ValueError, match="detection 0: expected numbers x y score in keypoints"):
        Evaluation(coco_ground_truth(two()), [result])


def test_extent():
    assert extent([3, 4, 1, 1, 9, 0.5]) == [1, 4, 2, 5]
