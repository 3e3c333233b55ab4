"""A tiny model that finds keypoints, from training to drawing."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import TinyConfig, corners, shapes, with_keypoints

from mrcnn.cli.main import main
from mrcnn.data import DataGenerator, KeypointScheme, convert, load
from mrcnn.data.corners import NAMES
from mrcnn.evaluate import evaluate
from mrcnn.inference.streams import detect_to_folder
from mrcnn.model import MaskRCNN, create
from mrcnn.presets import PRESETS
from mrcnn.weights import config_of, for_config, guess_preset

pytestmark = pytest.mark.slow

TINY = str(Path(__file__).with_name("tiny.py"))
SIDES = [(64, 64, 3), (30, 90, 3), (64, 64, 3)]


def config(**keys):
    found = with_keypoints(TinyConfig())
    vars(found).update(keys)
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model without masks that was trained for two steps."""
    model = create("training", config(USE_MASK=False), tmp_path_factory.mktemp("keypoints"))
    history = model.train(corners(), corners(2, 1), 0.001, 1, "all")
    return model, history.history


def test_training_has_the_loss(trained):
    history = trained[1]
    # 16 x 16 bins, of which none is more likely at first: ln 256 = 5.5.
    assert 5 < history["mrcnn_keypoint_loss"][0] < 7
    assert history["val_mrcnn_keypoint_loss"][0] > 0 and "mrcnn_mask_loss" not in history


def test_images_of_any_sizes(trained):
    model = trained[0]
    images = [np.full(shape, 90, np.uint8) for shape in SIDES]
    for found, image in zip(model.detect(images), images, strict=True):
        assert found["keypoints"].shape == (found.count, len(NAMES), 3)
        assert found["keypoints"].dtype == np.float32
        low, high = found["boxes"][:, None, :2], found["boxes"][:, None, 2:]
        points = found["keypoints"][..., :2]
        assert ((points >= low - 1e-3) & (points <= high + 1e-3)).all()
        alone = model.detect([image])[0]
        np.testing.assert_allclose(alone["keypoints"], found["keypoints"], atol=1e-3)


def test_weights_know_the_names(trained, tmp_path):
    model = trained[0]
    path = tmp_path / "weights.h5"
    model.save_weights(path)
    again = MaskRCNN("inference", config_of_tiny(path), tmp_path)
    report = again.load_weights(path)
    assert report["missing"] == report["unexpected"] == []
    assert again.keypoint_scheme == model.keypoint_scheme == corners(1).keypoint_scheme
    image = corners(1).load_image(0)
    ours, theirs = (each.detect([image])[0]["keypoints"] for each in (again, model))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def config_of_tiny(path):
    with pytest.raises(ValueError, match="BACKBONE was function"):
        config_of(path)
    return config(USE_MASK=False)


def test_scores_and_files(trained, tmp_path):
    model = trained[0]
    scores = evaluate(model, corners(2, 1))
    assert list(scores) == ["bbox", "keypoints"] and scores["keypoints"]["AP"] >= 0
    assert list(evaluate(model, shapes(2, 1))) == ["bbox"]  # data without keypoints
    picture = tmp_path / "a.png"
    keras.utils.save_img(picture, corners(1).load_image(0))
    detect_to_folder(model, picture, tmp_path / "found")
    header, row, *_ = (tmp_path / "found" / "detections.csv").read_text().splitlines()
    names = header.split(",")
    assert names[-3:] == ["point5_y", "point5_x", "point5_score"] and len(names) == 10 + 15
    found = model.detect([picture])[0]
    values = [float(text) for text in row.split(",")[-3:]]
    np.testing.assert_allclose(values, found["keypoints"][0, -1], atol=6e-3)


@pytest.mark.thorough
def test_both_heads_in_one_model_and_other_data_sets(tmp_path):
    model = MaskRCNN("training", config(), tmp_path)
    (batch,) = DataGenerator(corners(), model.config, shuffle=False)[0]
    model.set_trainable(".*", verbose=0)
    model.compile(0.01, 0.9)
    losses = model.keras_model.train_on_batch(batch, return_dict=True)
    assert losses["mrcnn_keypoint_loss"] > 0 and losses["mrcnn_mask_loss"] > 0
    # Without a visible keypoint the loss is exactly 0.
    batch["input_gt_keypoints"][..., 2] = 0
    losses = model.keras_model.test_on_batch(batch, return_dict=True)
    assert losses["mrcnn_keypoint_loss"] == 0.0 and losses["mrcnn_mask_loss"] > 0
    found = model.detect([batch["input_image"][0].astype(np.uint8)])[0]
    assert {"masks", "keypoints"} <= found.keys()
    with pytest.raises(ValueError, match="received a ShapesDataset without"):
        model.train(shapes(), None, 0.01, 1, "all")
    turned = corners(2)
    turned.keypoint_scheme = KeypointScheme(NAMES[::-1])
    with pytest.raises(ValueError, match=f"received {NAMES[-1]}, .*order them alike"):
        model.train(corners(), turned, 0.01, 1, "all")
    # Another number of keypoints: the last layer alone starts anew.
    other = MaskRCNN("training", config(NUM_KEYPOINTS=7), tmp_path)
    model.save_weights(tmp_path / "five.h5")
    anew = "than NUM_KEYPOINTS = 7 start anew: mrcnn_keypoint_deconv"
    with pytest.warns(UserWarning, match=anew):
        report = other.load_weights(tmp_path / "five.h5")
    assert {name.split("/")[0] for name in report["reinitialized"]} == {"mrcnn_keypoint_deconv"}


HEAD = ("KEYPOINT_POOL_SIZE=4", "KEYPOINT_HEAD_LAYERS=2", "KEYPOINT_HEAD_CHANNELS=8")


@pytest.mark.thorough
def test_from_the_command_line(tmp_path, capsys):
    """Trained, scored and detected with, in a folder in COCO's format; what is found is read."""
    dataset = corners(6)
    for info in dataset.image_info:
        info["subset"] = "val" if info["id"] > 3 else "train"
    data, out, found = tmp_path / "data", tmp_path / "runs", tmp_path / "found"
    convert(dataset, data, "coco")
    keys = ["USE_KEYPOINTS=true", *HEAD, "--config", TINY]
    line = ["train", str(data), *keys, "--weights", "none", "--epochs", "1"]
    assert main([*line, "--out", str(out)]) == 0
    run, keys = str(out / "train"), [*keys, "NUM_KEYPOINTS=5"]
    assert "NUM_KEYPOINTS: 5\n" in (out / "train" / "config.yaml").read_text()
    header = (out / "train" / "results.csv").read_text().splitlines()[0]
    assert {"mrcnn_keypoint_loss", "val_keypoints_AP"} <= set(header.replace(" ", "").split(","))
    capsys.readouterr()
    assert main(["evaluate", run, str(data), *keys, "--out", str(tmp_path / "scores")]) == 0
    assert "keypoints" in capsys.readouterr().out
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())["scores"]
    assert set(scores) == {"bbox", "segm", "keypoints"}
    pictures = [str(path) for path in sorted((data / "val").iterdir())]
    assert main(["detect", run, *pictures, *keys, "--out", str(found)]) == 0
    back = load(found / "detections.json", verbose=0, images=data / "val")
    assert back.keypoint_scheme == dataset.keypoint_scheme
    annotations = json.loads((found / "detections.json").read_text())["annotations"]
    assert annotations and all(len(each["keypoints"]) == 15 for each in annotations)


def test_a_model_without_keypoints_is_as_it_was(tmp_path):
    plain = MaskRCNN("training", TinyConfig(), tmp_path)
    names = [layer.name for graph in plain.graphs.values() for layer in graph.layers]
    assert not [name for name in names if "keypoint" in name]
    assert set(plain.graphs["detection"].output) == {"detections", "masks"}


def test_public_weights_of_a_preset():
    for preset in ("torchvision/keypointrcnn_resnet50_fpn", "detectron2/keypoint_rcnn_R_50_FPN_3x"):
        entry = for_config("coco", PRESETS[preset]())
        assert (entry.name, entry.keypoints, entry.classes) == (preset, True, ("BG", "person"))
    assert not for_config("coco", PRESETS["torchvision/maskrcnn_resnet50_fpn"]()).keypoints
    names = ["backbone.body.conv1.weight", "roi_heads.keypoint_head.0.weight"]
    assert guess_preset(dict.fromkeys(names)) == "torchvision/keypointrcnn_resnet50_fpn"
    names = ["backbone.bottom_up.stem.conv1.weight", "roi_heads.keypoint_head.conv_fcn1.weight"]
    assert guess_preset(dict.fromkeys(names)) == "detectron2/keypoint_rcnn_R_50_FPN_3x"
