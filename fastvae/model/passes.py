"""What a model makes of rows and latents: encode, decode, reconstruct, sample.

Letters: B batch rows, I features, Z latents.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import checks
from fastvae.checks import is_one_row
from fastvae.checks.outputs import output, output_pair
from fastvae.data.rows import Rows, Use
from fastvae.model.bar import run_pass
from fastvae.model.guards import DrawCounter
from fastvae.model.names import SampleSource
from fastvae.model.network import Network
from fastvae.model.prior import PriorLatents, decoded_batches
from fastvae.model.sampler import Sampler


class Passes:
    """Base of a model: its passes over rows, which change nothing but counts of draws."""

    _dtype: np.dtype[Any]
    _seed: int
    _prior_draws: DrawCounter

    @property
    @abstractmethod
    def network(self) -> Network:
        """The parameters and the passes over rows that were checked."""

    @property
    @abstractmethod
    def sampler(self) -> Sampler:
        """What draws the latent."""

    @property
    def n_features(self) -> int:
        """Number of features I."""
        return self.network.n_features

    @property
    def n_latent(self) -> int:
        """Number of latents Z."""
        return self.network.n_latent

    @abstractmethod
    def _lazy_rows(
        self, X: Rows, name: str = "X", use: Use = "pass"
    ) -> NDArray[Any] | checks.LazyRows:
        """Rows, checked; what needs converting is converted where it is read."""

    @abstractmethod
    def _posterior_latents(self, n: int, seed: int, data: Rows | None) -> PriorLatents:
        """Latents of the posterior mixture; it is fitted to `data` first where they are given."""

    def encode(
        self, X: Rows, *, out: Iterable[NDArray[Any]] | None = None, progress: bool = False
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the posterior's mean and log-variance, each of shape (B, Z) or (Z,).

        The log-variance is the one that is used: within [-30, 20].

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken. An array
            may be larger than memory: it is read, and converted, in blocks of rows.
        out : pair of ndarray, each of shape (B, Z), or (Z,) for one row; optional
            Where to write mean and log-variance: two arrays of the model's dtype, or one of shape
            (2, B, Z). They may be memory-mapped and of any strides, and must not overlap X.
        progress : bool
            Show a progress bar on standard error.

        Returns
        -------
        mean, log_var : ndarray
            `out` itself if it is given.

        Raises
        ------
        TypeError, ValueError
            If X or out is not what it must be; nothing has been written then.
        KeyboardInterrupt
            On Ctrl-C, within a second; `out` holds the rows done so far.
        """
        rows, one_row = self._lazy_rows(X), is_one_row(X)
        into = None
        if out is not None:
            into = output_pair(out, (len(rows), self.n_latent), self._dtype, rows, one_row)
        mean, log_var = run_pass(self.network.encode, progress, rows, into)
        if out is not None:
            return cast(Any, out)
        return (mean[0], log_var[0]) if one_row else (mean, log_var)

    def decode(
        self, Z: ArrayLike, *, out: NDArray[Any] | None = None, progress: bool = False
    ) -> NDArray[Any]:
        """Return the means of p(x | z), shape (B, I) or (I,).

        Parameters
        ----------
        Z : array_like, shape (B, Z) or (Z,)
            Latents; an array may be larger than memory.
        out : ndarray of shape (B, I), or (I,) for one row; optional
            Where to write the means: an array of the model's dtype, as for `encode`.
        progress : bool
            Show a progress bar on standard error.

        Returns
        -------
        ndarray
            `out` itself if it is given.

        Raises
        ------
        TypeError, ValueError
            If Z is not a finite real array of that shape, or out is not what it must be.
        KeyboardInterrupt
            As for `encode`.
        """
        latents = checks.lazy_rows(Z, "Z", self.n_latent, self._dtype, pixels=False)
        return self._means(self.network.decode, latents, is_one_row(Z), out, progress)

    def reconstruct(
        self, X: Rows, *, out: NDArray[Any] | None = None, progress: bool = False
    ) -> NDArray[Any]:
        """Return the decoded posterior means, shape (B, I) or (I,).

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            As for `encode`.
        out : ndarray of shape (B, I), or (I,) for one row; optional
            Where to write the means: an array of the model's dtype, as for `encode`.
        progress : bool
            Show a progress bar on standard error.

        Returns
        -------
        ndarray
            `out` itself if it is given.

        Raises
        ------
        TypeError, ValueError
            If X or out is not what it must be.
        KeyboardInterrupt
            As for `encode`.
        """
        rows = self._lazy_rows(X)
        return self._means(self.network.reconstruct, rows, is_one_row(X), out, progress)

    def feedforward(self, x: Rows) -> NDArray[Any]:
        """Draw a latent for each row and decode it; `sampler.sample` is the latent drawn.

        Each call draws new noise; a new model of the same seed draws the same again.

        Parameters
        ----------
        x : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken.

        Returns
        -------
        ndarray, shape (B, I) or (I,)
            Means of p(x | z).

        Raises
        ------
        TypeError, ValueError
            If x is not what the model takes.
        """
        z = self.sampler.draw(*self.encode(x))
        means = self.network.decode(np.atleast_2d(z))
        return means[0] if z.ndim == 1 else means

    def sample(
        self,
        n: int,
        seed: int | None = None,
        *,
        out: NDArray[Any] | None = None,
        progress: bool = False,
        source: SampleSource = "prior",
        data: Rows | None = None,
    ) -> NDArray[Any]:
        """Return the decoded means of `n` latents, shape (n, I).

        They are drawn from the prior N(0, I), or from a mixture that was fitted to the latents of
        data, which as a rule gives samples that are more like the data: see docs/sampling.md.

        Parameters
        ----------
        n : int
            Number of samples.
        seed : int, optional
            With a seed each call returns the same; without, calls continue the model's stream.
        out : ndarray of shape (n, I), optional
            Where to write the means: an array of the model's dtype, as for `encode`.
        progress : bool
            Show a progress bar on standard error.
        source : "prior" or "posterior"
            What latents are drawn from: the prior, or the `posterior_mixture`.
        data : array_like of shape (B, I), or Dataset, optional
            For the posterior: fit the mixture to their latents first, as `fit_posterior(data)`
            does, and keep it. Without, the mixture is the one that the model has.

        Returns
        -------
        ndarray
            `out` itself if it is given.

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be, or the posterior is asked for and the model has
            no mixture, or one that was fitted when its weights were others.
        ImportError
            If data are given and scikit-learn is missing.
        KeyboardInterrupt
            As for `encode`.
        """
        n = checks.integer(n, "n")
        into = None if out is None else output(out, "out", (n, self.n_features), self._dtype)
        means = run_pass(self.network.decode, progress, self._latents(n, seed, source, data), into)
        return means if out is None else out

    def iter_sample(
        self,
        n: int,
        seed: int | None = None,
        batch_size: int = 1024,
        *,
        source: SampleSource = "prior",
        data: Rows | None = None,
    ) -> Iterator[NDArray[Any]]:
        """Return an iterator over what `sample` returns, in arrays of `batch_size` rows.

        The concatenation is bit for bit that of `sample`. Each array is new and made when it is
        asked for, by the weights that the model has then (a later `load` does not show); memory
        is needed for one batch.

        Parameters
        ----------
        n : int
            Number of samples.
        seed : int, optional
            As for `sample`; without, the call takes the stream's next number, whether or not the
            iterator is used.
        batch_size : int
            Rows of each array; the last may have fewer.
        source, data
            As for `sample`.

        Returns
        -------
        iterator of ndarray, shape (batch_size, I)

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be; by the call, not by the iterator. By the
            iterator, if the weights have changed since a mixture was fitted.
        ImportError
            As for `sample`.
        """
        n, batch_size = checks.integer(n, "n"), checks.integer(batch_size, "batch_size")
        latents = self._latents(n, seed, source, data)
        return decoded_batches(self.network, latents, batch_size)

    def _means(
        self,
        call: Callable[..., NDArray[Any]],
        rows: NDArray[Any] | checks.LazyRows,
        one_row: bool,
        out: NDArray[Any] | None,
        progress: bool,
    ) -> NDArray[Any]:
        """What a pass of the network makes of rows, in `out` if it is given."""
        into = None
        if out is not None:
            shape = len(rows), self.n_features
            into = output(out, "out", shape, self._dtype, rows, one_row)
        means = run_pass(call, progress, rows, into)
        if out is not None:
            return out
        return means[0] if one_row else means

    def _latents(
        self, n: int, seed: int | None, source: SampleSource, data: Rows | None
    ) -> PriorLatents:
        """The latents of `n` samples: those of a seed, or the next of the model's stream."""
        known_seed = checks.seed(seed or 0)
        if checks.choice(source, get_args(SampleSource), "source") == "posterior":
            latents = self._posterior_latents(n, known_seed, data)
        elif data is None:
            latents = PriorLatents(n, self.n_latent, self._dtype, known_seed)
        else:
            raise ValueError(
                'data are what source="posterior" fits a mixture to; the prior needs none: leave '
                'data out, or give source="posterior", too'
            )
        if seed is not None:
            return latents
        return replace(latents, seed=self._seed, draw=self._prior_draws.take())
