"""Likelihoods of rows of several kinds of columns: values, gradients, limits, what is missing."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from kernel_checks import (
    Array,
    DType,
    assert_vjp,
    call,
    each_dtype,
    each_implementation,
    eps,
    expected,
    generator,
)

from bench.kernel_cases import poisoned
from fastvae import kernels
from fastvae.kernels import BLOCK_KINDS
from fastvae.kernels.maths.row_likelihoods import LOG_RATE_MAX, SIGMA_MIN
from fastvae.model.kinds import KINDS

# Blocks of every size around a vector and around 64, at odd columns, and each kind alone.
ROWS: dict[str, list[tuple[str, int]]] = {
    **{f"{kind}-{n}": [(kind, n)] for kind in KINDS for n in (1, 7, 16, 64, 131)},
    "mixed": [
        ("gaussian", 3), ("categorical", 5), ("poisson", 17), ("gaussian", 65), ("bernoulli", 1),
        ("categorical", 2), ("continuous_bernoulli", 70), ("poisson", 1), ("categorical", 67),
    ],
}  # fmt: skip
each_row = pytest.mark.parametrize("kinds", ROWS.values(), ids=ROWS.keys())


def blocks(kinds: list[tuple[str, int]]) -> Array:
    return np.array([(BLOCK_KINDS[kind], n) for kind, n in kinds], np.int64)


def batch(
    kinds: list[tuple[str, int]], n_rows: int, missing: float = 0.0
) -> tuple[Array, Array, Array, Array]:
    """Outputs of many sizes, raws, data and blocks, in float64; so many of the data are NaN."""
    rng = generator(n_rows, len(kinds), kinds[0][1])
    table = blocks(kinds)
    n_columns = sum(n for _, n in kinds)
    output = rng.standard_normal((n_rows, n_columns)) * np.exp2(
        rng.uniform(-10, 2, (n_rows, n_columns))
    )
    x = np.empty_like(output)
    for (kind, n), end in zip(kinds, np.cumsum(table[:, 1]), strict=True):
        x[:, end - n : end] = {
            "unit": lambda n: np.clip(rng.uniform(-1, 1.2, (n_rows, n)), 0, 1),
            "real": lambda n: rng.standard_normal((n_rows, n)),
            "counts": lambda n: rng.poisson(3.0, (n_rows, n)),
            "one-hot": lambda n: np.eye(n)[rng.integers(0, n, n_rows)],
        }[KINDS[kind].domain](n)
    raw = rng.standard_normal(x.shape)
    x[rng.uniform(size=x.shape) < missing] = np.nan
    # Representable in float32, so that both dtypes compute the same.
    output, raw, x = (array.astype(np.float32).astype(np.float64) for array in (output, raw, x))
    return output, raw, x, table


def loss_of(
    module: ModuleType, output: Array, raw: Array | None, x: Array, table: Array,
    scale: float = 1.0, sigma_min: float = 0.3,
) -> list[Array]:  # fmt: skip
    """The loss and its two slopes; without raws sigma is sigma_min."""
    dtype = output.dtype
    out = [
        poisoned(len(x), np.float64), poisoned(x.shape, dtype), poisoned(x.shape, dtype),
    ]  # fmt: skip
    raw = np.full_like(x, -np.inf) if raw is None else raw
    return call(
        module, "row_likelihood_loss", out, output, raw.astype(dtype), x.astype(dtype), table,
        sigma_min, scale,
    )  # fmt: skip


@each_dtype
@each_row
def test_loss_and_gradient(dtype: DType, kinds: list[tuple[str, int]]) -> None:
    for missing in (0.0, 0.2):
        output, raw, x, table = batch(kinds, 5, missing)
        loss, slope, to_raw = loss_of(kernels, output.astype(dtype), raw, x, table, 0.37)
        exact, wanted, wanted_raw = loss_of(kernels.reference, output, raw, x, table, 0.37)
        # Terms in [-1.2, 200], of both signs: some roundings of each, and those of its sum.
        size = np.abs(loss_of(kernels.reference, output, raw, x, table)[0]) + 4 * x.shape[1]
        np.testing.assert_array_less(np.abs(loss - exact), 8 * eps(dtype) * size)
        np.testing.assert_allclose(slope, wanted, rtol=16 * eps(dtype), atol=16 * eps(dtype))
        np.testing.assert_allclose(to_raw, wanted_raw, rtol=32 * eps(dtype), atol=32 * eps(dtype))


@each_row
def test_losses_in_float32_are_those_in_float64(kinds: list[tuple[str, int]]) -> None:
    output, raw, x, table = batch(kinds, 64)
    loss = loss_of(kernels, output.astype(np.float32), raw, x, table)[0]
    exact = loss_of(kernels.reference, output, raw, x, table)[0]
    assert abs(loss.mean() - exact.mean()) <= 1e-5 * abs(exact.mean())


@each_implementation
@each_row
def test_slopes_are_the_gradient(module: ModuleType, kinds: list[tuple[str, int]]) -> None:
    output, raw, x, table = batch(kinds, 4, 0.1)

    def forward(output: Array, raw: Array) -> Array:
        return loss_of(module, output, raw, x, table)[0]

    _, slope, to_raw = loss_of(module, output, raw, x, table, 0.37)
    if np.any(slope):
        assert_vjp(forward, [output, raw], [slope, to_raw], np.full(4, 0.37), seed=5)


@each_dtype
@each_row
def test_slopes_may_take_the_place_of_what_they_are_of(
    dtype: DType, kinds: list[tuple[str, int]]
) -> None:
    output, raw, x, table = batch(kinds, 5)
    output, raw, x = (array.astype(dtype) for array in (output, raw, x))
    wanted, slope, to_raw = loss_of(kernels, output, raw, x, table)
    (mean,) = call(kernels, "row_likelihood_mean", [poisoned(x.shape, dtype)], output, table)
    loss, means = np.empty(5), output.copy()
    kernels.row_likelihood_mean(means, means, table)
    kernels.row_likelihood_loss(loss, output, raw, output, raw, x, table, 0.3, 1.0)
    for got, apart in ((loss, wanted), (output, slope), (raw, to_raw), (means, mean)):
        np.testing.assert_array_equal(got, apart)


@each_implementation
@each_dtype
def test_continuous_bernoulli_near_one_half_and_far_from_it(
    module: ModuleType, dtype: DType
) -> None:
    """By the series log(sinh(h) / h) = h^2/6 - h^4/180 + h^6/2835 for small l, and the limits."""
    logits = np.array([0, 1e-30, 1e-8, 1e-4, 0.009, 0.011, 0.1, 0.4999, 0.5, 0.5001], dtype)
    logits = np.concatenate([logits, -logits])[np.newaxis]
    x = np.full_like(logits, 0.5)
    table = blocks([("continuous_bernoulli", 1)])
    h = logits[0].astype(np.float64) / 2
    wanted = h**2 / 6 - h**4 / 180 + h**6 / 2835 - h**8 / 37800 + h**10 / 467775
    slope = logits[0] / 12 - logits[0].astype(np.float64) ** 3 / 720
    none = None
    for k in range(logits.shape[1]):
        one = slice(k, k + 1)
        loss, got, _ = loss_of(module, logits[:, one], none, x[:, one], table)
        np.testing.assert_allclose(loss[0], wanted[k], rtol=1e-8, atol=4 * eps(dtype))
        np.testing.assert_allclose(got[0, 0], slope[k], rtol=1e-6, atol=4 * eps(dtype) + 1e-6)
    far = np.array([[700.0, -700.0, 50.0, -50.0]], dtype)
    table = blocks([("continuous_bernoulli", 4)])
    loss, slope_far, _ = loss_of(module, far, none, np.array([[1.0, 0.0, 0.0, 1.0]], dtype), table)
    wanted_far = 2 * -np.log(700) + 2 * (50 - np.log(50))
    np.testing.assert_allclose(loss, wanted_far, rtol=16 * eps(dtype))
    near = [-1 / 700, 1 / 700, 1 - 1 / 50, -1 + 1 / 50]
    np.testing.assert_allclose(slope_far[0], near, rtol=1e-4)


@each_implementation
@each_dtype
def test_a_rate_beyond_its_bound_goes_along_the_tangent(module: ModuleType, dtype: DType) -> None:
    bound = LOG_RATE_MAX
    table, none = blocks([("poisson", 1)]), None
    for count in (0.0, 7.0):
        x = np.full((1, 1), count, dtype)
        at, slope, _ = loss_of(module, np.full((1, 1), bound, dtype), none, x, table)
        for beyond in (bound + 60, 1e17, 1e24):
            output = np.full((1, 1), beyond, dtype)
            far, slope_far, _ = loss_of(module, output, none, x, table)
            np.testing.assert_array_equal(slope, slope_far)
            distance = output[0].astype(float) - bound
            np.testing.assert_allclose(far - at, distance * slope[:, 0], rtol=4 * eps(dtype))
    (mean,) = call(
        module, "row_likelihood_mean", [poisoned((1, 1), dtype)],
        np.full((1, 1), bound + 60, dtype), table,
    )  # fmt: skip
    np.testing.assert_allclose(mean, np.exp(bound), rtol=16 * eps(dtype))


@each_dtype
def test_large_counts_cost_what_float64_says(dtype: DType) -> None:
    """exp(l) - l x + log(x!) of 10^6 counts is a difference of numbers in the millions."""
    counts = np.array([[0, 1, 2, 3, 20, 170, 1e3, 1e5, 1e6]])
    log_rates = np.log(counts + 1).astype(np.float32)
    table, none = blocks([("poisson", counts.shape[1])]), None
    loss = loss_of(kernels, log_rates.astype(dtype), none, counts, table)[0]
    exact = loss_of(kernels.reference, log_rates.astype(np.float64), none, counts, table)[0]
    np.testing.assert_allclose(loss, exact, rtol=1e-9)


@each_implementation
@each_dtype
def test_a_category_that_is_certain_costs_nothing_but_what_is_left(
    module: ModuleType, dtype: DType
) -> None:
    table, none = blocks([("categorical", 3)]), None
    output = np.array([[1000.0, 990.0, -1000.0]], dtype)
    for chosen, wanted in ((0, np.log1p(np.exp(-10))), (1, 10.0 + np.log1p(np.exp(-10)))):
        loss, slope, _ = loss_of(module, output, none, np.eye(3, dtype=dtype)[[chosen]], table)
        np.testing.assert_allclose(loss, wanted, rtol=1e-9)
        np.testing.assert_allclose(slope.sum(), 0, atol=4 * eps(dtype))


@each_implementation
@each_dtype
def test_sigma_at_its_bound(module: ModuleType, dtype: DType) -> None:
    """A raw of -inf gives sigma_min itself, and so does none; its slope is 0 there."""
    table = blocks([("gaussian", 2)])
    output, x = np.zeros((1, 2), dtype), np.array([[SIGMA_MIN, 0.0]], dtype)
    wanted = np.log(2 * np.pi) + 2 * np.log(SIGMA_MIN) + 0.5
    for raw in (np.full((1, 2), -np.inf), np.full((1, 2), -200.0)):
        loss, slope, to_raw = loss_of(module, output, raw, x, table, sigma_min=SIGMA_MIN)
        np.testing.assert_allclose(loss, wanted, rtol=8 * eps(dtype))
        np.testing.assert_allclose(slope[0], [-1 / SIGMA_MIN, 0], rtol=4 * eps(dtype))
        np.testing.assert_allclose(to_raw, 0, atol=1e-80)


def test_densities_are_densities() -> None:
    """They integrate, or sum, to 1 over x, and their mean is what is returned as such."""
    none = None
    pixels, counts = np.linspace(0, 1, 20001), np.arange(200.0)
    normal = np.linspace(-12, 12, 20001)
    cases = [
        ("continuous_bernoulli", pixels, pixels[1]), ("poisson", counts, None),
        ("bernoulli", np.array([0.0, 1.0]), None), ("gaussian", normal, normal[1] - normal[0]),
    ]  # fmt: skip
    for kind, values, step in cases:
        table = blocks([(kind, 1)])
        for number in (-3.0, -0.4, 0.0, 0.3, 2.5):
            x = values[:, np.newaxis]
            loss, _, _ = loss_of(kernels, np.full_like(x, number), none, x, table, sigma_min=0.8)
            density = np.exp(-loss)
            if step is not None:  # trapezoids
                density *= step
                density[[0, -1]] /= 2
            (mean,) = call(
                kernels, "row_likelihood_mean", [poisoned((1, 1), float)],
                np.full((1, 1), number), table,
            )  # fmt: skip
            np.testing.assert_allclose(density.sum(), 1, rtol=1e-7)
            np.testing.assert_allclose((density * values).sum(), mean[0, 0], atol=1e-7)


@each_dtype
@each_row
def test_means(dtype: DType, kinds: list[tuple[str, int]]) -> None:
    output, _, _, table = batch(kinds, 5)
    out = poisoned(output.shape, dtype)
    (mean,) = call(kernels, "row_likelihood_mean", [out], output.astype(dtype), table)
    (wanted,) = expected("row_likelihood_mean", [out], output, table)
    np.testing.assert_allclose(mean, wanted, rtol=16 * eps(dtype), atol=4 * eps(dtype))


@each_implementation
@each_dtype
@each_row
def test_what_is_missing_costs_nothing(
    module: ModuleType, dtype: DType, kinds: list[tuple[str, int]]
) -> None:
    output, raw, x, table = batch(kinds, 3)
    whole, slope, _ = loss_of(module, output.astype(dtype), raw, x, table)
    x[1] = np.nan
    loss, got, to_raw = loss_of(module, output.astype(dtype), raw, x, table)
    np.testing.assert_array_equal(loss, [whole[0], 0, whole[2]])
    np.testing.assert_array_equal(got, slope * [[1], [0], [1]])
    np.testing.assert_array_equal(to_raw[1], 0)


@each_dtype
@each_row
def test_nan_of_the_model_stays_visible(dtype: DType, kinds: list[tuple[str, int]]) -> None:
    output, raw, x, table = batch(kinds, 3)
    for column in {0, x.shape[1] - 1}:
        bad = output.astype(dtype)
        bad[1, column] = np.nan
        loss, slope, _ = loss_of(kernels, bad, raw, x, table)
        np.testing.assert_array_equal(np.isnan(loss), [False, True, False])
        assert np.isnan(slope[1, column])
        assert np.isfinite(slope[[0, 2]]).all()


def test_kinds_that_are_none_are_refused() -> None:
    x = np.zeros((1, 5), np.float32)
    good = blocks([("gaussian", 2), ("categorical", 3)])
    for place, value in (((0, 0), 9), ((1, 1), 4), ((1, 1), -3), ((0, 0), -1)):
        bad = good.copy()
        bad[place] = value
        with pytest.raises(ValueError, match="kinds must be codes of BLOCK_KINDS and columns"):
            loss_of(kernels, x, None, x, bad)
