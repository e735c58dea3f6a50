"""Reconstruction losses per row, in nats, and their gradients. B rows, I features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ..machine.compilation import device_function, parallel_kernel
from ..machine.memory import (
    advance,
    cast,
    lane_count,
    load_some,
    pointer,
    put,
    stack,
    store,
    store_some,
    sum_eight,
)
from ..machine.vectors import splat
from ..maths.likelihoods import loss_terms, sum_groups
from .arguments import checked, real_number


@device_function
def _loss_row(output: Any, x: Any, first: Any, n: Any, likelihood: Any) -> Any:
    base = pointer(output)
    terms = stack(base, 64)
    groups = stack(base, 8)
    buffer = stack(base, 16)
    total = 0.0
    for block in range(0, n, 64):
        for c in range(0, 64, lane_count(base)):
            left = max(n - block - c, 0)
            y = load_some(base, first + block + c, left, buffer)
            wanted = load_some(pointer(x), first + block + c, left, buffer)
            store(terms, c, loss_terms(y, wanted, likelihood)[0])
        for j in range(min(n - block, 64), 64):
            put(terms, j, cast(base, 0.0))
        for g in range(8):
            put(groups, g, sum_eight(terms, 8 * g))
        total += sum_groups(groups, 8)
    return total


@device_function
def _loss_row_backward(
    slope: Any, output: Any, x: Any, scale: Any, first: Any, n: Any, likelihood: Any
) -> None:
    base = pointer(output)
    buffer = stack(base, 16)
    factor = splat(cast(base, scale))
    for c in range(0, n, lane_count(base)):
        y = load_some(base, first + c, n - c, buffer)
        wanted = load_some(pointer(x), first + c, n - c, buffer)
        value = loss_terms(y, wanted, likelihood)[1] * factor
        store_some(advance(pointer(slope), first), c, value, n - c, buffer)


@parallel_kernel
def _loss(loss: Any, output: Any, x: Any, likelihood: Any) -> None:
    n = x.shape[1]
    for b in prange(x.shape[0]):
        loss[b] = _loss_row(output, x, np.int64(b) * n, n, likelihood)


@parallel_kernel
def _loss_backward(slope: Any, output: Any, x: Any, scale: Any, likelihood: Any) -> None:
    n = x.shape[1]
    for b in prange(x.shape[0]):
        _loss_row_backward(slope, output, x, scale, np.int64(b) * n, n, likelihood)


def bernoulli_loss(loss: np.ndarray, logits: np.ndarray, x: np.ndarray) -> None:
    """-log p(x | logits) per row in nats: sum of max(l, 0) - l x + log(1 + exp(-|l|)).

    Source: Kingma & Welling (2013), appendix C.1, written for logits so that nothing
    overflows and no probability is clipped.

    Parameters
    ----------
    loss : ndarray of float64, shape (B,)
        Written.
    logits, x : ndarray, shape (B, I), float32 or float64
        x in [0, 1]: grey pixels count as probabilities.
    """
    _loss(*checked("B:float64 BI BI", 1, loss=loss, logits=logits, x=x), 0)


def bernoulli_loss_backward(
    dlogits: np.ndarray, logits: np.ndarray, x: np.ndarray, scale: float
) -> None:
    """dlogits = scale (sigmoid(logits) - x).

    Parameters
    ----------
    dlogits : ndarray, shape (B, I)
        Written.
    logits, x : ndarray, shape (B, I)
    scale : float
    """
    arrays = checked("BI BI BI", 1, dlogits=dlogits, logits=logits, x=x)
    _loss_backward(*arrays, real_number(scale, "scale"), 0)


def gaussian_loss(loss: np.ndarray, x_hat: np.ndarray, x: np.ndarray) -> None:
    """||x - x_hat||^2 per row.

    -log N(x; x_hat, sigma^2 I) is this times 1 / (2 sigma^2), and a constant (Kingma & Welling
    2013, appendix C.2).

    Parameters
    ----------
    loss : ndarray of float64, shape (B,)
        Written.
    x_hat, x : ndarray, shape (B, I), float32 or float64
    """
    _loss(*checked("B:float64 BI BI", 1, loss=loss, x_hat=x_hat, x=x), 1)


def gaussian_loss_backward(
    dx_hat: np.ndarray, x_hat: np.ndarray, x: np.ndarray, scale: float
) -> None:
    """dx_hat = 2 scale (x_hat - x).

    Parameters
    ----------
    dx_hat : ndarray, shape (B, I)
        Written.
    x_hat, x : ndarray, shape (B, I)
    scale : float
    """
    arrays = checked("BI BI BI", 1, dx_hat=dx_hat, x_hat=x_hat, x=x)
    _loss_backward(*arrays, real_number(scale, "scale"), 1)
