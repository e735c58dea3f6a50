"""Training on the importance-weighted bound: contestants compute the same, and what is defined."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from bench import contestants
from bench.contestants import ImportanceWeighted
from bench.rows import IWAE_ROWS, row_named
from bench.workload import Array, Sizes, initial_parameters, mnist_like_rows
from fastvae import VAE

SIZES = Sizes(40, (19, 11), 5)  # 8 factors divide the 40 features
N_ROWS, N_SAMPLES = 24, 7
# As in test_bench_contestants: chains as long as all layers are wide, and sums over all latents of
# a batch. A latent's weight in its row is exp of a sum of 40 terms of up to ln 2 + |logit|: off by
# as many eps times that sum, relative.
CHAIN_LENGTH = sum(n_in + n_out for n_in, n_out in SIZES.dense_shapes) + N_ROWS * N_SAMPLES
RTOL = 2 * CHAIN_LENGTH * float(np.finfo(np.float32).eps)
NAMES = ("fastvae", pytest.param("jax", marks=pytest.mark.slow))


@pytest.fixture(scope="module")
def rows() -> Array:
    return mnist_like_rows(N_ROWS, SIZES.n_features, seed=1)


@pytest.fixture(scope="module")
def noise() -> Array:
    generator = np.random.Generator(np.random.Philox(2))
    return generator.standard_normal((N_ROWS, N_SAMPLES, SIZES.n_latent), np.float32)


@pytest.fixture(scope="module")
def parameters(rows: Array) -> contestants.Parameters:
    return initial_parameters(SIZES, rows, seed=3)


def built(name: str, **variant: Any) -> ImportanceWeighted:
    reason = contestants.why_not(name)
    if reason is not None:
        pytest.skip(reason)
    return cast(ImportanceWeighted, contestants.build(name, SIZES, **variant))


def exact(parameters: contestants.Parameters) -> VAE:
    """Our own VAE in float64, whose gradients are checked against finite differences elsewhere."""
    vae = VAE.from_sizes(SIZES.n_features, SIZES.hidden, SIZES.n_latent, dtype=np.float64)
    for name, layer in vae.named_layers().items():
        layer.weight, layer.bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return vae


def bound_by_definition(vae: VAE, rows: Array, noise: Array) -> float:
    """The mean of log(1/k sum of p(x | z) p(z) / q(z | x)), by the densities themselves."""
    x = rows / 255
    mean, log_var = vae.encode(rows)
    bounds = []
    for row, m, v, drawn in zip(x, mean, log_var, noise, strict=True):
        z = m + np.exp(0.5 * v) * drawn
        p = vae.decode(z)
        likelihood = (row * np.log(p) + (1 - row) * np.log(1 - p)).sum(1)
        prior = -0.5 * np.square(z).sum(1)
        posterior = -0.5 * (np.square(z - m) / np.exp(v) + v).sum(1)
        bounds.append(np.logaddexp.reduce(likelihood + prior - posterior) - np.log(len(z)))
    return float(np.mean(bounds))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_every_variant_computes_the_same_gradients(
    name: str, rows: Array, noise: Array, parameters: contestants.Parameters
) -> None:
    vae = exact(parameters)
    losses, gradients = vae.gradients(rows, noise, objective="iwae", n_samples=N_SAMPLES)
    assert -losses.loss == pytest.approx(bound_by_definition(vae, rows, noise), rel=1e-6)
    built(name)
    for variant in contestants.load(name).iwae_variants:
        model = built(name, **variant)
        model.set_parameters(parameters)
        bound, theirs = model.iwae_gradients(rows, noise)
        assert bound == pytest.approx(-losses.loss, rel=RTOL)
        assert list(theirs) == list(parameters)
        for key, gradient in gradients.items():
            atol = RTOL * np.abs(gradient).max()
            np.testing.assert_allclose(theirs[key], gradient, rtol=0, atol=atol, err_msg=key)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_training_improves_the_bound_with_every_row(
    name: str, rows: Array, noise: Array, parameters: contestants.Parameters
) -> None:
    """24 rows in batches of 10: were the last four left out, the mean loss would be 17 % less."""
    model = built(name)
    model.set_parameters(parameters)
    before, _ = model.iwae_gradients(rows, noise)
    losses = model.fit_iwae(model.prepare(rows), 2, 10, N_SAMPLES)
    assert losses[0] == pytest.approx(-before, rel=0.08)
    model.fit_iwae(model.prepare(rows), 200, 10, N_SAMPLES)
    after, _ = model.iwae_gradients(rows, noise)
    assert after > before + 0.2


def test_rows_of_the_measurement() -> None:
    for k in IWAE_ROWS:
        for batch_size in (20, 128):
            row = row_named(f"iwae-k{k}-b{batch_size}")
            assert (row.n_samples, row.batch_size, row.n_rows) == (k, batch_size, IWAE_ROWS[k])
    sizes = Sizes()
    assert sizes.iwae_flops(1) == sizes.training_flops
    # Of the decoder's 208,896 weights each is used three times for each latent more.
    assert sizes.iwae_flops(5) - sizes.iwae_flops(1) == 4 * 2 * 3 * (32 * 256 + 256 * 784)
