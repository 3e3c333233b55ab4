"""Every numerics family as a whole: it trains, and its checkpoint detects the same elsewhere."""

from pathlib import Path

import numpy as np
import pytest
from tiny import shapes, tiny_of

from mrcnn.data.shapes import ShapesDataset
from mrcnn.evaluate import evaluate
from mrcnn.model import MaskRCNN
from mrcnn.presets import PRESETS

pytestmark = pytest.mark.slow

# Of detectron2's one: the others differ in ResNets, which the tiny model has not; and Panoptic
# FPN has its own tests.
OTHERS = ("detectron2/mask_rcnn_R_101", "detectron2/mask_rcnn_X", "detectron2/panoptic")
FAMILIES = [name for name in PRESETS if not name.startswith(OTHERS)]

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from tiny import shapes, tiny_of
from mrcnn.model import MaskRCNN

for preset, folder in {folders!r}.items():
    model = MaskRCNN("inference", tiny_of(preset), folder)
    model.load_weights(model.find_last())
    np.savez(folder + "/found.npz", **model.detect([shapes(2).load_image(0)])[0])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """By preset a model after two steps of training, and its losses."""
    found = {}
    for preset in FAMILIES:
        model = MaskRCNN("training", tiny_of(preset), str(tmp_path_factory.mktemp("family")))
        history = model.train(shapes(4), None, 0.01, epochs=1, layers="all")
        found[preset] = model, history.history
    return found


@pytest.fixture(scope="module")
def elsewhere(trained, run_python):
    """By preset what the checkpoint detects in another process."""
    folders = {preset: model.model_dir for preset, (model, _) in trained.items()}
    run_python(PROGRAM.format(tests=str(Path(__file__).parent), folders=folders))
    return {preset: np.load(f"{folder}/found.npz") for preset, folder in folders.items()}


@pytest.mark.parametrize("preset", FAMILIES)
def test_losses_are_finite(trained, preset):
    losses = trained[preset][1]
    assert {"loss", "rpn_bbox_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss"} <= set(losses)
    assert np.isfinite([values[0] for values in losses.values()]).all()


@pytest.mark.parametrize("preset", FAMILIES)
def test_checkpoint_detects_the_same_in_a_new_process(trained, elsewhere, preset):
    found = trained[preset][0].detect([shapes(2).load_image(0)])[0]
    assert len(found["rois"])
    for name, array in found.items():
        np.testing.assert_array_equal(elsewhere[preset][name], array, err_msg=name)


@pytest.mark.parametrize("mini", [True, False])
def test_pictures_of_several_sizes_train_in_one_batch_and_score_without_masks(tmp_path, mini):
    config = tiny_of("torchvision/maskrcnn_resnet50_fpn")
    config.IMAGE_RESIZE_MODE, config.USE_MINI_MASK, config.USE_MASK = "shortest_edge", mini, False
    data = ShapesDataset()
    data.load_shapes(2, 64, 96)
    data.load_shapes(2, 96, 64)
    data.prepare()
    model = MaskRCNN("training", config, tmp_path)
    history = model.train(data, None, 0.01, epochs=1, layers="all").history
    assert np.isfinite(history["loss"]).all() and "mrcnn_mask_loss" not in history
    assert set(evaluate(model, data)) == {"bbox"}
