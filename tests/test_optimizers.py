"""Updates of weights, worked out by hand on a layer of two weights and a bias."""

import keras
import numpy as np
import pytest
from keras import layers

from mrcnn.config import Config
from mrcnn.settings import Optimization
from mrcnn.training.freezing import depth_of, trained_depths
from mrcnn.training.optimizers import by_variable, make_optimizer
from mrcnn.training.saving import swap_averages


def net():
    """A stem, stage 5 and a head: each one kernel of 1 and one bias of 1."""
    x = inputs = keras.Input((1,))
    for name in ("stem", "res5a", "mrcnn_class"):
        x = layers.Dense(1, kernel_initializer="ones", bias_initializer="ones", name=name)(x)
    return keras.Model(inputs, x)


def optimizer(model, rate=0.1, **keys):
    config = Config()
    vars(config).update({"GRADIENT_CLIP_NORM": None, "LEARNING_MOMENTUM": 0.0, **keys})
    return make_optimizer(Optimization.from_config(config), rate, model)


def updated(model, made, *gradients):
    """The weights after updates with these gradients, alike for all weights."""
    for gradient in gradients:
        made.apply([keras.ops.full(w.shape, gradient) for w in model.trainable_variables])
    return [float(np.squeeze(keras.ops.convert_to_numpy(w))) for w in model.trainable_variables]


def test_defaults_are_the_sgd_of_keras():
    assert type(optimizer(net())) is keras.optimizers.SGD


def test_layers_further_down_have_smaller_rates():
    model = net()
    made = optimizer(model, LAYER_DECAY=0.5)
    assert trained_depths(model) == [5, 5, 1, 1, 0, 0]
    # 1 - rate * decay^depth * gradient: 0.1 / 32 and 0.1 / 2 and 0.1 of a gradient of 2.
    expected = [1 - 0.2 / 32] * 2 + [0.9] * 2 + [0.8] * 2
    assert updated(model, made, 2.0) == pytest.approx(expected, abs=1e-6)


def test_frozen_layers_have_no_part():
    model = net()
    model.get_layer("stem").trainable = False
    made = optimizer(model, LAYER_DECAY=0.5)
    assert updated(model, made, 2.0) == pytest.approx([0.9, 0.9, 0.8, 0.8], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("mrcnn_mask", 0),
        ("rpn_conv_shared", 0),
        ("fpn_p2", 0),
        ("res5c_branch2a", 1),
        ("bn4a_branch1", 2),
        ("res3a_branch2b", 3),
        ("res2a_branch2a", 4),
        ("conv1", 5),
        ("bn_conv1", 5),
        ("block7a_expand_conv", 1),
        ("block4b_project_bn", 2),
        ("block3a_expand_conv", 3),
        ("block1a_project_conv", 5),
        ("stem_conv", 5),
        ("my_layer", 5),
        ("transformer_class_head_conv", 0),
        ("pixel_space_mask_logits", 0),
        ("class_feature_extra_conv", 0),
        ("memory", 0),
        ("decoder_stage1_extra_block1_conv1_bn_act_conv", 0),
        ("stage5_block1_transformer_memory_ffn_conv1_bn_act_conv", 1),
        ("stem_conv1_bn_act_conv", 5),
    ],
)
def test_depth_of_a_layer(name, depth):
    assert depth_of(name) == depth


def test_adamw_decays_apart_from_the_gradient():
    # Adam's first step is the rate's sign of the gradient. First 1 - 0.1 * 0.5 * 1 = 0.95, then
    # - 0.1; of a bias without decay 1 - 0.1.
    model = net()
    made = optimizer(model, OPTIMIZER="adamw", WEIGHT_DECAY=0.5, WEIGHT_DECAY_BIASES=False)
    assert updated(model, made, 3.0) == pytest.approx([0.85, 0.9] * 3, abs=1e-5)
    model = net()
    made = optimizer(model, OPTIMIZER="adamw", WEIGHT_DECAY=0.5)
    assert updated(model, made, 3.0) == pytest.approx([0.85] * 6, abs=1e-5)


def test_norms_do_not_decay():
    x = inputs = keras.Input((1,))
    x = layers.BatchNormalization(name="bn5a")(x)
    model = keras.Model(inputs, layers.Dense(1, name="rpn_class")(x))
    settings = Optimization(optimizer="adamw", weight_decay=0.5, layer_decay=0.5)
    own = by_variable(settings, model)  # gamma, beta, kernel, bias
    assert own == {"factors": [0.5, 0.5, 1, 1], "decays": [0, 0, 0.5, 0.5]}


def test_accumulation_updates_with_the_mean():
    model = net()
    made = optimizer(model, ACCUMULATION_STEPS=2)
    assert updated(model, made, 1.0) == [1.0] * 6
    assert updated(model, made, 3.0) == pytest.approx([0.8] * 6, abs=1e-6)  # 1 - 0.1 * (1 + 3) / 2
    assert int(made.iterations) == 1


def averages(model, made):
    updated(model, made)
    swap_averages_of(model, made)
    values = updated(model, made)
    swap_averages_of(model, made)
    return values


def swap_averages_of(model, made):
    model.optimizer = made
    swap_averages(model)


@pytest.mark.parametrize(("steps", "average"), [(1, 0.85), (2, 0.9 - 0.2 * (1 - 0.75**0.5))])
def test_averages_are_of_updates(steps, average):
    # Weights 0.9 and 0.7 after one and two updates: 0.9, then 0.75 * 0.9 + 0.25 * 0.7 = 0.85. Of
    # two batches each brings the square root: the second follows with the next update's first.
    model = net()
    made = optimizer(model, EMA_MOMENTUM=0.75, ACCUMULATION_STEPS=steps)
    updated(model, made, *[1.0] * steps)
    assert averages(model, made) == pytest.approx([0.9] * 6, abs=1e-6)
    weights = updated(model, made, *[2.0] * steps)
    assert weights == pytest.approx([0.7] * 6, abs=1e-6)
    assert averages(model, made) == pytest.approx([average] * 6, abs=1e-6)
    assert updated(model, made) == weights  # swapped there and back, to the bit
    if steps == 2:
        updated(model, made, 2.0)
        assert averages(model, made) == pytest.approx([0.85] * 6, abs=1e-6)


def test_the_end_of_fit_leaves_the_weights():
    model = net()
    made = optimizer(model, EMA_MOMENTUM=0.75)
    weights = updated(model, made, 1.0, 2.0)
    made.finalize_variable_values(model.trainable_variables)
    assert updated(model, made) == weights
