"""Model files with a posterior mixture: what they hold, and what is wrong with those of others."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import SMALL_ROWS, assert_same_model, check_refused, small_vae, trained
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import fastvae
from fastvae import VAE, PosteriorMixture

NAMES = {"posterior.weights": (2,), "posterior.means": (2, 5), "posterior.cholesky": (2, 5, 5)}


def with_mixture(**settings: Any) -> VAE:
    vae = trained(**settings)
    rng = np.random.default_rng(0)
    factors = np.tril(rng.uniform(0.5, 1, (2, 5, 5)))
    vae._take_mixture(PosteriorMixture(np.array([0.25, 0.75]), rng.normal(size=(2, 5)), factors))
    return vae


def header_of(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    header: dict[str, Any] = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    return header


def settings_of(path: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(header_of(path)["__metadata__"]["fastvae"])
    return settings


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_keeps_the_mixture(tmp_path: Path, dtype: str) -> None:
    vae, path = with_mixture(dtype=dtype), tmp_path / "model"
    vae.save(path)
    found = load_file(path)
    assert {name: found[name].shape for name in NAMES} == NAMES
    assert all(found[name].dtype == np.float64 for name in NAMES)
    assert settings_of(path)["format_version"] == 3
    assert settings_of(path)["posterior_components"] == 2
    loaded = fastvae.load(path)
    assert_same_model(loaded, vae)
    np.testing.assert_array_equal(
        loaded.sample(9, 0, source="posterior"), vae.sample(9, 0, source="posterior")
    )
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("settings", [{}, {"likelihood": "gaussian", "sigma": "feature"}])
def test_a_file_without_one_is_as_before(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Also of a model that had one, of weights that have changed."""
    plain, vae = small_vae(**settings), small_vae(**settings)
    mixture = PosteriorMixture(np.ones(1), np.zeros((1, 5)), np.eye(5)[None])
    vae._take_mixture(mixture)
    for model in (plain, vae):
        model.fit(SMALL_ROWS / np.float32(255), epochs=1, verbose=False)
        model.save(tmp_path / f"{id(model)}")
    assert (tmp_path / f"{id(vae)}").read_bytes() == (tmp_path / f"{id(plain)}").read_bytes()
    assert settings_of(tmp_path / f"{id(vae)}")["format_version"] == (2 if settings else 1)


@pytest.mark.parametrize("sigma", ["learned", "feature", 0.5])
def test_other_settings_of_later_versions_are_kept_beside_it(tmp_path: Path, sigma: Any) -> None:
    vae = with_mixture(likelihood="gaussian", sigma=sigma, missing="ignore")
    vae.save(tmp_path / "model")
    loaded = fastvae.load(tmp_path / "model")
    assert_same_model(loaded, vae)
    assert (loaded.sigma, loaded.missing) == (sigma, "ignore")
    np.testing.assert_array_equal(loaded.sigma_value, vae.sigma_value)
    assert loaded.posterior_mixture is not None


def test_checkpoints_and_parameters_for_others_are_without(tmp_path: Path) -> None:
    vae = with_mixture()
    assert not [name for name in vae.state_dict() if "posterior" in name]
    vae.fit(SMALL_ROWS, epochs=1, checkpoint=tmp_path / "run", verbose=False)
    assert not [name for name in header_of(tmp_path / "run") if "posterior" in name]


def test_the_seed_s_format_leaves_it_out_and_says_so(tmp_path: Path) -> None:
    vae = with_mixture()
    with pytest.warns(UserWarning, match="no place for a posterior mixture"):
        vae.save(tmp_path / "seed", format="seed")
    loaded = fastvae.load(tmp_path / "seed")
    assert_same_model(loaded, vae)
    assert loaded.posterior_mixture is None
    assert vae.posterior_mixture is not None


Arrays = dict[str, NDArray[Any]]


def _set(name: str, index: Any, value: float) -> Callable[[Arrays, Any], None]:
    def change(arrays: Arrays, _: Any) -> None:
        arrays[f"posterior.{name}"][index] = value

    return change


def _replace(name: str, make: Callable[[NDArray[Any]], Any]) -> Callable[[Arrays, Any], None]:
    def change(arrays: Arrays, _: Any) -> None:
        arrays[f"posterior.{name}"] = np.ascontiguousarray(make(arrays[f"posterior.{name}"]))

    return change


def _say(name: str, value: Any) -> Callable[[Arrays, Any], None]:
    return lambda _, settings: settings.update({name: value})


DAMAGED: dict[str, tuple[Callable[[Arrays, Any], Any], str]] = {
    "NaN": (_set("means", (0, 3), np.nan), "mixture is damaged: means must be finite"),
    "infinity": (_set("cholesky", (1, 0, 0), np.inf), "damaged: cholesky must be finite"),
    "too large": (_set("means", (0, 0), 1e300), "damaged: means must fit float32"),
    "weights": (_set("weights", 0, 0.3), "damaged: weights must be at least 0 and add up to 1"),
    "negative": (_set("weights", slice(None), (-1, 2)), "weights must be at least 0"),  # type: ignore[arg-type]
    "not triangular": (_set("cholesky", (0, 1, 4), 0.1), "cholesky must be lower triangular"),
    "diagonal": (_set("cholesky", (0, 1, 1), -0.1), "diagonals of cholesky must be at least 0"),
    "shape": (_replace("means", lambda a: a.T), r"posterior.means'? must be F64 of shape.*2, 5"),
    "dtype": (_replace("weights", np.float32), "posterior.weights'? must be F64 .* got F32"),
    "one is missing": (lambda a, _: a.pop("posterior.means"), "tensors must be .*posterior.means"),
    "more components": (_say("posterior_components", 3), r"posterior.weights'? must be F64 of"),
    "no components": (_say("posterior_components", 0), "posterior_components must be an integer"),
    "a text": (_say("posterior_components", "2"), "posterior_components must be an integer"),
    "a flag": (_say("posterior_components", True), "posterior_components must be an integer"),
    "huge": (_say("posterior_components", 10**30), r"posterior.weights'? must be F64 of shape"),
    "not said": (lambda _, s: s.pop("posterior_components"), "tensors must be"),
    "an old version": (_say("format_version", 2), "tensors must be"),
    "a later version": (_say("format_version", 4), "format version must be 1 or 2 or 3; got 4"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_files(tmp_path: Path, what: str) -> None:
    path = tmp_path / "model"
    with_mixture().save(path)
    arrays, metadata = load_file(path), header_of(path)["__metadata__"]
    settings = json.loads(metadata["fastvae"])
    change, message = DAMAGED[what]
    change(arrays, settings)
    save_file(arrays, path, metadata | {"fastvae": json.dumps(settings)})
    check_refused(path, message)


def test_a_file_that_says_it_has_one_and_has_none(tmp_path: Path) -> None:
    path = tmp_path / "model"
    trained().save(path)
    arrays, metadata = load_file(path), header_of(path)["__metadata__"]
    settings = json.loads(metadata["fastvae"]) | {"format_version": 3, "posterior_components": 2}
    save_file(arrays, path, metadata | {"fastvae": json.dumps(settings)})
    check_refused(path, "tensors must be .*posterior")
