"""Bounds of several latents per row: their weights, what they are worth, their gradients.

A row x has k latents z_j = mean + exp(b / 2) noise_j, b the bounded log_var, with the weights
w_j = p(x | z_j) p(z_j) / q(z_j | x). ELBO averages over the k of them. IWAE is

    log mean_j w_j                                   (Burda, Grosse & Salakhutdinov 2016, eq. 8),

whose gradient is that of sum_j u_j log w_j, u_j = w_j / sum w held fixed (eq. 14). DREG has the
same gradient for the decoder, and for the encoder

    sum_j u_j^2 (d log w_j / d z_j) (d z_j / d phi)  (Tucker et al. 2019, "Doubly Reparameterized
                                                      Gradient Estimators", eq. 8),

which has the same expectation. What is minimised is the negative bound. Where log_var leaves its
bounds, IWAE and DREG lose the tangent (exp(b) - 1) (log_var - b) / 2 of the KL (`maths.latent`):
it brings log_var back. n latent units, all row by row.
"""

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Real, Word
from ..machine.memory import cast, get, lane_count, load_some, put, store_some
from ..machine.vectors import Vector, constant, fma, splat
from .latent import (
    LOG_VAR_MAX,
    LOG_VAR_MIN,
    deviation,
    kl_slope,
    kl_terms,
    within_bounds,
)

ELBO, IWAE, DREG = range(3)
OBJECTIVES = {"elbo": ELBO, "iwae": IWAE, "dreg": DREG}


@device_function
def row_weights(log_weights: Pointer, k: Word) -> Real:
    """Replace k logs of weights (float64) by the weights' shares; return the log of their mean."""
    largest = get(log_weights, 0)
    for j in range(1, k):
        largest = max(largest, get(log_weights, j))
    total = 0.0
    for j in range(k):
        weight = np.exp(get(log_weights, j) - largest)
        put(log_weights, j, weight)
        total += weight
    for j in range(k):
        put(log_weights, j, get(log_weights, j) / total)
    return largest + np.log(total / k)


@device_function
def row_tangent(log_var: Pointer, n: Word) -> Real:
    """Sum of (exp(b) - 1) (log_var - b) / 2 in float64: 0 where all log_var are within bounds."""
    total = 0.0
    for c in range(n):
        v = np.float64(get(log_var, c))
        bound = min(max(v, LOG_VAR_MIN), LOG_VAR_MAX)
        if v != bound:  # NaN, too
            total += 0.5 * (np.exp(bound) - 1.0) * (v - bound)
    return total


@device_function
def row_latent_slope(
    dz: Pointer, z: Pointer, log_var: Pointer, noise: Pointer, n: Word, share: Real, scale: Real,
    objective: Word,
) -> None:  # fmt: skip
    """Make the slope of -log w_j with respect to z_j, through which the encoder learns, of that of
    -log p(x | z_j), both times the share u_j and the scale of the batch's mean.

    IWAE: dz + scale u z. DREG: u (dz + scale u (z - exp(-b / 2) noise)).
    """
    weight = splat(cast(dz, scale * share))
    factor = splat(cast(dz, share))
    for c in range(0, n, lane_count(dz)):
        left = n - c
        slope = load_some(dz, c, left)
        at = load_some(z, c, left)
        if objective == DREG:
            v = load_some(log_var, c, left)
            at = at - load_some(noise, c, left) / deviation(v)
        slope = fma(weight, at, slope)
        if objective == DREG:
            slope = factor * slope
        store_some(dz, c, slope, left)


@device_function
def row_entropy_backward(
    dlog_var: Pointer, log_var: Pointer, n: Word, scale: Real, objective: Word
) -> None:
    """Add scale times what log_var earns beside z: -1/2 of IWAE, 0 of DREG, within its bounds;
    beyond them the slope of the KL there."""
    factor = splat(cast(log_var, scale))
    for c in range(0, n, lane_count(log_var)):
        left = n - c
        v = load_some(log_var, c, left)
        inside = within_bounds(v)
        slope = kl_slope(v) * (constant(v, 1.0) - inside)
        if objective == IWAE:
            slope = slope - constant(v, 0.5) * inside
        store_some(dlog_var, c, fma(factor, slope, load_some(dlog_var, c, left)), left)


@device_function
def column_kl(means: Pointer, log_vars: Pointer, n_rows: Word, stride: Word, left: Word) -> Vector:
    """The mean KL over n_rows rows of a vector of latents, `left` of them at most: one chain of
    sums for each. `stride` is the number of elements from row to row."""
    total = constant(load_some(means, 0, left), 0.0)
    for b in range(n_rows):
        m = load_some(means, b * stride, left)
        total = total + kl_terms(m, load_some(log_vars, b * stride, left))
    return total * splat(cast(means, 1.0 / n_rows))


@device_function
def row_free_kl_backward(
    dmean: Pointer, dlog_var: Pointer, mean: Pointer, log_var: Pointer, gates: Pointer, n: Word,
    scale: Real,
) -> None:  # fmt: skip
    """As `row_kl_backward`, of the latents alone whose gate is 1; the others' gates are 0."""
    factor = splat(cast(mean, scale))
    for c in range(0, n, lane_count(mean)):
        left = n - c
        v = load_some(log_var, c, left)
        gate = load_some(gates, c, left) * factor
        dm = fma(gate, load_some(mean, c, left), load_some(dmean, c, left))
        store_some(dmean, c, dm, left)
        store_some(dlog_var, c, fma(gate, kl_slope(v), load_some(dlog_var, c, left)), left)
