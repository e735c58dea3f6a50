"""``--binarize``: what a run is trained on and evaluated on, and where that is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastvae
from fastvae import VAE
from fastvae.commands.cli import main
from fastvae.typing import Binarization

SMALL = ["--dataset", "images.npz", "--hidden", "8", "--latent", "2", "--batch-size", "32"]
SMALL += ["--no-pictures", "--validation", "30"]
each_name = pytest.mark.parametrize("name", ["dynamic", "threshold", "fixed"])


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A .npz file of 150 training and 40 test images of 4 x 4 grey pixels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVAE_EPOCHS", raising=False)
    rng = np.random.default_rng(0)
    rows = (rng.random((190, 16)) * 255).astype(np.uint8)
    np.savez("images.npz", train=rows[:150], test=rows[150:])
    return tmp_path / "images.npz"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(name).read_text(encoding="utf-8"))
    return found


def train(*options: str) -> int:
    return main(["train", *SMALL, "--output", "run", "--epochs", "2", *options])


@each_name
def test_a_run_is_what_fit_and_elbo_make_of_it(name: Binarization, capsys: Any) -> None:
    assert train("--binarize", name) == 0
    out = capsys.readouterr().out
    with np.load("images.npz") as arrays:
        rows, test = arrays["train"], arrays["test"]
    vae = VAE.from_sizes(16, (8,), 2)
    vae.fit(
        rows[:120], epochs=2, batch_size=32, validation=rows[120:], binarize=name, verbose=False
    )
    loaded = fastvae.load("run")
    np.testing.assert_array_equal(loaded.decode(np.zeros(2)), vae.decode(np.zeros(2)))
    figures = read("run/test.json")
    elbo = vae.elbo(test, binarize=name)
    assert (figures["elbo"], figures["reconstruction"], figures["kl"]) == elbo
    settings = read("run/settings.json")
    for holder in (figures, settings, loaded.card):
        assert holder["variant"] == name
    for holder in (settings, loaded.card):
        assert holder["binarize"] == name
    assert f"{name}: values" in out
    assert f"data {name}\n" in out


@each_name
def test_a_stopped_run_goes_on_as_it_was_begun(name: str, monkeypatch: Any, capsys: Any) -> None:
    from fastvae.commands.runs import Run

    assert train("--binarize", name, "--epochs", "4") == 0
    contents = [Path("run", f).read_bytes() for f in ("model.safetensors", "test.json")]
    Path("run").rename("whole")
    original = Run.on_epoch_end

    def stop(run: Run, vae: VAE, epoch: int, figures: Any) -> None:
        original(run, vae, epoch, figures)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "on_epoch_end", stop)
        assert train("--binarize", name, "--epochs", "4") == 130
    assert main(["train", "--resume", "run"]) == 0
    assert [Path("run", f).read_bytes() for f in ("model.safetensors", "test.json")] == contents
    capsys.readouterr()
    assert main(["train", "--resume", "run", "--binarize", name]) == 1
    assert "--binarize belongs to the run" in capsys.readouterr().err


def test_a_run_on_grey_pixels_says_so(capsys: Any) -> None:
    assert train() == 0
    out = capsys.readouterr().out
    assert "grey: values between 0 and 1, so these nats are no probability of the data" in out
    assert "data grey\n" in out
    assert read("run/test.json")["variant"] == "grey"
    assert read("run/settings.json")["binarize"] is None
    assert fastvae.load("run").card["variant"] == "grey"


def test_evaluate_names_the_variant(capsys: Any) -> None:
    assert train("--quiet") == 0
    vae = fastvae.load("run")
    with np.load("images.npz") as arrays:
        test = arrays["test"]
    for binarize in (None, "dynamic", "threshold", "fixed"):
        options = [] if binarize is None else ["--binarize", binarize]
        capsys.readouterr()
        arguments = ["evaluate", "run", "--dataset", "images.npz", "--seed", "4", *options]
        assert main(arguments) == 0
        out = capsys.readouterr().out
        elbo = vae.elbo(test, seed=4, binarize=binarize).elbo
        assert f"ELBO                {elbo:10.3f} nats" in out
        assert f"data                {binarize or 'grey'}: " in out


def test_rows_of_0_and_1_are_binary(capsys: Any) -> None:
    with np.load("images.npz") as arrays:
        np.savez("images.npz", **{name: (array > 99) * 1.0 for name, array in arrays.items()})
    assert train() == 0
    assert "binary: values of 0 and 1" in capsys.readouterr().out
    assert read("run/test.json")["variant"] == "binary"


def test_other_likelihoods_are_refused_before_anything_is_made(capsys: Any) -> None:
    assert train("--binarize", "dynamic", "--likelihood", "gaussian") == 1
    assert "--binarize belongs to --likelihood bernoulli" in capsys.readouterr().err
    assert not Path("run").exists()
    assert train("--likelihood", "gaussian") == 0
    assert "values: as they are" in capsys.readouterr().out
    command = ["evaluate", "run", "--dataset", "images.npz", "--binarize", "fixed"]
    assert main(command) == 1
    assert "is for the Bernoulli likelihood" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_other_names_are_wrong_usage(command: str, capsys: Any) -> None:
    assert main([command, "--binarize", "static"]) == 2
    assert "got 'static'" in capsys.readouterr().err


def test_a_recorded_binarization_that_was_edited_is_refused(capsys: Any) -> None:
    assert train("--binarize", "dynamic") == 0
    settings = read("run/settings.json")
    for value, message in (
        ("fixed", "binarize was dynamic and is fixed"),
        (None, "binarize was dynamic and is not given"),
        ("static", '"binarize" must be one of dynamic, threshold, fixed'),
    ):
        text = json.dumps(settings | {"binarize": value})
        Path("run/settings.json").write_text(text, encoding="utf-8")
        capsys.readouterr()
        assert main(["train", "--resume", "run", "--epochs", "3"]) == 1
        assert message in capsys.readouterr().err
