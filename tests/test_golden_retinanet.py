"""Parity of RetinaNet with torchvision and detectron2, detection and a training step."""

import re

import keras
import numpy as np
import pytest
from recipes import GOLDEN, recipe_weights
from test_golden_torch import IMAGE, assert_sample, config_of, pairs
from torch_files import write_detectron2_pkl, write_legacy_pth, write_zip_pth

from mrcnn.image import compose_image_meta, mold
from mrcnn.model import RetinaNet
from mrcnn.network.named_weights import named_weights
from mrcnn.presets import PRESETS

pytestmark = pytest.mark.slow

V1 = "torchvision/retinanet_resnet50_fpn"
# By preset: how its file is written, and what its levels are called.
MODELS = {
    V1: (write_zip_pth, ("0", "1", "2", "p6", "p7")),
    "torchvision/retinanet_resnet50_fpn_v2": (write_legacy_pth, ("0", "1", "2", "p6", "p7")),
    "detectron2/retinanet_R_50_FPN_3x": (write_detectron2_pkl, ("p3", "p4", "p5", "p6", "p7")),
}


def as_released(name):
    """A name as in the released file of V1, from before torchvision 0.13."""
    name = re.sub(r"(_blocks\.\d)\.0\.", r"\1.", name)
    return re.sub(r"(head\.conv\.)(\d)\.0\.", lambda m: f"{m[1]}{2 * int(m[2])}.", name)


@pytest.fixture(scope="module", params=MODELS)
def run(request, tmp_path_factory):
    """A model, the report of its weights, its stages and detections, and the reference's arrays."""
    name, folder = request.param.replace("/", "_"), tmp_path_factory.mktemp("golden")
    write, levels = MODELS[request.param]
    arrays = dict(recipe_weights(GOLDEN / f"{name}.recipe.json"))
    if request.param == V1:
        arrays = {as_released(name): array for name, array in arrays.items()}
    path = folder / "weights"
    write(path, arrays)
    # V1 does its training step too.
    model = RetinaNet(
        "training" if request.param == V1 else "inference", config_of(request.param), folder
    )
    report = model.load_weights(path)
    path.unlink()
    outputs = [*(f"fpn_p{i}" for i in (3, 4, 5, 6, 7)), "retinanet_class_logits", "retinanet_bbox"]
    stages = model.run_graph([IMAGE], outputs)
    return {
        "library": name.split("_")[0],
        "levels": levels,
        "model": model,
        "names": arrays,
        "report": report,
        "stages": {name: output[0] for name, output in stages.items()},
        "found": model.detect([IMAGE])[0],
        "golden": np.load(GOLDEN / f"{name}.npz"),
    }


def test_every_weight_is_loaded(run):
    report = run["report"]
    assert report["source"] == run["library"]
    assert report["missing"] == report["unexpected"] == report["wrong_shape"] == []


def test_pyramid(run):
    for level, field in zip((3, 4, 5, 6, 7), run["levels"], strict=True):
        feature = run["stages"][f"fpn_p{level}"].transpose(2, 0, 1)
        assert_sample(feature, run["golden"], f"feat_{field}")


def test_heads(run):
    if run["library"] == "detectron2":
        pytest.skip("the reference holds no logits of detectron2")
    assert_sample(run["stages"]["retinanet_class_logits"], run["golden"], "retina_logits")
    deltas = run["stages"]["retinanet_bbox"][:, [1, 0, 3, 2]]
    assert_sample(deltas, run["golden"], "retina_deltas")


def test_detections(run):
    expected = len(run["golden"]["det_boxes"])
    assert len(run["found"]["boxes"]) == expected
    assert len(list(pairs(run))) >= 0.98 * expected


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a tape of TensorFlow")
@pytest.mark.parametrize("run", [V1], indirect=True)
def test_training_step(run):
    """Losses, and norms of gradients by torchvision's name; BatchNorm is fixed."""
    import tensorflow as tf

    golden, model = (
        np.load(GOLDEN / "torchvision_retinanet_resnet50_fpn_training.npz"),
        run["model"],
    )
    config, window = model.config, (0, 0, *IMAGE.shape[:2])
    known = np.ones(config.NUM_CLASSES)
    meta = compose_image_meta(0, IMAGE.shape, IMAGE.shape, window, 1.0, known)
    objects = len(golden["gt_labels"])
    ids, boxes = np.zeros(config.MAX_GT_INSTANCES), np.zeros((config.MAX_GT_INSTANCES, 4))
    ids[:objects], boxes[:objects] = golden["gt_labels"], golden["gt_boxes_yxyx"]
    shape = (1, *config.MINI_MASK_SHAPE, config.MAX_GT_INSTANCES)
    inputs = {
        "input_image": mold(IMAGE, window, model.settings.image)[None],
        "input_image_meta": meta[None],
        "input_gt_class_ids": ids[None].astype("int32"),
        "input_gt_boxes": boxes[None].astype("float32"),
        "input_gt_masks": np.zeros(shape, bool),
    }
    names = model.weight_names.table("torchvision", run["names"], model.settings)
    weights = named_weights(model.keras_model)
    sources = [weights[names[as_released(name)][0]].value for name in golden["grad_names"]]
    model.set_trainable(".*", verbose=0)

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            losses = model.keras_model(inputs, training=True)
        return losses, tape.gradient(losses, sources)

    losses, gradients = compute()
    np.testing.assert_allclose(np.array(losses), golden["losses"], rtol=1e-3)
    for name, gradient, norm in zip(
        golden["grad_names"], gradients, golden["grad_norms"], strict=True
    ):
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=1e-2), name


def test_presets_are_all_compared():
    assert set(MODELS) == {name for name in PRESETS if PRESETS[name].ARCHITECTURE == "retinanet"}
