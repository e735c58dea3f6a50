"""What is reported of a trained model: ELBO, squared error per pixel, active units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import checks
from fastvae.data import labelled
from fastvae.data.labelled import Checked
from fastvae.data.rows import Rows
from fastvae.data.variants import binarized, check_binarize, variant_of
from fastvae.training.names import Binarization
from fastvae.training.nats import Nats
from fastvae.training.trainable import Evaluable

ACTIVE_VARIANCE = 0.01
_CHUNK_ROWS = 4096

PerRow: TypeAlias = NDArray[np.float64]
"""A figure of each row, shape (B,)."""


if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Figure = TypeVar("Figure", default=float)

    class Elbo(NamedTuple, Generic[Figure]):
        """`Elbo` has floats, `Elbo[PerRow]` arrays; Python 3.10 knows no generic named tuples."""

        elbo: Figure
        reconstruction: Figure
        kl: Figure

else:

    @checks.public
    class Elbo(NamedTuple):
        """elbo = -(reconstruction + kl), in nats: means over rows, or arrays of a value per row."""

        elbo: Any
        reconstruction: Any
        kl: Any


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on rows it is evaluated on.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    loss : float
        What training minimises: see `VAE`.
    elbo, reconstruction, kl : float
        elbo = -(reconstruction + kl), nats per sample.
    mean_squared_error : float
        Mean over the values that are there of (x - x_hat)^2, x_hat decoded from the posterior
        mean; 0 where all are missing.
    active_units : int
        Latents whose posterior mean has a variance above 0.01 over the rows.
    n_latent : int
        Number of latents.
    variant : str
        Which variant of the data these are figures of: see `History`.
    """

    n_rows: int
    loss: float
    elbo: float
    reconstruction: float
    kl: float
    mean_squared_error: float
    active_units: int
    n_latent: int
    variant: str


def elbo_of(reconstruction: Any, kl: Any) -> Elbo[Any]:
    """The evidence lower bound of its two parts."""
    return Elbo(-(reconstruction + kl), reconstruction, kl)


def mean_elbo(nats: Nats, sums: NDArray[np.float64], kl: NDArray[np.float64]) -> Elbo:
    """The bound and its parts, averaged over rows, of what `Network.evaluate` returns."""
    return elbo_of(nats.reconstruction(float(sums.mean())), float(kl.mean()))


def mean_loss(vae: Evaluable, sums: NDArray[np.float64], kl: NDArray[np.float64]) -> float:
    """What training minimises, averaged over rows."""
    return float(vae.nats.loss(float(sums.mean()), float(kl.mean()), vae.beta))


def latent_variance(
    mean_sum: NDArray[np.float64], square_sum: NDArray[np.float64], n_rows: float
) -> NDArray[np.float64]:
    """Variance over rows of each latent's posterior mean, from its sum and sum of squares."""
    mean = mean_sum / n_rows
    return square_sum / n_rows - mean * mean


def active_units(variance: NDArray[np.float64]) -> int:
    """Number of latents whose posterior mean varies: Var_x(E[z | x]) > 0.01.

    References
    ----------
    Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders", section 5;
    docs/theory.md, (28).
    """
    return int(np.count_nonzero(variance > ACTIVE_VARIANCE))


def data_variant(vae: Evaluable, rows: Checked, binarize: str | None) -> str:
    """Which variant of the data a model's figures on rows are of: see `History`."""
    return variant_of(rows, vae.network.likelihood.kinds(rows.shape[1]), binarize)


def binary_chunks(
    vae: Evaluable, rows: Checked, binarize: str | None, seed: int
) -> Iterator[Checked]:
    """Some thousand rows at a time, made binary as `Network.evaluate` does, if they are."""
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows[start : start + _CHUNK_ROWS]
        numbers = np.arange(start, start + len(chunk))
        yield binarized(chunk, vae.dtype, binarize, seed, numbers)


def kl_per_unit(
    vae: Evaluable, rows: Checked, binarize: str | None, seed: int
) -> NDArray[np.float64]:
    """The mean over rows of each latent unit's KL, nats, shape (Z,)."""
    total = np.zeros(vae.n_latent)
    for chunk in binary_chunks(vae, rows, binarize, seed):
        mean, log_var = (
            part.astype(np.float64) for part in vae.network.encode(chunk, standard=True)
        )
        total += 0.5 * (np.exp(log_var) + mean**2 - 1.0 - log_var).sum(axis=0)
    return total / len(rows)


def evaluate(
    vae: Evaluable,
    X: Rows,
    *,
    n_samples: int = 1,
    seed: int = 0,
    binarize: Binarization | None = None,
    labels: ArrayLike | None = None,
) -> Evaluation:
    """Evaluate a model on rows.

    Parameters
    ----------
    vae : VAE
        The model.
    X : array_like of shape (n, n_features), or Dataset
        Rows, or a data set whose training rows are taken. uint8 means pixels (value / 255).
    n_samples : int
        Latents drawn per row for the reconstruction loss.
    seed : int
        Seed of these draws.
    binarize : str, optional
        How the rows are made binary: see `VAE.elbo`.
    labels : array_like of int, shape (n,), optional
        Of a conditional model the class of each row; of a data set its own if missing.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError, ValueError
        As `VAE.elbo` does.
    """
    rows = vae.check_rows(X, labels=labels)
    n_samples, seed = checks.integer(n_samples, "n_samples"), checks.seed(seed)
    binarize = check_binarize(binarize, vae.likelihood)
    per_row = vae.network.evaluate(rows, n_samples, seed, binarize)
    squared_error, n_known = 0.0, 0
    mean_sum, square_sum = np.zeros(vae.n_latent), np.zeros(vae.n_latent)
    for chunk in binary_chunks(vae, rows, binarize, seed):
        mean, _ = vae.network.encode(chunk, standard=True)
        x_hat = vae.network.decode(labelled.beside(mean, chunk), standard=True)
        # In NumPy: the kernels that could do it are needed for nothing else, and would be compiled.
        error = x_hat - checks.as_floats(labelled.values(chunk), vae.dtype)
        known = ~np.isnan(error)
        error[~known] = 0
        squared_error += float(np.square(error, dtype=np.float64).sum())
        n_known += int(np.count_nonzero(known))
        mean_sum += mean.sum(axis=0, dtype=np.float64)
        square_sum += np.square(mean, dtype=np.float64).sum(axis=0)
    return Evaluation(
        n_rows=len(rows),
        loss=mean_loss(vae, *per_row),
        **mean_elbo(vae.nats, *per_row)._asdict(),
        mean_squared_error=squared_error / max(1, n_known),
        active_units=active_units(latent_variance(mean_sum, square_sum, len(rows))),
        n_latent=vae.n_latent,
        variant=data_variant(vae, rows, binarize),
    )
