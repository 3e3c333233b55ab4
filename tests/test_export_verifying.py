"""What counts as an equal find, which stage is named, and what is refused at once."""

import importlib.util
import json
import re
import subprocess
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tiny import TinyConfig

import mrcnn
from mrcnn.export import check_export, formats, metadata, verifying
from mrcnn.export.exported_model import ExportedModel, unmolded_geometry
from mrcnn.export.verifying import difference, differing_stage, pictures_for
from mrcnn.presets import PRESETS
from mrcnn.settings import Detections, Image

SETTINGS = Detections(max_instances=100, min_confidence=0.05)


def result(count=4, **changes):
    """Squares of 20 pixels side by side, with scores 0.9, 0.8, ..."""
    left = 30.0 * np.arange(count)
    boxes = np.stack([0 * left, left, 0 * left + 20, left + 20], axis=1)
    masks = np.zeros((20, 30 * count, count), bool)
    for i in range(count):
        masks[:, 30 * i : 30 * i + 20, i] = True
    found = {"boxes": boxes, "scores": 0.9 - 0.1 * np.arange(count), "masks": masks}
    return {**found, "class_ids": np.ones(count, int), **changes}


def test_equal_results_in_another_order():
    found = {k: x[..., ::-1] if k == "masks" else x[::-1] for k, x in result().items()}
    assert difference(result(), found, SETTINGS) is None


def test_a_detection_without_an_equal():
    # 0.2 of 20 pixels: IoU 19.8 / 20.2 = 0.980. And 0.09: 19.91 / 20.09 = 0.991.
    moved = result()["boxes"].copy()
    moved[2] += (0, 0.2, 0, 0.2)
    lost = difference(result(), result(boxes=moved), SETTINGS)
    assert lost == ("detections", "1 of 4 have no equal")
    moved[2] = result()["boxes"][2] + (0, 0.09, 0, 0.09)
    assert difference(result(), result(boxes=moved), SETTINGS) is None
    assert difference(result(), result(class_ids=np.array([1, 1, 2, 1])), SETTINGS) == lost
    scores = result()["scores"] + (0, 0.002, 0, 0)
    assert difference(result(), result(scores=scores), SETTINGS) == lost


def test_of_a_hundred_detections_two_may_differ():
    wanted = result(100, scores=np.linspace(1, 0.5, 100), masks=np.zeros((20, 3000, 100), bool))
    classes = np.ones(100, int)
    classes[:2] = 2
    assert difference(wanted, {**wanted, "class_ids": classes}, SETTINGS) is None
    classes[2] = 2
    assert difference(wanted, {**wanted, "class_ids": classes}, SETTINGS)[0] == "detections"


def test_a_score_at_the_threshold_may_be_on_either_side():
    wanted = result(scores=np.array([0.9, 0.8, 0.7, 0.0505]))
    found = {k: x[..., :3] if k == "masks" else x[:3] for k, x in wanted.items()}
    assert difference(wanted, found, SETTINGS) is None
    wanted["scores"][3] = 0.052
    assert difference(wanted, found, SETTINGS)[0] == "detections"


def test_masks_of_equal_boxes():
    # A hundredth of 400 pixels, and two.
    masks = result()["masks"].copy()
    masks[0, 30:36, 1] = False
    assert difference(result(), result(masks=masks), SETTINGS) is None
    masks[0, 36, 1] = False
    assert difference(result(), result(masks=masks), SETTINGS) == (
        "masks",
        "1 of 4 are not equal",
    )


def test_keypoints_and_regions():
    points = np.zeros((4, 50, 3))
    found = points.copy()
    found[0, 0, 0] = 0.6  # one of fifty
    assert not difference(result(keypoints=points), result(keypoints=found), SETTINGS)
    found[0, 1, 0] = 0.6
    assert difference(result(keypoints=points), result(keypoints=found), SETTINGS)[0] == "keypoints"
    regions = np.zeros((10, 10), int)
    found = regions.copy()
    found[0, :3] = 1
    differ = difference(result(segmentation=regions), result(segmentation=found), SETTINGS)
    assert differ == ("regions", "3.0% of the pixels are not equal")


def file_of(outputs, batch=None):
    """Stands for an open file, which keeps what it was given last."""

    def run(images):
        run.given = images
        return outputs

    run.metadata = {"batch": batch}
    return run


@pytest.mark.parametrize(
    ("changed", "stage"),
    [
        ({"molding": 30}, "molding"),
        ({"proposals": 0.1, "detections": 0.1}, "proposals"),
        ({"class_scores": 0.1}, "class_scores"),
        ({"box_deltas": 0.1, "detections": 0.1}, "box_deltas"),
        ({"detections": 0.1, "masks": 0.1}, "detections"),
        ({"masks": 0.5}, "masks"),
        ({}, None),
    ],
)
def test_the_first_stage_that_differs_is_named(monkeypatch, changed, stage):
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 1, (1, 9, 2, 2)), axis=2).reshape(1, 9, 4)
    network = {
        "proposals": boxes,
        "class_scores": rng.uniform(0, 1, (1, 9, 3)),
        "box_deltas": rng.normal(0, 1, (1, 9, 3, 4)),
        "detections": np.concatenate([boxes, np.ones((1, 9, 2))], axis=2),
        "masks": rng.uniform(0, 1, (1, 9, 4, 4)),
    }
    settings = SimpleNamespace(image=Image(resize_mode="square", min_dim=32, max_dim=32))
    model = SimpleNamespace(graphs={"detection": None}, settings=settings)
    image = rng.integers(0, 255, (32, 32, 3), np.uint8)
    pixels = image[None] - np.float32(settings.image.mean_pixel)
    found = {"molding": pixels, **network}
    found = {name: array + changed.get(name, 0) for name, array in found.items()}
    graph = SimpleNamespace(predict_on_batch=lambda _: network)
    monkeypatch.setattr(verifying, "with_stages", lambda _: graph)
    monkeypatch.setattr(verifying, "open_file", lambda _: file_of(found))
    differing = differing_stage(model, "stages", [image])
    assert (differing and differing[0]) == stage


def test_a_file_of_so_many_images_is_given_as_many(monkeypatch):
    settings = SimpleNamespace(image=Image(resize_mode="square", min_dim=32, max_dim=32))
    model = SimpleNamespace(graphs={"detection": None}, settings=settings)
    images = [np.full((32, 32, 3), 9 * i, np.uint8) for i in range(3)]
    wanted = SimpleNamespace(predict_on_batch=lambda inputs: {"pixels": inputs["input_image"]})
    monkeypatch.setattr(verifying, "with_stages", lambda _: wanted)
    # From the last one on; of a file that takes any number each once, of one that takes two...
    for batch, given in {None: [2, 0, 1], 2: [2, 0], 5: [2, 0, 1, 2, 0]}.items():
        pixels = np.stack([images[i] for i in given]) - np.float32(settings.image.mean_pixel)
        file = file_of({"molding": pixels, "pixels": pixels}, batch)
        monkeypatch.setattr(verifying, "open_file", lambda _, file=file: file)
        assert differing_stage(model, "stages", images, first=2) is None
        assert (file.given[:, 0, 0, 0] // 9).tolist() == given


def test_class_scores_count_in_any_order_and_without_those_of_padding():
    proposals = np.float32([[[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 0, 0]]])
    scores = np.float32([[[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]])
    wanted = verifying._in_order(scores, {"proposals": proposals})
    # Each class by itself, from the least on: 0 of padding, then 0.2 and 0.9; 0.1 and 0.8.
    np.testing.assert_array_equal(wanted[0], np.float32([[0, 0], [0.2, 0.1], [0.9, 0.8]]))
    swapped = np.float32([[[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]])
    found = verifying._in_order(swapped, {"proposals": proposals[:, [1, 0, 2]]})
    np.testing.assert_array_equal(found, wanted)
    assert verifying._in_order(scores, {})[0, 0].tolist() == pytest.approx([0.2, 0.1])  # anchors


def detects(count, of_bytes=None):
    """Stands for a model, and for a file, that finds so many squares in every picture."""
    return SimpleNamespace(
        settings=SimpleNamespace(image=Image(), detections=SETTINGS),
        config=None,
        metadata={},
        detect=lambda images: [result(count)] * len(images),
        takes_bytes=of_bytes is not None,
        detect_bytes=lambda images: [result(of_bytes)] * len(images),
    )


def verify_stand_ins(monkeypatch, model, file, name, shade, differing=None):
    """`verify` of stand-ins on one picture, whose stages differ as told."""
    pictures = [([name], [np.full((8, 8, 3), shade, np.uint8)])]
    monkeypatch.setattr(verifying, "ExportedModel", lambda *_: file)
    monkeypatch.setattr(verifying, "pictures_for", lambda *_: pictures)
    asked = []
    monkeypatch.setattr(verifying, "differing_stage", lambda *given: asked.append(given))
    if differing:
        monkeypatch.setattr(verifying, "differing_stage", lambda *_: differing)
    return verifying.verify(model, "path", lambda: "stages"), asked


@pytest.mark.parametrize(
    ("count", "found_count", "fails"), [(0, 0, False), (2, 4, False), (0, 1, True)]
)
def test_where_all_is_black_it_counts_whether_nothing_is_found(
    monkeypatch, count, found_count, fails
):
    given = monkeypatch, detects(count), detects(found_count), "black", 0
    if fails:
        with pytest.raises(verifying.ExportError, match=r"picture black .* 1 of 1 have no equal"):
            verify_stand_ins(*given)
    else:
        assert verify_stand_ins(*given)[0] == 0


def test_where_nothing_is_found_the_stages_are_compared(monkeypatch):
    given = monkeypatch, detects(0), detects(0), "photo", 99
    compared, asked = verify_stand_ins(*given)
    assert compared == 0 and [stages for _, stages, _ in asked] == ["stages"]
    differs = r"^class_scores differ .* picture photo \[8, 8, 3\]: 3%; it finds nothing in any"
    with pytest.raises(verifying.ExportError, match=differs) as error:
        verify_stand_ins(*given, differing=("class_scores", "3%"))
    assert error.value.stage == "class_scores"
    given = monkeypatch, detects(2), detects(2), "photo", 99
    assert verify_stand_ins(*given, differing=("class_scores", "3%"))[0] == 2


def test_encoded_pictures_find_what_their_pixels_find(monkeypatch):
    given = monkeypatch, detects(2), detects(2, of_bytes=2), "photo", 99
    assert verify_stand_ins(*given)[0] == 2
    given = monkeypatch, detects(2), detects(2, of_bytes=1), "photo", 99
    with pytest.raises(
        verifying.ExportError, match=r"image_bytes differ .* photo .* 1 of 2"
    ) as error:
        verify_stand_ins(*given)
    assert error.value.stage == "image_bytes"


def test_pictures_are_of_the_sizes_that_the_file_takes():
    names, shapes = [], set()
    for group, images in pictures_for(Image(), {"sizes": None}):
        assert len({image.shape for image in images}) == 1 and len(group) == len(images)
        names += group
        shapes |= {image.shape for image in images}
    assert len(names) == 5 and (300, 451, 3) in shapes
    found = pictures_for(Image(), {"sizes": [[64, 96], [33, 65]]})
    assert {images[0].shape for _, images in found} == {(64, 96, 3), (33, 65, 3)}
    found = pictures_for(Image(resize_mode="none", channels=4), {"sizes": None})
    assert all(image.shape[0] % 64 == 0 and image.shape[2] == 4 for _, x in found for image in x)


def test_image_info_tells_where_the_picture_lies():
    # 2 x 4 pixels, twice as large, in rows 2 to 6 of 8 x 8.
    info = [[2, 4], [8, 8], [2, 2], [-2, 0]]
    assert unmolded_geometry(np.float32(info)) == ((2, 4), (8, 8), (2, 0, 6, 8))


@pytest.mark.parametrize(
    ("keys", "options", "message"),
    [
        ({}, {"format": "coreml"}, "no format 'coreml'; expected one of saved_model"),
        ({"TILE_SIZE": 512}, {}, "TILE_SIZE cuts images before the network: set it to None"),
        ({"TEST_FLIP": True}, {}, "set TEST_FLIP to False"),
        ({"USE_RPN_ROIS": False}, {}, "takes proposals"),
        ({"USE_MASK": False}, {"masks": "image"}, "for instances with masks"),
        ({}, {"masks": "full"}, "masks is 'full'"),
        ({}, {"sizes": [(64, 64)]}, "takes any size, and any number of images: leave sizes and"),
        ({}, {"format": "onnx", "sizes": [(0, 64)]}, "sizes is [(0, 64)]; expected heights and"),
        ({}, {"format": "onnx", "sizes": [480, 640]}, "sizes is [480, 640]; expected heights and"),
        (
            {},
            {"format": "litert", "path": "x.tflite", "sizes": [(64, 64), [64, 64]]},
            "expected heights and widths of 1 pixel or more, each pair once",
        ),
        ({}, {"format": "onnx", "batch": 0}, "batch is 0; expected a whole number of 1 or more"),
        (
            {},
            {"format": "openvino", "path": "x.xml", "masks": "image"},
            'it cannot paste masks: leave masks="boxes" (--masks boxes)',
        ),
        ({}, {"format": "onnx", "path": "x.pb"}, "ends in .onnx, received x.pb"),
        ({}, {"format": "onnx", "sizes": [(1, 2), (3, 4)]}, "takes one size"),
        ({}, {"format": "litert", "path": "x.tflite"}, "as sizes=[(480, 640)] (--sizes 480x640)"),
        ({"PRECISION": "mixed_bfloat16"}, {"format": "onnx"}, "set it to float32"),
        (
            {"DETECTION_NMS": "linear"},
            {"format": "openvino", "path": "x.xml"},
            "it has no loops, as DETECTION_NMS = 'linear' takes: set it to hard",
        ),
        (
            {"ROI_ALIGN_MODE": "roi_align", "ROI_ALIGN_SAMPLING_RATIO": 0},
            {"format": "litert", "path": "x.tflite", "sizes": [(64, 64)]},
            "it cannot pool with as many samples as each box needs: set ROI_ALIGN_SAMPLING_RATIO",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_reason(keys, options, message):
    config = TinyConfig()
    for key, value in keys.items():
        setattr(config, key, value)
    options = {"path": "x.onnx" if options.get("format") == "onnx" else "x", **options}
    with pytest.raises(ValueError) as error:
        check_export(config, options.pop("path"), options.pop("format", "saved_model"), **options)
    assert message in str(error.value)


def test_what_pools_nothing_needs_no_samples():
    retinanet = PRESETS["detectron2/retinanet_R_50_FPN_3x"]()
    assert retinanet.ROI_ALIGN_SAMPLING_RATIO == 0
    check_export(retinanet, "x.tflite", "litert", sizes=[(480, 640)])


def test_a_file_says_what_is_in_it(tmp_path, monkeypatch):
    model = SimpleNamespace(
        config=PRESETS["torchvision/maskrcnn_resnet50_fpn_v2"](),
        class_names=["BG", "balloon"],
        keypoint_scheme=None,
    )
    clone = tmp_path / "mrcnn" / "__init__.py"
    monkeypatch.setattr(metadata.mrcnn, "__file__", str(clone))
    found = metadata.metadata_of(model, "onnx", [(480, 640)], None, False)
    assert found["preset"] == "torchvision/maskrcnn_resnet50_fpn_v2"
    assert found["version"] == mrcnn.__version__ and found["commit"] is None
    assert found["sizes"] == [[480, 640]] and found["class_names"] == ["BG", "balloon"]
    assert json.loads(json.dumps(found))["config"]["BOX_HEAD_CONV_LAYERS"] == 4

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *who, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message=first")
    found = metadata.metadata_of(model, "onnx", None, 2, False)
    assert found["commit"] == git("rev-parse", "HEAD") and len(found["commit"]) == 40
    assert found["sizes"] is None and found["batch"] == 2


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    check_export(TinyConfig(), tmp_path, "saved_model")  # empty
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ValueError, match="would be removed: give another path"):
        check_export(TinyConfig(), tmp_path, "saved_model")


def test_another_backend_is_told_to_change(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="weights with KERAS_BACKEND=tensorflow"):
        check_export(TinyConfig(), "x", "saved_model")


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    found = importlib.util.find_spec
    hidden = {"tf2onnx", "onnxruntime"}
    monkeypatch.setattr(
        formats.importlib.util, "find_spec", lambda name: None if name in hidden else found(name)
    )
    with pytest.raises(ImportError, match=r"needs .*tf2onnx.*: pip install 'mrcnn\[export\]'"):
        check_export(TinyConfig(), "x.onnx", "onnx")


def test_what_is_no_exported_model_is_said(tmp_path):
    (tmp_path / "a.h5").touch()
    with pytest.raises(ValueError, match=r"is no exported model; expected .* \.onnx"):
        ExportedModel(tmp_path / "a.h5")


def add_one(path):
    """Writes what adds 1 to numbers, as a file of OpenVINO."""
    openvino = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    numbers = ops.parameter([3], np.float32, "numbers")
    total = ops.add(numbers, np.ones(3, np.float32))
    openvino.save_model(openvino.Model([ops.result(total)], [numbers], "add"), path)


def without_bin(path):
    add_one(path)
    path.with_suffix(".bin").unlink()


def with_our_metadata(path):
    path.write_bytes(b"garbage")
    with zipfile.ZipFile(path, "a") as end:
        end.writestr("mrcnn.json", "{}")


def folder_with(*names):
    def write(path):
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text("{}")

    return write


BROKEN = {
    "empty.onnx": (lambda path: path.touch(), "ONNX Runtime: .*No graph was found"),
    "garbage.onnx": (lambda path: path.write_bytes(b"garbage"), "ONNX Runtime: .*parsing failed"),
    "empty.xml": (lambda path: path.touch(), "OpenVINO: Unable to read the model"),
    "alone.xml": (without_bin, r"OpenVINO: Empty weights .* with its \.bin beside it: copy it"),
    "garbage.tflite": (with_our_metadata, "LiteRT: The model is not a valid Flatbuffer buffer;"),
    "garbage": (folder_with("saved_model.pb", "assets.extra/mrcnn.json"), "TensorFlow: Cannot"),
}
PACKAGES = {".onnx": "onnxruntime", ".xml": "openvino", ".tflite": "ai_edge_litert"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_its_runtime_cannot_read_is_named_with_the_reason(name, tmp_path):
    write, reason = BROKEN[name]
    path = tmp_path / name
    pytest.importorskip(PACKAGES.get(path.suffix, "tensorflow"))
    write(path)
    with pytest.raises(ValueError) as error:
        ExportedModel(path)
    message = str(error.value)
    assert re.match(f"{re.escape(str(path))} cannot be read by {reason}", message)
    assert "\n" not in message
    assert message.endswith("copy it once more, or export the weights again")


FOREIGN = {
    "foreign.xml": (add_one, "'mrcnn' in its rt_info"),
    "foreign.tflite": (lambda path: path.write_bytes(b"garbage"), "mrcnn.json at its end"),
    "foreign": (folder_with("saved_model.pb"), "assets.extra/mrcnn.json"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_others_is_told_from_a_broken_one(name, tmp_path):
    write, missing = FOREIGN[name]
    path = tmp_path / name
    pytest.importorskip(PACKAGES.get(path.suffix, "tensorflow"))
    write(path)
    with pytest.raises(ValueError) as error:
        ExportedModel(path)
    assert str(error.value) == f"{path} was not written by mrcnn export: it has no {missing}"
