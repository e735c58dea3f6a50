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

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from . import vmath
from ._arrays import checked, real_number
from ._jit import device_function, parallel_kernel
from .memory import advance, cast, get, lane_count, load, pointer, put, stack, store, sum_eight
from .simd import constant, fma, select, splat

LOG_VAR_MIN = -30.0
LOG_VAR_MAX = 20.0


@device_function
def bound_log_var(log_var: Any) -> Any:
    """log_var within its bounds; NaN passes."""
    low = constant(log_var, LOG_VAR_MIN)
    high = constant(log_var, LOG_VAR_MAX)
    bounded = select(log_var < low, low, log_var)
    return select(bounded > high, high, bounded)


@device_function
def within_bounds(log_var: Any) -> Any:
    """1 where log_var is within its bounds (or NaN), else 0: the slope of bound_log_var."""
    one = constant(log_var, 1.0)
    zero = constant(log_var, 0.0)
    inside = select(log_var < constant(log_var, LOG_VAR_MIN), zero, one)
    return select(log_var > constant(log_var, LOG_VAR_MAX), zero, inside)


@device_function
def deviation(log_var: Any) -> Any:
    """The standard deviation exp(log_var / 2)."""
    return vmath.exp(bound_log_var(log_var) * constant(log_var, 0.5))


@device_function
def draw(mean: Any, log_var: Any, noise: Any) -> Any:
    """mean + exp(log_var / 2) noise."""
    return fma(deviation(log_var), noise, mean)


@device_function
def kl_terms(mean: Any, log_var: Any) -> Any:
    """m^2 / 2 + kl(log_var); see the module."""
    v = bound_log_var(log_var)
    one = constant(v, 1.0)
    e = vmath.exp(v)
    total = fma(mean, mean, e) - one - v
    return fma(e - one, log_var - v, total) * constant(v, 0.5)


@device_function
def kl_slope(log_var: Any) -> Any:
    """The derivative of kl_terms by log_var: (exp(v) - 1) / 2, v the bounded log_var."""
    v = bound_log_var(log_var)
    return (vmath.exp(v) - constant(v, 1.0)) * constant(v, 0.5)


@device_function
def draw_slope(log_var: Any, noise: Any) -> Any:
    """The derivative of draw by log_var: exp(log_var / 2) noise / 2 within the bounds, else 0."""
    return deviation(log_var) * noise * constant(log_var, 0.5) * within_bounds(log_var)


@device_function
def load_some(base: Any, place: Any, n: Any, buffer: Any) -> Any:
    """The vector at base[place]; lanes from n on are zero and not read."""
    count = lane_count(base)
    if n >= count:
        return load(base, place)
    store(buffer, 0, constant(load(buffer, 0), 0.0))
    for j in range(n):
        put(buffer, j, get(base, place + j))
    return load(buffer, 0)


@device_function
def store_some(base: Any, place: Any, value: Any, n: Any, buffer: Any) -> None:
    """Store the first n lanes of a vector at base[place]."""
    if n >= lane_count(value):
        store(base, place, value)
    else:
        store(buffer, 0, value)
        for j in range(n):
            put(base, place + j, get(buffer, j))


@device_function
def row_kl(mean: Any, log_var: Any, n: Any, buffer: Any) -> Any:
    """KL of one row in nats (float64): fixed groups of 8 latents, then in ascending order.

    `buffer` has room for 8 elements or one vector, and one vector more.
    """
    total = 0.0
    count = lane_count(mean)
    block = max(8, count)
    spare = advance(buffer, block)
    for first in range(0, n, block):
        for v in range(0, block, count):
            left = max(n - first - v, 0)
            m = load_some(mean, first + v, left, spare)
            log_v = load_some(log_var, first + v, left, spare)
            store(buffer, v, kl_terms(m, log_v))
        for j in range(max(n - first, 0), block):
            put(buffer, j, cast(buffer, 0.0))
        for group in range(0, block, 8):
            total += np.float64(sum_eight(buffer, group))
    return total


@device_function
def _draw_row(z: Any, mean: Any, log_var: Any, noise: Any, first: Any, n: Any) -> None:
    out = advance(pointer(z), first)
    buffer = stack(out, 16)
    for c in range(0, n, lane_count(out)):
        left = n - c
        m = load_some(pointer(mean), first + c, left, buffer)
        v = load_some(pointer(log_var), first + c, left, buffer)
        e = load_some(pointer(noise), first + c, left, buffer)
        store_some(out, c, draw(m, v, e), left, buffer)


@device_function
def _draw_row_backward(
    dmean: Any, dlog_var: Any, dz: Any, log_var: Any, noise: Any, first: Any, n: Any
) -> None:
    buffer = stack(pointer(dz), 16)
    for c in range(0, n, lane_count(pointer(dz))):
        left = n - c
        d = load_some(pointer(dz), first + c, left, buffer)
        v = load_some(pointer(log_var), first + c, left, buffer)
        e = load_some(pointer(noise), first + c, left, buffer)
        store_some(pointer(dmean), first + c, d, left, buffer)
        store_some(pointer(dlog_var), first + c, d * draw_slope(v, e), left, buffer)


@device_function
def _kl_row(mean: Any, log_var: Any, first: Any, n: Any) -> Any:
    base = pointer(mean)
    buffer = stack(base, 32)
    return row_kl(advance(base, first), advance(pointer(log_var), first), n, buffer)


@device_function
def _kl_row_backward(
    dmean: Any, dlog_var: Any, mean: Any, log_var: Any, scale: Any, first: Any, n: Any
) -> None:
    base = pointer(mean)
    buffer = stack(base, 16)
    factor = splat(cast(base, scale))
    for c in range(0, n, lane_count(base)):
        left = n - c
        m = load_some(base, first + c, left, buffer)
        v = load_some(pointer(log_var), first + c, left, buffer)
        dm = load_some(pointer(dmean), first + c, left, buffer)
        dv = load_some(pointer(dlog_var), first + c, left, buffer)
        store_some(pointer(dmean), first + c, fma(factor, m, dm), left, buffer)
        store_some(pointer(dlog_var), first + c, fma(factor, kl_slope(v), dv), left, buffer)


@parallel_kernel
def _reparameterise(z: Any, mean: Any, log_var: Any, noise: Any) -> None:
    n = mean.shape[1]
    for b in prange(mean.shape[0]):
        _draw_row(z, mean, log_var, noise, np.int64(b) * n, n)


@parallel_kernel
def _reparameterise_backward(dmean: Any, dlog_var: Any, dz: Any, log_var: Any, noise: Any) -> None:
    n = dz.shape[1]
    for b in prange(dz.shape[0]):
        _draw_row_backward(dmean, dlog_var, dz, log_var, noise, np.int64(b) * n, n)


@parallel_kernel
def _kl_divergence(kl: Any, mean: Any, log_var: Any) -> None:
    n = mean.shape[1]
    for b in prange(mean.shape[0]):
        kl[b] = _kl_row(mean, log_var, np.int64(b) * n, n)


@parallel_kernel
def _kl_divergence_backward(dmean: Any, dlog_var: Any, mean: Any, log_var: Any, scale: Any) -> None:
    n = mean.shape[1]
    for b in prange(mean.shape[0]):
        _kl_row_backward(dmean, dlog_var, mean, log_var, scale, np.int64(b) * n, n)


def reparameterise(z: np.ndarray, mean: np.ndarray, log_var: np.ndarray, noise: np.ndarray) -> None:
    """z = mean + exp(b / 2) noise, b the bounded log_var (Kingma & Welling 2013, section 2.4).

    Parameters
    ----------
    z : ndarray, shape (B, Z)
        Written.
    mean, log_var, noise : ndarray, shape (B, Z)
    """
    arrays = checked("BZ BZ BZ BZ", 1, z=z, mean=mean, log_var=log_var, noise=noise)
    _reparameterise(*arrays)


def reparameterise_backward(
    dmean: np.ndarray, dlog_var: np.ndarray, dz: np.ndarray, log_var: np.ndarray, noise: np.ndarray
) -> None:
    """dmean = dz; dlog_var = dz exp(log_var / 2) noise / 2, 0 beyond the bounds of log_var.

    Parameters
    ----------
    dmean, dlog_var : ndarray, shape (B, Z)
        Written.
    dz, log_var, noise : ndarray, shape (B, Z)
    """
    arrays = checked(
        "BZ BZ BZ BZ BZ", 2, dmean=dmean, dlog_var=dlog_var, dz=dz, log_var=log_var, noise=noise
    )
    _reparameterise_backward(*arrays)


def kl_divergence(kl: np.ndarray, mean: np.ndarray, log_var: np.ndarray) -> None:
    """KL(N(mean, exp(log_var)) || N(0, I)) per row, in nats.

    Sum over latents of (exp(v) + m^2 - 1 - v) / 2 (Kingma & Welling 2013, appendix B). With
    log_var beyond a bound b (-30 or 20) it is the divergence at b, and goes on along the tangent
    there: plus (exp(b) - 1) (v - b) / 2.

    Parameters
    ----------
    kl : ndarray of float64, shape (B,)
        Written.
    mean, log_var : ndarray, shape (B, Z)
    """
    arrays = checked("B:float64 BZ BZ", 1, kl=kl, mean=mean, log_var=log_var)
    _kl_divergence(*arrays)


def kl_divergence_backward(
    dmean: np.ndarray, dlog_var: np.ndarray, mean: np.ndarray, log_var: np.ndarray, scale: float
) -> None:
    """Add scale * dKL/dmean = scale m and scale * dKL/dlog_var = scale (exp(v) - 1) / 2.

    Beyond a bound b (-30 or 20) of log_var the latter is that at b: it pushes back.

    Parameters
    ----------
    dmean, dlog_var : ndarray, shape (B, Z)
        Added to.
    mean, log_var : ndarray, shape (B, Z)
    scale : float
    """
    arrays = checked("BZ BZ BZ BZ", 2, dmean=dmean, dlog_var=dlog_var, mean=mean, log_var=log_var)
    _kl_divergence_backward(*arrays, real_number(scale, "scale"))
