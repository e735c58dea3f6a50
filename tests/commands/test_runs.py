"""Run folders: where they are made, what is refused, what they hold."""

from __future__ import annotations

import fcntl
import json
import os

import numpy as np
import pytest

from fastvae import VAE
from fastvae.commands import runs, settings
from fastvae.commands.parser import build_parser
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


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "given"
    made.mkdir()
    return made


@pytest.mark.parametrize("name", runs.FILES)
def test_a_given_folder_that_holds_a_file_of_a_run_is_refused(folder, name):
    (folder / name).touch()
    with pytest.raises(FileExistsError, match=f"already holds a run .{name}") as error:
        Run.create("mnist", folder)
    can_go_on = name == "settings.json"
    assert (f"go on with  fastvae train --resume {folder}" in str(error.value)) == can_go_on
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_given_folder_may_hold_other_files(folder):
    for name in ("notes.txt", ".mine.tmp"):
        (folder / name).write_text("mine")
    run = Run.create("mnist", folder)
    run.write_settings({})
    run.discard_if_empty()
    assert sorted(path.name for path in folder.iterdir()) == [".mine.tmp", "notes.txt"]


def beginning(folder):
    """What a process leaves that is killed before it has trained."""
    args = build_parser().parse_args(["train", "--epochs", "3"])
    run = Run(folder, is_begun_here=True)
    run.write_settings(settings.recorded(args, "images.npz", "grey"))
    run.close()
    (folder / ".0123abcd-0123456789abcdef.tmp").touch()
    (folder / "samples").mkdir()
    (folder / "samples" / ".0123abcd-0123456789abcdef.tmp").touch()


def test_a_start_that_came_to_nothing_does_not_block_the_next(folder):
    beginning(folder)
    runs.check_output(folder)
    run = Run.create("mnist", folder)
    assert sorted(path.name for path in folder.rglob("*")) == ["samples", "settings.json"]
    run.discard_if_empty()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", '{"editor.fontSize": 12}', "[1]"])
def test_settings_of_another_program_are_not_replaced(folder, content):
    (folder / "settings.json").write_text(content)
    with pytest.raises(FileExistsError, match=r"already holds a run \(settings.json\)"):
        Run.create("mnist", folder)
    assert (folder / "settings.json").read_text() == content


def test_of_two_starters_of_one_folder_one_gets_it(folder, monkeypatch):
    """Each has looked before the other one begins."""
    run = Run.create("mnist", folder)
    with pytest.raises(BlockingIOError, match=f"another process trains in {folder}"):
        Run.create("mnist", folder)
    check, looks = runs.check_output, []

    def look(output):
        check(output)
        looks.append(output)
        if len(looks) == 1:  # the first one trains, and ends
            (folder / "model.safetensors").touch()
            run.close()

    monkeypatch.setattr(runs, "check_output", look)
    with pytest.raises(FileExistsError, match="already holds a run"):
        Run.create("mnist", folder)
    (folder / "model.safetensors").unlink()
    Run.create("mnist", folder).close()  # the lock was let go of


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_folder_that_vanishes_meanwhile_is_not_claimed(folder, monkeypatch, is_made_anew):
    flock = fcntl.flock

    def flock_late(descriptor, operation):
        folder.rmdir()
        if is_made_anew:
            folder.mkdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with pytest.raises(BlockingIOError, match="another process trains in"):
        Run.create("mnist", folder)


def test_folders_that_were_made_for_nothing_go_and_others_stay(tmp_path):
    (tmp_path / "a").mkdir()
    run = Run.create("mnist", tmp_path / "a" / "b" / "c" / "d")
    (tmp_path / "a" / "b" / "notes.txt").touch()
    run.discard_if_empty()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", "notes.txt"]


@pytest.mark.parametrize("output", [".", "", "nothing/..", "/", "//", "/usr/.."])
def test_a_run_has_a_folder_of_its_own(tmp_path, output):
    with pytest.raises(ValueError, match="must be a folder of its own"):
        Run.create("mnist", output)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["x" * 256, "a/" + "x" * 256, "a/b/" + "x" * 256, "x/" * 3000])
def test_names_that_are_too_long_leave_nothing(tmp_path, output):
    with pytest.raises(OSError, match="output folder .*x cannot be written: File name too long"):
        Run.create("mnist", output)
    assert list(tmp_path.iterdir()) == []


def test_links_as_output_folders(tmp_path, folder):
    (tmp_path / "link").symlink_to(folder)
    Run.create("mnist", tmp_path / "link").close()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="circle cannot be written: "):
        Run.create("mnist", tmp_path / "circle")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(NotADirectoryError, match="dangling cannot be written: Not a directory"):
        Run.create("mnist", tmp_path / "dangling")


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
    (tmp_path / "run").mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="cannot be written: Permission denied"):
        Run.create("mnist", tmp_path / "run")


def test_an_epoch_takes_away_what_was_said_of_the_model_before(vae):
    run = Run.create("mnist")
    for name in ("test.json", "reconstructions.png", "samples.png", "loss.png", "notes.txt"):
        (run.folder / name).touch()
    run.on_epoch_end(vae, 1, FIGURES)
    assert [path.name for path in run.folder.iterdir()] == ["notes.txt"]
    assert run.n_saved == 1


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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64(1)])
def test_figures_that_json_lacks_are_not_written(value):
    run = Run.create("mnist")
    for write, name in ((run.write_test, "test.json"), (run.write_settings, "settings.json")):
        write({"loss": 1.5})
        before = (run.folder / name).read_bytes()
        with pytest.raises((TypeError, ValueError), match=rf"{name}\['elbo'\] must be"):
            write({"loss": 2.5, "elbo": value})
        assert (run.folder / name).read_bytes() == before


def test_what_was_saved_stays(vae):
    for name in ("model.safetensors", "checkpoint.safetensors"):
        run = Run.create("mnist")
        run.write_settings({})
        (run.folder / name).touch()
        run.discard_if_empty()
        assert {path.name for path in run.folder.iterdir()} == {name, "settings.json"}


def test_of_a_training_that_diverged_before_an_epoch_was_over_nothing_stays():
    run = Run.create("mnist")
    run.write_settings({})
    (run.folder / "samples").mkdir()
    for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
        (run.folder / name).touch()
    run.discard_if_empty(is_worthless=True)
    assert not run.folder.exists()


def test_a_run_that_is_gone_on_with_is_never_discarded(tmp_path):
    (tmp_path / "settings.json").touch()
    Run.open(tmp_path).discard_if_empty(is_worthless=True)
    assert (tmp_path / "settings.json").exists()


def test_one_process_at_a_time_trains_in_a_folder():
    run = Run.create("mnist")
    run.write_settings({})
    with pytest.raises(BlockingIOError, match="another process trains in runs/mnist-1"):
        Run.open(run.folder)
    run.close()
    Run.open(run.folder).close()


def test_what_a_killed_process_has_left_half_written_goes(tmp_path):
    for name in ("settings.json", ".0123456789abcdef.tmp", ".mine", "notes.tmp"):
        (tmp_path / name).touch()
    Run.open(tmp_path).close()
    assert {path.name for path in tmp_path.iterdir()} == {"settings.json", ".mine", "notes.tmp"}


@pytest.mark.parametrize("marks", [("test.json",), ("history.csv",)])
def test_a_run_without_a_checkpoint_is_not_begun_anew_over_its_model(tmp_path, marks):
    for name in ("settings.json", "model.safetensors", *marks):
        (tmp_path / name).write_text("epoch,loss\n1,2.0\n2,2.0\n3,2.0\n")
    with pytest.raises(ValueError, match="has no checkpoint .* and cannot be gone on with"):
        Run.open(tmp_path)
    # Killed before the first checkpoint was on the disk.
    (tmp_path / marks[0]).unlink()
    (tmp_path / "history.csv").write_text("epoch,loss\n1,2.0\n2,2.0\n")
    Run.open(tmp_path).close()
    # Neither the model nor a checkpoint could be written: there is nothing to lose.
    (tmp_path / "history.csv").write_text("epoch,loss\n1,2.0\n2,2.0\n3,2.0\n")
    (tmp_path / "model.safetensors").unlink()
    Run.open(tmp_path).close()


def test_what_is_no_run_is_not_gone_on_with(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no run folder nowhere"):
        Run.open("nowhere")
    with pytest.raises(FileNotFoundError, match="holds no run: there is no settings.json"):
        Run.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=f"is a file; give its run folder, {tmp_path}"):
        Run.open(tmp_path / "file")
