"""Panoptic FPN and Semantic FPN as wholes: they train, and detect the same elsewhere."""

from pathlib import Path

import keras
import numpy as np
import pytest
from test_panoptic_data import PanopticConfig, grounds
from tiny import with_keypoints

from mrcnn.data import DataGenerator
from mrcnn.data.corners import CornersDataset
from mrcnn.data.grounds import GroundsDataset
from mrcnn.evaluate import Evaluation, evaluate
from mrcnn.model import PanopticFPN, SemanticFPN, create
from mrcnn.network.named_weights import named_weights
from mrcnn.presets import PRESETS
from mrcnn.training import EvaluateCallback
from mrcnn.visualize import draw_panoptic
from mrcnn.weights import registry

CLASSES = {"panoptic_fpn": PanopticFPN, "semantic_fpn": SemanticFPN}
KEYS = {
    "SEMANTIC_HEAD_CHANNELS": 8,
    "PANOPTIC_MIN_CONFIDENCE": 0.0,
    "PANOPTIC_STUFF_AREA": 16,
    "LOSS_WEIGHTS": {"semantic_loss": 0.5},
}


def config_of(architecture, **keys):
    return type("Tiny", (PanopticConfig,), {"ARCHITECTURE": architecture, **KEYS, **keys})()


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import keras
import numpy as np
from test_panoptic_data import grounds
from test_panoptic_models import config_of, create

assert keras.backend.backend() == "jax"
for architecture, (folder, path) in {saved!r}.items():
    config = config_of(architecture, TRAIN_BN=False, SEED=None)
    model = create("training", config, folder)
    model.load_weights(path)
    found = model.detect([grounds().load_image(0)])[0]
    found["classes"] = np.array([x["class_id"] for x in found.pop("segments")])
    generator = model.generator_type(grounds(), model.settings, shuffle=False)
    model.compile(0.0, 0.9)
    loss = model.keras_model.train_on_batch(generator[0][0], return_dict=True)["semantic_loss"]
    np.savez(folder + "/jax.npz", loss=np.asarray(loss), **found)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """By architecture a model after two steps, its history, and its checkpoint."""
    found = {}
    for architecture in CLASSES:
        folder = str(tmp_path_factory.mktemp(architecture))
        model = create("training", config_of(architecture), folder)
        data, callback = grounds(4), EvaluateCallback(model, grounds(1), pictures=0)
        history = model.train(data, data, 0.01, 1, layers="all", custom_callbacks=[callback])
        found[architecture] = model, history.history, model.find_last()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("architecture", CLASSES)
def test_losses_are_in_the_log(trained, architecture):
    model, history, path = trained[architecture]
    assert type(model) is CLASSES[architecture]
    assert np.isfinite([values[0] for values in history.values()]).all()
    assert ("mrcnn_mask_loss" in history) == (architecture == "panoptic_fpn")
    losses = sum(
        history[name][0] for name in history if name.endswith("_loss") and name[:4] != "val_"
    )
    half = 0.5 * history["semantic_loss"][0]  # as LOSS_WEIGHTS says
    decay = history["loss"][0] - losses + half
    assert 0 < decay < 0.01
    score = {"panoptic_fpn": "val_panoptic_PQ", "semantic_fpn": "val_semantic_mIoU"}[architecture]
    assert 0 <= history[score][0] <= 1 and model.monitor == score  # of the best checkpoint
    assert Path(path).with_name("mask_rcnn_tiny_best.h5").exists()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", CLASSES)
def test_a_checkpoint_detects_the_same(trained, architecture):
    model, _, path = trained[architecture]
    other = create("inference", config_of(architecture), model.model_dir)
    report = other.load_weights(path)
    assert report["missing"] == report["unexpected"] == []
    assert other.class_names == grounds().class_names
    image = grounds().load_image(0)
    ours, theirs = (each.detect([image])[0] for each in (model, other))
    assert ours["segmentation"].shape == (64, 64) and ours["segmentation"].any()
    assert ours["segments"] == theirs["segments"]
    areas = np.bincount(ours["segmentation"].ravel())
    assert {x["id"]: x["area"] for x in ours["segments"]} == {
        i: area for i, area in enumerate(areas.tolist()) if i and area
    }
    for name in ours.keys() - {"segments"}:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.mark.slow
def test_images_of_many_sizes_and_none(trained):
    model = trained["panoptic_fpn"][0]
    data = grounds(2, 40, 100)
    images = [data.load_image(0), grounds().load_image(0), data.load_image(1)[:30]]
    alone = [model.detect([image])[0] for image in images]
    for image, found, single in zip(images, model.detect(images), alone, strict=True):
        assert found["segmentation"].shape == image.shape[:2]
        np.testing.assert_array_equal(found["segmentation"], single["segmentation"])
    assert model.detect([]) == []
    first = alone[0][:1]  # a part of the instances: the map stays whole
    assert first.count == 1 and first["segments"] == alone[0]["segments"]
    picture = draw_panoptic(images[0], alone[0]["segmentation"], alone[0]["segments"])
    assert picture.shape == (40, 100, 3) and picture.dtype == np.uint8


@pytest.mark.slow
def test_scores_beside_cocos_numbers(trained):
    data = grounds(2)
    scores = evaluate(trained["panoptic_fpn"][0], data)
    assert list(scores) == ["bbox", "segm", "panoptic"]
    evaluation = Evaluation.of(trained["semantic_fpn"][0], data)
    assert list(evaluation.scores) == ["semantic"]
    assert set(evaluation.scores["semantic"]) == {"mIoU", "accuracy"}


class CornersOnGrounds(CornersDataset, GroundsDataset):
    """Shapes whose corners are keypoints, over two kinds of ground."""


@pytest.mark.thorough
@pytest.mark.slow
def test_keypoints_of_things_beside_the_map(tmp_path):
    data = CornersOnGrounds()
    data.load_shapes(2, 64, 64)
    data.prepare()
    model = create("training", with_keypoints(config_of("panoptic_fpn")), tmp_path)
    callback = EvaluateCallback(model, data, pictures=0)
    history = model.train(data, None, 0.01, 1, layers="all", custom_callbacks=[callback]).history
    assert {"mrcnn_keypoint_loss", "semantic_loss", "val_panoptic_PQ"} <= history.keys()
    assert np.isfinite([values[0] for name, values in history.items() if name[:4] != "val_"]).all()
    found = model.detect([data.load_image(0)])[0]
    assert found["keypoints"].shape == (found.count, 5, 3)
    assert found["segmentation"].any() and found.plot().shape == (64, 64, 3)


@pytest.mark.slow
@pytest.mark.thorough
def test_jax_finds_and_loses_the_same(trained, run_python):
    saved = {name: (model.model_dir, path) for name, (model, _, path) in trained.items()}
    run_python(PROGRAM.format(tests=str(Path(__file__).parent), saved=saved), "jax")
    for architecture, (model, _, _) in trained.items():
        theirs = np.load(f"{model.model_dir}/jax.npz")
        ours = model.detect([grounds().load_image(0)])[0]
        assert (ours["segmentation"] == theirs["segmentation"]).mean() > 0.99
        assert [x["class_id"] for x in ours["segments"]] == theirs["classes"].tolist()
        generator = model.generator_type(grounds(), model.settings, shuffle=False)
        labels = generator[0][0]["input_gt_labels"]
        inputs = {x: generator[0][0][x] for x in ("input_image", "input_image_meta")}
        logits = model.graphs["inference"].predict_on_batch(inputs)["semantic_logits"]
        if architecture == "panoptic_fpn":
            labels = np.maximum(labels - 3, 0)
        loss = keras.losses.sparse_categorical_crossentropy
        enlarged = keras.layers.UpSampling2D(4, interpolation="bilinear")(logits)
        expected = float(np.mean(loss(labels, enlarged, from_logits=True)))
        assert float(theirs["loss"]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_pictures_of_several_sizes_train_in_one_batch(tmp_path):
    keys = {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_MAX_DIM": 128}
    model = create("training", config_of("semantic_fpn", **keys), tmp_path)
    data = grounds(1, 64, 96)
    data.load_shapes(1, 96, 64)
    data.prepare()
    history = model.train(data, None, 0.01, 1, layers="heads").history
    assert np.isfinite(history["semantic_loss"]).all()


@pytest.mark.slow
def test_xla_compiles_the_loss_and_its_gradient():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("XLA of TensorFlow")
    from mrcnn.ops.losses import semantic_loss

    rng = np.random.default_rng(0)
    labels = tf.constant(rng.integers(-1, 3, (2, 16, 24)))
    logits = tf.constant(rng.normal(size=(2, 4, 6, 3)).astype("float32"))

    def step(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = semantic_loss(labels, logits)
        return loss, tape.gradient(loss, logits)

    for plain, compiled in zip(
        step(logits), tf.function(step, jit_compile=True)(logits), strict=True
    ):
        np.testing.assert_allclose(plain, compiled, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("architecture", "keys", "message"),
    [
        ("panoptic_fpn", {"NUM_STUFF_CLASSES": 0}, "a class of stuff at least.*--format coco_pan"),
        ("panoptic_fpn", {"NUM_STUFF_CLASSES": 5}, "one of things beside the background"),
        ("panoptic_fpn", {"USE_MASK": False}, "USE_MASK is False; .* has True"),
        (
            "semantic_fpn",
            {"NUM_STUFF_CLASSES": 6},
            "NUM_STUFF_CLASSES is 6 and NUM_CLASSES 6; set both",
        ),
        ("semantic_fpn", {"NUM_STUFF_CLASSES": -1}, "NUM_STUFF_CLASSES is -1 and .* set both"),
        ("semantic_fpn", {"TILE_SIZE": 64}, "TILE_SIZE is 64; .*: regions are not joined"),
        (
            "panoptic_fpn",
            {"TEST_FLIP": True},
            "TEST_FLIP is True; .* merges instances, not regions",
        ),
        ("semantic_fpn", {"TEST_SCALES": (1, 2)}, r"TEST_SCALES is \(1, 2\); .* not regions"),
    ],
)
def test_keys_that_cannot_work_name_the_fix(architecture, keys, message):
    with pytest.raises(ValueError, match=message):
        config_of(architecture, **keys).validate()


# Keys of ROIs; with True those of boxes too, which a RetinaNet has.
UNUSED = [
    ({"OHEM_ROIS_PER_IMAGE": 8}, "None", False),
    ({"CLASS_WEIGHTS": {1: 2.0}}, "None", False),
    ({"SPP_LEVELS": (3, 1)}, "None", False),
    ({"BOX_CLASS_AGNOSTIC": True}, "False", False),
    ({"MASK_CLASS_AGNOSTIC": True}, "False", False),
    ({"ROI_ALIGN_MODE": "roi_pool"}, "no ROIs", False),
    ({"CLASS_LOSS": "focal"}, "'cross_entropy'", True),
    ({"BBOX_LOSS": "giou"}, "'smooth_l1'", True),
    ({"DETECTION_NMS": "linear"}, "'hard'", True),
    ({"DETECTION_NMS_CLASS_AGNOSTIC": True}, "False", True),
]


@pytest.mark.parametrize(("keys", "instead", "of_boxes"), UNUSED)
@pytest.mark.parametrize("architecture", ["semantic_fpn", "max_deeplab", "retinanet"])
def test_keys_that_a_member_would_pass_over_are_refused(architecture, keys, instead, of_boxes):
    presets = {
        "semantic_fpn": "detectron2/panoptic_fpn_R_50_3x",
        "max_deeplab": "deeplab2/max_deeplab_s_os16_res641_100k",
        "retinanet": "torchvision/retinanet_resnet50_fpn_v2",
    }
    keys = {"ARCHITECTURE": architecture, **keys}
    config = type("Own", (PRESETS[presets[architecture]],), keys)()
    if of_boxes and architecture == "retinanet":
        config.validate()
        return
    key = list(keys)[1]
    with pytest.raises(ValueError, match=f"{key} is .*; the .* '{architecture}' has {instead}"):
        config.validate()


def test_a_name_that_is_no_loss_is_refused(tmp_path):
    config = config_of("semantic_fpn", LOSS_WEIGHTS={"semantic": 2.0})
    with pytest.raises(ValueError, match=r"LOSS_WEIGHTS has \['semantic'\]; .*semantic_loss"):
        create("training", config, tmp_path)


def test_instance_heads_are_of_things_alone(tmp_path):
    model = create("inference", config_of("panoptic_fpn"), tmp_path)
    shapes = {name: tuple(w.shape) for name, w in named_weights(model.keras_model).items()}
    assert shapes["mrcnn_class_logits/kernel"] == (16, 4)  # background and three shapes
    assert shapes["semantic_logits/kernel"] == (1, 1, 8, 3)  # things, waves, sand
    assert shapes["semantic_p5_conv3/kernel"] == (3, 3, 8, 8)
    assert {f"semantic_p{level}_gn1/gamma" for level in (2, 3, 4, 5)} <= shapes.keys()
    assert "semantic_p3_conv2/kernel" not in shapes


def test_public_weights_are_of_the_preset():
    entry = registry.find("detectron2/panoptic_fpn_R_50_3x")
    assert entry.url.endswith(
        "COCO-PanopticSegmentation/panoptic_fpn_R_50_3x/139514569/model_final_c10459.pkl"
    )
    config = PRESETS[entry.preset]()
    assert registry.for_config("coco", config) is entry
    assert len(entry.classes) == config.NUM_CLASSES
    assert entry.classes[81] == "banner" and entry.classes[-1] == "rug-merged"


def test_mask_rcnn_learns_the_things_of_a_panoptic_data_set():
    (batch,) = DataGenerator(grounds(), PanopticConfig())[0]
    assert set(np.unique(batch["input_gt_class_ids"])) <= {0, 1, 2, 3}
