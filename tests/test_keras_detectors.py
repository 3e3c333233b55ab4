"""A detector on a network of `keras.applications`, one of each kind: a step, and its files."""

import re

import keras
import numpy as np
import pytest
from keras import ops
from tiny import TinyConfig, shapes

from mrcnn.architectures import MaskRCNN
from mrcnn.data import DataGenerator
from mrcnn.network.named_weights import named_weights

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

KINDS = ("VGG16", "ResNet50V2", "DenseNet121", "EfficientNetB0", "ConvNeXtTiny", "MobileNetV2")


class KerasConfig(TinyConfig):
    TRAIN_BN = False
    STEPS_PER_EPOCH = 1
    WEIGHT_DECAY = 0.0  # what moves does so by the gradient of a loss


def stages_of(names):
    return {found[1] for name in names if (found := re.match(r"stage(\d)_", name))}


def values(model):
    weights = named_weights(model.keras_model)
    return {name: ops.convert_to_numpy(weight).copy() for name, weight in weights.items()}


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    """A model after a step of stages 4 and 5 and the heads, with the weights from before it."""
    config = type("Kind", (KerasConfig,), {"BACKBONE": f"keras/{request.param}"})()
    model = MaskRCNN("training", config, str(tmp_path_factory.mktemp(request.param)))
    named_weights(model.keras_model)["mrcnn_class_logits/bias"].assign([-4.0, 0, 0, 0])  # objects
    model.before = values(model)
    model.history = model.train(shapes(), None, 0.01, 1, "4+").history
    yield model
    keras.backend.clear_session()


def test_a_step_moves_what_trains_and_nothing_else(trained):
    losses = {name: loss for name, (loss,) in trained.history.items() if name.endswith("loss")}
    assert len(losses) == 6 and all(0 < loss < np.inf for loss in losses.values())
    after = values(trained)
    assert all(np.isfinite(array).all() for array in after.values())
    moved = {name for name in after if not np.array_equal(after[name], trained.before[name])}
    assert stages_of(moved) == stages_of(after) & {"4", "5"}  # VGG's C5 is a pooling
    assert {"fpn_c2p2/kernel", "rpn_class_raw/kernel", "mrcnn_class_logits/kernel"} <= moved
    assert not {name for name in moved if "moving_" in name}


def inference_model(trained, path):
    model = MaskRCNN("inference", trained.config, trained.model_dir)
    report = model.load_weights(path)
    assert not report["missing"] and not report["unexpected"]
    return model


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_new_model_detects_the_same_from_its_files(trained, suffix, tmp_path):
    path = trained.find_last()
    if suffix == ".keras":  # as keras.callbacks.ModelCheckpoint writes it
        path = tmp_path / "best.keras"
        trained.keras_model.save(path)
    image = shapes(1, seed=3).load_image(0)
    (expected,), (found,) = (
        model.detect([image]) for model in (trained, inference_model(trained, path))
    )
    assert len(expected["rois"]) > 0
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_keras_builds_the_saved_graph_again(trained, tmp_path):
    graph = trained.graphs["detection"]
    graph.save(tmp_path / "detection.keras")
    again = keras.models.load_model(tmp_path / "detection.keras")
    again.jit_compile = False
    (batch,) = DataGenerator(shapes(2), trained.config, shuffle=False)[0]
    inputs = {x.name: batch[x.name] for x in graph.inputs}
    expected, found = (each.predict_on_batch(inputs) for each in (graph, again))
    assert expected["detections"][..., 4].any()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-4, err_msg=name)
