"""Parity with torchvision and detectron2: what they compute for the same weights, read from files
in their own formats by `load_weights`."""

import json
import re

import keras
import numpy as np
import pytest
from recipes import GOLDEN, recipe_weights
from skimage import data
from torch_files import write_detectron2_pkl, write_legacy_pth, write_zip_pth

from mrcnn.model import create
from mrcnn.ops import apply_box_deltas
from mrcnn.ops.semantic import STRIDE
from mrcnn.ops.upsampling import upsample
from mrcnn.presets import PRESETS

pytestmark = pytest.mark.slow

# By preset: how its file is written.
MODELS = {
    "torchvision/maskrcnn_resnet50_fpn": write_zip_pth,
    "torchvision/maskrcnn_resnet50_fpn_v2": write_legacy_pth,
    "detectron2/mask_rcnn_R_50_FPN_3x": write_detectron2_pkl,
    "detectron2/mask_rcnn_R_101_FPN_3x": write_detectron2_pkl,
    "detectron2/mask_rcnn_X_101_32x8d_FPN_3x": write_detectron2_pkl,
    "detectron2/cascade_mask_rcnn_R_50_FPN_3x": write_detectron2_pkl,
    "detectron2/mask_rcnn_R_50_C4_3x": write_detectron2_pkl,
    "torchvision/keypointrcnn_resnet50_fpn": write_zip_pth,
    "detectron2/keypoint_rcnn_R_50_FPN_3x": write_detectron2_pkl,
    "detectron2/panoptic_fpn_R_50_3x": write_detectron2_pkl,
}
# R_50's code with more or wider blocks; the head of keypoints in detectron2's names.
SIMILAR = (
    "detectron2/mask_rcnn_R_101_FPN_3x",
    "detectron2/mask_rcnn_X_101_32x8d_FPN_3x",
    "detectron2/keypoint_rcnn_R_50_FPN_3x",
)
PARAMETERS = [
    pytest.param(name, marks=[pytest.mark.thorough] if name in SIMILAR else []) for name in MODELS
]
IMAGE = data.astronaut()[:384, :512]
HEIGHT, WIDTH = IMAGE.shape[:2]


def config_of(preset):
    # The picture at its own size.
    return type("Golden", (PRESETS[preset],), {"IMAGE_MIN_DIM": HEIGHT})()


@pytest.fixture(scope="module", params=PARAMETERS)
def run(request, tmp_path_factory):
    """A model's report, stages and detections, and the reference's arrays."""
    name = request.param.replace("/", "_")
    folder = tmp_path_factory.mktemp("golden")
    path = folder / "weights"
    recipe = GOLDEN / f"{name}.recipe.json"
    MODELS[request.param](path, dict(recipe_weights(recipe)))
    config = config_of(request.param)
    model = create("inference", config, folder)
    report = model.load_weights(path)
    path.unlink()
    return {
        "library": name.split("_")[0],
        "report": report,
        "stages": stages(model, config),
        "found": model.detect([IMAGE])[0],
        "golden": np.load(GOLDEN / f"{name}.npz"),
    }


def features_of(config):
    """The reference's names of the feature maps with anchors, and the layers that return them."""
    if len(config.BACKBONE_STRIDES) == 1:
        return [("feat_res4", "res4f_out")]
    norm = "_bn" if config.FPN_NORM else ""
    layers = [*(f"fpn_p{level}{norm}" for level in (2, 3, 4, 5)), "fpn_p6"]
    torchvision = config.PRESET.startswith("torchvision")
    names = ("0", "1", "2", "3", "pool") if torchvision else ("p2", "p3", "p4", "p5", "p6")
    return [(f"feat_{name}", layer) for name, layer in zip(names, layers, strict=True)]


def stages(model, config):
    """Outputs of the layers between image and detections, of one image."""
    names = [*features_of(config), "rpn_class", "ROI", "rpn_bbox", "roi_align_classifier"]
    names += ["mrcnn_class_logits", "mrcnn_bbox", "mrcnn_detection"]
    names += ["mrcnn_mask"] * config.USE_MASK
    names += ["semantic_logits"] * (config.NUM_STUFF_CLASSES > 0)
    found = {name: output[0] for name, output in model.run_graph([IMAGE], names).items()}
    found["anchors"] = model.get_anchors(model.mold_inputs([IMAGE])[0].shape[1:])
    if config.USE_MASK:
        class_ids = found["mrcnn_detection"][:, 4].astype(int)
        found["class_masks"] = found["mrcnn_mask"][np.arange(len(class_ids)), :, :, class_ids]
    return found


def assert_sample(array, golden, field, where=...):
    """Equality of the sampled values, within a thousandth of their standard deviation."""
    assert array.shape == tuple(golden[f"{field}_shape"])
    values, expected = array.ravel()[golden[f"{field}_index"]], golden[field]
    np.testing.assert_allclose(values[where], expected[where], atol=1e-3 * expected.std(), rtol=0)


def test_every_weight_is_loaded(run):
    report = run["report"]
    assert report["source"] == run["library"]
    assert report["missing"] == report["unexpected"] == report["wrong_shape"] == []


def test_features(run):
    names = {name for name in run["stages"] if name.startswith("feat_")}
    assert names == {name for name in run["golden"] if re.fullmatch("feat_[a-z0-9]+", name)}
    for name in names:
        assert_sample(run["stages"][name].transpose(2, 0, 1), run["golden"], name)


def same_proposals(run):
    """Which proposals are the reference's, in its order; those that tie may swap."""
    rois = run["stages"]["ROI"] * [HEIGHT, WIDTH, HEIGHT, WIDTH]
    expected = run["golden"]["proposals"][:, [1, 0, 3, 2]]
    return np.abs(rois - expected).max(axis=1) < 1e-2


def test_proposals(run):
    same = same_proposals(run)
    assert len(same) == 1000
    assert same.mean() >= 0.98
    boxes = run["stages"]["ROI"][same]
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_objectness(run):
    """The logit of the anchor that a proposal comes from: the reference holds detectron2's."""
    if "objectness" not in run["golden"]:
        pytest.skip("torchvision's logits are compared anchor by anchor in test_heads")
    stages, golden = run["stages"], run["golden"]
    probs = stages["rpn_class"].astype("float64")
    logits = np.log(probs[:, 1] / probs[:, 0])
    boxes = apply_box_deltas(stages["anchors"], stages["rpn_bbox"])
    boxes = keras.ops.convert_to_numpy(keras.ops.clip(boxes, 0.0, 1.0))
    rois, expected = stages["ROI"], golden["objectness"]
    for i in np.flatnonzero(same_proposals(run)):
        # Anchors that were clipped to one box: any of them may be the proposal's.
        origins = np.abs(boxes - rois[i]).max(axis=1) < 1e-5
        error = np.abs(logits[origins] - expected[i]).min()
        assert error < 1e-3 * expected.std()


def test_heads(run):
    golden, stages = run["golden"], run["stages"]
    if run["library"] == "detectron2":
        pytest.skip("the reference holds no logits of detectron2")
    probs = stages["rpn_class"].astype("float64")
    assert_sample(np.log(probs[:, 1] / probs[:, 0]), golden, "rpn_logits")
    same = same_proposals(run)
    pooled = stages["roi_align_classifier"].transpose(0, 3, 1, 2)
    owner = golden["box_pool_index"] // np.prod(golden["box_pool_shape"][1:])
    assert_sample(pooled, golden, "box_pool", where=same[owner])
    first = same[:24]
    assert first.sum() >= 22
    logits = stages["mrcnn_class_logits"][:24]
    deltas = stages["mrcnn_bbox"][:24][..., [1, 0, 3, 2]].reshape(24, -1)
    for values, field in ((logits, "cls_logits"), (deltas, "box_deltas")):
        expected = golden[field]
        np.testing.assert_allclose(
            values[first], expected[first], atol=1e-3 * expected.std(), rtol=0
        )


def iou(box, boxes):
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + areas - shared)


def pairs(run):
    """(our detection, the reference's): same class, IoU over 0.99, score within 0.001."""
    found, golden = run["found"], run["golden"]
    offset = 1 if run["library"] == "detectron2" else 0  # background comes last there
    free = np.ones(len(found["boxes"]), bool)
    for theirs, box in enumerate(golden["det_boxes"][:, [1, 0, 3, 2]]):
        fits = free & (found["class_ids"] == golden["det_labels"][theirs] + offset)
        fits &= iou(box, found["boxes"]) > 0.99
        fits &= np.abs(found["scores"] - golden["det_scores"][theirs]) < 1e-3
        if fits.any():
            ours = int(np.argmax(fits))
            free[ours] = False
            yield ours, theirs


def test_detections(run):
    paired, golden = list(pairs(run)), run["golden"]
    count = len(golden["det_boxes"])
    assert len(run["found"]["boxes"]) == count >= 69
    assert len(paired) >= 0.98 * count
    if "masks" not in run["found"]:
        return
    areas = run["found"]["masks"].sum(axis=(0, 1))
    for ours, theirs in paired:
        # A pixel or two, or one of 2000, lie on the threshold within rounding.
        area = int(golden["mask_area"][theirs])
        assert abs(int(areas[ours]) - area) <= max(2, area / 2000)


def test_raw_masks(run):
    if "raw_masks" not in run["golden"]:
        pytest.skip("a model without masks")
    expected = run["golden"]["raw_masks"][:, 0]
    for ours, theirs in pairs(run):
        if theirs < len(expected):
            np.testing.assert_allclose(
                run["stages"]["class_masks"][ours], expected[theirs], atol=1e-3
            )


def test_keypoints(run):
    golden = run["golden"]
    if "det_keypoints" not in golden:
        pytest.skip("a model without keypoints")
    ours, theirs = np.transpose(list(pairs(run)))
    found, expected = run["found"]["keypoints"][ours], golden["det_keypoints"][theirs]
    # torchvision's third value is always 1, and its scores are elsewhere.
    scores = golden.get("det_keypoints_scores", golden["det_keypoints"][..., 2])[theirs]
    near = np.abs(found[..., :2] - expected[..., [1, 0]]).max(axis=-1) < 0.5
    assert (near & (np.abs(found[..., 2] - scores) < 1e-3)).mean() >= 0.98
    # detectron2's probabilities are about 0.001, so that this says more of them.
    np.testing.assert_allclose(np.median(found[..., 2] / scores), 1, atol=1e-3)


def test_semantic_logits(run):
    if "sem_seg" not in run["golden"]:
        pytest.skip("no semantic head")
    assert_semantic(run["stages"]["semantic_logits"], run["golden"])


def assert_semantic(logits, golden):
    """Equality of the logits [h, w, S] of a semantic head, of stride 4 here."""
    logits = keras.ops.convert_to_numpy(upsample(logits[None], STRIDE)[0])
    assert_sample(logits.transpose(2, 0, 1), golden, "sem_seg")


def test_semantic_fpn_is_the_semantic_part_of_panoptic_fpn(tmp_path):
    preset = "detectron2/panoptic_fpn_R_50_3x"
    name = preset.replace("/", "_")
    write_detectron2_pkl(tmp_path / "weights", dict(recipe_weights(GOLDEN / f"{name}.recipe.json")))
    config = config_of(preset)
    config.ARCHITECTURE, config.NUM_CLASSES = "semantic_fpn", 54  # all things, 53 of stuff
    model = create("inference", config, tmp_path)
    report = model.load_weights(tmp_path / "weights")
    assert len(report["loaded"]) == 304
    assert report["missing"] == report["wrong_shape"] == []
    left = {key.split(".")[0] for key in report["unexpected"]}
    assert left == {"proposal_generator", "roi_heads"}
    logits = model.run_graph([IMAGE], ["semantic_logits"])["semantic_logits"][0]
    assert_semantic(logits, np.load(GOLDEN / f"{name}.npz"))


def test_panoptic_map(run):
    """The same segments, in the same order, of the same classes; instance ids may differ."""
    if "panoptic_seg" not in run["golden"]:
        pytest.skip("no panoptic map")
    found, golden = run["found"], run["golden"]
    infos = json.loads(str(golden["panoptic_info"]))
    assert [each["is_thing"] for each in found["segments"]] == [x["isthing"] for x in infos]
    # Of things background comes last there; of stuff class 0 is all things.
    theirs = [x["category_id"] + (1 if x["isthing"] else 80) for x in infos]
    assert sorted(x["class_id"] for x in found["segments"]) == sorted(theirs)
    for info, class_id in zip(infos, theirs, strict=True):
        there = golden["panoptic_seg"] == info["id"]
        ours = np.bincount(found["segmentation"][there]).argmax()
        (segment,) = [x for x in found["segments"] if x["id"] == ours]
        assert segment["class_id"] == class_id
        info["ours"] = segment["id"]
    renamed = np.zeros(len(infos) + 1, int)
    renamed[[x["id"] for x in infos]] = [x["ours"] for x in infos]
    assert len(set(renamed)) == len(infos) + 1
    assert (renamed[golden["panoptic_seg"]] == found["segmentation"]).mean() >= 0.99
