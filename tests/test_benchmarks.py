"""The benchmarks: a case that dies ends them, PyTorch is there before TensorFlow, answers are told
apart."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_masks

BENCHMARKS = str(Path(__file__).resolve().parents[1] / "benchmarks")


@pytest.fixture
def training(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import training

    return training


def answer(value):
    return value + 1


def die(number):
    os.kill(os.getpid(), number)


def fail(text):
    raise ValueError(text)


def test_a_case_runs_in_a_process_of_its_own(training):
    assert training.in_own_process(answer, 41) == 42
    assert training.in_own_process(os.getpid) != os.getpid()


def test_a_case_that_is_killed_ends_the_benchmark(training):
    with pytest.raises(SystemExit, match="died with signal SIGKILL"):
        training.in_own_process(die, signal.SIGKILL)


def test_a_case_that_fails_shows_its_own_error(training, capfd):
    with pytest.raises(SystemExit, match="died with exit code 1"):
        training.in_own_process(fail, "no such precision")
    assert "ValueError: no such precision" in capfd.readouterr().err


def test_answers_of_a_server_are_told_apart_by_their_masks(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from server_process import is_own

    def result(count):
        """An object of 10 x 20 pixels, the first `count` of which are missing in its mask."""
        mask = np.ones(200, np.uint8)
        mask[:count] = 0
        code = coco_masks.encode(np.asfortranarray(mask.reshape(10, 20)))
        code["counts"] = code["counts"].decode()
        return {"category_id": 1, "score": 0.5, "bbox": [0, 0, 20, 10], "segmentation": code}

    def answer(found):
        return json.dumps({"annotations": [found]}).encode()

    # A hundredth of the box is 2 pixels, and 2 more.
    assert is_own(answer(result(4)), [result(0)])
    assert not is_own(answer(result(5)), [result(0)])
    bare = {key: value for key, value in result(0).items() if key != "segmentation"}
    assert is_own(answer(bare), [bare])
    assert not is_own(answer(bare), [result(0)]) and not is_own(answer(result(0)), [bare])


@pytest.mark.parametrize(
    "code",
    ["import inference", "import training\ntraining.measure(64, 'float32', False, False, None)"],
)
def test_torchvision_is_imported_before_tensorflow(code, tmp_path, run_python):
    stub = "import sys\nprint({'keras', 'tensorflow'} & set(sys.modules))\nsys.exit()\n"
    (tmp_path / "torchvision.py").write_text(stub)
    path = os.pathsep.join([str(tmp_path), BENCHMARKS, *filter(None, sys.path)])
    code = f"import sys\nsys.argv = ['x', '--peer', 'torchvision']\n{code}"
    assert run_python(code, PYTHONPATH=path) == "set()\n"


@pytest.mark.parametrize("path", sorted(Path(BENCHMARKS).glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_are_quiet_before_keras_is_imported(path):
    lines = [line.split() for line in path.read_text().splitlines()]
    modules = [line[1] for line in lines if line[:1] in (["import"], ["from"])]
    heavy = [name for name in modules if name.startswith(("keras", "mrcnn.model", "inference"))]
    if heavy and path.stem != "machine":
        assert modules.index("machine") < modules.index(heavy[0])


@pytest.fixture
def exported(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import exported

    monkeypatch.setattr(exported.machine, "describe", dict)
    monkeypatch.setattr(exported, "build", lambda *given: None)
    return exported


@pytest.mark.parametrize(("equal", "code"), [(2, 0), (1, 1), (None, 1)])
def test_exports_that_differ_are_an_exit_code(exported, monkeypatch, tmp_path, capsys, equal, code):
    def compare(model, images, name, folder):
        if name == "onnx" and equal is None:
            raise RuntimeError("no such kernel")  # as of a runtime
        return {"equal_pictures": 2 if name != "onnx" else equal}

    monkeypatch.setattr(exported, "compare", compare)
    line = ["exported.py", "torchvision/maskrcnn_resnet50_fpn=x.pth", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*line, "--pictures", "2"])
    assert exported.main() == code
    told = capsys.readouterr().out
    assert told.count("equal_pictures") == 4 - (equal is None)  # all rows, the failed one's too
    assert ("RuntimeError: no such kernel" in told) == (equal is None)


def test_what_a_file_found_is_pasted_as_detect_does(exported):
    outputs = {
        "num_detections": 1,
        "detection_boxes": np.float32([[1, 2, 3, 4], [0, 0, 0, 0]]),
        "detection_scores": np.float32([0.9, 0]),
        "detection_classes": np.int32([7, 0]),
        "detection_masks": np.float32([[[0.9, 0.9], [0.1, 0.1]], [[1, 1], [1, 1]]]),
    }
    found = exported.result_of(outputs, (4, 5), "resize")
    assert found["class_ids"].tolist() == [7] and found["scores"].tolist() == [np.float32(0.9)]
    # The upper of two rows, of two columns.
    assert np.argwhere(found["masks"][:, :, 0]).tolist() == [[1, 2], [1, 3]]
