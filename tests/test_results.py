"""`results.csv` and `results.png` of a training, and what TensorBoard has beside them."""

import csv

import numpy as np
import pytest
from skimage import io
from test_evaluate_callback import events
from tiny import TinyConfig, shapes

from mrcnn.model import MaskRCNN
from mrcnn.training import EvaluateCallback, Results, read_results, results


def test_results_have_a_line_for_each_epoch(tmp_path):
    table = Results(tmp_path)
    table.on_train_begin()
    table.on_epoch_end(0, {"loss": np.float32(2.5), "note": "no number", "none": None})
    table.on_epoch_end(1, {"loss": 1.5, "AP": 0.25})
    assert (tmp_path / "results.csv").read_text() == "epoch,loss,AP\n1,2.5,\n2,1.5,0.25\n"
    assert (tmp_path / "results.png").exists()
    # Training goes on from epoch 1: what came after it is replaced.
    again = Results(tmp_path)
    again.on_train_begin()
    again.on_epoch_end(1, {"loss": 1.0})
    expected = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 1.0}]
    assert read_results(tmp_path / "results.csv") == expected
    assert not list(tmp_path.glob("*.part"))


def test_short_epochs_are_drawn_now_and_then_and_at_the_end(tmp_path, monkeypatch):
    clock, drawn = iter([0.0, 0.0, 20.0, 31.0, 31.0, 40.0, 50.0]), []
    monkeypatch.setattr(results.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        "mrcnn.visualize.training_plots.plot_results", lambda rows, path: drawn.append(len(rows))
    )
    table = Results(tmp_path)
    table.on_train_begin()
    for epoch in range(4):  # end at 0, 20, 31 and 40 seconds
        table.on_epoch_end(epoch, {"loss": 1.0})
    assert drawn == [1, 3]
    table.on_train_end()
    assert drawn == [1, 3, 4]


def test_a_table_that_cannot_be_written_ends_no_training(tmp_path):
    table = Results(tmp_path)
    table.on_train_begin()
    (tmp_path / "results.csv").mkdir()
    with pytest.warns(UserWarning, match="training goes on without its results") as told:
        table.on_epoch_end(0, {"loss": 1.0})
        table.on_epoch_end(1, {"loss": 1.0})
    assert len(told) == 1


@pytest.mark.parametrize("text", ["time,score\n1,2\n", "epoch,loss\none,2\n"])
def test_a_table_of_something_else_is_not_replaced(tmp_path, text):
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(ValueError, match="expected numbers with a column epoch"):
        Results(tmp_path).on_train_begin()
    assert (tmp_path / "results.csv").read_text() == text


LOSSES = ["loss", "rpn_class_loss", "rpn_bbox_loss", "mrcnn_class_loss", "mrcnn_bbox_loss"]
LOSSES += ["mrcnn_mask_loss"]


@pytest.mark.slow
def test_a_training_writes_its_numbers_curves_and_tensorboard(tmp_path):
    model = MaskRCNN("training", TinyConfig(), tmp_path)
    evaluate = EvaluateCallback(model, shapes(2, seed=1), pictures=1)
    model.train(shapes(4), shapes(2, seed=1), 0.01, 1, "heads", custom_callbacks=[evaluate])
    model.train(shapes(4), shapes(2, seed=1), 0.001, 2, "heads")  # the same step, traced once
    folder = tmp_path / model.log_dir
    rows = read_results(folder / "results.csv")
    assert [(row["epoch"], row["learning_rate"]) for row in rows] == [(1, 0.01), (2, 0.001)]
    for row in rows:
        assert row.keys() >= {*LOSSES, *(f"val_{name}" for name in LOSSES), "seconds", "data_wait"}
    assert "val_segm_AP" in rows[0] and "val_segm_AP" not in rows[1]
    with open(folder / "results.csv", newline="") as file:
        assert next(csv.reader(file))[0] == "epoch"
    assert np.ptp(io.imread(folder / "results.png")) > 100
    train, validation = events(folder / "train"), events(folder / "validation")
    names = {f"epoch_{name}" for name in LOSSES}
    assert train.keys() >= {*names, "epoch_learning_rate", "epoch_data_wait", "epoch_seconds"}
    assert validation.keys() >= names
    rates = dict(train["epoch_learning_rate"])  # by epoch, as the files come in any order
    assert (rates[0], rates[1]) == (pytest.approx(0.01), pytest.approx(0.001))
    assert events(folder / "evaluation").keys() >= {"segm/AP", "truth and detections"}
