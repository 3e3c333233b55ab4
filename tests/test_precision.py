"""`Config.PRECISION`: features in half the bits; weights, boxes, scores and losses in float32."""

import keras
import numpy as np
import pytest
from tiny import LOSSES, TinyConfig, shapes

from mrcnn.model import MaskRCNN

pytestmark = pytest.mark.slow

HALF = ("mixed_bfloat16", "mixed_float16")


def build(tmp_path, precision, mode="inference", **changes):
    return MaskRCNN(
        mode, type("Half", (TinyConfig,), {"PRECISION": precision, **changes})(), tmp_path
    )


@pytest.mark.parametrize("precision", HALF)
def test_what_is_half_and_what_is_not(tmp_path, precision):
    model = build(tmp_path, precision, "training")
    half = precision.removeprefix("mixed_")
    for name in ("fpn_p2", "res3a_conv", "mrcnn_mask_conv1", "mrcnn_class_conv1"):
        assert model.keras_model.get_layer(name).compute_dtype == half
    assert {str(weight.dtype) for weight in model.keras_model.weights} == {"float32"}
    # Anchors of 1024 pixels have no place in 8 bits.
    for graph in model.graphs.values():
        for layer in graph.layers:
            if layer.name in ("ROI", "mrcnn_detection", "rpn_targets", "proposal_targets"):
                kinds = {str(x.dtype) for x in keras.tree.flatten(layer.input)}
                assert kinds <= {"float32", "int32", "bool"}, layer.name
    outputs = {name: str(x.dtype) for name, x in model.graphs["detection"].output.items()}
    assert outputs == {"detections": "float32", "masks": "float32"}
    assert keras.config.dtype_policy().name == "float32"  # as it was before


@pytest.mark.parametrize("precision", HALF)
def test_proposals_stay_near_those_of_float32(tmp_path, precision):
    exact = build(tmp_path, "float32")
    exact.save_weights(tmp_path / "weights.h5")
    half = build(tmp_path, precision)
    half.load_weights(tmp_path / "weights.h5")
    image = shapes().load_image(0)
    proposals, nearly = (m.run_graph([image], ["ROI"])["ROI"][0] for m in (exact, half))
    # The best proposal is the same box: bfloat16 has 8 bits, so a delta errs by 1/256 of itself.
    np.testing.assert_allclose(nearly[0], proposals[0], atol=0.02)
    assert not np.array_equal(nearly, proposals)


@pytest.mark.thorough
def test_float16_scales_its_loss(tmp_path):
    model = build(tmp_path, "mixed_float16", "training")
    history = model.train(shapes(), None, 0.001, epochs=1, layers="all").history
    assert all(np.isfinite(values).all() for values in history.values())
    # Small gradients would vanish.
    assert isinstance(model.keras_model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert len(model.detect([shapes().load_image(0)])) == 1


@pytest.mark.thorough
def test_losses_of_half_precision_are_those_of_float32(tmp_path):
    losses = []
    for precision in ("float32", "mixed_bfloat16"):
        model = build(tmp_path, precision, "training")
        if losses:
            model.load_weights(tmp_path / "start.h5")
        else:
            model.save_weights(tmp_path / "start.h5")
        history = model.train(shapes(), None, 1e-6, epochs=1, layers="all").history
        losses.append([history[name][0] for name in LOSSES])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05, atol=0.01)
    assert losses[0] != losses[1]


def test_unknown_precision_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"PRECISION is 'bfloat16'; expected one of .*mixed_"):
        build(tmp_path, "bfloat16")
