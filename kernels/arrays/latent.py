"""The latent: reparameterisation, KL divergence to N(0, I), and their gradients.

B rows, Z latent units. `maths.latent` says what is done where log_var leaves its bounds.
"""

import numpy as np
from numba import prange

from ..machine.compilation import parallel_kernel
from ..machine.kinds import Real, Record
from ..machine.launching import launch
from ..machine.memory import advance, pointer
from ..maths.latent import row_draw, row_draw_backward, row_kl, row_kl_backward
from .arguments import checked, real_number


@parallel_kernel
def _reparameterise(z: Record, mean: Record, log_var: Record, noise: Record) -> None:
    n = mean.shape[1]
    for b in prange(mean.shape[0]):
        at = np.int64(b) * n
        means, log_vars = advance(pointer(mean), at), advance(pointer(log_var), at)
        row_draw(advance(pointer(z), at), means, log_vars, advance(pointer(noise), at), n)


@parallel_kernel
def _reparameterise_backward(
    dmean: Record, dlog_var: Record, dz: Record, log_var: Record, noise: Record
) -> None:
    n = dz.shape[1]
    for b in prange(dz.shape[0]):
        at = np.int64(b) * n
        slopes = advance(pointer(dmean), at), advance(pointer(dlog_var), at)
        log_vars, noises = advance(pointer(log_var), at), advance(pointer(noise), at)
        row_draw_backward(
            slopes[0], slopes[1], advance(pointer(dz), at), log_vars, noises, n, False
        )


@parallel_kernel
def _kl_divergence(kl: Record, mean: Record, log_var: Record) -> None:
    n = mean.shape[1]
    for b in prange(mean.shape[0]):
        at = np.int64(b) * n
        kl[b] = row_kl(advance(pointer(mean), at), advance(pointer(log_var), at), n)


@parallel_kernel
def _kl_divergence_backward(
    dmean: Record, dlog_var: Record, mean: Record, log_var: Record, scale: Real
) -> None:
    n = mean.shape[1]
    for b in prange(mean.shape[0]):
        at = np.int64(b) * n
        means, log_vars = advance(pointer(mean), at), advance(pointer(log_var), at)
        dmeans, dlog_vars = advance(pointer(dmean), at), advance(pointer(dlog_var), at)
        row_kl_backward(dmeans, dlog_vars, means, log_vars, n, scale)


def reparameterise(z: np.ndarray, mean: np.ndarray, log_var: np.ndarray, noise: np.ndarray) -> None:
    """z = mean + exp(b / 2) noise, b the bounded log_var (Kingma & Welling 2014, section 2.4).

    Parameters
    ----------
    z : ndarray, shape (B, Z)
        Written.
    mean, log_var, noise : ndarray, shape (B, Z)
    """
    arrays = checked("BZ BZ BZ BZ", 1, z=z, mean=mean, log_var=log_var, noise=noise)
    launch(_reparameterise, *arrays)


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
    launch(_reparameterise_backward, *arrays)


def kl_divergence(kl: np.ndarray, mean: np.ndarray, log_var: np.ndarray) -> None:
    """KL(N(mean, exp(log_var)) || N(0, I)) per row, in nats.

    Sum over latents of (exp(v) + m^2 - 1 - v) / 2 (Kingma & Welling 2014, appendix B). With
    log_var beyond a bound b (-30 or 20) it is the divergence at b, and goes on along the tangent
    there: plus (exp(b) - 1) (v - b) / 2.

    Parameters
    ----------
    kl : ndarray of float64, shape (B,)
        Written.
    mean, log_var : ndarray, shape (B, Z)
    """
    arrays = checked("B:float64 BZ BZ", 1, kl=kl, mean=mean, log_var=log_var)
    launch(_kl_divergence, *arrays)


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
    launch(_kl_divergence_backward, *arrays, real_number(scale, "scale"))
