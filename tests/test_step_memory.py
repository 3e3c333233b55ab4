"""What a training step will need: counted by hand, told, and warned of."""

import keras
import pytest
from keras import layers
from tiny import TinyConfig, shapes

from mrcnn.data.generator import DataGenerator
from mrcnn.model import MaskRCNN
from mrcnn.network.training_model import TrainingModel
from mrcnn.settings import Losses
from mrcnn.training import device_memory
from mrcnn.training.step_memory import describe_step, step_bytes, training_sides


def network():
    """A frozen convolution, a trained one with a BatchNorm, and a part that is used twice."""
    features = keras.Input((None, None, 2))
    head = keras.Model(features, layers.ReLU()(layers.Conv2D(5, 1)(features)))
    images = keras.Input((None, None, 3))
    x = layers.ReLU()(layers.Conv2D(4, 3, padding="same", trainable=False)(images))
    x = layers.BatchNormalization()(layers.Conv2D(2, 1, strides=2)(x))
    model = keras.Model(images, [head(x), head(layers.MaxPooling2D()(x))])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    return model


def test_weights_gradients_and_features_by_hand():
    needed = step_bytes(network(), 3, (8, 16))
    frozen, conv, norm, head = 3 * 3 * 3 * 4 + 4, 4 * 2 + 2, 4 * 2, 2 * 5 + 5
    trained = conv + norm // 2 + head
    # Of the optimizer: a momentum for each trained weight; the rate and the count of updates, an
    # int32 or int64.
    rest = needed["weights"] - 4 * (frozen + conv + norm + head + trained)
    assert rest in (4 + 4, 4 + 8)
    assert needed["gradients"] == 4 * trained
    # What follows the first trained layer: 2 channels of 4 x 8, half of that pooled; 5 channels
    # of both, twice, as the layers of the head keep their own.
    assert needed["features"] == 4 * 3 * (2 * 32 + 2 * 8 + 2 * 5 * 32 + 2 * 5 * 8)


@pytest.mark.parametrize(("again", "kept"), [(False, 7), (True, 5)])
def test_a_backbone_that_is_run_again_keeps_what_its_blocks_return(again, kept):
    """Blocks of three, three and one of seven convolutions: four results are inside, of which two
    are there at a time."""
    x = images = keras.Input((None, None, 1), name="input_image")
    for _ in range(6):
        x = layers.Conv2D(2, 1)(x)
    x = layers.Conv2D(2, 1, name="C2")(x)
    options = {"losses": ["loss"], "settings": Losses(), "recomputed": ["C2"] if again else None}
    model = TrainingModel(images, [keras.ops.mean(x)], **options)
    model.compile(keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    assert step_bytes(model, 3, (8, 4))["features"] == 4 * (3 * 8 * 4 * 2 * kept + 1)  # the loss


def test_half_precision_takes_half():
    images = keras.Input((4, 4, 3))
    model = keras.Model(images, layers.Conv2D(2, 1, dtype="mixed_bfloat16")(images))
    model.compile(keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    assert step_bytes(model, 1, (4, 4))["features"] == 2 * 16 * 2


def test_other_models_inside_count_by_what_they_return():
    images = keras.Input((4, 4, 3))
    inside = keras.Sequential([layers.Conv2D(9, 1), layers.Conv2D(2, 1)])
    model = keras.Model(images, inside(images))
    model.compile(keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    assert step_bytes(model, 1, (4, 4))["features"] == 4 * 16 * 2


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = MaskRCNN("training", TinyConfig(), tmp_path_factory.mktemp("logs"))
    model.set_trainable(".*", verbose=0)
    model.compile(0.01, 0.9)
    return model


def test_it_is_told_and_warned_of(model, monkeypatch):
    text, warning = describe_step(model.keras_model, model.settings, (64, 64))
    assert text == "A step of 2 images of 64 x 64 will need about 0.0 GiB" and warning is None
    monkeypatch.setattr("mrcnn.training.device_memory._Process.limit", lambda self: 2**20)
    again, warning = describe_step(model.keras_model, model.settings, (64, 64))
    assert again == text
    assert warning.startswith(f"{text}; there are 0.0 GiB. What helps: IMAGES_PER_GPU = 1 (it is 2")


@pytest.mark.parametrize("device", [device_memory._Process, device_memory._TensorFlowGPU])
def test_a_system_that_does_not_say_sets_no_limit(device, monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(device_memory, "_kilobytes", missing)
    monkeypatch.setattr(device_memory.subprocess, "run", missing)
    assert device().limit() == float("inf")


def test_counting_changes_nothing(model):
    names = [layer.name for layer in model.keras_model.layers]
    first = step_bytes(model.keras_model, 2, (64, 64))
    assert step_bytes(model.keras_model, 2, (64, 64)) == first
    assert [layer.name for layer in model.keras_model.layers] == names


@pytest.mark.parametrize(
    ("keys", "sides"),
    [
        ({"IMAGE_RESIZE_MODE": "crop"}, "64 x 64"),
        ({"IMAGE_RESIZE_MODE": "pad64"}, "128 x 128"),
        ({"IMAGE_RESIZE_MODE": "none"}, "128 x 128"),
        ({"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_MAX_DIM": 128}, "64 x 128"),
        ({"USE_MINI_MASK": False}, "64 x 64"),
        ({"USE_MASK": False, "IMAGES_PER_GPU": 1}, "1 image of 64 x 64"),
    ],
)
def test_every_mode_is_counted(tmp_path, keys, sides):
    """Of pictures of 128 x 128, which two modes leave as they are."""
    config = type("Mode", (TinyConfig,), keys)()
    model = MaskRCNN("training", config, tmp_path)
    model.compile(0.01, 0.9)
    generator = DataGenerator(shapes(side=128), model.settings)
    counted = training_sides(generator)
    assert sides in describe_step(model.keras_model, model.settings, counted)[0]
    objects = generator.seen.counts.sum()
    looked_at = keys.get("IMAGE_RESIZE_MODE") in ("pad64", "none")
    assert (objects > 0) == looked_at
    generator[0]
    assert (generator.seen.counts.sum() == objects) == looked_at  # its batch is made once


@pytest.mark.slow
def test_a_training_tells_it_once_for_each_step_that_is_compiled(tmp_path, capsys, monkeypatch):
    model = MaskRCNN("training", TinyConfig(), tmp_path)
    model.set_trainable("(fpn|rpn|mrcnn)_.*", verbose=0)
    model.compile(0.01, 0.9)
    heads = step_bytes(model.keras_model, 2, (64, 64))
    monkeypatch.setattr("mrcnn.training.device_memory._Process.limit", lambda self: 2**20)
    with pytest.warns(UserWarning, match=r"A step of 2 .*; there are 0.0 GiB. What helps: IMAGES"):
        model.train(shapes(), None, 0.01, 1, "all")
    monkeypatch.undo()
    model.train(shapes(), None, 0.01, 2, "all")
    everything = step_bytes(model.keras_model, 2, (64, 64))
    assert all(heads[name] < everything[name] for name in heads)
    assert capsys.readouterr().out.count("A step of 2 images of 64 x 64 will need about") == 1
