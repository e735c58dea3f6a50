"""Optimisers: each step against the reference in float64, from the state the kernel left."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
from kernel_checks import (
    Array,
    DType,
    assert_within,
    call,
    each_dtype,
    each_implementation,
    eps,
    expected,
    generator,
)

from bench.kernel_cases import case_of
from fastvae.kernels.machine.isa import lanes

LANES = lanes(4)


class Optimizer(NamedTuple):
    """A kernel with its numbers, the step's left out."""

    kernel: str
    hyper: tuple[float, ...]

    def arguments(self, grad: Array, step: int) -> tuple[Array | float, ...]:
        """All arguments that are only read."""
        counts_steps = "step" in case_of(self.kernel).numbers
        return (grad, *((step,) if counts_steps else ()), *self.hyper)

    def start(self, param: Array) -> list[Array]:
        """Parameters and moments of 0."""
        return [param, *(np.zeros_like(param) for _ in case_of(self.kernel).written[1:])]


OPTIMIZERS = {
    "sgd": Optimizer("sgd_update", (0.05, 0.0)),
    "momentum": Optimizer("sgd_update", (0.05, 0.9)),
    "rmsprop": Optimizer("rmsprop_update", (1e-3, 0.9, 1e-8)),
    "adam": Optimizer("adam_update", (1e-3, 0.9, 0.999, 1e-8)),
}
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=list(OPTIMIZERS))


def start(n: int, optimizer: Optimizer, dtype: DType) -> list[Array]:
    """Random parameters and moments of 0."""
    return optimizer.start(generator(n).standard_normal(n).astype(dtype))


def bounds(
    optimizer: Optimizer, before: list[Array], after: list[Array], grad: Array
) -> list[Array]:
    """How far rounding can move each output, in units of eps.

    A moment is a sum of two products with rounded factors: 2 roundings of each product and one of
    the sum, of at most |decay moment| + |gain gradient|. The second moment has positive terms, so
    that this is relative: 5 roundings with the square. An update is a product of moment (or
    gradient), rate, and the reciprocal of a root (3 for the half of the 5, the root and eps), with
    rounded bias corrections and rate: 10 roundings suffice, besides the first moment's own error;
    the parameter's own difference is the last.
    """
    param, *moments = (value.astype(np.float64) for value in before)
    moved, *new = (value.astype(np.float64) for value in after)
    change, g = np.abs(moved - param), np.abs(grad.astype(np.float64))
    if optimizer.kernel == "sgd_update":
        rate, momentum = optimizer.hyper
        size = momentum * np.abs(moments[0]) + g
        return [np.abs(param) + 3 * rate * size + change, 3 * size]
    if optimizer.kernel == "rmsprop_update":
        return [np.abs(param) + 11 * change, 5 * new[0]]
    beta1 = optimizer.hyper[1]
    size = beta1 * np.abs(moments[0]) + (1 - beta1) * g
    per_moment = change / np.maximum(np.abs(new[0]), 1e-300)
    return [np.abs(param) + 11 * change + 3 * size * per_moment, 3 * size, 5 * new[1]]


@each_implementation
@each_dtype
@each_optimizer
@pytest.mark.parametrize("n", [0, 1, LANES - 1, LANES, LANES + 1, 1009, 20011])
def test_five_steps(module: ModuleType, dtype: DType, optimizer: Optimizer, n: int) -> None:
    state, rng = start(n, optimizer, dtype), generator(n, 1)
    for step in range(1, 6):
        grad = (rng.standard_normal(n) * np.exp2(rng.uniform(-12, 2, n))).astype(dtype)
        arguments = optimizer.arguments(grad, step)
        got = call(module, optimizer.kernel, state, *arguments)
        wanted = expected(optimizer.kernel, state, *arguments)
        allowed = bounds(optimizer, state, wanted, grad)
        for actual, exact, bound in zip(got, wanted, allowed, strict=True):
            assert_within(actual, exact, eps(dtype) * bound)
        state = got


@each_implementation
def test_known_values(module: ModuleType) -> None:
    """Two steps by hand, on the gradients 2 and -1, from the parameter 1."""
    cases = {
        # v = 2, then 0.5 * 2 - 1 = 0
        "sgd_update": (Optimizer("sgd_update", (0.1, 0.5)), [0.8, 0.8]),
        # s = 2, then 0.5 * 2 + 0.5 * 1 = 1.5
        "rmsprop_update": (
            Optimizer("rmsprop_update", (0.1, 0.5, 1.0)),
            [
                1 - 0.1 * 2 / (np.sqrt(2) + 1),
                1 - 0.1 * 2 / (np.sqrt(2) + 1) + 0.1 / (np.sqrt(1.5) + 1),
            ],
        ),
        # m = 1, then 0; v = 1, then 1; corrected: m / 0.5 = 2, v / 0.25 = 4; then m = 0
        "adam_update": (
            Optimizer("adam_update", (0.1, 0.5, 0.75, 1.0)),
            [1 - 0.1 * 2 / 3, 1 - 0.1 * 2 / 3],
        ),
    }
    for optimizer, trajectory in cases.values():
        state = optimizer.start(np.ones(1))
        for step, (gradient, wanted) in enumerate(zip([2.0, -1.0], trajectory, strict=True), 1):
            arguments = optimizer.arguments(np.array([gradient]), step)
            state = call(module, optimizer.kernel, state, *arguments)
            np.testing.assert_allclose(state[0], wanted, rtol=8 * eps(float))


@each_implementation
@each_dtype
def test_first_step_of_adam_has_the_size_of_the_rate(module: ModuleType, dtype: DType) -> None:
    """Bias correction makes the first step ``rate sign(gradient)`` (Kingma and Ba, section 2.1)."""
    grad = np.array([1e-3, -5, 0, 1e3], dtype)
    optimizer = OPTIMIZERS["adam"]
    state = optimizer.start(np.zeros_like(grad))
    param, *_ = call(module, optimizer.kernel, state, *optimizer.arguments(grad, 1))
    # eps = 1e-8 changes the first by 1e-5 of itself.
    np.testing.assert_allclose(param, -1e-3 * np.sign(grad), rtol=2e-5)


@each_implementation
@each_dtype
@each_optimizer
def test_nan_stays_visible(module: ModuleType, dtype: DType, optimizer: Optimizer) -> None:
    n = 2 * LANES + 1
    state, grad = start(n, optimizer, dtype), np.ones(n, dtype)
    grad[LANES] = np.nan
    arguments = optimizer.arguments(grad, 1)
    for written in call(module, optimizer.kernel, state, *arguments):
        np.testing.assert_array_equal(np.isnan(written), np.isnan(grad))
