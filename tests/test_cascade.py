"""What is Cascade Mask R-CNN's own, with numbers worked out by hand."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32, gradient, i32
from tiny import TinyConfig

from mrcnn import layers, settings
from mrcnn.config import Config
from mrcnn.image import compose_image_meta
from mrcnn.model import CascadeRCNN, MaskRCNN, create
from mrcnn.network import cascade, heads
from mrcnn.network.loss_terms import loss_constants
from mrcnn.network.training_model import TrainingModel
from mrcnn.ops import losses
from mrcnn.ops.targets import matched_targets
from mrcnn.settings import Settings


class CascadeConfig(Config):
    NAME = "cascade"
    ARCHITECTURE = "cascade_rcnn"
    BOX_CLASS_AGNOSTIC = True
    NUM_CLASSES = 3
    USE_MASK = False
    DETECTION_MIN_CONFIDENCE = 0.5


def meta(window=(0, 0, 5, 5)):
    """Meta of an image of 5 x 5 pixels with 3 classes, [1, 15]."""
    return f32([compose_image_meta(0, (5, 5, 3), (5, 5, 3), window, 1, [1] * 3)])


def test_each_stage_has_its_iou_and_its_scale():
    found = Settings.from_config(CascadeConfig()).cascade
    assert [stage.iou for stage in found.stages] == [0.5, 0.6, 0.7]
    # (0.1, 0.1, 0.2, 0.2) over 1, 2 and 3: detectron2's weights (10, 10, 5, 5) times these.
    expected = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [1 / 30, 1 / 30, 1 / 15, 1 / 15]]
    assert_allclose([stage.std_dev for stage in found.stages], expected)
    assert found.suffixes == ["", "_stage2", "_stage3"]


# ---- targets of a later stage

# A box of 10 x 10 of class 2, a crowd, and padding.
GT_IDS, GT_BOXES = i32([[2, -1, 0]]), f32([[[0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 0, 0]]])
# IoU with the object 60 / 100, 50 / 100, 1 and 0; then the crowd's, and padding.
ROIS = [[0, 0, 10, 6], [0, 0, 10, 5], [0, 0, 10, 10], [40, 40, 50, 50], [20, 20, 30, 30], [0] * 4]
STD_DEV = (0.05, 0.05, 0.1, 0.1)


@pytest.mark.parametrize(
    ("iou", "expected"), [(0.6, [2, 0, 2, 0, -1, -1]), (0.7, [0, 0, 2, 0, -1, -1])]
)
def test_rois_are_matched_at_the_stages_iou(iou, expected):
    found = matched_targets(f32([ROIS]), GT_IDS, GT_BOXES, iou, STD_DEV)
    assert_array_equal(found["target_class_ids"], [expected])
    # Of the first, 10 x 6 at (5, 3): to (5, 5) by 2 / 6 of its width, over 0.05; log(10 / 6) over
    # 0.1 wider.
    assert_allclose(found["target_deltas"][0, 0], [0, 20 / 3, 0, 5.108256], rtol=1e-5)
    assert_array_equal(found["target_deltas"][0, 2], [0] * 4)


def test_padding_changes_no_target():
    plain = matched_targets(f32([ROIS]), GT_IDS, GT_BOXES, 0.6, STD_DEV)
    rois = f32([[*ROIS, [0] * 4, [0] * 4]])
    ids, boxes = (
        ops.pad(x, [[0, 0], [0, 2], *more]) for x, more in ((GT_IDS, []), (GT_BOXES, [[0, 0]]))
    )
    padded = matched_targets(rois, ids, boxes, 0.6, STD_DEV)
    for name, values in plain.items():
        assert_array_equal(padded[name][:, : len(ROIS)], values)
    assert_array_equal(padded["target_class_ids"][0, len(ROIS) :], [-1, -1])


def test_without_objects_the_box_loss_is_zero():
    found = matched_targets(f32([ROIS]), i32([[0, 0]]), f32([[[0] * 4] * 2]), 0.6, STD_DEV)
    assert_array_equal(found["target_class_ids"], [[0, 0, 0, 0, 0, -1]])
    predicted = f32(np.full((1, 6, 3, 4), 7.0))
    loss = losses.mrcnn_bbox_loss(found["target_class_ids"], found["target_deltas"], predicted)
    assert float(loss) == 0.0


# ---- moved ROIs


def test_rois_move_by_the_deltas_of_their_stage():
    stage = settings.CascadeStage(box_offset=1, std_dev=(0.1, 0.1, 0.2, 0.2))
    rois = f32([[[0.2, 0.2, 0.6, 0.6], [0.7, 0.2, 0.9, 0.6], [0, 0, 0, 0]]])
    deltas = np.zeros((1, 3, 2, 4))
    # Down by 0.1 * 2.5 of 0.4; twice as wide: log 2 = 0.2 * 3.4657.
    deltas[0, 0] = [2.5, 0, 0, 3.4657359]
    # Down by 0.1 * 10 of 0.2: from 0.9 to 1.1, beyond the window, which ends at 3 / 4.
    deltas[0, 1] = [10, 0, 0, 0]
    deltas[0, 2] = [1, 1, 1, 1]
    found = layers.RefinedROIs(stage)(rois, f32(deltas), meta((1, 0, 4, 5)))
    expected = [[0.3, 0.0, 0.7, 0.8], [0.75, 0.2, 0.75, 0.6], [0, 0, 0, 0]]
    assert_allclose(found, [expected], atol=1e-6)


def test_moved_rois_have_no_gradient():
    layer = layers.RefinedROIs(settings.CascadeStage(box_offset=1))
    rois = f32([[[0.2, 0.2, 0.6, 0.6]]])
    deltas = f32(np.ones((1, 1, 2, 4)))
    assert_array_equal(gradient(lambda x: ops.sum(layer(rois, x, meta())), deltas), 0 * deltas)


def test_a_class_agnostic_head_has_one_box_for_all_classes():
    predict = heads.box_predictor(settings.BoxHead(num_classes=3, class_agnostic=True))
    x = keras.Input((1, 2))
    model = keras.Model(x, predict(x))
    kernel = np.array([[1.0, 0, 0, 0], [0, 1, 0, 2]])
    model.get_layer("mrcnn_bbox_fc").set_weights([kernel, np.array([0.0, 0, 5, 0])])
    # Features 1 and 2: dy 1 * 1, dx 2 * 1, log dh 5, log dw 2 * 2.
    found = model.predict_on_batch(np.array([[[1.0, 2.0]]], "float32"))["mrcnn_bbox"]
    assert_array_equal(found, [[[[1, 2, 5, 4]] * 3]])


# ---- stages


def test_scores_are_averaged():
    probs = [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]
    found = cascade.mean_probs([{"mrcnn_class": f32([[x]])} for x in probs])
    # (0.9 + 0.6 + 0.3) / 3 and (0.1 + 0.4 + 0.7) / 3
    assert_allclose(found, [[[0.6, 0.4]]], rtol=1e-6)


def head(probs, delta):
    """A box head that says the same of any ROI: down by `delta` of its height, over the scale."""

    def predict(pooled):
        count = pooled.shape[1]
        return {
            "mrcnn_class": f32([[probs] * count]),
            "mrcnn_class_logits": f32([[probs] * count]),
            "mrcnn_bbox": f32(np.full((1, count, 3, 4), [delta, 0, 0, 0])),
        }

    return predict


def trunk():
    pyramid = [f32(np.zeros((1, side, side, 1))) for side in (8, 4, 2, 1, 1)]
    return {"pyramid": pyramid, "input_image_meta": meta()}


def test_each_stage_refines_the_boxes_of_the_one_before(monkeypatch):
    rois = f32([[[0.2, 0.2, 0.6, 0.6], [0, 0, 0, 0]]])
    monkeypatch.setattr(cascade, "detection_proposals", lambda *_: rois)
    stages = [head([0.1, 0.9, 0], 1), head([0.4, 0.6, 0], 1), head([0.7, 0.3, 0], 1)]
    made = Settings.from_config(CascadeConfig())
    found = cascade.detection_stages(made, trunk(), {"boxes": stages}, None)
    # 0.4 high: down by 0.1 * 0.4, by half of that, by a third of it: 0.04 + 0.02 + 0.013333.
    # Class 1 has (0.9 + 0.6 + 0.3) / 3. Padding, which scores the same, is none.
    detections = ops.convert_to_numpy(found["detections"])
    assert_allclose(detections[0, 0], [0.273333, 0.2, 0.673333, 0.6, 1, 0.6], rtol=1e-5)
    assert not detections[0, 1:].any()


def drawn_terms(monkeypatch, **keys):
    """What the losses take of three drawn ROIs that no stage moves."""
    # The object, of 0.4 x 0.4, and 0.08 below it: IoU 0.32 / 0.48 = 0.667. The second ROI was not
    # drawn, though it is the object; the third is background.
    rois = [[0.28, 0.2, 0.68, 0.6], [0.2, 0.2, 0.6, 0.6], [0.7, 0.7, 0.9, 0.9]]
    drawn = {
        "rois": f32([rois]),
        "target_class_ids": i32([[2, -1, 0]]),
        "target_deltas": f32(np.zeros((1, 3, 4))),
        "proposals": f32([rois]),
        "gt_class_ids": i32([[2]]),
        "gt_boxes": f32([[[0.2, 0.2, 0.6, 0.6]]]),
    }
    monkeypatch.setattr(cascade, "rpn_terms", lambda *_: {})
    monkeypatch.setattr(cascade.mask_rcnn, "drawn_rois", lambda *_: drawn)
    monkeypatch.setattr(cascade, "make_losses", lambda settings, terms: terms)
    made = Settings.from_config(type("Own", (CascadeConfig,), keys)())
    stages = {"boxes": [head([1, 0, 0], 0)] * 3}
    return cascade.training_stages(made, trunk(), stages, None)["losses"]


def class_ids_of(terms):
    return {name: ops.convert_to_numpy(x[0])[0].tolist() for name, x in terms.items()}


def test_later_stages_train_on_the_drawn_rois_alone(monkeypatch):
    terms = drawn_terms(monkeypatch)
    classes = class_ids_of(terms)
    assert classes["mrcnn_class_loss"] == [2, -1, 0]
    assert classes["mrcnn_bbox_loss_stage2"] == [2, -1, 0]  # 0.667 is 0.6 or more
    assert classes["mrcnn_bbox_loss_stage3"] == [0, -1, 0]  # and less than 0.7
    # Up by 0.08 of 0.4, over the stage's 0.05.
    assert_allclose(terms["mrcnn_bbox_loss_stage2"][1][0, 0], [-4, 0, 0, 0], atol=1e-5)


def test_each_stage_trains_on_its_own_hardest_roi(monkeypatch):
    # Background is the likeliest everywhere: the object is harder, where it is one.
    classes = class_ids_of(drawn_terms(monkeypatch, OHEM_ROIS_PER_IMAGE=1))
    for loss in ("class", "bbox"):
        assert classes[f"mrcnn_{loss}_loss"] == [2, -1, -1]
        assert classes[f"mrcnn_{loss}_loss_stage2"] == [2, -1, -1]
        assert classes[f"mrcnn_{loss}_loss_stage3"] == [0, -1, -1]  # as hard as the other one


def test_each_stage_has_the_boxes_of_its_rois_in_pixels(monkeypatch):
    terms = drawn_terms(monkeypatch, BBOX_LOSS="diou")
    # Times 5 - 1, and 1 more at the end.
    for suffix in ("", "_stage2", "_stage3"):
        boxes = terms[f"mrcnn_bbox_loss{suffix}"][3]
        assert_allclose(boxes[0, 0], [1.12, 0.8, 3.72, 3.4], rtol=1e-5)
    made = loss_constants(Settings.from_config(CascadeConfig()))
    assert_allclose(made["mrcnn_bbox_loss_stage2"]["std_dev"], [0.05, 0.05, 0.1, 0.1])


def test_scaled_gradient():
    # Of x^2: 2 x, a quarter of it.
    x = f32([1.0, 3.0])
    found = gradient(lambda x: ops.sum(ops.square(cascade.scale_gradient(x, 0.25))), x)
    assert_allclose(found, [0.5, 1.5])
    third = f32([0.1, 1e-8, 12345.678])
    assert_array_equal(cascade.scale_gradient(third, 1 / 3), third)


# ---- losses of stages


def test_losses_of_a_stage_are_those_of_the_first():
    weights = settings.Losses(weights={"mrcnn_bbox_loss": 2.0})
    assert weights.weight("mrcnn_bbox_loss_stage3") == weights.weight("mrcnn_bbox_loss") == 2.0
    assert weights.weight("a_loss_of_its_own") == 1.0
    # Deltas are 1 too large, each by |1| - 0.5.
    tensors = i32([[1]]), f32([[[0, 0, 0, 0]]]), f32([[[[0] * 4, [1] * 4]]])
    assert float(layers.Loss("mrcnn_bbox_loss_stage2", beta=1.0)(*tensors)) == 0.5


# ---- what is refused


def test_what_a_cascade_cannot_work_with():
    one_box = type("OneBox", (TinyConfig,), {"ARCHITECTURE": "cascade_rcnn"})()
    with pytest.raises(ValueError, match=r"BOX_CLASS_AGNOSTIC is False; .*_rcnn' has True"):
        one_box.validate()
    keys = {"CASCADE_IOUS": (0.6,), "ROI_IOU": 0.0}
    with pytest.raises(ValueError, match=r"(?s)CASCADE_STD_DIVISORS.*one of each.*ROI_IOU is 0\.0"):
        type("Uneven", (CascadeConfig,), keys)().validate()


@pytest.mark.parametrize("model", [CascadeRCNN, MaskRCNN])
def test_a_model_is_of_the_configs_architecture(tmp_path, model):
    other = TinyConfig() if model is CascadeRCNN else CascadeConfig()
    with pytest.raises(ValueError, match=r"ARCHITECTURE is .* and .* builds the class"):
        model("inference", other, tmp_path)


def test_create_builds_a_cascade(tmp_path, monkeypatch):
    monkeypatch.setattr(CascadeRCNN, "build", lambda *_: None)
    assert type(create("inference", CascadeConfig(), tmp_path)) is CascadeRCNN


@pytest.mark.parametrize("name", ["mask_loss", "mrcnn_bbox_loss_stage2", "retinanet_bbox_loss"])
def test_weights_of_unknown_losses_are_refused(name):
    x = keras.Input((1,))
    names = ["mrcnn_bbox_loss", "mrcnn_bbox_loss_stage2", "own_loss"]
    losses = [keras.layers.Identity(name=each)(ops.sum(x)) for each in names]
    known = settings.Losses(
        weights={"mrcnn_mask_loss": 1.0, "mrcnn_bbox_loss": 2.0, "own_loss": 3.0}
    )
    TrainingModel(x, losses, losses=names, settings=known)
    with pytest.raises(
        ValueError, match=rf"has \['{name}'\]; expected .*_bbox_loss', 'own_loss'\]"
    ):
        TrainingModel(x, losses, losses=names, settings=settings.Losses(weights={name: 1.0}))
