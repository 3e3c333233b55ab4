"""int8: which operations keep float32, what is calibrated with, and what may be lost."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import TinyConfig, shapes

from mrcnn import cli
from mrcnn.export import (
    ExportedModel,
    ExportError,
    check_export,
    formats,
    int8,
    openvino_int8,
)
from mrcnn.model import create

sys.path.append(str(Path(__file__).resolve().parents[1]))

from samples.balloon.stand_in import write_balloons

openvino = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def network():
    """Pixels, two convolutions, a sum, a last one, choices by it, and boxes of a third network."""
    from openvino import opset13 as ops

    rng = np.random.default_rng(0)

    def conv(x, name, inputs, outputs):
        kernel = rng.normal(size=(outputs, inputs, 3, 3)).astype(np.float32)
        found = ops.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
        found.set_friendly_name(name)
        return found

    def named(x, name):
        x.set_friendly_name(name)
        return x

    images = ops.parameter([1, 8, 8, 3], np.uint8, "image_tensor")
    images.output(0).get_tensor().set_names({"image_tensor"})
    pixels = named(ops.convert(images, "f32"), "pixels")
    planes = named(ops.transpose(pixels, [0, 3, 1, 2]), "planes")
    first = conv(planes, "first", 3, 4)
    active = named(ops.relu(first), "active")
    second = conv(active, "second", 4, 4)
    summed = named(ops.add(second, active), "summed")
    logits = conv(summed, "logits", 4, 1)
    scores = named(ops.reshape(logits, [1, 64], False), "scores")
    best = ops.topk(scores, np.int32(2), 1, "max", "value")
    best.set_friendly_name("best")
    index = named(ops.squeeze(best.output(1), [0]), "index")
    rows = named(ops.reshape(summed, [64, 4], False), "rows")
    taken = named(ops.gather(rows, index, np.int32(0)), "taken")
    dense = rng.normal(size=(4, 4)).astype(np.float32)
    hidden = named(ops.matmul(taken, dense, False, False), "hidden")
    last = named(ops.matmul(named(ops.relu(hidden), "kept"), dense, False, False), "last")
    result = ops.result(last)
    last.output(0).get_tensor().set_names({"found"})
    return openvino.Model([result], [images], "network")


def test_what_lies_between_layers_may_take_8_bits(network):
    left = set(openvino_int8.float_operations(network))
    # The pixels lie before all layers; logits lead to a choice, last to nothing.
    assert {"pixels", "planes", "logits", "scores", "best", "index", "last"} <= left
    inside = {"first", "active", "second", "summed", "rows", "taken", "hidden", "kept"}
    assert not inside & left


def test_a_file_of_8_bits(network, tmp_path):
    pytest.importorskip("nncf")
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 1, 8, 8, 3), np.uint8)
    openvino.save_model(network, tmp_path / "exact.xml", compress_to_fp16=False)
    source, path = tmp_path / "exact.xml", tmp_path / "small.xml"
    openvino_int8.quantize(source, path, '{"precision": "int8"}', 3, lambda i: pictures[i])
    core = openvino.Core()
    model = core.read_model(path)
    assert model.get_rt_info(["mrcnn"]).astype(str) == '{"precision": "int8"}'
    kernels = {}
    for each in model.get_ordered_ops():
        if each.get_type_name() in ("Convolution", "MatMul"):
            weights = each.input_value(1).get_node()
            while weights.get_type_name() != "Constant":
                weights = weights.input_value(0).get_node()
            kernels[each.get_friendly_name()] = str(weights.get_element_type().to_string())
    assert [kernels[name] for name in ("first", "second", "hidden")] == ["i8"] * 3
    assert kernels["logits"] == kernels["last"] == "f32"
    # As `ExportedModel` does: where a processor has bfloat16, OpenVINO would choose that.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    exact, small = (core.compile_model(core.read_model(x), "CPU", options) for x in (source, path))
    # In columns by size, as the two choices may swap.
    wanted, found = (np.sort(next(iter(x(pictures[0]).values())), axis=0) for x in (exact, small))
    assert np.abs(found - wanted).max() < 0.2 * np.abs(wanted).max()


class Exported:
    """Stands for an `ExportedModel` of batches of two."""

    def __init__(self):
        self.metadata = {"batch": 2}

    def to_input(self, picture):
        return np.asarray(picture)


def test_calibration_takes_pictures_evenly(monkeypatch):
    monkeypatch.setattr(int8, "PICTURES", 3)
    pictures = [np.full((2, 2, 3), i, np.uint8) for i in range(5)]
    load = int8._calibration(Exported(), pictures)
    # Of 0 to 4: 0, 2, 4.
    assert [load(i)[0, 0, 0, 0] for i in range(3)] == [0, 2, 4]
    assert load(0).shape == (2, 2, 2, 3)
    dataset = shapes(2)
    load = int8._calibration(Exported(), dataset)
    np.testing.assert_array_equal(load(1)[1], dataset.load_image(1))
    with pytest.raises(ValueError, match="expected pictures to calibrate with, received none"):
        int8._calibration(Exported(), [])


def test_a_loss_of_more_than_two_points_is_an_error():
    scores = {"float32": {"bbox": {"AP": 0.60, "AP50": 0.9}, "segm": {"AP": 0.57, "AP50": 0.9}}}
    # 57 - 55.1 = 1.9 points; what AP50 loses does not count.
    scores["int8"] = {"bbox": {"AP": 0.61, "AP50": 0.5}, "segm": {"AP": 0.551, "AP50": 0.5}}
    int8._check_loss(scores)
    scores["int8"]["segm"]["AP"] = 0.549
    with pytest.raises(ExportError, match=r"int8 costs 2\.1 points of segm AP, of 57\.0") as error:
        int8._check_loss(scores)
    assert error.value.stage == "accuracy"
    del scores["int8"]["segm"]  # nothing was found
    with pytest.raises(ExportError, match=r"int8 costs 57\.0 points"):
        int8._check_loss(scores)


@pytest.mark.slow
@pytest.mark.thorough
def test_the_command_scores_both_files(tmp_path, capsys):
    pytest.importorskip("nncf")
    config = type("Balloons", (TinyConfig,), {"NUM_CLASSES": 2})()
    model = create("inference", config, tmp_path)
    model.class_names = ["BG", "balloon"]
    model.save_weights(tmp_path / "tiny.h5")
    balloons = write_balloons(tmp_path / "data", train=2, val=2, height=48, width=64)
    out, tiny = tmp_path / "tiny.xml", str(Path(__file__).with_name("tiny.py"))
    # Proposals of random weights have nearly equal scores, and change places.
    line = ["export", str(tmp_path / "tiny.h5"), "--config", tiny, "--no-verify"]
    line += ["--format", "openvino", "--int8", str(balloons), "--out", str(out)]
    with pytest.warns(UserWarning, match="was not compared with the model"):
        assert cli.main(line) == 0
    told = capsys.readouterr().out
    for precision in ("float32", "int8"):
        head = f"{precision}, of 2 pictures with DETECTION_MIN_CONFIDENCE=0.0\n"
        assert "AP50" in told.partition(head)[2].splitlines()[0]
    exported = ExportedModel(out)
    assert exported.metadata["precision"] == "int8"
    assert exported.class_names == ["BG", "balloon"]
    assert exported.detect([np.full((48, 64, 3), 99, np.uint8)])[0]["masks"].shape[:2] == (48, 64)


def test_formats_without_int8_are_refused():
    with pytest.raises(ValueError, match="format onnx has no int8; expected openvino"):
        check_export(TinyConfig(), "x.onnx", "onnx", int8=True)


def test_the_missing_package_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        formats.importlib.util, "find_spec", lambda name: None if name == "nncf" else found(name)
    )
    with pytest.raises(ImportError, match=r"needs nncf: pip install 'mrcnn\[export,int8\]'"):
        check_export(TinyConfig(), "x.xml", "openvino", int8=True)
