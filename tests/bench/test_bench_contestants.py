"""The benchmarks' contestants: all compute the same, on rows that are as they should be."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import contestants, environment
from bench.job import read_images
from bench.workload import (
    LEARNING_RATE,
    Array,
    Sizes,
    dense_rows,
    initial_parameters,
    join_heads,
    mnist_like_rows,
    split_heads,
)
from fastvae import VAE

ROOT = Path(__file__).resolve().parents[2]
SIZES = Sizes(37, (19, 11), 5)
N_ROWS = 24
EPOCHS = 20
# A gradient passes the products forward and backward: chains of as many terms as there are
# inputs (37, 19, 11, 5, 11, 19), outputs on the way back, and rows. A sum of n terms is off by
# n eps of its largest partial sum, so gradients by all these lengths times eps of the largest.
CHAIN_LENGTH = sum(n_in + n_out for n_in, n_out in SIZES.dense_shapes) + N_ROWS
RTOL = CHAIN_LENGTH * float(np.finfo(np.float32).eps)

NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "torch-compiled" else name
    for name in contestants.ENTRIES
]


@pytest.fixture(scope="module")
def rows() -> Array:
    return mnist_like_rows(N_ROWS, SIZES.n_features, seed=1)


@pytest.fixture(scope="module")
def noise() -> Array:
    generator = np.random.Generator(np.random.Philox(2))
    return generator.standard_normal((N_ROWS, SIZES.n_latent), np.float32)


@pytest.fixture(scope="module")
def parameters(rows: Array) -> contestants.Parameters:
    return initial_parameters(SIZES, rows, seed=3)


@pytest.fixture(scope="module")
def noiseless(parameters: contestants.Parameters) -> contestants.Parameters:
    """Parameters with a posterior so narrow that the noise is lost in rounding."""
    narrow = dict(parameters)
    narrow["sampler.log_var.weight"] = np.zeros_like(parameters["sampler.log_var.weight"])
    narrow["sampler.log_var.bias"] = np.full(SIZES.n_latent, -28, np.float32)  # std 8e-7
    return narrow


def built(name: str, **variant: Any) -> contestants.Contestant:
    reason = contestants.why_not(name)
    if reason is not None:
        pytest.skip(reason)
    return contestants.build(name, SIZES, **variant)


def exact(parameters: contestants.Parameters) -> VAE:
    """Our own VAE in float64, whose gradients are checked against finite differences elsewhere."""
    vae = VAE.from_sizes(SIZES.n_features, SIZES.hidden, SIZES.n_latent, dtype=np.float64)
    for name, layer in vae.named_layers().items():
        layer.weight, layer.bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return vae


# The contestants -----------------------------------------------------------------------------


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_every_variant_computes_the_same_gradients(
    name: str, rows: Array, noise: Array, parameters: contestants.Parameters
) -> None:
    losses, gradients = exact(parameters).gradients(rows, noise)
    built(name)
    for variant in contestants.load(name).training_variants:
        model = built(name, **variant)
        model.set_parameters(parameters)
        reconstruction, kl, theirs = model.gradients(rows, noise)
        assert reconstruction == pytest.approx(losses.reconstruction, rel=RTOL)
        assert kl == pytest.approx(losses.kl, rel=RTOL)
        assert list(theirs) == list(parameters)
        for key, gradient in gradients.items():
            atol = RTOL * np.abs(gradient).max()
            np.testing.assert_allclose(theirs[key], gradient, rtol=0, atol=atol, err_msg=key)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_first_update(
    name: str, rows: Array, noise: Array, parameters: contestants.Parameters
) -> None:
    """Adam's first update is lr g / (|g| + eps): an error d of g changes it by 2 lr d / |g|."""
    _, gradients = exact(parameters).gradients(rows, noise)
    model = built(name)
    model.set_parameters(parameters)
    model.step(rows, noise)
    moved = model.get_parameters()
    for key, gradient in gradients.items():
        before = parameters[key].astype(np.float64)
        expected = before - LEARNING_RATE * gradient / (np.abs(gradient) + 1e-8)
        error = RTOL * np.abs(gradient).max()
        bound = LEARNING_RATE * np.minimum(2, 2 * error / (np.abs(gradient) + 1e-8))
        rounding = 4 * np.finfo(np.float32).eps * (np.abs(before) + LEARNING_RATE)
        assert np.all(np.abs(moved[key] - expected) <= bound + rounding), key


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_training_goes_the_same_way(
    name: str, rows: Array, noiseless: contestants.Parameters
) -> None:
    """Updates with moments: the way is the same within RTOL, up to a factor for small gradients.

    Adam divides each gradient by its own size, so those near rounding error (RTOL of the
    largest) move by up to the learning rate either way; 1e-3 of the way leaves room for them.
    """
    vae = exact(noiseless)
    history = vae.fit(rows, epochs=EPOCHS, batch_size=N_ROWS, verbose=False)
    expected = {
        f"{name}.{what}": getattr(layer, what)
        for name, layer in vae.named_layers().items()
        for what in ("weight", "bias")
    }
    model = built(name)
    for _ in range(2):  # the second time from the same weights, with fresh moments
        model.set_parameters(noiseless)
        losses = model.fit(model.prepare(rows), EPOCHS, N_ROWS)
        assert losses == pytest.approx(history["loss"], rel=RTOL)
        moved = model.get_parameters()
        way = np.concatenate([(expected[k] - noiseless[k]).ravel() for k in noiseless])
        theirs = np.concatenate([(moved[k] - noiseless[k]).ravel() for k in noiseless])
        assert np.linalg.norm(theirs - way) < 1e-3 * np.linalg.norm(way)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("closed", [False, True])
def test_jax_takes_the_closed_form_where_a_variant_says_so(
    closed: bool, rows: Array, noise: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built("jax", closed=closed)
    calls = []

    def loss(logits: Any, x: Any) -> Any:
        calls.append(logits.shape)
        return (logits - x).sum()

    monkeypatch.setattr("bench.jax_vae.closed_bernoulli_sum", loss)
    n_rows = 23  # another number than elsewhere: what was traced is not traced again
    model.gradients(rows[:n_rows], noise[:n_rows])
    assert calls == [(n_rows, SIZES.n_features)] * closed


@pytest.mark.filterwarnings("default")
def test_closed_form_of_the_bernoulli_loss(rows: Array) -> None:
    built("jax")
    import jax

    from bench.jax_network import bernoulli_sum, closed_bernoulli_sum

    x = (rows / 255).astype(np.float32)
    logits = np.linspace(-30, 30, x.size, dtype=np.float32).reshape(x.shape)
    eps = float(np.finfo(np.float32).eps)
    expected = 1 / (1 + np.exp(-logits.astype(np.float64))) - x
    assert closed_bernoulli_sum(logits, x) == bernoulli_sum(logits, x)
    slope = 3.0
    for loss in (bernoulli_sum, closed_bernoulli_sum):
        to_logits, to_x = jax.vjp(loss, logits, x)[1](np.float32(slope))
        # A handful of roundings of numbers up to 1, times the slope.
        np.testing.assert_allclose(to_logits, slope * expected, rtol=0, atol=8 * slope * eps)
        np.testing.assert_array_equal(to_x, -np.float32(slope) * logits)


def test_numpy_updates_every_parameter_in_blocks_as_at_once(
    rows: Array,
    noise: Array,
    parameters: contestants.Parameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of an update is done element by element: no bit depends on where blocks end."""
    n_parameters = sum(array.size for array in parameters.values())
    found = []
    for n_at_once in (100, n_parameters):
        monkeypatch.setattr("bench.numpy_vae.PARAMETERS_AT_ONCE", n_at_once)
        model = built("numpy")
        model.set_parameters(parameters)
        for _ in range(3):
            model.step(rows, noise)
        found.append(model.get_parameters())
    assert n_parameters % 100
    for key, array in found[1].items():
        np.testing.assert_array_equal(found[0][key], array, err_msg=key)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_small_batches_train_every_row(
    name: str, rows: Array, parameters: contestants.Parameters
) -> None:
    """24 rows in batches of 10: were the last four left out, the mean loss would be 17 % less."""
    model = built(name)
    model.set_parameters(parameters)
    losses = model.fit(model.prepare(rows), 2, 10)
    assert len(losses) == 2
    reconstruction, kl, _ = model.gradients(rows, np.zeros((N_ROWS, SIZES.n_latent), np.float32))
    assert losses[-1] == pytest.approx(reconstruction + kl, rel=0.08)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_passes_without_training(
    name: str,
    rows: Array,
    noise: Array,
    noiseless: contestants.Parameters,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.numpy_vae.ROWS_AT_ONCE", 10)
    vae = exact(noiseless)
    mean, log_var = vae.encode(rows)
    means = vae.decode(noise)
    elbo = vae.elbo(rows)
    built(name)
    for variant in contestants.load(name).pass_variants:
        chunk = {"chunk": 8} if variant.get("chunk") else {}
        model = built(name, **variant | chunk)
        model.set_parameters(noiseless)
        data = model.prepare(rows)
        theirs = [np.asarray(part) for part in model.encode(data)]
        np.testing.assert_allclose(theirs[0], mean, rtol=0, atol=RTOL * np.abs(mean).max())
        np.testing.assert_allclose(theirs[1], log_var, rtol=RTOL)
        np.testing.assert_allclose(np.asarray(model.decode(noise)), means, rtol=0, atol=RTOL)
        assert np.asarray(model.sample(7)).shape == (7, SIZES.n_features)
        reconstruction, kl = model.evaluate(data)
        assert reconstruction == pytest.approx(elbo.reconstruction, rel=1e-4)
        assert kl == pytest.approx(elbo.kl, rel=RTOL)
    model.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_size > 4 * sum(
        array.size for array in noiseless.values()
    )


@pytest.mark.slow
def test_pytorch_flushes_subnormals_in_all_threads() -> None:
    """Of its pool, too, as of the threads that take rows of their own for log p(x)."""
    if (reason := contestants.why_not("torch")) is not None:
        pytest.skip(reason)
    program = """
from concurrent.futures import ThreadPoolExecutor
from bench.torch_vae import _alone, torch

def kept(n):
    return int((torch.full((n,), 1e-30) * 1e-10).count_nonzero())

shared = kept(2**20)
with ThreadPoolExecutor(2, initializer=_alone) as pool:
    print(shared, *pool.map(kept, (10, 10)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment.clean(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["0", "0", "0"]


def test_why_not_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = contestants.ENTRIES["jax"]._replace(requires="no_such_package")
    monkeypatch.setitem(contestants.ENTRIES, "jax", entry)
    assert contestants.why_not("jax") == "no_such_package is not installed"
    assert contestants.why_not("numpy") is None


def test_work_of_the_seed_model() -> None:
    sizes = Sizes()
    assert sizes.title == "784-256-32-256-784"
    # 425,984 weights; each is used forward, in the weight gradient and, but for the first
    # layer's 200,704, in the input gradient: 2 (3 * 425,984 - 200,704).
    assert sizes.training_flops == 2_154_496
    assert sizes.encoding_flops == 2 * (784 * 256 + 256 * 64)
    assert sizes.decoding_flops == 2 * (32 * 256 + 256 * 784)
    parameters = initial_parameters(sizes, mnist_like_rows(10))
    assert sum(array.size for array in parameters.values()) == 427_344


def test_heads_split_and_join(parameters: contestants.Parameters) -> None:
    again = split_heads(join_heads(parameters, SIZES), SIZES)
    assert list(again) == list(parameters)
    for key, array in parameters.items():
        np.testing.assert_array_equal(again[key], array)


def test_rows_are_as_dense_as_said() -> None:
    assert dense_rows(50, 40).min() == 1
    share = np.mean(mnist_like_rows(200, 784) == 0)
    assert share == pytest.approx(0.81, abs=5 * np.sqrt(0.81 * 0.19 / (200 * 784)))


def test_start_and_job_read_the_same_bytes(tmp_path: Path) -> None:
    content = bytes(16) + bytes(range(256)) * 49  # 16 images
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b.gz").write_bytes(gzip.compress(content))
    for name in ("a", "b"):
        images = read_images(tmp_path, name)
        assert images.shape == (16, 784)
        np.testing.assert_array_equal(images.ravel(), np.arange(256 * 49) % 256)
