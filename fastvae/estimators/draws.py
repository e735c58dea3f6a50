"""Rows drawn from a model: a latent of the prior each, and a row of its likelihood.

Letters: n rows, I features, Z latents; l is what the decoder says of a column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.model.vae import VAE

_BLOCK_ROWS = 4096
_FLAT = 1e-6
"""Below it a continuous Bernoulli column is uniform."""


def observations(vae: VAE, n: int, rng: np.random.RandomState) -> NDArray[np.float64]:
    """Return n rows, shape (n, I); `kernels/maths/row_likelihoods.py` says what l is."""
    rows = np.empty((n, vae.n_features))
    for first in range(0, n, _BLOCK_ROWS):
        block = rows[first : first + _BLOCK_ROWS]
        z = rng.standard_normal((len(block), vae.n_latent))
        outputs = vae.decoder.feedforward(z).astype(np.float64)
        block[:] = _DRAWS[vae.likelihood](vae, outputs, rng)
    return rows


def _gaussian(vae: VAE, outputs: Any, rng: np.random.RandomState) -> NDArray[np.float64]:
    sigma = vae.sigma_value
    if sigma is None:  # the decoder says it
        sigma = kernels.SIGMA_MIN + np.exp(outputs[:, vae.n_features :])
    means = outputs[:, : vae.n_features]
    return means + sigma * rng.standard_normal(means.shape)


def _bernoulli(vae: VAE, outputs: Any, rng: np.random.RandomState) -> NDArray[np.bool_]:
    return rng.random_sample(outputs.shape) < outputs


def _continuous_bernoulli(
    vae: VAE, outputs: Any, rng: np.random.RandomState
) -> NDArray[np.float64]:
    """By the inverse of the distribution function, (exp(l x) - 1) / (exp(l) - 1)."""
    u = rng.random_sample(outputs.shape)
    steep = np.maximum(np.abs(outputs), _FLAT)
    # Of -|l|, in which nothing overflows; x of l is 1 - x of -l.
    x = np.minimum(-np.log1p(u * np.expm1(-steep)) / steep, 1.0)
    return np.where(np.abs(outputs) < _FLAT, u, np.where(outputs < 0, x, 1.0 - x))


def _poisson(vae: VAE, outputs: Any, rng: np.random.RandomState) -> NDArray[np.float64]:
    return rng.poisson(np.exp(outputs)).astype(np.float64)


_DRAWS: dict[str, Callable[[VAE, Any, np.random.RandomState], Any]] = {
    "gaussian": _gaussian,
    "bernoulli": _bernoulli,
    "continuous_bernoulli": _continuous_bernoulli,
    "poisson": _poisson,
}
