"""Optimiser rules, chosen by the codes of `OPTIMIZERS`: SGD with momentum, RMSprop, Adam.

One update per optimiser, of one vector; it serves the tiles of the weight gradient and the separate
pass over a whole arena alike, so that both give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Real, Record, Vectors, Word
from ..machine.memory import cast, lane_count, load, pointer, store
from ..machine.vectors import Vector, constant, fma, splat, square_root

SGD, RMSPROP, ADAM = range(3)
OPTIMIZERS = {"sgd": SGD, "rmsprop": RMSPROP, "adam": ADAM}
NO_UPDATE = -1
"""Stands for an optimiser where gradients are stored and nothing is updated."""

RULE = np.dtype(
    [
        ("optimizer", np.int64),
        ("rate", np.float64),
        ("decay1", np.float64),
        ("decay2", np.float64),
        ("epsilon", np.float64),
        ("correction2", np.float64),
        ("scale", np.float64),
    ],
    align=True,
)
"""One step's update: what a code of `OPTIMIZERS` does with a gradient times `scale`.

`decay1` is the momentum or Adam's beta1, `decay2` RMSprop's decay or Adam's beta2; `rate` and
`correction2` hold Adam's bias corrections.
"""


def decays_of(optimizer: int, hyper: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Return a rule's `decay1`, `decay2` and `epsilon` from an optimiser's settings."""
    if optimizer == ADAM:
        beta1, beta2, epsilon = hyper[:3]
        return beta1, beta2, epsilon
    return hyper[0], hyper[0], hyper[1]


@device_function
def set_rates(rule: Record, learning_rate: Real, update: Word) -> None:
    """Make a rule that of update number `update` (from 1).

    Adam's bias corrections are folded into the rate and into one factor of the second moment:
    p -= rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps).
    """
    rule.rate = learning_rate
    rule.correction2 = 1.0
    rule.scale = 1.0
    if rule.optimizer == ADAM:
        rule.rate = learning_rate / (1.0 - rule.decay1**update)
        rule.correction2 = 1.0 / (1.0 - rule.decay2**update)


@device_function
def _sgd(p: Vector, g: Vector, velocity: Vector, rate: Vector, momentum: Vector) -> Vectors:
    velocity = fma(momentum, velocity, g)
    return fma(constant(p, 0.0) - rate, velocity, p), velocity


@device_function
def _rmsprop(p: Vector, g: Vector, square: Vector, rate: Vector, numbers: Vectors) -> Vectors:
    decay, rest, epsilon = numbers
    square = fma(decay, square, rest * g * g)
    return p - rate * g / (square_root(square) + epsilon), square


@device_function
def _adam(p: Vector, g: Vector, m: Vector, v: Vector, rate: Vector, numbers: Vectors) -> Vectors:
    beta1, rest1, beta2, rest2, epsilon, correction2 = numbers
    m = fma(beta1, m, rest1 * g)
    v = fma(beta2, v, rest2 * g * g)
    return p - rate * m / (square_root(v * correction2) + epsilon), m, v


@device_function
def update_span(tile: Pointer, place: Word, n: Word, rule: Record, arenas: Record) -> None:
    """Apply the gradient tile[0:n] to elements place .. place + n - 1 of the arenas.

    `arenas` has arrays `parameters`, `moment1` and `moment2`. n is a multiple of the vector's
    lanes.
    """
    base = pointer(arenas.parameters)
    first = pointer(arenas.moment1)
    second = pointer(arenas.moment2)
    count = lane_count(base)
    scale = splat(cast(base, rule.scale))
    rate = splat(cast(base, rule.rate))
    decay1 = splat(cast(base, rule.decay1))
    epsilon = splat(cast(base, rule.epsilon))
    if rule.optimizer == SGD:
        for e in range(0, n, count):
            at = place + e
            p, m = _sgd(load(base, at), load(tile, e) * scale, load(first, at), rate, decay1)
            store(base, at, p)
            store(first, at, m)
        return
    decay2 = splat(cast(base, rule.decay2))
    rest2 = splat(cast(base, 1.0 - rule.decay2))
    if rule.optimizer == RMSPROP:
        numbers = (decay2, rest2, epsilon)
        for e in range(0, n, count):
            at = place + e
            p, v = _rmsprop(load(base, at), load(tile, e) * scale, load(second, at), rate, numbers)
            store(base, at, p)
            store(second, at, v)
        return
    rest1 = splat(cast(base, 1.0 - rule.decay1))
    correction2 = splat(cast(base, rule.correction2))
    settings = (decay1, rest1, decay2, rest2, epsilon, correction2)
    for e in range(0, n, count):
        at = place + e
        p, m, v = _adam(
            load(base, at), load(tile, e) * scale, load(first, at), load(second, at), rate, settings
        )
        store(base, at, p)
        store(first, at, m)
        store(second, at, v)


@device_function
def store_span(gradient: Pointer, tile: Pointer, place: Word, n: Word) -> None:
    """Store tile[0:n] as elements place .. place + n - 1; n is a multiple of the lanes."""
    for e in range(0, n, lane_count(tile)):
        store(gradient, place + e, load(tile, e))
