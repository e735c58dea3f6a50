"""Elementary functions of vectors: accuracy over their range, limits, NaN, and machine code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernel_checks import Array, DType, assert_within, compiled, each_dtype, eps, nans

from fastvae.kernels.machine.isa import ISA, isa
from fastvae.kernels.machine.memory import lane_count, load, pointer, store
from fastvae.kernels.maths import functions as vmath

TINY = float(np.exp(-87.3))  # below it the float32 exp is flushed to 0


@compiled
def apply_exp(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        store(pointer(out), i, vmath.exp(load(pointer(x), i)))


@compiled
def apply_log(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        store(pointer(out), i, vmath.log(load(pointer(x), i)))


@compiled
def apply_log1p(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        store(pointer(out), i, vmath.log1p(load(pointer(x), i)))


@compiled
def apply_tanh(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        store(pointer(out), i, vmath.tanh(load(pointer(x), i)))


@compiled
def apply_sigmoid(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        store(pointer(out), i, vmath.sigmoid(load(pointer(x), i)))


@compiled
def apply_softplus(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        store(pointer(out), i, vmath.softplus(load(pointer(x), i)))


@compiled
def apply_exp_of_negative(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        store(pointer(out), i, vmath.exp_of_negative(load(pointer(x), i)))


@compiled
def apply_rectify(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        store(pointer(out), i, vmath.rectify(load(pointer(x), i)))


@compiled
def apply_cos_sin_turn(out: Any, x: Any) -> None:
    for i in range(0, x.size, lane_count(pointer(x))):
        cosine, sine = vmath.cos_sin_turn(load(pointer(x), i))
        store(pointer(out), i, cosine)
        store(pointer(out), x.size + i, sine)


def of_both_signs(x: Array) -> Array:
    return np.concatenate([x, -x])


WIDE = of_both_signs(np.concatenate([np.geomspace(1e-38, 1, 2**14), np.linspace(0, 89, 2**16)]))
# function: (kernel, float64 function, arguments, tolerance in ulp as documented)
FUNCTIONS: dict[str, tuple[Any, Callable[[Array], Array], Array, int]] = {
    "exp": (apply_exp, np.exp, np.linspace(-87.3, 88.72, 2**17), 2),
    "log": (apply_log, np.log, np.geomspace(2e-38, 3e38, 2**17), 2),
    "log near 1": (apply_log, np.log, np.linspace(0.5, 2, 2**17), 2),
    "log1p": (apply_log1p, np.log1p, np.append(np.geomspace(1e-37, 1, 2**16 - 1), 0), 3),
    "tanh": (apply_tanh, np.tanh, WIDE, 4),
    "sigmoid": (apply_sigmoid, lambda x: 1 / (1 + np.exp(-x)), WIDE, 4),
    "softplus": (apply_softplus, lambda x: np.logaddexp(0, x), WIDE, 4),
}


@each_dtype
@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy(dtype: DType, name: str) -> None:
    """Within the documented number of units in the last place, which are eps / 2 to eps."""
    kernel, exact, arguments, n_ulp = FUNCTIONS[name]
    x = arguments.astype(dtype)
    out = np.full_like(x, np.nan)
    kernel(out, x)
    wanted = exact(x.astype(np.float64))
    if dtype == np.float32:
        ulp = np.abs(np.spacing(np.abs(wanted).astype(np.float32))).astype(np.float64)
        assert_within(out, wanted, n_ulp * ulp + np.where(np.abs(wanted) < TINY, TINY, 0))
    else:
        assert_within(out, wanted, n_ulp * eps(dtype) * np.abs(wanted))


@each_dtype
def test_cosine_and_sine_of_a_turn(dtype: DType) -> None:
    u = np.linspace(0, 1, 2**16).astype(dtype)
    out = np.full((2, u.size), np.nan, dtype)
    apply_cos_sin_turn(out, u)
    angle = 2 * np.pi * u.astype(np.float64)
    bound = 2e-7 if dtype == np.float32 else 7 * eps(dtype)
    assert_within(out, np.stack([np.cos(angle), np.sin(angle)]), bound)


@each_dtype
def test_limits(dtype: DType) -> None:
    x = np.array([-np.inf, -1000, -89, 0, 89, 1000, np.inf, np.nan] * 2, dtype)
    inf, nan = np.inf, np.nan
    # exp(-89) is subnormal and exp(89) too large in float32
    small, large = (0.0, inf) if dtype == np.float32 else (np.exp(-89), np.exp(89))
    table: list[tuple[Callable[..., None], list[float]]] = [
        (apply_tanh, [-1, -1, -1, 0, 1, 1, 1, nan]),
        (apply_sigmoid, [0, 0, small, 0.5, 1, 1, 1, nan]),
        (apply_softplus, [0, 0, small, np.log(2), 89, 1000, inf, nan]),
        (apply_exp, [0, 0, small, 1, large, inf, inf, nan]),
    ]
    for kernel, wanted in table:
        out = np.zeros_like(x)
        kernel(out, x)
        np.testing.assert_allclose(out[:8], np.array(wanted, dtype), rtol=2 * eps(dtype))


@each_dtype
@pytest.mark.parametrize("lane", range(16))
def test_nan_passes(dtype: DType, lane: int) -> None:
    """NaN of every sign and payload, quiet and signalling: its bits are those of no number."""
    for nan in nans(dtype):
        x = np.full(16, -0.5, dtype)
        x[lane] = nan
        for kernel in (apply_exp, apply_exp_of_negative, apply_tanh, apply_sigmoid, apply_softplus,
                       apply_rectify):  # fmt: skip
            out = np.zeros_like(x)
            kernel(out, x)
            np.testing.assert_array_equal(np.isnan(out), np.isnan(x), kernel.__name__)
        np.negative(x, out=x)
        for kernel in (apply_log, apply_log1p):
            out = np.zeros_like(x)
            kernel(out, x)
            np.testing.assert_array_equal(np.isnan(out), np.isnan(x))
        out = np.zeros((2, 16), dtype)
        apply_cos_sin_turn(out, x)
        np.testing.assert_array_equal(np.isnan(out), [np.isnan(x)] * 2)


@pytest.mark.parametrize(
    "kernel",
    [apply_exp, apply_log, apply_log1p, apply_tanh, apply_sigmoid, apply_softplus],
    ids=lambda kernel: kernel.__name__,
)
def test_machine_code_of_float32(kernel: Any) -> None:
    """Whole vectors, nothing of libm, nothing in float64."""
    x = np.ones(64, np.float32)
    kernel(np.empty_like(x), x)
    (code,) = (text for sign, text in kernel.inspect_asm().items() if sign[0].dtype.bitwidth == 32)
    assert not re.search(r"\b(call\w*|bl)\s.*\b(exp|log|log1p|tanh)f?\b", code)
    assert not re.search(r"\bv?(add|sub|mul|div)[sp]d\b|\bv?cvt(ss2sd|ps2pd)\b", code)
    vector_fma = {
        "avx512": r"vfn?m(add|sub)\w*ps\s.*%zmm",
        "avx2": r"vfn?m(add|sub)\w*ps\s.*%ymm",
        "neon": r"\bfml[as]\b",
        "generic": r"\bmulps\b",
    }
    assert ISA.name == isa()
    assert re.search(vector_fma[ISA.name], code)
