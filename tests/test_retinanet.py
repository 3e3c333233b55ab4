"""RetinaNet by hand: anchors, matching, losses, candidates; its names and its configs."""

import keras
import numpy as np
import pytest
from keras import ops
from tensors import f32, gradient, i32
from tiny import TinyConfig, tiny_of

from mrcnn import settings
from mrcnn.config_values import apply_assignments
from mrcnn.data.checking.anchors import best_overlaps
from mrcnn.image import compose_image_meta
from mrcnn.layers import Anchors, DenseDetectionLayer
from mrcnn.model import MaskRCNN, RetinaNet, create
from mrcnn.network.fpn import retinanet_fpn
from mrcnn.ops import box_losses, dense_losses, targets
from mrcnn.presets import PRESETS
from mrcnn.weights import count_classes, guess_preset
from mrcnn.weights.names.retinanet import NEVER, _box_deltas, _class_logits

LN2 = np.log(2)
V2 = "torchvision/retinanet_resnet50_fpn_v2"


# ---- anchors


def test_several_scales_a_level():
    layer = Anchors(settings.Anchors(scales=((8, 16), (16, 32)), strides=(8, 16), ratios=(1, 4)))
    assert layer.settings.per_location == 4
    made = layer(
        np.zeros((1, 16, 16, 3), "float32"), [np.zeros((1, 2, 2, 1)), np.zeros((1, 1, 1, 1))]
    )
    pixels = ops.convert_to_numpy(made["pixels"])[0]
    assert len(pixels) == 4 * 4 + 1 * 4
    # All scales of ratio 1, then those of width / height 4: 4 x 16 and 8 x 32.
    first = [[-4, -4, 4, 4], [-8, -8, 8, 8], [-2, -8, 2, 8], [-4, -16, 4, 16]]
    np.testing.assert_allclose(pixels[:4], first)
    np.testing.assert_allclose(pixels[4:8], np.add(first, [0, 8, 0, 8]))  # the next column
    np.testing.assert_allclose(pixels[16:], 2 * np.array(first))  # twice the scales at the origin


def test_scales_of_the_presets():
    # 32 x 2^(1/3) = 40.317, 32 x 2^(2/3) = 50.797; torchvision cuts off what follows the point.
    assert PRESETS[V2].RPN_ANCHOR_SCALES[0] == (32, 40, 50)
    assert PRESETS[V2].RPN_ANCHOR_SCALES[4] == (512, 645, 812)
    scales = PRESETS["detectron2/retinanet_R_50_FPN_3x"].RPN_ANCHOR_SCALES
    np.testing.assert_allclose(scales[0], (32, 40.317, 50.797), atol=1e-3)


def test_fit_of_several_scales_a_level():
    box = np.array([[0.0, 0.0, 10.0, 10.0]])  # its middle is 3 from the place (8, 8)
    # Of 10 pixels there: both axes share 10 - 3, and the union is 100 + 100 - 49.
    one = best_overlaps(box, [10.0], [1.0], [8])
    np.testing.assert_allclose(one, [49 / 151])
    np.testing.assert_allclose(best_overlaps(box, [(2.0, 10.0)], [1.0], [8]), one)


# ---- targets


def test_targets_of_every_anchor():
    anchors = [
        [0, 0, 10, 10],  # the object itself
        [0, 0, 10, 5],  # IoU 50 / 100, just enough
        [0, 0, 9, 5],  # 45 / 100: between 0.4 and 0.5
        [0, 0, 10, 4],  # 40 / 100: not below 0.4
        [0, 0, 5, 7],  # 35 / 100
        [50, 50, 60, 60],  # away from all
        [100, 100, 110, 110],  # 100 / 400, but the best of the second object
        [200, 0, 210, 10],  # on a crowd
    ]
    ids = [[3, 2, -1, 0]]
    boxes = [[[0, 0, 10, 10], [100, 100, 120, 120], [195, 0, 215, 20], [0, 0, 0, 0]]]
    found = targets.dense_targets(f32([anchors]), i32(ids), f32(boxes), (0.5, 0.5, 0.5, 0.5))
    classes = ops.convert_to_numpy(found["target_class_ids"])
    np.testing.assert_array_equal(classes, [[3, 3, -1, -1, 0, 0, 2, -1]])
    # From (5, 2.5) to (5, 5) in widths of 5: dx 0.5; as high, twice as wide; over 0.5.
    deltas = ops.convert_to_numpy(found["target_deltas"])
    np.testing.assert_allclose(deltas[0, 1], [0, 1, 0, 2 * LN2], atol=1e-6)
    np.testing.assert_allclose(deltas[0, 0], [0, 0, 0, 0], atol=1e-6)


def test_without_objects_all_is_background():
    found = targets.dense_targets(
        f32([[[0, 0, 10, 10]]]), i32([[0, 0]]), f32(np.zeros((1, 2, 4))), (1, 1, 1, 1)
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(found["target_class_ids"]), [[0]])


# ---- losses


def test_focal_loss():
    # p = 1/2: of a target of 1 1/4 (1/2)^2 ln 2, of a target of 0 3/4 (1/2)^2 ln 2.
    # p = 3/4: 1/4 (1/4)^2 ln 4/3, and 3/4 (3/4)^2 ln 4.
    logits = f32([0, 0, np.log(3), np.log(3), -100, 100])
    found = dense_losses.focal_loss(f32([1, 0, 1, 0, 0, 0]), logits)
    expected = [LN2 / 16, 3 * LN2 / 16, np.log(4 / 3) / 64, 27 / 64 * np.log(4), 0, 75]
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


def test_gradient_of_the_focal_loss_is_that_of_finite_differences():
    logits, wanted = np.array([-6, -1.5, -0.2, 0.3, 1, 5] * 2), np.repeat([0.0, 1.0], 6)

    def loss(x):  # -alpha_t (1 - p_t)^2 log p_t in float64
        p = 1 / (1 + np.exp(-x))
        p_t = np.where(wanted == 1, p, 1 - p)
        return -np.where(wanted == 1, 0.25, 0.75) * (1 - p_t) ** 2 * np.log(p_t)

    slope = (loss(logits + 1e-6) - loss(logits - 1e-6)) / 2e-6
    found = gradient(lambda x: ops.sum(dense_losses.focal_loss(f32(wanted), x)), f32(logits))
    np.testing.assert_allclose(ops.convert_to_numpy(found), slope, rtol=1e-4, atol=1e-7)


def test_class_loss():
    # Logits 0: ln 2 / 16 for the class that is right, 3 ln 2 / 16 for any other.
    # Image 1: of class 2 (1 + 2 x 3) / 16, of background 3 x 3 / 16, together ln 2, one positive.
    # Image 2: background only, 9 x 3 / 16 ln 2, over 1; 18 / 16 without class 1, unknown to it.
    ids, logits = i32([[2, 0, -1], [0, 0, 0]]), f32(np.zeros((2, 3, 3)))
    loss = dense_losses.retinanet_class_loss(ids, logits, f32(np.ones((2, 3))))
    assert float(loss) == pytest.approx((1 + 27 / 16) / 2 * LN2)
    loss = dense_losses.retinanet_class_loss(ids, logits, f32([[1, 1, 1], [1, 0, 1]]))
    assert float(loss) == pytest.approx((1 + 18 / 16) / 2 * LN2)
    # Two positives of class 1: each 7 / 16 ln 2, over two.
    loss = dense_losses.retinanet_class_loss(
        i32([[1, 1]]), f32(np.zeros((1, 2, 3))), f32(np.ones((1, 3)))
    )
    assert float(loss) == pytest.approx(7 / 16 * LN2)
    assert (
        float(dense_losses.retinanet_class_loss(i32([[-1, -1, -1]]), logits[:1], f32([[1, 1, 1]])))
        == 0
    )


PREDICTED = [[[1, -1, 0.5, 0], [0, 0, 0, 2], [9, 9, 9, 9]], [[9, 9, 9, 9]] * 3]


@pytest.mark.parametrize(
    ("beta", "expected"),
    # |d|: 2.5 and 2, over two positives; image 2 has none; the mean of 2.25 and 0.
    # d^2 / 2 up to 1, then |d| - 1/2: 1/2 + 1/2 + 1/8 and 3/2.
    [(0.0, 1.125), (1.0, 2.625 / 4)],
)
def test_box_loss(beta, expected):
    ids = i32([[1, 2, 0], [0, 0, -1]])
    loss = dense_losses.retinanet_bbox_loss(
        ids, f32(np.zeros((2, 3, 4))), f32(PREDICTED), beta=beta
    )
    assert float(loss) == pytest.approx(expected)


def test_giou_of_boxes():
    # Shared 1/2 of 3/2, outer 3/2: 1 - 1/3. Apart: nothing of 2, outer 3: 1 + 1/3. The same: 0.
    # A quarter inside: 1/4 of 1, the outer box is the larger one: 3/4.
    pairs = [
        ([0, 0, 1, 1], [0.5, 0, 1.5, 1], 2 / 3),
        ([0, 0, 1, 1], [2, 0, 3, 1], 4 / 3),
        ([3, 4, 8, 9], [3, 4, 8, 9], 0),
        ([0, 0, 1, 1], [0, 0, 0.5, 0.5], 3 / 4),
    ]
    first, second, expected = zip(*pairs, strict=True)
    found = box_losses.giou_loss(f32(first), f32(second))
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-6)


def test_box_loss_by_giou():
    # Deltas over 1/2: half a height aside (2/3) and two (4/3), over two positives.
    ids, deltas = i32([[1, 1, 0]]), f32([[[1, 0, 0, 0], [4, 0, 0, 0], [9, 9, 9, 9]]])
    loss = dense_losses.retinanet_bbox_loss(
        ids, f32(np.zeros((1, 3, 4))), deltas, std_dev=(0.5, 0.5, 0.5, 0.5), kind="giou"
    )
    assert float(loss) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["smooth_l1", "giou"])
def test_box_loss_without_objects_is_0_and_moves_nothing(kind):
    def loss(pred):
        return dense_losses.retinanet_bbox_loss(
            i32([[0, -1]]), f32(np.ones((1, 2, 4))), pred, kind=kind
        )

    pred = f32([[[5, -3, 60, 60], [1, 1, 1, 1]]])
    assert float(loss(pred)) == 0.0
    np.testing.assert_array_equal(ops.convert_to_numpy(gradient(loss, pred)), np.zeros((1, 2, 4)))


# ---- detections


def logit(p):
    return np.log(np.asarray(p) / (1 - np.asarray(p)))


# Two levels of a picture of 100 x 100; probabilities of background, which never counts, and of two
# classes. Of the first level the three best are .9, .8 and .7: the .6 of its first anchor is lost.
FINE = [[0.8, 0, 1, 0.2], [0, 0, 0.2, 0.2], [0.5, 0.5, 0.7, 0.7]]
FINE_PROBS = [[0.99, 0.2, 0.6], [0.99, 0.9, 0.8], [0.99, 0.7, 0.1]]
# The second has one anchor, and its .85 has IoU .04 / .044 with the .9 of the same class.
COARSE = [[0, 0, 0.2, 0.22]]
COARSE_PROBS = [[0.99, 0.85, 0.05]]


def detect(fine, fine_probs, coarse, coarse_probs, deltas=None, **values):
    defaults = {"box_offset": 0, "candidates": 3, "max_instances": 5, "nms_threshold": 0.5}
    defaults |= {"std_dev": (1.0, 1.0, 1.0, 1.0), "min_confidence": 0.3}
    layer = DenseDetectionLayer(settings.Detections(**defaults | values))
    shape, window = (100, 100, 3), (0, 0, 100, 100)
    meta = compose_image_meta(0, shape, shape, window, 1.0, np.ones(3))
    levels = (fine, coarse)
    deltas = deltas or [np.zeros((len(level), 4)) for level in levels]
    logits = [f32(logit(probs))[None] for probs in (fine_probs, coarse_probs)]
    found = layer(logits, [f32(d)[None] for d in deltas], [f32([x]) for x in levels], f32([meta]))
    return ops.convert_to_numpy(found)[0]


@pytest.mark.parametrize("native", [True, False])
def test_the_best_of_each_level_compete_in_their_class(native):
    found = detect(FINE, FINE_PROBS, COARSE, COARSE_PROBS, native=native)
    expected = [
        [0, 0, 0.2, 0.2, 1, 0.9],
        [0, 0, 0.2, 0.2, 2, 0.8],
        [0.5, 0.5, 0.7, 0.7, 1, 0.7],
        [0] * 6,
        [0] * 6,
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_scores_below_the_threshold_and_more_than_asked_for():
    found = detect(FINE, FINE_PROBS, COARSE, COARSE_PROBS, min_confidence=0.75)
    np.testing.assert_allclose(found[:, 5], [0.9, 0.8, 0, 0, 0], atol=1e-5)
    found = detect(FINE, FINE_PROBS, COARSE, COARSE_PROBS, max_instances=1)
    np.testing.assert_allclose(found[:, 4:], [[1, 0.9]], atol=1e-5)
    # More candidates than the levels have: the .6, too; padding is nothing, at any threshold.
    found = detect(
        FINE, FINE_PROBS, COARSE, COARSE_PROBS, candidates=9, max_instances=9, min_confidence=0.0
    )
    np.testing.assert_allclose(
        found[:, 5], [0.9, 0.8, 0.7, 0.6, 0.2, 0.1, 0, 0, 0], atol=1e-5
    )  # .85 and .05 lose to the .9 and the .8


def test_deltas_move_the_anchor_that_a_score_is_of():
    # The .7's anchor goes half its side down, .1, and becomes twice as wide; over .5.
    deltas = [[[0] * 4, [0] * 4, [1, 0, 0, 2 * LN2]], [[0] * 4]]
    found = detect(FINE, FINE_PROBS, COARSE, COARSE_PROBS, deltas, std_dev=(0.5, 0.5, 0.5, 0.5))
    np.testing.assert_allclose(found[2], [0.6, 0.4, 0.8, 0.8, 1, 0.7], atol=1e-5)


@pytest.mark.parametrize(("clip_first", "count"), [(True, 1), (False, 2)])
def test_clipping_before_or_after_boxes_compete(clip_first, count):
    # As they are the two share .2 of 1; clipped to the picture they are the same box.
    wide, narrow = [0, 0.8, 0.2, 1.8], [0, 0.8, 0.2, 1.0]
    probs = [[0.5, 0.9, 0.1]], [[0.5, 0.8, 0.1]]
    found = detect([wide], probs[0], [narrow], probs[1], clip_first=clip_first)
    assert (found[:, 5] > 0).sum() == count
    np.testing.assert_allclose(found[:count, :4], [[0, 0.8, 0.2, 1.0]] * count, atol=1e-6)


# ---- the network, and names


@pytest.mark.parametrize("p6_from", ["C5", "P5"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_pyramid(p6_from, symmetric):
    features = [keras.Input((16, 16, 2)), keras.Input((8, 8, 3)), keras.Input((4, 4, 5))]
    trunk = settings.Trunk(pyramid_channels=6, p6_from=p6_from)
    style = settings.ConvStyle(symmetric_padding=symmetric)
    levels = retinanet_fpn(features, trunk, style)
    shapes = [tuple(level.shape[1:]) for level in levels]
    assert shapes == [(16, 16, 6), (8, 8, 6), (4, 4, 6), (2, 2, 6), (1, 1, 6)]
    model = keras.Model(features, levels)
    kernel = model.get_layer("fpn_p6").kernel
    assert kernel.shape == (3, 3, {"C5": 5, "P5": 6}[p6_from], 6)
    # P7 is made of what of P6 is above 0: where nothing is, of its bias alone.
    model.get_layer("fpn_p6").kernel.assign(np.zeros(kernel.shape))
    model.get_layer("fpn_p6").bias.assign(-np.ones(6))
    model.get_layer("fpn_p7").bias.assign(np.arange(6))
    outputs = model([np.ones((1, *feature.shape[1:]), "float32") for feature in features])
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs[3])[0, 0, 0], -np.ones(6))
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs[4])[0, 0, 0], np.arange(6))


def test_a_new_head_says_background(tmp_path):
    model = create("inference", tiny_of(V2), tmp_path)
    assert type(model) is RetinaNet
    # The sigmoid of -ln(.99 / .01) is .01.
    bias = model.keras_model.get_layer("retinanet_class_raw").bias
    np.testing.assert_allclose(1 / (1 + np.exp(-ops.convert_to_numpy(bias))), 0.01, rtol=1e-5)


def test_order_of_detectron2s_anchors():
    # Two scales of two ratios, one class: theirs are s1 r1, s1 r2, s2 r1, s2 r2.
    found = _class_logits(2, 2)(np.arange(1, 5.0).reshape(4, 1, 1, 1))
    np.testing.assert_array_equal(found.ravel(), [0, 1, 0, 3, 0, 2, 0, 4])  # background's are 0
    found = _class_logits(2, 2)(np.arange(1, 5.0))
    np.testing.assert_array_equal(found, [NEVER, 1, NEVER, 3, NEVER, 2, NEVER, 4])
    # Each as dx dy dw dh, which become dy dx dh dw.
    order = [1, 0, 3, 2, 9, 8, 11, 10, 5, 4, 7, 6, 13, 12, 15, 14]
    np.testing.assert_array_equal(_box_deltas(2, 2)(np.arange(16.0)), order)
    kernel = _box_deltas(2, 2)(np.arange(16.0).reshape(16, 1, 1, 1))
    np.testing.assert_array_equal(kernel.ravel(), order)


@pytest.mark.parametrize(
    ("source", "names", "sizes", "preset"),
    [
        (
            "torchvision",
            ("head.classification_head.cls_logits.bias", "head.regression_head.bbox_reg.bias"),
            (819, 36),
            "torchvision/retinanet_resnet50_fpn",
        ),
        (
            "detectron2",
            ("head.cls_score.bias", "head.bbox_pred.bias"),
            (810, 36),  # 90 classes beside the background
            "detectron2/retinanet_R_50_FPN_3x",
        ),
        ("matterport", ("retinanet_class_raw/bias", "retinanet_bbox_pred/bias"), (819, 36), None),
    ],
)
def test_a_file_tells_its_classes_and_its_preset(source, names, sizes, preset):
    arrays = {name: np.zeros(size) for name, size in zip(names, sizes, strict=True)}
    assert count_classes(arrays, source) == 91
    if preset is None:
        return
    prefix = {"torchvision": "backbone.body.conv1.weight", "detectron2": "backbone.bottom_up.x"}
    arrays |= {prefix[source]: np.zeros(1), names[0].replace("bias", "weight"): np.zeros(1)}
    assert guess_preset(arrays) == preset
    if source == "torchvision":
        arrays["head.classification_head.conv.0.1.weight"] = np.zeros(1)
        assert guess_preset(arrays) == V2


# ---- configs


def test_each_class_takes_configs_of_its_own(tmp_path):
    with pytest.raises(
        ValueError, match=r"ARCHITECTURE is 'retinanet' and MaskRCNN is 'mask_rcnn'"
    ):
        MaskRCNN("inference", tiny_of(V2), tmp_path)
    with pytest.raises(ValueError, match=r"and RetinaNet is 'retinanet'; mrcnn\.model\.create"):
        RetinaNet("inference", TinyConfig(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"BACKBONE_STRIDES": [4, 8, 16, 32, 64]}, "BACKBONE_STRIDES is .*'retinanet' has .*128"),
        ({"USE_MASK": True}, "USE_MASK is True; the architecture 'retinanet' has False"),
        ({"RPN_ANCHOR_STRIDE": 2}, "RPN_ANCHOR_STRIDE is 2; .* has 1"),
        ({"CLASS_WEIGHTS": {1: 2.0}}, "CLASS_WEIGHTS is .*; the architecture 'retinanet' has None"),
        ({"FPN_P6_FROM": "P6"}, "FPN_P6_FROM is 'P6'; expected one of"),
        ({"BBOX_LOSS": "l1"}, "BBOX_LOSS is 'l1'; expected one of"),
        (
            {"RPN_ANCHOR_SCALES": ((8, 10), (16,), (32,), (64,), (128,))},
            "RPN_ANCHOR_SCALES is .*give each level as many scales",
        ),
    ],
)
def test_what_cannot_work_is_told(changes, message):
    config = type("Broken", (PRESETS[V2],), changes)()
    with pytest.raises(ValueError, match=message) as error:
        config.validate()
    assert str(error.value).count("\n- ") == 1


def test_its_losses_have_weights():
    config = apply_assignments(PRESETS[V2](), ["LOSS_WEIGHTS.retinanet_bbox_loss=2"])
    config.validate()
    assert settings.Settings.from_config(config).losses.weights["retinanet_bbox_loss"] == 2
    assert PRESETS[V2].LOSS_WEIGHTS["retinanet_bbox_loss"] == 1
