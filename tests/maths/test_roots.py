"""Square roots by Newton's iteration: every one is the processor's own, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_checks import Array, DType, compiled, each_dtype

from fastvae.kernels.machine.memory import lane_count, load, pointer, store
from fastvae.kernels.maths.roots import root

ONE = np.float32(1).view(np.int32)
HIGHEST = np.float32(np.inf).view(np.int32)


@compiled
def apply_root(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        store(pointer(out), i, root(load(pointer(x), i)))


def assert_equal_to_the_processor(x: Array) -> None:
    out = np.full_like(x, -1)
    apply_root(out, x)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out, np.sqrt(x))  # NaN where that is


@pytest.mark.parametrize("exponent", [-96, -95, -1, 0, 1, 94, 95])
def test_every_significand(exponent: int) -> None:
    """A root's digits depend on those of the number and on whether its exponent is even."""
    x = np.arange(ONE, ONE + 2**23, dtype=np.int32).view(np.float32)
    assert_equal_to_the_processor(np.ldexp(x, exponent))


def test_every_exponent() -> None:
    """Subnormal numbers, what is at the ends of the range of the iteration, infinity and NaN."""
    x = np.arange(0, HIGHEST + 2**20, 4099, dtype=np.int32)
    assert_equal_to_the_processor(x[: len(x) // 16 * 16].view(np.float32))


@each_dtype
def test_zero_and_what_has_no_root(dtype: DType) -> None:
    """Beside usual numbers too, in one register."""
    for special in (0.0, -0.0, np.inf, np.nan, -1.0, -np.inf, 1e-38, 1e38):
        x = np.linspace(1, 2, 16).astype(dtype)
        x[5] = special
        assert_equal_to_the_processor(x)
    assert_equal_to_the_processor(np.zeros(16, dtype))
