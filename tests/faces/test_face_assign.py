"""The assignment against trying everything, and against SciPy (which comes with scikit-image)."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from unmask.faces.assign import assign

costs = st.integers(0, 4).flatmap(
    lambda columns: st.lists(
        st.lists(st.one_of(st.floats(0, 3), st.just(math.inf)), min_size=columns, max_size=columns), max_size=4
    )
)


@given(costs, st.floats(0.1, 3))
def test_no_pairing_is_cheaper(cost: list[list[float]], limit: float) -> None:
    rows, columns = len(cost), len(cost[0]) if cost else 0
    pairs = assign(cost, limit)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(cost[row][column] < limit for row, column in pairs)
    total = sum(cost[row][column] for row, column in pairs) + limit * (rows - len(pairs))
    best = min(
        sum(cost[row][column] for row, column in zip(some, order, strict=True)) + limit * (rows - size)
        for size in range(min(rows, columns) + 1)
        for some in combinations(range(rows), size)
        for order in permutations(range(columns), size)
    )
    assert total == pytest.approx(best, abs=1e-9)


def test_many_faces() -> None:
    rng = np.random.default_rng(5)
    for shape in ((12, 30), (30, 12), (25, 25)):
        cost = rng.random(shape)
        rows, columns = linear_sum_assignment(cost)
        assert sum(cost[pair] for pair in assign(cost.tolist(), 10.0)) == pytest.approx(cost[rows, columns].sum())
