"""Evaluation while a tiny model trains."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from scenes import FOUND, TRUTHS, A, Oracle, Pictures, detection
from tiny import TinyConfig, shapes

from mrcnn.data.keypoints import KeypointScheme
from mrcnn.evaluate import Evaluation
from mrcnn.model import MaskRCNN
from mrcnn.training import EvaluateCallback


class Trained:
    """What the callback wants of a model: what it detects, here the same each time."""

    def __init__(self, log_dir):
        self.log_dir = str(log_dir)

    def detect(self, images, verbose=0, stream=False):
        return Oracle(*(detection(*each) for each in FOUND)).detect(list(images))


def callback_of(folder, epochs=5, **arguments):
    callback = EvaluateCallback(Trained(folder), Pictures(*TRUTHS), **arguments)
    callback.set_params({"epochs": epochs})
    return callback


def test_the_log_has_the_scores(tmp_path):
    callback, logs = callback_of(tmp_path, log_dir=""), {"loss": 1.0}
    assert callback.evaluation is None
    callback.on_epoch_end(0, logs)
    # As in test_evaluation: cats 51/101, dogs 0.
    names = ["val_bbox_AP", "val_bbox_AP50", "val_segm_AP", "val_segm_AP50"]
    assert logs == {"loss": 1.0, **dict.fromkeys(names, pytest.approx(51 / 202))}
    assert isinstance(callback.evaluation, Evaluation)
    assert not list(tmp_path.iterdir())


def test_every_second_epoch_and_the_last(tmp_path):
    callback = callback_of(tmp_path, every=2, log_dir="", max_detections=1)
    evaluated = []
    for epoch in range(5):
        logs = {}
        callback.on_epoch_end(epoch, logs)
        evaluated.append("val_segm_AP" in logs)
    assert evaluated == [False, True, False, True, True]
    assert callback.evaluation.max_detections == 1
    with pytest.raises(ValueError, match="every is 0; expected a number of epochs"):
        callback_of(tmp_path, every=0)


def events(folder):
    """Tags of what TensorBoard's files in a folder hold, with the epochs."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    found = {}
    for path in Path(folder).glob("events*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, make_ndarray(value.tensor)))
    return found


def test_tensorboard_has_numbers_and_pictures(tmp_path):
    callback = callback_of(tmp_path, pictures=2)
    for epoch in (0, 1):
        callback.on_epoch_end(epoch, {})
    callback.on_train_end()
    found = events(tmp_path / "evaluation")
    assert [step for step, _ in found["segm/AP"]] == [0, 1]
    assert found["segm/AP"][0][1] == pytest.approx(51 / 202)
    assert "bbox/AR100" in found and "segm/APl" not in found  # nan: no object is large
    (step, picture), _ = found["truth and detections"]
    assert step == 0
    width, height, png = picture
    assert png[1:4] == b"PNG" and int(width) > int(height) > 300


class Skies(Pictures):
    """A cat in front of sky, on the right."""

    num_stuff_classes = 1

    def load_panoptic(self, image_id):
        ids = np.repeat([[1, 2]], 10, axis=1).repeat(20, axis=0)
        cat, sky = ({"id": i, "class_id": i, "is_thing": i == 1} for i in (1, 2))
        return ids, [cat, sky]


def test_pictures_of_a_model_that_finds_segments_are_its_maps(tmp_path):
    ids, segments = Skies([]).load_panoptic(0)
    found = {**detection(), "segmentation": ids.T, "segments": segments}
    callback = callback_of(tmp_path, log_dir="", pictures=1)
    callback.dataset, callback.detector.finds_segments = Skies([], []), True
    callback.detector.detect = lambda images, stream=False: [found for _ in images]
    callback.on_epoch_end(0, {})
    picture = callback.draw()
    truth, map_ = picture[26:346, 6:326], picture[26:346, 332:652]
    # Captions lie in the upper left corner of a segment; sky, dark, is right, then below.
    corners = [
        [image[y, x].astype(int) for y, x in ((20, 300), (300, 20))] for image in (truth, map_)
    ]
    (sky, cat), (cat_found, sky_found) = corners
    assert cat.sum() > 0 and sky.sum() > 0 and not np.array_equal(cat, sky)
    np.testing.assert_array_equal(sky, sky_found)
    np.testing.assert_array_equal(cat, cat_found)


def test_pictures_have_the_lines_between_keypoints(tmp_path):
    points = np.array([[[2.5, 2.5, 2], [2.5, 8.5, 2]]])

    def draw(skeleton):
        found = {**detection((A, 1, 0.5)), "keypoints": points}
        callback = callback_of(tmp_path, log_dir="", pictures=1)
        callback.dataset = Pictures([(A, 1)])
        callback.dataset.keypoint_scheme = KeypointScheme(["ear", "tail"], skeleton)
        callback.dataset.load_keypoints = lambda image_id: points
        callback.detector.detect = lambda images, stream=False: [found for _ in images]
        callback.on_epoch_end(0, {})
        return callback.draw()

    # Both tiles of 320 show 20 pixels, 16 times as large: half-way between 2.5 and 8.5 is 5.5.
    changed = (draw([(0, 1)]) != draw([])).any(axis=-1)
    for left in (6, 332):
        assert changed[26 + 40, left + 88] and not changed[26 + 60, left + 88]


def test_no_tensorflow_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    callback, logs = callback_of(tmp_path), {}
    callback.on_epoch_end(0, logs)
    assert "val_segm_AP" in logs and not list(tmp_path.iterdir())


@pytest.mark.thorough
@pytest.mark.slow
def test_other_callbacks_monitor_it_while_a_model_trains(tmp_path):
    model, held_out = MaskRCNN("training", TinyConfig(), tmp_path), shapes(3, seed=1)
    evaluate = EvaluateCallback(model, held_out, pictures=1)
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", "val_segm_AP", mode="max", save_best_only=True
    )
    weights = []
    after = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(model.detect([held_out.load_image(0)])[0])
    )
    history = model.train(shapes(4), None, 0.01, 2, "all", custom_callbacks=[evaluate, best, after])
    assert len(history.history["val_segm_AP"]) == len(history.history["val_bbox_AP50"]) == 2
    assert (tmp_path / "best.keras").exists()
    assert "segm/AP50" in events(Path(model.log_dir) / "evaluation")
    # The last evaluation is of the weights that the model has now.
    results = [each for each in evaluate.evaluation.results if each["image_id"] == 0]
    now = model.detect([held_out.load_image(0)])[0]
    scores = np.array([each["score"] for each in results])
    np.testing.assert_allclose(scores, now["scores"], atol=1e-5)
    assert not np.allclose(weights[0]["scores"], now["scores"], atol=1e-7)


def test_a_picture_that_cannot_be_read_does_not_end_a_training(tmp_path):
    class Broken(Pictures):
        def load_image(self, image_id):
            if image_id == 1:
                raise ValueError("cut short")
            return super().load_image(image_id)

    # Without the second picture: one cat, found; dogs are not.
    found = [each for i, each in enumerate(FOUND) if i != 1]
    callback = callback_of(tmp_path, log_dir="")
    callback.dataset, logs = Broken(*TRUTHS), {}
    callback.detector.detect = lambda images, stream: Oracle(
        *(detection(*each) for each in found)
    ).detect(list(images))
    with pytest.warns(UserWarning, match=r"left out of the scores: Image 1 \(1.png\): cut short"):
        callback.on_epoch_end(0, logs)
    # Cats: recall 1 at precision 1; dogs 0.
    assert logs["val_segm_AP"] == pytest.approx(0.5)
    assert [each["id"] for each in callback.evaluation.ground_truth["images"]] == [0, 2, 3, 4]
    with pytest.raises(ValueError, match="cut short"):
        Evaluation.of(callback.detector, callback.dataset)
