"""What is right and wrong in a picture, the contest's score and boundary IoU, by hand."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scenes import A, B, Oracle, Pictures, detection, square

from mrcnn.evaluate import Evaluation, boundary_band, boundary_overlaps
from mrcnn.evaluate.annotations import encode
from mrcnn.evaluate.matches import match_classes
from mrcnn.evaluate.pictures import compare_pictures, confusion_matrix, match

DATA = os.environ.get("MRCNN_DATA")


def evaluation_of(truth, found):
    return Evaluation.of(Oracle(detection(*found)), Pictures(truth))


def wrong(truth, found, **arguments):
    (row,) = evaluation_of(truth, found).errors(score=0, **arguments)
    return {kind: row[kind] for kind in ("missed", "false", "wrong_class", "poor_mask")}


NOTHING = {"missed": [], "false": [], "wrong_class": [], "poor_mask": []}


def test_the_best_score_chooses_first():
    # Both may have object 0 (IoU 0.6 and 0.9); the first takes it, the second the other one.
    overlaps = np.array([[0.6, 0.0], [0.9, 0.5]])
    assert match(overlaps, overlaps >= 0.5).tolist() == [0, 1]
    assert match(overlaps, overlaps >= 0.55).tolist() == [0, -1]


def test_of_equal_overlaps_the_last_is_taken_as_in_cocoeval():
    # COCOeval goes on to an object that overlaps as much: the second detection finds 1 taken.
    overlaps = np.array([[0.7, 0.7], [0.0, 0.8]])
    assert match(overlaps, overlaps >= 0.5).tolist() == [1, -1]


def test_a_second_detection_of_an_object_is_false():
    assert wrong([(A, 1)], [(A, 1, 0.5), (A, 1, 0.75)]) == NOTHING | {"false": [0]}


def test_the_right_class_comes_before_a_wrong_one_of_better_score():
    # The dog scores better on the cat, but a cat is there too: the dog is false.
    assert wrong([(A, 1)], [(A, 2, 0.75), (A, 1, 0.5)]) == NOTHING | {"false": [0]}
    assert wrong([(A, 1)], [(A, 2, 0.75)]) == NOTHING | {"wrong_class": [(0, 0)]}


def test_a_poor_mask_has_an_iou_from_a_tenth_to_the_threshold():
    # 4, 1 and 0.5 of 10 rows: IoU 0.4, 0.1 and 0.05.
    assert wrong([(A, 1)], [((0, 0, 4, 10), 1, 0.5)]) == NOTHING | {"poor_mask": [(0, 0)]}
    assert wrong([(A, 1)], [((0, 0, 1, 10), 1, 0.5)]) == NOTHING | {"poor_mask": [(0, 0)]}
    assert wrong([(A, 1)], [((0, 0, 1, 5), 1, 0.5)]) == NOTHING | {"missed": [0], "false": [0]}
    assert wrong([(A, 1)], [((0, 0, 4, 10), 1, 0.5)], iou=0.4) == NOTHING


def test_what_lies_on_a_crowd_of_its_class_is_not_wrong():
    crowd, inside = [(B, -1)], (12, 12, 16, 16)
    assert wrong(crowd, [(inside, 1, 0.5), (inside, 1, 0.75)]) == NOTHING
    assert wrong(crowd, [(inside, 2, 0.5)]) == NOTHING | {"false": [0]}
    # 4 of its 16 rows lie outside, above: 0.75 of it is on the crowd, not 0.8.
    assert wrong(crowd, [((6, 10, 20, 20), 1, 0.5)], iou=0.7) == NOTHING
    assert wrong(crowd, [((6, 10, 20, 20), 1, 0.5)], iou=0.75) == NOTHING | {"false": [0]}


def test_a_found_object_beside_a_crowd_is_found():
    # The detection overlaps both; an object comes before a crowd.
    assert wrong([(A, 1), ((0, 0, 20, 20), -1)], [(A, 1, 0.5)]) == NOTHING


def test_scores_below_the_threshold_do_not_count():
    evaluation = evaluation_of([(A, 1)], [(A, 1, 0.5), (B, 1, 0.25)])
    assert evaluation.errors(score=0.5)[0]["error"] == 0
    assert evaluation.errors(score=0.25)[0]["false"] == [1]
    assert evaluation.errors(score=0.625)[0]["missed"] == [0]


# ---- the contest


def contest(truth, found):
    return evaluation_of(truth, found).contest()["score"]


def test_contest_needs_more_than_the_threshold():
    # IoU 7/10 is above 0.50, 0.55, 0.60, 0.65: 4 of 10; COCO counts 0.70 too: 5 of 10.
    evaluation = evaluation_of([(A, 1)], [((0, 0, 7, 10), 1, 0.5)])
    found = evaluation.contest()
    assert found["score"] == pytest.approx(0.4)
    assert evaluation.scores["segm"]["AP"] == pytest.approx(0.5)
    assert found["by_threshold"][0.65] == 1 and found["by_threshold"][0.7] == 0


def test_contest_finds_an_object_once():
    assert contest([(A, 1)], [(A, 1, 0.5), (A, 1, 0.25)]) == pytest.approx(1 / 2)


def test_contest_does_not_ask_for_scores():
    # A false alarm of low score costs as much as any: 1 / (1 + 1). COCO's AP stays 1.
    evaluation = evaluation_of([(A, 1)], [(A, 1, 0.875), (B, 1, 0.125)])
    assert evaluation.contest()["score"] == pytest.approx(1 / 2)
    assert evaluation.contest(score=0.5)["score"] == 1
    assert evaluation.scores["segm"]["AP"] == pytest.approx(1)


def test_contest_of_objects_that_touch():
    # One detection over both halves: IoU 50/100 with each, which is not above 0.5. Two found
    # apart are right.
    halves = [((0, 0, 10, 5), 1), ((0, 5, 10, 10), 1)]
    assert contest(halves, [(A, 1, 0.5)]) == 0
    assert contest(halves, [(box, 1, 0.5) for box, _ in halves]) == 1


def test_contest_asks_for_the_class():
    assert contest([(A, 1)], [(A, 2, 0.5)]) == 0


def test_contest_of_pictures_without_objects():
    assert contest([], []) == 1
    assert contest([], [(A, 1, 0.5)]) == 0


# ---- boundary IoU


def test_band_of_one_pixel():
    # 20 x 20: 0.02 * 28.28 = 0.57, one pixel. Of 10 x 10 the inner 8 x 8 are off the outline,
    # also at the image's corner.
    for box in ((4, 4, 14, 14), (0, 0, 10, 10)):
        band = boundary_band(square(*box))
        y1, x1, y2, x2 = box
        expected = square(*box) & ~square(y1 + 1, x1 + 1, y2 - 1, x2 - 1)
        assert_array_equal(band, expected)
    assert boundary_band(np.ones((10, 10), bool)).sum() == 36


def test_band_grows_with_the_image():
    # 100 x 100: 0.02 * 141.4 = 2.83, three pixels: of 10 x 10 the inner 4 x 4 remain.
    band = boundary_band(square(20, 20, 30, 30, size=100))
    assert band.sum() == 100 - 16
    assert not band[23:27, 23:27].any() and band[22, 25]
    # Of 5 x 5 all is within three pixels of the outline.
    assert boundary_band(square(20, 20, 25, 25, size=100)).sum() == 25


def test_holes_and_parts_have_outlines():
    # A hole of one pixel: its 8 neighbours are on an outline too.
    mask = square(2, 2, 13, 13)
    mask[7, 7] = False
    assert boundary_band(mask).sum() == 40 + 8
    two = square(0, 0, 5, 5) | square(10, 10, 15, 15)
    assert boundary_band(two).sum() == 2 * 16


def test_band_of_nothing():
    assert not boundary_band(np.zeros((20, 20), bool)).any()
    assert boundary_overlaps([], [encode(square(*A))], [0]).shape == (0, 1)


def test_boundary_overlaps():
    # 10 x 10 and its left 10 x 9: masks 90/100. Bands of 36 and 34 pixels share rows 0 and 9, 9
    # each, and 8 more of column 0: 26 of 36 + 34 - 26 = 44. A crowd is compared by masks: 90/90.
    codes, truth = [encode(square(0, 0, 10, 9))], encode(square(*A))
    found = boundary_overlaps(codes, [truth, truth], [0, 1])
    assert_allclose(found, [[26 / 44, 1]])


def test_the_mask_counts_where_the_outlines_agree():
    # A frame of one pixel around 8 x 8 of nothing, and the whole 10 x 10: bands are equal, masks
    # share 36 of 100.
    frame = square(*A) & ~square(1, 1, 9, 9)
    assert_allclose(boundary_overlaps([encode(frame)], [encode(square(*A))], [0]), [[0.36]])


def test_boundary_average_precision():
    # 26/44 = 0.59 reaches 0.50 and 0.55: 2 of 10 thresholds; the mask's 0.9 reaches nine.
    evaluation = evaluation_of([(A, 1)], [((0, 0, 10, 9), 1, 0.5)])
    assert evaluation.boundary_scores()["AP"] == pytest.approx(0.2)
    assert evaluation.scores["segm"]["AP"] == pytest.approx(0.9)
    assert evaluation.per_class("boundary")[0]["AP"] == pytest.approx(0.2)
    assert evaluation.errors(0.6, 0, "boundary")[0]["poor_mask"] == [(0, 0)]


def test_boundary_average_precision_goes_by_the_scores():
    # The false alarm comes second in the list and first by score: the hit is the second of two.
    evaluation = evaluation_of([(A, 1)], [(A, 1, 0.25), (B, 1, 0.75)])
    assert evaluation.boundary_scores()["AP"] == pytest.approx(0.5)


def test_boundary_of_pictures_without_objects():
    evaluation = evaluation_of([], [(A, 1, 0.5)])
    assert np.isnan(evaluation.boundary_scores()["AP"])


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="MRCNN_DATA is not set")
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_right_detections_are_cocoevals_hits(kind):
    folder = Path(DATA) / "coco_eval_fake100"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
    pictures = compare_pictures(truth, results, kind, 100)
    hits = match_classes(truth, results, kind, 100)
    for t, iou in ((0, 0.5), (5, 0.75)):
        for score in (0.0, 0.3):
            matrix = confusion_matrix(pictures, 80, iou, score)
            expected = [np.sum(each.hits[t] & (each.scores >= score)) for each in hits]
            assert np.diag(matrix)[1:].tolist() == expected
            # All that counts is somewhere: columns are the detections, rows the objects.
            shown = [
                np.sum((each.hits[t] | each.false[t]) & (each.scores >= score)) for each in hits
            ]
            assert matrix[:, 1:].sum(axis=0).tolist() == shown
            assert matrix[1:].sum(axis=1).tolist() == [each.objects.sum() for each in hits]
