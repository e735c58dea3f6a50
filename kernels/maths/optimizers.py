"""Optimiser rules, chosen by the codes of `OPTIMIZERS`: SGD with momentum, RMSprop, Adam.

One update per optimiser, of one vector; it serves the tiles of the weight gradient and the separate
pass over a whole arena alike, so that both give the same bits.
"""

from __future__ import annotations

from typing import Any

from ..machine.compilation import device_function, kernel
from ..machine.memory import cast, lane_count, load, pointer, store
from ..machine.vectors import constant, fma, splat, square_root

OPTIMIZERS = {"sgd": 0, "rmsprop": 1, "adam": 2}

# Entries of `rule`, the numbers of one step (float64).
RATE, DECAY_1, DECAY_2, EPSILON, CORRECTION_2, SCALE = range(6)
RULE_SIZE = 6


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
