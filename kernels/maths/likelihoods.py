"""Reconstruction losses and their slopes, chosen at run time by the codes of `LIKELIHOODS`.

A row's loss is summed in a fixed shape whatever the vector width: groups of 8 features by a fixed
tree, eight such groups by the same tree, then in ascending order in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..machine.compilation import device_function
from ..machine.memory import sum_eight
from ..machine.vectors import absolute, constant, fma, select
from . import functions

LIKELIHOODS = {"bernoulli": 0, "gaussian": 1}


@device_function
def bernoulli_terms(logit: Any, x: Any) -> Any:
    """Return -log p(x | logit) = max(l, 0) - l x + log(1 + exp(-|l|)), and sigmoid(l) - x."""
    one = constant(logit, 1.0)
    e = functions.exp_of_negative(functions.negative(absolute(logit)))
    loss = fma(functions.negative(logit), x, functions.rectify(logit)) + functions.log1p(e)
    mean = select(logit < constant(logit, 0.0), e, one) / (one + e)
    return loss, mean - x


@device_function
def gaussian_terms(x_hat: Any, x: Any) -> Any:
    """Return (x_hat - x)^2 and its derivative by x_hat."""
    difference = x_hat - x
    return difference * difference, difference + difference


@device_function
def loss_terms(output: Any, x: Any, likelihood: Any) -> Any:
    """The loss of one vector of outputs (logits or means) and its derivative by them."""
    if likelihood == 0:
        return bernoulli_terms(output, x)
    return gaussian_terms(output, x)


@device_function
def sum_groups(groups: Any, n: Any) -> Any:
    """Sum n group sums (n a multiple of 8) in the fixed shape, as float64."""
    total = 0.0
    for g in range(0, n, 8):
        total += np.float64(sum_eight(groups, g))
    return total
