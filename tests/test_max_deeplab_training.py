"""MaX-DeepLab from the data to the map: precision, nothing to find, sides, resuming, both sizes."""

import signal

import keras
import numpy as np
import pytest
from resumed import Signal
from test_max_deeplab import TinyConfig

from mrcnn.data.grounds import GroundsDataset
from mrcnn.data.label_generator import SegmentGenerator
from mrcnn.model import create
from mrcnn.network.named_weights import named_weights

pytestmark = pytest.mark.slow
NAMES = [
    *("pixel_space_mask_logits", "transformer_class_logits", "semantic_logits"),
    "pixel_space_normalized_feature",
]


class EmptyDataset(GroundsDataset):
    """Pictures of which nothing is known."""

    def load_panoptic(self, image_id):
        info = self.image_info[image_id]
        return np.zeros((info["height"], info["width"]), np.int32), []


def pictures(kind=GroundsDataset, count=4, height=65, width=65):
    dataset = kind()
    dataset.load_shapes(count, height, width, seed=1)
    dataset.prepare()
    return dataset


def with_keys(**keys):
    return type("KeysConfig", (TinyConfig,), keys)()


def losses_of(model, dataset):
    (batch,) = SegmentGenerator(dataset, model.config, shuffle=False)[0]
    graph = model.graphs["training"]
    return dict(zip(graph.loss_names, graph.predict_on_batch(batch), strict=True))


def values(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.keras_model.weights]


@pytest.mark.thorough
def test_bfloat16_loses_and_finds_nearly_the_same(tmp_path):
    dataset = pictures()
    models = [
        create("training", with_keys(PRECISION=precision), tmp_path)
        for precision in ("float32", "mixed_bfloat16")
    ]
    models[1].keras_model.set_weights(values(models[0]))
    expected, found = (losses_of(model, dataset) for model in models)
    for name, loss in expected.items():
        np.testing.assert_allclose(found[name], loss, rtol=0.05, atol=0.01, err_msg=name)
    image = dataset.load_image(0)
    arrays = [model.run_graph([image], NAMES) for model in models]
    for name in NAMES:
        exact, near = (each[name] for each in arrays)
        assert near.dtype == np.float32 and not np.array_equal(exact, near)
        assert np.abs(near - exact).mean() < 0.1 * exact.std(), name


def test_pictures_of_which_nothing_is_known_train_and_detect(tmp_path):
    dataset, config = pictures(EmptyDataset), with_keys(STEPS_PER_EPOCH=2)
    model = create("training", config, tmp_path)
    losses = losses_of(model, dataset)
    assert all(np.isfinite(loss) for loss in losses.values())
    for name in ("pq_mask_loss", "mask_id_loss", "instance_loss", "semantic_loss"):
        assert losses[name] == 0, name
    model.train(dataset, None, 0.001, 1, layers="all")
    assert all(np.isfinite(array).all() for array in values(model))
    (found,) = model.detect([dataset.load_image(0)])
    assert found["segmentation"].shape == (65, 65)


def test_pictures_of_any_sides_are_found_as_alone(tmp_path):
    config = with_keys(IMAGE_RESIZE_MODE="shortest_edge", IMAGE_MIN_DIM=33, IMAGE_MAX_DIM=97)
    config.PANOPTIC_MIN_CONFIDENCE = config.PANOPTIC_PIXEL_CONFIDENCE = 0.0
    config.PANOPTIC_THING_AREA = config.PANOPTIC_STUFF_AREA = 0
    model = create("inference", config, tmp_path)
    images = [
        pictures(count=1, height=height, width=width).load_image(0)
        for height, width in ((65, 65), (40, 90), (97, 33))
    ]
    together = model.detect(images)
    for image, found in zip(images, together, strict=True):
        (alone,) = model.detect([image])
        assert found["segmentation"].shape == image.shape[:2]
        assert (found["segmentation"] == alone["segmentation"]).mean() > 0.999
    logits = model.run_graph([images[1]], NAMES[:1])[NAMES[0]]  # 33 x 74 pixels, padded to 33 x 97
    assert logits.shape == (1, 9, 25, 10)


@pytest.mark.thorough
def test_it_resumes_to_the_bit(tmp_path):
    keys = {"STEPS_PER_EPOCH": 2, "DROP_PATH": 0.2, "NORM": "group", "OPTIMIZER": "adamw"}
    dataset, stop = pictures(), Signal(signal.SIGINT, step=3)

    def train(folder, seed, *callbacks):
        keras.utils.set_random_seed(seed)
        model = create("training", with_keys(**keys), folder)
        rate, epochs = 0.001, 2
        model.train(dataset, None, rate, epochs, "all", custom_callbacks=callbacks, resume=True)
        return values(model)

    undisturbed = train(tmp_path / "whole", 0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", 0, stop)
    resumed = train(tmp_path / "parts", 1)
    assert all(np.array_equal(*pair) for pair in zip(undisturbed, resumed, strict=True))


@pytest.mark.thorough
def test_the_large_size_is_deeplab2s(tmp_path):
    """Names as deeplab2's, and what is wide in it."""
    model = create("inference", with_keys(BACKBONE="max_deeplab_l", MAX_DEEPLAB_WIDTH=1), tmp_path)
    shapes = {
        name: tuple(weight.shape) for name, weight in named_weights(model.keras_model).items()
    }
    assert shapes["memory/feature"] == (1, 10, 512)
    assert shapes["stem_conv/kernel"] == (3, 3, 3, 64)
    assert shapes["stage1_block3_conv2_bn_conv/kernel"] == (3, 3, 128, 128)
    assert shapes["stage2_block1_conv1_bn_act_conv/kernel"] == (3, 3, 128, 256)
    assert shapes["stage5_block1_transformer_memory_conv1_bn_act_conv/kernel"] == (1, 1, 512, 512)
    assert any(name.startswith("decoder_stage10_extra_block3") for name in shapes)
