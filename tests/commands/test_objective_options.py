"""``--objective``, ``--n-samples``, ``--free-bits``: what a run trains, records and refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastvae
from fastvae import VAE
from fastvae.commands.cli import main

SMALL = ["--dataset", "images.npz", "--hidden", "8", "--latent", "2", "--batch-size", "32"]
SMALL += ["--validation", "30", "--epochs", "2", "--output", "run"]
IWAE = ["--objective", "iwae", "--n-samples", "5"]


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .npz file of 150 training and 40 test images of 4 x 4 pixels, 0 or 1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVAE_EPOCHS", raising=False)
    rows = np.random.default_rng(0).integers(0, 2, (190, 16)).astype(np.uint8) * 255
    np.savez("images.npz", train=rows[:150], test=rows[150:])


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(name).read_text(encoding="utf-8"))
    return found


def train(*options: str, pictures: bool = False) -> int:
    return main(["train", *SMALL, *([] if pictures else ["--no-pictures"]), *options])


def contents(folder: str) -> list[bytes]:
    return [Path(folder, name).read_bytes() for name in ("model.safetensors", "test.json")]


@pytest.mark.parametrize(
    ("options", "settings", "shown"),
    [
        (IWAE, {"objective": "iwae", "n_samples": 5}, "iwae, 5 samples"),
        (["--objective", "dreg"], {"objective": "dreg"}, "dreg, 1 sample"),
        (["--n-samples", "3"], {"n_samples": 3}, "elbo, 3 samples"),
        (["--free-bits", "0.2"], {"free_bits": 0.2}, "elbo, 0.2 free nats a latent"),
    ],
)
def test_a_run_is_what_fit_makes_of_it(
    options: list[str], settings: dict[str, Any], shown: str, capsys: Any
) -> None:
    assert train(*options) == 0
    out = capsys.readouterr().out
    with np.load("images.npz") as arrays:
        rows = arrays["train"]
    vae = VAE.from_sizes(16, (8,), 2)
    history = vae.fit(
        rows[:120], epochs=2, batch_size=32, validation=rows[120:], verbose=False, **settings
    )
    assert history.objective == shown
    loaded = fastvae.load("run")
    np.testing.assert_array_equal(loaded.decode(np.zeros(2)), vae.decode(np.zeros(2)))
    defaults = {"objective": "elbo", "n_samples": 1, "free_bits": 0.0}
    for holder in (read("run/settings.json"), loaded.card):
        assert {name: holder[name] for name in defaults} == defaults | settings
    is_bound = "objective" in settings
    assert ("bound" in out) == is_bound
    with Path("run/history.csv").open(encoding="utf-8") as file:
        logged = list(csv.DictReader(file))
    if is_bound:
        assert [float(row["val_bound"]) for row in logged] == history["val_bound"]
    assert ("bound" in logged[0]) == is_bound


def test_pictures_and_card_of_a_bound() -> None:
    assert train(*IWAE, pictures=True) == 0
    assert Path("run/loss.png").stat().st_size > 1000
    assert main(["card", "run"]) == 0
    text = Path("README.md").read_text(encoding="utf-8")
    assert "- `objective`: `iwae`\n- `n_samples`: `5`\n" in text


def test_a_stopped_run_goes_on_as_it_was_begun(monkeypatch: Any, capsys: Any) -> None:
    from fastvae.commands.runs import Run

    assert train(*IWAE) == 0
    Path("run").rename("whole")
    original = Run.on_epoch_end

    def stop(run: Run, vae: VAE, epoch: int, figures: Any) -> None:
        original(run, vae, epoch, figures)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "on_epoch_end", stop)
        assert train(*IWAE) == 130
    assert main(["train", "--resume", "run"]) == 0
    assert contents("run") == contents("whole")
    for options in (["--objective", "elbo"], ["--n-samples", "5"], ["--free-bits", "0"]):
        capsys.readouterr()
        assert main(["train", "--resume", "run", *options]) == 1
        assert f"{options[0]} belongs to the run" in capsys.readouterr().err


def test_settings_that_were_edited_are_refused(capsys: Any) -> None:
    assert train(*IWAE) == 0
    settings = read("run/settings.json")
    for changes, message in (
        ({"objective": "elbo"}, "objective was iwae, 5 samples and is elbo, 5 samples"),
        ({"n_samples": 4}, "objective was iwae, 5 samples and is iwae, 4 samples"),
        ({"objective": "wake"}, '"objective" must be one of elbo, iwae, dreg'),
        ({"objective": 3}, '"objective" must be a text'),
        ({"n_samples": 0}, '"n_samples"'),
        ({"n_samples": 2.5}, '"n_samples" must be a whole number'),
        ({"free_bits": "a"}, '"free_bits" must be a number'),
        ({"free_bits": 1.0}, "--free-bits belongs to --objective elbo"),
        ({"beta": 2.0}, "--beta belongs to --objective elbo"),
    ):
        Path("run/settings.json").write_text(json.dumps(settings | changes), encoding="utf-8")
        capsys.readouterr()
        assert main(["train", "--resume", "run", "--epochs", "3"]) == 1
        assert message in capsys.readouterr().err


def test_runs_of_versions_without_objectives_go_on(capsys: Any) -> None:
    assert train("--epochs", "3") == 0
    wanted = contents("run")
    Path("run").rename("whole")
    assert train() == 0
    settings = read("run/settings.json")
    for name in ("objective", "n_samples", "free_bits"):
        del settings[name]
    Path("run/settings.json").write_text(json.dumps(settings), encoding="utf-8")
    assert main(["train", "--resume", "run", "--epochs", "3"]) == 0
    _, test = contents("run")
    assert test == wanted[1]
    assert fastvae.load("run").n_parameters == fastvae.load("whole").n_parameters
    for one, two in zip(
        fastvae.load("run").named_layers().values(),
        fastvae.load("whole").named_layers().values(),
        strict=True,
    ):
        np.testing.assert_array_equal(one.weight, two.weight)
    assert read("run/settings.json") == read("whole/settings.json")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--objective", "iwea"], 2, "got 'iwea' (did you mean iwae?)"),
        (["--objective", "IWAE"], 2, "got 'IWAE'"),
        (["--n-samples", "0"], 2, "--n-samples"),
        (["--n-samples", "-1"], 2, "--n-samples"),
        (["--n-samples", "1.5"], 2, "--n-samples"),
        (["--n-samples", "five"], 2, "--n-samples"),
        (["--n-samples", "10000000000"], 1, "n-samples"),
        (["--free-bits", "-1"], 1, "--free-bits"),
        (["--free-bits", "nan"], 1, "--free-bits"),
        (["--free-bits", "inf"], 1, "--free-bits"),
        (["--free-bits", "a"], 2, "--free-bits"),
        ([*IWAE, "--free-bits", "0.1"], 1, "--free-bits belongs to --objective elbo; got"),
        ([*IWAE, "--beta", "2"], 1, "--beta belongs to --objective elbo"),
        ([*IWAE, "--beta-warmup", "1"], 1, "--beta-warmup belongs to --objective elbo"),
        ([*IWAE, "--beta-cycles", "2"], 1, "--beta-cycles belongs to --objective elbo"),
        (
            [*IWAE, "--reconstruction-weight", "2"],
            1,
            "--reconstruction-weight belongs to --objective elbo",
        ),
        (
            ["--objective", "dreg", "--likelihood", "gaussian", "--sigma", "0.5",
             "--reconstruction-weight", "2"],
            1,
            "--reconstruction-weight",
        ),
    ],
)  # fmt: skip
def test_wrong_combinations_are_refused_before_anything_is_made(
    options: list[str], code: int, message: str, capsys: Any
) -> None:
    assert train(*options) == code
    assert message in capsys.readouterr().err
    assert not Path("run").exists()


def test_the_weight_of_a_gaussian_is_its_sigma() -> None:
    options = ["--likelihood", "gaussian", "--reconstruction-weight", "2"]
    assert train("--objective", "dreg", "--n-samples", "2", *options) == 0
