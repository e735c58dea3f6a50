"""Figures in nats: those of the stated likelihood, and the loss under its own name."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from model_checks import parameters

import fastvae
from fastvae import VAE
from fastvae.training.evaluation import evaluate

D, Z = 11, 3
RNG = np.random.default_rng(14)
X = RNG.normal(size=(200, D)).astype(np.float32)
LOG_2_PI = np.log(2 * np.pi)


def build(**settings):
    return VAE.from_sizes(D, (7,), Z, "tanh", likelihood="gaussian", seed=3, **settings)


def log_density(x, x_hat, sigma):
    """log N(x; x_hat, sigma^2 I), in float64, term by term."""
    terms = -0.5 * LOG_2_PI - np.log(sigma) - (x - x_hat) ** 2 / (2 * sigma**2)
    return terms.sum(axis=1)


@pytest.mark.parametrize(
    ("settings", "sigma"),
    [
        ({}, np.sqrt(0.5)),
        ({"reconstruction_weight": 200.0}, 0.05),
        ({"sigma": 0.05}, 0.05),
        ({"sigma": 3, "reconstruction_weight": 7.0, "beta": 2.0}, 3.0),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reconstruction_is_minus_the_log_density(settings, sigma, dtype):
    vae = build(dtype=dtype, **settings)
    rows = X.astype(dtype)
    noise = np.zeros((len(X), Z))
    losses, _ = vae.gradients(rows, noise=noise)
    x_hat = vae.reconstruct(rows).astype(float)  # decoded means: no noise
    wanted = -log_density(rows.astype(float), x_hat, sigma).mean()
    # Sums of D squares, each of some roundings.
    precision = 20 * float(np.finfo(dtype).eps)
    assert losses.reconstruction == pytest.approx(wanted, rel=precision)
    mean, log_var = vae.encode(rows)
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(axis=1).mean()
    assert losses.kl == pytest.approx(kl, rel=precision)


def test_elbo_per_row_and_its_means():
    vae = build(sigma=0.3)
    per_row, means = vae.elbo(X, 5, per_sample=True), vae.elbo(X, 5)
    np.testing.assert_array_equal(per_row.elbo, -(per_row.reconstruction + per_row.kl))
    np.testing.assert_allclose([figure.mean() for figure in per_row], means, rtol=1e-12)
    evaluation = evaluate(vae, X, n_samples=5)
    assert (evaluation.elbo, evaluation.reconstruction, evaluation.kl) == means


def test_the_loss_is_what_is_minimised():
    """C ||x - x_hat||^2 + beta KL where C says sigma; w times the nats where sigma is given."""
    for settings, constant, weight in (
        ({"reconstruction_weight": 5.0}, D / 2 * np.log(np.pi / 5.0), 1.0),
        ({"sigma": 0.3}, 0.0, 1.0),
        ({"sigma": 0.3, "reconstruction_weight": 2.5}, 0.0, 2.5),
    ):
        vae = build(beta=1.7, **settings)
        losses, _ = vae.gradients(X)
        wanted = weight * (losses.reconstruction - constant) + 1.7 * losses.kl
        assert losses.loss == pytest.approx(wanted, rel=1e-12)
        history = vae.fit(X, epochs=2, validation=X, learning_rate=0.0, verbose=False)
        for name in ("", "val_"):
            loss, elbo, reconstruction, kl = (
                history[name + figure][-1] for figure in ("loss", "elbo", "reconstruction", "kl")
            )
            assert elbo == pytest.approx(-(reconstruction + kl), rel=1e-12)
            assert loss == pytest.approx(weight * (reconstruction - constant) + 1.7 * kl, rel=1e-12)
        evaluation = evaluate(vae, X, seed=vae.seed)
        assert evaluation.loss == pytest.approx(history["val_loss"][-1], rel=1e-12)


def test_a_given_sigma_has_the_gradients_of_the_weight_that_says_it():
    """sigma^2 = 1 / (2 C); the weights of both trainings are equal to rounding."""
    by_weight, by_sigma = build(reconstruction_weight=8.0), build(sigma=0.25)
    noise = np.random.default_rng(0).normal(size=(len(X), Z))
    _, of_weight = by_weight.gradients(X, noise=noise)
    _, of_sigma = by_sigma.gradients(X, noise=noise)
    for name, gradient in of_weight.items():
        np.testing.assert_array_equal(gradient, of_sigma[name], err_msg=name)  # 8 = 0.5 / 0.25^2
    for vae in (by_weight, by_sigma):
        vae.fit(X, epochs=2, batch_size=30, verbose=False)
    for name, values in parameters(by_weight).items():
        np.testing.assert_array_equal(values, parameters(by_sigma)[name], err_msg=name)
    assert by_weight.elbo(X).elbo == pytest.approx(by_sigma.elbo(X).elbo, rel=1e-12)


def test_a_bernoulli_model_has_no_constant():
    vae = VAE.from_sizes(D, (7,), Z, seed=3)
    rows = (X > 0).astype(np.float32)
    losses, _ = vae.gradients(rows, noise=np.zeros((len(X), Z)))
    p = vae.reconstruct(rows).astype(float)
    wanted = -np.where(rows > 0, np.log(p), np.log1p(-p)).sum(axis=1).mean()
    assert losses.reconstruction == pytest.approx(wanted, rel=1e-5)
    assert losses.loss == pytest.approx(losses.reconstruction + losses.kl, rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"sigma": 0.0}, ValueError, "sigma must be a finite number of at least"),
        ({"sigma": -1}, ValueError, "sigma must be a finite number of at least"),
        ({"sigma": float("nan")}, ValueError, "sigma must be"),
        ({"sigma": 1e300}, ValueError, "sigma must be .* below 1e"),
        ({"sigma": [1.0]}, TypeError, "sigma must be"),
        ({"reconstruction_weight": 0.0}, ValueError, "reconstruction_weight must be .* above 0"),
        (
            {"sigma": 1.0, "likelihood": "bernoulli"},
            ValueError,
            "sigma is of the Gaussian likelihood; got 1.0 with 'bernoulli'",
        ),
    ],
)
def test_what_is_no_sigma_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        VAE.from_sizes(D, (7,), Z, **{"likelihood": "gaussian"} | settings)


def test_a_weight_of_0_is_one_where_sigma_is_given():
    assert build(sigma=1.0, reconstruction_weight=0.0).nats.weight == 0.0
    vae = build()
    with pytest.raises(ValueError, match="above 0"):
        vae.reconstruction_weight = 0.0
    assert vae.reconstruction_weight == 1.0


def test_sigma_travels(tmp_path):
    vae = build(sigma=0.125)
    vae.save(tmp_path / "model.safetensors")
    vae.save(tmp_path / "seed", format="seed")
    others = [fastvae.load(tmp_path / name) for name in ("model.safetensors", "seed")]
    for other in (*others, copy.deepcopy(vae), pickle.loads(pickle.dumps(vae))):
        assert other.sigma == 0.125
        assert other.elbo(X) == vae.elbo(X)


def test_a_run_with_another_sigma_is_not_gone_on_with(tmp_path):
    build(sigma=0.5).fit(X, epochs=1, checkpoint=tmp_path / "run", verbose=False)
    said = "likelihood was gaussian of sigma 0.5 and is gaussian of sigma 0.25"
    with pytest.raises(ValueError, match=said):
        build(sigma=0.25).fit(X, epochs=2, resume=tmp_path / "run", verbose=False)


@pytest.mark.slow
def test_the_elbo_chooses_the_right_sigma():
    """Linear-Gaussian data, of which log p(x) is known: C = 12.5 is sigma = 0.2."""
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(2, D))
    rows = rng.normal(size=(2000, 2)) @ weights + 0.2 * rng.normal(size=(2000, D))
    covariance = weights.T @ weights + 0.04 * np.eye(D)
    inverse = np.linalg.inv(covariance)
    log_p = -0.5 * (
        np.einsum("ni,ij,nj->n", rows, inverse, rows)
        + np.linalg.slogdet(2 * np.pi * covariance).logabsdet
    )
    bounds = {}
    for weight in (0.5, 12.5, 200.0):
        vae = VAE.from_sizes(
            D, (32,), 2, "tanh", likelihood="gaussian", reconstruction_weight=weight, seed=1
        )
        vae.fit(rows, epochs=60, batch_size=50, learning_rate=3e-3, verbose=False)
        elbo = vae.elbo(rows, n_samples=20, per_sample=True).elbo
        error = 3 * elbo.std() / np.sqrt(len(rows))
        assert elbo.mean() < log_p.mean() + error
        bounds[weight] = elbo.mean()
    assert max(bounds, key=lambda weight: bounds[weight]) == 12.5, bounds
