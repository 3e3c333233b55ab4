"""`mrcnn benchmark`: rows in processes of their own, failures in their rows, the table."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from own_process_calls import die, double, fail
from test_export import PREDICTORS
from tiny import shapes

from mrcnn import cli
from mrcnn.cli import benchmark, benchmark_rows
from mrcnn.cli.own_process import in_own_process
from mrcnn.data import convert
from mrcnn.reports.benchmark import format_benchmark, write_benchmark

TINY = str(Path(__file__).parent / "tiny.py")
ROWS = [
    {
        **{"name": "detect", "format": "weights", "precision": "float32", "status": "ok"},
        **{"megabytes": 32.13, "milliseconds": 812.4, "images_per_second": 1.234},
        "memory_megabytes": 1200.0,
        "scores": {"bbox": {"AP": 0.498, "AP50": 0.7}, "segm": {"AP": 0.57, "AP50": 0.73}},
    },
    {"name": "onnx", "format": "onnx", "precision": "float32", "status": "failed: no tf2onnx"},
]


def test_a_process_of_its_own_returns_raises_and_dies():
    assert in_own_process(double, 21) == 42
    assert in_own_process(os.getpid) != os.getpid()
    with pytest.raises(RuntimeError, match=r"^no such format$"):
        in_own_process(fail, "no such format")
    with pytest.raises(RuntimeError, match="was killed by SIGKILL, as when memory runs out"):
        in_own_process(die, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="ended with exit code 3"):
        in_own_process(os._exit, 3)


def test_the_table_and_the_reasons_below_it():
    assert format_benchmark(ROWS).splitlines() == [
        "row     status    MB   ms  images/s  memory MB  bbox AP  segm AP",
        "detect  ok      32.1  812      1.23       1200     49.8     57.0",
        "onnx    failed     -    -         -          -        -        -",
        "",
        "onnx failed: no tf2onnx",
    ]


def test_files_of_the_table(tmp_path):
    table, picture = write_benchmark(ROWS, tmp_path)
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["segm AP"] == "0.57" and rows[0]["milliseconds"] == "812.4"
    assert rows[1]["status"] == "failed: no tf2onnx" and rows[1]["megabytes"] == ""
    assert picture.stat().st_size > 1000
    assert write_benchmark(ROWS[1:], tmp_path) == [table]  # nothing to draw


@pytest.fixture
def tiny_weights(tmp_path):
    from tiny import TinyConfig

    from mrcnn.model import create

    path, model = tmp_path / "tiny.h5", create("inference", TinyConfig(), tmp_path)
    for weight in model.keras_model.weights:
        if weight.path.startswith(PREDICTORS):
            weight.assign(weight / 50)  # else scores are 1, and tie
    model.save_weights(path)
    return str(path)


@pytest.mark.slow
def test_a_row_that_fails_ends_nothing(tiny_weights, tmp_path, capsys, monkeypatch):
    def in_this_process(function, *arguments):
        try:
            return function(*arguments)
        except ValueError as error:
            raise RuntimeError(str(error)) from error

    monkeypatch.setattr(benchmark, "in_own_process", in_this_process)
    monkeypatch.setattr(benchmark_rows.quiet, "install", lambda: None)
    out = tmp_path / "out"
    line = ["benchmark", tiny_weights, "--config", TINY, "--out", str(out), "--pictures", "2"]
    with pytest.warns(UserWarning, match="without DATA nothing is scored, and int8 is left out"):
        code = cli.main([*line, "--rows", "detect", "onnx", "openvino-int8", "TEST_FLIP=true"])
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["detect", "ok"]
    assert "onnx failed: format onnx: test-time augmentation" in "\n".join(lines)
    assert "openvino-int8 left out: int8 takes its ranges from DATA" in lines
    with open(out / "benchmark.csv", newline="") as file:
        (row, *_) = csv.DictReader(file)
    assert float(row["milliseconds"]) > 0 and float(row["images_per_second"]) > 0
    size = os.path.getsize(tiny_weights) / 1e6
    assert float(row["megabytes"]) == pytest.approx(size)


@pytest.mark.slow
@pytest.mark.thorough
def test_rows_by_processes_of_their_own(tiny_weights, tmp_path):
    # Proposals of weights drawn at random tie in bfloat16, and the file differs by one of them.
    chosen = [name for name in benchmark_rows.ROWS if name != "saved_model-bfloat16"]
    convert(shapes(2), tmp_path / "data", "coco")
    words = [sys.executable, "-m", "mrcnn", "benchmark", tiny_weights, "data", "--out", "out"]
    words += ["--config", TINY, "--pictures", "2", "--rows", *chosen]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out" / "benchmark.csv", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert list(rows) == chosen
    expected = {"ok", "verified", "float32 verified"}
    assert {row["status"] for row in rows.values()} == expected, done.stdout
    average = float(rows["detect"]["bbox AP"])
    for name, row in rows.items():
        assert float(row["milliseconds"]) > 0 and float(row["memory_megabytes"]) > 0, name
        if row["precision"] == "float32":
            assert float(row["bbox AP"]) == pytest.approx(average, abs=0.01)


def test_where_nothing_is_measured_the_exit_code_is_1(tmp_path, capsys, monkeypatch):
    def fail(function, *arguments):
        raise RuntimeError("no room")

    monkeypatch.setattr(benchmark, "in_own_process", fail)
    monkeypatch.setattr(benchmark, "_check_data", lambda arguments: None)
    line = ["benchmark", "x.h5", "--out", str(tmp_path), "--rows", "detect", "onnx"]
    assert cli.main(line) == 1
    assert "onnx failed: no room" in capsys.readouterr().out


def test_an_exported_file_is_refused(tmp_path, capsys):
    (tmp_path / "x.onnx").touch()
    assert cli.main(["benchmark", str(tmp_path / "x.onnx")]) == 2
    assert "x.onnx is exported already; expected the weights" in capsys.readouterr().err
