"""A log_var beyond its bounds is brought back by training, as one within them is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastvae import VAE, kernels


@pytest.mark.parametrize("start", [19.9, 20.1, 25.0, 1000.0, -29.9, -30.1, -40.0, -1000.0])
def test_training_brings_log_var_back(start: float) -> None:
    """A step of gradient descent goes towards the bounds.

    Beyond a bound b only the KL has a slope by log_var, (exp(b) - 1) / 2; with this rate it gives a
    step of 0.05.
    """
    rows = np.random.default_rng(0).random((60, 12)).astype(np.float32)
    vae = VAE.from_sizes(12, hidden=(8,), n_latent=2, seed=0)
    vae.sampler.log_var.weight = np.zeros((2, 8))
    vae.sampler.log_var.bias = np.full(2, start)
    bound = np.clip(start, kernels.LOG_VAR_MIN, kernels.LOG_VAR_MAX)
    rate = 0.05 / abs((np.exp(bound) - 1) / 2)
    vae.fit(rows, epochs=1, batch_size=60, optimizer="sgd", learning_rate=rate, verbose=False)
    moved = vae.sampler.log_var.bias - np.float32(start)
    assert (np.sign(moved) == -np.sign(start)).all()


def test_a_deviation_beyond_the_bound_falls_as_one_below_it_does() -> None:
    rows = np.random.default_rng(0).random((300, 12)).astype(np.float32)
    for start in (19.9, 20.1, 25.0):
        vae = VAE.from_sizes(12, hidden=(8,), n_latent=2, seed=0)
        vae.sampler.log_var.bias = np.full(2, start)
        settings: dict[str, Any] = {"epochs": 100, "batch_size": 50, "learning_rate": 0.05}
        kl = vae.fit(rows, verbose=False, **settings)["kl"]
        assert kl[0] > 1e7
        assert kl[-1] < 1e4
