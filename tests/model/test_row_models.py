"""Models with a trained sigma, counts, categories, grey values, mixed columns, missing values."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastvae
from fastvae import VAE, kernels
from fastvae.kernels import BLOCK_KINDS, SIGMA_MIN, reference
from fastvae.typing import Activation, SigmaName

N = 300
MIXED = [
    ("gaussian", 3), ("categorical", 3), ("poisson", 2), ("gaussian", 1), ("bernoulli", 2),
    ("continuous_bernoulli", 2),
]  # fmt: skip
Settings = dict[str, Any]
Array = NDArray[Any]
DType = type[np.floating[Any]]
CASES: dict[str, Settings] = {
    "gaussian-learned": {"likelihood": "gaussian", "sigma": "learned"},
    "gaussian-feature": {"likelihood": "gaussian", "sigma": "feature"},
    "gaussian-output": {"likelihood": "gaussian", "sigma": "output"},
    "continuous_bernoulli": {"likelihood": "continuous_bernoulli"},
    "poisson": {"likelihood": "poisson"},
    "categorical": {"likelihood": "categorical", "blocks": [3, 5]},
    "mixed": {"likelihood": "mixed", "blocks": MIXED},
    "mixed-number": {"likelihood": "mixed", "blocks": MIXED, "sigma": 0.4},
    "mixed-learned": {"likelihood": "mixed", "blocks": MIXED, "sigma": "learned"},
    "mixed-feature": {"likelihood": "mixed", "blocks": MIXED, "sigma": "feature"},
    "mixed-output": {"likelihood": "mixed", "blocks": MIXED, "sigma": "output"},
}
MISSING: dict[str, Settings] = {
    f"{name}-missing": settings | {"missing": "ignore"}
    for name, settings in CASES.items()
    if name in ("gaussian-output", "poisson", "mixed-feature")
} | {
    "bernoulli-missing": {"likelihood": "bernoulli", "missing": "ignore"},
    "gaussian-missing": {
        "likelihood": "gaussian", "missing": "ignore", "reconstruction_weight": 3.0
    },
    "gaussian-number-missing": {"likelihood": "gaussian", "sigma": 0.7, "missing": "ignore"},
}  # fmt: skip
ALL = CASES | MISSING
each_case = pytest.mark.parametrize("settings", ALL.values(), ids=ALL.keys())
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def kinds_of(settings: Settings) -> list[tuple[str, int]]:
    name, blocks = settings["likelihood"], settings.get("blocks")
    if name == "mixed":
        return list(settings["blocks"])
    return [(name, n) for n in blocks or [9]]


def data(settings: Settings, n_rows: int = N, seed: int = 0) -> Array:
    """Rows with two latents behind them; a tenth of the values is NaN where that is allowed."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_rows, 2))
    columns = []
    for kind, n in kinds_of(settings):
        base = z @ rng.standard_normal((2, n))
        uniform = rng.uniform(size=base.shape)
        columns.append(
            {
                "gaussian": base + 0.3 * rng.standard_normal(base.shape),
                "bernoulli": uniform < 1 / (1 + np.exp(-base)),
                "continuous_bernoulli": 1 / (1 + np.exp(-base)),
                "poisson": rng.poisson(np.exp(base / 2)),
                "categorical": np.eye(n)[(base - np.log(-np.log(uniform))).argmax(axis=1)],
            }[kind]
        )
    X = np.concatenate(columns, axis=1).astype(np.float32)
    if settings.get("missing") == "ignore":
        X[rng.uniform(size=X.shape) < 0.1] = np.nan
    return X


def model(settings: Settings, dtype: DType = np.float32, seed: int = 1, **more: Any) -> VAE:
    n_features = sum(n for _, n in kinds_of(settings))
    return VAE.from_sizes(n_features, (7,), 2, "tanh", dtype=dtype, seed=seed, **settings, **more)


def started(settings: Settings, dtype: DType = np.float32, **more: Any) -> VAE:
    """A model with its outputs at the data's mean; no weight is 0, so that gradients are not."""
    vae = model(settings, dtype, **more)
    last = vae.decoder.layers[-1]
    drawn = 0.3 * np.random.default_rng(6).standard_normal(last.weight.shape)
    last.weight = np.where(last.weight == 0, drawn, last.weight)
    vae.start_output_bias(vae.check_rows(data(settings)))
    return vae


def codes_of(settings: Settings) -> Array:
    return np.array([(BLOCK_KINDS[kind], n) for kind, n in kinds_of(settings)], np.int64)


def reference_loss(vae: VAE, settings: Settings, outputs: Array, X: Array) -> Array:
    """-log p(x | z) of each row by the NumPy reference, in float64."""
    n = X.shape[1]
    gaussian = np.concatenate([np.full(n, kind == "gaussian") for kind, n in kinds_of(settings)])
    raws, least = np.full(X.shape, -np.inf), SIGMA_MIN
    if settings.get("sigma") == "output":
        raws[:, gaussian] = outputs[:, n:]
    elif vae.network.raws is not None:
        raws[:, gaussian] = vae.network.raws
    elif vae.sigma_value is not None:
        least = vae.sigma_value
    loss, slope, to_raw = np.zeros(len(X)), np.zeros(X.shape), np.zeros(X.shape)
    reference.row_likelihood_loss(
        loss, slope, to_raw, outputs[:, :n], raws, X.astype(float), codes_of(settings), least, 1.0
    )
    return loss


def outputs_of(vae: VAE, z: Array) -> Array:
    """What the decoder says of latents, in float64 and before the last activation."""
    outputs = z
    for layer in vae.decoder.layers:
        pre = outputs.astype(np.float64) @ layer.weight.T.astype(np.float64) + layer.bias
        outputs = np.tanh(pre)
    return pre


@each_dtype
@each_case
def test_reconstruction_is_the_likelihood(settings: Settings, dtype: DType) -> None:
    vae, X = started(settings, dtype), data(settings)[:50]
    noise = np.random.default_rng(2).standard_normal((len(X), 2))
    losses, _ = vae.gradients(X, noise)
    mean, log_var = vae.encode(X)
    z = (mean + np.exp(log_var / 2) * noise).astype(dtype)
    wanted = reference_loss(vae, settings, outputs_of(vae, z), X).mean()
    assert losses.reconstruction == pytest.approx(wanted, rel=1e-5 if dtype == np.float32 else 1e-9)
    weight = 1.0 if vae.sigma is None and vae.sigma_value is not None else vae.reconstruction_weight
    total = weight * losses.reconstruction + vae.beta * losses.kl
    assert losses.loss == pytest.approx(total, rel=1e-12)


@each_case
def test_gradients(settings: Settings) -> None:
    """All parameters at once, raws of sigma among them, and each array by itself."""
    vae, X = started(settings, np.float64), data(settings)[:7]
    vae.beta = 0.6
    if vae.sigma is not None or vae.sigma_value is None:
        vae.reconstruction_weight = 1.7
    network, rng, h = vae.network, np.random.default_rng(3), 1e-4
    rows, noise = vae.check_rows(X), rng.standard_normal((len(X), 2))
    weight = vae.nats.weight

    def loss(parameters: Array) -> float:
        network.overwrite(parameters)
        return network.gradients(rows, noise, weight, vae.beta)[0]

    point = network.parameters.copy()
    gradient = network.gradients(rows, noise, weight, vae.beta)[3]
    shapes = {name: array.shape for name, array in network.to_arrays(point).items()}
    names = [name for name, shape in shapes.items() if np.prod(shape)]
    for moved in (names, *([name] for name in names)):
        drawn = {
            name: rng.standard_normal(shape) * (name in moved) for name, shape in shapes.items()
        }
        direction = network.from_arrays(drawn)
        direction /= np.linalg.norm(direction)
        places = [(-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12)]
        numeric = sum(w * loss(point + k * h * direction) for k, w in places) / h
        analytic = float(gradient @ direction)
        size = np.linalg.norm(gradient * (direction != 0))
        assert abs(numeric - analytic) <= 1e-8 * size + 1e-10, moved
    network.overwrite(point)
    named = vae.gradients(X, noise)[1]
    assert ("likelihood.raw_sigma" in named) == (settings.get("sigma") in ("learned", "feature"))


@each_case
def test_training_improves_the_bound_in_equal_bits(settings: Settings) -> None:
    X = data(settings)
    found = []
    for options in ({"n_threads": 1}, {"n_threads": 2}, {"clip_norm": 1e30}):
        vae = model(settings)
        start = started(settings).elbo(X, 4).elbo
        history = vae.fit(X, epochs=12, batch_size=32, learning_rate=3e-3, verbose=False, **options)
        assert np.isfinite(history["elbo"]).all()
        assert vae.elbo(X, 4).elbo > start
        found.append(
            [vae.network.parameters.tobytes(), history["elbo"], vae.elbo(X, per_sample=True).elbo]
        )
    for other in found[1:]:
        assert other[:2] == found[0][:2]
        np.testing.assert_array_equal(other[2], found[0][2])


@each_case
def test_decode_returns_the_mean_of_x(settings: Settings) -> None:
    vae = started(settings)
    z = np.random.default_rng(4).standard_normal((11, 2)).astype(np.float32)
    hidden = vae.decoder.layers[0].feedforward(z)
    outputs = hidden @ vae.decoder.layers[1].weight.T + vae.decoder.layers[1].bias
    wanted = np.empty((11, vae.n_features))
    reference.row_likelihood_mean(wanted, outputs[:, : vae.n_features], codes_of(settings))
    means = vae.decode(z)
    np.testing.assert_allclose(means, wanted, rtol=1e-5, atol=1e-6)
    out = np.empty((22, vae.n_features), np.float32)[::2]
    assert vae.decode(z, out=out) is out
    np.testing.assert_array_equal(out, means)
    np.testing.assert_array_equal(vae.decode(z[3]), means[3])


@each_case
def test_files_copies_and_pickles_are_the_model(settings: Settings, tmp_path: Path) -> None:
    X = data(settings)
    vae = model(settings)
    vae.fit(X, epochs=2, verbose=False)
    vae.save(tmp_path / "model.safetensors")
    wanted, reconstructed = vae.elbo(X), vae.reconstruct(X)
    others = [fastvae.load(tmp_path / "model.safetensors"), copy.deepcopy(vae)]
    others += [copy.copy(vae), pickle.loads(pickle.dumps(vae))]
    for other in others:
        assert other.elbo(X) == wanted
        np.testing.assert_array_equal(other.reconstruct(X), reconstructed)
        np.testing.assert_array_equal(other.sigma_value, vae.sigma_value)
        assert (other.sigma, other.missing) == (vae.sigma, vae.missing)
        assert repr(other.network.likelihood) == repr(vae.network.likelihood)
        other.fit(X, epochs=1, verbose=False)
        assert other.elbo(X) != wanted
    assert vae.elbo(X) == wanted
    assert f"TOTAL PARAMETERS = {vae.n_parameters}" in str(vae)


@each_case
def test_a_run_is_gone_on_with(settings: Settings, tmp_path: Path) -> None:
    """Moments and weights of sigma are in the checkpoint."""
    X = data(settings)
    whole = model(settings)
    whole.fit(X, epochs=3, batch_size=32, verbose=False)
    part = model(settings)
    path = tmp_path / "run.safetensors"
    part.fit(X, epochs=1, batch_size=32, verbose=False, checkpoint=path)
    resumed = model(settings)
    resumed.fit(X, epochs=3, batch_size=32, verbose=False, resume=path)
    np.testing.assert_array_equal(resumed.network.parameters, whole.network.parameters)
    other = settings | {"sigma": 0.123} if "gaussian" in str(settings) else None
    if other is not None:
        with pytest.raises(ValueError, match="likelihood was|layers"):
            model(other).fit(X, epochs=3, batch_size=32, verbose=False, resume=path)


@pytest.mark.filterwarnings("ignore:.*effective sample size below 100")
@each_case
def test_log_likelihood_is_what_other_draws_estimate(settings: Settings) -> None:
    """By NumPy, of latents from the same posterior, within the errors of both."""
    X, n, n_samples = data(settings), 12, 4000
    vae = model(settings)
    vae.fit(X, epochs=20, batch_size=32, learning_rate=3e-3, verbose=False)
    X = X[:n]
    ours = vae.log_likelihood(X, n_samples, per_sample=True)
    mean, log_var = (array.astype(np.float64)[:, np.newaxis] for array in vae.encode(X))
    noise = np.random.default_rng(8).standard_normal((n, n_samples, 2))
    z = mean + np.exp(log_var / 2) * noise
    repeated = np.repeat(X, n_samples, axis=0)
    log_p = -reference_loss(vae, settings, outputs_of(vae, z.reshape(-1, 2)), repeated)
    ratio = 0.5 * (noise**2 + log_var - z**2).sum(axis=2)
    log_w = log_p.reshape(n, n_samples) + ratio
    largest = log_w.max(axis=1, keepdims=True)
    w = np.exp(log_w - largest)
    theirs = largest[:, 0] + np.log(w.mean(axis=1))
    error = np.hypot(ours.standard_error, w.std(axis=1) / w.mean(axis=1) / np.sqrt(n_samples))
    told = ours.ess > 100
    assert told.sum() > n / 2
    np.testing.assert_array_less(np.abs(ours.value - theirs)[told], 6 * error[told] + 1e-4)
    assert vae.log_likelihood(X, n_samples).value > vae.elbo(X, 50).elbo


@each_case
def test_a_long_step_is_done_in_pieces(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    X, found = data(settings), []
    for flop in (1e12, 1e4):
        monkeypatch.setattr("fastvae.model.network._FLOP_PER_CALL", flop)
        vae = model(settings)
        vae.fit(X, epochs=2, batch_size=100, verbose=False)
        found.append(vae.network.parameters.tobytes())
    assert found[0] == found[1]


def test_the_seed_s_format_holds_what_it_has_a_place_for(tmp_path: Path) -> None:
    for name, settings in ALL.items():
        vae = model(settings)
        if vae.network.n_raws:
            with pytest.raises(ValueError, match="no place for a trained sigma"):
                vae.save(tmp_path / name, format="seed")
        else:
            vae.save(tmp_path / name, format="seed")
            assert fastvae.load(tmp_path / name).elbo(data(settings)) == vae.elbo(data(settings))


@pytest.mark.parametrize(
    ("settings", "old", "new"),
    [
        ("mixed", b"poisson", b"poissom"),
        ("mixed", b'[\\"gaussian\\", 3]', b'[\\"gaussian\\", 4]'),
        ("categorical", b"[3, 5]", b"[3, 6]"),
        ("categorical", b"[3, 5]", b'\\"35\\"'),
        ("gaussian-learned", b"learned", b"feature"),
        ("gaussian-feature", b"feature", b"learned"),
        ("gaussian-feature", b'\\"feature\\"', b"[1,2,345,6]"),
        ("gaussian-missing", b"ignore", b"ignor3"),
        ("poisson", b'format_version\\": 2', b'format_version\\": 1'),
    ],
)
def test_files_that_were_changed_are_refused(
    settings: str, old: bytes, new: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    model(ALL[settings]).save(path)
    content = path.read_bytes()
    assert old in content
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new))
    with pytest.raises(ValueError, match="is not a valid model"):
        fastvae.load(path)


def test_files_of_what_version_1_knows_are_version_1(tmp_path: Path) -> None:
    versions = {}
    plain: dict[str, Settings] = {
        "plain": {"likelihood": "gaussian"},
        "bernoulli": {"likelihood": "bernoulli"},
        "number": {"likelihood": "gaussian", "sigma": 0.5},
    }
    for name, settings in (plain | ALL).items():
        model(settings).save(tmp_path / "m.safetensors")
        content = (tmp_path / "m.safetensors").read_bytes()
        found = re.search(rb'format_version\\": (\d)', content)
        versions[name] = int(found[1]) if found else 0
    assert {name for name, version in versions.items() if version == 1} == {"plain", "bernoulli"}


# --- sigma ---------------------------------------------------------------------------------------


def test_sigma_starts_at_the_deviation_of_the_data() -> None:
    rng = np.random.default_rng(5)
    X = (rng.standard_normal((4000, 9)) * np.linspace(0.5, 2, 9) + 7).astype(np.float32)
    for sigma in ("learned", "feature", "output"):
        vae = model({"likelihood": "gaussian", "sigma": sigma})
        vae.start_output_bias(X)
        np.testing.assert_allclose(vae.decoder.layers[-1].bias[:9], X.mean(axis=0), rtol=1e-4)
        if sigma == "learned":
            assert vae.sigma_value == pytest.approx(np.sqrt(X.var(axis=0).mean()), rel=1e-4)
        elif sigma == "feature":
            np.testing.assert_allclose(vae.sigma_value, X.std(axis=0), rtol=1e-4)
        else:
            assert vae.sigma_value is None
            assert not vae.decoder.layers[-1].weight[9:].any()  # the same for all rows
            raws = vae.decoder.layers[-1].bias[9:]
            np.testing.assert_allclose(SIGMA_MIN + np.exp(raws), X.std(axis=0), rtol=1e-4)


def test_sigma_of_constant_columns_does_not_start_at_0() -> None:
    """The decoder is random at first, and residuals of 1 would cost 1 / (2 sigma^2)."""
    X = np.full((10, 9), 3.0, np.float32)
    X[:, 4] += np.linspace(-1, 1, 10)
    vae = model({"likelihood": "gaussian", "sigma": "feature"})
    vae.start_output_bias(X)
    common = np.sqrt(X[:, 4].var() / 9)
    np.testing.assert_allclose(np.delete(vae.sigma_value, 4), common / 10, rtol=1e-5)
    vae = model({"likelihood": "gaussian", "sigma": "feature"})
    vae.start_output_bias(X[:, [0] * 9])
    np.testing.assert_allclose(vae.sigma_value, 1 + SIGMA_MIN)


@pytest.mark.parametrize("name", ["poisson", "mixed", "poisson-missing"])
def test_the_encoder_takes_the_log_of_1_and_a_count(name: str) -> None:
    """As a model of any numbers encodes them, with 0 for what is missing."""
    settings = ALL[name]
    X = data(settings).astype(np.float64)
    counts = np.array([kind == "poisson" for kind, n in kinds_of(settings) for _ in range(n)])
    X[:, counts] *= 1000
    vae = model(settings, np.float64)
    plain = VAE.from_sizes(X.shape[1], (7,), 2, "tanh", likelihood="gaussian", dtype="float64")
    for layer, own in zip(plain.named_layers().values(), vae.named_layers().values(), strict=True):
        layer.weight, layer.bias = own.weight, own.bias
    inputs = X.copy()
    inputs[:, counts] = np.log1p(X[:, counts])
    found = vae.encode(X)
    np.testing.assert_allclose(found, plain.encode(np.nan_to_num(inputs)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("scale", [1, 1000])
def test_rates_start_at_the_means_of_the_counts(activation: Activation, scale: int) -> None:
    """Random weights made of large counts rates that are wrong by any power of 10."""
    X = scale * np.random.default_rng(1).poisson(20.0, (200, 6))
    vae = VAE.from_sizes(6, (16,), 2, activation, likelihood="poisson", dtype="float64")
    vae.start_output_bias(vae.check_rows(X))
    np.testing.assert_allclose(vae.reconstruct(X), np.tile(X.mean(axis=0), (200, 1)), rtol=1e-12)
    untrained = vae.elbo(X).elbo
    vae.fit(X, epochs=20, batch_size=50, verbose=False)
    assert vae.elbo(X).elbo > untrained


def test_what_was_assigned_or_trained_does_not_start_anew() -> None:
    X = data({"likelihood": "gaussian"})
    vae = model({"likelihood": "gaussian", "sigma": "feature"})
    vae.decoder.layers[-1].bias = np.ones(9)
    vae.start_output_bias(X)
    np.testing.assert_array_equal(vae.decoder.layers[-1].bias, 1)
    np.testing.assert_allclose(vae.sigma_value, 1 + SIGMA_MIN)
    vae.fit(X, epochs=1, verbose=False)
    before = vae.sigma_value
    vae.start_output_bias(X)
    np.testing.assert_array_equal(vae.sigma_value, before)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["learned", "feature"])
def test_a_learned_sigma_is_that_of_the_data(sigma: float, kind: SigmaName) -> None:
    rng = np.random.default_rng(6)
    W = rng.standard_normal((2, 8))
    X = rng.standard_normal((5000, 2)) @ W + sigma * rng.standard_normal((5000, 8))
    vae = VAE.from_sizes(8, (8,), 2, "identity", likelihood="gaussian", sigma=kind, seed=2)
    for learning_rate in (1e-2, 3e-3, 1e-3, 3e-4):
        vae.fit(X, epochs=25, batch_size=100, learning_rate=learning_rate, verbose=False)
    assert np.mean(vae.sigma_value) == pytest.approx(sigma, rel=0.02)


def test_residuals_of_zero_leave_sigma_above_its_bound() -> None:
    """The loss stays finite, and what minimises it is sigma at the bound."""
    X = np.zeros((256, 4), np.float32)
    vae = VAE.from_sizes(4, (4,), 2, likelihood="gaussian", sigma="learned")
    vae.fit(X, epochs=400, batch_size=64, learning_rate=0.01, verbose=False)
    assert SIGMA_MIN < vae.sigma_value < 2 * SIGMA_MIN
    assert np.isfinite(vae.elbo(X).elbo)


def test_the_reconstruction_weight_says_sigma_also_by_rows() -> None:
    """What is missing nowhere costs what the fused loss says, and the gradients are the same."""
    X = data({"likelihood": "gaussian"})
    fused, rows = (
        model({"likelihood": "gaussian", "missing": missing}, reconstruction_weight=2.5)
        for missing in ("error", "ignore")
    )
    noise = np.zeros((len(X), 2))
    for weight in (2.5, 0.4):
        fused.reconstruction_weight = rows.reconstruction_weight = weight
        assert rows.sigma_value == fused.sigma_value == pytest.approx(np.sqrt(0.5 / weight))
        assert rows.elbo(X).elbo == pytest.approx(fused.elbo(X).elbo, rel=1e-6)
        ours, theirs = rows.gradients(X, noise)[1], fused.gradients(X, noise)[1]
        for name, gradient in ours.items():
            np.testing.assert_allclose(gradient, theirs[name], rtol=1e-4, atol=1e-5)


# --- what is missing -----------------------------------------------------------------------------


def test_what_is_missing_may_be_said_in_any_way() -> None:
    pandas = pytest.importorskip("pandas")
    settings = MISSING["gaussian-missing"]
    vae, X = model(settings), data(settings).astype(np.float64)
    wanted = vae.elbo(X)
    masked = np.ma.masked_array(np.nan_to_num(X), mask=np.isnan(X))
    assert vae.elbo(masked) == wanted
    listed: Any = [[None if np.isnan(x) else x for x in row] for row in X.tolist()]
    assert vae.elbo(listed) == wanted
    assert vae.elbo(pandas.DataFrame(X)) == wanted
    assert vae.elbo(pandas.DataFrame(X).astype("Float64")) == wanted
    row = pandas.Series(X[0]).astype("Float64")
    np.testing.assert_array_equal(vae.encode(row)[0], vae.encode(X[0])[0])
    strict = model({"likelihood": "gaussian"})
    for given in (X, masked, pandas.DataFrame(X).astype("Float64")):
        with pytest.raises(ValueError, match=r"NaN|masked|missing"):
            strict.elbo(given)


def test_polars_tables_may_have_nulls() -> None:
    polars = pytest.importorskip("polars")
    settings = MISSING["gaussian-missing"]
    vae, X = model(settings), data(settings).astype(np.float64)
    table = polars.DataFrame(X, nan_to_null=True)
    assert table.null_count().sum_horizontal().item() > 0
    assert vae.elbo(table) == vae.elbo(X)


@pytest.mark.parametrize("settings", MISSING.values(), ids=MISSING.keys())
def test_the_encoder_takes_0_for_it_whether_zeros_are_skipped_or_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = data(settings)
    vae = model(settings)
    filled = np.nan_to_num(X)
    np.testing.assert_array_equal(vae.encode(X)[0], vae.network.encode(filled)[0])
    assert np.isfinite(vae.reconstruct(X)).all()
    np.testing.assert_array_equal(vae.reconstruct(X), vae.network.reconstruct(filled))
    found = []
    for skips in (False, True):
        monkeypatch.setattr(type(vae.network), "pays_to_skip", lambda *_, skips=skips: skips)
        trained = model(settings)
        trained.fit(X, epochs=2, batch_size=50, verbose=False)
        found.append((trained.network.parameters.tobytes(), trained.elbo(X)))
    assert found[0] == found[1]


def test_evaluation_counts_what_is_there() -> None:
    settings = MISSING["gaussian-missing"]
    vae, X = model(settings), data(settings)
    result = fastvae.evaluation.evaluate(vae, X)
    squared = np.nanmean(np.square(X - vae.reconstruct(X)))
    assert result.mean_squared_error == pytest.approx(squared, rel=1e-5)


def test_rows_of_which_nothing_is_there_have_figures() -> None:
    X = np.full((20, 9), np.nan, np.float32)
    vae = model(MISSING["gaussian-missing"])
    vae.fit(X, epochs=1, verbose=False)
    figures = fastvae.evaluation.evaluate(vae, X)
    assert (figures.reconstruction, figures.mean_squared_error) == (0.0, 0.0)


# --- what is refused -----------------------------------------------------------------------------


def changed(settings: Settings, row: int, column: int, value: float) -> Array:
    X = data(settings)
    X[row, column] = value
    return X


@pytest.mark.parametrize(
    ("name", "place", "message"),
    [
        ("poisson", (3, 2, 1.5), "hold whole numbers of at least 0 for the Poisson likelihood; "
         "got 1.5 in row 3, column 2"),
        ("poisson", (3, 2, -1), "got -1 in row 3, column 2"),
        ("poisson", (0, 0, np.inf), "must be finite; got inf in row 0, column 0"),
        ("poisson", (0, 4, np.nan), 'got nan in row 0, column 4 .*missing="ignore"'),
        ("categorical", (5, 4, 0.5), "one 1 and 4 times 0 in each row of a categorical block; got "
         "0.5 in row 5, column 4"),
        ("continuous_bernoulli", (8, 8, 1.01), r"lie in \[0, 1\] for the continuous Bernoulli "
         "likelihood; got 1.01 in row 8, column 8"),
        ("mixed", (1, 6, 0.25), "for the Poisson likelihood; got 0.25 in row 1, column 6"),
        ("mixed", (1, 9, 2), "for the Bernoulli likelihood; got 2 in row 1, column 9"),
        ("mixed", (1, 0, np.nan), "got nan in row 1, column 0"),
        ("mixed-feature-missing", (1, 0, -np.inf), "got -inf in row 1, column 0"),
        ("bernoulli-missing", (1, 0, 3), "for the Bernoulli likelihood; got 3 in row 1, column 0"),
    ],
)  # fmt: skip
def test_values_that_a_likelihood_is_not_of(
    name: str, place: tuple[int, int, float], message: str
) -> None:
    vae = model(ALL[name])
    X = changed(ALL[name], *place)
    for call in (vae.elbo, vae.encode, lambda rows: vae.fit(rows, epochs=1, verbose=False)):
        with pytest.raises(ValueError, match=message):
            call(X)


def test_rows_of_categories_that_are_none() -> None:
    X = data(CASES["categorical"])
    for value, said in ((0, "0 times 1"), (1, "5 times 1")):
        X[7, 3:] = value
        with pytest.raises(ValueError, match=f"got {said} in the block that begins in row 7, colu"):
            model(CASES["categorical"]).elbo(X)


def test_uint8_is_neither_counts_nor_categories() -> None:
    for name in ("poisson", "categorical", "mixed"):
        with pytest.raises(ValueError, match=r"pixels.*astype\(numpy.float32\)"):
            model(CASES[name]).elbo(data(CASES[name]).astype(np.uint8))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 9)).astype(np.uint8)
    vae = model(CASES["continuous_bernoulli"])
    assert vae.elbo(pixels) == vae.elbo(pixels.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"likelihood": "poisson", "sigma": 1.0}, ValueError, "sigma is of the Gaussian"),
        ({"likelihood": "gaussian", "sigma": "x"}, ValueError, "sigma must be one of 'learned'"),
        ({"likelihood": "gaussian", "sigma": 0.0}, ValueError, "sigma must be"),
        ({"likelihood": "gaussian", "sigma": True}, TypeError, "sigma must be"),
        ({"likelihood": "gaussian", "blocks": [9]}, ValueError, "blocks are of categorical"),
        ({"likelihood": "categorical"}, ValueError, "needs blocks, a list like"),
        ({"likelihood": "categorical", "blocks": [4, 4]}, ValueError, "as there are features, 9"),
        ({"likelihood": "categorical", "blocks": [9.0]}, TypeError, "columns of a block must be"),
        ({"likelihood": "mixed", "blocks": [9]}, ValueError, "pairs of kind and columns; got 9"),
        ({"likelihood": "mixed", "blocks": [("x", 9)]}, ValueError, "kind of a block must be"),
        ({"likelihood": "mixed", "blocks": [("gaussian", 0)]}, ValueError, "columns of a block"),
        ({"likelihood": "mixed", "blocks": [("poisson", 9)], "sigma": 1.0}, ValueError, "sigma is"),
        ({"likelihood": "gaussian", "missing": "drop"}, ValueError, "missing must be one of"),
        ({"likelihood": "poisson", "output_activation": "softplus"}, ValueError,
         "the Poisson likelihood needs identity as the output activation; got 'softplus'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit(settings: Settings, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        VAE.from_sizes(9, (4,), 2, **settings)


def test_parts_must_have_the_outputs_that_sigma_needs() -> None:
    parts = VAE.from_sizes(9, (4,), 2, likelihood="gaussian", sigma="output")
    assert parts.decoder.layers[-1].n_out == 18
    encoder, sampler = fastvae.MLP([fastvae.Dense(9, 4)]), fastvae.Sampler(4, 2)
    decoder = fastvae.MLP([fastvae.Dense(2, 9, "identity")])
    with pytest.raises(ValueError, match="once more for their sigma, 18; got 9"):
        VAE(encoder, sampler, decoder, likelihood="gaussian", sigma="output")


def test_nothing_is_compiled_until_a_likelihood_is_used() -> None:
    """Building a model is not using it; the passes of today's likelihoods need nothing new."""
    from fastvae.kernels.engine import likelihood_tasks

    kernels_of = [
        likelihood_tasks.row_likelihood_task, likelihood_tasks.row_means_task,
        likelihood_tasks.bias_task, likelihood_tasks.row_inputs_task,
    ]  # fmt: skip
    before = [len(kernel.overloads) for kernel in kernels_of]
    vae = model({"likelihood": "gaussian", "sigma": 0.5})
    vae.fit(data({"likelihood": "gaussian"}), epochs=1, verbose=False)
    for settings in ALL.values():
        model(settings)
    assert [len(kernel.overloads) for kernel in kernels_of] == before
    assert kernels.is_compiled([np.float32])
