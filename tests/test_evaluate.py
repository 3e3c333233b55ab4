import json
import os
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mrcnn import evaluate
from mrcnn.data import Dataset

DATA = os.environ.get("MRCNN_DATA")


def square(y1, x1, y2, x2, size=20):
    mask = np.zeros((size, size), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def detection(*found, size=20):
    """A result of `detect` from (box, class_id, score) whose masks fill their boxes."""
    masks = [square(*box, size=size) for box, _, _ in found]
    return {
        "rois": np.array([box for box, _, _ in found], np.int32).reshape(-1, 4),
        "class_ids": np.array([class_id for _, class_id, _ in found], np.int32),
        "scores": np.array([score for _, _, score in found], np.float32),
        "masks": np.stack(masks, -1) if masks else np.zeros((size, size, 0), bool),
    }


class Pictures(Dataset):
    """Cats and dogs; an image is a list of (box, class_id)."""

    def __init__(self, *images, size=20):
        super().__init__()
        self.images, self.size = images, size
        self.add_class("test", 1, "cat")
        self.add_class("test", 2, "dog")
        for number in range(len(images)):
            self.add_image("test", number, f"{number}.png")
        self.prepare()

    def load_image(self, image_id):
        return np.zeros((self.size, self.size, 3), np.uint8)

    def load_mask(self, image_id):
        found = detection(*((box, k, 1) for box, k in self.images[image_id]), size=self.size)
        return found["masks"], found["class_ids"]


class Oracle:
    """Detects what it was told, image after image."""

    def __init__(self, *detections):
        self.detections = iter(detections)

    def detect(self, images, verbose=0):
        return [next(self.detections) for _ in images]


# Rows 2 to 5 and columns 3 to 9 of 20 x 20, column by column: 3 * 20 + 2 = 62 off, 4 on, then six
# times 16 off and 4 on; 400 - 62 - 7 * 4 - 6 * 16 = 214 remain.
CODE = mask_utils.frPyObjects({"size": [20, 20], "counts": [62, 4] + [16, 4] * 6 + [214]}, 20, 20)
CODE = {"size": [20, 20], "counts": CODE["counts"].decode()}
A, B = (0, 0, 10, 10), (10, 10, 20, 20)


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
    assert "1/1" in capsys.readouterr().out


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
