"""Training steps of torchvision without randomness."""

import keras
import numpy as np
import pytest
from recipes import GOLDEN, recipe_weights
from skimage import data

from mrcnn.architectures import MaskRCNN
from mrcnn.image import compose_image_meta, mold
from mrcnn.network.named_weights import named_weights
from mrcnn.presets import PRESETS
from mrcnn.settings import Image
from mrcnn.weights import load_state_dict
from mrcnn.weights.names import source_names

pytestmark = pytest.mark.slow

IMAGE = data.astronaut()[:384, :512]
LOSSES = {
    "loss_classifier": "mrcnn_class_loss",
    "loss_box_reg": "mrcnn_bbox_loss",
    "loss_mask": "mrcnn_mask_loss",
    "loss_keypoint": "mrcnn_keypoint_loss",
    "loss_objectness": "rpn_class_loss",
    "loss_rpn_box_reg": "rpn_bbox_loss",
}


STEP = {
    "IMAGES_PER_GPU": 1,
    "IMAGE_MIN_DIM": 384,
    "MAX_GT_INSTANCES": 5,
    "USE_MINI_MASK": False,
    "TRAIN_BN": False,
    # Nothing is drawn: every labelled anchor of 49104, every proposal, every object.
    "RPN_TRAIN_ANCHORS_PER_IMAGE": 100000,
    "PRE_NMS_LIMIT_TRAINING": 1000,
    "POST_NMS_ROIS_TRAINING": 300,
    "TRAIN_ROIS_PER_IMAGE": 306,
    "ROI_POSITIVE_RATIO": 0.5,
}


def ellipse(box):
    """The ellipse inscribed in a box, at pixel centres."""
    y1, x1, y2, x2 = box
    y, x = np.mgrid[: IMAGE.shape[0], : IMAGE.shape[1]] + 0.5
    height, width = (y2 - y1) / 2, (x2 - x1) / 2
    return ((y - (y1 + y2) / 2) / height) ** 2 + ((x - (x1 + x2) / 2) / width) ** 2 <= 1


@pytest.fixture(
    scope="module",
    params=[
        "maskrcnn_resnet50_fpn",
        pytest.param("keypointrcnn_resnet50_fpn", marks=pytest.mark.thorough),
    ],
)
def golden(request):
    return {
        "model": request.param,
        **np.load(GOLDEN / f"torchvision_{request.param}_training.npz"),
    }


@pytest.fixture(scope="module")
def step(golden, tmp_path_factory):
    """Losses, and gradients by torchvision's name."""
    import tensorflow as tf

    config = type("Step", (PRESETS[f"torchvision/{golden['model']}"],), STEP)()
    model = MaskRCNN("training", config, tmp_path_factory.mktemp("step"))
    arrays = dict(recipe_weights(GOLDEN / f"torchvision_{golden['model']}.recipe.json"))
    load_state_dict(model, arrays, "torchvision")
    model.set_trainable(".*", verbose=0)
    masks = np.stack([ellipse(box) for box in golden["gt_boxes_yxyx"]], axis=-1)
    if config.USE_MASK:
        np.testing.assert_array_equal(masks.sum(axis=(0, 1)), golden["mask_areas"])
    window, known = (0, 0, *IMAGE.shape[:2]), np.ones(config.NUM_CLASSES)
    meta = compose_image_meta(0, IMAGE.shape, IMAGE.shape, window, 1.0, known)
    inputs = {
        "input_image": mold(IMAGE, window, Image.from_config(config))[None],
        "input_image_meta": meta[None],
        "input_gt_class_ids": golden["gt_labels"][None].astype("int32"),
        "input_gt_boxes": golden["gt_boxes_yxyx"][None],
        "input_gt_masks": masks[None],
    }
    if config.USE_KEYPOINTS:
        inputs["input_gt_keypoints"] = golden["gt_keypoints_xyv"][None][..., [1, 0, 2]]
    names = source_names("torchvision", arrays, config.POOL_SIZE)
    weights = named_weights(model.keras_model)
    variables = {name: weights[names[name][0]] for name in golden["grad_names"]}

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            outputs = model.keras_model(inputs, training=True)
            losses = dict(zip(model.keras_model.loss_names, outputs[-5:], strict=True))
            total = sum(losses.values())
        sources = [variable.value for variable in variables.values()]
        return losses, tape.gradient(total, sources)

    losses, gradients = compute()
    gradients = dict(zip(variables, (g.numpy() for g in gradients), strict=True))
    return {name: float(loss) for name, loss in losses.items()}, gradients


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a tape of TensorFlow")
class TestStep:
    def test_losses(self, step, golden):
        for name, expected in zip(golden["loss_names"], golden["losses"], strict=True):
            assert step[0][LOSSES[name]] == pytest.approx(expected, rel=1e-3), name

    def test_gradient_norms(self, step, golden):
        for name, expected in zip(golden["grad_names"], golden["grad_norms"], strict=True):
            gradient = step[1][name]
            if name == "rpn.head.cls_logits.weight":
                gradient = gradient[..., 1::2]  # of the objects' logits; background's stay 0 there
            assert np.linalg.norm(gradient) == pytest.approx(expected, rel=1e-2), name
