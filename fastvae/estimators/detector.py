"""A VAE as an outlier detector: outliers are the rows of the least density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin

from fastvae import checks
from fastvae.estimators.base import VAEEstimator
from fastvae.estimators.restoring import restored_on_error
from fastvae.model.assembly import Sizes
from fastvae.model.names import Activation, LikelihoodName, SigmaName

if TYPE_CHECKING:
    from typing import Self


class VAEOutlierDetector(OutlierMixin, VAEEstimator):
    """Outlier detection by the density that a variational autoencoder learns.

    Parameters
    ----------
    n_components, hidden, activation, likelihood, sigma, epochs, batch_size, learning_rate, \
early_stopping, validation_fraction, n_samples, standardize, random_state, n_threads
        See `VAETransformer`; training ends where held-out rows gain less than 0.2 nats a column.
    contamination : float, default=0.1
        Share of the rows given to `fit` that are outliers, in (0, 0.5]: so many of them get
        `predict` -1. It does not change the scores.

    Attributes
    ----------
    offset_ : float
        The threshold: rows with a smaller log p(x) are outliers. After `partial_fit` it is that
        of the last rows given.
    vae_, mean_, scale_, history_, n_iter_, n_features_in_, feature_names_in_
        See `VAETransformer`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastvae.sklearn import VAEOutlierDetector
    >>> X = np.random.RandomState(0).standard_normal((200, 3))
    >>> X[0] = 10
    >>> VAEOutlierDetector(contamination=0.05, random_state=0).fit_predict(X)[:3]
    array([-1,  1,  1])
    """

    __module__ = "fastvae.sklearn"  # so that pickles outlive a move of this file

    # Outliers among the rows are learned last: what is trained to the end finds them less unlikely.
    # Of 14 tables of outliers the mean area under the ROC curve is 0.83 with this, 0.82 with 0.01.
    _least_gain = 0.2

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
        contamination: float = 0.1,
    ) -> None:
        super().__init__(
            n_components=n_components,
            hidden=hidden,
            activation=activation,
            likelihood=likelihood,
            sigma=sigma,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_samples=n_samples,
            standardize=standardize,
            random_state=random_state,
            n_threads=n_threads,
        )
        self.contamination = contamination

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Train a new model on rows, and set the threshold by their scores.

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
        self._check_contamination()
        with restored_on_error(self):
            super().fit(X)
            return self._set_offset(X)

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Train on rows once, see `VAETransformer`, and set the threshold by their scores.

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
        self._check_contamination()
        with restored_on_error(self):
            super().partial_fit(X)
            return self._set_offset(X)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return log p(x) of each row less the threshold: below 0 are outliers.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        scores = self.score_samples(X)
        return scores - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return -1 for each row that is an outlier, 1 for others.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _check_contamination(self) -> None:
        value = checks.number(self.contamination, "contamination", positive=True)
        if value > 0.5:
            raise ValueError(f"contamination must be in (0, 0.5]; got {self.contamination!r}")

    def _set_offset(self, X: ArrayLike) -> Self:
        scores = self.score_samples(X)
        self.offset_ = float(np.percentile(scores, 100 * self.contamination))
        return self
