"""All networks run through the same machine code: after the first, nothing compiles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A dispatcher's signatures tell of code that was loaded from the cache on disk, too; compile
# events only of what was not there.
PROGRAM = """
import importlib
import pkgutil

import numpy as np
from numba.core import event
from numba.core.dispatcher import Dispatcher

from fastvae import VAE, kernels

MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(kernels.__path__, "fastvae.kernels.")
]


def signatures():
    return {
        f"{module.__name__}.{name}": tuple(value.signatures)
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }


kernels.warmup()
# What draws numbers outside a run of steps is no part of it: first weights and samples.
VAE.from_sizes(3, (2,), 1).feedforward(np.zeros((1, 3), np.float32))

KINDS = [
    ((9,), "relu", "bernoulli", "adam", None, np.uint8),
    ((7, 5, 3), "tanh", "gaussian", "sgd", 1.0, np.float32),
    ((33,), "leaky_relu", "bernoulli", "rmsprop", 0.5, np.float64),
    ((1, 2), "softplus", "gaussian", "adam", 2.0, np.uint8),
    ((300,), "sigmoid", "bernoulli", "sgd", None, np.float32),
    ((4, 4, 4, 4), "identity", "gaussian", "rmsprop", None, np.float64),
]
assert {kind[1] for kind in KINDS} == set(kernels.ACTIVATIONS)
assert {kind[2] for kind in KINDS} == set(kernels.LIKELIHOODS)
assert {kind[3] for kind in KINDS} == set(kernels.OPTIMIZERS)

before = signatures()
with event.install_recorder("numba:compile") as recorder:
    for i, (hidden, activation, likelihood, optimizer, clip_norm, dtype) in enumerate(KINDS):
        rows = np.random.default_rng(i).integers(0, 256, (70, 20 + 13 * i), np.uint8)
        if dtype is not np.uint8:
            rows = (rows / 255).astype(dtype)
        vae = VAE.from_sizes(rows.shape[1], hidden, 2 + i, activation, likelihood=likelihood)
        vae.fit(
            rows,
            epochs=2,
            batch_size=(1, 7, 70, 128, 33, 2)[i],
            optimizer=optimizer,
            clip_norm=clip_norm,
            validation=rows[:9],
            verbose=False,
        )
        mean, _ = vae.encode(rows)
        vae.encode(rows[0])
        vae.decode(mean)
        vae.reconstruct(rows)
        vae.elbo(rows, n_samples=3)
        vae.sample(5)
        vae.gradients(rows[:4])
assert not recorder.buffer, [moment.data for _, moment in recorder.buffer]
after = signatures()
assert len(after) > 20
new = {name for name in after if after[name] != before[name]}
assert not new, new
assert any(after.values())
"""


def test_nothing_compiles_for_other_models() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
