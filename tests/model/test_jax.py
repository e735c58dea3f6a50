"""Gradients of every likelihood, and of trained sigmas, against those that JAX finds.

Nothing here knows the kernels: the loss is written down in JAX's own distributions, and the
constant of the continuous Bernoulli as Loaiza-Ganem & Cunningham (2019, eq. 8) have it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastvae import VAE
from fastvae.typing import Missing

jax = pytest.importorskip("jax", minversion="0.8")
from jax import numpy as jnp  # noqa: E402

MIXED = [
    ("gaussian", 2), ("categorical", 3), ("poisson", 2), ("gaussian", 1), ("bernoulli", 2),
    ("continuous_bernoulli", 2),
]  # fmt: skip
N_FEATURES = 12
CASES: dict[str, dict[str, Any]] = {
    "bernoulli": {"likelihood": "bernoulli"},
    "gaussian": {"likelihood": "gaussian", "reconstruction_weight": 2.5},
    "gaussian-number": {"likelihood": "gaussian", "sigma": 0.4, "reconstruction_weight": 1.7},
    "gaussian-learned": {"likelihood": "gaussian", "sigma": "learned"},
    "gaussian-feature": {"likelihood": "gaussian", "sigma": "feature", "output_activation": "tanh"},
    "gaussian-output": {"likelihood": "gaussian", "sigma": "output"},
    "continuous_bernoulli": {"likelihood": "continuous_bernoulli"},
    "poisson": {"likelihood": "poisson", "reconstruction_weight": 0.3},
    "categorical": {"likelihood": "categorical", "blocks": [3, 1, 8]},
    "mixed": {"likelihood": "mixed", "blocks": MIXED, "reconstruction_weight": 3.0},
    "mixed-learned": {"likelihood": "mixed", "blocks": MIXED, "sigma": "learned"},
    "mixed-feature": {"likelihood": "mixed", "blocks": MIXED, "sigma": "feature"},
    "mixed-output": {"likelihood": "mixed", "blocks": MIXED, "sigma": "output"},
}


def kinds_of(settings: dict[str, Any]) -> list[tuple[str, int]]:
    blocks = settings.get("blocks", [N_FEATURES])
    return blocks if blocks is MIXED else [(settings["likelihood"], n) for n in blocks]


def rows_of(kinds: list[tuple[str, int]], missing: bool, n: int = 6) -> np.ndarray:
    rng = np.random.default_rng(1)
    draw = {
        "gaussian": lambda k: rng.standard_normal((n, k)),
        "bernoulli": lambda k: rng.integers(0, 2, (n, k)),
        "continuous_bernoulli": lambda k: rng.random((n, k)),
        "poisson": lambda k: rng.poisson(2.0, (n, k)),
        "categorical": lambda k: np.eye(k)[rng.integers(0, k, n)],
    }
    rows = np.concatenate([draw[kind](k) for kind, k in kinds], axis=1).astype(float)
    rows[(rng.random(rows.shape) < 0.2) & missing] = np.nan
    return rows


def log_p(kind: str, said: Any, x: Any, sigma: Any) -> Any:
    """log p(x | z) of each column; of a category, of the one that is 1."""
    if kind == "gaussian":
        return jax.scipy.stats.norm.logpdf(x, said, sigma)
    if kind == "poisson":
        return jax.scipy.stats.poisson.logpmf(x, jnp.exp(said))
    if kind == "categorical":
        return x * jax.nn.log_softmax(said, axis=1)
    mean = jax.nn.sigmoid(said)
    bernoulli = x * jnp.log(mean) + (1 - x) * jnp.log(1 - mean)
    if kind == "bernoulli":
        return bernoulli
    return bernoulli + jnp.log(2 * jnp.arctanh(1 - 2 * mean) / (1 - 2 * mean))


def loss_of(vae: VAE, settings: dict[str, Any], x: Any, noise: Any, weights: Any) -> Any:
    """What is minimised, but for the constant of a Gaussian."""

    def layer(name: str, values: Any) -> Any:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    there = ~np.isnan(x)
    counts = [kind == "poisson" for kind, n in kinds_of(settings) for _ in range(n)]
    inputs = jnp.where(np.array(counts), jnp.log1p(x), x)
    hidden = jnp.tanh(layer("encoder.0", jnp.where(there, inputs, 0.0)))
    mean, log_var = layer("sampler.mean", hidden), layer("sampler.log_var", hidden)
    kl = 0.5 * (mean**2 + jnp.exp(log_var) - 1 - log_var).sum(axis=1)
    z = mean + jnp.exp(log_var / 2) * noise
    said = layer("decoder.1", jnp.tanh(layer("decoder.0", z)))
    raws = weights.get("likelihood.raw_sigma", said[:, N_FEATURES:])
    n_gaussian = sum(n for kind, n in kinds_of(settings) if kind == "gaussian")
    given = vae.sigma_value or 0.0 if raws.size == 0 else 1e-3 + jnp.exp(raws)
    sigma = jnp.broadcast_to(given, (len(x), n_gaussian))
    total: Any = 0.0
    first, first_sigma = 0, 0
    for kind, n in kinds_of(settings):
        columns = slice(first, first + n)
        known, value = there[:, columns], said[:, columns]
        if kind == "categorical":
            known = known.all(axis=1, keepdims=True)
        if kind == "gaussian" and settings.get("output_activation") == "tanh":
            value = jnp.tanh(value)
        s = sigma[:, first_sigma : first_sigma + n]
        first_sigma += n if kind == "gaussian" else 0
        terms = log_p(kind, value, jnp.where(there[:, columns], x[:, columns], 1.0), s)
        total += jnp.where(known, terms, 0.0).sum(axis=1)
        first += n
    by_weight = settings.get("sigma") is None and vae.sigma_value is not None
    weight = 1.0 if by_weight else vae.reconstruction_weight
    return (vae.beta * kl - weight * total).mean()


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["error", "ignore"])
@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_gradients_are_those_of_jax(settings: dict[str, Any], missing: Missing) -> None:
    X = rows_of(kinds_of(settings), missing == "ignore")
    vae = VAE.from_sizes(
        N_FEATURES, (5,), 2, "tanh", dtype="float64", seed=2, beta=0.7, missing=missing, **settings
    )
    vae.start_output_bias(X)
    last = vae.decoder.layers[-1]  # no weight is 0, so that gradients are not
    drawn = 0.3 * np.random.default_rng(4).standard_normal(last.weight.shape)
    last.weight = np.where(last.weight == 0, drawn, last.weight)
    noise = np.random.default_rng(3).standard_normal((len(X), 2))
    losses, found = vae.gradients(X, noise)
    weights = {
        f"{name}.{part}": np.array(getattr(layer, part))
        for name, layer in vae.named_layers().items()
        for part in ("weight", "bias")
    }
    if vae.network.raws is not None:
        weights["likelihood.raw_sigma"] = vae.network.raws
    with jax.enable_x64():
        theirs = jax.value_and_grad(lambda w: loss_of(vae, settings, X, noise, w))
        loss, wanted = jax.jit(theirs)(weights)
    if settings["likelihood"] != "gaussian" or "sigma" in settings or missing == "ignore":
        assert losses.loss == pytest.approx(float(loss), rel=1e-10)
    assert found.keys() == wanted.keys()
    size = np.sqrt(sum(np.square(array).sum() for array in wanted.values()))
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=0, atol=1e-8 * size, err_msg=name)
