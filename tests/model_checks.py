"""What the tests of the Python layer share: small data, small models, a loop to compare with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastvae import VAE, History, kernels
from fastvae.callbacks import Callback, Figures


def pixel_rows(n_rows: int, n_features: int, seed: int = 0) -> NDArray[np.uint8]:
    """Sparse uint8 rows of two kinds, which a model can tell apart; like digits, mostly zero."""
    rng = np.random.default_rng(seed)
    likely = rng.random((2, n_features)) ** 3
    bright = rng.random((n_rows, n_features)) < likely[np.arange(n_rows) % 2]
    return (bright * rng.integers(100, 256, (n_rows, n_features))).astype(np.uint8)


SMALL_ROWS = pixel_rows(9, 37)


def small_vae(**changes: Any) -> VAE:
    """A model of odd sizes."""
    settings: dict[str, Any] = {"n_features": 37, "hidden": (19,), "n_latent": 5, "seed": 3}
    return VAE.from_sizes(**(settings | changes))


def parameters(vae: VAE) -> dict[str, NDArray[Any]]:
    """All weights and biases by the names that gradients have."""
    named = {}
    for name, layer in vae.named_layers().items():
        named[f"{name}.weight"], named[f"{name}.bias"] = layer.weight, layer.bias
    return named


def set_parameter(vae: VAE, name: str, value: NDArray[Any]) -> None:
    """Assign one array by its name."""
    layer, attribute = name.rsplit(".", 1)
    setattr(vae.named_layers()[layer], attribute, value)


def assert_same_parameters(vae: VAE, expected: dict[str, NDArray[Any]]) -> None:
    """Assert that all parameters are bit for bit what they were."""
    given = parameters(vae)
    assert given.keys() == expected.keys()
    for name, array in given.items():
        assert array.dtype == expected[name].dtype
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def batches(vae: VAE, n_rows: int, batch_size: int, epoch: int) -> list[NDArray[np.int64]]:
    """The row numbers of each batch of an epoch, the last one maybe shorter."""
    order = np.empty(n_rows, np.int64)
    kernels.permutation(order, vae.seed, kernels.STREAM_ORDER, epoch)
    return [order[start : start + batch_size] for start in range(0, n_rows, batch_size)]


def training_noise(vae: VAE, n_rows: int, update: int) -> NDArray[Any]:
    """The noise of an update, counted from 0 over the model's life."""
    noise = np.empty((n_rows, vae.n_latent), vae.dtype)
    kernels.normal(noise, vae.seed, kernels.STREAM_NOISE, update)
    return noise


def trained(**settings: Any) -> VAE:
    """A small model with two hidden layers after two epochs, with a card."""
    vae = small_vae(hidden=(19, 11), **settings)
    vae.fit(SMALL_ROWS, epochs=2, batch_size=4, verbose=False)
    vae.card = {"data": "nine rows", "scores": [1.5, None], "nested": {"é": True}}
    return vae


def assert_same_model(loaded: VAE, vae: VAE) -> None:
    """Assert that all that a file keeps is the same, and so are the figures."""
    assert_same_parameters(loaded, parameters(vae))
    names = ("likelihood", "beta", "reconstruction_weight", "dtype", "seed")
    for name in (*names, "epochs", "updates", "card"):
        assert getattr(loaded, name) == getattr(vae, name), name
    assert str(loaded) == str(vae)
    assert loaded.elbo(SMALL_ROWS) == vae.elbo(SMALL_ROWS)
    np.testing.assert_array_equal(loaded.reconstruct(SMALL_ROWS), vae.reconstruct(SMALL_ROWS))


def check_refused(path: Path, message: str) -> None:
    """Assert that loading names the file and the reason, and changes nothing."""
    vae = small_vae()
    before = parameters(vae)
    with pytest.raises(ValueError, match=message) as error:
        vae.load(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 2000
    assert_same_parameters(vae, before)
    assert vae.n_features == 37


class Recorder(Callback):
    """Lists the calls it gets."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        self.calls.append(("begin", n_epochs, n_rows))

    def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
        self.calls.append(("batch", epoch, n_done))

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Figures) -> None:
        self.calls.append(("epoch", epoch, vae.epochs))

    def on_train_end(self, vae: VAE, history: History) -> None:
        self.calls.append(("end", len(history["loss"]) if "loss" in history else 0))


class InterruptAt(Callback):
    """Raises a KeyboardInterrupt in one hook, once, at the n-th call of it."""

    def __init__(self, hook: str, n: int) -> None:
        self.hook, self.left = hook, n

    def _count(self, hook: str) -> None:
        if hook == self.hook:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        self._count("train_begin")

    def on_epoch_begin(self, vae: VAE, epoch: int) -> None:
        self._count("epoch_begin")

    def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
        self._count("batch")

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Figures) -> None:
        self._count("epoch_end")


def figures_of(history: History | None) -> dict[str, list[float]]:
    """A history without what depends on the clock."""
    assert history is not None
    timings = ("seconds", "samples_per_second")
    return {name: list(values) for name, values in history.items() if name not in timings}


def assert_same_run(vae: VAE, expected: VAE) -> None:
    """Assert that two models were trained alike, to the bit."""
    assert_same_parameters(vae, parameters(expected))
    assert (vae.updates, vae.epochs) == (expected.updates, expected.epochs)
    assert json.dumps(figures_of(vae.history)) == json.dumps(figures_of(expected.history))
    assert vae.beta == expected.beta
    assert vae.draw_counts == expected.draw_counts
