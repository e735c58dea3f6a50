"""Objectives: gradients against finite differences, NumPy and JAX; what the bounds are worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from model_checks import parameters, set_parameter
from numpy.typing import NDArray

from fastvae import VAE

Array = NDArray[Any]
N_FEATURES, N_ROWS, N_LATENT = 6, 5, 3
MIXED = [("gaussian", 2), ("poisson", 1), ("categorical", 2), ("bernoulli", 1)]
MODELS: dict[str, dict[str, Any]] = {
    "bernoulli": {},
    "linear": {"hidden": ()},
    "deep": {"hidden": (5, 4)},
    "gaussian": {"likelihood": "gaussian"},
    "sigma": {"likelihood": "gaussian", "sigma": 0.6},
    "learned": {"likelihood": "gaussian", "sigma": "learned"},
    "feature": {"likelihood": "gaussian", "sigma": "feature", "hidden": ()},
    "output": {"likelihood": "gaussian", "sigma": "output"},
    "poisson": {"likelihood": "poisson", "missing": "ignore"},
    "mixed": {
        "likelihood": "mixed", "blocks": MIXED, "sigma": "learned", "missing": "ignore",
    },
}  # fmt: skip
OBJECTIVES: dict[str, dict[str, Any]] = {
    "elbo 3": {"n_samples": 3},
    "free bits": {"free_bits": 0.35},
    "free bits 3": {"free_bits": 0.35, "n_samples": 3},
    "iwae 1": {"objective": "iwae"},
    "iwae 5": {"objective": "iwae", "n_samples": 5},
}
# As in test_gradients: fourth-order central differences.
STEP = 1e-3
STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
TOLERANCE = 1e-6
RAWS = "likelihood.raw_sigma"


def make(model: str, **changes: Any) -> tuple[VAE, Array]:
    """A model in float64 of smooth activations, and rows for it; some are missing if they may."""
    settings: dict[str, Any] = {"hidden": (5,), "activation": "tanh", "dtype": "float64", "seed": 2}
    vae = VAE.from_sizes(N_FEATURES, n_latent=N_LATENT, **(settings | MODELS[model] | changes))
    rng = np.random.default_rng(4)
    for layer in vae.named_layers().values():
        layer.weight = rng.normal(scale=0.5, size=layer.weight.shape)
        layer.bias = rng.normal(scale=0.3, size=layer.n_out)
    kinds = vae.likelihood
    if kinds == "mixed":
        rows = np.hstack([
            rng.normal(size=(N_ROWS, 2)), rng.poisson(2.0, (N_ROWS, 1)),
            np.eye(2)[rng.integers(0, 2, N_ROWS)], rng.integers(0, 2, (N_ROWS, 1)),
        ])  # fmt: skip
    elif kinds == "poisson":
        rows = rng.poisson(2.0, (N_ROWS, N_FEATURES)).astype(float)
    else:
        rows = rng.random((N_ROWS, N_FEATURES))
    if vae.missing == "ignore":
        rows[0, 0] = rows[3, 2] = np.nan
    return vae, rows


def noise_of(objective: dict[str, Any], seed: int = 3) -> Array:
    k = objective.get("n_samples", 1)
    return np.random.default_rng(seed).normal(size=(N_ROWS, k, N_LATENT))


def all_parameters(vae: VAE) -> dict[str, Array]:
    raws = vae.network.raws
    return parameters(vae) | ({} if raws is None else {RAWS: raws})


def put(vae: VAE, name: str, value: Array) -> None:
    if name == RAWS:
        vae.network.raws = value
    else:
        set_parameter(vae, name, value)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("model", MODELS)
def test_gradients_are_those_of_the_reported_loss(model: str, objective: dict[str, Any]) -> None:
    is_bound = "objective" in objective
    vae, X = make(model, **({} if is_bound else {"beta": 0.7}))
    noise = noise_of(objective)
    point, rng = all_parameters(vae), np.random.default_rng(5)
    found = vae.gradients(X, noise, **objective)[1]
    assert found.keys() == point.keys()
    whole = np.sqrt(sum(np.vdot(one, one) for one in found.values()))
    directions = {name: rng.normal(size=value.shape) for name, value in point.items()}
    for name, direction in directions.items():
        direction /= np.linalg.norm(direction)
        numeric = 0.0
        for multiple, weight in STENCIL:
            put(vae, name, point[name] + multiple * STEP * direction)
            numeric += weight * vae.gradients(X, noise, **objective)[0].loss / STEP
        put(vae, name, point[name])
        assert abs(numeric - np.vdot(found[name], direction)) <= TOLERANCE * whole, name


def test_free_bits_leave_the_kl_of_some_units_out() -> None:
    """Those whose mean KL is below; the loss charges them the free bits all the same."""
    vae, X = make("bernoulli")
    mean, log_var = vae.encode(X)
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).mean(axis=0)
    low, high = sorted(kl)[0], sorted(kl)[1]
    objective: dict[str, Any] = {"free_bits": (low + high) / 2}
    noise = noise_of(objective)
    plain, free = (vae.gradients(X, noise, **some) for some in ({}, objective))
    assert (kl > objective["free_bits"]).tolist() != [True] * N_LATENT
    charged = np.maximum(kl, objective["free_bits"]).sum()
    assert free[0].loss == pytest.approx(plain[0].reconstruction + charged, rel=1e-12)
    assert (free[0].reconstruction, free[0].kl) == plain[0][1:]
    # What is left out of the gradient of the mean's bias is the mean itself.
    gap = plain[1]["sampler.mean.bias"] - free[1]["sampler.mean.bias"]
    np.testing.assert_allclose(gap, np.where(kl == low, mean.mean(axis=0), 0), atol=1e-14)
    nothing = vae.gradients(X, noise, free_bits=0.0)
    assert nothing[0] == plain[0]


def test_several_latents_of_the_elbo_are_the_mean_of_one_at_a_time() -> None:
    vae, X = make("deep", beta=0.7)
    noise = noise_of({"n_samples": 3})
    losses, gradients = vae.gradients(X, noise, n_samples=3)
    each = [vae.gradients(X, noise[:, k]) for k in range(3)]
    np.testing.assert_allclose(losses, np.mean([one[0] for one in each], axis=0), rtol=1e-13)
    for name, gradient in gradients.items():
        wanted = np.mean([one[1][name] for one in each], axis=0)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-11, atol=1e-13, err_msg=name)


def test_one_noise_or_none_is_taken_too() -> None:
    vae, X = make("bernoulli")
    noise = noise_of({})
    flat, deep = vae.gradients(X, noise[:, 0]), vae.gradients(X, noise)
    assert flat[0] == deep[0]
    drawn = [vae.gradients(X, objective="iwae", n_samples=4)[0].loss for _ in range(2)]
    assert np.isfinite(drawn).all()
    assert drawn[0] != drawn[1]
    for wrong, shape in ((noise, "(5, 4, 3)"), (noise[:, 0], "(5, 4, 3)")):
        with pytest.raises(ValueError, match="noise must have shape") as error:
            vae.gradients(X, wrong, objective="iwae", n_samples=4)
        assert shape in str(error.value)


def numpy_model(vae: VAE, X: Array, noise: Array) -> dict[str, Array]:
    """A linear Bernoulli model's latents, shares, and slopes of log w with respect to z."""
    head = {name: layer for name, layer in vae.named_layers().items() if "sampler" in name}
    mean, log_var = (
        X @ head[f"sampler.{part}"].weight.T + head[f"sampler.{part}"].bias
        for part in ("mean", "log_var")
    )
    std = np.exp(log_var / 2)[:, None]
    z = mean[:, None] + std * noise
    last = vae.decoder.layers[-1]
    logits = z @ last.weight.T + last.bias
    x = X[:, None]
    log_p = (x * logits - np.logaddexp(0, logits)).sum(axis=2)
    log_w = log_p + ((noise**2 - z**2 + log_var[:, None]) / 2).sum(axis=2)
    shares = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    slope = (x - 1 / (1 + np.exp(-logits))) @ last.weight - z + noise / std
    return {"shares": shares, "slope": slope, "std": std, "log_w": log_w}


def test_the_encoder_of_dreg_has_the_gradient_of_tucker_et_al() -> None:
    """Equation 8: sum of u^2 (d log w / d z) (d z / d phi); the decoder's is that of iwae."""
    vae, X = make("linear")
    objective: dict[str, Any] = {"objective": "dreg", "n_samples": 5}
    noise = noise_of(objective)
    losses, found = vae.gradients(X, noise, **objective)
    same, iwae = vae.gradients(X, noise, objective="iwae", n_samples=5)
    assert losses == same
    for name, gradient in found.items():
        if name.startswith("decoder"):
            np.testing.assert_array_equal(gradient, iwae[name])
    known = numpy_model(vae, X, noise)
    bound = np.logaddexp.reduce(known["log_w"], axis=1) - np.log(5)
    assert losses.loss == pytest.approx(-bound.mean(), rel=1e-12)
    by_sample = -(known["shares"] ** 2)[:, :, None] * known["slope"] / N_ROWS
    dmean = by_sample.sum(axis=1)
    dlog_var = (by_sample * noise * known["std"] / 2).sum(axis=1)
    for part, slope in (("mean", dmean), ("log_var", dlog_var)):
        for name, wanted in (("weight", slope.T @ X), ("bias", slope.sum(axis=0))):
            gradient = found[f"sampler.{part}.{name}"]
            np.testing.assert_allclose(gradient, wanted, rtol=1e-10, atol=1e-12)
            assert np.abs(gradient - iwae[f"sampler.{part}.{name}"]).max() > 1e-3


def test_dreg_by_one_latent_lacks_the_score_of_the_elbo() -> None:
    """Sticking the landing (Roeder et al. 2017): where q is the posterior, no slope is left."""
    vae, X = exact_posterior()
    noise = np.random.default_rng(1).normal(size=(len(X), 1, vae.n_latent))
    found = vae.gradients(X, noise, objective="dreg")[1]
    size = max(np.abs(one).max() for one in vae.gradients(X, noise)[1].values())
    for name, gradient in found.items():
        if name.startswith("sampler"):
            assert np.abs(gradient).max() <= 1e-12 * size, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "objective"), [("deep", "iwae"), ("deep", "dreg"), ("learned", "dreg")]
)
def test_gradients_are_those_of_jax(model: str, objective: str) -> None:
    jax = pytest.importorskip("jax", minversion="0.8")
    jnp = jax.numpy
    vae, X = make(model)
    settings: dict[str, Any] = {"objective": objective, "n_samples": 5}
    noise = noise_of(settings)
    _, found = vae.gradients(X, noise, **settings)
    n_hidden = len(vae.encoder.layers)

    def loss(weights: dict[str, Any], power: int) -> Any:
        def layer(name: str, values: Any) -> Any:
            return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

        hidden = X
        for i in range(n_hidden):
            hidden = jnp.tanh(layer(f"encoder.{i}", hidden))
        mean, log_var = layer("sampler.mean", hidden), layer("sampler.log_var", hidden)
        z = mean[:, None] + jnp.exp(log_var / 2)[:, None] * noise
        if objective == "dreg":  # Tucker et al.: q's parameters are held, z's are not
            mean, log_var = jax.lax.stop_gradient(mean), jax.lax.stop_gradient(log_var)
        values = z
        for i in range(n_hidden):
            values = jnp.tanh(layer(f"decoder.{i}", values))
        said, x = layer(f"decoder.{n_hidden}", values), X[:, None]
        normal = jax.scipy.stats.norm.logpdf
        if vae.likelihood == "gaussian":
            log_p = normal(x, said, 1e-3 + jnp.exp(weights[RAWS]))
        else:
            log_p = x * said - jnp.logaddexp(0, said)
        q = normal(z, mean[:, None], jnp.exp(log_var / 2)[:, None])
        log_w = log_p.sum(2) + (normal(z) - q).sum(2)
        if objective == "iwae":
            return -(jax.scipy.special.logsumexp(log_w, axis=1) - np.log(5)).mean()
        shares = jax.lax.stop_gradient(jax.nn.softmax(log_w, axis=1))
        return -(shares**power * log_w).sum(axis=1).mean()

    with jax.enable_x64():
        weights = all_parameters(vae)
        for_decoder, for_encoder = (jax.jit(jax.grad(loss), static_argnums=1)(weights, power)
                                    for power in (1, 2))  # fmt: skip
    wanted = {
        name: (for_encoder if name.startswith(("encoder", "sampler")) else for_decoder)[name]
        for name in weights
    }
    size = np.sqrt(sum(np.square(one).sum() for one in wanted.values()))
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=0, atol=1e-10 * size, err_msg=name)


def estimates(
    vae: VAE, x: Array, n_calls: int, n_draws: int, *objectives: dict[str, Any]
) -> Iterator[list[dict[str, Array]]]:
    """Gradients of one row by many draws, the same for all objectives."""
    rng = np.random.default_rng(7)
    X = np.tile(x, (n_draws, 1))
    k = objectives[0].get("n_samples", 1)
    for _ in range(n_calls):
        noise = rng.normal(size=(n_draws, k, vae.n_latent))
        yield [vae.gradients(X, noise, **one)[1] for one in objectives]


def means_agree(pairs: list[list[dict[str, Array]]]) -> None:
    """The mean difference of two estimates is within 4 standard errors of 0."""
    for name in pairs[0][0]:
        gaps = np.array([one[name] - two[name] for one, two in pairs])
        error = gaps.std(axis=0, ddof=1) / np.sqrt(len(gaps))
        size = max(np.abs(pair[0][name]).max() for pair in pairs)
        assert (np.abs(gaps.mean(axis=0)) <= 4 * error + 1e-13 * size).all(), name


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["iwae", "dreg"])
def test_one_weighted_latent_has_the_mean_gradient_of_the_elbo(objective: str) -> None:
    """Over 100,000 draws; the noise is the same, so that errors are those of the difference."""
    vae, X = make("bernoulli", hidden=(4,))
    pairs = list(estimates(vae, X[:1], 100, 1000, {}, {"objective": objective}))
    means_agree(pairs)
    assert np.abs(pairs[0][0]["sampler.mean.bias"] - pairs[0][1]["sampler.mean.bias"]).max() > 0


@pytest.mark.slow
def test_dreg_has_the_mean_of_iwae_and_less_variance() -> None:
    vae, X = make("bernoulli", hidden=(4,))
    both = {"objective": "iwae", "n_samples": 50}, {"objective": "dreg", "n_samples": 50}
    pairs = list(estimates(vae, X[:1], 400, 20, *both))
    means_agree(pairs)
    for name in ("encoder.0.weight", "sampler.mean.weight", "sampler.log_var.weight"):
        iwae, dreg = (np.var([pair[i][name] for pair in pairs], axis=0).sum() for i in (0, 1))
        assert 0 < dreg < 0.5 * iwae, name


SIGMA = 0.5


def linear_gaussian(n_rows: int = 200) -> tuple[VAE, Array]:
    """p(x | z) = N(W z + b, sigma^2), and rows drawn from p(x)."""
    vae = VAE.from_sizes(
        8, (), 2, likelihood="gaussian", output_activation="identity", sigma=SIGMA,
        dtype="float64", seed=1,
    )  # fmt: skip
    rng = np.random.default_rng(2)
    last = vae.decoder.layers[-1]
    last.weight, last.bias = rng.normal(size=(8, 2)), rng.normal(size=8)
    z = rng.normal(size=(n_rows, 2))
    return vae, z @ last.weight.T + last.bias + SIGMA * rng.normal(size=(n_rows, 8))


def log_p(vae: VAE, X: Array) -> float:
    """The mean log density of rows, in closed form: x is normal."""
    last = vae.decoder.layers[-1]
    covariance = last.weight @ last.weight.T + SIGMA**2 * np.eye(8)
    gap = X - last.bias
    distances = np.einsum("bi,bi->b", gap, np.linalg.solve(covariance, gap.T).T)
    volume = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return float(-0.5 * (distances + volume).mean())


def exact_posterior() -> tuple[VAE, Array]:
    """A model of one latent whose encoder is the posterior: its log_var is the same for all."""
    vae = VAE.from_sizes(
        8, (), 1, likelihood="gaussian", output_activation="identity", sigma=SIGMA,
        dtype="float64", seed=1,
    )  # fmt: skip
    vae_w, rng = vae.decoder.layers[-1], np.random.default_rng(2)
    vae_w.weight, vae_w.bias = rng.normal(size=(8, 1)), rng.normal(size=8)
    precision = 1 + (vae_w.weight**2).sum() / SIGMA**2
    layers = vae.named_layers()
    mean, log_var = layers["sampler.mean"], layers["sampler.log_var"]
    mean.weight = vae_w.weight.T / SIGMA**2 / precision
    mean.bias = -(mean.weight @ vae_w.bias)
    log_var.weight, log_var.bias = np.zeros((1, 8)), np.full(1, -np.log(precision))
    return vae, rng.normal(size=(20, 8))


def worsen(vae: VAE, X: Array) -> None:
    """Make the encoder a posterior that is off: too wide, its mean too small."""
    last, layers = vae.decoder.layers[-1], vae.named_layers()
    precision = np.eye(2) + last.weight.T @ last.weight / SIGMA**2
    mean, log_var = layers["sampler.mean"], layers["sampler.log_var"]
    mean.weight = 0.7 * np.linalg.solve(precision, last.weight.T) / SIGMA**2
    mean.bias = -mean.weight @ last.bias
    log_var.weight = np.zeros((2, 8))
    log_var.bias = np.log(4 * np.diag(np.linalg.inv(precision)))


@pytest.mark.slow
def test_bounds_tighten_towards_log_p() -> None:
    """With k = 1, 5, 50, 500; they are bounds, so that none is above by more than its noise."""
    vae, X = linear_gaussian()
    worsen(vae, X)
    exact, rng = log_p(vae, X), np.random.default_rng(3)
    found, errors = [], []
    for k in (1, 5, 50, 500):
        bounds = [
            -vae.gradients(X, noise, objective="iwae", n_samples=k)[0].loss
            for noise in rng.normal(size=(20, len(X), k, 2))
        ]
        found.append(np.mean(bounds))
        errors.append(np.std(bounds, ddof=1) / np.sqrt(len(bounds)))
    gaps = exact - np.array(found)
    for i in range(3):
        assert gaps[i] - gaps[i + 1] > 4 * np.hypot(errors[i], errors[i + 1]), (gaps, errors)
    assert gaps[0] > 0.2
    assert -4 * errors[3] < gaps[3] < 0.02, gaps


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["iwae", "dreg"])
def test_training_by_a_bound_raises_log_p(objective: Any) -> None:
    """From other weights to within 0.1 nats of what the rows' own model gives."""
    wanted, X = linear_gaussian(400)
    vae = VAE.from_sizes(
        8, (), 2, likelihood="gaussian", output_activation="identity", sigma=SIGMA,
        dtype="float64", seed=5,
    )  # fmt: skip
    before = log_p(vae, X)
    vae.fit(
        X, epochs=60, batch_size=50, learning_rate=0.02, objective=objective, n_samples=5,
        verbose=False,
    )  # fmt: skip
    assert before < log_p(wanted, X) - 1
    assert log_p(vae, X) > log_p(wanted, X) - 0.1
    assert vae.history is not None
    assert vae.history["elbo"][-1] < vae.history["bound"][-1] < log_p(vae, X) + 0.1


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"objective": "iwea"}, ValueError, r"objective .*'iwea'.*did you mean 'iwae'"),
    ({"objective": "ELBO"}, ValueError, "objective"),
    ({"objective": None}, (TypeError, ValueError), "objective"),  # type: ignore[list-item]
    ({"objective": 1}, (TypeError, ValueError), "objective"),  # type: ignore[list-item]
    ({"objective": ["iwae"]}, (TypeError, ValueError), "objective"),  # type: ignore[list-item]
    ({"n_samples": 0}, ValueError, "n_samples .*0"),
    ({"n_samples": -1}, ValueError, "n_samples .*-1"),
    ({"n_samples": 1.5}, TypeError, "n_samples .*1.5"),
    ({"n_samples": True}, TypeError, "n_samples .*True"),
    ({"n_samples": "5"}, TypeError, "n_samples .*'5'"),
    ({"n_samples": np.nan}, TypeError, "n_samples .*nan"),
    ({"n_samples": None}, TypeError, "n_samples .*None"),
    ({"n_samples": 10**9}, ValueError, "n_samples .*1000000000"),
    ({"n_samples": 10**30}, ValueError, "n_samples"),
    ({"free_bits": -0.1}, ValueError, "free_bits .*-0.1"),
    ({"free_bits": np.nan}, ValueError, "free_bits .*nan"),
    ({"free_bits": np.inf}, ValueError, "free_bits .*inf"),
    ({"free_bits": "a"}, TypeError, "free_bits .*'a'"),
    ({"free_bits": None}, TypeError, "free_bits .*None"),
    ({"free_bits": True}, TypeError, "free_bits .*True"),
    ({"objective": "iwae", "free_bits": 0.1}, ValueError, r'belongs to objective="elbo".*0\.1'),
    ({"objective": "dreg", "free_bits": 1}, ValueError, 'belongs to objective="elbo"'),
]


@pytest.mark.parametrize(("settings", "error", "message"), WRONG, ids=[str(w[0]) for w in WRONG])
def test_what_is_no_objective_is_refused(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    vae, X = make("bernoulli")
    before, n_updates = parameters(vae), vae.updates
    for method in (vae.gradients, lambda X, **kw: vae.fit(X, epochs=1, verbose=False, **kw)):
        with pytest.raises(error, match=message):
            method(X, **settings)
    assert (vae.updates, vae.history) == (n_updates, None)
    for name, value in parameters(vae).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("objective", ["iwae", "dreg"])
def test_bounds_have_no_weights(objective: Any) -> None:
    vae, X = make("bernoulli", beta=0.5)
    with pytest.raises(ValueError, match=r"beta must be 1; got 0.5"):
        vae.gradients(X, objective=objective)
    with pytest.raises(ValueError, match=r"beta must be 1; got 0.5"):
        vae.fit(X, epochs=1, objective=objective, verbose=False)
    vae.fit(X, epochs=1, objective=objective, beta=1.0, verbose=False)
    for beta, shown in ((2.0, "2"), (lambda step, total: 1.0, "a schedule")):
        with pytest.raises(ValueError, match=f"beta must be 1; got {shown}"):
            vae.fit(X, epochs=1, objective=objective, beta=beta, verbose=False)
    assert (vae.updates, vae.beta) == (1, 1.0)
    for model in ("bernoulli", "sigma", "poisson"):
        changes = {"sigma": None} if model == "sigma" else {}
        vae, X = make(model, reconstruction_weight=2.0, **changes)
        if model == "sigma":  # the weight says what sigma is
            assert np.isfinite(vae.gradients(X, objective=objective)[0].loss)
            vae.fit(X, epochs=1, objective=objective, verbose=False)
            continue
        with pytest.raises(ValueError, match="reconstruction_weight must be 1; got 2"):
            vae.gradients(X, objective=objective)
        with pytest.raises(ValueError, match="reconstruction_weight must be 1; got 2"):
            vae.fit(X, epochs=1, objective=objective, verbose=False)
        assert vae.updates == 0
