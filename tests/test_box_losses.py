"""Losses of boxes by how they overlap, with numbers worked out by hand."""

import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, gradient, i32

from mrcnn import layers, settings
from mrcnn.image import compose_image_meta
from mrcnn.ops import box_losses, dense_losses, losses

ONES = (1.0, 1.0, 1.0, 1.0)
# Half a height aside: shared 1/2 of 3/2, the box around both is 3/2 x 1. Apart by a height. A
# quarter inside, in a corner. A quarter inside, in the middle. The same.
PAIRS = [
    ([0, 0, 1, 1], [0.5, 0, 1.5, 1]),
    ([0, 0, 1, 1], [2, 0, 3, 1]),
    ([0, 0, 1, 1], [0, 0, 0.5, 0.5]),
    ([0, 0, 4, 4], [1, 1, 3, 3]),
    ([3, 4, 8, 9], [3, 4, 8, 9]),
]
FIRST, SECOND = (f32(boxes) for boxes in zip(*PAIRS, strict=True))


def test_diou_of_boxes():
    # 1 - 1/3 and (1/2)^2 of (3/2)^2 + 1; 1 and 2^2 of 3^2 + 1; 1 - 1/4 and 2 (1/4)^2 of 2; centres
    # in one place; nothing.
    expected = [2 / 3 + 1 / 13, 1.4, 0.75 + 1 / 16, 0.75, 0]
    assert_allclose(box_losses.diou_loss(FIRST, SECOND), expected, atol=1e-6)


def test_scaling_an_axis_changes_diou_but_not_giou():
    scale = f32([1, 10, 1, 10])
    wide = FIRST * scale, SECOND * scale
    assert_allclose(box_losses.giou_loss(*wide), box_losses.giou_loss(FIRST, SECOND), atol=1e-6)
    # 2/3 and 1/4 of 9/4 + 100.
    assert_allclose(box_losses.diou_loss(*wide)[0], 2 / 3 + 1 / 409, atol=1e-6)


def reference(kind, target, pred):
    """The loss of a box [4] and its target, in double precision and without small additions."""
    low, high = np.maximum(target[:2], pred[:2]), np.minimum(target[2:], pred[2:])
    shared = np.prod(np.maximum(high - low, 0))
    union = np.prod(target[2:] - target[:2]) + np.prod(pred[2:] - pred[:2]) - shared
    size = np.maximum(target[2:], pred[2:]) - np.minimum(target[:2], pred[:2])
    if kind == "giou":
        return 1 - shared / union + (np.prod(size) - union) / np.prod(size)
    centres = [(box[:2] + box[2:]) / 2 for box in (target, pred)]
    return 1 - shared / union + np.sum((centres[0] - centres[1]) ** 2) / np.sum(size**2)


@pytest.mark.parametrize("kind", ["giou", "diou"])
@pytest.mark.parametrize("shift", [0.3, 1.7])  # overlapping, and apart
def test_gradient_is_that_of_finite_differences(kind, shift):
    target, pred = np.array([0.0, 0, 1, 1]), np.array([0.1, shift, 1.3, shift + 1])
    found = gradient(
        lambda x: ops.sum(getattr(box_losses, f"{kind}_loss")(f32([target]), x)), f32([pred])
    )
    # In double precision a step of 1e-6 is exact to 1e-9; float32 rounds some twenty operations by
    # 6e-8 each, on values up to 3.
    steps = 1e-6 * np.eye(4)
    slopes = [
        (reference(kind, target, pred + step) - reference(kind, target, pred - step)) / 2e-6
        for step in steps
    ]
    assert_allclose(ops.convert_to_numpy(found)[0], slopes, atol=5e-6)


# A box of 10 x 20 pixels that is moved down by half its height shares 5 of 15 rows with where it
# was: DIoU 1 - 1/3 + 5^2 / (15^2 + 20^2), GIoU 1 - 1/3.
DOWN = {"diou": 2 / 3 + 0.04, "giou": 2 / 3}
PIXELS = f32([[[3, 5, 13, 25]] * 4])


@pytest.mark.parametrize("kind", DOWN)
@pytest.mark.parametrize(
    ("normalizer", "count"), [("positives", 2), ("sampled", 3)], ids=["positives", "sampled"]
)
def test_loss_of_the_boxes_of_rois(kind, normalizer, count):
    # Positives of class 2, moved by 5 tenths, and 1, which is right; background, and padding.
    class_ids, pred = i32([[2, 1, 0, -1]]), np.full((1, 4, 3, 4), 7.0)
    pred[0, 0, 2], pred[0, 1, 1] = [5, 0, 0, 0], [0, 0, 0, 0]
    options = {"kind": kind, "std_dev": (0.1, 0.1, 0.2, 0.2), "normalizer": normalizer}
    target = f32(np.zeros((1, 4, 4)))
    found = losses.mrcnn_bbox_loss(class_ids, target, f32(pred), PIXELS, **options)
    assert float(found) == pytest.approx(DOWN[kind] / count, rel=1e-5)


def test_giou_needs_no_boxes_in_pixels():
    deltas = f32([[0.5, 0.2, 0.3, -0.4]])
    options = {"kind": "giou", "std_dev": ONES}
    square = box_losses.box_losses(deltas * 0, deltas, **options)
    assert_allclose(box_losses.box_losses(deltas * 0, deltas, PIXELS[0, :1], **options), square)
    assert square.shape == (1, 1)


def test_loss_of_the_boxes_of_anchors():
    ids, deltas = i32([[1, 0, 2, -1]]), f32([[[0.5, 0, 0, 0], [9] * 4, [0] * 4, [9] * 4]])
    options = {"kind": "diou", "std_dev": ONES}
    found = dense_losses.retinanet_bbox_loss(ids, 0 * deltas, deltas, PIXELS[:1], **options)
    assert float(found) == pytest.approx(DOWN["diou"] / 2, rel=1e-5)


@pytest.mark.parametrize("kind", ["smooth_l1", "giou", "diou"])
@pytest.mark.parametrize("normalizer", ["positives", "sampled"])
@pytest.mark.parametrize("classes", [[[0, 0]], [[0, -1]], [[-1, -1]]])
def test_loss_and_gradient_without_positives_are_exactly_zero(kind, normalizer, classes):
    boxes = f32([[[3, 5, 13, 25], [0, 0, 0, 0]]])  # the second is padding, without area

    def loss(pred):
        return losses.mrcnn_bbox_loss(
            i32(classes), f32(np.ones((1, 2, 4))), pred, boxes, kind=kind, normalizer=normalizer
        )

    pred = f32([[[[5, -3, 60, 60]] * 3, [[1, 1, 1, 1]] * 3]])
    assert float(loss(pred)) == 0.0
    assert_array_equal(ops.convert_to_numpy(gradient(loss, pred)), np.zeros(pred.shape))


@pytest.mark.parametrize("kind", ["giou", "diou"])
def test_padding_changes_nothing(kind):
    pred = np.zeros((1, 4, 2, 4))
    pred[..., 0] = [[[0.5], [0.25], [3], [4]]]

    def loss(count, class_ids):
        rows = (f32(np.zeros((1, count, 4))), f32(pred[:, :count]), PIXELS[:, :count])
        return float(losses.mrcnn_bbox_loss(i32([class_ids]), *rows, kind=kind, std_dev=ONES))

    assert loss(2, [1, 1]) == pytest.approx(loss(4, [1, 1, -1, -1]), rel=1e-6)


@pytest.mark.parametrize(("offset", "expected"), [(0, [1, 2, 3, 8]), (1, [0.75, 1.75, 3.25, 8])])
def test_rois_in_pixels(offset, expected):
    # Of 4 x 8 pixels; with the offset, 3 and 7 times the coordinates, and 1 more at the end.
    meta = f32([compose_image_meta(0, (4, 8, 3), (4, 8, 3), (0, 0, 4, 8), 1, [1] * 3)])
    rois = f32([[[0.25, 0.25, 0.75, 1.0]]])
    layer = layers.PixelBoxes(settings.Boxes(box_offset=offset))
    assert_allclose(layer(rois, meta), [[expected]])
