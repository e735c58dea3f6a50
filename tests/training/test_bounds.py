"""Bounds where log p(x) is known: linear-Gaussian models.

x = W z + noise of sigma has log p(x) = log N(x; 0, W W^T + sigma^2 I). Its posterior is Gaussian,
without correlations where the columns of W are orthogonal, so that the best VAE of linear layers
reaches log p(x) itself (Lucas, Tucker, Grosse & Norouzi 2019, "Don't Blame the ELBO!", section 4).
"""

from __future__ import annotations

import numpy as np
import pytest

from fastvae import VAE

D, Z = 8, 2
SIGMAS = (0.05, 0.3, 1.0)


def linear_rows(n, sigma, seed=0):
    """Rows, the matrix W of orthogonal columns, and log p of each row."""
    rng = np.random.default_rng(77)
    weights = np.linalg.qr(rng.normal(size=(D, Z)))[0] * np.array([2.0, 1.2])
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, Z)) @ weights.T + sigma * rng.normal(size=(n, D))
    covariance = weights @ weights.T + sigma**2 * np.eye(D)
    quadratic = np.einsum("ni,ij,nj->n", rows, np.linalg.inv(covariance), rows)
    log_p = -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance).logabsdet)
    return rows, weights, log_p


def optimum(weights, true_sigma, **settings):
    """The VAE whose decoder is the truth and whose encoder is the exact posterior."""
    vae = VAE.from_sizes(
        D, (D,), Z, "identity", likelihood="gaussian", dtype="float64",
        **({"sigma": true_sigma} | settings),
    )  # fmt: skip
    vae.encoder.layers[0].weight = np.eye(D)
    precision = weights.T @ weights / true_sigma**2 + np.eye(Z)
    vae.sampler.mean.weight = np.linalg.inv(precision) @ weights.T / true_sigma**2
    vae.sampler.log_var.weight = np.zeros((Z, D))
    vae.sampler.log_var.bias = -np.log(np.diag(precision))
    vae.decoder.layers[0].weight = np.eye(D, Z)
    vae.decoder.layers[1].weight = np.hstack([weights, np.zeros((D, D - Z))])
    return vae


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_optimums_bound_is_log_p(sigma):
    rows, weights, log_p = linear_rows(500, sigma)
    elbo = optimum(weights, sigma).elbo(rows, n_samples=200, seed=1, per_sample=True).elbo
    # A row's estimate has the noise of its 200 draws: 4 errors of the mean over all rows.
    error = (elbo - log_p).std() / np.sqrt(len(rows))
    assert abs(elbo.mean() - log_p.mean()) < 4 * error
    assert error < 0.02


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_weight_that_says_sigma_has_the_same_bound(sigma):
    rows, weights, _ = linear_rows(100, sigma)
    given = optimum(weights, sigma).elbo(rows, seed=1)
    said = optimum(weights, sigma, sigma=None, reconstruction_weight=0.5 / sigma**2)
    assert said.elbo(rows, seed=1).elbo == pytest.approx(given.elbo, rel=1e-12)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_another_sigma_has_a_lower_bound(sigma):
    rows, weights, _ = linear_rows(300, sigma)
    right = optimum(weights, sigma).elbo(rows, n_samples=50).elbo
    for wrong in (sigma / 2, 2 * sigma):
        assert optimum(weights, sigma, sigma=wrong).elbo(rows, n_samples=50).elbo < right - 0.5


@pytest.mark.slow
@pytest.mark.parametrize("sigma", SIGMAS)
def test_training_comes_near_the_optimum(sigma):
    """Within 0.05 nat of log p(x), of which the bound is never above by more than its error."""
    rows, _, log_p = linear_rows(20_000, sigma)
    held_out, _, log_p_held_out = linear_rows(5000, sigma, seed=1)
    vae = VAE.from_sizes(D, (D,), Z, "identity", likelihood="gaussian", sigma=sigma, seed=2)
    for rate in (1e-2, 1e-3, 1e-4):
        vae.fit(rows, epochs=8, batch_size=100, learning_rate=rate, verbose=False)
    for given, truth in ((rows, log_p), (held_out, log_p_held_out)):
        elbo = vae.elbo(given, n_samples=20, seed=3, per_sample=True).elbo
        error = (elbo - truth).std() / np.sqrt(len(given))
        assert elbo.mean() < truth.mean() + 4 * error
        assert elbo.mean() > truth.mean() - 0.05
