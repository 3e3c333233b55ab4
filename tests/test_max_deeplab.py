"""MaX-DeepLab: its outputs are deeplab2's, its maps and its truth are worked out by hand."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from recipes import GOLDEN, recipe_weights
from skimage import data
from test_deeplab2_files import object_name

from mrcnn.config import Config
from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.label_generator import SegmentGenerator
from mrcnn.data.panoptic import segment_map
from mrcnn.image.resampling import bilinear, nearest_corners
from mrcnn.image.resizing import resize_image
from mrcnn.inference.mask_transformer import masks_to_segments
from mrcnn.model import MaXDeepLab, create
from mrcnn.network.deeplab_blocks import Blocks
from mrcnn.network.named_weights import named_weights
from mrcnn.presets import PRESETS
from mrcnn.settings import Panoptic, Settings
from mrcnn.training.freezing import depth_of, layer_regex_of
from mrcnn.weights import load_state_dict

NAME = "max_deeplab_s_os16_res641_100k"
VOID = -1


class TinyConfig(PRESETS[f"deeplab2/{NAME}"]):
    NAME = "tiny"
    NUM_CLASSES = 6
    NUM_STUFF_CLASSES = 2
    IMAGE_MAX_DIM = 65
    IMAGES_PER_GPU = 2
    MAX_GT_INSTANCES = 8
    MASK_SLOTS = 10
    MAX_DEEPLAB_WIDTH = 0.1
    MAX_DEEPLAB_BLOCKS = (1, 1, 2, 1)
    SEED = 0


# Equal to deeplab2.


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / f"deeplab2_{NAME}.npz")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    class GoldenConfig(PRESETS[f"deeplab2/{NAME}"]):
        IMAGE_MAX_DIM = 321

    model = create("inference", GoldenConfig(), tmp_path_factory.mktemp("golden"))
    arrays = dict(recipe_weights(GOLDEN / f"deeplab2_{NAME}.recipe.json"))
    report = load_state_dict(model, arrays, "deeplab2")
    assert len(report["loaded"]) == len(arrays) == len(named_weights(model.keras_model))
    return model


@pytest.mark.slow
def test_the_outputs_are_deeplab2s(model, golden):
    names = ["pixel_space_mask_logits", "transformer_class_logits", "semantic_logits"]
    names += ["pixel_space_normalized_feature"]
    found = model.run_graph([data.astronaut()[:321, :321]], names)
    for name in names:
        array = found[name][0]
        if f"{name}_index" in golden:
            assert array.shape == tuple(golden[f"{name}_shape"])
            array = array.ravel()[golden[f"{name}_index"]]
        limit = 1e-3 * golden[name].std()
        np.testing.assert_allclose(array, golden[name], rtol=0, atol=limit)


@pytest.mark.slow
def test_the_panoptic_map_is_deeplab2s(model, golden):
    found = model.detect([data.astronaut()[:321, :321]])[0]
    labels = np.zeros(found["segmentation"].shape, np.int32)  # class * 256 + instance, as its
    for segment in found["segments"]:
        there = found["segmentation"] == segment["id"]
        instances = golden["instance_pred"][there] if segment["is_thing"] else np.zeros(1, int)
        labels[there] = segment["class_id"] * 256 + np.bincount(instances).argmax()
    assert (labels == golden["panoptic_pred"]).mean() >= 0.99
    assert {x["class_id"] for x in found["segments"]} == {5}  # airplane, by these weights


@pytest.mark.slow
@pytest.mark.thorough
def test_a_checkpoint_of_tensorflow_is_loaded_whole(model, tmp_path):
    """907 variables of a graph of objects, with what a training saves beside them."""
    tf = pytest.importorskip("tensorflow")
    root, arrays = tf.Module(), recipe_weights(GOLDEN / f"deeplab2_{NAME}.recipe.json")
    for name, array in arrays:
        *path, last = object_name(name).split("/")[1:]
        place = root
        for part in path:
            if not hasattr(place, part):
                setattr(place, part, tf.Module())
            place = getattr(place, part)
        setattr(place, last, tf.Variable(array))
    counter = tf.Variable(100_000, dtype=tf.int64)
    saved = tf.train.Checkpoint(model=root, global_step=counter).save(str(tmp_path / "ckpt"))
    expected = [np.array(weight) for weight in model.keras_model.weights]
    for weight in model.keras_model.weights:
        weight.assign(keras.ops.zeros_like(weight))
    report = model.load_weights(f"{saved}.index")
    assert len(report["loaded"]) == 907 and not report["missing"] and not report["unexpected"]
    for weight, array in zip(model.keras_model.weights, expected, strict=True):
        np.testing.assert_array_equal(np.array(weight), array, err_msg=weight.path)


# From masks to a map.


def segments_of(masks, classes, image_shape=(3, 3), window=None, **keys):
    """`masks` [N, 3, 3] of logits, `classes` [N, K] of shares."""
    logits = np.moveaxis(np.array(masks, float), 0, -1)
    window = window or (0, 0, *logits.shape[:2])
    keys = {"min_confidence": 0.7, "pixel_confidence": 0.4, "thing_area": 1, **keys}
    settings = Panoptic(**{"stuff_area": 1, **keys})
    place = (*image_shape, 3), (*logits.shape[:2], 3), window
    return masks_to_segments(logits, np.log(np.array(classes, float)), place, 3, settings)


LEFT = [[9, 9, 0]] * 3
RIGHT = [[0, 0, 9]] * 3
THING, STUFF, NONE = [0.8, 0.1, 0.05, 0.05], [0.05, 0.05, 0.8, 0.1], [0.1, 0.1, 0.1, 0.7]


def test_each_pixel_goes_to_the_mask_that_fits_best():
    # Molded at three times the size less two: corners stay corners.
    found = segments_of([LEFT, RIGHT], [STUFF, THING])
    assert found["segmentation"].tolist() == [[2, 2, 1]] * 3
    facts = [(x["id"], x["class_id"], x["is_thing"], x["area"]) for x in found["segments"]]
    assert facts == [(1, 1, True, 3), (2, 3, False, 6)]
    assert found["segments"][0]["score"] == pytest.approx(0.8)
    assert found["class_ids"].tolist() == [1]
    assert found["rois"].tolist() == [[0, 2, 3, 3]]
    assert found["masks"][:, :, 0].tolist() == [[False, False, True]] * 3


def test_uncertain_masks_leave_their_pixels_empty():
    found = segments_of([LEFT, RIGHT], [STUFF, NONE])
    assert found["segmentation"].tolist() == [[1, 1, 0]] * 3
    assert not len(found["class_ids"])
    found = segments_of([LEFT, RIGHT], [NONE, NONE])
    assert not found["segmentation"].any()
    assert found["segments"] == []
    assert found["masks"].shape == (3, 3, 0)


def test_pixels_that_fit_two_masks_alike_are_of_none():
    half = [[0, 0, 9]] * 3
    found = segments_of([LEFT, half], [STUFF, STUFF], pixel_confidence=0.6)
    assert found["segmentation"].tolist() == [[1, 1, 1]] * 3  # one class is one segment
    even = np.zeros((2, 3, 3))
    assert not segments_of(even, [THING, STUFF], pixel_confidence=0.6)["segmentation"].any()
    # Of equal logits each has a share of 0.5, which passes 0.4; the first wins.
    assert segments_of(even, [THING, STUFF])["segmentation"].tolist() == [[1] * 3] * 3


def test_small_segments_are_left_out():
    masks, classes = [LEFT, RIGHT], [STUFF, THING]
    assert len(segments_of(masks, classes, thing_area=3, stuff_area=6)["segments"]) == 2
    assert [x["class_id"] for x in segments_of(masks, classes, thing_area=4)["segments"]] == [3]
    assert [x["class_id"] for x in segments_of(masks, classes, stuff_area=7)["segments"]] == [1]
    # Two masks of one class of stuff count together.
    assert len(segments_of(masks, [STUFF, STUFF], stuff_area=9)["segments"]) == 1


def test_the_window_alone_is_resized_to_the_image():
    masks = [[[9, 9, 0], [9, 9, 0], [0, 0, 0]], [[0, 0, 9], [0, 0, 9], [9, 9, 9]]]
    found = segments_of(masks, [THING, STUFF], image_shape=(4, 6), window=(0, 0, 2, 3))
    assert found["segmentation"].shape == (4, 6)
    # Columns 0 to 5 lie at 0, 0.4, 0.8, 1.2, 1.6 and 2 of the three.
    assert found["segmentation"][0].tolist() == [1, 1, 1, 1, 2, 2]


def test_things_come_best_first():
    better = [0.05, 0.9, 0.025, 0.025]
    found = segments_of([LEFT, RIGHT], [THING, better])
    assert found["class_ids"].tolist() == [2, 1]
    assert found["scores"].tolist() == pytest.approx([0.9, 0.8])
    assert found["segmentation"].tolist() == [[2, 2, 1]] * 3


# Truth.


def test_segments_are_instances_and_classes_of_stuff():
    labels = np.array([[1, 1, 2, 4], [3, 3, 2, VOID]])
    masks = np.zeros((2, 4, 3), bool)
    masks[0, :2, 0] = masks[:, 2, 1] = masks[1, 3, 2] = True
    segments, classes = segment_map(masks, np.array([1, 2, -2]), labels, 3, 6)
    assert segments.tolist() == [[0, 0, 1, 3], [2, 2, 1, VOID]]  # the crowd is in none
    assert classes.tolist() == [1, 2, 3, 4, 0, 0]


def test_of_overlapping_instances_the_smaller_is_seen():
    masks = np.zeros((1, 4, 2), bool)
    masks[0, :, 0] = masks[0, 1, 1] = True
    segments, classes = segment_map(masks, np.array([1, 1]), np.ones((1, 4), int), 3, 2)
    assert segments.tolist() == [[0, 1, 0, 0]]
    assert classes.tolist() == [1, 1]


def test_the_smallest_of_too_many_are_in_none():
    labels = np.array([[3, 3, 3, 4, 1, 1]])
    masks = (labels == 1)[..., None]
    segments, classes = segment_map(masks, np.array([1]), labels, 3, 2)
    assert segments.tolist() == [[1, 1, 1, VOID, 0, 0]]
    assert classes.tolist() == [1, 3]


@pytest.fixture(scope="module")
def dataset():
    dataset = GroundsDataset()
    dataset.load_shapes(6, 65, 65, seed=1)
    dataset.prepare()
    return dataset


def test_batches_hold_segments(dataset):
    (batch,) = SegmentGenerator(dataset, TinyConfig(), shuffle=False)[0]
    assert set(batch) == {
        *("input_image", "input_image_meta", "input_gt_labels"),
        *("input_gt_segments", "input_gt_segment_classes"),
    }
    assert batch["input_gt_segments"].shape == (2, 65, 65)
    for image_id in range(2):
        ids, segments = dataset.load_panoptic(image_id)
        of_batch = batch["input_gt_segments"][image_id]
        classes = batch["input_gt_segment_classes"][image_id]
        assert sorted(classes[classes > 0]) == sorted(x["class_id"] for x in segments)
        for each in segments:
            inside = of_batch[ids == each["id"]]
            assert len(set(inside.tolist())) == 1
            assert classes[inside[0]] == each["class_id"]
            assert (batch["input_gt_labels"][image_id][ids == each["id"]] == each["class_id"]).all()


def test_crowds_are_void():
    class CrowdedDataset(GroundsDataset):
        def load_panoptic(self, image_id):
            ids, segments = super().load_panoptic(image_id)
            return ids, [{**x, "is_crowd": x["id"] == 3} for x in segments]

    dataset = CrowdedDataset()
    dataset.load_shapes(2, 65, 65, seed=1)
    dataset.prepare()
    (batch,) = SegmentGenerator(dataset, TinyConfig(), shuffle=False)[0]
    for image_id in range(2):
        ids, segments = dataset.load_panoptic(image_id)
        assert any(x["is_crowd"] for x in segments)
        for name in ("input_gt_segments", "input_gt_labels"):
            assert (batch[name][image_id][ids == 3] == VOID).all()
            assert (batch[name][image_id][ids != 3] != VOID).all()
        classes = batch["input_gt_segment_classes"][image_id]
        assert np.count_nonzero(classes) == len(segments) - 1


# Resizing from corner to corner.


def test_images_are_resized_from_corner_to_corner():
    image = np.array([[0, 10], [20, 30]], np.float32)
    found = bilinear(image, (3, 3), border="corners")
    assert found.tolist() == [[0, 5, 10], [10, 15, 20], [20, 25, 30]]
    assert nearest_corners(2, 4).tolist() == [0, 0, 1, 1]
    assert nearest_corners(5, 3).tolist() == [0, 2, 4]
    assert nearest_corners(1, 3).tolist() == [0, 0, 0]


def test_sides_are_padded_to_one_more_than_a_multiple():
    image = np.zeros((64, 100, 3), np.uint8)
    options = {"mode": "shortest_edge", "interpolation": "corners"}
    found, window, scale, padding, _ = resize_image(image, 65, 65, **options)
    assert found.shape == (65, 65, 3)
    assert window == (0, 0, 41, 65)  # 41.6, rounded down
    assert scale == 0.65
    assert padding == [(0, 24), (0, 0), (0, 0)]


@pytest.mark.parametrize(
    ("shape", "side", "interpolation", "size"),
    [
        ((64, 100), 65, "corners", (41, 65)),  # 41.6, rounded down
        ((64, 100), 65, "antialias", (42, 65)),
        ((30, 20), 64, "edge", (64, 42)),  # made larger
        ((64, 50), 64, "constant", (64, 50)),  # as it is
        ((2000, 1), 64, "corners", (64, 1)),
        ((640, 427), 641, "corners", (641, 427)),  # 427.67
    ],
)
def test_the_long_side_becomes_the_side(shape, side, interpolation, size):
    image = np.full((*shape, 3), 7, np.uint8)
    found = resize_image(image, None, side, mode="longest_edge", interpolation=interpolation)
    resized, window, scale, padding, crop = found
    assert resized.shape == (side, side, 3)
    assert window == (0, 0, *size)
    assert scale == side / max(shape)
    assert padding == [(0, side - size[0]), (0, side - size[1]), (0, 0)]
    assert crop is None
    assert not resized[size[0] :].any()
    assert not resized[:, size[1] :].any()


# The network.


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"BACKBONE": "resnet50"}, "BACKBONE is 'resnet50'"),
        ({"IMAGE_INTERPOLATION": "edge"}, "IMAGE_INTERPOLATION is 'edge'"),
        ({"MAX_DEEPLAB_BLOCKS": (1, 2)}, "four numbers of blocks"),
        ({"MAX_DEEPLAB_GAMMAS": 0.5}, "two numbers"),
        ({"MAX_DEEPLAB_WIDTH": 0}, "MAX_DEEPLAB_WIDTH is 0"),
        ({"DROP_PATH": 1.0}, "DROP_PATH is 1.0"),
        ({"MASK_SLOTS": 0}, "MASK_SLOTS is 0"),
        ({"USE_MINI_MASK": True}, "USE_MINI_MASK is True"),
        ({"IMAGE_BUCKETS": [(65, 65)]}, "IMAGE_BUCKETS has no effect in mode 'longest_edge'"),
        (
            {"IMAGE_BUCKETS": [(64, 65)], "IMAGE_RESIZE_MODE": "shortest_edge"},
            "one more than multiples of 16",
        ),
        ({"IMAGE_MAX_DIM": 128}, "such as 129 or 145"),
        ({"TEST_FLIP": True}, "merges instances, not regions"),
        ({"PANOPTIC_PIXEL_CONFIDENCE": 2}, "PANOPTIC_PIXEL_CONFIDENCE is 2"),
    ],
)
def test_what_cannot_work_is_refused(keys, message, tmp_path):
    config = TinyConfig()
    for key, value in keys.items():
        setattr(config, key, value)
    with pytest.raises(ValueError, match=message):
        MaXDeepLab("inference", config, tmp_path)


def test_group_norm_is_of_each_image_in_attention_too():
    class GroupConfig(TinyConfig):
        NORM = "group"

    settings = Settings.from_config(GroupConfig())
    blocks = Blocks(settings.mask_transformer, settings.style)
    inputs = keras.Input((5, 5, 32))
    model = keras.Model(inputs, blocks.block(inputs, "block1", 16, stride=16))
    kinds = {x.name: type(x) for x in model.layers if "batch_norm" in x.name}
    assert set(kinds.values()) == {keras.layers.GroupNormalization}
    assert "block1_conv3_bn_batch_norm" in kinds
    attention = model.get_layer("block1_attention_width_axis")
    assert attention.similarity.per_image and attention.retrieved.per_image


def test_a_block_that_shrinks_projects_its_shortcut():
    settings = Settings.from_config(TinyConfig())
    blocks = Blocks(settings.mask_transformer, settings.style)
    features = blocks.block(keras.Input((5, 5, 64)), "block1", 16, stride=4, strides=2)
    assert features.shape == (None, 3, 3, 64)


def test_others_keep_their_backbones():
    class WrongConfig(Config):
        NAME = "wrong"
        NUM_CLASSES = 2
        BACKBONE = "max_deeplab_s"

    with pytest.raises(ValueError, match="BACKBONE is 'max_deeplab_s'"):
        WrongConfig().validate()


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    class TrainedConfig(TinyConfig):
        TRAIN_BN = True
        STEPS_PER_EPOCH = (
            6  # what ends a block starts as nothing, so the first steps do not reach it
        )
        VALIDATION_STEPS = 1

    model = create("training", TrainedConfig(), tmp_path_factory.mktemp("trained"))
    before = {name: w.numpy() for name, w in named_weights(model.keras_model).items()}
    model.train(dataset, dataset, 0.05, 1, layers="all")
    return model, before


@pytest.mark.slow
def test_a_step_moves_every_weight(trained):
    model, before = trained
    now = {name: w.numpy() for name, w in named_weights(model.keras_model).items()}
    still = [name for name in now if (now[name] == before[name]).all()]
    # A softmax leaves out what is the same for all keys.
    assert [name for name in still if not name.endswith("batch_norm_similarity/beta")] == []


@pytest.mark.slow
def test_all_behind_the_backbone_are_heads(trained):
    layers = {name.split("/")[0] for name in named_weights(trained[0].keras_model)}
    stages = {name: re.match(r"stem_|stage(\d)_", name) for name in layers}
    # The stem is 5 stages below the heads, stage 2 4, ..., stage 5 1.
    expected = {name: at and (6 - int(at[1]) if at[1] else 5) for name, at in stages.items()}
    assert {name: depth_of(name) or None for name in layers} == expected
    assert {*expected.values()} == {None, 1, 2, 3, 4, 5}
    assert all(re.fullmatch(layer_regex_of("heads"), x) for x in layers if expected[x] is None)


@pytest.mark.slow
def test_a_checkpoint_finds_the_same(trained, dataset, tmp_path):
    model, _ = trained
    path = tmp_path / "weights.h5"
    model.save_weights(path)
    config = type(model.config)()
    config.PANOPTIC_MIN_CONFIDENCE = config.PANOPTIC_PIXEL_CONFIDENCE = 0.0
    config.PANOPTIC_THING_AREA = config.PANOPTIC_STUFF_AREA = 0
    other = create("inference", config, tmp_path)
    report = other.load_weights(path)
    assert report["missing"] == report["unexpected"] == []
    image = dataset.load_image(0)
    names = ["pixel_space_mask_logits", "transformer_class_logits"]
    found = [each.run_graph([image], names) for each in (model, other)]
    for name in names:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-4, atol=1e-4)
    detected = other.detect([image, dataset.load_image(1)[:40]])
    assert detected[0]["segmentation"].shape == (65, 65)
    assert detected[1]["segmentation"].shape == (40, 65)
    assert all(detected[0]["segmentation"].ravel() > 0)
    alone = other.detect([image])[0]["segmentation"]
    assert (detected[0]["segmentation"] == alone).mean() > 0.999


@pytest.mark.slow
def test_folded_is_the_same(trained, dataset):
    model, _ = trained
    molded, metas, _ = model.mold_inputs([dataset.load_image(0)])
    inputs = {"input_image": molded, "input_image_meta": metas}
    whole, folded = (model.graphs[name](inputs) for name in ("inference", "detection"))
    for name, array in folded.items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(array), ops.convert_to_numpy(whole[name]), rtol=1e-3, atol=1e-3
        )


@pytest.mark.slow
@pytest.mark.thorough
def test_the_sample_trains_evaluates_and_draws(tmp_path):
    path = Path(__file__).parents[1] / "samples" / "panoptic" / "panoptic.py"

    def run(*arguments):
        command = [sys.executable, str(path), *arguments, "--logs", str(tmp_path / "logs")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("train", "--steps", "1", "--epochs", "1")
    scores = run("evaluate", "--weights", "last")
    assert re.search(r"^triangle +\d", scores, re.MULTILINE)
    run("draw", "--weights", "last")
    assert (tmp_path / "maps" / "panoptic.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.thorough
def test_jax_finds_and_loses_the_same(run_python, dataset, tmp_path):
    model = create("training", TinyConfig(), tmp_path)
    model.save_weights(tmp_path / "weights.h5")
    (batch,) = SegmentGenerator(dataset, TinyConfig(), shuffle=False)[0]
    np.savez(tmp_path / "batch.npz", **batch)
    run_python(
        "import sys\n"
        f"sys.path.append({str(Path(__file__).parent)!r})\n"
        "import numpy as np\n"
        "from mrcnn.model import create\n"
        "from test_max_deeplab import TinyConfig, outputs_of\n"
        f"model = create('training', TinyConfig(), {str(tmp_path)!r})\n"
        f"model.load_weights({str(tmp_path / 'weights.h5')!r})\n"
        f"found = outputs_of(model, dict(np.load({str(tmp_path / 'batch.npz')!r})))\n"
        f"np.savez({str(tmp_path / 'found.npz')!r}, **found)\n",
        backend="jax",
    )
    expected, found = outputs_of(model, batch), np.load(tmp_path / "found.npz")
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-3 * (array.std() or 1))


def outputs_of(model, batch):
    """Losses of a batch, and what is found in its pictures, by name."""
    graph = model.graphs["training"]
    losses = graph.predict_on_batch(batch)
    names = ("input_image", "input_image_meta")
    found = model.graphs["detection"].predict_on_batch({name: batch[name] for name in names})
    return {**dict(zip(graph.loss_names, map(np.asarray, losses), strict=True)), **found}
