"""What the estimators have in common: their parameters, their training, and log p(x).

Letters: n rows, D columns, Z components.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastvae import checks
from fastvae.estimators.draws import observations
from fastvae.estimators.moments import KeptMoments, keep, restore
from fastvae.estimators.restoring import restored_on_error
from fastvae.estimators.rows import check_kind, checked
from fastvae.estimators.scaling import Scaling
from fastvae.estimators.workers import threads
from fastvae.model import importance
from fastvae.model.assembly import Sizes
from fastvae.model.kinds import LIKELIHOODS, WITH_BLOCKS
from fastvae.model.likelihood import GAUSSIAN
from fastvae.model.names import Activation, LikelihoodName, SigmaName
from fastvae.model.vae import VAE
from fastvae.training import loop
from fastvae.training.history import History
from fastvae.training.monitoring import EarlyStopping
from fastvae.training.progress import Moments
from fastvae.training.settings import Settings

if TYPE_CHECKING:
    from typing import Self

_PATIENCE = 10
_PATIENT_UPDATES = 400
"""Training stops where held-out rows gain too little within so many epochs and updates."""


class VAEEstimator(BaseEstimator):
    """Base of the estimators; see `VAETransformer` for parameters and attributes."""

    vae_: VAE
    mean_: NDArray[np.float64]
    scale_: NDArray[np.float64]
    history_: History
    n_iter_: int
    _scaling: Scaling
    _moments: KeptMoments | None
    _least_gain = 0.01
    """Nats a column by which held-out rows must gain for the training to go on."""

    def __init__(
        self,
        n_components: int = 8,
        hidden: Sizes = (64,),
        activation: Activation = "relu",
        likelihood: LikelihoodName = "gaussian",
        sigma: float | SigmaName | None = "feature",
        epochs: int = 200,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_samples: int = 100,
        standardize: bool = True,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.hidden = hidden
        self.activation = activation
        self.likelihood = likelihood
        self.sigma = sigma
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_samples = n_samples
        self.standardize = standardize
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Train a new model on rows.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Rows of finite numbers.
        y : object
            Ignored.

        Returns
        -------
        self
        """
        fraction = checks.number(
            self.validation_fraction, "validation_fraction", below=1.0, positive=True
        )
        epochs = checks.integer(self.epochs, "epochs")
        early_stopping = checks.flag(self.early_stopping, "early_stopping")
        with restored_on_error(self):
            rows, rng = self._start(X, may_vary_later=False)
            n_held_out = int(fraction * len(rows)) if early_stopping else 0
            held_out = None
            if n_held_out:
                order = rng.permutation(len(rows))
                rows, held_out = rows[order[n_held_out:]], rows[order[:n_held_out]]
            self._train(rows, held_out, epochs)
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Train on rows once, all of them; on a new model where there is none.

        The scaling is that of the first rows ever given, and Adam goes on where the last
        `partial_fit` ended. Nothing is held out.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Rows of finite numbers.
        y : object
            Ignored.

        Returns
        -------
        self
        """
        with restored_on_error(self):
            if hasattr(self, "vae_"):
                rows = self._model_rows(checked(self, X, reset=False), X)
                self._scaling.warn_if_outgrown(rows)
            else:
                rows, _ = self._start(X, may_vary_later=True)
            network = self.vae_.network
            moments = None if self._moments is None else restore(network, self._moments)
            self._train(rows, None, epochs=1, moments=moments)
            assert self.vae_.last_run is not None
            self._moments = keep(network, self.vae_.last_run)
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return log p(x) of each row, in nats, as a density in the units of X.

        It is estimated from `n_samples` latents a row (`VAE.log_likelihood`). Their noise is the
        same for all rows, so that the estimate of a row depends on nothing but the row.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        check_is_fitted(self)
        vae = self.vae_
        most = importance.MAX_ELEMENTS // vae.n_latent
        n_samples = checks.integer(self.n_samples, "n_samples", maximum=most)
        given = checked(self, X, reset=False)
        rows = self._model_rows(given, X)
        with threads(self.n_threads):
            found = importance.log_likelihood(
                vae.network, rows, n_samples, vae.seed, vae.nats, common_noise=True
            )
        return found.value + self._scaling.log_density(given)

    def sample(self, n_samples: int = 1) -> NDArray[np.float64]:
        """Draw rows from p(x): a latent of the prior each, and a row of its likelihood.

        With an int as `random_state` each call draws the same rows.

        Parameters
        ----------
        n_samples : int
            Number of rows.

        Returns
        -------
        ndarray of float64, shape (n_samples, D)
        """
        check_is_fitted(self)
        n_samples = checks.integer(n_samples, "n_samples")
        with threads(self.n_threads):
            rows = observations(self.vae_, n_samples, check_random_state(self.random_state))
        return self._scaling.undo(rows)

    def _model_rows(self, rows: NDArray[Any], X: Any) -> NDArray[np.float32]:
        """Rows as the model takes them, standardised and checked; X is what the user gave."""
        model_rows = self._scaling.apply(rows)
        check_kind(self.vae_, model_rows, X)
        return model_rows

    def _start(
        self, X: ArrayLike, *, may_vary_later: bool
    ) -> tuple[NDArray[np.float32], np.random.RandomState]:
        """Set the scaling and a new model for rows.

        Returns
        -------
        rows, generator
            As the model takes them, and what chose its seed.
        """
        likelihood = checks.choice(self.likelihood, LIKELIHOODS, "likelihood")
        if likelihood in WITH_BLOCKS:
            raise ValueError(
                f"the {likelihood} likelihood needs blocks of columns, which estimators for "
                "scikit-learn do not have: use fastvae.VAE.from_sizes(..., blocks=...)"
            )
        checks.integer(self.n_samples, "n_samples")
        is_gaussian = likelihood == GAUSSIAN
        rows = checked(self, X, reset=True)
        scaling = Scaling.none(rows.shape[1])
        if checks.flag(self.standardize, "standardize") and is_gaussian:
            scaling = Scaling.of(rows, X, may_vary_later=may_vary_later)
        rng = check_random_state(self.random_state)
        vae = VAE.from_sizes(
            int(scaling.modelled.sum()),
            self.hidden,
            checks.integer(self.n_components, "n_components"),
            self.activation,
            likelihood=self.likelihood,
            sigma=self.sigma if is_gaussian else None,
            seed=int(rng.randint(np.iinfo(np.int32).max)),
        )
        model_rows = scaling.apply(rows)
        check_kind(vae, model_rows, X)
        self.vae_, self._scaling, self._moments = vae, scaling, None
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        return model_rows, rng

    def _train(
        self,
        rows: NDArray[np.float32],
        held_out: NDArray[np.float32] | None,
        epochs: int,
        *,
        moments: Moments | None = None,
    ) -> None:
        """Train the model on standardised rows; its optimiser goes on, or begins anew."""
        vae = self.vae_
        callbacks = []
        if held_out is not None:
            n_updates = -(-len(rows) // checks.integer(self.batch_size, "batch_size"))
            patience = max(_PATIENCE, -(-_PATIENT_UPDATES // n_updates))
            gain = self._least_gain * vae.n_features
            callbacks.append(EarlyStopping(patience=patience, min_delta=gain))
        settings = Settings(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            beta=None,
            optimizer="adam",
            clip_norm=None,
            binarize=None,
            callbacks=callbacks,
            checkpoint=None,
            checkpoint_every="epoch",
            resume=None,
            verbose=False,
            n_threads=None,
        )
        with threads(self.n_threads):
            self.history_ = loop.fit(vae, rows, held_out, settings, moments)
        self.n_iter_ = self.history_.n_epochs
