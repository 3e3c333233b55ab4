"""Features that are computed a second time: blocks by hand, equal gradients, less memory."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tiny import TinyConfig, shapes, tiny_of

from mrcnn.config import Config
from mrcnn.data.generator import DataGenerator
from mrcnn.model import create
from mrcnn.network.efficientnet import efficientnet_lite0_graph
from mrcnn.network.norm import BatchNorm
from mrcnn.network.rematerialization import backbone_blocks
from mrcnn.network.resnet import resnet_graph
from mrcnn.network.training_model import TrainingModel
from mrcnn.settings import Losses
from mrcnn.training.freezing import set_trainable


def names_of(features):
    return [feature._keras_history.operation.name for feature in features]


def convs_of(model):
    """How many convolutions each block has."""
    kinds = "FoldedConv", "Conv2D", "DepthwiseConv2D"
    blocks = backbone_blocks(*model)
    return [[sum(type(x).__name__ in kinds for x in b.layers) for b in stage] for stage in blocks]


def test_a_block_of_a_resnet_is_a_bottleneck():
    """Three convolutions, four with a shortcut; the first has the stem's too."""
    images = keras.Input((64, 64, 3), name="input_image")
    features = resnet_graph(images, "resnet50", stage5=True)[1:]
    model = keras.Model(images, features), names_of(features)
    assert convs_of(model) == [[5, 3, 3], [4, 3, 3, 3], [4, 3, 3, 3, 3, 3], [4, 3, 3]]
    shapes_between = [block.output.shape[1:] for block in backbone_blocks(*model)[1]]
    assert shapes_between == 4 * [(8, 8, 512)]


def test_a_block_of_an_efficientnet_is_an_inverted_bottleneck():
    """Cut where features have few channels: after the stem and block1a 16, then 24."""
    images = keras.Input((64, 64, 3), name="input_image")
    features = efficientnet_lite0_graph(images)[1:]
    model = keras.Model(images, features), names_of(features)
    assert convs_of(model) == [[3, 3, 3], [3, 3], [3] * 6, [3] * 5]
    assert [block.output.shape[-1] for block in backbone_blocks(*model)[0]] == [16, 24, 24]


def test_what_is_used_twice_is_no_cut():
    """The sum needs the images of the block beside what its convolutions return."""
    images = keras.Input((4, 4, 2), name="input_image")
    x = images
    for _ in range(4):
        x = layers.Conv2D(2, 1)(x)
    feature = layers.Conv2D(2, 1)(layers.Add()([x, images]))
    model = keras.Model(images, feature), names_of([feature])
    assert convs_of(model) == [[4, 1]]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"BACKBONE": "keras/ResNet50"}, "REMATERIALIZE is True and BACKBONE 'keras/ResNet50'"),
        ({"TRAIN_BN": True}, "REMATERIALIZE is True and TRAIN_BN True; a block .* NORM = 'group'"),
        ({"TRAIN_BN": None}, "REMATERIALIZE is True and TRAIN_BN None"),
    ],
)
def test_what_cannot_be_computed_twice_is_refused(keys, told):
    config = Config()
    vars(config).update({"NAME": "x", "NUM_CLASSES": 2, "REMATERIALIZE": True, **keys})
    with pytest.raises(ValueError, match=told):
        config.validate()
    config.NORM, config.BACKBONE = "group", "resnet50"
    config.validate()


def small_network():
    """Two stages of a bottleneck with its sum, and a loss of both and of a weight."""
    images = keras.Input((16, 16, 3), name="input_image")
    weight, x, features = keras.Input((1,), name="weight"), images, []
    for stage in (2, 3):
        x = shortcut = layers.Conv2D(4, 3, 2, padding="same", name=f"res{stage}")(x)
        for _ in range(3):
            x = layers.ReLU()(BatchNorm(False)(layers.Conv2D(4, 3, padding="same")(x)))
        x = layers.Add(name=f"C{stage}")([x, shortcut])
        features.append(x)
    loss = ops.mean(ops.square(features[0])) + ops.mean(weight * ops.mean(features[1]))
    options = {"losses": ["loss"], "settings": Losses(weight_decay=0.0)}
    inputs = {"weight": weight, "input_image": images}
    recomputed = [None, ["C2", "C3"]]
    plain, again = (TrainingModel(inputs, [loss], **options, recomputed=x) for x in recomputed)
    rng = np.random.default_rng(0)
    plain.set_weights([rng.uniform(0.2, 1, x.shape) for x in plain.weights])
    batch = {"weight": np.ones((2, 1)), "input_image": rng.normal(size=(2, 16, 16, 3))}
    return plain, again, {name: np.float32(values) for name, values in batch.items()}


def step(model, batch):
    """A compiled function that returns the loss of a batch, and its gradients by the weights."""
    if keras.backend.backend() == "jax":
        import jax

        rest = [x.value for x in model.non_trainable_variables]

        def loss_of(trained):
            outputs, _ = model.stateless_call(trained, rest, batch, training=True)
            return sum(keras.tree.flatten(outputs)[-len(model.loss_names) :])

        trained = [x.value for x in model.trainable_variables]
        return lambda: jax.jit(jax.value_and_grad(loss_of))(trained)
    import tensorflow as tf

    @tf.function
    def loss_and_gradients():
        with tf.GradientTape() as tape:
            outputs = keras.tree.flatten(model(batch, training=True))
            loss = tf.add_n(outputs[-len(model.loss_names) :])
        trained = [x.value for x in model.trainable_variables]
        return loss, tape.gradient(loss, trained, unconnected_gradients="zero")

    return loss_and_gradients


def assert_same(plain, again, batch):
    (loss, expected), (found_loss, found) = step(plain, batch)(), step(again, batch)()
    np.testing.assert_allclose(loss, found_loss, rtol=1e-6)
    for a, b, weight in zip(expected, found, plain.trainable_variables, strict=True):
        a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        assert a.any()
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * abs(a).max(), err_msg=weight.path)


def test_losses_and_gradients_are_the_same():
    """Of the same weights: the two models share their layers."""
    plain, again, batch = small_network()
    assert [x.path for x in plain.weights] == [x.path for x in again.weights]
    assert_same(plain, again, batch)


def test_convolutions_are_computed_a_second_time():
    """All eight of the backbone, where their gradients are asked for."""
    plain, again, batch = small_network()
    if keras.backend.backend() == "jax":
        import jax

        counts = [str(jax.make_jaxpr(step(x, batch))()).count("checkpoint") for x in (plain, again)]
        assert counts[0] == 0 < counts[1]
        return
    graphs = (step(x, batch).get_concrete_function().graph for x in (plain, again))
    kinds = [[operation.type for operation in graph.get_operations()] for graph in graphs]
    assert [each.count("Conv2D") for each in kinds] == [8, 16]


def test_it_is_saved_and_loaded(tmp_path):
    _, again, _ = small_network()
    assert TrainingModel.from_config(again.get_config()).recomputed == ["C2", "C3"]


def lite(preset):
    """A tiny config with the smallest backbone that can be computed twice."""
    config = TinyConfig() if preset is None else tiny_of(preset)
    config.BACKBONE, config.TRAIN_BN = "efficientnet_lite0", False
    # P6 and P7 have one place: GroupNorm of 8 channels makes groups of one value, always 0.
    config.TOP_DOWN_PYRAMID_SIZE = 64
    return config


def network(config, folder, rematerialize):
    config.REMATERIALIZE = rematerialize
    model = create("training", config, folder).keras_model
    set_trainable(model, ".*")
    return model


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(
    "preset",
    [None, "torchvision/retinanet_resnet50_fpn_v2", "torchvision/maskrcnn_resnet50_fpn"],
)
def test_every_network_learns_the_same(preset, tmp_path):
    plain = network(lite(preset), tmp_path, False)
    again = network(lite(preset), tmp_path, True)
    again.set_weights(plain.get_weights())
    (batch,) = DataGenerator(shapes(2), lite(preset))[0]
    assert_same(plain, again, batch)
