"""The kernels of exported graphs find what the portable functions of `mrcnn.ops` find."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn.export import litert_kernels, onnx_kernels
from mrcnn.export.graph_unmold import paste
from mrcnn.image.pasting import PASTERS
from mrcnn.ops.native import kernels
from mrcnn.ops.non_max_suppression import class_nms, nms
from mrcnn.ops.pooling import pool_adaptive, pool_grid

RNG = np.random.default_rng(0)


def boxes(*shape):
    low = RNG.uniform(0, 0.7, (*shape, 2))
    return np.concatenate([low, low + RNG.uniform(0.05, 0.3, low.shape)], axis=-1).astype("float32")


def scores(*shape):
    """Some of them are of boxes that do not take part."""
    found = RNG.uniform(0, 1, shape).astype("float32")
    return np.where(found < 0.2, -np.inf, found).astype("float32")


# B = 2 images, N = 30 boxes or 20 of K = 3 classes; two maps, M = 11 boxes in them.
GIVEN = {
    "boxes": boxes(2, 30),
    "scores": scores(2, 30),
    "class_ids": RNG.integers(1, 4, (2, 30)).astype("int32"),
    "class_boxes": boxes(2, 20, 3),
    "class_scores": scores(2, 20, 3),
    "fine": RNG.normal(size=(2, 16, 12, 4)).astype("float32"),
    "coarse": RNG.normal(size=(2, 8, 6, 4)).astype("float32"),
    "levels": RNG.integers(0, 2, (2, 11)).astype("int32"),
    "low": RNG.uniform(-2, 10, (2, 11, 2)).astype("float32"),
    "step": RNG.uniform(0.1, 1.5, (2, 11, 2)).astype("float32"),
}


def suppressed(given):
    chosen = class_nms(given["class_boxes"], given["class_scores"], 9, 0.4, native=False)
    whole = given["boxes"], given["scores"], 25, 0.1  # more than survive
    return {
        "nms": nms(*whole, native=False),
        "nms_by_class": nms(*whole, given["class_ids"], native=False),
        **dict(zip(("chosen_boxes", "chosen_scores", "chosen_classes"), chosen, strict=True)),
    }


def pooled(given):
    features = [given["fine"], given["coarse"]]
    grid = features, given["levels"], given["low"], given["step"], 3
    # 8.4 pixels a side are up to three samples a bin.
    adaptive = features, given["levels"], given["low"], given["step"] * 6, 3
    return {
        "crop": pool_grid(*grid, 1, native=False),
        "grid": pool_grid(*grid, 2, native=False),
        "adaptive": pool_adaptive(*adaptive, native=False),
    }


def arrays(found):
    return {name: np.asarray(x) for name, x in found.items()}


def tensors():
    return {name: tf.constant(x) for name, x in GIVEN.items()}


def check(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5, err_msg=name)
    assert (wanted["nms"][:, 3] >= 0).all() and (wanted["nms"][:, -1] == -1).all()


def test_litert():
    with kernels(litert_kernels.kernels_of(2)):
        found = arrays(suppressed(tensors()))
    check(found, arrays(suppressed(tensors())))


@pytest.mark.slow
def test_onnx_and_openvino(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    tf2onnx = pytest.importorskip("tf2onnx")
    openvino = pytest.importorskip("openvino")
    names = list(GIVEN)

    def function(*given):
        given = dict(zip(names, given, strict=True))
        return suppressed(given) | pooled(given)

    # Any number of images, and maps of any size.
    shapes = {name: (None, *x.shape[1:]) for name, x in GIVEN.items()}
    shapes |= dict.fromkeys(("fine", "coarse"), (None, None, None, 4))
    signature = [tf.TensorSpec(shapes[name], x.dtype, name) for name, x in GIVEN.items()]
    with kernels(onnx_kernels.KERNELS):
        model, _ = tf2onnx.convert.from_function(
            tf.function(function, input_signature=signature, autograph=False),
            input_signature=signature,
            opset=onnx_kernels.OPSET,
            custom_op_handlers=onnx_kernels.HANDLERS,
        )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    outputs = [x.name for x in session.get_outputs()]
    found = dict(zip(outputs, session.run(outputs, GIVEN), strict=True))
    wanted = arrays(suppressed(tensors()) | pooled(tensors()))
    check(found, wanted)
    path = tmp_path / "kernels.onnx"
    path.write_bytes(model.SerializeToString())
    found = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(GIVEN)
    check({name: x for output, x in found.items() for name in output.names}, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("method", PASTERS)
def test_masks_are_pasted_in_onnx(method):
    onnxruntime = pytest.importorskip("onnxruntime")
    tf2onnx = pytest.importorskip("tf2onnx")
    masks = RNG.uniform(0, 1, (2, 3, 5, 5)).astype("float32")
    places = boxes(2, 3) * np.float32([24, 32, 24, 32])
    places[1, 2] = 0  # padding
    sides = np.int32([24, 32])

    def function(masks, boxes, sides):
        return {"found": paste(masks, boxes, sides, method)}

    given = {"masks": masks, "boxes": places, "sides": sides}
    shapes = {"masks": (None, 3, 5, 5), "boxes": (None, 3, 4), "sides": (2,)}
    signature = [tf.TensorSpec(shapes[name], x.dtype, name) for name, x in given.items()]
    model, _ = tf2onnx.convert.from_function(
        tf.function(function, input_signature=signature, autograph=False),
        input_signature=signature,
        opset=onnx_kernels.OPSET,
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(["found"], given)
    wanted = np.asarray(paste(*map(tf.constant, given.values()), method))
    assert found.shape == (2, 3, 24, 32) and wanted.any() and not wanted[1, 2].any()
    assert np.count_nonzero(found != wanted) <= 2  # at the threshold itself
