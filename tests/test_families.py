"""Every numerics family as a whole: it trains, and its checkpoint detects the same elsewhere."""

import functools
from pathlib import Path

import numpy as np
import pytest
from keras import ops
from tiny import corners, tiny_of

from mrcnn.data import DataGenerator
from mrcnn.data.shapes import ShapesDataset
from mrcnn.evaluate import evaluate
from mrcnn.model import create
from mrcnn.presets import PRESETS

pytestmark = pytest.mark.slow

# Of detectron2's one: the others differ in their ResNets, which the tiny model has not. RetinaNet's
# v2 has all that is new, of those of keypoints detectron2's; Panoptic FPN and MaX-DeepLab have
# tests of their own, and matterport's others are its first with other sizes.
OTHERS = (
    *("detectron2/mask_rcnn_R_101", "detectron2/mask_rcnn_X", "detectron2/panoptic"),
    *("torchvision/keypointrcnn", "deeplab2/", "matterport/resnet"),
)
FAMILIES = [
    name
    for name in PRESETS
    if not name.startswith(OTHERS) and name != "torchvision/retinanet_resnet50_fpn"
]

# Whose parts others have too: matterport's are the defaults of most tests.
SHARED = [
    *("matterport/mask_rcnn_coco", "torchvision/maskrcnn_resnet50_fpn"),
    *("detectron2/mask_rcnn_R_50_FPN_3x", "detectron2/retinanet_R_50_FPN_3x"),
]
GROUPS = [[name for name in FAMILIES if name not in SHARED], SHARED]
CASES = pytest.mark.parametrize(
    "preset",
    [
        *GROUPS[0],
        *(pytest.param(name, marks=pytest.mark.thorough) for name in SHARED),
    ],
)

STAGES = ("", "_stage2", "_stage3")  # of a cascade

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from tiny import corners, tiny_of
from mrcnn.model import create

for preset, folder in {folders!r}.items():
    model = create("inference", tiny_of(preset), folder)
    model.load_weights(model.find_last())
    np.savez(folder + "/found.npz", **model.detect([corners(2).load_image(0)])[0])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Function of a preset to a model after two steps of training, and its losses."""

    @functools.cache
    def train(preset):
        model = create("training", tiny_of(preset), str(tmp_path_factory.mktemp("family")))
        return model, model.train(corners(4), None, 0.01, epochs=1, layers="all").history

    return train


@pytest.fixture(scope="module")
def elsewhere(trained, run_python):
    """Function of a preset to what its checkpoint detects in a process of its group."""

    @functools.cache
    def detected(i):
        folders = {preset: trained(preset)[0].model_dir for preset in GROUPS[i]}
        run_python(PROGRAM.format(tests=str(Path(__file__).parent), folders=folders))
        return {preset: np.load(f"{folder}/found.npz") for preset, folder in folders.items()}

    return lambda preset: detected(int(preset in SHARED))[preset]


@CASES
def test_losses_are_finite(trained, preset):
    model, losses = trained(preset)
    assert {"loss", *model.keras_model.loss_names} <= set(losses)
    assert np.isfinite([values[0] for values in losses.values()]).all()


@CASES
def test_checkpoint_detects_the_same_in_a_new_process(trained, elsewhere, preset):
    found = trained(preset)[0].detect([corners(2).load_image(0)])[0]
    assert len(found["rois"])
    for name, array in found.items():
        np.testing.assert_array_equal(elsewhere(preset)[name], array, err_msg=name)


@CASES
def test_without_objects_the_losses_of_boxes_and_masks_are_zero(trained, preset):
    model = trained(preset)[0]
    (batch,) = DataGenerator(corners(2), model.config, shuffle=False)[0]
    empty = batch | {name: 0 * x for name, x in batch.items() if "_gt_" in name}
    graph = model.keras_model
    values = graph({name: ops.convert_to_tensor(x) for name, x in empty.items()}, training=True)
    losses = dict(zip(graph.loss_names, values[-len(graph.loss_names) :], strict=True))
    for name, loss in losses.items():
        assert float(loss) > 0 if "class" in name else float(loss) == 0.0, name


@pytest.mark.parametrize(
    ("preset", "mini"),
    [
        ("torchvision/maskrcnn_resnet50_fpn", True),
        ("detectron2/mask_rcnn_R_50_C4_3x", False),
        ("torchvision/retinanet_resnet50_fpn", True),
    ],
)
def test_pictures_of_several_sizes_train_in_one_batch_and_score_without_masks(
    tmp_path, preset, mini
):
    config = tiny_of(preset)
    config.IMAGE_RESIZE_MODE, config.USE_MINI_MASK, config.USE_MASK = "shortest_edge", mini, False
    config.INCLUDE_EMPTY_IMAGES = True
    data = ShapesDataset()
    data.load_shapes(2, 64, 96)
    data.load_shapes(2, 96, 64)
    data.image_info[0]["shapes"] = []
    data.prepare()
    model = create("training", config, tmp_path)
    history = model.train(data, None, 0.01, epochs=1, layers="all").history
    assert np.isfinite(history["loss"]).all() and "mrcnn_mask_loss" not in history
    assert set(evaluate(model, data)) == {"bbox"}


@pytest.mark.thorough
def test_a_cascade_trains_on_and_detects_in_pictures_of_several_sizes(tmp_path):
    config = tiny_of("detectron2/cascade_mask_rcnn_R_50_FPN_3x")
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM, config.IMAGE_MAX_DIM = "pad64", 64, 128
    config.IMAGES_PER_GPU = 1  # each of its own size
    data = ShapesDataset()
    data.load_shapes(1, 64, 128)
    data.load_shapes(1, 128, 64)
    data.load_shapes(1, 60, 70)
    data.prepare()
    config.STEPS_PER_EPOCH = None
    model = create("training", config, tmp_path)
    history = model.train(data, None, 0.01, epochs=1, layers="all").history
    stages = [f"mrcnn_{kind}_loss{stage}" for kind in ("class", "bbox") for stage in STAGES]
    assert {"mrcnn_mask_loss", *stages} <= set(history)
    assert np.isfinite([values[0] for values in history.values()]).all()
    images = [data.load_image(i) for i in range(3)]
    found = model.detect(images)
    sizes = [(64, 128), (128, 64), (60, 70)]
    for image, each, (height, width) in zip(images, found, sizes, strict=True):
        assert each.count and each["masks"].shape == (height, width, each.count)
        assert (each["boxes"] >= 0).all() and (each["boxes"][:, 2:] <= (height, width)).all()
        (alone,) = model.detect([image])
        np.testing.assert_allclose(alone["boxes"], each["boxes"], atol=1e-2)
        np.testing.assert_allclose(alone["scores"], each["scores"], atol=1e-5)
    assert set(evaluate(model, data)) == {"bbox", "segm"}
