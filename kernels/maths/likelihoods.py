"""Reconstruction losses and their slopes, chosen by the codes of `LIKELIHOODS`.

A row's loss is summed in a fixed shape whatever the vector width: groups of 8 features by a fixed
tree, eight such groups by the same tree, then in ascending order in float64.
"""

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Real, Vectors, Word
from ..machine.memory import cast, lane_count, load_some, put, stack, store, store_some, sum_eight
from ..machine.vectors import Vector, absolute, constant, fma, select
from . import functions
from .activations import IDENTITY, activate, activation_slope

BERNOULLI, GAUSSIAN = range(2)
LIKELIHOODS = {"bernoulli": BERNOULLI, "gaussian": GAUSSIAN}


@device_function
def bernoulli_terms(logit: Vector, x: Vector) -> Vectors:
    """Return -log p(x | logit) = max(l, 0) - l x + log(1 + exp(-|l|)), and sigmoid(l) - x."""
    one = constant(logit, 1.0)
    e = functions.exp_of_negative(functions.negative(absolute(logit)))
    loss = fma(functions.negative(logit), x, functions.rectify(logit)) + functions.log1p(e)
    mean = select(logit < constant(logit, 0.0), e, one) / (one + e)
    return loss, mean - x


@device_function
def gaussian_terms(x_hat: Vector, x: Vector) -> Vectors:
    """Return (x_hat - x)^2 and its derivative with respect to x_hat."""
    difference = x_hat - x
    return difference * difference, difference + difference


@device_function
def loss_terms(
    value: Vector, x: Vector, likelihood: Word, activation: Word, scale: Real
) -> Vectors:
    """The loss of pre-activations `value`, and `scale` times its derivative with respect to them.

    The Bernoulli likelihood takes them as logits, whatever the activation.
    """
    if likelihood == BERNOULLI:
        loss, slope = bernoulli_terms(value, x)
        return loss, slope * constant(slope, scale)
    output = activate(value, activation)
    loss, slope = gaussian_terms(output, x)
    return loss, slope * constant(slope, scale) * activation_slope(output, activation)


@device_function
def sum_groups(groups: Pointer, n: Word) -> Real:
    """Sum n group sums (n a multiple of 8) in the fixed shape, as float64."""
    total = 0.0
    for g in range(0, n, 8):
        total += np.float64(sum_eight(groups, g))
    return total


@device_function
def row_loss(output: Pointer, x: Pointer, n: Word, likelihood: Word) -> Real:
    """The loss of one row of n logits or means, in nats."""
    terms = stack(output, 64)
    groups = stack(output, 8)
    total = 0.0
    for block in range(0, n, 64):
        for c in range(0, 64, lane_count(output)):
            left = max(n - block - c, 0)
            y = load_some(output, block + c, left)
            wanted = load_some(x, block + c, left)
            store(terms, c, loss_terms(y, wanted, likelihood, IDENTITY, 1.0)[0])
        for j in range(min(n - block, 64), 64):
            put(terms, j, cast(output, 0.0))
        for g in range(8):
            put(groups, g, sum_eight(terms, 8 * g))
        total += sum_groups(groups, 8)
    return total


@device_function
def row_loss_backward(
    slope: Pointer, output: Pointer, x: Pointer, n: Word, likelihood: Word, scale: Real
) -> None:
    """slope = scale * the derivative of `row_loss` with respect to the outputs."""
    for c in range(0, n, lane_count(output)):
        y = load_some(output, c, n - c)
        wanted = load_some(x, c, n - c)
        value = loss_terms(y, wanted, likelihood, IDENTITY, scale)[1]
        store_some(slope, c, value, n - c)
