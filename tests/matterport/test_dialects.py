"""Scripts of matterport v1 and v2.0, of v2.1, and of the TensorFlow 2 forks: each dialect runs.

What is outdated warns, once, with what to write instead.
"""

import importlib
import os
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import TinyConfig, shapes

from mrcnn import model as modellib
from mrcnn.config import Config
from mrcnn.startup import moved

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = os.path.join("tiny20260101T0000", "mask_rcnn_tiny_0002.h5")


def tiny(folder, mode="inference", **changes):
    return modellib.MaskRCNN(mode, type("Changed", (TinyConfig,), changes)(), folder)


def one_future_warning(run, words):
    """Runs a function that must warn once, in these words; returns what it returns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = run()
    assert [warning.category for warning in caught] == [FutureWarning]
    assert re.search(words, str(caught[0].message)), caught[0].message
    assert caught[0].filename == __file__, "the warning names the library's line, not the script's"
    return result


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny model after one epoch, with the history that the script finds."""
    model = tiny(tmp_path_factory.mktemp("trained"), "training")
    best = os.path.join(model.model_dir, "best.weights.h5")
    keep = keras.callbacks.ModelCheckpoint(best, save_weights_only=True, save_best_only=True)
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=3)
    model.train(shapes(), shapes(2, 1), 0.01, 1, layers="all", custom_callbacks=[keep, stop])
    return model


# ---- find_last


@pytest.fixture
def last(tmp_path):
    """A model of one checkpoint, and its path."""
    (tmp_path / CHECKPOINT).parent.mkdir()
    (tmp_path / CHECKPOINT).touch()
    return tiny(tmp_path), str(tmp_path / CHECKPOINT)


def test_find_last_is_a_path(last):
    model, path = last
    found = model.find_last()
    assert isinstance(found, str) and found == path
    assert os.path.isfile(found) and Path(found).name == "mask_rcnn_tiny_0002.h5"
    assert os.path.split(found) == os.path.split(path)
    assert found.endswith(".h5") and found[-3:] == ".h5" and f"{found}" == path
    assert re.search(r"(\d{4})\.h5", found)[1] == "0002"


def test_find_last_of_version_2_0_is_a_pair(last):
    model, path = last
    assert one_future_warning(lambda: model.find_last()[1], r"find_last\(\)") == path
    folder = one_future_warning(lambda: model.find_last()[0], r"find_last\(\)")
    assert folder == os.path.dirname(path)


def test_find_last_of_version_2_0_unpacks(last):
    model, path = last

    def unpack():
        folder, found = model.find_last()
        return folder, found

    assert one_future_warning(unpack, r"find_last\(\)") == (os.path.dirname(path), path)


# ---- load_image_gt


@pytest.mark.parametrize(
    ("arguments", "keywords", "side"),
    [
        ((), {}, 64),  # whole masks unless they are asked for
        ((), {"use_mini_mask": False}, 64),
        ((), {"use_mini_mask": True}, 56),
        ((), {"augment": False, "use_mini_mask": True}, 56),  # v1
        ((), {"augmentation": None}, 64),  # the forks
        ((), {"augment": False, "augmentation": None, "use_mini_mask": True}, 56),
        ((False, None, True), {}, 56),  # by place
    ],
)
def test_load_image_gt(arguments, keywords, side):
    found = modellib.load_image_gt(shapes(), TinyConfig(), 0, *arguments, **keywords)
    image, meta, class_ids, boxes, masks = found
    count = len(class_ids)
    assert count > 0
    assert (image.shape, meta.shape) == ((64, 64, 3), (12 + 4,))
    assert (boxes.shape, masks.shape) == ((count, 4), (side, side, count))


def test_augment_of_version_1_warns_once():
    def load():
        return modellib.load_image_gt(shapes(), TinyConfig(), 0, augment=True, use_mini_mask=True)

    assert one_future_warning(load, "augmentation")[4].shape[0] == 56


def test_augmentation_is_a_function_too():
    plain = modellib.load_image_gt(shapes(), TinyConfig(), 0)
    turned = modellib.load_image_gt(
        shapes(), TinyConfig(), 0, augmentation=lambda image, masks: (image[::-1], masks[::-1])
    )
    np.testing.assert_array_equal(turned[0], plain[0][::-1])
    # 64 rows: y1 and y2 become 64 - y2 and 64 - y1.
    np.testing.assert_array_equal(turned[3][:, [0, 2]], 64 - plain[3][:, [2, 0]])


def test_empty_mask_of_class_0_is_no_object():
    # How the Kaggle kernels for ships and pneumonia say that an image has none; v1 to v2.1 drop it.
    dataset = shapes(2)
    draw = dataset.load_mask
    nothing = np.zeros((64, 64, 1), bool), np.zeros(1, "int32")
    dataset.load_mask = lambda image_id: nothing if image_id == 0 else draw(image_id)
    _, _, class_ids, boxes, masks = modellib.load_image_gt(dataset, TinyConfig(), 0)
    assert (class_ids.shape, boxes.shape, masks.shape) == ((0,), (0, 4), (64, 64, 0))
    batch = modellib.DataGenerator(dataset, TinyConfig(), shuffle=False)[0][0]
    assert (batch["input_image_meta"][:, 0] == 1).all()  # the other image gives way to it


# ---- generators


def test_data_generator_yields_lists_for_ever():
    dataset, config = shapes(3), TinyConfig()
    generator = modellib.data_generator(dataset, config, shuffle=False, batch_size=2)
    for _ in range(3):
        inputs, outputs = next(generator)
        images, metas, rpn_match, rpn_bbox, class_ids, boxes, masks = inputs
        assert outputs == []
        assert images.shape == (2, 64, 64, 3) and metas.shape == (2, 16)
        assert rpn_match.shape == (2, 1023, 1)  # 3 * (16² + 8² + 4² + 2² + 1²)
        assert rpn_bbox.shape == (2, config.RPN_TRAIN_ANCHORS_PER_IMAGE, 4)
        assert class_ids.shape == (2, 6) and boxes.shape == (2, 6, 4)
        assert masks.shape == (2, 56, 56, 6)
    # Three images in pairs: 0 1, 2 0, 1 2.
    assert modellib.parse_image_meta(metas)["image_id"].tolist() == [1, 2]


def test_data_generator_with_proposals_and_targets():
    config = TinyConfig()
    generator = modellib.data_generator(
        shapes(), config, random_rois=20, batch_size=1, detection_targets=True
    )
    inputs, outputs = next(generator)
    assert len(inputs) == 9  # the seven, the proposals, the sampled ones
    assert inputs[7].shape == (1, 20, 4)
    class_ids, boxes, masks = outputs
    assert class_ids.shape[:2] == (1, config.TRAIN_ROIS_PER_IMAGE)
    assert boxes.shape == (1, config.TRAIN_ROIS_PER_IMAGE, config.NUM_CLASSES, 4)
    assert masks.shape == (1, config.TRAIN_ROIS_PER_IMAGE, 28, 28, config.NUM_CLASSES)


def test_data_generator_of_the_forks_is_a_class():
    generator = modellib.DataGenerator(
        shapes(3),
        TinyConfig(),
        shuffle=True,
        augmentation=None,
        random_rois=0,
        detection_targets=False,
    )
    assert isinstance(generator, keras.utils.PyDataset)
    assert len(generator) == 2  # three images in pairs
    assert generator[0][0]["input_image"].shape == (2, 64, 64, 3)


# ---- images, anchors, the Keras model


def test_resize_image_returns_five_values():
    # 20 x 40 becomes 32 x 64, below and above it 16 rows.
    image, window, scale, padding, crop = modellib.utils.resize_image(
        np.zeros((20, 40, 3), "uint8"), min_dim=32, max_dim=64, mode="square"
    )
    assert image.shape == (64, 64, 3) and tuple(window) == (16, 0, 48, 64)
    assert scale == 1.6 and crop is None
    assert [tuple(side) for side in padding] == [(16, 16), (0, 0), (0, 0)]


@pytest.mark.parametrize(
    ("padding", "shape", "box"),
    [(True, (64, 64, 3), (16, 0, 48, 64)), (False, (32, 64, 3), (0, 0, 32, 64))],
)
def test_resize_image_of_version_1_returns_four_values(padding, shape, box):
    found = one_future_warning(
        lambda: modellib.utils.resize_image(
            np.zeros((20, 40, 3), "uint8"), min_dim=32, max_dim=64, padding=padding
        ),
        "padding",
    )
    image, window, scale, pads = found
    assert (image.shape, tuple(window), scale) == (shape, box, 1.6)
    assert tuple(pads[0]) == ((16, 16) if padding else (0, 0))


def test_class_ids_of_whole_floats():
    dataset = shapes()
    draw = dataset.load_mask
    dataset.load_mask = lambda image_id: (draw(image_id)[0], draw(image_id)[1].astype(float))
    class_ids = modellib.load_image_gt(dataset, TinyConfig(), 0)[2]
    assert class_ids.tolist() == draw(0)[1].tolist() and class_ids.dtype == np.int32


@pytest.mark.slow
def test_keras_model_fits_from_a_generator(tmp_path):
    model = tiny(tmp_path, "training")
    model.compile(0.01, 0.9)
    generator = modellib.data_generator(shapes(), TinyConfig(), batch_size=2)
    history = model.keras_model.fit(generator, steps_per_epoch=2, shuffle=False, verbose=0)
    assert history.history["rpn_class_loss"][0] > 0

    def fit_generator():
        return model.keras_model.fit_generator(
            generator,
            steps_per_epoch=1,
            workers=0,
            use_multiprocessing=False,
            shuffle=False,
            verbose=0,
        )

    assert one_future_warning(fit_generator, "fit_generator").history["loss"][0] > 0


@pytest.mark.thorough
@pytest.mark.slow
def test_float_steps(tmp_path):
    model = tiny(tmp_path, "training", STEPS_PER_EPOCH=4 / 2, VALIDATION_STEPS=3 / 2)
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda i, logs: steps.append(i))
    model.train(shapes(), shapes(2, 1), 0.01, 1, layers="heads", custom_callbacks=[count])
    assert steps == [0, 1]


def test_attribute_of_a_data_set_before_prepare():
    dataset = modellib.utils.Dataset()
    assert not hasattr(dataset, "num_classes")
    with pytest.raises(ValueError, match=r"Call prepare\(\)"):
        print(dataset.class_names)


def test_anchors_are_the_third_input_of_predict(detector):
    images = [shapes().load_image(i) for i in (0, 1)]
    molded, metas, windows = detector.mold_inputs(images)
    assert molded.shape == (2, 64, 64, 3) and metas.shape == (2, 16) and len(windows) == 2
    anchors = detector.get_anchors(molded[0].shape)
    anchors = np.broadcast_to(anchors, (2, *anchors.shape))
    outputs = detector.keras_model.predict([molded, metas, anchors], verbose=0)
    detections, probs, _, masks, rois, rpn_class, rpn_bbox = outputs
    assert detections.shape == (2, 8, 6) and masks.shape == (2, 8, 28, 28, 4)
    assert rpn_class.shape == (2, 1023, 2) and rpn_bbox.shape == (2, 1023, 4)
    assert ((masks >= 0) & (masks <= 1)).all() and masks.max() > 0  # probabilities
    np.testing.assert_allclose(probs.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(rpn_class.sum(-1), 1, atol=1e-5)
    assert ((rois >= 0) & (rois <= 1)).all()
    # And `unmold_detections` makes of them what `detect` returns.
    for i, expected in enumerate(detector.detect(images)):
        found = detector.unmold_detections(
            detections[i], masks[i], images[i].shape, molded[i].shape, windows[i]
        )
        for array, name in zip(found, ("rois", "class_ids", "scores", "masks"), strict=True):
            np.testing.assert_allclose(array, expected[name], atol=1e-5, err_msg=name)


def test_detect_leaves_the_anchors_in_pixels(tmp_path):
    # inspect_model.ipynb reads them after `detect`, without a call of `get_anchors`.
    model = tiny(tmp_path)
    model.detect([shapes().load_image(0)])
    # The first cell of P2, scale 8, ratio 0.5 (width / height): 8 * sqrt(2) high, half as wide.
    assert model.anchors.shape == (1023, 4)
    np.testing.assert_allclose(model.anchors[0], np.array([-8, -4, 8, 4]) / 2**0.5, atol=1e-5)


def test_detect_molded_is_detect(detector):
    images = [shapes().load_image(i) for i in (0, 1)]
    molded, metas, _ = detector.mold_inputs(images)
    found = detector.detect_molded(molded, metas, verbose=0)
    for one, other in zip(found, detector.detect(images), strict=True):
        for name in ("rois", "class_ids", "scores", "masks"):
            np.testing.assert_allclose(one[name], other[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "name"),
    [
        pytest.param("training", "mask_rcnn_shapes.h5", marks=pytest.mark.thorough),
        ("inference", "mine.weights.h5"),
    ],
)
def test_keras_model_saves_and_loads_files_of_any_name(tmp_path, mode, name):
    picture = shapes().load_image(0)
    first, second = tiny(tmp_path, mode), tiny(tmp_path, mode, SEED=2)
    third = tiny(tmp_path, SEED=3)
    path = str(tmp_path / name)
    first.keras_model.save_weights(path)
    second.keras_model.load_weights(path)
    third.load_weights(path, by_name=True)
    expected = first.detect([picture])[0]
    for model in (second, third):
        found = model.detect([picture])[0]
        np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-6)
        np.testing.assert_array_equal(found["masks"], expected["masks"])


@pytest.mark.slow
def test_history_of_the_keras_model(trained):
    history = trained.keras_model.history.history
    for name in ("loss", "rpn_class_loss", "mrcnn_mask_loss"):
        assert len(history[name]) == len(history["val_" + name]) == 1


@pytest.mark.slow
def test_file_of_a_model_checkpoint_loads(trained, tmp_path):
    model = tiny(tmp_path)
    model.load_weights(os.path.join(trained.model_dir, "best.weights.h5"), by_name=True)
    picture = shapes().load_image(0)
    expected, found = trained.detect([picture])[0], model.detect([picture])[0]
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-6)


# ---- set_log_dir, get_imagenet_weights


def test_set_log_dir_begins_anew(last):
    model, path = last
    model.set_log_dir(path)
    assert (model.epoch, model.log_dir) == (2, os.path.dirname(path))
    model.set_log_dir()
    assert model.epoch == 0
    assert re.fullmatch(r"tiny\d{8}T\d{4}", os.path.basename(model.log_dir))
    assert os.path.dirname(model.checkpoint_path) == model.log_dir


def test_epoch_of_a_path_with_backslashes(tmp_path):
    model = tiny(tmp_path)
    model.set_log_dir(r"C:\logs\tiny20170916T1127\mask_rcnn_tiny_0012.h5")
    assert model.epoch == 12
    model.set_log_dir("/logs/tiny20170916T1127/mask_rcnn_tiny_0013.h5")
    assert (model.epoch, model.log_dir) == (13, "/logs/tiny20170916T1127")


def test_imagenet_weights_of_resnet50(monkeypatch):
    fetched = []
    monkeypatch.setattr(
        "mrcnn.matterport.model.fetch", lambda entry: fetched.append(entry) or "path"
    )
    config = type("R50", (Config,), {"BACKBONE": "resnet50"})()
    model = types.SimpleNamespace(config=config)
    assert modellib.MaskRCNN.get_imagenet_weights(model) == "path"
    entry = fetched[0]
    assert (entry.backbone, entry.dataset) == ("resnet50", "imagenet")
    assert "a268eb855778b3df3c7506639542a6af".startswith(entry.md5) and len(entry.md5) >= 8


# ---- Config


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("IMAGE_PADDING", True, "IMAGE_PADDING.*IMAGE_RESIZE_MODE"),
        ("IMAGE_PADDING", False, "IMAGE_PADDING.*IMAGE_RESIZE_MODE"),
        ("BACKBONE_SHAPES", [[16, 16]] * 5, "BACKBONE_SHAPES"),
    ],
)
def test_config_key_of_version_1_warns_with_its_successor(name, value, words):
    old = type("Old", (TinyConfig,), {name: value})
    config = one_future_warning(lambda: old(), words)
    assert np.array_equal(getattr(config, name), value)


def test_backbone_shapes_of_version_1_are_read():
    # 64 over strides of 4, 8, 16, 32, 64.
    found = one_future_warning(lambda: TinyConfig().BACKBONE_SHAPES, "compute_backbone_shapes")
    assert np.asarray(found).tolist() == [[16, 16], [8, 8], [4, 4], [2, 2], [1, 1]]


def test_config_without_old_keys_does_not_warn():
    assert TinyConfig().to_dict()["NAME"] == "tiny"
    TinyConfig().display()


# ---- imports


@pytest.mark.parametrize(
    "line",
    [
        "from mrcnn import model as modellib, utils, visualize",
        "from mrcnn import utils, visualize, config, parallel_model",
        "import mrcnn.model as modellib; modellib.MaskRCNN, modellib.log, modellib.utils",
        "import mrcnn.utils; mrcnn.utils.Dataset",
        "from mrcnn.model import MaskRCNN, load_image_gt, mold_image, log",
        "from mrcnn.config import Config",
        "from mrcnn.utils import Dataset, compute_ap, extract_bboxes",
        "from mrcnn.visualize import display_instances, display_images, random_colors, apply_mask",
        "from mrcnn.parallel_model import ParallelModel",
    ],
)
def test_import(line):
    exec(line, {})


@pytest.mark.parametrize(("old", "new"), moved.MOVED.items())
def test_a_module_is_found_under_its_old_path(old, new, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(FutureWarning, match=f"^{old} is {new} now$"):
        found = vars(importlib.import_module(old))
    names = {name for name in vars(importlib.import_module(new)) if not name.startswith("__")}
    assert names and all(found[name] is getattr(sys.modules[new], name) for name in names)


def test_datasets_of_scripts_are_those_of_the_library():
    from mrcnn import data, utils

    assert issubclass(utils.Dataset, data.Dataset)


@pytest.mark.thorough
@pytest.mark.slow
def test_version_1_imports_the_modules_without_the_package(tmp_path):
    # Scripts put the folder of the modules on the path; each file then is a module of its own.
    script = f"""
import os, sys
ROOT_DIR = {str(ROOT)!r}
sys.path.append(ROOT_DIR)
sys.path.append(os.path.join(ROOT_DIR, "mrcnn"))
sys.path.append(os.path.join(ROOT_DIR, "samples", "coco"))
import utils
import model as modellib
import visualize
import coco
from config import Config
from model import log

class ShapesConfig(Config):
    NAME = "shapes"
    NUM_CLASSES = 1 + 3
    BACKBONE = "resnet50"
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64

class ShapesDataset(utils.Dataset):
    pass

config = ShapesConfig()
config.display()
assert coco.CocoConfig.NUM_CLASSES == 81
model = modellib.MaskRCNN(mode="inference", config=config, model_dir="logs")
log("rois", model.detect([__import__("numpy").zeros((64, 64, 3), "uint8")])[0]["rois"])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"rois +shape: \(\d+, 4\)", done.stdout)
