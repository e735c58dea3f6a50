"""The sizes of hidden layers in all forms, and models without any: probabilistic PCA."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import (
    assert_same_model,
    assert_same_parameters,
    parameters,
    pixel_rows,
    set_parameter,
)
from numpy.typing import NDArray

import fastvae
from fastvae import MLP, VAE, Dense, Sampler
from fastvae.schedules import Cosine

ROWS = pixel_rows(61, 37)
RNG = np.random.default_rng(5)
REALS, COUNTS = RNG.normal(size=(61, 37)), RNG.poisson(2, (61, 37))
GAPS = np.where(RNG.random(REALS.shape) < 0.1, np.nan, REALS)
KINDS = np.eye(3)[RNG.integers(0, 3, 61)]
MIXED = np.hstack([REALS[:, :4], KINDS, COUNTS[:, :2]])
BLOCKS = [("gaussian", 4), ("categorical", 3), ("poisson", 2)]
CASES: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "pixels": (ROWS, {}),
    "continuous": (ROWS, {"likelihood": "continuous_bernoulli"}),
    "gaussian": (REALS, {"likelihood": "gaussian"}),
    "learned": (REALS, {"likelihood": "gaussian", "sigma": "learned"}),
    "feature": (REALS, {"likelihood": "gaussian", "sigma": "feature"}),
    "output": (REALS, {"likelihood": "gaussian", "sigma": "output"}),
    "counts": (COUNTS, {"likelihood": "poisson"}),
    "mixed": (MIXED, {"likelihood": "mixed", "blocks": BLOCKS}),
    "missing": (GAPS, {"likelihood": "gaussian", "sigma": "learned", "missing": "ignore"}),
}


@pytest.mark.parametrize(
    "hidden", [19, [19], (19,), range(19, 20), np.int64(19), np.array(19), np.array([19])]
)
def test_one_size_comes_in_all_forms(hidden):
    vae = VAE.from_sizes(37, hidden=hidden, n_latent=5, seed=3)
    assert_same_parameters(vae, parameters(VAE.from_sizes(37, (19,), 5, seed=3)))


@pytest.mark.parametrize(
    "hidden", [[19, 11], (np.uint8(19), 11), range(19, 10, -8), np.array([19, 11], np.int16)]
)
def test_several_sizes_come_in_all_forms(hidden):
    assert repr(VAE.from_sizes(37, hidden, 5)).startswith("<VAE 37-19-11-5-11-19-37,")


@pytest.mark.parametrize("hidden", [(), [], range(0), np.array([], int)])
def test_no_size_makes_a_linear_model(hidden):
    vae = VAE.from_sizes(37, hidden, 5)
    assert repr(vae) == "<VAE 37-5-37, likelihood 'bernoulli'>"
    assert list(vae.named_layers()) == ["sampler.mean", "sampler.log_var", "decoder.0"]


@pytest.mark.parametrize("wrong", [0, -1, (19, 0), np.array([19, -1])])
def test_sizes_below_one_are_refused(wrong):
    with pytest.raises(
        ValueError, match=r"hidden sizes must be an integer of at least 1; got .*\("
    ):
        VAE.from_sizes(37, wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        2.5, 2.0, "19", "", b"", b"19", bytearray(b"1"), None, True, [True], ["19"], [[19]], [()],
        {19}, {19: 1}, [2.0], np.array([[19]]), np.zeros((0, 2), int), np.array([19.0]),
        np.array([True]), np.array(2.5), iter([19]),
    ],
)  # fmt: skip
def test_what_is_no_size_is_refused(wrong):
    with pytest.raises(TypeError, match="hidden is one size, a sequence of sizes, or"):
        VAE.from_sizes(37, wrong)


def test_one_without_hidden_layers_can_have_a_deep_decoder():
    decoder = MLP([Dense(5, 11), Dense(11, 37, "sigmoid")])
    vae = VAE(MLP(), Sampler(37, 5), decoder, seed=3)
    before = vae.elbo(ROWS).elbo
    vae.fit(ROWS, epochs=20, batch_size=8, learning_rate=0.01, verbose=False)
    assert vae.elbo(ROWS).elbo > before + 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_its_passes_are_matrix_products(dtype):
    vae = VAE.from_sizes(37, (), 5, likelihood="gaussian", dtype=dtype, seed=3)
    vae.decoder.layers[0].bias = RNG.normal(size=37)
    named = {name: array.astype(float) for name, array in parameters(vae).items()}
    rows = REALS.astype(dtype)
    mean, log_var = vae.encode(rows)
    # Chains of 37 terms of about 1 in absolute value.
    close = {"rtol": 0, "atol": 40 * 37 * np.finfo(dtype).eps}
    for found, name in ((mean, "sampler.mean"), (log_var, "sampler.log_var")):
        expected = rows.astype(float) @ named[f"{name}.weight"].T + named[f"{name}.bias"]
        np.testing.assert_allclose(found, expected, **close)
    decoded = mean.astype(float) @ named["decoder.0.weight"].T + named["decoder.0.bias"]
    np.testing.assert_allclose(vae.reconstruct(rows), decoded, **close)
    np.testing.assert_array_equal(vae.decode(mean), vae.reconstruct(rows))
    handed_on = vae.encoder.feedforward(rows)
    np.testing.assert_array_equal(vae.sampler.mean.feedforward(handed_on), mean)
    assert not np.shares_memory(handed_on, rows)


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_linear_models(case):
    rows, settings = CASES[case]
    vae = VAE.from_sizes(rows.shape[1], (), 3, dtype=np.float64, seed=3, **settings)
    vae.start_output_bias(vae.check_rows(rows, use="training"))
    rng, few = np.random.default_rng(1), rows[:7]
    noise, step = rng.normal(size=(7, 3)), 1e-5
    gradients = vae.gradients(few, noise)[1]
    for name, point in parameters(vae).items():
        direction = rng.normal(size=point.shape)
        losses = []
        for sign in (1, -1):
            set_parameter(vae, name, point + sign * step * direction)
            losses.append(vae.gradients(few, noise)[0].loss)
        set_parameter(vae, name, point)
        numeric = (losses[0] - losses[1]) / (2 * step)
        # The truncation error is of the order of step^2, rounding of eps loss / step: 1e-9.
        bound = 1e-6 * float(np.linalg.norm(gradients[name])) + 1e-8
        assert numeric == pytest.approx(np.vdot(gradients[name], direction), abs=bound), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*effective sample size")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_linear_models_do_all_that_others_do(tmp_path: Path, case, dtype):
    rows, settings = CASES[case]

    def new(hidden: Any = ()) -> VAE:
        return VAE.from_sizes(rows.shape[1], hidden, 3, dtype=dtype, seed=3, **settings)

    run: dict[str, Any] = {"batch_size": 13, "learning_rate": 0.01, "verbose": False}
    vae, path = new(), tmp_path / "run.ckpt"
    vae.fit(rows, epochs=4, validation=rows[:9], **run)
    assert vae.elbo(rows, 20).elbo > new().elbo(rows, 20).elbo
    assert vae.log_likelihood(rows[:7], 200).value > vae.elbo(rows[:7], 200).elbo
    other = new()
    other.fit(rows, epochs=2, checkpoint=path, **run)
    with pytest.raises(ValueError, match="n_encoder was 0 and is 1"):
        new((4,)).fit(rows, epochs=4, resume=path, **run)
    other = new()
    other.fit(rows, epochs=4, resume=path, n_threads=1, **run)
    assert_same_parameters(other, parameters(vae))
    vae.save(tmp_path / "model.safetensors")
    loaded = fastvae.load(tmp_path / "model.safetensors")
    for same in (loaded, copy.copy(vae), pickle.loads(pickle.dumps(vae))):
        assert_same_parameters(same, parameters(vae))
        assert repr(same) == repr(vae)
        np.testing.assert_array_equal(same.elbo(rows).elbo, vae.elbo(rows).elbo)


def test_the_seeds_format_is_without_linear_models(tmp_path):
    vae = VAE.from_sizes(37, (), 5)
    with pytest.raises(ValueError, match="no place for an encoder without layers"):
        vae.save(tmp_path / "model", format="seed")
    assert not (tmp_path / "model").exists()
    vae = VAE.from_sizes(37, 37, 5)
    vae.save(tmp_path / "model", format="seed")
    (tmp_path / "model" / "encoder_layer0").rename(tmp_path / "lost")
    with pytest.raises(ValueError, match="encoder_layer0 is missing"):
        fastvae.load(tmp_path / "model")


def test_a_file_without_encoder_is_of_the_first_version(tmp_path):
    vae = VAE.from_sizes(37, (), 5, seed=3)
    vae.save(tmp_path / "model.safetensors")
    assert b'"format_version\\": 1' in (tmp_path / "model.safetensors").read_bytes()
    assert_same_model(fastvae.load(tmp_path / "model.safetensors"), vae)


def log_density(rows: NDArray[Any], mean: NDArray[Any], covariance: NDArray[Any]) -> NDArray[Any]:
    """log N(x; mean, covariance) of each row."""
    centred = rows - mean
    distances = np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
    return -0.5 * (np.linalg.slogdet(2 * np.pi * covariance)[1] + distances)


@pytest.mark.slow
def test_it_finds_probabilistic_pca():
    """Tipping & Bishop (1999), "Probabilistic Principal Component Analysis", eq. 7 and 8."""
    rng = np.random.default_rng(0)
    n_rows, n_features, n_latent = 2000, 8, 2
    axes = np.linalg.qr(rng.normal(size=(n_features, n_latent)))[0] * [2.0, 1.2]
    rows = rng.normal(size=(n_rows, n_latent)) @ axes.T + 0.5 * rng.normal(
        size=(n_rows, n_features)
    )
    rows += rng.normal(size=n_features)
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    variance, principal = values[:-n_latent].mean(), vectors[:, -n_latent:]
    best = (principal * (values[-n_latent:] - variance)) @ principal.T
    best += variance * np.eye(n_features)
    optimum = log_density(rows, rows.mean(0), best).mean()

    vae = VAE.from_sizes(
        n_features, (), n_latent, likelihood="gaussian", sigma="learned", dtype=np.float64
    )
    vae.fit(rows, epochs=300, batch_size=250, learning_rate=Cosine(0.03), verbose=False)
    assert vae.sigma_value**2 == pytest.approx(variance, rel=3e-3)
    weight, bias = vae.decoder.layers[0].weight, vae.decoder.layers[0].bias
    cosines = np.linalg.svd(np.linalg.qr(weight)[0].T @ principal)[1]
    assert np.degrees(np.arccos(cosines.min())) < 0.5
    np.testing.assert_allclose(bias, rows.mean(0), atol=0.03)

    found = vae.log_likelihood(rows, 500)
    covariance = weight @ weight.T + vae.sigma_value**2 * np.eye(n_features)
    exact = log_density(rows, bias, covariance).mean()
    assert found.value == pytest.approx(exact, abs=5 * found.standard_error)
    assert optimum - 1e-3 < exact <= optimum
    # The exact posterior is within reach of a linear encoder, so that the bound is nearly tight.
    assert vae.elbo(rows, 100).elbo == pytest.approx(optimum, abs=0.01)
