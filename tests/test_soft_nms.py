"""Soft-NMS on three boxes, whose IoU are 0.8 (A, B), 0.5 (A, C) and 5 / 8 = 0.625 (B, C)."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, i32

from mrcnn import ops
from mrcnn.layers.dense_detections import DenseDetectionLayer
from mrcnn.layers.detections import DetectionLayer
from mrcnn.ops.boxes import norm_boxes
from mrcnn.ops.soft_nms import soft_nms

A, B, C = [0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 5]
BOXES, SCORES = [A, B, C], [0.9, 0.8, 0.7]
OUT = -np.inf


def select(boxes, scores, method="linear", count=4, threshold=0.3, sigma=0.5, least=0.0, ids=None):
    """Indices and scores of one image, lists."""
    ids = None if ids is None else i32([ids])
    boxes = f32(np.reshape(boxes, (1, -1, 4)))
    keep, kept = soft_nms(boxes, f32([scores]), count, method, threshold, sigma, least, ids)
    assert keep.shape == kept.shape == (1, count)
    return convert_to_numpy(keep)[0].tolist(), convert_to_numpy(kept)[0].tolist()


def test_linear_multiplies_by_what_does_not_overlap():
    # After A: B 0.8 * 0.2 = 0.16, C 0.7 * 0.5 = 0.35. After C: B 0.16 * 0.375 = 0.06.
    keep, scores = select(BOXES, SCORES)
    assert keep == [0, 2, 1, -1]
    assert_allclose(scores, [0.9, 0.35, 0.06, 0], rtol=1e-6)


def test_linear_leaves_what_is_not_above_the_threshold():
    # C's IoU with A is exactly 0.5; with B it is 0.625, so B is 0.16 * 0.375 all the same.
    keep, scores = select(BOXES, SCORES, threshold=0.5)
    assert keep == [0, 2, 1, -1]
    assert_allclose(scores, [0.9, 0.7, 0.06, 0], rtol=1e-6)
    assert_allclose(select(BOXES, SCORES, threshold=0.7)[1], [0.9, 0.7, 0.16, 0], rtol=1e-6)


def test_gaussian_multiplies_by_the_exponential_whatever_the_threshold():
    # After A: B 0.8 exp(-0.64 / 0.5) = 0.222430, C 0.7 exp(-0.25 / 0.5) = 0.424571.
    # After C: B 0.222430 exp(-0.390625 / 0.5) = 0.101836.
    keep, scores = select(BOXES, SCORES, "gaussian", threshold=0.99)
    assert keep == [0, 2, 1, -1]
    assert_allclose(scores, [0.9, 0.424571, 0.101836, 0], rtol=1e-5)
    # Of sigma 2: C 0.7 exp(-0.125) = 0.617748, B 0.8 exp(-0.32) = 0.580919, exp(-0.1953125) of it.
    assert_allclose(
        select(BOXES, SCORES, "gaussian", sigma=2)[1], [0.9, 0.617748, 0.477855, 0], rtol=1e-5
    )


def test_classes_are_apart():
    # B is of another class: it keeps its score; C is A's.
    assert select(BOXES, SCORES, ids=[1, 2, 1])[0] == [0, 1, 2, -1]
    assert_allclose(select(BOXES, SCORES, ids=[1, 2, 1])[1], [0.9, 0.8, 0.35, 0], rtol=1e-6)


def test_boxes_below_the_least_score_are_dropped():
    # 0.06 is below 0.1, 0.35 is not.
    assert select(BOXES, SCORES, least=0.1)[0] == [0, 2, -1, -1]
    # One that had too little from the start, though nothing overlaps it; and never below 0.001.
    assert select([A, [50, 50, 60, 60]], [0.9, 0.05], least=0.1)[0] == [0, -1, -1, -1]
    assert select([A, [50, 50, 60, 60]], [0.0011, 0.0009])[0] == [0, -1, -1, -1]
    # Equal boxes: 1 - 1.
    assert select([A, A], [0.9, 0.8])[0] == [0, -1, -1, -1]


def test_the_best_so_many():
    assert select(BOXES, SCORES, count=2)[0] == [0, 2]
    assert_allclose(select(BOXES, SCORES, count=2)[1], [0.9, 0.35], rtol=1e-6)


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_nothing_and_what_is_taken_out(method):
    assert select(np.zeros((0, 4)), [], method) == ([-1] * 4, [0.0] * 4)
    assert select(BOXES, [OUT] * 3, method) == ([-1] * 4, [0.0] * 4)
    # Without A, B is the best: C 0.7 * 0.375 = 0.2625.
    keep, scores = select(BOXES, [OUT, 0.8, 0.7], method)
    assert keep == [1, 2, -1, -1] and not np.isnan(scores).any()
    if method == "linear":
        assert_allclose(scores, [0.8, 0.2625, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_padding_changes_nothing(method):
    padded = select(BOXES + [[0] * 4] * 5, SCORES + [OUT] * 5, method)
    assert padded == select(BOXES, SCORES, method)


def test_ties_go_to_the_lower_index():
    far = [[0, 20 * i, 10, 20 * i + 10] for i in range(3)]
    assert select(far, [0.5] * 3, "gaussian")[0] == [0, 1, 2, -1]


def test_images_are_apart():
    boxes, scores = f32([BOXES, BOXES]), f32([SCORES, [0.3, OUT, 0.4]])
    keep, kept = soft_nms(boxes, scores, 3, "linear", 0.3, 0.5)
    # Second image: C first, A 0.3 * 0.5.
    assert_array_equal(keep, [[0, 2, 1], [2, 0, -1]])
    assert_allclose(kept, [[0.9, 0.35, 0.06], [0.4, 0.15, 0]], rtol=1e-6)


def random_boxes(count=60, seed=0):
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(4, 20, (count, 2))], axis=1)
    return boxes, random.uniform(0.01, 1, count), random.integers(1, 3, count)


@pytest.mark.parametrize("with_classes", [False, True])
def test_a_tiny_sigma_is_hard_suppression_of_every_overlap(with_classes):
    boxes, scores, ids = random_boxes()
    ids = ids if with_classes else None
    hard = ops.nms(
        f32([boxes]), f32([scores]), 60, 0.0, None if ids is None else i32([ids]), native=False
    )
    keep, kept = select(boxes, scores, "gaussian", 60, sigma=1e-9, ids=ids)
    assert_array_equal(keep, convert_to_numpy(hard)[0])
    found = [i for i in keep if i >= 0]
    assert 2 < len(found) < 60
    assert_allclose(kept[: len(found)], scores[found], rtol=1e-6)


def test_of_very_many_boxes_the_best_take_part(monkeypatch):
    module = sys.modules[soft_nms.__module__]
    monkeypatch.setattr(module, "CANDIDATES", 10)
    monkeypatch.setattr(module, "CANDIDATES_PER_BOX", 2)
    # The best of 12 are the last; all far apart.
    boxes = np.arange(12)[:, None] * [0, 20, 0, 20] + [0, 0, 10, 10]
    scores = np.linspace(0.5, 0.9, 12)
    assert select(boxes, scores, count=2, ids=[1] * 12)[0] == [11, 10]
    # Three of ten that take part are below the least score; so are two that do not.
    scores = [0.0] * 5 + [0.5, 0.6, 0.7, 0.8, 0.9, 0.0, 0.55]
    assert select(boxes, scores, count=5)[0] == [9, 8, 7, 6, 11]
    # A limit of 5 times 2: the least of eleven is none of them.
    scores = np.linspace(0.9, 0.5, 11)
    assert select(boxes[:11], scores, count=5, ids=[1] * 11)[0] == [0, 1, 2, 3, 4]
    boxes[:5] = boxes[0]  # of which one stays
    assert select(boxes[:11], scores, count=5)[0] == [0, 5, 6, 7, 8]
    boxes[:10] = boxes[0]
    assert select(boxes[:11], scores, count=5)[0] == [0, -1, -1, -1, -1]
    assert select(boxes[:11], scores, count=6)[0] == [0, 10, -1, -1, -1, -1]


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match='"linear" or "gaussian", received \'soft\''):
        select(BOXES, SCORES, "soft")


# ---- in the layers of detections

UNITS = np.array(BOXES) / 20  # normalised, of a picture of 20 pixels
STD_DEV = (0.1, 0.1, 0.2, 0.2)


def image_meta():
    from mrcnn.image.meta import compose_image_meta

    return f32([compose_image_meta(0, (20, 20, 3), (20, 20, 3), (0, 0, 20, 20), 1.0, [1, 1, 1])])


def detect(probs, **values):
    defaults = {"max_instances": 4, "min_confidence": 0.1, "nms_threshold": 0.3}
    layer = DetectionLayer(**defaults | values, std_dev=STD_DEV, box_offset=0)
    found = layer(f32([UNITS]), f32([probs]), f32(np.zeros((1, 3, 3, 4))), image_meta())
    assert found.shape == (1, 4, 6)
    return convert_to_numpy(found)[0]


ONE_CLASS = [[0.05, 0.9, 0.05], [0.15, 0.8, 0.05], [0.25, 0.7, 0.05]]
# The second ROI is of class 2.
TWO_CLASSES = [[0.1, 0.9, 0.0], [0.2, 0.0, 0.8], [0.3, 0.7, 0.0]]


@pytest.mark.parametrize("per_class", [False, True])
def test_detections_have_the_lowered_scores(per_class):
    # B's 0.06 is below the least confidence.
    found = detect(ONE_CLASS, nms="linear", per_class=per_class)
    expected = [[*UNITS[0], 1, 0.9], [*UNITS[2], 1, 0.35], [0] * 6, [0] * 6]
    assert_allclose(found, expected, rtol=1e-6)
    found = detect(TWO_CLASSES, nms="gaussian", nms_sigma=0.5, per_class=per_class)
    expected = [[*UNITS[0], 1, 0.9], [*UNITS[1], 2, 0.8], [*UNITS[2], 1, 0.424571], [0] * 6]
    assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("per_class", [False, True])
def test_class_agnostic_suppression(per_class, native):
    options = {"class_agnostic_nms": True, "per_class": per_class, "native": native}
    found = detect(TWO_CLASSES, **options)
    assert_allclose(found, [[*UNITS[0], 1, 0.9], [0] * 6, [0] * 6, [0] * 6], rtol=1e-6)
    # C has IoU 0.5 with A, which is not above.
    found = detect(TWO_CLASSES, **options, nms_threshold=0.5)
    expected = [[*UNITS[0], 1, 0.9], [*UNITS[2], 1, 0.7], [0] * 6, [0] * 6]
    assert_allclose(found, expected, rtol=1e-6)
    found = detect(TWO_CLASSES, **options, nms="linear", min_confidence=0.0)
    assert_allclose(found[:3, 5], [0.9, 0.35, 0.06], rtol=1e-5)
    assert found[:3, 4].tolist() == [1, 1, 2]


def test_of_a_retinanet():
    from mrcnn import settings

    values = {"box_offset": 0, "candidates": 6, "max_instances": 3, "nms_threshold": 0.3}
    values |= {"std_dev": (1.0,) * 4, "min_confidence": 0.1, "clip_first": True}

    def found(**more):
        layer = DenseDetectionLayer(settings.Detections(**values | more))
        probs = np.array([[0.5, 0.9, 0.01], [0.5, 0.01, 0.8], [0.5, 0.7, 0.01]])
        logits, deltas = f32([np.log(probs / (1 - probs))]), f32(np.zeros((1, 3, 4)))
        return convert_to_numpy(layer([logits], [deltas], [f32([UNITS])], image_meta()))[0]

    assert_allclose(found(nms="linear")[:, 4:], [[1, 0.9], [2, 0.8], [1, 0.35]], rtol=1e-5)
    assert_allclose(found(class_agnostic_nms=True)[:, 4:], [[1, 0.9], [0, 0], [0, 0]], rtol=1e-5)


# ---- every backend


def outcome():
    """Selections of both methods, with classes and without, as one list."""
    found = []
    for with_classes in (False, True):
        boxes, scores, ids = random_boxes(seed=1)
        boxes = norm_boxes(f32([boxes, boxes[::-1]]), (60, 60))
        scores, ids = f32([scores, scores[::-1]]), i32([ids, ids[::-1]])
        for method in ("linear", "gaussian"):
            chosen = ids if with_classes else None
            found += soft_nms(boxes, scores, 20, method, 0.3, 0.5, 0.05, chosen)
    return found


@pytest.mark.slow
def test_tensorflow_its_compiler_and_jax_agree(run_python):
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import json
import sys
import keras
import numpy as np
from test_soft_nms import outcome

runs = [outcome]
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    runs.append(tf.function(outcome, jit_compile=True))
else:
    import jax
    runs.append(jax.jit(outcome))
print(json.dumps([[np.asarray(x).tolist() for x in run()] for run in runs]))
"""
    runs = [
        run
        for backend in ("tensorflow", "jax")
        for run in json.loads(run_python(program, backend).splitlines()[-1])
    ]
    assert len(runs) == 4 and max(runs[0][0][0]) >= 0
    for run in runs[1:]:
        for expected, actual in zip(runs[0], run, strict=True):
            assert_allclose(actual, expected, rtol=1e-5)
