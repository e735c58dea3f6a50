"""``--likelihood`` and ``--sigma``: what a run trains, and that it goes on with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastvae
from fastvae import VAE
from fastvae.commands.cli import main

SMALL = ["--dataset", "rows.npz", "--hidden", "8", "--latent", "2", "--batch-size", "32"]
SMALL += ["--no-pictures", "--output", "run"]
OPTIONS = {
    "continuous_bernoulli": {"likelihood": "continuous_bernoulli"},
    "learned": {"likelihood": "gaussian", "sigma": "learned"},
    "feature": {"likelihood": "gaussian", "sigma": "feature"},
    "output": {"likelihood": "gaussian", "sigma": "output"},
    "number": {"likelihood": "gaussian", "sigma": 0.25},
    "weight": {"likelihood": "gaussian"},
}


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVAE_EPOCHS", raising=False)
    rng = np.random.default_rng(0)
    grey = (rng.random((190, 16)) * 255).astype(np.uint8)
    np.savez("rows.npz", train=grey[:150], test=grey[150:])


@pytest.mark.parametrize("settings", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_run_is_what_fit_makes_of_it(settings: dict[str, Any], capsys: Any) -> None:
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    assert main(["train", *SMALL, "--epochs", "1", *options]) == 0
    assert main(["train", "--resume", "run", "--epochs", "3"]) == 0
    out = capsys.readouterr().out
    with np.load("rows.npz") as arrays:
        train, test = arrays["train"], arrays["test"]
    vae = VAE.from_sizes(16, (8,), 2, **settings)
    vae.fit(train, epochs=3, batch_size=32, verbose=False)
    loaded = fastvae.load("run")
    np.testing.assert_array_equal(loaded.network.parameters, vae.network.parameters)
    assert str(vae.network.likelihood) in out
    figures = json.loads(Path("run/test.json").read_text(encoding="utf-8"))
    assert figures["elbo"] == pytest.approx(vae.elbo(test).elbo, rel=1e-12)
    recorded = json.loads(Path("run/settings.json").read_text(encoding="utf-8"))
    assert recorded["sigma"] == settings.get("sigma")
    assert main(["info", "run"]) == 0
    out, sigma = capsys.readouterr().out, loaded.sigma_value
    assert str(vae.network.likelihood) in out
    shown = [words[1:] for line in out.splitlines() if (words := line.split())[:1] == ["sigma"]]
    ends = [] if sigma is None else [np.min(sigma), *[np.max(sigma)] * np.ndim(sigma)]
    assert shown == ([" to ".join(f"{end:g}" for end in ends).split()] if ends else [])


def test_missing_values_are_left_out_where_that_is_asked_for(capsys: Any) -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(150, 16))
    table[::3, 5] = np.nan
    np.savetxt("rows.csv", table, delimiter=",")
    options = ["--dataset", "rows.csv", *SMALL[2:], "--likelihood", "gaussian", "--epochs", "1"]
    assert main(["train", *options]) == 1
    assert "left out by models built with --missing ignore" in capsys.readouterr().err
    assert main(["train", *options, "--missing", "ignore"]) == 0
    assert main(["train", "--resume", "run", "--epochs", "2"]) == 0
    vae = VAE.from_sizes(16, (8,), 2, likelihood="gaussian", missing="ignore")
    vae.fit(table, epochs=2, batch_size=32, verbose=False)
    loaded = fastvae.load("run")
    assert loaded.missing == "ignore"
    np.testing.assert_array_equal(loaded.network.parameters, vae.network.parameters)
    recorded = json.loads(Path("run/settings.json").read_text(encoding="utf-8"))
    assert recorded["missing"] == "ignore"


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "x", "learn", ""])
def test_a_sigma_that_is_none_is_a_usage_error(value: str, capsys: Any) -> None:
    assert main(["train", *SMALL, "--likelihood", "gaussian", "--sigma", value]) == 2
    assert "must be a number above 0, learned, feature or output" in capsys.readouterr().err


def test_sigma_belongs_to_the_gaussian(capsys: Any) -> None:
    assert main(["train", *SMALL, "--sigma", "learned"]) != 0
    assert (
        "--sigma belongs to --likelihood gaussian; got --likelihood bernoulli"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("value", [0, -0.5, "x", True, [1]])
def test_a_recorded_sigma_that_was_changed_is_refused(value: Any, capsys: Any) -> None:
    options = ["--likelihood", "gaussian", "--sigma", "0.5", "--epochs", "1"]
    assert main(["train", *SMALL, *options]) == 0
    path = Path("run/settings.json")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(recorded | {"sigma": value}), encoding="utf-8")
    assert main(["train", "--resume", "run", "--epochs", "2"]) != 0
    assert '"sigma" must be' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ("age,income\n1,2\n.5,4\n", [], "row 0, column 'income' (counted from 0): divide"),
        ("age,income\n1,2\n3,-4\n", ["--likelihood", "poisson"], "row 1, column 'income'"),
        ("age,income\n1,2\n,4\n", ["--likelihood", "gaussian"], "row 1, column 'age'"),
        ("age,label\n1,0\n7,1\n", ["--conditional"], "row 1, column 'age'"),
    ],
)
def test_a_table_is_refused_by_the_names_of_its_columns(
    table: str, options: list[str], message: str, capsys: Any
) -> None:
    """Before anything is said of the data, and no folder is left."""
    Path("people.csv").write_text(table, encoding="utf-8")
    assert main(["train", "--dataset", "people.csv", "--epochs", "1", *options]) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert not Path("runs").exists()
