"""Latent kernels: reparameterisation, KL divergence, their gradients and the bounds of log_var."""

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

LANES = lanes(4)
SHAPES = [(1, 1), (2, LANES - 1), (3, LANES), (5, LANES + 1), (7, 13), (67, 2 * LANES + 3), (0, 3)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
LOWEST, HIGHEST = kernels.LOG_VAR_MIN, kernels.LOG_VAR_MAX


def latent(shape: tuple[int, int], dtype: DType) -> tuple[Array, Array, Array, Array]:
    """Random mean, log_var, noise and dz; some values of log_var lie outside the bounds."""
    mean, log_var, noise, dz = generator(*shape).standard_normal((4, *shape)).astype(dtype)
    log_var *= 3
    log_var.reshape(-1)[::5] += 40
    log_var.reshape(-1)[1::5] -= 60
    return mean, log_var, noise, dz


def clip(log_var: Array) -> Array:
    return np.clip(log_var.astype(np.float64), LOWEST, HIGHEST)


@each_implementation
@each_dtype
@each_shape
def test_reparameterise(module: ModuleType, dtype: DType, shape: tuple[int, int]) -> None:
    mean, log_var, noise, _ = latent(shape, dtype)
    out = poisoned(shape, dtype)
    (z,) = call(module, "reparameterise", [out], mean, log_var, noise)
    (wanted,) = expected("reparameterise", [out], mean, log_var, noise)
    # exp of an exact argument (log_var / 2): 3 roundings, the product and the sum one each.
    size = np.abs(mean) + np.exp(clip(log_var) / 2) * np.abs(noise)
    assert_within(z, wanted, 5 * eps(dtype) * size)


@each_implementation
@each_dtype
@each_shape
def test_reparameterise_backward(module: ModuleType, dtype: DType, shape: tuple[int, int]) -> None:
    _, log_var, noise, dz = latent(shape, dtype)
    outputs = [poisoned(shape, dtype)] * 2
    dmean, dlog_var = call(module, "reparameterise_backward", outputs, dz, log_var, noise)
    _, wanted = expected("reparameterise_backward", outputs, dz, log_var, noise)
    np.testing.assert_array_equal(dmean, dz)
    assert_within(dlog_var, wanted, 6 * eps(dtype) * np.abs(wanted))  # exp 3, products 3


@each_implementation
@each_dtype
@each_shape
def test_kl_divergence(module: ModuleType, dtype: DType, shape: tuple[int, int]) -> None:
    mean, log_var, *_ = latent(shape, dtype)
    out = poisoned(shape[0], np.float64)
    (kl,) = call(module, "kl_divergence", [out], mean, log_var)
    (wanted,) = expected("kl_divergence", [out], mean, log_var)
    # A term: exp 3 roundings, three sums, then Z - 1 sums if they are made in the dtype. Beyond a
    # bound a product of two differences is added: with that of exp, 6 roundings.
    v, m = clip(log_var), mean.astype(np.float64)
    tangent = (np.exp(v) + 1) * np.abs(log_var - v)
    size = (np.exp(v) + np.abs(v) + 1 + m * m + tangent).sum(axis=1) / 2
    bound = (6 + shape[1]) * eps(dtype) * size
    assert_within(kl, wanted, bound)


@each_implementation
@each_dtype
@each_shape
def test_kl_divergence_backward_adds(
    module: ModuleType, dtype: DType, shape: tuple[int, int]
) -> None:
    mean, log_var, start, other = latent(shape, dtype)
    inputs = mean, log_var, 0.37
    got = call(module, "kl_divergence_backward", [start, other], *inputs)
    wanted = expected("kl_divergence_backward", [start, other], *inputs)
    # The scale is rounded to the dtype; exp 3, difference, product and sum: 7 roundings.
    sizes = [np.abs(mean), (np.exp(clip(log_var)) + 1) / 2]
    for after, exact, before, size in zip(got, wanted, (start, other), sizes, strict=True):
        assert_within(after, exact, eps(dtype) * (np.abs(before) + 7 * 0.37 * size))


@each_implementation
@each_dtype
def test_log_var_is_bounded(module: ModuleType, dtype: DType) -> None:
    assert (LOWEST, HIGHEST) == (-30, 20)
    values = [-np.inf, -1000, LOWEST - 1, LOWEST, 0, HIGHEST, HIGHEST + 1, 1000, np.inf]
    log_var = np.array([values], dtype)
    inside = (log_var >= LOWEST) & (log_var <= HIGHEST)
    zero, one = np.zeros_like(log_var), np.ones_like(log_var)
    v = clip(log_var)
    (std,) = call(module, "reparameterise", [zero], zero, log_var, one)
    exact = np.exp(v / 2)
    assert_within(std, exact, 4 * eps(dtype) * exact)
    _, dlog_var = call(module, "reparameterise_backward", [zero, zero], one, log_var, one)
    np.testing.assert_array_equal(dlog_var != 0, inside)
    _, dlog_var = call(module, "kl_divergence_backward", [zero, zero], zero, log_var, 1.0)
    assert_within(dlog_var, (np.exp(v) - 1) / 2, 3 * eps(dtype) * (np.exp(v) + 1) / 2)
    for value, b in zip(values, v[0], strict=True):
        column, mean = np.array([[value]], dtype), np.zeros((1, 1), dtype)
        (kl,) = call(module, "kl_divergence", [poisoned(1, float)], mean, column)
        beyond = 0.0 if b == value else (np.exp(b) - 1) * (value - b)
        wanted = np.array([(np.exp(b) - b - 1 + beyond) / 2])
        if np.isinf(value):
            np.testing.assert_array_equal(kl, np.inf)
        else:
            assert_within(kl, wanted, 6 * eps(dtype) * (np.exp(b) + abs(b) + 1 + abs(beyond)))


@each_implementation
@pytest.mark.parametrize("bound", [LOWEST, HIGHEST])
def test_gradients_are_those_of_what_is_computed_on_both_sides_of_a_bound(
    module: ModuleType, bound: float
) -> None:
    """Central differences in float64, latent by latent: all outputs are a latent's own.

    With the step 1e-5 the truncation error is below 1e-10 of exp(log_var), the rounding error
    below 1e-11 of the KL and of the draw, which are at most 8 times as large as their slopes here.
    """
    distances = np.array([0.01, 0.5, 1, 7, 500])
    log_var = np.concatenate([bound - distances[:4], bound + distances])[:, np.newaxis]
    if bound < 0:
        log_var = 2 * bound - log_var
    mean, noise, dz = generator(11).standard_normal((3, *log_var.shape))
    out, zero, h = poisoned(log_var.shape, float), np.zeros(log_var.shape), 1e-5

    def draw(log_var: Array) -> Array:
        return dz * call(module, "reparameterise", [out], mean, log_var, noise)[0]

    def divergence(log_var: Array) -> Array:
        return call(module, "kl_divergence", [out[:, 0].copy()], mean, log_var)[0][:, np.newaxis]

    beyond = (log_var < LOWEST) | (log_var > HIGHEST)
    assert beyond.sum() == 5
    _, slope = call(module, "reparameterise_backward", [out, out], dz, log_var, noise)
    numeric = (draw(log_var + h) - draw(log_var - h)) / (2 * h)
    size = np.abs(dz) * (np.abs(mean) + np.exp(clip(log_var) / 2) * np.abs(noise))
    assert_within(slope, numeric, 1e-9 * size)
    np.testing.assert_array_equal(slope[beyond], 0)

    _, slope = call(module, "kl_divergence_backward", [zero, zero], mean, log_var, 1.0)
    numeric = (divergence(log_var + h) - divergence(log_var - h)) / (2 * h)
    assert_within(slope, numeric, 1e-9 * (np.exp(clip(log_var)) + np.abs(log_var) + mean * mean))
    assert (np.sign(slope[beyond]) == np.sign(bound)).all()  # descent goes back to the bounds
    assert (divergence(log_var)[beyond] > divergence(clip(log_var))[beyond]).all()


@each_implementation
@each_dtype
def test_known_values(module: ModuleType, dtype: DType) -> None:
    """N(0, 1) has no divergence from itself; N(m, 1) has m^2 / 2."""
    mean = np.array([[0, 0, 0], [1, -2, 3]], dtype)
    (kl,) = call(module, "kl_divergence", [poisoned(2, float)], mean, np.zeros_like(mean))
    np.testing.assert_array_equal(kl, [0, 7])


@each_implementation
@each_dtype
def test_nan_stays_visible(module: ModuleType, dtype: DType) -> None:
    zero = np.zeros((3, 2 * LANES + 1), dtype)
    bad = zero.copy()
    bad[1, LANES] = np.nan
    hit = np.isnan(bad)
    out = poisoned(zero.shape, dtype)
    for position in range(3):
        inputs = [zero, zero, zero]
        inputs[position] = bad
        (z,) = call(module, "reparameterise", [out], *inputs)
        np.testing.assert_array_equal(np.isnan(z), hit)
        dmean, dlog_var = call(module, "reparameterise_backward", [out, out], *inputs)
        np.testing.assert_array_equal(np.isnan(dmean), hit if position == 0 else False)
        np.testing.assert_array_equal(np.isnan(dlog_var), hit)
    for position in range(2):
        inputs = [zero, zero]
        inputs[position] = bad
        (kl,) = call(module, "kl_divergence", [poisoned(3, float)], *inputs)
        np.testing.assert_array_equal(np.isnan(kl), hit.any(axis=1))
        got = call(module, "kl_divergence_backward", [zero, zero], *inputs, 1.0)
        np.testing.assert_array_equal(np.isnan(got[position]), hit)


@each_dtype
def test_nan_of_any_payload_passes(dtype: DType) -> None:
    bad = np.repeat(nans(dtype), 2)[:, np.newaxis]
    bad[::2] = 0.5
    hit, zero, one = np.isnan(bad), np.zeros_like(bad), np.ones_like(bad)
    (z,) = call(kernels, "reparameterise", [zero], zero, bad, one)
    np.testing.assert_array_equal(np.isnan(z), hit)
    _, dlog_var = call(kernels, "reparameterise_backward", [zero, zero], one, bad, one)
    np.testing.assert_array_equal(np.isnan(dlog_var), hit)
    (kl,) = call(kernels, "kl_divergence", [poisoned(len(bad), float)], zero, bad)
    np.testing.assert_array_equal(np.isnan(kl), hit[:, 0])
    _, dlog_var = call(kernels, "kl_divergence_backward", [zero, zero], zero, bad, 1.0)
    np.testing.assert_array_equal(np.isnan(dlog_var), hit)


@each_implementation
def test_backward_kernels_are_the_gradients(module: ModuleType) -> None:
    shape = (5, 2 * LANES + 3)
    mean, log_var, noise, dz = latent(shape, np.float64)
    # Small enough for the rounding error of the difference quotient; two beyond the lower bound.
    np.clip(log_var, -3, 3, out=log_var)
    log_var[0, 0], log_var[1, 1] = LOWEST - 1, LOWEST - 7
    out = poisoned(shape, np.float64)

    def draw(mean: Array, log_var: Array) -> Array:
        return call(module, "reparameterise", [out], mean, log_var, noise)[0]

    def divergence(mean: Array, log_var: Array) -> Array:
        return call(module, "kl_divergence", [out[:, 0].copy()], mean, log_var)[0]

    gradients = call(module, "reparameterise_backward", [out, out], dz, log_var, noise)
    assert_vjp(draw, [mean, log_var], gradients, dz, seed=3)
    zero, weight = np.zeros(shape), 0.37
    gradients = call(module, "kl_divergence_backward", [zero, zero], mean, log_var, weight)
    assert_vjp(divergence, [mean, log_var], gradients, np.full(shape[0], weight), seed=4)


@each_implementation
@each_dtype
@each_shape
def test_importance_ratio(module: ModuleType, dtype: DType, shape: tuple[int, int]) -> None:
    _, log_var, noise, z = latent(shape, dtype)
    out = poisoned(shape[0], np.float64)
    (ratio,) = call(module, "importance_ratio", [out], z, log_var, noise)
    (wanted,) = expected("importance_ratio", [out], z, log_var, noise)
    # All in float64, of exact arguments: three roundings a term, and the sums.
    size = (np.abs(clip(log_var)) + noise.astype(float) ** 2 + z.astype(float) ** 2).sum(axis=1)
    assert_within(ratio, wanted, (3 + shape[1]) * eps(np.float64) * size)


@pytest.mark.parametrize("column", [0, 8, 12])
@each_dtype
def test_nan_shows_in_the_importance_ratio(dtype: DType, column: int) -> None:
    _, log_var, noise, z = latent((3, 13), dtype)
    for array in (z, log_var, noise):
        before = array[1, column]
        array[1, column] = np.nan
        out = poisoned(3, np.float64)
        (ratio,) = call(kernels, "importance_ratio", [out], z, log_var, noise)
        np.testing.assert_array_equal(np.isnan(ratio), [False, True, False])
        array[1, column] = before
