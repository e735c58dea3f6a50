"""log p(x) by importance sampling: against NumPy, where it is known exactly, and its bits."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from model_checks import SMALL_ROWS, small_vae

from fastvae import VAE, kernels

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
        sigma = vae.sigma or math.sqrt(0.5 / vae.reconstruction_weight)
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
