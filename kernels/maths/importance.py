"""Importance weights of latents: their densities, -log p(x | z) in many columns, and their sums.

A latent z is drawn from the posterior q(z | x) = N(mean, exp(b)), b the bounded log_var, as
z = mean + exp(b / 2) noise. Its weight is w = p(x | z) p(z) / q(z | x), and the mean of k weights
estimates p(x): Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders", eq. 8.
"""

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Real, Vectors, Word
from ..machine.memory import get, lane_count, load, load_converted, put, stack, store, sum_eight
from ..machine.vectors import Vector, absolute, constant, fma
from . import functions
from .activations import activate
from .latent import LOG_VAR_MAX, LOG_VAR_MIN, bound_log_var
from .likelihoods import gaussian_terms

LARGEST, TOTAL, SQUARES = range(3)
"""Sums of weights: the largest log w; the sums of w and of w^2, in units of the largest w."""


@device_function
def row_log_ratio(like: Pointer, z: Pointer, log_var: Pointer, noise: Pointer, n: Word) -> Real:
    """log p(z) - log q(z | x) = sum of (noise^2 + b - z^2) / 2 over n latents of one row.

    Both densities have the factor (2 pi)^(-n / 2). In float64, which `like` points to: eight chains
    of sums, then a tree.
    """
    sums = stack(like, 8)
    count = lane_count(like)
    whole = n - n % 8
    for first in range(0, 8, count):
        total = constant(load(sums, first), 0.0)
        for j in range(first, whole, 8):
            e, at = load_converted(noise, j, like), load_converted(z, j, like)
            b = bound_log_var(load_converted(log_var, j, like))
            total = total + fma(e, e, fma(functions.negative(at), at, b))
        store(sums, first, total)
    for j in range(whole, n):
        e, at = np.float64(get(noise, j)), np.float64(get(z, j))
        b = np.float64(get(log_var, j))
        b = LOG_VAR_MIN if b < LOG_VAR_MIN else b
        b = LOG_VAR_MAX if b > LOG_VAR_MAX else b
        put(sums, j - whole, get(sums, j - whole) + fma(e, e, fma(-at, at, b)))
    return 0.5 * sum_eight(sums, 0)


@device_function
def add_bernoulli(linear: Vector, factors: Vector, logit: Vector, x: Vector) -> Vectors:
    """Add -log p(x | logit) of a vector of columns to sums that are linear + log(factors).

    It is max(l, 0) - l x + log(1 + exp(-|l|)) (Kingma & Welling 2014, appendix C.1), of whose logs
    one for many columns does: that of their product, each in [1, 2].
    """
    e = functions.exp_of_negative(functions.negative(absolute(logit)))
    term = fma(functions.negative(logit), x, functions.rectify(logit))
    return linear + term, fma(factors, e, factors)


@device_function
def add_gaussian(squares: Vector, value: Vector, x: Vector, activation: Word) -> Vector:
    """Add (x - x_hat)^2 of a vector of columns; x_hat = activation(value)."""
    return squares + gaussian_terms(activate(value, activation), x)[0]


@device_function
def add_log_weight(sums: Pointer, value: Real) -> None:
    """Add a weight, of which `value` is the log, to `sums` (float64), see LARGEST.

    Each weight is added by itself, so that it does not matter in which portions they come.
    """
    largest = get(sums, LARGEST)
    if value > largest:
        # What there is, in units of the new largest weight; at first nothing.
        scale = np.exp(largest - value)
        put(sums, TOTAL, get(sums, TOTAL) * scale + 1.0)
        put(sums, SQUARES, get(sums, SQUARES) * (scale * scale) + 1.0)
        put(sums, LARGEST, value)
    elif value != -np.inf:  # NaN goes this way
        weight = np.exp(value - largest)
        put(sums, TOTAL, get(sums, TOTAL) + weight)
        put(sums, SQUARES, get(sums, SQUARES) + weight * weight)
