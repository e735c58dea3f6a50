"""``fastvae sample --source``: what is drawn, when a mixture is fitted, and where it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fastvae
from fastvae import VAE, PosteriorMixture
from fastvae.commands.cli import main

OWN = ["--dataset", "rows.npy", "--components", "2"]
FITTED = "fitting a mixture to the latents of rows"


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VAE:
    """The file of a model, `model`, and one of 60 rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVAE_DATA", raising=False)
    np.save("rows.npy", np.random.default_rng(0).random((60, 16), np.float32))
    vae = VAE.from_sizes(16, (8,), 2, seed=1)
    vae.save("model")
    return vae


def give_mixture(vae: VAE) -> None:
    """Save the model with a mixture."""
    vae._take_mixture(PosteriorMixture(np.ones(1), np.full((1, 2), 3.0), np.eye(2)[None]))
    vae.save("model")


def test_a_mixture_is_fitted_to_the_data_and_kept_where_that_is_asked(capsys: Any) -> None:
    pytest.importorskip("sklearn")
    before = Path("model").read_bytes()
    assert main(["sample", "model", "--source", "posterior", *OWN]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert out[0].startswith(FITTED)
    assert out[1] == "wrote samples.png"
    assert Path("model").read_bytes() == before
    assert main(["sample", "model", "--source", "posterior", *OWN, "--save", "kept"]) == 0
    assert "wrote kept" in capsys.readouterr().out
    kept, expected = fastvae.load("kept").posterior_mixture, fastvae.load("model")
    assert kept is not None
    found = expected.fit_posterior(np.load("rows.npy"), 2)
    np.testing.assert_array_equal(kept.means, found.means)
    assert main(["sample", "model", "--source", "both", *OWN, "--save", "model"]) == 0
    assert Path("model").read_bytes() == Path("kept").read_bytes()


def test_a_model_with_a_mixture_needs_no_data(model: VAE, capsys: Any) -> None:
    give_mixture(model)
    assert main(["sample", "model", "--source", "posterior", "-n", "4"]) == 0
    assert capsys.readouterr().out == "wrote samples.png\n"
    assert main(["sample", "model", "--source", "both", "-n", "4", "--output", "both.png"]) == 0
    with Image.open("both.png") as both, Image.open("samples.png") as one:
        assert both.size[0] > both.size[1]
        assert one.size != both.size
    pytest.importorskip("sklearn")
    assert main(["sample", "model", "--source", "posterior", *OWN, "--save", "new"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(FITTED)
    mixture = fastvae.load("new").posterior_mixture
    assert mixture is not None
    assert mixture.n_components == 2


def test_without_a_source_samples_are_the_prior_s(model: VAE) -> None:
    assert main(["sample", "model"]) == 0
    before = Path("samples.png").read_bytes()
    give_mixture(model)
    assert main(["sample", "model", "--source", "prior"]) == 0
    assert Path("samples.png").read_bytes() == before


def test_what_is_said_of_a_model_names_its_mixture(model: VAE, capsys: Any) -> None:
    for has_one in (False, True):
        if has_one:
            give_mixture(model)
        assert main(["info", "model"]) == 0
        assert ("mixture of 1 Gaussian, for samples" in capsys.readouterr().out) == has_one
        assert main(["card", "model", "--output", "-"]) == 0
        card = capsys.readouterr().out
        assert ("- posterior: mixture of 1 Gaussian, for samples\n" in card) == has_one
        assert ('likelier = vae.sample(16, seed=0, source="posterior")' in card) == has_one


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--dataset", "rows.npy"],
            "--dataset belongs to --source posterior or both; got --source",
        ),
        (["--components", "2"], "--components belongs to --source posterior or both"),
        (["--data-dir", "."], "--data-dir belongs to --source posterior or both"),
        (["--source", "prior", "--save", "a"], "--save belongs to --source posterior or both"),
        (["--source", "both", "--output", "a.gif"], "a .gif shows samples of the prior; got --sou"),
        (["--source", "both", "--save", "no/a"], "there is no folder no"),
        (["--source", "both", "--dataset", "wide.npy"], "takes rows of 16 features; those of wide"),
        (
            ["--source", "both", "--dataset", "few.npy"],
            "at least 10 rows, for n_components=10; got 5",
        ),
        (["--source", "both", "--dataset", "none.npy"], "none.npy"),
        (["--source", "neither"], "--source must be one of prior, posterior, both; got 'neither'"),
        (
            ["--source", "both", "--components", "0"],
            "must be a whole number of at least 1; got '0'",
        ),
    ],
)
def test_what_is_refused(capsys: Any, arguments: list[str], message: str) -> None:
    pytest.importorskip("sklearn")
    np.save("wide.npy", np.zeros((20, 17), np.float32))
    np.save("few.npy", np.zeros((5, 16), np.float32))
    before = set(Path().iterdir())
    try:
        code = main(["sample", "model", *arguments])
    except SystemExit as stop:  # of the parser
        code = int(str(stop.code))
    assert code in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert set(Path().iterdir()) == before
