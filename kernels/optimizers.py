"""Parameter updates: SGD with momentum, RMSprop and Adam.

One update per optimiser, of one vector; it serves the tiles of the weight gradient
(`_dense_tasks`) and the separate pass over a whole arena alike, so that both give the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ._arrays import checked, number_between, whole_number
from ._jit import device_function, kernel, parallel_kernel
from .memory import advance, cast, lane_count, load, pointer, store
from .simd import constant, fma, splat, square_root

# Entries of `rule`, the numbers of one step (float64).
RATE, DECAY_1, DECAY_2, EPSILON, CORRECTION_2, SCALE = range(6)
RULE_SIZE = 6
_PADDED = 16  # a multiple of every vector width
_BLOCK = 4096  # elements per parallel task; a multiple of every vector width


@kernel
def step_rule(
    rule: Any, optimizer: Any, hyper: Any, learning_rate: Any, step: Any, scale: Any
) -> None:
    """Fill `rule` for update number `step` (from 1).

    Adam's bias corrections are folded into the rate and into one factor of the second moment:
    p -= rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps).
    """
    rule[RATE] = learning_rate
    rule[DECAY_1] = hyper[0]
    rule[DECAY_2] = hyper[0]
    rule[EPSILON] = hyper[1]
    rule[CORRECTION_2] = 1.0
    rule[SCALE] = scale
    if optimizer == 2:
        rule[RATE] = learning_rate / (1.0 - hyper[0] ** step)
        rule[DECAY_2] = hyper[1]
        rule[EPSILON] = hyper[2]
        rule[CORRECTION_2] = 1.0 / (1.0 - hyper[1] ** step)


@device_function
def _sgd(p: Any, g: Any, velocity: Any, rate: Any, momentum: Any) -> Any:
    velocity = fma(momentum, velocity, g)
    return fma(constant(p, 0.0) - rate, velocity, p), velocity


@device_function
def _rmsprop(p: Any, g: Any, square: Any, rate: Any, decay: Any, rest: Any, eps: Any) -> Any:
    square = fma(decay, square, rest * g * g)
    return p - rate * g / (square_root(square) + eps), square


@device_function
def _adam(
    p: Any, g: Any, m: Any, v: Any, rate: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any,
    eps: Any, correction2: Any,
) -> Any:  # fmt: skip
    m = fma(beta1, m, rest1 * g)
    v = fma(beta2, v, rest2 * g * g)
    return p - rate * m / (square_root(v * correction2) + eps), m, v


@device_function
def update_span(
    optimizer: Any, parameters: Any, moment1: Any, moment2: Any, gradient: Any, tile: Any,
    place: Any, n: Any, rule: Any,
) -> None:  # fmt: skip
    """Apply tile[0:n] to elements place .. place + n - 1, or store it (optimizer < 0).

    n is a multiple of the vector's lanes.
    """
    base = pointer(parameters)
    first = pointer(moment1)
    second = pointer(moment2)
    count = lane_count(base)
    if optimizer < 0:
        for e in range(0, n, count):
            store(pointer(gradient), place + e, load(tile, e))
        return
    scale = splat(cast(base, rule[SCALE]))
    rate = splat(cast(base, rule[RATE]))
    decay1 = splat(cast(base, rule[DECAY_1]))
    eps = splat(cast(base, rule[EPSILON]))
    if optimizer == 0:
        for e in range(0, n, count):
            at = place + e
            p, m = _sgd(load(base, at), load(tile, e) * scale, load(first, at), rate, decay1)
            store(base, at, p)
            store(first, at, m)
        return
    decay2 = splat(cast(base, rule[DECAY_2]))
    rest2 = splat(cast(base, 1.0 - rule[DECAY_2]))
    if optimizer == 1:
        for e in range(0, n, count):
            at = place + e
            p, v = _rmsprop(
                load(base, at), load(tile, e) * scale, load(second, at), rate, decay2, rest2, eps
            )
            store(base, at, p)
            store(second, at, v)
        return
    rest1 = splat(cast(base, 1.0 - rule[DECAY_1]))
    correction2 = splat(cast(base, rule[CORRECTION_2]))
    for e in range(0, n, count):
        at = place + e
        p, m, v = _adam(
            load(base, at), load(tile, e) * scale, load(first, at), load(second, at),
            rate, decay1, rest1, decay2, rest2, eps, correction2,
        )  # fmt: skip
        store(base, at, p)
        store(first, at, m)
        store(second, at, v)


@parallel_kernel
def update_parameters(
    optimizer: Any, parameters: Any, moment1: Any, moment2: Any, gradient: Any, rule: Any
) -> None:
    """Apply a stored gradient to a whole arena (its size is a multiple of every vector)."""
    for task in prange((parameters.size + _BLOCK - 1) // _BLOCK):
        first = np.int64(task) * _BLOCK
        n = min(_BLOCK, parameters.size - first)
        update_span(
            optimizer, parameters, moment1, moment2, gradient,
            advance(pointer(gradient), first), first, n, rule,
        )  # fmt: skip


def _update(
    optimizer: int, arrays: list[np.ndarray], hyper: list[float], rate: float, step: int
) -> None:
    """Update arrays [param, moment1, moment2, grad] of any length in place."""
    rule = np.empty(RULE_SIZE)
    step_rule(rule, optimizer, np.array(hyper), rate, step, 1.0)
    size = arrays[0].size
    whole = size - size % _PADDED
    if whole:
        update_parameters(optimizer, *(a[:whole] for a in arrays), rule)
    if whole < size:
        padded = [np.zeros(_PADDED, a.dtype) for a in arrays]
        for end, a in zip(padded, arrays, strict=True):
            end[: size - whole] = a[whole:]
        update_parameters(optimizer, *padded, rule)
        for end, a in zip(padded[:3], arrays[:3], strict=True):
            a[whole:] = end[: size - whole]


def _rate(learning_rate: float) -> float:
    return number_between(learning_rate, "learning_rate", 0.0)


def _epsilon(eps: float, dtype: np.dtype) -> float:
    """Check eps, which must not be flushed to 0: a gradient that stays 0 would become 0 / 0."""
    return number_between(eps, "eps", float(np.finfo(dtype).tiny))


def sgd_update(
    param: np.ndarray, grad: np.ndarray, velocity: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """Stochastic gradient descent with momentum: v = momentum v + g; p = p - rate v.

    Parameters
    ----------
    param, velocity : ndarray, shape (n,), float32 or float64
        Updated in place.
    grad : ndarray, shape (n,)
    learning_rate : float
        Finite, at least 0.
    momentum : float
        In [0, 1).
    """
    param, velocity, grad = checked("N N N", 2, param=param, velocity=velocity, grad=grad)
    hyper = [number_between(momentum, "momentum", 0.0, 1.0), 0.0, 0.0]
    unused = np.zeros_like(param)
    _update(0, [param, velocity, unused, grad], hyper, _rate(learning_rate), 1)


def rmsprop_update(
    param: np.ndarray,
    grad: np.ndarray,
    square: np.ndarray,
    learning_rate: float,
    decay: float,
    eps: float,
) -> None:
    """RMSprop: s = decay s + (1 - decay) g^2; p = p - rate g / (sqrt(s) + eps).

    Source: Tieleman & Hinton (2012), Neural networks for machine learning, lecture 6.5.

    Parameters
    ----------
    param, square : ndarray, shape (n,), float32 or float64
        Updated in place.
    grad : ndarray, shape (n,)
    learning_rate : float
        Finite, at least 0.
    decay : float
        In [0, 1).
    eps : float
        At least the smallest normal number of the dtype.
    """
    param, square, grad = checked("N N N", 2, param=param, square=square, grad=grad)
    hyper = [number_between(decay, "decay", 0.0, 1.0), _epsilon(eps, param.dtype), 0.0]
    unused = np.zeros_like(param)
    _update(1, [param, unused, square, grad], hyper, _rate(learning_rate), 1)


def adam_update(
    param: np.ndarray,
    grad: np.ndarray,
    moment1: np.ndarray,
    moment2: np.ndarray,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    param, moment1, moment2 : ndarray, shape (n,), float32 or float64
        Updated in place.
    grad : ndarray, shape (n,)
    step : int
        Number of this update, from 1; it sets the bias corrections.
    learning_rate : float
        Finite, at least 0.
    beta1, beta2 : float
        In [0, 1).
    eps : float
        At least the smallest normal number of the dtype.
    """
    arrays = checked("N N N N", 3, param=param, moment1=moment1, moment2=moment2, grad=grad)
    hyper = [
        number_between(beta1, "beta1", 0.0, 1.0),
        number_between(beta2, "beta2", 0.0, 1.0),
        _epsilon(eps, param.dtype),
    ]
    _update(2, arrays, hyper, _rate(learning_rate), whole_number(step, "step", 1, 2**62))
