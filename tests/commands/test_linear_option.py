"""``--hidden none``: a linear model, trained, gone on with and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastvae
from fastvae import VAE
from fastvae.commands.cli import main

RUN = ["--latent", "2", "--batch-size", "32", "--no-pictures", "--output", "run", "--epochs", "1"]


@pytest.mark.slow
def test_a_linear_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    rows = (np.random.default_rng(0).random((190, 16)) * 255).astype(np.uint8)
    np.savez("rows.npz", train=rows[:150], test=rows[150:])
    assert main(["train", "--dataset", "rows.npz", "--hidden", "none", *RUN]) == 0
    assert "model   16-2-16, bernoulli" in capsys.readouterr().out
    assert main(["train", "--resume", "run", "--epochs", "3"]) == 0
    assert json.loads(Path("run/settings.json").read_text(encoding="utf-8"))["hidden"] == ["none"]
    vae = VAE.from_sizes(16, (), 2)
    vae.fit(rows[:150], epochs=3, batch_size=32, verbose=False)
    loaded = fastvae.load("run")
    np.testing.assert_array_equal(loaded.network.parameters, vae.network.parameters)
    assert main(["info", "run"]) == 0
    assert main(["evaluate", "run", "--dataset", "rows.npz"]) == 0
    assert main(["sample", "run", "-n", "4"]) == 0


@pytest.mark.parametrize("hidden", ['[8, "none"]', '["nothing"]', '["8"]', "[true]"])
def test_settings_of_another_kind_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, hidden: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.ones((40, 16), np.float32))
    assert main(["train", "--dataset", "rows.npy", "--hidden", "none", *RUN]) == 0
    path = Path("run/settings.json")
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(settings | {"hidden": json.loads(hidden)}), encoding="utf-8")
    capsys.readouterr()
    assert main(["train", "--resume", "run"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("fastvae: error: run/settings.json is not a valid settings file: ")
    assert "hidden" in error
