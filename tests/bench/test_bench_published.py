"""Published tables as commands: trials of each, runs that go on, and the page that they make."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.published import __main__ as command
from bench.published import numpy_reference, page, pytorch_vae
from bench.published.numpy_vae import our_model
from bench.published.records import RESULTS, Refused, read_all
from bench.published.settings import Deviation, burda2015, kingma2013, numpy_vae
from bench.published.settings import pytorch_vae as pytorch_settings
from fastvae import VAE, load

TABLES = (burda2015, kingma2013, numpy_vae, pytorch_settings)
EPS = float(np.finfo(np.float64).eps)


def run(folder: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """Run a trial; what it recorded, by name."""
    command.main([*arguments, "--quick", "--folder", str(folder)])
    return read_all(folder)


# Settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__.rpartition(".")[2])
def test_settings_are_plain_data_and_deviations_are_said(table: Any) -> None:
    settings = table.Settings()
    assert json.loads(json.dumps(asdict(settings)))  # as they are recorded
    assert table.SOURCE
    assert settings.shortened() != settings
    for deviation in table.DEVIATIONS:
        assert isinstance(deviation, Deviation)
        assert deviation.what
        assert deviation.here, deviation.what
        assert deviation.paper or deviation.code, deviation.what


def test_stages_of_burda_s_schedule() -> None:
    """3^i passes at 1e-3 * 10^(-i / 7); a short run is the beginning of the long one."""
    stages = burda2015.Stages(1e-3, steps_per_pass=3)
    rates = [stages(step, 10**9) for step in range(3 * burda2015.FULL)]
    counts = [rates.count(1e-3 * 10.0 ** (-i / 7)) for i in range(8)]
    assert counts == [3 * 3**i for i in range(8)]
    assert rates == sorted(rates, reverse=True)
    assert sum(counts[:6]) == 3 * burda2015.SHORT
    assert stages(5, 6) == stages(5, 7)


# Commands ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_trial_of_the_pytorch_example(tmp_path: Path) -> None:
    record = run(tmp_path, "pytorch_vae")["pytorch_vae"]
    assert record["quick"]
    assert list(record["figures"]) == list(pytorch_settings.ABLATION)
    assert all(np.isfinite(one["minus_elbo"]).all() for one in record["figures"].values())


def test_the_example_s_start_is_that_of_pytorch_s_linear_layers() -> None:
    settings = pytorch_settings.Settings()
    as_there = pytorch_vae.started(pytorch_settings.Start(True, True, True), settings, 0)
    ours = pytorch_vae.started(pytorch_settings.Start(), settings, 0)
    for name, layer in as_there.named_layers().items():
        bound = 1 / np.sqrt(layer.n_in)
        for values in (layer.weight, layer.bias):
            assert np.abs(values).max() <= bound
            # The greatest of n uniform numbers is below 0.5 bound with probability 0.5^n.
            assert np.abs(values).max() > 0.5 * bound
        assert not ours.named_layers()[name].bias.any()


@pytest.mark.slow
def test_trials_of_the_pictures(tmp_path: Path) -> None:
    records = run(tmp_path, "kingma2013")
    assert set(records["kingma2013"]["figures"]) == {"2", "5", "10", "20"}
    assert "numpy_vae" in run(tmp_path, "numpy_vae")
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.slow
def test_burda_s_run_goes_on_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, "burda2015", "--passes", "2")
    run(parts, "burda2015", "--passes", "1", "--train-only")
    assert not read_all(parts)
    monkeypatch.setattr("bench.published.burda2015.SHORT", 1)
    records = run(parts, "burda2015", "--passes", "2")
    assert set(records) == {"burda2015-k1-1", "burda2015-k1-2"}
    expected = read_all(whole)["burda2015-k1-2"]["figures"]
    for figures in (expected, records["burda2015-k1-2"]["figures"]):
        for one in figures["nll"].values():
            del one["seconds"]
    assert records["burda2015-k1-2"]["figures"] == expected
    model = load(parts / "runs" / "burda2015-k1" / "model2.safetensors")
    assert model.epochs == 2
    # A model that was not kept is that of the checkpoint.
    kept_model = parts / "runs" / "burda2015-k1" / "model2.safetensors"
    content = kept_model.read_bytes()
    kept_model.unlink()
    run(parts, "burda2015", "--passes", "2")
    assert kept_model.read_bytes() == content
    # The second time everything is there; one estimate that is missing is made up for.
    monkeypatch.setattr(VAE, "fit", lambda *_, **__: pytest.fail("trained again"))
    path = parts / "burda2015-k1-2.json"
    record = json.loads(path.read_text())
    kept = record["figures"]["nll"]["0"] = {"nll": 0.0}
    missing = record["figures"]["nll"].pop("1")
    path.write_text(json.dumps(record))
    again = run(parts, "burda2015", "--passes", "2")["burda2015-k1-2"]["figures"]["nll"]
    assert again["0"] == kept
    assert again["1"]["nll"] == missing["nll"]


def test_a_checkpoint_beyond_the_end_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "burda2015", "--passes", "2", "--train-only")
    folder = tmp_path / "runs" / "burda2015-k1"
    before = (folder / "run.checkpoint").read_bytes()
    run(tmp_path, "burda2015", "--passes", "1")
    assert "beyond pass 1" in capsys.readouterr().out
    assert not (folder / "model1.safetensors").exists()
    assert (folder / "run.checkpoint").read_bytes() == before


def test_a_damaged_checkpoint_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "burda2015-k1"
    folder.mkdir(parents=True)
    (folder / "run.checkpoint").write_bytes(b"no checkpoint")
    with pytest.raises(SystemExit):
        run(tmp_path, "burda2015", "--passes", "1")
    assert "run.checkpoint is not a valid checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("--k", "0"), ("--passes", "0"), ("--passes", "3281"), ("--train-only", "--evaluate-only")],
)
def test_what_burda_s_command_refuses(
    tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        run(tmp_path, "burda2015", *arguments)
    assert error.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_without_mnist_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastvae.data.locate", lambda *_: None)
    with pytest.raises(SystemExit):
        command.main(["pytorch_vae", "--folder", str(tmp_path)])
    with pytest.raises(Refused, match="--data-dir"):
        command.Call().images()
    assert not list(tmp_path.iterdir())


# The NumPy system ----------------------------------------------------------------------------


def small() -> numpy_vae.Settings:
    return numpy_vae.Settings(n_features=12, hidden=(7,), n_latent=3, beta=1 / 3)


def test_the_objective_is_the_same_in_both_systems() -> None:
    """The first update of RMSprop is rate * g / (sqrt(1 - decay) |g| + eps), for both.

    Float32 gradients are off by some 60 eps (chains of 12 + 7 + 3 terms, forward and backward) of
    the largest; where |g| is that small the update is anything up to its bound.
    """
    settings = small()
    system = numpy_reference.NumpySystem(settings, 0, own_noise=True)
    before = numpy_reference.start(settings, 0)
    ours = our_model(settings, 0)
    x = np.random.default_rng(1).random((5, 12))
    noise = np.random.Generator(np.random.Philox(1)).standard_normal((5, 3))  # as its first step
    _, gradients = ours.gradients(x.astype(np.float32), noise.astype(np.float32))
    system.step(x)
    names = dict(zip(system.layers, ours.named_layers(), strict=True))
    for name, (weight, bias) in system.layers.items():
        for part, after, start in zip(
            ("weight", "bias"), (weight, bias), before[name], strict=True
        ):
            gradient = gradients[f"{names[name]}.{part}"].astype(np.float64).T
            scale = np.sqrt(1 - settings.decay)
            expected = settings.learning_rate * gradient / (scale * np.abs(gradient) + settings.eps)
            error = 60 * np.finfo(np.float32).eps * np.abs(gradient).max()
            most = settings.learning_rate / scale
            allowed = most * np.minimum(2, 2 * error / (np.abs(gradient) + settings.eps)) + 8 * EPS
            assert np.all(np.abs(start - after - expected) <= allowed), f"{name}.{part}"


def test_other_noise_leaves_log_var_to_the_kl() -> None:
    """With the notebook's second draw the mean gradient of log_var is that of the KL alone."""
    settings = small()
    x = np.random.default_rng(1).random((1, 12))
    means, errors = [], []
    for own_noise in (False, True):
        system = numpy_reference.NumpySystem(settings, 0, own_noise=own_noise)
        drawn = np.array([system.gradients(x)["log_var"][1] for _ in range(3000)])
        _, log_var = system.encode(x)
        of_kl = 0.5 / settings.n_latent * (np.exp(log_var[0]) - 1)
        means.append(drawn.mean(0) - of_kl)
        errors.append(drawn.std(0) / np.sqrt(len(drawn)))
    assert np.all(np.abs(means[0]) < 5 * errors[0])
    assert np.all(means[1] > 10 * errors[1])  # a wider draw costs squared error


# The page ------------------------------------------------------------------------------------


def test_page_and_readme_are_what_the_records_make() -> None:
    records = read_all(RESULTS)
    assert page.PAGE.read_text(encoding="utf-8") == page.text(records)
    readme = page.README.read_text(encoding="utf-8")
    between = readme.partition(page.START)[2].partition(page.END)[0]
    assert between == f"\n{page.readme_text(records)}\n"


def test_records_are_no_trials_and_keep_what_must_hold() -> None:
    records = read_all(RESULTS)
    assert not any(record["quick"] for record in records.values())
    reached = records["pytorch_vae"]["figures"]["as fastvae starts"]["minus_elbo"]
    assert max(reached) <= pytorch_settings.BOUND
    for k, bound in burda2015.BOUNDS.items():
        record = records.get(f"burda2015-k{k}-{burda2015.FULL}")
        if record is not None:
            figures = [one["nll"] for one in record["figures"]["nll"].values()]
            assert np.mean(figures) <= bound


def test_a_run_that_is_not_complete_is_not_reported() -> None:
    whole: dict[str, Any] = {
        "name": "burda2015-k1-3280",
        "date": "2026-01-02T03:04",
        "commit": "abc",
        "machine": {"cpu": "C", "cpus": 2, "threads": 2, "instruction_set": "avx2"},
        "versions": {"numpy": "2"},
        "load_average": 1.0,
        "seconds": 7200.0,
        "settings": asdict(burda2015.Settings()),
        "figures": {
            "active_units": 19,
            "minus_elbo": 90.0,
            "nll": {
                str(seed): {"nll": 86.0 + seed, "rows_with_few_effective_samples": 3}
                for seed in range(3)
            },
        },
    }
    text = page.burda_section({"burda2015-k1-3280": whole})
    assert "| VAE, k = 1 | 3,280 | 87.00 (86.00, 87.00, 88.00) | 86.76 | 19 | 19 | 90.00" in text
    del whole["figures"]["nll"]["2"]
    text = page.burda_section({"burda2015-k1-3280": whole})
    assert "No run has come to its end yet." in text
    assert "87.00" not in text
