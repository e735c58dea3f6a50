"""What the tests of networks share: small ones of odd sizes, rows, and a run of training."""

from __future__ import annotations

import itertools

import numpy as np

from fastvae import kernels
from fastvae.kernels import engine
from fastvae.model.likelihood import Likelihood
from fastvae.model.network import Network

OPTIMIZERS = {
    "sgd": [0.9, 0.0, 0.0, 0.0],
    "rmsprop": [0.9, 1e-8, 0.0, 0.0],
    "adam": [0.9, 0.999, 1e-8, 0.0],
}
# (features, hidden sizes, latents): primes around the tiles' 6 to 32 columns, and whole tiles.
SIZES = [(29, (17,), 3), (96, (48, 32), 8), (61, (), 5), (53, (7, 37), 11)]


def build(sizes, dtype=np.float32, likelihood="bernoulli", activation="relu"):
    """A network with seeded weights; biases are not zero, so that pads would show."""
    n_features, hidden, n_latent = sizes
    widths = [n_features, *hidden]
    encoder = [(a, b, activation) for a, b in itertools.pairwise(widths)]
    back = [n_latent, *reversed(widths)]
    decoder = [(a, b, activation) for a, b in itertools.pairwise(back)]
    output = "sigmoid" if likelihood == "bernoulli" else "identity"
    decoder[-1] = (*decoder[-1][:2], output)
    layers = [*encoder, (widths[-1], 2 * n_latent, "identity"), *decoder]
    network = Network(layers, len(encoder), Likelihood(likelihood), dtype)
    rng = np.random.default_rng(7)
    for i, (n_in, n_out, _) in enumerate(layers):
        weight = rng.normal(size=(n_out, n_in)) / np.sqrt(n_in)
        network.write_dense(i, weight.astype(dtype), rng.normal(size=n_out).astype(dtype) * 0.1)
    return network


def sparse_rows(n, n_features, seed=0):
    """uint8 rows of which four fifths are zero, in runs as in images."""
    rng = np.random.default_rng(seed)
    on = np.repeat(rng.random((n, n_features // 4 + 1)) < 0.2, 4, axis=1)[:, :n_features]
    return np.where(on, rng.integers(0, 256, (n, n_features)), 0).astype(np.uint8)


def training(network, *, n_steps=4, batch_size=37, optimizer="adam", **settings):
    """A run of training with settings of one's own."""
    schedule = settings.pop("schedule", engine.new_schedule(n_steps, 0.01))
    return engine.Training(
        n_steps=n_steps,
        batch_size=batch_size,
        optimizer=kernels.OPTIMIZERS[optimizer],
        **{"hyper": np.array(OPTIMIZERS[optimizer])} | settings,
        schedule=schedule,
        totals=engine.new_totals(network.n_latent),
    )


def train(network, rows, *, skip_zeros=False, **settings):
    """Train from moments of zero; return the totals."""
    moments = (network.new_arena(), network.new_arena())
    run = training(network, **settings)
    order = np.arange(len(rows))
    network.train(rows, order, run, moments=moments, seed=3, skip_zeros=skip_zeros)
    return run.totals
