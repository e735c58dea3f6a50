"""What a model makes of rows and latents: encode, decode, reconstruct, sample.

Letters: B batch rows, I features, Z latents.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import checks
from fastvae.checks import is_one_row
from fastvae.checks.outputs import output, output_pair
from fastvae.data import labelled
from fastvae.data.labelled import Labelled
from fastvae.data.rows import Rows, Use
from fastvae.distributed.passes import spread_pass
from fastvae.distributed.ranks import Communicator, Ranks
from fastvae.model.bar import run_pass
from fastvae.model.conditional import Conditional, Label
from fastvae.model.guards import DrawCounter
from fastvae.model.names import SampleSource
from fastvae.model.network import Network
from fastvae.model.prior import PriorLatents, decoded_batches
from fastvae.model.sampler import Sampler


class Passes(Conditional):
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
        self, X: Rows, name: str = "X", use: Use = "pass", labels: ArrayLike | None = None
    ) -> NDArray[Any] | checks.LazyRows | Labelled:
        """Rows, checked, with their labels; what needs converting is converted where it is read."""

    @abstractmethod
    def _posterior_latents(self, n: int, seed: int, data: Rows | None) -> PriorLatents:
        """Latents of the posterior mixture; it is fitted to `data` first where they are given."""

    def encode(
        self,
        X: Rows,
        *,
        labels: ArrayLike | None = None,
        out: Iterable[NDArray[Any]] | None = None,
        progress: bool = False,
        comm: Communicator | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the posterior's mean and log-variance, each of shape (B, Z) or (Z,).

        The log-variance is the one that is used: within [-30, 20].

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken. An array
            may be larger than memory: it is read, and converted, in blocks of rows.
        labels : array_like of int, shape (B,), or a number for one row; optional
            Of a conditional model the class of each row, from 0 to K - 1, which a data set brings
            itself; see docs/conditional.md.
        out : pair of ndarray, each of shape (B, Z), or (Z,) for one row; optional
            Where to write mean and log-variance: two arrays of the model's dtype, or one of shape
            (2, B, Z). They may be memory-mapped and of any strides, and must not overlap X.
        progress : bool
            Show a progress bar on standard error.
        comm : mpi4py.MPI.Comm, optional
            Spread the rows, the same on all ranks, over the ranks of a communicator: all must call,
            and get the same. Rank 0 alone shows progress, that of its own rows.

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
        ranks, one_row = Ranks(comm), is_one_row(X)
        rows = ranks.together(lambda: self._lazy_rows(X, labels=labels))
        into = None
        if out is not None:
            shape = len(rows), self.n_latent
            into = output_pair(out, shape, self._dtype, labelled.values(rows), one_row)
        if ranks.size > 1:
            mean, log_var = self._spread_encode(ranks, rows, progress and ranks.is_first)
            for target, found in zip(into or (), (mean, log_var), strict=False):
                target[...] = found
        else:
            mean, log_var = run_pass(self.network.encode, progress, rows, into)
        if out is not None:
            return cast(Any, out)
        return (mean[0], log_var[0]) if one_row else (mean, log_var)

    def _spread_encode(self, ranks: Ranks, rows: Any, progress: bool) -> list[NDArray[Any]]:
        """Means and log-variances of rows of which each rank encodes some."""

        def encode(part: Any, first: int) -> tuple[NDArray[Any], NDArray[Any]]:
            return run_pass(self.network.encode, progress, part)

        with ranks.guard():
            return spread_pass(ranks, rows, encode, [((self.n_latent,), self._dtype)] * 2)

    def decode(
        self,
        Z: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        out: NDArray[Any] | None = None,
        progress: bool = False,
    ) -> NDArray[Any]:
        """Return the means of p(x | z), shape (B, I) or (I,).

        Parameters
        ----------
        Z : array_like, shape (B, Z) or (Z,)
            Latents; an array may be larger than memory.
        labels : array_like of int, shape (B,), or a number for one row; optional
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
            If Z is not a finite real array of that shape, or out is not what it must be.
        KeyboardInterrupt
            As for `encode`.
        """
        latents = checks.lazy_rows(Z, "Z", self.n_latent, self._dtype, pixels=False)
        rows = self._with_labels(latents, labels, "labels=" if labels is None else "labels")
        return self._means(self.network.decode, rows, is_one_row(Z), out, progress)

    def decode_draws(
        self, draws: NDArray[Any], labels: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """Return what `sample` makes of draws of N(0, I), shape (B, Z): for pictures of the prior.

        They are the latents themselves but where the prior goes by the label.
        """
        latents = checks.lazy_rows(draws, "draws", self.n_latent, self._dtype, pixels=False)
        rows = self._with_labels(latents, labels, "labels=" if labels is None else "labels")
        return self.network.decode(rows, standard=True)

    def reconstruct(
        self,
        X: Rows,
        *,
        labels: ArrayLike | None = None,
        out: NDArray[Any] | None = None,
        progress: bool = False,
    ) -> NDArray[Any]:
        """Return the decoded posterior means, shape (B, I) or (I,).

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            As for `encode`.
        labels : array_like of int, shape (B,), or a number for one row; optional
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
        rows = self._lazy_rows(X, labels=labels)
        return self._means(self.network.reconstruct, rows, is_one_row(X), out, progress)

    def feedforward(self, x: Rows, *, labels: ArrayLike | None = None) -> NDArray[Any]:
        """Draw a latent for each row and decode it; `sampler.sample` is the latent drawn.

        Each call draws new noise; a new model of the same seed draws the same again.

        Parameters
        ----------
        x : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken.
        labels : array_like of int, shape (B,), or a number for one row; optional
            As for `encode`.

        Returns
        -------
        ndarray, shape (B, I) or (I,)
            Means of p(x | z).

        Raises
        ------
        TypeError, ValueError
            If x is not what the model takes.
        """
        rows, one_row = self._lazy_rows(x, labels=labels), is_one_row(x)
        mean, log_var = self.network.encode(rows)
        if one_row:
            mean, log_var = mean[0], log_var[0]
        z = self.sampler.draw(mean, log_var)
        means = self.network.decode(labelled.beside(np.atleast_2d(z), rows))
        return means[0] if one_row else means

    def sample(
        self,
        n: int,
        seed: int | None = None,
        *,
        label: Label | Iterable[Label] | None = None,
        out: NDArray[Any] | None = None,
        progress: bool = False,
        source: SampleSource = "prior",
        data: Rows | None = None,
    ) -> NDArray[Any]:
        """Return the decoded means of `n` latents, shape (n, I).

        They are drawn from the prior, or from a mixture that was fitted to the latents of data,
        which as a rule gives samples that are more like the data: see docs/sampling.md.

        Parameters
        ----------
        n : int
            Number of samples.
        seed : int, optional
            With a seed each call returns the same; without, calls continue the model's stream.
        label : int or str, or array_like of shape (n,); optional
            Of a conditional model the class of all samples, or of each: a number from 0 to K - 1,
            or a name of `class_names`. Without, sample i is of class i % K: all in turn. The
            draws, which are the style, are the same for all labels.
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
        labels = self._sampled_labels(n, label)
        into = None if out is None else output(out, "out", (n, self.n_features), self._dtype)
        latents = self._drawn(n, seed, labels, source, data)
        call = partial(self.network.decode, standard=source == "prior")
        means = run_pass(call, progress, latents, into)
        return means if out is None else out

    def iter_sample(
        self,
        n: int,
        seed: int | None = None,
        batch_size: int = 1024,
        *,
        label: Label | Iterable[Label] | None = None,
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
        label : int or str, or array_like of shape (n,); optional
            As for `sample`.
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
        labels = self._sampled_labels(n, label)
        latents = self._drawn(n, seed, labels, source, data)
        return decoded_batches(self.network, latents, batch_size)

    def _means(
        self,
        call: Callable[..., NDArray[Any]],
        rows: NDArray[Any] | checks.LazyRows | Labelled,
        one_row: bool,
        out: NDArray[Any] | None,
        progress: bool,
    ) -> NDArray[Any]:
        """What a pass of the network makes of rows, in `out` if it is given."""
        into = None
        if out is not None:
            shape = len(rows), self.n_features
            into = output(out, "out", shape, self._dtype, labelled.values(rows), one_row)
        means = run_pass(call, progress, rows, into)
        if out is not None:
            return out
        return means[0] if one_row else means

    def _drawn(
        self,
        n: int,
        seed: int | None,
        labels: NDArray[np.int64] | None,
        source: SampleSource,
        data: Rows | None,
    ) -> PriorLatents | Labelled:
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
        if seed is None:
            latents = replace(latents, seed=self._seed, draw=self._prior_draws.take())
        return latents if labels is None else Labelled(latents, labels)
