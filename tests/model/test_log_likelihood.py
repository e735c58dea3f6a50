"""log p(x) by importance sampling: against NumPy, where it is known exactly, and its bits."""

from __future__ import annotations

import hashlib
import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_checks import THREADS
from model_checks import SMALL_ROWS, small_vae

import fastvae
from fastvae import VAE, LogLikelihood, kernels
from fastvae.kernels.engine import importance_tasks
from fastvae.model import importance
from fastvae.typing import Binarization, PerRow

Array = npt.NDArray[Any]

SETTINGS: dict[str, dict[str, Any]] = {
    "bernoulli": {},
    "gaussian": {"likelihood": "gaussian", "sigma": 0.4},
    "by weight": {"likelihood": "gaussian", "reconstruction_weight": 2.0},
    "tanh": {"likelihood": "gaussian", "sigma": 0.2, "output_activation": "tanh"},
    "deep": {"hidden": (23, 11), "n_latent": 9, "activation": "tanh"},
}
each_setting = pytest.mark.parametrize("name", SETTINGS)


def build(**settings: Any) -> VAE:
    """A model whose posteriors differ from row to row, and whose outputs are not all alike."""
    vae = small_vae(**settings)
    rng = np.random.default_rng(5)
    for layer in vae.named_layers().values():
        layer.weight = layer.weight * 1.5
        layer.bias = rng.normal(size=layer.n_out) * 0.3
    return vae


def key_of(row: Array) -> int:
    digest = hashlib.blake2b((row.astype("<f4") + np.float32(0)).tobytes(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def activated(name: str, y: Array) -> Array:
    out = np.empty_like(y)
    kernels.reference.activation_forward(out, y, kernels.ACTIVATIONS[name])
    return out


def weights_of(vae: VAE, x: Array, n_samples: int, seed: int) -> Array:
    """The log weights of one row as the network sees it, in float64."""
    noise = np.empty((n_samples, vae.n_latent), vae.dtype)
    kernels.normal(noise, seed, kernels.STREAM_IMPORTANCE, key_of(x))
    h = x.astype(np.float64)
    for layer in vae.encoder:
        h = activated(layer.activation, h @ layer.weight.T.astype(float) + layer.bias)
    parts = vae.sampler.mean, vae.sampler.log_var
    mean, log_var = (h @ part.weight.T.astype(float) + part.bias for part in parts)
    log_var = np.clip(log_var, kernels.LOG_VAR_MIN, kernels.LOG_VAR_MAX)
    h = z = mean + np.exp(log_var / 2) * noise
    *hidden, last = vae.decoder
    for layer in hidden:
        h = activated(layer.activation, h @ layer.weight.T.astype(float) + layer.bias)
    y = h @ last.weight.T.astype(float) + last.bias
    if vae.likelihood == "bernoulli":
        log_p = (x * y - np.logaddexp(0, y)).sum(axis=1)
    else:
        sigma = float(vae.sigma or math.sqrt(0.5 / vae.reconstruction_weight))
        off = (x - activated(last.activation, y)) / sigma
        log_p = (-0.5 * off**2 - math.log(sigma) - 0.5 * math.log(2 * math.pi)).sum(axis=1)
    return log_p + 0.5 * (noise.astype(float) ** 2 + log_var - z**2).sum(axis=1)


def figures_of(log_w: Array) -> tuple[float, float, float]:
    k = len(log_w)
    w = np.exp(log_w - log_w.max())
    ratio = (w**2).sum() / w.sum() ** 2
    error = math.sqrt(max(k * ratio - 1, 0) / (k - 1)) if k > 1 else math.nan
    return log_w.max() + math.log(w.mean()), error, 1 / ratio


@each_setting
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_samples", [1, 7, 300])
@pytest.mark.filterwarnings("ignore:.*effective sample size")
def test_numpy_finds_the_same(name: str, dtype: str, n_samples: int) -> None:
    vae = build(dtype=dtype, **SETTINGS[name])
    found = vae.log_likelihood(SMALL_ROWS, n_samples, seed=11, per_sample=True)
    rows = (SMALL_ROWS / 255).astype(dtype)
    log_w = [weights_of(vae, row, n_samples, 11) for row in rows]
    wanted = np.array([figures_of(one) for one in log_w]).T
    # Rounded are outputs, of some hundred products, and their squares over sigma^2.
    tolerance = 2e-6 if dtype == "float32" else 1e-13
    scale = np.array([abs(one).max() for one in log_w]).max()
    np.testing.assert_allclose(found.value, wanted[0], atol=tolerance * scale)
    np.testing.assert_allclose(found.standard_error, wanted[1], rtol=20 * tolerance * scale)
    np.testing.assert_allclose(found.ess, wanted[2], rtol=20 * tolerance * scale)


# --- the same bits -------------------------------------------------------------------------------

N_SAMPLES = 150
FEW = pytest.mark.filterwarnings("ignore:.*effective sample size")


def stacked(found: LogLikelihood[PerRow]) -> Array:
    return np.stack(found)


@FEW
@pytest.mark.parametrize("name", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_order_and_company_of_rows_change_nothing(name: str, dtype: str) -> None:
    vae = build(dtype=dtype, **SETTINGS[name])
    rows = np.concatenate([SMALL_ROWS] * 5)
    rows[20:] = rows[20:] // 2 * 2
    whole = stacked(vae.log_likelihood(rows, N_SAMPLES, 4, per_sample=True))
    before = kernels.get_num_threads()
    try:
        for n_threads in THREADS:
            kernels.set_num_threads(n_threads)
            again = stacked(vae.log_likelihood(rows, N_SAMPLES, 4, per_sample=True))
            np.testing.assert_array_equal(again, whole)
    finally:
        kernels.set_num_threads(before)
    for part in (slice(3, 4), slice(0, 17), slice(40, 0, -1), [5, 5, 12, 44, 0]):
        found = stacked(vae.log_likelihood(rows[part], N_SAMPLES, 4, per_sample=True))
        np.testing.assert_array_equal(found, whole[:, part])
    np.testing.assert_array_equal(whole[:, :9], whole[:, 9:18])  # the same rows
    other = vae.log_likelihood(rows, N_SAMPLES, 5, per_sample=True)
    assert not (other.value == whole[0]).any()


@FEW
def test_calls_at_the_same_time_and_a_training_do_not_disturb_each_other() -> None:
    vae = build()
    before = vae.log_likelihood(SMALL_ROWS, 3000)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(vae.log_likelihood, SMALL_ROWS, 3000) for _ in range(6)]
        assert all(call.result() == before for call in calls)
        training = pool.submit(vae.fit, SMALL_ROWS, epochs=20, batch_size=4, verbose=False)
        found = [vae.log_likelihood(SMALL_ROWS, 300).value for _ in range(5)]
        training.result()
    assert np.isfinite(found).all()
    trained = build()
    trained.fit(SMALL_ROWS, epochs=20, batch_size=4, verbose=False)
    assert trained.log_likelihood(SMALL_ROWS, 300) == vae.log_likelihood(SMALL_ROWS, 300)


@FEW
def test_what_rows_are_stored_as_changes_nothing() -> None:
    vae = build()
    wanted = vae.log_likelihood(SMALL_ROWS, N_SAMPLES)
    rows = (SMALL_ROWS / np.float32(255)).astype(np.float32)
    for given in (
        rows,
        rows.astype(float),
        rows * -0.0 + rows,
        np.asfortranarray(rows),
        rows.tolist(),
    ):
        assert vae.log_likelihood(given, N_SAMPLES) == wanted
    assert vae.log_likelihood(fastvae.Dataset(SMALL_ROWS), N_SAMPLES) == wanted
    assert vae.log_likelihood(rows[::-1], N_SAMPLES) == wanted


@FEW
@pytest.mark.parametrize("binarize", [None, "dynamic"])
def test_all_that_is_nan_is_the_same(binarize: Binarization | None) -> None:
    vae = build(missing="ignore")
    rows = (SMALL_ROWS / np.float32(255)).astype(np.float32)
    rows[:, ::3] = np.nan
    others = rows.copy()
    others.view(np.uint32)[:, ::3] = 0xFFC12345
    found, again = (vae.log_likelihood(x, N_SAMPLES, binarize=binarize) for x in (rows, others))
    assert found == again


@FEW
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = build(hidden=(23, 11))
    rows = np.concatenate([SMALL_ROWS, SMALL_ROWS[:4] // 2])
    whole = stacked(vae.log_likelihood(rows, N_SAMPLES, per_sample=True))
    for n_latents, least in ((7, 3), (64, 64), (64, 1), (5000, 64)):
        monkeypatch.setattr(importance, "_STEP_LATENTS", n_latents)
        monkeypatch.setattr(importance, "_LEAST_LATENTS", least)
        for flop in (1.0, 1e6):
            monkeypatch.setattr(importance, "flop_per_piece", lambda flop=flop: flop)
            found = stacked(vae.log_likelihood(rows, N_SAMPLES, per_sample=True))
            np.testing.assert_array_equal(found, whole)


@FEW
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("sizes", [(300, (40,)), (784, (256,)), (1, (5,)), (257, (130, 3))])
def test_units_that_are_off_are_left_out_to_the_bit(
    activation: str, sizes: tuple[int, tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    n_features, hidden = sizes
    vae = build(n_features=n_features, hidden=hidden, activation=activation)
    rows = np.random.default_rng(3).random((3, n_features)).astype(np.float32)
    found = stacked(vae.log_likelihood(rows, 77, per_sample=True))
    wanted = [figures_of(weights_of(vae, row, 77, 0))[0] for row in rows]
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5)
    monkeypatch.setattr(importance_tasks, "_SPARSE", 0.0)
    set_numbers = kernels.engine.Workspace.set
    monkeypatch.setattr(
        kernels.engine.Workspace, "set",
        lambda work, **numbers: set_numbers(work, **numbers | {"skip_zeros": False}),
    )  # fmt: skip
    np.testing.assert_array_equal(stacked(vae.log_likelihood(rows, 77, per_sample=True)), found)


# --- where log p(x) is known ---------------------------------------------------------------------

D, Z = 12, 3


def linear_gaussian(sigma: float, dtype: str, *, exact: bool) -> tuple[VAE, Array, Array]:
    """x = W z + b + sigma noise: a model, rows drawn from it, and their log p(x).

    Its posterior is exact where W has orthogonal columns; else wider than the true one, and off it.
    """
    rng = np.random.default_rng(8)
    W = rng.normal(size=(D, Z))
    if exact:
        W = np.linalg.qr(W)[0] * np.sqrt([5.0, 2.0, 0.5])
    b = rng.normal(size=D)
    vae = VAE.from_sizes(
        D, (D,), Z, "identity", likelihood="gaussian", sigma=sigma, dtype=dtype, seed=2
    )
    posterior = np.linalg.inv(W.T @ W / sigma**2 + np.eye(Z))
    to_mean = posterior @ W.T / sigma**2
    log_var = np.log(np.diag(np.linalg.inv(np.diag(np.diag(np.linalg.inv(posterior))))))
    shift = 0.0 if exact else 0.3 * np.exp(log_var / 2)
    first, mean, log_variance = vae.encoder.layers[0], vae.sampler.mean, vae.sampler.log_var
    first.weight, first.bias = np.eye(D), np.zeros(D)
    mean.weight, mean.bias = to_mean, shift - to_mean @ b
    log_variance.weight = np.zeros((Z, D))
    log_variance.bias = log_var if exact else log_var + 0.4
    one, last = vae.decoder
    one.weight, one.bias = np.eye(D)[:, :Z], np.zeros(D)
    last.weight, last.bias = np.concatenate([W, np.zeros((D, D - Z))], axis=1), b
    x = rng.normal(size=(400, Z)) @ W.T + b + sigma * rng.normal(size=(400, D))
    x = x.astype(dtype).astype(float)
    covariance = W @ W.T + sigma**2 * np.eye(D)
    _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
    distance = ((x - b) @ np.linalg.inv(covariance) * (x - b)).sum(axis=1)
    return vae, x, -0.5 * (log_determinant + distance)


each_sigma = pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])


@each_sigma
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_with_the_exact_posterior_every_weight_is_p_of_x(sigma: float, dtype: str) -> None:
    vae, x, truth = linear_gaussian(sigma, dtype, exact=True)
    found = vae.log_likelihood(x, 200, per_sample=True)
    # Outputs of some roundings of numbers up to 10, squared over 2 sigma^2.
    precision = float(np.finfo(dtype).eps) * 50 / sigma
    assert abs(found.value - truth).max() < 10 * precision
    # Of weights that are all alike but for rounding, the root.
    assert found.standard_error.max() < 10 * precision + 1e-7
    assert found.ess.min() > 199


@each_sigma
@pytest.mark.parametrize("seed", [0, 1])
def test_intervals_cover_the_truth(sigma: float, seed: int) -> None:
    vae, x, truth = linear_gaussian(sigma, "float32", exact=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = vae.log_likelihood(x, 2000, seed, per_sample=True)
    error = (found.value - truth) / found.standard_error
    kept = found.ess > 100
    assert kept.mean() > 0.5
    assert (abs(error[kept]) < 1.96).mean() >= 0.9
    assert error[kept].max() < 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        means = vae.log_likelihood(x[kept], 2000, seed)
    assert abs(means.value - truth[kept].mean()) < 4 * means.standard_error
    assert means.value == pytest.approx(found.value[kept].mean(), rel=1e-12)
    error_of_mean = np.sqrt((found.standard_error[kept] ** 2).sum()) / kept.sum()
    assert means.standard_error == pytest.approx(error_of_mean, rel=1e-12)
    assert means.ess == pytest.approx(found.ess[kept].mean(), rel=1e-12)


def test_more_samples_bring_it_closer_and_it_is_above_the_elbo() -> None:
    vae, x, truth = linear_gaussian(0.3, "float32", exact=False)
    elbo = vae.elbo(x, 200).elbo
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        few, some, many = (vae.log_likelihood(x, k) for k in (1, 10, 1000))
    assert elbo < some.value < many.value < truth.mean() + 5 * many.standard_error
    assert few.value == pytest.approx(elbo, abs=0.3)  # with one sample, it is the bound
    assert math.isnan(few.standard_error)
    assert few.ess == 1


def test_float32_is_close_to_float64() -> None:
    """Noise is drawn by the row's values in float32, so that both dtypes draw the same latents."""
    settings: dict[str, Any] = {"n_features": 200, "hidden": (64,), "n_latent": 8}
    single, double = build(**settings), build(**settings, dtype="float64")
    for name, layer in single.named_layers().items():
        double.named_layers()[name].weight = layer.weight.astype(float)
        double.named_layers()[name].bias = layer.bias.astype(float)
    rows = (np.random.default_rng(0).random((20, 200)) < 0.3).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        one, two = (vae.log_likelihood(rows, 500, per_sample=True) for vae in (single, double))
    np.testing.assert_allclose(one.value, two.value, rtol=1e-5)


# --- what is warned of and refused ---------------------------------------------------------------


def test_few_effective_samples_are_warned_of() -> None:
    vae = build()
    with pytest.warns(UserWarning, match=r"9 of 9 rows have .* sample size below 100 .*n_samples"):
        found = vae.log_likelihood(SMALL_ROWS, 50)
    assert found.ess <= 50
    with pytest.warns(UserWarning, match="the row has an effective sample size below 100") as seen:
        vae.log_likelihood(SMALL_ROWS[0], 50, per_sample=True)
    assert seen[0].filename == __file__


def test_arguments() -> None:
    vae = build()
    for arguments, error, message in (
        ({"n_samples": 0}, ValueError, "n_samples must be an integer between 1 and"),
        ({"n_samples": 2.0}, TypeError, "n_samples must be"),
        ({"n_samples": 2**34 // 5 + 1}, ValueError, "n_samples must be an integer between 1 and"),
        ({"seed": -1}, ValueError, "seed must be"),
    ):
        with pytest.raises(error, match=message):
            vae.log_likelihood(SMALL_ROWS, **arguments)
    with pytest.raises(ValueError, match="37 columns"):
        vae.log_likelihood(SMALL_ROWS[:, :5])
    with pytest.raises(ValueError, match="empty"):
        VAE().log_likelihood(SMALL_ROWS)


@FEW
def test_shapes_of_the_figures() -> None:
    vae = build()
    one = vae.log_likelihood(SMALL_ROWS[2], 20)
    assert all(isinstance(figure, float) for figure in one)
    row = vae.log_likelihood(SMALL_ROWS[2], 20, per_sample=True)
    assert all(figure.shape == (1,) for figure in row)
    assert [float(figure[0]) for figure in row] == list(one)


@FEW
def test_rows_that_cannot_be_have_minus_infinity() -> None:
    vae = build()
    vae.decoder.layers[-1].bias = np.full(37, -1e38)
    found = vae.log_likelihood(np.ones((2, 37)), 20, per_sample=True)
    assert (found.value < -1e38).all()
    assert not np.isnan(found.ess).any()
