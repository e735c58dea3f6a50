"""Sums of importance weights, against NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_checks import Array, compiled, eps, generator

from fastvae.kernels.machine.memory import pointer
from fastvae.kernels.maths.importance import add_log_weight


@compiled
def add_all(sums: Any, log_weights: Any) -> None:
    for k in range(len(log_weights)):
        add_log_weight(pointer(sums), log_weights[k])


def summed(*portions: Array) -> Array:
    sums = np.array([-np.inf, 0.0, 0.0])
    for portion in portions:
        add_all(sums, portion)
    return sums


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("order", ["random", "ascending", "descending"])
def test_sums_of_weights(spread: float, order: str) -> None:
    log_w = generator(3).normal(size=500) * spread - 2000
    log_w = {"random": log_w, "ascending": np.sort(log_w), "descending": np.sort(log_w)[::-1]}[
        order
    ]
    log_w = np.ascontiguousarray(log_w)
    largest, total, squares = summed(log_w)
    w = np.exp(log_w - log_w.max())
    assert largest == log_w.max()
    # Each weight, and each change of the unit, is rounded twice; log_w - largest is rounded too.
    tolerance = 1500 * eps(np.float64) * max(1.0, spread)
    assert total == pytest.approx(w.sum(), rel=tolerance)
    assert squares == pytest.approx((w**2).sum(), rel=2 * tolerance)
    np.testing.assert_array_equal(summed(log_w[:1], log_w[1:77], log_w[77:]), summed(log_w))


def test_weights_of_zero_and_those_that_are_no_numbers() -> None:
    none = np.array([-np.inf] * 3)
    np.testing.assert_array_equal(summed(none), [-np.inf, 0, 0])
    np.testing.assert_array_equal(summed(none, np.array([-5.0, -np.inf])), [-5, 1, 1])
    for log_w in ([np.nan, 1.0, 2.0], [1.0, np.nan, 2.0], [1.0, 2.0, np.nan], [np.nan]):
        assert np.isnan(summed(np.array(log_w))[1:]).all()
