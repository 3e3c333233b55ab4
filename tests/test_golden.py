"""Parity with matterport's network: what its TensorFlow 2 ports compute for the same weights."""

import numpy as np
import pytest
from recipes import GOLDEN, recipe_weights, write_keras2_file
from skimage import data

from mrcnn.image import compose_image_meta, mold_image
from mrcnn.model import create
from mrcnn.presets import PRESETS

pytestmark = pytest.mark.slow


@pytest.fixture(
    scope="module", params=["resnet50", pytest.param("resnet101", marks=pytest.mark.thorough)]
)
def backbone(request):
    return request.param


@pytest.fixture(scope="module")
def model(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    path = folder / "matterport.h5"
    write_keras2_file(path, recipe_weights(GOLDEN / f"matterport_{backbone}.recipe.json"))
    model = create("inference", PRESETS[f"matterport/{backbone}"](), folder)
    report = model.load_weights(path)
    assert report["missing"] == report["unexpected"] == []
    return model


@pytest.fixture(scope="module")
def golden(backbone):
    return np.load(GOLDEN / f"matterport_{backbone}.npz")


@pytest.fixture(scope="module")
def stages(model):
    """Outputs of the layers between image and detections."""
    names = [*[f"fpn_p{i}" for i in (2, 3, 4, 5, 6)], "rpn_class", "rpn_bbox", "ROI"]
    names += ["mrcnn_class", "mrcnn_bbox", "mrcnn_detection", "mrcnn_mask"]
    image = data.astronaut()
    meta = compose_image_meta(0, image.shape, image.shape, (0, 0, 512, 512), 1.0, [0] * 81)
    molded = mold_image(image, model.config.MEAN_PIXEL)
    outputs = model.run_graph(molded[None], names, meta[None])
    return {name: output[0] for name, output in outputs.items()}


STAGES = {f"fpn_p{i}": f"feat_fpn_p{i}" for i in (2, 3, 4, 5, 6)}
STAGES |= {"rpn_class": "rpn_class", "rpn_bbox": "rpn_bbox"}


@pytest.mark.parametrize(("layer", "field"), STAGES.items())
def test_sampled_stage(stages, golden, layer, field):
    assert stages[layer].shape == tuple(golden[f"{field}_shape"])
    sample = stages[layer].ravel()[golden[f"{field}_index"]]
    np.testing.assert_allclose(sample, golden[field], atol=1e-3 * golden[field].std())


def test_proposals_and_heads(stages, golden):
    # Proposals of equal score within rounding may swap; all but a few are the same, in order.
    same = np.abs(stages["ROI"] - golden["rpn_rois"]).max(axis=1) < 1e-4
    assert same.mean() > 0.98
    first = same[:24]
    assert first.sum() >= 22
    for name in ("mrcnn_class", "mrcnn_bbox"):
        np.testing.assert_allclose(
            stages[name][:24][first], golden[name][first], atol=1e-3 * golden[name].std()
        )


def test_detections(model, golden):
    (result,) = model.detect([data.astronaut()])
    count = len(golden["det_rois"])
    assert len(result["rois"]) == count
    assert count in (70, 100)
    np.testing.assert_array_equal(result["class_ids"], golden["det_class_ids"])
    np.testing.assert_allclose(result["scores"], golden["det_scores"], atol=1e-3)
    # The same boxes to the pixel, and masks to a pixel on the threshold.
    np.testing.assert_array_equal(result["rois"], golden["det_rois"])
    areas = result["masks"].sum(axis=(0, 1))
    np.testing.assert_allclose(areas, golden["mask_area"], atol=2)


def test_raw_masks(stages, golden):
    detections = stages["mrcnn_detection"]
    own_class = detections[:8, 4].astype(int)
    found = stages["mrcnn_mask"][np.arange(8), :, :, own_class]
    np.testing.assert_allclose(found, golden["raw_masks"], atol=1e-3)
    np.testing.assert_allclose(detections, golden["detections"], atol=1e-3)
