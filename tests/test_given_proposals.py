"""Networks that are given their proposals: `USE_RPN_ROIS = False`."""

import pathlib

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tiny import LOSSES, TinyConfig, shapes

from mrcnn.augment import FlipLeftRight, Rotate90
from mrcnn.data import DataGenerator, Proposals
from mrcnn.data.shapes import ShapesDataset
from mrcnn.evaluate import evaluate
from mrcnn.inference import detect_to_folder
from mrcnn.inference.detector import Detector
from mrcnn.inference.tiling import TiledDetector
from mrcnn.model import create
from mrcnn.network.named_weights import named_weights
from mrcnn.settings import Settings
from mrcnn.weights import load_state_dict

NO_RPN = {"rpn_class_loss": 0, "rpn_bbox_loss": 0}
NONE = np.zeros((0, 4))


class GivenConfig(TinyConfig):
    USE_RPN_ROIS = False
    POST_NMS_ROIS_INFERENCE = 5


class GivenShapes(ShapesDataset):
    """Each object's box and it half a side lower."""

    def load_proposals(self, image_id):
        boxes, _ = self.load_boxes(image_id, (64, 64))
        half = (boxes[:, 2:3] - boxes[:, :1]) / 2
        return np.concatenate([boxes, boxes + half * [1, 0, 1, 0]])


class FakeGraph:
    """Keeps what it is asked, and finds nothing."""

    jit_compile = False

    def __init__(self):
        self.asked = []

    def predict_on_batch(self, inputs):
        self.asked.append(inputs)
        return {"found": np.zeros((len(inputs["input_image"]), 1))}


def detector(graph, detector_type=Detector, **keys):
    settings = Settings.from_config(type("Keys", (GivenConfig,), keys)())
    return detector_type(graph, settings, lambda found, *_: {"class_ids": np.zeros(0, int)})


# ---- what the network is asked


def padded(*boxes):
    """[B, 5, 4] of lists of boxes."""
    return np.array([[*each, *[[0] * 4] * (5 - len(each))] for each in boxes])


def test_proposals_are_molded_and_padded():
    graph = FakeGraph()
    # 64 x 64: as it is. 32 x 64: in the middle of 64 x 64, 16 rows lower. 128 x 128: half as large.
    images = [np.zeros((height, width, 3), np.uint8) for height, width in [(64, 64), (32, 64)]]
    given = [[[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 2, 3, 4]]]
    detector(graph).detect(images, proposals=given)
    assert_array_equal(graph.asked[0]["input_roi"], padded(given[0], [[17, 2, 19, 4]]))
    detector(graph).detect([np.zeros((128, 128, 3), np.uint8)], proposals=[[[8, 16, 24, 32.5]]])
    assert_array_equal(graph.asked[1]["input_roi"], padded([[4, 8, 12, 16.25]]))
    detector(graph).detect(images[:1], proposals=[NONE])
    assert_array_equal(graph.asked[2]["input_roi"], padded([]))


def test_too_many_are_told_once():
    graph, image = FakeGraph(), np.zeros((64, 64, 3), np.uint8)
    made = detector(graph)
    boxes = np.array([0, 0, 2, 2]) + np.arange(28).reshape(7, 4)
    made.detect([image], proposals=[boxes[:5]])
    with pytest.warns(UserWarning, match=r"images\[0\] has 7 proposals, of which the first 5 "):
        made.detect([image], proposals=[boxes])
    made.detect([image], proposals=[boxes])
    for asked in graph.asked:
        assert_array_equal(asked["input_roi"], [boxes[:5]])


def test_streams_and_molded_images():
    graph, images = FakeGraph(), [np.zeros((64, 64, 3), np.uint8)] * 3
    given = [[[i, i, i + 1, i + 1]] for i in range(3)]
    results = detector(graph).stream(iter(images), iter(given))
    assert len(list(results)) == 3
    asked = np.concatenate([each["input_roi"] for each in graph.asked])
    assert_array_equal(asked, padded(*given))
    with pytest.raises(ValueError, match="images and proposals are not equally many"):
        list(detector(graph).stream(images, given[:2]))
    graph.asked.clear()
    detector(graph).detect_molded(np.zeros((1, 64, 64, 3)), np.zeros((1, 16)), proposals=given[:1])
    assert_array_equal(graph.asked[0]["input_roi"], padded(given[0]))


def test_a_tile_is_asked_for_what_lies_in_it():
    graph = FakeGraph()
    made = detector(graph, TiledDetector, TILE_SIZE=64, TILE_OVERLAP=32, IMAGES_PER_GPU=1)
    made.unmold = lambda found, *_: {
        "rois": np.zeros((0, 4), np.int32),
        "boxes": np.zeros((0, 4), np.float32),
        "class_ids": np.zeros(0, np.int32),
        "scores": np.zeros(0, np.float32),
    }
    image = np.zeros((64, 96, 3), np.uint8)
    made.detect([image], proposals=[[[0, 40, 8, 80], [9, 0, 10, 4]]])
    # Tiles from column 0 and 32.
    assert_array_equal(graph.asked[0]["input_roi"], padded([[0, 40, 8, 64], [9, 0, 10, 4]]))
    assert_array_equal(graph.asked[1]["input_roi"], padded([[0, 8, 8, 48]]))


def test_what_is_refused():
    image, made = np.zeros((64, 64, 3), np.uint8), detector(FakeGraph())
    with pytest.raises(ValueError, match=r"proposals is None and USE_RPN_ROIS is False; expected"):
        made.detect([image])
    with pytest.raises(ValueError, match="proposals has 2 entries and images 1"):
        made.detect([image], proposals=[NONE, NONE])
    with pytest.raises(ValueError, match=r"images\[1\] has no proposals"):
        made.detect([image, image], proposals=[NONE, None])
    with pytest.raises(ValueError, match=r"images\[0\]: expected proposals \[N, 4\]"):
        made.detect([image], proposals=[np.zeros((2, 5))])
    own = detector(FakeGraph(), USE_RPN_ROIS=True)
    with pytest.raises(ValueError, match="proposals were given and USE_RPN_ROIS is True"):
        own.detect([image], proposals=[NONE])
    with pytest.raises(ValueError, match=r"USE_RPN_ROIS is False; the .* 'retinanet' has True"):
        keys = {"ARCHITECTURE": "retinanet", "NAME": "x", "NUM_CLASSES": 2}
        type("Keys", (GivenConfig,), keys)().validate()


# ---- training batches


def one_shape(proposals):
    dataset = shapes(1)
    dataset.proposals = proposals
    return dataset


def test_batches_hold_the_proposals_of_the_data_set():
    dataset = one_shape(Proposals([0], [[[1.4, 2, 3.6, 10], [-4, 0, 8, 70]]]))
    (inputs,) = DataGenerator(dataset, GivenConfig())[0]
    assert inputs["input_roi"].shape == (1, 24, 4)
    assert inputs["input_roi"].dtype == np.int32
    expected = [[1, 2, 4, 10], [0, 0, 8, 64], [0, 0, 0, 0]]
    assert_array_equal(inputs["input_roi"][0, :3], expected)
    (inputs,) = DataGenerator(dataset, GivenConfig(), augmentation=FlipLeftRight(p=1))[0]
    assert_array_equal(inputs["input_roi"][0, :2], [[1, 54, 4, 62], [0, 0, 8, 64]])
    assert "input_roi" not in DataGenerator(dataset, TinyConfig())[0][0]
    few = type("Few", (GivenConfig,), {"POST_NMS_ROIS_TRAINING": 1})()
    assert DataGenerator(dataset, few)[0][0]["input_roi"].shape == (1, 1, 4)


def test_a_batch_without_proposals():
    (inputs,) = DataGenerator(one_shape(Proposals([0], [NONE])), GivenConfig())[0]
    assert not inputs["input_roi"].any()
    with pytest.raises(ValueError, match=r"a ShapesDataset without for image 0. Set dataset.prop"):
        DataGenerator(one_shape(None), GivenConfig())
    dataset = one_shape(Proposals([0], [[[1, 2, 3, 4]]]))
    moved = DataGenerator(dataset, GivenConfig(), augmentation=lambda image, masks: (image, masks))
    with (
        pytest.warns(UserWarning, match="moves proposals, received a function"),
        pytest.raises(ValueError),
    ):
        moved[0]


def test_turns_move_proposals_as_masks():
    dataset = shapes(3)
    boxes = [dataset.load_boxes(i, (64, 64))[0] for i in dataset.image_ids]
    dataset.proposals = Proposals([0, 1, 2], boxes)
    generator = DataGenerator(dataset, GivenConfig(), augmentation=Rotate90(), batch_size=3)
    (inputs,) = generator[0]
    for found, ids, expected in zip(
        inputs["input_roi"], inputs["input_gt_class_ids"], inputs["input_gt_boxes"], strict=True
    ):
        count = (ids != 0).sum()
        assert_array_equal(found[:count], expected[:count])


# ---- evaluation


class FakeModel:
    """A model that is given proposals, and says what it was given."""

    settings = Settings.from_config(GivenConfig())

    def __init__(self):
        self.given = []

    def detect(self, images, stream=False, proposals=None):
        for _, boxes in zip(images, proposals, strict=True):
            self.given.append(boxes)
            empty = np.zeros(0)
            yield {"rois": NONE, "class_ids": empty, "scores": empty}


def test_evaluation_gives_the_proposals_of_each_image():
    dataset, model = shapes(3), FakeModel()
    dataset.proposals = Proposals([0, 1, 2], [[[0, 0, 1, i]] for i in range(3)])
    evaluate(model, dataset, image_ids=[2, 0])
    assert_array_equal(model.given, [[[0, 0, 1, 2]], [[0, 0, 1, 0]]])
    dataset.proposals = None
    with pytest.raises(ValueError, match=r"a ShapesDataset without for image 0"):
        evaluate(model, dataset)


# ---- networks


def given_shapes(count):
    return shapes(count, dataset_type=GivenShapes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model without an RPN after two steps, and what it logged."""
    config = type("Alone", (GivenConfig,), {"LOSS_WEIGHTS": NO_RPN, "IMAGE_MAX_DIM": 128})()
    model = create("training", config, tmp_path_factory.mktemp("given"))
    history = model.train(given_shapes(4), given_shapes(2), 0.01, 1, "all")
    return model, history.history


@pytest.mark.slow
def test_it_trains_without_a_region_proposal_network(trained):
    model, logged = trained
    assert {name for name in logged if name in LOSSES} == set(LOSSES[2:])
    assert all(np.isfinite(values).all() for values in logged.values())
    assert logged["mrcnn_bbox_loss"][0] > 0
    for name, known in (("training", False), ("detection", False), ("inference", True)):
        layers = {layer.name for layer in model.graphs[name].layers}
        assert ("rpn_model" in layers) is known, name


@pytest.mark.slow
def test_it_detects_in_what_it_is_given(trained, tmp_path):
    model, _ = trained
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (40, 90), (200, 100), (64, 64)]
    images = [rng.integers(0, 255, (*size, 3), np.uint8) for size in sizes]
    given = [[[8, 8, 30, 40]], [[1, 1, 30, 50], [5, 40, 40, 90]], [[50, 10, 190, 80]], NONE]
    found = model.detect(images, proposals=given)
    assert len(found[3]["scores"]) == 0
    assert sum(len(each["scores"]) for each in found) > 0
    assert found[1]["masks"].shape[:2] == (40, 90)
    for image, boxes, each in zip(images, given, found, strict=True):
        (alone,) = model.detect([image], proposals=[boxes])
        assert_allclose(alone["boxes"], each["boxes"], atol=1e-3)
    streamed = model.detect(iter(images), stream=True, proposals=iter(given))
    assert [len(each["scores"]) for each in streamed] == [len(each["scores"]) for each in found]
    rois = model.run_graph(images[:1], ["ROI"], proposals=given[:1])["ROI"]
    # In the middle of 128 x 128, 32 lower: (8 + 32) / 127, and a pixel less at the other end.
    assert_allclose(rois[:, :1], [[[40 / 127, 40 / 127, 61 / 127, 71 / 127]]], rtol=1e-6)
    assert rois.shape == (1, 5, 4) and not rois[:, 1:].any()
    for call in (lambda: model.detect(images), lambda: model.run_graph(images[:1], ["ROI"])):
        with pytest.raises(ValueError, match="proposals is None and USE_RPN_ROIS is False"):
            call()
    scores = evaluate(model, given_shapes(2))
    assert set(scores) == {"bbox", "segm"}
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        keras.utils.save_img(folder / f"{name}.png", images[0], data_format="channels_last")
    proposals = Proposals(["a"], given[:1])
    summary = detect_to_folder(model, folder, tmp_path / "out", ["json"], proposals=proposals)
    assert summary.done == 1
    assert "b.png" in summary.skipped[0][0] and "no proposals" in summary.skipped[0][1]


@pytest.mark.slow
def test_the_weights_are_those_of_a_network_with_proposals_of_its_own(trained, tmp_path):
    model, _ = trained
    model.save_weights(tmp_path / "given.h5")
    own = create("inference", type("Own", (TinyConfig,), {"IMAGE_MAX_DIM": 128})(), tmp_path)
    report = own.load_weights(tmp_path / "given.h5")
    assert not report["missing"] and not report["unexpected"]
    with pytest.raises(ValueError, match="USE_RPN_ROIS is True"):
        own.detect([np.zeros((64, 64, 3), np.uint8)], proposals=[NONE])


@pytest.mark.slow
def test_a_file_without_a_region_proposal_network_is_enough(trained, tmp_path):
    model, _ = trained
    weights = named_weights(model.keras_model)  # those that trained
    arrays = {name: keras.ops.convert_to_numpy(weight) for name, weight in weights.items()}
    given = create("inference", model.config, tmp_path)
    report = load_state_dict(given, arrays, "matterport")
    assert len(report["loaded"]) == len(arrays)
    assert {name.split("_")[0] for name in report["missing"]} == {"rpn"}
    own = create("inference", type("Own", (TinyConfig,), {"IMAGE_MAX_DIM": 128})(), tmp_path)
    with pytest.raises(ValueError, match="6 weights missing from the file: rpn_bbox_pred/bias"):
        load_state_dict(own, arrays, "matterport")


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from test_dc5 import DilatedConfig
from test_given_proposals import NO_RPN, GivenConfig, given_shapes
from mrcnn.model import create

keys = {{"LOSS_WEIGHTS": NO_RPN, "ROI_ALIGN_MODE": "roi_pool", "SPP_LEVELS": (3, 2, 1)}}
model = create("training", type("All", (DilatedConfig, GivenConfig), keys)(), {folder!r})
logged = model.train(given_shapes(2), None, 0.01, 1, "all").history
print(all(np.isfinite(values).all() for values in logged.values()))
images = [np.full((64, 64, 3), 100, np.uint8), np.full((30, 60, 3), 50, np.uint8)]
found = model.detect(images, proposals=[[[8, 8, 30, 40]], np.zeros((0, 4))])
print(len(found[0]["scores"]) > 0, len(found[1]["scores"]))
"""


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_dilated_with_maxima_in_a_pyramid_on_given_proposals(run_python, tmp_path, backend):
    code = PROGRAM.format(tests=str(pathlib.Path(__file__).parent), folder=str(tmp_path))
    assert run_python(code, backend).split()[-3:] == ["True", "True", "0"]
