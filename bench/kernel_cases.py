"""Every public kernel with its arguments for any sizes: what tests and benchmarks call.

Letters: B batch rows, I inputs, O outputs, Z latent units, K latents of a row, N rows of a data
set, T rows to be ordered, P parameters of a model; a digit is a size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.workload import BETA1, BETA2, EPS, LEARNING_RATE, Array, mnist_like_rows
from fastvae.kernels import ACTIVATIONS, BINARIZATIONS, BLOCK_KINDS, OBJECTIVES
from fastvae.model.kinds import KINDS

Sizes = Mapping[str, int]
Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape, Sizes], Array]

SEED_SIZES = {"I": 784, "O": 256, "Z": 32, "K": 5, "N": 10_000, "T": 60_000, "P": 427_344}
"""Sizes of the seed's model and of MNIST, five latents of a row; the batch is for the caller to
choose."""


def poisoned(shape: int | Shape, dtype: npt.DTypeLike) -> Array:
    """An output in which an element that is never written shows: NaN, or -1 for integers."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -1, dtype)


@dataclass(frozen=True)
class Operand:
    """An array among a kernel's arguments."""

    axes: str
    """A letter or digit for each axis."""
    draw: Draw | None = None
    """Makes the numbers that are there before the call; None where the kernel reads none."""
    written: bool = False
    dtype: type[np.generic] | None = None
    """None: the dtype that a kernel's arrays share."""

    def array(self, sizes: Sizes, shared: npt.DTypeLike, seed: int) -> Array:
        """Return the array for these sizes, the same at each call."""
        shape = tuple(int(axis) if axis.isdigit() else sizes[axis] for axis in self.axes)
        dtype = self.dtype or shared
        if self.draw is None:
            return poisoned(shape, dtype)
        return self.draw(np.random.Generator(np.random.Philox(seed)), shape, sizes).astype(dtype)


Parameters = Mapping[str, Operand | float]


@dataclass(frozen=True)
class Case:
    """One kernel with all its arguments."""

    name: str
    parameters: Parameters
    """By the names and in the order of the kernel's parameters."""
    product: str = ""
    """The axes of its matrix product; none where memory or elementary functions bound it."""
    label: str = ""
    """What tells it from another case of the same kernel."""

    @property
    def operation(self) -> str:
        """The name in tables."""
        return f"{self.name} ({self.label})" if self.label else self.name

    @property
    def operands(self) -> dict[str, Operand]:
        """The arguments that are arrays."""
        return {key: value for key, value in self.parameters.items() if isinstance(value, Operand)}

    @property
    def written(self) -> list[str]:
        """Names of the arrays that the kernel writes."""
        return [key for key, operand in self.operands.items() if operand.written]

    @property
    def read(self) -> list[str]:
        """Names of the arrays that the kernel only reads."""
        return [key for key, operand in self.operands.items() if not operand.written]

    @property
    def numbers(self) -> dict[str, float]:
        """The arguments that are no arrays."""
        return {
            key: value for key, value in self.parameters.items() if not isinstance(value, Operand)
        }

    @property
    def has_batch(self) -> bool:
        """Whether the work grows with the batch."""
        return any("B" in operand.axes for operand in self.operands.values())

    def arguments(self, sizes: Sizes, dtype: npt.DTypeLike = np.float32) -> dict[str, Any]:
        """Return new arguments for these sizes, by name and in the kernel's order."""
        return {
            key: value.array(sizes, dtype, seed) if isinstance(value, Operand) else value
            for seed, (key, value) in enumerate(self.parameters.items())
        }

    def flops(self, sizes: Sizes) -> int:
        """Return the floating-point operations of the matrix product; 0 without one."""
        return 2 * prod(sizes[axis] for axis in self.product) if self.product else 0


def normal(rng: np.random.Generator, shape: Shape, _: Sizes) -> Array:
    """Standard normal numbers."""
    return rng.standard_normal(shape, np.float32)


def positive(rng: np.random.Generator, shape: Shape, _: Sizes) -> Array:
    """Second moments."""
    return np.abs(rng.standard_normal(shape, np.float32))


def parts_of_one(rng: np.random.Generator, shape: Shape, _: Sizes) -> Array:
    """Weights of the latents of each row: with larger ones, gradients that are replaced in each of
    many calls would overflow."""
    weights = np.abs(rng.standard_normal(shape))
    return weights / weights.sum(axis=-1, keepdims=True)


def activated(rng: np.random.Generator, shape: Shape, _: Sizes) -> Array:
    """Outputs that every activation can have: half of them 0, the others below 1."""
    return np.maximum(np.tanh(rng.standard_normal(shape, np.float32)), 0)


def bytes_of_images(_: np.random.Generator, shape: Shape, __: Sizes) -> Array:
    """Rows of a data set: mostly zeros."""
    return mnist_like_rows(*shape)


def pixels(_: np.random.Generator, shape: Shape, __: Sizes) -> Array:
    """Rows as the model sees them: mostly zeros, the rest in (0, 1]."""
    return mnist_like_rows(*shape).astype(np.float32) / np.float32(255)


def gates(rng: np.random.Generator, shape: Shape, _: Sizes) -> Array:
    """Gates of free bits: 0 or 1."""
    return (rng.standard_normal(shape, np.float32) > 0).astype(np.float32)


def row_numbers(rng: np.random.Generator, shape: Shape, sizes: Sizes) -> Array:
    """Rows of the data set, in no order and some of them twice."""
    return rng.integers(0, sizes["N"], shape)


def kinds_of_columns(_: np.random.Generator, __: Shape, sizes: Sizes) -> Array:
    """A block of each kind of columns, which make all inputs; see `row_likelihood_loss`."""
    ends = np.arange(len(BLOCK_KINDS) + 1) * sizes["I"] // len(BLOCK_KINDS)
    return np.stack([[BLOCK_KINDS[kind] for kind in KINDS], np.diff(ends)], axis=1)


def rows_of_kinds(rng: np.random.Generator, shape: Shape, sizes: Sizes) -> Array:
    """Rows for blocks of `kinds_of_columns`: in [0, 1], or counts, or one of a block 1."""
    rows = pixels(rng, shape, sizes)
    first = 0
    columns = kinds_of_columns(rng, shape, sizes)[:, 1].tolist()
    for kind, n in zip(KINDS.values(), columns, strict=True):
        if kind.domain == "counts":
            rows[:, first : first + n] = rng.poisson(2.0, (len(rows), n))
        elif kind.domain == "one-hot" and n > 0:
            rows[:, first : first + n] = np.eye(n)[rng.integers(0, n, len(rows))]
        first += n
    return rows


def words(rng: np.random.Generator, shape: Shape, _: Sizes) -> Array:
    """Words of 32 bits."""
    return rng.integers(0, 2**32, shape, np.uint32)


def _read(axes: str, draw: Draw = normal, dtype: type[np.generic] | None = None) -> Operand:
    return Operand(axes, draw, dtype=dtype)


def _written(axes: str, dtype: type[np.generic] | None = None) -> Operand:
    return Operand(axes, written=True, dtype=dtype)


def _updated(axes: str, draw: Draw = normal, dtype: type[np.generic] | None = None) -> Operand:
    return Operand(axes, draw, written=True, dtype=dtype)


def _forward_and_backward(label: str, code: int) -> list[Case]:
    forward: Parameters = {"out": _written("BO"), "x": _read("BO"), "activation": code}
    backward: Parameters = {
        "dx": _written("BO"),
        "dy": _read("BO"),
        "y": _read("BO", activated),
        "activation": code,
    }
    return [
        Case("activation_forward", forward, label=label),
        Case("activation_backward", backward, label=label),
    ]


_LOSS = _written("B", np.float64)
_TARGET = _read("BI", pixels)
_COUNTER = {"seed": 0, "stream": 1, "step": 2}

CASES = (
    Case(
        "dense_forward",
        {
            "out": _written("BO"),
            "x": _read("BI"),
            "weight": _read("OI"),
            "bias": _read("O"),
            "activation": ACTIVATIONS["relu"],
        },
        product="BIO",
    ),
    Case(
        "dense_backward_input",
        {"dx": _written("BI"), "dy": _read("BO"), "weight": _read("OI")},
        product="BIO",
    ),
    Case(
        "dense_backward_weight",
        {"dweight": _written("OI"), "dy": _read("BO"), "x": _read("BI")},
        product="BIO",
    ),
    Case("dense_backward_bias", {"dbias": _written("O"), "dy": _read("BO")}),
    *(
        case
        for label, code in ACTIVATIONS.items()
        if label != "identity"
        for case in _forward_and_backward(label, code)
    ),
    Case(
        "reparameterise",
        {"z": _written("BZ"), "mean": _read("BZ"), "log_var": _read("BZ"), "noise": _read("BZ")},
    ),
    Case(
        "reparameterise_backward",
        {
            "dmean": _written("BZ"),
            "dlog_var": _written("BZ"),
            "dz": _read("BZ"),
            "log_var": _read("BZ"),
            "noise": _read("BZ"),
        },
    ),
    Case("kl_divergence", {"kl": _LOSS, "mean": _read("BZ"), "log_var": _read("BZ")}),
    Case(
        "kl_divergence_backward",
        {
            "dmean": _updated("BZ"),
            "dlog_var": _updated("BZ"),
            "mean": _read("BZ"),
            "log_var": _read("BZ"),
            "scale": 0.5,
        },
    ),
    Case(
        "importance_ratio",
        {
            "ratio": _LOSS,
            "z": _read("BZ"),
            "log_var": _read("BZ"),
            "noise": _read("BZ"),
        },
    ),
    Case(
        "importance_weights",
        {
            "shares": _updated("BK", dtype=np.float64),
            "bound": _LOSS,
            "log_var": _read("BZ"),
        },
    ),
    *(
        Case(
            "importance_backward",
            {
                "dmean": _written("BZ"),
                "dlog_var": _written("BZ"),
                "dz": _updated("BKZ"),
                "z": _read("BKZ"),
                "log_var": _read("BZ"),
                "noise": _read("BKZ"),
                "shares": _read("BK", parts_of_one, np.float64),
                "objective": OBJECTIVES[label],
                "scale": 0.5,
            },
            label=label,
        )
        for label in ("iwae", "dreg")
    ),
    Case("mean_kl", {"kl": _written("Z"), "mean": _read("BZ"), "log_var": _read("BZ")}),
    Case(
        "free_kl_backward",
        {
            "dmean": _updated("BZ"),
            "dlog_var": _updated("BZ"),
            "mean": _read("BZ"),
            "log_var": _read("BZ"),
            "gates": _read("Z", gates),
            "scale": 0.5,
        },
    ),
    Case("bernoulli_loss", {"loss": _LOSS, "logits": _read("BI"), "x": _TARGET}),
    Case(
        "bernoulli_loss_backward",
        {"dlogits": _written("BI"), "logits": _read("BI"), "x": _TARGET, "scale": 0.5},
    ),
    Case("gaussian_loss", {"loss": _LOSS, "x_hat": _read("BI"), "x": _TARGET}),
    Case(
        "gaussian_loss_backward",
        {"dx_hat": _written("BI"), "x_hat": _read("BI"), "x": _TARGET, "scale": 0.5},
    ),
    Case(
        "row_likelihood_loss",
        {
            "loss": _LOSS,
            "doutput": _written("BI"),
            "draw": _written("BI"),
            "output": _read("BI"),
            "raw": _read("BI"),
            "x": _read("BI", rows_of_kinds),
            "kinds": _read(f"{len(BLOCK_KINDS)}2", kinds_of_columns, np.int64),
            "sigma_min": 1e-3,
            "scale": 0.5,
        },
    ),
    Case(
        "row_likelihood_mean",
        {
            "mean": _written("BI"),
            "output": _read("BI"),
            "kinds": _read(f"{len(BLOCK_KINDS)}2", kinds_of_columns, np.int64),
        },
    ),
    Case(
        "gather",
        {
            "out": _written("BI"),
            "data": _read("NI", bytes_of_images, np.uint8),
            "index": _read("B", row_numbers, np.int64),
        },
        label="uint8",
    ),
    Case(
        "gather_binary",
        {
            "out": _written("BI"),
            "data": _read("NI", bytes_of_images, np.uint8),
            "index": _read("B", row_numbers, np.int64),
            "keys": _read("N", row_numbers, np.int64),
            "binarization": BINARIZATIONS["dynamic"],
            "seed": 3,
        },
        label="dynamic, uint8",
    ),
    Case("normal", {"out": _written("BZ"), **_COUNTER}),
    Case("normal_from", {"out": _written("BZ"), "first": 1021, **_COUNTER}),
    Case("uniform", {"out": _written("BZ"), **_COUNTER}),
    Case(
        "sgd_update",
        {
            "param": _updated("P"),
            "grad": _read("P"),
            "velocity": _updated("P"),
            "learning_rate": LEARNING_RATE,
            "momentum": 0.9,
        },
    ),
    Case(
        "rmsprop_update",
        {
            "param": _updated("P"),
            "grad": _read("P"),
            "square": _updated("P", positive),
            "learning_rate": LEARNING_RATE,
            "decay": 0.9,
            "eps": EPS,
        },
    ),
    Case(
        "adam_update",
        {
            "param": _updated("P"),
            "grad": _read("P"),
            "moment1": _updated("P"),
            "moment2": _updated("P", positive),
            "step": 10,
            "learning_rate": LEARNING_RATE,
            "beta1": BETA1,
            "beta2": BETA2,
            "eps": EPS,
        },
    ),
    Case(
        "weighted_sum",
        {
            "out": _written("P"),
            "a": _read("P"),
            "b": _read("P"),
            "weight_a": 0.25,
            "weight_b": 0.75,
        },
    ),
    Case("permutation", {"out": _written("T", np.int64), **_COUNTER}),
    Case(
        "philox4x32",
        {"counter": _read("4", words, np.uint32), "key": _read("2", words, np.uint32)},
        label="one block",
    ),
)
"""At least one for each kernel; several where a code or a dtype chooses what runs."""

NEVER_EMPTY = {"importance_weights": "K", "importance_backward": "K", "mean_kl": "B"}
"""Axes that must not be of size 0, as there is no mean of nothing."""


def case_of(name: str) -> Case:
    """Return the first case of a kernel."""
    return next(case for case in CASES if case.name == name)
