"""The models that come with the package: they load offline and are what their cards say."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import fastvae
from fastvae import VAE, Dataset, kernels
from fastvae.evaluation import evaluate
from fastvae.files.storage import PRETRAINED

NAMES = ["mnist_two_dimensional", "mnist_variational_autoencoder", "synthetic_digits"]
BAR = 100.3
"""Nats on grey test pixels that the main model must reach: JAX, 250 epochs, reached 100.25."""


def test_the_known_models_are_listed():
    assert list(fastvae.pretrained()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_models_load_by_name_and_carry_a_card(name):
    vae = VAE()
    vae.load(name)
    assert vae.n_features == 784
    expected = {"data", "objective", "epochs", "schedule", "seed", "test", "command"}
    assert expected <= set(vae.card)
    assert vae.card["command"] == f"python examples/train_pretrained.py {name}"
    assert vae.epochs == vae.card["epochs"]


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_float32_arrays_only(name):
    with safe_open(PRETRAINED / f"{name}.safetensors", framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert "sampler.log_var.weight" in arrays


def test_the_main_model_has_the_seed_architecture():
    vae = fastvae.load("mnist_variational_autoencoder")
    assert vae.n_parameters == 427_344
    assert str(vae) == str(VAE.from_sizes())  # which test_summary.py compares
    assert -vae.card["test"]["elbo"] <= BAR


@pytest.mark.parametrize("name", ["mnist_variational_autoencoder", "mnist_two_dimensional"])
def test_the_card_says_what_the_test_set_gives(name, mnist_dir):
    """On another instruction set products of up to 784 terms round otherwise, each by at most
    784 * 2^-24 = 5e-5 of its terms' size and to random sides: a mean over 10,000 rows leaves a
    hundredth of that, and 1e-5 is room for what the rows have in common."""
    vae = fastvae.load(name)
    found = evaluate(vae, Dataset("mnist", data_dir=mnist_dir).test)
    for figure, value in vae.card["test"].items():
        assert getattr(found, figure) == pytest.approx(value, rel=1e-5), figure


def test_reconstructions_are_close_to_the_digits(mnist_dir):
    vae = fastvae.load("mnist_variational_autoencoder")
    rows = Dataset("mnist", data_dir=mnist_dir).test[:500]
    pixels = rows / 255
    error = np.mean((vae.reconstruct(rows) - pixels) ** 2)
    # The variance of the pixels is what the constant mean image would leave.
    assert error < 0.15 * np.mean((pixels - pixels.mean(axis=0)) ** 2)


def test_the_drawn_digits_model_fits_drawn_digits():
    """The ELBO's standard deviation over rows is 17 nats, so that of a mean over 500 is 0.9 %."""
    vae = fastvae.load("synthetic_digits")
    rows = Dataset("synthetic_digits", train_size=10, test_size=500).test
    assert -vae.elbo(rows).elbo == pytest.approx(-vae.card["test"]["elbo"], rel=0.05)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match=", ".join(NAMES)):
        fastvae.load("mnist_variational_autoencodr")


@pytest.mark.parametrize(
    "name",
    [
        "../pretrained/mnist_two_dimensional",
        "./mnist_two_dimensional",
        "mnist_two_dimensional/../mnist_two_dimensional",
        Path("..") / "pretrained" / "mnist_two_dimensional.safetensors",
    ],
)
def test_a_name_is_no_path_into_the_package(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="or the name of a pretrained model"):
        fastvae.load(name)


def test_the_name_stays_a_function():
    """Whatever is imported: no module of that name can hide it."""
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("fastvae.pretrained")
    assert callable(fastvae.pretrained)


def test_loading_draws_no_weights(monkeypatch):
    monkeypatch.setattr(kernels, "normal", None)
    vae = fastvae.load("mnist_two_dimensional")
    assert vae.encoder.layers[0].weight.any()
