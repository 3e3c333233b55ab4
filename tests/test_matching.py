"""One-to-one matching of least cost."""

import numpy as np
import pytest
from keras import ops
from scipy.optimize import linear_sum_assignment
from tensors import f32

from mrcnn.ops.matching import match


def matched(costs, wanted=None):
    costs = np.array(costs, np.float32)
    wanted = np.ones(costs.shape[:2], bool) if wanted is None else np.array(wanted)
    return ops.convert_to_numpy(match(f32(costs), ops.convert_to_tensor(wanted)))


def test_the_best_of_each_row_is_not_the_best_of_all():
    # Both rows would like the first column: 1 + 9 there is more than 2 + 3.
    assert matched([[[1, 2, 7], [3, 9, 8]]]).tolist() == [[1, 0]]


def test_a_row_moves_along_a_path_of_three():
    # Row by row: 0 takes column 0; then 1 takes 0 and 0 moves to 1; then 2 takes 0, 1 moves to 1
    # and 0 to 2: 3 + 2 + 1.
    assert matched([[[1, 2, 3], [1, 2, 9], [1, 9, 9]]]).tolist() == [[2, 1, 0]]


def test_rows_that_are_not_wanted_take_nothing():
    costs = [[[1, 2], [0, 5]], [[1, 2], [0, 5]]]
    wanted = [[True, False], [False, True]]
    assert matched(costs, wanted).tolist() == [[0, -1], [-1, 0]]
    assert matched(costs, [[False] * 2, [True] * 2]).tolist() == [[-1, -1], [1, 0]]


def test_more_columns_change_nothing():
    rng = np.random.default_rng(0)
    costs = rng.random((4, 3, 5)).astype(np.float32)
    more = np.concatenate([costs, np.full((4, 3, 2), 9, np.float32)], axis=2)
    assert (matched(costs) == matched(more)).all()


def test_more_rows_than_columns_are_refused():
    with pytest.raises(ValueError, match="received 3, 2"):
        matched(np.zeros((1, 3, 2)))


@pytest.mark.parametrize("kind", ["ties", "probabilities", "large"])
def test_the_cost_is_that_of_scipy(kind):
    rng = np.random.default_rng(1)
    shape = (350, 6, 8)
    costs = {
        "ties": rng.integers(0, 4, shape).astype(float),
        "probabilities": -rng.random(shape),
        "large": 100 * rng.normal(size=shape),
    }[kind]
    costs = costs.astype(np.float32)
    wanted = rng.random(shape[:2]) < 0.8
    found = matched(costs, wanted)
    assert (found[~wanted] == -1).all()
    for cost, rows, columns in zip(costs, wanted, found, strict=True):
        own = columns[rows]
        assert len(set(own.tolist())) == rows.sum()
        assert (own >= 0).all()
        cost = cost[rows].astype(float)
        best = linear_sum_assignment(cost)
        np.testing.assert_allclose(
            cost[np.arange(len(own)), own].sum(), cost[best].sum(), rtol=1e-5, atol=1e-5
        )
        if kind != "ties":
            assert own.tolist() == best[1].tolist()
