"""matterport's wrapper for several devices: it warns, and does what the wrapped model does."""

import keras
import numpy as np
import pytest

from mrcnn.parallel_model import ParallelModel


@pytest.fixture
def inner():
    inputs = keras.Input((2,), name="x")
    return keras.Model(inputs, keras.layers.Dense(1, name="dense")(inputs), name="inner")


def wrap(inner, gpu_count=2):
    with pytest.warns(FutureWarning, match=f"one device, whatever gpu_count={gpu_count}"):
        return ParallelModel(inner, gpu_count)


def test_it_computes_what_the_wrapped_model_does(inner):
    inner.set_weights([np.array([[2.0], [3.0]]), np.array([1.0])])
    found = wrap(inner).predict(np.array([[1.0, 10.0], [0.0, 1.0]]), verbose=0)
    np.testing.assert_allclose(found, [[33.0], [4.0]])  # 2 + 30 + 1, 3 + 1


def test_it_trains_the_wrapped_model(inner):
    inner.set_weights([np.zeros((2, 1)), np.zeros(1)])
    model = wrap(inner)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(np.array([[1.0, 0.0]]), np.array([[5.0]]), verbose=0)
    # d (0 - 5)^2 / d weight = -10 * 1, rate 0.1 -> 1; the other input was 0.
    np.testing.assert_allclose(inner.get_weights()[0], [[1.0], [0.0]])
    np.testing.assert_allclose(inner.get_weights()[1], [1.0])


def test_saving_and_loading_reach_the_wrapped_model(inner, tmp_path):
    inner.set_weights([np.array([[2.0], [3.0]]), np.array([1.0])])
    model = wrap(inner)
    model.save_weights(tmp_path / "x.weights.h5")
    inner.set_weights([np.zeros((2, 1)), np.zeros(1)])
    inner.load_weights(tmp_path / "x.weights.h5")
    assert inner.get_weights()[0].tolist() == [[2.0], [3.0]]
    assert model.load_weights == inner.load_weights


def test_summary_prints_both(inner, capsys):
    wrap(inner).summary()
    printed = capsys.readouterr().out
    assert '"parallel_model' in printed and '"inner"' in printed


def test_make_parallel_returns_the_outputs(inner):
    assert wrap(inner).make_parallel() == inner.outputs
