"""Dense layers: forward and backward kernels against the reference, bit for bit where it is fixed.

Every matrix product is one chain of fused multiply-adds per output element, over the contracted
index in ascending order from +0; `chain` computes exactly that.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from types import ModuleType

import numpy as np
import pytest
from kernel_checks import (
    Array,
    DType,
    assert_vjp,
    assert_within,
    call,
    each_dtype,
    each_implementation,
    eps,
    expected,
    generator,
)

from bench.kernel_cases import poisoned
from fastvae import kernels
from fastvae.kernels.machine.isa import ISA, panel_width

ROWS, PANEL = ISA.tile_rows, panel_width(4)
GRID = product((1, ROWS - 1, ROWS, ROWS + 1, 13), (1, 7, 31), (1, PANEL - 1, PANEL, PANEL + 1))
SHAPES = [
    *dict.fromkeys(GRID),  # a tile of two rows would have a shape twice
    (0, 5, 3),
    (2 * ROWS, 2 * PANEL, 3 * PANEL + 1),
    (67, 127, 83),
    (150, 41, 37),  # more rows than one block of the weight gradient
]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "B{}-I{}-O{}".format(*s))
each_activation = pytest.mark.parametrize("activation", sorted(kernels.ACTIVATIONS))


def layer(shape: tuple[int, int, int], dtype: DType) -> tuple[Array, Array, Array, Array]:
    """Random x (B, I), weight (O, I), bias (O,), dy (B, O), a third of x exactly zero."""
    n_rows, n_in, n_out = shape
    rng = generator(*shape)
    x = rng.standard_normal((n_rows, n_in)) * (rng.random((n_rows, n_in)) > 0.33)
    weight, bias = rng.standard_normal((n_out, n_in)), rng.standard_normal(n_out)
    dy = rng.standard_normal((n_rows, n_out))
    return x.astype(dtype), weight.astype(dtype), bias.astype(dtype), dy.astype(dtype)


def fused_multiply_add(a: Array, b: Array, c: Array) -> Array:
    """Float32 ``a b + c`` with one rounding.

    The product is exact in float64; the sum is rounded to odd there, after which rounding to
    float32 is rounding once (Boldo and Melquiond, IEEE Trans. Comput. 57, 2008, theorem 1).
    """
    p, c64 = a.astype(np.float64) * b, c.astype(np.float64)
    total = np.asarray(p + c64)
    part = total - p
    error = (p - (total - part)) + (c64 - part)  # Knuth's two-sum: exact
    towards = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    even = (total.view(np.int64) & 1) == 0
    return np.where((error != 0) & even, towards, total).astype(np.float32)


def chain(left: Array, right: Array) -> Array:
    """``left @ right`` in float32, each element as the module's docstring says."""
    total = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for k in range(left.shape[1]):
        a, b = np.broadcast_arrays(left[:, k, np.newaxis], right[k])
        total = fused_multiply_add(a, b, total) if ISA.fused else total + a * b
    return total


def test_emulated_fused_multiply_add_rounds_once() -> None:
    rng = generator(1)
    a, b = rng.standard_normal((2, 500)).astype(np.float32)
    nearly = -(a.astype(np.float64) * b).astype(np.float32)  # cancels all but the rounding error
    # (1 + h)(1 - h) is just below 1, and 2^24 + 3 a tie that would be rounded up.
    h, odd = 2.0**-23, 2.0**24 + 2
    a, b, c = (
        np.append(a, [1 + h, 1 + h]),
        np.append(b, [1 - h, h - 1]),
        np.append(nearly, [odd, -odd]),
    )
    a, b, c = a.astype(np.float32), b.astype(np.float32), c.astype(np.float32)
    for x, y, z, got in zip(a, b, c, fused_multiply_add(a, b, c), strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(Fraction(float(got)) - exact)
        for neighbour in (np.nextafter(got, np.float32(np.inf)), np.nextafter(got, -got)):
            assert error <= abs(Fraction(float(neighbour)) - exact)


@each_implementation
@each_dtype
@each_shape
def test_forward(module: ModuleType, dtype: DType, shape: tuple[int, int, int]) -> None:
    x, weight, bias, dy = layer(shape, dtype)
    out = poisoned(dy.shape, dtype)
    (got,) = call(module, "dense_forward", [out], x, weight, bias, 0)
    (wanted,) = expected("dense_forward", [out], x, weight, bias, 0)
    # I products and I + 1 sums, in any order: at most I + 1 roundings of any term (Higham,
    # Accuracy and Stability of Numerical Algorithms, section 3.1).
    size = np.abs(x.astype(np.float64)) @ np.abs(weight.astype(np.float64)).T + np.abs(bias)
    assert_within(got, wanted, (shape[1] + 2) * eps(dtype) * size)


@each_implementation
@each_dtype
@each_shape
def test_backward(module: ModuleType, dtype: DType, shape: tuple[int, int, int]) -> None:
    x, weight, bias, dy = layer(shape, dtype)
    n_rows, _, n_out = shape
    abs_dy = np.abs(dy.astype(np.float64))
    cases = {  # name: output, inputs, number of terms, sum of their sizes
        "dense_backward_input": (x, (dy, weight), n_out, abs_dy @ np.abs(weight)),
        "dense_backward_weight": (weight, (dy, x), n_rows, abs_dy.T @ np.abs(x)),
        "dense_backward_bias": (bias, (dy,), n_rows, abs_dy.sum(axis=0)),
    }
    for name, (like, inputs, n_terms, size) in cases.items():
        out = poisoned(like.shape, dtype)
        (got,) = call(module, name, [out], *inputs)
        (wanted,) = expected(name, [out], *inputs)
        assert_within(got, wanted, (n_terms + 2) * eps(dtype) * size)


@each_shape
def test_accumulation_is_one_ascending_chain(shape: tuple[int, int, int]) -> None:
    x, weight, bias, dy = layer(shape, np.float32)
    (out,) = call(kernels, "dense_forward", [poisoned(dy.shape, np.float32)], x, weight, bias, 0)
    np.testing.assert_array_equal(out, chain(x, weight.T) + bias)
    (dx,) = call(kernels, "dense_backward_input", [poisoned(x.shape, np.float32)], dy, weight)
    np.testing.assert_array_equal(dx, chain(dy, weight))
    (dweight,) = call(kernels, "dense_backward_weight", [poisoned(weight.shape, np.float32)], dy, x)
    np.testing.assert_array_equal(dweight, chain(dy.T, x))
    (dbias,) = call(kernels, "dense_backward_bias", [poisoned(bias.shape, np.float32)], dy)
    np.testing.assert_array_equal(dbias, chain(np.ones((1, len(dy)), np.float32), dy)[0])


@each_dtype
@each_activation
def test_fused_activation_equals_the_separate_one(dtype: DType, activation: str) -> None:
    code = kernels.ACTIVATIONS[activation]
    for shape in ((1, 3, 1), (ROWS + 1, 5, PANEL + 1), (13, 31, 2 * PANEL - 1)):
        x, weight, bias, dy = layer(shape, dtype)
        out = poisoned(dy.shape, dtype)
        (pre_activation,) = call(kernels, "dense_forward", [out], x, weight, bias, 0)
        (fused,) = call(kernels, "dense_forward", [out], x, weight, bias, code)
        (separate,) = call(kernels, "activation_forward", [out], pre_activation, code)
        np.testing.assert_array_equal(fused, separate)


@each_implementation
@each_dtype
def test_nan_and_infinity_stay_where_they_belong(module: ModuleType, dtype: DType) -> None:
    shape = ROWS + 1, 7, PANEL + 1
    x, weight, bias, dy = layer(shape, dtype)
    x[0, 3], weight[1, 2], bias[2], x[:, 1], weight[3, 1] = np.nan, np.nan, np.nan, 0, np.inf
    bad = np.zeros(dy.shape, bool)
    bad[0], bad[:, 1:4] = True, True  # 0 * inf is NaN
    for code in kernels.ACTIVATIONS.values():
        out = poisoned(dy.shape, dtype)
        with np.errstate(invalid="ignore"):
            (got,) = call(module, "dense_forward", [out], x, weight, bias, code)
        np.testing.assert_array_equal(np.isnan(got), bad)

    x, weight, bias, dy = layer(shape, dtype)
    dy[1, 2] = np.nan
    (dx,) = call(module, "dense_backward_input", [poisoned(x.shape, dtype)], dy, weight)
    hit = np.arange(len(dx))[:, np.newaxis] + np.zeros(dx.shape) == 1
    np.testing.assert_array_equal(np.isnan(dx), hit)
    (dweight,) = call(module, "dense_backward_weight", [poisoned(weight.shape, dtype)], dy, x)
    hit = np.arange(len(dweight))[:, np.newaxis] + np.zeros(dweight.shape) == 2
    np.testing.assert_array_equal(np.isnan(dweight), hit)
    (dbias,) = call(module, "dense_backward_bias", [poisoned(bias.shape, dtype)], dy)
    np.testing.assert_array_equal(np.isnan(dbias), np.arange(len(bias)) == 2)


@each_implementation
@each_activation
def test_gradients_are_those_of_the_forward_pass(module: ModuleType, activation: str) -> None:
    code, shape = kernels.ACTIVATIONS[activation], (ROWS + 1, 7, PANEL + 3)
    x, weight, bias, cotangent = layer(shape, np.float64)

    def forward(x: Array, weight: Array, bias: Array) -> Array:
        return call(
            module, "dense_forward", [poisoned(cotangent.shape, float)], x, weight, bias, code
        )[0]

    y = forward(x, weight, bias)
    (dy,) = call(module, "activation_backward", [np.empty_like(y)], cotangent, y, code)
    (dx,) = call(module, "dense_backward_input", [np.empty_like(x)], dy, weight)
    (dweight,) = call(module, "dense_backward_weight", [np.empty_like(weight)], dy, x)
    (dbias,) = call(module, "dense_backward_bias", [np.empty_like(bias)], dy)
    # The kinks of ReLU and leaky ReLU lie at 0; no pre-activation is within reach of the step.
    assert np.abs(x @ weight.T + bias).min() > 1e-3
    assert_vjp(forward, (x, weight, bias), (dx, dweight, dbias), cotangent, seed=2)
