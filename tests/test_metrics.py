import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mrcnn.evaluate import per_image as metrics

WIDTH = 60


def strips(*ranges, width=WIDTH):
    """Masks of one row, each from a column to a column: [1, width, N]."""
    columns = np.arange(width)[:, None]
    low, high = np.array(ranges, int).reshape(-1, 2).T
    return ((columns >= low) & (columns < high))[None]


def boxes_of(ranges):
    return np.array([[0, low, 1, high] for low, high in ranges], int).reshape(-1, 4)


def objects(ranges, class_ids=None):
    """Boxes, class ids (1 by default) and masks of ground truths."""
    class_ids = np.ones(len(ranges), int) if class_ids is None else np.array(class_ids)
    return boxes_of(ranges), class_ids, strips(*ranges)


def found(ranges, scores=None, class_ids=None):
    """The same with scores, falling by default, of predictions."""
    boxes, class_ids, masks = objects(ranges, class_ids)
    return boxes, class_ids, np.arange(len(ranges), 0, -1) if scores is None else scores, masks


# ---- overlaps of masks


def test_overlaps_of_masks():
    # 10 columns each: 5 of 15 in common, nothing, all; and 10 of 20
    overlaps = metrics.compute_overlaps_masks(strips((0, 10)), strips((5, 15), (20, 30), (0, 10)))
    assert_allclose(overlaps, [[5 / 15, 0, 1]])
    assert_allclose(metrics.compute_overlaps_masks(strips((0, 20)), strips((0, 10))), [[0.5]])


@pytest.mark.parametrize("planes", [False, True], ids=["instances last", "planes"])
def test_overlaps_over_many_tiles(planes):
    masks = np.zeros((70, 200, 3), bool)
    masks[:, 60:130, 0] = True  # 70 x 70
    masks[60:, :130, 1] = True  # 10 x 130, of which 10 x 70 in common
    masks[69, 199, 2] = True  # the last pixel
    if planes:
        masks = np.moveaxis(np.ascontiguousarray(np.moveaxis(masks, -1, 0)), 0, -1)
    common = 700 / (4900 + 1300 - 700)
    expected = [[1, common, 0], [common, 1, 0], [0, 0, 1]]
    assert_allclose(metrics.compute_overlaps_masks(masks, masks), expected)


def test_masks_are_above_a_half():
    # 255 and 0.51 are the object, 0.5 is not: 1 of 2
    first, second = np.array([[[255], [0]]], np.uint8), np.array([[[0.51], [0.5]]])
    assert_allclose(metrics.compute_overlaps_masks(first, second), [[1]])
    assert_allclose(metrics.compute_overlaps_masks(first, second + 0.1), [[0.5]])


def test_empty_masks_overlap_nothing():
    empty, none = strips((0, 0)), strips()
    assert metrics.compute_overlaps_masks(empty, empty).tolist() == [[0]]
    assert metrics.compute_overlaps_masks(none, strips((0, 5), (5, 9))).shape == (0, 2)
    assert metrics.compute_overlaps_masks(empty, none).shape == (1, 0)


def test_masks_must_have_one_size():
    with pytest.raises(ValueError, match=r"received \[1, 60, 1\] and \[56, 56, 1\].*use_mini_mask"):
        metrics.compute_overlaps_masks(strips((0, 5)), np.ones((56, 56, 1), bool))


# ---- matches


def test_matches_are_made_in_the_order_of_scores():
    # Both predictions want ground truth 0: IoU 8/10 and 10/10. The second has the better score.
    truth = objects([(0, 10), (30, 40)])
    gt_match, pred_match, overlaps = metrics.compute_matches(
        *truth, *found([(0, 8), (0, 10), (32, 40)], scores=[0.5, 0.9, 0.7])
    )
    # In the order of scores: (0, 10), (32, 40), (0, 8).
    assert_allclose(overlaps, [[1, 0], [0, 0.8], [0.8, 0]])
    assert pred_match.tolist() == [0, 1, -1]  # index 0 is a match
    assert gt_match.tolist() == [0, 1]


def test_class_ids_follow_the_scores():
    truth = objects([(0, 10), (30, 40)], class_ids=[1, 2])
    _, pred_match, _ = metrics.compute_matches(
        *truth, *found([(0, 10), (30, 40)], scores=[0.5, 0.9], class_ids=[1, 2])
    )
    assert pred_match.tolist() == [1, 0]


def test_a_prediction_takes_the_free_truth_that_it_overlaps_most():
    # (0, 12) has IoU 10/12 with the first and 8/12 with the second; (0, 10) 1 and 8/10.
    truth = objects([(0, 10), (0, 8)])
    gt_match, pred_match, _ = metrics.compute_matches(*truth, *found([(0, 12), (0, 10)]))
    assert pred_match.tolist() == [0, 1] and gt_match.tolist() == [0, 1]


def test_equal_scores_and_overlaps_go_to_the_lower_index():
    truth = objects([(0, 10), (0, 10)])
    gt_match, pred_match, overlaps = metrics.compute_matches(
        *truth, *found([(0, 5), (0, 10), (0, 10)], scores=[0.5, 0.5, 0.5])
    )
    assert overlaps[:, 0].tolist() == [0.5, 1, 1]
    assert pred_match.tolist() == [0, 1, -1] and gt_match.tolist() == [0, 1]


def test_only_the_class_matches():
    truth = objects([(0, 10), (0, 9)], class_ids=[1, 2])
    gt_match, pred_match, _ = metrics.compute_matches(
        *truth, *found([(0, 10), (0, 9)], class_ids=[2, 3])
    )
    assert pred_match.tolist() == [1, -1] and gt_match.tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("thresholds", "matched"),
    [
        ({"iou_threshold": 0.7}, True),  # IoU 7/10 is enough, exactly
        ({"iou_threshold": 0.71}, False),
        ({"iou_threshold": 0.5, "score_threshold": 0.7}, True),
        ({"iou_threshold": 0.5, "score_threshold": 0.71}, False),
        ({"iou_threshold": 0.71, "score_threshold": 0.5}, False),
    ],
)
def test_thresholds(thresholds, matched):
    result = metrics.compute_matches(*objects([(0, 10)]), *found([(0, 7)]), **thresholds)
    assert (result[0].tolist(), result[1].tolist()) == (([0], [0]) if matched else ([-1], [-1]))


@pytest.mark.parametrize("all_padded", [True, False])
def test_boxes_of_zeros_are_padding(all_padded):
    boxes, class_ids, masks = objects([(0, 10), (30, 40)])
    padded = np.zeros((5, 4), int)
    padded[[1, 3]] = boxes
    if all_padded:
        class_ids = np.array([9, 1, 9, 1, 9])
        masks = strips((0, 60), (0, 10), (0, 60), (30, 40), (0, 60))
    predictions = found([(30, 40), (0, 10)])
    gt_match, pred_match, overlaps = metrics.compute_matches(padded, class_ids, masks, *predictions)
    assert gt_match.tolist() == [1, 0] and pred_match.tolist() == [1, 0]
    assert_array_equal(overlaps, [[0, 1], [1, 0]])


@pytest.mark.parametrize("shape", [(1, WIDTH, 0), (0, 28, 28), (0,)])
def test_matches_of_nothing(shape):
    none = np.zeros((0, 4)), np.zeros(0, int), np.zeros(shape)
    gt_match, pred_match, overlaps = metrics.compute_matches(
        *objects([(0, 10)]), *none[:2], np.zeros(0), none[2]
    )
    assert gt_match.tolist() == [-1] and pred_match.shape == (0,) and overlaps.shape == (0, 1)
    gt_match, pred_match, overlaps = metrics.compute_matches(*none, *found([(0, 10)]))
    assert gt_match.shape == (0,) and pred_match.tolist() == [-1] and overlaps.shape == (1, 0)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"gt_masks": strips((0, 10))}, r"gt_masks of 2 boxes, received shape \[1, 60, 1\]"),
        ({"gt_masks": np.ones((56, 56, 2))}, "use_mini_mask=False"),
        ({"gt_class_ids": [1, 1, 1]}, r"gt_class_ids of 2 boxes, received shape \[3\]"),
        ({"pred_scores": [0.5]}, r"pred_scores of 2 boxes, received shape \[1\]"),
        ({"pred_masks": None}, r"pred_masks of 2 boxes, received shape \[\]"),
        ({"gt_boxes": np.zeros((0, 4))}, r"gt_class_ids of 0 boxes, received shape \[2\]"),
    ],
)
def test_arrays_must_fit(changed, words):
    names = ("gt_boxes", "gt_class_ids", "gt_masks")
    names += ("pred_boxes", "pred_class_ids", "pred_scores", "pred_masks")
    ranges = [(0, 10), (30, 40)]
    arguments = dict(zip(names, (*objects(ranges), *found(ranges)), strict=True))
    with pytest.raises(ValueError, match=words):
        metrics.compute_ap(**{**arguments, **changed})


# ---- average precision


def test_ap_of_three_predictions_for_two_objects():
    # By score: a hit, a miss, a hit. Precisions 1/1, 1/2, 2/3, recalls 1/2, 1/2, 2/2.
    # The envelope from the right is 0, 2/3, 2/3, 1, 1: area 1/2 * 1 + 1/2 * 2/3 = 5/6.
    truth = objects([(0, 10), (30, 40)])
    value, precisions, recalls, overlaps = metrics.compute_ap(
        *truth, *found([(50, 60), (30, 40), (0, 9)], scores=[0.8, 0.7, 0.9])
    )
    assert value == pytest.approx(5 / 6)
    assert_allclose(precisions, [1, 1, 2 / 3, 2 / 3, 0])
    assert_allclose(recalls, [0, 1 / 2, 1 / 2, 1, 1])
    assert_allclose(overlaps, [[0.9, 0], [0, 0], [0, 1]])


def test_ap_of_a_missed_object():
    # One hit for two objects: recall 1/2 at precision 1, nothing beyond.
    value, precisions, recalls, _ = metrics.compute_ap(
        *objects([(0, 10), (30, 40)]), *found([(0, 10)])
    )
    assert value == 0.5
    assert precisions.tolist() == [1, 1, 0] and recalls.tolist() == [0, 0.5, 1]


def test_ap_threshold():
    truth, predictions = objects([(0, 10)]), found([(0, 7)])
    values = [metrics.compute_ap(*truth, *predictions, iou_threshold=t)[0] for t in (0.7, 0.75)]
    assert values == [1, 0]


def test_ap_of_nothing():
    truth, none = objects([(0, 10)]), objects([])
    predictions, nothing = found([(0, 10)]), found([])
    value, precisions, recalls, _ = metrics.compute_ap(*none, *nothing)
    assert value == 1 and precisions.tolist() == [1, 1] and recalls.tolist() == [0, 1]
    value, precisions, recalls, _ = metrics.compute_ap(*none, *predictions)
    assert value == 0 and precisions.tolist() == [0, 0, 0] and recalls.tolist() == [0, 0, 1]
    value, precisions, recalls, _ = metrics.compute_ap(*truth, *nothing)
    assert value == 0 and precisions.tolist() == [0, 0] and recalls.tolist() == [0, 1]


def test_crowds_are_no_ground_truth():
    # One object, and a crowd of 20 columns; two predictions lie on the crowd, one of them of
    # another class. The crowd is not missed, and what lies on it is false for the other class only.
    truth = objects([(0, 10), (20, 40)], class_ids=[1, -1])
    on_crowd = found([(22, 26), (0, 10)])
    gt_match, pred_match, overlaps = metrics.compute_matches(*truth, *on_crowd)
    assert gt_match.tolist() == [1, -1] and pred_match.tolist() == [-1, 0]
    assert_allclose(overlaps, [[0, 4 / 20], [1, 0]])
    value, precisions, recalls, _ = metrics.compute_ap(*truth, *on_crowd)
    assert value == 1 and precisions.tolist() == [1, 1, 0] and recalls.tolist() == [0, 1, 1]
    other = found([(22, 26), (0, 10)], class_ids=[2, 1])
    assert metrics.compute_ap(*truth, *other)[0] == 0.5  # a miss, then a hit: precision 1/2


def test_a_prediction_is_on_a_crowd_by_the_share_of_its_own_area():
    # 6 of its 10 columns are on the crowd: ignored at 0.6, above that a miss before a hit.
    truth = objects([(0, 10), (20, 40)], class_ids=[1, -1])
    predictions = found([(16, 26), (0, 10)])
    assert metrics.compute_ap(*truth, *predictions, iou_threshold=0.6)[0] == 1
    assert metrics.compute_ap(*truth, *predictions, iou_threshold=0.65)[0] == 0.5


def test_a_hit_on_a_crowd_is_a_hit():
    truth = objects([(0, 10), (0, 40)], class_ids=[1, -1])
    value, precisions, _, _ = metrics.compute_ap(*truth, *found([(0, 10), (12, 20)]))
    assert value == 1 and precisions.tolist() == [1, 1, 0]


def test_only_a_crowd_is_nothing_to_find():
    crowd = objects([(20, 40)], class_ids=[-1])
    assert metrics.compute_ap(*crowd, *found([(20, 30)]))[0] == 1
    assert metrics.compute_ap(*crowd, *found([(0, 10)]))[0] == 0


def test_ap_range(capsys):
    # IoU 0.7: enough at 0.50, 0.55, 0.60, 0.65 and 0.70 of ten thresholds.
    truth, predictions = objects([(0, 10)]), found([(0, 7)])
    assert metrics.compute_ap_range(*truth, *predictions, verbose=0) == 0.5
    assert not capsys.readouterr().out
    assert metrics.compute_ap_range(*truth, *predictions) == 0.5
    lines = capsys.readouterr().out.splitlines()
    assert lines[4] == "AP @0.70:\t 1.000" and lines[5] == "AP @0.75:\t 0.000"
    assert lines[10:] == ["AP @0.50-0.95:\t 0.500"]
    thresholds = np.array([0.6, 0.7, 0.8])
    value = metrics.compute_ap_range(*truth, *predictions, iou_thresholds=thresholds, verbose=0)
    assert value == pytest.approx(2 / 3)


# ---- recall of boxes


def test_recall():
    # Predictions 0 and 1 overlap ground truth 0 most (1 and 8/10), 2 overlaps 1 by 5/15.
    predictions, truth = boxes_of([(0, 10), (0, 8), (25, 35)]), boxes_of([(0, 10), (30, 40)])
    recall, positive = metrics.compute_recall(predictions, truth, 0.5)
    assert recall == 0.5 and positive.tolist() == [0, 1]
    recall, positive = metrics.compute_recall(predictions, truth, 0.3)
    assert recall == 1 and positive.tolist() == [0, 1, 2]
    recall, positive = metrics.compute_recall(predictions, truth, 0.8)  # exactly
    assert recall == 0.5 and positive.tolist() == [0, 1]


def test_recall_of_nothing():
    none, one = np.zeros((0, 4)), boxes_of([(0, 10)])
    for predictions, truth, expected in ((none, one, 0), (one, none, 1), (none, none, 1)):
        recall, positive = metrics.compute_recall(predictions, truth, 0.5)
        assert recall == expected and positive.shape == (0,)


def test_class_ids_may_keep_the_padding_that_the_boxes_lost():
    # As scripts do with a generator's batch: trim_zeros of the boxes alone.
    mask = np.zeros((8, 8, 1), bool)
    mask[2:6, 2:6] = True
    boxes = np.array([[2, 2, 6, 6]])
    found = metrics.compute_ap(boxes, np.array([1, 0, 0]), mask, boxes, [1], [0.9], mask)
    assert found[0] == 1.0
    with pytest.raises(ValueError, match="Expected gt_class_ids of 1 boxes"):
        metrics.compute_ap(boxes, np.array([1, 2]), mask, boxes, [1], [0.9], mask)
