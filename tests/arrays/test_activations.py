"""Activations: accuracy over the whole range, limits, NaN, gradients.

The polynomials of the float32 kernels are held to a few units in the last place of the float64
reference; below the smallest normal number results may be flushed to 0.
"""

from __future__ import annotations

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
    nans,
)

from bench.kernel_cases import poisoned
from fastvae import kernels
from fastvae.kernels.machine.isa import lanes

each_activation = pytest.mark.parametrize("activation", sorted(kernels.ACTIVATIONS))
LANES = lanes(4)
SHAPES = [(1, 1), (1, LANES - 1), (3, LANES), (2, LANES + 1), (5, 37), (67, 131), (0, 4)]


def whole_range(dtype: DType) -> Array:
    """Arguments of every size, both signs, densest where exp is neither 0 nor infinite."""
    small = np.geomspace(1e-37, 1, 4000)
    middle = np.linspace(0, 110, 20000)
    large = np.geomspace(110, 1e37, 1000)
    values = np.concatenate([small, middle, large])
    return np.concatenate([values, -values]).astype(dtype).reshape(2, -1)


def tolerance(wanted: Array, dtype: DType) -> Array:
    """Four roundings relative to the result: exp, sum, division or logarithm, and one to spare.

    The float32 kernels flush exp to 0 from -87.3 down, where it is just above the smallest normal.
    """
    flushed = np.exp(-87.3) if dtype == np.float32 else np.finfo(dtype).tiny
    return 4 * eps(dtype) * np.abs(wanted) + float(flushed)


@each_implementation
@each_dtype
@each_activation
def test_forward_is_accurate_over_the_whole_range(
    module: ModuleType, dtype: DType, activation: str
) -> None:
    x, code = whole_range(dtype), kernels.ACTIVATIONS[activation]
    (got,) = call(module, "activation_forward", [poisoned(x.shape, dtype)], x, code)
    (wanted,) = expected("activation_forward", [x], x, code)
    assert_within(got, wanted, tolerance(wanted, dtype))


@each_implementation
@each_dtype
@each_activation
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_element_is_written(
    module: ModuleType, dtype: DType, activation: str, shape: tuple[int, int]
) -> None:
    rng, code = generator(*shape), kernels.ACTIVATIONS[activation]
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    out = poisoned(shape, dtype)
    (y,) = call(module, "activation_forward", [out], x, code)
    (wanted,) = expected("activation_forward", [out], x, code)
    assert_within(y, wanted, tolerance(wanted, dtype))
    (dx,) = call(module, "activation_backward", [out], dy, y, code)
    (wanted,) = expected("activation_backward", [out], dy, y, code)
    # The derivative is at most 1; 1 - y^2, y (1 - y) and 1 - exp(-y) are sums of terms up to 1.
    assert_within(dx, wanted, 4 * eps(dtype) * np.abs(dy))


@each_implementation
@each_dtype
def test_limits_and_special_values(module: ModuleType, dtype: DType) -> None:
    inf = np.inf
    x = np.array([[-inf, -1000, 0, 1000, inf, np.nan]], dtype)
    table = {
        "identity": [-inf, -1000, 0, 1000, inf, np.nan],
        "relu": [0, 0, 0, 1000, inf, np.nan],
        "leaky_relu": [-inf, dtype(-1000) * dtype(0.01), 0, 1000, inf, np.nan],
        "tanh": [-1, -1, 0, 1, 1, np.nan],
        "sigmoid": [0, 0, 0.5, 1, 1, np.nan],
        "softplus": [0, 0, np.log(dtype(2)), 1000, inf, np.nan],
    }
    assert set(table) == set(kernels.ACTIVATIONS)
    for activation, wanted in table.items():
        code = kernels.ACTIVATIONS[activation]
        (got,) = call(module, "activation_forward", [poisoned(x.shape, dtype)], x, code)
        exact = np.array([wanted], dtype)
        close = np.isclose(got, exact, rtol=eps(dtype), atol=0, equal_nan=True)
        assert close.all(), f"{activation}: {got} instead of {exact}"


@each_implementation
@each_dtype
@each_activation
def test_backward_passes_nan_on(module: ModuleType, dtype: DType, activation: str) -> None:
    code, (dy, y) = kernels.ACTIVATIONS[activation], np.ones((2, 3, 37), dtype)
    y[:, ::2] = 0 if activation == "relu" else -0.5
    dy[1, 4:6], y[2, 20:22] = np.nan, np.nan
    (dx,) = call(module, "activation_backward", [np.zeros_like(dy)], dy, y, code)
    bad = np.isnan(dy) | (np.isnan(y) if activation != "identity" else False)
    np.testing.assert_array_equal(np.isnan(dx), bad)


@each_dtype
@each_activation
def test_nan_of_any_payload_passes(dtype: DType, activation: str) -> None:
    code, x = kernels.ACTIVATIONS[activation], np.repeat(nans(dtype), 2)[np.newaxis]
    x[0, ::2] = 0.5
    out = np.zeros_like(x)
    (y,) = call(kernels, "activation_forward", [out], x, code)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    (dx,) = call(kernels, "activation_backward", [out], x, out, code)
    np.testing.assert_array_equal(np.isnan(dx), np.isnan(x))
    if activation != "identity":
        (dx,) = call(kernels, "activation_backward", [out], np.ones_like(x), x, code)
        np.testing.assert_array_equal(np.isnan(dx), np.isnan(x))


@each_implementation
@each_dtype
def test_derivative_at_the_kink_is_the_left_one(module: ModuleType, dtype: DType) -> None:
    dy, y = np.ones((1, 3), dtype), np.array([[-1, 0, 1]], dtype)
    out = poisoned(dy.shape, dtype)
    for activation, y_left, slope in (("relu", 0, 0), ("leaky_relu", -1, 0.01)):
        y[0, 0], code = y_left, kernels.ACTIVATIONS[activation]
        (dx,) = call(module, "activation_backward", [out], dy, y, code)
        np.testing.assert_array_equal(dx, np.array([[slope, slope, 1]], dtype))


@each_implementation
@each_activation
def test_backward_is_the_gradient(module: ModuleType, activation: str) -> None:
    code, rng = kernels.ACTIVATIONS[activation], generator(7)
    x, cotangent = 2 * rng.standard_normal((2, 5, 37))
    x[np.abs(x) < 1e-3] = 1  # away from the kinks

    def forward(x: Array) -> Array:
        return call(module, "activation_forward", [poisoned(x.shape, float)], x, code)[0]

    (dx,) = call(
        module, "activation_backward", [poisoned(x.shape, float)], cotangent, forward(x), code
    )
    assert_vjp(forward, [x], [dx], cotangent, seed=8)
