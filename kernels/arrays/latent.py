"""The latent: reparameterisation, KL divergence to N(0, I), and their gradients.

B rows, Z latent units. `maths.latent` says what is done where log_var leaves its bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ..machine.compilation import device_function, parallel_kernel
from ..machine.memory import advance, cast, lane_count, load_some, pointer, stack, store_some
from ..machine.vectors import fma, splat
from ..maths.latent import draw, draw_slope, kl_slope, row_kl
from .arguments import checked, real_number


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
