"""R-CNN: crops of given proposals, worked out by hand, and the network on them."""

import pathlib

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy
from numpy.testing import assert_allclose, assert_array_equal
from tensors import f32
from test_given_proposals import GivenConfig, given_shapes

from mrcnn import layers, settings
from mrcnn.evaluate import evaluate
from mrcnn.image import compose_image_meta
from mrcnn.model import RCNN, create
from mrcnn.network.folding import FoldedConv
from mrcnn.network.named_weights import named_weights
from mrcnn.ops.boxes import norm_boxes
from mrcnn.ops.warping import warp_regions
from mrcnn.weights import load_state_dict

BOTH_PATHS = pytest.mark.parametrize("native", [False, True])
WHOLE = (0, 0, 8, 8)
NONE = np.zeros((0, 4))


class RCNNConfig(GivenConfig):
    ARCHITECTURE = "rcnn"
    USE_MASK = False
    WARP_SIZE = 32
    WARP_CONTEXT = 4


# ---- crops


def warp(image, box, native, window=WHOLE):
    """The crop [4, 4] of a box of an image [8, 8], of which 2 x 2 are the box."""
    image, boxes = f32(image)[None, ..., None], f32([[box]])
    crops = warp_regions(image, f32([window]), boxes, 4, 1, native)
    return convert_to_numpy(crops)[0, 0, ..., 0]


@BOTH_PATHS
def test_a_box_is_stretched_to_the_square_inside_its_context(native):
    ramp = np.add.outer(10.0 * np.arange(8), np.arange(8.0))
    # 4 x 2 pixels become 2 x 2: of the crop a row is 2 pixels and a column 1. Around it that much:
    # rows 0 to 8, with centres at 1, 3, 5, 7, and columns 2 to 6. The centre of a pixel is at 0.5.
    rows, columns = [0.5, 2.5, 4.5, 6.5], [2, 3, 4, 5]
    expected = [[10 * y + x for x in columns] for y in rows]
    assert_allclose(warp(ramp, [2, 3, 6, 5], native), expected, rtol=1e-6)


@BOTH_PATHS
def test_outside_the_picture_is_the_mean_pixel(native):
    fours = np.full((8, 8), 4.0)
    # From -0.5 on: centres at 0, 1, 2, 3. That at 0 is half of the pixel before, which is 0.
    expected = [[1, 2, 2, 2], [2, 4, 4, 4], [2, 4, 4, 4], [2, 4, 4, 4]]
    assert_allclose(warp(fours, [0.5, 0.5, 2.5, 2.5], native), expected)
    # From -2 on: centres at -1, 1, 3, 5.
    expected = [[0, 0, 0, 0], [0, 4, 4, 4], [0, 4, 4, 4], [0, 4, 4, 4]]
    assert_allclose(warp(fours, [0, 0, 4, 4], native), expected)


@BOTH_PATHS
def test_padding_around_the_picture_is_the_mean_pixel_too(native):
    # The picture is rows 2 to 6: of centres at 1, 3, 5, 7 two lie in it.
    found = warp(np.full((8, 8), 4.0), [2, 0, 6, 4], native, window=(2, 0, 6, 8))
    assert_allclose(found, [[0, 0, 0, 0], [0, 4, 4, 4], [0, 4, 4, 4], [0, 0, 0, 0]])


@pytest.mark.parametrize("box_offset", [0, 1])
def test_crops_of_normalised_boxes(box_offset):
    made = settings.Warping(side=4, context=1, box_offset=box_offset)
    ramp = np.add.outer(10.0 * np.arange(8), np.arange(8.0))
    meta = f32([compose_image_meta(0, (8, 8, 3), (8, 8, 3), WHOLE, 1, [1])])
    boxes = norm_boxes(f32([[[2, 3, 6, 5], [0, 0, 4, 4]]]), f32([8, 8]), box_offset)
    found = layers.WarpedRegions(made)(boxes, meta, f32(ramp)[None, ..., None])
    expected = [warp(ramp, box, True) for box in ([2, 3, 6, 5], [0, 0, 4, 4])]
    assert_allclose(convert_to_numpy(found)[0, ..., 0], expected, rtol=1e-5, atol=1e-5)


# ---- keys


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"USE_RPN_ROIS": True}, "USE_RPN_ROIS is True; rcnn has no region proposal network: set"),
        ({"USE_MASK": True}, "USE_MASK is True; a crop of rcnn reaches beyond its box"),
        ({"USE_KEYPOINTS": True}, "USE_KEYPOINTS is True; the architecture 'rcnn' has False"),
        ({"SPP_LEVELS": (3, 1)}, r"SPP_LEVELS is \(3, 1\); the architecture 'rcnn' has None"),
        ({"REMATERIALIZE": True}, "REMATERIALIZE is True; the architecture 'rcnn' has False"),
        ({"ROI_ALIGN_MODE": "roi_pool"}, "ROI_ALIGN_MODE is 'roi_pool'; rcnn pools no features"),
        ({"WARP_SIZE": 227}, "WARP_SIZE is 227; expected a multiple of 32"),
        ({"WARP_SIZE": 0}, "WARP_SIZE is 0; expected a multiple of 32"),
        ({"WARP_CONTEXT": 16}, "WARP_CONTEXT is 16 and WARP_SIZE 32; expected less than half"),
        ({"WARP_CONTEXT": -1}, "WARP_CONTEXT is -1; expected a whole number of 0 or more"),
    ],
)
def test_keys_that_cannot_be(keys, message):
    with pytest.raises(ValueError, match=message):
        type("Keys", (RCNNConfig,), keys)().validate()


def test_keys_that_can_be():
    RCNNConfig().validate()
    keys = {"WARP_CONTEXT": 0, "NORM": "group", "FPN_CLASSIF_FC_LAYERS_SIZE": 16}
    type("Keys", (RCNNConfig,), keys)().validate()  # there is no fully connected layer to group


# ---- networks


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(0)
    return create("inference", RCNNConfig(), tmp_path_factory.mktemp("rcnn"))


def test_the_backbone_alone_and_the_last_layers_have_weights(model):
    assert type(model) is RCNN
    layer_names = {name.split("/")[0] for name in named_weights(model.keras_model)}
    backbone = {
        f"{x}{stage}a{y}" for stage in range(1, 6) for x, y in (("res", "_conv"), ("bn", ""))
    }
    assert layer_names == backbone | {"mrcnn_class_logits", "mrcnn_bbox_fc"}
    inner = model.graphs["detection"].get_layer("backbone")
    assert sum(isinstance(layer, FoldedConv) for layer in inner.layers) == 5
    assert inner.input.shape == (None, 32, 32, 3) and inner.output.shape == (None, 1, 1, 8)


def test_an_answer_is_of_what_lies_in_and_around_a_box(model):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 64, 3), np.uint8)
    # 24 pixels to 32 - 2 * 4: the crop is 16 to 48.
    box, others = [20, 20, 44, 44], [[0, 0, 9, 60], [30, 10, 64, 64]]

    def classes(image, *boxes):
        (found,) = model.run_graph([image], ["mrcnn_class"], proposals=[boxes]).values()
        return found[0, : len(boxes)]

    alone = classes(image, box)[0]
    assert np.ptp(classes(image, box, *others)[:, 0]) > 1e-6
    assert_allclose(classes(image, *others, box)[2], alone, rtol=1e-5)
    changed = rng.integers(0, 255, image.shape, np.uint8)
    inside = np.s_[15:49, 15:49]
    changed[inside] = image[inside]
    assert_allclose(classes(changed, box)[0], alone, rtol=1e-5)
    changed[16:18, 16:48] = 0  # of the context
    assert np.abs(classes(changed, box)[0] - alone).max() > 1e-6


def test_pictures_of_other_sizes_and_without_proposals(model):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (*size, 3), np.uint8) for size in [(64, 64), (40, 90), (64, 64)]]
    given = [[[8, 8, 30, 40]], [[1, 1, 30, 50], [5, 40, 40, 90]], NONE]
    found = model.detect(images, proposals=given)
    assert len(found[2]["scores"]) == 0 and sum(len(each["scores"]) for each in found) > 0
    for image, boxes, each in zip(images, given, found, strict=True):
        (alone,) = model.detect([image], proposals=[boxes])
        assert_allclose(alone["boxes"], each["boxes"], atol=1e-3)
        assert_allclose(alone["scores"], each["scores"], rtol=1e-4)
    with pytest.raises(ValueError, match="proposals is None and USE_RPN_ROIS is False"):
        model.detect(images)


def test_weights_are_read_as_they_were_written(model, tmp_path):
    model.save_weights(tmp_path / "rcnn.h5")
    other = create("inference", RCNNConfig(), tmp_path)
    for weight in other.keras_model.weights:
        weight.assign(0 * weight)
    image, boxes = np.full((64, 64, 3), 99, np.uint8), [[8, 8, 30, 40]]
    before = other.run_graph([image], ["mrcnn_class"], proposals=[boxes])["mrcnn_class"]
    report = other.load_weights(tmp_path / "rcnn.h5")
    assert not report["missing"] and not report["unexpected"]
    expected, found = (
        each.run_graph([image], ["mrcnn_class"], proposals=[boxes])["mrcnn_class"]
        for each in (model, other)
    )
    assert_array_equal(found, expected)
    assert np.abs(before - expected).max() > 1e-4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model after 40 steps, and what it logged."""
    config = type("Learns", (RCNNConfig,), {"STEPS_PER_EPOCH": 10})()
    model = create("training", config, tmp_path_factory.mktemp("trained"))
    history = model.train(given_shapes(20), given_shapes(2), 0.01, 4, "all")
    return model, history.history


@pytest.mark.slow
def test_training_lowers_its_two_losses(trained):
    model, logged = trained
    assert {name for name in logged if name.startswith(("mrcnn", "rpn"))} == {
        "mrcnn_class_loss",
        "mrcnn_bbox_loss",
    }
    assert logged["loss"][-1] < 0.9 * logged["loss"][0], logged["loss"]
    assert set(evaluate(model, given_shapes(2))) == {"bbox"}


@pytest.mark.slow
def test_the_weights_of_a_backbone_are_enough_to_train_from(trained):
    model, _ = trained
    arrays = {
        name: np.zeros(weight.shape)
        for name, weight in named_weights(model.keras_model).items()
        if not name.startswith("mrcnn_")
    }
    report = load_state_dict(model, arrays, "matterport")
    assert len(report["loaded"]) == len(arrays)
    assert {name.split("_")[0] for name in report["missing"]} == {"mrcnn"}


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from test_given_proposals import given_shapes
from test_rcnn import RCNNConfig
from mrcnn.model import create

keys = {{"PRECISION": "mixed_bfloat16", "BACKBONE": "resnet50", "TRAIN_BN": False}}
model = create("training", type("All", (RCNNConfig,), keys)(), {folder!r})
logged = model.train(given_shapes(2), None, 0.001, 1, "5+").history
print(all(np.isfinite(values).all() for values in logged.values()))
images = [np.full((64, 64, 3), 100, np.uint8), np.full((30, 60, 3), 50, np.uint8)]
found = model.detect(images, proposals=[[[8, 8, 30, 40]], np.zeros((0, 4))])
print(len(found[0]["scores"]) > 0, len(found[1]["scores"]))
"""


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_named_backbone_in_bfloat16(run_python, tmp_path, backend):
    code = PROGRAM.format(tests=str(pathlib.Path(__file__).parent), folder=str(tmp_path))
    assert run_python(code, backend).split()[-3:] == ["True", "True", "0"]
