"""Lists of what is not zero, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_checks import Array, DType, compiled, each_dtype, generator

from fastvae.kernels._lists import SPAN, list_nonzero, list_size, mark_count
from fastvae.kernels.memory import pointer


@compiled
def list_one(listed: Any, values: Any, x: Any, n: Any) -> None:
    list_nonzero(pointer(listed), pointer(values), pointer(x), n)


def listed(x: Array, n: int) -> tuple[Array, Array, Array]:
    """The marks, numbers and values that a list of x[0:n] holds."""
    entries = np.full(list_size(n), -1, np.int32)
    values = np.zeros(n + 16, x.dtype)
    list_one(entries, values, x, n)
    marks = entries[: mark_count(n)]
    length = marks[-1]
    return marks, entries[mark_count(n) :][:length], values[:length]


@each_dtype
@pytest.mark.parametrize("n", [1, 7, SPAN - 1, SPAN, SPAN + 1, 784])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_lists_hold_what_is_not_zero(dtype: DType, n: int, share: float) -> None:
    rng = generator(n)
    # What stands behind the n numbers is not zero and must not be listed.
    x = np.where(rng.random(n + 16) < share, rng.standard_normal(n + 16), 0.0).astype(dtype)
    x[n:] = 1.0
    marks, numbers, values = listed(x, n)
    expected = np.flatnonzero(x[:n])
    np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_array_equal(values, x[expected])
    np.testing.assert_array_equal(marks[:-1], np.searchsorted(expected, np.arange(0, n, SPAN)))


@each_dtype
def test_nan_is_listed_and_negative_zero_is_not(dtype: DType) -> None:
    x = np.array([0.0, np.nan, -0.0, np.inf, 0.0] + [0.0] * 16, dtype)
    _, numbers, values = listed(x, 5)
    np.testing.assert_array_equal(numbers, [1, 3])
    np.testing.assert_array_equal(values, x[[1, 3]])
