"""Plain NumPy references of the likelihoods of rows, for `reference`; all in float64."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..maths.row_likelihoods import BLOCK_KINDS, LOG_RATE_MAX

Array = npt.NDArray[Any]
_LGAMMA = np.frompyfunc(math.lgamma, 1, 1)


def row_likelihood_loss(
    loss: Array, doutput: Array, draw: Array, output: Array, raw: Array, x: Array, kinds: Array,
    sigma_min: float, scale: float,
) -> None:  # fmt: skip
    """-log p(x | output, raw) per row in nats, and scale times its gradients; see the kernel.

    Parameters
    ----------
    loss : (B,) float64
    doutput, draw : (B, I)
    output, raw, x : (B, I)
    kinds : (K, 2) int64
    sigma_min, scale : float
    """
    loss[:] = 0.0
    draw[:] = 0.0
    for kind, columns in _blocks(kinds):
        values, wanted = (array[:, columns].astype(np.float64) for array in (output, x))
        there = ~np.isnan(wanted)
        if kind == BLOCK_KINDS["categorical"]:
            there[:] = there.all(axis=1, keepdims=True)
        wanted = np.where(there, wanted, 0.0)
        if kind == BLOCK_KINDS["gaussian"]:
            above = np.exp(raw[:, columns].astype(np.float64))
            sigma = sigma_min + above
            r = (values - wanted) / sigma
            terms = 0.5 * np.log(2 * np.pi) + np.log(sigma) + 0.5 * r * r
            slope = r / sigma
            draw[:, columns] = scale * np.where(there, (1 - r * r) * above / sigma, 0.0)
        else:
            terms, slope = _TERMS[kind](values, wanted)
        loss += np.where(there, terms, 0.0).sum(axis=1)
        doutput[:, columns] = scale * np.where(there, slope, 0.0)


def row_likelihood_mean(mean: Array, output: Array, kinds: Array) -> None:
    """The mean of x of each column; see the kernel.

    It is the slope for x = 0 of all but the Gaussian: l is their natural parameter.

    Parameters
    ----------
    mean : (B, I)
    output : (B, I)
    kinds : (K, 2) int64
    """
    for kind, columns in _blocks(kinds):
        values = output[:, columns].astype(np.float64)
        if kind != BLOCK_KINDS["gaussian"]:
            values = _TERMS[kind](values, np.zeros_like(values))[1]
        mean[:, columns] = values


def _blocks(kinds: Array) -> list[tuple[int, slice]]:
    """The code and the columns of each block that has any."""
    ends = np.cumsum(kinds[:, 1]).tolist()
    pairs = zip(kinds.tolist(), ends, strict=True)
    return [(kind, slice(end - n, end)) for (kind, n), end in pairs if n > 0]


def _bernoulli(logit: Array, x: Array) -> tuple[Array, Array]:
    return np.logaddexp(0.0, logit) - logit * x, _sigmoid(logit) - x


def _sigmoid(logit: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -logit))


def _continuous_bernoulli(logit: Array, x: Array) -> tuple[Array, Array]:
    # Below 0.1 by the series around 0; what is left out is below 1e-20.
    size = np.abs(logit)
    small = size < 0.1
    a = np.where(small, 1.0, size)
    log_mass = np.maximum(logit, 0.0) + np.log(-np.expm1(-a) / a)
    rest = 1 / a - 1 / np.expm1(a)
    mean = np.where(logit < 0, rest, 1 - rest)
    near, slope = np.zeros_like(logit), np.zeros_like(logit)
    for power, divisor in ((2, 24), (4, -2880), (6, 181440), (8, -9676800), (10, 479001600)):
        near += logit**power / divisor
        slope += power * logit ** (power - 1) / divisor
    log_mass = np.where(small, logit / 2 + near, log_mass)
    return log_mass - logit * x, np.where(small, 0.5 + slope, mean) - x


def _poisson(log_rate: Array, x: Array) -> tuple[Array, Array]:
    bounded = np.minimum(log_rate, LOG_RATE_MAX)
    rate = np.exp(bounded)
    loss = rate * (1 + (log_rate - bounded)) - log_rate * x + _LGAMMA(x + 1).astype(np.float64)
    return loss, rate - x


def _categorical(values: Array, x: Array) -> tuple[Array, Array]:
    below = values - values.max(axis=1, keepdims=True)
    total = np.exp(below).sum(axis=1, keepdims=True)
    # Each column of the chosen category has all that the block costs.
    return x * (np.log(total) - below), np.exp(below) / total - x


_TERMS = {
    BLOCK_KINDS["bernoulli"]: _bernoulli,
    BLOCK_KINDS["continuous_bernoulli"]: _continuous_bernoulli,
    BLOCK_KINDS["poisson"]: _poisson,
    BLOCK_KINDS["categorical"]: _categorical,
}
