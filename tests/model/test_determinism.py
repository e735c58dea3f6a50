"""The same bits for every number of threads, and a golden run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_checks import assert_same_parameters, parameters, pixel_rows, small_vae
from numba import config
from numpy.typing import NDArray

from fastvae import kernels

needs_two_threads = pytest.mark.skipif(
    config.NUMBA_NUM_THREADS < 2, reason="needs two threads; this process may use one"
)

GOLDEN_LOSSES = [
    22.7011275596451,
    22.608656149074704,
    22.703267774930282,
    22.552728394422957,
    22.468597591201615,
    22.603709540440832,
    22.385333036461816,
    22.042458137781068,
    22.42691002063657,
    22.185706325653882,
]


def train(n_threads, rows, batch_size=13, epochs=2, **settings):
    optimizer = settings.pop("optimizer", "adam")
    clip_norm = settings.pop("clip_norm", None)
    vae = small_vae(**settings)
    history = vae.fit(
        rows,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        clip_norm=clip_norm,
        validation=rows[:7],
        verbose=False,
        n_threads=n_threads,
    )
    return vae, history


@needs_two_threads
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_size": 1, "epochs": 1},
        {"batch_size": 64},
        {"optimizer": "sgd", "clip_norm": 0.5},
        {"optimizer": "rmsprop", "likelihood": "gaussian"},
        {"n_features": 211, "hidden": (67, 33, 17), "n_latent": 1, "activation": "softplus"},
        {"n_features": 300, "hidden": (131,), "n_latent": 41, "batch_size": 29},
    ],
    ids=lambda settings: "-".join(map(str, settings)) or "default",
)
@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_threads_give_the_same_bits(settings, dtype, dense):
    rows: NDArray[Any] = pixel_rows(101, settings.get("n_features", 37))
    if dense:
        rows = np.random.default_rng(0).random(rows.shape)
    (one, history), (two, other) = (train(n, rows, dtype=dtype, **settings) for n in (1, 2))
    assert_same_parameters(two, parameters(one))
    for name in history:
        if name not in ("seconds", "samples_per_second"):
            assert history[name] == other[name], name


@needs_two_threads
def test_threads_give_the_same_figures():
    rows = pixel_rows(700, 37)
    results = []
    for n_threads in (1, 2):
        before = kernels.get_num_threads()
        kernels.set_num_threads(n_threads)
        vae = small_vae()
        losses, gradients = vae.gradients(rows)
        arrays = [*vae.encode(rows), vae.reconstruct(rows), vae.sample(50), vae.feedforward(rows)]
        results.append([losses, *vae.elbo(rows, per_sample=True), *gradients.values(), *arrays])
        kernels.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@needs_two_threads
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_give_the_same_bits_every_time(dtype):
    """A race shows only now and then: many short runs, wide enough to be shared out."""
    rows = np.random.default_rng(0).random((50, 784))
    settings = {"n_features": 784, "hidden": (256,), "n_latent": 32, "dtype": dtype}
    expected = parameters(train(1, rows, batch_size=50, **settings)[0])
    for _ in range(20):
        assert_same_parameters(train(2, rows, batch_size=50, **settings)[0], expected)


def test_golden_run():
    """The first ten losses of a fixed seed: one update an epoch, so one loss each."""
    i, j = np.ogrid[:64, :37]
    rows = ((7 * i + 3 * j * j) % 11 < 3).astype(np.uint8) * 255
    threads = {1, config.NUMBA_NUM_THREADS}
    runs = [train(n, rows, batch_size=64, epochs=10)[1]["loss"] for n in threads]
    assert all(losses == runs[0] for losses in runs)
    # Other instruction sets may round the loss's sums differently, but not ten times eps.
    np.testing.assert_allclose(runs[0], GOLDEN_LOSSES, rtol=10 * float(np.finfo(np.float32).eps))


def test_seeds_decide():
    rows = pixel_rows(64, 37)
    one, again, other = (train(None, rows, seed=seed)[0] for seed in (0, 0, 1))
    assert_same_parameters(again, parameters(one))
    assert np.any(other.encoder.layers[0].weight != one.encoder.layers[0].weight)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
def test_passes_do_not_depend_on_how_rows_are_split(dtype, sparse):
    """Over calls of one row, of a few, of chunks, with zeros skipped (from 64 rows on) or not."""
    rows = pixel_rows(1100, 37) if sparse else np.random.default_rng(0).random((1100, 37))
    vae = train(None, rows[:100], dtype=dtype)[0]
    latents = np.random.default_rng(1).normal(size=(1100, 5)).astype(dtype)
    passes = {
        "mean": (lambda x: vae.encode(x)[0], rows),
        "log_var": (lambda x: vae.encode(x)[1], rows),
        "decode": (vae.decode, latents),
        "reconstruct": (vae.reconstruct, rows),
        "kl": (lambda x: vae.elbo(x, per_sample=True).kl, rows),
    }
    for name, (run, given) in passes.items():
        whole = run(given)
        for size in (1, 2, 7, 63, 64, 513):
            parts = [run(given[i : i + size]) for i in range(0, 1100, size)]
            np.testing.assert_array_equal(np.concatenate(parts), whole, err_msg=f"{name} {size}")
