"""The VAE's passes and figures, how it is built, and what it refuses."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any, cast

import numpy as np
import pytest
from model_checks import assert_same_parameters, parameters, pixel_rows, small_vae

from fastvae import MLP, VAE, Dataset, Dense, Sampler, kernels
from fastvae.training import evaluation

X = pixel_rows(21, 37)


def test_encode_is_the_encoder_and_the_samplers_layers():
    vae = small_vae(dtype=np.float64, hidden=(19, 11))
    mean, log_var = vae.encode(X)
    h = vae.encoder.feedforward(X)
    assert mean.shape == log_var.shape == (21, 5)
    # Chains of at most 37 terms below 10 in absolute value, through two hidden layers.
    np.testing.assert_allclose(mean, vae.sampler.mean.feedforward(h), rtol=0, atol=1e-12)
    np.testing.assert_allclose(log_var, vae.sampler.log_var.feedforward(h), rtol=0, atol=1e-12)


def test_decode_is_the_decoder():
    vae = small_vae(dtype=np.float64)
    Z = np.random.default_rng(0).normal(size=(4, 5))
    # As above; the sigmoid only shrinks differences.
    np.testing.assert_allclose(vae.decode(Z), vae.decoder.feedforward(Z), rtol=0, atol=1e-13)
    assert vae.decode(Z).dtype == np.float64
    np.testing.assert_array_equal(vae.decode(Z[0]), vae.decode(Z)[0])
    np.testing.assert_array_equal(vae.decode(np.asfortranarray(Z)), vae.decode(Z))
    np.testing.assert_array_equal(vae.decode([[0, 1, 2, 3, 4]]), vae.decode([[0.0, 1, 2, 3, 4]]))


def test_reconstruct_decodes_the_posterior_mean():
    vae = small_vae()
    np.testing.assert_array_equal(vae.reconstruct(X), vae.decode(vae.encode(X)[0]))


def test_one_row_gives_one_row():
    vae = small_vae()
    for whole, single in zip(vae.encode(X), vae.encode(X[3]), strict=True):
        assert single.shape == (5,)
        np.testing.assert_array_equal(single, whole[3])
    np.testing.assert_array_equal(vae.reconstruct(X[3]), vae.reconstruct(X)[3])
    assert vae.feedforward(X[3]).shape == (37,)
    assert vae.sampler.sample is not None
    assert vae.sampler.sample.shape == (5,)
    assert vae.feedforward(X[:1]).shape == (1, 37)


def test_rows_of_every_kind_mean_the_same():
    vae, pixels = small_vae(), (X / 255).astype(np.float32)
    expected = vae.encode(pixels)[0]
    wide = np.zeros((42, 74), np.float32)
    wide[::2, ::2] = pixels
    read_only = pixels.copy()
    read_only.flags.writeable = False
    kinds = [X, np.asfortranarray(pixels), wide[::2, ::2], read_only, pixels.astype(np.float64)]
    for rows in [*kinds, pixels[::-1][::-1], pixels.tolist()]:
        np.testing.assert_array_equal(vae.encode(rows)[0], expected)
    whole = (X > 0).astype(np.float32)
    for kind in (bool, np.int32, np.int64, np.uint16, np.float16):
        np.testing.assert_array_equal(vae.encode(whole.astype(kind))[0], vae.encode(whole)[0])


def test_more_rows_than_a_chunk_change_nothing():
    vae = small_vae()
    many = np.tile(X, (100, 1))
    mean, log_var = vae.encode(many)
    np.testing.assert_array_equal(mean, np.tile(vae.encode(X)[0], (100, 1)))
    np.testing.assert_array_equal(log_var, np.tile(vae.encode(X)[1], (100, 1)))
    np.testing.assert_array_equal(vae.reconstruct(many), np.tile(vae.reconstruct(X), (100, 1)))


def test_feedforward_draws_anew_and_a_seed_reproduces():
    vae = small_vae()
    first, first_sample = vae.feedforward(X), vae.sampler.sample
    second, second_sample = vae.feedforward(X), vae.sampler.sample
    assert not np.any(first_sample == second_sample)
    np.testing.assert_array_equal(first, vae.decode(np.array(first_sample)))
    twin = small_vae()
    np.testing.assert_array_equal(twin.feedforward(X), first)
    np.testing.assert_array_equal(twin.feedforward(X), second)
    other = small_vae(seed=4)
    other.feedforward(X)
    assert not np.any(other.sampler.sample == first_sample)


def test_feedforward_samples_the_posterior():
    vae = small_vae(dtype=np.float64)
    rows = np.tile(X[:1], (20000, 1))
    vae.feedforward(rows)
    mean, log_var = vae.encode(X[0])
    scaled = (vae.sampler.sample - mean) / np.exp(log_var / 2)
    # Means of n standard normals have a standard deviation of 1 / sqrt(n), mean squares of
    # sqrt(2 / n); five of them are allowed.
    assert np.all(abs(scaled.mean(axis=0)) < 5 / np.sqrt(20000))
    assert np.all(abs((scaled**2).mean(axis=0) - 1) < 5 * np.sqrt(2 / 20000))


def test_sample_decodes_the_prior():
    vae = small_vae()
    fixed = vae.sample(3, seed=9)
    z = np.empty((3, 5), np.float32)
    kernels.normal(z, 9, kernels.STREAM_PRIOR, 0)
    np.testing.assert_array_equal(fixed, vae.decode(z))
    np.testing.assert_array_equal(vae.sample(3, seed=9), fixed)
    first, second = vae.sample(3), vae.sample(3)
    assert first.shape == (3, 37)
    assert not np.any(first == second)
    np.testing.assert_array_equal(small_vae().sample(3), first)


@pytest.mark.parametrize("likelihood", kernels.LIKELIHOODS)
def test_elbo_against_its_definition(likelihood):
    vae = small_vae(dtype=np.float64, likelihood=likelihood, output_activation="sigmoid")
    n_samples = 4000
    mean, log_var = vae.encode(X[:3])
    elbo, reconstruction, kl = vae.elbo(X[:3], n_samples=n_samples, per_sample=True)
    noise = np.random.default_rng(1).normal(size=(n_samples, 3, 5))
    p = vae.decoder.feedforward((mean + np.exp(log_var / 2) * noise).reshape(-1, 5))
    p, x = p.reshape(n_samples, 3, 37), X[:3] / 255
    if likelihood == "bernoulli":
        losses = -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(axis=2)
    else:
        variance = 0.5  # of reconstruction weight 1
        losses = (0.5 * (x - p) ** 2 / variance + 0.5 * np.log(2 * np.pi * variance)).sum(axis=2)
    # Two independent means of n draws: five standard deviations of their difference.
    allowed = 5 * losses.std(axis=0) * np.sqrt(2 / n_samples)
    assert np.all(abs(reconstruction - losses.mean(axis=0)) < allowed)
    # A sum of 15 terms; each off by a few eps.
    expected = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(axis=1)
    np.testing.assert_allclose(kl, expected, rtol=1e-13)
    np.testing.assert_array_equal(elbo, -(reconstruction + kl))


def test_elbo_means_and_seeds():
    vae = small_vae()
    rows = vae.elbo(X, per_sample=True)
    means = vae.elbo(X)
    assert all(part.shape == (21,) and part.dtype == np.float64 for part in rows)
    assert isinstance(means.elbo, float)
    assert means.elbo == -(means.reconstruction + means.kl)
    assert means.reconstruction == rows.reconstruction.mean()
    assert means.kl == rows.kl.mean()
    assert vae.elbo(X, seed=1).reconstruction != means.reconstruction
    assert vae.elbo(X, seed=1).kl == means.kl
    assert vae.elbo(X) == means
    assert vae.elbo(X, n_samples=2) != means


def test_elbo_knows_no_weights():
    plain, weighted = small_vae(), small_vae(beta=7.0, reconstruction_weight=0.1)
    assert plain.elbo(X) == weighted.elbo(X)


def test_evaluate_reports_what_its_parts_say(monkeypatch):
    monkeypatch.setattr(evaluation, "_CHUNK_ROWS", 8)
    vae = small_vae(dtype=np.float64, beta=0.5, reconstruction_weight=2.0)
    report = evaluation.evaluate(vae, X, n_samples=2, seed=1)
    elbo: Any = vae.elbo(X, n_samples=2, seed=1)
    assert (report.elbo, report.reconstruction, report.kl) == elbo
    assert report.loss == 2 * elbo.reconstruction + 0.5 * elbo.kl
    error = np.mean((X / 255 - vae.reconstruct(X)) ** 2)
    assert report.mean_squared_error == pytest.approx(error, rel=1e-12)
    variance = vae.encode(X)[0].var(axis=0)
    assert report.active_units == np.count_nonzero(variance > 0.01)
    assert (report.n_rows, report.n_latent) == (21, 5)


def test_active_units_counts_what_varies():
    rows = np.array([[0.0, 1.0, 0.5], [0.0, 1.0, 0.9], [0.0, 1.0, 0.1]])
    variance = evaluation.latent_variance(rows.sum(axis=0), (rows**2).sum(axis=0), 3)
    np.testing.assert_allclose(variance, rows.var(axis=0), atol=1e-15)
    assert evaluation.active_units(variance) == 1


def test_from_sizes_mirrors_any_depth():
    vae = VAE.from_sizes(30, (20, 10, 5), 2, "tanh", likelihood="gaussian", dtype="float64")
    sizes = {name: (layer.n_in, layer.n_out) for name, layer in vae.named_layers().items()}
    assert sizes == {
        "encoder.0": (30, 20),
        "encoder.1": (20, 10),
        "encoder.2": (10, 5),
        "sampler.mean": (5, 2),
        "sampler.log_var": (5, 2),
        "decoder.0": (2, 5),
        "decoder.1": (5, 10),
        "decoder.2": (10, 20),
        "decoder.3": (20, 30),
    }
    assert [layer.activation for layer in vae.decoder] == ["tanh"] * 3 + ["identity"]
    assert vae.dtype == np.float64
    assert vae.encoder.layers[0].dtype == np.float64
    assert VAE.from_sizes().n_parameters == 427_344


def test_built_from_parts_is_built_from_sizes():
    parts = MLP([Dense(37, 19)]), Sampler(19, 5), MLP([Dense(5, 19), Dense(19, 37, "sigmoid")])
    assert_same_parameters(VAE(*parts, seed=3), parameters(small_vae()))


def test_layers_and_network_share_their_parameters():
    vae = small_vae()
    before = vae.encode(X)[0]
    vae.encoder.layers[0].weight = vae.encoder.layers[0].weight * 2
    assert np.any(vae.encode(X)[0] != before)
    vae.sampler.mean.weight = np.zeros((5, 19))
    vae.sampler.mean.bias = np.arange(5)
    np.testing.assert_array_equal(vae.encode(X)[0], np.tile(np.arange(5), (21, 1)))
    assert np.any(vae.sampler.log_var.weight != 0)


def test_seeds_give_other_weights():
    one, other = parameters(small_vae(seed=0)), parameters(small_vae(seed=1))
    for name in one:
        assert name.endswith("bias") or not np.any(one[name] == other[name])


# Pickled in memory, as multiprocessing does to hand a model over; nothing is read from disk.
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda vae: pickle.loads(pickle.dumps(vae))])
def test_a_copy_is_whole_and_independent(clone):
    vae = small_vae()
    twin, before = clone(vae), parameters(vae)
    assert_same_parameters(twin, before)
    twin.fit(X, epochs=1, verbose=False)
    assert np.any(twin.encoder.layers[0].weight != before["encoder.0.weight"])
    assert_same_parameters(vae, before)


@pytest.mark.parametrize(
    "use",
    [
        lambda vae: vae.fit(X, epochs=1),
        lambda vae: vae.encode(X),
        lambda vae: vae.decode(np.zeros((1, 5))),
        lambda vae: vae.reconstruct(X),
        lambda vae: vae.feedforward(X),
        lambda vae: vae.sample(3),
        lambda vae: vae.elbo(X),
        lambda vae: vae.gradients(X),
        lambda vae: vae.save("nowhere"),
        lambda vae: vae.encoder,
        lambda vae: vae.sampler,
        lambda vae: vae.decoder,
        lambda vae: vae.n_parameters,
    ],
)
def test_an_empty_model_says_that_it_is_empty(use):
    with pytest.raises(ValueError, match="this VAE is empty: load a model into it"):
        use(VAE())


def parts(encoder=(6, 5), sampler=(5, 2), decoder=(2, 6), output="sigmoid"):
    n_latent, n_features = decoder
    layer = Dense(n_latent, n_features, output)
    return MLP([Dense(*encoder)]), Sampler(*sampler), MLP([layer])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: VAE(*parts(sampler=(4, 2))), ValueError, "as many as encoder outputs, 5; got 4"),
        (lambda: VAE(*parts(decoder=(3, 6))), ValueError, "as many as latents, 2; got 3"),
        (lambda: VAE(*parts(decoder=(2, 7))), ValueError, "as many as features, 6; got 7"),
        (lambda: VAE(*parts(output="relu")), ValueError, "needs sigmoid .*; got 'relu'"),
        (lambda: VAE(MLP(), *parts()[1:]), ValueError, "as many as features, 5; got 6"),
        (
            lambda: VAE(parts()[0], parts()[1], MLP()),
            ValueError,
            "decoder must have at least one layer",
        ),
        (lambda: VAE(parts()[0]), TypeError, "an MLP, a Sampler and an MLP, or none; got MLP, N"),
        (lambda: VAE(*parts(), likelihood=cast(Any, "bernouli")), ValueError, "mean 'bernoulli'"),
        (lambda: VAE(*parts(), beta=-1), ValueError, "beta must be a finite number"),
        (lambda: VAE(*parts(), reconstruction_weight=np.nan), ValueError, "reconstruction_weight"),
        (lambda: VAE(*parts(), dtype=np.float16), ValueError, "dtype must be"),
        (lambda: VAE(*parts(), seed=-1), ValueError, "seed must be"),
        (lambda: VAE.from_sizes(hidden=(0,)), ValueError, "hidden sizes must be"),
        (lambda: VAE.from_sizes(-784), ValueError, "n_features must be an integer of at least 1"),
        (
            lambda: VAE.from_sizes(n_latent=1.5),  # type: ignore[arg-type]
            TypeError,
            "n_latent must be an integer",
        ),
        (
            lambda: VAE.from_sizes(activation=cast(Any, "swish")),
            ValueError,
            "activation must be one of",
        ),
        (
            lambda: VAE.from_sizes(likelihood=cast(Any, "x")),
            ValueError,
            "likelihood must be one of",
        ),
        (lambda: small_vae().sample(0), ValueError, "n must be an integer of at least 1"),
        (lambda: small_vae().sample(1, seed=-1), ValueError, "seed must be"),
        (lambda: small_vae().elbo(X, n_samples=0), ValueError, "n_samples must be"),
        (lambda: small_vae().decode(np.zeros((2, 4))), ValueError, "Z must have 5 columns"),
        (
            lambda: small_vae().decode(np.full((2, 5), np.nan)),
            ValueError,
            r"Z must be finite; .* 0\)$",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("method", ["encode", "reconstruct", "feedforward", "elbo", "gradients"])
def test_bad_rows(method):
    vae = small_vae()
    left_out = r"are NaN or infinite, the first in row 0, column 0 .*; missing values are left out"
    for rows, message in [
        (X[:, :36], "37 columns"),
        (X[:0], "at least one row"),
        (X.astype(float), r"divide by the maximum \(\w / 255\)"),
        (np.full((2, 37), np.nan), f"74 values {left_out}"),
        (np.full((2, 37), np.inf), r"74 values are NaN or infinite, .*\(counted from 0\)$"),
    ]:
        with pytest.raises(ValueError, match=message):
            getattr(vae, method)(rows)


@pytest.mark.parametrize("method", ["encode", "reconstruct", "feedforward", "elbo", "gradients"])
def test_a_data_set_stands_for_its_training_rows(method):
    data = Dataset(X[:9])
    given, expected = (getattr(small_vae(), method)(rows) for rows in (data, X[:9]))
    np.testing.assert_equal(given, expected)
    with pytest.raises(ValueError, match=r"(X|x).train must have 36 columns; got shape \(9, 37\)"):
        getattr(small_vae(n_features=36), method)(data)


def test_evaluate_takes_a_data_set():
    assert evaluation.evaluate(small_vae(), Dataset(X)) == evaluation.evaluate(small_vae(), X)


def test_failed_construction_leaves_the_parts_free():
    encoder, sampler, decoder = parts(output="relu")
    with pytest.raises(ValueError, match="needs sigmoid"):
        VAE(encoder, sampler, decoder)
    assert VAE(encoder, sampler, decoder, likelihood="gaussian").n_features == 6


def test_import_is_light():
    code = "import sys, fastvae; fastvae.VAE; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "fastvae.model.vae" in loaded
    assert not {"matplotlib", "tqdm", "pooch", "torch", "jax"} & set(loaded)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [1, 5, 600])
def test_encode_reports_the_log_variance_that_is_used(dtype, n_rows):
    vae = small_vae(dtype=dtype)
    vae.sampler.log_var.weight = np.zeros((5, 19))
    vae.sampler.log_var.bias = np.array([25.0, 20.0, 3.0, -30.0, -1e30])
    mean, log_var = vae.encode(np.zeros((n_rows, 37)))
    np.testing.assert_array_equal(log_var, [[20.0, 20.0, 3.0, -30.0, -30.0]] * n_rows)
    assert mean.flags.c_contiguous
    assert log_var.flags.c_contiguous
