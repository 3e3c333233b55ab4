"""matterport's way into a model: named inputs and outputs, molded images, `run_graph`."""

import ast
import os
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import TinyConfig, shapes, tiny_of

from mrcnn.image import bucket_sides
from mrcnn.inference.detector import Detector, same_shapes
from mrcnn.model import MaskRCNN


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return MaskRCNN("inference", TinyConfig(), tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def training_model(tmp_path_factory):
    return MaskRCNN("training", TinyConfig(), tmp_path_factory.mktemp("logs"))


IMAGE = shapes().load_image(0)  # [64, 64, 3]


def test_mold_inputs(model):
    molded, metas, windows = model.mold_inputs([IMAGE[:32], IMAGE])
    assert molded.shape == (2, 64, 64, 3)
    assert windows.tolist() == [[16, 0, 48, 64], [0, 0, 64, 64]]
    assert metas.shape == (2, 16)  # 12 + 4 classes
    # The picture's first pixel lies in row 16; black is minus the mean.
    mean = np.float32(model.config.MEAN_PIXEL)
    np.testing.assert_array_equal(molded[0, 16, 0], np.float32(IMAGE[0, 0]) - mean)
    np.testing.assert_array_equal(molded[0, 15, 0], -mean)


def test_mold_inputs_of_several_shapes_is_refused(tmp_path):
    config = type("Open", (TinyConfig,), {"IMAGE_RESIZE_MODE": "pad64"})()
    model = MaskRCNN("inference", config, tmp_path)
    with pytest.raises(ValueError, match=r"one molded shape, received \[\(64, 64, 3\), \(128,"):
        model.mold_inputs([IMAGE, np.concatenate([IMAGE, IMAGE])])


def test_detection_in_floats_up_to_one_warns_once(tmp_path):
    model = MaskRCNN("inference", TinyConfig(), tmp_path)
    with pytest.warns(UserWarning, match=r"images\[1\]: .* multiply by 255") as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            model.detect([IMAGE, IMAGE / 255])
    assert len(caught) == 1


def test_detect_molded(model):
    molded, metas, _ = model.mold_inputs([IMAGE[:48]])
    found, expected = model.detect_molded(molded, metas)[0], model.detect([IMAGE[:48]])[0]
    assert found["masks"].shape[:2] == (64, 64)
    # 8 rows of padding above.
    np.testing.assert_allclose(found["boxes"], expected["boxes"] + [8, 0, 8, 0], atol=1e-3)
    np.testing.assert_array_equal(found["class_ids"], expected["class_ids"])


def test_run_graph_by_name_and_by_tensor(model, capsys):
    layer = model.keras_model.get_layer("res2a_conv")
    found = model.run_graph([IMAGE], ["res2a_conv", ("same", layer.output), ("m", "mrcnn_mask")])
    assert list(found) == ["res2a_conv", "same", "m"]
    np.testing.assert_array_equal(found["res2a_conv"], found["same"])
    assert found["m"].shape == (1, 8, 28, 28, 4)
    assert found["m"].min() >= 0 and found["m"].max() <= 1
    assert "res2a_conv" in capsys.readouterr().out


def test_run_graph_of_molded_images(model):
    molded, metas, _ = model.mold_inputs([IMAGE, IMAGE[::-1]])
    found = model.run_graph(molded, ["rpn_class"], metas)["rpn_class"]
    one = model.run_graph([IMAGE[::-1]], ["rpn_class"])["rpn_class"]
    np.testing.assert_allclose(found[1], one[0], atol=1e-6)


def test_run_graph_in_training_mode(training_model):
    found = training_model.run_graph([IMAGE], ["mrcnn_mask", "rpn_bbox"])
    assert found["mrcnn_mask"].shape == (1, 8, 28, 28, 4)
    loss = training_model.keras_model.get_layer("rpn_class_loss").output
    with pytest.raises(ValueError, match=r"follow from input_image, .* received \['loss'\]"):
        training_model.run_graph([IMAGE], [("loss", loss)])


def test_ancestor(model):
    detections = model.keras_model.get_layer("mrcnn_detection").output
    rois = model.keras_model.get_layer("ROI").output
    assert model.ancestor(detections, "ROI:0") is rois
    assert (
        model.ancestor(rois, "rpn_class/concat:0")
        is model.keras_model.get_layer("rpn_class").output
    )
    assert model.ancestor(rois, "mrcnn_detection:0") is None
    assert model.ancestor(rois, "ROI/no_such_step:0") is None


def test_keras_model_saves_and_loads_by_name(model, training_model, tmp_path):
    path = os.fspath(tmp_path / "weights.h5")
    training_model.keras_model.save_weights(path)
    model.keras_model.load_weights(path)
    name = "mrcnn_mask"
    for mine, theirs in zip(
        model.keras_model.get_layer(name).get_weights(),
        training_model.keras_model.get_layer(name).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert model.load_weights(path)["missing"] == []
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.keras_model.save_weights(path, overwrite=False)


def test_keras_model_refuses_a_file_of_another_model(model, tmp_path):
    other = type("Other", (TinyConfig,), {"NUM_CLASSES": 3})()
    path = tmp_path / "other.h5"
    other_model = MaskRCNN("inference", other, tmp_path).keras_model
    other_model.get_layer("mrcnn_mask_conv1").set_weights([np.ones((3, 3, 8, 8)), np.ones(8)])
    other_model.save_weights(path)
    before = model.keras_model.get_layer("mrcnn_mask_conv1").get_weights()[0]
    assert (before != 1).all()
    with pytest.raises(ValueError, match=r"0 weights are missing \[\] and 6 of another shape"):
        model.keras_model.load_weights(path)
    after = model.keras_model.get_layer("mrcnn_mask_conv1").get_weights()[0]
    np.testing.assert_array_equal(before, after)
    model.keras_model.load_weights(path, by_name=True, skip_mismatch=True)
    after = model.keras_model.get_layer("mrcnn_mask_conv1").get_weights()[0]
    assert (after == 1).all()


@pytest.mark.slow
def test_buckets_bound_the_number_of_shapes(tmp_path):
    config = tiny_of("matterport/mask_rcnn_coco")
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM = "pad64", 64
    config.IMAGE_BUCKETS = [(128, 192), (128, 128), (256, 256)]
    model = MaskRCNN("inference", config, tmp_path)
    rng = np.random.default_rng(0)
    sides = [(64, 70), (64, 120), (100, 150), (200, 70), (300, 64)]
    images = [rng.integers(0, 256, (*side, 3), dtype=np.uint8) for side in sides]
    molded, metas, windows = zip(*(model.mold_inputs([image]) for image in images), strict=True)
    # 64 x 70 becomes 64 x 128 and fits 128 x 128, smaller than 128 x 192; 300 fits nowhere: 320.
    expected = [(128, 128), (128, 128), (128, 192), (256, 256), (320, 64)]
    assert [x.shape[1:3] for x in molded] == expected
    assert [tuple(meta[0, 4:6]) for meta in metas] == expected
    assert windows[0].tolist() == [[0, 29, 64, 99]]  # (128 - 70) / 2 = 29, then 64 rows below
    black = np.broadcast_to(-np.float32(config.MEAN_PIXEL), (64, 128, 3))
    np.testing.assert_array_equal(molded[0][0, 64:], black)
    for found, image in zip(model.detect(images), images, strict=True):
        assert len(found["rois"]) and (found["rois"][:, 2:] <= image.shape[:2]).all()
        assert found["masks"].shape[:2] == image.shape[:2]


@pytest.mark.parametrize("bucket", [(100, 128), (128,), 128, (0, 64)])
def test_bad_buckets_are_refused(bucket, tmp_path):
    config = tiny_of("matterport/mask_rcnn_coco")
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM, config.IMAGE_BUCKETS = "pad64", 64, [bucket]
    with pytest.raises(ValueError, match=r"IMAGE_BUCKETS has .* multiples of 64"):
        MaskRCNN("inference", config, tmp_path)
    config.IMAGE_RESIZE_MODE, config.IMAGE_BUCKETS = "square", [(128, 128)]
    with pytest.raises(ValueError, match="IMAGE_BUCKETS has no effect in mode 'square'"):
        MaskRCNN("inference", config, tmp_path)


def test_buckets_may_be_an_array(tmp_path):
    config = tiny_of("matterport/mask_rcnn_coco")
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM = "pad64", 64
    config.IMAGE_BUCKETS = np.array([[128, 192], [256, 256]])
    model = MaskRCNN("inference", config, tmp_path)
    assert model.mold_inputs([np.zeros((100, 70, 3), "uint8")])[0].shape == (1, 128, 192, 3)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((100, 100), (100, 200)),  # 20 000 pixels, as the other: the first
        ((150, 90), (200, 100)),
        ((150, 150), (200, 200)),  # in no bucket: the largest height and width
        ((150, 250), (150, 250)),
    ],
)
def test_bucket_of_an_image(sides, expected):
    assert bucket_sides(sides, [(100, 200), (200, 100)]) == expected


def test_buckets_of_the_readme_are_valid():
    text = (Path(__file__).parents[1] / "README.md").read_text()
    config = tiny_of("matterport/mask_rcnn_coco")
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM = "pad64", 64
    config.IMAGE_BUCKETS = ast.literal_eval(re.search("`IMAGE_BUCKETS = (.*?)`", text)[1])
    config.validate()


def test_batches_are_filled_up_to_what_xla_has_compiled():
    # 5 images of one shape and one of another, in batches of 2.
    shapes, compiled = ["a", "b", "a", "a", "a", "a"], {}
    assert list(same_shapes(shapes, 2)) == [[0, 2], [3, 4], [5], [1]]
    assert list(same_shapes(shapes, 2, compiled)) == [[0, 2], [3, 4], [5, 5], [1]]
    assert compiled == {"a": 2, "b": 1}
    assert list(same_shapes(["a", "b"], 2, compiled)) == [[0, 0], [1]]
    assert list(same_shapes(["b", "b"], 2, compiled)) == [[0, 1]]


@pytest.mark.slow
def test_xla_compiles_once_for_each_shape(tmp_path):
    config = tiny_of("matterport/mask_rcnn_coco")
    config.IMAGES_PER_GPU = 3
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM = "pad64", 64
    model = MaskRCNN("inference", config, tmp_path)
    shapes, predict = set(), model.detector.graph.predict_on_batch

    def watched(inputs):
        shapes.add(inputs["input_image"].shape)
        return predict(inputs)

    # As if XLA had compiled it: XLA does not go together with the seed of the other tests.
    graph = SimpleNamespace(jit_compile=True, predict_on_batch=watched)
    model.detector = Detector(graph, model.settings, model.unmold)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, side, 3), dtype=np.uint8) for side in [64] * 4 + [128]]
    found = model.detect(images)  # 3 and 1 of one shape, 1 of the other
    alone = model.detect(images[3:4])
    assert shapes == {(3, 64, 64, 3), (1, 64, 128, 3)}
    assert len(found) == 5 and len(found[3]["rois"])
    for name, value in alone[0].items():
        np.testing.assert_array_equal(value, found[3][name])
