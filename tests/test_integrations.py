"""A model inside other tools: each runs it by its own code, and reads back what was found."""

import argparse
import contextlib
import importlib
import itertools
import json
import pathlib
import re
import shlex
import types

import numpy as np
import pytest
from PIL import Image
from serving import NAMES

from mrcnn.data import KeypointScheme
from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.inference.detections import Detections
from mrcnn.inference.records import categories_of, coco_annotations
from mrcnn.integrations.models import load_model
from mrcnn.integrations.packages import needed


class Painted:
    """A detector that finds each blob of one colour: red ones are cats, green ones dogs."""

    class_names = NAMES
    config = types.SimpleNamespace(USE_MASK=True)
    keypoint_scheme = None

    def __init__(self):
        self.batches = []

    def detect(self, images):
        self.batches.append(len(images))
        images = [Image.open(x) if isinstance(x, str) else x for x in images]
        return [self._found(np.asarray(image)) for image in images]

    def _found(self, image):
        from skimage.measure import label, regionprops

        regions = [
            (class_id, region)
            for class_id in (1, 2)
            for region in regionprops(label(image[:, :, class_id - 1] > 127))
        ]
        masks = np.zeros((*image.shape[:2], len(regions)), bool)
        for i, (_, region) in enumerate(regions):
            masks[region.coords[:, 0], region.coords[:, 1], i] = True
        rois = np.array([region.bbox for _, region in regions], np.int32).reshape(-1, 4)
        found = {
            "rois": rois,
            "boxes": rois.astype(np.float32),
            "class_ids": np.array([class_id for class_id, _ in regions], np.int32),
            "scores": np.linspace(0.9, 0.5, len(regions), dtype=np.float32),
            "masks": masks,
        }
        return Detections(found, image, self.class_names)


def blobs(height, width, *boxes):
    """uint8 [H, W, 3], black but for boxes (y1, x1, y2, x2, channel)."""
    image = np.zeros((height, width, 3), np.uint8)
    for y1, x1, y2, x2, channel in boxes:
        image[y1:y2, x1:x2, channel] = 255
    return image


def test_a_missing_tool_is_named():
    with pytest.raises(ImportError, match="none-such, which is not installed: pip"):
        needed("none_such.models", "none-such")


@pytest.mark.slow
def test_models_are_those_of_the_commands(tmp_path):
    from tiny import TinyConfig

    from mrcnn.model import MaskRCNN

    model = MaskRCNN("inference", TinyConfig(), tmp_path)
    model.class_names = ["BG", "square", "circle", "triangle"]
    model.save_weights(tmp_path / "tiny.h5")
    config = str(pathlib.Path(__file__).with_name("tiny.py"))
    loaded = load_model(tmp_path / "tiny.h5", config, DETECTION_MIN_CONFIDENCE=0.25)
    assert loaded.class_names == model.class_names
    assert loaded.config.DETECTION_MIN_CONFIDENCE == 0.25
    with pytest.raises(ValueError, match=r"no weights 'none\.h5'"):
        load_model("none.h5")


# The page.

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "integrations.md"


def blocks(heading, language="python"):
    """The code of a part of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    part = text.partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", part, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "package, heading, name",
    [("supervision", "supervision", "objects"), ("sahi", "SAHI", "result")],
)
def test_what_the_page_says_runs(package, heading, name, tmp_path, monkeypatch):
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    boxes = [(10, 20, 40, 60, 0), (100, 480, 160, 540, 1), (490, 700, 530, 790, 0)]
    Image.fromarray(blobs(900, 1200, *boxes)).save("large.png")
    names = {"model": Painted()}
    (code,) = blocks(heading)
    exec(code, names)
    found = names[name]
    objects = getattr(found, "object_prediction_list", found)
    assert len(objects) == 3


def test_what_the_page_says_of_fiftyone_runs(tmp_path, monkeypatch):
    fo = pytest.importorskip("fiftyone")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(blobs(90, 120, (10, 20, 40, 60, 0))).save("large.png")
    names = {"model": Painted()}
    first, second, _ = blocks("FiftyOne")
    exec(first, names)
    (label,) = names["sample"]["mrcnn"].detections
    assert label.label == "cat" and label.mask.shape == (30, 40)
    with contextlib.suppress(fo.core.config.FiftyOneConfigError):  # there is no MongoDB
        dataset = names["dataset"] = fo.Dataset()
        names["sample"]["ground_truth"] = names["sample"]["mrcnn"].copy()
        dataset.add_sample(names["sample"])
        exec(second, names)
        assert dataset.sum("eval_tp", safe=True) is not None
        dataset.delete()


# SAHI.


@pytest.fixture
def sahi_model():
    pytest.importorskip("sahi")
    from mrcnn.integrations.sahi import SahiModel

    return lambda **options: SahiModel(model=Painted(), **options)


def test_sahi_finds_in_slices(sahi_model):
    from sahi.predict import get_sliced_prediction

    # Slices of 512 with an overlap of 102 begin at 0, 410 and so on: the second blob lies across
    # the border of the first at 512, the third across those of two rows.
    boxes = [(10, 20, 40, 60, 0), (100, 480, 160, 540, 1), (490, 700, 530, 790, 0)]
    image = blobs(900, 1200, *boxes)
    model = sahi_model()
    result = get_sliced_prediction(
        image, model, slice_height=512, slice_width=512, batch_size=4, verbose=0
    )
    found = {each.category.id: [] for each in result.object_prediction_list}
    for each in result.object_prediction_list:
        found[each.category.id].append(each)
    assert [(len(found[1]), found[1][0].category.name), len(found[2])] == [(2, "cat"), 1]
    for class_id, channel in ((1, 0), (2, 1)):
        together = np.zeros(image.shape[:2], bool)
        for each in found[class_id]:
            together |= each.mask.bool_mask
        np.testing.assert_array_equal(together, image[:, :, channel] > 0)
    # 2 x 3 slices in batches of 4, and the whole picture.
    assert model.model.batches == [4, 2, 1]


def test_sahi_gets_scores_and_thin_masks(sahi_model):
    from sahi.predict import get_prediction

    # The scores of three objects are 0.9, 0.7 and 0.5; a line has no polygon of its own in SAHI.
    image = blobs(20, 30, (2, 3, 3, 9, 0), (8, 4, 12, 8, 0), (15, 0, 18, 4, 1))
    model = sahi_model(confidence_threshold=0.6)
    line, square = get_prediction(image, model).object_prediction_list
    assert (line.score.value, square.score.value) == pytest.approx((0.9, 0.7))
    assert line.mask.bool_mask.sum() == 6 and line.mask.bool_mask[2, 3:9].all()
    assert square.mask.bool_mask.sum() == 16
    assert (model.num_categories, model.category_names) == (2, ["cat", "dog"])


def test_sahi_of_a_model_without_masks(sahi_model):
    from sahi.predict import get_prediction

    model = sahi_model()
    detect = model.model.detect

    def boxes_only(images):
        results = detect(images)
        for found in results:
            del found["masks"]
        return results

    model.model.detect = boxes_only
    (each,) = get_prediction(blobs(20, 30, (8, 4, 12, 9, 1)), model).object_prediction_list
    assert each.mask is None and each.bbox.to_xyxy() == [4, 8, 9, 12]
    with pytest.raises(ValueError, match="expected a model, or a model_path"):
        type(model)()


# CVAT.


@pytest.fixture
def cvat():
    pytest.importorskip("cvat_sdk")
    from mrcnn.integrations import cvat

    return cvat


def client_of(images, monkeypatch, labels=None):
    """A client of CVAT for a task with some pictures, and the list of what it sends."""
    from cvat_sdk.auto_annotation import driver

    labels = labels or [types.SimpleNamespace(name=n, id=i) for n, i in (("dog", 70), ("cat", 60))]
    for each in labels:
        each.__dict__.setdefault("type", "any")
        each.__dict__.setdefault("attributes", [])
        each.__dict__.setdefault("sublabels", [])
    samples = [
        types.SimpleNamespace(
            frame_name=f"{i}.png",
            frame_index=i,
            media=types.SimpleNamespace(load_image=lambda image=image: image),
        )
        for i, image in enumerate(images)
    ]
    task = types.SimpleNamespace(labels=labels, samples=samples)
    monkeypatch.setattr(driver, "TaskDataset", lambda *args, **keys: task)
    sent = []
    api = types.SimpleNamespace(
        update_annotations=lambda task_id, labeled_data_request: sent.append(labeled_data_request),
        partial_update_annotations=lambda action, task_id, patched_labeled_data_request: (
            sent.append(patched_labeled_data_request)
        ),
    )
    client = types.SimpleNamespace(
        logger=types.SimpleNamespace(info=lambda *args: None), tasks=types.SimpleNamespace(api=api)
    )
    return client, sent


def annotated(function, images, monkeypatch, labels=None, **options):
    """What CVAT's own driver sends to the server of a task with some pictures."""
    from cvat_sdk.auto_annotation import annotate_task

    client, sent = client_of(images, monkeypatch, labels)
    annotate_task(client, 7, function, clear_existing=True, **options)
    return sent[0].shapes


def test_cvat_takes_masks(cvat, monkeypatch):
    from cvat_sdk.masks import decode_mask

    image = blobs(20, 30, (2, 3, 6, 9, 0), (8, 4, 12, 8, 1))
    image[3:5, 5:7] = 0  # a hole
    pictures = [Image.fromarray(image), Image.new("L", (30, 20))]
    shapes = annotated(cvat.DetectionFunction(Painted()), pictures, monkeypatch)
    assert [(x.label_id, x.frame, x.source, x.type.value) for x in shapes] == [
        (60, 0, "auto", "mask"),
        (70, 0, "auto", "mask"),
    ]
    assert [x.score for x in shapes] == pytest.approx([0.9, 0.5])
    for shape, channel in zip(shapes, (0, 1), strict=True):
        mask = decode_mask(shape.points, image_width=30, image_height=20)
        np.testing.assert_array_equal(mask, image[:, :, channel] > 0)


def test_cvat_takes_polygons_above_a_score(cvat, monkeypatch):
    image = blobs(20, 30, (2, 3, 6, 9, 0), (8, 4, 12, 8, 1))
    function = cvat.DetectionFunction(Painted())
    options = {"conv_mask_to_poly": True, "conf_threshold": 0.6}
    (shape,) = annotated(function, [Image.fromarray(image)], monkeypatch, **options)
    assert shape.type.value == "polygon" and shape.label_id == 60
    corners = np.reshape(shape.points, (-1, 2))
    assert {tuple(corner) for corner in corners} == {(3, 2), (9, 2), (9, 6), (3, 6)}


def test_cvat_takes_boxes_and_skeletons(cvat, monkeypatch):
    class BoxesOnly(Painted):
        config = types.SimpleNamespace(USE_MASK=False)

        def _found(self, image):
            found = super()._found(image)
            del found["masks"]
            return found

    class WithPoints(BoxesOnly):
        keypoint_scheme = KeypointScheme(["head", "tail"])

        def _found(self, image):
            found = super()._found(image)
            found["keypoints"] = np.array([[[3, 4, 0.9], [5, 8, 0.8]]], np.float32)
            return found

    pictures = [Image.fromarray(blobs(20, 30, (2, 3, 6, 9, 1)))]
    function = cvat.DetectionFunction(BoxesOnly())
    assert [(x.name, x.id, x.type) for x in function.spec.labels] == [
        ("cat", 1, "rectangle"),
        ("dog", 2, "rectangle"),
    ]
    (shape,) = annotated(function, pictures, monkeypatch)
    assert (shape.type.value, shape.points) == ("rectangle", [3, 2, 9, 6])

    points = [
        types.SimpleNamespace(name=n, id=i, attributes=[]) for n, i in (("tail", 8), ("head", 9))
    ]
    labels = [
        types.SimpleNamespace(name=name, id=id, type="skeleton", sublabels=points)
        for name, id in (("cat", 60), ("dog", 70))
    ]
    (shape,) = annotated(cvat.DetectionFunction(WithPoints()), pictures, monkeypatch, labels)
    assert shape.label_id == 70 and shape.type.value == "skeleton"
    assert [(x.label_id, x.points) for x in shape.elements] == [(9, [4, 3]), (8, [8, 5])]


def test_what_the_page_says_of_cvat_runs(cvat, monkeypatch):
    (code,) = blocks("CVAT")
    client, sent = client_of([Image.fromarray(blobs(20, 30, (2, 3, 6, 9, 0)))], monkeypatch)
    exec(code, {"client": client, "model": Painted()})
    assert [shape.label_id for shape in sent[0].shapes] == [60]

    (block,) = blocks("CVAT", "sh")
    install, command = block.replace("\\\n", " ").splitlines()
    words = shlex.split(command)
    assert install == f"pip install {words[0]}"
    module = words[words.index("--function-module") + 1]
    texts = [value for flag, value in itertools.pairwise(words) if flag == "-p"]
    parts = [re.fullmatch(r"(\w+)=(str|float):(.+)", text).groups() for text in texts]
    parameters = {name: {"str": str, "float": float}[kind](value) for name, kind, value in parts}
    given = []
    monkeypatch.setattr(
        cvat, "load_model", lambda *args, **keys: given.append((args, keys)) or Painted()
    )
    function = importlib.import_module(module).create(**parameters)
    assert [label.name for label in function.spec.labels] == ["cat", "dog"]
    assert given == [(("runs/train", None, None), {"DETECTION_MIN_CONFIDENCE": 0.5})]

    common = pytest.importorskip("cvat_cli._internal.common")  # the command's own reading of it
    from cvat_cli._internal.commands_all import COMMANDS

    parser = argparse.ArgumentParser()
    common.configure_common_arguments(parser)
    COMMANDS.configure_parser(parser)
    parsed = parser.parse_args(words[1:])
    assert (parsed.function_module, parsed.function_parameters) == (module, parameters)


def test_cvat_needs_names(cvat):
    class Nameless(Painted):
        class_names = None

    with pytest.raises(ValueError, match="expected a model that knows its classes' names"):
        cvat.DetectionFunction(Nameless())


# FiftyOne.


@pytest.fixture
def fiftyone():
    pytest.importorskip("fiftyone")
    from mrcnn.integrations import fiftyone

    return fiftyone


def test_fiftyone_takes_masks_in_their_boxes(fiftyone):
    import fiftyone as fo

    image = blobs(20, 40, (2, 4, 6, 12, 0), (10, 20, 15, 30, 1))
    image[2, 4] = 0
    sample = fo.Sample("a.png")
    model = fiftyone.FiftyOneModel(Painted())
    (labels,) = model.predict_all([image])
    sample.add_labels(labels, label_field="mrcnn", confidence_thresh=0.6)
    (cat,) = fo.Sample.from_dict(sample.to_dict())["mrcnn"].detections
    assert (cat.label, cat.confidence) == ("cat", pytest.approx(0.9))
    # x y w h as parts of 40 x 20 pixels: 4/40, 2/20, 8/40, 4/20.
    assert cat.bounding_box == pytest.approx([0.1, 0.1, 0.2, 0.2])
    np.testing.assert_array_equal(cat.mask, image[2:6, 4:12, 0] > 0)
    whole = model.predict(image).detections[0].to_segmentation(frame_size=(40, 20), target=255)
    np.testing.assert_array_equal(whole.mask > 0, image[:, :, 0] > 0)


def test_fiftyone_takes_boxes_and_points(fiftyone):
    found = Painted().detect([blobs(20, 40, (2, 4, 6, 12, 0))])[0]
    masks = found.pop("masks")
    found["keypoints"] = np.array([[[5, 10, 0.5]]], np.float32)
    found["boxes"] = np.array([[2.5, 4, 6, 12]], np.float32)
    found.image = None
    with pytest.raises(ValueError, match="expected the size of the picture"):
        fiftyone.to_fiftyone(found)
    (cat,) = fiftyone.to_fiftyone(found, (20, 40)).detections
    assert cat.bounding_box == pytest.approx([0.1, 0.125, 0.2, 0.175]) and cat.mask is None
    (point,) = fiftyone.keypoints_to_fiftyone(found, (20, 40)).keypoints
    assert np.array(point.points).tolist() == [[0.25, 0.25]] and point.confidence == [0.5]
    # A mask that reaches beyond its box is held by a larger one.
    found["masks"], found["rois"] = masks, np.array([[3, 4, 6, 10]], np.int32)
    (cat,) = fiftyone.to_fiftyone(found, (20, 40)).detections
    assert cat.bounding_box == pytest.approx([0.1, 0.1, 0.2, 0.2]) and cat.mask.all()
    found["masks"] = CroppedMasks(20, 40, np.array([[2, 4, 6, 12]]), [np.ones((4, 8), bool)])
    assert fiftyone.to_fiftyone(found, (20, 40)).detections[0].mask.shape == (4, 8)


def test_fiftyone_reads_what_detect_wrote(tmp_path):
    pytest.importorskip("fiftyone")
    from fiftyone.utils.coco import COCODetectionDatasetImporter

    image = blobs(20, 40, (2, 4, 6, 12, 0), (10, 20, 15, 30, 1))
    image[3, 6:8] = 0
    Image.fromarray(image).save(tmp_path / "a.png")
    (found,) = Painted().detect([image])
    annotations = [
        {"id": i, "image_id": 1, **each} for i, each in enumerate(coco_annotations(found))
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}],
        "annotations": annotations,
        "categories": categories_of(3, NAMES),
    }
    (tmp_path / "found.json").write_text(json.dumps(content))
    paths = {"data_path": str(tmp_path), "labels_path": str(tmp_path / "found.json")}
    with COCODetectionDatasetImporter(**paths, label_types="segmentations") as importer:
        ((_, _, labels),) = importer
    for label, channel, score in zip(labels.detections, (0, 1), (0.9, 0.5), strict=True):
        mask = label.to_segmentation(frame_size=(40, 20), target=255).mask > 0
        np.testing.assert_array_equal(mask, image[:, :, channel] > 0)
        assert (label.label, label.confidence) == (NAMES[channel + 1], pytest.approx(score))
