"""Reconstruction losses: Bernoulli from logits and squared error, with their gradients."""

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
from fastvae.kernels.machine.isa import panel_width

PANEL = panel_width(4)
SHAPES = [(1, 1), (2, PANEL - 1), (3, PANEL), (5, PANEL + 1), (67, 131), (13, 784), (0, 5)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_loss = pytest.mark.parametrize("loss", ["bernoulli_loss", "gaussian_loss"])


def batch(shape: tuple[int, int], dtype: DType) -> tuple[Array, Array]:
    """Random logits of every size up to about 30, and pixels: many 0, some 1, the rest between."""
    rng = generator(*shape)
    logits = rng.standard_normal(shape) * np.exp2(rng.uniform(-10, 3.3, shape))
    x = np.clip(rng.uniform(-1, 1.2, shape), 0, 1)
    return logits.astype(dtype), x.astype(dtype)


@each_implementation
@each_dtype
@each_shape
def test_bernoulli_loss(module: ModuleType, dtype: DType, shape: tuple[int, int]) -> None:
    logits, x = batch(shape, dtype)
    out = poisoned(shape[0], np.float64)
    (loss,) = call(module, "bernoulli_loss", [out], logits, x)
    (wanted,) = expected("bernoulli_loss", [out], logits, x)
    # log(1 + exp(-|l|)) is within 4 roundings, the product and the two sums add 3, and a sum
    # over I terms in the dtype I - 1.
    wide = logits.astype(np.float64)
    size = np.abs(wide) * (1 + x) + np.log1p(np.exp(-np.abs(wide)))
    assert_within(loss, wanted, (7 + shape[1]) * eps(dtype) * size.sum(axis=1))


@each_implementation
@each_dtype
@each_shape
def test_gaussian_loss(module: ModuleType, dtype: DType, shape: tuple[int, int]) -> None:
    x_hat, x = batch(shape, dtype)
    out = poisoned(shape[0], np.float64)
    (loss,) = call(module, "gaussian_loss", [out], x_hat, x)
    (wanted,) = expected("gaussian_loss", [out], x_hat, x)
    # The difference is off by one rounding, so its square by 2, plus its own; then I - 1 sums.
    assert_within(loss, wanted, (3 + shape[1]) * eps(dtype) * wanted)


@each_implementation
@each_dtype
@each_shape
@each_loss
def test_backward(module: ModuleType, dtype: DType, shape: tuple[int, int], loss: str) -> None:
    prediction, x = batch(shape, dtype)
    out, scale = poisoned(shape, dtype), 0.37
    (gradient,) = call(module, f"{loss}_backward", [out], prediction, x, scale)
    (wanted,) = expected(f"{loss}_backward", [out], prediction, x, scale)
    # Sigmoid 4 roundings of at most 1, difference and product one each, the scale rounded once.
    size = 1 + x if loss == "bernoulli_loss" else 2 * np.abs(prediction - x)
    assert_within(gradient, wanted, 7 * eps(dtype) * scale * size)


@each_implementation
@each_dtype
def test_huge_logits_give_the_limits(module: ModuleType, dtype: DType) -> None:
    logits = np.array([[1000], [1000], [-1000], [-1000]], dtype)
    x = np.array([[0], [1], [0], [1]], dtype)
    (loss,) = call(module, "bernoulli_loss", [poisoned(4, float)], logits, x)
    np.testing.assert_array_equal(loss, [1000, 0, 0, 1000])
    (gradient,) = call(module, "bernoulli_loss_backward", [poisoned((4, 1), dtype)], logits, x, 1.0)
    np.testing.assert_array_equal(gradient, [[1], [0], [0], [-1]])


@each_implementation
@each_dtype
def test_known_values(module: ModuleType, dtype: DType) -> None:
    """A logit of 0 costs log 2 whatever the pixel; the squared error of 3 and 4 is 25."""
    x = np.array([[0, 0.25, 1], [0.5, 0.5, 0.5]], dtype)
    (loss,) = call(module, "bernoulli_loss", [poisoned(2, float)], np.zeros_like(x), x)
    np.testing.assert_allclose(loss, 3 * np.log(2), rtol=4 * eps(dtype))
    x_hat = np.array([[3, 0], [-1, -1]], dtype)
    x = np.array([[0, 4], [-1, -1]], dtype)
    (loss,) = call(module, "gaussian_loss", [poisoned(2, float)], x_hat, x)
    np.testing.assert_array_equal(loss, [25, 0])
    (gradient,) = call(module, "gaussian_loss_backward", [poisoned((2, 2), dtype)], x_hat, x, 0.5)
    np.testing.assert_array_equal(gradient, [[3, -4], [0, 0]])


@each_implementation
@each_dtype
@each_loss
def test_nan_and_infinity_stay_visible(module: ModuleType, dtype: DType, loss: str) -> None:
    shape = (3, PANEL + 1)
    for position, value in ((0, np.nan), (1, np.nan), (0, np.inf), (0, -np.inf)):
        inputs = list(batch(shape, dtype))
        inputs[position][1, PANEL] = value
        bad = ~np.isfinite(inputs[position])
        with np.errstate(invalid="ignore"):
            (got,) = call(module, loss, [poisoned(3, float)], *inputs)
            (gradient,) = call(module, f"{loss}_backward", [poisoned(shape, dtype)], *inputs, 0.5)
        np.testing.assert_array_equal(np.isfinite(got), ~bad.any(axis=1))
        if np.isnan(value):
            np.testing.assert_array_equal(np.isnan(gradient), bad)


@each_implementation
@each_loss
def test_backward_is_the_gradient(module: ModuleType, loss: str) -> None:
    shape, scale = (5, PANEL + 3), 0.37
    prediction, x = batch(shape, np.float64)

    def forward(prediction: Array) -> Array:
        return call(module, loss, [poisoned(shape[0], float)], prediction, x)[0]

    (gradient,) = call(module, f"{loss}_backward", [poisoned(shape, float)], prediction, x, scale)
    assert_vjp(forward, [prediction], [gradient], np.full(shape[0], scale), seed=5)


@each_dtype
@each_loss
def test_nan_of_any_payload_passes(dtype: DType, loss: str) -> None:
    bad = np.repeat(nans(dtype), 2)[:, np.newaxis]
    bad[::2] = 0.5
    zero = np.zeros_like(bad)
    for inputs in ((bad, zero), (zero, bad)):
        (total,) = call(kernels, loss, [poisoned(len(bad), float)], *inputs)
        np.testing.assert_array_equal(np.isnan(total), np.isnan(bad[:, 0]))
        (slope,) = call(kernels, f"{loss}_backward", [zero], *inputs, 1.0)
        np.testing.assert_array_equal(np.isnan(slope), np.isnan(bad))
