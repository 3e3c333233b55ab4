"""The pictures, tables and lines of a run's folder."""

import types

import keras
import numpy as np
import pytest
from skimage import io
from tiny import TinyConfig, corners, shapes

from mrcnn.data import DataGenerator
from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.label_generator import LabelGenerator, PanopticGenerator
from mrcnn.data.panoptic import class_labels
from mrcnn.inference.detections import Detections
from mrcnn.reports import run_folder
from mrcnn.reports.run_folder import draw_labels, draw_validation, seen
from mrcnn.training.progress import Progress
from mrcnn.visualize.grids import draw_grid
from mrcnn.visualize.training_plots import plot_labels, plot_results

SEGMENT = {"id": 7, "class_id": 1, "is_thing": True}


def nothing():
    return {"rois": np.zeros((0, 4)), "class_ids": np.zeros(0, int)}


# ---- Pictures


def test_a_grid_has_its_images_in_rows():
    images = [np.full((8, 16, 3), value, np.uint8) for value in (10, 20, 30)]
    picture = draw_grid(images, [nothing()] * 3, tile=16)
    # Two rows of two tiles of 16, with a gap of 6: 16 + 6 + 16 = 38.
    assert picture.shape == (38, 38, 3)
    assert [picture[8, 8, 0], picture[8, 30, 0], picture[30, 8, 0]] == [10, 20, 30]
    assert picture[30, 30, 0] == picture[8, 19, 0] == picture[1, 8, 0] == 255
    assert draw_grid(images, [nothing()] * 3, columns=3, tile=16).shape == (16, 60, 3)


@pytest.mark.parametrize("mini_masks", [True, False])
def test_batches_are_drawn_as_the_network_sees_them(mini_masks):
    config = type("Seen", (TinyConfig,), {"USE_MINI_MASK": mini_masks, "STD_PIXEL": 2.0})()
    dataset = shapes(2)
    (batch,) = DataGenerator(dataset, config, shuffle=False)[0]
    images, instances = seen(batch, DataGenerator(dataset, config).settings)
    for i, (image, found) in enumerate(zip(images, instances, strict=True)):
        np.testing.assert_array_equal(image, dataset.load_image(i))  # 64 x 64, as the network's
        masks, class_ids = dataset.load_mask(i)
        np.testing.assert_array_equal(found["class_ids"], class_ids)
        wrong = (found["masks"] != masks).mean()
        assert wrong < 0.01 if mini_masks else wrong == 0


def test_batches_have_the_class_of_each_pixel():
    values = {"NUM_CLASSES": 6, "NUM_STUFF_CLASSES": 2, "USE_MINI_MASK": False}
    config, dataset = type("Map", (TinyConfig,), values)(), shapes(2, dataset_type=GroundsDataset)
    for generator_type, whole in ((PanopticGenerator, False), (LabelGenerator, True)):
        generator = generator_type(dataset, config, shuffle=False)
        _, instances = seen(generator[0][0], generator.settings)
        for image_id, found in enumerate(instances):
            ids, segments = dataset.load_panoptic(image_id)
            labels, things = class_labels(ids, segments), sum(x["is_thing"] for x in segments)
            shown = class_labels(found["segmentation"], found["segments"])
            np.testing.assert_array_equal(shown, labels)
            count = sum(each["is_thing"] for each in found["segments"])
            assert count == (len(np.unique(labels[labels < 4])) if whole else things) > 0


@pytest.mark.parametrize("scores", [[0.9, 0.4], []])
def test_validation_is_drawn_with_points_and_maps(scores, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(run_folder, "draw_grid", lambda *args, **named: drawn.append((args, named)))
    dataset = corners(2)

    def load_panoptic(image_id):
        if image_id == 1:
            raise ValueError("no map of the second picture")
        return np.full((64, 64), 7), [SEGMENT]

    dataset.load_panoptic = load_panoptic
    found = Detections({"scores": np.array(scores), "class_ids": np.ones(len(scores), int)})
    settings = types.SimpleNamespace(keypoint_head=types.SimpleNamespace(enabled=True))
    model = types.SimpleNamespace(
        detect=lambda images: [found] * len(images), finds_segments=True, settings=settings
    )
    draw_validation(model, dataset, tmp_path, score=0.5)
    ((images, (truth,), _), options), ((_, (result,), _), _) = drawn
    assert len(images) == 1 and options["skeleton"] == dataset.keypoint_scheme.skeleton
    assert truth["segments"][0]["id"] == 7
    np.testing.assert_array_equal(truth["keypoints"], dataset.load_keypoints(0))
    assert result["scores"].tolist() == scores[:1]


def test_labels_are_counted_and_measured(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(run_folder, "plot_labels", lambda *arguments: told.append(arguments))
    dataset = shapes(3)
    masks = np.zeros((64, 128, 3), bool)
    masks[16:32, 32:128, 0] = masks[0:64, 0:64, 1] = masks[:, :, 2] = True
    dataset.load_mask = lambda i: (masks, np.array([1, 3, -2]))  # the last one is a crowd
    draw_labels(dataset, tmp_path)
    ((ids, boxes, names, title, path),) = told
    assert ids.tolist() == [1, 3] * 3
    # 16 / 64, 32 / 128, 32 / 64, 128 / 128
    np.testing.assert_array_equal(boxes[:2], [[0.25, 0.25, 0.5, 1], [0, 0, 1, 0.5]])
    assert (title, path) == ("6 objects in 3 pictures", tmp_path / "labels.jpg")
    assert names == dataset.class_names
    monkeypatch.setattr(run_folder, "LABELLED", 2)
    draw_labels(dataset, tmp_path)
    assert told[1][3] == "4 objects in 2 pictures of 3"


def test_plot_of_labels(tmp_path):
    boxes = [[0, 0, 0.5, 1], [0.5, 0, 1, 0.5]]
    names = ["BG", "cat", "dog", "cow"]
    figure = plot_labels([2, 2], boxes, names, "two", tmp_path / "labels.jpg")
    counts, _, sizes = figure.axes[:3]
    assert [text.get_text() for text in counts.get_yticklabels()] == ["dog", "cat", "cow"]
    assert [bar.get_width() for bar in counts.patches] == [2, 0, 0]
    np.testing.assert_array_equal(sizes.collections[0].get_offsets(), [[1, 0.5], [0.5, 0.5]])
    assert io.imread(tmp_path / "labels.jpg").std() > 10
    plot_labels([], [], ["BG", *map(str, range(50))], "none", tmp_path / "none.jpg")


def test_plot_of_results(tmp_path):
    rows = [{"epoch": 1, "loss": 2.0, "val_loss": 3.0, "rpn_loss": 1.0, "data_wait": 0.1}]
    rows += [{"epoch": 2, "loss": 1.0, "rpn_loss": 0.5, "segm_AP": 0.2, "segm_AP50": 0.4}]
    figure = plot_results(rows, tmp_path / "results.png")
    panels = {ax.get_title(): ax for ax in figure.axes}
    assert list(panels) == ["loss", "rpn_loss", "AP"]
    lines = {line.get_label(): line.get_xydata().tolist() for line in panels["loss"].lines}
    assert lines == {"training": [[1, 2], [2, 1]], "validation": [[1, 3]]}
    lines = {line.get_label(): line.get_xydata().tolist() for line in panels["AP"].lines}
    assert lines == {"segm_AP": [[2, 0.2]], "segm_AP50": [[2, 0.4]]}


# ---- Lines


class Clock:
    """Seconds, as the test sets them."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("mrcnn.training.progress.time.perf_counter", clock.perf_counter)
    return clock


def lines_of(path):
    return [line[20:] for line in path.read_text().splitlines()]  # without date and time


def test_lines_tell_the_time_left(tmp_path, clock, capsys):
    progress = Progress(tmp_path / "train.log", interval=60)
    progress.set_params({"verbose": 1, "epochs": 3, "steps": 4})
    progress.on_epoch_begin(1)  # epochs 2 and 3: 8 steps
    for step, clock.now in enumerate((100, 130, 165, 200)):
        progress.on_train_batch_end(step, {"loss": 2.0})
    clock.now = 220
    progress.on_epoch_end(1, {"loss": 1.5, "val_loss": 2.5, "rpn_loss": 9.0, "bbox_AP50": 0.123456})
    assert lines_of(tmp_path / "train.log") == [
        # 65 seconds for two steps after the first, five are left: 162.5
        "epoch 2 of 3, step 3 of 4: loss 2; 2 min 42 s left",
        # 120 seconds for three steps, four are left: 160
        "epoch 2 of 3: loss 1.5, val_loss 2.5, bbox_AP50 0.1235; 2 min 40 s left",
    ]
    assert capsys.readouterr().out.splitlines() == lines_of(tmp_path / "train.log")
    progress.on_epoch_begin(2)
    for step, clock.now in enumerate((230, 240, 250, 260)):
        progress.on_train_batch_end(step, {"loss": 2.0})
    progress.on_epoch_end(2, {"loss": 1.25})
    assert lines_of(tmp_path / "train.log")[-1] == "epoch 3 of 3: loss 1.25"


def test_lines_within_an_epoch_do_not_cut_the_bar_of_a_terminal(
    tmp_path, clock, capsys, monkeypatch
):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    progress = Progress(tmp_path / "train.log", interval=60)
    progress.set_params({"verbose": 1, "epochs": 1, "steps": 3})
    progress.on_epoch_begin(0)
    for step, clock.now in enumerate((100, 200)):
        progress.on_train_batch_end(step, {"loss": 2.0})
    assert "step 2 of 3: loss 2" in lines_of(tmp_path / "train.log")[0]
    assert "step 2 of 3" not in capsys.readouterr().out


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bar_is_for_terminals(terminal, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    log = tmp_path / "train.log"
    model.fit(np.ones((4, 1)), np.ones(4), batch_size=2, epochs=2, callbacks=[Progress(log)])
    out = capsys.readouterr().out
    assert ("2/2" in out) == terminal
    assert out.count("epoch 1 of 2: loss ") == 1
    assert [line.split(":")[0] for line in lines_of(log)] == ["epoch 1 of 2", "epoch 2 of 2"]
