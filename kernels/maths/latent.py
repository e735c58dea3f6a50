"""The latent: reparameterisation, KL divergence to N(0, I), and their gradients.

B rows, Z latent units. A log_var of v is bounded to b = min(max(v, LOG_VAR_MIN), LOG_VAR_MAX)
wherever it enters exp: the standard deviation is exp(b / 2). The KL goes on from a bound along its
tangent there,

    kl(v) = k(b) + k'(b) (v - b),   k(v) = (exp(v) - 1 - v) / 2,   k'(v) = (exp(v) - 1) / 2,

which is k(v) within the bounds. Beyond them it is larger than k(b), the divergence of the normal
distribution that is drawn from, so that the bound on the likelihood stays one; and its slope k'(b)
brings log_var back, where a slope of 0 would leave it outside for good. Gradients are those of what
was computed: k'(b) for the KL, 0 beyond the bounds for the draw.
"""

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Real, Word
from ..machine.memory import cast, lane_count, load_some, put, stack, store, store_some, sum_eight
from ..machine.vectors import Vector, constant, fma, select, splat
from . import functions

LOG_VAR_MIN = -30.0
LOG_VAR_MAX = 20.0


@device_function
def bound_log_var(log_var: Vector) -> Vector:
    """log_var within its bounds; NaN passes."""
    low = constant(log_var, LOG_VAR_MIN)
    high = constant(log_var, LOG_VAR_MAX)
    bounded = select(log_var < low, low, log_var)
    return select(bounded > high, high, bounded)


@device_function
def within_bounds(log_var: Vector) -> Vector:
    """1 where log_var is within its bounds (or NaN), else 0: the slope of bound_log_var."""
    one = constant(log_var, 1.0)
    zero = constant(log_var, 0.0)
    inside = select(log_var < constant(log_var, LOG_VAR_MIN), zero, one)
    return select(log_var > constant(log_var, LOG_VAR_MAX), zero, inside)


@device_function
def deviation(log_var: Vector) -> Vector:
    """The standard deviation exp(log_var / 2)."""
    return functions.exp(bound_log_var(log_var) * constant(log_var, 0.5))


@device_function
def draw(mean: Vector, log_var: Vector, noise: Vector) -> Vector:
    """mean + exp(log_var / 2) noise."""
    return fma(deviation(log_var), noise, mean)


@device_function
def kl_terms(mean: Vector, log_var: Vector) -> Vector:
    """m^2 / 2 + kl(log_var); see the module."""
    v = bound_log_var(log_var)
    one = constant(v, 1.0)
    e = functions.exp(v)
    total = fma(mean, mean, e) - one - v
    return fma(e - one, log_var - v, total) * constant(v, 0.5)


@device_function
def kl_slope(log_var: Vector) -> Vector:
    """d kl_terms / d log_var = (exp(v) - 1) / 2, v the bounded log_var."""
    v = bound_log_var(log_var)
    return (functions.exp(v) - constant(v, 1.0)) * constant(v, 0.5)


@device_function
def draw_slope(log_var: Vector, noise: Vector) -> Vector:
    """d draw / d log_var = exp(log_var / 2) noise / 2 within the bounds, else 0."""
    return deviation(log_var) * noise * constant(log_var, 0.5) * within_bounds(log_var)


@device_function
def row_kl(mean: Pointer, log_var: Pointer, n: Word) -> Real:
    """KL of one row in nats (float64): fixed groups of 8 latents, then in ascending order."""
    terms = stack(mean, 16)
    total = 0.0
    count = lane_count(mean)
    block = max(8, count)
    for first in range(0, n, block):
        for v in range(0, block, count):
            left = max(n - first - v, 0)
            m = load_some(mean, first + v, left)
            log_v = load_some(log_var, first + v, left)
            store(terms, v, kl_terms(m, log_v))
        for j in range(max(n - first, 0), block):
            put(terms, j, cast(terms, 0.0))
        for group in range(0, block, 8):
            total += np.float64(sum_eight(terms, group))
    return total


@device_function
def row_kl_backward(
    dmean: Pointer, dlog_var: Pointer, mean: Pointer, log_var: Pointer, n: Word, scale: Real
) -> None:
    """Add scale times the derivatives of `row_kl`."""
    factor = splat(cast(mean, scale))
    for c in range(0, n, lane_count(mean)):
        left = n - c
        m = load_some(mean, c, left)
        v = load_some(log_var, c, left)
        dm = load_some(dmean, c, left)
        dv = load_some(dlog_var, c, left)
        store_some(dmean, c, fma(factor, m, dm), left)
        store_some(dlog_var, c, fma(factor, kl_slope(v), dv), left)


@device_function
def row_draw(z: Pointer, mean: Pointer, log_var: Pointer, noise: Pointer, n: Word) -> None:
    """z = mean + exp(log_var / 2) noise for one row of n latents."""
    for c in range(0, n, lane_count(z)):
        left = n - c
        m = load_some(mean, c, left)
        v = load_some(log_var, c, left)
        e = load_some(noise, c, left)
        store_some(z, c, draw(m, v, e), left)


@device_function
def row_draw_backward(
    dmean: Pointer, dlog_var: Pointer, dz: Pointer, log_var: Pointer, noise: Pointer, n: Word,
    resume: Word,
) -> None:  # fmt: skip
    """Derivatives of `row_draw` times dz; with `resume` they are added to what is there."""
    for c in range(0, n, lane_count(dz)):
        left = n - c
        dm = load_some(dz, c, left)
        v = load_some(log_var, c, left)
        e = load_some(noise, c, left)
        dv = dm * draw_slope(v, e)
        if resume:
            dm = load_some(dmean, c, left) + dm
            dv = load_some(dlog_var, c, left) + dv
        store_some(dmean, c, dm, left)
        store_some(dlog_var, c, dv, left)


@device_function
def row_scale(values: Pointer, log_var: Pointer, n: Word) -> None:
    """values *= exp(log_var / 2): the derivative of `row_draw` with respect to the noise."""
    for c in range(0, n, lane_count(values)):
        left = n - c
        scale = deviation(load_some(log_var, c, left))
        store_some(values, c, load_some(values, c, left) * scale, left)


@device_function
def row_bounded(out: Pointer, log_var: Pointer, n: Word) -> None:
    """out = log_var within its bounds."""
    for c in range(0, n, lane_count(out)):
        store_some(out, c, bound_log_var(load_some(log_var, c, n - c)), n - c)


@device_function
def row_log_var_of(out: Pointer, log_var: Pointer, of_scale: Pointer, n: Word) -> None:
    """out = log_var + of_scale, both within their bounds: the log_var of what is scaled."""
    for c in range(0, n, lane_count(out)):
        left = n - c
        v = bound_log_var(load_some(log_var, c, left))
        store_some(out, c, v + bound_log_var(load_some(of_scale, c, left)), left)
