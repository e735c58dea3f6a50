"""Kernels of weighted bounds and of free bits: against NumPy, at the edges, and NaN."""

from __future__ import annotations

from types import ModuleType
from typing import Any

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

# Rows, latents of each, latent units.
SHAPES = [(1, 1, 1), (3, 5, 1), (7, 1, 13), (5, 5, 13), (33, 5, 33), (0, 2, 3), (2, 3, 0)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_bound = pytest.mark.parametrize("objective", ["iwae", "dreg"])
SCALE = 0.37


def log_vars(n_rows: int, n_latent: int, dtype: DType) -> Array:
    """Some of them beyond each bound."""
    values = 3 * generator(n_rows, n_latent).standard_normal((n_rows, n_latent))
    values.reshape(-1)[::5] += 40
    values.reshape(-1)[1::5] -= 60
    return values.astype(dtype)


def clip(log_var: Array) -> Array:
    return np.clip(log_var.astype(np.float64), kernels.LOG_VAR_MIN, kernels.LOG_VAR_MAX)


def tangents(log_var: Array) -> Array:
    """The size of what each latent unit beyond a bound takes off."""
    v = clip(log_var)
    return (np.exp(v) + 1) * np.abs(log_var - v) / 2


@each_implementation
@each_dtype
@each_shape
def test_importance_weights(module: ModuleType, dtype: DType, shape: tuple[int, int, int]) -> None:
    n, k, n_latent = shape
    logs = 20 * generator(*shape).standard_normal((n, k)) - 90
    log_var = log_vars(n, n_latent, dtype)
    outputs = [logs, poisoned(n, np.float64)]
    shares, bound = call(module, "importance_weights", outputs, log_var)
    wanted = expected("importance_weights", outputs, log_var)
    # The difference of two logs is off by half of its eps, which exp makes relative; exp, the sum
    # of k and the quotient.
    gap = logs.max(axis=1, keepdims=True, initial=-np.inf) - logs
    assert_within(shares, wanted[0], (gap + k + 4) * eps(np.float64) * wanted[0])
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=2 * k * eps(np.float64))
    size = np.abs(logs).max(axis=1, initial=0) + k + 4
    tangent = tangents(log_var).sum(axis=1)
    assert_within(bound, wanted[1], eps(np.float64) * size + (6 + n_latent) * eps(dtype) * tangent)


@each_implementation
def test_weights_at_the_edges(module: ModuleType) -> None:
    """Of any size: they are taken relative to the largest; none at all has a share of 0."""
    logs = np.array(
        [[0, 0, 0], [1e300, 0, -1e300], [-np.inf, -5, -np.inf], [-1e5, -1e5, -2e5]], np.float64
    )
    zero = np.zeros((4, 2))
    shares, bound = call(module, "importance_weights", [logs, poisoned(4, np.float64)], zero)
    wanted = np.array([[1 / 3] * 3, [1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(shares, wanted)
    np.testing.assert_allclose(bound, [0, 1e300, -5 - np.log(3), -1e5 + np.log(2 / 3)], atol=1e-15)


@each_implementation
@each_dtype
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_weights_that_are_no_numbers_show(
    module: ModuleType, dtype: DType, bad: float, place: int
) -> None:
    logs, log_var = np.zeros((3, 5)), np.zeros((3, 13), dtype)
    logs[1, place] = bad
    with np.errstate(invalid="ignore"):
        shares, bound = call(module, "importance_weights", [logs, poisoned(3, float)], log_var)
    np.testing.assert_array_equal(np.isnan(bound), [False, True, False])
    assert np.isnan(shares[1, place])
    log_var[2, place] = np.nan
    _, bound = call(module, "importance_weights", [np.zeros((3, 5)), poisoned(3, float)], log_var)
    np.testing.assert_array_equal(np.isnan(bound), [False, False, True])


def latents(shape: tuple[int, int, int], dtype: DType) -> dict[str, Array]:
    """Arguments of `importance_backward` that are read, and dz."""
    n, k, n_latent = shape
    dz, z, noise = generator(*shape, 1).standard_normal((3, *shape)).astype(dtype)
    shares = generator(*shape, 2).random((n, k))
    shares /= shares.sum(axis=1, keepdims=True)
    log_var = log_vars(n, n_latent, dtype)
    return {"dz": dz, "z": z, "log_var": log_var, "noise": noise, "shares": shares}


@each_implementation
@each_dtype
@each_shape
@each_bound
def test_importance_backward(
    module: ModuleType, dtype: DType, shape: tuple[int, int, int], objective: str
) -> None:
    n, k, n_latent = shape
    given = latents(shape, dtype)
    dz = given.pop("dz")
    empty = poisoned((n, n_latent), dtype)
    inputs = *given.values(), kernels.OBJECTIVES[objective], SCALE
    got = call(module, "importance_backward", [empty, empty, dz], *inputs)
    wanted = expected("importance_backward", [empty, empty, dz], *inputs)
    share, std = given["shares"][:, :, np.newaxis], np.exp(clip(given["log_var"]) / 2)[:, None]
    z, noise = (np.abs(given[name]).astype(np.float64) for name in ("z", "noise"))
    size = np.abs(dz) + SCALE * share * z
    if objective == "dreg":
        size = share * (size + SCALE * share * noise / std)
    # A slope: two factors are rounded to the dtype, exp 3, quotient, difference, sum and product.
    assert_within(got[2], wanted[2], 9 * eps(dtype) * size)
    # Then the sums of k; for log_var also exp 3 and three products.
    assert_within(got[0], wanted[0], (9 + k) * eps(dtype) * size.sum(axis=1))
    entropy = SCALE * (np.exp(clip(given["log_var"])) + 1) / 2
    by_draw = (15 + k) * (size * noise * std / 2).sum(axis=1)
    assert_within(got[1], wanted[1], eps(dtype) * (by_draw + 7 * entropy))


@each_implementation
def test_importance_backward_of_iwae_is_the_gradient_of_the_bound(module: ModuleType) -> None:
    """log p(x | z) = -|z - a|^2: its slope in z is known."""
    shape = n, _, n_latent = 4, 5, 3
    noise = generator(1).standard_normal(shape)
    mean, log_var, a = generator(2).standard_normal((3, n, n_latent))
    log_var[0, 0], log_var[1, 1] = kernels.LOG_VAR_MIN - 3, kernels.LOG_VAR_MAX + 0.5

    def logs_of(mean: Array, log_var: Array) -> tuple[Array, Array]:
        b = np.clip(log_var, kernels.LOG_VAR_MIN, kernels.LOG_VAR_MAX)[:, None]
        z = mean[:, None] + np.exp(b / 2) * noise
        densities = (noise**2 + b - z**2) / 2 - np.square(z - a[:, None]) / 1e8
        return z, densities.sum(axis=2)

    def loss(mean: Array, log_var: Array) -> Array:
        outputs = [logs_of(mean, log_var)[1], poisoned(n, np.float64)]
        return -call(module, "importance_weights", outputs, log_var)[1]

    z, logs = logs_of(mean, log_var)
    shares, _ = call(module, "importance_weights", [logs, poisoned(n, np.float64)], log_var)
    dz = SCALE * shares[:, :, np.newaxis] * 2 * (z - a[:, None]) / 1e8
    empty = poisoned((n, n_latent), np.float64)
    dmean, dlog_var, _ = call(
        module, "importance_backward", [empty, empty, dz], z, log_var, noise, shares,
        kernels.OBJECTIVES["iwae"], SCALE,
    )  # fmt: skip
    assert_vjp(loss, [mean, log_var], [dmean, dlog_var], np.full(n, SCALE), seed=5)


@each_implementation
@each_dtype
@pytest.mark.parametrize("shape", [(1, 1), (3, 13), (67, 33), (5, 0)], ids=str)
def test_mean_kl(module: ModuleType, dtype: DType, shape: tuple[int, int]) -> None:
    mean, log_var = generator(*shape).standard_normal(shape).astype(dtype), log_vars(*shape, dtype)
    (kl,) = call(module, "mean_kl", [poisoned(shape[1], dtype)], mean, log_var)
    (wanted,) = expected("mean_kl", [poisoned(shape[1], dtype)], mean, log_var)
    v, m = clip(log_var), mean.astype(np.float64)
    size = (np.exp(v) + np.abs(v) + 1 + m * m) / 2 + tangents(log_var)
    # A term as in kl_divergence, B - 1 sums, and 1 / B.
    assert_within(kl, wanted, (8 + shape[0]) * eps(dtype) * size.mean(axis=0))
    each = np.zeros(shape[0])
    kernels.kl_divergence(each, mean, log_var)
    total = size.sum(axis=1).mean()
    assert abs(kl.sum(dtype=np.float64) - each.mean()) <= (16 + sum(shape)) * eps(dtype) * total


@each_implementation
@each_dtype
@pytest.mark.parametrize("shape", [(1, 1), (3, 13), (67, 33), (0, 3)], ids=str)
def test_free_kl_backward(module: ModuleType, dtype: DType, shape: tuple[int, int]) -> None:
    mean, start, other = generator(*shape).standard_normal((3, *shape)).astype(dtype)
    log_var = log_vars(*shape, dtype)
    gates = (np.arange(shape[1]) % 2).astype(dtype)
    got = call(module, "free_kl_backward", [start, other], mean, log_var, gates, SCALE)
    wanted = expected("free_kl_backward", [start, other], mean, log_var, gates, SCALE)
    sizes = [np.abs(mean), (np.exp(clip(log_var)) + 1) / 2]
    for after, exact, before, size in zip(got, wanted, (start, other), sizes, strict=True):
        assert_within(after, exact, eps(dtype) * (np.abs(before) + 8 * SCALE * size))
        np.testing.assert_array_equal(after[:, ::2], before[:, ::2])
    every = np.ones(shape[1], dtype)
    got = call(module, "free_kl_backward", [start, other], mean, log_var, every, SCALE)
    plain = call(module, "kl_divergence_backward", [start, other], mean, log_var, SCALE)
    for one, two in zip(got, plain, strict=True):
        np.testing.assert_array_equal(one, two)


@each_dtype
@pytest.mark.parametrize("column", [0, 8, 12])
def test_nan_shows_in_gradients_and_divergences(dtype: DType, column: int) -> None:
    shape = 3, 2, 13
    for name in ("dz", "z", "noise", "log_var"):
        given = latents(shape, dtype)
        given["log_var"][:] = 0
        given[name][1, ..., column] = np.nan
        dz = given.pop("dz")
        empty = poisoned((3, 13), dtype)
        inputs = *given.values(), kernels.OBJECTIVES["dreg"], SCALE
        dmean, dlog_var, _ = call(kernels, "importance_backward", [empty, empty, dz], *inputs)
        hit = np.zeros((3, 13), bool)
        hit[1, column] = True
        np.testing.assert_array_equal(np.isnan(dmean), hit)
        np.testing.assert_array_equal(np.isnan(dlog_var), hit)
    zero = np.zeros((3, 13), dtype)
    bad = zero.copy()
    bad[1, column] = np.nan
    for inputs in ((bad, zero), (zero, bad)):
        (kl,) = call(kernels, "mean_kl", [zero[0].copy()], *inputs)
        np.testing.assert_array_equal(np.isnan(kl), np.isnan(bad[1]))


def test_other_objectives_have_no_weights() -> None:
    given: dict[str, Any] = {**latents((2, 3, 4), np.float64), "scale": 1.0}
    given |= {"dmean": np.zeros((2, 4)), "dlog_var": np.zeros((2, 4))}
    with pytest.raises(ValueError, match="objective must be one of a bound of weights; got 0"):
        kernels.importance_backward(**given, objective=kernels.OBJECTIVES["elbo"])
