"""Bounds of several latents per row, and free bits. B rows, k latents of each, Z latent units."""

import numpy as np
from numba import prange

from ..machine.compilation import parallel_kernel
from ..machine.kinds import Real, Record, Word
from ..machine.launching import launch
from ..machine.memory import advance, lane_count, pointer, store_some
from ..maths.latent import row_draw_backward
from ..maths.objectives import (
    DREG,
    ELBO,
    OBJECTIVES,
    column_kl,
    row_entropy_backward,
    row_free_kl_backward,
    row_latent_slope,
    row_tangent,
    row_weights,
)
from .arguments import checked, real_number, whole_number


@parallel_kernel
def _weights(shares: Record, bound: Record, log_var: Record) -> None:
    k, n = shares.shape[1], log_var.shape[1]
    for b in prange(shares.shape[0]):
        at = np.int64(b)
        value = row_weights(advance(pointer(shares), at * k), k)
        bound[b] = value - row_tangent(advance(pointer(log_var), at * n), n)


@parallel_kernel
def _bound_backward(
    dmean: Record, dlog_var: Record, dz: Record, z: Record, log_var: Record, noise: Record,
    shares: Record, objective: Word, scale: Real,
) -> None:  # fmt: skip
    k, n = z.shape[1], z.shape[2]
    for b in prange(z.shape[0]):
        row = np.int64(b) * n
        log_vars = advance(pointer(log_var), row)
        slopes = advance(pointer(dmean), row), advance(pointer(dlog_var), row)
        for j in range(k):
            at = (np.int64(b) * k + j) * n
            slope, noises = advance(pointer(dz), at), advance(pointer(noise), at)
            latents = advance(pointer(z), at)
            row_latent_slope(slope, latents, log_vars, noises, n, shares[b, j], scale, objective)
            row_draw_backward(slopes[0], slopes[1], slope, log_vars, noises, n, j > 0)
        row_entropy_backward(slopes[1], log_vars, n, scale, objective)


@parallel_kernel
def _column_kl(kl: Record, mean: Record, log_var: Record) -> None:
    n_rows, n = mean.shape
    lanes = lane_count(pointer(mean))
    for block in prange((n + lanes - 1) // lanes):
        c = np.int64(block) * lanes
        means, log_vars = advance(pointer(mean), c), advance(pointer(log_var), c)
        store_some(pointer(kl), c, column_kl(means, log_vars, n_rows, n, n - c), n - c)


@parallel_kernel
def _free_backward(
    dmean: Record, dlog_var: Record, mean: Record, log_var: Record, gates: Record, scale: Real
) -> None:
    n = mean.shape[1]
    for b in prange(mean.shape[0]):
        at = np.int64(b) * n
        row_free_kl_backward(
            advance(pointer(dmean), at), advance(pointer(dlog_var), at),
            advance(pointer(mean), at), advance(pointer(log_var), at), pointer(gates), n, scale,
        )  # fmt: skip


def importance_weights(shares: np.ndarray, bound: np.ndarray, log_var: np.ndarray) -> None:
    """The share u_j = w_j / sum w of each latent's weight, and the bound log mean_j w_j.

    Burda, Grosse & Salakhutdinov (2016), eq. 8 and 14. Where log_var is beyond a bound b (-30 or
    20), the tangent (exp(b) - 1) (log_var - b) / 2 is taken off the bound.

    Parameters
    ----------
    shares : ndarray of float64, shape (B, k)
        log w_j, replaced by u_j.
    bound : ndarray of float64, shape (B,)
        Written, in nats.
    log_var : ndarray, shape (B, Z)
        Of the posterior.
    """
    arrays = checked("BK:float64 B:float64 BZ", 2, shares=shares, bound=bound, log_var=log_var)
    if shares.shape[1] == 0:
        raise ValueError(f"shares must have a latent for each row; got shape {shares.shape}")
    launch(_weights, *arrays)


def importance_backward(
    dmean: np.ndarray, dlog_var: np.ndarray, dz: np.ndarray, z: np.ndarray, log_var: np.ndarray,
    noise: np.ndarray, shares: np.ndarray, objective: int, scale: float,
) -> None:  # fmt: skip
    """Gradients of the posterior of scale times the negative bound.

    Parameters
    ----------
    dmean, dlog_var : ndarray, shape (B, Z)
        Written.
    dz : ndarray, shape (B, k, Z)
        The slope of -log p(x | z_j), times share and scale; replaced by that of -log w_j, through
        which the encoder learns.
    z, noise : ndarray, shape (B, k, Z)
        Latents z_j = mean + exp(log_var / 2) noise_j.
    log_var : ndarray, shape (B, Z)
    shares : ndarray of float64, shape (B, k)
    objective : int
        `OBJECTIVES["iwae"]` (Burda et al. 2016, eq. 14) or `OBJECTIVES["dreg"]` (Tucker et al.
        2019, eq. 8).
    scale : float
    """
    code = whole_number(objective, "objective", 0, DREG)
    if code == ELBO:
        raise ValueError(f"objective must be one of a bound of weights; got {code}, {OBJECTIVES}")
    arrays = checked(
        "BZ BZ BKZ BKZ BZ BKZ BK:float64", 3, in_place=False, dmean=dmean, dlog_var=dlog_var,
        dz=dz, z=z, log_var=log_var, noise=noise, shares=shares,
    )  # fmt: skip
    if z.shape[1] == 0:
        raise ValueError(f"z must have a latent for each row; got shape {z.shape}")
    launch(_bound_backward, *arrays, code, real_number(scale, "scale"))


def mean_kl(kl: np.ndarray, mean: np.ndarray, log_var: np.ndarray) -> None:
    """KL(N(mean, exp(log_var)) || N(0, 1)) of each latent unit, the mean over rows, in nats.

    Parameters
    ----------
    kl : ndarray, shape (Z,)
        Written.
    mean, log_var : ndarray, shape (B, Z)
    """
    arrays = checked("Z BZ BZ", 1, in_place=False, kl=kl, mean=mean, log_var=log_var)
    if len(mean) == 0:
        raise ValueError(f"mean must have a row; got shape {mean.shape}")
    launch(_column_kl, *arrays)


def free_kl_backward(
    dmean: np.ndarray, dlog_var: np.ndarray, mean: np.ndarray, log_var: np.ndarray,
    gates: np.ndarray, scale: float,
) -> None:  # fmt: skip
    """As `kl_divergence_backward`, each latent unit's part times its gate.

    Of Kingma et al. (2016), eq. 15, gates are 1 where a unit's mean KL is above its free bits.

    Parameters
    ----------
    dmean, dlog_var : ndarray, shape (B, Z)
        Added to.
    mean, log_var : ndarray, shape (B, Z)
    gates : ndarray, shape (Z,)
    scale : float
    """
    arrays = checked(
        "BZ BZ BZ BZ Z", 2, dmean=dmean, dlog_var=dlog_var, mean=mean, log_var=log_var, gates=gates
    )
    launch(_free_backward, *arrays, real_number(scale, "scale"))
