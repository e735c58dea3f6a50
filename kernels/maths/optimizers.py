"""Optimiser rules, chosen by the codes of `OPTIMIZERS`: SGD with momentum, RMSprop, Adam.

One update per optimiser, of one vector; it serves the tiles of the weight gradient and the separate
pass over a whole arena alike, so that both give the same bits.
"""

from collections.abc import Sequence

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Real, Record, Word
from ..machine.memory import advance, cast, lane_count, load, store
from ..machine.vectors import Vector, constant, fma, splat
from .roots import root

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


def rule_of(optimizer: int, hyper: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Return the fields of a rule, for `set_rates` to complete.

    Parameters
    ----------
    optimizer : int
        A code of `OPTIMIZERS`, or NO_UPDATE.
    hyper : sequence of float
        momentum; decay, eps; or beta1, beta2, eps. What an optimiser lacks may be anything.
    """
    decay1, decay2, epsilon = hyper[:3] if optimizer == ADAM else (hyper[0], hyper[0], hyper[1])
    return optimizer, 0.0, decay1, decay2, epsilon, 1.0, 1.0


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
def update_span(tile: Pointer, place: Word, n: Word, rule: Record, arenas: Record) -> None:
    """Apply the gradient tile[0:n] to elements place .. place + n - 1 of the arenas.

    `arenas` has pointers `parameters`, `moment1` and `moment2`. n is a multiple of the vector's
    lanes.
    """
    p = advance(arenas.parameters, place)
    if rule.optimizer == SGD:
        _sgd(p, advance(arenas.moment1, place), tile, n, rule)
    elif rule.optimizer == RMSPROP:
        _rmsprop(p, advance(arenas.moment2, place), tile, n, rule)
    else:
        _adam(p, advance(arenas.moment1, place), advance(arenas.moment2, place), tile, n, rule)


@device_function
def _sgd(parameters: Pointer, velocities: Pointer, tile: Pointer, n: Word, rule: Record) -> None:
    rate, scale = _same(tile, rule.rate), _same(tile, rule.scale)
    momentum = _same(tile, rule.decay1)
    for e in range(0, n, lane_count(tile)):
        p = load(parameters, e)
        velocity = fma(momentum, load(velocities, e), load(tile, e) * scale)
        store(parameters, e, fma(constant(p, 0.0) - rate, velocity, p))
        store(velocities, e, velocity)


@device_function
def _rmsprop(parameters: Pointer, squares: Pointer, tile: Pointer, n: Word, rule: Record) -> None:
    rate, scale = _same(tile, rule.rate), _same(tile, rule.scale)
    epsilon = _same(tile, rule.epsilon)
    decay, rest = _same(tile, rule.decay2), _same(tile, 1.0 - rule.decay2)
    for e in range(0, n, lane_count(tile)):
        g = load(tile, e) * scale
        square = fma(decay, load(squares, e), rest * g * g)
        store(parameters, e, load(parameters, e) - rate * g / (root(square) + epsilon))
        store(squares, e, square)


@device_function
def _adam(
    parameters: Pointer, means: Pointer, squares: Pointer, tile: Pointer, n: Word, rule: Record
) -> None:
    rate, scale = _same(tile, rule.rate), _same(tile, rule.scale)
    epsilon = _same(tile, rule.epsilon)
    beta1, rest1 = _same(tile, rule.decay1), _same(tile, 1.0 - rule.decay1)
    beta2, rest2 = _same(tile, rule.decay2), _same(tile, 1.0 - rule.decay2)
    correction2 = _same(tile, rule.correction2)
    for e in range(0, n, lane_count(tile)):
        g = load(tile, e) * scale
        m = fma(beta1, load(means, e), rest1 * g)
        v = fma(beta2, load(squares, e), rest2 * g * g)
        p = load(parameters, e) - rate * m / (root(v * correction2) + epsilon)
        store(parameters, e, p)
        store(means, e, m)
        store(squares, e, v)


@device_function
def _same(like: Pointer, number: Real) -> Vector:
    """A vector of one number."""
    return splat(cast(like, number))


@device_function
def store_span(gradient: Pointer, tile: Pointer, place: Word, n: Word) -> None:
    """Store tile[0:n] as elements place .. place + n - 1; n is a multiple of the lanes."""
    for e in range(0, n, lane_count(tile)):
        store(gradient, place + e, load(tile, e))
