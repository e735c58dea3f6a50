"""Samples of the aggregated posterior: what is drawn, from what, and when it is refused."""

from __future__ import annotations

import copy
import importlib
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import SMALL_ROWS, pixel_rows, set_parameter, small_vae

import fastvae
from fastvae import VAE, PosteriorMixture, kernels
from fastvae.callbacks import Callback
from fastvae.data import Dataset
from fastvae.model.prior import MixtureLatents, Weights

ROWS = pixel_rows(400, 37)
N = 700  # samples: a chunk of rows and a part


def a_mixture(n_components: int = 3, n_latent: int = 5, seed: int = 0) -> PosteriorMixture:
    """Components that are far apart, of correlated latents."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n_components, 5.0))
    factors = np.tril(rng.normal(size=(n_components, n_latent, n_latent)))
    diagonal = np.arange(n_latent)
    factors[:, diagonal, diagonal] = rng.uniform(0.5, 2, (n_components, n_latent))
    return PosteriorMixture(weights, rng.normal(0, 9, (n_components, n_latent)), factors)


def with_mixture(mixture: PosteriorMixture | None = None, **settings: Any) -> VAE:
    """A small model with a mixture that did not need to be fitted."""
    vae = small_vae(**settings)
    vae._take_mixture(mixture or a_mixture(n_latent=vae.n_latent))
    return vae


def latents_of(mixture: PosteriorMixture, n: int, dtype: Any = np.float32, **more: Any) -> Any:
    nobodys = Weights(b"")
    dtype, seed = np.dtype(dtype), more.pop("seed", 0)
    return MixtureLatents(
        n, mixture.n_latent, dtype, seed, mixture=mixture, weights=nobodys, **more
    )


@pytest.fixture(scope="module")
def fitted() -> VAE:
    pytest.importorskip("sklearn")
    vae = small_vae()
    vae.fit(ROWS, epochs=3, batch_size=20, verbose=False)
    vae.fit_posterior(ROWS, 4)
    return vae


# --- what is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_components", "n_latent"), [(1, 1), (3, 5), (10, 2)])
def test_latents_have_the_mixture_s_moments(dtype: Any, n_components: int, n_latent: int) -> None:
    n = 40_000
    mixture = a_mixture(n_components, n_latent)
    z = latents_of(mixture, n, dtype)[:].astype(np.float64)
    w, means = mixture.weights, mixture.means
    mean = w @ means
    covariances = mixture.cholesky @ mixture.cholesky.transpose(0, 2, 1)
    apart = means - mean
    covariance = np.einsum("c,cij->ij", w, covariances) + np.einsum("c,ci,cj->ij", w, apart, apart)
    scale = np.sqrt(np.diagonal(covariance))
    # 5 standard errors; those of covariances are below those of fourth moments, 3 for normal ones.
    assert (np.abs(z.mean(axis=0) - mean) < 5 * scale / math.sqrt(n)).all()
    error = np.abs(np.cov(z.T, ddof=0).reshape(n_latent, n_latent) - covariance)
    assert (error < 5 * math.sqrt(3 / n) * np.outer(scale, scale)).all()


def test_components_are_drawn_as_often_as_their_weights_say() -> None:
    n = 40_000
    weights = np.array([0.0, 0.7, 0.0, 0.05, 0.25, 0.0])
    means = np.arange(6.0)[:, None]
    mixture = PosteriorMixture(weights, means, np.zeros((6, 1, 1)))
    found = np.bincount(latents_of(mixture, n)[:].astype(int).ravel(), minlength=6)
    np.testing.assert_array_equal(found[weights == 0], 0)
    error = np.sqrt(n * weights * (1 - weights))
    assert (np.abs(found - n * weights) <= 4 * error).all()


def test_a_row_is_what_its_numbers_say() -> None:
    """Against plain NumPy: the first number chooses the component, the others are its noise."""
    mixture = a_mixture()
    numbers = np.empty((50, 6))
    kernels.normal(numbers, 7, kernels.STREAM_POSTERIOR, 2)
    z = latents_of(mixture, 50, np.float64, seed=7, draw=2)[:]
    total = np.cumsum(mixture.weights)
    for row, (first, *noise) in zip(z, numbers, strict=True):
        probability = 0.5 * math.erfc(-first / math.sqrt(2))
        c = int((total < probability).sum())
        expected = mixture.means[c] + mixture.cholesky[c] @ noise
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_are_those_of_the_whole(dtype: Any) -> None:
    latents = latents_of(a_mixture(), N, dtype)
    whole = latents[:]
    for first, last in ((0, 1), (1, 3), (511, 514), (N - 1, N), (13, N)):
        np.testing.assert_array_equal(latents[first:last], whole[first:last])


def test_samples_are_the_same_in_batches_and_for_every_number_of_threads() -> None:
    vae = with_mixture()
    expected = vae.sample(N, seed=4, source="posterior")
    for batch_size in (1, 33, 512, 1024):
        batches = list(vae.iter_sample(N, 4, batch_size, source="posterior"))
        np.testing.assert_array_equal(np.concatenate(batches), expected)
    n_threads = fastvae.get_num_threads()
    try:
        fastvae.set_num_threads(1)
        np.testing.assert_array_equal(vae.sample(N, seed=4, source="posterior"), expected)
    finally:
        fastvae.set_num_threads(n_threads)
    out = np.empty((N, 37), np.float32)
    assert vae.sample(N, seed=4, source="posterior", out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert not np.array_equal(vae.sample(N, seed=5, source="posterior"), expected)
    np.testing.assert_array_equal(vae.sample(3, seed=4, source="posterior"), expected[:3])


def test_calls_without_a_seed_go_on_in_the_model_s_stream() -> None:
    one, two = with_mixture(), with_mixture()
    first = one.sample(5, source="posterior")
    np.testing.assert_array_equal(first, two.sample(5, seed=one.seed, source="posterior"))
    second = one.sample(5, source="posterior")
    assert not np.array_equal(first, second)
    assert one.draw_counts[0] == 2
    two.sample(5)  # of the prior, whose draws are counted with the others
    np.testing.assert_array_equal(two.sample(5, source="posterior"), second)


def test_samples_of_the_prior_are_what_they_were() -> None:
    """Whether or not there is a mixture."""
    plain, vae = small_vae(), with_mixture()
    np.testing.assert_array_equal(plain.sample(9, seed=2), vae.sample(9, 2, source="prior"))
    np.testing.assert_array_equal(plain.sample(9), vae.sample(9))


def test_many_latents() -> None:
    vae = with_mixture(n_latent=200)
    samples = vae.sample(5, seed=0, source="posterior")
    assert np.isfinite(samples).all()
    np.testing.assert_array_equal(
        samples[3:4], list(vae.iter_sample(5, 0, 1, source="posterior"))[3]
    )


def test_no_more_samples_than_there_are_numbers() -> None:
    with pytest.raises(ValueError, match="n must be at most 2863311530 for 5 latents"):
        with_mixture().iter_sample(2**34 // 6 + 1, 0, source="posterior")


# --- the fit ---------------------------------------------------------------------------------


def test_the_fit_finds_the_latents_of_linear_models() -> None:
    """x = z of two groups: the mixture has their means, weights and variances."""
    pytest.importorskip("sklearn")
    vae = VAE.from_sizes(2, (), 2, likelihood="gaussian", sigma=1.0, dtype="float64")
    set_parameter(vae, "sampler.mean.weight", np.eye(2))
    set_parameter(vae, "sampler.log_var.weight", np.zeros((2, 2)))
    set_parameter(vae, "sampler.log_var.bias", np.log([0.09, 1.0]))
    rng = np.random.default_rng(0)
    n = 4000
    X = rng.normal(size=(n, 2)) * [0.4, 1.0] + np.where(np.arange(n) % 4, 6.0, -6.0)[:, None]
    found = vae.fit_posterior(X, 2)
    order = np.argsort(found.weights)
    # 5 standard errors of the smaller group's means and variances.
    error = 5 / math.sqrt(n / 4)
    np.testing.assert_allclose(found.weights[order], [0.25, 0.75], atol=1e-3)
    np.testing.assert_allclose(found.means[order], [[-6, -6], [6, 6]], atol=error * math.sqrt(2))
    variances = np.square(found.cholesky[order]).sum(axis=2)
    # Draws vary as the means do and by what the posterior adds, 0.16 + 0.09 and 1 + 1.
    np.testing.assert_allclose(variances, [[0.25, 2.0]] * 2, rtol=error * math.sqrt(2))


def test_the_same_rows_give_the_same_mixture() -> None:
    pytest.importorskip("sklearn")
    vae = small_vae()
    same_rows = (ROWS, np.asfortranarray(ROWS), ROWS[::-1][::-1])
    mixtures = [vae.fit_posterior(rows, 3, seed=5) for rows in same_rows]
    n_threads = fastvae.get_num_threads()
    try:
        fastvae.set_num_threads(1)
        mixtures.append(vae.fit_posterior(ROWS, 3, seed=5))
    finally:
        fastvae.set_num_threads(n_threads)
    for mixture in mixtures[1:]:
        assert_same(mixture, mixtures[0])
    assert vae.posterior_mixture is mixtures[-1]
    other = vae.fit_posterior(ROWS, 3, seed=2**64 - 1)
    assert not np.array_equal(np.sort(other.weights), np.sort(mixtures[0].weights))


def test_sample_fits_the_mixture_of_its_data_and_keeps_it() -> None:
    pytest.importorskip("sklearn")
    vae, expected = small_vae(), small_vae()
    samples = vae.sample(6, 1, source="posterior", data=ROWS)
    assert_same(vae.posterior_mixture, expected.fit_posterior(ROWS, 10, seed=0))
    np.testing.assert_array_equal(samples, vae.sample(6, 1, source="posterior"))
    others = list(vae.iter_sample(6, 1, 4, source="posterior", data=ROWS[:200]))
    assert [len(batch) for batch in others] == [4, 2]
    assert not np.array_equal(np.concatenate(others), samples)


def test_rows_are_evenly_spaced_where_there_are_many() -> None:
    pytest.importorskip("sklearn")
    vae = small_vae()
    assert_same(vae.fit_posterior(ROWS, 2, max_rows=100), vae.fit_posterior(ROWS[::4], 2))
    whole = vae.fit_posterior(ROWS, 2)
    assert_same(vae.fit_posterior(ROWS, 2, max_rows=400), whole)
    assert_same(vae.fit_posterior(ROWS, 2, max_rows=10**9), whole)


@pytest.mark.parametrize("binarize", ["dynamic", "threshold", "fixed"])
def test_rows_are_made_binary(binarize: Any) -> None:
    pytest.importorskip("sklearn")
    vae, grey = small_vae(), ROWS / np.float32(255)
    found = vae.fit_posterior(grey, 2, binarize=binarize)
    if binarize == "threshold":
        assert_same(found, vae.fit_posterior((grey >= 0.5).astype(np.float32), 2))
    assert not np.array_equal(found.means, vae.fit_posterior(grey, 2).means)


def test_data_sets_and_rows_with_missing_values() -> None:
    pytest.importorskip("sklearn")
    data = Dataset("synthetic_digits", train_size=300, test_size=1)
    vae = VAE.from_sizes(784, (8,), 2)
    assert_same(vae.fit_posterior(data, 2), vae.fit_posterior(data.train, 2))
    rows = np.where(np.arange(400)[:, None] % 7, np.random.default_rng(0).random((400, 37)), np.nan)
    vae = small_vae(likelihood="gaussian", missing="ignore")
    assert np.isfinite(vae.fit_posterior(rows, 2).means).all()
    with pytest.raises(ValueError, match="NaN"):
        small_vae().fit_posterior(rows)


def test_latents_that_do_not_vary() -> None:
    """Equal rows, and posteriors without a width: no NaN, and samples that are all the same."""
    pytest.importorskip("sklearn")
    vae = small_vae(dtype="float64")
    set_parameter(vae, "sampler.log_var.bias", np.full(5, -1e9))
    vae.fit_posterior(np.repeat(SMALL_ROWS[:1], 100, axis=0), 3)
    samples = vae.sample(20, 0, source="posterior")
    expected = vae.reconstruct(SMALL_ROWS[0])
    # Posteriors have a deviation of exp(-15) still, and components are placed within it.
    np.testing.assert_allclose(samples, np.tile(expected, (20, 1)), atol=1e-5)


def test_one_latent() -> None:
    pytest.importorskip("sklearn")
    vae = small_vae(n_latent=1)
    vae.fit_posterior(ROWS, 2)
    assert vae.sample(3, 0, source="posterior").shape == (3, 37)


@pytest.mark.parametrize("scale", [1e-6, 1e12])
def test_the_units_of_latents_do_not_matter(scale: float) -> None:
    pytest.importorskip("sklearn")
    X = np.random.default_rng(0).normal(size=(200, 2)) * 1e4
    mixtures = []
    for factor in (1.0, scale):
        vae = VAE.from_sizes(2, (), 2, likelihood="gaussian", sigma=1.0, dtype="float64")
        set_parameter(vae, "sampler.mean.weight", factor * np.eye(2))
        set_parameter(vae, "sampler.log_var.weight", np.zeros((2, 2)))
        set_parameter(vae, "sampler.log_var.bias", np.full(2, -30.0))
        mixtures.append(vae.fit_posterior(X, 2, seed=1))
    # What posteriors add, exp(-15) of 0.01 and more, shows in the fourth digit; and where a group
    # of rows ends in the third, as both are normal.
    one, other = mixtures
    atol = 1e-2 * scale * 1e4
    np.testing.assert_allclose(other.means, scale * one.means, atol=atol)
    np.testing.assert_allclose(other.cholesky, scale * one.cholesky, atol=atol)


def assert_same(mixture: PosteriorMixture | None, expected: PosteriorMixture | None) -> None:
    assert mixture is not None
    assert expected is not None
    for name in ("weights", "means", "cholesky"):
        np.testing.assert_array_equal(getattr(mixture, name), getattr(expected, name))


# --- what is refused -------------------------------------------------------------------------


def test_what_sample_refuses() -> None:
    vae = small_vae()
    for call in (vae.sample, vae.iter_sample):
        with pytest.raises(ValueError, match=r"no mixture of its latents yet: fit_posterior\(X\)"):
            call(3, source="posterior")
        with pytest.raises(ValueError, match='data are what source="posterior" fits'):
            call(3, data=ROWS)
        message = r"source must be one of 'prior', 'posterior'; got .*'posterio'"
        with pytest.raises(ValueError, match=message):
            call(3, source="posterio")  # type: ignore[arg-type]
        others: list[Any] = [None, 1, True, ["prior"]]
        for source in others:
            with pytest.raises(ValueError, match="source must be one of"):
                call(3, source=source)
        with pytest.raises(ValueError, match="n must be an integer of at least 1"):
            call(0, source="posterior", data=ROWS)
        with pytest.raises(ValueError, match="seed must be"):
            call(3, -1, source="posterior", data=ROWS)
    assert vae.draw_counts == (0, 0)
    assert vae.posterior_mixture is None
    with pytest.raises(ValueError, match="this VAE is empty"):
        VAE().fit_posterior(ROWS)
    assert VAE().posterior_mixture is None


def test_what_the_fit_refuses(fitted: VAE) -> None:
    vae = copy.copy(fitted)
    wrong: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (ROWS[:, 1:], {}, ValueError, "X must have 37"),
        (ROWS / 200, {}, ValueError, "X"),
        (np.full((20, 37), np.nan), {}, ValueError, "NaN"),
        (ROWS[:0], {}, ValueError, "X"),
        ("rows", {}, (TypeError, ValueError), "X"),  # type: ignore[list-item]
        (None, {}, TypeError, "X"),
        (ROWS[0], {}, ValueError, "X must have at least 10 rows, for n_components=10; got 1"),
        (
            ROWS[:1],
            {"n_components": 1},
            ValueError,
            "X must have at least 2 rows, for n_components=1; got 1",
        ),
        (ROWS[:9], {}, ValueError, "at least 10 rows, for n_components=10; got 9$"),
        (ROWS, {"max_rows": 9}, ValueError, "for n_components=10; got 9, of 400 by max_rows=9"),
        (ROWS, {"n_components": 0}, ValueError, "n_components must be an integer of at least 1"),
        (ROWS, {"n_components": 2.0}, TypeError, "n_components must be an integer"),
        (ROWS, {"n_components": True}, TypeError, "n_components must be an integer"),
        (
            ROWS,
            {"n_components": 500},
            ValueError,
            "at least 500 rows, for n_components=500; got 400",
        ),
        (ROWS, {"seed": -1}, ValueError, "seed must be an integer"),
        (ROWS, {"seed": "x"}, TypeError, "seed must be an integer"),
        (ROWS, {"max_rows": 0}, ValueError, "max_rows must be an integer"),
        (ROWS, {"binarize": "dynamik"}, ValueError, "binarize must be"),
    ]
    before = vae.posterior_mixture
    for X, settings, error, message in wrong:
        with pytest.raises(error, match=message):
            vae.fit_posterior(X, **settings)
        assert vae.posterior_mixture is before


def test_few_rows_are_warned_of() -> None:
    pytest.importorskip("sklearn")
    vae = small_vae()
    with pytest.warns(
        UserWarning, match="50 rows are few for n_components=10 and n_latent=5"
    ) as caught:
        vae.fit_posterior(ROWS[:50])
    assert caught[0].filename == __file__
    vae.fit_posterior(ROWS[:51])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_latents_that_are_too_large(dtype: Any) -> None:
    pytest.importorskip("sklearn")
    vae = small_vae(dtype=dtype)
    set_parameter(vae, "sampler.mean.weight", np.full((5, 19), 3e38))
    with pytest.raises(
        ValueError, match=r"latents of X must be below 1e\+37 .*; got (inf|nan|2\.1.*e\+39)"
    ):
        vae.fit_posterior(ROWS)
    set_parameter(vae, "sampler.mean.weight", np.zeros((5, 19)))
    set_parameter(vae, "sampler.mean.bias", np.full(5, 9e36))
    vae.fit_posterior(ROWS, 2)
    assert np.isfinite(vae.sample(3, 0, source="posterior")).all()


@pytest.mark.slow
def test_scikit_learn_is_needed_for_the_fit_alone(tmp_path: Path) -> None:
    with_mixture().save(tmp_path / "model")
    program = f"""
import sys
sys.modules["sklearn"] = None
import numpy as np
import fastvae
vae = fastvae.load({str(tmp_path / "model")!r})
assert vae.sample(3, 0, source="posterior").shape == (3, 37)
for call in (vae.fit_posterior, lambda X: vae.sample(3, source="posterior", data=X)):
    try:
        call(np.zeros((20, 37)))
    except ImportError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("pip install 'fastvae-cpu[sklearn]'" in line for line in lines)


# --- weights that change ---------------------------------------------------------------------


@pytest.mark.parametrize("way", ["fit", "weight", "bias", "state_dict", "load"])
def test_a_mixture_of_other_weights_is_not_used(way: str, tmp_path: Path) -> None:
    vae, other = with_mixture(), small_vae(seed=8)
    other.save(tmp_path / "other")
    batches = vae.iter_sample(4, 0, 2, source="posterior")
    next(batches)
    if way == "fit":
        vae.fit(SMALL_ROWS, epochs=1, verbose=False)
    elif way == "weight":
        vae.decoder.layers[0].weight = other.decoder.layers[0].weight
    elif way == "bias":
        vae.sampler.mean.bias = np.ones(5)
    elif way == "state_dict":
        vae.load_state_dict(other.state_dict())
    else:
        vae.load(tmp_path / "other")
    assert vae.posterior_mixture is None
    message = "no mixture" if way == "load" else "weights have changed since the mixture"
    with pytest.raises(ValueError, match=message):
        vae.sample(3, source="posterior")
    if way == "load":  # the iterator goes on with the model that it was asked of
        assert len(next(batches)) == 2
    else:
        with pytest.raises(ValueError, match=message):
            next(batches)
    vae.save(tmp_path / "model")
    for again in (fastvae.load(tmp_path / "model"), copy.copy(vae)):
        with pytest.raises(ValueError, match="no mixture"):
            again.sample(3, source="posterior")


def test_weights_that_come_back_have_their_mixture() -> None:
    vae = with_mixture()
    weights, samples = vae.state_dict(), vae.sample(3, 0, source="posterior")
    vae.fit(SMALL_ROWS, epochs=1, verbose=False)
    vae.load_state_dict(weights)
    assert vae.posterior_mixture is not None
    np.testing.assert_array_equal(vae.sample(3, 0, source="posterior"), samples)
    vae.updates, vae.epochs, vae.card, vae.beta = 3, 4, {"a": 1}, 2.0
    assert vae.posterior_mixture is not None


class _Fits(Callback):
    """Fits a mixture at the end of each epoch, and draws of it."""

    def __init__(self) -> None:
        self.samples: list[Any] = []

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Any) -> None:
        assert vae.posterior_mixture is None
        self.samples.append(vae.sample(2, 0, source="posterior", data=ROWS))
        assert vae.posterior_mixture is not None


def test_callbacks_may_fit_it() -> None:
    pytest.importorskip("sklearn")
    vae, alone, callback = small_vae(), small_vae(), _Fits()
    vae.fit(ROWS, epochs=2, callbacks=[callback], verbose=False)
    alone.fit(ROWS, epochs=2, verbose=False)
    np.testing.assert_array_equal(vae.encode(ROWS)[0], alone.encode(ROWS)[0])
    assert not np.array_equal(*callback.samples)
    assert vae.posterior_mixture is not None  # that of the last weights


# --- the mixture itself, and where it goes ---------------------------------------------------


def test_copies_and_pickles_have_it(fitted: VAE) -> None:
    expected = fitted.sample(5, 0, source="posterior")
    for again in (copy.copy(fitted), copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert_same(again.posterior_mixture, fitted.posterior_mixture)
        np.testing.assert_array_equal(again.sample(5, 0, source="posterior"), expected)
    empty = pickle.loads(pickle.dumps(VAE()))
    assert empty.posterior_mixture is None


def test_pickles_of_before_there_were_mixtures_are_read() -> None:
    vae = small_vae()
    state = pickle.loads(pickle.dumps(vae.__getstate__()))
    del state["_mixture"]
    again = VAE.__new__(VAE)
    again.__setstate__(state)
    assert again.posterior_mixture is None
    np.testing.assert_array_equal(again.sample(3, 0), vae.sample(3, 0))


def test_a_mixture_is_a_value() -> None:
    arrays = [np.array([1.0]), np.zeros((1, 2)), np.eye(2)[None]]
    mixture = PosteriorMixture(*arrays)
    arrays[1][:] = 7
    for again in (mixture, copy.deepcopy(mixture), pickle.loads(pickle.dumps(mixture))):
        assert (again.n_components, again.n_latent) == (1, 2)
        np.testing.assert_array_equal(again.means, np.zeros((1, 2)))
        assert repr(again) == "<PosteriorMixture: mixture of 1 Gaussian, 2 latents>"
        for name in ("weights", "means", "cholesky"):
            assert getattr(again, name).dtype == np.float64
            with pytest.raises(ValueError, match="read-only"):
                getattr(again, name)[...] = 0
    with pytest.raises(AttributeError):
        mixture.means = arrays[1]  # type: ignore[misc]
    with pytest.raises(AttributeError):
        with_mixture().posterior_mixture = mixture  # type: ignore[misc]


def test_what_is_no_mixture() -> None:
    good: dict[str, Any] = {
        "weights": [0.25, 0.75], "means": np.zeros((2, 3)), "cholesky": np.stack([np.eye(3)] * 2),
    }  # fmt: skip
    PosteriorMixture(**good)
    upper, negative = good["cholesky"].copy(), good["cholesky"].copy()
    upper[1, 0, 2], negative[0, 2, 2] = 1e-9, -1e-9
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"weights": [0.5, 0.6]}, "weights must .* add up to 1; .* a sum of 1.1"),
        ({"weights": [-0.5, 1.5]}, "weights must be at least 0 .* a least one of -0.5"),
        ({"weights": [0.2, 0.3, 0.5]}, r"weights must have shape \(2,\); got \(3,\)"),
        ({"weights": [np.nan, 1]}, "weights.*NaN"),
        ({"means": np.zeros(2)}, r"means must have shape \(C, Z\), .* got \(2,\)"),
        ({"means": np.zeros((0, 3))}, r"means must have shape \(C, Z\), .* got \(0, 3\)"),
        ({"means": np.full((2, 3), np.inf)}, "means.*inf"),
        ({"means": np.full((2, 3), 1e39)}, "means.*1e\\+39"),
        ({"cholesky": np.zeros((2, 3, 2))}, r"cholesky must have shape \(2, 3, 3\)"),
        ({"cholesky": upper}, "cholesky must be lower triangular"),
        ({"cholesky": negative}, "diagonals of cholesky must be at least 0; got -1e-09"),
    ]
    for change, message in wrong:
        with pytest.raises(ValueError, match=message):
            PosteriorMixture(**(good | change))


def test_it_is_described() -> None:
    assert "posterior              mixture of 3 Gaussians" in with_mixture().summary()
    assert "posterior" not in small_vae().summary()


def test_its_name_is_public() -> None:
    assert (
        fastvae.PosteriorMixture
        is importlib.import_module("fastvae.files.mixtures").PosteriorMixture
    )
