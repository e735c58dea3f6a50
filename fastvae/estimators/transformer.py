"""A VAE as a transformer: rows become the means of their latents' posteriors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from fastvae.estimators.base import VAEEstimator
from fastvae.estimators.rows import checked
from fastvae.estimators.workers import threads


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, VAEEstimator):
    """Dimensionality reduction and density estimation by a variational autoencoder.

    Parameters
    ----------
    n_components : int, default=8
        Number of latents Z, the columns of what `transform` returns.
    hidden : int or sequence of int, default=(64,)
        Sizes of the encoder's layers; the decoder mirrors them. (): a linear model.
    activation : str, default="relu"
        Activation of these layers.
    likelihood : str, default="gaussian"
        What the columns are: "gaussian" numbers; "bernoulli", 0 or 1; "continuous_bernoulli",
        numbers in [0, 1]; "poisson", counts. See docs/likelihoods.md.
    sigma : float or str, default="feature"
        Standard deviation of Gaussian columns, in units of the standardised ones: a number;
        "learned", one for all; "feature", one for each; "output", the decoder says it for each
        row. Other likelihoods have none.
    epochs : int, default=200
        Most passes over the rows.
    batch_size : int, default=128
        Rows per update.
    learning_rate : float, default=1e-3
        That of Adam.
    early_stopping : bool, default=True
        Hold rows out, stop when their ELBO hardly improves (by less than 0.01 nats a column within
        400 updates and 10 epochs), and keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of rows that are held out, chosen at random. Where that is less than one row, none
        is, and all epochs are done.
    n_samples : int, default=100
        Latents per row by which `score_samples` estimates log p(x).
    standardize : bool, default=True
        Bring Gaussian columns to mean 0 and deviation 1. Columns that do not vary are then left
        out of the model. Columns of other likelihoods are taken as they are.
    random_state : int, RandomState or None, default=None
        What the initial weights, the order of rows, all noise and the held-out rows go by.
    n_threads : int or None, default=None
        Threads to use, at most as many as this process has. None: all, but one in workers of
        joblib (`n_jobs`) and in processes of multiprocessing.

    Attributes
    ----------
    vae_ : VAE
        The model of the standardised columns, without those that do not vary.
    mean_, scale_ : ndarray of shape (D,)
        What columns were shifted and divided by; 0 and 1 where nothing was standardised. The
        scale of a column that does not vary is the size of its value, or 1.
    history_ : History
        What the last training measured, a list for each figure.
    n_iter_ : int
        Epochs of the last training.
    n_features_in_ : int
        Number of columns D.
    feature_names_in_ : ndarray of shape (D,)
        Their names, where X had names.

    Notes
    -----
    Results are bit for bit the same for every number of threads. `transform`, `score_samples` and
    what else is computed of a row does not depend on the rows beside it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastvae.sklearn import VAETransformer
    >>> X = load_iris().data
    >>> VAETransformer(n_components=2, random_state=0).fit_transform(X).shape
    (150, 2)
    """

    __module__ = "fastvae.sklearn"  # so that pickles outlive a move of this file

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the means of the latents' posteriors.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of shape (n, n_components)
            float32 where X is, else float64; a DataFrame where `set_output` says so.
        """
        check_is_fitted(self)
        rows = checked(self, X, reset=False)
        with threads(self.n_threads):
            mean, _ = self.vae_.encode(self._model_rows(rows, X))
        return mean.astype(rows.dtype)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return what latents are decoded to, in the units of the data.

        Parameters
        ----------
        X : array-like of shape (n, n_components)
            Latents.

        Returns
        -------
        ndarray of shape (n, D)
            The means of the likelihood.
        """
        check_is_fitted(self)
        latents = check_array(X, dtype=(np.float64, np.float32))
        n_latent = self.vae_.n_latent
        if latents.shape[1] != n_latent:
            raise ValueError(
                f"X has {latents.shape[1]} columns, but inverse_transform takes the {n_latent} "
                "components that transform returns"
            )
        with threads(self.n_threads):
            means = self.vae_.decode(latents)
        return self._scaling.undo(means).astype(latents.dtype)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the mean of log p(x) over rows, see `score_samples`.

        Parameters
        ----------
        X : array-like of shape (n, D)
        y : object
            Ignored.

        Returns
        -------
        float
        """
        return float(self.score_samples(X).mean())

    @property
    def _n_features_out(self) -> int:
        """Number of columns that `get_feature_names_out` names."""
        return self.vae_.n_latent

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
