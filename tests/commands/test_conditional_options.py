"""``fastvae train --conditional`` and what the other commands do with labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import pixel_rows

import fastvae
from fastvae.commands.cli import main

N_ROWS, N_TEST, SIDE = 60, 12, 5
TRAIN = ["train", "--conditional", "--epochs", "1", "--hidden", "6", "--latent", "2", "--quiet"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three classes with names."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    rows = pixel_rows(N_ROWS + N_TEST, SIDE * SIDE)
    labels = np.array(["one", "two", "three"])[np.arange(len(rows)) % 3]
    parts: dict[str, Any] = {"train": rows[:N_ROWS], "test": rows[N_ROWS:]}
    np.savez(path, train_labels=labels[:N_ROWS], test_labels=labels[N_ROWS:], **parts)
    return path


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a conditional model."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = ["--dataset", str(data), "--output", str(folder), "--prior", "label"]
    assert main([*TRAIN, *options, "--validation", "10", "--sample-grid", "1"]) == 0
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    assert main([str(word) for word in words]) != 0
    return capsys.readouterr().err


def test_a_run_has_classes_and_their_names(run: Path) -> None:
    vae = fastvae.load(run)
    assert (vae.n_classes, vae.prior) == (3, "label")
    assert vae.class_names == ["one", "three", "two"]  # in the order of their names
    settings = json.loads((run / "settings.json").read_text())
    assert (settings["conditional"], settings["prior"]) == (True, "label")
    assert {"reconstructions.png", "samples.png", "test.json"} <= {p.name for p in run.iterdir()}
    assert "conditional" not in vae.card


def test_settings_of_older_runs_are_those_of_models_without_classes(run: Path) -> None:
    from fastvae.commands.settings import read

    path, content = run / "settings.json", (run / "settings.json").read_text()
    older = {k: v for k, v in json.loads(content).items() if k not in ("conditional", "prior")}
    try:
        path.write_text(json.dumps(older))
        found = read(run)
    finally:
        path.write_text(content)
    assert (found["conditional"], found["prior"]) == (False, "normal")


def test_a_run_is_gone_on_with(data: Path, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    for folder, epochs in ((whole, "2"), (part, "1")):
        options = ["--dataset", str(data), "--output", str(folder), "--no-pictures"]
        assert main([*TRAIN, *options, "--epochs", epochs]) == 0
    assert main(["train", "--resume", str(part), "--epochs", "2", "--quiet"]) == 0
    models = [fastvae.load(folder) for folder in (whole, part)]
    np.testing.assert_array_equal(models[0].sample(6, seed=0), models[1].sample(6, seed=0))


@pytest.mark.parametrize(
    "words",
    [
        "sample RUN --output OUT.png", "sample RUN --label two --output OUT.png -n 4",
        "sample RUN --label 1 --output OUT.gif -n 2", "sample RUN --output OUT.gif -n 2",
        "reconstruct RUN --dataset DATA --output OUT.png -n 3",
        "interpolate RUN --dataset DATA --from one --to two --output OUT.png -n 2",
        "interpolate RUN --dataset DATA --output OUT.gif",
        "manifold RUN --label three -n 3 --output OUT.png",
        "latent RUN --dataset DATA --output OUT.png",
        "latent RUN --dataset DATA --activity --output OUT.png",
    ],
)  # fmt: skip
def test_pictures(words: str, run: Path, data: Path, tmp_path: Path) -> None:
    names = {"RUN": str(run), "DATA": str(data)}
    given = [names.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in words.split()]
    assert main(given) == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_a_film_of_an_interpolation_changes_its_label_half_way(run: Path) -> None:
    from fastvae.plots.animation import latent_walk

    vae = fastvae.load(run)
    stops = np.zeros((2, 1, 2))
    frames: list[Any] = []
    decode = vae.decode
    vae.decode = lambda z, labels: frames.append(labels) or decode(z, labels=labels)  # type: ignore
    latent_walk(vae, stops, run.parent / "walk.gif", labels=[0, 2], n_steps=4)
    assert frames[0].tolist() == [0, 0, 2, 2, 2, 2, 0, 0]


@pytest.mark.filterwarnings("ignore:.*effective sample size")
def test_evaluate_takes_labels_along(run: Path, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    options = ["--dataset", str(data), "--nll", "150", "--output", str(path)]
    assert main(["evaluate", str(run), *options]) == 0
    found = json.loads(path.read_text())
    dataset = fastvae.Dataset(data)
    wanted = fastvae.load(run).elbo(dataset.test, labels=dataset.test_labels)
    assert found["elbo"]["elbo"] == wanted.elbo
    assert np.isfinite(found["log_likelihood"]["value"])


def test_the_card_says_how_labels_are_given(run: Path, capsys: Any) -> None:
    assert main(["card", str(run), "--output", "-"]) == 0
    text = capsys.readouterr().out
    assert "vae.sample(16, seed=0, label=0)" in text
    assert "vae.encode(rows, labels=labels)" in text


def test_what_is_refused(run: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
    rows, out = tmp_path / "rows.npy", tmp_path / "out"
    np.save(rows, pixel_rows(20, SIDE * SIDE))
    for name, labels in (("negative", [-1, 0] * 10), ("large", [0, 99] * 10)):
        np.savez(tmp_path / f"{name}.npz", train=np.load(rows), train_labels=labels)
    start = [*TRAIN, "--output", out, "--dataset"]
    assert "--prior label belongs to --conditional" in refused(
        capsys, "train", "--prior", "label", "--dataset", rows, "--output", out
    )
    assert "the training rows of" in refused(capsys, *start, rows)
    assert "go from -1 to 0" in refused(capsys, *start, tmp_path / "negative.npz")
    assert "go from 0 to 99" in refused(capsys, *start, tmp_path / "large.npz")
    assert not out.exists()
    assert "one of the classes 'one'" in refused(capsys, "sample", run, "--label", "four")
    assert "--label must be from 0 to 2" in refused(capsys, "sample", run, "--label", "3")
    assert "is drawn of one class" in refused(capsys, "manifold", run)
    for words in (["evaluate", run], ["reconstruct", run], ["latent", run]):
        assert "needs labels" in refused(capsys, *words, "--dataset", rows)
    plain = ["sample", "synthetic_digits", "--label", "3", "--output", tmp_path / "a.png"]
    assert "--label is for conditional models" in refused(capsys, *plain)
