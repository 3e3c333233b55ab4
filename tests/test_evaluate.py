import gc
import importlib.util
import itertools
import json
import os
import types
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from scenes import A, B, Oracle, Pictures, detection, square
from tiny import TinyConfig, shapes

from mrcnn import evaluate
from mrcnn.evaluate.detecting import detect_dataset
from mrcnn.model import MaskRCNN

DATA = os.environ.get("MRCNN_DATA")


# Rows 2 to 5 and columns 3 to 9 of 20 x 20, column by column: 3 * 20 + 2 = 62 off, 4 on, then six
# times 16 off and 4 on; 400 - 62 - 7 * 4 - 6 * 16 = 214 remain.
CODE = mask_utils.frPyObjects({"size": [20, 20], "counts": [62, 4] + [16, 4] * 6 + [214]}, 20, 20)
CODE = {"size": [20, 20], "counts": CODE["counts"].decode()}


def test_two_pictures_by_hand():
    # One class, A to be found in each picture. Picture 0: A, score 0.9, IoU 1. Picture 1: a false
    # alarm in B, 0.8, then rows 0 to 6 of A, 0.7: IoU 70/100 = 0.7.
    # At the thresholds up to 0.70 (five of ten): hit, miss, hit. Precision at recall 0.5 is 1, at
    # recall 1 is 2/3. COCO reads it at recalls 0, 0.01 .. 1: 51 of them up to 0.5.
    #   (51 * 1 + 50 * 2/3) / 101 = 0.834983
    # At 0.75 and above (five): only recall 0.5 is reached, 51/101 = 0.504950.
    half_found, all_found = 51 / 101, (51 + 50 * 2 / 3) / 101
    dataset = Pictures([(A, 1)], [(A, 1)])
    model = Oracle(detection((A, 1, 0.9)), detection((B, 1, 0.8), ((0, 0, 7, 10), 1, 0.7)))
    result = evaluate.evaluate(model, dataset)
    assert list(result) == ["bbox", "segm"]
    for scores in result.values():
        assert len(scores) == 12
        assert scores["AP50"] == pytest.approx(all_found)
        assert scores["AP75"] == pytest.approx(half_found)
        assert scores["AP"] == pytest.approx((all_found + half_found) / 2)
        # The best detection of picture 1 is the false alarm: one per image finds half of them.
        assert scores["AR1"] == 0.5
        # Recall 1 at five thresholds and 0.5 at the others.
        assert scores["AR10"] == scores["AR100"] == 0.75
        assert scores["APs"] == scores["AP"]  # 100 pixels < 32 * 32
        assert np.isnan([scores[k] for k in ("APm", "APl", "ARm", "ARl")]).all()


def test_mask_and_box_are_judged_apart():
    # The box is right, the mask is its upper half: IoU 50/100.
    found = detection((A, 1, 0.9))
    found["masks"] = square(0, 0, 5, 10)[..., None]
    result = evaluate.evaluate(Oracle(found), Pictures([(A, 1)]))
    assert result["bbox"]["AP"] == pytest.approx(1)
    assert result["segm"]["AP"] == pytest.approx(1 / 10)  # at threshold 0.5 only


def test_areas_of_detections_are_those_of_masks():
    # Ground truth is a small object, 30 * 30 = 900 < 1024. A false alarm scores higher: its box
    # has 40 * 40 pixels (medium), its mask 20 * 20 (small). A false alarm of another size is
    # ignored: for boxes precision stays 1, for masks the hit is the second of two: 1/2.
    found = detection(((0, 0, 30, 30), 1, 0.5), ((40, 40, 80, 80), 1, 0.9), size=80)
    found["masks"][:, :, 1] = square(40, 40, 60, 60, size=80)
    result = evaluate.evaluate(Oracle(found), Pictures([((0, 0, 30, 30), 1)], size=80))
    assert result["bbox"]["APs"] == pytest.approx(1)
    assert result["segm"]["APs"] == pytest.approx(0.5)


def test_more_than_100_detections_count_when_asked():
    # 150 false alarms score above the only hit: it is the 151st detection.
    false_alarms = [(B, 1, 0.9)] * 150
    dataset, found = Pictures([(A, 1)]), detection(*false_alarms, (A, 1, 0.1))
    assert evaluate.evaluate(Oracle(found), dataset)["segm"]["AP"] == 0
    scores = evaluate.evaluate(Oracle(found), dataset, max_detections=200)["segm"]
    assert scores["AP"] == pytest.approx(1 / 151)
    assert scores["AR200"] == 1
    assert scores["AR10"] == 0


def test_fewer_than_10_detections():
    found = detection(*[(B, 1, 0.9)] * 4, (A, 1, 0.1))
    scores = evaluate.evaluate(Oracle(found), Pictures([(A, 1)]), max_detections=4)["bbox"]
    assert scores["AP"] == scores["AR10"] == scores["AR4"] == 0
    scores = evaluate.evaluate(Oracle(found), Pictures([(A, 1)]), max_detections=5)["bbox"]
    assert scores["AP"] == pytest.approx(1 / 5)
    assert scores["AR1"] == 0
    assert scores["AR5"] == 1


def test_crowds_neither_count_nor_make_false_alarms():
    # B is a crowd of cats: what is found in it is ignored although it scores best.
    dataset = Pictures([(A, 1), (B, -1)])
    found = detection((A, 1, 0.5), (B, 1, 0.9), ((12, 12, 16, 16), 1, 0.8))
    scores = evaluate.evaluate(Oracle(found), dataset)
    assert scores["bbox"]["AP"] == pytest.approx(1)
    assert scores["segm"]["AP"] == pytest.approx(1)
    crowd = evaluate.coco_ground_truth(dataset)["annotations"][1]
    assert (crowd["category_id"], crowd["iscrowd"]) == (1, 1)


def test_empty_detections_and_empty_ground_truth():
    nothing = detection()
    scores = evaluate.evaluate(Oracle(nothing), Pictures([(A, 1)]))
    assert scores["bbox"]["AP"] == scores["segm"]["AR100"] == 0
    with pytest.warns(UserWarning, match="nothing to find: 1 images without an object"):
        scores = evaluate.evaluate(Oracle(detection((A, 1, 0.9))), Pictures([]))
    assert np.isnan(list(scores["segm"].values())).all()
    with pytest.warns(UserWarning, match="nothing to find: 0 images"):
        assert np.isnan(evaluate.evaluate(Oracle(), Pictures())["bbox"]["AP"])


@pytest.mark.parametrize("one", [True, np.uint8(255), np.uint16(256), np.int32(26112), 0.5])
def test_masks_of_0_and_any_other_value_count_as_in_training(one):
    dataset = Pictures([(A, 1)])
    dataset.load_mask = lambda image_id: (square(*A)[..., None] * one, np.ones(1))
    scores = evaluate.evaluate(Oracle(detection((A, 1, 0.9))), dataset)
    assert scores["segm"]["AP"] == 1.0


@pytest.mark.parametrize(
    ("masks", "class_id", "words"),
    [
        (square(*A) * 0.6 + 0.1, 1, "expected masks of bool, or of 0 and one other value"),
        (square(*A), 5, r"expected class ids from 1 to 2 .* received \[5\]"),
        (square(*A), 0, r"expected class ids from 1 to 2 .* received \[0\]"),
    ],
)
def test_what_training_refuses_is_refused_by_image(masks, class_id, words):
    dataset = Pictures([(A, 1)])
    dataset.load_mask = lambda image_id: (masks[..., None], np.array([class_id]))
    with pytest.raises(ValueError, match=rf"Image 0 \(0.png\), load_mask: {words}"):
        evaluate.evaluate(Oracle(detection((A, 1, 0.9))), dataset)


def test_swapped_arguments_are_told():
    dataset, model = Pictures([(A, 1)]), Oracle()
    with pytest.raises(TypeError, match=r"is a Pictures, .* \(model, dataset\) in this order"):
        evaluate.evaluate(dataset, model)
    with pytest.raises(TypeError, match=r"dataset is a Oracle; expected a mrcnn\.data"):
        evaluate.evaluate(model, model)
    with pytest.raises(TypeError, match="dataset is the class Pictures; pass an instance"):
        evaluate.evaluate(model, Pictures)


def test_image_ids_select():
    dataset = Pictures([(A, 1)], [(B, 2)])
    truth = evaluate.coco_ground_truth(dataset, [1])
    assert [image["id"] for image in truth["images"]] == [1]
    model = Oracle(detection((B, 2, 0.9)))
    assert evaluate.evaluate(model, dataset, image_ids=[1])["bbox"]["AP"] == pytest.approx(1)


def test_ground_truth_format():
    truth = evaluate.coco_ground_truth(Pictures([((2, 3, 6, 10), 2)]))
    assert truth["images"] == [{"id": 0, "height": 20, "width": 20}]
    assert truth["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (annotation,) = truth["annotations"]
    assert annotation["id"] == 1
    assert annotation["category_id"] == 2
    assert annotation["area"] == 4 * 7
    assert annotation["bbox"] == [3, 2, 7, 4]  # x, y, width, height
    assert annotation["segmentation"] == CODE
    json.dumps(truth)


def test_masks_without_a_pixel_are_left_out():
    assert evaluate.coco_ground_truth(Pictures([((5, 5, 5, 5), 1)]))["annotations"] == []


def test_mask_of_another_size_names_the_image():
    dataset = Pictures([(A, 1)])
    dataset.load_image = lambda image_id: np.zeros((5, 20, 3), np.uint8)
    with pytest.raises(ValueError, match=r"Image 0 .*: expected masks \[5, 20, N\]"):
        evaluate.coco_ground_truth(dataset)


def test_results_format():
    found = detection(((2, 3, 6, 10), 2, 0.5))
    found["boxes"] = np.array([[2.25, 3.5, 6, 10]], np.float32)
    (result,) = evaluate.coco_results(7, found)
    assert result["image_id"] == 7
    assert result["category_id"] == 2
    assert result["bbox"] == [3.5, 2.25, 6.5, 3.75]
    assert result["score"] == 0.5
    assert result["segmentation"] == CODE
    json.dumps(result)


def test_arguments_are_not_modified():
    truth = evaluate.coco_ground_truth(Pictures([(A, 1)]))
    results = evaluate.coco_results(0, detection((A, 1, 0.5)))
    before = json.dumps([truth, results])
    evaluate.evaluate_detections(truth, results)
    assert json.dumps([truth, results]) == before


def test_results_of_unknown_images_are_an_error():
    truth = evaluate.coco_ground_truth(Pictures([(A, 1)]))
    with pytest.raises(ValueError, match=r"\[5\]"):
        evaluate.evaluate_detections(truth, evaluate.coco_results(5, detection((A, 1, 0.5))))


def test_only_verbose_prints(capsys):
    dataset, found = Pictures([(A, 1)]), detection((A, 1, 0.9))
    evaluate.evaluate(Oracle(found), dataset)
    assert capsys.readouterr().out == ""
    evaluate.evaluate(Oracle(found), dataset, verbose=1)
    said = capsys.readouterr()
    assert "AP50" in said.out and said.err.startswith("evaluate: 1 of 1, ")


def test_format_table():
    table = evaluate.format_table({"segm": {"AP": 0.1234, "APl": float("nan")}})
    assert table.splitlines() == ["           AP    APl", "segm     12.3      -"]


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
@pytest.mark.parametrize(
    "kind, expected",
    # The results published with the COCO API: AP AP50 AP75 APs APm APl, AR1 AR10 AR100 ARs ARm ARl.
    [
        ("bbox", "0.505 0.697 0.573 0.586 0.519 0.501 0.387 0.594 0.595 0.640 0.566 0.564"),
        ("segm", "0.320 0.562 0.299 0.387 0.310 0.327 0.268 0.415 0.417 0.469 0.377 0.381"),
    ],
)
def test_published_results(kind, expected):
    folder = Path(DATA) / "coco_eval_fake100"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
    scores = evaluate.evaluate_detections(truth, results, iou_types=[kind])[kind]
    assert " ".join(f"{value:.3f}" for value in scores.values()) == expected


# ---- detection of a whole data set


class Streaming:
    """Takes images one by one, two a batch, and notes what was asked for when."""

    def __init__(self, dataset, *detections):
        self.found, self.happened, self.load = list(detections), [], dataset.load_image
        dataset.load_image = self.load_image

    def load_image(self, image_id):
        self.happened.append(f"load {image_id}")
        return self.load(image_id)

    def detect(self, images, verbose=0, stream=False):
        assert stream
        images = iter(images)
        while batch := list(itertools.islice(images, 2)):
            self.happened.append(f"detect {len(batch)}")
            for _ in batch:
                yield self.found.pop(0)


def test_images_stream_through_detect_in_batches():
    found = detection((A, 1, 0.9)), detection((B, 1, 0.8)), detection((A, 1, 0.7))
    truths = [(A, 1)], [(A, 1)], [(A, 1)]
    dataset = Pictures(*truths)
    model = Streaming(dataset, *found)
    scores = evaluate.evaluate(model, dataset)
    assert model.happened == ["load 0", "load 1", "detect 2", "load 2", "detect 1"]
    assert scores == nan_equal(evaluate.evaluate(Oracle(*found), Pictures(*truths)))


def nan_equal(scores):
    return {kind: pytest.approx(values, nan_ok=True) for kind, values in scores.items()}


def test_a_model_that_streams_finds_what_it_finds_in_one_image(tmp_path):
    model, dataset = MaskRCNN("inference", TinyConfig(), tmp_path), shapes(5)
    truth, results = detect_dataset(model, dataset)
    assert truth == evaluate.coco_ground_truth(dataset)
    alone = []
    for i in dataset.image_ids:
        alone += evaluate.coco_results(i, model.detect([dataset.load_image(i)])[0])
    assert len(results) == len(alone) > 5
    for found, expected in zip(results, alone, strict=True):
        for key in ("image_id", "category_id"):
            assert found[key] == expected[key]
        assert found["score"] == pytest.approx(expected["score"], abs=1e-5)
        assert found["bbox"] == pytest.approx(expected["bbox"], abs=1e-3)


@pytest.mark.parametrize(("instances", "limit"), [(None, 100), (50, 100), (400, 400)])
def test_the_config_says_how_many_detections_count(instances, limit):
    model = Oracle(detection((A, 1, 0.9)))
    if instances:
        model.config = types.SimpleNamespace(DETECTION_MAX_INSTANCES=instances)
    assert f"AR{limit}" in evaluate.evaluate(model, Pictures([(A, 1)]))["segm"]


def test_what_is_asked_for_comes_before_the_config():
    model = Oracle(detection((A, 1, 0.9)))
    model.config = types.SimpleNamespace(DETECTION_MAX_INSTANCES=400)
    assert "AR7" in evaluate.evaluate(model, Pictures([(A, 1)]), max_detections=7)["segm"]


# ---- backends


def crowded_scene():
    """Squares that overlap, crowds, ties, a class without an object and an empty picture."""
    rng = np.random.default_rng(0)
    truths, found = [], []
    for i in range(12):
        boxes = [(y, x, y + 8, x + 7) for y, x in rng.integers(0, 12, (4 * (i > 0), 2)).tolist()]
        truths.append([(box, -1 if j == 3 else 1) for j, box in enumerate(boxes)])
        scores = rng.integers(1, 9, 4) / 8
        found.append(
            [((y + 1, *rest), 1 + j // 3, scores[j]) for j, (y, *rest) in enumerate(boxes)]
        )
    return Pictures(*truths), [detection(*each) for each in found]


@pytest.mark.parametrize("limit", [2, 100, 400])
def test_faster_coco_eval_gives_equal_numbers(limit):
    pytest.importorskip("faster_coco_eval", reason="pip install faster-coco-eval")
    dataset, found = crowded_scene()
    ours, faster = (
        evaluate.evaluate(Oracle(*found), dataset, max_detections=limit, backend=backend)
        for backend in ("pycocotools", "faster")
    )
    assert 0.1 < ours["segm"]["AP"] < 0.9
    for kind in ours:
        assert faster[kind] == pytest.approx(ours[kind], abs=1e-12, nan_ok=True)


def test_boundary_average_precision_is_that_of_faster_coco_eval():
    faster = pytest.importorskip("faster_coco_eval", reason="pip install faster-coco-eval")
    pytest.importorskip("cv2")
    dataset, found = crowded_scene()
    truth = evaluate.coco_ground_truth(dataset)
    results = [each for i, one in enumerate(found) for each in evaluate.coco_results(i, one)]
    given = [faster.COCO(), faster.COCO()]
    for coco, annotations in zip(given, (truth["annotations"], results), strict=True):
        rows = [
            {"iscrowd": 0, "area": mask_utils.area(each["segmentation"]), **each, "id": i + 1}
            for i, each in enumerate(annotations)
        ]
        coco.dataset = {**truth, "annotations": rows}
        coco.createIndex()
    theirs = faster.COCOeval_faster(*given, "boundary")
    theirs.evaluate()
    theirs.accumulate()
    ours = evaluate.accumulate(truth, results, "boundary")
    assert 0.05 < ours.eval["precision"].max() <= 1
    np.testing.assert_allclose(ours.eval["precision"], theirs.eval["precision"], atol=1e-12)


def test_a_backend_that_is_missing_says_how_to_get_it(monkeypatch):
    arguments = Oracle(detection()), Pictures([(A, 1)])
    with pytest.raises(ValueError, match='backend is \'c\'; expected "pycocotools" or "faster"'):
        evaluate.evaluate(*arguments, backend="c")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for run in (evaluate.evaluate, evaluate.Evaluation.of):
        with pytest.raises(ImportError, match="pip install faster-coco-eval"):
            run(*arguments, backend="faster")


def test_the_collector_is_left_as_it_was():
    with pytest.raises(ValueError, match="annotation 0"):
        evaluate.evaluate_detections(written(), [])
    assert gc.isenabled()
    gc.disable()
    try:
        evaluate.evaluate(Oracle(detection((A, 1, 0.5))), Pictures([(A, 1)]))
        assert not gc.isenabled()
    finally:
        gc.enable()


# ---- ground truth of other tools


OUTLINE = [[0, 0, 10, 0, 10, 10, 0, 10]]


def written(**annotation):
    """A ground truth of one cat in one picture, as a tool may write it."""
    return {
        "images": [{"id": 5, "height": 20, "width": 20}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 0, "image_id": 5, "category_id": 1, **annotation}],
    }


@pytest.mark.parametrize(
    "facts",
    [
        {"segmentation": OUTLINE},
        {"segmentation": OUTLINE, "area": 100, "iscrowd": 0},
        {"segmentation": [0, 0, 10, 0, 10, 10, 0, 10], "bbox": [0, 0, 10, 10]},
        {"segmentation": {"size": [20, 20], "counts": [0] + [10, 10] * 9 + [10, 210]}},
    ],
)
def test_what_annotations_leave_out_follows_from_the_outline(facts):
    results = evaluate.coco_results(5, detection((A, 1, 0.5)))
    scores = evaluate.evaluate_detections(written(**facts), results)
    for kind in ("bbox", "segm"):
        # 10 x 10 are small: neither a medium nor a large object.
        assert scores[kind]["AP"] == scores[kind]["APs"] == pytest.approx(1)
        assert np.isnan(scores[kind]["APl"])


def test_boxes_without_outlines_score_boxes():
    truth = written(bbox=[0, 0, 10, 10], segmentation=[])
    results = evaluate.coco_results(5, detection((A, 1, 0.5)))
    scores = evaluate.evaluate_detections(truth, results, iou_types=["bbox"])
    assert scores["bbox"]["APs"] == pytest.approx(1)
    with pytest.raises(ValueError, match="annotation 0 of image 5: expected a `segmentation`"):
        evaluate.evaluate_detections(truth, results)


def test_an_annotation_that_says_nothing_is_named():
    with pytest.raises(ValueError, match=r"annotation 0: expected an outline .* received \['cat"):
        evaluate.evaluate_detections(written(), [])
    truth = written(segmentation=OUTLINE, image_id=6)
    with pytest.raises(
        ValueError, match=r"annotation 0: expected an image of the file, received .* 6"
    ):
        evaluate.evaluate_detections(truth, [])


def test_the_table_of_classes():
    rows = [
        {"id": 1, "name": "cat", "AP": 0.1234, "objects": 7},
        {"id": 2, "name": "hippopotamus", "AP": float("nan"), "objects": 0},
    ]
    assert evaluate.format_class_table(rows).splitlines() == [
        "class              AP  objects",
        "cat              12.3        7",
        "hippopotamus        -        0",
    ]
    assert evaluate.format_class_table([]) == "class"
