"""What a model makes of its latent units, on rows: KL by unit, active units, mutual information."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import checks, kernels
from fastvae.data.rows import Rows
from fastvae.data.variants import VARIANTS, check_binarize
from fastvae.training.evaluation import ACTIVE_VARIANCE, binary_chunks, data_variant, mean_elbo
from fastvae.training.names import Binarization
from fastvae.training.trainable import Evaluable

_DRAWN_ROWS = 1000
"""Rows whose latents the aggregated posterior is evaluated at."""
_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Diagnosis:
    """How a model uses its latent units; printed, it is a table.

    Attributes
    ----------
    n_rows : int
        Number of rows N.
    elbo, reconstruction, kl : float
        As `VAE.elbo` returns them, nats per row.
    kl_per_unit : ndarray, shape (Z,)
        Mean over rows of KL(q(z_i | x) || p(z_i)), nats. Their sum is kl, unless log-variances are
        out of bounds: kl goes on there (see `VAE`), these do not.
    variance : ndarray, shape (Z,)
        Variance over rows of each unit's posterior mean.
    active : ndarray of bool, shape (Z,)
        Units whose variance is above 0.01.
    mutual_information : float
        Between row and latent, in nats; at most kl and log N.
    mutual_information_error : float
        Its standard error, of the latents drawn for it.
    marginal_kl : float
        KL(q(z) || p(z)) of the aggregated posterior, what mutual_information leaves of the sum of
        kl_per_unit.
    variant : str
        Which variant of the data these are figures of: see `History`.
    """

    n_rows: int
    elbo: float
    reconstruction: float
    kl: float
    kl_per_unit: NDArray[np.float64]
    variance: NDArray[np.float64]
    active: NDArray[np.bool_]
    mutual_information: float
    mutual_information_error: float
    marginal_kl: float
    variant: str

    @property
    def active_units(self) -> int:
        """Number of active units."""
        return int(np.count_nonzero(self.active))

    def __str__(self) -> str:
        n_units = len(self.active)
        error = self.mutual_information_error
        lines = [
            f"rows                {self.n_rows:,}",
            f"data                {VARIANTS[self.variant]}",
            f"ELBO                {self.elbo:.3f} nats",
            f"reconstruction      {self.reconstruction:.3f} nats",
            f"KL                  {self.kl:.3f} nats",
            f"mutual information  {self.mutual_information:.3f} nats (standard error {error:.3f}, "
            f"at most {math.log(self.n_rows):.3f})",
            f"marginal KL         {self.marginal_kl:.3f} nats",
            f"active units        {self.active_units} of {n_units}",
            "",
            "unit        KL  variance  active",
        ]
        units = zip(self.kl_per_unit, self.variance, self.active, strict=True)
        for i, (kl, variance, active) in enumerate(units):
            lines.append(f"{i:4d}  {kl:8.4f}  {variance:8.4f}  {'yes' if active else 'no'}")
        return "\n".join(lines)


def diagnose(
    vae: Evaluable,
    X: Rows,
    *,
    n_samples: int = 1,
    seed: int = 0,
    binarize: Binarization | None = None,
    labels: ArrayLike | None = None,
) -> Diagnosis:
    """Tell which latent units a model uses on rows, and how much they say of a row.

    Parameters
    ----------
    vae : VAE
        The model.
    X : array_like of shape (n, n_features), or Dataset
        Rows, or a data set whose training rows are taken. uint8 means pixels (value / 255).
    n_samples : int
        Latents drawn per row for the reconstruction.
    seed : int
        Seed of all draws.
    binarize : str, optional
        How the rows are made binary: see `VAE.elbo`.
    labels : array_like of int, shape (n,), optional
        Of a conditional model the class of each row; of a data set its own if missing.

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError, ValueError
        As `VAE.elbo` does.

    Notes
    -----
    Of the rows, q(x, z) = q(z | x) / N has the mutual information
    I(x; z) = E_x KL(q(z | x) || p(z)) - KL(q(z) || p(z)), where q(z) is the mean of all rows'
    posteriors. The second term is estimated by a latent of each row (of 1,000 evenly spaced ones,
    where there are more). Where the posteriors do not overlap, it is log N: take as many rows as
    there are. A unit that no row uses has KL and variance near 0.

    References
    ----------
    Hoffman & Johnson (2016), "ELBO surgery: yet another way to carve up the variational evidence
    lower bound", section 2; active units: Burda, Grosse & Salakhutdinov (2016), section 5. Also
    docs/theory.md, (28) and (29).
    """
    rows = vae.check_rows(X, labels=labels)
    n_samples, seed = checks.integer(n_samples, "n_samples"), checks.seed(seed)
    binarize = check_binarize(binarize, vae.likelihood)
    elbo = mean_elbo(vae.nats, *vae.network.evaluate(rows, n_samples, seed, binarize))
    posteriors = [
        vae.network.encode(x, standard=True) for x in binary_chunks(vae, rows, binarize, seed)
    ]
    means, log_vars = (
        np.concatenate(values, dtype=np.float64) for values in zip(*posteriors, strict=True)
    )
    kl = 0.5 * (np.exp(log_vars) + means**2 - 1.0 - log_vars)
    drawn = np.linspace(0, len(rows) - 1, min(len(rows), _DRAWN_ROWS)).astype(np.int64)
    noise = np.empty((len(drawn), vae.n_latent))
    kernels.normal(noise, seed, kernels.STREAM_EVALUATION, n_samples)
    z = means[drawn] + np.exp(0.5 * log_vars[drawn]) * noise
    own = _log_normal(noise) - 0.5 * log_vars[drawn].sum(axis=1)
    # log q(z | x) - log q(z), whose mean is the mutual information.
    information = own - _log_aggregate(z, means, log_vars)
    mutual_information = float(information.mean())
    variance, kl_per_unit = means.var(axis=0), kl.mean(axis=0)
    return Diagnosis(
        n_rows=len(rows),
        **elbo._asdict(),
        kl_per_unit=kl_per_unit,
        variance=variance,
        active=variance > ACTIVE_VARIANCE,
        mutual_information=mutual_information,
        mutual_information_error=float(information.std() / math.sqrt(len(drawn))),
        marginal_kl=float(kl_per_unit.sum()) - mutual_information,
        variant=data_variant(vae, rows, binarize),
    )


def _log_normal(noise: NDArray[np.float64]) -> Any:
    """The log density of standard normal rows."""
    return -0.5 * (noise**2 + math.log(2 * math.pi)).sum(axis=1)


def _log_aggregate(
    z: NDArray[np.float64], means: NDArray[np.float64], log_vars: NDArray[np.float64]
) -> NDArray[np.float64]:
    """log q(z) of latents, q(z) the mean of all rows' posteriors, a block of latents at a time."""
    precisions = np.exp(-log_vars)
    constants = -0.5 * (means**2 * precisions + log_vars + math.log(2 * math.pi)).sum(axis=1)
    step = max(1, _BLOCK_ELEMENTS // len(means))
    found = np.empty(len(z))
    for first in range(0, len(z), step):
        block = z[first : first + step]
        logs = block @ (means * precisions).T - 0.5 * block**2 @ precisions.T + constants
        largest = logs.max(axis=1)
        sums = np.exp(logs - largest[:, None]).sum(axis=1)
        found[first : first + step] = largest + np.log(sums / len(means))
    return found
