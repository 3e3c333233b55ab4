"""Tricks of the literature in tiny models that train a step and detect."""

import numpy as np
import pytest
from tiny import LOSSES, TinyConfig, shapes, tiny_of

from mrcnn.config import Config
from mrcnn.data import DataGenerator
from mrcnn.model import create
from mrcnn.settings import Settings

KINDS = {
    "hard, GIoU, synchronized": {
        "OHEM_ROIS_PER_IMAGE": 4,
        "BBOX_LOSS": "giou",
        "NORM": "sync_batch",
        "TRAIN_BN": True,
    },
    "focal, DIoU, groups, one mask": {
        "CLASS_LOSS": "focal",
        "CLASS_WEIGHTS": {2: 3.0},
        "BBOX_LOSS": "diou",
        "NORM": "group",
        "FPN_CLASSIF_FC_LAYERS_SIZE": 64,
        "FPN_NORM": True,
        "MASK_CLASS_AGNOSTIC": True,
        "BBOX_LOSS_NORMALIZER": "sampled",
    },
}


def step(config, folder):
    """A model, the losses of a training step of it, and of an image without objects."""
    model = create("training", config, folder)
    (batch,) = DataGenerator(shapes(2), config, shuffle=False)[0]
    model.set_trainable(".*", verbose=0)
    model.compile(0.01, 0.9)
    losses = model.keras_model.train_on_batch(batch, return_dict=True)
    empty = batch | {"input_gt_class_ids": 0 * batch["input_gt_class_ids"]}
    return model, losses, model.keras_model.test_on_batch(empty, return_dict=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mask_rcnn(kind, tmp_path):
    config = TinyConfig()
    config.DETECTION_PER_CLASS = True  # what is likeliest may be background
    vars(config).update(KINDS[kind])
    model, losses, empty = step(config, tmp_path)
    assert set(losses) == {"loss", *LOSSES}
    assert np.isfinite(list(losses.values())).all() and losses["mrcnn_bbox_loss"] > 0
    assert empty["mrcnn_bbox_loss"] == empty["mrcnn_mask_loss"] == 0.0
    (found,) = model.detect([shapes(1).load_image(0)])
    assert found["masks"].shape == (64, 64, found.count) and found.count > 0


@pytest.mark.slow
@pytest.mark.thorough
def test_c4_and_retinanet(tmp_path):
    c4 = tiny_of("detectron2/mask_rcnn_R_50_C4_3x")
    vars(c4).update({"OHEM_ROIS_PER_IMAGE": 4, "BBOX_LOSS": "diou", "USE_MASK": False})
    retinanet = tiny_of("torchvision/retinanet_resnet50_fpn_v2")
    vars(retinanet).update({"BBOX_LOSS": "diou", "FOCAL_GAMMA": 1.5})
    for config, loss in [(c4, "mrcnn_bbox_loss"), (retinanet, "retinanet_bbox_loss")]:
        model, losses, empty = step(config, tmp_path)
        assert np.isfinite(list(losses.values())).all() and losses[loss] > 0
        assert empty[loss] == 0.0
        assert model.detect([shapes(1).load_image(0)])[0].count > 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"OHEM_ROIS_PER_IMAGE": 0}, "OHEM_ROIS_PER_IMAGE is 0 and TRAIN_ROIS_PER_IMAGE 200"),
        ({"OHEM_ROIS_PER_IMAGE": 201}, "expected 1 to that, or None"),
        ({"BBOX_LOSS": "iou"}, "BBOX_LOSS is 'iou'; expected one of"),
        ({"CLASS_LOSS": "softmax"}, "CLASS_LOSS is 'softmax'; expected one of"),
        ({"NORM": "layer"}, "NORM is 'layer'; expected one of"),
        ({"FOCAL_GAMMA": -1.0}, "FOCAL_GAMMA is -1.0; expected 0 or more"),
        ({"FOCAL_ALPHA": 1.5}, "FOCAL_ALPHA is 1.5; expected between 0 and 1"),
        (
            {"NORM": "group", "FPN_CLASSIF_FC_LAYERS_SIZE": 32},
            "FPN_CLASSIF_FC_LAYERS_SIZE is 32; NORM 'group' makes 32 groups",
        ),
        ({"ARCHITECTURE": "retinanet", "OHEM_ROIS_PER_IMAGE": 8}, "'retinanet' has None"),
    ],
)
def test_what_cannot_work_is_told(keys, message):
    config = Config()
    config.NAME, config.NUM_CLASSES = "own", 2
    config.validate()
    vars(config).update(keys)
    with pytest.raises(ValueError, match="cannot work") as raised:
        config.validate()
    assert message in str(raised.value)


def test_by_default_the_losses_are_those_of_before():
    losses = Settings.from_config(Config()).losses
    assert losses.class_loss(3) == {"kind": "cross_entropy", "gamma": 2.0}
    assert losses.box_loss((0.1,) * 4) == {
        "beta": 1.0,
        "kind": "smooth_l1",
        "std_dev": (0.1,) * 4,
        "normalizer": "positives",
    }
    assert losses.dense_class_loss == {"alpha": 0.25, "gamma": 2.0}
    assert not losses.boxes_in_pixels
    assert Settings.from_config(Config()).hard_rois.count is None
