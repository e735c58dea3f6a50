"""The public kernels with the arguments of the seed's model, for kernel and reference alike.

Letters: B batch rows, I = 784 inputs, O = 256 outputs, Z = 32 latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.workload import BETA1, BETA2, EPS, LEARNING_RATE, Array, mnist_like_rows

I, O, Z = 784, 256, 32  # noqa: E741  the letters of the kernels
N_PARAMETERS = 427_344
N_ROWS = 10_000
ORDER_LENGTH = 60_000
ADAM = (LEARNING_RATE, BETA1, BETA2, EPS)

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """One kernel: its name, its arguments for B rows, its floating-point operations per row."""

    name: str
    arguments: Callable[[int], Arguments]
    flops_per_row: int = 0
    """Of matrix products; 0 for what is bound by memory or by elementary functions."""
    label: str = ""
    """What tells it from another case of the same kernel."""

    @property
    def operation(self) -> str:
        """The name in tables."""
        return f"{self.name} ({self.label})" if self.label else self.name


def draw(*shape: int) -> Array:
    """Standard normal float32 numbers, the same at each call."""
    return np.random.Generator(np.random.Philox(0)).standard_normal(shape, np.float32)


def empty(*shape: int) -> Array:
    """An array for float32 results."""
    return np.empty(shape, np.float32)


def zeros(*shape: int) -> Array:
    """An array for float32 results that are added to."""
    return np.zeros(shape, np.float32)


def losses(n_rows: int) -> Array:
    """An array for one loss per row."""
    return np.empty(n_rows)


def pixels(n_rows: int) -> Array:
    """Rows as the model sees them: mostly zeros, the rest in (0, 1]."""
    return mnist_like_rows(n_rows, I).astype(np.float32) / np.float32(255)


def _index(n_rows: int) -> Array:
    return np.random.Generator(np.random.Philox(0)).integers(0, N_ROWS, n_rows)


def _vectors() -> tuple[Array, Array]:
    """Parameters and their gradient."""
    return draw(N_PARAMETERS), draw(N_PARAMETERS)


def _positive() -> Array:
    """Second moments."""
    return np.abs(draw(N_PARAMETERS))


def _activations() -> list[Case]:
    codes = {"relu": 1, "leaky_relu": 2, "tanh": 3, "sigmoid": 4, "softplus": 5}
    cases = []
    for label, code in codes.items():
        forward = _with_code(lambda b: (empty(b, O), draw(b, O)), code)
        backward = _with_code(lambda b: (empty(b, O), draw(b, O), np.tanh(draw(b, O))), code)
        cases.append(Case("activation_forward", forward, label=label))
        cases.append(Case("activation_backward", backward, label=label))
    return cases


def _with_code(arguments: Callable[[int], Arguments], code: int) -> Callable[[int], Arguments]:
    return lambda b: (*arguments(b), code)


PER_BATCH = (
    Case("dense_forward", lambda b: (empty(b, O), draw(b, I), draw(O, I), draw(O), 1), 2 * I * O),
    Case("dense_backward_input", lambda b: (empty(b, I), draw(b, O), draw(O, I)), 2 * I * O),
    Case("dense_backward_weight", lambda b: (empty(O, I), draw(b, O), draw(b, I)), 2 * I * O),
    Case("dense_backward_bias", lambda b: (empty(O), draw(b, O))),
    *_activations(),
    Case("reparameterise", lambda b: (empty(b, Z), draw(b, Z), draw(b, Z), draw(b, Z))),
    Case(
        "reparameterise_backward",
        lambda b: (empty(b, Z), empty(b, Z), draw(b, Z), draw(b, Z), draw(b, Z)),
    ),
    Case("kl_divergence", lambda b: (losses(b), draw(b, Z), draw(b, Z))),
    Case(
        "kl_divergence_backward",
        lambda b: (zeros(b, Z), zeros(b, Z), draw(b, Z), draw(b, Z), 1 / b),
    ),
    Case("bernoulli_loss", lambda b: (losses(b), draw(b, I), pixels(b))),
    Case("bernoulli_loss_backward", lambda b: (empty(b, I), draw(b, I), pixels(b), 1 / b)),
    Case("gaussian_loss", lambda b: (losses(b), draw(b, I), pixels(b))),
    Case("gaussian_loss_backward", lambda b: (empty(b, I), draw(b, I), pixels(b), 1 / b)),
    Case("gather", lambda b: (empty(b, I), mnist_like_rows(N_ROWS, I), _index(b)), label="uint8"),
    Case("normal", lambda b: (empty(b, Z), 0, 1, 2)),
    Case("uniform", lambda b: (empty(b, Z), 0, 1, 2)),
)
"""Kernels whose work grows with the batch."""

WHOLE = (
    Case("sgd_update", lambda _: (*_vectors(), draw(N_PARAMETERS), LEARNING_RATE, 0.9)),
    Case("rmsprop_update", lambda _: (*_vectors(), _positive(), LEARNING_RATE, 0.9, EPS)),
    Case(
        "adam_update",
        lambda _: (*_vectors(), draw(N_PARAMETERS), _positive(), 10, *ADAM),
    ),
    Case("permutation", lambda _: (np.empty(ORDER_LENGTH, np.int64), 0, 1, 2)),
    Case(
        "philox4x32",
        lambda _: (np.arange(4, dtype=np.uint32), np.arange(2, dtype=np.uint32)),
        label="one block",
    ),
)
"""Kernels that know no batch: all parameters of the seed's model, an order of 60,000 rows."""
