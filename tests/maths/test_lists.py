"""Lists of what is not zero, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_checks import Array, DType, compiled, each_dtype, generator

from fastvae.kernels.machine.isa import isa
from fastvae.kernels.machine.memory import pointer
from fastvae.kernels.maths.lists import (
    SPAN,
    _append_by_bits,
    _append_by_vectors,
    _append_lanes_by_bits,
    list_columns,
    list_nonzero,
    list_size,
    mark_count,
)


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


@compiled
def append_by_bits(numbers: Any, values: Any, x: Any, n: Any) -> Any:
    return _append_by_bits(pointer(numbers), pointer(values), 0, pointer(x), n, 100)


@compiled
def append_by_vectors(numbers: Any, values: Any, x: Any, n: Any) -> Any:
    return _append_by_vectors(pointer(numbers), pointer(values), 0, pointer(x), n, 100)


WAYS = [append_by_bits, *([append_by_vectors] if isa() == "avx512" else [])]


@each_dtype
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_bit_of_a_word(dtype: DType, way: Any) -> None:
    """Each column alone, the 64th among them, which is the sign of a signed word; all; all but it.

    The numbers behind the last one are not zero.
    """
    alone = np.eye(SPAN, dtype=bool)
    for mask in (*alone, np.ones(SPAN, bool), ~alone[-1], ~alone[0], alone[0] | alone[-1]):
        for n in (SPAN, SPAN - 1, 1):
            x = np.ones(SPAN + 16, dtype)
            x[:n] = np.where(mask[:n], np.arange(1, n + 1), 0)
            numbers, values = np.zeros(SPAN + 16, np.int32), np.zeros(SPAN + 16, dtype)
            length = way(numbers, values, x, n)
            wanted = np.flatnonzero(mask[:n])
            np.testing.assert_array_equal(numbers[:length], 100 + wanted)
            np.testing.assert_array_equal(values[:length], 1 + wanted)


@compiled
def columns_of(numbers: Any, x: Any, n_rows: Any, n: Any, stride: Any) -> Any:
    return list_columns(pointer(numbers), pointer(x), stride, n_rows, n)


@each_dtype
@pytest.mark.parametrize("n", [1, 7, 16, 17, 33, 256])
@pytest.mark.parametrize("n_rows", [1, 3, 8])
def test_columns_are_listed_that_are_not_all_zero(dtype: DType, n: int, n_rows: int) -> None:
    rng = generator(n, n_rows)
    stride = n + 16
    x = rng.standard_normal((n_rows, stride)) * (rng.random((n_rows, stride)) < 0.2)
    x[:, n:] = 1.0  # behind the last column
    x[0, 0] = np.nan
    numbers = np.full(n + 16, -1, np.int32)
    length = columns_of(numbers, x.astype(dtype), n_rows, n, stride)
    np.testing.assert_array_equal(numbers[:length], np.flatnonzero((x[:, :n] != 0).any(axis=0)))


@compiled
def lanes_by_bits(numbers: Any, x: Any, bits: Any) -> Any:
    return _append_lanes_by_bits(pointer(numbers), 2, pointer(x), 0, np.uint64(bits))


@each_dtype
def test_lanes_are_appended_bit_by_bit(dtype: DType) -> None:
    numbers = np.full(20, -1, np.int32)
    assert lanes_by_bits(numbers, np.zeros(16, dtype), 0b1000000000010011) == 6
    np.testing.assert_array_equal(numbers[:7], [-1, -1, 0, 1, 4, 15, -1])
