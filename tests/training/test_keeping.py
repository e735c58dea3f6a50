"""When checkpoints are written, and what happens where they cannot be."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from model_checks import (
    InterruptAt,
    assert_same_parameters,
    assert_same_run,
    parameters,
)
from run_checks import fit, new_vae

from fastvae import VAE
from fastvae.files import checkpoints
from fastvae.training.cadence import Cadence, cadence


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("epoch", Cadence(epochs=True)),
        (7, Cadence(updates=7)),
        ("30s", Cadence(seconds=30.0)),
        ("0.5s", Cadence(seconds=0.5)),
        (("epoch", "30s", 100), Cadence(epochs=True, updates=100, seconds=30.0)),
    ],
)
def test_what_checkpoint_every_means(given: Any, expected: Cadence) -> None:
    assert cadence(given) == expected


@pytest.mark.parametrize(
    "bad", ["", "s", "epochs", "30", "-1s", "0s", "infs", "nans", 0, -3, 1.5, None, (), True]
)
def test_what_checkpoint_every_cannot_mean(bad: Any) -> None:
    vae = new_vae()
    with pytest.raises((TypeError, ValueError), match="checkpoint_every"):
        fit(vae, checkpoint_every=bad)
    assert vae.updates == 0


@pytest.mark.parametrize("bad", [["epoch", 5], ("epoch", None), 1.5, True])
def test_what_checkpoint_every_can_mean_is_said(bad: Any) -> None:
    with pytest.raises(TypeError, match='must be "epoch", a number of .* or a tuple of these; got'):
        cadence(bad)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of updates at which checkpoints were written."""
    numbers: list[int] = []
    write = checkpoints.write

    def record(path: Path, saved: checkpoints.SavedRun, **others: Any) -> None:
        numbers.append(saved.facts["counts"]["n_updates"])
        write(path, saved, **others)

    monkeypatch.setattr(checkpoints, "write", record)
    return numbers


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        ("epoch", [11, 22, 33]),
        (4, [4, 8, 12, 16, 20, 24, 28, 32, 33]),
        (11, [11, 22, 33]),
        (1000, [33]),
        ("1000s", [33]),
        (("epoch", 10), [10, 11, 20, 22, 30, 33]),
    ],
)
def test_when_checkpoints_are_written(
    tmp_path: Path, written: list[int], every: Any, expected: list[int]
) -> None:
    """The last stands for the end of the run, and none is written twice."""
    fit(new_vae(), checkpoint=tmp_path / "run", checkpoint_every=every)
    assert written == expected


def test_a_finished_run_is_not_written_again(tmp_path: Path, written: list[int]) -> None:
    """It would take the place of the one before."""
    path = tmp_path / "run"
    fit(new_vae(), checkpoint=path)
    fit(new_vae(), checkpoint=path, resume=path)
    assert written == [11, 22, 33]
    fit(new_vae(), checkpoint=tmp_path / "other", resume=path)
    assert written == [11, 22, 33, 33]


def test_checkpoints_by_the_clock(tmp_path: Path, written: list[int]) -> None:
    """At the first run of updates after the time, unless one is still being written."""
    fit(new_vae(), checkpoint=tmp_path / "run", checkpoint_every="0.0000001s")
    assert written == sorted(set(written))
    assert written[0] == 3
    assert written[-1] == 33


def test_a_checkpoint_after_ctrl_c(tmp_path: Path, written: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(new_vae(), checkpoint=tmp_path / "run", callbacks=[InterruptAt("batch", 6)])
    assert written == [11, 17]


@pytest.mark.parametrize("every", [1, "epoch", "0.0000001s"])
def test_checkpoints_change_no_bit(tmp_path: Path, every: Any) -> None:
    checked = fit(new_vae(), checkpoint=tmp_path / "run", checkpoint_every=every)
    assert_same_run(checked, fit(new_vae()))


def test_callbacks_are_called_at_the_same_updates(tmp_path: Path) -> None:
    class Batches(InterruptAt):
        def __init__(self) -> None:
            self.updates: list[int] = []

        def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
            self.updates.append(vae.updates)

        def _count(self, hook: str) -> None:
            pass

    plain, checked = Batches(), Batches()
    fit(new_vae(), callbacks=[plain])
    fit(new_vae(), callbacks=[checked], checkpoint=tmp_path / "run", checkpoint_every=2)
    assert plain.updates == checked.updates
    assert plain.updates[:4] == [3, 6, 9, 11]


class Failing:
    """Makes `os.fsync` of ordinary files fail while it is on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on, fsync = False, os.fsync

        def fail(descriptor: int) -> None:
            if self.on:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", fail)


def test_a_failed_checkpoint_is_a_warning_and_the_next_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, disk = tmp_path / "run", Failing(monkeypatch)
    fit(new_vae(), epochs=1, checkpoint=path)
    write = checkpoints.write

    def fill(path: Path, saved: checkpoints.SavedRun, **others: Any) -> None:
        disk.on = saved.facts["counts"]["n_epochs"] == 2
        write(path, saved, **others)

    monkeypatch.setattr(checkpoints, "write", fill)
    with pytest.warns(
        RuntimeWarning, match=f"{path} could not be .* No space left on device"
    ) as warned:
        vae = fit(new_vae(), epochs=4, resume=path, checkpoint=path)
    assert len(warned) == 1, [str(w.message) for w in warned]
    assert checkpoints.read(checkpoints.previous_of(path)).facts["counts"]["n_epochs"] == 3
    assert checkpoints.read(path).facts["counts"]["n_epochs"] == 4
    assert sorted(os.listdir(tmp_path)) == ["run", "run.previous"]
    assert_same_run(vae, fit(new_vae(), epochs=4))


def test_a_run_that_ends_without_its_checkpoint_is_an_error_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, disk = tmp_path / "run", Failing(monkeypatch)
    fit(new_vae(), epochs=1, checkpoint=path)
    former, disk.on, vae = path.read_bytes(), True, new_vae()
    with (
        pytest.warns(RuntimeWarning, match="will be tried again, the training goes on: No space"),
        pytest.raises(OSError, match=f"No space left on device: '{path}'"),
    ):
        fit(vae, epochs=3, resume=path, checkpoint=path)
    assert path.read_bytes() == former
    assert os.listdir(tmp_path) == ["run"]
    assert vae.epochs == 3
    disk.on = False
    expected = fit(new_vae(), epochs=4)
    assert_same_run(fit(vae, epochs=4, resume=True), expected)
    assert_same_run(fit(new_vae(), epochs=4, resume=path), expected)


def test_after_ctrl_c_a_failed_checkpoint_hides_no_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Failing(monkeypatch)
    disk.on = True
    with (
        pytest.warns(RuntimeWarning, match="run could not be written and will be tried"),
        pytest.raises(KeyboardInterrupt),
    ):
        fit(new_vae(), checkpoint=tmp_path / "run", callbacks=[InterruptAt("batch", 2)])


def test_a_diverged_run_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(FloatingPointError):
        fit(new_vae(), checkpoint=path, learning_rate=lambda step, _: 1e-3 if step < 20 else 1e30)
    assert checkpoints.read(path).facts["counts"]["n_updates"] == 11


@pytest.mark.parametrize("bad", [3, b"run", True])
def test_a_checkpoint_is_named_by_a_path(bad: Any) -> None:
    with pytest.raises(TypeError, match="checkpoint must be the path of a file"):
        fit(new_vae(), checkpoint=bad)


def test_where_a_checkpoint_cannot_be_written(tmp_path: Path) -> None:
    for path, error in (
        (tmp_path, IsADirectoryError),
        (tmp_path / "no" / "run", FileNotFoundError),
    ):
        vae = new_vae()
        before = parameters(vae)
        with pytest.raises(error, match=str(path)), warnings.catch_warnings():
            fit(vae, checkpoint=path)
        assert_same_parameters(vae, before)
        assert vae.updates == 0


def test_a_checkpoint_behind_a_link_to_another_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before stays beside the link, where it cannot be a hard link: it is a copy."""

    def refuse(*names: Any) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    path, other = tmp_path / "run.ckpt", tmp_path / "other"
    other.mkdir()
    path.symlink_to(other / "far.ckpt")
    fit(new_vae(), checkpoint=path)
    assert (sorted(os.listdir(tmp_path)), os.listdir(other)) == (
        ["other", "run.ckpt", "run.previous.ckpt"], ["far.ckpt"],
    )  # fmt: skip
    assert checkpoints.read(checkpoints.previous_of(path)).facts["counts"]["n_epochs"] == 2


@pytest.mark.parametrize("bad", [None, "x", [1e-3], float("nan")])
def test_a_schedule_that_gives_no_rate_is_named(tmp_path: Path, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="learning_rate at step 5 of 33 must be"):
        fit(
            new_vae(),
            checkpoint=tmp_path / "run",
            learning_rate=lambda step, _: bad if step == 5 else 1e-3,
        )


def test_figures_that_a_callback_adds_to_the_history(tmp_path: Path) -> None:
    """Of some epochs only, if it likes; they are numbers."""

    def add(vae: Any, epoch: int, figures: Any) -> None:
        if epoch % 2 == 0:
            vae.history.setdefault("mine", []).append(epoch)

    path = tmp_path / "run"
    fit(new_vae(), callbacks=[add], checkpoint=path)
    vae = fit(new_vae(), epochs=5, callbacks=[add], resume=path)
    assert_same_run(vae, fit(new_vae(), epochs=5, callbacks=[add]))
    assert vae.history is not None
    assert vae.history["mine"] == [2, 4]
    for bad in ("x", None, [1]):
        with pytest.raises(TypeError, match="the history must hold numbers; got .* as 'mine'"):
            fit(
                new_vae(), checkpoint=path,
                callbacks=[lambda vae, *_: vae.history.update(mine=[bad])],  # noqa: B023
            )  # fmt: skip


def test_a_damaged_checkpoint_does_not_take_the_place_of_the_one_that_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "run.ckpt", os.replace
    previous = checkpoints.previous_of(path)
    fit(new_vae(), epochs=2, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-1])
    lost = []

    def watch(old: Any, new: Any) -> None:
        replace(old, new)
        if new in (path, previous):
            lost.append(not any(map(is_checkpoint, (path, previous))))

    monkeypatch.setattr(os, "replace", watch)
    vae = fit(new_vae(), resume=previous, checkpoint=path)
    assert lost
    assert not any(lost)
    assert is_checkpoint(path)
    assert is_checkpoint(previous)
    assert_same_run(vae, fit(new_vae()))


def is_checkpoint(path: Path) -> bool:
    """Whether a file can be gone on with."""
    try:
        return bool(checkpoints.read(path).facts)
    except ValueError:
        return False
