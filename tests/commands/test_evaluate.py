"""``fastvae evaluate`` with --nll: log p(x), its error bars, and the file that holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastvae
from fastvae import VAE
from fastvae.commands.cli import main
from fastvae.evaluation import evaluate

DATA = ["--dataset", "images.npz"]
few_samples = pytest.mark.filterwarnings("ignore:.*effective sample size:UserWarning")


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VAE:
    """A model beside a .npz file of 100 training and 30 test rows of 16 grey pixels."""
    monkeypatch.chdir(tmp_path)
    rows = (np.random.default_rng(0).random((130, 16)) * 255).astype(np.uint8)
    np.savez("images.npz", train=rows[:100], test=rows[100:])
    vae = VAE.from_sizes(16, (8,), 2, seed=1)
    vae.fit(rows[:100], epochs=2, verbose=False)
    vae.save("model")
    return vae


def held_out() -> np.ndarray:
    with np.load("images.npz") as arrays:
        return np.asarray(arrays["test"])


def read(name: str = "evaluation.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(name).read_text(encoding="utf-8"))
    return found


@few_samples
def test_the_file_and_the_table_hold_what_log_likelihood_returns(model: VAE, capsys: Any) -> None:
    assert main(["evaluate", "model", *DATA, "--nll", "300", "--seed", "3"]) == 0
    found = read()
    given = {key: found[key] for key in ("dataset", "rows", "n_rows", "variant", "seed")}
    assert given == {
        "dataset": "images.npz", "rows": "test", "n_rows": 30, "variant": "grey", "seed": 3
    }  # fmt: skip
    expected = model.log_likelihood(held_out(), 300, seed=3)
    likelihood = found["log_likelihood"]
    assert likelihood["estimator"] == "importance sampling"
    assert likelihood["samples"] == 300
    # Means of 30 values, summed otherwise.
    assert likelihood["value"] == pytest.approx(expected.value, rel=1e-14)
    assert likelihood["standard_error"] == pytest.approx(expected.standard_error, rel=1e-13)
    assert likelihood["ess"] == pytest.approx(expected.ess, rel=1e-14)
    rows = model.log_likelihood(held_out(), 300, seed=3, per_sample=True)
    assert likelihood["least_ess"] == rows.ess.min()
    assert likelihood["rows_below_100_ess"] == np.count_nonzero(rows.ess < 100)
    assert likelihood["standard_error_over_rows"] == pytest.approx(
        rows.value.std(ddof=1) / np.sqrt(30), rel=1e-12
    )
    assert found["elbo"]["elbo"] == pytest.approx(model.elbo(held_out(), seed=3).elbo, rel=1e-14)
    out = capsys.readouterr().out
    assert f"log p(x)            {likelihood['value']:10.3f} nats, standard error" in out
    assert "by importance sampling, 300 samples, seed 3" in out
    assert "no probability of the data" in out
    assert out.splitlines()[-1] == "written to evaluation.json"


@few_samples
def test_draws_of_the_rows_are_those_of_seeds_one_after_the_other(model: VAE, capsys: Any) -> None:
    options = ["--nll", "50", "--binarize", "dynamic", "--test-draws", "3", "--output", "f.json"]
    assert main(["evaluate", "model", *DATA, *options]) == 0
    assert not Path("evaluation.json").exists()
    found = read("f.json")
    values = [
        model.log_likelihood(held_out(), 50, seed=seed, binarize="dynamic").value
        for seed in range(3)
    ]
    elbos = [model.elbo(held_out(), seed=seed, binarize="dynamic").elbo for seed in range(3)]
    for name, key, expected in (("log_likelihood", "value", values), ("elbo", "elbo", elbos)):
        assert found[name]["of_draws"] == pytest.approx(expected, rel=1e-14)
        assert found[name][key] == pytest.approx(np.mean(expected), rel=1e-14)
        assert found[name]["standard_error_over_draws"] == pytest.approx(
            np.std(expected, ddof=1) / np.sqrt(3), rel=1e-9
        )
    # Of 50 samples no row has 100; a row that is drawn three times is still one row.
    assert found["log_likelihood"]["rows_below_100_ess"] == found["n_rows"] == 30
    draws = [evaluate(model, held_out(), seed=seed, binarize="dynamic") for seed in range(3)]
    errors = [draw.mean_squared_error for draw in draws]
    assert found["mean_squared_error"] == pytest.approx(np.mean(errors), rel=1e-14)
    assert found["active_units"] == draws[0].active_units
    assert (found["variant"], found["test_draws"]) == ("dynamic", 3)
    assert "3 draws of the rows" in capsys.readouterr().out


def test_without_nll_nothing_is_written_but_where_a_file_is_named(model: VAE) -> None:
    assert main(["evaluate", "model", *DATA]) == 0
    assert not Path("evaluation.json").exists()
    assert main(["evaluate", "model", *DATA, "--output", "figures.json"]) == 0
    found = read("figures.json")
    assert "log_likelihood" not in found
    assert found["elbo"]["standard_error_over_draws"] is None


@few_samples
def test_one_sample_has_no_standard_error(capsys: Any) -> None:
    assert main(["evaluate", "model", *DATA, "--nll", "1"]) == 0
    assert read()["log_likelihood"]["standard_error"] is None
    said = capsys.readouterr().out
    assert "standard error" not in said
    assert "1 sample, seed 0" in said


@few_samples
def test_figures_that_are_infinite_are_null_in_the_file(capsys: Any) -> None:
    vae = VAE.from_sizes(16, (8,), 2, likelihood="gaussian", sigma=0.3)
    vae.decoder.layers[-1].bias = np.full(16, 1e30)
    vae.save("far")
    assert main(["evaluate", "far", *DATA, "--nll", "5"]) == 0
    found = read()
    assert found["elbo"]["elbo"] is found["log_likelihood"]["value"] is None
    assert found["log_likelihood"]["of_draws"] == [None]
    assert found["n_rows"] == found["log_likelihood"]["rows_below_100_ess"] == 30
    assert "log p(x)                  -inf nats" in capsys.readouterr().out


@few_samples
@pytest.mark.parametrize("n_threads", ["1", "2"])
def test_threads_do_not_show(n_threads: str) -> None:
    found, restore = [], fastvae.get_num_threads()
    try:
        for options in ([], ["--threads", n_threads]):
            assert main(["evaluate", "model", *DATA, "--nll", "40", *options]) == 0
            found.append(read())
            found[-1]["log_likelihood"].pop("seconds")
    finally:
        fastvae.set_num_threads(restore)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--test-draws", "2"], 1, "--test-draws belongs to --binarize dynamic"),
        (["--test-draws", "2", "--binarize", "fixed"], 1, "got --binarize fixed"),
        (["--nll", "0"], 2, "--nll"),
        (["--nll", "5000.0"], 2, "--nll"),
        (["--test-draws", "0"], 2, "--test-draws"),
        (["--nll", "5", "--output", "no/such/folder.json"], 1, "no/such"),
        (["--output", ""], 2, "must be a name"),
        (["--output", "."], 1, "folder"),
    ],
)
def test_wrong_options_are_one_line_before_any_work(
    options: list[str], status: int, message: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VAE, "log_likelihood", lambda *_, **__: pytest.fail("work was done"))
    try:
        code: Any = main(["evaluate", "model", *DATA, *options])
    except SystemExit as error:
        code = error.code
    assert code == status
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
