"""The aggregated posterior: a Gaussian mixture fitted to latents of data, and latents drawn of it.

Letters: B rows, I features, C components, Z latents. The aggregated posterior q(z) is the mean of
q(z | x) over the data: what the decoder was trained on. The prior N(0, I) is only near it.

References
----------
Ghosh, Sajjadi, Vergari, Black & Schölkopf (2020), "From Variational to Deterministic Autoencoders",
ICLR, section 4: ex-post density estimation, which improves samples of VAEs, too.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import checks, kernels
from fastvae.data.labelled import Checked
from fastvae.data.rows import Rows
from fastvae.data.variants import binarized, check_binarize
from fastvae.files.mixtures import PosteriorMixture
from fastvae.model.defaults import N_COMPONENTS
from fastvae.model.names import LikelihoodName
from fastvae.model.network import Network, RowSource
from fastvae.model.passes import Passes
from fastvae.model.prior import MixtureLatents, Weights
from fastvae.training.names import Binarization

MAX_ROWS = 20_000
"""Rows that a mixture is fitted to at most, where nothing else is said: 200 latents take 40 s."""
_MAX_STEPS = 100  # of expectation and maximisation; some 40 are usual
_TOO_LARGE = 1e37  # float32, in which they may be drawn, holds some more
_MISSING = (
    "this model has no mixture of its latents yet: fit_posterior(X), or data=X of this call, fits "
    "one to the latents of rows X"
)


class Posterior(Passes):
    """Base of a model: the mixture that stands for its aggregated posterior."""

    _mixture: tuple[PosteriorMixture, Weights] | None

    @property
    @abstractmethod
    def likelihood(self) -> LikelihoodName:
        """Name of the likelihood."""

    @property
    def posterior_mixture(self) -> PosteriorMixture | None:
        """The Gaussian mixture that `fit_posterior` fitted to latents, for `sample`.

        None before, and when the weights are no longer those that it was fitted with: after
        further training, for instance. Files that `save` writes, copies and pickles have it.
        """
        if self._mixture is None:
            return None
        mixture, weights = self._mixture
        return mixture if weights.are_of(self.network) else None

    def fit_posterior(
        self,
        X: Rows,
        n_components: int = N_COMPONENTS,
        seed: int = 0,
        *,
        labels: ArrayLike | None = None,
        max_rows: int = MAX_ROWS,
        binarize: Binarization | None = None,
    ) -> PosteriorMixture:
        """Fit a Gaussian mixture to latents of data, which `sample(n, source="posterior")` draws.

        It has full covariances and is fitted to one latent of each row, drawn from its posterior
        q(z | x): these draws are draws from the aggregated posterior. Means of the posteriors would
        not do, as they vary less. It takes the place of an earlier one, is saved with the model,
        and holds as long as the weights stay what they are.

        Parameters
        ----------
        X : array_like of shape (B, I), or Dataset
            What the model was trained on, or the like; of a data set the training rows are taken.
        n_components : int
            Number of Gaussians C.
        seed : int
            Of the latents drawn, and of what the fit starts with.
        labels : array_like of int, shape (B,), optional
            Of a conditional model the class of each row; a data set has its own.
        max_rows : int
            How many rows are taken, evenly spaced, where X has more.
        binarize : "dynamic", "threshold" or "fixed"; optional
            Make values of 0 or 1 out of those in [0, 1], as for `fit`: as the model was trained.

        Returns
        -------
        PosteriorMixture
            `posterior_mixture` is it, too.

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be, there are fewer rows than components, or the
            prior goes by the class.
        ImportError
            If scikit-learn is missing.

        Warns
        -----
        UserWarning
            If a component has on average no more rows than latents: its covariance is not known
            then.

        Notes
        -----
        The same rows, seed and weights give the same mixture on one machine, whatever the number of
        threads; on others its last digits may differ, as they come from scikit-learn. What is drawn
        from a mixture is the same everywhere, like all samples.

        References
        ----------
        Ghosh et al. (2020), "From Variational to Deterministic Autoencoders", section 4;
        docs/theory.md, (30).
        """
        _check_sklearn()
        n_components = checks.integer(n_components, "n_components")
        seed, max_rows = checks.seed(seed), checks.integer(max_rows, "max_rows")
        binarize = check_binarize(binarize, self.likelihood)
        self._check_prior()
        rows = self._lazy_rows(X, labels=labels)
        n_rows = min(len(rows), max_rows)
        _check_numbers(n_rows, len(rows), n_components, self.n_latent)
        spaced = _Spaced(rows, np.arange(n_rows) * len(rows) // n_rows, binarize, seed, self._dtype)
        with self.network.gate.reading:
            weights, latents = Weights.of(self.network), _draws(self.network, spaced, seed)
        mixture = _fitted(latents, n_components, seed)
        self._mixture = mixture, weights
        return mixture

    def _posterior_latents(self, n: int, seed: int, data: Rows | None) -> MixtureLatents:
        self._check_prior()
        if data is not None:
            self.fit_posterior(data)
        if self._mixture is None:
            raise ValueError(_MISSING)
        mixture, weights = self._mixture
        latents = MixtureLatents(
            n, self.n_latent, self._dtype, seed, mixture=mixture, weights=weights
        )
        latents.check(self.network)
        return latents

    def _check_prior(self) -> None:
        """Raise a ValueError where latents of the classes lie apart."""
        if self.prior == "label":
            raise ValueError(
                'one mixture cannot stand for the latents of all classes where prior="label" gives '
                "each class its own: sample(n, label=...) draws from that; a model with "
                'prior="normal" can have a mixture'
            )

    def _take_mixture(self, mixture: PosteriorMixture | None) -> None:
        """Have a mixture that was fitted with the present weights, or none."""
        self._mixture = None if mixture is None else (mixture, Weights.of(self.network))


@dataclass(frozen=True)
class _Spaced:
    """Some of the rows, by their numbers, made binary where they are read."""

    rows: RowSource
    numbers: NDArray[np.int64]
    binarize: str | None
    seed: int
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n_columns)."""
        return len(self), self.rows.shape[1]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Checked:
        numbers = self.numbers[index]
        return binarized(self.rows[numbers], self.dtype, self.binarize, self.seed, numbers)


def _draws(network: Network, rows: RowSource, seed: int) -> NDArray[np.float64]:
    """A latent of each row, drawn from its posterior, shape (B, Z)."""
    mean, log_var = network.encode(rows)
    noise, z = np.empty_like(mean), np.empty_like(mean)
    kernels.normal(noise, seed, kernels.STREAM_EVALUATION, 0)
    kernels.reparameterise(z, mean, log_var, noise)
    largest = np.abs(z).max()
    if not largest < _TOO_LARGE:  # NaN neither
        raise ValueError(
            f"latents of X must be below {_TOO_LARGE:g} for a mixture to be fitted; got "
            f"{largest:g}: weights of the encoder, or values of X, are too large"
        )
    return z.astype(np.float64)


def _check_sklearn() -> None:
    try:
        import sklearn.mixture  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "a mixture of latents is fitted with scikit-learn: pip install "
            f"'fastvae-cpu[sklearn]' "
            f"(in a clone: pip install '.[sklearn]'; {error})"
        ) from error


def _check_numbers(n_rows: int, n_given: int, n_components: int, n_latent: int) -> None:
    least = max(2, n_components)
    if n_rows < least:
        capped = f", of {n_given:,} by max_rows={n_rows}" if n_rows < n_given else ""
        raise ValueError(
            f"X must have at least {least} rows, for n_components={n_components}; got "
            f"{n_rows}{capped}"
        )
    if n_rows <= n_components * n_latent:
        warnings.warn(
            f"{n_rows:,} rows are few for n_components={n_components} and n_latent={n_latent}: "
            f"covariances need more than {n_components * n_latent:,}, and samples will resemble "
            "the rows given; give more rows or a smaller n_components",
            stacklevel=3,
        )


def _fitted(latents: NDArray[np.float64], n_components: int, seed: int) -> PosteriorMixture:
    """The mixture of latents, by expectation and maximisation."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    # Standardised, so that what is added to variances for stability is small, whatever the units.
    centre, spread = latents.mean(axis=0), latents.std(axis=0)
    standard = (latents - centre) / np.where(spread > 0, spread, 1.0)
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    estimate = GaussianMixture(n_components, max_iter=_MAX_STEPS, random_state=random)
    # One thread: products are small, and sums of several threads have other bits.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of steps, and of equal rows
        estimate.fit(standard)
    return PosteriorMixture(
        estimate.weights_ / estimate.weights_.sum(),
        centre + spread * estimate.means_,
        spread[:, None] * np.linalg.cholesky(estimate.covariances_),
    )
