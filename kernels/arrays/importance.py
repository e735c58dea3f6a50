"""Importance weights: the densities of latents. B rows, Z latents."""

import numpy as np
from numba import prange

from ..machine.compilation import parallel_kernel
from ..machine.kinds import Record
from ..machine.launching import launch
from ..machine.memory import advance, pointer
from ..maths.importance import row_log_ratio
from .arguments import checked


@parallel_kernel
def _log_ratio(ratio: Record, z: Record, log_var: Record, noise: Record) -> None:
    n = z.shape[1]
    for b in prange(z.shape[0]):
        at = np.int64(b) * n
        latents, noises = advance(pointer(z), at), advance(pointer(noise), at)
        log_vars = advance(pointer(log_var), at)
        ratio[b] = row_log_ratio(pointer(ratio), latents, log_vars, noises, n)


def importance_ratio(
    ratio: np.ndarray, z: np.ndarray, log_var: np.ndarray, noise: np.ndarray
) -> None:
    """log p(z) - log q(z | x) per row, in nats, of z = mean + exp(log_var / 2) noise.

    Sum over latents of (noise^2 + b - z^2) / 2, b the bounded log_var: the logs of N(z; 0, I) and
    N(z; mean, exp(b)), whose factors (2 pi)^(-Z / 2) cancel (Burda et al. 2016, eq. 8).

    Parameters
    ----------
    ratio : ndarray of float64, shape (B,)
        Written.
    z, log_var, noise : ndarray, shape (B, Z)
    """
    arrays = checked("B:float64 BZ BZ BZ", 1, ratio=ratio, z=z, log_var=log_var, noise=noise)
    launch(_log_ratio, *arrays)
