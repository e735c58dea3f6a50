"""Weighted sums of two arrays."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from kernel_checks import DType, each_dtype, each_implementation, generator

from fastvae import kernels
from fastvae.kernels.machine.isa import lanes

LANES = lanes(4)


@each_implementation
@each_dtype
@pytest.mark.parametrize("n", [0, 1, LANES - 1, LANES, LANES + 1, 4096, 9001])
def test_each_product_is_rounded_before_the_sum(module: ModuleType, dtype: DType, n: int) -> None:
    rng = generator(n)
    a, b = (rng.standard_normal(n).astype(dtype) for _ in range(2))
    out = np.full(n, np.nan, dtype)
    module.weighted_sum(out, a, b, 0.3, 0.7)
    expected = a * dtype(0.3) + b * dtype(0.7)
    np.testing.assert_array_equal(out, expected)


@each_dtype
def test_a_product_that_is_known_weighs_one(dtype: DType) -> None:
    """So the sum of a rank's own product, and of one that another rank sends, is the same."""
    a, b = (generator(i).standard_normal(1001).astype(dtype) for i in range(2))
    together, scaled, nothing = np.empty_like(a), np.empty_like(a), np.zeros_like(a)
    kernels.weighted_sum(together, a, b, 0.3, 0.7)
    kernels.weighted_sum(scaled, a, nothing, 0.3, 1.0)
    kernels.weighted_sum(scaled, scaled, b, 1.0, 0.7)
    np.testing.assert_array_equal(scaled, together)


@each_dtype
def test_nan_stays(dtype: DType) -> None:
    a = np.array([1, np.nan, 3], dtype)
    kernels.weighted_sum(a, a, np.ones(3, dtype), 0.0, 1.0)
    np.testing.assert_array_equal(a, [1, np.nan, 1])
