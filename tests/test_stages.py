"""What each stage of a network says of a picture, and why boxes became detections or did not."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tiny import TinyConfig, shapes, tiny_of

from mrcnn.inference.stages import Inspector
from mrcnn.inference.suppression import Fate, suppress
from mrcnn.model import create
from mrcnn.settings import Detections

RULES = Detections(
    max_instances=4,
    min_confidence=0.2,
    nms_threshold=0.3,
    nms="hard",
    class_agnostic_nms=False,
)
# Areas 100, 100, 100, 25: of A and B 80 are shared, IoU 80 / 120 = 2/3; C lies apart.
BOXES = [[0, 0, 10, 10], [0, 2, 10, 12], [20, 20, 30, 30], [0, 0, 5, 5]]
A, B, C, SMALL = range(4)


def rules(**changes):
    return dataclasses.replace(RULES, **changes)


def test_reasons_of_hard_suppression():
    # The small box lies in A: IoU 25 / 100 = 0.25, not above 0.3.
    found = suppress(BOXES, [0.9, 0.8, 0.1, 0.7], [1, 1, 1, 1], RULES)
    assert_array_equal(found.kept, [A, SMALL])
    assert found.fates.tolist() == [Fate.DETECTED, Fate.OVERLAPPED, Fate.UNSURE, Fate.DETECTED]
    assert_array_equal(found.rivals, [-1, A, -1, -1])
    assert_allclose(found.overlaps, [0, 2 / 3, 0, 0])
    assert_allclose(found.scores, [0.9, 0.8, 0.1, 0.7])


def test_other_classes_are_no_rivals_unless_all_are():
    scores, ids = [0.9, 0.8, 0.7, -np.inf], [1, 2, 1, 1]
    found = suppress(BOXES, scores, ids, RULES)
    assert_array_equal(found.kept, [A, B, C])
    assert found.fates[SMALL] == Fate.BACKGROUND
    found = suppress(BOXES, scores, ids, rules(class_agnostic_nms=True))
    assert_array_equal(found.kept, [A, C])
    assert (found.fates[B], found.rivals[B]) == (Fate.OVERLAPPED, A)


def test_what_is_more_than_there_may_be():
    found = suppress(BOXES, [0.9, 0.8, 0.7, 0.6], [1, 1, 1, 1], rules(max_instances=1))
    assert_array_equal(found.kept, [A])
    assert found.fates.tolist() == [0, Fate.OVERLAPPED, Fate.SURPLUS, Fate.SURPLUS]
    # Ties go to the first.
    found = suppress(BOXES, [0.5, 0.5, 0.5, 0.5], [1, 1, 1, 1], rules(max_instances=2))
    assert_array_equal(found.kept, [A, C])


def test_reasons_of_soft_suppression():
    # B: 0.8 * (1 - 2/3) = 0.2667; the small box, IoU 0.25 with A, keeps its score.
    found = suppress(BOXES, [0.9, 0.8, 0.6, 0.7], [1] * 4, rules(nms="linear"))
    assert_array_equal(found.kept, [A, SMALL, C, B])
    assert_allclose(found.scores, [0.9, 0.8 / 3, 0.6, 0.7], rtol=1e-6)
    found = suppress(BOXES, [0.9, 0.8, 0.6, 0.7], [1] * 4, rules(nms="linear", min_confidence=0.3))
    assert_array_equal(found.kept, [A, SMALL, C])
    assert (found.fates[B], found.rivals[B]) == (Fate.LOWERED, A)
    assert_allclose((found.scores[B], found.overlaps[B]), (0.8 / 3, 2 / 3), rtol=1e-6)


def test_no_boxes():
    found = suppress(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), RULES)
    assert len(found.fates) == len(found.kept) == 0


def tiny(preset=None, **keys):
    config = TinyConfig() if preset is None else tiny_of(preset)
    for key, value in keys.items():
        setattr(config, key, value)
    model = create("inference", config, "logs")
    return model, Inspector(model)


IMAGE = shapes(1).load_image(0)[:48]  # in a square there is padding around it


def check_stages(model, inspector):
    """What holds whatever the network: of what competes, the network's own detections are kept."""
    (layer,) = (x for x in model.graphs["inference"].layers if x.name.endswith("_detection"))
    detections = model.compute([IMAGE], [layer.name])[layer.name][0]
    detections = detections[detections[:, 4] > 0]
    stages = inspector.look(IMAGE)
    competing, kept = stages.candidates, stages.candidates.suppress()
    assert len(detections) > 3
    assert_array_equal(competing.class_ids[kept.kept], detections[:, 4])
    assert_allclose(kept.scores[kept.kept], detections[:, 5], atol=1e-5)
    # Boxes of equal scores may come in another order.
    apart = (np.abs(np.subtract.outer(detections[:, 5], detections[:, 5])) < 1e-5).sum(axis=0) == 1
    if inspector.available[-1] == "masks":
        kept = kept.kept[apart]
        assert_allclose(competing.normalized[kept], detections[apart, :4], atol=1e-5)
        assert_allclose(competing.boxes[kept], stages.masks.boxes[apart], atol=1e-3)
    return stages


def check_proposals(model, stages):
    """The proposals are those of the network, and the reasons lead to them too."""
    proposals, boxes = stages.proposals, stages.rois.boxes
    count = len(boxes)
    assert_allclose(proposals.boxes[:count], boxes, atol=1e-3)
    assert (np.diff(proposals.scores) <= 0).all()
    again = proposals.candidates.suppress()
    assert_allclose(proposals.candidates.boxes[again.kept], proposals.boxes, atol=1e-3)


def test_stages_of_mask_rcnn():
    model, inspector = tiny()
    assert inspector.available == ["anchors", "proposals", "rois", "candidates", "masks"]
    stages = check_stages(model, inspector)
    check_proposals(model, stages)
    # 64 pixels by strides 4 to 64: 256 + 64 + 16 + 4 + 1 places of 3 ratios.
    assert [level.shape for level in stages.anchors.maps] == [
        (64 // s,) * 2 for s in (4, 8, 16, 32, 64)
    ]
    assert np.bincount(stages.anchors.levels).tolist() == [768, 192, 48, 12, 3]
    assert len(stages.anchors.boxes) == len(stages.anchors.scores) == 1023
    assert stages.anchors.maps[4].max() == stages.anchors.scores[-3:].max()
    # The first anchor of the coarsest level: 128 x 128 at ratio 0.5, at the corner of the square in
    # which the picture of 48 rows begins at row 8: height 128 / sqrt(0.5) = 181.02, half 90.51.
    assert_allclose(stages.anchors.boxes[-3], [-98.51, -45.25, 82.51, 45.25], atol=0.6)
    assert stages.rois.probs.shape == (len(stages.rois.boxes), 4)
    assert_allclose(stages.rois.probs.sum(axis=1), 1, rtol=1e-5)
    assert (stages.rois.levels == 0).all()  # 4 + log2(64 / 224) rounds to 2
    assert stages.masks.masks.shape == (len(stages.masks.scores), 28, 28)
    # Below a score of 1.1 there is none; and a stricter suppression keeps fewer.
    assert not len(stages.candidates.suppress(min_confidence=1.1).kept)
    all_of_them = stages.candidates.suppress(nms_threshold=1.0, max_instances=1000).kept
    assert len(all_of_them) == np.isfinite(stages.candidates.scores).sum()


@pytest.mark.slow
def test_stages_with_soft_suppression():
    check_stages(*tiny(DETECTION_NMS="gaussian"))


@pytest.mark.parametrize(
    "preset, stages",
    [
        ("torchvision/maskrcnn_resnet50_fpn", "anchors proposals rois candidates masks"),
        ("torchvision/retinanet_resnet50_fpn", "anchors candidates"),
        ("detectron2/cascade_mask_rcnn_R_50_FPN_3x", "anchors proposals rois candidates masks"),
        ("detectron2/mask_rcnn_R_50_C4_3x", "anchors proposals rois candidates masks"),
    ],
)
@pytest.mark.slow
def test_stages_of_other_networks(preset, stages):
    model, inspector = tiny(preset)
    assert inspector.available == stages.split()
    found = check_stages(model, inspector)
    assert len(found.anchors.scores) == len(found.anchors.boxes) == len(found.anchors.levels)
    if found.proposals is not None and "cascade" not in preset:
        check_proposals(model, found)
