"""Exported files: written, compared, opened by their runtime alone, used in place of weights."""

import argparse
import base64
import json
import os
import shutil
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_server import JSON_TYPES, ModelServer
from PIL import Image
from skimage import data
from test_dc5 import DilatedConfig
from test_max_deeplab import TinyConfig as TinyMaXDeepLab
from test_panoptic_models import config_of
from tiny import tiny_of

from mrcnn import cli
from mrcnn.cli import serve
from mrcnn.export import (
    FORMATS,
    ExportedModel,
    ExportError,
    check_export,
    export,
    graph_molding,
)
from mrcnn.export.stages import with_stages
from mrcnn.export.verifying import difference
from mrcnn.model import create

pytestmark = pytest.mark.slow

OPEN_SIZES = {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 106}
# Imports the runtime alone: of the folder in argv, and pixels, to what was found.
ALONE = {
    "saved_model": """
import sys, numpy as np, tensorflow as tf
given, out = np.load({given!r}), {out!r}
model = tf.saved_model.load({path!r})
found = dict(model.signatures["serving_default"](image_tensor=tf.constant(given["images"])))
bytes = tf.constant([given["png"].tobytes(), given["jpeg"].tobytes()])
of_bytes = model.signatures["image_bytes"](image_bytes=bytes)
found |= {{f"of_bytes_{{name}}": x for name, x in of_bytes.items()}}
np.savez(out, **{{name: x.numpy() for name, x in found.items()}})
assert "mrcnn" not in sys.modules
""",
    "onnx": """
import sys, numpy as np, onnxruntime
given, out = np.load({given!r}), {out!r}
session = onnxruntime.InferenceSession({path!r}, providers=["CPUExecutionProvider"])
names = [x.name for x in session.get_outputs()]
found = session.run(names, dict(image_tensor=given["images"]))
np.savez(out, **dict(zip(names, found)))
assert not {{"mrcnn", "tensorflow"}} & set(sys.modules)
""",
    "openvino": """
import sys, numpy as np, openvino
given, out = np.load({given!r}), {out!r}
model = openvino.compile_model({path!r}, "CPU", dict(INFERENCE_PRECISION_HINT="f32"))
found = model(dict(image_tensor=given["images"])).items()
np.savez(out, **{{name: array for output, array in found for name in output.names}})
assert not {{"mrcnn", "tensorflow"}} & set(sys.modules)
""",
    "litert": """
import sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
given, out = np.load({given!r}), {out!r}
run = Interpreter({path!r}).get_signature_runner("detect_201x303")
np.savez(out, **run(image_tensor=given["images"]))
assert not {{"mrcnn", "tensorflow"}} & set(sys.modules)
""",
}
# What exports beside the first cost.
FORMS = [
    pytest.param(x, marks=[pytest.mark.thorough] * (x not in ("saved_model", "onnx")))
    for x in ALONE
]
IN_PLACE_OF_WEIGHTS = [
    pytest.param(x, marks=[pytest.mark.thorough] * (x != "saved_model")) for x in ALONE
]
OPTIONS = {"litert": {"sizes": [(201, 303), (96, 128)], "batch": 2}}


class EveryPixelConfig(TinyMaXDeepLab):
    """Gives each pixel to a mask, however unsure it is."""

    PANOPTIC_MIN_CONFIDENCE = PANOPTIC_PIXEL_CONFIDENCE = 0.0
    PANOPTIC_THING_AREA = PANOPTIC_STUFF_AREA = 0


def config_with(preset, **keys):
    """The numerics of a preset in a tiny model, with keys of its own."""
    config = tiny_of(preset)
    for key, value in keys.items():
        setattr(config, key, value)
    return config


TORCHVISION = "torchvision/maskrcnn_resnet50_fpn"
# Each numerics, each member of the family, and what else changes a graph: what makes a config.
KINDS = {
    "matterport": lambda: tiny_of("matterport/mask_rcnn_coco"),
    "torchvision": lambda: tiny_of(TORCHVISION),
    "torchvision_v2": lambda: tiny_of("torchvision/maskrcnn_resnet50_fpn_v2"),
    "detectron2": lambda: tiny_of("detectron2/mask_rcnn_R_50_FPN_3x"),
    "faster_rcnn": lambda: config_with(TORCHVISION, USE_MASK=False),
    "cascade": lambda: tiny_of("detectron2/cascade_mask_rcnn_R_50_FPN_3x"),
    "c4": lambda: tiny_of("detectron2/mask_rcnn_R_50_C4_3x"),
    "dc5": DilatedConfig,
    "retinanet": lambda: tiny_of("torchvision/retinanet_resnet50_fpn_v2"),
    "retinanet_of_detectron2": lambda: tiny_of("detectron2/retinanet_R_50_FPN_3x"),
    "keypoints": lambda: tiny_of("torchvision/keypointrcnn_resnet50_fpn"),
    "panoptic": lambda: config_of("panoptic_fpn"),
    "semantic": lambda: config_of("semantic_fpn"),
    "max_deeplab": EveryPixelConfig,
    "soft_nms": lambda: config_with(TORCHVISION, DETECTION_NMS="linear"),
    "bfloat16": lambda: config_with(TORCHVISION, PRECISION="mixed_bfloat16"),
    "four_channels": lambda: config_with(
        "matterport/mask_rcnn_coco", IMAGE_CHANNEL_COUNT=4, MEAN_PIXEL=np.full(4, 120.0)
    ),
}
# With what torchvision's Mask R-CNN has, most of what graphs are made of; the rest is thorough.
OFFICIAL = {("saved_model", "panoptic")}
ADAPTIVE = "it cannot pool with as many samples as each box needs"
FLOAT32 = "it takes float32 alone"
REFUSED = {
    ("onnx", "bfloat16"): FLOAT32,
    ("openvino", "bfloat16"): FLOAT32,
    ("litert", "bfloat16"): FLOAT32,
    ("openvino", "soft_nms"): "it has no loops",
    ("litert", "detectron2"): ADAPTIVE,
    ("litert", "cascade"): ADAPTIVE,
    ("litert", "c4"): ADAPTIVE,
}


# Their networks take grey values: weights drawn at random make scores of exactly 1, which tie.
OF_GREY_VALUES = ("matterport", "four_channels", "dc5", "panoptic")
# One of 16 proposals changes its place by rounding: such networks decide by a hair.
UNEQUAL = {("saved_model", "bfloat16"), ("litert", "four_channels")}
PREDICTORS = ("rpn_class_raw", "rpn_bbox_pred", "mrcnn_class_logits", "mrcnn_bbox_fc")


def build(preset, **keys):
    """A tiny model of random weights."""
    return built(config_with(preset, **keys))


def built(config):
    keras.utils.set_random_seed(0)
    return create("inference", config, "logs")


@pytest.fixture(scope="module")
def model():
    model = build("torchvision/maskrcnn_resnet50_fpn", **OPEN_SIZES)
    model.class_names = ["BG", "square", "circle", "triangle"]
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """A function of a format to the path of the model's file, written once."""
    folder, paths = tmp_path_factory.mktemp("exported"), {}

    def path_of(name):
        if name not in paths:
            path = folder / f"tiny{FORMATS[name].suffix}"
            paths[name] = export(model, path, name, **OPTIONS.get(name, {}))
        return paths[name]

    return path_of


@pytest.mark.parametrize("name", FORMS)
def test_the_runtime_alone_finds_what_the_model_finds(name, model, exported, run_python, tmp_path):
    image = data.chelsea()[:201, :303]
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(data.coffee()[:150, :200]).save(tmp_path / "image.jpeg", quality=90)
    encoded = {
        name: np.frombuffer((tmp_path / f"image.{name}").read_bytes(), np.uint8)
        for name in ("png", "jpeg")
    }
    given, out = str(tmp_path / "given.npz"), str(tmp_path / "out.npz")
    np.savez(given, images=np.stack([image[::-1], image]), **encoded)
    run_python(ALONE[name].format(given=given, out=out, path=exported(name)))
    found, (wanted,) = np.load(out), model.detect([image])
    count = len(wanted["scores"])
    assert found["num_detections"][1] == count > 0
    np.testing.assert_allclose(found["detection_boxes"][1, :count], wanted["boxes"], atol=1e-2)
    np.testing.assert_allclose(found["detection_scores"][1, :count], wanted["scores"], atol=1e-5)
    np.testing.assert_array_equal(found["detection_classes"][1, :count], wanted["class_ids"])
    assert not found["detection_scores"][1, count:].any()
    assert found["detection_masks"].shape == (2, 8, 28, 28)
    # 64 of the short side, 96.48 of the long one, rounded down; padded to multiples of 32.
    info = [[201, 303], [64, 96], [64 / 201, 96 / 303], [0, 0]]
    np.testing.assert_allclose(found["image_info"][1], info, rtol=1e-6)
    if name == "saved_model":  # two pictures of two sizes in one call
        of_jpeg = model.detect([np.asarray(Image.open(tmp_path / "image.jpeg"))])[0]
        for i, each in enumerate([wanted, of_jpeg]):
            count = len(each["scores"])
            assert found["of_bytes_num_detections"][i] == count > 0
            boxes = found["of_bytes_detection_boxes"][i, :count]
            np.testing.assert_allclose(boxes, each["boxes"], atol=1e-2)
        assert found["of_bytes_image_info"][:, 0].tolist() == [[201, 303], [150, 200]]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=[pytest.mark.thorough] * ((name, kind) not in OFFICIAL))
        for name in FORMATS
        for kind in KINDS
        if (name, kind) not in {*REFUSED, *UNEQUAL}
    ],
)
def test_every_kind_exports(name, kind, tmp_path):
    model = built(KINDS[kind]())
    for weight in model.keras_model.weights if kind in OF_GREY_VALUES else ():
        if weight.path.startswith(PREDICTORS):
            weight.assign(weight / 50)
    stages = with_stages(model.graphs["detection"]).output
    has_boxes = model.finds_instances and kind != "max_deeplab"
    assert ("class_scores" in stages) == ("box_deltas" in stages) == has_boxes
    assert ("proposals" in stages) == (has_boxes and "retinanet" not in kind)
    path = tmp_path / f"tiny{FORMATS[name].suffix}"
    sizes = None if FORMATS[name].any_size else [(150, 200)]
    exported = ExportedModel(export(model, path, name, sizes))  # is compared with the model
    image = data.rocket()[:150, :200][..., [i % 3 for i in range(model.settings.image.channels)]]
    (wanted,), (found,) = model.detect([image]), exported.detect([image])
    assert len(wanted.get("segments", wanted["scores"])) and list(found) == list(wanted)
    assert difference(wanted, found, model.settings.detections) is None


@pytest.mark.parametrize(("name", "kind"), REFUSED)
def test_what_a_format_cannot_hold_is_refused_before_there_is_a_model(name, kind):
    config, sizes = KINDS[kind](), None if FORMATS[name].any_size else [(150, 200)]
    with pytest.raises(ValueError, match=f"format {name}: {REFUSED[name, kind]}"):
        check_export(config, f"tiny{FORMATS[name].suffix}", name, sizes)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["saved_model", "onnx"])
def test_masks_in_the_image(name, tmp_path):
    model = build("matterport/mask_rcnn_coco", IMAGE_MIN_DIM=48)
    path = export(model, tmp_path / f"whole{FORMATS[name].suffix}", name, masks="image")
    image = data.coffee()[:150, :200]
    exported = ExportedModel(path)
    (wanted,), (found,) = model.detect([image]), exported.detect([image])
    assert found["masks"].shape == (150, 200, len(found["scores"])) and found["masks"].any()
    assert difference(wanted, found, model.settings.detections) is None


# A model that finds nothing hides no difference.
@pytest.mark.parametrize("least", [None, pytest.param(1.0, marks=pytest.mark.thorough)])
def test_a_file_that_differs_is_removed_and_its_stage_named(least, model, tmp_path, monkeypatch):
    if least is not None:
        model = build("torchvision/maskrcnn_resnet50_fpn", DETECTION_MIN_CONFIDENCE=least)
        assert model.detect([data.chelsea()])[0].count == 0

    def shifted(pixels, settings):
        return pixels - settings.mean_pixel[::-1]  # blue for red

    monkeypatch.setattr(graph_molding, "_normalized", shifted)
    with pytest.raises(
        ExportError, match="molding differ from the model's on the picture"
    ) as error:
        export(model, tmp_path / "wrong")
    assert error.value.stage == "molding"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
def test_without_a_comparison_it_is_said(model, tmp_path):
    (tmp_path / "tiny").mkdir()  # is replaced
    with pytest.warns(UserWarning, match="was not compared with the model"):
        path = export(model, tmp_path / "tiny", verify=False)
    assert path == str(tmp_path / "tiny") and os.listdir(tmp_path) == ["tiny"]
    metadata = ExportedModel(path).metadata
    assert metadata["class_names"] == model.class_names and metadata["format"] == "saved_model"
    assert metadata["config"]["IMAGE_MAX_DIM"] == 106 and "BACKBONE" not in metadata["config"]


@pytest.mark.parametrize("name", IN_PLACE_OF_WEIGHTS)
def test_commands_take_it_in_place_of_weights(name, exported, tmp_path, capsys):
    pictures, path = tmp_path / "pictures", exported(name)
    pictures.mkdir()
    for file, image in {"a.png": data.chelsea()[:120, :160], "b.jpg": data.coffee()}.items():
        Image.fromarray(image).save(pictures / file)
    out = tmp_path / "found"
    line = ["detect", path, str(pictures), "--out", str(out), "--save", "json"]
    assert cli.main(line) == 0
    found = json.loads((out / "detections.json").read_text())
    assert [each["name"] for each in found["categories"]] == ["square", "circle", "triangle"]
    assert found["annotations"] and all("segmentation" in each for each in found["annotations"])
    truth = [each for each in found["annotations"] if min(each["bbox"][2:]) >= 4]
    for each in truth:
        x, y, width, height = each["bbox"]
        right, below = x + width, y + height
        each["segmentation"] = [[x, y, right, y, right, below, x, below]]
        del each["score"]
    found["annotations"] = truth
    (tmp_path / "truth.json").write_text(json.dumps(found))
    data_arguments = [str(tmp_path / "truth.json"), "--images", str(pictures)]
    assert cli.main(["evaluate", path, *data_arguments]) == 0
    assert "segm" in capsys.readouterr().out
    assert cli.main([*line, "IMAGE_MAX_DIM=512"]) == 2
    assert f"IMAGE_MAX_DIM is decided inside {path}" in capsys.readouterr().err
    assert cli.main(["export", path, "--format", "onnx"]) == 2
    assert f"{path} is exported already" in capsys.readouterr().err
    assert cli.main([*line, "--no-resume", "--score", "7"]) == 2
    assert "DETECTION_MIN_CONFIDENCE is 7.0; expected 0 to 1" in capsys.readouterr().err
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cli.main([*line, "--no-resume", "--score", "0.5"])
    assert not told


@pytest.mark.parametrize("name", IN_PLACE_OF_WEIGHTS)
def test_the_server_takes_it(name, model, exported):
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    service = serve._service(parser.parse_args(["serve", exported(name)]))
    image = data.chelsea()[:201, :303]
    (answer,) = service.batcher.submit([image])
    (wanted,) = model.detect([image])
    assert difference(wanted, answer.result(60), model.settings.detections) is None
    service.stop()


@pytest.fixture(scope="module")
def model_server(exported, tmp_path_factory):
    """TensorFlow Serving with the SavedModel, where its folder has to lie: NAME/1."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    shutil.copytree(exported("saved_model"), folder / "1")
    with ModelServer(folder) as server:
        yield server


def b64(image, path):
    """{"b64": ...} of a PNG."""
    Image.fromarray(image).save(path)
    return {"b64": base64.b64encode(path.read_bytes()).decode()}


def test_signatures_are_such_that_tensorflow_serving_answers_in_json(model_server):
    assert {"serving_default", "image_bytes"} <= set(model_server.signatures)
    for name in ("serving_default", "image_bytes"):
        signature = model_server.signatures[name]
        (alias,) = signature.inputs  # one alone, so that instances need no names
        # Base64 is for strings, whose alias says by its end that they are no text.
        assert alias.endswith("_bytes") == (signature.inputs[alias].dtype == tf.string)
        for described in (*signature.inputs.values(), *signature.outputs.values()):
            assert tf.as_dtype(described.dtype) in JSON_TYPES
            assert described.tensor_shape.dim[0].size == -1  # the batch


def test_clients_of_tensorflow_serving_get_what_the_model_finds(model, model_server, tmp_path):
    images = [data.chelsea()[:101, :150], data.coffee()[:96, :128]]
    encoded = [b64(image, tmp_path / "image.png") for image in images]
    pixels = images[0].tolist()
    by_bytes, by_pixels = {"signature_name": "image_bytes"}, {}
    named = [{"image_bytes": each} for each in encoded]
    for signature, key, value, count in (
        (by_bytes, "instances", encoded, 2),
        (by_bytes, "instances", named, 2),
        (by_bytes, "inputs", encoded, 2),
        (by_bytes, "inputs", {"image_bytes": encoded}, 2),
        (by_pixels, "instances", [pixels], 1),
        (by_pixels, "instances", [{"image_tensor": pixels}], 1),
        (by_pixels, "inputs", {"image_tensor": [pixels]}, 1),
    ):
        body = json.dumps({**signature, key: value})
        answer = json.loads(json.dumps(model_server.post(json.loads(body))))
        rows = answer.get("predictions")
        if key == "inputs":
            columns = answer["outputs"]
            rows = [{name: columns[name][i] for name in columns} for i in range(count)]
        assert len(rows) == count
        for row, wanted in zip(rows, model.detect(images[:count]), strict=True):
            n = row["num_detections"]
            assert n == len(wanted["scores"]) > 0
            np.testing.assert_allclose(row["detection_boxes"][:n], wanted["boxes"], atol=1e-2)
            np.testing.assert_allclose(row["detection_scores"][:n], wanted["scores"], atol=1e-5)
            assert row["detection_classes"][:n] == wanted["class_ids"].tolist()
            assert np.shape(row["detection_masks"]) == (8, 28, 28)  # floats: the largest part


def test_messages_of_tensorflow_serving_carry_it(model, model_server, tmp_path):
    predict = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    image = data.chelsea()[:101, :150]
    png = base64.b64decode(b64(image, tmp_path / "image.png")["b64"])
    (wanted,) = model.detect([image])
    for name, alias, value in (
        ("image_bytes", "image_bytes", [png]),
        ("", "image_tensor", image[None]),
    ):
        request = predict.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "tiny", name
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
        request = predict.PredictRequest.FromString(request.SerializeToString())
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        response = predict.PredictResponse()
        for key, array in model_server.run(request.model_spec.signature_name, inputs).items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(array))
        response = predict.PredictResponse.FromString(response.SerializeToString())
        boxes = tf.make_ndarray(response.outputs["detection_boxes"])[0]
        np.testing.assert_allclose(boxes[: len(wanted["boxes"])], wanted["boxes"], atol=1e-2)


@pytest.mark.thorough
def test_pictures_of_any_size_in_a_file_of_some(model, exported):
    found = ExportedModel(exported("litert"))
    pictures = [data.coffee(), data.chelsea()[:96, :128], data.chelsea()[:201, :303]]
    results, wanted = found.detect(pictures), model.detect(pictures)
    # One is scaled down to 201 x 302, and cut off at its border; the others are as they are.
    assert results[0]["masks"].shape[:2] == (400, 600) and len(results[0]["scores"])
    assert (results[0]["boxes"] <= np.array([400, 600, 400, 600]) + 1e-3).all()
    for result, expected in zip(results[1:], wanted[1:], strict=True):
        assert difference(expected, result, model.settings.detections) is None


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = dict(OPEN_SIZES, BACKBONE="efficientnet_lite0", RPN_CHANNELS=8, TOP_DOWN_PYRAMID_SIZE=8)
    model = build("torchvision/maskrcnn_resnet50_fpn", **keys)
    model.save_weights("tiny.h5")
    line = ["export", "tiny.h5", "--format", "saved_model"]
    assert cli.main([*line, "--sizes", "64x64"]) == 2
    assert "takes any size, and any number of images" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="tiny_saved_model was not compared"):
        assert cli.main([*line, "--no-verify", "DETECTION_MAX_INSTANCES=3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "tiny_saved_model"
    found = ExportedModel("tiny_saved_model").detect([data.chelsea()])[0]
    assert len(found["scores"]) == 3
