"""NumPy references of bounds of several latents per row, and of free bits.

Letters: B rows, K latents of each, Z latent units.

References
----------
.. [1] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.
.. [2] G. Tucker, D. Lawson, S. Gu and C. J. Maddison, "Doubly Reparameterized Gradient Estimators
   for Monte Carlo Objectives", ICLR 2019.
.. [3] D. P. Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow",
   NeurIPS 2016.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..maths.latent import LOG_VAR_MAX, LOG_VAR_MIN
from ..maths.objectives import DREG

Array = npt.NDArray[Any]


def importance_weights(shares: Array, bound: Array, log_var: Array) -> None:
    """Shares of weights, and the log of their mean ([1]_ eq. 8 and 14).

    Where ``log_var`` is beyond a bound b, ``(exp(b) - 1) (log_var - b) / 2`` is taken off it.

    Parameters
    ----------
    shares : (B, K) float64; the weights' logs, replaced
    bound : (B,) float64
    log_var : (B, Z)
    """
    largest = shares.max(axis=1, keepdims=True)
    weights = np.exp(shares - largest)
    total = weights.sum(axis=1, keepdims=True)
    np.divide(weights, total, out=shares)
    clipped = np.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX)
    tangent = 0.5 * np.sum((np.exp(clipped) - 1) * (log_var - clipped), axis=1, dtype=np.float64)
    np.subtract((largest + np.log(total / shares.shape[1]))[:, 0], tangent, out=bound)


def importance_backward(
    dmean: Array, dlog_var: Array, dz: Array, z: Array, log_var: Array, noise: Array,
    shares: Array, objective: int, scale: float,
) -> None:  # fmt: skip
    """Gradient of the negative bound times ``scale`` ([1]_ eq. 14, [2]_ eq. 8).

    With the slope ``s_j`` of ``-log w_j`` with respect to ``z_j``, ``dmean = sum_j s_j`` and
    ``dlog_var = sum_j s_j noise_j std / 2 - scale / 2``; of DREG without the last term.

    Parameters
    ----------
    dmean, dlog_var, log_var : (B, Z)
    dz, z, noise : (B, K, Z); dz is replaced by the slopes
    shares : (B, K) float64
    objective : int
    scale : float
    """
    clipped = np.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX)
    is_clipped = (log_var < LOG_VAR_MIN) | (log_var > LOG_VAR_MAX)
    std = np.exp(0.5 * clipped)[:, None]
    share = shares[:, :, None].astype(dz.dtype)
    entropy = np.full_like(log_var, 0.0 if objective == DREG else -0.5)
    if objective == DREG:
        dz[:] = share * (dz + float(scale) * share * (z - noise / std))
    else:
        dz += float(scale) * share * z
    np.sum(dz, axis=1, out=dmean)
    np.sum(dz * (0.5 * std * noise), axis=1, out=dlog_var)
    np.copyto(dlog_var, 0, where=is_clipped)
    np.copyto(entropy, 0.5 * (np.exp(clipped) - 1), where=is_clipped)
    dlog_var += float(scale) * entropy


def mean_kl(kl: Array, mean: Array, log_var: Array) -> None:
    """Mean KL of each latent unit over rows: see `reference.kl_divergence`.

    Parameters
    ----------
    kl : (Z,)
    mean, log_var : (B, Z)
    """
    clipped = np.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX)
    e = np.exp(clipped)
    terms = e + np.square(mean) - 1 - clipped + (e - 1) * (log_var - clipped)
    np.mean(0.5 * terms, axis=0, out=kl)


def free_kl_backward(
    dmean: Array, dlog_var: Array, mean: Array, log_var: Array, gates: Array, scale: float
) -> None:
    """`reference.kl_divergence_backward`, each latent unit's part times its gate ([3]_ eq. 15).

    Parameters
    ----------
    dmean, dlog_var, mean, log_var : (B, Z)
    gates : (Z,)
    scale : float
    """
    dmean += gates * float(scale) * mean
    clipped = np.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX)
    dlog_var += gates * float(scale) * 0.5 * (np.exp(clipped) - 1)
