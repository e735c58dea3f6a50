"""Run folders: where they are made, what is refused, what they hold."""

from __future__ import annotations

import csv
import errno
import json
import os

import numpy as np
import pytest

from fastvae import VAE
from fastvae.commands import runs
from fastvae.commands.runs import Run

FIGURES = {"loss": 3.5, "elbo": -3.25, "active_units": 1}


@pytest.fixture
def vae():
    return VAE.from_sizes(n_features=4, hidden=(3,), n_latent=2)


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_take_the_next_free_number():
    assert Run.create("mnist").folder.as_posix() == "runs/mnist-1"
    assert Run.create("mnist").folder.as_posix() == "runs/mnist-2"
    assert Run.create("other").folder.as_posix() == "runs/other-1"
    (runs.ROOT / "mnist-1").rmdir()
    assert Run.create("mnist").folder.as_posix() == "runs/mnist-1"
    assert Run.create("mnist").folder.as_posix() == "runs/mnist-3"


def test_a_given_folder_is_made_with_its_parents(tmp_path):
    assert Run.create("mnist", tmp_path / "a" / "b").folder.is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["model.safetensors", "history.csv", "settings.json"])
def test_a_given_folder_that_holds_a_run_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(FileExistsError, match=f"already holds a run .{name}"):
        Run.create("mnist", tmp_path)


def test_a_given_folder_may_hold_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run = Run.create("mnist", tmp_path)
    run.write_settings({})
    run.discard_if_empty()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_output_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="output folder .* cannot be written: "):
        Run.create("mnist", tmp_path / "file" / "run")
    with pytest.raises(OSError, match="output folder .* cannot be written: "):
        Run.create("mnist", tmp_path / "file")
    (tmp_path / "runs").touch()
    with pytest.raises(OSError, match="output folder .* cannot be written: "):
        Run.create("mnist")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_an_output_folder_without_permission_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="cannot be written: Permission denied"):
        Run.create("mnist", tmp_path)


def test_each_epoch_saves_the_model_and_a_row_of_history(vae):
    run = Run.create("mnist")
    for epoch in (1, 2):
        vae.decoder.layers[-1].bias = np.full(4, epoch)
        run.on_epoch_end(vae, epoch, FIGURES)
        assert run.n_saved == epoch
        saved = VAE()
        saved.load(run.model_path)
        np.testing.assert_array_equal(saved.decoder.layers[-1].bias, np.full(4, epoch))
        with open(run.folder / "history.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        expected = {name: str(value) for name, value in FIGURES.items()}
        assert rows == [{"epoch": str(n), **expected} for n in range(1, epoch + 1)]
    run.discard_if_empty()
    assert {path.name for path in run.folder.iterdir()} == {"model.safetensors", "history.csv"}


def test_settings_and_test_figures_are_json():
    run = Run.create("mnist")
    run.write_settings({"hidden": [256], "validation": None})
    run.write_test(FIGURES)
    assert json.loads((run.folder / "settings.json").read_text()) == {
        "hidden": [256],
        "validation": None,
    }
    assert json.loads((run.folder / "test.json").read_text()) == FIGURES


def test_a_run_without_an_epoch_leaves_nothing():
    run = Run.create("mnist")
    run.write_settings({})
    run.discard_if_empty()
    assert not run.folder.exists()


def test_the_latest_model_is_the_one_written_last(vae):
    assert runs.latest_model() is None
    first, second = Run.create("a"), Run.create("b")
    for run, time in ((first, 2_000_000_000), (second, 1_000_000_000)):
        vae.save(run.model_path)
        os.utime(run.model_path, (time, time))
    assert runs.latest_model() == first.model_path


def test_a_model_that_is_not_finite_leaves_the_one_before(tmp_path):
    run = Run.create("mnist", tmp_path / "run")
    vae = VAE.from_sizes(6, (4,), 2)
    run.on_epoch_end(vae, 1, {"loss": 3.0})
    before = {path: path.read_bytes() for path in run.folder.iterdir()}
    # As after an update that was not finite: assigning NaN is refused.
    vae.network.parameters[:] = np.nan
    with pytest.raises(ValueError, match=r"encoder\.0\.weight holds NaN"):
        run.on_epoch_end(vae, 2, {"loss": 2.0})
    assert {path: path.read_bytes() for path in run.folder.iterdir()} == before
    assert run.n_saved == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64(1)])
def test_figures_that_json_lacks_are_not_written(value):
    run = Run.create("mnist")
    for write, name in ((run.write_test, "test.json"), (run.write_settings, "settings.json")):
        write({"loss": 1.5})
        before = (run.folder / name).read_bytes()
        with pytest.raises((TypeError, ValueError), match=rf"{name}\['elbo'\] must be"):
            write({"loss": 2.5, "elbo": value})
        assert (run.folder / name).read_bytes() == before


def test_a_history_that_cannot_be_written_stays_whole(vae, monkeypatch):
    run = Run.create("mnist")
    run.on_epoch_end(vae, 1, FIGURES)
    before = (run.folder / "history.csv").read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(vae, "save", lambda path: None)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"history\.csv"):
        run.on_epoch_end(vae, 2, FIGURES)
    assert (run.folder / "history.csv").read_bytes() == before
    assert {path.name for path in run.folder.iterdir()} == {"model.safetensors", "history.csv"}
