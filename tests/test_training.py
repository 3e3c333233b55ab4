"""The total loss by hand, what trains, and the checkpoint callback."""

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.config import Config
from mrcnn.network import BatchNorm, TrainingModel
from mrcnn.network.training_model import decayed_weights
from mrcnn.settings import Losses
from mrcnn.training import Checkpoint
from mrcnn.training.finite import FiniteLoss
from mrcnn.training.freezing import layer_regex_of, set_trainable, warn_of_heads_alone
from mrcnn.training.progress import Progress


@keras.saving.register_keras_serializable()
class Halves(keras.layers.Layer):
    """Two scalar 'losses' of [B, 2]: the mean of each column."""

    def call(self, x):
        return ops.mean(x[:, 0]), ops.mean(x[:, 1])


@pytest.fixture
def model():
    inputs = keras.Input((2,), name="x")
    hidden = keras.layers.Dense(2, name="dense")(inputs)
    hidden = BatchNorm(train_bn=False, name="bn")(hidden)
    first, second = Halves()(hidden)
    model = TrainingModel(
        [inputs],
        [first, second],
        losses=["a", "b"],
        settings=Losses(weights={"a": 2.0, "b": 0.5}, weight_decay=0.1),
    )
    dense, bn = model.get_layer("dense"), model.get_layer("bn")
    dense.set_weights([np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 3.0])])
    bn.set_weights([np.array([10.0, 10.0]), np.zeros(2), np.zeros(2), np.full(2, 1 - 1e-3)])
    return model


def test_total_is_weighted_losses_and_decay_over_size(model):
    outputs = [ops.convert_to_tensor(4.0), ops.convert_to_tensor(6.0)]
    # 2 * 4 + 0.5 * 6 = 11; kernel (1 + 4 + 9 + 16) / 4 = 7.5, bias (1 + 9) / 2 = 5:
    # 0.1 * 12.5 = 1.25; BatchNorm's gamma of 10 does not count.
    assert float(model.compute_loss(y_pred=outputs)) == pytest.approx(12.25)
    logged = {metric.name: float(metric.result()) for metric in model.metrics}
    assert logged == pytest.approx({"loss": 12.25, "a": 4.0, "b": 6.0})


def test_frozen_weights_do_not_decay(model):
    model.get_layer("dense").trainable = False
    assert decayed_weights(model) == []
    outputs = [ops.convert_to_tensor(4.0), ops.convert_to_tensor(6.0)]
    assert float(model.compute_loss(y_pred=outputs)) == pytest.approx(11.0)


def test_a_step_descends_the_total(model):
    # One example (1, 0): hidden = (1 + 1, 2 + 3) = (2, 5), BatchNorm * 10 -> a = 20, b = 50.
    # d total / d kernel[0, 0] = 2 * 10 * 1 + 0.1 * 2 * 1 / 4 = 20.05; rate 0.1 -> 1 - 2.005.
    model.compile(keras.optimizers.SGD(0.1))
    logs = model.train_on_batch(np.array([[1.0, 0.0]]), return_dict=True)
    assert logs["a"] == pytest.approx(20.0) and logs["b"] == pytest.approx(50.0)
    kernel = model.get_layer("dense").get_weights()[0]
    assert kernel[0, 0] == pytest.approx(1 - 2.005)
    # Column 1: 0.5 * 10 * 1 + 0.1 * 2 * 2 / 4 = 5.1 -> 2 - 0.51.
    assert kernel[0, 1] == pytest.approx(1.49)


def test_checkpoint_counts_epochs_from_one():
    paths = []
    callback = Checkpoint(paths.append, "w_{epoch:04d}.h5")
    callback.on_epoch_end(0)
    callback.on_epoch_end(41)
    assert paths == ["w_0001.h5", "w_0042.h5"]


def test_decay_by_half_the_squares(model):
    model.settings = dataclasses.replace(model.settings, decay_by_size=False)
    outputs = [ops.convert_to_tensor(4.0), ops.convert_to_tensor(6.0)]
    # 11; kernel 1 + 4 + 9 + 16 = 30, bias 1 + 9 = 10: 0.1 * (30 + 10) / 2 = 2.
    assert float(model.compute_loss(y_pred=outputs)) == pytest.approx(13.0)


def test_gradient_of_half_the_squares_is_the_weight(model):
    # As `test_a_step_descends_the_total`: 20 + 0.1 * 1 and 5 + 0.1 * 2, rate 0.1.
    model.settings = dataclasses.replace(model.settings, decay_by_size=False)
    model.compile(keras.optimizers.SGD(0.1))
    model.train_on_batch(np.array([[1.0, 0.0]]), return_dict=True)
    kernel = model.get_layer("dense").get_weights()[0]
    assert kernel[0].tolist() == pytest.approx([1 - 2.01, 2 - 0.52])
    # No input reaches the second row: 0.1 * 0.1 * 3 and 4.
    assert kernel[1].tolist() == pytest.approx([3 - 0.03, 4 - 0.04])


def test_decay_by_half_the_squares_is_a_setting():
    inputs = keras.Input((2,), name="x")
    hidden = keras.layers.Dense(2, name="dense")(inputs)
    first, second = Halves()(hidden)
    settings = Losses(weights={"a": 1.0, "b": 1.0}, weight_decay=0.1, decay_by_size=False)
    model = TrainingModel([inputs], [first, second], losses=["a", "b"], settings=settings)
    model.get_layer("dense").set_weights([np.full((2, 2), 2.0), np.zeros(2)])
    # 0.1 * (4 * 4) / 2 = 0.8
    outputs = [ops.convert_to_tensor(0.0), ops.convert_to_tensor(0.0)]
    assert float(model.compute_loss(y_pred=outputs)) == pytest.approx(0.8)


def test_a_loss_weight_that_is_left_out_keeps_the_default():
    class Heavy(Config):
        LOSS_WEIGHTS = {"mrcnn_mask_loss": 2.0}  # noqa: RUF012

    expected = dict.fromkeys(Config.LOSS_WEIGHTS, 1.0) | {"mrcnn_mask_loss": 2.0}
    assert Losses.from_config(Heavy()).weights == expected


@pytest.mark.parametrize(
    ("layers", "trained"),
    [("4+", ["rpn_conv"]), ("heads", ["rpn_conv"]), ("all", ["stem", "rpn_conv"])],
)
def test_a_group_that_finds_no_stage_of_the_backbone_warns(layers, trained, recwarn):
    inputs = keras.Input((4,))
    x = keras.layers.Dense(2, name="stem")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="rpn_conv")(x))
    set_trainable(model, layer_regex_of(layers))
    warn_of_heads_alone(model, layers)
    assert [layer.name for layer in model.layers if layer.trainable_weights] == trained
    said = [str(warning.message) for warning in recwarn]
    assert len(said) == (layers == "4+")
    assert all(words.startswith("layers='4+' trains the heads alone") for words in said)


class FakeModel:
    """As much of a model as `FiniteLoss` looks at; its mean is no number."""

    metrics = (keras.metrics.Mean(),)
    trainable_variables = ()


def test_a_validation_that_is_no_number_ends_no_training():
    model = FakeModel()
    dataset = SimpleNamespace(image_info=[{"path": "a.png"}, {"path": "b.png"}])
    ahead = {0: [0], 7: [1]}  # a worker made the eighth batch, or it is of the epoch before
    finite = FiniteLoss(SimpleNamespace(made_of=ahead, first_step=0, dataset=dataset))
    finite.set_model(model)
    finite.on_epoch_begin(0)
    finite.on_test_begin()
    model.metrics[0].update_state(float("nan"))  # of the validation
    finite.on_epoch_end(0)
    finite.check()
    finite.on_epoch_begin(1)
    finite.on_train_batch_begin(0)
    with pytest.raises(FloatingPointError, match=r"nan from step 1 .* Image 0 \(a.png\)"):
        finite.check()


def test_progress_of_an_epoch_that_has_no_step_left(tmp_path, capsys):
    progress = Progress(tmp_path / "train.log")
    progress.set_params({"verbose": 1, "epochs": 3, "steps": 0})
    progress.on_epoch_begin(0)
    progress.on_epoch_end(0, {"loss": 2.0})
    progress.set_params({"verbose": 1, "epochs": 3, "steps": 4})
    progress.on_epoch_begin(1)
    assert progress.total == 8
    assert "epoch 1 of 3: loss 2\n" in capsys.readouterr().out
