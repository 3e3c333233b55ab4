"""Panoptic maps: the merge of instances and stuff, and panoptic quality."""

import os
from pathlib import Path

import numpy as np
import pytest

from mrcnn.evaluate.panoptic import Matches, PanopticScores, evaluate_panoptic, match_segments
from mrcnn.inference.panoptic import merge
from mrcnn.settings import Panoptic

SAMPLE = Path(os.environ.get("MRCNN_DATA", "."), "panoptic_sample", "sample_data")
THINGS = 3  # background and two things; stuff is of the classes 3 and 4


def merged(planes, scores, classes, class_ids=(1, 2, 1), **keys):
    """What instances of masks [n, H, W] and the classes of a semantic head become."""
    planes, classes = np.array(planes, bool), np.array(classes)
    found = {
        "masks": np.moveaxis(planes, 0, -1),
        "scores": np.array(scores, np.float32),
        "class_ids": np.array(class_ids[: len(planes)], np.int32),
    }
    settings = Panoptic(**{"min_confidence": 0.5, "overlap": 0.5, "stuff_area": 2, **keys})
    probabilities = np.full(classes.shape, 0.75, np.float32)
    return merge(found, classes, probabilities, THINGS, settings)


FIRST = [[1, 1, 1, 0, 0, 0], [0] * 6]
SECOND = [[0, 0, 1, 1, 0, 0], [0] * 6]  # half of it is under the first
THIRD = [[0, 1, 1, 1, 0, 0], [0] * 6]  # two thirds
STUFF = [[0, 1, 1, 1, 1, 0], [2, 2, 2, 2, 0, 1]]


def test_instances_come_first_then_what_is_left_of_stuff():
    # The second keeps the pixel that is free. Of stuff 1 five pixels are predicted, of which two
    # are free; of stuff 2 four. The others are nothing: the head says thing there.
    found = merged([FIRST, SECOND], [0.9, 0.8], STUFF)
    assert found["segmentation"].tolist() == [[1, 1, 1, 2, 3, 0], [4, 4, 4, 4, 0, 3]]
    assert found["segmentation"].dtype == np.int32
    facts = [(x["id"], x["class_id"], x["is_thing"], x["area"]) for x in found["segments"]]
    assert facts == [(1, 1, True, 3), (2, 2, True, 1), (3, 3, False, 2), (4, 4, False, 4)]
    assert [x["score"] for x in found["segments"]] == pytest.approx([0.9, 0.8, 0.75, 0.75])


def test_an_instance_mostly_covered_is_left_out():
    found = merged([FIRST, THIRD], [0.9, 0.8], STUFF)
    assert [x["id"] for x in found["segments"]] == [1, 2, 3]
    assert [x["is_thing"] for x in found["segments"]] == [True, False, False]
    # A share of exactly PANOPTIC_OVERLAP is not too much.
    found = merged([FIRST, THIRD], [0.9, 0.8], STUFF, overlap=2 / 3)
    assert [x["is_thing"] for x in found["segments"]] == [True, True, False, False]


def test_an_instance_wholly_covered_is_no_segment():
    found = merged([FIRST, FIRST], [0.9, 0.8], STUFF, overlap=1.0)
    assert [x["is_thing"] for x in found["segments"]] == [True, False, False]
    assert all(x["area"] for x in found["segments"])


def test_the_best_score_is_in_front():
    found = merged([FIRST, SECOND], [0.7, 0.8], STUFF)
    assert found["segmentation"][0].tolist()[:4] == [2, 2, 1, 1]
    assert [x["class_id"] for x in found["segments"]][:2] == [2, 1]


def test_unsure_instances_are_left_out():
    found = merged([FIRST, SECOND], [0.9, 0.4999], STUFF)
    assert [x["is_thing"] for x in found["segments"]] == [True, False, False]
    found = merged([FIRST, SECOND], [0.9, 0.5], STUFF)
    assert [x["is_thing"] for x in found["segments"]] == [True, True, False, False]


def test_small_stuff_is_left_out():
    found = merged([FIRST, SECOND], [0.9, 0.8], STUFF, stuff_area=3)
    assert found["segmentation"].tolist() == [[1, 1, 1, 2, 0, 0], [3, 3, 3, 3, 0, 0]]


def test_nothing_found():
    found = merged(np.zeros((0, 2, 6)), [], np.zeros((2, 6), int))
    assert not found["segmentation"].any() and found["segments"] == []
    empty = merged([np.zeros((2, 6))], [0.9], STUFF)  # a mask without a pixel
    assert [x["is_thing"] for x in empty["segments"]] == [False, False]


# Panoptic quality.


def segments(*entries):
    """(id, class id) or (id, class id, is_crowd) as dicts."""
    names = ("id", "class_id", "is_crowd")
    return [dict(zip(names, entry, strict=False)) for entry in entries]


def test_a_match_needs_more_than_half():
    # 2 of 3 pixels of the union: IoU 2/3. In the second pair 1 of 2: IoU 1/2 is no match.
    truth = np.array([[1, 1, 1, 2, 2]]), segments((1, 1), (2, 1))
    found = np.array([[1, 1, 0, 2, 0]]), segments((1, 1), (2, 1))
    assert match_segments(truth, found) == Matches([(1, pytest.approx(2 / 3))], [1], [1])


def test_classes_must_agree():
    truth = np.array([[1, 1, 2, 2]]), segments((1, 1), (2, 2))
    found = np.array([[5, 5, 6, 6]]), segments((5, 1), (6, 1))
    assert match_segments(truth, found) == Matches([(1, 1.0)], [2], [1])


def test_void_is_no_part_of_what_was_found():
    # Of the found six pixels two are void: IoU 3 / (6 + 3 - 3 - 2) = 3/4.
    truth = np.array([[1, 1, 1, 2, 0, 0]]), segments((1, 1), (2, 2))
    found = np.array([[7, 7, 7, 7, 7, 7]]), segments((7, 1))
    assert match_segments(truth, found) == Matches([(1, 0.75)], [2], [])


def test_found_segments_mostly_in_void_are_ignored():
    truth = np.array([[0, 0, 0, 1, 1, 1]]), segments((1, 1))
    found = np.array([[4, 4, 5, 5, 0, 0]]), segments((4, 2), (5, 2))
    # 4 lies in void; of 5 half does, which is not more than half.
    assert match_segments(truth, found) == Matches([], [1], [2])


def test_crowds_are_neither_missed_nor_matched():
    truth = np.array([[1, 1, 1, 1, 2, 2]]), segments((1, 1, True), (2, 2))
    found = np.array([[3, 3, 3, 4, 4, 4]]), segments((3, 1), (4, 1))
    # 3 lies in the crowd of its class, 4 by a third.
    assert match_segments(truth, found) == Matches([], [2], [1])
    # A crowd of another class excuses nothing; one that fits perfectly is no match.
    found = np.array([[3, 3, 3, 3, 0, 0]]), segments((3, 2))
    assert match_segments(truth, found) == Matches([], [2], [2])
    found = np.array([[3, 3, 3, 3, 5, 5]]), segments((3, 1), (5, 2))
    assert match_segments(truth, found) == Matches([(2, 1.0)], [], [])


def test_all_void_counts_nothing():
    found = np.array([[3, 3, 4, 4]]), segments((3, 1), (4, 2))
    assert match_segments((np.zeros((1, 4), int), []), found) == Matches([], [], [])


class Street:
    """Two pictures of one row: things of classes 1 and 2, stuff of 3 and 4."""

    num_classes, num_stuff_classes = 5, 2
    class_names = ("BG", "car", "person", "road", "sky")
    image_ids = (0, 1)
    image_info = ({"id": 0, "path": "a"}, {"id": 1, "path": "b"})
    maps = (np.array([[1, 1, 1, 1, 2, 2, 3, 3]]), np.array([[1, 1, 2, 2, 3, 3, 3, 3]]))

    def load_image(self, image_id):
        return image_id

    def load_panoptic(self, image_id):
        kinds = ((1, 1), (2, 1), (3, 3)) if image_id == 0 else ((1, 1), (2, 2), (3, 3))
        return self.maps[image_id], [
            {"id": i, "class_id": c, "is_thing": c < 3, "is_crowd": False} for i, c in kinds
        ]


class Model:
    """Finds what is given for each picture."""

    def __init__(self, *found):
        self.found = found

    def detect(self, images):
        ids, kinds = self.found[images[0]]
        return [{"segmentation": np.array([ids]), "segments": segments(*kinds)}]


def test_quality_of_a_data_set():
    # Cars: the truth has 3. In the first picture one is found by 3 of 4 pixels (IoU 3/4), the
    # other not; in the second the car is whole (1), and a car is found where a person is (false).
    # SQ (3/4 + 1) / 2 = 7/8, RQ 2 / (2 + 1/2 + 1/2) = 2/3, PQ 7/12. The person is missed: 0.
    # Road: 2 of 5 pixels in the first (missed, and false), whole in the second: SQ 1,
    # RQ 1 / (1 + 1/2 + 1/2) = 1/2. No sky.
    model = Model(
        ([1, 1, 1, 9, 9, 9, 9, 9], ((1, 1), (9, 3))),
        ([1, 1, 2, 2, 3, 3, 3, 3], ((1, 1), (2, 1), (3, 3))),
    )
    found = evaluate_panoptic(model, Street())
    car, person, road, sky = found.per_class()
    assert (car["SQ"], car["RQ"], car["PQ"]) == pytest.approx((7 / 8, 2 / 3, 7 / 12))
    assert (car["matched"], car["missed"], car["false"]) == (2, 1, 1)
    assert (person["SQ"], person["RQ"], person["PQ"]) == (0, 0, 0)
    assert (road["SQ"], road["RQ"], road["PQ"]) == (1, 0.5, 0.5)
    assert np.isnan(sky["PQ"])
    scores = found.scores()
    assert scores["PQ"] == pytest.approx((7 / 12 + 0 + 1 / 2) / 3)
    assert scores["SQ"] == pytest.approx((7 / 8 + 0 + 1) / 3)
    assert scores["RQ"] == pytest.approx((2 / 3 + 0 + 1 / 2) / 3)
    assert scores["PQ_things"] == pytest.approx(7 / 24) and scores["PQ_stuff"] == 0.5


def test_the_truth_itself_has_quality_one():
    dataset = Street()
    scores = PanopticScores(dataset)
    for image_id in (0, 1):
        ids, found = dataset.load_panoptic(image_id)
        scores.add(image_id, {"segmentation": ids, "segments": found})
    assert set(scores.scores().values()) == {1.0}


def test_a_data_set_without_segments_is_told_the_fix():
    class Instances(Street):
        def load_panoptic(self, image_id):
            return None

    with pytest.raises(ValueError, match=r"Image 0 \(a\): expected segments .*'coco_panoptic'"):
        PanopticScores(Instances())


def test_quality_of_nothing_is_nan():
    assert all(np.isnan(x) for x in PanopticScores(Street()).scores().values())


@pytest.mark.realdata
def test_quality_on_cocos_sample():
    """Against the panoptic API's numbers (`panopticapi/evaluation.py`) for the truth moved to the
    right by 8 pixels."""
    from mrcnn.data.loading import load

    path = SAMPLE / "panoptic_examples.json"
    dataset = load(path, images=SAMPLE / "input_images", verbose=0)
    scores = PanopticScores(dataset)
    for image_id in dataset.image_ids:
        ids, found = dataset.load_panoptic(image_id)
        moved = np.zeros_like(ids)
        moved[:, 8:] = ids[:, :-8]
        present = np.unique(moved)
        kept = [x for x in found if x["id"] in present]
        scores.add(image_id, {"segmentation": moved, "segments": kept})
    expected = {
        **{"PQ": 0.5265325672, "SQ": 0.6123962773, "RQ": 0.7220279720},
        **{"PQ_things": 0.2774443143, "SQ_things": 0.4491717345, "RQ_things": 0.4440559441},
        **{"PQ_stuff": 0.7756208200, "SQ_stuff": 0.7756208200, "RQ_stuff": 1.0},
    }
    assert scores.scores() == pytest.approx(expected, abs=1e-9)
