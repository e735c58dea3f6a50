"""How probable a model finds rows: the evidence lower bound, and log p(x).

Letters: B batch rows, I features.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from fastvae import checks
from fastvae.data.labelled import Checked
from fastvae.data.rows import Rows
from fastvae.data.variants import check_binarize
from fastvae.distributed.passes import spread_pass
from fastvae.distributed.ranks import ALONE, Communicator, Ranks
from fastvae.model import importance
from fastvae.model.bar import run_pass
from fastvae.model.importance import LogLikelihood
from fastvae.model.names import LikelihoodName
from fastvae.model.passes import Passes
from fastvae.training.evaluation import Elbo, PerRow, elbo_of, mean_elbo
from fastvae.training.names import Binarization
from fastvae.training.nats import Nats


class Bounds(Passes):
    """Base of a model: its bounds and estimates of log p(x)."""

    @property
    @abstractmethod
    def likelihood(self) -> LikelihoodName:
        """Name of the likelihood."""

    @property
    @abstractmethod
    def nats(self) -> Nats:
        """How the engine's sums become nats, by the present reconstruction weight."""

    @overload
    def elbo(
        self,
        X: Rows,
        n_samples: int = 1,
        seed: int = 0,
        per_sample: Literal[False] = False,
        *,
        labels: ArrayLike | None = None,
        binarize: Binarization | None = None,
        progress: bool = False,
        comm: Communicator | None = None,
    ) -> Elbo: ...

    @overload
    def elbo(
        self,
        X: Rows,
        n_samples: int = 1,
        seed: int = 0,
        *,
        per_sample: Literal[True],
        labels: ArrayLike | None = None,
        binarize: Binarization | None = None,
        progress: bool = False,
        comm: Communicator | None = None,
    ) -> Elbo[PerRow]: ...

    @overload
    def elbo(
        self,
        X: Rows,
        n_samples: int,
        seed: int,
        per_sample: Literal[True],
        *,
        labels: ArrayLike | None = None,
        binarize: Binarization | None = None,
        progress: bool = False,
        comm: Communicator | None = None,
    ) -> Elbo[PerRow]: ...

    @overload
    def elbo(
        self,
        X: Rows,
        n_samples: int = 1,
        seed: int = 0,
        per_sample: bool = False,
        *,
        labels: ArrayLike | None = None,
        binarize: Binarization | None = None,
        progress: bool = False,
        comm: Communicator | None = None,
    ) -> Elbo[Any]: ...

    def elbo(
        self,
        X: Rows,
        n_samples: int = 1,
        seed: int = 0,
        per_sample: bool = False,
        *,
        labels: ArrayLike | None = None,
        binarize: Binarization | None = None,
        progress: bool = False,
        comm: Communicator | None = None,
    ) -> Elbo[Any]:
        """Return the evidence lower bound and its parts, in nats.

        They are those of the stated likelihood, all constants included, whatever `beta` and
        `reconstruction_weight` say: log p(x) >= elbo = -(reconstruction + kl), with
        reconstruction = -E log p(x | z). Of a Gaussian this is a density: its nats depend on the
        units of the data.

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            As for `encode`.
        n_samples : int
            Latents drawn per row; the reconstruction loss is their mean, the KL needs none.
        seed : int
            Seed of these draws.
        per_sample : bool
            Return an array of shape (B,) for each figure instead of means over the rows.
        labels : array_like of int, shape (B,), or a number for one row; optional
            As for `encode`: of a conditional model these are figures of log p(x | y).
        binarize : "dynamic", "threshold" or "fixed"; optional
            Make values of 0 or 1 out of those in [0, 1], as for `fit`. A dynamic draw goes by the
            seed and the number of the row; a fixed one by the latter, so that it is that of `fit`.
            Without, grey pixels are taken as they are: a Bernoulli model's nats are then no
            probability of the data.
        progress : bool
            Show a progress bar on standard error.
        comm : mpi4py.MPI.Comm, optional
            Spread the rows, the same on all ranks, over the ranks of a communicator: all must call,
            and get the same. Rank 0 alone shows progress, that of its own rows, and warns.

        Returns
        -------
        Elbo
            Named tuple (elbo, reconstruction, kl) with elbo = -(reconstruction + kl).

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be.
        KeyboardInterrupt
            On Ctrl-C, within a second.

        References
        ----------
        Kingma & Welling (2014), eq. 7 and appendix B; docs/theory.md, (4) and (6).
        """
        n_samples = checks.integer(n_samples, "n_samples")
        ranks, seed = Ranks(comm), checks.seed(seed)
        rows = ranks.together(lambda: self._lazy_rows(X, labels=labels))
        binarize = check_binarize(binarize, self.likelihood)

        def evaluate(part: Checked, first: int) -> tuple[PerRow, PerRow]:
            call = partial(self.network.evaluate, first_row=first)
            return run_pass(call, progress and ranks.is_first, part, n_samples, seed, binarize)

        with ranks.guard():
            sums, kl = spread_pass(ranks, rows, evaluate, [((), np.float64)] * 2)
        if per_sample:
            return elbo_of(self.nats.reconstruction(sums), kl)
        return mean_elbo(self.nats, sums, kl)

    def mean_bound(
        self,
        rows: Checked,
        n_samples: int,
        seed: int,
        binarize: str | None = None,
        ranks: Ranks = ALONE,
    ) -> float:
        """Return the importance-weighted bound of checked rows, their mean in nats.

        It is the estimate of `log_likelihood`, without its warning.

        Parameters
        ----------
        rows : ndarray or Labelled, shape (B, I)
            What `check_rows` returned.
        n_samples, seed, binarize
            As for `log_likelihood`.
        ranks : Ranks
            Over which the rows are spread; all must call.
        """
        return importance.mean(self._estimates(ranks, rows, n_samples, seed, binarize)).value

    def _estimates(
        self,
        ranks: Ranks,
        rows: Any,
        n_samples: int,
        seed: int,
        binarize: str | None,
        progress: bool = False,
    ) -> LogLikelihood[PerRow]:
        """The estimate of log p(x) for each row."""

        def estimate(part: Checked, first: int) -> LogLikelihood[PerRow]:
            call = partial(importance.log_likelihood, self.network, first_row=first)
            return run_pass(call, progress, part, n_samples, seed, self.nats, binarize)

        return LogLikelihood(*spread_pass(ranks, rows, estimate, [((), np.float64)] * 3))

    @overload
    def log_likelihood(
        self,
        X: Rows,
        n_samples: int = 5000,
        seed: int = 0,
        per_sample: Literal[False] = False,
        binarize: Binarization | None = None,
        progress: bool = False,
        *,
        labels: ArrayLike | None = None,
        comm: Communicator | None = None,
    ) -> LogLikelihood: ...

    @overload
    def log_likelihood(
        self,
        X: Rows,
        n_samples: int = 5000,
        seed: int = 0,
        *,
        per_sample: Literal[True],
        binarize: Binarization | None = None,
        progress: bool = False,
        labels: ArrayLike | None = None,
        comm: Communicator | None = None,
    ) -> LogLikelihood[PerRow]: ...

    @overload
    def log_likelihood(
        self,
        X: Rows,
        n_samples: int,
        seed: int,
        per_sample: Literal[True],
        binarize: Binarization | None = None,
        progress: bool = False,
        *,
        labels: ArrayLike | None = None,
        comm: Communicator | None = None,
    ) -> LogLikelihood[PerRow]: ...

    @overload
    def log_likelihood(
        self,
        X: Rows,
        n_samples: int = 5000,
        seed: int = 0,
        per_sample: bool = False,
        binarize: Binarization | None = None,
        progress: bool = False,
        *,
        labels: ArrayLike | None = None,
        comm: Communicator | None = None,
    ) -> LogLikelihood[Any]: ...

    def log_likelihood(
        self,
        X: Rows,
        n_samples: int = 5000,
        seed: int = 0,
        per_sample: bool = False,
        binarize: Binarization | None = None,
        progress: bool = False,
        *,
        labels: ArrayLike | None = None,
        comm: Communicator | None = None,
    ) -> LogLikelihood[Any]:
        """Return log p(x) in nats, estimated by importance sampling.

        `n_samples` latents are drawn from each row's posterior. But for chance, the estimate is
        not above log p(x), and comes closer to it with more samples. It is that of the stated
        likelihood; grey pixels have no probability under a Bernoulli likelihood.

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            As for `encode`.
        n_samples : int
            Latents drawn per row.
        seed : int
            Seed of these draws. A row's noise goes by the seed and what the row holds, whatever
            its label: in any order, and among whatever other rows, it has the same estimate to the
            bit.
        per_sample : bool
            Return an array of shape (B,) for each figure instead of means over the rows.
        labels : array_like of int, shape (B,), or a number for one row; optional
            As for `encode`: of a conditional model these are figures of log p(x | y).
        binarize : "dynamic", "threshold" or "fixed"; optional
            Make values of 0 or 1 out of those in [0, 1], as for `fit`. A dynamic draw goes by the
            seed and what the row holds; a fixed one by the number of the row.
        progress : bool
            Show a progress bar on standard error.
        comm : mpi4py.MPI.Comm, optional
            Spread the rows, the same on all ranks, over the ranks of a communicator: all must call,
            and get the same. Rank 0 alone shows progress, that of its own rows, and warns.

        Returns
        -------
        LogLikelihood
            Named tuple (value, standard_error, ess). The standard error is that of the estimator:
            the rows are given. NaN with one sample. ess is the effective sample size,
            (sum of w)^2 / sum of w^2, w the samples' weights.

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be.
        KeyboardInterrupt
            On Ctrl-C, within a second.

        Warns
        -----
        UserWarning
            If a row has an effective sample size below 100.

        References
        ----------
        Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders", eq. 8;
        docs/theory.md, (24) and (25).
        """
        most = importance.MAX_ELEMENTS // self.n_latent
        n_samples = checks.integer(n_samples, "n_samples", maximum=most)
        ranks, seed = Ranks(comm), checks.seed(seed)
        rows = ranks.together(lambda: self._lazy_rows(X, labels=labels))
        binarize = check_binarize(binarize, self.likelihood)
        with ranks.guard():
            shows = progress and ranks.is_first
            found = self._estimates(ranks, rows, n_samples, seed, binarize, shows)
        if ranks.is_first:
            importance.warn_of_few(found.ess, n_samples)
        return found if per_sample else importance.mean(found)
