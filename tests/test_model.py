"""`MaskRCNN` as its users see it: detect, train, go on, fail well."""

import os
import warnings
from datetime import datetime
from pathlib import Path

import keras
import numpy as np
import pytest
from resumed import Fresh
from tiny import LOSSES, TinyConfig, shapes

from mrcnn.data.shapes import ShapesDataset
from mrcnn.model import MaskRCNN, create, load_image_gt
from mrcnn.network.named_weights import named_weights
from mrcnn.parallel import OneHost
from mrcnn.training import runs
from mrcnn.training.freezing import layer_regex_of


def tiny(tmp_path, mode="inference", **changes):
    return MaskRCNN(mode, type("Changed", (TinyConfig,), changes)(), tmp_path)


def arrays(model):
    return {name: weight.numpy() for name, weight in named_weights(model.keras_model).items()}


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def picture():
    return shapes().load_image(0)


def assert_same(first, second, tolerance=1e-5):
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=tolerance, err_msg=name)


def in_folder(model, folder):
    """The model with another folder of runs."""
    model.model_dir = os.fspath(folder)
    model.set_log_dir()
    return model


# ---- detection


def test_result_has_the_documented_form(detector, picture):
    (result,) = detector.detect([picture])
    count = len(result["rois"])
    assert count > 0  # an untrained network finds something at confidence 0
    assert set(result) == {"rois", "boxes", "class_ids", "scores", "masks"}
    assert result["rois"].shape == (count, 4) and result["rois"].dtype == np.int32
    assert result["boxes"].shape == (count, 4) and result["boxes"].dtype == np.float32
    assert result["class_ids"].shape == (count,) and result["class_ids"].dtype == np.int32
    assert result["scores"].shape == (count,) and result["scores"].dtype == np.float32
    assert result["masks"].shape == (64, 64, count) and result["masks"].dtype == bool
    assert (np.diff(result["scores"]) <= 0).all()
    np.testing.assert_array_equal(np.around(result["boxes"]), result["rois"])


def test_masks_lie_inside_their_boxes(detector, picture):
    (result,) = detector.detect([picture])
    for (y1, x1, y2, x2), mask in zip(
        result["rois"], np.moveaxis(result["masks"], -1, 0), strict=True
    ):
        outside = mask.copy()
        outside[y1:y2, x1:x2] = False
        assert not outside.any()


def test_companions_do_not_matter(detector):
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (40, 90), (200, 130), (64, 64), (7, 9)]
    images = [rng.integers(0, 256, (*size, 3), dtype="uint8") for size in sizes]
    together = detector.detect(images)
    assert [result["masks"].shape[:2] for result in together] == sizes
    for image, result in zip(images, together, strict=True):
        assert_same(detector.detect([image])[0], result, 1e-4)


def test_grey_rgba_and_uint16_are_the_same_picture(detector, picture):
    grey = picture[..., 0]
    rgb = np.repeat(grey[..., None], 3, axis=2)
    alpha = np.dstack([rgb, np.full((64, 64), 9, "uint8")])
    (expected,) = detector.detect([rgb])
    for image in (grey, grey[..., None], alpha, grey.astype("uint16") * 257, rgb.astype(float)):
        assert_same(detector.detect([image])[0], expected)


def test_stack_of_images_and_no_images(detector, picture):
    assert len(detector.detect(np.stack([picture] * 3))) == 3
    assert detector.detect([]) == []


def test_no_detection_keeps_the_shapes(tmp_path, picture):
    model = tiny(tmp_path)
    logits = model.keras_model.get_layer("mrcnn_class_logits")
    logits.kernel.assign(np.zeros(logits.kernel.shape))
    logits.bias.assign([9.0, 0.0, 0.0, 0.0])  # everything is background
    (result,) = model.detect([picture])
    assert {name: array.shape for name, array in result.items()} == {
        "rois": (0, 4),
        "boxes": (0, 4),
        "class_ids": (0,),
        "scores": (0,),
        "masks": (64, 64, 0),
    }


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pad64", "crop"])
def test_modes_with_open_sides_see_the_whole_image(tmp_path, mode):
    model = tiny(tmp_path, IMAGE_RESIZE_MODE=mode)
    images = [np.full((h, w, 3), 99, "uint8") for h, w in ((64, 64), (100, 70), (65, 200))]
    results = model.detect(images)
    assert [r["masks"].shape[:2] for r in results] == [(64, 64), (100, 70), (65, 200)]


def test_mode_none_needs_multiples_of_64(tmp_path):
    model = tiny(tmp_path, IMAGE_RESIZE_MODE="none")
    assert len(model.detect([np.zeros((64, 128, 3), "uint8")])) == 1
    with pytest.raises(ValueError, match=r"images\[0\] has shape \(60, 64, 3\).*multiples of 64"):
        model.detect([np.zeros((60, 64, 3), "uint8")])


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((8, 8, 3), np.nan, "float32"), "finite"),
        (np.zeros((0, 8, 3), "uint8"), "at least one pixel"),
        (np.zeros((8, 8, 5), "uint8"), "channels"),
        (np.zeros((8, 8, 3), bool), "bool"),
        (np.full((8, 8, 3), 300), "0..255"),
        (np.zeros(8, "uint8"), "shape"),
        ("picture.jpg", r"image file at picture\.jpg"),
        (None, "dtype object"),
    ],
)
def test_bad_image_is_named_by_its_place(detector, picture, image, words):
    with pytest.raises(ValueError, match=rf"images\[1\].*{words}"):
        detector.detect([picture, image])


def test_bare_image_is_told_to_be_a_list(detector, picture):
    with pytest.raises(ValueError, match=r"pass a list: detect\(\[image\]\)"):
        detector.detect(picture)


def test_what_is_no_list_of_images_is_told(detector):
    with pytest.raises(ValueError, match=r"images is None; .*: detect\(\[path\]\)"):
        detector.detect(None)
    with pytest.raises(ValueError, match=r"images is 'a.png'; .*: detect\(\['a.png'\]\)"):
        detector.detect("a.png")
    with pytest.raises(ValueError, match=r"a generator and has no length; pass list\(images\)"):
        detector.detect(image for image in ())


def test_a_stream_of_results_holds_one_batch_of_images(detector, picture):
    taken = []

    def camera():
        for number in range(5):
            taken.append(number)
            yield np.roll(picture, number, 0)

    results = detector.detect(camera(), stream=True)
    assert not taken
    first = next(results)
    assert taken == [0, 1]  # IMAGES_PER_GPU = 2
    expected = detector.detect([np.roll(picture, number, 0) for number in range(5)])
    for one, other in zip([first, *results], expected, strict=True):
        assert_same(one, other)


def test_verbose_prints_what_goes_in_and_out(detector, picture, capsys):
    detector.detect([picture], verbose=1)
    out = capsys.readouterr().out
    assert out.startswith("Processing 1 images")
    assert "(64, 64, 3)" in out and "masks" in out


# ---- training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two epochs of two steps, with what there was before."""
    model = tiny(tmp_path_factory.mktemp("trained"), "training")
    before = arrays(model)
    history = model.train(shapes(), shapes(2, seed=1), 0.01, 2, layers="all")
    return {"model": model, "before": before, "history": history}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Function of a folder: a model as if it had been built now; its step is traced once."""
    return Fresh({"STEPS_PER_EPOCH": 2}, tmp_path_factory.mktemp("fresh"))


def test_log_has_the_losses_and_their_sum(trained):
    losses = [*LOSSES, "loss"]
    history = trained["history"].history
    facts = ("data_wait", "learning_rate", "seconds")
    assert set(history) == {*losses, *(f"val_{name}" for name in losses), *facts}
    assert all(len(values) == 2 and np.isfinite(values).all() for values in history.values())
    # The total is the sum of the five and a small weight decay.
    rest = history["loss"][0] - sum(history[name][0] for name in LOSSES)
    assert 0 < rest < 0.01


def test_record_is_keras_and_not_printed_by_a_notebook(trained, capsys):
    history = trained["history"]
    assert isinstance(history, keras.callbacks.History) and history.epoch == [0, 1]
    assert history is trained["model"].keras_model.history
    assert history._ipython_display_() is None and capsys.readouterr() == ("", "")


def test_checkpoint_per_epoch_named_as_matterports(trained):
    model = trained["model"]
    files = sorted(name for name in os.listdir(model.log_dir) if name.endswith(".h5"))
    assert files == ["mask_rcnn_tiny_0001.h5", "mask_rcnn_tiny_0002.h5"]
    assert model.find_last() == os.path.join(model.log_dir, "mask_rcnn_tiny_0002.h5")
    assert {"train", "validation"} <= set(os.listdir(model.log_dir))  # TensorBoard


@pytest.mark.thorough
def test_no_callback_makes_the_host_wait_for_each_step_on_jax(run_python, tmp_path):
    # Keras tells nowhere else: with one callback that is not "async_safe" it converts every log.
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from keras.src.callbacks.callback_list import CallbackList
from tiny import TinyConfig, shapes
from mrcnn.architectures import training
from mrcnn.model import MaskRCNN
def fit(model, generator, batches, callbacks, *others):
    names = [type(callback).__name__ for callback in callbacks]
    print(*names, CallbackList(callbacks, add_history=True, add_progbar=True)._async_train)
training.fit = fit
MaskRCNN("training", TinyConfig(), {str(tmp_path)!r}).train(shapes(), None, 0.01, 1, "heads")
"""
    names = run_python(code, "jax").splitlines()[-1].split()
    assert {"StateSaver", "FiniteLoss", "DataWait", "Checkpoint", "EpochEnd"} < set(names)
    assert names[-1] == "True"


def test_training_changes_every_trained_weight(trained):
    after = arrays(trained["model"])
    same = [name for name in after if np.array_equal(after[name], trained["before"][name])]
    assert same == []


@pytest.mark.slow
def test_checkpoint_restores_every_weight_in_either_mode(trained, tmp_path):
    model, expected = trained["model"], arrays(trained["model"])
    for mode in ("training", "inference"):
        other = tiny(tmp_path, mode, SEED=2)
        report = other.load_weights(model.find_last())
        assert sorted(report["loaded"]) == sorted(expected)
        for name, array in arrays(other).items():
            np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.slow
def test_detect_after_training_uses_the_trained_weights(trained, tmp_path, picture):
    fresh = tiny(tmp_path)
    fresh.load_weights(trained["model"].find_last())
    assert_same(trained["model"].detect([picture])[0], fresh.detect([picture])[0])


@pytest.mark.slow
def test_training_goes_on_from_a_checkpoint(trained, fresh):
    first = trained["model"]
    model = fresh(first.model_dir)
    model.load_weights(first.find_last())
    assert (model.epoch, model.log_dir) == (2, first.log_dir)
    with pytest.warns(UserWarning, match="nothing to train: epochs=2 is the total"):
        assert model.train(shapes(), None, 0.01, 2, layers="all") is None
    model.train(shapes(), None, 0.01, 3, layers="heads")
    assert model.find_last().endswith("mask_rcnn_tiny_0003.h5")


@pytest.mark.slow
def test_same_seed_ends_in_equal_bits(trained, tmp_path):
    model = tiny(tmp_path, "training")
    model.train(shapes(), shapes(2, seed=1), 0.01, 2, layers="all")
    expected = arrays(trained["model"])
    for name, array in arrays(model).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize(
    ("layers", "trained_layers"),
    [
        ("heads", ("mrcnn_", "rpn_", "fpn_")),
        ("5+", ("mrcnn_", "rpn_", "fpn_", "res5", "bn5")),
        ("4+", ("mrcnn_", "rpn_", "fpn_", "res5", "bn5", "res4", "bn4")),
        ("3+", ("mrcnn_", "rpn_", "fpn_", "res5", "bn5", "res4", "bn4", "res3", "bn3")),
        (r"fpn_p[23]", ("fpn_p2", "fpn_p3")),
    ],
)
def test_layer_groups(untrained, layers, trained_layers):
    model = untrained
    model.set_trainable(layer_regex_of(layers), verbose=0)
    weights = named_weights(model.keras_model)
    chosen = {name for name, weight in weights.items() if weight.trainable}
    expected = {name for name in arrays(model) if name.startswith(trained_layers)}
    assert chosen == {name for name in expected if "moving_" not in name}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "trained_layers"),
    [
        ("5+", ("mrcnn_", "rpn_", "fpn_", "res5", "bn5")),
        (r"fpn_p[23]", ("fpn_p2", "fpn_p3")),
    ],
)
def test_what_does_not_train_keeps_its_weights(tmp_path, layers, trained_layers):
    model = tiny(tmp_path, "training")
    before = arrays(model)
    model.train(shapes(), None, 0.01, 1, layers=layers)
    changed = {
        name for name, array in arrays(model).items() if not np.array_equal(array, before[name])
    }
    expected = {name for name in before if name.startswith(trained_layers)}
    assert changed == expected


@pytest.mark.slow
def test_training_asks_the_method_what_trains(tmp_path):
    class Kept(MaskRCNN):
        def set_trainable(self, layer_regex, *args, **kwargs):
            super().set_trainable("fpn_p2", *args, **kwargs)

    model = Kept("training", TinyConfig(), tmp_path)
    before = arrays(model)
    model.train(shapes(), None, 0.01, 1, layers="all")
    changed = {k for k, v in arrays(model).items() if not np.array_equal(v, before[k])}
    assert changed == {"fpn_p2/kernel", "fpn_p2/bias"}


def test_pattern_without_layers_is_refused(tmp_path):
    model = tiny(tmp_path, "training")
    with pytest.raises(ValueError, match=r"no layer with weights matches 'head'.*'heads'"):
        model.train(shapes(), None, 0.01, 1, layers="head")
    assert all(weight.trainable for weight in model.keras_model.get_layer("rpn_model").weights)


@pytest.mark.slow
def test_frozen_batch_norm_keeps_its_statistics(tmp_path):
    model = tiny(tmp_path, "training", TRAIN_BN=False)
    before = arrays(model)
    model.train(shapes(), None, 0.01, 1, layers="all")
    after = arrays(model)
    moving = [name for name in after if "moving_" in name]
    assert len(moving) == 2 * (5 + 2 + 4)  # two in each of 11 layers
    for name in moving:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert not np.array_equal(after["bn1a/gamma"], before["bn1a/gamma"])


@pytest.mark.slow
@pytest.mark.parametrize("train_bn", [None, True])
def test_trained_batch_norm_moves_its_statistics(fresh, tmp_path, train_bn):
    model = tiny(tmp_path, "training", TRAIN_BN=True) if train_bn else fresh(tmp_path)
    before = arrays(model)
    model.train(shapes(), None, 0.01, 1, layers="heads")
    after = arrays(model)
    assert not np.array_equal(
        after["mrcnn_mask_bn1/moving_mean"], before["mrcnn_mask_bn1/moving_mean"]
    )
    # Layers that do not train keep theirs.
    np.testing.assert_array_equal(after["bn1a/moving_mean"], before["bn1a/moving_mean"])


class EmptyShapes(type(shapes())):
    def load_mask(self, image_id):
        return np.zeros((64, 64, 0), bool), np.zeros(0, np.int32)


@pytest.mark.slow
def test_images_without_objects_train_with_zero_box_and_mask_loss(tmp_path):
    model = tiny(tmp_path, "training", INCLUDE_EMPTY_IMAGES=True)
    dataset = EmptyShapes()
    dataset.load_shapes(4, 64, 64)
    dataset.prepare()
    history = model.train(dataset, None, 0.01, 1, layers="all").history
    assert history["rpn_bbox_loss"] == [0.0]
    assert history["mrcnn_bbox_loss"] == [0.0]
    assert history["mrcnn_mask_loss"] == [0.0]
    assert history["rpn_class_loss"][0] > 0
    assert history["mrcnn_class_loss"][0] > 0
    assert all(np.isfinite(array).all() for array in arrays(model).values())


class BrokenShapes(type(shapes())):
    """Eight pictures, some of which have no masks."""

    def __init__(self, broken):
        super().__init__()
        self.broken = broken
        self.load_shapes(8, 64, 64)
        self.prepare()

    def load_mask(self, image_id):
        if image_id in self.broken:
            raise KeyError("regions")
        return super().load_mask(image_id)


def test_errors_of_the_data_stop_training_and_name_the_image(fresh, tmp_path):
    model = fresh(tmp_path, STEPS_PER_EPOCH=8)
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(RuntimeError, match=r"Image \d .*load_mask: KeyError: 'regions'"),
    ):
        model.train(BrokenShapes(range(2, 8)), None, 0.01, 1, layers="heads")


@pytest.mark.slow
def test_one_broken_image_is_left_out_with_a_warning(fresh, tmp_path):
    model = fresh(tmp_path, STEPS_PER_EPOCH=8)
    words = r"left out of training: Image 6 .*load_mask: KeyError: 'regions'"
    with pytest.warns(UserWarning, match=words) as caught:
        model.train(BrokenShapes([6]), None, 0.01, 1, layers="heads")
    assert model.epoch == 1
    assert sum("Image 6" in str(warning.message) for warning in caught) == 1


class MixedShapes(type(shapes())):
    """Three pictures of 64 x 64, then larger ones."""

    def load_image(self, image_id):
        return np.pad(super().load_image(image_id), [(0, 60 * (image_id > 2)), (0, 0), (0, 0)])

    def load_mask(self, image_id):
        masks, class_ids = super().load_mask(image_id)
        return np.pad(masks, [(0, 60 * (image_id > 2)), (0, 0), (0, 0)]), class_ids


@pytest.mark.slow
def test_images_of_many_sizes_train_in_mode_pad64(tmp_path):
    dataset = MixedShapes()
    dataset.load_shapes(5, 64, 64)
    dataset.prepare()
    keys = {"IMAGES_PER_GPU": 1, "STEPS_PER_EPOCH": None, "VALIDATION_STEPS": None}
    model = tiny(tmp_path, "training", IMAGE_RESIZE_MODE="pad64", **keys)
    seen = []
    load = dataset.load_image
    dataset.load_image = lambda image_id: seen.append(image_id) or load(image_id)
    history = model.train(dataset, dataset, 0.001, 2, layers="heads").history
    assert len(history["val_loss"]) == 2 and np.isfinite(history["val_loss"]).all()
    # Two epochs of training and two of validation, each image once in each: the first batches,
    # which were looked at before the training began, were kept.
    assert sorted(seen) == sorted([*range(5)] * 4)


@pytest.mark.slow
def test_full_masks_train_as_well(tmp_path):
    model = tiny(tmp_path, "training", USE_MINI_MASK=False)
    history = model.train(shapes(), None, 0.01, 1, layers="heads").history
    assert history["mrcnn_mask_loss"][0] > 0


@pytest.mark.slow
def test_loss_weight_zero_switches_a_loss_off(tmp_path):
    weights = dict.fromkeys(TinyConfig.LOSS_WEIGHTS, 0.0)
    model = tiny(tmp_path, "training", LOSS_WEIGHTS=weights, WEIGHT_DECAY=0.0)
    before = arrays(model)
    history = model.train(shapes(), None, 0.01, 1, layers="all").history
    assert history["loss"] == [0.0] and history["rpn_class_loss"][0] > 0
    after = arrays(model)
    trained = [name for name in after if "moving_" not in name]
    for name in trained:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("untrained") / "logs", "training")


class Annotated(ShapesDataset):
    """Pictures whose annotations are those of other pictures: there are none."""

    def load_mask(self, image_id):
        masks, class_ids = super().load_mask(image_id)
        return masks[:, :, :0], class_ids[:0]


def pictures(kind, count):
    dataset = kind()
    dataset.load_shapes(count, 64, 64)
    dataset.prepare()
    return dataset


@pytest.mark.parametrize(
    ("validation", "error", "words"),
    [
        (pictures(Annotated, 3), ValueError, "an object in at least one image.* of this subset"),
        (pictures(ShapesDataset, 0), ValueError, "at least one image, received an empty data set"),
        (ShapesDataset(), ValueError, "Expected a prepared data set"),
        (TinyConfig(), TypeError, "dataset is a TinyConfig; expected a mrcnn.data.Dataset"),
        (ShapesDataset, TypeError, "dataset is the class ShapesDataset; pass an instance of it"),
    ],
)
def test_validation_is_looked_at_before_the_first_step(untrained, validation, error, words):
    model, steps = untrained, []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: steps.append(1))
    with pytest.raises(error, match=f"^validation: .*{words}"):
        model.train(shapes(), validation, 0.01, 1, "heads", custom_callbacks=[count])
    assert not steps and not os.path.exists(model.model_dir)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"epochs": 1.5}, ValueError, "epochs is 1.5; expected a whole number"),
        ({"epochs": None}, ValueError, "epochs is None; expected a whole number"),
        ({"epochs": "10"}, ValueError, "epochs is '10'; expected a whole number"),
        ({"layers": None}, ValueError, "layers is None; expected one of .*'heads'.* or a regular"),
        ({"layers": "+heads"}, ValueError, "'.heads': nothing to repeat.*; expected one of"),
        ({"train_dataset": TinyConfig()}, TypeError, "^dataset is a TinyConfig; expected a mrcnn"),
        ({"train_dataset": ShapesDataset}, TypeError, "^dataset is the class ShapesDataset"),
    ],
)
def test_arguments_that_cannot_be_meant(trained, changes, error, words):
    model = trained["model"]
    arguments = {"train_dataset": shapes(), "val_dataset": None, "learning_rate": 0.01}
    arguments |= {"epochs": 9, "layers": "all"} | changes
    with pytest.raises(error, match=words):
        model.train(**arguments)


@pytest.mark.parametrize("config", [TinyConfig, "TinyConfig", shapes()])
def test_what_is_no_config_is_told(tmp_path, config):
    is_class = config is TinyConfig
    words = (
        r"the class TinyConfig; pass TinyConfig\(\)" if is_class else r"; expected a mrcnn.config"
    )
    with pytest.raises(TypeError, match=f"^config is .*{words}"):
        MaskRCNN("inference", config, tmp_path)
    with pytest.raises(TypeError, match=f"^config is .*{words}"):
        load_image_gt(shapes(), config, 0)


@pytest.mark.slow
def test_epoch_is_what_was_trained(fresh, tmp_path):
    def stop(epoch, logs):
        model.keras_model.stop_training = True  # as EarlyStopping does

    def interrupt(epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    model = fresh(tmp_path)
    callback = keras.callbacks.LambdaCallback
    model.train(shapes(), None, 0.01, 5, "heads", custom_callbacks=[callback(on_epoch_end=stop)])
    assert model.epoch == 1
    with pytest.raises(KeyboardInterrupt):
        interrupts = [callback(on_epoch_begin=interrupt)]
        model.train(shapes(), None, 0.01, 5, "heads", custom_callbacks=interrupts)
    assert model.epoch == 2
    before = Path(model.find_last()).read_bytes()
    assert model.train(shapes(), None, 0.01, 3, "heads").epoch == [2]
    files = sorted(name for name in os.listdir(model.log_dir) if name.endswith(".h5"))
    assert files == [f"mask_rcnn_tiny_000{epoch}.h5" for epoch in (1, 2, 3)]
    assert Path(model.checkpoint_path.format(epoch=2)).read_bytes() == before
    model.epoch = 0  # counts anew: in another folder
    model.train(shapes(), None, 0.01, 1, "heads")
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.slow
def test_a_second_stage_of_the_same_layers_goes_on_with_the_traced_step(
    fresh, tmp_path, monkeypatch
):
    model = fresh(tmp_path)
    model.train(shapes(), shapes(2), 0.01, 1, "heads")
    drawn = [x.seed_generator for x in model.keras_model.layers if hasattr(x, "seed_generator")]
    states = [generator.state.numpy() for generator in drawn]
    assert len(states) == 2
    step, start = model.keras_model.train_function, arrays(model)
    model.train(shapes(), shapes(2), 0.003, 2, "heads")
    assert model.keras_model.train_function is step
    again = arrays(model)
    for name, weight in named_weights(model.keras_model).items():
        weight.assign(start[name])
    for generator, state in zip(drawn, states, strict=True):
        generator.state.assign(state)
    model.epoch, model._step = 1, (None, None)  # the same epoch by a step traced anew
    model.train(shapes(), shapes(2), 0.003, 2, "heads")
    assert model.keras_model.train_function is not step
    assert all(np.array_equal(again[name], array) for name, array in arrays(model).items())
    step = model.keras_model.train_function
    monkeypatch.setattr("mrcnn.architectures.training.fit", lambda *_: None)
    model.train(shapes(), None, 0.003, 3, "all")
    assert model.keras_model.train_function is not step


def test_inference_model_does_not_train(tmp_path):
    with pytest.raises(ValueError, match=r'use MaskRCNN\("training"'):
        tiny(tmp_path).train(shapes(), None, 0.01, 1, layers="all")


def test_create_builds_the_class_of_the_architecture(tmp_path):
    assert type(create("inference", TinyConfig(), tmp_path)) is MaskRCNN
    unknown = type("Unknown", (TinyConfig,), {"ARCHITECTURE": "yolo"})()
    with pytest.raises(
        ValueError, match=r"ARCHITECTURE is 'yolo'; expected one of \['mask_rcnn', "
    ):
        create("inference", unknown, tmp_path)


def test_unknown_mode(tmp_path):
    with pytest.raises(ValueError, match="mode is 'train'"):
        tiny(tmp_path, "train")


def test_invalid_config_is_refused_before_building(tmp_path):
    with pytest.raises(ValueError, match="IMAGE_MAX_DIM is 100"):
        tiny(tmp_path, IMAGE_MAX_DIM=100, IMAGE_MIN_DIM=64)


# ---- files


def test_nothing_is_written_before_training(tmp_path):
    tiny(tmp_path / "logs", "training")
    assert not (tmp_path / "logs").exists()


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).touch()


def test_find_last_takes_the_newest_of_this_experiment(detector, tmp_path):
    model = in_folder(detector, tmp_path)
    touch(
        tmp_path,
        "tiny20250101T0000/mask_rcnn_tiny_0009.h5",
        "tiny20260101T0000/mask_rcnn_tiny_0001.h5",
        "tiny20260101T0000/mask_rcnn_tiny_0002.h5",
        "tiny20260301T0000/events",  # stopped before the first checkpoint
        "tinytwo20270101T0000/mask_rcnn_tinytwo_0007.h5",
    )
    assert model.find_last().endswith("tiny20260101T0000/mask_rcnn_tiny_0002.h5")


def test_find_last_without_checkpoint(detector, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint of 'tiny' under"):
        in_folder(detector, tmp_path / "nowhere").find_last()


@pytest.mark.parametrize("slash", ["/", "\\"])
def test_epoch_is_read_from_the_checkpoints_name(detector, tmp_path, slash):
    model = in_folder(detector, tmp_path)
    folder = f"{tmp_path}{slash}tiny20261231T2359"
    model.set_log_dir(f"{folder}{slash}mask_rcnn_tiny_0042.h5")
    assert (model.epoch, model.log_dir) == (42, folder)
    assert model.checkpoint_path.format(epoch=43).endswith("mask_rcnn_tiny_0043.h5")


def test_checkpoint_of_another_experiment_starts_at_epoch_0(detector, tmp_path):
    model = in_folder(detector, tmp_path)
    model.set_log_dir(f"{tmp_path}/coco20261231T2359/mask_rcnn_coco_0160.h5")
    assert model.epoch == 0
    assert os.path.basename(model.log_dir).startswith("tiny2")


def test_runs_of_one_minute_have_a_folder_each(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "datetime", Clock)
    folders = [f"tiny20260228T2359{more}" for more in ("", "-2", "-3")]
    for folder in folders:
        assert in_folder(detector, tmp_path).log_dir == str(tmp_path / folder)
        (tmp_path / folder).mkdir()


class Clock(datetime):
    """One that stands still."""

    @classmethod
    def now(cls):
        return cls(2026, 2, 28, 23, 59, 59)


def test_newest_run_and_checkpoint_by_number_not_by_text(detector, tmp_path):
    model = in_folder(detector, tmp_path)
    touch(
        tmp_path,
        "tiny20260101T0000/mask_rcnn_tiny_0003.h5",
        "tiny20260101T0000-2/mask_rcnn_tiny_0001.h5",
        "tiny20260101T0000-10/mask_rcnn_tiny_9999.h5",
        "tiny20260101T0000-10/mask_rcnn_tiny_10000.h5",
    )
    last = model.find_last()
    assert last.endswith("tiny20260101T0000-10/mask_rcnn_tiny_10000.h5")
    model.set_log_dir(str(last))
    assert model.epoch == 10000
    assert model.log_dir == str(tmp_path / "tiny20260101T0000-10")
    assert model.checkpoint_path.format(epoch=10001).endswith("mask_rcnn_tiny_10001.h5")


def test_runs_that_start_at_once_write_to_a_folder_each(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "datetime", Clock)
    model = in_folder(detector, tmp_path)
    os.makedirs(model.log_dir)  # by another process, since the model was built
    model._open_run(OneHost())
    assert model.log_dir == str(tmp_path / "tiny20260228T2359-2")
    model.epoch = 1
    model._open_run(OneHost())  # goes on
    assert model.log_dir == str(tmp_path / "tiny20260228T2359-2")
    model.epoch, model.log_dir = 0, str(tmp_path / "chosen")
    model._open_run(OneHost())
    model._open_run(OneHost())
    assert model.log_dir == str(tmp_path / "chosen") and os.path.isdir(model.log_dir)


def test_names_with_blanks_are_found_and_with_slashes_refused(tmp_path):
    model = tiny(tmp_path, NAME="My cells (2)")
    path = model.checkpoint_path.format(epoch=2)
    os.makedirs(model.log_dir)
    Path(path).touch()
    assert tiny(tmp_path, NAME="My cells (2)").find_last() == path
    for name in ("cells/2026", "cells\\2026", "{cells}", "c:cells"):
        with pytest.raises(ValueError, match=r"NAME is .* it names files and folders: leave out"):
            tiny(tmp_path, NAME=name)


def test_keys_changed_after_the_build_are_told_and_have_no_effect(tmp_path, monkeypatch):
    model = tiny(tmp_path, "training")
    given = []
    monkeypatch.setattr(model.keras_model, "fit", lambda batches, **more: given.append(batches))
    config = model.config
    config.IMAGES_PER_GPU, config.MAX_GT_INSTANCES, config.LEARNING_RATE = 1, 3, 0.5
    config.IMAGE_MIN_DIM = config.IMAGE_MAX_DIM = 128
    config.DETECTION_MIN_CONFIDENCE = 0.9
    words = "IMAGE_MAX_DIM, IMAGE_MIN_DIM, IMAGE_SHAPE, MAX_GT_INSTANCES; build a model"
    with pytest.warns(UserWarning, match=f"without effect: BATCH_SIZE, {words}"):
        model.train(shapes(), None, 0.01, 1, layers="all")
    (batch,) = given[0][0]
    # Of the tiny config: 2 images of 64 x 64 with 6 objects.
    assert batch["input_image"].shape == (2, 64, 64, 3)
    assert batch["input_gt_class_ids"].shape == (2, 6)


def test_steps_are_read_when_training_starts(tmp_path, monkeypatch):
    model = tiny(tmp_path, "training")
    steps = []

    def fit(batches, validation_data, **more):
        steps.append((len(batches), len(validation_data)))

    monkeypatch.setattr(model.keras_model, "fit", fit)
    model.config.STEPS_PER_EPOCH, model.config.VALIDATION_STEPS = 5, None
    model.train(shapes(), shapes(6), 0.01, 1, layers="all")
    assert steps == [(5, 3)]  # 6 pictures of the validation in batches of 2
